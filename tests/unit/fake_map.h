/* Map distribution for tests that do without it: counts what it is told. One test program each. */
#ifndef TESTS_UNIT_FAKE_MAP_H
#define TESTS_UNIT_FAKE_MAP_H

#include <stdio.h>

#include "coord/change.h"
#include "coord/node.h"
#include "coord/policy_world.h"
#include "coord/session.h"
#include "coord/tailnet_ssh.h"

static struct fake_map {
	unsigned n_added, n_removed, n_ended, n_all;
	uint32_t what;			/* of all change_note since the last reset, together */
	int64_t node_id;		/* of the last one */
	unsigned order_ended, order_removed_note, order_removed;	/* counted through */
	unsigned order;
	const struct policy *policy;	/* that came into force last */
	unsigned n_policies;
	int64_t health_id;		/* of the last change_health_set */
	char health[512];		/* its text; "": none */
	struct policy_world *world;	/* of it, without nodes; made when it is asked for */
	unsigned n_whole;		/* change_note of a whole node, since the last reset */
	unsigned n_pings;
	char ping[512];			/* message sent last */
	enum session_ping_state ping_state;
} fake_map;

void
change_note(struct tailnet *t, struct node *n, uint32_t what)
{
	(void)t;
	fake_map.what |= what;
	fake_map.node_id = n->id;
	fake_map.n_whole += (what & CHANGE_WHOLE) != 0;
	if (what & CHANGE_REMOVED)
		fake_map.order_removed_note = ++fake_map.order;
}

void
change_note_all(struct tailnet *t, uint32_t what)
{
	(void)t;
	(void)what;
	fake_map.n_all++;
}

void
change_policy_set(struct tailnet *t, struct policy *p)
{
	(void)t;
	policy_world_free(fake_map.world);
	fake_map.world = NULL;
	fake_map.policy = p;
	fake_map.n_policies++;
}

#ifndef FAKE_REAL_SSH_RULE
/* No policy asks for checks. */
enum err
tailnet_ssh_rule(struct tailnet *t, const struct ssh_who *who, const struct policy_ssh **out)
{
	(void)t;
	(void)who;
	(void)out;
	return ERR_DENIED;
}
#endif

void
change_health_set(struct tailnet *t, struct node *n, const char *text)
{
	(void)t;
	fake_map.health_id = n->id;
	snprintf(fake_map.health, sizeof(fake_map.health), "%s", text != NULL ? text : "");
}

#ifndef FAKE_OWN_POLICY_WORLD
struct policy_world *
change_policy_world(struct tailnet *t)
{
	if (fake_map.world == NULL && t->policy != NULL)
		fake_map.world = policy_world_new(t->policy, &t->users, t->deps.server_url);
	return fake_map.world;
}
#endif

bool
session_ping(struct tailnet *t, struct node *n, const char *json)
{
	(void)t;
	fake_map.n_pings++;
	snprintf(fake_map.ping, sizeof(fake_map.ping), "%s", json);
	return n->session != NULL;
}

enum session_ping_state
session_ping_state(const struct node *n)
{
	return n->session == NULL ? SESSION_PING_NONE : fake_map.ping_state;
}

void
session_end_node(struct tailnet *t, struct node *n)
{
	(void)t;
	(void)n;
	fake_map.n_ended++;
	fake_map.order_ended = ++fake_map.order;
}

struct map_state *
session_state_new(struct tailnet *t)
{
	(void)t;
	return NULL;
}

void
session_state_free(struct map_state *m)
{
	(void)m;
	policy_world_free(fake_map.world);
	fake_map.world = NULL;
}

void
session_state_loaded(struct tailnet *t)
{
	(void)t;
}

void
session_node_added(struct tailnet *t, struct node *n)
{
	(void)t;
	(void)n;
	fake_map.n_added++;
}

void
session_node_removed(struct tailnet *t, struct node *n)
{
	(void)t;
	(void)n;
	fake_map.n_removed++;
	fake_map.order_removed = ++fake_map.order;
}

#endif
