/* links: relay/derp_queue relay/derp_frame */
/* Memory that queues share: it bounds them all together, the longest pay, and there is room for the others. */
#include "relay/derp_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "derp_queue_fixture.h"

#define RECEIVERS 40u

/* A packet frame of n bytes in all. */
static void
put(struct fixture *f, enum derp_lane lane, size_t n)
{
	derp_frame_put_hdr(f->frame, DERP_FRAME_RECV_PACKET, (uint32_t)n - DERP_FRAME_HDR_BYTES);
	derp_queue_put(&f->q, &f->pool, lane, f->frame, n, 0);
}

/* So many packets for one receiver. */
static void
flood(struct fixture *f, struct derp_queue *q, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		derp_frame_put_hdr(f->frame, DERP_FRAME_RECV_PACKET, 1400 + KEY_BYTES);
		derp_queue_put(q, &f->pool, DERP_LANE_DATA, f->frame, HEAD + 1400, 0);
	}
}

static void
test_memory_is_shared(void **state)
{
	struct fixture *f = *state;
	struct derp_memory memory = { .cap_bytes = 1 << 20 };
	struct derp_queue slow[RECEIVERS] = { 0 }, good = { 0 };

	f->pool.memory = &memory;
	/* More would like to have all than there is: together they stay within it. */
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < RECEIVERS; i++) {
			flood(f, &slow[i], 20);
			assert_true(atomic_load(&memory.used_bytes) <= memory.cap_bytes);
		}
	}
	assert_true(derp_queue_pool_is_scarce(&f->pool));
	/* The longest have paid: none has much more than another, and nobody has nothing. */
	for (unsigned i = 0; i < RECEIVERS; i++) {
		size_t n = derp_queue_bytes(&slow[i], DERP_LANE_DATA);

		assert_true(n >= HEAD + 1400 && n <= 80000);
	}
	/* One that is emptied as it should be finds room all the time. */
	for (unsigned i = 0; i < 200; i++) {
		const uint8_t *p;
		size_t n;

		flood(f, &good, 5);
		while (derp_queue_peek(&good, &p, &n))
			derp_queue_take(&good, &f->pool, n);
		flood(f, &slow[i % RECEIVERS], 5);
	}
	assert_true(f->pool.counts.taken_packets == 1000);
	for (unsigned i = 0; i < RECEIVERS; i++)
		derp_queue_clear(&slow[i], &f->pool);
	assert_int_equal(atomic_load(&memory.used_bytes), 0);
	assert_int_equal(f->pool.counts.memory_bytes, 0);
	assert_false(derp_queue_pool_is_scarce(&f->pool));
}

static void
test_memory_is_full(void **state)
{
	struct fixture *f = *state;
	struct derp_memory memory = { .cap_bytes = 100000 };
	uint8_t pong[DERP_FRAME_HDR_BYTES + 8];

	f->pool.memory = &memory;
	derp_queue_pool_hold(&f->pool, 90000);	/* what sockets did not take, unfinished frames */
	assert_true(derp_queue_pool_is_full(&f->pool));
	put(f, DERP_LANE_DATA, 1000);
	put(f, DERP_LANE_CONTROL, 100);
	assert_int_equal(derp_drops_packets(&f->pool.counts.dropped_memory), 2);
	assert_true(derp_queue_is_empty(&f->q));
	/* What we say ourselves goes through. */
	memset(pong, 0, sizeof pong);
	derp_frame_put_hdr(pong, DERP_FRAME_PONG, 8);
	derp_queue_put(&f->q, &f->pool, DERP_LANE_CONTROL, pong, sizeof pong, 0);
	assert_int_equal(derp_queue_bytes(&f->q, DERP_LANE_CONTROL), sizeof pong);
	derp_queue_clear(&f->q, &f->pool);
	derp_queue_pool_hold(&f->pool, -90000);
	put(f, DERP_LANE_DATA, 1000);
	assert_false(derp_queue_is_empty(&f->q));
	derp_queue_clear(&f->q, &f->pool);
	assert_int_equal(atomic_load(&memory.used_bytes), 0);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_memory_is_shared), T(test_memory_is_full) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
