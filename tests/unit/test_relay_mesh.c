/* links: relay/relay relay/derp_conn relay/derp_read relay/derp_worker relay/derp_mesh relay/derp_lookup relay/derp_mesh_target relay/derp_watch relay/derp_hop relay/derp_peers relay/derp_route relay/derp_queue relay/derp_hello relay/derp_frame relay/stun */
/* The mesh from both sides: scripted mesh peers that watch and forward, and a scripted relay that ours
 * dials. On two workers, so that what happens on one is told on the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include "tests/unit/relay_net.h"

static struct net net;
static uint8_t mesh_key[KEY_BYTES];
static char key_path[] = "/tmp/test_relay_mesh.XXXXXX";

/* --- scenery ---------------------------------------------------------------------------------- */

static int
write_key(void **state)
{
	char hex[2 * KEY_BYTES + 1];
	int fd = mkstemp(key_path);

	(void)state;
	assert_true(fd >= 0);
	randombytes_buf(mesh_key, sizeof mesh_key);
	key_hex_put(mesh_key, KEY_BYTES, hex);
	assert_int_equal(dprintf(fd, "\n  %s \r\n", hex), 70);
	close(fd);
	return 0;
}

static int
remove_key(void **state)
{
	(void)state;
	return unlink(key_path);
}

static void
open_mesh(char **with, unsigned n_with)
{
	struct err_text why;

	net_open(&net, 2, false);
	net.cfg.derp.verify_clients = true;
	net.cfg.derp.mesh_key_file = key_path;
	net.cfg.derp.mesh_with = (struct config_list){ .items = with, .n = n_with };
	assert_int_equal(relay_mesh_open(net.relay, &why), ERR_OK);
}

