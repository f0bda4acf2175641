/*
 * A relay and scripted clients on socketpairs. The workers are turned by the test itself, with a
 * clock of the test's, so that nothing waits; or (is_threaded) they run. cmocka is included
 * before.
 */
#ifndef TESTS_UNIT_RELAY_NET_H
#define TESTS_UNIT_RELAY_NET_H

#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "base/obj.h"
#include "base/wire.h"
#include "relay/derp_conn.h"
#include "relay/derp_frame.h"
#include "relay/derp_hello.h"
#include "relay/derp_mesh.h"
#include "relay/derp_worker.h"
#include "relay/relay.h"

#define NET_START_MS	1000000
#define NET_WAIT_MS	10000	/* threaded: longest wait for something that must come */
#define NET_QUEUE_BYTES	(256u << 10)

struct net {
	struct config cfg;
	struct worker_group *g;
	struct relay *relay;
	unsigned n_workers;
	bool is_threaded;
	int64_t now_ms;
	struct private_key key;
	uint8_t public_key[KEY_BYTES];
};

struct peer {
	struct net *net;
	int fd;
	struct private_key priv;
	struct node_key key;
	struct buf in;		/* received, not taken */
};

/* One frame as a client sees it; payload is borrowed until the next one. */
struct got {
	struct derp_frame_hdr h;
	const uint8_t *payload;
};

static inline void
net_open(struct net *net, unsigned n_workers, bool is_threaded)
{
	struct err_text why;

	*net = (struct net){ .n_workers = n_workers, .is_threaded = is_threaded };
	net->now_ms = NET_START_MS;
	net->cfg.limits.relay_queue_bytes = NET_QUEUE_BYTES;
	net->cfg.limits.relay_queue_ms = 1000;
	net->cfg.limits.relay_stall_s = 5;
	private_key_new(&net->key);
	if (!is_threaded)
		clock_test_set(net->now_ms, 1700000000);
	assert_int_equal(worker_group_new(n_workers, &net->g, &why), ERR_OK);
	assert_int_equal(relay_new(&net->cfg, net->g, &net->key, &net->relay), ERR_OK);
	relay_public_key(net->relay, net->public_key);
	if (is_threaded)
		assert_int_equal(worker_group_start(net->g, &why), ERR_OK);
}

static inline void
net_close(struct net *net)
{
	worker_group_stop(net->g);
	relay_free(net->relay);
	worker_group_free(net->g);
	clock_test_stop();
}

static inline struct derp_worker *
net_worker(struct net *net, unsigned index)
{
	return worker_group_at(net->g, index)->modules[WORKER_RELAY];
}

static inline void
net_turn(struct net *net)
{
	if (net->is_threaded)
		return;
	for (unsigned k = 0; k < 4; k++) {
		for (unsigned i = 0; i < net->n_workers; i++)
			worker_turn(worker_group_at(net->g, i), false);
	}
}

/* Time passes and the workers look at their deadlines. */
static inline void
net_advance(struct net *net, int64_t ms)
{
	net->now_ms += ms;
	clock_test_set(net->now_ms, 1700000000);
	net_turn(net);
	for (unsigned i = 0; i < net->n_workers; i++)
		derp_worker_tick(net_worker(net, i), net->now_ms);
	net_turn(net);
}

struct attach {
	struct net *net;
	int fd;
	bool is_fast_start;
	const void *unread;
	size_t n_unread;
	struct net_ip from;	/* family 0: 192.0.2.1 */
};

static inline void
net_on_attach(struct worker *w, void *arg)
{
	struct net_addr from = { .ip = { .family = 4, .b = { 192, 0, 2, 1 } }, .port = 7 };
	struct attach *a = arg;

	if (a->from.family != 0)
		from.ip = a->from;
	struct io *io = io_new(w, a->fd, &from);

	if (a->n_unread > 0)
		io_unread(io, a->unread, a->n_unread);
	relay_attach_take(a->net->relay, io, a->is_fast_start ? RELAY_FAST_START : 0);
	free(a);
}

/* A socketpair with one end in the relay on that worker. unread: came behind the request (not
 * copied). */
