/* A client's life: greeting, output, deadlines, end. */
#include "relay/derp_conn.h"

#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/obj.h"
#include "relay/derp_frame.h"
#include "relay/derp_hello.h"
#include "relay/derp_mesh.h"
#include "relay/derp_read.h"
#include "relay/derp_tally.h"
#include "relay/relay.h"

/* Sealed in one go before the socket is asked: what a slow reader can make us hold besides its
 * queue. */
#define FLUSH_BYTES	(64u << 10)
/* A run of at least so many bytes is sealed from where it lies; shorter ones are worth
 * collecting. */
#define DIRECT_MIN	(8u << 10)
/* The start of a frame that a client may leave with us while memory is full: any WireGuard packet's. */
#define CARRY_MAX	4096u
/* Instead of limits.relay_stall_s (derper's numbers): mesh peers get more time, links less. */
#define MESH_STALL_MS	30000
#define LINK_STALL_MS	5000
/* A shorter wait is not worth a timer: it is charged with the next turn. Nobody is left alone for longer
 * than a keep-alive takes, whatever it owes. */
#define PAUSE_MIN_US	1000
/* A change of home so soon is the choice of a client that has just come. */
#define MOVE_MIN_MS	5000

/* --- end -------------------------------------------------------------------------------------- */

static void
derp_conn_on_limbo(struct worker_limbo *l)
{
	struct derp_conn *c = CONTAINER_OF(l, struct derp_conn, limbo);

	ASSERT(c->state == DERP_CONN_CLOSED);
	c->magic = 0;
	free(c);
}

static void
derp_conn_leave(struct derp_conn *c)
{
	enum derp_route_left left;

	if (c->entry == NULL)
		return;
	derp_watch_stop(c);
	left = derp_route_remove(c->dw->shared->routes, c->entry, c->ref);
	c->entry = NULL;
	if (left != DERP_ROUTE_HERE)
		derp_watch_changed(c->dw->shared, &c->key);
	derp_peers_leave_take(&c->peers, c->dw, &c->key, left);
	metric_add(METRIC_DERP_CONNS, -1);
	if (c->is_home)
		metric_add(METRIC_DERP_HOME, -1);
	if (c->is_not_ideal)
		metric_add(METRIC_DERP_NOT_IDEAL, -1);
}

void
derp_conn_close(struct derp_conn *c, const char *why)
{
	struct worker *w = c->dw->w;
	char ip[NET_TEXT_MAX];

	OBJ_CHECK(c, DERP_CONN_MAGIC);
	ASSERT(c->state != DERP_CONN_CLOSED);
	log_debug(LOG_RELAY, "client down", "ip", net_addr_put(io_peer(c->io), ip), "why", why);
	c->state = DERP_CONN_CLOSED;
	worker_slot_give(w, c->ref);
	derp_conn_leave(c);
	if (c->link != NULL)
		derp_mesh_down(c->link, c->dw, why);
	event_del(&c->ev);
	worker_flush_cancel(w, &c->flush);
	worker_flush_cancel(w, &c->again);
	if (c->is_in_wheel)
		LIST_REMOVE(c, wheel);
	derp_queue_clear(&c->queue, &c->dw->pool);
	quota_set_drop(c->quotas);
	c->quotas = NULL;
	free(c->tally);
	c->tally = NULL;
	derp_queue_pool_hold(&c->dw->pool, -(int64_t)c->held_bytes);
	derp_worker_touch(c->dw);
	buf_fini(&c->carry);
	io_free(c->io);
	c->io = NULL;
	worker_conns_add(w, -1);
	worker_limbo_put(w, &c->limbo);
}

/* On its way to the worker of a connection. */
struct closing {
	struct conn_ref ref;
	const char *why;
};

static void
closing_on_arrival(struct worker *w, void *arg)
{
	struct closing *x = arg;
	struct derp_conn *c = worker_find(w, x->ref);

	if (c != NULL) {
		OBJ_CHECK(c, DERP_CONN_MAGIC);
		derp_conn_close(c, x->why);
	}
	free(x);
}

