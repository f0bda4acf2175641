/*
 * Classes: nodes that are alike to the policy (same owner, same tags), and what the policy says of
 * classes. Pure.
 *
 * A *row* is a set of classes that see, and are seen by, the same classes: visibility is symmetric
 * (a node sees those it may reach and those that may reach it), so one number says both who is in a
 * viewer's map and who is told of a node's changes. Ten thousand nodes are usually a few dozen
 * classes and a handful of rows; under a policy that lets everybody see everybody there is one row,
 * even with one user per node.
 *
 * The policy engine plugs in here as a struct policy_class_rules; policy_class_allow_all is what
 * holds as long as no policy was set. Nodes that wait for an administrator's approval never come
 * before it: all of them are one class, in a row of its own that sees nobody, itself included.
 */
#ifndef COORD_POLICY_CLASS_H
#define COORD_POLICY_CLASS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "coord/node.h"

#define POLICY_CLASS_MAGIC 0xc1a55001u
#define POLICY_CLASS_ROW_WAITING 0	/* of nodes that are not authorized */

struct policy_class {
	uint32_t magic;
	uint32_t row;
	struct { int64_t user_id; uint64_t tags_hash; } key;	/* user_id 0: tagged, -1: waiting */
	char **tags;			/* owned, sorted */
	unsigned n_tags;
	unsigned n_nodes;
	struct shbuf *filter;		/* owned reference: array of FilterRules as text */
};

struct policy_class_rules {
	void *arg;
	/* Small numbers, dense from 0; the class gets the next higher one as its row. */
	uint32_t (*row_of)(void *arg, const struct policy_class *c);
	/* Symmetric, about those numbers; one need not see itself. */
	bool (*sees)(void *arg, uint32_t row_a, uint32_t row_b);
	/* The FilterRules that hold at nodes of this class: JSON array, one reference for the
	 * caller. */
	struct shbuf *(*filter_of)(void *arg, const struct policy_class *c);
};

extern const struct policy_class_rules policy_class_allow_all;

struct policy_class_table {
	struct policy_class_rules rules;
	struct map _by_key;
};

/* An empty table in the caller's memory; rules are copied. */
void policy_class_init(struct policy_class_table *t, const struct policy_class_rules *rules);
void policy_class_fini(struct policy_class_table *t);

/* The class that n belongs to by its owner and tags, made if it is new; counts n in. */
struct policy_class *policy_class_join(struct policy_class_table *t, const struct node *n) MUST_USE;
/* Counts a node out; the class is freed with its last node. */
void policy_class_leave(struct policy_class_table *t, struct policy_class *c);
/* The rules decide otherwise by now: takes every class's filter anew. Rows stay. */
void policy_class_refilter(struct policy_class_table *t);
/* Does n (with its owner, tags and approval of now) belong to c? */
bool policy_class_has(const struct policy_class *c, const struct node *n);

static inline bool
policy_class_sees(const struct policy_class_table *t, uint32_t row_a, uint32_t row_b)
{
	return row_a != POLICY_CLASS_ROW_WAITING && row_b != POLICY_CLASS_ROW_WAITING &&
	    t->rules.sees(t->rules.arg, row_a - 1, row_b - 1);
}

#endif
