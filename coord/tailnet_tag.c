/* tagOwners, asked. */
#include "coord/tailnet_tag.h"

#include <stdio.h>

#include "base/log.h"
#include "coord/policy_owner.h"
#include "coord/tag.h"
#include "coord/tailnet_private.h"

static bool
has_owners(const struct tailnet *t)
{
	return t->policy != NULL && t->policy->has_tag_owners;
}

static enum err
check(const struct tailnet *t, const char *tag, struct err_text *why)
{
	if (!tag_is_valid(tag))
		return err_say(why, ERR_INVAL, "\"%.64s\" is no tag: write tag:name, letters, digits and '-', "
		    "beginning with a letter", tag);
	if (has_owners(t) && !policy_tag_is_defined(t->policy, tag))
		return err_say(why, ERR_INVAL, "%s is not among the tagOwners of the policy", tag);
	return ERR_OK;
}

enum err
tailnet_tag_user_may(const struct tailnet *t, const struct user *u, const char *tag, struct err_text *why)
{
	enum err rc = check(t, tag, why);

	if (rc != ERR_OK)
		return rc;
	if (has_owners(t))
		return policy_user_owns(t->policy, &t->users, u, tag) ? ERR_OK :
		    err_say(why, ERR_DENIED, "user %.64s does not own %s (tagOwners of the policy)", u->name,
		    tag);
	if (u->role > USER_NETWORK_ADMIN)
		return err_say(why, ERR_DENIED, "user %.64s is no administrator, and no policy says who owns "
		    "%s", u->name, tag);
	log_warn(LOG_COORD, "tag permitted because no policy says who owns it and its user is an administrator",
	    "user", u->name, "tag", tag);
	return ERR_OK;
}

enum err
tailnet_tag_tags_may(const struct tailnet *t, char *const *own, unsigned n_own, const char *tag,
	struct err_text *why)
{
	char text[100];
	enum err rc;

	if (tag_list_has(own, n_own, tag))	/* whatever became of the policy since */
		return ERR_OK;
	if ((rc = check(t, tag, why)) != ERR_OK)
		return rc;
	if (has_owners(t) && policy_tags_own(t->policy, own, n_own, tag))
		return ERR_OK;
	tailnet_tags_say(text, sizeof(text), own, n_own);
	return err_say(why, ERR_DENIED, has_owners(t) ? "none of [%s] owns %s (tagOwners of the policy)" :
	    "it carries [%s], and no policy says who owns %s", text, tag);
}

enum err
tailnet_tag_list_check(const struct tailnet *t, const char *const *tags, unsigned n, struct err_text *why)
{
	enum err rc = ERR_OK;

	if (n > NODE_TAGS_MAX)
		return err_say(why, ERR_LIMIT, "at most %d tags", NODE_TAGS_MAX);
	for (unsigned i = 0; rc == ERR_OK && i < n; i++)
		rc = check(t, tags[i], why);
	return rc;
}
