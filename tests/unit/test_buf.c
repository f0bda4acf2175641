/* links: */
/* Growable and shared bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <string.h>

#include "base/buf.h"

static void
test_append(void **state)
{
	struct buf b = { 0 };

	(void)state;
	assert_string_equal(buf_cstr(&b), "");
	assert_int_equal(b.len, 0);
	buf_append(&b, NULL, 0);
	buf_str(&b, "abc");
	buf_byte(&b, 'd');
	buf_append(&b, "e\0f", 3);
	assert_int_equal(b.len, 7);
	assert_memory_equal(b.p, "abcde\0f", 7);
	buf_consume(&b, 0);
	buf_consume(&b, 3);
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.p, "de\0f", 4);
	buf_consume(&b, 4);
	assert_int_equal(b.len, 0);
	assert_true(b.cap > 0);
	buf_fini(&b);
	assert_null(b.p);
	assert_int_equal(b.cap, 0);
	buf_fini(&b);
}

static void
test_grow(void **state)
{
	struct buf b = { 0 };

	(void)state;
	for (unsigned i = 0; i < 100000; i++)
		buf_byte(&b, (uint8_t)i);
	assert_int_equal(b.len, 100000);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(b.p[i], (uint8_t)i);
	uint8_t *room = buf_reserve(&b, 500000);
	assert_ptr_equal(room, b.p + b.len);
	memset(room, 1, 500000);
	assert_int_equal(b.len, 100000);
	size_t cap = b.cap;
	buf_clear(&b);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.cap, cap);
	buf_fini(&b);
}

static void
test_printf(void **state)
{
	struct buf b = { 0 };
	char want[4000];

	(void)state;
	buf_printf(&b, "%d-%s", 5, "x");
	assert_string_equal(buf_cstr(&b), "5-x");
	/* Every length around the first size of the buffer. */
	for (int n = 0; n < 300; n++) {
		struct buf one = { 0 };

		memset(want, 'y', (size_t)n);
		want[n] = '\0';
		buf_printf(&one, "%s", want);
		assert_int_equal(one.len, n);
		assert_string_equal(buf_cstr(&one), want);
		buf_fini(&one);
	}
	memset(want, 'z', sizeof(want) - 1);
	want[sizeof(want) - 1] = '\0';
	buf_printf(&b, "%s", want);
	assert_int_equal(b.len, 3 + sizeof(want) - 1);
	assert_string_equal(buf_cstr(&b) + 3, want);
	buf_fini(&b);
}

static void *
hold_and_drop(void *arg)
{
	for (int i = 0; i < 10000; i++)
		shbuf_drop(shbuf_hold(arg));
	shbuf_drop(arg);
	return NULL;
}

static void
test_shared(void **state)
{
	pthread_t threads[2];
	struct shbuf *s = shbuf_new("hello", 5);

	(void)state;
	assert_int_equal(s->len, 5);
	assert_memory_equal(s->bytes, "hello", 5);
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		    pthread_create(&threads[i], NULL, hold_and_drop, shbuf_hold(s)), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&s->refs), 1);
	shbuf_drop(s);
	shbuf_drop(NULL);
	s = shbuf_new(NULL, 0);
	assert_int_equal(s->len, 0);
	shbuf_drop(s);
	s = shbuf_alloc(3);
	memcpy(s->bytes, "xyz", 3);
	assert_ptr_equal(shbuf_hold(s), s);
	shbuf_drop(s);
	shbuf_drop(s);
}

static void
test_shared_eq(void **state)
{
	struct shbuf *a = shbuf_new("hello", 5), *same = shbuf_new("hello", 5);
	struct shbuf *other = shbuf_new("hellO", 5), *shorter = shbuf_new("hell", 4);

	(void)state;
	assert_true(shbuf_eq(a, a) && shbuf_eq(a, same) && shbuf_eq(NULL, NULL));
	assert_false(shbuf_eq(a, other) || shbuf_eq(a, shorter) || shbuf_eq(shorter, a));
	assert_false(shbuf_eq(a, NULL) || shbuf_eq(NULL, a));
	shbuf_drop(a);
	shbuf_drop(same);
	shbuf_drop(other);
	shbuf_drop(shorter);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_printf),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_shared_eq),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
