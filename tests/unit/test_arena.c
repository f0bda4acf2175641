/* links: */
/* Arenas: what is given is zeroed, aligned and apart from the rest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdalign.h>
#include <string.h>

#include "base/arena.h"

static void
test_alloc(void **state)
{
	struct arena *a = arena_new();
	uint8_t *p[400];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(p); i++) {
		p[i] = arena_alloc(a, i * 7);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t)p[i] % alignof(max_align_t), 0);
		for (size_t k = 0; k < i * 7; k++)
			assert_int_equal(p[i][k], 0);
		memset(p[i], (int)i, i * 7);
	}
	for (size_t i = 0; i < COUNT_OF(p); i++) {
		for (size_t k = 0; k < i * 7; k++)
			assert_int_equal(p[i][k], (uint8_t)i);
	}
	assert_true(arena_size(a) >= 400 * 399 / 2 * 7);
	arena_free(a);
	arena_free(NULL);
}

/* Larger than any chunk, and small ones after it. */
static void
test_large(void **state)
{
	struct arena *a = arena_new();
	char *large = arena_alloc(a, 5u << 20), *small = arena_alloc(a, 1);

	(void)state;
	memset(large, 'x', 5u << 20);
	assert_int_equal(*small, 0);
	assert_true(arena_size(a) < 6u << 20);
	arena_free(a);
}

static void
test_texts(void **state)
{
	struct arena *a = arena_new();

	(void)state;
	assert_string_equal(arena_strndup(a, "abcdef", 3), "abc");
	assert_string_equal(arena_strndup(a, NULL, 0), "");
	assert_string_equal(arena_printf(a, "%d and %s", 7, "more"), "7 and more");
	assert_string_equal(arena_printf(a, "%s", ""), "");
	arena_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alloc),
		cmocka_unit_test(test_large),
		cmocka_unit_test(test_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
