/* Inside of explanations: what is found out on the way. For policy_explain*.c only. */
#ifndef COORD_POLICY_EXPLAIN_PRIVATE_H
#define COORD_POLICY_EXPLAIN_PRIVATE_H

#include "coord/policy_explain.h"
#include "coord/policy_reach.h"

#define EXPLAIN_NEAR_MAX 3		/* rules that came near */

struct explain_side {
	struct policy_reach_side s;
	int64_t node_id;		/* whose address or route it is; 0: nobody's */
	struct net_prefix route;	/* family 0: none */
	bool is_primary;
};

struct explain_near {
	enum policy_finding_kind kind;
	const struct policy_rule *rule;
	unsigned dst;
};

struct explain {
	struct policy_world *w;
	const struct policy_explain_ask *ask;
	const struct policy_explain_facts *facts;
	struct policy_reach_view view;
	struct explain_side src, dst;
	const struct policy_rule *rule;	/* that allows it, or NULL */
	unsigned rule_dst;
	struct explain_near near[EXPLAIN_NEAR_MAX];
	unsigned n_near;
	struct policy_explain *out;
};

/* policy_explain_side.c: whose the two addresses are, by nodes, then routes, then exit nodes.
 * ERR_NOTFOUND with *why. */
enum err explain_resolve(struct explain *x, struct err_text *why) MUST_USE;
/* Has the node whose own address it is no IPv4, by its attributes? */
bool explain_is_ipv4_off(const struct explain_side *s);

#endif
