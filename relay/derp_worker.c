/* Per-worker state of the relay: deadlines, counts, and the way to a receiver. */
#include "relay/derp_worker.h"

#include <assert.h>
#include <event2/event.h>

#include "base/metrics.h"
#include "base/obj.h"
#include "base/rand.h"
#include "base/ratelimit.h"
#include "relay/derp_conn.h"
#include "relay/derp_hop.h"
#include "relay/derp_mesh.h"
#include "relay/derp_peers.h"

/* Small frames and disco wait here when the socket is full: enough for hundreds of them. */
#define CONTROL_LANE_BYTES	(32u << 10)
/* Chunks kept over a quiet second. */
#define POOL_KEEP_QUIET		4u
/* A refusal is logged once a minute and source. */
#define REFUSALS_PER_S		(1.0 / 60)
#define REFUSALS_MAX		1024

/* --- counts ----------------------------------------------------------------------------------- */

static void
count_out(enum metric m, int64_t n)
{
	if (n != 0)
		metric_add(m, n);
}

/* Of the histogram only what waited is counted on the packet path. */
static void
derp_worker_count_delays(struct derp_worker *dw)
{
	struct derp_queue_delays *d = &dw->pool.delays;

	count_out(METRIC_DERP_DELAY_1MS, (int64_t)(dw->pool.counts.taken_packets - d->packets));
	if (d->waited_ms == 0)
		return;
	static_assert(METRIC_DERP_DELAY_INF - METRIC_DERP_DELAY_2MS + 1 == DERP_QUEUE_DELAYS, "buckets");
	for (unsigned i = 0; i < DERP_QUEUE_DELAYS; i++)
		count_out(METRIC_DERP_DELAY_2MS + i, (int64_t)d->by_time[i]);
	count_out(METRIC_DERP_DELAY_SUM, (int64_t)d->waited_ms);
	*d = (struct derp_queue_delays){ 0 };
}

/* Disco has the row before the one of all others. */
static void
count_drops(enum metric packets, enum metric bytes, const struct derp_drops *d)
{
	static_assert(DERP_LANE_CONTROL == 0 && DERP_LANE_COUNT == 2, "disco, others");
	for (unsigned lane = 0; lane < DERP_LANE_COUNT; lane++) {
		count_out(packets + lane, (int64_t)d->packets[lane]);
		count_out(bytes + lane, (int64_t)d->bytes[lane]);
	}
}