void
derp_conn_close_all(struct derp_shared *shared, const struct conn_ref *refs, size_t n,
	const char *why)
{
	for (size_t i = 0; i < n; i++) {
		struct closing *x = obj_alloc(sizeof *x);

		*x = (struct closing){ .ref = refs[i], .why = why };
		worker_call(worker_group_at(shared->group, refs[i].worker), closing_on_arrival, x, free);
	}
}

/* --- deadlines -------------------------------------------------------------------------------- */

static int64_t
derp_conn_stall_ms(const struct derp_conn *c)
{
	if (c->link != NULL)
		return LINK_STALL_MS;
	return c->is_mesh ? MESH_STALL_MS : (int64_t)c->dw->shared->cfg->limits.relay_stall_s * 1000;
}

void
derp_conn_arm(struct derp_conn *c)
{
	int64_t at_ms = c->due_ms, stall_ms = derp_conn_stall_ms(c);

	if (c->is_blocked && stall_ms > 0 && c->stalled_ms + stall_ms < at_ms)
		at_ms = c->stalled_ms + stall_ms;
	derp_worker_arm(c->dw, c, at_ms);
}

/* A keep-alive, or on a link a look at the other side's. */
static void
derp_conn_due(struct derp_conn *c, int64_t now_ms)
{
	uint8_t frame[DERP_FRAME_KEEPALIVE_BYTES];

	if (c->link == NULL) {
		c->due_ms = now_ms + c->keepalive_ms;
		derp_conn_put_control(c, frame, derp_frame_put_keepalive(frame));
		return;
	}
	c->due_ms = derp_mesh_heard_ms(c->link) + DERP_MESH_SILENCE_MS;
	if (now_ms >= c->due_ms)
		derp_conn_close(c, "it says nothing");
}

void
derp_conn_tick(struct derp_conn *c, int64_t now_ms)
{
	int64_t stall_ms = derp_conn_stall_ms(c);

	OBJ_CHECK(c, DERP_CONN_MAGIC);
	if (c->state == DERP_CONN_HELLO && now_ms >= c->due_ms) {
		derp_conn_close(c, "it did not say who it is in time");
		return;
	}
	if (c->is_blocked && stall_ms > 0 && now_ms - c->stalled_ms >= stall_ms) {
		metric_add(METRIC_DERP_WRITE_TIMEOUTS, 1);
		derp_conn_close(c, "it reads nothing");
		return;
	}
	if (c->state == DERP_CONN_STEADY && now_ms >= c->due_ms)
		derp_conn_due(c, now_ms);
	if (c->state != DERP_CONN_CLOSED)
		derp_conn_arm(c);
}

/* --- output ----------------------------------------------------------------------------------- */

static void derp_conn_on_event(evutil_socket_t fd, short what, void *arg);

/* One event for both directions, and for the end of a pause: an idle client waits to read only. */
static void
derp_conn_watch(struct derp_conn *c)
{
	short what = (short)(EV_PERSIST | (c->is_paused ? 0 : EV_READ) | (c->is_blocked ? EV_WRITE : 0));
	int64_t left_us = c->is_paused ? c->paused_until_us - clock_mono_us() : 0;
	struct timeval left = { left_us > 0 ? left_us / 1000000 : 0, left_us > 0 ? left_us % 1000000 : 0 };

	event_del(&c->ev);
	ASSERT(event_assign(&c->ev, c->dw->w->base, io_fd(c->io), what, derp_conn_on_event, c) == 0);
	ASSERT(event_add(&c->ev, c->is_paused ? &left : NULL) == 0);
}

bool
derp_conn_account(struct derp_conn *c)
{
	uint32_t held = (uint32_t)(c->carry.len + (c->is_blocked ? io_pending_bytes(c->io) : 0));

	if (held != c->held_bytes)
		derp_queue_pool_hold(&c->dw->pool, (int64_t)held - (int64_t)c->held_bytes);
	c->held_bytes = held;
	return c->carry.len <= CARRY_MAX || !derp_queue_pool_is_full(&c->dw->pool);
}

