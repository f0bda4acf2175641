/*
 * One connection of the door: from the first byte to the hand-over, an answer, or the end.
 *
 *	SNIFF -> [PROXY header] -> SHAKE (first byte 0x16) -> HEAD <-> WRITE
 *	      \--------------------------------------------> HEAD     \-> LINGER (refused)
 *
 * HEAD ends in a route: an answer (WRITE, then HEAD again), an upgrade or a passage, which take
 * the io away. One request per event: what is pipelined behind it waits in the worker's later
 * queue, as handshakes do, so that no connection holds the loop.
 */
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/metrics.h"
#include "server/door_pass.h"
#include "server/door_private.h"
#include "server/tls.h"

#define CONN_READ_BYTES	(16u << 10)

enum conn_state { CONN_SNIFF, CONN_SHAKE, CONN_HEAD, CONN_WRITE, CONN_LINGER };

struct door_conn {
	uint32_t magic;
	enum conn_state state;
	struct door_worker *dw;
	struct io *io;			/* owned; NULL once it is handed on */
	struct event ev;
	short armed;			/* what ev waits for; 0: not added */
	bool is_counted;		/* in the table of half-open connections, under source */
	bool expects_proxy;		/* a PROXY header may come first */
	bool closes;			/* after the answer that is written */
	bool is_back;			/* this request came back from a passage */
	bool lingers;			/* and the client may still be sending then */
	enum door_wait wait;
	int64_t deadline_ms;
	struct net_ip source;
	struct net_addr peer;		/* without X-Forwarded-For */
	struct buf in, out;		/* read and not used; not sent. Empty when idle */
	size_t drained_bytes;
	struct door_later later;
	struct worker_limbo limbo;
	TAILQ_ENTRY(door_conn) link;	/* in dw->conns[wait] */
};
_Static_assert(sizeof(struct door_conn) <= 448, "of the budget of a connection, docs/scaling.md");

static void conn_on_event(evutil_socket_t fd, short what, void *arg);

static void
conn_wait(struct door_conn *c, enum door_wait wait)
{
	struct door_worker *dw = c->dw;

	TAILQ_REMOVE(&dw->conns[c->wait], c, link);
	c->wait = wait;
	c->deadline_ms = worker_now_ms(dw->w) + dw->wait_ms[wait];
	TAILQ_INSERT_TAIL(&dw->conns[wait], c, link);
	door_tick_start(dw);
}

static void
conn_disarm(struct door_conn *c)
{
	if (c->armed != 0)
		event_del(&c->ev);
	c->armed = 0;
}

static void
conn_arm(struct door_conn *c, short what)
{
	if (c->armed == what)
		return;
	conn_disarm(c);
	ASSERT(event_assign(&c->ev, c->dw->w->base, io_fd(c->io), (short)(what | EV_PERSIST),
	    conn_on_event, c) == 0);
	ASSERT(event_add(&c->ev, NULL) == 0);
	c->armed = what;
}

static void
conn_uncount(struct door_conn *c)
{
	if (c->is_counted)
		door_source_drop(c->dw->d->sources, &c->source);
	c->is_counted = false;
}

static void
conn_limbo_free(struct worker_limbo *l)
{
	free(CONTAINER_OF(l, struct door_conn, limbo));
}

/* Gives the socket away; the connection itself ends with the next door_conn_free. */
static struct io *
conn_release_io(struct door_conn *c)
{
	struct io *io = c->io;

	conn_disarm(c);
	c->io = NULL;
	return io;
}

void
door_conn_free(struct door_conn *c)
{
	OBJ_CHECK(c, DOOR_CONN_MAGIC);
	c->magic = 0;
	if (c->io != NULL)
		door_count(c->dw->w, -1);
	io_free(conn_release_io(c));
	conn_uncount(c);
	door_later_cancel(c->dw, &c->later);
	TAILQ_REMOVE(&c->dw->conns[c->wait], c, link);
	buf_fini(&c->in);
	buf_fini(&c->out);
	c->limbo.free_fn = conn_limbo_free;
	worker_limbo_put(c->dw->w, &c->limbo);
}

