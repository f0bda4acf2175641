/* links: */
/* The hash table, against a plain array as the model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/obj.h"

#define N_THINGS 500

struct thing {
	int before;
	uint8_t key[12];
	bool is_in, is_met;
};

static struct thing things[N_THINGS];

static void
things_init(struct map *m)
{
	memset(things, 0, sizeof(things));
	for (unsigned i = 0; i < N_THINGS; i++)
		memcpy(things[i].key + 4, &i, sizeof(i));
	MAP_INIT(m, struct thing, key);
}

/* A sequence that is the same in every run. */
static unsigned
next_number(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void
check_all(const struct map *m)
{
	size_t n = 0;

	for (size_t i = 0; i < N_THINGS; i++) {
		assert_ptr_equal(map_find(m, things[i].key), things[i].is_in ? &things[i] : NULL);
		n += things[i].is_in;
	}
	assert_int_equal(m->count, n);
}

static void
test_empty(void **state)
{
	struct map m;
	size_t cursor = 0;

	(void)state;
	things_init(&m);
	assert_null(map_find(&m, things[0].key));
	assert_null(map_remove(&m, things[0].key));
	assert_null(map_next(&m, &cursor));
	assert_null(map_put(&m, &things[0]));
	assert_ptr_equal(map_remove(&m, things[0].key), &things[0]);
	assert_null(map_remove(&m, things[0].key));
	cursor = 0;
	assert_null(map_next(&m, &cursor));
	map_fini(&m);
	map_fini(&m);
	assert_null(map_find(&m, things[0].key));
}

static void
test_model(void **state)
{
	struct map m;
	uint32_t seed = 1;

	(void)state;
	things_init(&m);
	for (int step = 0; step < 20000; step++) {
		/* Phases of mostly putting and mostly removing: the runs grow long and break up. */
		bool is_put = next_number(&seed) % 10 < (step / 2000 % 2 == 0 ? 8 : 2);
		struct thing *t = &things[next_number(&seed) % N_THINGS];

		if (is_put)
			assert_ptr_equal(map_put(&m, t), t->is_in ? t : NULL);
		else
			assert_ptr_equal(map_remove(&m, t->key), t->is_in ? t : NULL);
		t->is_in = is_put;
		if (step % 500 == 0)
			check_all(&m);
	}
	check_all(&m);
	map_fini(&m);
}

static void
test_replace(void **state)
{
	struct thing twin;
	struct map m;

	(void)state;
	things_init(&m);
	twin = things[3];
	assert_null(map_put(&m, &things[3]));
	assert_ptr_equal(map_put(&m, &twin), &things[3]);
	assert_int_equal(m.count, 1);
	assert_ptr_equal(map_find(&m, things[3].key), &twin);
	map_fini(&m);
}

/* Walks over n things, removing each with a chance of a quarter: all are met, each once. */
static void
walk(unsigned n, uint32_t *seed, unsigned quarters)
{
	struct map m;
	struct thing *t;
	size_t cursor = 0, n_met = 0;

	things_init(&m);
	for (unsigned i = 0; i < n; i++) {
		assert_null(map_put(&m, &things[i]));
		things[i].is_in = true;
	}
	while ((t = map_next(&m, &cursor)) != NULL) {
		assert_true(t->is_in);
		assert_false(t->is_met);
		t->is_met = true;
		n_met++;
		if (next_number(seed) % 4 < quarters) {
			assert_ptr_equal(map_remove(&m, t->key), t);
			t->is_in = false;
		}
	}
	assert_int_equal(n_met, n);
	assert_null(map_next(&m, &cursor));
	check_all(&m);
	map_fini(&m);
}

static void
test_walk(void **state)
{
	uint32_t seed = 7;

	(void)state;
	for (unsigned n = 0; n <= 100; n++) {
		for (unsigned quarters = 0; quarters <= 4; quarters++)
			walk(n, &seed, quarters);
	}
	/* Full small tables have runs that reach over the end. */
	for (unsigned round = 0; round < 2000; round++)
		walk(6, &seed, round % 5);
	walk(N_THINGS, &seed, 2);
}

static void
test_hash(void **state)
{
	(void)state;
	assert_true(map_hash("abc", 3) == map_hash("abc", 3));
	assert_true(map_hash("abc", 3) != map_hash("abd", 3));
	assert_true(map_hash("abc", 3) != map_hash("abc", 2));
	assert_true(map_hash("", 0) == map_hash("x", 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_replace),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
