/*
 * Users and nodes as they are now, copied, so that another thread can evaluate policies on them.
 * Pure. Immutable once made; one thread at a time.
 */
#ifndef COORD_POLICY_SNAPSHOT_H
#define COORD_POLICY_SNAPSHOT_H

#include "coord/policy_explain.h"
#include "coord/policy_world.h"

struct policy_snapshot_node {
	struct policy_node n;		/* without attributes that only the coordinator knows (more is NULL) */
	char name[NODE_NAME_MAX];
	int64_t key_expiry_unix_s;
};

struct policy_snapshot {
	struct map users;		/* struct user by id */
	struct policy_snapshot_node *nodes;	/* by id */
	size_t n_nodes;
	int64_t at_unix_s;
	char *server_url;
	struct arena *_arena;
};

/* Of the maps struct user by id, struct node by id. */
struct policy_snapshot *policy_snapshot_new(const struct map *users, const struct map *nodes,
	const char *server_url, int64_t now_unix_s) MUST_USE;
void policy_snapshot_free(struct policy_snapshot *s);	/* NULL is fine */

/* All nodes under this policy; borrows the snapshot. */
struct policy_world *policy_snapshot_world(const struct policy_snapshot *s, struct policy *p) MUST_USE;
/* By name, also with the base domain behind a dot, or by id, or by address. NULL: there is none. */
const struct policy_snapshot_node *policy_snapshot_named(const struct policy_snapshot *s, const char *which);
/* Name of the node, for plans: policy_plan_name_fn; arg is the snapshot. */
const char *policy_snapshot_name(void *arg, int64_t node_id);
/* What explanations ask. */
struct policy_explain_facts policy_snapshot_facts(const struct policy_snapshot *s);

#endif
