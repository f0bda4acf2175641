/* For tests of web without a tailnet: no credential is known. One test program each. */
#ifndef TESTS_UNIT_FAKE_CREDS_H
#define TESTS_UNIT_FAKE_CREDS_H

#include "coord/coord.h"

const struct cred *
tailnet_cred_check(struct tailnet *t, const char *text, size_t n, unsigned kinds, struct err_text *why)
{
	(void)t;
	(void)text;
	(void)n;
	(void)kinds;
	err_say(why, ERR_DENIED, "the credential is not known here");
	return NULL;
}

struct cred *
tailnet_cred_find(const struct tailnet *t, const char *id)
{
	(void)t;
	(void)id;
	return NULL;
}

enum user_role
tailnet_cred_role(const struct tailnet *t, const struct cred *c)
{
	(void)t;
	return c->role;
}

#endif