int64_t
door_conn_deadline_ms(const struct door_conn *c)
{
	OBJ_CHECK(c, DOOR_CONN_MAGIC);
	return c->deadline_ms;
}

/* --- answering -------------------------------------------------------------------------------- */

/* Ends our direction and reads the client's until it closes: a close with unread bytes would reset
 * the connection and could take the answer with it. */
static void
conn_linger(struct door_conn *c)
{
	c->state = CONN_LINGER;
	(void)shutdown(io_fd(c->io), SHUT_WR);
	conn_arm(c, EV_READ);
	conn_wait(c, DOOR_WAIT_LINGER);
}

static void
conn_drain(struct door_conn *c)
{
	ssize_t n = recv(io_fd(c->io), c->dw->w->scratch, WORKER_SCRATCH_BYTES, MSG_DONTWAIT);

	if (n > 0)
		c->drained_bytes += (size_t)n;
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) ||
	    c->drained_bytes > DOOR_LINGER_BYTES)
		door_conn_free(c);
}

static void
conn_next(struct door_conn *c)
{
	buf_fini(&c->out);
	if (c->closes && c->lingers) {
		conn_linger(c);
		return;
	}
	if (c->closes) {
		door_conn_free(c);
		return;
	}
	c->is_back = false;
	c->state = CONN_HEAD;
	if (c->in.len > 0 || io_has_more(c->io)) {
		conn_disarm(c);
		conn_wait(c, DOOR_WAIT_HEAD);
		door_later_ask(c->dw, &c->later);
		return;
	}
	buf_fini(&c->in);
	conn_arm(c, EV_READ);
	conn_wait(c, DOOR_WAIT_IDLE);
}

/* Sends what is left of out. */
static void
conn_write(struct door_conn *c)
{
	enum err rc = io_flush(c->io);

	while (rc == ERR_OK && c->out.len > 0) {
		size_t n = c->out.len < IO_RECORD_BYTES ? c->out.len : IO_RECORD_BYTES;

		if ((rc = io_write(c->io, c->out.p, n)) != ERR_OK)
			break;
		buf_consume(&c->out, n);
		rc = io_flush(c->io);
	}
	if (rc == ERR_OK) {
		conn_next(c);
	} else if (rc == ERR_AGAIN) {
		if (c->state != CONN_WRITE)
			conn_wait(c, DOOR_WAIT_IDLE);
		c->state = CONN_WRITE;
		conn_arm(c, EV_WRITE);
	} else {
		door_conn_free(c);
	}
}

/* A refusal with header fields of its own (NULL: none): says why and closes. head may be NULL:
 * nothing was understood. */
static void
conn_refuse_with(struct door_conn *c, const struct door_head *head, int status, const char *extra,
	const char *text)
{
	struct door_head plain = { .keeps_alive = false };
	struct buf body = { 0 };

	if (status != 503)
		metric_add(METRIC_DOOR_BAD_REQUESTS, 1);
	if (head != NULL)
		plain.method = head->method;
	buf_printf(&body, "%s\n", text);
	door_answer(&c->out, &plain, status, "text/plain; charset=utf-8", extra, body.p, body.len);
	buf_fini(&body);
	buf_fini(&c->in);
	c->closes = c->lingers = true;
	conn_write(c);
}

static void
conn_refuse(struct door_conn *c, const struct door_head *head, int status, const char *text)
{
	conn_refuse_with(c, head, status, NULL, text);
}

/* --- routes ----------------------------------------------------------------------------------- */

