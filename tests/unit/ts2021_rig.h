/* A control server on a worker without thread, over a socket pair, and a scripted client (its own
 * Noise, nghttp2), for the tests of ts2021. */
#ifndef TESTS_UNIT_TS2021_RIG_H
#define TESTS_UNIT_TS2021_RIG_H

#include "coord/ts2021.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/rand.h"
#include "tests/unit/h2_client.h"
#include "tests/unit/noise_client.h"

#define START_MS	1000000
#define STALL_S		60
#define BODY_MAX	20000
#define NODE_KEY "nodekey:34e7a0ddc4452b1078cd339eb15e2c9200b0e6bf87da18b66a6b032773f29910"
#define REGISTER_BODY "{\"Version\":1,\"NodeKey\":\"" NODE_KEY "\",\"Auth\":{\"AuthKey\":\"k\"}}"
#define MAP_BODY "{\"Version\":145,\"NodeKey\":\"" NODE_KEY "\",\"Stream\":true}"

/* --- the server's side ------------------------------------------------------------------------ */

struct seen {
	unsigned n_register, n_map, n_ssh, n_drained, n_gone, n_pong;
	enum err rc;			/* of the hooks */
	struct ctl_peer from;		/* of the last request */
	char auth_key[64];
	struct ssh_req ssh;
	int32_t drained, gone;
	uint64_t pong_id;
};

static struct seen seen;
static struct config config;
static struct worker_group *group;
static struct worker *worker;
static struct ts2021 *ctl;
static struct machine_key server_key;
static int64_t now_ms;

static inline enum err
on_register(void *arg, const struct ctl_peer *from, struct register_req *req)
{
	assert_ptr_equal(arg, &seen);
	seen.n_register++;
	seen.from = *from;
	if (seen.rc != ERR_OK)
		return seen.rc;
	snprintf(seen.auth_key, sizeof seen.auth_key, "%s", req->auth_key != NULL ? req->auth_key : "");
	msg_register_free(req);
	return ERR_OK;
}

static inline enum err
on_map(void *arg, const struct ctl_peer *from, struct map_req *req)
{
	assert_ptr_equal(arg, &seen);
	seen.n_map++;
	seen.from = *from;
	if (seen.rc != ERR_OK)
		return seen.rc;
	msg_map_free(req);
	return ERR_OK;
}

static inline enum err
on_ssh(void *arg, const struct ctl_peer *from, const struct ssh_req *req)
{
	assert_ptr_equal(arg, &seen);
	seen.n_ssh++;
	seen.from = *from;
	seen.ssh = *req;
	return seen.rc;
}

static inline void
on_pong(void *arg, const struct machine_key *from, uint64_t id)
{
	assert_ptr_equal(arg, &seen);
	seen.n_pong++;
	seen.from.machine = *from;
	seen.pong_id = id;
}

static inline void
on_drained(void *arg, const struct ts2021_stream *list, unsigned n)
{
	assert_ptr_equal(arg, &seen);
	for (unsigned i = 0; i < n; i++) {
		assert_true(conn_ref_eq(list[i].conn, seen.from.conn));
		seen.n_drained++;
		seen.drained = list[i].stream;
	}
}

static inline void
on_gone(void *arg, struct conn_ref conn, int32_t stream, unsigned silent_ms)
{
	(void)silent_ms;
	assert_ptr_equal(arg, &seen);
	assert_true(conn.generation != 0);
	seen.n_gone++;
	seen.gone = stream;
}

static const struct ts2021_hooks hooks = { .arg = &seen, .on_register = on_register,
	.on_map = on_map, .on_ssh = on_ssh, .on_pong = on_pong, .on_drained = on_drained,
	.on_gone = on_gone };

static inline void
begin(unsigned n_workers, const struct private_key *key, const struct ts2021_hooks *h)
{
	struct err_text why;

	now_ms = START_MS;
	clock_test_set(now_ms, 1700000000);
	memset(&seen, 0, sizeof seen);
	config.limits.body_bytes = BODY_MAX;
	config.limits.map_stall_s = STALL_S;
	assert_int_equal(worker_group_new(n_workers, &group, &why), ERR_OK);
	worker = worker_group_at(group, n_workers - 1);
	assert_int_equal(ts2021_new(&config, group, key, h, &ctl), ERR_OK);
	ts2021_public_key(ctl, &server_key);
}

static inline int
setup(void **state)
{
	struct private_key key;

	(void)state;
	private_key_new(&key);
	begin(1, &key, &hooks);
	return 0;
}

static inline int
teardown(void **state)
{
	(void)state;
	worker_group_stop(group);
	ts2021_free(ctl);
	ts2021_free(NULL);
	worker_group_free(group);
	clock_test_stop();
	return 0;
}

static inline void
advance(int64_t ms)
{
	now_ms += ms;
	clock_test_set(now_ms, 1700000000 + (now_ms - START_MS) / 1000);
	worker_turn(worker, false);	/* a turn's time is read at its beginning */
	ts2021_tick(ctl, worker);
	worker_turn(worker, false);
}

/* --- the client's side ------------------------------------------------------------------------ */

struct client {
	int fd;
	bool is_closed;			/* by the server */
	bool has_answer;		/* the Noise response was read */
	bool has_early;
	bool is_deaf;			/* does not read */
	size_t send_max;		/* bytes per write, 0: all */
	unsigned n_first;		/* bytes of the first read */
	struct noise_client noise;
	struct h2c h2;
	struct buf in, plain, out;
};

