/*
 * What a policy says of nodes, worked out node by node with sets of addresses: slow, and as the
 * language is described, to compare the engine with.
 */
#ifndef TESTS_POLICY_NAIVE_H
#define TESTS_POLICY_NAIVE_H

#include "base/json.h"
#include "coord/policy_world.h"

struct naive {
	const struct policy *p;
	const struct map *users;
	const struct policy_node *nodes;
	unsigned n;
};

/* A filter by what it means: from whom, what (protocol and ports, or capability), to where. */
struct canon {
	struct canon_entry {
		char *key;		/* owned */
		struct ipset dst;
	} *v;				/* owned */
	unsigned n;
};
void canon_add(struct canon *c, const struct ipset *src, const char *what, const struct ipset *dst);
/* A FilterRule as nodes get it. */
void canon_add_rule(struct canon *c, const json_t *rule);
/* By key, so that equal ones print alike. */
void canon_put(struct canon *c, struct buf *b);
void canon_fini(struct canon *c);

void naive_filter(const struct naive *nv, unsigned node, struct canon *out);
bool naive_sees(const struct naive *nv, unsigned a, unsigned b);
/* Is the i-th route of peer among what viewer gets of it, whom it sees? */
bool naive_shows(const struct naive *nv, unsigned viewer, unsigned peer, unsigned i);
/* Adds all addresses that the selector stands for. */
void naive_resolve(const struct naive *nv, uint32_t sel, struct ipset *out);

#endif
