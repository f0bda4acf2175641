/* links: relay/derp_queue relay/derp_frame */
/* The output queue: order, lanes, bounds in bytes and time, memory. */
#include "relay/derp_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/wire.h"
#include "derp_queue_fixture.h"

/* A packet frame of n bytes in all that carries a number. */
static void
put(struct fixture *f, enum derp_lane lane, uint32_t number, size_t n, int64_t now_ms)
{
	assert_true(n >= HEAD + 4 && n <= sizeof f->frame);
	memset(f->frame, 0xaa, n);
	derp_frame_put_hdr(f->frame, DERP_FRAME_RECV_PACKET, (uint32_t)n - DERP_FRAME_HDR_BYTES);
	wire_put_u32be(f->frame + HEAD, number);
	derp_queue_put(&f->q, &f->pool, lane, f->frame, n, now_ms);
}

/* The same of one of several senders. */
static void
put_from(struct fixture *f, uint8_t sender, uint32_t number, size_t n, int64_t now_ms)
{
	assert_true(n >= HEAD + 4 && n <= sizeof f->frame);
	memset(f->frame, 0xaa, n);
	derp_frame_put_hdr(f->frame, DERP_FRAME_RECV_PACKET, (uint32_t)n - DERP_FRAME_HDR_BYTES);
	f->frame[DERP_FRAME_HDR_BYTES] = sender;
	f->frame[DERP_FRAME_HDR_BYTES + 7] = (uint8_t)(sender * 37);
	wire_put_u32be(f->frame + HEAD, number);
	derp_queue_put(&f->q, &f->pool, DERP_LANE_DATA, f->frame, n, now_ms);
}

/* Takes all bytes in pieces of at most 16 KiB and gives the numbers in order. */
static unsigned
take_all(struct fixture *f, uint32_t *numbers, unsigned cap)
{
	static uint8_t out[1 << 20];
	size_t n_out = 0, n;
	const uint8_t *p;
	unsigned count = 0;

	while (derp_queue_peek(&f->q, &p, &n)) {
		if (n > 16384)
			n = 16384;
		assert_true(n_out + n <= sizeof out);
		memcpy(out + n_out, p, n);
		n_out += n;
		derp_queue_take(&f->q, &f->pool, n);
	}
	for (size_t at = 0; at < n_out;) {
		struct derp_frame_hdr h;

		assert_int_equal(derp_frame_parse(out + at, n_out - at, &h), ERR_OK);
		assert_int_equal(h.type, DERP_FRAME_RECV_PACKET);
		assert_true(h.len_bytes <= n_out - at - DERP_FRAME_HDR_BYTES);
		assert_true(count < cap);
		numbers[count++] = wire_u32be(out + at + HEAD);
		at += DERP_FRAME_HDR_BYTES + h.len_bytes;
	}
	return count;
}

static void
test_empty_owns_nothing(void **state)
{
	struct fixture *f = *state;
	const uint8_t *p;
	size_t n;

	assert_true(derp_queue_is_empty(&f->q));
	assert_false(derp_queue_peek(&f->q, &p, &n));
	assert_int_equal(f->pool.n_used, 0);
	put(f, DERP_LANE_DATA, 1, 100, 0);
	assert_int_equal(f->pool.n_used, 1);
	assert_false(derp_queue_is_empty(&f->q));
	assert_true(derp_queue_peek(&f->q, &p, &n));
	assert_int_equal(n, 100);
	derp_queue_take(&f->q, &f->pool, n);
	assert_true(derp_queue_is_empty(&f->q));
	assert_int_equal(f->pool.n_used, 0);
	assert_int_equal(f->pool.counts.taken_packets, 1);
	assert_int_equal(f->pool.counts.taken_bytes, 100 - HEAD);
}

static void
test_frames_share_a_record(void **state)
{
	struct fixture *f = *state;
	const uint8_t *p;
	uint32_t numbers[64];
	size_t n;

	for (uint32_t i = 0; i < 30; i++)
		put(f, DERP_LANE_DATA, i, 1349, 0);
	assert_int_equal(f->pool.n_used, 3);
	assert_true(derp_queue_peek(&f->q, &p, &n));
	assert_int_equal(n, 12 * 1349);
	assert_int_equal(derp_queue_bytes(&f->q, DERP_LANE_DATA), 30 * 1349);
	assert_int_equal(take_all(f, numbers, 64), 30);
	for (uint32_t i = 0; i < 30; i++)
		assert_int_equal(numbers[i], i);
	assert_int_equal(f->pool.counts.taken_packets, 30);
	assert_int_equal(derp_drops_packets(&f->pool.counts.dropped_head), 0);
}