static inline void
hello_text(struct client *c, uint16_t version, const struct machine_key *key, char out[160])
{
	uint8_t hello[101];

	nc_hello(&c->noise, version, key, hello);
	sodium_bin2base64(out, 160, hello, sizeof hello, sodium_base64_VARIANT_ORIGINAL);
}

/* An io for one end, the other for the client. */
static inline struct io *
connect_client(struct client *c, uint32_t window)
{
	struct net_addr peer;
	int fds[2];

	memset(c, 0, sizeof *c);
	h2c_init(&c->h2, window);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	c->fd = fds[1];
	assert_int_equal(net_addr_parse("192.0.2.7:1234", 14, &peer), ERR_OK);
	return io_new(worker, fds[0], &peer);
}

static inline struct client *
client_new_version(uint32_t window, uint16_t version)
{
	struct client *c = obj_alloc(sizeof *c);
	struct io *io = connect_client(c, window);
	struct err_text why = { "" };
	char text[160];

	hello_text(c, version, &server_key, text);
	assert_int_equal(ts2021_attach(ctl, io, text, strlen(text), &why), ERR_OK);
	return c;
}

static inline struct client *
client_new(uint32_t window)
{
	return client_new_version(window, 145);
}

static inline void
client_free(struct client *c)
{
	h2c_fini(&c->h2);
	buf_fini(&c->in);
	buf_fini(&c->plain);
	buf_fini(&c->out);
	close(c->fd);
	free(c);
}

/* 101 head and Noise response. */
static inline void
client_answer(struct client *c)
{
	char *end = c->in.len > 0 ? memmem(c->in.p, c->in.len, "\r\n\r\n", 4) : NULL;
	size_t n;

	if (end == NULL || (n = (size_t)(end + 4 - (char *)c->in.p)) + 51 > c->in.len)
		return;
	assert_non_null(memmem(c->in.p, n, "HTTP/1.1 101 ", 13));
	assert_non_null(memmem(c->in.p, n, "\r\nUpgrade: tailscale-control-protocol\r\n", 39));
	assert_non_null(memmem(c->in.p, n, "\r\nConnection: upgrade\r\n", 23));
	assert_true(nc_finish(&c->noise, c->in.p + n));
	buf_consume(&c->in, n + 51);
	c->has_answer = true;
}

static inline void
client_early(struct client *c)
{
	size_t n;

	if (c->plain.len < 9)
		return;
	assert_memory_equal(c->plain.p, "\xff\xff\xffTS", 5);
	n = wire_u32be(c->plain.p + 5);
	assert_true(n < 200 && c->plain.len >= 9 + n);
	assert_memory_equal(c->plain.p + 9, "{\"nodeKeyChallenge\":\"chalpub:", 29);
	buf_consume(&c->plain, 9 + n);
	c->has_early = true;
}

/* Reads what is there; returns whether there was something. */
static inline bool
client_read(struct client *c)
{
	ssize_t n = c->is_deaf ? -1 : read(c->fd, buf_reserve(&c->in, 1 << 20), 1 << 20);
	size_t used;

	if (n == 0 || (n < 0 && !c->is_deaf && errno != EAGAIN))
		c->is_closed = true;
	if (n <= 0)
		return false;
	c->in.len += (size_t)n;
	if (c->n_first == 0)
		c->n_first = (unsigned)n;
	if (!c->has_answer)
		client_answer(c);
	while (c->has_answer && (used = nc_open(&c->noise, c->in.p, c->in.len, &c->plain)) > 0)
		buf_consume(&c->in, used);
	if (!c->has_early)
		client_early(c);
	if (c->has_early && c->plain.len > 0) {
		h2c_recv(&c->h2, c->plain.p, c->plain.len);
		buf_clear(&c->plain);
	}
	return true;
}

static inline bool
client_write(struct client *c)
{
	ssize_t n;

	if (!c->has_answer)
		return false;
	h2c_flush(&c->h2);
	for (size_t off = 0; off < c->h2.out.len; off += 4077)
		nc_seal(&c->noise, c->h2.out.p + off,
		    c->h2.out.len - off < 4077 ? c->h2.out.len - off : 4077, &c->out);
	buf_clear(&c->h2.out);
	if (c->out.len == 0)
		return false;
	n = send(c->fd, c->out.p, c->send_max > 0 && c->send_max < c->out.len ? c->send_max :
	    c->out.len, MSG_NOSIGNAL);
	if (n <= 0)
		return false;
	buf_consume(&c->out, (size_t)n);
	return true;
}

/* Until nobody has anything to say. */
static inline void
run(struct client *c)
{
	for (unsigned quiet = 0; quiet < 3; quiet++) {
		worker_turn(worker, false);
		bool has_read = client_read(c), has_written = client_write(c);

		if (has_read || has_written)
			quiet = 0;
	}
}

static inline struct shbuf *
text(const char *s)
{
	return shbuf_new(s, strlen(s));
}

static inline void
map_send(const char *s, bool is_last)
{
	struct shbuf *seg = text(s);

	ts2021_map_send(ctl, seen.from.conn, seen.from.stream, &seg, 1, is_last);
}

/* A client whose map stream is open; its stream. */
static inline struct h2c_stream *
client_map(struct client *c)
{
	unsigned before = seen.n_map;
	int32_t id = h2c_request(&c->h2, "POST", "/machine/map", MAP_BODY);

	run(c);
	assert_int_equal(seen.n_map, before + 1);
	assert_int_equal(seen.from.stream, id);
	return h2c_at(&c->h2, id);
}

#endif
