/* links: */
/* The jobs thread: order, limits, and the end with work left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/event.h>
#include <semaphore.h>

#include "base/jobs.h"

struct item {
	struct jobs_work work;
	int n;				/* in what order it was asked for */
	sem_t *gate;			/* waited for by run; NULL: none */
};

static struct event_base *base;
static struct mbox *mbox;
static struct jobs *jobs;
static int ran[JOBS_MAX + 2], n_ran;	/* by the jobs thread, read when it has ended or answered */
static int done[JOBS_MAX + 2], n_done, n_discarded;

static void
on_run(struct jobs_work *j)
{
	struct item *i = CONTAINER_OF(j, struct item, work);

	if (i->gate != NULL)
		while (sem_wait(i->gate) != 0)
			continue;
	ran[n_ran++] = i->n;
}

static void
on_done(struct jobs_work *j)
{
	struct item *i = CONTAINER_OF(j, struct item, work);

	done[n_done++] = i->n;
	free(i);
}

static void
on_discard(struct jobs_work *j)
{
	n_discarded++;
	free(CONTAINER_OF(j, struct item, work));
}

static struct item *
item_new(int n, sem_t *gate)
{
	struct item *i = obj_alloc(sizeof(*i));

	i->work = (struct jobs_work){ .run = on_run, .done = on_done, .discard = on_discard };
	i->n = n;
	i->gate = gate;
	return i;
}

static int
set_up(void **state)
{
	struct err_text why;

	(void)state;
	n_ran = n_done = n_discarded = 0;
	base = event_base_new();
	mbox = mbox_new(base, NULL, 10);
	return jobs_new(mbox, &jobs, &why) == ERR_OK ? 0 : -1;
}

static int
tear_down(void **state)
{
	(void)state;
	jobs_stop(jobs);
	mbox_close(mbox);
	jobs_free(jobs);
	mbox_free(mbox);
	event_base_free(base);
	return 0;
}

static void
test_order(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++)
		assert_int_equal(jobs_submit(jobs, &item_new(i, NULL)->work), ERR_OK);
	while (n_done < 20)
		assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(ran[i], i);
		assert_int_equal(done[i], i);
	}
	assert_int_equal(n_discarded, 0);
}

static void
test_limit(void **state)
{
	struct item *extra = item_new(99, NULL);
	int n_taken = 0;
	sem_t gate;

	(void)state;
	sem_init(&gate, 0, 0);
	/* The first runs, or waits to run: one more than JOBS_MAX at most are taken. */
	while (n_taken <= JOBS_MAX) {
		struct item *i = item_new(n_taken, n_taken == 0 ? &gate : NULL);
		if (jobs_submit(jobs, &i->work) != ERR_OK) {
			free(i);
			break;
		}
		n_taken++;
	}
	assert_true(n_taken >= JOBS_MAX);
	while (jobs_submit(jobs, &extra->work) == ERR_OK) {	/* until the first has left the queue */
		n_taken++;
		extra = item_new(99, NULL);
	}
	assert_true(n_taken <= JOBS_MAX + 1);
	free(extra);
	sem_post(&gate);
	while (n_done < n_taken)
		assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
	sem_destroy(&gate);
}

/* Whatever happens at the end, each is answered once. */
static void
test_stop(void **state)
{
	struct item *late = item_new(7, NULL);
	sem_t gate;

	(void)state;
	sem_init(&gate, 0, 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(jobs_submit(jobs, &item_new(i, i == 0 ? &gate : NULL)->work), ERR_OK);
	sem_post(&gate);
	jobs_stop(jobs);
	assert_int_equal(jobs_submit(jobs, &late->work), ERR_BUSY);
	free(late);
	mbox_close(mbox);
	assert_int_equal(n_done, 0);
	assert_int_equal(n_discarded, 5);
	sem_destroy(&gate);
}

static void
test_without_thread(void **state)
{
	(void)state;
	assert_int_equal(jobs_submit(NULL, &item_new(3, NULL)->work), ERR_OK);
	assert_int_equal(n_done, 1);
	assert_int_equal(done[0], 3);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_order), TEST(test_limit), TEST(test_stop), TEST(test_without_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
