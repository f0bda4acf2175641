/*
 * /api/fairlead/v1/session: a one-time link becomes a cookie. The link's secret stands behind '#' and comes in
 * a body, so that no log, proxy or referrer sees it; and a preview of the link does not use it up.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "web/flapi.h"

#define LINK_S		(10 * 60)
#define SESSION_S	(7 * 86400)

/* secret "": the cookie is taken back. */
static void
cookie_add(struct http_req *q, const char *secret)
{
	bool is_tls = q->peer != NULL && q->peer->is_tls;
	char text[256];

	snprintf(text, sizeof(text), "%s=%s; Path=/; HttpOnly; SameSite=Strict; Max-Age=%d%s",
	    is_tls ? AUTH_COOKIE_TLS : AUTH_COOKIE_PLAIN, secret, secret[0] != 0 ? SESSION_S : 0,
	    is_tls ? "; Secure" : "");
	http_add_field(q, "Set-Cookie", text);
	explicit_bzero(text, sizeof(text));
}

struct session_view {
	const char *name;
	enum user_role role;
	int64_t user_id, created_unix_s, expires_unix_s;
};

static void
reply_session(struct http_req *q, const struct session_view *s)
{
	const struct tailnet *t = flapi_tailnet(q);
	struct buf b = { .len = 0 };
	struct json_writer w;

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_str(&w, "name", s->name);
	json_w_str(&w, "role", user_role_word(s->role));
	if (s->user_id != 0)
		flapi_id(&w, "userId", s->user_id);
	else
		json_w_null(&w, "userId");
	flapi_time(&w, "created", s->created_unix_s);
	flapi_time(&w, "expires", s->expires_unix_s);
	json_w_int(&w, "idleSeconds", CRED_IDLE_S);
	json_w_bool(&w, "isTls", q->peer != NULL && q->peer->is_tls);
	json_w_str(&w, "serverUrl", t->deps.server_url);
	json_w_str(&w, "version", FAIRLEAD_VERSION);
	json_w_time(&w, "now", clock_wall_s());
	json_w_obj_close(&w);
	http_reply_json_take(q, 200, &b);
}

static void
reply_cred_session(struct http_req *q, const struct cred *c)
{
	struct tailnet *t = flapi_tailnet(q);
	const struct user *u = c->user_id != 0 ? map_find(&t->users, &c->user_id) : NULL;

	reply_session(q, &(struct session_view){
		.name = u != NULL ? u->name : c->name, .role = tailnet_cred_role(t, c),
		.user_id = c->user_id, .created_unix_s = c->created_unix_s,
		.expires_unix_s = c->expires_unix_s,
	});
}

static void
on_opened(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	const struct cred *c;

	if (res->rc == ERR_NOTFOUND) {
		http_reply_error(q, 401, "the link was used just now: `fairlead console` prints another");
	} else if (res->rc != ERR_OK) {
		http_reply_err(q, res->rc, &res->why);
	} else if ((c = tailnet_cred_find(flapi_tailnet(q), res->key_id)) != NULL) {
		cookie_add(q, res->secret);
		reply_cred_session(q, c);
	} else {
		http_reply_error(q, 401, "the session was ended at once");
	}
}

static void
session_post(struct http_req *q)
{
	static const struct flapi_member members[] = { { "token", FLAPI_TEXT } };
	struct tailnet *t = flapi_tailnet(q);
	const char *token;
	const struct cred *c;

	if (!flapi_body_is(q, members, COUNT_OF(members)))
		return;
	token = json_get_str(q->json, "token", "");
	if ((c = tailnet_cred_check(t, token, strlen(token), 1u << CRED_LINK, NULL)) == NULL) {
		http_who_wrong(q,
		    "the link was used already or is older than 10 minutes: `fairlead console` "
		    "prints another");
		return;
	}
	const struct user *u = c->user_id != 0 ? map_find(&t->users, &c->user_id) : NULL;
	snprintf(q->who.actor.name, sizeof(q->who.actor.name), "%s", u != NULL ? u->name : c->name);
	struct tailnet_cred_spec spec = {
		.kind = CRED_SESSION, .user_id = c->user_id, .role = c->role, .name = c->name,
		.spends = c->id, .expires_unix_s = clock_wall_s() + SESSION_S,
	};
	tailnet_cred_create(t, &q->who.actor, &spec, on_opened, q);
}

static void
session_get(struct http_req *q)
{
	const struct cred *c = tailnet_cred_find(flapi_tailnet(q), q->who.cred_id);

	if (q->who.kind == AUTH_SESSION && c != NULL)
		reply_cred_session(q, c);
	else
		reply_session(q, &(struct session_view){
			.name = q->who.actor.name, .role = q->who.role, .user_id = q->who.user_id,
		});
}