static int
setup(void **state)
{
	(void)state;
	open_mesh(NULL, 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	net_close(&net);
	assert_int_equal(metric_get(METRIC_DERP_CONNS), 0);
	assert_int_equal(metric_get(METRIC_DERP_CLIENTS_TOTAL), 0);
	assert_int_equal(metric_get(METRIC_DERP_WATCHERS), 0);
	assert_int_equal(metric_get(METRIC_DERP_LINKS), 0);
	return 0;
}

/* A client that is admitted first. */
static void
client_open(struct peer *p, unsigned worker)
{
	peer_keys(p);
	relay_admit(net.relay, &p->key);
	peer_connect(p, &net, worker);
}

static void
mesh_hello(struct peer *p, unsigned worker, const uint8_t key[KEY_BYTES])
{
	uint8_t hello[DERP_HELLO_CLIENT_MAX_BYTES];
	size_t n;

	peer_attach(p, &net, worker % 2, &(struct attach){ .is_fast_start = true });
	peer_expect_server_key(p);
	assert_int_equal(derp_hello_client_put(net.public_key, &p->priv, key, hello, &n), ERR_OK);
	peer_send(p, hello, n);
}

static void
mesh_open(struct peer *p, unsigned worker)
{
	peer_keys(p);
	mesh_hello(p, worker, mesh_key);
	peer_expect_server_info(p);
}

static void
frame_send(struct peer *p, enum derp_frame_type type, const void *payload, size_t n)
{
	uint8_t *frame = obj_alloc(DERP_FRAME_HDR_BYTES + n);

	derp_frame_put_hdr(frame, type, (uint32_t)n);
	if (n > 0)
		memcpy(frame + DERP_FRAME_HDR_BYTES, payload, n);
	peer_send(p, frame, DERP_FRAME_HDR_BYTES + n);
	free(frame);
}

static void
expect_present(struct peer *p, const struct node_key *key, uint8_t flags)
{
	uint8_t want[51] = { 0 };

	memcpy(want, key->b, KEY_BYTES);
	memcpy(want + 42, "\xff\xff\xc0\0\x02\x01\0\x07", 8);	/* ::ffff:192.0.2.1, port 7 */
	want[50] = flags;
	peer_expect(p, DERP_FRAME_PEER_PRESENT, want, sizeof want);
}

static void
forward_send(struct peer *p, const struct node_key *src, const struct node_key *dst, const void *packet,
	size_t n)
{
	uint8_t *payload = obj_alloc(2 * KEY_BYTES + n);

	memcpy(payload, src->b, KEY_BYTES);
	memcpy(payload + KEY_BYTES, dst->b, KEY_BYTES);
	memcpy(payload + 2 * KEY_BYTES, packet, n);
	frame_send(p, DERP_FRAME_FORWARD_PACKET, payload, 2 * KEY_BYTES + n);
	free(payload);
}

/* --- mesh peers ------------------------------------------------------------------------------- */

static void
test_rights(void **state)
{
	static const struct { enum derp_frame_type type; size_t n; } frames[] = {
		{ DERP_FRAME_WATCH_CONNS, 0 }, { DERP_FRAME_CLOSE_PEER, 32 },
		{ DERP_FRAME_FORWARD_PACKET, 70 },
	}, broken[] = {
		{ DERP_FRAME_WATCH_CONNS, 1 }, { DERP_FRAME_CLOSE_PEER, 31 },
		{ DERP_FRAME_FORWARD_PACKET, 63 },
		{ DERP_FRAME_FORWARD_PACKET, 65 + DERP_FRAME_PACKET_MAX_BYTES },
	};
	static uint8_t zeros[1 << 17];
	uint8_t wrong[KEY_BYTES];
	struct peer p;

	(void)state;
	memcpy(wrong, mesh_key, sizeof wrong);
	wrong[31] ^= 1;
	peer_keys(&p);
	mesh_hello(&p, 0, wrong);		/* a stranger like any other */
	peer_expect_closed(&p);
	peer_close(&p);
	for (size_t i = 0; i < COUNT_OF(frames); i++) {
		client_open(&p, (unsigned)i);
		frame_send(&p, frames[i].type, zeros, frames[i].n);
		peer_expect_closed(&p);
		peer_close(&p);
	}
	for (size_t i = 0; i < COUNT_OF(broken); i++) {
		mesh_open(&p, (unsigned)i);
		uint8_t head[DERP_FRAME_HDR_BYTES];

		derp_frame_put_hdr(head, broken[i].type, (uint32_t)broken[i].n);
		peer_send(&p, head, sizeof head);
		peer_expect_closed(&p);
		peer_close(&p);
	}
}

static void
test_watch(void **state)
{
	struct peer before, later, twin, watcher, other;

	(void)state;
	client_open(&before, 0);
	mesh_open(&watcher, 1);
	frame_send(&watcher, DERP_FRAME_WATCH_CONNS, NULL, 0);
	frame_send(&watcher, DERP_FRAME_WATCH_CONNS, NULL, 0);	/* once is enough */
	expect_present(&watcher, &before.key, DERP_FRAME_PRESENT_REGULAR);
	assert_int_equal(metric_get(METRIC_DERP_WATCHERS), 1);
	client_open(&later, 0);
	expect_present(&watcher, &later.key, DERP_FRAME_PRESENT_REGULAR);
	twin = later;
	twin.fd = -1;
	twin.in = (struct buf){ .p = NULL };
	peer_connect(&twin, &net, 1);
	expect_present(&watcher, &later.key, DERP_FRAME_PRESENT_REGULAR);	/* each new connection */
	peer_close(&later);
	peer_expect_nothing(&watcher);		/* the key is still here */
	peer_close(&twin);
	peer_expect_gone(&watcher, &later.key, DERP_FRAME_GONE_DISCONNECTED);
	mesh_open(&other, 0);
	expect_present(&watcher, &other.key, DERP_FRAME_PRESENT_MESH);
	frame_send(&other, DERP_FRAME_WATCH_CONNS, NULL, 0);
	peer_recv(&other);
	peer_close(&watcher);
	assert_int_equal(metric_get(METRIC_DERP_WATCHERS), 1);
	peer_close(&other);
	peer_close(&before);
}

/* What changed while the watcher did not read comes as it is in the end, every key once. */
static void
test_watch_many(void **state)
{
	enum { N = 400 };
	static struct peer clients[N];
	static bool is_present[N], was_told[N];
	struct peer watcher;
	unsigned n_told = 0;

	(void)state;
	for (unsigned i = 0; i < N; i++)
		client_open(&clients[i], i);
	mesh_open(&watcher, 0);
	/* its socket is small: most of it waits in the relay */
	frame_send(&watcher, DERP_FRAME_WATCH_CONNS, NULL, 0);
	for (unsigned i = 0; i < N; i += 2)
		peer_close(&clients[i]);
	while (n_told < N) {
		uint8_t payload[64];
		struct derp_frame_hdr h = peer_frame(&watcher, payload, sizeof payload);
		unsigned i = 0;

		while (i < N && memcmp(clients[i].key.b, payload, KEY_BYTES) != 0)
			i++;
		assert_true(i < N);
		is_present[i] = h.type == DERP_FRAME_PEER_PRESENT;
		if (!was_told[i] && (i % 2 == 1 || !is_present[i])) {
			was_told[i] = true;
			n_told++;
		}
	}
	peer_expect_nothing(&watcher);
	for (unsigned i = 0; i < N; i++) {
		assert_int_equal(is_present[i], i % 2);
		peer_close(&clients[i]);
	}
	peer_close(&watcher);
}

static void
test_forward_in(void **state)
{
	uint8_t disco[62] = "TS\xf0\x9f\x92\xac", *big = obj_alloc(DERP_FRAME_PACKET_MAX_BYTES);
	struct peer mesh, dst, far, nobody;

	(void)state;
	client_open(&dst, 1);
	mesh_open(&mesh, 0);
	peer_keys(&far);
	peer_keys(&nobody);
	forward_send(&mesh, &far.key, &dst.key, "one", 3);
	forward_send(&mesh, &far.key, &dst.key, "", 0);
	forward_send(&mesh, &nobody.key, &dst.key, disco, sizeof disco);
	peer_expect_packet(&dst, &far.key, "one", 3);
	peer_expect_packet(&dst, &far.key, "", 0);
	peer_expect_packet(&dst, &nobody.key, disco, sizeof disco);
	memset(big, 0x5a, DERP_FRAME_PACKET_MAX_BYTES);
	forward_send(&mesh, &far.key, &dst.key, big, DERP_FRAME_PACKET_MAX_BYTES);
	peer_expect_packet(&dst, &far.key, big, DERP_FRAME_PACKET_MAX_BYTES);
	free(big);
	int64_t dropped = metric_get(METRIC_DERP_DROP_FWD);
	for (unsigned i = 0; i < 5; i++)
		forward_send(&mesh, &far.key, &nobody.key, disco, sizeof disco);
	forward_send(&mesh, &far.key, &nobody.key, "no disco", 8);
	for (unsigned i = 0; i < 3; i++)	/* limited as for clients */
		peer_expect_gone(&mesh, &nobody.key, DERP_FRAME_GONE_NOT_HERE);
	peer_expect_nothing(&mesh);
	assert_int_equal(metric_get(METRIC_DERP_DROP_FWD) - dropped, 6);
	peer_close(&mesh);
	peer_close(&dst);
}

static void
test_close_peer(void **state)
{
	struct peer mesh, a, twin, b;

	(void)state;
	mesh_open(&mesh, 0);
	client_open(&a, 0);
	twin = a;
	twin.fd = -1;
	twin.in = (struct buf){ .p = NULL };
	peer_connect(&twin, &net, 1);
	client_open(&b, 1);
	frame_send(&mesh, DERP_FRAME_CLOSE_PEER, a.key.b, KEY_BYTES);
	peer_expect_closed(&a);
	peer_expect_closed(&twin);
	frame_send(&mesh, DERP_FRAME_CLOSE_PEER, a.key.b, KEY_BYTES);	/* nobody */
	peer_expect_nothing(&b);
	peer_close(&a);
	peer_close(&twin);
	peer_close(&b);
	peer_close(&mesh);
}

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
		"HTTP/1.1 101 Switching Protocols\r\n\r\n\x01\0\0\0\x28not the magic of a relay, forty bytes it is",
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

/* --- configuration ---------------------------------------------------------------------------- */

static void
test_configuration(void **state)
{
	static char bad[] = "/tmp/test_relay_mesh_bad.XXXXXX";
	char *with[] = { far.name };
	struct err_text why = { "" };
	int fd = mkstemp(bad);

	(void)state;
	net_open(&net, 1, false);
	assert_int_equal(relay_mesh_open(net.relay, &why), ERR_OK);	/* no mesh */
	net.cfg.derp.mesh_with = (struct config_list){ .items = with, .n = 1 };
	assert_int_equal(relay_mesh_open(net.relay, &why), ERR_INVAL);
	assert_string_equal(why.s, "derp.mesh_with needs derp.mesh_key_file");
	net.cfg.derp.mesh_key_file = bad;
	assert_int_equal(dprintf(fd, "0123\n"), 5);
	close(fd);
	assert_int_equal(relay_mesh_open(net.relay, &why), ERR_INVAL);
	unlink(bad);
	assert_int_equal(relay_mesh_open(net.relay, &why), ERR_IO);
	assert_non_null(strstr(why.s, bad));
	net_close(&net);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define F(fn) cmocka_unit_test_setup_teardown(fn, setup_far, teardown_far)
	const struct CMUnitTest tests[] = {
		T(test_rights), T(test_watch), T(test_watch_many), T(test_forward_in), T(test_close_peer),
		F(test_link_forwards), F(test_link_ends), F(test_remote_sender_leaves),
		F(test_link_to_ourselves), F(test_link_refused), cmocka_unit_test(test_configuration),
	};

	return cmocka_run_group_tests(tests, write_key, remove_key);
}