static void
derp_worker_count_drops(const struct derp_worker *dw)
{
	const struct derp_worker_counts *c = &dw->counts;
	const struct derp_queue_counts *q = &dw->pool.counts;

#define COUNT(reason, d) \
	count_drops(METRIC_DERP_DROP_##reason##_DISCO, METRIC_DERP_DROP_BYTES_##reason##_DISCO, d)
	COUNT(UNKNOWN, &c->dropped_unknown);
	COUNT(FWD, &c->dropped_forward);
	COUNT(GONE, &c->dropped_gone);
	COUNT(GONE, &q->dropped_gone);
	COUNT(HEAD, &q->dropped_head);
	COUNT(TAIL, &q->dropped_tail);
	COUNT(HOP, &c->dropped_hop);
	COUNT(MEMORY, &q->dropped_memory);
#undef COUNT
}

static void
derp_worker_count(struct derp_worker *dw)
{
	const struct derp_worker_counts *c = &dw->counts;
	const struct derp_queue_counts *q = &dw->pool.counts;

	count_out(METRIC_DERP_PKT_IN, c->packets_in);
	count_out(METRIC_DERP_PKT_DISCO, c->disco_in);
	count_out(METRIC_DERP_PKT_OTHER, c->packets_in - c->disco_in);
	count_out(METRIC_DERP_BYTES_IN, c->bytes_in);
	count_out(METRIC_DERP_FWD_IN, c->forwarded_in);
	count_out(METRIC_DERP_FWD_OUT, c->forwarded_out);
	count_out(METRIC_DERP_PKT_OUT, (int64_t)q->taken_packets);
	count_out(METRIC_DERP_BYTES_OUT, (int64_t)q->taken_bytes);
	count_out(METRIC_DERP_MEMORY, q->memory_bytes);
	derp_worker_count_drops(dw);
	count_out(METRIC_DERP_PING, c->pings);
	count_out(METRIC_DERP_PONG, c->pongs);
	count_out(METRIC_DERP_GONE_DISC, c->gone_disconnected);
	count_out(METRIC_DERP_GONE_HERE, c->gone_not_here);
	count_out(METRIC_DERP_UNKNOWN, c->unknown_frames);
	derp_worker_count_delays(dw);
	dw->counts = (struct derp_worker_counts){ 0 };
	dw->pool.counts = (struct derp_queue_counts){ 0 };
}

static void
derp_worker_on_flush(struct worker_flush *f)
{
	struct derp_worker *dw = CONTAINER_OF(f, struct derp_worker, flush);

	OBJ_CHECK(dw, DERP_WORKER_MAGIC);
	dw->n_hellos = 0;
	derp_hop_post(dw);
	derp_worker_count(dw);
}

void
derp_worker_touch(struct derp_worker *dw)
{
	worker_flush_ask(dw->w, &dw->flush);
}

/* --- the wheel -------------------------------------------------------------------------------- */

void
derp_worker_arm(struct derp_worker *dw, struct derp_conn *c, int64_t at_ms)
{
	int64_t at_s = at_ms / 1000 + 1;

	if (at_s <= dw->tick_s)
		at_s = dw->tick_s + 1;
	if (at_s >= dw->tick_s + DERP_WORKER_WHEEL)
		at_s = dw->tick_s + DERP_WORKER_WHEEL - 1;
	if (c->is_in_wheel)
		LIST_REMOVE(c, wheel);
	c->is_in_wheel = true;
	LIST_INSERT_HEAD(&dw->wheel[(uint64_t)at_s % DERP_WORKER_WHEEL], c, wheel);
}

static void
derp_worker_tick_slot(struct derp_worker *dw, unsigned slot, int64_t now_ms)
{
	struct derp_worker_list due;
	struct derp_conn *c;

	LIST_INIT(&due);
	while ((c = LIST_FIRST(&dw->wheel[slot])) != NULL) {
		LIST_REMOVE(c, wheel);
		LIST_INSERT_HEAD(&due, c, wheel);
	}
	/* Each call puts its connection into a slot again, or closes it. */
	while ((c = LIST_FIRST(&due)) != NULL)
		derp_conn_tick(c, now_ms);
}

void
derp_worker_tick(struct derp_worker *dw, int64_t now_ms)
{
	int64_t from_s = dw->tick_s + 1, now_s = now_ms / 1000;

	if (now_s < from_s)
		return;
	if (now_s - from_s >= (int64_t)DERP_WORKER_WHEEL)
		from_s = now_s - (int64_t)DERP_WORKER_WHEEL + 1;	/* every slot once */
	dw->tick_s = now_s;
	for (int64_t s = from_s; s <= now_s; s++)
		derp_worker_tick_slot(dw, (unsigned)((uint64_t)s % DERP_WORKER_WHEEL), now_ms);
	if (dw->pool.n_used == 0)
		derp_queue_pool_trim(&dw->pool, POOL_KEEP_QUIET);
}

/* Memory is scarce: whose socket takes nothing is not looked at by itself, and what waits for it grows
 * too old. */
static void
derp_worker_expire(struct derp_worker *dw, int64_t now_ms)
{
	struct derp_conn *c;

	for (unsigned i = 0; i < DERP_WORKER_WHEEL; i++) {
		LIST_FOREACH(c, &dw->wheel[i], wheel)
			derp_queue_expire(&c->queue, &dw->pool, now_ms);
	}
	derp_worker_touch(dw);
}

static void
derp_worker_on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct derp_worker *dw = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(dw, DERP_WORKER_MAGIC);
	derp_worker_tick(dw, worker_now_ms(dw->w));
	derp_mesh_tick(dw, worker_now_ms(dw->w));
	if (derp_queue_pool_is_scarce(&dw->pool))
		derp_worker_expire(dw, worker_now_ms(dw->w));
}

