/* links: relay/relay relay/derp_conn relay/derp_conn_hello relay/derp_read relay/derp_worker relay/derp_mesh relay/derp_mesh_target relay/derp_watch relay/derp_hop relay/derp_peers relay/derp_tally relay/insight relay/derp_route relay/quota relay/derp_queue relay/derp_hello relay/derp_frame relay/stun relay/derp_mesh_set */
/* Links: a scripted relay that ours dials. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "tests/unit/relay_mesh_net.h"

/* --- links ------------------------------------------------------------------------------------ */

/* The relay that ours dials; its connections are struct peers. */
struct far {
	struct private_key priv;
	uint8_t public_key[KEY_BYTES];
	int listener;
	char name[64];
	char *with[1];
};

static struct far far;

static void
far_listen(void)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof sa;

	private_key_new(&far.priv);
	private_key_public(&far.priv, far.public_key);
	far.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(far.listener, (struct sockaddr *)&sa, sizeof sa), 0);
	assert_int_equal(listen(far.listener, 5), 0);
	assert_int_equal(getsockname(far.listener, (struct sockaddr *)&sa, &n), 0);
	snprintf(far.name, sizeof far.name, "http://127.0.0.1:%u", (unsigned)ntohs(sa.sin_port));
	far.with[0] = far.name;
}

static int
setup_far(void **state)
{
	(void)state;
	far_listen();
	open_mesh(far.with, 1);
	return 0;
}

static int
teardown_far(void **state)
{
	close(far.listener);
	return teardown(state);
}

/* Our relay's next attempt: its deadlines are looked at, a turn runs. */
static void
tick(int64_t ms)
{
	net_advance(&net, ms);
	for (unsigned i = 0; i < 2; i++)
		derp_mesh_tick(net_worker(&net, i), net.now_ms);
	net_turn(&net);
}

static void
far_accept(struct peer *p)
{
	struct pollfd f = { .fd = far.listener, .events = POLLIN };
	int one = 1;

	assert_int_equal(poll(&f, 1, NET_WAIT_MS), 1);
	*p = (struct peer){ .net = &net };
	p->fd = accept4(far.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(p->fd >= 0);
	assert_int_equal(setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one), 0);
	net_turn(&net);
}

static bool
far_is_dialled(void)
{
	struct pollfd f = { .fd = far.listener, .events = POLLIN };

	return poll(&f, 1, 0) == 1;
}

/* Loopback is quick, but not instant: waits until all of it has arrived. */
static void
far_need(struct peer *p, size_t n)
{
	for (unsigned tries = 0; p->in.len < n; tries++) {
		struct pollfd f = { .fd = p->fd, .events = POLLIN };

		assert_true(tries < 1000);
		net_turn(&net);
		(void)poll(&f, 1, 10);
		assert_true(peer_recv(p) || p->in.len >= n);
	}
}

static void
far_request(struct peer *p)
{
	char want[256];
	size_t n = (size_t)snprintf(want, sizeof want, "GET /derp HTTP/1.1\r\nHost: %s\r\n"
	    "User-Agent: fairlead\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n", far.name + 7);

	far_need(p, n);
	assert_memory_equal(p->in.p, want, n);
	buf_consume(&p->in, n);
}

