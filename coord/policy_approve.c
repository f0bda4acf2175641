/* What a policy approves by itself. */
#include "coord/policy_approve.h"

#include <string.h>

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

bool
policy_approves_service(const struct policy_world *w, const struct policy_node *n,
    const char *service)
{
	const struct policy *p = w->policy;

	for (unsigned i = 0; i < p->n_services && !n->is_waiting; i++) {
		if (strcmp(p->service_names[i], service) == 0 &&
		    policy_world_any_has(w, &p->services[i].who, n))
			return true;
	}
	return false;
}