static void
conn_upgrade(struct door_conn *c, const struct door_route *r, const struct door_head *h)
{
	struct err_text why = { "" };
	struct io *io = c->io;
	enum err rc;

	if (h->content_length > 0 || h->is_chunked) {
		conn_refuse(c, h, 400, "an upgrade request has no body");
		return;
	}
	conn_disarm(c);
	io_unread(io, c->in.p + h->head_bytes, c->in.len - h->head_bytes);
	if ((rc = r->upgrade(r->arg, io, h, &why)) == ERR_OK) {
		(void)conn_release_io(c);
		door_count(c->dw->w, -1);
		door_conn_free(c);
		return;
	}
	conn_refuse_with(c, h, rc == ERR_BUSY ? 503 : 400, rc == ERR_BUSY ? "Retry-After: 5\r\n" : NULL,
	    why.s[0] != '\0' ? why.s : "the upgrade failed");
}

static void
conn_answer(struct door_conn *c, const struct door_route *r, const struct door_head *h)
{
	if (h->content_length > 0 || h->is_chunked) {
		conn_refuse(c, h, 413, "this path takes no request body");
		return;
	}
	r->answer(r->arg, c->io, h, &c->out);
	ASSERT(c->out.len > 0);
	c->closes = !h->keeps_alive || door_answer_closes(&c->out);
	buf_consume(&c->in, h->head_bytes);	/* h is void from here on */
	c->lingers = c->in.len > 0;
	conn_uncount(c);	/* before the client can see the answer and open its next one */
	conn_write(c);
}

static void
conn_pass(struct door_conn *c, const struct door_head *h)
{
	struct io *io = c->io;

	if (c->dw->d->pass_fn == NULL) {
		conn_refuse(c, h, 404, "there is nothing at this address");
		return;
	}
	conn_disarm(c);
	if (door_pass_start(c->dw, io, &c->peer, &c->in) != ERR_OK) {
		door_say_full(c->dw->d, "cannot serve", "no file descriptor is left");
		conn_refuse(c, h, 503, "too many connections: try again in a few seconds");
		return;
	}
	(void)conn_release_io(c);
	door_conn_free(c);
}

/* The path is one of the door's, but not this way. */
static void
conn_refuse_route(struct door_conn *c, const struct door_route *r, const struct door_head *h)
{
	char extra[96], text[96];

	if (r->method != NULL) {
		conn_refuse(c, h, 405, strcmp(r->method, "GET") == 0 ? "use GET" : "use POST");
		return;
	}
	snprintf(extra, sizeof(extra), "Upgrade: %s\r\nConnection: close, upgrade\r\n", r->token);
	snprintf(text, sizeof(text), "%s requires connection upgrade", r->token);
	conn_refuse_with(c, h, 426, extra, text);
}

static void
conn_route(struct door_conn *c, const struct door_head *h)
{
	const struct door_route *r;
	enum door_do what = door_route_find(c->dw->d, h, &r);

	if (what != DOOR_DO_REFUSE && c->is_counted &&
	    !door_guest_begin(c->dw->d, c->io, &c->source)) {
		conn_refuse(c, h, 503, "too many connections from this address");
		return;
	}
	switch (what) {
	case DOOR_DO_UPGRADE:
		conn_upgrade(c, r, h);
		break;
	case DOOR_DO_ANSWER:
		conn_answer(c, r, h);
		break;
	case DOOR_DO_REFUSE:
		conn_refuse_route(c, r, h);
		break;
	case DOOR_DO_PASS:
		if (c->is_back)
			conn_refuse(c, h, 400, "there is no such upgrade");
		else
			conn_pass(c, h);
	}
}

/* Serves one request if its head is complete. false: more bytes are needed first. */
static bool
conn_serve(struct door_conn *c)
{
	struct door_head head;
	enum err rc = ERR_AGAIN;

	if (c->in.len > 0)
		rc = door_http_parse((const char *)c->in.p, c->in.len, &head);
	switch (rc) {
	case ERR_OK:
		break;
	case ERR_AGAIN:
		if (c->in.len < c->dw->d->cfg->limits.head_bytes)
			return false;
		/* fall through */
	case ERR_LIMIT:
		conn_refuse(c, NULL, 431, "the request head is too large");
		return true;
	default:
		conn_refuse(c, NULL, 400, "this is not an HTTP/1.1 request");
		return true;
	}
	if (head.minor >= 1 && door_http_field(&head, "Host").p == NULL) {
		conn_refuse(c, &head, 400, "the Host field is missing");
		return true;
	}
	struct net_addr peer = door_route_peer(c->dw->d, &c->peer, &head);
	io_set_peer(c->io, &peer);
	conn_route(c, &head);
	return true;
}

