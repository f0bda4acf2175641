/* links: relay/derp_route relay/quota */
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
	assert_int_equal(metric_get(METRIC_DERP_DUP_KEYS), 0);
	assert_int_equal(metric_get(METRIC_DERP_CLIENTS_TOTAL), 0);
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

static enum err
join(struct derp_route *rt, const struct node_key *k, struct conn_ref ref, bool must_be_admitted,
	struct derp_route_entry **out)
{
	return derp_route_add(rt, &(struct derp_route_join){
		.key = *k, .ref = ref, .must_be_admitted = must_be_admitted,
		.addr = { .ip = { .family = 4, .b = { 10, 0, 0, (uint8_t)ref.slot } }, .port = 9 },
		.flags = (uint8_t)ref.slot,
	}, out);
}

static struct derp_route_entry *
add(struct derp_route *rt, const struct node_key *k, struct conn_ref ref)
{
	struct derp_route_entry *e = NULL;

	assert_int_equal(join(rt, k, ref, false, &e), ERR_OK);
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

	assert_int_equal(join(*state, &a, one, true, &e), ERR_DENIED);
	assert_null(e);
	derp_route_admit(*state, &a);
	derp_route_admit(*state, &a);
	assert_false(derp_route_find(*state, a.b, &one));
	assert_int_equal(join(*state, &a, one, true, &e), ERR_OK);
	assert_int_equal(derp_route_expel(*state, &b, &refs), 0);
	assert_null(refs);
	assert_int_equal(derp_route_expel(*state, &a, &refs), 1);
	assert_true(conn_ref_eq(refs[0], one));
	free(refs);
	assert_active(*state, &a, one);		/* until its worker has closed it */
	assert_int_equal(join(*state, &a, ref_of(0, 2), true, &e), ERR_DENIED);
	assert_int_equal(derp_route_remove(*state, e, one), DERP_ROUTE_NOWHERE);
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
	assert_int_equal(derp_route_remove(*state, e, r[0]), DERP_ROUTE_HERE);	/* not the active one */
	assert_active(*state, &k, r[1]);
	assert_int_equal(derp_route_remove(*state, e, r[1]), DERP_ROUTE_HERE);	/* the active one */
	assert_active(*state, &k, r[2]);
	assert_int_equal(metric_get(METRIC_DERP_DUP_CONNS), 0);
	assert_int_equal(derp_route_remove(*state, e, r[2]), DERP_ROUTE_NOWHERE);
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
		assert_int_equal(derp_route_remove(*state, e, refs[i]),
		    i == 4 ? DERP_ROUTE_NOWHERE : DERP_ROUTE_HERE);
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
		assert_int_equal(derp_route_remove(*state, entries[i], ref_of(0, i)), DERP_ROUTE_NOWHERE);
		assert_false(derp_route_find(*state, k.b, &got));
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

		if (join(r->rt, &k, mine, false, &e) != ERR_OK)
			return r;
		derp_route_note(r->rt, e, mine);
		if (!derp_route_find(r->rt, k.b, &got))
			return r;
		derp_route_admit(r->rt, &k);
		(void)derp_route_find(r->rt, k.b, &got);
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

/* --- links ------------------------------------------------------------------------------------ */

static void
assert_way(struct derp_route *rt, const struct node_key *k, struct conn_ref want, bool want_link)
{
	struct conn_ref got;
	bool is_link;

	assert_true(derp_route_way(rt, k->b, &got, &is_link));
	assert_true(conn_ref_eq(got, want));
	assert_int_equal(is_link, want_link);
}

/* A connection here wins; of links, the one that has known the key longest. */
static void
test_links(void **state)
{
	struct node_key k = key_of(5);
	struct conn_ref here = ref_of(0, 3), a = ref_of(1, 1), b = ref_of(0, 2), none;
	struct derp_route_entry *e;
	int64_t made = metric_get(METRIC_DERP_MULTI_CREATED), ended = metric_get(METRIC_DERP_MULTI_DELETED);
	bool is_link;

	assert_int_equal(derp_route_link_remove(*state, &k, a), DERP_ROUTE_HERE);	/* nothing to do */
	derp_route_link_add(*state, &k, a);
	derp_route_link_add(*state, &k, b);
	derp_route_link_add(*state, &k, a);
	assert_way(*state, &k, a, true);
	assert_false(derp_route_find(*state, k.b, &none));
	assert_true(derp_route_has_link(*state, k.b));
	assert_int_equal(metric_get(METRIC_DERP_CLIENTS_REMOTE), 1);
	assert_int_equal(metric_get(METRIC_DERP_MULTI_CREATED) - made, 1);
	e = add(*state, &k, here);
	assert_way(*state, &k, here, false);
	assert_int_equal(metric_get(METRIC_DERP_CLIENTS_REMOTE), 0);
	assert_int_equal(metric_get(METRIC_DERP_CLIENTS_LOCAL), 1);
	assert_int_equal(derp_route_link_remove(*state, &k, a), DERP_ROUTE_HERE);
	assert_int_equal(metric_get(METRIC_DERP_MULTI_DELETED) - ended, 1);
	assert_int_equal(derp_route_remove(*state, e, here), DERP_ROUTE_ELSEWHERE);
	assert_way(*state, &k, b, true);
	assert_int_equal(derp_route_link_remove(*state, &k, b), DERP_ROUTE_NOWHERE);
	assert_false(derp_route_way(*state, k.b, &none, &is_link));
	assert_false(derp_route_has_link(*state, k.b));
}

static void
count_key(void *arg, const struct node_key *key)
{
	unsigned *sum = arg;

	assert_true(key->b[0] >= 10 && key->b[0] < 40);
	*sum += key->b[0];
}

/* What a watcher is told: every key that is connected here, with address and flags of the active one. */
static void
test_presence(void **state)
{
	struct derp_route_entry *entries[30], *again;
	struct node_key one = key_of(10), linked = key_of(1), admitted = key_of(2);
	struct net_addr addr;
	struct conn_ref *refs;
	uint8_t flags;
	unsigned sum = 0, want = 0;

	for (unsigned i = 0; i < 30; i++) {
		struct node_key k = key_of(10 + i);

		entries[i] = add(*state, &k, ref_of(0, i));
		want += 10 + i;
	}
	derp_route_link_add(*state, &linked, ref_of(0, 50));
	derp_route_admit(*state, &admitted);
	derp_route_each(*state, count_key, &sum);
	assert_int_equal(sum, want);
	assert_false(derp_route_present(*state, &linked, &addr, &flags));
	again = add(*state, &one, ref_of(1, 77));
	assert_ptr_equal(again, entries[0]);
	assert_true(derp_route_present(*state, &one, &addr, &flags));
	assert_int_equal(addr.ip.b[3], 77);
	assert_int_equal(flags, 77);
	assert_int_equal(derp_route_conns(*state, &one, &refs), 2);
	assert_true(conn_ref_eq(refs[1], ref_of(1, 77)));
	free(refs);
	assert_int_equal(derp_route_conns(*state, &linked, &refs), 0);
	assert_null(refs);
	derp_route_note(*state, again, ref_of(0, 0));
	assert_true(derp_route_present(*state, &one, &addr, &flags));
	assert_int_equal(addr.ip.b[3], 0);
	assert_int_equal(derp_route_remove(*state, again, ref_of(1, 77)), DERP_ROUTE_HERE);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(derp_route_remove(*state, entries[i], ref_of(0, i)), DERP_ROUTE_NOWHERE);
	assert_int_equal(derp_route_link_remove(*state, &linked, ref_of(0, 50)), DERP_ROUTE_NOWHERE);
	assert_int_equal(derp_route_expel(*state, &admitted, &refs), 0);
}

int
main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_admission), T(test_last_writer_is_active), T(test_expel_names_all),
		T(test_many_keys), T(test_threads), T(test_links), T(test_presence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
