/* links: relay/derp_route */
/* The shared table: admission, one and several connections with a key, and many threads at once. */
#include "relay/derp_route.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "base/obj.h"

static int
setup(void **state)
{
	*state = derp_route_new();
	return 0;
}

static int
teardown(void **state)
{
	derp_route_free(*state);
	assert_int_equal(metric_get(METRIC_DERP_DUP_CONNS), 0);
	return 0;
}

static struct node_key
key_of(unsigned n)
{
	struct node_key k = { { 0 } };

	memcpy(k.b, &n, sizeof n);
	k.b[17] = (uint8_t)n;
	return k;
}

static struct conn_ref
ref_of(unsigned worker, unsigned slot)
{
	return (struct conn_ref){ .worker = (uint16_t)worker, .slot = slot, .generation = 1 };
}

static struct derp_route_entry *
add(struct derp_route *rt, const struct node_key *k, struct conn_ref ref)
{
	struct derp_route_entry *e = NULL;

	assert_int_equal(derp_route_add(rt, k, ref, false, &e), ERR_OK);
	assert_non_null(e);
	return e;
}

static void
assert_active(struct derp_route *rt, const struct node_key *k, struct conn_ref want)
{
	struct conn_ref got;

	assert_true(derp_route_find(rt, k->b, &got));
	assert_true(conn_ref_eq(got, want));
}

static void
test_admission(void **state)
{
	struct node_key a = key_of(1), b = key_of(2);
	struct derp_route_entry *e = NULL;
	struct conn_ref *refs, one = ref_of(0, 1);

	assert_false(derp_route_is_admitted(*state, &a));
	assert_int_equal(derp_route_add(*state, &a, one, true, &e), ERR_DENIED);
	assert_null(e);
	derp_route_admit(*state, &a);
	derp_route_admit(*state, &a);
	assert_true(derp_route_is_admitted(*state, &a));
	assert_false(derp_route_is_admitted(*state, &b));
	assert_false(derp_route_find(*state, a.b, &one));
	assert_int_equal(derp_route_add(*state, &a, one, true, &e), ERR_OK);
	assert_int_equal(derp_route_expel(*state, &b, &refs), 0);
	assert_null(refs);
	assert_int_equal(derp_route_expel(*state, &a, &refs), 1);
	assert_true(conn_ref_eq(refs[0], one));
	free(refs);
	assert_false(derp_route_is_admitted(*state, &a));
	assert_active(*state, &a, one);		/* until its worker has closed it */
	assert_int_equal(derp_route_add(*state, &a, ref_of(0, 2), true, &e), ERR_DENIED);
	assert_true(derp_route_remove(*state, e, one));
	assert_int_equal(derp_route_expel(*state, &a, &refs), 0);
}

static void
test_last_writer_is_active(void **state)
{
	struct node_key k = key_of(3);
	struct conn_ref r[3] = { ref_of(0, 1), ref_of(1, 7), ref_of(0, 2) }, none;
	struct derp_route_entry *e = add(*state, &k, r[0]);

	assert_active(*state, &k, r[0]);
	assert_int_equal(metric_get(METRIC_DERP_DUP_CONNS), 0);
	assert_ptr_equal(add(*state, &k, r[1]), e);
	assert_active(*state, &k, r[1]);
	assert_int_equal(metric_get(METRIC_DERP_DUP_CONNS), 2);
	derp_route_note(*state, e, r[0]);
	assert_active(*state, &k, r[0]);
	add(*state, &k, r[2]);
	assert_active(*state, &k, r[2]);
	assert_int_equal(metric_get(METRIC_DERP_DUP_CONNS), 3);
	derp_route_note(*state, e, r[1]);
	assert_false(derp_route_remove(*state, e, r[0]));	/* not the active one */
	assert_active(*state, &k, r[1]);
	assert_false(derp_route_remove(*state, e, r[1]));	/* the active one */
	assert_active(*state, &k, r[2]);
	assert_int_equal(metric_get(METRIC_DERP_DUP_CONNS), 0);
	assert_true(derp_route_remove(*state, e, r[2]));
	assert_false(derp_route_find(*state, k.b, &none));
}

static void
test_expel_names_all(void **state)
{
	struct node_key k = key_of(4);
	struct derp_route_entry *e = NULL;
	struct conn_ref *refs;

	derp_route_admit(*state, &k);
	for (unsigned i = 0; i < 5; i++)
		e = add(*state, &k, ref_of(i % 2, i));
	assert_int_equal(derp_route_expel(*state, &k, &refs), 5);
	for (unsigned i = 0; i < 5; i++) {
		assert_true(conn_ref_eq(refs[i], ref_of(i % 2, i)));
		assert_int_equal(derp_route_remove(*state, e, refs[i]), i == 4);
	}
	free(refs);
}

static void
test_many_keys(void **state)
{
	struct derp_route_entry *entries[3000];
	struct conn_ref got;

	for (unsigned i = 0; i < COUNT_OF(entries); i++) {
		struct node_key k = key_of(i);

		entries[i] = add(*state, &k, ref_of(0, i));
		if (i % 3 == 0)
			derp_route_admit(*state, &k);
	}
	for (unsigned i = 0; i < COUNT_OF(entries); i++) {
		struct node_key k = key_of(i);

		assert_active(*state, &k, ref_of(0, i));
		assert_true(derp_route_remove(*state, entries[i], ref_of(0, i)));
		assert_false(derp_route_find(*state, k.b, &got));
		assert_int_equal(derp_route_is_admitted(*state, &k), i % 3 == 0);
	}
}

struct racer {
	struct derp_route *rt;
	unsigned id;
};

/* Four threads share eight keys: each key has whatever connections are added at the moment. */
static void *
race(void *arg)
{
	struct racer *r = arg;

	for (unsigned i = 0; i < 3000; i++) {
		struct node_key k = key_of(i % 8);
		struct conn_ref mine = ref_of(r->id, i), got, *refs;
		struct derp_route_entry *e;

		if (derp_route_add(r->rt, &k, mine, false, &e) != ERR_OK)
			return r;
		derp_route_note(r->rt, e, mine);
		if (!derp_route_find(r->rt, k.b, &got))
			return r;
		derp_route_admit(r->rt, &k);
		(void)derp_route_is_admitted(r->rt, &k);
		derp_route_expel(r->rt, &k, &refs);
		free(refs);
		(void)derp_route_remove(r->rt, e, mine);
	}
	return NULL;
}

static void
test_threads(void **state)
{
	pthread_t threads[4];
	struct racer racers[4];

	for (unsigned i = 0; i < 4; i++) {
		racers[i] = (struct racer){ .rt = *state, .id = i };
		assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		void *failed;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	for (unsigned i = 0; i < 8; i++) {
		struct node_key k = key_of(i);
		struct conn_ref got;

		assert_false(derp_route_find(*state, k.b, &got));
	}
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_admission), T(test_last_writer_is_active), T(test_expel_names_all),
		T(test_many_keys), T(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
