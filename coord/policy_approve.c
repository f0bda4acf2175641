/* Which routes a policy approves by itself. */
#include "coord/policy_approve.h"

bool
policy_approves(const struct policy_world *w, const struct policy_node *n,
    const struct net_prefix *route)
{
	const struct policy *p = w->policy;

	if (n->is_waiting)
		return false;
	if (route->bits == 0)
		return policy_world_any_has(w, &p->exit_node.who, n);
	for (unsigned i = 0; i < p->n_routes; i++) {
		const struct policy_approver *a = &p->routes[i];

		if (a->prefix.bits <= route->bits && net_prefix_has(&a->prefix, &route->ip) &&
		    policy_world_any_has(w, &a->who, n))
			return true;
	}
	return false;
}
