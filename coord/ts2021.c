/*
 * Control connections: what all share, what a worker shares, and the way between threads.
 *
 * Handshakes: attached connections wait in a list; at the end of a turn the oldest few get theirs
 * (0.2 ms each), the rest goes on in the next turn, so that a reconnect storm does not delay
 * packets on the same worker. Deadlines: a wheel of one-second slots per worker, one timer.
 */
#include "coord/ts2021.h"

#include <assert.h>
#include <event2/event.h>
#include <sodium.h>
#include <string.h>

#include "base/metrics.h"
#include "base/wire.h"
#include "coord/machine.h"
#include "coord/ts2021_conn.h"

#define HANDSHAKES_TURN	16
/* Connections whose requests wait to be read: no handshake is begun as long as there are more. It is half
 * of what a client costs, and in vain if the client gives up before it is read. */
#define UNREAD_MAX	64
#define WAITING_MAX	4096	/* at 5,000 handshakes a second nearly a second's work */
#define STREAMS_MAX	100
#define BODIES_BYTES	(64u << 20)	/* of requests that are being read, on all connections */
#define TICK_S		1

static_assert(TS2021_VERSION_MIN == MACHINE_VERSION_MIN, "one oldest version");

/* What travels to a worker. */
struct ctl_msg {
	struct mbox_msg msg;	/* first */
	struct ts2021 *ctl;
	struct conn_ref conn;
	int32_t stream;
	enum { CTL_REPLY, CTL_MAP_SEND, CTL_END } what;
	int status, retry_after_s;
	bool is_last;
	unsigned n;
	struct shbuf *segs[];	/* owned references */
};

/* --- handshakes ------------------------------------------------------------------------------- */

static void
tick_start(struct ts2021_worker *tw)
{
	const struct timeval second = { .tv_sec = TICK_S };

	if (!event_pending(&tw->tick, EV_TIMEOUT, NULL)) {
		tw->ticked_s = worker_now_ms(tw->w) / 1000;
		ASSERT(event_add(&tw->tick, &second) == 0);
	}
}

static void
pump(struct worker_flush *f)
{
	struct ts2021_worker *tw = CONTAINER_OF(f, struct ts2021_worker, pump);
	struct ts2021_conn *c;

	for (unsigned i = 0; i < HANDSHAKES_TURN && tw->rations[false].n_deferred < UNREAD_MAX; i++) {
		if ((c = TAILQ_FIRST(&tw->waiting)) == NULL)
			return;
		TAILQ_REMOVE(&tw->waiting, c, link);
		tw->n_waiting--;
		ts2021_conn_open(c);
	}
	if (tw->n_waiting > 0)
		worker_again(tw->w, &tw->pump);
}

static void
tell(struct worker_flush *f)
{
	struct ts2021_worker *tw = CONTAINER_OF(f, struct ts2021_worker, tell);
	const struct ts2021_hooks *hooks = &tw->ctl->hooks;

	hooks->on_drained(hooks->arg, (const void *)tw->drained.p,
	    (unsigned)(tw->drained.len / sizeof(struct ts2021_stream)));
	buf_fini(&tw->drained);
}

enum err
ts2021_attach(struct ts2021 *c, struct io *io, const char *handshake, size_t n,
	struct err_text *why)
{
	struct worker *w = io_worker(io);
	struct ts2021_worker *tw = w->modules[WORKER_CONTROL];
	uint8_t hello[NOISE_HELLO_BYTES];
	size_t n_hello = 0;
	uint16_t version;
	struct ts2021_conn *conn;

	OBJ_CHECK(c, TS2021_MAGIC);
	ASSERT(tw != NULL && tw->ctl == c);
	if (sodium_base642bin(hello, sizeof hello, handshake, n, NULL, &n_hello, NULL,
	    sodium_base64_VARIANT_ORIGINAL) != 0 ||
	    noise_hello_check(hello, n_hello, &version) != ERR_OK) {
		metric_add(METRIC_CTL_FAILED, 1);
		return err_say(why, ERR_INVAL, "X-Tailscale-Handshake is no Noise initiation");
	}
	if (tw->n_waiting >= WAITING_MAX)
		return err_say(why, ERR_BUSY, "too many clients connect at once: try again");
	tick_start(tw);
	conn = ts2021_conn_new(tw, io, hello);
	TAILQ_INSERT_TAIL(&tw->waiting, conn, link);
	tw->n_waiting++;
	if (!worker_flush_is_asked(&tw->pump))
		worker_flush_ask(w, &tw->pump);
	return ERR_OK;
}

/* --- time ------------------------------------------------------------------------------------- */

