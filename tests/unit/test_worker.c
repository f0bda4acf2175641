/* links: */
/* Workers: slots and their generations, turn order, hooks, limbo, calls, stop, time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/obj.h"
#include "base/worker.h"

static char trace[64];

static void
trace_add(char c)
{
	size_t n = strlen(trace);

	assert_true(n + 1 < sizeof trace);
	trace[n] = c;
	trace[n + 1] = '\0';
}

static struct worker_group *
group_new(unsigned n)
{
	struct worker_group *g = NULL;
	struct err_text why;

	assert_int_equal(worker_group_new(n, &g, &why), ERR_OK);
	trace[0] = '\0';
	return g;
}

/* --- slots ------------------------------------------------------------------------------------ */

static void
test_slots_name_objects(void **state)
{
	struct worker_group *g = group_new(2);
	struct worker *w = worker_group_at(g, 1);
	int objects[200];
	struct conn_ref refs[200];

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		refs[i] = worker_slot_take(w, &objects[i]);
		assert_int_equal(refs[i].worker, 1);
		assert_int_not_equal(refs[i].generation, 0);
	}
	for (unsigned i = 0; i < 200; i++)
		assert_ptr_equal(worker_find(w, refs[i]), &objects[i]);
	assert_false(conn_ref_eq(refs[0], refs[1]));
	assert_null(worker_find(w, (struct conn_ref){ .worker = 1 }));
	assert_null(worker_find(w, (struct conn_ref){ .worker = 1, .slot = 1u << 30,
	    .generation = 1 }));
	assert_null(worker_find(worker_group_at(g, 0), refs[3]));
	worker_group_free(g);
}

static void
test_slot_used_again_has_another_name(void **state)
{
	struct worker_group *g = group_new(1);
	struct worker *w = worker_group_at(g, 0);
	int a, b;
	struct conn_ref old = worker_slot_take(w, &a), new;

	(void)state;
	worker_slot_give(w, old);
	assert_null(worker_find(w, old));
	new = worker_slot_take(w, &b);
	assert_int_equal(new.slot, old.slot);
	assert_false(conn_ref_eq(new, old));
	assert_null(worker_find(w, old));
	assert_ptr_equal(worker_find(w, new), &b);
	worker_group_free(g);
}

/* --- turns ------------------------------------------------------------------------------------ */

struct thing {
	struct worker *w;
	struct worker_flush flush, again, other;
	struct worker_limbo limbo;
	unsigned n_runs, n_wanted;
};

static void
thing_free(struct worker_limbo *l)
{
	struct thing *t = CONTAINER_OF(l, struct thing, limbo);

	trace_add('L');
	free(t);
}

static void
thing_flush(struct worker_flush *f)
{
	struct thing *t = CONTAINER_OF(f, struct thing, flush);

	trace_add('F');
	assert_false(worker_flush_is_asked(f));
	if (++t->n_runs < t->n_wanted)
		worker_flush_ask(t->w, f);
}

static void
thing_again(struct worker_flush *f)
{
	struct thing *t = CONTAINER_OF(f, struct thing, again);

	trace_add('A');
	if (++t->n_runs < t->n_wanted)
		worker_again(t->w, f);
}

static void
thing_flush_and_die(struct worker_flush *f)
{
	struct thing *t = CONTAINER_OF(f, struct thing, flush);

	trace_add('D');
	worker_flush_cancel(t->w, &t->other);
	worker_limbo_put(t->w, &t->limbo);
}

static struct thing *
thing_new(struct worker *w)
{
	struct thing *t = obj_alloc(sizeof *t);

	t->w = w;
	t->flush.fn = thing_flush;
	t->again.fn = thing_again;
	t->other.fn = thing_flush;
	t->limbo.free_fn = thing_free;
	t->n_wanted = 1;
	return t;
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct thing *t = arg;

	(void)fd;
	(void)what;
	trace_add('E');
	worker_limbo_put(t->w, &t->limbo);
	worker_flush_ask(t->w, &t->flush);
	worker_flush_ask(t->w, &t->flush);	/* asked twice, runs once */
}

static void
test_turn_is_events_hooks_limbo(void **state)
{
	struct worker_group *g = group_new(1);
	struct worker *w = worker_group_at(g, 0);
	struct thing *t = thing_new(w);

	(void)state;
	assert_int_equal(event_base_once(w->base, -1, EV_TIMEOUT, on_event, t,
	    &(struct timeval){ 0, 0 }), 0);
	worker_turn(w, true);
	assert_string_equal(trace, "EFL");
	worker_group_free(g);
	assert_string_equal(trace, "EFL");
}