static void
derp_conn_block(struct derp_conn *c)
{
	uint64_t out = io_bytes_out(c->io);
	bool was_blocked = c->is_blocked;

	c->is_blocked = true;
	(void)!derp_conn_account(c);
	if (!was_blocked || out != c->stalled_bytes) {
		c->stalled_ms = worker_now_ms(c->dw->w);
		c->stalled_bytes = out;
	}
	if (was_blocked)
		return;
	derp_conn_watch(c);
	derp_conn_arm(c);
}

static void
derp_conn_unblock(struct derp_conn *c)
{
	if (!c->is_blocked)
		return;
	c->is_blocked = false;
	(void)!derp_conn_account(c);
	derp_conn_watch(c);
}

void
derp_conn_check_pending(struct derp_conn *c)
{
	if (!c->is_blocked && io_pending_bytes(c->io) > 0)
		derp_conn_block(c);
}

/* Seals up to FLUSH_BYTES of the queue; one record while memory is scarce: what is sealed cannot be
 * dropped any more. */
static enum err
derp_conn_seal(struct derp_conn *c)
{
	const uint8_t *p;
	size_t n, sealed = 0, max = derp_queue_pool_is_scarce(&c->dw->pool) ? IO_RECORD_BYTES : FLUSH_BYTES;

	while (sealed < max && derp_queue_peek(&c->queue, &p, &n)) {
		enum err rc;

		if (n > IO_RECORD_BYTES)
			n = IO_RECORD_BYTES;
		if ((rc = io_write(c->io, p, n)) != ERR_OK)
			return rc == ERR_AGAIN ? ERR_OK : rc;
		derp_queue_take(&c->queue, &c->dw->pool, n);
		sealed += n;
	}
	return ERR_OK;
}

static void
derp_conn_flush(struct derp_conn *c)
{
	struct derp_queue_counts before = c->dw->pool.counts;
	enum err rc;

	derp_worker_touch(c->dw);
	derp_queue_expire(&c->queue, &c->dw->pool, worker_now_ms(c->dw->w));
	do {
		if (c->watch != NULL)
			derp_watch_fill(c);
		if ((rc = derp_conn_seal(c)) == ERR_OK)
			rc = io_flush(c->io);
	} while (rc == ERR_OK && (!derp_queue_is_empty(&c->queue) || derp_watch_has_more(c)));
	if (derp_queue_bytes(&c->queue, DERP_LANE_CONTROL) == 0)
		c->is_pong_waiting = false;
	derp_tally_out(&c->tally, &before, c->dw);
	if (rc == ERR_OK)
		derp_conn_unblock(c);
	else if (rc == ERR_AGAIN)
		derp_conn_block(c);
	else
		derp_conn_close(c, "it cannot be written to");
}

/* --- quota ------------------------------------------------------------------------------------ */

void
derp_conn_charge(struct derp_conn *c, size_t n)
{
	int64_t now_us = clock_mono_us(), wait_us = quota_set_take_us(c->quotas, n, now_us);

	if (wait_us < PAUSE_MIN_US)
		return;
	c->is_paused = true;
	c->paused_until_us = now_us + wait_us;
	metric_add(METRIC_DERP_QUOTA_PAUSES, 1);
	derp_conn_watch(c);
}

static void
derp_conn_resume(struct derp_conn *c)
{
	c->is_paused = false;
	derp_conn_watch(c);
	/* What TLS has read already no event shows. */
	if (io_has_more(c->io))
		worker_again(c->dw->w, &c->again);
}

static void
quota_on_arrival(struct worker *w, void *arg)
{
	struct conn_ref *ref = arg;
	struct derp_conn *c = worker_find(w, *ref);

	if (c != NULL && c->entry != NULL) {
		OBJ_CHECK(c, DERP_CONN_MAGIC);
		quota_set_drop(c->quotas);
		c->quotas = c->is_mesh ? NULL : derp_route_quota(c->dw->shared->routes, c->entry);
		if (c->is_paused)
			derp_conn_resume(c);
	}
	free(ref);
}

