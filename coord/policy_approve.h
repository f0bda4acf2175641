/* Which routes a policy approves by itself: its section autoApprovers. Pure. */
#ifndef COORD_POLICY_APPROVE_H
#define COORD_POLICY_APPROVE_H

#include "coord/policy_world.h"

/* May n, which advertises the route, have it without asking? Exit routes (0.0.0.0/0, ::/0) go by
 * exitNode alone, others by every key of routes that contains them. A node that waits for approval
 * has nothing approved: ask again when it no longer does. A tagged node goes by its tags, never by
 * who registered it. */
bool policy_approves(const struct policy_world *w, const struct policy_node *n,
	const struct net_prefix *route);

#endif
