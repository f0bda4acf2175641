/* links: relay/relay relay/derp_conn relay/derp_conn_hello relay/derp_read relay/derp_worker relay/derp_mesh relay/derp_mesh_target relay/derp_watch relay/derp_hop relay/derp_peers relay/derp_tally relay/insight relay/derp_route relay/quota relay/derp_queue relay/derp_hello relay/derp_frame relay/stun relay/derp_mesh_set */
/* Quotas: the arithmetic with a clock of the test's, and relayed clients in real time: a lower bound of how
 * long a limited one takes is no matter of the machine's speed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/relay_fixture.h"

#define T0 5000000000LL

static void
test_rate(void **state)
{
	struct quota *q = quota_new(1000000);

	(void)state;
	assert_int_equal(quota_take_us(q, 100000, T0), 0);		/* the burst: 100 ms of it */
	assert_int_equal(quota_take_us(q, 1000, T0), 1000);
	assert_int_equal(quota_take_us(q, 9000, T0), 10000);
	assert_int_equal(quota_take_us(q, 0, T0 + 4000), 6000);
	assert_int_equal(quota_take_us(q, 0, T0 + 10000), 0);
	assert_int_equal(quota_take_us(q, 100001, T0 + 3600000000LL), 1);	/* an idle hour saves no more */
	quota_set_rate(q, 10000000);
	assert_int_equal(quota_take_us(q, 9990, T0 + 3600000000LL), 1000);
	quota_set_rate(q, 0);
	assert_int_equal(quota_take_us(q, 1u << 30, T0 + 3600000000LL), 0);
	assert_int_equal(quota_rate(q), 0);
	quota_drop(q);
	quota_drop(NULL);
}

/* Many on a small one, each of whom reads a little now and then: that is not a debt of hours. */
static void
test_debt_is_bounded(void **state)
{
	struct quota *q = quota_new(1000);

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_in_range(quota_take_us(q, 2048, T0), 1, QUOTA_DEBT_MAX_US);
	quota_set_rate(q, 1000000000);		/* raised: it helps */
	assert_int_equal(quota_take_us(q, 2048, T0 + QUOTA_DEBT_MAX_US + 100), 0);
	quota_drop(q);
}

static void
test_set(void **state)
{
	struct quota *own = quota_new(1000000), *tag = quota_new(100000), *all[] = { own, tag };
	struct quota_set *first = quota_set_new(all, 2), *second = quota_set_new(&tag, 1);

	(void)state;
	quota_drop(own);
	quota_drop(tag);		/* the sets hold them */
	assert_null(quota_set_new(all, 0));
	assert_null(quota_set_hold(NULL));
	quota_set_drop(NULL);
	assert_int_equal(quota_set_take_us(first, 10000, T0), 0);
	assert_int_equal(quota_set_take_us(first, 1000, T0), 10000);	/* the tag's is the smaller */
	assert_int_equal(quota_set_take_us(second, 1000, T0), 20000);	/* and shared */
	assert_int_equal(quota_set_turn_bytes(second, 65536), 2048);
	quota_set_rate(tag, 640000);
	assert_int_equal(quota_set_turn_bytes(first, 65536), 10000);
	quota_set_rate(tag, 0);
	assert_int_equal(quota_set_turn_bytes(second, 65536), 65536);
	assert_ptr_equal(quota_set_hold(second), second);
	quota_set_drop(second);
	quota_set_drop(second);
	quota_set_drop(first);
}

/* Of sender and receiver, both admitted. */
static void
pair_open(struct peer *a, struct peer *b)
{
	struct peer *both[] = { a, b };

	for (unsigned i = 0; i < 2; i++) {
		peer_keys(both[i]);
		relay_admit(net.relay, &both[i]->key);
		peer_connect(both[i], &net, i);
	}
}

static int64_t
send_all(struct peer *a, struct peer *b, unsigned n_packets)
{
	static uint8_t packet[1000];
	int64_t began = clock_mono_us();

	for (unsigned k = 0; k < n_packets; k++) {
		peer_send_packet(a, &b->key, packet, sizeof packet);
		peer_expect_packet(b, &a->key, packet, sizeof packet);
	}
	return clock_mono_us() - began;
}

static void
quota_give(const struct peer *p, struct quota *q)
{
	relay_quota_take(net.relay, &p->key, quota_set_new(&q, q != NULL));
}

/* 300 KB at 1 MB/s, 100 KB of it at once. Nothing is lost or out of order, and the answers to pings come
 * behind what was sent before them. */
static void
test_limited_while_connected(void **state)
{
	int64_t pauses = metric_get(METRIC_DERP_QUOTA_PAUSES);
	struct quota *q = quota_new(1000000);
	struct peer a, b;

	(void)state;
	net_open(&net, 2, true);
	net.cfg.derp.verify_clients = true;
	pair_open(&a, &b);
	quota_give(&a, q);
	assert_in_range(send_all(&a, &b, 300), 190000, 60000000);
	assert_true(metric_get(METRIC_DERP_QUOTA_PAUSES) > pauses);
	pauses = metric_get(METRIC_DERP_QUOTA_PAUSES);
	send_all(&b, &a, 300);				/* the other direction is not its own */
	assert_int_equal(metric_get(METRIC_DERP_QUOTA_PAUSES), pauses);
	quota_set_rate(q, 1000);			/* a second for a packet */
	send_all(&a, &b, 3);
	quota_give(&a, NULL);				/* lifted while it is left alone */
	send_all(&a, &b, 1);
	pauses = metric_get(METRIC_DERP_QUOTA_PAUSES);
	send_all(&a, &b, 300);
	assert_int_equal(metric_get(METRIC_DERP_QUOTA_PAUSES), pauses);
	quota_drop(q);
	peer_close(&a);
	peer_close(&b);
	net_close(&net);
}

/* Given before it comes; shared by two; gone with its admission. */
static void
test_limited_from_the_start(void **state)
{
	struct quota *q = quota_new(500000);
	struct peer a, b, other, stranger;

	(void)state;
	net_open(&net, 1, true);
	net.cfg.derp.verify_clients = true;
	peer_keys(&stranger);
	quota_give(&stranger, q);			/* of a key that is not admitted nothing is kept */
	pair_open(&a, &b);
	peer_keys(&other);
	relay_admit(net.relay, &other.key);
	quota_give(&other, q);
	quota_give(&a, q);
	peer_connect(&other, &net, 0);
	int64_t began = clock_mono_us();
	send_all(&a, &b, 100);
	send_all(&other, &b, 100);
	assert_in_range(clock_mono_us() - began, 290000, 60000000);
	relay_expel(net.relay, &other.key);
	peer_expect_closed(&other);
	quota_drop(q);
	peer_close(&a);
	peer_close(&b);
	peer_close(&other);
	net_close(&net);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate), cmocka_unit_test(test_debt_is_bounded),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_limited_while_connected),
		cmocka_unit_test(test_limited_from_the_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
