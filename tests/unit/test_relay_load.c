/* links: relay/relay relay/derp_conn relay/derp_conn_hello relay/derp_read relay/derp_worker relay/derp_mesh relay/derp_mesh_target relay/derp_watch relay/derp_hop relay/derp_peers relay/derp_tally relay/insight relay/derp_route relay/quota relay/derp_queue relay/derp_hello relay/derp_frame relay/stun relay/derp_mesh_set */
/* Small frames, and the relay under load and at its end: slow readers, a worker that does not
 * get on, running threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/relay_fixture.h"

/* --- other frames ----------------------------------------------------------------------------- */

static void
test_ping(void **state)
{
	uint8_t longest[DERP_FRAME_HDR_BYTES + 1000] = { 0x12, 0, 0, 0x03, 0xe8, 'l', 'o', 'n', 'g' };
	struct peer p;

	(void)state;
	peer_open(&p, &net, 0);
	peer_send(&p, "\x12\0\0\0\x08" "12345678", 13);
	peer_expect(&p, DERP_FRAME_PONG, "12345678", 8);
	peer_send(&p, longest, sizeof longest);
	peer_expect(&p, DERP_FRAME_PONG, "long\0\0\0\0", 8);
	peer_send(&p, "\x13\0\0\0\x08" "12345678", 13);	/* an answer to nothing */
	peer_expect_nothing(&p);
	peer_close(&p);
}

/* Pings from one who reads nothing: one answer waits, no memory grows, others are served. */
static void
test_pings_never_read(void **state)
{
	static uint8_t pings[13 * 5000];
	struct derp_worker *dw = net_worker(&net, 0);
	struct peer p, a, b;

	(void)state;
	for (size_t i = 0; i < sizeof pings; i += 13)
		memcpy(pings + i, "\x12\0\0\0\x08" "12345678", 13);
	peer_open(&p, &net, 0);
	for (unsigned i = 0; i < 50; i++)
		peer_send(&p, pings, sizeof pings);
	assert_true(dw->pool.n_used <= 1);
	peer_open(&a, &net, 0);
	peer_open(&b, &net, 0);
	peer_send_packet(&a, &b.key, "x", 1);
	peer_expect_packet(&b, &a.key, "x", 1);
	peer_close(&p);
	peer_close(&a);
	peer_close(&b);
	assert_int_equal(dw->pool.n_used, 0);
}

