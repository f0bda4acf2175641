/* The jobs thread. */
#include "base/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define JOBS_MAGIC 0x70b50001u

struct jobs {
	uint32_t magic;
	struct mbox *mbox;		/* borrowed */
	pthread_t thread;
	bool is_running;
	pthread_mutex_t mu;		/* guards what follows */
	pthread_cond_t wake;
	TAILQ_HEAD(, jobs_work) queue;
	unsigned n_queued;
	bool is_stopping;
};

static void
job_deliver(struct mbox_msg *m, void *loop_arg)
{
	struct jobs_work *j = CONTAINER_OF(m, struct jobs_work, _msg);

	(void)loop_arg;
	j->done(j);
}

static void
job_discard(struct mbox_msg *m)
{
	struct jobs_work *j = CONTAINER_OF(m, struct jobs_work, _msg);

	j->discard(j);
}

/* The next one, waited for; NULL: stopping. */
static struct jobs_work *
job_next(struct jobs *jobs)
{
	struct jobs_work *j;

	pthread_mutex_lock(&jobs->mu);
	while (jobs->n_queued == 0 && !jobs->is_stopping)
		pthread_cond_wait(&jobs->wake, &jobs->mu);
	j = jobs->is_stopping ? NULL : TAILQ_FIRST(&jobs->queue);
	if (j != NULL) {
		TAILQ_REMOVE(&jobs->queue, j, _link);
		jobs->n_queued--;
	}
	pthread_mutex_unlock(&jobs->mu);
	return j;
}

static void *
jobs_main(void *arg)
{
	struct jobs *jobs = arg;
	struct jobs_work *j;

	OBJ_CHECK(jobs, JOBS_MAGIC);
	while ((j = job_next(jobs)) != NULL) {
		j->run(j);
		mbox_post_always(jobs->mbox, &j->_msg);
	}
	return NULL;
}

enum err
jobs_new(struct mbox *mbox, struct jobs **out, struct err_text *why)
{
	struct jobs *jobs = obj_alloc(sizeof(*jobs));
	sigset_t all, old;
	int e;

	jobs->magic = JOBS_MAGIC;
	jobs->mbox = mbox;
	TAILQ_INIT(&jobs->queue);
	ASSERT(pthread_mutex_init(&jobs->mu, NULL) == 0);
	ASSERT(pthread_cond_init(&jobs->wake, NULL) == 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);	/* signals are for the main thread */
	e = pthread_create(&jobs->thread, NULL, jobs_main, jobs);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (e != 0) {
		jobs_free(jobs);
		return err_say(why, ERR_IO, "the thread for long work cannot be started: %s", strerror(e));
	}
	pthread_setname_np(jobs->thread, "jobs");
	jobs->is_running = true;
	*out = jobs;
	return ERR_OK;
}

void
jobs_stop(struct jobs *jobs)
{
	struct jobs_work *j;

	if (jobs == NULL || !jobs->is_running)
		return;
	OBJ_CHECK(jobs, JOBS_MAGIC);
	pthread_mutex_lock(&jobs->mu);
	jobs->is_stopping = true;
	pthread_cond_signal(&jobs->wake);
	pthread_mutex_unlock(&jobs->mu);
	pthread_join(jobs->thread, NULL);
	jobs->is_running = false;
	while ((j = TAILQ_FIRST(&jobs->queue)) != NULL) {
		TAILQ_REMOVE(&jobs->queue, j, _link);
		j->discard(j);
	}
}

void
jobs_free(struct jobs *jobs)
{
	if (jobs == NULL)
		return;
	OBJ_CHECK(jobs, JOBS_MAGIC);
	ASSERT(!jobs->is_running);
	pthread_cond_destroy(&jobs->wake);
	pthread_mutex_destroy(&jobs->mu);
	jobs->magic = 0;
	free(jobs);
}

enum err
jobs_submit(struct jobs *jobs, struct jobs_work *j)
{
	enum err rc = ERR_BUSY;

	j->_msg = (struct mbox_msg){ .deliver = job_deliver, .discard = job_discard };
	if (jobs == NULL) {
		j->run(j);
		j->done(j);
		return ERR_OK;
	}
	pthread_mutex_lock(&jobs->mu);
	if (jobs->n_queued < JOBS_MAX && !jobs->is_stopping) {
		TAILQ_INSERT_TAIL(&jobs->queue, j, _link);
		if (jobs->n_queued++ == 0)
			pthread_cond_signal(&jobs->wake);
		rc = ERR_OK;
	}
	pthread_mutex_unlock(&jobs->mu);
	return rc;
}
