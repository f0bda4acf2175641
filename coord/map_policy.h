/*
 * Another policy comes into force: every node gets its class anew, and it is found out whose peers are
 * others, or seen otherwise, so that only those need a full map. Pure.
 *
 * What a node sees depends on its row, so this is looked at by pairs of rows, the old one and the new one:
 * nodes with the same pair have the same fate. Beyond MAP_POLICY_JOINTS_MAX pairs everybody gets a full map.
 */
#ifndef COORD_MAP_POLICY_H
#define COORD_MAP_POLICY_H

#include "coord/map_world.h"

#define MAP_POLICY_JOINTS_MAX	2000	/* their square is looked at: 4,000,000 at most */

/* Puts the policy (held) in force with the users of now; it may be the same as before. Sets
 * map_node.needs_full where it is due. */
void map_policy_set(struct map_world *w, struct policy *p);

/* Do the policy's selectors ask anything of users? If not, no change of theirs makes another policy of it. */
bool map_policy_names_users(const struct policy *p);

#endif