static inline void
peer_attach(struct peer *p, struct net *net, unsigned worker, const struct attach *how)
{
	struct attach *a = obj_alloc(sizeof *a);
	int fds[2], small = 8192;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
	*a = *how;
	a->net = net;
	a->fd = fds[1];
	p->net = net;
	p->fd = fds[0];
	if (net->is_threaded)
		worker_call(worker_group_at(net->g, worker), net_on_attach, a, free);
	else
		net_on_attach(worker_group_at(net->g, worker), a);
}

static inline void
peer_close(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	buf_fini(&p->in);
	net_turn(p->net);
}

static inline void
peer_wait(struct peer *p, short what)
{
	struct pollfd f = { .fd = p->fd, .events = what };

	if (p->net->is_threaded)
		assert_int_equal(poll(&f, 1, NET_WAIT_MS), 1);
	else
		net_turn(p->net);
}

/* Sends all; the relay reads meanwhile. */
static inline void
peer_send(struct peer *p, const void *bytes, size_t n)
{
	const uint8_t *at = bytes;

	for (unsigned tries = 0; n > 0; tries++) {
		ssize_t k = send(p->fd, at, n, MSG_NOSIGNAL);

		assert_true(k > 0 || errno == EAGAIN);
		assert_true(tries < 1000000);
		if (k > 0) {
			at += k;
			n -= (size_t)k;
		} else {
			peer_wait(p, POLLOUT);
		}
	}
	net_turn(p->net);
}

/* Takes what has come. false: the relay closed. */
static inline bool
peer_recv(struct peer *p)
{
	for (;;) {
		uint8_t *room = buf_reserve(&p->in, 65536);
		ssize_t k = recv(p->fd, room, 65536, MSG_DONTWAIT);

		if (k == 0 || (k < 0 && errno != EAGAIN))
			return false;
		if (k < 0)
			return true;
		p->in.len += (size_t)k;
	}
}

/* Waits until n bytes are there. */
static inline void
peer_need(struct peer *p, size_t n)
{
	for (unsigned tries = 0; p->in.len < n; tries++) {
		bool is_open = peer_recv(p);

		if (p->in.len >= n)
			return;
		if (!is_open || tries > 20000)
			fail_msg("%zu bytes wanted, %zu came, %s", n, p->in.len, is_open ? "open" : "closed");
		peer_wait(p, POLLIN);
	}
}

/* The next frame; payload of at most cap bytes is copied. */
static inline struct derp_frame_hdr
peer_frame(struct peer *p, uint8_t *payload, size_t cap)
{
	struct derp_frame_hdr h;

	peer_need(p, DERP_FRAME_HDR_BYTES);
	assert_int_equal(derp_frame_parse(p->in.p, p->in.len, &h), ERR_OK);
	assert_true(h.len_bytes <= cap);
	peer_need(p, DERP_FRAME_HDR_BYTES + h.len_bytes);
	memcpy(payload, p->in.p + DERP_FRAME_HDR_BYTES, h.len_bytes);
	buf_consume(&p->in, DERP_FRAME_HDR_BYTES + h.len_bytes);
	return h;
}

static inline void
peer_expect(struct peer *p, enum derp_frame_type type, const void *want, size_t n)
{
	static uint8_t payload[1 << 17];
	struct derp_frame_hdr h = peer_frame(p, payload, sizeof payload);

	assert_int_equal(h.type, type);
	assert_int_equal(h.len_bytes, n);
	assert_memory_equal(payload, want, n);
}

/* Only with a clock of the test's: nothing has come and nothing is on its way. */
static inline void
peer_expect_nothing(struct peer *p)
{
	assert_false(p->net->is_threaded);
	net_turn(p->net);
	assert_true(peer_recv(p));
	assert_int_equal(p->in.len, 0);
}

static inline void
peer_expect_closed(struct peer *p)
{
	for (unsigned tries = 0; peer_recv(p); tries++) {
		assert_true(tries < 100);
		peer_wait(p, POLLIN);
	}
}

