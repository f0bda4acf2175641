/* Of SSH rules, for policy_ssh*.c only. */
#ifndef COORD_POLICY_SSH_PRIVATE_H
#define COORD_POLICY_SSH_PRIVATE_H

#include "coord/policy_ssh.h"

/* What a rule means to the nodes of a class. */
enum policy_ssh_part {
	POLICY_SSH_NONE,
	POLICY_SSH_DST,		/* they are among its destinations */
	POLICY_SSH_SELF,	/* they are their own user's: its sources of that user */
	POLICY_SSH_SELF_DST	/* both, told one after the other */
};
enum policy_ssh_part policy_ssh_part_of(const struct policy_world *w, const struct policy_ssh *r,
	const struct policy_class *c);

/* Is the class among the rule's sources, and meets its postures? */
bool policy_ssh_is_source(const struct policy_world *w, const struct policy_ssh *r,
	const struct policy_class *c);
bool policy_ssh_lists_user(const struct policy_ssh *r, const char *name);
/* The domain of "localpart:*@domain", or NULL: another name (a malformed one is a name like any). */
const char *policy_ssh_localpart_domain(const char *name);
/* Has the rule one of those? */
bool policy_ssh_has_localpart(const struct policy_ssh *r);
/* The local part of the user's e-mail, if a domain of the rule fits: bytes in out, or false. */
bool policy_ssh_local_part(const struct policy_world *w, const struct policy_ssh *r, int64_t user_id,
	char out[USER_NAME_MAX]);

#define POLICY_SSH_NONROOT "autogroup:nonroot"

#endif
