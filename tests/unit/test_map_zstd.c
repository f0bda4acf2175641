/* links: coord/map_zstd */
/* Proves: frames of every size decode, alone and one after another, to the same bytes. */
#include "map_fixture.h"

#include "base/rand.h"
#include "coord/map_zstd.h"

static void
sizes(void **state)
{
	static const size_t cases[] = { 0, 1, 2, 199, 200, 201, 255, 256, 5000, 131072, 300000 };
	struct map_zstd *z = map_zstd_new();

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		size_t n = cases[i];
		char *p = malloc(n + 1);
		struct buf out = { 0 };

		memset(p, 'x', n);
		rand_bytes(p, n / 2);
		struct shbuf *s = map_zstd_frame(z, p, n);
		assert_int_equal(ZSTD_getFrameContentSize(s->bytes, s->len), n);
		if (n < MAP_ZSTD_RAW_MAX_BYTES)
			assert_int_equal(s->len, n + 9);
		struct shbuf *both[2] = { s, s };
		fx_text(both, 2, &out);
		assert_int_equal(out.len, 2 * n);
		if (n > 0) {
			assert_memory_equal(out.p, p, n);
			assert_memory_equal(out.p + n, p, n);
		}
		shbuf_drop(s);
		buf_fini(&out);
		free(p);
	}
	map_zstd_free(z);
}

static void
one_context(void **state)
{
	struct map_zstd *a = map_zstd_new(), *b = map_zstd_new();

	(void)state;
	assert_ptr_equal(a, b);
	map_zstd_free(a);
	shbuf_drop(map_zstd_frame(b, "x", 1));
	map_zstd_free(b);
	map_zstd_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(one_context),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