static void
test_hook_asked_within_hooks_runs_in_the_same_turn(void **state)
{
	struct worker_group *g = group_new(1);
	struct worker *w = worker_group_at(g, 0);
	struct thing *t = thing_new(w);

	(void)state;
	t->n_wanted = 3;
	worker_flush_ask(w, &t->flush);
	assert_true(worker_flush_is_asked(&t->flush));
	worker_turn(w, false);
	assert_string_equal(trace, "FFF");
	free(t);
	worker_group_free(g);
}

static void
hook_for_ever(struct worker_flush *f)
{
	struct thing *t = CONTAINER_OF(f, struct thing, flush);

	t->n_runs++;
	worker_flush_ask(t->w, f);
}

static void
test_hooks_cannot_hold_the_turn(void **state)
{
	struct worker_group *g = group_new(1);
	struct worker *w = worker_group_at(g, 0);
	struct thing *t = thing_new(w);
	unsigned before;

	(void)state;
	t->flush.fn = hook_for_ever;
	worker_flush_ask(w, &t->flush);
	worker_turn(w, true);
	assert_in_range(t->n_runs, 2, 10000);
	before = t->n_runs;
	/* What is left goes on in the next turn, which does not wait although it may. */
	worker_turn(w, true);
	assert_true(t->n_runs > before);
	worker_flush_cancel(w, &t->flush);
	free(t);
	worker_group_free(g);
}

static void
test_again_runs_once_in_the_next_turn(void **state)
{
	struct worker_group *g = group_new(1);
	struct worker *w = worker_group_at(g, 0);
	struct thing *t = thing_new(w);

	(void)state;
	t->n_wanted = 2;
	worker_again(w, &t->again);
	worker_flush_ask(w, &t->flush);
	worker_turn(w, true);
	assert_string_equal(trace, "AF");
	worker_turn(w, true);
	assert_string_equal(trace, "AFA");
	worker_turn(w, false);
	assert_string_equal(trace, "AFA");
	worker_again(w, &t->again);
	worker_flush_cancel(w, &t->again);
	worker_turn(w, false);
	assert_string_equal(trace, "AFA");
	free(t);
	worker_group_free(g);
}

static void
test_cancelled_hook_does_not_run(void **state)
{
	struct worker_group *g = group_new(1);
	struct worker *w = worker_group_at(g, 0);
	struct thing *t = thing_new(w);

	(void)state;
	t->flush.fn = thing_flush_and_die;
	worker_flush_ask(w, &t->flush);
	worker_flush_ask(w, &t->other);
	worker_turn(w, false);
	assert_string_equal(trace, "DL");
	worker_group_free(g);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	clock_test_set(77000, 0);	/* the time that the wait took */
	assert_int_equal(worker_now_ms(w), 77000);
	assert_int_equal(w->now_ms, 77000);
	clock_test_set(78000, 0);
	assert_int_equal(worker_now_ms(w), 77000);	/* once a turn */
}

static void
check_now_on_mail(struct worker *w, void *arg)
{
	(void)arg;
	trace_add('M');
	assert_int_equal(w->now_ms, clock_mono_ms());
}

static void
test_time_is_read_after_the_wait(void **state)
{
	struct worker_group *g = group_new(1);
	struct worker *w = worker_group_at(g, 0);

	(void)state;
	clock_test_set(1000, 0);
	assert_int_equal(event_base_once(w->base, -1, EV_TIMEOUT, on_timer, w,
	    &(struct timeval){ 0, 0 }), 0);
	worker_turn(w, true);
	clock_test_set(90000, 0);
	worker_call(w, check_now_on_mail, NULL, NULL);
	worker_turn(w, true);
	assert_string_equal(trace, "M");
	clock_test_stop();
	worker_group_free(g);
}

/* --- threads ---------------------------------------------------------------------------------- */

#define N_WORKERS	3
#define N_CALLS		2000

static atomic_uint n_called, n_discarded, n_stopped;

static void
count_call(struct worker *w, void *arg)
{
	(void)w;
	(void)arg;
	atomic_fetch_add(&n_called, 1);
}

static void
count_discard(void *arg)
{
	(void)arg;
	atomic_fetch_add(&n_discarded, 1);
}

struct seen {
	pthread_t thread;
	char name[16];
	bool is_blocked;
	bool is_done;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

static void
look_around(struct worker *w, void *arg)
{
	struct seen *s = arg;
	sigset_t set;

	(void)w;
	pthread_mutex_lock(&s->lock);
	s->thread = pthread_self();
	pthread_getname_np(s->thread, s->name, sizeof s->name);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	s->is_blocked = sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGINT) == 1;
	s->is_done = true;
	pthread_cond_signal(&s->cond);
	pthread_mutex_unlock(&s->lock);
}

