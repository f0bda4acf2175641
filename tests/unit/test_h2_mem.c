/* links: coord/h2_mem */
/* Proves: whatever nghttp2 does with its memory, contents survive and nothing is lost; one large piece at a
 * time has pages of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/obj.h"
#include "coord/h2_mem.h"

#define LARGE (H2_MEM_PAGES_BYTES + 10)

static void
small_ones(void **state)
{
	struct h2_mem m = { .pages = NULL };
	nghttp2_mem f = h2_mem_of(&m);
	char *p = f.malloc(10, f.mem_user_data), *zero = f.calloc(3, 4, f.mem_user_data);

	(void)state;
	memcpy(p, "0123456789", 10);
	p = f.realloc(p, LARGE, f.mem_user_data);
	assert_memory_equal(p, "0123456789", 10);
	for (unsigned i = 0; i < 12; i++)
		assert_int_equal(zero[i], 0);
	assert_null(m.pages);
	f.free(NULL, f.mem_user_data);
	f.free(p, f.mem_user_data);
	f.free(zero, f.mem_user_data);
}

static void
large_ones(void **state)
{
	struct h2_mem m = { .pages = NULL };
	nghttp2_mem f = h2_mem_of(&m);
	char *a = f.realloc(NULL, LARGE, f.mem_user_data), *b = f.malloc(LARGE, f.mem_user_data);

	(void)state;
	assert_ptr_equal(m.pages, a);
	memset(a, 'a', LARGE);
	memset(b, 'b', LARGE);
	a = f.realloc(a, 2 * LARGE, f.mem_user_data);
	assert_null(m.pages);
	assert_true(a[0] == 'a' && a[LARGE - 1] == 'a' && b[LARGE - 1] == 'b');
	f.free(b, f.mem_user_data);
	b = f.malloc(LARGE, f.mem_user_data);
	assert_ptr_equal(m.pages, b);
	memset(b, 'c', LARGE);
	b = f.realloc(b, 5, f.mem_user_data);
	assert_memory_equal(b, "ccccc", 5);
	f.free(a, f.mem_user_data);
	f.free(b, f.mem_user_data);
	b = f.malloc(LARGE, f.mem_user_data);
	f.free(b, f.mem_user_data);
	assert_null(m.pages);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_ones),
		cmocka_unit_test(large_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