static void
test_several_frames_at_once(void **state)
{
	struct fixture *f = *state;
	uint8_t three[3 * 50];
	uint32_t numbers[4];

	for (uint32_t i = 0; i < 3; i++) {
		uint8_t *p = three + (size_t)i * 50;

		memset(p, 0, 50);
		derp_frame_put_hdr(p, DERP_FRAME_RECV_PACKET, 45);
		wire_put_u32be(p + HEAD, i);
	}
	derp_queue_put(&f->q, &f->pool, DERP_LANE_DATA, three, sizeof three, 0);
	assert_int_equal(take_all(f, numbers, 4), 3);
	assert_int_equal(numbers[2], 2);
}

static void
test_control_goes_first(void **state)
{
	struct fixture *f = *state;
	uint32_t numbers[8];

	put(f, DERP_LANE_DATA, 1, 1000, 0);
	put(f, DERP_LANE_CONTROL, 2, 100, 0);
	put(f, DERP_LANE_DATA, 3, 1000, 0);
	put(f, DERP_LANE_CONTROL, 4, 100, 0);
	assert_int_equal(take_all(f, numbers, 8), 4);
	assert_memory_equal(numbers, ((uint32_t[]){ 2, 4, 1, 3 }), sizeof(uint32_t) * 4);
}

/* Packets are counted by the time that the first one of their chunk waited. */
static void
test_delays(void **state)
{
	static const struct { int64_t wait_ms; unsigned at; } waits[] = {
		{ 2, 0 }, { 3, 1 }, { 4, 1 }, { 5, 2 }, { 512, 8 }, { 513, 9 }, { 700, 9 },
	};
	struct fixture *f = *state;
	struct derp_queue_delays *d = &f->pool.delays;
	uint32_t numbers[8];
	int64_t now_ms = 1000;
	uint64_t sum = 0;

	for (int64_t wait_ms = 0; wait_ms <= 1; wait_ms++) {
		put(f, DERP_LANE_DATA, 1, 100, now_ms);
		derp_queue_expire(&f->q, &f->pool, now_ms += wait_ms);
		assert_int_equal(take_all(f, numbers, 8), 1);
		sum += (uint64_t)wait_ms;
	}
	assert_int_equal(d->packets, 0);
	for (size_t i = 0; i < COUNT_OF(waits); i++) {
		uint64_t before = d->by_time[waits[i].at];

		put(f, DERP_LANE_DATA, 1, 100, now_ms);
		put(f, DERP_LANE_DATA, 2, 100, now_ms + 1);
		put(f, DERP_LANE_CONTROL, 3, 100, now_ms);
		derp_queue_expire(&f->q, &f->pool, now_ms += waits[i].wait_ms);
		assert_int_equal(take_all(f, numbers, 8), 3);
		assert_int_equal(d->by_time[waits[i].at], before + 3);
		sum += 3 * (uint64_t)waits[i].wait_ms;
	}
	assert_int_equal(d->packets, 3 * COUNT_OF(waits));
	assert_int_equal(d->waited_ms, sum);
}

/* A frame longer than a chunk is sent in parts, and nothing comes between them. */
static void
test_long_frame_is_not_cut(void **state)
{
	struct fixture *f = *state;
	uint32_t numbers[8];
	const uint8_t *p;
	size_t n;

	put(f, DERP_LANE_DATA, 1, 40000, 0);
	assert_true(derp_queue_peek(&f->q, &p, &n));
	assert_int_equal(n, 40000);
	derp_queue_take(&f->q, &f->pool, 16384);
	put(f, DERP_LANE_CONTROL, 2, 100, 0);
	assert_true(derp_queue_peek(&f->q, &p, &n));
	assert_int_equal(n, 40000 - 16384);
	derp_queue_expire(&f->q, &f->pool, 5000);	/* the control frame only */
	assert_int_equal(derp_drops_packets(&f->pool.counts.dropped_head), 1);
	assert_int_equal(f->pool.counts.dropped_head.packets[DERP_LANE_CONTROL], 1);
	assert_int_equal(f->pool.counts.dropped_head.bytes[DERP_LANE_CONTROL], 100 - HEAD);
	put(f, DERP_LANE_CONTROL, 3, 100, 5000);
	derp_queue_take(&f->q, &f->pool, n);
	assert_int_equal(f->pool.counts.taken_packets, 1);
	assert_int_equal(f->pool.counts.taken_bytes, 40000 - HEAD);
	assert_int_equal(take_all(f, numbers, 8), 1);
	assert_int_equal(numbers[0], 3);
}