static void
wheel_turn(struct ts2021_worker *tw, int64_t now_ms)
{
	struct ts2021_conns *slot = &tw->wheel[tw->ticked_s % TS2021_WHEEL];
	struct ts2021_conns due = TAILQ_HEAD_INITIALIZER(due);
	struct ts2021_conn *c;

	TAILQ_CONCAT(&due, slot, link);
	while ((c = TAILQ_FIRST(&due)) != NULL) {
		int64_t next_ms;

		/* A close takes it off its slot, so it has to be there. */
		TAILQ_REMOVE(&due, c, link);
		TAILQ_INSERT_TAIL(slot, c, link);
		next_ms = ts2021_conn_check(c, now_ms);
		if (next_ms < 0)
			continue;
		TAILQ_REMOVE(slot, c, link);
		ts2021_conn_wheel(c, next_ms);
	}
}

void
ts2021_tick(struct ts2021 *c, struct worker *w)
{
	struct ts2021_worker *tw = w->modules[WORKER_CONTROL];
	int64_t now_s, now_ms = worker_now_ms(w);

	OBJ_CHECK(c, TS2021_MAGIC);
	now_s = now_ms / 1000;
	if (now_s - tw->ticked_s > TS2021_WHEEL)
		tw->ticked_s = now_s - TS2021_WHEEL;	/* after a long sleep: every slot once */
	while (tw->ticked_s < now_s) {
		tw->ticked_s++;
		wheel_turn(tw, now_ms);
	}
	if (tw->n_conns == 0)
		event_del(&tw->tick);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct ts2021_worker *tw = arg;

	(void)fd;
	(void)what;
	ts2021_tick(tw->ctl, tw->w);
}

/* --- between threads -------------------------------------------------------------------------- */

static void
ctl_msg_free(struct ctl_msg *m)
{
	for (unsigned i = 0; i < m->n; i++)
		shbuf_drop(m->segs[i]);
	free(m);
}

static void
ctl_msg_discard(struct mbox_msg *msg)
{
	ctl_msg_free(CONTAINER_OF(msg, struct ctl_msg, msg));
}

static void
ctl_msg_deliver(struct mbox_msg *msg, void *loop_arg)
{
	struct ctl_msg *m = CONTAINER_OF(msg, struct ctl_msg, msg);
	struct ts2021_conn *c = worker_find(loop_arg, m->conn);

	if (c == NULL) {
		ctl_msg_free(m);
		return;
	}
	OBJ_CHECK(c, TS2021_CONN_MAGIC);
	switch (m->what) {
	case CTL_REPLY: {
		struct shbuf *body = m->n > 0 ? m->segs[0] : NULL;
		const char *json = body != NULL && body->len > 0 && body->bytes[0] == '{' ?
		    "application/json" : "text/plain";

		ts2021_conn_reply(c, m->stream, &(struct h2_answer){ .status = m->status,
		    .retry_after_s = m->retry_after_s, .body = body,
		    .content_type = body != NULL ? json : NULL });
		break;
	}
	case CTL_MAP_SEND:
		ts2021_conn_map_send(c, m->stream, &(struct h2_part){ .segs = m->segs, .n = m->n,
		    .is_last = m->is_last });
		break;
	case CTL_END:
		ts2021_conn_stream_end(c, m->stream);
		break;
	}
	free(m);	/* the references have been taken */
}

static void
post(const struct ctl_msg *what, struct shbuf **segs)
{
	struct ctl_msg *m = obj_alloc(sizeof *m + what->n * sizeof m->segs[0]);
	struct worker_group *g = what->ctl->group;

	*m = *what;
	m->msg = (struct mbox_msg){ .deliver = ctl_msg_deliver, .discard = ctl_msg_discard };
	for (unsigned i = 0; i < what->n; i++)
		m->segs[i] = segs[i];
	if (what->conn.generation == 0 || what->conn.worker >= worker_group_count(g)) {
		ctl_msg_free(m);
		return;
	}
	mbox_post_always(worker_group_at(g, what->conn.worker)->mbox, &m->msg);
}

void
ts2021_reply(struct ts2021 *c, struct conn_ref conn, int32_t stream, int status,
	int retry_after_s, struct shbuf *body)
{
	OBJ_CHECK(c, TS2021_MAGIC);
	post(&(struct ctl_msg){ .ctl = c, .conn = conn, .stream = stream, .what = CTL_REPLY,
	    .status = status, .retry_after_s = retry_after_s, .n = body != NULL ? 1 : 0 }, &body);
}

void
ts2021_map_send(struct ts2021 *c, struct conn_ref conn, int32_t stream, struct shbuf **segs,
	unsigned n, bool is_last)
{
	OBJ_CHECK(c, TS2021_MAGIC);
	post(&(struct ctl_msg){ .ctl = c, .conn = conn, .stream = stream, .what = CTL_MAP_SEND,
	    .n = n, .is_last = is_last }, segs);
}

void
ts2021_stream_end(struct ts2021 *c, struct conn_ref conn, int32_t stream)
{
	OBJ_CHECK(c, TS2021_MAGIC);
	post(&(struct ctl_msg){ .ctl = c, .conn = conn, .stream = stream, .what = CTL_END }, NULL);
}

/* --- beginning and end ------------------------------------------------------------------------ */

