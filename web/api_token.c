/*
 * POST /api/v2/oauth/token: client credentials to an access token (RFC 6749 4.4). The secret names the client:
 * the command line of clients sends a dummy client_id, so that is ignored.
 */
#include <string.h>

#include "base/clock.h"
#include "web/api.h"
#include "web/auth_text.h"

#define TOKEN_S			3600
#define TOKENS_PER_CLIENT	1000	/* good ones at a time */

static void
reply_oauth_error(struct http_req *q, int status, const char *error, const char *text)
{
	struct buf b = { .len = 0 };
	struct json_writer w;

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_str(&w, "error", error);
	json_w_str(&w, "error_description", text);
	json_w_str(&w, "message", text);
	json_w_int(&w, "status", status);
	json_w_obj_close(&w);
	http_reply_json_take(q, status, &b);
}

/* The client that the request proves to be; NULL: answered. */
static const struct cred *
client_of(struct http_req *q, const struct form *f)
{
	const char *secret = form_get(f, "client_secret"), *value = http_field(q, "Authorization");
	struct err_text why = { "" };
	const struct cred *c = NULL;
	struct auth_text text;

	if (value != NULL && auth_text_parse(value, &text) == ERR_OK && !text.is_bearer)
		c = tailnet_cred_check(flapi_tailnet(q), text.password, strlen(text.password),
		    1u << CRED_CLIENT, &why);
	else if (secret != NULL)
		c = tailnet_cred_check(flapi_tailnet(q), secret, strlen(secret), 1u << CRED_CLIENT, &why);
	else
		err_say(&why, ERR_DENIED, "client_id and client_secret are missing");
	explicit_bzero(&text, sizeof(text));
	if (c != NULL)
		return c;
	if (http_who_may_be_wrong(q)) {
		reply_oauth_error(q, 401, "invalid_client", why.s);
	} else {
		http_add_field(q, "Retry-After", "60");
		reply_oauth_error(q, 429, "invalid_client", "too many wrong credentials from your address");
	}
	return NULL;
}

/* The scopes wanted, within the client's. NULL: answered. */
static const char *
scopes_of(struct http_req *q, const struct form *f, const struct cred *client)
{
	const char *wanted = form_get(f, "scope");
	struct err_text why = { "" };
	scope_set set, own;

	if (wanted == NULL || wanted[strspn(wanted, " ")] == 0)
		return client->scopes;
	if (scope_parse(wanted, &set, &why) != ERR_OK ||
	    scope_parse(client->scopes, &own, &why) != ERR_OK) {
		reply_oauth_error(q, 400, "invalid_scope", why.s);
		return NULL;
	}
	if (!scope_includes(own, set)) {
		reply_oauth_error(q, 400, "invalid_scope", "the client does not have these scopes");
		return NULL;
	}
	return wanted;
}

/* The tags wanted,
    of the client's; all of them when none are named. text is cut into pieces. false: answered. */
static bool
tags_of(struct http_req *q, char *text, const struct cred *client, struct flapi_texts *out)
{
	char *rest = text, *word;
	scope_set own = 0;

	out->n = 0;
	bool is_any = scope_parse(client->scopes, &own, NULL) == ERR_OK && scope_may(own, SCOPE_ALL, true);
	while (rest != NULL && (word = strsep(&rest, " ")) != NULL) {
		bool has = is_any;
		for (unsigned i = 0; i < client->n_tags && !has; i++)
			has = strcmp(client->tags[i], word) == 0;
		if (*word == 0)
			continue;
		if (!has || out->n == FLAPI_TEXTS_MAX) {
			reply_oauth_error(q, 400, "invalid_target", "the client does not have these tags");
			return false;
		}
		out->v[out->n++] = word;
	}
	for (unsigned i = 0; out->n == 0 && i < client->n_tags; i++)
		out->v[i] = client->tags[i];
	if (out->n == 0)
		out->n = client->n_tags;
	return true;
}

static void
on_made(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	const struct cred *c;
	struct buf b = { .len = 0 };
	struct json_writer w;

	if (res->rc != ERR_OK || (c = tailnet_cred_find(flapi_tailnet(q), res->key_id)) == NULL) {
		http_reply_err(q, res->rc != ERR_OK ? res->rc : ERR_BUSY, &res->why);
		return;
	}
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_str(&w, "access_token", res->secret);
	json_w_str(&w, "token_type", "Bearer");
	json_w_int(&w, "expires_in", TOKEN_S);
	json_w_str(&w, "scope", c->scopes);
	json_w_obj_close(&w);
	http_reply_json_take(q, 200, &b);
}

static bool
has_too_many(struct http_req *q, const struct cred *client)
{
	const struct tailnet *t = flapi_tailnet(q);
	const struct cred *c;
	int64_t now = clock_wall_s();
	unsigned n = 0;

	for (size_t at = 0; (c = map_next(&t->creds, &at)) != NULL;)
		n += c->kind == CRED_TOKEN && c->expires_unix_s > now && strcmp(c->parent, client->id) == 0;
	return n >= TOKENS_PER_CLIENT;
}

static void
token_make(struct http_req *q, const struct form *f, const struct cred *client)
{
	const char *scopes, *grant = form_get(f, "grant_type"), *tags_text = form_get(f, "tags");
	char *tags_copy = NULL;
	struct flapi_texts tags;

	if (grant != NULL && strcmp(grant, "client_credentials") != 0) {
		reply_oauth_error(q, 400, "unsupported_grant_type",
		    "grant_type must be client_credentials");
		return;
	}
	if (has_too_many(q, client)) {
		http_add_field(q, "Retry-After", "600");
		reply_oauth_error(q, 429, "invalid_request",
		    "this client has too many access tokens: use each for "
		    "its hour");
		return;
	}
	if ((scopes = scopes_of(q, f, client)) == NULL)
		return;
	if (tags_text != NULL)
		tags_copy = obj_strdup(tags_text);
	if (tags_of(q, tags_copy, client, &tags)) {
		struct tailnet_cred_spec spec = {
			.kind = CRED_TOKEN, .user_id = client->user_id, .role = USER_MEMBER,
			    .scopes = scopes,
			.tags = tags.v, .n_tags = tags.n, .parent = client->id,
			.expires_unix_s = clock_wall_s() + TOKEN_S,
		};
		tailnet_cred_create(flapi_tailnet(q), &q->who.actor, &spec, on_made, q);
	}
	free(tags_copy);
}

static void
token_post(struct http_req *q)
{
	const struct cred *client;
	struct form f;
	size_t n;
	const char *body = http_body(q, &n);

	if (form_parse(body, n, &f) != ERR_OK) {
		reply_oauth_error(q, 400, "invalid_request", "the body is not a form");
		return;
	}
	if ((client = client_of(q, &f)) != NULL)
		token_make(q, &f, client);
	form_fini(&f);
}

const struct http_route api_token_routes[] = {
	{ "POST", API2 "/oauth/token", HTTP_SECRET, false, token_post },
};
const size_t api_token_routes_count = COUNT_OF(api_token_routes);
