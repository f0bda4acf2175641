/*
 * The passage. Up: client to http, down: http to client. Up keeps at most DOOR_PASS_BUF_BYTES here
 * when the socketpair is full; down keeps nothing here, because http's side is not read while the
 * client's socket still holds bytes back (io_pending_bytes). So an idle passage owns no buffer.
 *
 * After the client's end of stream the answer still goes out; after http's, the client's socket
 * goes back to door_conn, which ends it without a reset.
 */
#include "server/door_pass.h"

#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "server/door_private.h"

#define PASS_CHUNK_BYTES	(64u << 10)
#define PASS_TURN_BYTES		(64u << 10)	/* both ways, then the others get a turn */

struct door_pass {
	uint32_t magic;
	struct door_worker *dw;
	struct io *io;			/* owned; NULL once given back */
	int fd;				/* our end of the socketpair */
	struct event ev_io, ev_fd;
	short armed_io, armed_fd;
	struct buf up;			/* read from the client, not yet taken by http */
	bool is_io_eof, is_fd_eof;	/* read to the end */
	bool is_fd_shut;		/* http was told of the client's end */
	bool has_answered;		/* http wrote something */
	bool is_half;			/* in dw->passes[1]: is_io_eof when bytes moved last */
	bool goes_back;			/* becomes an upgrade: nothing is read from the client */
	struct buf request;		/* for the way back */
	struct net_addr peer;
	struct conn_ref ref;
	int64_t moved_ms;		/* when bytes moved last */
	struct door_later later;
	struct worker_limbo limbo;
	TAILQ_ENTRY(door_pass) link;	/* in dw->passes[is_half] */
};

static void pass_on_event(evutil_socket_t fd, short what, void *arg);

static void
pass_arm(struct door_pass *p, struct event *ev, short *armed, int fd, short what)
{
	if (*armed == what)
		return;
	if (*armed != 0)
		event_del(ev);
	*armed = what;
	if (what == 0)
		return;
	ASSERT(event_assign(ev, p->dw->w->base, fd, (short)(what | EV_PERSIST), pass_on_event, p) == 0);
	ASSERT(event_add(ev, NULL) == 0);
}

static void
pass_arm_both(struct door_pass *p)
{
	size_t pending = io_pending_bytes(p->io);
	short on_io = pending > 0 ? EV_WRITE : 0, on_fd = p->up.len > 0 ? EV_WRITE : 0;

	if (!p->is_io_eof && !p->goes_back && p->up.len < DOOR_PASS_BUF_BYTES)
		on_io |= EV_READ;
	if (!p->is_fd_eof && pending == 0)
		on_fd |= EV_READ;
	pass_arm(p, &p->ev_io, &p->armed_io, io_fd(p->io), on_io);
	pass_arm(p, &p->ev_fd, &p->armed_fd, p->fd, on_fd);
}

static void
pass_limbo_free(struct worker_limbo *l)
{
	free(CONTAINER_OF(l, struct door_pass, limbo));
}

/* Ends the passage; the client's socket is returned. */
static struct io *
pass_end(struct door_pass *p)
{
	struct io *io = p->io;

	pass_arm(p, &p->ev_io, &p->armed_io, -1, 0);
	pass_arm(p, &p->ev_fd, &p->armed_fd, -1, 0);
	close(p->fd);
	p->io = NULL;
	p->magic = 0;
	worker_slot_give(p->dw->w, p->ref);
	door_later_cancel(p->dw, &p->later);
	TAILQ_REMOVE(&p->dw->passes[p->is_half], p, link);
	buf_fini(&p->up);
	buf_fini(&p->request);
	p->limbo.free_fn = pass_limbo_free;
	worker_limbo_put(p->dw->w, &p->limbo);
	return io;
}

static void
pass_free(struct door_pass *p)
{
	OBJ_CHECK(p, DOOR_PASS_MAGIC);
	struct door_worker *dw = p->dw;

	io_free(pass_end(p));
	door_count(dw->w, -1);
}

