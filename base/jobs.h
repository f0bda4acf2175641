/*
 * The jobs thread: pure work that takes too long for a loop's turn. A snapshot goes in, a result
 * comes back through the loop's mailbox. One job after the other, in the order in which they came.
 */
#ifndef BASE_JOBS_H
#define BASE_JOBS_H

#include "base/err.h"
#include "base/list.h"
#include "base/mbox.h"

#define JOBS_MAX 64		/* waiting; beyond: ERR_BUSY */

struct jobs;

/* First member of what a job needs. Exactly one of done and discard is called, once, on the
 * loop's thread, and owns the job from then on. */
struct jobs_work {
	struct mbox_msg _msg;
	TAILQ_ENTRY(jobs_work) _link;
	void (*run)(struct jobs_work *j);	/* on the jobs thread: touches nothing but the job's own */
	void (*done)(struct jobs_work *j);	/* it ran */
	void (*discard)(struct jobs_work *j);	/* the server stops: it ran or did not */
};

/* Starts the thread. mbox is borrowed: the loop's. ERR_IO with *why. The loop's thread. */
enum err jobs_new(struct mbox *mbox, struct jobs **out, struct err_text *why) MUST_USE;
/* The job that runs is waited for, its result goes to the mailbox; those that wait are
 * discarded. Before the mailbox closes. NULL is fine. */
void jobs_stop(struct jobs *jobs);
void jobs_free(struct jobs *jobs);		/* stopped before; NULL is fine */

/* ERR_BUSY: too many wait, or it is stopping; the job is still the caller's. NULL: runs it, and
 * calls done, before it returns (tests). The loop's thread. */
enum err jobs_submit(struct jobs *jobs, struct jobs_work *j) MUST_USE;

#endif