void
derp_conn_quota_all(struct derp_shared *shared, const struct conn_ref *refs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct conn_ref *ref = obj_alloc(sizeof *ref);

		*ref = refs[i];
		worker_call(worker_group_at(shared->group, ref->worker), quota_on_arrival, ref, free);
	}
}

static void
derp_conn_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct derp_conn *c = arg;

	(void)fd;
	OBJ_CHECK(c, DERP_CONN_MAGIC);
	if ((what & EV_WRITE) != 0)
		derp_conn_flush(c);
	if (c->state != DERP_CONN_CLOSED && c->is_paused && clock_mono_us() >= c->paused_until_us)
		derp_conn_resume(c);
	if (c->state != DERP_CONN_CLOSED && (what & EV_READ) != 0)
		derp_read_run(c);
}

static void
derp_conn_on_flush(struct worker_flush *f)
{
	struct derp_conn *c = CONTAINER_OF(f, struct derp_conn, flush);

	OBJ_CHECK(c, DERP_CONN_MAGIC);
	if (!c->is_blocked)
		derp_conn_flush(c);
}

static void
derp_conn_on_again(struct worker_flush *f)
{
	struct derp_conn *c = CONTAINER_OF(f, struct derp_conn, again);

	OBJ_CHECK(c, DERP_CONN_MAGIC);
	if (!c->is_paused)
		derp_read_run(c);
}

/* Seals and sends the bytes from where they lie. */
static void
derp_conn_send(struct derp_conn *c, const uint8_t *p, size_t n)
{
	enum err rc = ERR_OK;

	for (size_t at = 0; at < n && rc == ERR_OK; at += IO_RECORD_BYTES)
		rc = io_write(c->io, p + at, n - at < IO_RECORD_BYTES ? n - at : IO_RECORD_BYTES);
	if (rc == ERR_OK)
		rc = io_flush(c->io);
	else if (rc == ERR_AGAIN)
		rc = ERR_IO;	/* a part was taken and cannot be taken back */
	if (rc == ERR_AGAIN)
		derp_conn_block(c);
	else if (rc != ERR_OK)
		derp_conn_close(c, "it cannot be written to");
}

/* Packets for one who has not taken anything for so long that all of them would be too old: while memory
 * is scarce they are not kept. */
static bool
derp_conn_is_cut_off(const struct derp_conn *c, const struct derp_worker_run *run)
{
	const struct derp_queue_pool *pool = &c->dw->pool;

	return c->is_blocked && run->n_packets > 0 && derp_queue_pool_is_scarce(pool) &&
	    worker_now_ms(c->dw->w) - c->stalled_ms > pool->limits.wait_ms;
}

void
derp_conn_put(struct derp_conn *c, const struct derp_worker_run *run)
{
	struct derp_queue_counts before = c->dw->pool.counts;

	if (derp_conn_is_cut_off(c, run)) {
		derp_queue_expire(&c->queue, &c->dw->pool, worker_now_ms(c->dw->w));
		derp_worker_run_drop(run, &c->dw->pool.counts.dropped_memory);
		derp_tally_out(&c->tally, &before, c->dw);
		return;
	}
	if (run->n >= DIRECT_MIN && !c->is_blocked && derp_queue_is_empty(&c->queue) &&
	    io_write_room(c->io) >= run->n) {
		c->dw->pool.counts.taken_packets += run->n_packets;
		c->dw->pool.counts.taken_bytes +=
		    run->n - run->n_packets * (DERP_FRAME_HDR_BYTES + KEY_BYTES);
		derp_tally_out(&c->tally, &before, c->dw);
		derp_conn_send(c, run->frames, run->n);
		return;
	}
	derp_queue_put(&c->queue, &c->dw->pool, run->lane, run->frames, run->n,
	    worker_now_ms(c->dw->w));
	derp_tally_out(&c->tally, &before, c->dw);
	if (!c->is_blocked)
		worker_flush_ask(c->dw->w, &c->flush);
}