/* --- first bytes ------------------------------------------------------------------------------ */

static void
conn_start_tls(struct door_conn *c)
{
	if (c->dw->d->tls == NULL) {
		door_conn_free(c);
		return;
	}
	io_unread(c->io, c->in.p, c->in.len);
	buf_fini(&c->in);
	io_tls_start(c->io, tls_accept(c->dw->d->tls));
	c->state = CONN_SHAKE;
	door_later_ask(c->dw, &c->later);
}

/* ERR_OK: no PROXY header is in the way any more; ERR_AGAIN; else the connection is refused. */
static enum err
conn_take_proxy(struct door_conn *c)
{
	const struct door *d = c->dw->d;
	size_t used = 0;
	enum err rc = door_proxy_sniff(c->in.p, c->in.len);

	if (rc == ERR_OK)
		rc = door_proxy_parse(c->in.p, c->in.len, &c->peer, &used);
	else if (rc == ERR_NOTFOUND)
		rc = ERR_OK;
	if (rc != ERR_OK)
		return rc;
	buf_consume(&c->in, used);
	c->expects_proxy = false;
	if (used == 0 || door_is_trusted(d, &c->peer.ip))
		return ERR_OK;
	io_set_peer(c->io, &c->peer);
	c->source = c->peer.ip;
	if (!door_source_add(d->sources, &c->source, d->cfg->limits.half_open_per_source))
		return ERR_LIMIT;
	c->is_counted = true;
	return ERR_OK;
}

/* Tells TLS from plain. false: more bytes are needed first. */
static bool
conn_sniff(struct door_conn *c)
{
	if (c->expects_proxy) {
		enum err rc = conn_take_proxy(c);

		if (rc == ERR_AGAIN)
			return false;
		if (rc != ERR_OK) {
			metric_add(rc == ERR_LIMIT ? METRIC_DOOR_REFUSED
						   : METRIC_DOOR_BAD_REQUESTS, 1);
			door_conn_free(c);
			return true;
		}
	}
	if (c->in.len == 0)
		return false;
	if (c->in.p[0] == 0x16) {
		conn_start_tls(c);
		return true;
	}
	c->state = CONN_HEAD;
	return conn_serve(c);
}

/* Reads until the next step is possible, and takes it. */
static void
conn_read(struct door_conn *c)
{
	size_t cap = c->dw->d->cfg->limits.head_bytes;
	enum err rc;

	if (c->state == CONN_SNIFF && cap < DOOR_PROXY_MAX_BYTES)
		cap = DOOR_PROXY_MAX_BYTES;
	for (;;) {
		size_t got = 0, room = cap - c->in.len;

		if (room > CONN_READ_BYTES)
			room = CONN_READ_BYTES;
		ASSERT(room > 0);	/* conn_serve refuses a full buffer */
		rc = io_read(c->io, c->dw->w->scratch, room, &got);
		if (rc != ERR_OK)
			break;
		if (c->wait == DOOR_WAIT_IDLE)
			conn_wait(c, DOOR_WAIT_HEAD);
		buf_append(&c->in, c->dw->w->scratch, got);
		if (c->state == CONN_SNIFF ? conn_sniff(c) : conn_serve(c))
			return;
	}
	if (rc == ERR_AGAIN)
		conn_arm(c, io_wants(c->io));
	else
		door_conn_free(c);
}

