/* links: relay/relay relay/derp_conn relay/derp_conn_hello relay/derp_read relay/derp_worker relay/derp_mesh relay/derp_mesh_target relay/derp_watch relay/derp_hop relay/derp_peers relay/derp_tally relay/insight relay/derp_route relay/quota relay/derp_queue relay/derp_hello relay/derp_frame relay/stun relay/derp_mesh_set */
/* The whole relay with scripted clients on one and on two workers. Tests that need no second
 * worker run once; the others with clients on the same and on different workers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "tests/unit/relay_fixture.h"

/* --- greeting --------------------------------------------------------------------------------- */

static void
test_upgrade_answer(void **state)
{
	char want[256], hex[2 * KEY_BYTES + 1];
	struct peer p;
	size_t n;

	(void)state;
	peer_keys(&p);
	peer_attach(&p, &net, 0, &(struct attach){ .is_fast_start = false });
	n = (size_t)snprintf(want, sizeof want, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: DERP\r\n"
	    "Connection: Upgrade\r\nDerp-Version: 2\r\nDerp-Public-Key: %s\r\n\r\n",
	    key_hex_put(net.public_key, KEY_BYTES, hex));
	peer_need(&p, n + DERP_HELLO_KEY_BYTES);
	assert_memory_equal(p.in.p, want, n);
	buf_consume(&p.in, n);
	peer_expect_server_key(&p);
	peer_expect_nothing(&p);
	peer_close(&p);
}

/* A client that waits for nothing: everything lies behind the request before the relay begins. */
static void
test_fast_start_with_bytes_behind(void **state)
{
	uint8_t bytes[1024];
	struct peer a, b;
	size_t n;

	(void)state;
	peer_open(&b, &net, 0);
	peer_keys(&a);
	n = peer_hello_put(&a, net.public_key, bytes);
	memcpy(bytes + n, "\x07\0\0\0\x01\x01", 6);
	n += 6;
	n += packet_put(bytes + n, &b.key, "early", 5);
	peer_attach(&a, &net, 0, &(struct attach){ .is_fast_start = true, .unread = bytes, .n_unread = n });
	peer_expect_server_key(&a);
	peer_expect_server_info(&a);
	peer_expect_packet(&b, &a.key, "early", 5);
	assert_int_equal(metric_get(METRIC_DERP_HOME), 1);
	peer_send(&a, "\x07\0\0\0\x01\0", 6);
	assert_int_equal(metric_get(METRIC_DERP_HOME), 0);
	peer_send(&a, "\x07\0\0\0\x01\x01", 6);
	peer_close(&a);
	assert_int_equal(metric_get(METRIC_DERP_HOME), 0);
	peer_close(&b);
}

static void
test_hello_deadline(void **state)
{
	struct peer silent, half, good;
	uint8_t hello[256];

	(void)state;
	peer_keys(&silent);
	peer_attach(&silent, &net, 0, &(struct attach){ .is_fast_start = true });
	peer_expect_server_key(&silent);
	peer_keys(&half);
	peer_attach(&half, &net, 0, &(struct attach){ .is_fast_start = true });
	peer_expect_server_key(&half);
	peer_hello_put(&half, net.public_key, hello);
	peer_send(&half, hello, 50);
	peer_open(&good, &net, 0);
	net_advance(&net, 9900);
	peer_expect_nothing(&silent);
	net_advance(&net, 1200);
	peer_expect_closed(&silent);
	peer_expect_closed(&half);
	peer_expect_nothing(&good);
	peer_close(&silent);
	peer_close(&half);
	peer_close(&good);
}

