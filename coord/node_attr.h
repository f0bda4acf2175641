/*
 * Self capabilities that a node has without a policy, which may add others. Pure. What they do is said in
 * Tailscale's tailcfg/tailcfg.go, NodeCapability.
 */
#ifndef COORD_NODE_ATTR_H
#define COORD_NODE_ATTR_H

#include "coord/node.h"

#define NODE_ATTR_MAX 8

/* Of the tailnet's settings. */
struct node_attr_params {
	bool disables_cgnat_drop_rule;	/* Linux lets in packets from 100.64.0.0/10 of other networks */
};

/* Their names, static, into out; returns how many. None has values. */
unsigned node_attr_defaults(const struct node *n, const struct node_attr_params *p,
	const char *out[NODE_ATTR_MAX]);

#endif
