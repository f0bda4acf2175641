/*
 * What a cluster needs in the policy's text: its tag, its pods' routes approved by themselves,
 * and a rule by which its nodes and pods reach each other. Added and removed in place; all else
 * in the text stays. Pure.
 */
#ifndef COORD_CLUSTER_POLICY_H
#define COORD_CLUSTER_POLICY_H

#include "base/buf.h"
#include "coord/cluster.h"

struct cluster_policy_how {
	bool has_rules;			/* the text has acls or grants: what they do not allow is forbidden */
	/* without rules: makes some, by which people's devices still reach each other */
	bool is_isolated;
	/* in use: get an owner too if the text names none at all, so that they stay */
	char *const *tags;
	unsigned n_tags;		/* possible; borrowed */
};

/* Idempotent. Without rules and isolation none are made, so that everything stays allowed.
 * ERR_INVAL with *why: the text is none that can be changed. */
enum err cluster_policy_add(struct buf *text, const struct cluster *c, const struct cluster_policy_how *how,
	struct err_text *why) MUST_USE;
/* What add wrote, as far as it is still there as it was; the tag stays if it is named elsewhere.
 * ERR_INVAL. */
enum err cluster_policy_remove(struct buf *text, const struct cluster *c, struct err_text *why) MUST_USE;

#endif
