/* /api/fairlead/v1/credentials: API keys and OAuth clients. A secret is in the answer to its creation only. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "web/creds.h"

static const void *
cred_find(struct tailnet *t, const char *id)
{
	return tailnet_cred_find(t, id);
}

static void
cred_put(const struct tailnet *t, const void *thing, struct json_writer *w)
{
	const struct cred *c = thing;

	json_w_str(w, "id", c->id);
	json_w_str(w, "kind", cred_kind_word(c->kind));
	json_w_str(w, "description", c->description);
	flapi_put_owner(t, c->user_id, w);
	flapi_put_words(w, "scopes", c->scopes);
	flapi_put_texts(w, "tags", c->tags, c->n_tags);
	json_w_str(w, "state", cred_state(c, clock_wall_s()));
	flapi_time(w, "created", c->created_unix_s);
	flapi_time(w, "expires", c->expires_unix_s);
	flapi_time(w, "revoked", c->revoked_unix_s);
	flapi_time(w, "lastUsed", c->last_used_unix_s);
}

static const struct flapi_kind kind = { cred_find, cred_put };

void
flapi_put_cred(struct tailnet *t, const char *id, const char *name, struct json_writer *w)
{
	flapi_put_thing(t, &kind, id, name, w);
}

struct cred_list {
	struct tailnet *t;
	char (*ids)[CRED_ID_MAX];
};

static void
list_put(void *arg, size_t i, struct json_writer *w)
{
	struct cred_list *l = arg;

	if (tailnet_cred_find(l->t, l->ids[i]) != NULL)
		flapi_put_cred(l->t, l->ids[i], NULL, w);
}

static void
list_free(void *arg)
{
	struct cred_list *l = arg;

	free(l->ids);
	free(l);
}

static void
creds_list(struct http_req *q)
{
	struct cred_list *l;
	size_t n;

	if (!creds_may(&q->who, CRED_API, false) && !creds_may(&q->who, CRED_CLIENT, false)) {
		http_reply_error(q, 403, "your role does not allow this");
		return;
	}
	l = obj_alloc(sizeof(*l));
	l->t = flapi_tailnet(q);
	l->ids = creds_ids(q, &n);
	http_reply_list(q, &(struct http_list){
		.name = "credentials", .n = n, .arg = l, .put = list_put, .free_fn = list_free,
	});
}

static void
on_changed(void *arg, const struct tailnet_result *res)
{
	flapi_reply_changed(arg, &kind, res);
}

static bool
kind_take(struct http_req *q, enum cred_kind *out)
{
	const char *word = json_get_str(q->json, "kind", "api");

	if (!cred_kind_parse(word, out) || (*out != CRED_API && *out != CRED_CLIENT)) {
		http_reply_error(q, 400, "kind is \"api\" or \"client\"");
		return false;
	}
	if (creds_may(&q->who, *out, true))
		return true;
	http_reply_error(q, 403, "you may not make this kind of credential");
	return false;
}

static void
creds_post(struct http_req *q)
{
	static const struct flapi_member members[] = {
		{ "kind", FLAPI_TEXT }, { "user", FLAPI_TEXT }, { "description", FLAPI_TEXT },
		{ "scopes", FLAPI_TEXTS }, { "tags", FLAPI_TEXTS }, { "expirySeconds", FLAPI_INT },
	};
	struct creds_wish wish = { .kind = CRED_API };

	if (!flapi_body_is(q, members, COUNT_OF(members)) || !kind_take(q, &wish.kind) ||
	    !flapi_texts(q, "scopes", &wish.scopes) || !flapi_texts(q, "tags", &wish.tags))
		return;
	int64_t expiry_s = json_get_int(q->json, "expirySeconds",
	    wish.kind == CRED_API ? CREDS_EXPIRY_DFLT_S : 0);
	if (expiry_s < 0 || expiry_s > CREDS_EXPIRY_MAX_S) {
		http_reply_error(q, 400, "expirySeconds must be 0 (never) to %" PRId64, CREDS_EXPIRY_MAX_S);
		return;
	}
	if (wish.kind == CRED_API && (wish.scopes.n > 0 || wish.tags.n > 0)) {
		http_reply_error(q, 400,
		    "an API key has its user's rights: scopes and tags are for clients");
		return;
	}
	wish.description = json_get_str(q->json, "description", "");
	wish.expires_unix_s = expiry_s == 0 ? 0 : clock_wall_s() + expiry_s;
	if ((wish.user = flapi_user(q, json_get_str(q->json, "user", NULL))) != NULL)
		creds_create(q, &wish, on_changed);
}

/* The credential of the path, if who asks may do that; NULL: answered. */
static const struct cred *
cred_of(struct http_req *q, bool is_write)
{
	const struct cred *c = tailnet_cred_find(flapi_tailnet(q), q->params[0]);

	if (c == NULL || (c->kind != CRED_API && c->kind != CRED_CLIENT)) {
		http_reply_error(q, 404,
		    "there is no such credential: give its id of %d characters, as in the "
		    "list", CRED_ID_CHARS);
		return NULL;
	}
	if (!creds_may(&q->who, c->kind, is_write)) {
		http_reply_error(q, 403, "your role does not allow this");
		return NULL;
	}
	return c;
}

static void
creds_get(struct http_req *q)
{
	const struct cred *c = cred_of(q, false);

	if (c != NULL)
		flapi_reply_thing(q, &kind, c->id, NULL);
}

static void
creds_revoke(struct http_req *q)
{
	const struct cred *c = cred_of(q, true);

	if (c != NULL)
		tailnet_cred_revoke(flapi_tailnet(q), &q->who.actor, c->id, on_changed, q);
}

static void
creds_delete(struct http_req *q)
{
	const struct cred *c = cred_of(q, true);

	if (c != NULL)
		tailnet_cred_remove(flapi_tailnet(q), &q->who.actor, c->id, on_changed, q);
}

/* Two kinds with a scope each: the handlers look. */
const struct http_route flapi_creds_routes[] = {
	{ "GET", FLAPI "/credentials", HTTP_KNOWN, false, creds_list },
	{ "POST", FLAPI "/credentials", HTTP_KNOWN, true, creds_post },
	{ "GET", FLAPI "/credentials/{id}", HTTP_KNOWN, false, creds_get },
	{ "POST", FLAPI "/credentials/{id}/revoke", HTTP_KNOWN, false, creds_revoke },
	{ "DELETE", FLAPI "/credentials/{id}", HTTP_KNOWN, false, creds_delete },
};
const size_t flapi_creds_routes_count = COUNT_OF(flapi_creds_routes);
