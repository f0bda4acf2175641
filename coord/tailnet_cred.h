/*
 * Credentials of a tailnet's API, and the watch that the event stream hangs on. Hard changes, as
 * in tailnet.h: answered when they are durable. Coordinator thread.
 */
#ifndef COORD_TAILNET_CRED_H
#define COORD_TAILNET_CRED_H

#include "coord/cred.h"
#include "coord/tailnet.h"

#define CREDS_MAX	20000	/* of all kinds; beyond: ERR_FULL */
#define CRED_IDLE_S	(12 * 3600)	/* a session unused for so long has ended */

/* A new credential. Texts are copied. */
struct tailnet_cred_spec {
	enum cred_kind kind;
	int64_t user_id;		/* 0: bound to role */
	enum user_role role;
	const char *name;		/* NULL: "" */
	const char *description;	/* NULL: "" */
	const char *scopes;		/* NULL: ""; checked by the caller */
	const char *const *tags;
	unsigned n_tags;
	const char *parent;		/* id of the client of a token; NULL: none */
	const char *spends;		/* id of a link that is used up by this; NULL: none */
	int64_t expires_unix_s;		/* 0: never */
};
/* done gets key_id and secret. ERR_NOTFOUND (user, or link: used just now), ERR_INVAL, ERR_LIMIT,
 * ERR_FULL. Tokens, links and sessions are not in the audit record as such, only that a link was
 * used. */
void tailnet_cred_create(struct tailnet *t, const struct actor *by,
	const struct tailnet_cred_spec *spec, tailnet_done_fn *done, void *arg);
/* New scopes, tags and description of a client. ERR_NOTFOUND, ERR_INVAL, ERR_LIMIT. */
void tailnet_cred_set(struct tailnet *t, const struct actor *by, const char *id,
	const struct tailnet_cred_spec *spec, tailnet_done_fn *done, void *arg);
/* Useless from now on, its tokens too, but still shown. ERR_NOTFOUND. */
void tailnet_cred_revoke(struct tailnet *t, const struct actor *by, const char *id,
	tailnet_done_fn *done, void *arg);
/* Gone, its tokens too. ERR_NOTFOUND. */
void tailnet_cred_remove(struct tailnet *t, const struct actor *by, const char *id,
	tailnet_done_fn *done, void *arg);

/* Borrowed, or NULL. */
struct cred *tailnet_cred_find(const struct tailnet *t, const char *id);
/* The credential of this text of n bytes, if it is right and good now; its use is noted. NULL:
 * with *why for people, which does not tell whether the id is known unless the secret was right.
 * kinds: a bit (1 << enum cred_kind) for each kind that is accepted. */
const struct cred *tailnet_cred_check(struct tailnet *t, const char *text, size_t n, unsigned kinds,
	struct err_text *why);
/* Its user's role at this time, or its own. */
enum user_role tailnet_cred_role(const struct tailnet *t, const struct cred *c);

/* Records older than so many days, and credentials that have ended, are removed from time to time
 * from now on. */
void tailnet_prune_start(struct tailnet *t, unsigned audit_days);
/* What the timer does; tests call it. */
void tailnet_prune_run(struct tailnet *t);

#endif
