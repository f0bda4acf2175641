/* /api/v2 keys: auth keys,
    OAuth clients and API keys in one list. Secrets are in the answer to a creation only. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "web/api.h"
#include "web/creds.h"

/* One of the two. */
struct key {
	const struct authkey *auth;
	const struct cred *cred;
};

static enum scope
scope_of(const struct key *k)
{
	return k->auth != NULL ? SCOPE_AUTH_KEYS : k->cred->kind == CRED_CLIENT ? SCOPE_OAUTH_KEYS :
	    SCOPE_API_TOKENS;
}

static bool
key_find(struct tailnet *t, const char *id, struct key *out)
{
	char padded[AUTHKEY_ID_CHARS + 4] = "";

	*out = (struct key){ NULL, NULL };
	if (strlen(id) != AUTHKEY_ID_CHARS)
		return false;
	memcpy(padded, id, AUTHKEY_ID_CHARS);
	if ((out->auth = map_find(&t->authkeys, padded)) != NULL)
		return true;
	out->cred = tailnet_cred_find(t, id);
	return out->cred != NULL && (out->cred->kind == CRED_API || out->cred->kind == CRED_CLIENT);
}

/* Absent when there is none: an empty text is no time to clients. */
static void
time_put(struct json_writer *w, const char *name, int64_t unix_s)
{
	if (unix_s != 0)
		json_w_time(w, name, unix_s);
}

static void
auth_put(const struct authkey *k, struct json_writer *w)
{
	json_w_str(w, "keyType", "auth");
	json_w_str(w, "description", k->description);
	if (k->expires_unix_s != 0)
		json_w_int(w, "expirySeconds", k->expires_unix_s - k->created_unix_s);
	json_w_time(w, "created", k->created_unix_s);
	time_put(w, "expires", k->expires_unix_s);
	time_put(w, "revoked", k->revoked_unix_s);
	json_w_bool(w, "invalid", authkey_is_usable(k, clock_wall_s(), NULL) == ERR_DENIED);
	json_w_obj_open(w, "capabilities");
	json_w_obj_open(w, "devices");
	json_w_obj_open(w, "create");
	json_w_bool(w, "reusable", k->is_reusable);
	json_w_bool(w, "ephemeral", k->is_ephemeral);
	json_w_bool(w, "preauthorized", k->is_preauthorized);
	flapi_put_texts(w, "tags", k->tags, k->n_tags);
	json_w_obj_close(w);
	json_w_obj_close(w);
	json_w_obj_close(w);
	flapi_put_texts(w, "tags", k->tags, k->n_tags);
	flapi_id(w, "userId", k->user_id);
}

static void
cred_put(const struct cred *c, struct json_writer *w)
{
	json_w_str(w, "keyType", cred_kind_word(c->kind));
	json_w_str(w, "description", c->description);
	if (c->kind == CRED_API && c->expires_unix_s != 0)
		json_w_int(w, "expirySeconds", c->expires_unix_s - c->created_unix_s);
	json_w_time(w, "created", c->created_unix_s);
	time_put(w, "expires", c->expires_unix_s);
	time_put(w, "revoked", c->revoked_unix_s);
	json_w_bool(w, "invalid", strcmp(cred_state(c, clock_wall_s()), "active") != 0);
	json_w_obj_open(w, "capabilities");
	json_w_obj_close(w);
	flapi_put_words(w, "scopes", c->scopes);
	flapi_put_texts(w, "tags", c->tags, c->n_tags);
	flapi_id(w, "userId", c->user_id);
}

static void
key_put(const struct key *k, const char *secret, struct json_writer *w)
{
	json_w_obj_open(w, NULL);
	json_w_str(w, "id", k->auth != NULL ? k->auth->id : k->cred->id);
	if (k->auth != NULL)
		auth_put(k->auth, w);
	else
		cred_put(k->cred, w);
	if (secret != NULL)
		json_w_str(w, "key", secret);
	json_w_obj_close(w);
}

static void
reply_key(struct http_req *q, const struct key *k, const char *secret)
{
	struct buf b = { .len = 0 };
	struct json_writer w;

	json_w_init(&w, &b);
	key_put(k, secret, &w);
	http_reply_json_take(q, 200, &b);
}

/* --- list ----------------------------------------------------------------------------------------- */

struct key_list {
	struct tailnet *t;
	struct { int64_t created_unix_s; char id[CRED_ID_MAX]; } refs[];
};

static void
list_put(void *arg, size_t i, struct json_writer *w)
{
	struct key_list *l = arg;
	struct key k;

	if (key_find(l->t, l->refs[i].id, &k))
		key_put(&k, NULL, w);
}

static int
ref_order(const void *a, const void *b)
{
	int64_t x, y;

	memcpy(&x, a, sizeof(x));	/* created is first */
	memcpy(&y, b, sizeof(y));
	return (x > y) - (x < y);
}