static void
close_all(struct worker *w, void *arg)
{
	struct ts2021_worker *tw = arg;
	struct ts2021_conn *c;

	while ((c = TAILQ_FIRST(&tw->waiting)) != NULL) {
		TAILQ_REMOVE(&tw->waiting, c, link);
		tw->n_waiting--;
		ts2021_conn_close(c, "the server stops");
	}
	for (unsigned i = 0; i < TS2021_WHEEL; i++)
		while ((c = TAILQ_FIRST(&tw->wheel[i])) != NULL)
			ts2021_conn_close(c, "the server stops");
	worker_flush_cancel(w, &tw->pump);
	worker_flush_cancel(w, &tw->tell);
	worker_flush_cancel(w, &tw->turn_end);
	buf_fini(&tw->drained);
	event_del(&tw->tick);
}

static void
on_turn_end(struct worker_flush *f)
{
	struct ts2021_worker *tw = CONTAINER_OF(f, struct ts2021_worker, turn_end);

	tw->rations[false].read_us = tw->rations[true].read_us = 0;
}

static void
begin_on(struct ts2021_worker *tw, struct ts2021 *c, struct worker *w)
{
	tw->ctl = c;
	tw->w = w;
	tw->noise = noise_engine_new();
	tw->sealed = obj_alloc(TS2021_SEALED_BYTES);
	tw->pump.fn = pump;
	tw->turn_end.fn = on_turn_end;
	tw->tell.fn = tell;
	TAILQ_INIT(&tw->waiting);
	for (unsigned i = 0; i < TS2021_WHEEL; i++)
		TAILQ_INIT(&tw->wheel[i]);
	ASSERT(event_assign(&tw->tick, w->base, -1, EV_PERSIST, on_tick, tw) == 0);
	w->modules[WORKER_CONTROL] = tw;
	worker_on_stop(w, close_all, tw);
}

/* ff ff ff 'T' 'S', u32be length, JSON. Clients do nothing with the challenge: one key for all will
 * do. */
static void
early_payload(struct buf *b)
{
	struct challenge_key challenge;
	struct private_key secret;
	char key[KEY_TEXT_MAX];
	uint8_t length[4];
	struct buf json = { 0 };

	private_key_new(&secret);
	private_key_public(&secret, challenge.b);
	explicit_bzero(&secret, sizeof secret);
	buf_printf(&json, "{\"nodeKeyChallenge\":\"%s\"}", challenge_key_put(&challenge, key));
	wire_put_u32be(length, (uint32_t)json.len);
	buf_append(b, "\xff\xff\xffTS", 5);
	buf_append(b, length, sizeof length);
	buf_append(b, json.p, json.len);
	buf_fini(&json);
}

enum err
ts2021_new(const struct config *cfg, struct worker_group *g, const struct private_key *key,
	const struct ts2021_hooks *hooks, struct ts2021 **out)
{
	const struct h2_limits limits = { .streams_max = STREAMS_MAX,
		.body_bytes = cfg->limits.body_bytes,
		.bodies_bytes = BODIES_BYTES + 2 * (size_t)cfg->limits.body_bytes };
	struct ts2021 *c = obj_alloc(sizeof *c);
	const uint8_t *keepalive;
	size_t n;

	ASSERT(sodium_init() >= 0);
	c->magic = TS2021_MAGIC;
	c->cfg = cfg;
	c->group = g;
	c->hooks = *hooks;
	c->identity.priv = *key;
	private_key_public(key, c->identity.pub.b);
	c->h2_env = h2_env_new(&limits, &(struct h2_hooks){ .on_request = ts2021_on_request,
	    .on_closed = ts2021_on_closed });
	early_payload(&c->early);
	keepalive = msg_map_keepalive(&n);
	c->keepalive = shbuf_new(keepalive, n);
	c->workers = obj_alloc(worker_group_count(g) * sizeof *c->workers);
	for (unsigned i = 0; i < worker_group_count(g); i++)
		begin_on(&c->workers[i], c, worker_group_at(g, i));
	*out = c;
	return ERR_OK;
}

void
ts2021_free(struct ts2021 *c)
{
	if (c == NULL)
		return;
	OBJ_CHECK(c, TS2021_MAGIC);
	/* Nothing to do as a rule; but where boot failed before the workers started, their hooks are
	 * still to be run, and we are what they hook. */
	worker_group_stop(c->group);
	for (unsigned i = 0; i < worker_group_count(c->group); i++) {
		ASSERT(c->workers[i].n_conns == 0);
		noise_engine_free(c->workers[i].noise);
		free(c->workers[i].sealed);
	}
	free(c->workers);
	h2_env_free(c->h2_env);
	buf_fini(&c->early);
	shbuf_drop(c->keepalive);
	explicit_bzero(&c->identity, sizeof c->identity);
	c->magic = 0;
	free(c);
}

void
ts2021_public_key(const struct ts2021 *c, struct machine_key *out)
{
	OBJ_CHECK(c, TS2021_MAGIC);
	*out = c->identity.pub;
}