void
derp_conn_put_control(struct derp_conn *c, const uint8_t *frame, size_t n)
{
	derp_conn_put(c, &(struct derp_worker_run){
		.to = c->ref, .lane = DERP_LANE_CONTROL, .frames = frame, .n = n,
	});
}

/* --- greeting --------------------------------------------------------------------------------- */

void
derp_conn_note_preferred(struct derp_conn *c, bool is_home)
{
	if (is_home == c->is_home)
		return;
	c->is_home = is_home;
	metric_add(METRIC_DERP_HOME, is_home ? 1 : -1);
	if (worker_now_ms(c->dw->w) - c->begun_ms > MOVE_MIN_MS) {
		metric_add(is_home ? METRIC_DERP_MOVES_IN : METRIC_DERP_MOVES_OUT, 1);
		derp_tally_move(&c->tally, c->dw);
	}
}

/* The answer to the upgrade unless the client wants none, and ServerKey, in one write. */
static void
derp_conn_greet(struct derp_conn *c, bool is_fast_start)
{
	const uint8_t *public_key = c->dw->shared->public_key;
	uint8_t frame[DERP_HELLO_KEY_BYTES];
	char hex[2 * KEY_BYTES + 1];
	struct buf b = { .p = NULL };

	if (!is_fast_start)
		buf_printf(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n"
		    "Connection: Upgrade\r\nDerp-Version: %d\r\nDerp-Public-Key: %s\r\n\r\n",
		    DERP_HELLO_VERSION, key_hex_put(public_key, KEY_BYTES, hex));
	derp_hello_key_put(public_key, frame);
	buf_append(&b, frame, sizeof frame);
	derp_conn_send(c, b.p, b.len);
	buf_fini(&b);
}

/* Takes io; it is watched for reading and has its deadline. */
static struct derp_conn *
derp_conn_new(struct derp_worker *dw, struct io *io)
{
	struct derp_conn *c = obj_alloc(sizeof *c);

	OBJ_CHECK(dw, DERP_WORKER_MAGIC);
	ASSERT(io_worker(io) == dw->w);
	c->magic = DERP_CONN_MAGIC;
	c->state = DERP_CONN_HELLO;
	c->dw = dw;
	c->io = io;
	c->flush.fn = derp_conn_on_flush;
	c->again.fn = derp_conn_on_again;
	c->limbo.free_fn = derp_conn_on_limbo;
	c->ref = worker_slot_take(dw->w, c);
	c->due_ms = worker_now_ms(dw->w) + DERP_CONN_HELLO_MS;
	worker_conns_add(dw->w, 1);
	ASSERT(event_assign(&c->ev, dw->w->base, io_fd(io), EV_READ | EV_PERSIST, derp_conn_on_event,
	    c) == 0);
	ASSERT(event_add(&c->ev, NULL) == 0);
	derp_conn_arm(c);
	return c;
}

struct derp_conn *
derp_conn_link_take(struct derp_worker *dw, struct io *io, struct derp_link *link)
{
	struct derp_conn *c = derp_conn_new(dw, io);

	c->link = link;
	if (io_has_more(io))
		worker_again(dw->w, &c->again);
	return c;
}

void
derp_conn_attach_take(struct derp_worker *dw, struct io *io, unsigned how)
{
	struct derp_conn *c;

	if (dw->is_stopping) {
		io_free(io);
		return;
	}
	c = derp_conn_new(dw, io);
	c->is_not_ideal = (how & RELAY_NOT_IDEAL) != 0;
	derp_conn_greet(c, (how & RELAY_FAST_START) != 0);
	/* What came behind the request is in io already, where no event shows it. */
	if (c->state != DERP_CONN_CLOSED && io_has_more(c->io))
		worker_again(dw->w, &c->again);
}
