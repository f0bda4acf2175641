/* Remembered receivers: adding, telling, and handing on to another connection of the same key. */
#include "relay/derp_peers.h"

#include <string.h>

#include "base/obj.h"
#include "relay/derp_conn.h"
#include "relay/derp_frame.h"

/* On its way to the worker of another connection of the key. */
struct bequest {
	struct node_key key;
	struct conn_ref heir;
	struct derp_peers peers;
};

void
derp_peers_fini(struct derp_peers *p)
{
	free(p->refs);
	free(p->pairs);
	*p = (struct derp_peers){ .refs = NULL };
}

/* Room for one more, in both arrays. */
static void
peers_grow(struct derp_peers *p)
{
	p->cap = (uint16_t)(p->cap == 0 ? 4 : p->cap * 2);
	p->refs = obj_realloc(p->refs, p->cap * sizeof *p->refs);
	if (p->pairs != NULL)
		p->pairs = obj_realloc(p->pairs, p->cap * sizeof *p->pairs);
}

unsigned
derp_peers_add(struct derp_peers *p, struct conn_ref ref)
{
	unsigned place;

	for (unsigned i = 0; i < p->n; i++) {
		if (conn_ref_eq(p->refs[i], ref))
			return i;
	}
	if (p->n == DERP_PEERS_MAX) {
		place = p->next;
		p->next = (uint16_t)((p->next + 1) % DERP_PEERS_MAX);
	} else {
		if (p->n == p->cap)
			peers_grow(p);
		place = p->n++;
	}
	p->refs[place] = ref;
	if (p->pairs != NULL)
		p->pairs[place] = (struct derp_pair){ 0 };
	return place;
}

void
derp_peers_count(struct derp_peers *p, unsigned place, unsigned n_packets, size_t n, int64_t now_ms)
{
	struct derp_pair *pair;

	ASSERT(place < p->n);
	if (p->pairs == NULL)
		p->pairs = obj_alloc(p->cap * sizeof *p->pairs);
	pair = &p->pairs[place];
	pair->packets += n_packets;
	pair->bytes += n - n_packets * (DERP_FRAME_HDR_BYTES + KEY_BYTES);
	pair->used_ms = now_ms;
}

static void
derp_peers_tell(const struct derp_peers *p, struct derp_worker *dw, const struct node_key *key)
{
	uint8_t frame[DERP_FRAME_GONE_BYTES];
	size_t n = derp_frame_put_gone(frame, key->b, DERP_FRAME_GONE_DISCONNECTED);

	for (unsigned i = 0; i < p->n; i++)
		derp_worker_send(dw, &(struct derp_worker_run){
			.to = p->refs[i], .lane = DERP_LANE_CONTROL, .frames = frame, .n = n,
		});
	dw->counts.gone_disconnected += p->n;
	derp_worker_touch(dw);
}

/* --- senders at other relays ------------------------------------------------------------------- */

struct remote {
	struct node_key key;
	struct derp_peers peers;
};

/* On its way to all workers. */
struct departure {
	struct node_key key;
};

void
derp_peers_remote_init(struct derp_worker *dw)
{
	MAP_INIT(&dw->remote, struct remote, key);
}

static void
remote_drop(struct derp_worker *dw, struct remote *r)
{
	map_remove(&dw->remote, &r->key);
	atomic_fetch_sub_explicit(&dw->shared->n_remote, 1, memory_order_relaxed);
	derp_peers_fini(&r->peers);
	free(r);
}

void
derp_peers_remote_fini(struct derp_worker *dw)
{
	struct remote *r;
	size_t cursor = 0;

	while ((r = map_next(&dw->remote, &cursor)) != NULL) {
		remote_drop(dw, r);
		cursor = 0;
	}
	map_fini(&dw->remote);
}

/* NULL: no room for one more sender. */
static struct remote *
remote_get(struct derp_worker *dw, const struct node_key *key)
{
	struct remote *r = map_find(&dw->remote, key);

	if (r != NULL || dw->remote.count >= DERP_PEERS_REMOTE_MAX)
		return r;
	r = obj_alloc(sizeof *r);
	r->key = *key;
	map_put(&dw->remote, r);
	atomic_fetch_add_explicit(&dw->shared->n_remote, 1, memory_order_relaxed);
	return r;
}

