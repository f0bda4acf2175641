/*
 * Online and offline. A node is online from the first answerable stream until the grace after its
 * last one is over; a node that is back within it causes no change at all, so a restart of links or
 * of the server costs nothing. All graces are equally long, and so are all waits of nodes that joined
 * for their first stream: either queue is in the order of their ends.
 */
#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "coord/session_state.h"

static void
arm(struct event *timer, const struct map_wait *queue)
{
	struct map_node *mn = TAILQ_FIRST(queue);

	if (mn == NULL) {
		evtimer_del(timer);
		return;
	}
	int64_t ms = mn->wait_due_ms - clock_mono_ms();
	if (ms < 0)
		ms = 0;
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (ms % 1000) * 1000 };
	ASSERT(evtimer_add(timer, &tv) == 0);
}

static void
wait_leave(struct map_state *m, struct map_node *mn)
{
	if (mn->is_in_grace)
		TAILQ_REMOVE(&m->grace, mn, wait);
	if (mn->is_unseen)
		TAILQ_REMOVE(&m->unseen, mn, wait);
	mn->is_in_grace = mn->is_unseen = false;
}

static void
log_presence(const char *event, const struct node *n)
{
	char ip[NET_TEXT_MAX];

	log_info(LOG_MAP, event, "node", LOG_NUM(n->id), "name", n->name, "ip",
	    net_ip_put(&n->ip4, ip));
}

void
session_presence_up(struct map_state *m, struct node *n)
{
	uint32_t what = n->map->is_unseen ? CHANGE_JOINED | CHANGE_ONLINE : CHANGE_ONLINE;

	wait_leave(m, n->map);
	if (n->is_online)
		return;
	n->is_online = true;
	n->last_seen_unix_s = clock_wall_s();
	metric_add(METRIC_NODES_ONLINE, 1);
	change_note(m->t, n, what);
	tailnet_soft_dirty(m->t, n);
	log_presence("node online", n);
}

void
session_presence_down(struct map_state *m, struct node *n)
{
	wait_leave(m, n->map);
	if (!n->is_online)
		return;
	n->is_online = false;
	n->last_seen_unix_s = n->map->gone_unix_s != 0 ? n->map->gone_unix_s : clock_wall_s();
	metric_add(METRIC_NODES_ONLINE, -1);
	change_note(m->t, n, CHANGE_ONLINE);
	tailnet_soft_dirty(m->t, n);
	log_presence("node offline", n);
}

void
session_presence_gone(struct map_state *m, struct node *n, unsigned silent_ms)
{
	struct map_node *mn = n->map;

	wait_leave(m, mn);
	if (!n->is_online)
		return;
	mn->gone_unix_s = clock_wall_s() - (int64_t)(silent_ms / 1000);
	mn->wait_due_ms = clock_mono_ms() + (int64_t)m->t->deps.cfg->node.offline_grace_s * 1000;
	mn->is_in_grace = true;
	TAILQ_INSERT_TAIL(&m->grace, mn, wait);
	if (TAILQ_FIRST(&m->grace) == mn)
		arm(m->grace_timer, &m->grace);
}

void
session_presence_load(struct map_state *m, struct node *n)
{
	if (!n->is_online)
		return;
	metric_add(METRIC_NODES_ONLINE, 1);
	session_presence_gone(m, n, 0);
}

void
session_presence_forget(struct map_state *m, struct node *n)
{
	wait_leave(m, n->map);
	if (n->is_online && m->is_loaded)
		metric_add(METRIC_NODES_ONLINE, -1);
	n->is_online = false;
}

void
session_presence_run(struct map_state *m)
{
	struct map_node *mn;
	int64_t now_ms = clock_mono_ms();

	OBJ_CHECK(m, MAP_STATE_MAGIC);
	while ((mn = TAILQ_FIRST(&m->grace)) != NULL && mn->wait_due_ms <= now_ms)
		session_presence_down(m, mn->node);
	arm(m->grace_timer, &m->grace);
}

void
session_presence_expect(struct map_state *m, struct node *n)
{
	struct map_node *mn = n->map;

	ASSERT(!mn->is_in_grace && !mn->is_unseen);
	mn->wait_due_ms = clock_mono_ms() + SESSION_UNSEEN_MS;
	mn->is_unseen = true;
	TAILQ_INSERT_TAIL(&m->unseen, mn, wait);
	if (TAILQ_FIRST(&m->unseen) == mn)
		arm(m->unseen_timer, &m->unseen);
}

void
session_presence_run_unseen(struct map_state *m)
{
	struct map_node *mn;
	int64_t now_ms = clock_mono_ms();

	OBJ_CHECK(m, MAP_STATE_MAGIC);
	while ((mn = TAILQ_FIRST(&m->unseen)) != NULL && mn->wait_due_ms <= now_ms) {
		change_note(m->t, mn->node, CHANGE_JOINED);
		wait_leave(m, mn);
	}
	arm(m->unseen_timer, &m->unseen);
}