static void
test_bytes_drop_from_head(void **state)
{
	struct fixture *f = *state;
	uint32_t numbers[256];
	unsigned n;

	for (uint32_t i = 0; i < 200; i++)
		put(f, DERP_LANE_DATA, i, 1000, 0);
	assert_int_equal(derp_queue_bytes(&f->q, DERP_LANE_DATA), 100000);
	assert_int_equal(f->pool.counts.dropped_head.packets[DERP_LANE_DATA], 100);
	assert_int_equal(f->pool.counts.dropped_head.bytes[DERP_LANE_DATA], 100 * (1000 - HEAD));
	assert_true(f->pool.n_used <= 8);
	put(f, DERP_LANE_DATA, 200, DERP_FRAME_MAX_BYTES, 0);
	assert_true(derp_queue_bytes(&f->q, DERP_LANE_DATA) <= 100000);
	n = take_all(f, numbers, 256);
	assert_int_equal(n, 35);
	assert_int_equal(numbers[0], 166);
	assert_int_equal(numbers[33], 199);
	assert_int_equal(numbers[34], 200);
	assert_int_equal(derp_drops_packets(&f->pool.counts.dropped_head), 166);
	assert_int_equal(derp_drops_packets(&f->pool.counts.dropped_tail), 0);
}

static void
test_newest_goes_when_head_is_begun(void **state)
{
	struct fixture *f = *state;
	uint32_t numbers[8];

	put(f, DERP_LANE_DATA, 1, DERP_FRAME_MAX_BYTES, 0);
	derp_queue_take(&f->q, &f->pool, 100);
	put(f, DERP_LANE_DATA, 2, 40000, 0);
	assert_int_equal(derp_drops_packets(&f->pool.counts.dropped_tail), 1);
	assert_int_equal(derp_drops_packets(&f->pool.counts.dropped_head), 0);
	derp_queue_take(&f->q, &f->pool, DERP_FRAME_MAX_BYTES - 100);
	assert_int_equal(take_all(f, numbers, 8), 0);
}

static void
test_one_long_frame_fits_any_limit(void **state)
{
	struct fixture *f = *state;
	uint32_t numbers[8];

	f->pool.limits.bytes[DERP_LANE_DATA] = 1000;
	put(f, DERP_LANE_DATA, 1, DERP_FRAME_MAX_BYTES, 0);
	assert_int_equal(take_all(f, numbers, 8), 1);
	put(f, DERP_LANE_DATA, 2, DERP_FRAME_MAX_BYTES, 0);
	put(f, DERP_LANE_DATA, 3, 900, 0);
	assert_int_equal(derp_drops_packets(&f->pool.counts.dropped_head), 1);
	assert_int_equal(take_all(f, numbers, 8), 1);
	assert_int_equal(numbers[0], 3);
}

/* The lanes have their own budgets: bulk cannot push disco out. */
static void
test_lanes_do_not_share_bounds(void **state)
{
	struct fixture *f = *state;
	uint32_t numbers[256];

	for (uint32_t i = 0; i < 60; i++)
		put(f, DERP_LANE_CONTROL, i, 100, 0);
	assert_int_equal(derp_drops_packets(&f->pool.counts.dropped_head), 20);
	for (uint32_t i = 0; i < 150; i++)
		put(f, DERP_LANE_DATA, 1000 + i, 1000, 0);
	assert_int_equal(take_all(f, numbers, 256), 140);
	assert_int_equal(numbers[0], 20);
	assert_int_equal(numbers[39], 59);
	assert_int_equal(numbers[40], 1050);
}

static void
test_time_drops_from_head(void **state)
{
	struct fixture *f = *state;
	uint32_t numbers[64];
	unsigned n;

	/* one each 50 ms for two seconds */
	for (uint32_t i = 0; i < 40; i++)
		put(f, DERP_LANE_DATA, i, 1000, (int64_t)i * 50);
	derp_queue_expire(&f->q, &f->pool, 39 * 50);
	n = take_all(f, numbers, 64);
	/* 800 ms are 16 of them, and a chunk's frames may be 100 ms apart */
	assert_in_range(n, 14, 17);
	assert_int_equal(numbers[n - 1], 39);
	for (unsigned i = 1; i < n; i++)
		assert_int_equal(numbers[i], numbers[i - 1] + 1);
	assert_int_equal(derp_drops_packets(&f->pool.counts.dropped_head), 40 - n);
	assert_int_equal(f->pool.counts.taken_packets, n);
}

