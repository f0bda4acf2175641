/*
 * What one address may reach at another by a policy: rule by rule, exactly, for explanations and
 * plans. Filters and visibility of thousands of nodes are the world's business.
 */
#ifndef COORD_POLICY_REACH_H
#define COORD_POLICY_REACH_H

#include "coord/policy_world.h"

/* What an address is to the tailnet. */
enum policy_reach_kind {
	POLICY_REACH_OWN,		/* of a node of the class */
	POLICY_REACH_ROUTED,		/* behind a subnet route of the class's nodes */
	POLICY_REACH_EXIT,		/* elsewhere, through an exit node of the class; no source */
	POLICY_REACH_FOREIGN		/* nobody's; class is NULL */
};

struct policy_reach_side {
	enum policy_reach_kind kind;
	const struct policy_class *class;	/* borrowed */
	struct net_ip ip;
};

/* A world, and what looking at it takes. */
struct policy_reach_view {
	const struct policy_world *w;	/* borrowed */
	struct ipset internet;
};
void policy_reach_view_init(struct policy_reach_view *v, const struct policy_world *w);
void policy_reach_view_fini(struct policy_reach_view *v);

/* Is the address among the rule's sources, postures apart? *sel (NULL is fine) is the selector that
 * has it. */
bool policy_reach_is_src(const struct policy_reach_view *v, const struct policy_rule *rule,
	const struct policy_reach_side *src, uint32_t *sel);
/* Does it meet the postures that the rule asks for? */
bool policy_reach_meets(const struct policy_reach_view *v, const struct policy_rule *rule,
	const struct policy_reach_side *src);
/* Is the address in the rule's destination of that index? autogroup:self apart. With via: through
 * that class. */
bool policy_reach_is_dst(const struct policy_reach_view *v, const struct policy_rule *rule,
	unsigned i, const struct policy_reach_side *dst);
/* Is that destination autogroup:self? */
bool policy_reach_is_self(const struct policy_reach_view *v, const struct policy_rule *rule,
	unsigned i);
/* Is autogroup:self at dst the owner of src? */
bool policy_reach_is_same_user(const struct policy_reach_side *src,
	const struct policy_reach_side *dst);

/* What may be reached: protocols and their ports, and capabilities. All zero is nothing. */
struct policy_reach_cap {
	uint8_t proto;
	uint16_t first, last;
};
struct policy_reach {
	struct policy_reach_cap *v;	/* owned; once sorted: by protocol and port, merged */
	unsigned n, _cap;
	const char **apps;		/* owned; the texts are the policy's. Once sorted: once */
	unsigned n_apps, _cap_apps;
};
void policy_reach_fini(struct policy_reach *r);
void policy_reach_clear(struct policy_reach *r);
/* Adds what the rule's destination of that index allows. */
void policy_reach_add(struct policy_reach *r, const struct policy_rule *rule, unsigned i);
void policy_reach_sort(struct policy_reach *r);
/* Both sorted: out (emptied before) is what a has beyond b. */
void policy_reach_minus(const struct policy_reach *a, const struct policy_reach *b,
	struct policy_reach *out);
/* Sorted: is a packet to the port let through, as clients filter? ICMP goes wherever anything goes,
 * protocols without ports only where all ports are open. */
bool policy_reach_has(const struct policy_reach *r, int proto, uint16_t port);
/* Sorted: appends it as people write it, "22, 443, udp:53"; "*" is everything, "nothing"
 * nothing. */
void policy_reach_put(struct buf *b, const struct policy_reach *r);

/* "tcp", "icmp", … or the number in decimal. */
const char *policy_reach_proto(int proto, char out[8]);

#endif
