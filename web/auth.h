/*
 * Who asks, and what they may do. Coordinator thread; touches nothing but credentials' last use.
 *
 *   Unix socket     owner: whoever can open it
 *   Authorization   API key or access token, Bearer or Basic user name
 *   Cookie          session of the console; its changes must come from our own pages
 *
 * A user's role gives a set of scopes (as API v2 has them), a token has its own.
 */
#ifndef WEB_AUTH_H
#define WEB_AUTH_H

#include <stdint.h>

#include "base/err.h"
#include "base/net.h"
#include "base/worker.h"
#include "coord/coord.h"
#include "web/router.h"
#include "web/scope.h"

/* __Host-: only we, only over TLS, can have set it. Over plain http the name is without it. */
#define AUTH_COOKIE_TLS		"__Host-fairlead_session"
#define AUTH_COOKIE_PLAIN	"fairlead_session"

enum http_origin { HTTP_FROM_DOOR, HTTP_FROM_UNIX };

/* The other side of a connection. HTTP_FROM_UNIX is given only by the Unix listener's accept. */
struct http_peer {
	enum http_origin origin;
	struct net_addr addr;		/* door: the client's; family 0 for the Unix socket */
	bool is_tls;
	uint32_t uid;			/* Unix: of the peer process (SO_PEERCRED) */
	struct conn_ref pass;		/* door: its name for the connection */
};

/* What a request says; texts are borrowed, NULL: not there. */
struct auth_request {
	const struct http_peer *peer;
	const char *method;
	const char *authorization, *cookie;
	const char *fetch_site, *origin, *host, *csrf, *content_type;
	bool has_body;
	bool allows_plain;		/* config api.allow_plain_http */
};

enum auth_kind { AUTH_NOBODY, AUTH_LOCAL, AUTH_KEY, AUTH_TOKEN, AUTH_SESSION };

struct auth {
	enum auth_kind kind;
	enum user_role role;		/* of a token: member, its scopes count */
	scope_set scopes;
	int64_t user_id;		/* 0: none */
	char cred_id[CRED_ID_MAX];	/* "": none */
	struct actor actor;		/* for the audit record */
	bool was_wrong;			/* a credential was given as Authorization, and is no good */
};

/* May this request do what the route needs (web/router.h)? ERR_OK fills *out; ERR_DENIED with *why and
 * *status: 401 (not known who asks) or 403; *out has was_wrong then. */
enum err auth_check(struct tailnet *t, const struct auth_request *r, unsigned access, struct auth *out,
	int *status, struct err_text *why) MUST_USE;
/* Is it still so? For answers that last: false when the credential ended, or may less now. */
bool auth_still(const struct tailnet *t, const struct auth *a, unsigned access);

/* Plain http from a public address, where no secret may go? */
bool auth_is_too_open(const struct http_peer *peer, bool allows_plain);
/* May they do it? */
bool auth_may(const struct auth *a, enum scope scope, bool is_write);
/* What a role may. */
scope_set auth_role_scopes(enum user_role role);

/* The client of a request that came through trusted proxies: X-Forwarded-For is read from its end, as long
 * as the addresses are trusted. Each list is one field, in order; X-Forwarded-Proto: https of the last
 * proxy makes it TLS. */
struct auth_forwarded {
	const struct net_prefixes *trusted;
	const char *const *lists;	/* values of X-Forwarded-For */
	unsigned n_lists;
	const char *proto;		/* X-Forwarded-Proto; NULL: none */
};
void auth_forwarded(struct http_peer *peer, const struct auth_forwarded *f);

#endif