static void
test_clear_counts_gone(void **state)
{
	struct fixture *f = *state;
	uint8_t small[DERP_FRAME_KEEPALIVE_BYTES];

	put(f, DERP_LANE_DATA, 1, 1000, 0);
	put(f, DERP_LANE_DATA, 2, 50000, 0);
	put(f, DERP_LANE_CONTROL, 3, 100, 0);
	derp_frame_put_keepalive(small);
	derp_queue_put(&f->q, &f->pool, DERP_LANE_CONTROL, small, sizeof small, 0);
	derp_queue_clear(&f->q, &f->pool);
	assert_int_equal(derp_drops_packets(&f->pool.counts.dropped_gone), 3);
	assert_int_equal(f->pool.n_used, 0);
	assert_true(derp_queue_is_empty(&f->q));
}

/* Random work against a model that is a plain list of numbers. */
static void
test_against_a_model(void **state)
{
	struct fixture *f = *state;
	uint32_t last[DERP_LANE_COUNT] = { 0, 0 }, numbers[512];
	uint64_t put_packets = 0;
	int64_t now_ms = 0;

	srand(7);
	for (uint32_t i = 1; i < 20000; i++) {
		enum derp_lane lane = rand() % 4 == 0 ? DERP_LANE_CONTROL : DERP_LANE_DATA;
		size_t max = lane == DERP_LANE_CONTROL ? 400 : rand() % 50 == 0 ? 65000 : 1400;

		now_ms += rand() % 20;
		put(f, lane, i * 2 + lane, HEAD + 4 + (size_t)rand() % max, now_ms);
		put_packets++;
		assert_true(f->pool.n_used <= 30);
		if (rand() % 40 == 0) {
			unsigned n;

			derp_queue_expire(&f->q, &f->pool, now_ms);
			n = take_all(f, numbers, 512);
			for (unsigned k = 0; k < n; k++) {
				assert_true(numbers[k] > last[numbers[k] & 1]);
				last[numbers[k] & 1] = numbers[k];
			}
		}
	}
	derp_queue_clear(&f->q, &f->pool);
	assert_int_equal(put_packets, f->pool.counts.taken_packets + dropped(f));
}

/* --- fairness --------------------------------------------------------------------------------- */

/* Two senders that do not share a flow. */
static void
pick_two(struct fixture *f, uint8_t *a, uint8_t *b)
{
	uint32_t numbers[128];

	for (*a = 1, *b = 2; *b < 100; ++*b) {
		uint64_t salt = f->pool.salt;
		unsigned n, at = 0;

		/* as the test will find it: they are served in turns if their flows differ */
		for (uint32_t i = 0; i < 24; i++)
			put_from(f, *a, 0, 1400, 0);
		for (uint32_t i = 0; i < 24; i++)
			put_from(f, *a, 1, 1400, 0);
		put_from(f, *b, 2, 1400, 0);
		n = take_all(f, numbers, 128);
		while (at < n && numbers[at] != 2)
			at++;
		f->pool.salt = salt;
		if (at < n - 1)
			return;
	}
	fail_msg("no two senders with flows of their own");
}

/* A full lane takes its room from who fills it; the others lose nothing and wait for one turn. */
static void
test_flood_does_not_push_out(void **state)
{
	struct fixture *f = *state;
	uint32_t numbers[512];
	uint8_t flooder, light;
	unsigned n, n_light = 0, last = 0;

	pick_two(f, &flooder, &light);
	for (uint32_t i = 0; i < 60; i++)
		put_from(f, flooder, i, 1400, 0);
	for (uint32_t i = 0; i < 300; i++) {
		put_from(f, flooder, 1000 + i, 1400, 0);
		if (i % 30 == 0)
			put_from(f, light, 5000 + i, 300, 0);
	}
	assert_true(derp_queue_bytes(&f->q, DERP_LANE_DATA) <= 100000);
	n = take_all(f, numbers, 512);
	for (unsigned i = 0; i < n; i++) {
		if (numbers[i] >= 5000) {
			n_light++;
			last = i;
		}
	}
	assert_int_equal(n_light, 10);
	/* behind what all share, and a turn of the flooder's */
	assert_in_range(last, 10, 10 + (DERP_QUEUE_SHARED_BYTES + 2 * DERP_QUEUE_CHUNK_BYTES) / 1400);
}

