/*
 * SSH rules: what nodes are told of who may log in (tailcfg.SSHPolicy), and who must prove
 * themselves first. Pure.
 */
#ifndef COORD_POLICY_SSH_H
#define COORD_POLICY_SSH_H

#include "coord/policy_world.h"

/* A rule with more sources names people by their login and tagged nodes by id, instead of all nodes by
 * address: then a node more of somebody who is there changes nobody's text. */
#define POLICY_SSH_NODES_MAX	100
#define POLICY_SSH_BYTES_MAX	(8u << 20)	/* of what one node is told: refused when it is saved */

/* Appends the SSHPolicy object for nodes of the class, as of now. */
void policy_ssh_put(struct buf *b, struct policy_world *w, const struct policy_class *c);

/* Makes the objects of all classes. What it knows of the sources is of when it was asked first: valid as long
 * as nobody joins or leaves w (borrowed); policy_world_ssh has one that is. */
struct policy_ssh_maker;
struct policy_ssh_maker *policy_ssh_maker_new(struct policy_world *w) MUST_USE;
void policy_ssh_maker_free(struct policy_ssh_maker *m);	/* NULL is fine */
/* Of what nodes of the class are told: equal ones, of any two worlds of this process, mean equal objects; 0
 * is one without rules. */
uint64_t policy_ssh_maker_digest(struct policy_ssh_maker *m, const struct policy_class *c) MUST_USE;
/* How long it comes to be, at most. */
size_t policy_ssh_maker_bytes(struct policy_ssh_maker *m, const struct policy_class *c) MUST_USE;
/* Appends the object. Long texts that many classes are told alike go to shared, which puts them behind what is
 * in b by then, and empties b; text is borrowed, and the same one as long as the maker can. NULL: into b. */
typedef void policy_ssh_shared_fn(void *arg, struct shbuf *text);
void policy_ssh_maker_put(struct policy_ssh_maker *m, struct buf *b, const struct policy_class *c,
	policy_ssh_shared_fn *shared, void *arg);

/* Does the rule let nodes of src log in at nodes of dst as local_user (NULL: as anybody)? Postures apart, and
 * actions: a check rule does, once the check is passed. */
bool policy_ssh_fits(const struct policy_world *w, const struct policy_ssh *rule,
	const struct policy_class *src, const struct policy_class *dst, const char *local_user);
/* The first check rule that lets them, in the world's policy; NULL: none, or a node that the world
 * does not know. local_user NULL: whoever they want to be. */
const struct policy_ssh *policy_ssh_check_rule(const struct policy_world *w, int64_t src_node_id,
	int64_t dst_node_id, const char *local_user);

#endif
