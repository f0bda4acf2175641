/* links: */
/* Mailboxes: order, limit, bound per turn, closing, several posting threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mbox.h"
#include "base/obj.h"

#define N_THREADS	4
#define N_EACH		5000
#define PER_TURN	1024	/* MBOX_PER_TURN */

struct note {
	struct mbox_msg msg;	/* first */
	unsigned poster, seq;
};

struct fixture {
	struct event_base *base;
	struct mbox *mb;
	size_t n_delivered, n_batches;
	unsigned next_seq[N_THREADS];
	bool reposts, closes;
	struct note *extra;
};

static atomic_size_t n_discarded;

static void
note_discard(struct mbox_msg *m)
{
	atomic_fetch_add(&n_discarded, 1);
	free(m);
}

static void
note_deliver(struct mbox_msg *m, void *loop_arg)
{
	struct note *n = (struct note *)(void *)m;
	struct fixture *fx = loop_arg;

	assert_int_equal(n->seq, fx->next_seq[n->poster]);
	fx->next_seq[n->poster]++;
	fx->n_delivered++;
	free(n);
	if (fx->closes)
		mbox_close(fx->mb);
	if (fx->reposts) {
		struct note *again = fx->extra;

		fx->reposts = false;
		fx->extra = NULL;
		mbox_post_always(fx->mb, &again->msg);
	}
}

static struct note *
note_new(unsigned poster, unsigned seq)
{
	struct note *n = obj_alloc(sizeof *n);

	n->msg.deliver = note_deliver;
	n->msg.discard = note_discard;
	n->poster = poster;
	n->seq = seq;
	return n;
}

static void
on_batch(void *arg)
{
	struct fixture *fx = arg;

	fx->n_batches++;
}

static void
fixture_init(struct fixture *fx, size_t limit)
{
	*fx = (struct fixture){ .base = event_base_new() };
	assert_non_null(fx->base);
	fx->mb = mbox_new(fx->base, fx, limit);
	assert_non_null(fx->mb);
	mbox_on_batch(fx->mb, on_batch);
	atomic_store(&n_discarded, 0);
}

static void
fixture_fini(struct fixture *fx)
{
	mbox_close(fx->mb);
	mbox_free(fx->mb);
	event_base_free(fx->base);
}

