/* links: */
/* Randomness: the kernel's, and an injected source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/obj.h"
#include "base/rand.h"

static uint64_t next_value;
static unsigned n_drawn;

/* The first 8 bytes say next_value, then 1, 2, 3 …; the rest counts up. */
static void
fill_counting(void *p, size_t n)
{
	uint64_t v = n_drawn++ == 0 ? next_value : n_drawn - 1;
	uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)(i + 1);
	if (n >= sizeof(v))
		memcpy(p, &v, sizeof(v));
}

static void
fill_ones(void *p, size_t n)
{
	n_drawn++;
	memset(p, 0xff, n);
}

static void
test_kernel(void **state)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 }, zero[64] = { 0 };

	(void)state;
	rand_bytes(a, sizeof(a));
	rand_bytes(b, sizeof(b));
	assert_memory_not_equal(a, zero, sizeof(a));
	assert_memory_not_equal(a, b, sizeof(a));
	rand_bytes(a, 0);
}

static void
test_below(void **state)
{
	unsigned seen[7] = { 0 };

	(void)state;
	for (int i = 0; i < 7000; i++) {
		uint64_t v = rand_below(7);

		assert_true(v < 7);
		seen[v]++;
	}
	for (int i = 0; i < 7; i++)
		assert_in_range(seen[i], 700, 1300);	/* 1000 expected, sigma 29 */
	assert_int_equal(rand_below(1), 0);
	(void)rand_below(UINT64_MAX);
}

static void
test_below_injected(void **state)
{
	static const struct {
		uint64_t first, bound, want;
		unsigned want_drawn;
	} cases[] = {
		{ 5, 10, 5, 1 },
		{ 25, 10, 5, 1 },
		{ UINT64_MAX, 8, 7, 1 },		/* a power of two: nothing is refused */
		{ UINT64_MAX, 10, 1, 2 },		/* in the incomplete run: drawn again */
		{ UINT64_MAX - 6, 10, 9, 1 },		/* the last one accepted */
		{ UINT64_MAX - 5, 10, 1, 2 },
	};

	(void)state;
	rand_test_source(fill_counting);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		next_value = cases[i].first;
		n_drawn = 0;
		assert_int_equal(rand_below(cases[i].bound), cases[i].want);
		assert_int_equal(n_drawn, cases[i].want_drawn);
	}
	rand_test_source(fill_ones);
	n_drawn = 0;
	assert_int_equal(rand_below(10), 5);		/* a constant source ends, too */
	assert_int_equal(n_drawn, 64);
	rand_test_source(NULL);
}

static void
test_text(void **state)
{
	static const char letters[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
	char a[101], b[101];

	(void)state;
	memset(a, 'x', sizeof(a));
	rand_text(a, 100);
	rand_text(b, 100);
	assert_int_equal(strlen(a), 100);
	assert_int_equal(strspn(a, letters), 100);
	assert_string_not_equal(a, b);
	rand_text(a, 0);
	assert_string_equal(a, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_below),
		cmocka_unit_test(test_below_injected),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