/* Bytes have moved: to the end of its list. */
static void
pass_touch(struct door_pass *p)
{
	TAILQ_REMOVE(&p->dw->passes[p->is_half], p, link);
	p->is_half = p->is_io_eof;
	p->moved_ms = worker_now_ms(p->dw->w);
	TAILQ_INSERT_TAIL(&p->dw->passes[p->is_half], p, link);
}

/* Tells http of the client's end of stream, once it has read all before it. libmicrohttpd's epoll is
 * edge-triggered, and a read that gives less than was asked for counts as the last one: an end that was
 * there already would be noticed never. Whoever it is too early for comes again with the tick. */
static void
pass_shut(struct door_pass *p)
{
	int unread = 0;

	if (!p->is_io_eof || p->is_fd_shut || p->up.len > 0 ||
	    (ioctl(p->fd, SIOCOUTQ, &unread) == 0 && unread > 0))
		return;
	p->is_fd_shut = true;
	(void)shutdown(p->fd, SHUT_WR);
}

bool
door_pass_expire(struct door_worker *dw, int64_t now_ms)
{
	static const int64_t idle_ms[] = { DOOR_PASS_IDLE_MS, DOOR_PASS_HALF_MS };
	struct door_pass *p;

	for (size_t i = 0; i < COUNT_OF(dw->passes); i++)
		while ((p = TAILQ_FIRST(&dw->passes[i])) != NULL &&
		    p->moved_ms <= now_ms - idle_ms[i])
			pass_free(p);
	TAILQ_FOREACH(p, &dw->passes[1], link)
		pass_shut(p);
	return !TAILQ_EMPTY(&dw->passes[0]) || !TAILQ_EMPTY(&dw->passes[1]);
}

/* Client to http, once round. Returns the bytes moved; *rc other than ERR_OK ends the passage. */
static size_t
pass_move_up(struct door_pass *p, enum err *rc)
{
	size_t got = 0, moved = 0;

	*rc = ERR_OK;
	if (!p->is_io_eof && !p->goes_back && p->up.len < DOOR_PASS_BUF_BYTES) {
		enum err e = io_read(p->io, p->dw->w->scratch, DOOR_PASS_BUF_BYTES - p->up.len,
		    &got);

		if (e == ERR_OK)
			buf_append(&p->up, p->dw->w->scratch, got);
		else if (e == ERR_CLOSED)
			p->is_io_eof = true;
		else if (e != ERR_AGAIN)
			*rc = e;
		moved = got;
	}
	if (p->up.len > 0) {
		ssize_t n = send(p->fd, p->up.p, p->up.len, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			buf_consume(&p->up, (size_t)n);
			moved += (size_t)n;
		} else if (errno != EAGAIN && errno != EINTR) {
			buf_clear(&p->up);	/* http reads no more; its answer may still come */
			p->is_io_eof = true;
		}
	}
	if (p->up.len == 0)
		buf_fini(&p->up);
	pass_shut(p);
	return moved;
}

/* http to client, once round. */
static size_t
pass_move_down(struct door_pass *p, enum err *rc)
{
	size_t room = io_write_room(p->io);
	ssize_t n;

	*rc = ERR_OK;
	if (room == 0 && io_pending_bytes(p->io) == 0)
		*rc = io_flush(p->io);	/* broken: TLS that ended without a word takes no answer */
	if (p->is_fd_eof || room == 0)
		return 0;
	n = recv(p->fd, p->dw->w->scratch, room < PASS_CHUNK_BYTES ? room : PASS_CHUNK_BYTES,
	    MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		p->is_fd_eof = true;
		return 0;
	}
	if (n < 0)
		return 0;
	p->has_answered = true;
	*rc = io_write(p->io, p->dw->w->scratch, (size_t)n);
	if (*rc == ERR_OK)
		*rc = io_flush(p->io);
	if (*rc == ERR_AGAIN)
		*rc = ERR_OK;		/* what is left is pending */
	return (size_t)n;
}

/* All that http wrote has been sent: the connection goes back to the door. Bytes that http has not
 * read cannot be taken out of the socketpair again, so a client that did not wait is cut off. */