static void
test_bad_greetings(void **state)
{
	static const struct { const char *bytes; size_t n; } cases[] = {
		{ "GET / HTTP/1.1\r\n\r\n", 18 },
		{ "\x04\0\0\0\x20xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 37 },
		{ "\x12\0\0\0\x08" "12345678", 13 },
		{ "\x02\0\0\0\x37", 5 },		/* 55 bytes */
		{ "\x02\0\x04\0\x01", 5 },		/* 262145 bytes */
		{ "\x02\xff\xff\xff\xff", 5 },
		{ "\xee\xff\xff\xff\xff", 5 },
		{ "\x02\0\0\0\x68" "0123456789012345678901234567890123456789012345678901"
		    "0123456789012345678901234567890123456789012345678901", 109 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct peer p;

		peer_keys(&p);
		peer_attach(&p, &net, 0, &(struct attach){ .is_fast_start = true });
		peer_send(&p, cases[i].bytes, cases[i].n);
		peer_expect_closed(&p);
		peer_close(&p);
	}
}

/* Another's key: the box does not open with it. */
static void
test_stolen_and_zero_keys(void **state)
{
	struct peer owner, thief;
	uint8_t hello[256];

	(void)state;
	peer_open(&owner, &net, 0);
	for (unsigned i = 0; i < 2; i++) {
		peer_keys(&thief);
		if (i == 0)
			thief.key = owner.key;
		else
			memset(&thief.key, 0, sizeof thief.key);
		peer_attach(&thief, &net, 0, &(struct attach){ .is_fast_start = true });
		peer_send(&thief, hello, peer_hello_put(&thief, net.public_key, hello));
		peer_expect_closed(&thief);
		peer_close(&thief);
	}
	peer_send_packet(&owner, &owner.key, "me", 2);
	peer_expect_packet(&owner, &owner.key, "me", 2);
	peer_close(&owner);
}

/* Boxes are rationed per turn, and all get their turn. */
static void
test_storm_of_greetings(void **state)
{
	struct peer peers[40];
	uint8_t hello[256];

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(peers); i++) {
		peer_keys(&peers[i]);
		peer_attach(&peers[i], &net, 0, &(struct attach){ .is_fast_start = true });
		size_t n = peer_hello_put(&peers[i], net.public_key, hello);
		assert_int_equal(send(peers[i].fd, hello, n, 0), n);
	}
	worker_turn(worker_group_at(net.g, 0), false);
	assert_int_equal(metric_get(METRIC_DERP_CONNS), DERP_WORKER_HELLOS_MAX);
	worker_turn(worker_group_at(net.g, 0), false);
	assert_int_equal(metric_get(METRIC_DERP_CONNS), 2 * DERP_WORKER_HELLOS_MAX);
	for (unsigned i = 0; i < COUNT_OF(peers); i++) {
		peer_expect_server_key(&peers[i]);
		peer_expect_server_info(&peers[i]);
	}
	for (unsigned i = 0; i < COUNT_OF(peers); i++)
		peer_close(&peers[i]);
}

/* --- admission -------------------------------------------------------------------------------- */

static void
test_admission_and_expulsion(void **state)
{
	int64_t refused = metric_get(METRIC_DERP_REFUSED);
	struct peer a, b, again, stranger;
	uint8_t hello[256];

	(void)state;
	net.cfg.derp.verify_clients = true;
	peer_keys(&stranger);
	peer_attach(&stranger, &net, 0, &(struct attach){ .is_fast_start = true });
	peer_send(&stranger, hello, peer_hello_put(&stranger, net.public_key, hello));
	peer_expect_closed(&stranger);
	assert_int_equal(metric_get(METRIC_DERP_REFUSED) - refused, 1);
	peer_keys(&a);
	relay_admit(net.relay, &a.key);
	peer_connect(&a, &net, 0);
	b = a;
	b.in = (struct buf){ .p = NULL };
	peer_connect(&b, &net, 1);
	again = a;
	again.in = (struct buf){ .p = NULL };
	relay_expel(net.relay, &a.key);
	peer_expect_closed(&a);
	peer_expect_closed(&b);
	peer_attach(&again, &net, 0, &(struct attach){ .is_fast_start = true });
	peer_send(&again, hello, peer_hello_put(&again, net.public_key, hello));
	peer_expect_closed(&again);
	assert_int_equal(metric_get(METRIC_DERP_REFUSED) - refused, 2);
	peer_close(&again);
	peer_close(&a);
	peer_close(&b);
	peer_close(&stranger);
}

/* One line a minute tells of the refused of a network, and every refusal is counted. */
static void
test_refusals_are_logged_by_network(void **state)
{
	int64_t refused = metric_get(METRIC_DERP_REFUSED);
	struct net_ip from = { .family = 6, .b = { 0x20, 1, 0x0d, 0xb8 } };
	int fds[2], loud = dup(STDERR_FILENO);
	char text[8192] = "";
	unsigned n_lines = 0;

	(void)state;
	net.cfg.derp.verify_clients = true;
	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	for (unsigned i = 0; i < 6; i++) {
		struct peer stranger;
		uint8_t hello[256];

		from.b[15] = (uint8_t)i;
		from.b[7] = i == 5;		/* another network */
		peer_keys(&stranger);
		peer_attach(&stranger, &net, 0, &(struct attach){ .is_fast_start = true, .from = from });
		peer_send(&stranger, hello, peer_hello_put(&stranger, net.public_key, hello));
		peer_expect_closed(&stranger);
		peer_close(&stranger);
	}
	dup2(loud, STDERR_FILENO);
	assert_true(read(fds[0], text, sizeof(text) - 1) > 0);
	for (const char *at = text; (at = strstr(at, "client refused")) != NULL; at++)
		n_lines++;
	assert_int_equal(n_lines, 2);
	assert_int_equal(metric_get(METRIC_DERP_REFUSED) - refused, 6);
	close(loud);
	close(fds[0]);
	close(fds[1]);
}

/* --- packets ---------------------------------------------------------------------------------- */

static void
test_packets_both_ways(void **state)
{
	static const size_t sizes[] = { 0, 1, 32, 61, 1312, 16384, 65535, 65536 };
	static uint8_t packet[65536];
	struct peer a, b;

	(void)state;
	randombytes_buf(packet, sizeof packet);
	peer_open(&a, &net, 0);
	peer_open(&b, &net, 1);
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		peer_send_packet(&a, &b.key, packet, sizes[i]);
		peer_send_packet(&b, &a.key, packet, sizes[i]);
		peer_expect_packet(&b, &a.key, packet, sizes[i]);
		peer_expect_packet(&a, &b.key, packet, sizes[i]);
	}
	peer_expect_nothing(&a);
	peer_expect_nothing(&b);
	peer_close(&a);
	peer_close(&b);
}

