/* Credentials to actors, roles to scopes. */
#include "web/auth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "web/auth_text.h"

scope_set
auth_role_scopes(enum user_role role)
{
	switch (role) {
	case USER_OWNER:
	case USER_ADMIN:
		return SCOPE_EVERYTHING;
	case USER_NETWORK_ADMIN:
		return SCOPE_READ(SCOPE_ALL) | SCOPE_WRITE(SCOPE_AUTH_KEYS) | SCOPE_WRITE(SCOPE_ROUTES) |
		    SCOPE_WRITE(SCOPE_DNS) | SCOPE_WRITE(SCOPE_POLICY) | SCOPE_WRITE(SCOPE_SERVICES) |
		    SCOPE_WRITE(SCOPE_NETWORKING);
	case USER_AUDITOR:
		return SCOPE_READ(SCOPE_ALL);
	default:
		return 0;
	}
}

bool
auth_may(const struct auth *a, enum scope scope, bool is_write)
{
	return scope_may(a->scopes, scope, is_write);
}

static bool
access_is_allowed(const struct auth *a, unsigned access)
{
	enum http_access level = HTTP_LEVEL(access);

	if (level < HTTP_KNOWN)
		return true;
	if (level == HTTP_KNOWN)
		return a->kind != AUTH_NOBODY;
	return auth_may(a, (enum scope)HTTP_SCOPE(access), level == HTTP_WRITE);
}

/* A credential that was found good: who that is. */
static void
from_cred(const struct tailnet *t, const struct cred *c, struct auth *a)
{
	const struct user *u = c->user_id != 0 ? map_find(&t->users, &c->user_id) : NULL;
	char *name = a->actor.name;

	a->role = tailnet_cred_role(t, c);
	a->user_id = c->user_id;
	memcpy(a->cred_id, c->id, sizeof(a->cred_id));
	a->scopes = auth_role_scopes(a->role);
	switch (c->kind) {
	case CRED_API:
		a->kind = AUTH_KEY;
		snprintf(name, sizeof(a->actor.name), "%.90s, API key %s", u != NULL ? u->name : "", c->id);
		break;
	case CRED_TOKEN:
		a->kind = AUTH_TOKEN;
		a->role = USER_MEMBER;
		if (scope_parse(c->scopes, &a->scopes, NULL) != ERR_OK)
			a->scopes = 0;
		snprintf(name, sizeof(a->actor.name), "OAuth client %s", c->parent);
		break;
	default:
		a->kind = AUTH_SESSION;
		snprintf(name, sizeof(a->actor.name), "%s", u != NULL ? u->name : c->name);
		break;
	}
}

static const struct cred *
by_authorization(struct tailnet *t, const char *value, struct err_text *why)
{
	const struct cred *c = NULL;
	struct auth_text text;

	if (auth_text_parse(value, &text) != ERR_OK)
		err_say(why, ERR_DENIED, "the Authorization header is neither Basic nor Bearer");
	else
		c = tailnet_cred_check(t, text.user, strlen(text.user),
		    1u << CRED_API | 1u << CRED_TOKEN, why);
	explicit_bzero(&text, sizeof(text));
	return c;
}

/* Does a request with a cookie come from a page of ours? */
static bool
is_from_own_page(const struct auth_request *r)
{
	const char *at;

	if (r->has_body && (r->content_type == NULL ||
	    strncasecmp(r->content_type, "application/json", 16) != 0))
		return false;
	if (r->csrf != NULL)
		return true;		/* no other site may send it without asking first,
		    and we never allow */
	if (r->fetch_site != NULL)
		return strcmp(r->fetch_site, "same-origin") == 0;
	at = r->origin != NULL ? strstr(r->origin, "://") : NULL;
	return at != NULL && r->host != NULL && strcasecmp(at + 3, r->host) == 0;
}

static bool
is_change(const char *method)
{
	return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
}

/* ERR_OK also when nobody asks: a->kind is AUTH_NOBODY. */
static enum err
identify(struct tailnet *t, const struct auth_request *r, struct auth *a, int *status,
    struct err_text *why)
{
	const struct cred *c;
	const char *cookie = NULL;
	size_t n = 0;

