/* Snapshots: each worker fills its part, the last one posts them home, where they become one. */
#include "relay/insight.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/obj.h"
#include "relay/derp_conn.h"
#include "relay/derp_worker.h"
#include "relay/relay.h"

#define INSIGHT_MAGIC 0x1251640au

/* A connection of a part. */
struct seen {
	struct conn_ref ref;
	struct relay_insight_node node;
};

/* A pair of a part; its receiver may be on another worker, and is known by its connection yet. */
struct pair {
	struct conn_ref to;
	struct relay_insight_pair pair;
};

/* What one worker fills in. */
struct part {
	struct seen *seen;
	size_t n_seen, cap_seen;
	struct pair *pairs;		/* a heap: the one with the fewest bytes first */
	size_t n_pairs;
};

struct snapshot {
	struct mbox_msg msg;		/* first */
	uint32_t magic;
	struct relay_insight_ask ask;
	int64_t now_ms;
	atomic_uint n_left;		/* parts that are not there yet */
	atomic_bool is_void;		/* a worker stopped before */
	unsigned n_parts;
	struct part parts[];
};

/* On its way to one worker. */
struct errand {
	struct snapshot *s;
	unsigned i;
};

/* --- on a worker ------------------------------------------------------------------------------ */

static void
heap_sink(struct pair *h, size_t n)
{
	size_t at = 0, least;

	while ((least = 2 * at + 1) < n) {
		if (least + 1 < n && h[least + 1].pair.bytes < h[least].pair.bytes)
			least++;
		if (h[at].pair.bytes <= h[least].pair.bytes)
			return;
		struct pair swap = h[at];
		h[at] = h[least];
		h[least] = swap;
		at = least;
	}
}

static void
heap_rise(struct pair *h, size_t at)
{
	for (size_t up; at > 0 && h[up = (at - 1) / 2].pair.bytes > h[at].pair.bytes; at = up) {
		struct pair swap = h[at];
		h[at] = h[up];
		h[up] = swap;
	}
}

/* Keeps the ones with the most bytes. */
static void
part_pair(struct part *p, size_t max, const struct pair *x)
{
	if (p->n_pairs < max) {
		p->pairs[p->n_pairs] = *x;
		heap_rise(p->pairs, p->n_pairs++);
	} else if (max > 0 && x->pair.bytes > p->pairs[0].pair.bytes) {
		p->pairs[0] = *x;
		heap_sink(p->pairs, max);
	}
}

static void
part_pairs(struct part *p, const struct snapshot *s, const struct derp_conn *c)
{
	const struct derp_peers *peers = &c->peers;

	for (unsigned i = 0; i < peers->n && peers->pairs != NULL; i++) {
		const struct derp_pair *x = &peers->pairs[i];

		if (x->packets == 0 ||
		    (s->ask.window_ms > 0 && s->now_ms - x->used_ms > s->ask.window_ms))
			continue;
		part_pair(p, s->ask.pairs_max, &(struct pair){ .to = peers->refs[i],
			.pair = { .from = c->key, .packets = x->packets, .bytes = x->bytes },
		});
	}
}

static void
part_conn(struct part *p, const struct snapshot *s, const struct derp_conn *c)
{
	if (c->state != DERP_CONN_STEADY)
		return;
	if (p->n_seen == p->cap_seen) {
		p->cap_seen = p->cap_seen == 0 ? 64 : p->cap_seen * 2;
		p->seen = obj_realloc(p->seen, p->cap_seen * sizeof *p->seen);
	}
	p->seen[p->n_seen++] = (struct seen){ .ref = c->ref, .node = {
		.key = c->key, .addr = *io_peer(c->io), .n_conns = 1, .is_home = c->is_home,
		.is_mesh = c->is_mesh || c->link != NULL, .begun_ms = c->begun_ms,
		.queued_bytes = derp_queue_bytes(&c->queue, DERP_LANE_CONTROL) +
		    derp_queue_bytes(&c->queue, DERP_LANE_DATA),
		.tally = c->tally != NULL ? *c->tally : (struct relay_tally){ 0 },
	} };
	part_pairs(p, s, c);
}

static void
snapshot_part_done(struct snapshot *s)
{
	if (atomic_fetch_sub_explicit(&s->n_left, 1, memory_order_acq_rel) == 1)
		mbox_post_always(s->ask.mbox, &s->msg);
}

