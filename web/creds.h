/* What /api/fairlead/v1/credentials and /api/v2's keys share: the rules for new API keys and
 * OAuth clients. */
#ifndef WEB_CREDS_H
#define WEB_CREDS_H

#include "web/flapi.h"

#define CREDS_EXPIRY_DFLT_S	(90 * 86400)
#define CREDS_EXPIRY_MAX_S	(INT64_C(3650) * 86400)

/* What is asked for. */
struct creds_wish {
	enum cred_kind kind;		/* CRED_API or CRED_CLIENT */
	const struct user *user;	/* whose it will be */
	const char *description;
	struct flapi_texts scopes, tags;
	int64_t expires_unix_s;		/* 0: never */
};
/* Checks it against who asks, and makes it. Otherwise answers 400 or 403. */
void creds_create(struct http_req *q, const struct creds_wish *wish, tailnet_done_fn *done);
/* New scopes, tags and description of a client, by the same rules. */
void creds_set(struct http_req *q, const struct cred *c, const struct creds_wish *wish,
	tailnet_done_fn *done);

/* May who asks read or change credentials of this kind? */
bool creds_may(const struct auth *who, enum cred_kind kind, bool is_write);
/* May who asks give these tags? A token its own ones and those that they own; as long as no
 * policy says who owns a tag, any, which is logged. Otherwise answers 400 or 403. Administrators
 * may; whether the tags are defined is looked at later. */
bool creds_tags_are_ok(struct http_req *q, const struct flapi_texts *tags);

/* API keys and clients, sorted by creation; the caller frees it. */
char (*creds_ids(struct http_req *q, size_t *n))[CRED_ID_MAX];

#endif