static void
test_bad_frames_close(void **state)
{
	static const struct { const char *bytes; size_t n; } cases[] = {
		{ "\x04\0\0\0\x1f", 5 },		/* SendPacket without a whole key */
		{ "\x04\0\x01\0\x21", 5 },		/* 65537 byte packet */
		{ "\x04\xff\xff\xff\xff", 5 },
		{ "\x07\0\0\0\0", 5 },
		{ "\x07\0\0\0\x02", 5 },
		{ "\x12\0\0\0\x07", 5 },
		{ "\x12\0\0\x03\xe9", 5 },
		{ "\x0a\0\0\0\x40", 5 },		/* only mesh peers may */
		{ "\x10\0\0\0\0", 5 },
		{ "\x11\0\0\0\x20", 5 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct peer p;

		peer_open(&p, &net, 0);
		peer_send(&p, cases[i].bytes, cases[i].n);
		peer_expect_closed(&p);
		peer_close(&p);
	}
}

static void
test_unknown_frames_are_skipped(void **state)
{
	static uint8_t rubbish[100000];
	int64_t unknown = metric_get(METRIC_DERP_UNKNOWN);
	struct derp_worker *dw = net_worker(&net, 0);
	struct peer p;

	(void)state;
	memset(rubbish, 0x12, sizeof rubbish);
	peer_open(&p, &net, 0);
	peer_send(&p, "\xee\0\0\0\0\xef\0\0\0\x05" "hello", 15);
	peer_send(&p, "\x12\0\0\0\x08" "12345678", 13);
	peer_expect(&p, DERP_FRAME_PONG, "12345678", 8);
	peer_send(&p, "\xee\0\x01\x86\xa0", 5);		/* 100000 bytes */
	peer_send(&p, rubbish, sizeof rubbish);
	peer_send(&p, "\x12\0\0\0\x08" "12345678", 13);
	peer_expect(&p, DERP_FRAME_PONG, "12345678", 8);
	peer_send(&p, "\xee\xff\xff\xff\xff", 5);	/* for ever */
	for (unsigned i = 0; i < 100; i++)
		peer_send(&p, rubbish, sizeof rubbish);
	peer_expect_nothing(&p);
	assert_int_equal(dw->pool.n_used, 0);
	assert_int_equal(metric_get(METRIC_DERP_UNKNOWN) - unknown, 4);
	peer_close(&p);
}

static void
test_keepalive(void **state)
{
	struct peer p;
	int64_t at_ms = 0;

	(void)state;
	peer_open(&p, &net, 0);
	for (unsigned k = 0; k < 3; k++) {
		unsigned n_s = 0;

		do {
			assert_int_equal(p.in.len, 0);
			net_advance(&net, 1000);
			n_s++;
			assert_true(n_s <= 67);
			assert_true(peer_recv(&p));
		} while (p.in.len == 0);
		assert_true(n_s >= 60);
		peer_expect(&p, DERP_FRAME_KEEP_ALIVE, "", 0);
		peer_expect_nothing(&p);
		assert_true(k == 0 || (int64_t)n_s - at_ms <= 1);	/* the offset is fixed */
		at_ms = n_s;
	}
	net_advance(&net, 600000);	/* a machine that slept */
	peer_expect(&p, DERP_FRAME_KEEP_ALIVE, "", 0);
	peer_expect_nothing(&p);
	assert_int_equal(net_worker(&net, 0)->pool.n_used, 0);
	peer_close(&p);
}

/* --- slow readers ----------------------------------------------------------------------------- */

/* Sends n packets of 1000 bytes, numbered from first on. */
static void
flood(struct peer *from, const struct node_key *to, uint32_t first, uint32_t n)
{
	static uint8_t bytes[1037 * 60];
	uint8_t packet[1000] = { 0 };

	for (uint32_t i = 0; i < n;) {
		size_t len = 0;

		for (unsigned k = 0; k < 60 && i < n; k++, i++) {
			wire_put_u32be(packet, first + i);
			len += packet_put(bytes + len, to, packet, sizeof packet);
		}
		peer_send(from, bytes, len);
	}
}

static void
test_slow_reader_harms_nobody(void **state)
{
	struct derp_worker *dw = net_worker(&net, net.n_workers - 1);
	int64_t head = metric_get(METRIC_DERP_DROP_HEAD_OTHER), in = metric_get(METRIC_DERP_PKT_IN),
	    out = metric_get(METRIC_DERP_PKT_OUT);
	uint32_t n_got = 0, last = 0;
	uint8_t payload[2048];
	struct peer a, slow, c;

	(void)state;
	peer_open(&a, &net, 0);
	peer_open(&slow, &net, 1);
	peer_open(&c, &net, 1);
	for (uint32_t i = 0; i < 50; i++) {
		flood(&a, &slow.key, i * 120, 120);		/* 6 MB in all */
		assert_true(dw->pool.n_used * 16384 <= 2 * NET_QUEUE_BYTES);
		peer_send_packet(&a, &c.key, &i, sizeof i);
		peer_expect_packet(&c, &a.key, &i, sizeof i);
	}
	/* The oldest were dropped: what was sealed before comes, then the newest up to the last. */
	do {
		struct derp_frame_hdr h = peer_frame(&slow, payload, sizeof payload);
		uint32_t number = wire_u32be(payload + KEY_BYTES);

		assert_int_equal(h.type, DERP_FRAME_RECV_PACKET);
		assert_true(n_got == 0 || number > last);
		last = number;
		n_got++;
	} while (last != 50 * 120 - 1);
	assert_in_range(n_got, 200, 600);
	assert_int_equal(metric_get(METRIC_DERP_DROP_HEAD_OTHER) - head, 6000 - n_got);
	assert_int_equal(metric_get(METRIC_DERP_PKT_IN) - in, 6050);
	assert_int_equal(metric_get(METRIC_DERP_PKT_OUT) - out, 50 + n_got);
	assert_int_equal(dw->pool.n_used, 0);
	flood(&a, &slow.key, 7000, 10);				/* and all is well again */
	for (uint32_t i = 0; i < 10; i++)
		assert_int_equal(peer_frame(&slow, payload, sizeof payload).len_bytes, 1032);
	peer_close(&a);
	peer_close(&slow);
	peer_close(&c);
}

static void
test_waited_too_long_is_dropped(void **state)
{
	int64_t head = metric_get(METRIC_DERP_DROP_HEAD_OTHER);
	uint8_t payload[2048];
	uint32_t number, n_old = 0;
	struct peer a, slow;

	(void)state;
	peer_open(&a, &net, 0);
	peer_open(&slow, &net, 0);
	flood(&a, &slow.key, 0, 200);
	net_advance(&net, 1500);
	flood(&a, &slow.key, 1000, 5);
	do {
		peer_frame(&slow, payload, sizeof payload);
		number = wire_u32be(payload + KEY_BYTES);
		n_old += number < 1000;
	} while (number != 1004);
	assert_true(n_old > 0 && n_old < 120);			/* what the socket had */
	assert_int_equal(metric_get(METRIC_DERP_DROP_HEAD_OTHER) - head, 200 - n_old);
	peer_close(&a);
	peer_close(&slow);
}

static void
test_disco_overtakes_data(void **state)
{
	uint8_t payload[2048], disco[62];
	unsigned at = 0, n = 0;
	struct peer a, slow;

	(void)state;
	disco_put(disco, 9);
	peer_open(&a, &net, 0);
	peer_open(&slow, &net, 1);
	flood(&a, &slow.key, 0, 240);
	peer_send_packet(&a, &slow.key, disco, sizeof disco);
	while (n < 241) {
		struct derp_frame_hdr h = peer_frame(&slow, payload, sizeof payload);

		if (h.len_bytes == KEY_BYTES + sizeof disco)
			at = n;
		n++;
	}
	assert_in_range(at, 1, 130);
	peer_close(&a);
	peer_close(&slow);
}

static void
test_who_reads_nothing_is_closed(void **state)
{
	struct peer a, slow, slower;
	uint8_t payload[2048];

	(void)state;
	peer_open(&a, &net, 0);
	peer_open(&slow, &net, 0);
	peer_open(&slower, &net, 1);
	flood(&a, &slow.key, 0, 300);
	flood(&a, &slower.key, 0, 300);
	for (unsigned i = 0; i < 12; i++) {
		net_advance(&net, 1000);
		for (unsigned k = 0; k < 20; k++)		/* slowly, but it reads */
			peer_frame(&slow, payload, sizeof payload);
		flood(&a, &slow.key, 1000 * i, 60);
	}
	peer_expect_closed(&slower);
	assert_int_equal(metric_get(METRIC_DERP_CONNS), 2);
	peer_close(&a);
	peer_close(&slow);
	peer_close(&slower);
}

/* A worker that does not get on: what is on its way to it is bounded. */
static void
test_hop_is_bounded(void **state)
{
	int64_t dropped = metric_get(METRIC_DERP_DROP_HOP_OTHER);
	static uint8_t bytes[1037 * 60];
	uint8_t packet[1000] = { 0 };
	struct peer a, b;
	size_t len = 0;

	(void)state;
	peer_open(&a, &net, 0);
	peer_open(&b, &net, 1);
	for (unsigned k = 0; k < 60; k++)
		len += packet_put(bytes + len, &b.key, packet, sizeof packet);
	for (unsigned i = 0; i < 400; i++) {			/* 24 MB; only worker 0 runs */
		size_t at = 0;

		while (at < len) {
			ssize_t k = send(a.fd, bytes + at, len - at, MSG_NOSIGNAL);

			at += k > 0 ? (size_t)k : 0;
			worker_turn(worker_group_at(net.g, 0), false);
		}
	}
	assert_in_range(atomic_load(&net_worker(&net, 1)->hop_bytes), 8u << 20, 9u << 20);
	assert_in_range(metric_get(METRIC_DERP_DROP_HOP_OTHER) - dropped, 14000, 17000);
	net_turn(&net);
	assert_int_equal(atomic_load(&net_worker(&net, 1)->hop_bytes), 0);
	peer_close(&a);
	peer_close(&b);
}

/* The relay stops while clients are connected and packets wait. */
static void
test_stop_with_everything_open(void **state)
{
	struct peer peers[4];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		peer_open(&peers[i], &net, i);
	for (unsigned i = 0; i < 4; i++)
		flood(&peers[i], &peers[(i + 1) % 4].key, 0, 300);
	peer_send(&peers[0], "\x04\0\x01\0", 4);		/* half a header */
	worker_group_stop(net.g);
	for (unsigned i = 0; i < 4; i++) {
		while (peer_recv(&peers[i]))
			;
		close(peers[i].fd);
		buf_fini(&peers[i].in);
	}
}

/* A boot that failed: the workers never ran, nobody stopped them. */
static void
test_free_without_stop(void **state)
{
	struct err_text why;

	(void)state;
	net_open(&net, 2, false);
	net.cfg.listen_stun = (struct config_list){ .items = (char *[]){ (char[]){ "127.0.0.1:0" } },
		.n = 1 };
	assert_int_equal(relay_stun_listen(net.relay, &why), ERR_OK);
	assert_int_not_equal(relay_stun_port(net.relay), 0);
	relay_stun_close(net.relay);
	assert_int_equal(relay_stun_port(net.relay), 0);
	relay_free(net.relay);
	relay_free(NULL);
	worker_group_free(net.g);
	clock_test_stop();
}

/* --- threads ---------------------------------------------------------------------------------- */

static void
run_threaded(unsigned n_workers)
{
	struct peer peers[6], again;
	uint8_t packet[1200], disco[62];

	disco_put(disco, 3);
	net_open(&net, n_workers, true);
	net.cfg.derp.verify_clients = true;
	for (unsigned i = 0; i < COUNT_OF(peers); i++) {
		peer_keys(&peers[i]);
		relay_admit(net.relay, &peers[i].key);
		peer_connect(&peers[i], &net, i);
	}
	for (uint32_t k = 0; k < 300; k++) {
		memset(packet, (int)k, sizeof packet);
		for (unsigned i = 0; i < COUNT_OF(peers); i++)
			peer_send_packet(&peers[i], &peers[(i + 1) % 6].key, packet, sizeof packet);
		for (unsigned i = 0; i < COUNT_OF(peers); i++)
			peer_expect_packet(&peers[(i + 1) % 6], &peers[i].key, packet, sizeof packet);
	}
	again = peers[0];
	again.in = (struct buf){ .p = NULL };
	peer_connect(&again, &net, 1);
	peer_send_packet(&peers[1], &again.key, disco, sizeof disco);
	peer_expect_packet(&again, &peers[1].key, disco, sizeof disco);
	relay_expel(net.relay, &again.key);
	peer_expect_closed(&peers[0]);
	peer_expect_closed(&again);
	peer_expect_gone(&peers[1], &again.key, DERP_FRAME_GONE_DISCONNECTED);
	for (unsigned i = 1; i < COUNT_OF(peers); i++)
		flood(&peers[i], &peers[i % 5 + 1].key, 0, 600);
	net_close(&net);
	for (unsigned i = 0; i < COUNT_OF(peers); i++)
		peer_close(&peers[i]);
	peer_close(&again);
	assert_int_equal(metric_get(METRIC_DERP_CONNS), 0);
}

static void
test_one_thread(void **state)
{
	(void)state;
	run_threaded(1);
}

static void
test_two_threads(void **state)
{
	(void)state;
	run_threaded(2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ONE(test_ping), ONE(test_pings_never_read), ONE(test_bad_frames_close),
		ONE(test_unknown_frames_are_skipped), ONE(test_keepalive),
		ONE(test_slow_reader_harms_nobody), TWO(test_slow_reader_harms_nobody),
		ONE(test_waited_too_long_is_dropped), ONE(test_disco_overtakes_data),
		TWO(test_disco_overtakes_data), ONE(test_who_reads_nothing_is_closed),
		TWO(test_who_reads_nothing_is_closed), TWO(test_hop_is_bounded),
		ONE(test_stop_with_everything_open), TWO(test_stop_with_everything_open),
		cmocka_unit_test(test_free_without_stop),
		cmocka_unit_test(test_one_thread), cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