static void
ref_add(struct key_list *l, size_t *n, const char *id, int64_t created_unix_s)
{
	l->refs[*n].created_unix_s = created_unix_s;
	snprintf(l->refs[(*n)++].id, CRED_ID_MAX, "%s", id);
}

/* Keys that still do something; the others can be read by id. */
static size_t
refs_collect(struct http_req *q, struct key_list *l, bool is_all)
{
	struct tailnet *t = l->t;
	const struct authkey *k;
	const struct cred *c;
	int64_t now = clock_wall_s(), own = q->who.user_id;
	size_t n = 0;

	for (size_t at = 0; (k = map_next(&t->authkeys, &at)) != NULL;)
		if (auth_may(&q->who, SCOPE_AUTH_KEYS,
		    false) && (is_all || own == 0 || k->user_id == own) &&
		    authkey_is_usable(k, now, NULL) != ERR_DENIED)
			ref_add(l, &n, k->id, k->created_unix_s);
	for (size_t at = 0; (c = map_next(&t->creds, &at)) != NULL;)
		if ((c->kind == CRED_API || c->kind == CRED_CLIENT) && creds_may(&q->who, c->kind, false) &&
		    (is_all || own == 0 || c->user_id == own) && strcmp(cred_state(c, now), "active") == 0)
			ref_add(l, &n, c->id, c->created_unix_s);
	qsort(l->refs, n, sizeof(l->refs[0]), ref_order);
	return n;
}

static void
keys_list(struct http_req *q)
{
	struct tailnet *t = api_tailnet(q);
	struct key_list *l;
	const char *all;
	struct form f;

	if (t == NULL)
		return;
	if (!auth_may(&q->who, SCOPE_AUTH_KEYS, false) && !auth_may(&q->who, SCOPE_OAUTH_KEYS, false) &&
	    !auth_may(&q->who, SCOPE_API_TOKENS, false)) {
		http_reply_error(q, 403, "no scope of yours allows to read keys");
		return;
	}
	if (!http_query(q, &f))
		return;
	all = form_get(&f, "all");
	l = obj_alloc(sizeof(*l) + (t->authkeys.count + t->creds.count + 1) * sizeof(l->refs[0]));
	l->t = t;
	size_t n = refs_collect(q, l, all != NULL && strcmp(all, "true") == 0);
	form_fini(&f);
	http_reply_list(q, &(struct http_list){
		.name = "keys", .n = n, .arg = l, .put = list_put, .free_fn = free,
	});
}

/* --- create --------------------------------------------------------------------------------------- */

static void
on_made(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	struct key k;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else if (key_find(flapi_tailnet(q), res->key_id, &k))
		reply_key(q, &k, res->secret);
	else
		http_reply_error(q, 404, "the key was removed at once");
}

/* expirySeconds, 0 and absent are the default. false: answered. */
static bool
expiry_take(struct http_req *q, int64_t *expires_unix_s)
{
	int64_t s;

	if (!api_member_is(q, q->json, "expirySeconds", FLAPI_INT))
		return false;
	s = json_get_int(q->json, "expirySeconds", 0);
	if (s < 0 || s > CREDS_EXPIRY_MAX_S) {
		http_reply_error(q, 400, "expirySeconds must be 1 to %" PRId64, CREDS_EXPIRY_MAX_S);
		return false;
	}
	*expires_unix_s = clock_wall_s() + (s != 0 ? s : CREDS_EXPIRY_DFLT_S);
	return true;
}

static void
auth_create(struct http_req *q)
{
	const json_t *devices = json_object_get(json_object_get(q->json, "capabilities"), "devices");
	const json_t *create = json_object_get(devices, "create");
	struct tailnet_key_spec spec = { .description = json_get_str(q->json, "description", "") };
	struct flapi_texts tags;
	const struct user *u;

	if (!auth_may(&q->who, SCOPE_AUTH_KEYS, true)) {
		http_reply_error(q, 403, "this needs the scope auth_keys");
		return;
	}
	if (!expiry_take(q, &spec.expires_unix_s) || !api_texts(q, create, "tags", &tags) ||
	    !api_member_is(q, create, "reusable", FLAPI_BOOL) ||
	    !api_member_is(q, create, "ephemeral", FLAPI_BOOL) ||
	    !api_member_is(q, create, "preauthorized", FLAPI_BOOL) || !creds_tags_are_ok(q, &tags) ||
	    (u = flapi_user(q, NULL)) == NULL)
		return;
	spec.user_id = u->id;
	spec.tags = tags.v;
	spec.n_tags = tags.n;
	spec.is_reusable = json_get_bool(create, "reusable", false);
	spec.is_ephemeral = json_get_bool(create, "ephemeral", false);
	spec.is_preauthorized = json_get_bool(create, "preauthorized", false);
	tailnet_key_create(flapi_tailnet(q), &q->who.actor, &spec, on_made, q);
}

