/* Peer credentials to an actor, and the table of roles. */
#include "web/auth.h"

#include <stdio.h>

/* Most that a role may do to the tailnet through /api/fairlead/v1. */
static const enum http_access most[USER_ROLE_COUNT] = {
	[USER_OWNER] = HTTP_WRITE,
	[USER_ADMIN] = HTTP_WRITE,
	[USER_NETWORK_ADMIN] = HTTP_READ,
	[USER_AUDITOR] = HTTP_READ,
	[USER_MEMBER] = HTTP_PUBLIC,
};

bool
auth_role_may(enum user_role role, enum http_access need)
{
	return need <= most[role];
}

enum err
auth_check(const struct http_peer *peer, enum http_access need, struct auth *out, int *status,
    struct err_text *why)
{
	struct auth a = { .role = USER_MEMBER };

	a.actor.from = peer->addr;
	snprintf(a.actor.name, sizeof(a.actor.name), "anonymous");
	if (peer->origin == HTTP_FROM_UNIX) {
		a.role = USER_OWNER;
		snprintf(a.actor.name, sizeof(a.actor.name), "local uid %u", (unsigned)peer->uid);
	} else if (need != HTTP_PUBLIC) {
		*status = 401;
		return err_say(why, ERR_DENIED,
		    "this needs a login: use the fairlead command on the server itself");
	}
	if (!auth_role_may(a.role, need)) {
		*status = 403;
		return err_say(why, ERR_DENIED, "your role does not allow this");
	}
	*out = a;
	return ERR_OK;
}
