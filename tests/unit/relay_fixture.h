/*
 * One relay per test, on one worker or on two that the test turns itself. Behind tests/unit/relay_net.h,
 * for programs that need no more than that.
 */
#ifndef TESTS_UNIT_RELAY_FIXTURE_H
#define TESTS_UNIT_RELAY_FIXTURE_H

#include "tests/unit/relay_net.h"

static struct net net;

static inline int
setup_one(void **state)
{
	(void)state;
	net_open(&net, 1, false);
	return 0;
}

static inline int
setup_two(void **state)
{
	(void)state;
	net_open(&net, 2, false);
	return 0;
}

static inline int
teardown(void **state)
{
	(void)state;
	net_close(&net);
	assert_int_equal(metric_get(METRIC_DERP_CONNS), 0);
	assert_int_equal(metric_get(METRIC_DERP_HOME), 0);
	assert_int_equal(metric_get(METRIC_DERP_DUP_CONNS), 0);
	return 0;
}

#define ONE(fn) cmocka_unit_test_setup_teardown(fn, setup_one, teardown)
#define TWO(fn) cmocka_unit_test_setup_teardown(fn, setup_two, teardown)

/* A packet that looks like disco. */
static inline void
disco_put(uint8_t p[62], uint8_t fill)
{
	memset(p, fill, 62);
	memcpy(p, "TS\xf0\x9f\x92\xac", 6);
}

#endif