/* Runs, alternating receivers, disco in between: all arrive, data in order. */
static void
test_many_in_one_segment(void **state)
{
	static uint8_t bytes[200000];
	uint8_t packet[1000] = { 0 }, disco[62], payload[2048];
	struct peer a, b, c;
	size_t n = 0;

	(void)state;
	peer_open(&a, &net, 0);
	peer_open(&b, &net, 0);
	peer_open(&c, &net, 1);
	for (uint32_t i = 0; i < 120; i++) {
		wire_put_u32be(packet, i);
		n += packet_put(bytes + n, i % 40 < 30 ? &b.key : &c.key, packet, sizeof packet);
		if (i % 30 == 0) {
			disco_put(disco, (uint8_t)i);
			n += packet_put(bytes + n, &b.key, disco, sizeof disco);
		}
	}
	peer_send(&a, bytes, n);
	for (uint32_t i = 0, n_disco = 0; i < 90 || n_disco < 4;) {
		struct derp_frame_hdr h = peer_frame(&b, payload, sizeof payload);

		assert_int_equal(h.type, DERP_FRAME_RECV_PACKET);
		assert_memory_equal(payload, a.key.b, KEY_BYTES);
		if (h.len_bytes == KEY_BYTES + sizeof disco) {
			n_disco++;
			continue;
		}
		assert_int_equal(h.len_bytes, KEY_BYTES + sizeof packet);
		assert_int_equal(wire_u32be(payload + KEY_BYTES), i / 30 * 40 + i % 30);
		i++;
	}
	for (uint32_t i = 0; i < 30; i++) {
		wire_put_u32be(packet, i / 10 * 40 + 30 + i % 10);
		peer_expect_packet(&c, &a.key, packet, sizeof packet);
	}
	peer_close(&a);
	peer_close(&b);
	peer_close(&c);
}

