/*
 * Which user a policy's token means. Pure.
 *
 * A token ("alice", "alice@example.com"; '@' at the end is cut before) is a user's id at the identity
 * provider; else an e-mail address or name, letter case counting. Two different users by e-mail or
 * name are a conflict: such a policy is refused, and should one come up later (a user is added), the
 * token means nobody.
 */
#ifndef COORD_POLICY_USERS_H
#define COORD_POLICY_USERS_H

#include "base/err.h"
#include "base/map.h"
#include "coord/policy.h"
#include "coord/user.h"

/* Looks at every user; for more than a few tokens make an index. users: struct user by id. NULL: none,
 * or a conflict. Borrowed from users. */
const struct user *policy_user_find(const struct map *users, const char *token);

/* The same in constant time per token. Borrows users: invalid as soon as one is added, changed or
 * gone. */
struct policy_users;
struct policy_users *policy_users_new(const struct map *users) MUST_USE;
void policy_users_free(struct policy_users *u);		/* NULL is fine */
const struct user *policy_users_find(const struct policy_users *u, const char *token);

/* ERR_INVAL: at least one token means two users; each such is named in *errors. */
enum err policy_check_users(const struct policy *p, const struct map *users,
	struct policy_errors *errors) MUST_USE;

#endif
