/*
 * Who may give which tag, by tagOwners; and what nodeAttrs have for a node that is about to join. Pure.
 *
 * A tag is owned by the users, groups and roles that its entry names, by the tags it names, and by
 * whoever owns one of those, any depth; circles add nothing. Those who may administer the network
 * (owner, admin, network-admin) own every tag that has an entry, and so an empty entry means them
 * alone. A tag without an entry is nobody's.
 */
#ifndef COORD_POLICY_OWNER_H
#define COORD_POLICY_OWNER_H

#include <stdbool.h>

#include "base/map.h"
#include "coord/policy.h"
#include "coord/user.h"

/* Has the tag an entry? */
bool policy_tag_is_defined(const struct policy *p, const char *tag);
/* May the user give it? users: struct user by id, to tell which one a name of the policy means. */
bool policy_user_owns(const struct policy *p, const struct map *users, const struct user *u,
	const char *tag);
/* May a credential or node with these tags give it? Its own it may, defined or not. */
bool policy_tags_own(const struct policy *p, char *const *tags, unsigned n, const char *tag);

/* The pools of nodeAttrs that its IPv4 address is to come from, in the order of the text, at most max of
 * them into out; how many. 0: any address will do. */
unsigned policy_pools(const struct policy *p, const struct map *users, const struct user *u,
	char *const *tags, unsigned n_tags, struct net_prefix *out, unsigned max);

#endif
