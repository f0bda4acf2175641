/* Inside of plans: ends, and groups of ends that rules treat alike. For policy_plan*.c only. */
#ifndef COORD_POLICY_PLAN_PRIVATE_H
#define COORD_POLICY_PLAN_PRIVATE_H

#include "coord/policy_plan.h"
#include "coord/policy_reach.h"

struct plan_entry {
	uint32_t rule, dst;
};

/* One of the two worlds. Its rules and entries (destinations of rules) have bits in every group,
 * old ones first. */
struct plan_part {
	struct policy_reach_view view;	/* view.w NULL: no world */
	struct plan_entry *entries;	/* owned */
	unsigned n_rules, n_entries;
	unsigned first_rule, first_entry;	/* bits */
	bool *is_changed;		/* owned: rules that the other one does not have */
	bool has_self;
};

/* A node in a group. */
struct plan_member {
	int64_t id, user_id;		/* user_id 0: tagged */
	struct ipset ranges;		/* behind it; none: its own address */
};

struct plan_user {
	int64_t user_id;
	unsigned n;
};

struct plan_group {
	struct {
		uint64_t hash;
		uint64_t kind;		/* and family: homogeneous */
	} key;
	uint32_t index;
	enum policy_reach_kind kind;
	uint8_t family;
	uint64_t *src, *dst;		/* owned: bits of rules that it is a source, of entries
					 * that it is a destination of */
	struct plan_member *members;	/* owned, sorted by id */
	unsigned n_members, cap_members;
	struct plan_user *users;	/* owned, sorted; of OWN */
	unsigned n_users;
	uint64_t alike;			/* equal for groups of the same nodes in another family */
};

struct plan {
	struct plan_part part[2];	/* old, new */
	unsigned n_rules, n_entries;	/* bits */
	struct net_ip *cuts;		/* owned, sorted: where a literal begins, or has ended before */
	unsigned n_cuts, cap_cuts;
	struct map by_key;
	struct plan_group **groups;	/* owned */
	unsigned n_groups, cap_groups;
	uint64_t n_steps;
	bool is_cut;
};

static inline bool
plan_bit(const uint64_t *set, unsigned i)
{
	return (set[i / 64] >> (i % 64) & 1) != 0;
}

/* Counts work; false: there has been too much. */
static inline bool
plan_step(struct plan *p, uint64_t n)
{
	p->n_steps += n;
	p->is_cut = p->is_cut || p->n_steps > POLICY_PLAN_STEPS_MAX;
	return !p->is_cut;
}

/* policy_plan_group.c: the two worlds, and all ends that a changed rule is about, in groups. */
void plan_init(struct plan *p, const struct policy_world *old, const struct policy_world *new);
void plan_fini(struct plan *p);

/* policy_plan_rule.c: marks rules of a part that the other does not have in the same meaning. */
void plan_mark_changed(struct plan_part *a, struct plan_part *b);

#endif
