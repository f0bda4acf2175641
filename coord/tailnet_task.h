/*
 * Work about the policy that takes too long for the coordinator's turn, with users and nodes as
 * they were when it was asked for: on the jobs thread. Coordinator thread, but for work.
 */
#ifndef COORD_TAILNET_TASK_H
#define COORD_TAILNET_TASK_H

#include "base/jobs.h"
#include "coord/policy_check.h"
#include "coord/tailnet.h"

/* First member of what it needs. */
struct tailnet_task {
	struct jobs_work _job;
	struct tailnet *t;
	struct policy_snapshot *snapshot;	/* for work; freed before done */
	struct policy *policy;			/* likewise; in force; held; NULL: none */
	/* On the jobs thread: touches only these and its own. */
	void (*work)(struct tailnet_task *k);
	/* Owns the task: ERR_OK, it was done; ERR_BUSY, ERR_CLOSED: not. */
	void (*done)(struct tailnet_task *k, enum err rc);
};

/* t, work and done are set. done may be called before it returns. */
void tailnet_task_start(struct tailnet_task *k);

#endif