static void
errand_on_arrival(struct worker *w, void *arg)
{
	struct derp_worker *dw = w->modules[WORKER_RELAY];
	struct errand *e = arg;
	struct part *p = &e->s->parts[e->i];
	const struct derp_conn *c;

	OBJ_CHECK(dw, DERP_WORKER_MAGIC);
	OBJ_CHECK(e->s, INSIGHT_MAGIC);
	p->pairs = obj_alloc((e->s->ask.pairs_max + 1) * sizeof *p->pairs);
	for (unsigned i = 0; i < DERP_WORKER_WHEEL; i++)
		LIST_FOREACH(c, &dw->wheel[i], wheel)
			part_conn(p, e->s, c);
	snapshot_part_done(e->s);
	free(e);
}

static void
errand_discard(void *arg)
{
	struct errand *e = arg;

	atomic_store_explicit(&e->s->is_void, true, memory_order_relaxed);
	snapshot_part_done(e->s);
	free(e);
}

/* --- at home ---------------------------------------------------------------------------------- */

static int
order_ref(const void *a, const void *b)
{
	const struct conn_ref *x = &((const struct seen *)a)->ref, *y = &((const struct seen *)b)->ref;

	if (x->worker != y->worker)
		return x->worker < y->worker ? -1 : 1;
	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	return (x->generation > y->generation) - (x->generation < y->generation);
}

static int
order_key(const void *a, const void *b)
{
	return memcmp(((const struct seen *)a)->node.key.b, ((const struct seen *)b)->node.key.b,
	    KEY_BYTES);
}

static uint64_t
node_bytes(const struct seen *x)
{
	return x->node.tally.bytes_in + x->node.tally.bytes_out;
}

static int
order_node(const void *a, const void *b)
{
	uint64_t x = node_bytes(a), y = node_bytes(b);

	return x != y ? (x < y ? 1 : -1) : order_key(a, b);
}

static int
order_pair_keys(const void *a, const void *b)
{
	const struct relay_insight_pair *x = a, *y = b;
	int order = memcmp(x->from.b, y->from.b, KEY_BYTES);

	return order != 0 ? order : memcmp(x->to.b, y->to.b, KEY_BYTES);
}

static int
order_pair(const void *a, const void *b)
{
	const struct relay_insight_pair *x = a, *y = b;

	return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : order_pair_keys(a, b);
}

/* All connections of all parts, by connection; the caller frees them. */
static struct seen *
snapshot_seen(const struct snapshot *s, size_t *n_out)
{
	struct seen *all;
	size_t n = 0;

	for (unsigned i = 0; i < s->n_parts; i++)
		n += s->parts[i].n_seen;
	all = obj_alloc((n + 1) * sizeof *all);
	n = 0;
	for (unsigned i = 0; i < s->n_parts; i++) {
		const struct part *p = &s->parts[i];

		if (p->n_seen > 0)
			memcpy(all + n, p->seen, p->n_seen * sizeof *all);
		n += p->n_seen;
	}
	qsort(all, n, sizeof *all, order_ref);
	*n_out = n;
	return all;
}

/* The pairs whose receiver is there, one for each two keys. */
static void
snapshot_pairs(const struct snapshot *s, const struct seen *all, size_t n_all,
	struct relay_insight *in)
{
	size_t n = 0, k = 0;

	for (unsigned i = 0; i < s->n_parts; i++)
		n += s->parts[i].n_pairs;
	in->pairs = obj_alloc((n + 1) * sizeof *in->pairs);
	n = 0;
	for (unsigned i = 0; i < s->n_parts; i++) {
		for (size_t j = 0; j < s->parts[i].n_pairs; j++) {
			const struct pair *p = &s->parts[i].pairs[j];
			struct seen want = { .ref = p->to };
			const struct seen *to = bsearch(&want, all, n_all, sizeof *all, order_ref);

			if (to == NULL)
				continue;
			in->pairs[n] = p->pair;
			in->pairs[n++].to = to->node.key;
		}
	}
	qsort(in->pairs, n, sizeof *in->pairs, order_pair_keys);
	for (size_t i = 0; i < n; i++) {
		if (k > 0 && order_pair_keys(&in->pairs[k - 1], &in->pairs[i]) == 0) {
			in->pairs[k - 1].packets += in->pairs[i].packets;
			in->pairs[k - 1].bytes += in->pairs[i].bytes;
		} else {
			in->pairs[k++] = in->pairs[i];
		}
	}
	qsort(in->pairs, k, sizeof *in->pairs, order_pair);
	in->n_pairs = k < s->ask.pairs_max ? k : s->ask.pairs_max;
}