static void
test_byte_by_byte(void **state)
{
	uint8_t bytes[2048], packet[300];
	struct peer a, b;
	size_t n;

	(void)state;
	memset(packet, 0x5a, sizeof packet);
	peer_open(&b, &net, 1);
	peer_keys(&a);
	peer_attach(&a, &net, 0, &(struct attach){ .is_fast_start = true });
	n = peer_hello_put(&a, net.public_key, bytes);
	n += packet_put(bytes + n, &b.key, packet, sizeof packet);
	memcpy(bytes + n, "\xee\0\0\0\x03xyz", 8);
	n += 8;
	memcpy(bytes + n, "\x12\0\0\0\x08" "pingpong", 13);
	n += 13;
	for (size_t i = 0; i < n; i++)
		peer_send(&a, bytes + i, 1);
	peer_expect_server_key(&a);
	peer_expect_server_info(&a);
	peer_expect_packet(&b, &a.key, packet, sizeof packet);
	peer_expect(&a, DERP_FRAME_PONG, "pingpong", 8);
	peer_close(&a);
	peer_close(&b);
}

static void
test_unknown_receiver(void **state)
{
	int64_t data = metric_get(METRIC_DERP_DROP_UNKNOWN_OTHER);
	int64_t discos = metric_get(METRIC_DERP_DROP_UNKNOWN_DISCO);
	int64_t data_bytes = metric_get(METRIC_DERP_DROP_BYTES_UNKNOWN_OTHER);
	int64_t disco_bytes = metric_get(METRIC_DERP_DROP_BYTES_UNKNOWN_DISCO);
	struct node_key nobody = { { 7 } };
	uint8_t disco[62];
	struct peer a;

	(void)state;
	disco_put(disco, 1);
	peer_open(&a, &net, 0);
	for (unsigned i = 0; i < 50; i++)
		peer_send_packet(&a, &nobody, "data", 4);
	peer_expect_nothing(&a);
	for (unsigned i = 0; i < 50; i++)
		peer_send_packet(&a, &nobody, disco, sizeof disco);
	for (unsigned i = 0; i < 3; i++)
		peer_expect_gone(&a, &nobody, DERP_FRAME_GONE_NOT_HERE);
	peer_expect_nothing(&a);
	for (unsigned k = 0; k < 3; k++) {
		net_advance(&net, 1000);
		for (unsigned i = 0; i < 5; i++)
			peer_send_packet(&a, &nobody, disco, sizeof disco);
		peer_expect_gone(&a, &nobody, DERP_FRAME_GONE_NOT_HERE);
		peer_expect_nothing(&a);
	}
	assert_int_equal(metric_get(METRIC_DERP_DROP_UNKNOWN_OTHER) - data, 50);
	assert_int_equal(metric_get(METRIC_DERP_DROP_BYTES_UNKNOWN_OTHER) - data_bytes, 50 * 4);
	assert_int_equal(metric_get(METRIC_DERP_DROP_UNKNOWN_DISCO) - discos, 65);
	assert_int_equal(metric_get(METRIC_DERP_DROP_BYTES_UNKNOWN_DISCO) - disco_bytes, 65 * sizeof disco);
	peer_close(&a);
}

static void
test_peer_gone(void **state)
{
	struct peer a, b, c, d;

	(void)state;
	peer_open(&a, &net, 0);
	peer_open(&b, &net, 0);
	peer_open(&c, &net, 1);
	peer_open(&d, &net, 1);
	peer_send_packet(&a, &b.key, "x", 1);
	peer_send_packet(&a, &c.key, "y", 1);
	peer_send_packet(&a, &b.key, "z", 1);
	peer_send_packet(&d, &a.key, "d", 1);
	peer_expect_packet(&b, &a.key, "x", 1);
	peer_expect_packet(&b, &a.key, "z", 1);
	peer_expect_packet(&c, &a.key, "y", 1);
	peer_close(&a);
	peer_expect_gone(&b, &a.key, DERP_FRAME_GONE_DISCONNECTED);
	peer_expect_gone(&c, &a.key, DERP_FRAME_GONE_DISCONNECTED);
	peer_expect_nothing(&b);
	peer_expect_nothing(&c);
	peer_expect_nothing(&d);	/* had sent, not received */
	peer_close(&b);
	peer_close(&c);
	peer_close(&d);
}