	if (r->peer->origin == HTTP_FROM_UNIX) {
		a->kind = AUTH_LOCAL;
		a->role = USER_OWNER;
		a->scopes = SCOPE_EVERYTHING;
		snprintf(a->actor.name, sizeof(a->actor.name), "local uid %u", (unsigned)r->peer->uid);
		return ERR_OK;
	}
	if (r->authorization != NULL) {
		c = by_authorization(t, r->authorization, why);
	} else {
		if (r->cookie != NULL)
			cookie = auth_text_cookie(r->cookie,
			    r->peer->is_tls ? AUTH_COOKIE_TLS : AUTH_COOKIE_PLAIN, &n);
		if (cookie == NULL || n == 0)
			return ERR_OK;
		c = tailnet_cred_check(t, cookie, n, 1u << CRED_SESSION, why);
	}
	if (c == NULL) {
		a->was_wrong = r->authorization != NULL;	/* a browser may have an old cookie */
		*status = 401;
		return ERR_DENIED;
	}
	if (c->kind == CRED_SESSION && is_change(r->method) && !is_from_own_page(r)) {
		*status = 403;
		return err_say(why, ERR_DENIED, "a change must come from the console's own page: send "
		    "X-Fairlead-CSRF: 1, and a body as application/json");
	}
	from_cred(t, c, a);
	return ERR_OK;
}

bool
auth_is_too_open(const struct http_peer *peer, bool allows_plain)
{
	return peer->origin == HTTP_FROM_DOOR && !peer->is_tls && !allows_plain &&
	    !net_ip_is_private(&peer->addr.ip);
}

enum err
auth_check(struct tailnet *t, const struct auth_request *r, unsigned access, struct auth *out,
    int *status, struct err_text *why)
{
	struct auth a = { .kind = AUTH_NOBODY, .role = USER_MEMBER };
	enum err rc = ERR_OK;

	a.actor.from = r->peer->addr;
	snprintf(a.actor.name, sizeof(a.actor.name), "anonymous");
	if (HTTP_LEVEL(access) > HTTP_PUBLIC && auth_is_too_open(r->peer, r->allows_plain)) {
		*status = 403;
		rc = err_say(why, ERR_DENIED, "not over plain http from a public address: everybody on the "
		    "way could read the credential. Use https, a private address, or fairlead on the "
		    "server (or set api.allow_plain_http)");
	} else if (HTTP_LEVEL(access) >= HTTP_KNOWN) {
		rc = identify(t, r, &a, status, why);
	} else if (HTTP_LEVEL(access) == HTTP_SIGN_IN && !is_from_own_page(r)) {
		*status = 403;
		rc = err_say(why, ERR_DENIED, "a sign-in must come from the console's own page");
	}
	if (rc == ERR_OK && a.kind == AUTH_NOBODY && HTTP_LEVEL(access) >= HTTP_KNOWN) {
		*status = 401;
		rc = err_say(why, ERR_DENIED, "this needs a login: an API key, an access token, or the "
		    "console (`fairlead console` on the server prints a link)");
	}
	if (rc == ERR_OK && !access_is_allowed(&a, access)) {
		*status = 403;
		rc = err_say(why, ERR_DENIED, a.kind == AUTH_TOKEN ?
		    "the scopes of this access token do not allow this" : "your role does not allow this");
	}
	*out = a;
	return rc;
}

bool
auth_still(const struct tailnet *t, const struct auth *a, unsigned access)
{
	const struct cred *c;
	struct auth now = *a;
	int64_t at = clock_wall_s();

	if (a->kind == AUTH_LOCAL)
		return true;
	if ((c = tailnet_cred_find(t, a->cred_id)) == NULL || strcmp(cred_state(c, at), "active") != 0 ||
	    (c->kind == CRED_SESSION && c->last_used_unix_s + CRED_IDLE_S <= at))
		return false;
	if (c->kind == CRED_TOKEN) {
		const struct cred *client = tailnet_cred_find(t, c->parent);
		if (client == NULL || client->revoked_unix_s != 0)
			return false;
	}
	from_cred(t, c, &now);
	return access_is_allowed(&now, access);
}

void
auth_forwarded(struct http_peer *peer, const struct auth_forwarded *f)
{
	const char *p;
	size_t n;

	if (peer->origin != HTTP_FROM_DOOR || !net_prefixes_have(f->trusted, &peer->addr.ip))
		return;
	if (f->proto != NULL) {
		size_t end = strlen(f->proto);
		peer->is_tls = auth_text_last(f->proto, &end, &p, &n) && n == 5 && strncasecmp(p,
		    "https", 5) == 0;
	}
	for (unsigned i = f->n_lists; i-- > 0;) {
		size_t end = strlen(f->lists[i]);
		while (net_prefixes_have(f->trusted, &peer->addr.ip) &&
		    auth_text_last(f->lists[i], &end, &p, &n)) {
			struct net_addr a = { .port = 0 };
			if (net_ip_parse(p, n, &a.ip) != ERR_OK && net_addr_parse(p, n, &a) != ERR_OK)
				return;
			peer->addr = a;
		}
	}
}