static void
on_closed(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK && res->rc != ERR_NOTFOUND) {
		http_reply_err(q, res->rc, &res->why);
		return;
	}
	cookie_add(q, "");
	flapi_reply_empty(q);
}

static void
session_delete(struct http_req *q)
{
	if (q->who.kind == AUTH_SESSION)
		tailnet_cred_remove(flapi_tailnet(q), &q->who.actor, q->who.cred_id, on_closed, q);
	else
		http_reply_error(q, 400, "this request has no session to end");
}

/* --- links ---------------------------------------------------------------------------------------- */

/* Where a browser may bring a secret to: over plain http only to a private address. */
static void
console_url(struct http_req *q, char *out, size_t cap)
{
	const struct tailnet_deps *d = &flapi_tailnet(q)->deps;
	const char *host = d->server_url + strlen("http://");
	size_t n = strcspn(host, "/:");
	struct net_ip ip;
	bool is_far = strncmp(d->server_url, "http://", 7) == 0 &&
	    (net_ip_parse(host, n, &ip) != ERR_OK || !net_ip_is_private(&ip)) && host[0] != '[' &&
	    strncmp(host, "localhost", 9) != 0 && !coord_config(q->coord)->api.allow_plain_http;

	if (!is_far || d->derp_port == 0)
		snprintf(out, cap, "%s", d->server_url);
	else if (d->derp_port == 443)
		snprintf(out, cap, "https://%.*s", (int)n, host);
	else
		snprintf(out, cap, "https://%.*s:%u", (int)n, host, d->derp_port);
}

static void
on_linked(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	struct tailnet *t = flapi_tailnet(q);
	const struct cred *c;
	char origin[600], url[700];
	struct buf b = { .len = 0 };
	struct json_writer w;

	if (res->rc != ERR_OK || (c = tailnet_cred_find(t, res->key_id)) == NULL) {
		http_reply_err(q, res->rc != ERR_OK ? res->rc : ERR_NOTFOUND, &res->why);
		return;
	}
	console_url(q, origin, sizeof(origin));
	snprintf(url, sizeof(url), "%s/login#%s", origin, res->secret);
	const struct user *u = c->user_id != 0 ? map_find(&t->users, &c->user_id) : NULL;
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_str(&w, "url", url);
	json_w_str(&w, "role", user_role_word(tailnet_cred_role(t, c)));
	json_w_str(&w, "user", u != NULL ? u->name : "");
	json_w_time(&w, "expires", c->expires_unix_s);
	json_w_obj_close(&w);
	http_reply_json_take(q, 200, &b);
	explicit_bzero(url, sizeof(url));
}

static void
links_post(struct http_req *q)
{
	static const struct flapi_member members[] = { { "role", FLAPI_TEXT }, { "user", FLAPI_TEXT } };
	struct tailnet_cred_spec spec = { .kind = CRED_LINK, .role = q->who.role };
	const struct user *u = NULL;
	char name[USER_NAME_MAX];

	if (!flapi_body_is(q, members, COUNT_OF(members)))
		return;
	const char *role = json_get_str(q->json, "role", NULL), *user = json_get_str(q->json, "user", NULL);
	if (role != NULL && user != NULL) {
		http_reply_error(q, 400, "give role or user: a user's role is the user's");
		return;
	}
	if (role != NULL && !user_role_parse(role, &spec.role)) {
		http_reply_error(q, 400,
		    "\"%.60s\" is no role: owner, admin, network-admin, auditor or member", role);
		return;
	}
	if (user != NULL && (u = flapi_user(q, user)) == NULL)
		return;
	if (u != NULL) {
		spec.user_id = u->id;
		spec.role = u->role;
	}
	if (spec.role < q->who.role) {		/* the most powerful comes first */
		http_reply_error(q, 403, "the link could do more than you may do yourself");
		return;
	}
	snprintf(name, sizeof(name), "console of %.100s", q->who.actor.name);
	spec.name = name;
	spec.expires_unix_s = clock_wall_s() + LINK_S;
	tailnet_cred_create(flapi_tailnet(q), &q->who.actor, &spec, on_linked, q);
}

const struct http_route flapi_session_routes[] = {
	{ "POST", FLAPI "/session", HTTP_SIGN_IN, true, session_post },
	{ "GET", FLAPI "/session", HTTP_KNOWN, false, session_get },
	{ "DELETE", FLAPI "/session", HTTP_KNOWN, false, session_delete },
	{ "POST", FLAPI "/session/links", HTTP_WRITE, true, links_post },
};
const size_t flapi_session_routes_count = COUNT_OF(flapi_session_routes);
