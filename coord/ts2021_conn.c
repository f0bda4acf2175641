/*
 * A control connection: its reading, its writing, its deadlines.
 *
 * Reading: into the worker's scratch buffer, records opened in place, plaintext given to nghttp2;
 * only an incomplete record is kept. Writing: at the end of the turn HTTP/2 frames are gathered in
 * the scratch buffer and sealed into full records in the worker's other buffer, so that many small
 * answers share a record and a system call, and an idle connection owns no buffer. While the socket
 * is full nothing is read either: what the client would make us say is bounded.
 */
#include "coord/ts2021_conn.h"

#include <assert.h>
#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "base/config.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rand.h"

#define READ_BYTES_TURN	(128u << 10)	/* of one connection; then others get their turn */
#define READ_US_TURN	3000		/* of all of a ration; a request may take 10 ms to parse */
#define PREFACE_MS	10000		/* until HTTP/2 has begun */
#define REQUEST_MS	30000		/* until the first request, and for the body of any */
#define IDLE_MS		120000		/* without an open stream */
#define FINISH_MS	15000		/* for the client to hang up after GOAWAY */
#define CHECK_MS	15000		/* longest time between two looks */
#define DEAF_MS		20000		/* without the acknowledgement of what was sent */
#define KEEPALIVE_MS	50000		/* and up to KEEPALIVE_SPREAD_MS more */
#define KEEPALIVE_SPREAD_MS 10000

static_assert(CHECK_MS < TS2021_WHEEL * 1000, "a check lies on the wheel");
static_assert(sizeof(struct ts2021_conn) <= 512, "of the budget of a stream, docs/scaling.md");

static void conn_on_event(evutil_socket_t fd, short what, void *arg);

/* --- life ------------------------------------------------------------------------------------- */

static void
conn_free(struct worker_limbo *l)
{
	struct ts2021_conn *c = CONTAINER_OF(l, struct ts2021_conn, limbo);

	OBJ_CHECK(c, TS2021_CONN_MAGIC);
	c->magic = 0;
	free(c);
}

static struct ts2021_ration *
conn_ration(const struct ts2021_conn *c)
{
	return &c->tw->rations[c->is_known];
}

static void
conn_undefer(struct ts2021_conn *c)
{
	if (c->is_deferred)
		conn_ration(c)->n_deferred--;
	c->is_deferred = false;
}

void
ts2021_conn_close(struct ts2021_conn *c, const char *why)
{
	struct ts2021_worker *tw = c->tw;
	char addr[NET_TEXT_MAX];

	OBJ_CHECK(c, TS2021_CONN_MAGIC);
	ASSERT(c->io != NULL);
	log_debug(LOG_CONTROL, "connection ends", "peer", net_addr_put(io_peer(c->io), addr),
	    "why", why);
	if (c->is_open) {
		event_del(&c->ev);
		metric_add(METRIC_CTL_CONNS, -1);
	}
	worker_flush_cancel(tw->w, &c->flush);
	worker_flush_cancel(tw->w, &c->again);
	conn_undefer(c);
	h2_free(c->h2);
	c->h2 = NULL;
	free(c->carry);
	c->carry = NULL;
	worker_slot_give(tw->w, c->ref);
	if (c->is_open)
		TAILQ_REMOVE(&tw->wheel[c->wheel_slot], c, link);
	io_free(c->io);
	c->io = NULL;
	tw->n_conns--;
	worker_conns_add(tw->w, -1);
	worker_limbo_put(tw->w, &c->limbo);
}

