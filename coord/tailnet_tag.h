/*
 * Who may give which tag: as the policy's tagOwners say; as long as there are none, administrators
 * any. Coordinator thread.
 */
#ifndef COORD_TAILNET_TAG_H
#define COORD_TAILNET_TAG_H

#include "coord/tailnet.h"

/* May devices of the user, or whatever has these tags, bear the tag? ERR_INVAL with *why: it is
 * none, or not defined; ERR_DENIED: not theirs. */
enum err tailnet_tag_user_may(const struct tailnet *t, const struct user *u, const char *tag,
	struct err_text *why) MUST_USE;
enum err tailnet_tag_tags_may(const struct tailnet *t, char *const *own, unsigned n_own, const char *tag,
	struct err_text *why) MUST_USE;
/* What an administrator gives: each must be a tag, and defined. ERR_LIMIT: more than
 * NODE_TAGS_MAX; ERR_INVAL; with *why. */
enum err tailnet_tag_list_check(const struct tailnet *t, const char *const *tags, unsigned n,
	struct err_text *why) MUST_USE;

#endif