/* ClientInfo of this peer into out; returns its length. */
static inline size_t
peer_hello_put(struct peer *p, const uint8_t server[KEY_BYTES], uint8_t out[256])
{
	static const char json[] = "{\"version\":2,\"CanAckPings\":true}";
	size_t n_box = sizeof json - 1 + crypto_box_MACBYTES;
	uint8_t *nonce = out + DERP_FRAME_HDR_BYTES + KEY_BYTES;

	derp_frame_put_hdr(out, DERP_FRAME_CLIENT_INFO,
	    (uint32_t)(KEY_BYTES + crypto_box_NONCEBYTES + n_box));
	memcpy(out + DERP_FRAME_HDR_BYTES, p->key.b, KEY_BYTES);
	randombytes_buf(nonce, crypto_box_NONCEBYTES);
	assert_int_equal(crypto_box_easy(nonce + crypto_box_NONCEBYTES, (const uint8_t *)json,
	    sizeof json - 1, nonce, server, p->priv.b), 0);
	return DERP_FRAME_HDR_BYTES + KEY_BYTES + crypto_box_NONCEBYTES + n_box;
}

static inline void
peer_keys(struct peer *p)
{
	*p = (struct peer){ .fd = -1 };
	private_key_new(&p->priv);
	private_key_public(&p->priv, p->key.b);
}

static inline void
peer_expect_server_key(struct peer *p)
{
	uint8_t want[DERP_HELLO_KEY_BYTES];

	derp_hello_key_put(p->net->public_key, want);
	peer_expect(p, DERP_FRAME_SERVER_KEY, want + DERP_FRAME_HDR_BYTES,
	    sizeof want - DERP_FRAME_HDR_BYTES);
}

static inline void
peer_expect_server_info(struct peer *p)
{
	uint8_t payload[256], plain[256];
	struct derp_frame_hdr h = peer_frame(p, payload, sizeof payload);
	size_t n = h.len_bytes - crypto_box_NONCEBYTES;

	assert_int_equal(h.type, DERP_FRAME_SERVER_INFO);
	assert_int_equal(crypto_box_open_easy(plain, payload + crypto_box_NONCEBYTES, n, payload,
	    p->net->public_key, p->priv.b), 0);
	assert_int_equal(n - crypto_box_MACBYTES, 13);
	assert_memory_equal(plain, "{\"version\":2}", 13);
}

/* A connection more with the keys that p has. */
static inline void
peer_connect(struct peer *p, struct net *net, unsigned worker)
{
	uint8_t hello[256];

	peer_attach(p, net, worker % net->n_workers, &(struct attach){ .is_fast_start = true });
	peer_expect_server_key(p);
	peer_send(p, hello, peer_hello_put(p, net->public_key, hello));
	peer_expect_server_info(p);
}

static inline void
peer_open(struct peer *p, struct net *net, unsigned worker)
{
	peer_keys(p);
	peer_connect(p, net, worker);
}

/* SendPacket to dst into out; returns its length. */
static inline size_t
packet_put(uint8_t *out, const struct node_key *dst, const void *packet, size_t n)
{
	derp_frame_put_hdr(out, DERP_FRAME_SEND_PACKET, (uint32_t)(KEY_BYTES + n));
	memcpy(out + DERP_FRAME_HDR_BYTES, dst->b, KEY_BYTES);
	if (n > 0)
		memcpy(out + DERP_FRAME_HDR_BYTES + KEY_BYTES, packet, n);
	return DERP_FRAME_HDR_BYTES + KEY_BYTES + n;
}

static inline void
peer_send_packet(struct peer *p, const struct node_key *dst, const void *packet, size_t n)
{
	uint8_t *frame = obj_alloc(DERP_FRAME_HDR_BYTES + KEY_BYTES + n);

	peer_send(p, frame, packet_put(frame, dst, packet, n));
	free(frame);
}

static inline void
peer_expect_packet(struct peer *p, const struct node_key *src, const void *packet, size_t n)
{
	uint8_t *want = obj_alloc(KEY_BYTES + n);

	memcpy(want, src->b, KEY_BYTES);
	if (n > 0)
		memcpy(want + KEY_BYTES, packet, n);
	peer_expect(p, DERP_FRAME_RECV_PACKET, want, KEY_BYTES + n);
	free(want);
}

static inline void
peer_expect_gone(struct peer *p, const struct node_key *key, enum derp_frame_gone reason)
{
	uint8_t want[KEY_BYTES + 1];

	memcpy(want, key->b, KEY_BYTES);
	want[KEY_BYTES] = (uint8_t)reason;
	peer_expect(p, DERP_FRAME_PEER_GONE, want, sizeof want);
}

#endif