void
ts2021_conn_wheel(struct ts2021_conn *c, int64_t due_ms)
{
	int64_t due_s = due_ms / 1000 + 1;

	if (due_s <= c->tw->ticked_s)
		due_s = c->tw->ticked_s + 1;
	if (due_s >= c->tw->ticked_s + TS2021_WHEEL)
		due_s = c->tw->ticked_s + TS2021_WHEEL - 1;
	c->wheel_slot = (uint8_t)(due_s % TS2021_WHEEL);
	TAILQ_INSERT_TAIL(&c->tw->wheel[c->wheel_slot], c, link);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Waits for what comes next: the socket to take more, or the client to say something. */
static void
conn_arm(struct ts2021_conn *c)
{
	bool is_writing = io_pending_bytes(c->io) > 0;

	if (is_writing == c->is_writing)
		return;
	c->is_writing = is_writing;
	event_del(&c->ev);
	ASSERT(event_assign(&c->ev, c->tw->w->base, io_fd(c->io),
	    (short)((is_writing ? EV_WRITE : EV_READ) | EV_PERSIST), conn_on_event, c) == 0);
	ASSERT(event_add(&c->ev, NULL) == 0);
}

/* Gathers and seals as much as the worker's staging buffer takes. *is_more: there is more. */
static enum err
conn_stage(struct ts2021_conn *c, bool *is_more)
{
	struct ts2021_worker *tw = c->tw;
	enum err rc;

	*is_more = true;
	for (;;) {
		struct h2_out out = { .p = tw->w->scratch };
		size_t room = io_write_room(c->io);

		if (room > TS2021_SEALED_BYTES)
			room = TS2021_SEALED_BYTES;
		out.cap = room / NOISE_RECORD_MAX * NOISE_PLAIN_MAX;
		if (out.cap < H2_OUT_MIN_BYTES)
			return ERR_OK;
		rc = h2_send(c->h2, &out);
		if (rc != ERR_OK && rc != ERR_AGAIN)
			return rc;
		*is_more = rc == ERR_AGAIN;
		if (out.len == 0)
			return ERR_OK;
		rc = noise_seal(tw->noise, &c->tx, out.p, out.len, tw->sealed);
		if (rc == ERR_OK)
			rc = io_write(c->io, tw->sealed, noise_sealed_bytes(out.len));
		if (rc != ERR_OK || !*is_more)
			return rc;
	}
}

/* Everything queued so far is out: notes whose message that was. */
static void
conn_tell_drained(struct ts2021_conn *c)
{
	struct ts2021_worker *tw = c->tw;
	int64_t now_ms = tw->w->now_ms;
	struct h2_stream *s;

	TAILQ_FOREACH(s, h2_streams(c->h2), link) {
		if ((s->note.flags & TS2021_UNDER_WAY) == 0 || !h2_is_drained(s))
			continue;
		s->note.flags &= (uint8_t)~TS2021_UNDER_WAY;
		s->note.due_ms = now_ms + c->keepalive_ms;
		struct ts2021_stream drained = { .conn = c->ref, .stream = s->id };
		buf_append(&tw->drained, &drained, sizeof drained);
		if (!worker_flush_is_asked(&tw->tell))
			worker_flush_ask(tw->w, &tw->tell);
	}
}

/* Sends what is staged and queued. */
static void
conn_send(struct ts2021_conn *c)
{
	bool is_more = false;
	enum err rc = ERR_OK;

	if (io_pending_bytes(c->io) == 0)
		rc = conn_stage(c, &is_more);
	if (rc == ERR_OK)
		rc = io_flush(c->io);
	if (rc != ERR_OK && rc != ERR_AGAIN) {
		ts2021_conn_close(c, err_str(rc));
		return;
	}
	if (rc == ERR_OK)
		conn_tell_drained(c);
	if (h2_is_done(c->h2)) {
		ts2021_conn_close(c, "finished");
		return;
	}
	conn_arm(c);
	if (rc == ERR_OK && (is_more || h2_wants_send(c->h2)))
		worker_again(c->tw->w, &c->again);
}

static void
conn_on_flush(struct worker_flush *f)
{
	struct ts2021_conn *c = CONTAINER_OF(f, struct ts2021_conn, flush);

	OBJ_CHECK(c, TS2021_CONN_MAGIC);
	conn_send(c);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Opens the records among n bytes; *used: how far. */
static enum err
conn_take(struct ts2021_conn *c, uint8_t *p, size_t n, size_t *used)
{
	size_t off = 0, n_record, n_plain;
	enum err rc;

	while ((rc = noise_record_bytes(p + off, n - off, &n_record)) == ERR_OK) {
		rc = noise_open(c->tw->noise, &c->rx, p + off, n_record, &n_plain);
		if (rc == ERR_OK && n_plain > 0)
			rc = h2_recv(c->h2, p + off + NOISE_HEAD_BYTES, n_plain,
			    c->tw->w->now_ms);
		if (rc != ERR_OK)
			return rc;
		off += n_record;
	}
	*used = off;
	return rc == ERR_AGAIN ? ERR_OK : rc;
}

static void
conn_keep(struct ts2021_conn *c, const uint8_t *p, size_t n)
{
	ASSERT(n < NOISE_RECORD_MAX);
	free(c->carry);
	c->carry = NULL;
	c->n_carry = (uint16_t)n;
	if (n == 0)
		return;
	c->carry = obj_alloc(n);
	memcpy(c->carry, p, n);
}

/* One read behind what was kept. */
static enum err
conn_read_once(struct ts2021_conn *c, size_t *got)
{
	uint8_t *p = c->tw->w->scratch;
	size_t n, used = 0;
	enum err rc;

	if (c->n_carry > 0)
		memcpy(p, c->carry, c->n_carry);
	rc = io_read(c->io, p + c->n_carry, WORKER_SCRATCH_BYTES - c->n_carry, got);
	if (rc != ERR_OK)
		return rc;
	n = c->n_carry + *got;
	if ((rc = conn_take(c, p, n, &used)) == ERR_OK)
		conn_keep(c, p + used, n - used);
	return rc;
}

static void
conn_read(struct ts2021_conn *c)
{
	size_t budget = READ_BYTES_TURN, got;
	enum err rc = ERR_OK;

	(void)worker_now_ms(c->tw->w);
	while (budget > 0 && (rc = conn_read_once(c, &got)) == ERR_OK)
		budget -= got < budget ? got : budget;
	if (rc != ERR_OK && rc != ERR_AGAIN) {
		ts2021_conn_close(c, err_str(rc));
		return;
	}
	if (h2_wants_send(c->h2) || h2_is_done(c->h2))
		worker_flush_ask(c->tw->w, &c->flush);
	if (rc == ERR_OK && io_has_more(c->io))
		worker_again(c->tw->w, &c->again);
}

/* Reads in a later turn, after those that wait already. */
static void
conn_defer(struct ts2021_conn *c)
{
	if (!c->is_deferred)
		conn_ration(c)->n_deferred++;
	c->is_deferred = true;
	worker_again(c->tw->w, &c->again);
}

/* Reads if there is time in this turn: hundreds of requests that end at once must not delay the packets
 * of this worker. */
static void
conn_read_rationed(struct ts2021_conn *c)
{
	struct ts2021_worker *tw = c->tw;
	struct ts2021_ration *ration = conn_ration(c);
	int64_t begin_us;

	if (ration->read_us >= READ_US_TURN) {
		conn_defer(c);
		return;
	}
	conn_undefer(c);
	begin_us = clock_mono_us();
	conn_read(c);
	ration->read_us += clock_mono_us() - begin_us;
	worker_flush_ask(tw->w, &tw->turn_end);
}

void
ts2021_conn_known(struct ts2021_conn *c)
{
	bool is_deferred = c->is_deferred;

	conn_undefer(c);
	c->is_known = true;
	if (is_deferred)
		conn_defer(c);
}

static void
conn_on_again(struct worker_flush *f)
{
	struct ts2021_conn *c = CONTAINER_OF(f, struct ts2021_conn, again);

	OBJ_CHECK(c, TS2021_CONN_MAGIC);
	if (h2_wants_send(c->h2))
		worker_flush_ask(c->tw->w, &c->flush);
	if (c->is_writing)
		conn_undefer(c);
	else
		conn_read_rationed(c);
}

static void
conn_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct ts2021_conn *c = arg;

	(void)fd;
	OBJ_CHECK(c, TS2021_CONN_MAGIC);
	if (c->io == NULL)
		return;
	if (what & EV_WRITE)
		worker_flush_ask(c->tw->w, &c->flush);
	else if (conn_ration(c)->n_deferred == 0)
		conn_read_rationed(c);
	else if (!c->is_deferred)
		conn_defer(c);
}

/* --- beginning -------------------------------------------------------------------------------- */

struct ts2021_conn *
ts2021_conn_new(struct ts2021_worker *tw, struct io *io, const uint8_t hello[NOISE_HELLO_BYTES])
{
	struct ts2021_conn *c = obj_alloc(sizeof *c);

	c->magic = TS2021_CONN_MAGIC;
	c->tw = tw;
	c->io = io;
	c->ref = worker_slot_take(tw->w, c);
	c->flush.fn = conn_on_flush;
	c->again.fn = conn_on_again;
	c->limbo.free_fn = conn_free;
	c->carry = obj_alloc(NOISE_HELLO_BYTES);
	memcpy(c->carry, hello, NOISE_HELLO_BYTES);
	c->keepalive_ms = KEEPALIVE_MS + (unsigned)rand_below(KEEPALIVE_SPREAD_MS);
	c->born_ms = worker_now_ms(tw->w);
	/* A slow reader of maps is ended by map_stall_s, not sooner by the kernel. */
	io_set_stall_ms(io, tw->ctl->cfg->limits.map_stall_s * 1000);
	tw->n_conns++;
	worker_conns_add(tw->w, 1);
	return c;
}

/* A client shows the status line; nothing has been switched yet. */
static void
conn_refuse(struct ts2021_conn *c)
{
	static const char text[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
	    "Content-Type: text/plain\r\n\r\n"
	    "the Noise handshake was not made for this server's key\n";
	enum err rc = ERR_OK;

	metric_add(METRIC_CTL_FAILED, 1);
	if (!io_is_ws(c->io))
		rc = io_write(c->io, text, sizeof text - 1);
	if (rc == ERR_OK)
		rc = io_flush(c->io);
	ts2021_conn_close(c, rc == ERR_OK ? "Noise handshake failed" : err_str(rc));
}

/* 101, Noise response, early payload and SETTINGS in one write. In WebSocket frames the 101 has been
 * given, and clients expect no early payload. */
static enum err
conn_greet(struct ts2021_conn *c, const struct noise_accepted *a)
{
	static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"
	    "Upgrade: tailscale-control-protocol\r\n\r\n";
	struct ts2021_worker *tw = c->tw;
	const struct buf *early = &tw->ctl->early;
	struct h2_out out = { .p = tw->w->scratch, .cap = H2_OUT_MIN_BYTES };
	uint8_t *p = tw->sealed;
	enum err rc;

	if (!io_is_ws(c->io)) {
		memcpy(out.p, early->p, early->len);
		out.len = early->len;
		memcpy(p, head, sizeof head - 1);
		p += sizeof head - 1;
	}
	if ((rc = h2_send(c->h2, &out)) != ERR_OK)
		return rc;
	memcpy(p, a->answer, sizeof a->answer);
	p += sizeof a->answer;
	if ((rc = noise_seal(tw->noise, &c->tx, out.p, out.len, p)) != ERR_OK)
		return rc;
	p += noise_sealed_bytes(out.len);
	if ((rc = io_write(c->io, tw->sealed, (size_t)(p - tw->sealed))) != ERR_OK)
		return rc;
	rc = io_flush(c->io);
	return rc == ERR_AGAIN ? ERR_OK : rc;
}

void
ts2021_conn_open(struct ts2021_conn *c)
{
	struct ts2021_worker *tw = c->tw;
	struct private_key ephemeral;
	struct noise_accepted a;
	enum err rc;

	if (tw->w->now_ms - c->born_ms >= PREFACE_MS) {
		ts2021_conn_close(c, "waited too long for its handshake");
		return;
	}
	rand_bytes(ephemeral.b, sizeof ephemeral.b);
	rc = noise_accept(tw->noise, &tw->ctl->identity, &ephemeral, c->carry, &a);
	explicit_bzero(&ephemeral, sizeof ephemeral);
	free(c->carry);
	c->carry = NULL;
	if (rc != ERR_OK) {
		conn_refuse(c);
		return;
	}
	metric_add(METRIC_CTL_HANDSHAKES, 1);
	c->version = a.version;
	c->machine = a.machine;
	c->rx = a.rx;
	c->tx = a.tx;
	c->h2 = h2_new(tw->ctl->h2_env, c);
	c->born_ms = c->idle_ms = c->out_ms = tw->w->now_ms;
	rc = conn_greet(c, &a);
	explicit_bzero(&a, sizeof a);
	if (rc != ERR_OK) {
		ts2021_conn_close(c, err_str(rc));
		return;
	}
	metric_add(METRIC_CTL_CONNS, 1);
	c->is_open = true;
	ASSERT(event_assign(&c->ev, tw->w->base, io_fd(c->io), EV_READ | EV_PERSIST,
	    conn_on_event, c) == 0);
	ASSERT(event_add(&c->ev, NULL) == 0);
	conn_arm(c);
	ts2021_conn_wheel(c, c->born_ms + PREFACE_MS);
	worker_again(tw->w, &c->again);	/* the client may have said more already */
}

/* --- deadlines -------------------------------------------------------------------------------- */

/* A stream that has something to send but gets rid of nothing, or a request that does not end. */
static bool
stream_is_stuck(struct ts2021_conn *c, struct h2_stream *s, int64_t now_ms)
{
	int64_t stall_ms = (int64_t)c->tw->ctl->cfg->limits.map_stall_s * 1000;

	if (!s->is_requested && now_ms - s->born_ms >= REQUEST_MS)
		return true;
	if (h2_is_drained(s) || s->sent_bytes != s->note.seen_bytes) {
		s->note.seen_bytes = s->sent_bytes;
		s->note.at_ms = now_ms;
		return false;
	}
	return now_ms - s->note.at_ms >= stall_ms;
}

static void
keepalive_push(struct ts2021_conn *c, struct h2_stream *s, int64_t now_ms)
{
	struct shbuf *seg = shbuf_hold(c->tw->ctl->keepalive);
	struct h2_part part = { .n_prefix = MSG_MAP_LENGTH_BYTES, .segs = &seg, .n = 1 };

	msg_map_put_length(part.prefix, seg->len);
	h2_push(c->h2, s, &part);
	s->note.at_ms = now_ms;
	s->note.due_ms = now_ms + KEEPALIVE_MS + (int64_t)rand_below(KEEPALIVE_SPREAD_MS);
	c->owed_ms = now_ms;
	worker_flush_ask(c->tw->w, &c->flush);
}

/* Streams of c: the time of the next keep-alive, or due_ms if that is earlier. */
static int64_t
check_streams(struct ts2021_conn *c, int64_t now_ms, int64_t due_ms)
{
	struct h2_stream *s;

	TAILQ_FOREACH(s, h2_streams(c->h2), link) {
		if (stream_is_stuck(c, s, now_ms)) {
			h2_reset(c->h2, s);
			worker_flush_ask(c->tw->w, &c->flush);
			continue;
		}
		if (s->note.kind != TS2021_MAP || s->note.flags != TS2021_AWAITS ||
		    !s->is_answered || !h2_is_drained(s))
			continue;
		if (s->note.due_ms <= now_ms)
			keepalive_push(c, s, now_ms);
		if (s->note.due_ms < due_ms)
			due_ms = s->note.due_ms;
	}
	return due_ms;
}

static bool
conn_is_stalled(struct ts2021_conn *c, int64_t now_ms)
{
	int64_t stall_ms = (int64_t)c->tw->ctl->cfg->limits.map_stall_s * 1000;

	if (io_pending_bytes(c->io) == 0 || io_bytes_out(c->io) != c->out_bytes) {
		c->out_bytes = io_bytes_out(c->io);
		c->out_ms = now_ms;
		return false;
	}
	return now_ms - c->out_ms >= stall_ms;
}

/* The client's network may have gone without a word. Sooner than a slow reader, who acknowledges. */
static bool
conn_is_deaf(struct ts2021_conn *c, int64_t now_ms)
{
	if (!io_is_owed_ack(c->io)) {
		c->owed_ms = 0;
		return false;
	}
	if (c->owed_ms == 0 || io_silent_ms(c->io) < now_ms - c->owed_ms)
		c->owed_ms = now_ms;
	return now_ms - c->owed_ms >= DEAF_MS;
}

/* When to look again: at due_ms, or earlier when an acknowledgement is due. */
static int64_t
check_due(const struct ts2021_conn *c, int64_t due_ms)
{
	return c->owed_ms != 0 && c->owed_ms + DEAF_MS < due_ms ? c->owed_ms + DEAF_MS : due_ms;
}

int64_t
ts2021_conn_check(struct ts2021_conn *c, int64_t now_ms)
{
	const char *why = NULL;

	OBJ_CHECK(c, TS2021_CONN_MAGIC);
	if (conn_is_deaf(c, now_ms))
		why = "acknowledges nothing";
	else if (conn_is_stalled(c, now_ms))
		why = "takes nothing";
	else if (!h2_is_met(c->h2) && now_ms - c->born_ms >= PREFACE_MS)
		why = "no HTTP/2 preface in time";
	else if (!c->has_asked && now_ms - c->born_ms >= REQUEST_MS)
		why = "no request in time";
	else if (c->is_finishing && now_ms - c->idle_ms >= IDLE_MS + FINISH_MS)
		why = "idle";
	if (why != NULL) {
		ts2021_conn_close(c, why);
		return -1;
	}
	if (!TAILQ_EMPTY(h2_streams(c->h2)))
		return check_due(c, check_streams(c, now_ms, now_ms + CHECK_MS));
	if (!c->is_finishing && now_ms - c->idle_ms >= IDLE_MS) {
		c->is_finishing = true;
		h2_finish(c->h2);
		worker_flush_ask(c->tw->w, &c->flush);
	}
	return now_ms + (c->has_asked ? CHECK_MS : PREFACE_MS);
}