/* Another connection of the same key. */
static void
node_merge(struct relay_insight_node *to, const struct relay_insight_node *x)
{
	struct relay_tally *t = &to->tally;

	if (x->tally.used_ms > t->used_ms) {
		to->addr = x->addr;
		t->used_ms = x->tally.used_ms;
	}
	to->n_conns += x->n_conns;
	to->is_home |= x->is_home;
	if (x->begun_ms < to->begun_ms)
		to->begun_ms = x->begun_ms;
	to->queued_bytes += x->queued_bytes;
	t->packets_in += x->tally.packets_in;
	t->bytes_in += x->tally.bytes_in;
	t->packets_out += x->tally.packets_out;
	t->bytes_out += x->tally.bytes_out;
	t->dropped_unknown += x->tally.dropped_unknown;
	t->dropped_head += x->tally.dropped_head;
	t->dropped_tail += x->tally.dropped_tail;
	t->home_moves += x->tally.home_moves;
}

static void
snapshot_nodes(const struct snapshot *s, struct seen *all, size_t n, struct relay_insight *in)
{
	size_t k = 0;

	qsort(all, n, sizeof *all, order_key);
	for (size_t i = 0; i < n; i++) {
		/* Links have no key, but are several. */
		if (k > 0 && order_key(&all[k - 1], &all[i]) == 0 && !node_key_is_zero(&all[i].node.key))
			node_merge(&all[k - 1].node, &all[i].node);
		else
			all[k++] = all[i];
	}
	in->n_connected = k;
	qsort(all, k, sizeof *all, order_node);
	in->n_nodes = k < s->ask.nodes_max ? k : s->ask.nodes_max;
	in->nodes = obj_alloc((in->n_nodes + 1) * sizeof *in->nodes);
	for (size_t i = 0; i < in->n_nodes; i++)
		in->nodes[i] = all[i].node;
}

static void
snapshot_free(struct snapshot *s)
{
	for (unsigned i = 0; i < s->n_parts; i++) {
		free(s->parts[i].seen);
		free(s->parts[i].pairs);
	}
	s->magic = 0;
	free(s);
}

static void
snapshot_on_discard(struct mbox_msg *m)
{
	struct snapshot *s = (struct snapshot *)(void *)m;

	OBJ_CHECK(s, INSIGHT_MAGIC);
	s->ask.fn(s->ask.arg, NULL);
	snapshot_free(s);
}

static void
snapshot_on_deliver(struct mbox_msg *m, void *loop_arg)
{
	struct snapshot *s = (struct snapshot *)(void *)m;
	struct relay_insight in = { .at_ms = s->now_ms };
	struct seen *all;
	size_t n;

	(void)loop_arg;
	OBJ_CHECK(s, INSIGHT_MAGIC);
	if (atomic_load_explicit(&s->is_void, memory_order_relaxed)) {
		snapshot_on_discard(m);
		return;
	}
	all = snapshot_seen(s, &n);
	snapshot_pairs(s, all, n, &in);
	snapshot_nodes(s, all, n, &in);
	s->ask.fn(s->ask.arg, &in);
	free(all);
	free(in.nodes);
	free(in.pairs);
	snapshot_free(s);
}

void
relay_insight(struct relay *r, const struct relay_insight_ask *ask)
{
	struct worker_group *g = relay_workers(r);
	unsigned n = worker_group_count(g);
	struct snapshot *s = obj_alloc(sizeof *s + n * sizeof s->parts[0]);

	ASSERT(ask->nodes_max <= RELAY_INSIGHT_MAX && ask->pairs_max <= RELAY_INSIGHT_MAX);
	s->magic = INSIGHT_MAGIC;
	s->msg.deliver = snapshot_on_deliver;
	s->msg.discard = snapshot_on_discard;
	s->ask = *ask;
	s->now_ms = clock_mono_ms();
	s->n_parts = n;
	atomic_init(&s->n_left, n);
	atomic_init(&s->is_void, false);
	for (unsigned i = 0; i < n; i++) {
		struct errand *e = obj_alloc(sizeof *e);

		*e = (struct errand){ .s = s, .i = i };
		worker_call(worker_group_at(g, i), errand_on_arrival, e, errand_discard);
	}
}