/* Turns are measured in bytes: long frames do not get more. */
static void
test_long_frames_get_no_more(void **state)
{
	struct fixture *f = *state;
	uint32_t numbers[512];
	uint8_t a, b;
	unsigned n, i;
	size_t bytes[2] = { 0, 0 };

	pick_two(f, &a, &b);
	f->pool.limits.bytes[DERP_LANE_DATA] = 2 << 20;
	for (i = 0; i < 30; i++)
		put_from(f, a, 0, 1400, 0);
	for (i = 0; i < 250; i++)
		put_from(f, a, 1, 1400, 0);
	for (i = 0; i < 9; i++)
		put_from(f, b, 2, 60000, 0);
	n = take_all(f, numbers, 512);
	for (i = 0; i < n && bytes[0] < 240000; i++) {
		if (numbers[i] != 0)
			bytes[numbers[i] - 1] += numbers[i] == 1 ? 1400 : 60000;
	}
	assert_in_range(bytes[1], 150000, 330000);
}

/* The frames of a chunk: the number of each tells its sender, and must be above that one's last. */
static void
check_order(const uint8_t *p, size_t n, uint32_t last[32])
{
	for (size_t at = 0; at < n; at += DERP_FRAME_HDR_BYTES + wire_u32be(p + at + 1)) {
		uint32_t number = wire_u32be(p + at + HEAD);

		assert_true(number > last[number % 32]);
		last[number % 32] = number;
	}
}

/* Each sender's packets come out in its order, whatever is dropped and however flows begin and end. */
static void
test_senders_stay_in_order(void **state)
{
	struct fixture *f = *state;
	uint32_t last[32] = { 0 };
	uint64_t put_packets = 0;
	int64_t now_ms = 0;
	bool is_inside = false;		/* a long frame */

	srand(11);
	for (uint32_t i = 1; i < 40000; i++) {
		uint32_t sender = (uint32_t)(rand() % 4 == 0 ? rand() % 32 : rand() % 3);

		now_ms += rand() % 8;
		put_from(f, (uint8_t)sender, i * 32 + sender,
		    HEAD + 4 + (size_t)rand() % (rand() % 50 == 0 ? 65000 : 1400), now_ms);
		put_packets++;
		if (rand() % 3 == 0) {
			const uint8_t *p;
			size_t n;

			assert_true(derp_queue_peek(&f->q, &p, &n));
			if (n <= DERP_QUEUE_CHUNK_BYTES && p[0] == DERP_FRAME_RECV_PACKET && !is_inside) {
				check_order(p, n, last);
				derp_queue_take(&f->q, &f->pool, n);
			} else {
				is_inside = n > 16384;
				derp_queue_take(&f->q, &f->pool, is_inside ? 16384 : n);
			}
		}
		if (rand() % 50 == 0)
			derp_queue_expire(&f->q, &f->pool, now_ms);
		if (rand() % 300 == 0) {
			size_t want = derp_queue_bytes(&f->q, DERP_LANE_DATA);
			const uint8_t *p;
			size_t n, sum = 0;

			while (derp_queue_peek(&f->q, &p, &n)) {
				sum += n;
				derp_queue_take(&f->q, &f->pool, n);
			}
			assert_int_equal(sum, want);
			is_inside = false;
			assert_true(derp_queue_is_empty(&f->q));
			assert_int_equal(f->pool.n_used, 0);
		}
	}
	derp_queue_clear(&f->q, &f->pool);
	assert_int_equal(put_packets, f->pool.counts.taken_packets + dropped(f));
}

static void
test_pool_keeps_some(void **state)
{
	struct fixture *f = *state;

	f->pool.limits.bytes[DERP_LANE_DATA] = 4 << 20;
	for (uint32_t i = 0; i < 100; i++)
		put(f, DERP_LANE_DATA, i, 16000, 0);
	assert_int_equal(f->pool.n_used, 100);
	derp_queue_clear(&f->q, &f->pool);
	assert_int_equal(f->pool.n_used, 0);
	assert_int_equal(f->pool._n_free, 64);
	derp_queue_pool_trim(&f->pool, 4);
	assert_int_equal(f->pool._n_free, 4);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_empty_owns_nothing), T(test_frames_share_a_record),
		T(test_several_frames_at_once), T(test_control_goes_first),
		T(test_delays), T(test_long_frame_is_not_cut), T(test_bytes_drop_from_head),
		T(test_newest_goes_when_head_is_begun), T(test_one_long_frame_fits_any_limit),
		T(test_lanes_do_not_share_bounds), T(test_time_drops_from_head),
		T(test_clear_counts_gone), T(test_against_a_model), T(test_pool_keeps_some),
		T(test_flood_does_not_push_out), T(test_long_frames_get_no_more),
		T(test_senders_stay_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