/* More receivers than are remembered: the latest are told, nothing grows. */
static void
test_peer_gone_is_bounded(void **state)
{
	static struct peer others[DERP_PEERS_MAX + 20];
	struct peer a;
	unsigned n_told = 0;

	(void)state;
	peer_open(&a, &net, 0);
	for (unsigned i = 0; i < COUNT_OF(others); i++) {
		peer_open(&others[i], &net, i);
		peer_send_packet(&a, &others[i].key, "x", 1);
		peer_expect_packet(&others[i], &a.key, "x", 1);
	}
	peer_close(&a);
	for (unsigned i = 0; i < COUNT_OF(others); i++) {
		assert_true(peer_recv(&others[i]));
		n_told += others[i].in.len == DERP_FRAME_GONE_BYTES;
	}
	assert_int_equal(n_told, DERP_PEERS_MAX);
	for (unsigned i = 0; i < COUNT_OF(others); i++)
		peer_close(&others[i]);
}

static void
test_same_key_twice(void **state)
{
	struct peer old, new, other;

	(void)state;
	peer_open(&other, &net, 0);
	peer_open(&old, &net, 0);
	new = old;
	new.in = (struct buf){ .p = NULL };
	peer_send_packet(&other, &old.key, "1", 1);
	peer_expect_packet(&old, &other.key, "1", 1);
	peer_connect(&new, &net, 1);
	assert_int_equal(metric_get(METRIC_DERP_DUP_CONNS), 2);
	peer_send_packet(&other, &old.key, "2", 1);	/* the newest is active */
	peer_expect_packet(&new, &other.key, "2", 1);
	peer_expect_nothing(&old);
	peer_send_packet(&old, &other.key, "3", 1);	/* who speaks is active */
	peer_expect_packet(&other, &old.key, "3", 1);
	peer_send_packet(&other, &old.key, "4", 1);
	peer_expect_packet(&old, &other.key, "4", 1);
	peer_expect_nothing(&new);
	peer_send(&new, "\x07\0\0\0\x01\x01", 6);	/* any frame counts */
	peer_send_packet(&other, &old.key, "5", 1);
	peer_expect_packet(&new, &other.key, "5", 1);
	peer_close(&new);
	peer_expect_nothing(&other);			/* it is still there */
	peer_send_packet(&other, &old.key, "6", 1);
	peer_expect_packet(&old, &other.key, "6", 1);
	peer_close(&old);
	peer_expect_gone(&other, &old.key, DERP_FRAME_GONE_DISCONNECTED);
	peer_close(&other);
}

/* A client that changed networks: who got packets from its old connection is told when the new
 * one leaves, and also when both leave at once. */
static void
test_peers_are_handed_on(void **state)
{
	struct peer old, new, other;

	(void)state;
	for (unsigned at_once = 0; at_once < 2; at_once++) {
		peer_open(&other, &net, 0);
		peer_open(&old, &net, 0);
		peer_send_packet(&old, &other.key, "x", 1);
		peer_expect_packet(&other, &old.key, "x", 1);
		new = old;
		new.in = (struct buf){ .p = NULL };
		peer_connect(&new, &net, 1);
		if (at_once) {
			relay_expel(net.relay, &old.key);
			peer_expect_closed(&old);
			peer_expect_closed(&new);
		}
		peer_close(&old);
		if (!at_once)
			peer_expect_nothing(&other);
		peer_close(&new);
		peer_expect_gone(&other, &old.key, DERP_FRAME_GONE_DISCONNECTED);
		peer_expect_nothing(&other);
		peer_close(&other);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ONE(test_upgrade_answer), ONE(test_fast_start_with_bytes_behind),
		ONE(test_hello_deadline), ONE(test_bad_greetings), ONE(test_stolen_and_zero_keys),
		ONE(test_storm_of_greetings), ONE(test_admission_and_expulsion),
		ONE(test_refusals_are_logged_by_network),
		TWO(test_admission_and_expulsion), ONE(test_packets_both_ways),
		TWO(test_packets_both_ways), ONE(test_many_in_one_segment),
		TWO(test_many_in_one_segment), ONE(test_byte_by_byte), TWO(test_byte_by_byte),
		ONE(test_unknown_receiver), ONE(test_peer_gone), TWO(test_peer_gone),
		TWO(test_peer_gone_is_bounded), ONE(test_same_key_twice), TWO(test_same_key_twice),
		ONE(test_peers_are_handed_on), TWO(test_peers_are_handed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