/* Sends, and lets our relay read it. */
static void
far_say(struct peer *p, const void *bytes, size_t n)
{
	struct pollfd none = { .fd = -1 };

	assert_int_equal(send(p->fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
	for (unsigned i = 0; i < 20; i++) {
		(void)poll(&none, 1, 1);
		net_turn(&net);
	}
}

static void
far_frame(struct peer *p, enum derp_frame_type type, const void *payload, size_t n)
{
	uint8_t frame[256];

	derp_frame_put_hdr(frame, type, (uint32_t)n);
	memcpy(frame + DERP_FRAME_HDR_BYTES, payload, n);
	far_say(p, frame, DERP_FRAME_HDR_BYTES + n);
}

static void
far_greet(struct peer *p, const uint8_t public_key[KEY_BYTES])
{
	static const char head[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n\r\n";
	uint8_t bytes[sizeof head - 1 + DERP_HELLO_KEY_BYTES];

	memcpy(bytes, head, sizeof head - 1);
	derp_hello_key_put(public_key, bytes + sizeof head - 1);
	far_say(p, bytes, sizeof bytes);
}

/* ClientInfo with the mesh key, sealed by our relay's own key, and WatchConns. */
static void
far_expect_hello(struct peer *p)
{
	struct derp_hello_info info;
	struct derp_frame_hdr h;

	far_need(p, DERP_FRAME_HDR_BYTES);
	assert_int_equal(derp_frame_parse(p->in.p, p->in.len, &h), ERR_OK);
	assert_int_equal(derp_frame_check_hello(&h), ERR_OK);
	far_need(p, DERP_FRAME_HDR_BYTES + h.len_bytes + DERP_FRAME_HDR_BYTES);
	assert_int_equal(derp_hello_open(p->in.p + DERP_FRAME_HDR_BYTES, h.len_bytes, &far.priv, &info),
	    ERR_OK);
	assert_memory_equal(info.key.b, net.public_key, KEY_BYTES);
	assert_true(info.has_mesh_key && info.can_ack_pings);
	assert_memory_equal(info.mesh_key, mesh_key, KEY_BYTES);
	buf_consume(&p->in, DERP_FRAME_HDR_BYTES + h.len_bytes);
	assert_memory_equal(p->in.p, "\x10\0\0\0\0", 5);
	buf_consume(&p->in, 5);
}

static void
far_open(struct peer *p)
{
	tick(1000);
	far_accept(p);
	far_request(p);
	far_greet(p, far.public_key);
	far_expect_hello(p);
	assert_int_equal(metric_get(METRIC_DERP_LINKS), 1);
}

static void
far_present(struct peer *p, const struct node_key *key)
{
	uint8_t payload[51] = { 0 };

	memcpy(payload, key->b, KEY_BYTES);
	payload[50] = DERP_FRAME_PRESENT_REGULAR;
	far_frame(p, DERP_FRAME_PEER_PRESENT, payload, sizeof payload);
}

static void
far_gone(struct peer *p, const struct node_key *key, enum derp_frame_gone reason)
{
	uint8_t payload[KEY_BYTES + 1];

	memcpy(payload, key->b, KEY_BYTES);
	payload[KEY_BYTES] = (uint8_t)reason;
	far_frame(p, DERP_FRAME_PEER_GONE, payload, sizeof payload);
}

static void
far_expect_forward(struct peer *p, const struct node_key *src, const struct node_key *dst,
	const void *packet, size_t n)
{
	uint8_t want[DERP_FRAME_HDR_BYTES + 2 * KEY_BYTES + 256];
	size_t n_want = DERP_FRAME_HDR_BYTES + 2 * KEY_BYTES + n;

	derp_frame_put_hdr(want, DERP_FRAME_FORWARD_PACKET, (uint32_t)(2 * KEY_BYTES + n));
	memcpy(want + DERP_FRAME_HDR_BYTES, src->b, KEY_BYTES);
	memcpy(want + DERP_FRAME_HDR_BYTES + KEY_BYTES, dst->b, KEY_BYTES);
	memcpy(want + DERP_FRAME_HDR_BYTES + 2 * KEY_BYTES, packet, n);
	far_need(p, n_want);
	assert_memory_equal(p->in.p, want, n_want);
	buf_consume(&p->in, n_want);
}

static void
test_link_forwards(void **state)
{
	struct peer link, a, remote, here;
	uint8_t disco[62] = "TS\xf0\x9f\x92\xac";

	(void)state;
	for (unsigned worker = 0; worker < 2; worker++) {
		far_open(&link);
		client_open(&a, worker);
		peer_keys(&remote);
		far_present(&link, &remote.key);
		far_present(&link, &remote.key);
		assert_int_equal(metric_get(METRIC_DERP_CLIENTS_REMOTE), 1);
		peer_send_packet(&a, &remote.key, "over there", 10);
		peer_send_packet(&a, &remote.key, disco, sizeof disco);
		far_expect_forward(&link, &a.key, &remote.key, "over there", 10);
		far_expect_forward(&link, &a.key, &remote.key, disco, sizeof disco);
		/* it comes here: the connection here wins, until it goes */
		here = remote;
		relay_admit(net.relay, &here.key);
		peer_connect(&here, &net, 1 - worker);
		peer_send_packet(&a, &remote.key, "here", 4);
		peer_expect_packet(&here, &a.key, "here", 4);
		peer_close(&here);
		peer_send_packet(&a, &remote.key, "there again", 11);
		far_expect_forward(&link, &a.key, &remote.key, "there again", 11);
		/* a "not here" takes no route away, a "disconnected" does */
		far_gone(&link, &remote.key, DERP_FRAME_GONE_NOT_HERE);
		peer_send_packet(&a, &remote.key, "still", 5);
		far_expect_forward(&link, &a.key, &remote.key, "still", 5);
		far_gone(&link, &remote.key, DERP_FRAME_GONE_DISCONNECTED);
		peer_send_packet(&a, &remote.key, disco, sizeof disco);
		peer_expect_gone(&a, &remote.key, DERP_FRAME_GONE_NOT_HERE);
		/* pings are answered */
		far_say(&link, "\x12\0\0\0\x08pingping", 13);
		far_need(&link, 13);
		assert_memory_equal(link.in.p, "\x13\0\0\0\x08pingping", 13);
		peer_close(&a);
		peer_close(&link);
		for (unsigned i = 0; i < 50 && metric_get(METRIC_DERP_LINKS) > 0; i++)
			tick(1);
		tick(DERP_MESH_RETRY_MS - 1000);
	}
}

/* Everything that was known over a link goes with it; it is dialled again. */
static void
test_link_ends(void **state)
{
	struct peer link, remote;

	(void)state;
	far_open(&link);
	peer_keys(&remote);
	far_present(&link, &remote.key);
	assert_int_equal(metric_get(METRIC_DERP_CLIENTS_REMOTE), 1);
	peer_close(&link);
	for (unsigned i = 0; i < 50 && metric_get(METRIC_DERP_LINKS) > 0; i++)
		tick(1);
	assert_int_equal(metric_get(METRIC_DERP_CLIENTS_REMOTE), 0);
	tick(DERP_MESH_RETRY_MS - 100);
	assert_false(far_is_dialled());
	far_open(&link);
	/* keep-alives keep it, silence ends it */
	for (unsigned i = 0; i < 4; i++) {
		tick(60000);
		far_say(&link, "\x06\0\0\0\0", 5);
	}
	assert_int_equal(metric_get(METRIC_DERP_LINKS), 1);
	for (unsigned i = 0; i < 130; i++)
		tick(1000);
	peer_expect_closed(&link);
	peer_close(&link);
}

/* Receivers of packets that came over the mesh hear when their sender has left the region. */
static void
test_remote_sender_leaves(void **state)
{
	struct peer link, mesh, remote, dst, local;

	(void)state;
	far_open(&link);
	mesh_open(&mesh, 0);
	client_open(&dst, 1);
	peer_keys(&remote);
	far_present(&link, &remote.key);
	forward_send(&mesh, &remote.key, &dst.key, "hello", 5);
	peer_expect_packet(&dst, &remote.key, "hello", 5);
	far_gone(&link, &remote.key, DERP_FRAME_GONE_DISCONNECTED);
	peer_expect_gone(&dst, &remote.key, DERP_FRAME_GONE_DISCONNECTED);
	/* one that was here, moved there, and left */
	client_open(&local, 0);
	peer_send_packet(&local, &dst.key, "from here", 9);
	peer_expect_packet(&dst, &local.key, "from here", 9);
	far_present(&link, &local.key);
	peer_close(&local);
	peer_expect_nothing(&dst);
	far_gone(&link, &local.key, DERP_FRAME_GONE_DISCONNECTED);
	peer_expect_gone(&dst, &local.key, DERP_FRAME_GONE_DISCONNECTED);
	peer_close(&dst);
	peer_close(&mesh);
	peer_close(&link);
}

static void
test_link_to_ourselves(void **state)
{
	struct peer link;

	(void)state;
	tick(1000);
	far_accept(&link);
	far_request(&link);
	far_greet(&link, net.public_key);
	peer_expect_closed(&link);
	peer_close(&link);
	for (unsigned i = 0; i < 20; i++)
		tick(1000);
	assert_false(far_is_dialled());		/* never again */
}

static void
test_link_refused(void **state)
{
	static const char *const answers[] = {
		"HTTP/1.1 404 Not Found\r\n\r\n", "SSH-2.0-OpenSSH\r\n",
		"HTTP/1.1 101 Switching Protocols\r\n\r\n\x06\0\0\0\0",	/* no ServerKey first */
		"HTTP/1.1 101 Switching Protocols\r\n\r\n"
		"\x01\0\0\0\x28not the magic of a relay, forty bytes it is",
	};
	struct peer link;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(answers); i++) {
		tick(DERP_MESH_RETRY_MS + 1000);
		far_accept(&link);
		far_request(&link);
		/* string literals with NUL in the middle: all of the known length */
		far_say(&link, answers[i], i < 2 ? strlen(answers[i]) : i == 2 ? 41 : 81);
		peer_expect_closed(&link);
		peer_close(&link);
	}
	tick(DERP_MESH_RETRY_MS + 1000);
	far_accept(&link);		/* and says nothing */
	far_request(&link);
	for (unsigned i = 0; i < 12; i++)
		tick(1000);
	peer_expect_closed(&link);
	peer_close(&link);
}

int
main(void)
{
#define F(fn) cmocka_unit_test_setup_teardown(fn, setup_far, teardown_far)
	const struct CMUnitTest tests[] = {
		F(test_link_forwards), F(test_link_ends), F(test_remote_sender_leaves),
		F(test_link_to_ourselves), F(test_link_refused),
	};

	return cmocka_run_group_tests(tests, write_key, remove_key);
}