static void
pass_give_back(struct door_pass *p)
{
	struct door_worker *dw = p->dw;
	struct net_addr peer = p->peer;
	struct buf request = p->request;
	int unread = 0;

	if (!p->is_fd_eof && ioctl(p->fd, SIOCOUTQ, &unread) == 0 && unread > 0) {
		log_debug(LOG_DOOR, "upgrade with unread bytes refused");
		pass_free(p);
		return;
	}
	buf_append(&request, p->up.p, p->up.len);
	p->request = (struct buf){ 0 };
	door_conn_adopt(dw, pass_end(p), &peer, &request);
}

static void
pass_pump(struct door_pass *p)
{
	size_t moved, total = 0;
	enum err rc = ERR_OK;

	if (io_pending_bytes(p->io) > 0) {
		size_t before = io_pending_bytes(p->io);

		rc = io_flush(p->io);
		if (rc == ERR_AGAIN)
			rc = ERR_OK;
		total = before - io_pending_bytes(p->io);
	}
	do {
		moved = rc == ERR_OK ? pass_move_up(p, &rc) : 0;
		if (rc == ERR_OK)
			moved += pass_move_down(p, &rc);
		total += moved;
	} while (rc == ERR_OK && moved > 0 && total < PASS_TURN_BYTES);
	if (total > 0 || p->is_half != p->is_io_eof)
		pass_touch(p);
	if (rc != ERR_OK) {
		pass_free(p);
	} else if (io_pending_bytes(p->io) > 0 || moved > 0) {
		pass_arm_both(p);
		if (moved > 0)
			door_later_ask(p->dw, &p->later);
	} else if (p->goes_back) {
		pass_give_back(p);
	} else if (p->is_fd_eof) {
		struct door_worker *dw = p->dw;
		bool is_refused = !p->has_answered && !p->is_io_eof;

		door_conn_finish(dw, pass_end(p), is_refused);
	} else {
		pass_arm_both(p);
	}
}

/* Bytes move in the rationed queue, as handshakes do: uploads to the API must not delay packets. */
static void
pass_on_event(evutil_socket_t fd, short what, void *arg)
{
	struct door_pass *p = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(p, DOOR_PASS_MAGIC);
	/* Ready it stays: with others waiting it must not be reported every turn. */
	if (p->dw->n_later >= DOOR_LATER_PER_TURN) {
		pass_arm(p, &p->ev_io, &p->armed_io, -1, 0);
		pass_arm(p, &p->ev_fd, &p->armed_fd, -1, 0);
	}
	door_later_ask(p->dw, &p->later);
}

static void
pass_on_later(struct door_later *l)
{
	struct door_pass *p = CONTAINER_OF(l, struct door_pass, later);

	OBJ_CHECK(p, DOOR_PASS_MAGIC);
	pass_pump(p);
}

enum err
door_pass_start(struct door_worker *dw, struct io *io, const struct net_addr *peer, struct buf *in)
{
	struct door_pass *p;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
		return ERR_IO;
	p = obj_alloc(sizeof(*p));
	p->magic = DOOR_PASS_MAGIC;
	p->dw = dw;
	p->io = io;
	p->fd = fds[0];
	p->peer = *peer;
	p->up = *in;
	*in = (struct buf){ 0 };
	p->later.fn = pass_on_later;
	p->ref = worker_slot_take(dw->w, p);
	p->moved_ms = worker_now_ms(dw->w);
	TAILQ_INSERT_TAIL(&dw->passes[0], p, link);
	door_tick_start(dw);
	dw->d->pass_fn(dw->d->pass_arg, fds[1], peer, io_is_tls(io), p->ref);
	pass_pump(p);
	return ERR_OK;
}

void
door_pass_back(struct door_pass *p, struct buf *request)
{
	OBJ_CHECK(p, DOOR_PASS_MAGIC);
	buf_fini(&p->request);
	p->request = *request;
	*request = (struct buf){ 0 };
	p->goes_back = true;
	pass_pump(p);
}