static void
conn_shake(struct door_conn *c)
{
	int64_t left_ms = c->deadline_ms - worker_now_ms(c->dw->w);
	enum err rc = ERR_CLOSED;

	if (c->later.is_begun || left_ms >= c->dw->wait_ms[DOOR_WAIT_HEAD] / DOOR_LATE_PART)
		rc = io_tls_handshake(c->io);
	else
		metric_add(METRIC_DOOR_LATE, 1);
	c->later.is_begun = rc == ERR_AGAIN;
	if (rc == ERR_AGAIN) {
		conn_arm(c, io_wants(c->io));
	} else if (rc == ERR_OK) {
		c->state = CONN_HEAD;
		conn_read(c);
	} else {
		metric_add(METRIC_TLS_FAILED, 1);
		door_conn_free(c);
	}
}

static void
conn_on_later(struct door_later *l)
{
	struct door_conn *c = CONTAINER_OF(l, struct door_conn, later);

	OBJ_CHECK(c, DOOR_CONN_MAGIC);
	if (c->state == CONN_SHAKE)
		conn_shake(c);
	else if (c->state == CONN_HEAD && !conn_serve(c))
		conn_read(c);
}

static void
conn_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct door_conn *c = arg;
	enum err rc;

	(void)fd;
	OBJ_CHECK(c, DOOR_CONN_MAGIC);
	switch (c->state) {
	case CONN_SHAKE:
		/* Readable it stays: with others waiting it must not be reported every turn. */
		if (c->dw->n_later >= DOOR_LATER_PER_TURN)
			conn_disarm(c);
		door_later_ask(c->dw, &c->later);
		return;
	case CONN_WRITE:
		conn_write(c);
		return;
	case CONN_LINGER:
		conn_drain(c);
		return;
	case CONN_SNIFF:
	case CONN_HEAD:
		break;
	}
	if (c->later.is_queued)
		return;
	if ((what & EV_WRITE) != 0 && (rc = io_flush(c->io)) != ERR_OK && rc != ERR_AGAIN)
		door_conn_free(c);	/* the end of the handshake's last flight */
	else
		conn_read(c);
}

/* --- birth and return ------------------------------------------------------------------------- */

static struct door_conn *
conn_new(struct door_worker *dw, struct io *io, const struct net_addr *peer, enum door_wait wait)
{
	struct door_conn *c = obj_alloc(sizeof(*c));

	c->magic = DOOR_CONN_MAGIC;
	c->dw = dw;
	c->io = io;
	c->peer = *peer;
	c->later.fn = conn_on_later;
	c->wait = wait;
	TAILQ_INSERT_TAIL(&dw->conns[wait], c, link);
	conn_wait(c, wait);
	return c;
}

void
door_conn_start(struct door_worker *dw, int fd, const struct net_addr *peer, bool is_counted)
{
	const struct door *d = dw->d;
	struct door_conn *c = conn_new(dw, io_new(dw->w, fd, peer), peer, DOOR_WAIT_HEAD);

	c->state = CONN_SNIFF;
	c->is_counted = is_counted;
	c->source = peer->ip;
	c->expects_proxy = d->cfg->proxy_protocol && door_is_trusted(d, &peer->ip);
	conn_read(c);
}

void
door_conn_adopt(struct door_worker *dw, struct io *io, const struct net_addr *peer, struct buf *in)
{
	struct door_conn *c = conn_new(dw, io, peer, DOOR_WAIT_HEAD);

	c->state = CONN_HEAD;
	c->is_back = true;
	c->in = *in;
	*in = (struct buf){ 0 };
	if (!conn_serve(c))
		conn_refuse(c, NULL, 400, "the request is not complete");
}

void
door_conn_finish(struct door_worker *dw, struct io *io, bool is_refused)
{
	struct door_conn *c = conn_new(dw, io, io_peer(io), DOOR_WAIT_LINGER);

	if (is_refused)
		conn_refuse(c, NULL, 503, "too busy: try again in a few seconds");
	else
		conn_linger(c);
}

void
door_conn_expire(struct door_conn *c)
{
	OBJ_CHECK(c, DOOR_CONN_MAGIC);
	if (c->state == CONN_HEAD && c->in.len > 0)
		conn_refuse(c, NULL, 408, "the request took too long");
	else
		door_conn_free(c);
}
