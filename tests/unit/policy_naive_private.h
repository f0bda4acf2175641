/* What the files of the naive evaluator share: see policy_naive.c. */
#ifndef TESTS_POLICY_NAIVE_PRIVATE_H
#define TESTS_POLICY_NAIVE_PRIVATE_H

#include "tests/unit/policy_naive.h"

void naive_everything(struct ipset *out);
void naive_internet(struct ipset *out);
bool naive_is_exit_node(const struct policy_node *n);
void naive_subnet_routes(const struct naive *nv, struct ipset *out);
bool naive_is_kind(const struct naive *nv, uint32_t sel, enum policy_sel_kind kind);
bool naive_holds_ip(const struct ipset *s, const struct net_ip *ip);
bool naive_holds_node(const struct ipset *s, const struct policy_node *n);
void naive_postured(const struct naive *nv, const struct policy_rule *r, struct ipset *set);
void naive_sources(const struct naive *nv, const struct policy_rule *r, bool with_routes, struct ipset *out);
bool naive_overlaps_subnet(const struct ipset *s, const struct policy_node *n);
const char *naive_companion(const char *name);
void naive_self_sets(const struct naive *nv, const struct policy_rule *r,
	const struct policy_node *n, struct ipset *src, struct ipset *all);
bool naive_is_via_node(const struct naive *nv, const struct policy_rule *r, const struct policy_node *n);
void naive_via_dests(const struct naive *nv, const struct policy_rule *r,
	const struct policy_node *n, struct ipset *out);

#endif
