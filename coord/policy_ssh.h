/*
 * SSH rules: what nodes are told of who may log in (tailcfg.SSHPolicy), and who must prove
 * themselves first. Pure.
 */
#ifndef COORD_POLICY_SSH_H
#define COORD_POLICY_SSH_H

#include "coord/policy_world.h"

/* Appends the SSHPolicy object for nodes of the class. For many classes use a maker. */
void policy_ssh_put(struct buf *b, struct policy_world *w, const struct policy_class *c);

/* Makes the objects of many classes: the sources of a rule are looked up once, classes that get the
 * same rules share one text. Valid as long as nobody joins or leaves w (borrowed). */
struct policy_ssh_maker;
struct policy_ssh_maker *policy_ssh_maker_new(struct policy_world *w) MUST_USE;
void policy_ssh_maker_free(struct policy_ssh_maker *m);	/* NULL is fine */
/* One reference, the caller's. */
struct shbuf *policy_ssh_maker_get(struct policy_ssh_maker *m,
	const struct policy_class *c) MUST_USE;

/* Does the rule let nodes of src log in at nodes of dst as local_user (NULL: as anybody)? Actions
 * apart: a check rule does, once the check is passed. */
bool policy_ssh_lets(const struct policy_world *w, const struct policy_ssh *rule,
	const struct policy_class *src, const struct policy_class *dst, const char *local_user);
/* The same, postures apart. */
bool policy_ssh_fits(const struct policy_world *w, const struct policy_ssh *rule,
	const struct policy_class *src, const struct policy_class *dst, const char *local_user);
/* The first check rule that lets them, in the world's policy; NULL: none, or a node that the world
 * does not know. local_user NULL: whoever they want to be. */
const struct policy_ssh *policy_ssh_check_rule(const struct policy_world *w, int64_t src_node_id,
	int64_t dst_node_id, const char *local_user);

#endif