static void
cred_create(struct http_req *q, enum cred_kind kind)
{
	struct creds_wish wish = { .kind = kind, .description = json_get_str(q->json, "description", "") };

	if (!creds_may(&q->who, kind, true))
		http_reply_error(q, 403, "this needs the scope %s",
		    kind == CRED_CLIENT ? "oauth_keys" : "api_access_tokens");
	else if (api_texts(q, q->json, "scopes", &wish.scopes) && api_texts(q, q->json, "tags",
	    &wish.tags) &&
	    (kind == CRED_CLIENT || expiry_take(q, &wish.expires_unix_s)) &&
	    (wish.user = flapi_user(q, NULL)) != NULL)
		creds_create(q, &wish, on_made);
}

static void
keys_create(struct http_req *q)
{
	const char *type;

	if (api_tailnet(q) == NULL || !api_member_is(q, q->json, "keyType", FLAPI_TEXT) ||
	    !api_member_is(q, q->json, "description", FLAPI_TEXT))
		return;
	type = json_get_str(q->json, "keyType", "auth");
	if (strcmp(type, "auth") == 0 || *type == 0)
		auth_create(q);
	else if (strcmp(type, "client") == 0)
		cred_create(q, CRED_CLIENT);
	else if (strcmp(type, "api") == 0)
		cred_create(q, CRED_API);
	else if (strcmp(type, "federated") == 0)
		http_reply_error(q, 501, "federated identities are not supported by this server");
	else
		http_reply_error(q, 400, "keyType is auth, client or api");
}

/* --- one key -------------------------------------------------------------------------------------- */

/* A credential may read itself; a token its client. */
static bool
is_own(struct http_req *q, const struct key *k)
{
	const struct cred *me = tailnet_cred_find(flapi_tailnet(q), q->who.cred_id);

	return k->cred != NULL && me != NULL &&
	    (strcmp(k->cred->id, me->id) == 0 || strcmp(k->cred->id, me->parent) == 0);
}

/* The key of the path, if who asks may do that. false: answered. */
static bool
key_of(struct http_req *q, bool is_write, struct key *k)
{
	if (api_tailnet(q) == NULL)
		return false;
	if (!key_find(flapi_tailnet(q), q->params[1], k)) {
		http_reply_error(q, 404, "there is no such key");
		return false;
	}
	if (auth_may(&q->who, scope_of(k), is_write) || (!is_write && is_own(q, k)))
		return true;
	http_reply_error(q, 403, "your role or scopes do not allow this");
	return false;
}

static void
keys_get(struct http_req *q)
{
	struct key k;

	if (key_of(q, false, &k))
		reply_key(q, &k, NULL);
}

/* Revoked, and still to be read by its id. */
static void
keys_delete(struct http_req *q)
{
	struct key k;

	if (!key_of(q, true, &k))
		return;
	if (k.auth != NULL)
		tailnet_key_revoke(flapi_tailnet(q), &q->who.actor, k.auth->id, flapi_on_empty, q);
	else
		tailnet_cred_revoke(flapi_tailnet(q), &q->who.actor, k.cred->id, flapi_on_empty, q);
}

static void
on_set(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	struct key k;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else if (key_find(flapi_tailnet(q), q->params[1], &k))
		reply_key(q, &k, NULL);
	else
		http_reply_error(q, 404, "there is no such key");
}

static void
keys_put(struct http_req *q)
{
	struct creds_wish wish = { .kind = CRED_CLIENT };
	struct key k;

	if (!key_of(q, true, &k) || !api_member_is(q, q->json, "description", FLAPI_TEXT) ||
	    !api_texts(q, q->json, "scopes", &wish.scopes) || !api_texts(q, q->json, "tags", &wish.tags))
		return;
	if (k.cred == NULL || k.cred->kind != CRED_CLIENT) {
		http_reply_error(q, 400, "only OAuth clients can be changed");
		return;
	}
	wish.description = json_get_str(q->json, "description", "");
	creds_set(q, k.cred, &wish, on_set);
}

/* Three kinds with a scope each: the handlers look. */
const struct http_route api_keys_routes[] = {
	{ "GET", API2 "/tailnet/{t}/keys", HTTP_KNOWN, false, keys_list },
	{ "POST", API2 "/tailnet/{t}/keys", HTTP_KNOWN, true, keys_create },
	{ "GET", API2 "/tailnet/{t}/keys/{id}", HTTP_KNOWN, false, keys_get },
	{ "PUT", API2 "/tailnet/{t}/keys/{id}", HTTP_KNOWN, true, keys_put },
	{ "DELETE", API2 "/tailnet/{t}/keys/{id}", HTTP_KNOWN, false, keys_delete },
};
const size_t api_keys_routes_count = COUNT_OF(api_keys_routes);
