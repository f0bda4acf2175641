/* Snapshots for the jobs thread. */
#include "coord/tailnet_task.h"

#include "base/clock.h"

static void
on_run(struct jobs_work *j)
{
	struct tailnet_task *k = CONTAINER_OF(j, struct tailnet_task, _job);

	k->work(k);
	policy_snapshot_free(k->snapshot);	/* here: it is large */
	k->snapshot = NULL;
}

static void
end(struct tailnet_task *k, enum err rc)
{
	policy_snapshot_free(k->snapshot);
	policy_drop(k->policy);
	k->snapshot = NULL;
	k->policy = NULL;
	k->done(k, rc);
}

static void
on_done(struct jobs_work *j)
{
	end(CONTAINER_OF(j, struct tailnet_task, _job), ERR_OK);
}

static void
on_discard(struct jobs_work *j)
{
	end(CONTAINER_OF(j, struct tailnet_task, _job), ERR_CLOSED);
}

void
tailnet_task_start(struct tailnet_task *k)
{
	struct tailnet *t = k->t;

	k->_job = (struct jobs_work){ .run = on_run, .done = on_done, .discard = on_discard };
	k->snapshot = policy_snapshot_new(&t->users, &t->nodes, t->deps.server_url, clock_wall_s());
	k->policy = t->policy != NULL ? policy_hold(t->policy) : NULL;
	if (jobs_submit(t->deps.jobs, &k->_job) != ERR_OK)
		end(k, ERR_BUSY);
}
