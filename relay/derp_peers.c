/* Remembered receivers: adding, telling, and handing on to another connection of the same key. */
#include "relay/derp_peers.h"

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
	*p = (struct derp_peers){ .refs = NULL };
}

void
derp_peers_add(struct derp_peers *p, struct conn_ref ref)
{
	for (unsigned i = 0; i < p->n; i++) {
		if (conn_ref_eq(p->refs[i], ref))
			return;
	}
	if (p->n == DERP_PEERS_MAX) {
		p->refs[p->next] = ref;
		p->next = (uint16_t)((p->next + 1) % DERP_PEERS_MAX);
		return;
	}
	if (p->n == p->cap) {
		p->cap = (uint16_t)(p->cap == 0 ? 4 : p->cap * 2);
		p->refs = obj_realloc(p->refs, p->cap * sizeof *p->refs);
	}
	p->refs[p->n++] = ref;
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

	OBJ_CHECK(dw, DERP_WORKER_MAGIC);
	if (c != NULL) {
		OBJ_CHECK(c, DERP_CONN_MAGIC);
		for (unsigned i = 0; i < b->peers.n; i++)
			derp_peers_add(&c->peers, b->peers.refs[i]);
	} else {
		derp_peers_leave_take(&b->peers, dw, &b->key,
		    !derp_route_find(dw->shared->routes, b->key.b, &other));
	}
	bequest_free(b);
}

void
derp_peers_leave_take(struct derp_peers *p, struct derp_worker *dw, const struct node_key *key,
	bool is_last)
{
	struct conn_ref heir;
	struct bequest *b;

	if (p->n == 0 || dw->is_stopping) {
		derp_peers_fini(p);
		return;
	}
	if (is_last || !derp_route_find(dw->shared->routes, key->b, &heir)) {
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