static void
turn(struct fixture *fx)
{
	event_base_loop(fx->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

static void
test_burst_is_one_wakeup_in_order(void **state)
{
	struct fixture fx;

	(void)state;
	fixture_init(&fx, 1000);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(mbox_post(fx.mb, &note_new(0, i)->msg), ERR_OK);
	assert_int_equal(fx.n_delivered, 0);
	turn(&fx);
	assert_int_equal(fx.n_delivered, 100);
	turn(&fx);
	assert_int_equal(fx.n_batches, 1);
	/* The list was empty again: the next post wakes anew. */
	mbox_post_always(fx.mb, &note_new(0, 100)->msg);
	turn(&fx);
	assert_int_equal(fx.n_delivered, 101);
	assert_int_equal(fx.n_batches, 2);
	fixture_fini(&fx);
}

static void
test_limit_counts_what_waits(void **state)
{
	struct fixture fx;
	struct note *refused;

	(void)state;
	fixture_init(&fx, 2);
	assert_int_equal(mbox_post(fx.mb, &note_new(0, 0)->msg), ERR_OK);
	assert_int_equal(mbox_post(fx.mb, &note_new(0, 1)->msg), ERR_OK);
	refused = note_new(0, 3);
	assert_int_equal(mbox_post(fx.mb, &refused->msg), ERR_BUSY);
	mbox_post_always(fx.mb, &note_new(0, 2)->msg);
	turn(&fx);
	assert_int_equal(fx.n_delivered, 3);
	assert_int_equal(mbox_post(fx.mb, &refused->msg), ERR_OK);
	turn(&fx);
	assert_int_equal(fx.n_delivered, 4);
	fixture_fini(&fx);
}

static void
test_post_while_delivering_waits_for_next_batch(void **state)
{
	struct fixture fx;

	(void)state;
	fixture_init(&fx, 10);
	fx.reposts = true;
	fx.extra = note_new(0, 2);
	mbox_post_always(fx.mb, &note_new(0, 0)->msg);
	mbox_post_always(fx.mb, &note_new(0, 1)->msg);
	turn(&fx);
	assert_int_equal(fx.n_delivered, 2);
	turn(&fx);
	assert_int_equal(fx.n_delivered, 3);
	assert_int_equal(fx.n_batches, 2);
	fixture_fini(&fx);
}

static void
test_flood_is_cut_into_turns(void **state)
{
	const unsigned n = 2 * PER_TURN + 7;
	struct fixture fx;

	(void)state;
	fixture_init(&fx, n);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(mbox_post(fx.mb, &note_new(0, i)->msg), ERR_OK);
	turn(&fx);
	assert_int_equal(fx.n_delivered, PER_TURN);
	/* What comes meanwhile stands behind what was there. */
	mbox_post_always(fx.mb, &note_new(0, n)->msg);
	turn(&fx);
	assert_int_equal(fx.n_delivered, 2 * PER_TURN);
	turn(&fx);
	turn(&fx);
	assert_int_equal(fx.n_delivered, n + 1);
	fixture_fini(&fx);
}

static void
test_close_discards(void **state)
{
	struct fixture fx;

	(void)state;
	fixture_init(&fx, 10);
	mbox_post_always(fx.mb, &note_new(0, 0)->msg);
	mbox_post_always(fx.mb, &note_new(0, 1)->msg);
	mbox_close(fx.mb);
	assert_int_equal(atomic_load(&n_discarded), 2);
	assert_int_equal(mbox_post(fx.mb, &note_new(0, 2)->msg), ERR_OK);
	assert_int_equal(atomic_load(&n_discarded), 3);
	turn(&fx);
	assert_int_equal(fx.n_delivered, 0);
	fixture_fini(&fx);
}

static void
test_close_within_delivery_discards_the_rest(void **state)
{
	struct fixture fx;

	(void)state;
	fixture_init(&fx, 10);
	fx.closes = true;
	for (unsigned i = 0; i < 5; i++)
		mbox_post_always(fx.mb, &note_new(0, i)->msg);
	turn(&fx);
	assert_int_equal(fx.n_delivered, 1);
	assert_int_equal(atomic_load(&n_discarded), 4);
	fixture_fini(&fx);
}

struct poster {
	struct mbox *mb;
	unsigned index;
	pthread_t thread;
};

static void *
post_many(void *arg)
{
	struct poster *p = arg;

	for (unsigned i = 0; i < N_EACH; i++) {
		struct note *n = note_new(p->index, i);

		while (mbox_post(p->mb, &n->msg) == ERR_BUSY)
			sched_yield();
	}
	return NULL;
}

static void
start_posters(struct poster *posters, struct mbox *mb)
{
	for (unsigned i = 0; i < N_THREADS; i++) {
		posters[i] = (struct poster){ .mb = mb, .index = i };
		assert_int_equal(pthread_create(&posters[i].thread, NULL, post_many, &posters[i]),
		    0);
	}
}

static void
join_posters(struct poster *posters)
{
	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_join(posters[i].thread, NULL), 0);
}

/* note_deliver checks that each poster's messages come in its order, none twice, none missing. */
static void
test_threads_lose_nothing(void **state)
{
	struct poster posters[N_THREADS];
	struct fixture fx;

	(void)state;
	fixture_init(&fx, 300);
	start_posters(posters, fx.mb);
	while (fx.n_delivered < (size_t)N_THREADS * N_EACH)
		event_base_loop(fx.base, EVLOOP_ONCE);
	join_posters(posters);
	for (unsigned i = 0; i < N_THREADS; i++)
		assert_int_equal(fx.next_seq[i], N_EACH);
	assert_int_equal(atomic_load(&n_discarded), 0);
	fixture_fini(&fx);
}

static void
test_close_in_a_flood_discards_the_rest(void **state)
{
	struct poster posters[N_THREADS];
	struct fixture fx;

	(void)state;
	fixture_init(&fx, 300);
	start_posters(posters, fx.mb);
	while (fx.n_delivered < N_EACH / 2)
		event_base_loop(fx.base, EVLOOP_ONCE);
	mbox_close(fx.mb);
	join_posters(posters);
	assert_int_equal(fx.n_delivered + atomic_load(&n_discarded), N_THREADS * N_EACH);
	fixture_fini(&fx);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_is_one_wakeup_in_order),
		cmocka_unit_test(test_limit_counts_what_waits),
		cmocka_unit_test(test_post_while_delivering_waits_for_next_batch),
		cmocka_unit_test(test_flood_is_cut_into_turns),
		cmocka_unit_test(test_close_discards),
		cmocka_unit_test(test_close_within_delivery_discards_the_rest),
		cmocka_unit_test(test_threads_lose_nothing),
		cmocka_unit_test(test_close_in_a_flood_discards_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