void
derp_peers_remote_add(struct derp_worker *dw, const uint8_t key[KEY_BYTES], struct conn_ref ref)
{
	struct node_key sender;
	struct remote *r;

	if (!derp_route_has_link(dw->shared->routes, key))
		return;
	memcpy(sender.b, key, KEY_BYTES);
	if ((r = remote_get(dw, &sender)) != NULL)
		derp_peers_add(&r->peers, ref);
}

static void
departure_on_arrival(struct worker *w, void *arg)
{
	struct derp_worker *dw = w->modules[WORKER_RELAY];
	struct departure *d = arg;
	struct remote *r;

	OBJ_CHECK(dw, DERP_WORKER_MAGIC);
	r = map_find(&dw->remote, &d->key);
	if (r != NULL) {
		derp_peers_tell(&r->peers, dw, &d->key);
		remote_drop(dw, r);
	}
	free(d);
}

void
derp_peers_remote_gone(struct derp_shared *shared, const struct node_key *key)
{
	if (atomic_load_explicit(&shared->n_remote, memory_order_relaxed) == 0)
		return;
	for (unsigned i = 0; i < worker_group_count(shared->group); i++) {
		struct departure *d = obj_alloc(sizeof *d);

		d->key = *key;
		worker_call(worker_group_at(shared->group, i), departure_on_arrival, d, free);
	}
}

/* The sender is at another relay now, or still: those who got its packets here are kept. */
static void
remote_keep_take(struct derp_worker *dw, const struct node_key *key, struct derp_peers *p)
{
	struct remote *r = remote_get(dw, key);

	for (unsigned i = 0; i < p->n && r != NULL; i++)
		derp_peers_add(&r->peers, p->refs[i]);
	derp_peers_fini(p);
}

/* --- leaving ---------------------------------------------------------------------------------- */

static void
bequest_free(void *arg)
{
	struct bequest *b = arg;

	derp_peers_fini(&b->peers);
	free(b);
}

/* On the heir's worker. If the heir has gone in the meantime, what is to be done is decided
 * anew. */
static void
bequest_on_arrival(struct worker *w, void *arg)
{
	struct derp_worker *dw = w->modules[WORKER_RELAY];
	struct bequest *b = arg;
	struct derp_conn *c = worker_find(w, b->heir);
	struct conn_ref other;
	bool is_link;

	OBJ_CHECK(dw, DERP_WORKER_MAGIC);
	if (c != NULL) {
		OBJ_CHECK(c, DERP_CONN_MAGIC);
		for (unsigned i = 0; i < b->peers.n; i++)
			derp_peers_add(&c->peers, b->peers.refs[i]);
	} else {
		enum derp_route_left left = DERP_ROUTE_NOWHERE;

		if (derp_route_way(dw->shared->routes, b->key.b, &other, &is_link))
			left = is_link ? DERP_ROUTE_ELSEWHERE : DERP_ROUTE_HERE;
		derp_peers_leave_take(&b->peers, dw, &b->key, left);
	}
	bequest_free(b);
}

void
derp_peers_leave_take(struct derp_peers *p, struct derp_worker *dw, const struct node_key *key,
	enum derp_route_left left)
{
	struct conn_ref heir;
	struct bequest *b;

	if (left == DERP_ROUTE_NOWHERE && !dw->is_stopping)
		derp_peers_remote_gone(dw->shared, key);
	if (p->n == 0 || dw->is_stopping) {
		derp_peers_fini(p);
		return;
	}
	if (left == DERP_ROUTE_ELSEWHERE) {
		remote_keep_take(dw, key, p);
		return;
	}
	if (left == DERP_ROUTE_NOWHERE || !derp_route_find(dw->shared->routes, key->b, &heir)) {
		derp_peers_tell(p, dw, key);
		derp_peers_fini(p);
		return;
	}
	b = obj_alloc(sizeof *b);
	*b = (struct bequest){ .key = *key, .heir = heir, .peers = *p };
	*p = (struct derp_peers){ .refs = NULL };
	worker_call(worker_group_at(dw->shared->group, heir.worker), bequest_on_arrival, b,
	    bequest_free);
}
