/*
 * What another policy would change: which nodes gain or lose which ports at which others, before it
 * is saved. Pure.
 *
 * Two worlds of the same nodes are compared, address by kind of address: nodes' own ones, those
 * behind subnet routes, and the internet behind exit nodes. Ends that every rule treats alike are
 * one group, only pairs of groups that a changed rule is about are looked at, and what changes
 * alike is told together: ten thousand nodes under a few dozen rules give a handful of lines. SSH
 * rules and node attributes are not compared.
 */
#ifndef COORD_POLICY_PLAN_H
#define COORD_POLICY_PLAN_H

#include "coord/policy_world.h"

#define POLICY_PLAN_CHANGES_MAX	200	/* told; the others are counted */
#define POLICY_PLAN_NAMES_MAX	8	/* of one side */
/* What a plan may cost at most, about two seconds; beyond it, it is cut: is_cut. */
#define POLICY_PLAN_STEPS_MAX	(64u << 20)

struct policy_plan_side {
	char *names[POLICY_PLAN_NAMES_MAX];	/* owned: "web-1", "10.42.0.0/24 (gw-1)" */
	unsigned n_names, n;			/* those of the lowest ids; all of them */
};

struct policy_plan_change {
	struct policy_plan_side src, dst;
	bool is_same_user;		/* only between nodes of one user */
	uint8_t family;			/* 4, 6: only over that; 0: both */
	uint64_t n_pairs;		/* of different nodes, what is behind them apart */
	char *gains, *loses;		/* owned: "22, udp:53"; NULL: nothing */
};

struct policy_plan {
	struct policy_plan_change *v;	/* owned; most pairs first */
	unsigned n, n_more;
	uint64_t n_gaining, n_losing;	/* pairs, of all changes */
	bool is_cut;			/* too much to compare: there may be other changes */
};

/* Valid until the next call; NULL: no such node. */
typedef const char *policy_plan_name_fn(void *arg, int64_t node_id);

/* old NULL: there was no world, nothing was reached. */
struct policy_plan *policy_plan_new(const struct policy_world *old, const struct policy_world *new,
	policy_plan_name_fn *name, void *arg) MUST_USE;
void policy_plan_free(struct policy_plan *p);	/* NULL is fine */
/* Lines for people; a JSON object. */
void policy_plan_put_text(struct buf *b, const struct policy_plan *p);
void policy_plan_put_json(struct buf *b, const struct policy_plan *p);

#endif
