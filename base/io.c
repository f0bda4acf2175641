/*
 * Stream sockets of a worker: the socket, the staging buffer and what is kept beside it. TLS is in
 * base/io_tls and base/io_record, how the two meet in base/io_priv.h.
 */
#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io_priv.h"
#include "base/obj.h"

/* More than any record of ours adds: head 5, explicit nonce 8, tag 16, content type 1; a key update. */
#define IO_RECORD_OVERHEAD	64u
#define IO_USER_TIMEOUT_MS	15000
#define IO_KEEP_IDLE_S		600
#define IO_KEEP_INTERVAL_S	15

/* --- the socket ------------------------------------------------------------------------------- */

void
io_break(struct io *io)
{
	struct io_stage *s = io->w->stage;

	io->is_broken = true;
	io_run_clear(&io->out);
	if (s->owner == io) {
		s->owner = NULL;
		s->len = 0;
	}
	if (s->feed.owner == io)
		s->feed.owner = NULL;
}

/* One recv. A short answer means that the socket is empty, so the next read of this turn does not
 * ask it: level-triggered events tell when there is more. */
enum err
io_recv(struct io *io, void *p, size_t cap, size_t *got)
{
	ssize_t n;

	if (io->dry_turn != 0 && io->dry_turn == io->w->_turn) {
		io->dry_turn = 0;
		return ERR_AGAIN;
	}
	do
		n = recv(io->fd, p, cap, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	(void)worker_now_ms(io->w);
	if (n > 0) {
		io->bytes_in += (uint64_t)n;
		io->dry_turn = (size_t)n < cap ? io->w->_turn : 0;
		*got = (size_t)n;
		return ERR_OK;
	}
	if (n == 0) {
		io->is_eof = true;
		return ERR_CLOSED;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return ERR_AGAIN;
	io_break(io);
	return ERR_IO;
}

/* Sends until all is gone or the socket is full. *sent is right in every case. */
static enum err
io_send(struct io *io, const uint8_t *p, size_t n, size_t *sent)
{
	*sent = 0;
	while (*sent < n) {
		ssize_t k = send(io->fd, p + *sent, n - *sent, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (k >= 0) {
			*sent += (size_t)k;
			io->bytes_out += (uint64_t)k;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return ERR_AGAIN;
		return errno == EPIPE || errno == ECONNRESET ? ERR_CLOSED : ERR_IO;
	}
	return ERR_OK;
}

enum err
io_send_out(struct io *io)
{
	size_t sent;
	enum err rc;

	if (io_run_len(&io->out) == 0)
		return ERR_OK;
	rc = io_send(io, io->out.p + io->out.at, io_run_len(&io->out), &sent);
	io_run_drop(&io->out, sent);
	if (rc != ERR_OK && rc != ERR_AGAIN)
		io_break(io);
	return rc;
}

/* --- stage and birth -------------------------------------------------------------------------- */

struct io_stage *
io_stage_new(void)
{
	return obj_alloc(sizeof(struct io_stage));
}

void
io_stage_free(struct io_stage *s)
{
	if (s == NULL)
		return;
	ASSERT(s->owner == NULL && s->feed.owner == NULL);
	tls_record_engine_free(s->engine);
	free(s);
}

/* What the kernel holds for a connection besides what is on its way. More would only wait there, where
 * nothing can be sent ahead of it: disco beside a full line of 20 Mbit/s is late by 0.1 s so, by 0.6 to 1.4 s
 * without a limit, and the line is as full (docs/benchmarks.md). */
#define UNSENT_MAX_BYTES	(64 << 10)

/* Dead peers are noticed in seconds when something is unacknowledged, after minutes when idle.
 * Sockets that are not TCP refuse all this, and need none of it. */
static void
io_setup_tcp(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{ IPPROTO_TCP, TCP_NODELAY, 1 },
		{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_MAX_BYTES },
		{ IPPROTO_TCP, TCP_USER_TIMEOUT, IO_USER_TIMEOUT_MS },
		{ IPPROTO_TCP, TCP_KEEPIDLE, IO_KEEP_IDLE_S },
		{ IPPROTO_TCP, TCP_KEEPINTVL, IO_KEEP_INTERVAL_S },
		{ SOL_SOCKET, SO_KEEPALIVE, 1 },
	};

	for (size_t i = 0; i < COUNT_OF(options); i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value,
		    sizeof options[i].value);
}

struct io *
io_new(struct worker *w, int fd, const struct net_addr *peer)
{
	struct io *io = obj_alloc(sizeof *io);

	OBJ_CHECK(w, WORKER_MAGIC);
	ASSERT(fd >= 0);
	io->magic = IO_MAGIC;
	io->fd = fd;
	io->w = w;
	if (peer != NULL)
		io->peer = *peer;
	io_setup_tcp(fd);
	(void)worker_now_ms(w);
	return io;
}

void
io_guest_take(struct io *io, struct io_guest *g)
{
	OBJ_CHECK(io, IO_MAGIC);
	ASSERT(io->guest == NULL && g->fn != NULL);
	io->guest = g;
}

bool
io_is_guest(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	return io->guest != NULL;
}

void
io_known(struct io *io)
{
	struct io_guest *g = io->guest;

	OBJ_CHECK(io, IO_MAGIC);
	io->guest = NULL;
	if (g != NULL)
		g->fn(g);
}

/* --- facts ------------------------------------------------------------------------------------ */

int
io_fd(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	return io->fd;
}

struct worker *
io_worker(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	return io->w;
}

const struct net_addr *
io_peer(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	return &io->peer;
}

void
io_set_peer(struct io *io, const struct net_addr *peer)
{
	OBJ_CHECK(io, IO_MAGIC);
	io->peer = *peer;
}

bool
io_is_tls(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	return io_has_tls(io);
}

const char *
io_version(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	if (io->ssl == NULL)
		return io->rec != NULL ? "TLSv1.3" : "plain";
	return SSL_get_version(io->ssl);
}

short
io_wants(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	return io_run_len(&io->out) > 0 ? EV_READ | EV_WRITE : EV_READ;
}

void
io_set_stall_ms(struct io *io, unsigned stall_ms)
{
	OBJ_CHECK(io, IO_MAGIC);
	/* Refused by sockets that are not TCP, which need none of it. */
	(void)setsockopt(io->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms, sizeof stall_ms);
}

/* All zero of sockets that are not TCP. */
static struct tcp_info
tcp_info(const struct io *io)
{
	struct tcp_info info = { .tcpi_state = 0 };
	socklen_t n = sizeof info;

	OBJ_CHECK(io, IO_MAGIC);
	if (getsockopt(io->fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0)
		memset(&info, 0, sizeof info);
	return info;
}

bool
io_is_owed_ack(const struct io *io)
{
	return tcp_info(io).tcpi_unacked > 0;
}

unsigned
io_silent_ms(const struct io *io)
{
	struct tcp_info info = tcp_info(io);

	return info.tcpi_last_ack_recv < info.tcpi_last_data_recv ? info.tcpi_last_ack_recv :
	    info.tcpi_last_data_recv;
}

uint64_t
io_bytes_in(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	return io->bytes_in;
}

uint64_t
io_bytes_out(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	return io->bytes_out;
}

/* --- reading ---------------------------------------------------------------------------------- */

enum err
io_read_raw(struct io *io, void *p, size_t cap, size_t *got)
{
	if (io_has_tls(io))
		return io_tls_read(io, p, cap, got);
	return io->is_broken ? ERR_IO : io_recv(io, p, cap, got);
}

enum err
io_read(struct io *io, void *p, size_t cap, size_t *got)
{
	size_t n;

	OBJ_CHECK(io, IO_MAGIC);
	ASSERT(cap > 0);
	n = io_run_take(&io->front, p, cap);
	if (n > 0) {
		*got = n;
		return ERR_OK;
	}
	return io->ws != NULL ? io_ws_read(io, p, cap, got) : io_read_raw(io, p, cap, got);
}

void
io_unread(struct io *io, const void *p, size_t n)
{
	OBJ_CHECK(io, IO_MAGIC);
	ASSERT(!io_has_tls(io) || io->is_open);
	io_run_prepend(&io->front, p, n);
}

bool
io_has_more(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	if (io_run_len(&io->front) > 0 || io_ws_waiting(io) > 0)
		return true;
	return io_has_tls(io) && !io->is_broken && io_tls_has_more(io);
}

/* --- writing ---------------------------------------------------------------------------------- */

size_t
io_write_room(const struct io *io)
{
	const struct io_stage *s = io->w->stage;
	size_t room, overhead = 0;

	OBJ_CHECK(io, IO_MAGIC);
	if (io->is_broken || io->out.p != NULL || (s->owner != NULL && s->owner != io) ||
	    s->len >= IO_STAGE_BYTES)
		return 0;
	room = IO_STAGE_BYTES - s->len;
	if (io_has_tls(io))
		overhead = (room / IO_RECORD_BYTES + 1) * IO_RECORD_OVERHEAD;
	if (io->ws != NULL)
		overhead += io_ws_overhead(room);
	if (room <= overhead)
		return 0;
	room -= overhead;
	return room < IO_WRITE_MAX ? room : IO_WRITE_MAX;
}

enum err
io_stage_put(struct io *io, const void *p, size_t n)
{
	struct io_stage *s = io->w->stage;

	if (io_has_tls(io))
		return io_tls_seal(io, p, n);
	ASSERT(n <= sizeof s->p - s->len);
	memcpy(s->p + s->len, p, n);
	s->len += n;
	return ERR_OK;
}

enum err
io_write(struct io *io, const void *p, size_t n)
{
	struct io_stage *s = io->w->stage;

	OBJ_CHECK(io, IO_MAGIC);
	ASSERT(n <= IO_WRITE_MAX);
	ASSERT(s->owner == NULL || s->owner == io);
	ASSERT(!io_has_tls(io) || io->is_open);
	if (io->is_broken)
		return ERR_IO;
	if (n == 0)
		return ERR_OK;
	if (n > io_write_room(io))
		return ERR_AGAIN;
	s->owner = io;
	return io->ws != NULL ? io_ws_put(io, p, n) : io_stage_put(io, p, n);
}

enum err
io_flush(struct io *io)
{
	struct io_stage *s = io->w->stage;
	size_t sent;
	enum err rc;

	OBJ_CHECK(io, IO_MAGIC);
	if (io->is_broken)
		return ERR_IO;
	if (s->owner != io)
		return io_send_out(io);
	ASSERT(io->out.p == NULL);
	rc = io_send(io, s->p, s->len, &sent);
	if (rc != ERR_OK && rc != ERR_AGAIN) {
		io_break(io);
		return rc;
	}
	io_run_append(&io->out, s->p + sent, s->len - sent);
	s->owner = NULL;
	s->len = 0;
	return rc;
}

size_t
io_pending_bytes(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	return io_run_len(&io->out);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Last words, as far as the socket takes them at once. */
static void
io_say_goodbye(struct io *io)
{
	if (io->ws != NULL)
		io_ws_goodbye(io);
	if (io_flush(io) == ERR_OK && io->is_open) {
		io_tls_goodbye(io);
		(void)io_send_out(io);
	}
}

void
io_free(struct io *io)
{
	if (io == NULL)
		return;
	OBJ_CHECK(io, IO_MAGIC);
	io_say_goodbye(io);
	io_known(io);
	io_break(io);
	SSL_free(io->ssl);
	tls_record_free(io->rec);
	io_ws_free(io->ws);
	io_run_clear(&io->front);
	io_run_clear(&io->raw);
	close(io->fd);
	io->magic = 0;
	free(io);
}
