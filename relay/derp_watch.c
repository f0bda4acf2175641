/* Watchers: the shared list of them, and the marked keys of each. */
#include "relay/derp_watch.h"

#include <string.h>

#include "base/map.h"
#include "base/metrics.h"
#include "base/obj.h"
#include "relay/derp_conn.h"
#include "relay/derp_frame.h"

/* Frames about keys in a watcher's queue: small enough to leave the lane to others. */
#define FILL_BYTES (16u << 10)

/* A marked key. */
struct mark {
	struct node_key key;
	TAILQ_ENTRY(mark) link;
};

struct derp_watch {
	struct map marks;
	TAILQ_HEAD(, mark) order;	/* the same; owns them */
};

/* On its way to a watcher. */
struct change {
	struct conn_ref to;
	struct node_key key;
};

void
derp_watch_list_init(struct derp_watch_list *l)
{
	*l = (struct derp_watch_list){ .refs = NULL };
	ASSERT(pthread_mutex_init(&l->lock, NULL) == 0);
	atomic_init(&l->n_seen, 0);
}

void
derp_watch_list_fini(struct derp_watch_list *l)
{
	ASSERT(l->n == 0);
	free(l->refs);
	pthread_mutex_destroy(&l->lock);
}

static void
list_set(struct derp_watch_list *l, unsigned n)
{
	l->n = n;
	atomic_store_explicit(&l->n_seen, n, memory_order_seq_cst);
	metric_set(METRIC_DERP_WATCHERS, n);
}

static void
list_add(struct derp_watch_list *l, struct conn_ref ref)
{
	pthread_mutex_lock(&l->lock);
	l->refs = obj_realloc(l->refs, (l->n + 1) * sizeof *l->refs);
	l->refs[l->n] = ref;
	list_set(l, l->n + 1);
	pthread_mutex_unlock(&l->lock);
}

static void
list_remove(struct derp_watch_list *l, struct conn_ref ref)
{
	unsigned i = 0;

	pthread_mutex_lock(&l->lock);
	while (i < l->n && !conn_ref_eq(l->refs[i], ref))
		i++;
	ASSERT(i < l->n);
	l->refs[i] = l->refs[l->n - 1];
	list_set(l, l->n - 1);
	pthread_mutex_unlock(&l->lock);
}

/* --- one watcher ------------------------------------------------------------------------------ */

/* Nobody is told of itself. */
static void
watch_mark(struct derp_conn *c, const struct node_key *key)
{
	struct mark *m;

	if (node_key_eq(key, &c->key) || map_find(&c->watch->marks, key) != NULL)
		return;
	m = obj_alloc(sizeof *m);
	m->key = *key;
	map_put(&c->watch->marks, m);
	TAILQ_INSERT_TAIL(&c->watch->order, m, link);
}

static void
watch_mark_any(void *arg, const struct node_key *key)
{
	watch_mark(arg, key);
}

void
derp_watch_start(struct derp_conn *c)
{
	if (c->watch != NULL)
		return;
	c->watch = obj_alloc(sizeof *c->watch);
	MAP_INIT(&c->watch->marks, struct mark, key);
	TAILQ_INIT(&c->watch->order);
	/* First the list: what changes while the table is walked is marked by its change. */
	list_add(&c->dw->shared->watchers, c->ref);
	derp_route_each(c->dw->shared->routes, watch_mark_any, c);
	if (!c->is_blocked)
		worker_flush_ask(c->dw->w, &c->flush);
}

static void
watch_unmark(struct derp_watch *w, struct mark *m)
{
	TAILQ_REMOVE(&w->order, m, link);
	map_remove(&w->marks, &m->key);
	free(m);
}

void
derp_watch_stop(struct derp_conn *c)
{
	struct mark *m;

	if (c->watch == NULL)
		return;
	list_remove(&c->dw->shared->watchers, c->ref);
	while ((m = TAILQ_FIRST(&c->watch->order)) != NULL)
		watch_unmark(c->watch, m);
	map_fini(&c->watch->marks);
	free(c->watch);
	c->watch = NULL;
}

bool
derp_watch_has_more(const struct derp_conn *c)
{
	return c->watch != NULL && !TAILQ_EMPTY(&c->watch->order);
}

void
derp_watch_fill(struct derp_conn *c)
{
	uint8_t frame[DERP_FRAME_PRESENT_BYTES];
	struct derp_worker *dw = c->dw;

	while (derp_watch_has_more(c) && derp_queue_bytes(&c->queue, DERP_LANE_CONTROL) < FILL_BYTES) {
		struct mark *m = TAILQ_FIRST(&c->watch->order);
		struct net_addr addr;
		uint8_t flags;
		size_t n;

		if (derp_route_present(dw->shared->routes, &m->key, &addr, &flags))
			n = derp_frame_put_present(frame, m->key.b, &addr, flags);
		else
			n = derp_frame_put_gone(frame, m->key.b, DERP_FRAME_GONE_DISCONNECTED);
		derp_queue_put(&c->queue, &dw->pool, DERP_LANE_CONTROL, frame, n,
		    worker_now_ms(dw->w));
		watch_unmark(c->watch, m);
	}
}

/* --- changes ---------------------------------------------------------------------------------- */

static void
change_on_arrival(struct worker *w, void *arg)
{
	struct change *ch = arg;
	struct derp_conn *c = worker_find(w, ch->to);

	if (c != NULL) {
		OBJ_CHECK(c, DERP_CONN_MAGIC);
		watch_mark(c, &ch->key);
		if (!c->is_blocked)
			worker_flush_ask(w, &c->flush);
	}
	free(ch);
}

void
derp_watch_changed(struct derp_shared *shared, const struct node_key *key)
{
	struct derp_watch_list *l = &shared->watchers;

	if (atomic_load_explicit(&l->n_seen, memory_order_seq_cst) == 0)
		return;
	pthread_mutex_lock(&l->lock);
	for (unsigned i = 0; i < l->n; i++) {
		struct change *ch = obj_alloc(sizeof *ch);

		*ch = (struct change){ .to = l->refs[i], .key = *key };
		worker_call(worker_group_at(shared->group, l->refs[i].worker), change_on_arrival, ch,
		    free);
	}
	pthread_mutex_unlock(&l->lock);
}