/* --- to a receiver ---------------------------------------------------------------------------- */

void
derp_worker_run_drop(const struct derp_worker_run *run, struct derp_drops *why)
{
	derp_drops_add(why, run->lane, run->n_packets,
	    run->n - (size_t)run->n_packets * (DERP_FRAME_HDR_BYTES + KEY_BYTES));
}

void
derp_worker_deliver(struct derp_worker *dw, const struct derp_worker_run *run)
{
	struct derp_conn *c = worker_find(dw->w, run->to);

	derp_worker_touch(dw);
	if (c == NULL) {
		derp_worker_run_drop(run, &dw->counts.dropped_gone);
		return;
	}
	OBJ_CHECK(c, DERP_CONN_MAGIC);
	derp_conn_put(c, run);
}

void
derp_worker_send(struct derp_worker *dw, const struct derp_worker_run *run)
{
	if (run->to.worker == dw->w->index)
		derp_worker_deliver(dw, run);
	else
		derp_hop_put(dw, run);
}

/* --- birth and death -------------------------------------------------------------------------- */

static void
derp_worker_on_stop(struct worker *w, void *arg)
{
	struct derp_worker *dw = arg;
	struct derp_conn *c;

	(void)w;
	OBJ_CHECK(dw, DERP_WORKER_MAGIC);
	dw->is_stopping = true;
	derp_mesh_stop(dw);
	for (unsigned i = 0; i < DERP_WORKER_WHEEL; i++) {
		while ((c = LIST_FIRST(&dw->wheel[i])) != NULL)
			derp_conn_close(c, "the relay stops");
	}
	event_free(dw->tick);
	dw->tick = NULL;
}

struct derp_worker *
derp_worker_new(struct derp_shared *shared, struct worker *w)
{
	static const struct timeval second = { .tv_sec = 1 };
	const struct config *cfg = shared->cfg;
	struct derp_worker *dw = obj_alloc(sizeof *dw);

	dw->magic = DERP_WORKER_MAGIC;
	dw->w = w;
	dw->shared = shared;
	dw->flush.fn = derp_worker_on_flush;
	dw->tick_s = w->now_ms / 1000;
	derp_queue_pool_init(&dw->pool, &(struct derp_queue_limits){
		.bytes = {
			[DERP_LANE_CONTROL] = CONTROL_LANE_BYTES,
			[DERP_LANE_DATA] = cfg->limits.relay_queue_bytes,
		},
		.wait_ms = cfg->limits.relay_queue_ms,
	});
	dw->pool.memory = &shared->memory;
	rand_bytes(&dw->pool.salt, sizeof dw->pool.salt);
	for (unsigned i = 0; i < DERP_WORKER_WHEEL; i++)
		LIST_INIT(&dw->wheel[i]);
	derp_peers_remote_init(dw);
	LIST_INIT(&dw->links);
	dw->refusals = ratelimit_new(REFUSALS_PER_S, 1, REFUSALS_MAX);
	atomic_init(&dw->hop_bytes, 0);
	dw->tick = event_new(w->base, -1, EV_PERSIST, derp_worker_on_tick, dw);
	ASSERT(dw->tick != NULL && event_add(dw->tick, &second) == 0);
	worker_on_stop(w, derp_worker_on_stop, dw);
	w->modules[WORKER_RELAY] = dw;
	return dw;
}

void
derp_worker_free(struct derp_worker *dw)
{
	if (dw == NULL)
		return;
	OBJ_CHECK(dw, DERP_WORKER_MAGIC);
	if (dw->tick != NULL)
		event_free(dw->tick);
	derp_hop_discard(dw);
	derp_queue_pool_fini(&dw->pool);
	ratelimit_free(dw->refusals);
	derp_peers_remote_fini(dw);
	free(dw->forward);
	dw->magic = 0;
	free(dw);
}
