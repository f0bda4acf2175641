/* links: */
/* Token buckets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/ratelimit.h"

static bool
take(struct ratelimit *r, const char *key, int64_t now_ms)
{
	return ratelimit_take(r, key, strlen(key), now_ms);
}

static void
test_burst_and_refill(void **state)
{
	struct ratelimit *r = ratelimit_new(2, 3, 10);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_true(take(r, "a", 1000));
	assert_false(take(r, "a", 1000));
	assert_true(take(r, "b", 1000));		/* a bucket of its own */
	assert_false(take(r, "a", 1499));		/* 2 a second: one every 500 ms */
	assert_true(take(r, "a", 1500));
	assert_false(take(r, "a", 1500));
	assert_true(take(r, "a", 1000000));		/* never more than the burst */
	assert_true(take(r, "a", 1000000));
	assert_true(take(r, "a", 1000000));
	assert_false(take(r, "a", 1000000));
	assert_false(take(r, "a", 5));			/* a clock that goes back gives nothing */
	assert_false(take(r, "a", 1000000));
	assert_true(take(r, "a", 1000500));
	ratelimit_free(r);
}

static void
test_oldest_is_forgotten(void **state)
{
	struct ratelimit *r = ratelimit_new(0, 1, 3);

	(void)state;
	assert_true(take(r, "a", 0));
	assert_true(take(r, "b", 0));
	assert_true(take(r, "c", 0));
	assert_false(take(r, "a", 0));			/* used again: b is the oldest now */
	assert_true(take(r, "d", 0));			/* in b's place */
	assert_false(take(r, "a", 0));
	assert_false(take(r, "c", 0));
	assert_false(take(r, "d", 0));
	assert_true(take(r, "b", 0));			/* forgotten: starts anew, in a's place */
	assert_false(take(r, "c", 0));
	assert_false(take(r, "d", 0));
	assert_false(take(r, "b", 0));
	assert_true(take(r, "a", 0));
	ratelimit_free(r);
}

static void
test_many_keys(void **state)
{
	struct ratelimit *r = ratelimit_new(0, 1, 100);

	(void)state;
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 5000; i++)
			assert_true(ratelimit_take(r, &i, sizeof(i), 0));
	}
	for (uint32_t i = 4900; i < 5000; i++)
		assert_false(ratelimit_take(r, &i, sizeof(i), 0));
	for (uint32_t i = 4800; i < 4900; i++)
		assert_true(ratelimit_take(r, &i, sizeof(i), 0));
	ratelimit_free(r);
}

static void
test_no_burst(void **state)
{
	struct ratelimit *r = ratelimit_new(1000, 0, 4);

	(void)state;
	assert_false(take(r, "a", 0));
	assert_false(take(r, "a", 100000));
	ratelimit_free(r);
	ratelimit_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_refill),
		cmocka_unit_test(test_oldest_is_forgotten),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_no_burst),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
