/* A queue with its pool, in limits of 100 KB of packets and 0.8 s. After a test nothing is in the pool. */
#ifndef TESTS_UNIT_DERP_QUEUE_FIXTURE_H
#define TESTS_UNIT_DERP_QUEUE_FIXTURE_H

#include <string.h>

#include "relay/derp_frame.h"
#include "relay/derp_queue.h"

#define HEAD (DERP_FRAME_HDR_BYTES + KEY_BYTES)

struct fixture {
	struct derp_queue q;
	struct derp_queue_pool pool;
	uint8_t frame[DERP_FRAME_MAX_BYTES];
};

static inline int
setup(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof f);
	derp_queue_pool_init(&f.pool, &(struct derp_queue_limits){
		.bytes = { [DERP_LANE_CONTROL] = 4096, [DERP_LANE_DATA] = 100000 }, .wait_ms = 800,
	});
	*state = &f;
	return 0;
}

/* Packets that were put and never taken. */
static inline uint64_t
dropped(const struct fixture *f)
{
	const struct derp_queue_counts *c = &f->pool.counts;

	return derp_drops_packets(&c->dropped_head) + derp_drops_packets(&c->dropped_tail) +
	    derp_drops_packets(&c->dropped_gone) + derp_drops_packets(&c->dropped_memory);
}

static inline int
teardown(void **state)
{
	struct fixture *f = *state;

	derp_queue_clear(&f->q, &f->pool);
	assert_int_equal(f->pool.n_used, 0);
	derp_queue_pool_fini(&f->pool);
	return 0;
}

#endif