static void
test_call_runs_on_the_workers_thread(void **state)
{
	struct worker_group *g = group_new(N_WORKERS);
	struct seen s = { .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };
	struct err_text why;
	sigset_t set;

	(void)state;
	assert_int_equal(worker_group_start(g, &why), ERR_OK);
	worker_call(worker_group_at(g, 2), look_around, &s, NULL);
	pthread_mutex_lock(&s.lock);
	while (!s.is_done)
		pthread_cond_wait(&s.cond, &s.lock);
	pthread_mutex_unlock(&s.lock);
	assert_false(pthread_equal(s.thread, pthread_self()));
	assert_string_equal(s.name, "fl-worker-2");
	assert_true(s.is_blocked);
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	assert_int_equal(sigismember(&set, SIGTERM), 0);
	worker_group_free(g);
}

static void
on_stop(struct worker *w, void *arg)
{
	struct thing *t = arg;

	/* What a module does when it closes its connections. */
	assert_ptr_equal(t->w, w);
	worker_flush_cancel(w, &t->flush);
	worker_limbo_put(w, &t->limbo);
	atomic_fetch_add(&n_stopped, 1);
}

static void
thing_free_quietly(struct worker_limbo *l)
{
	free(CONTAINER_OF(l, struct thing, limbo));
}

static void *
call_many(void *arg)
{
	struct worker_group *g = arg;

	for (unsigned i = 0; i < N_CALLS; i++)
		worker_call(worker_group_at(g, i % N_WORKERS), count_call, NULL, count_discard);
	return NULL;
}

static void
test_stop_runs_hooks_and_discards_late_calls(void **state)
{
	struct worker_group *g = group_new(N_WORKERS);
	pthread_t callers[2];
	struct err_text why;

	(void)state;
	atomic_store(&n_called, 0);
	atomic_store(&n_discarded, 0);
	atomic_store(&n_stopped, 0);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		struct thing *t = thing_new(worker_group_at(g, i));

		t->limbo.free_fn = thing_free_quietly;
		worker_on_stop(t->w, on_stop, t);
	}
	assert_int_equal(worker_group_start(g, &why), ERR_OK);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&callers[i], NULL, call_many, g), 0);
	worker_group_stop(g);	/* in the middle of it */
	assert_int_equal(atomic_load(&n_stopped), N_WORKERS);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_join(callers[i], NULL), 0);
	assert_int_equal(atomic_load(&n_called) + atomic_load(&n_discarded), 2 * N_CALLS);
	worker_call(worker_group_at(g, 0), count_call, NULL, count_discard);
	assert_int_equal(atomic_load(&n_called) + atomic_load(&n_discarded), 2 * N_CALLS + 1);
	worker_group_stop(g);	/* a second time does nothing */
	assert_int_equal(atomic_load(&n_stopped), N_WORKERS);
	worker_group_free(g);
}

static void
test_never_started_stops_too(void **state)
{
	struct worker_group *g = group_new(1);
	struct thing *t = thing_new(worker_group_at(g, 0));

	(void)state;
	atomic_store(&n_stopped, 0);
	atomic_store(&n_discarded, 0);
	worker_on_stop(t->w, on_stop, t);
	worker_call(t->w, count_call, NULL, count_discard);
	worker_group_free(g);
	assert_int_equal(atomic_load(&n_stopped), 1);
	assert_int_equal(atomic_load(&n_discarded), 1);
	assert_string_equal(trace, "L");
	worker_group_free(NULL);
}

static void
test_least_has_the_fewest_connections(void **state)
{
	struct worker_group *g = group_new(3);

	(void)state;
	assert_int_equal(worker_group_count(g), 3);
	worker_conns_add(worker_group_at(g, 0), 2);
	worker_conns_add(worker_group_at(g, 1), 1);
	assert_ptr_equal(worker_group_least(g), worker_group_at(g, 2));
	worker_conns_add(worker_group_at(g, 2), 5);
	assert_ptr_equal(worker_group_least(g), worker_group_at(g, 1));
	worker_conns_add(worker_group_at(g, 0), -2);
	assert_ptr_equal(worker_group_least(g), worker_group_at(g, 0));
	worker_group_free(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slots_name_objects),
		cmocka_unit_test(test_slot_used_again_has_another_name),
		cmocka_unit_test(test_turn_is_events_hooks_limbo),
		cmocka_unit_test(test_hook_asked_within_hooks_runs_in_the_same_turn),
		cmocka_unit_test(test_hooks_cannot_hold_the_turn),
		cmocka_unit_test(test_again_runs_once_in_the_next_turn),
		cmocka_unit_test(test_cancelled_hook_does_not_run),
		cmocka_unit_test(test_time_is_read_after_the_wait),
		cmocka_unit_test(test_call_runs_on_the_workers_thread),
		cmocka_unit_test(test_stop_runs_hooks_and_discards_late_calls),
		cmocka_unit_test(test_never_started_stops_too),
		cmocka_unit_test(test_least_has_the_fewest_connections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
