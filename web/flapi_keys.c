/* /api/fairlead/v1/keys: auth keys. The secret is in the answer to its creation and nowhere else. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "web/creds.h"
#include "web/flapi.h"

#define EXPIRY_DFLT_S	(90 * 86400)		/* as keys of other servers have it */
#define EXPIRY_MAX_S	(INT64_C(3650) * 86400)

/* What the node that joins with it will get, if anything is promised. */
static void
plan_put(const struct authkey_plan *plan, struct json_writer *w)
{
	char text[NET_TEXT_MAX];

	if (plan->name[0] == 0)
		return;
	json_w_str(w, "nodeName", plan->name);
	json_w_str(w, "nodeIp4", net_ip_put(&plan->ip4, text));
	json_w_str(w, "nodeIp6", net_ip_put(&plan->ip6, text));
}

static const void *
key_find(struct tailnet *t, const char *id)
{
	char key[AUTHKEY_ID_CHARS + 4] = "";	/* map keys are zero-padded */

	if (strlen(id) >= sizeof(key))
		return NULL;
	memcpy(key, id, strlen(id));
	return map_find(&t->authkeys, key);
}

static void
key_put(const struct tailnet *t, const void *thing, struct json_writer *w)
{
	const struct authkey *k = thing;

	json_w_str(w, "id", k->id);
	json_w_str(w, "description", k->description);
	flapi_put_owner(t, k->user_id, w);
	flapi_put_texts(w, "tags", k->tags, k->n_tags);
	json_w_bool(w, "reusable", k->is_reusable);
	json_w_bool(w, "ephemeral", k->is_ephemeral);
	json_w_bool(w, "preauthorized", k->is_preauthorized);
	plan_put(&k->plan, w);
	json_w_str(w, "state", authkey_state(k, clock_wall_s()));
	json_w_int(w, "uses", k->uses);
	flapi_time(w, "created", k->created_unix_s);
	flapi_time(w, "expires", k->expires_unix_s);
	flapi_time(w, "revoked", k->revoked_unix_s);
	flapi_time(w, "lastUsed", k->last_used_unix_s);
}

static const struct flapi_kind kind = { key_find, key_put };

void
flapi_put_key(struct tailnet *t, const char *id, const char *name, struct json_writer *w)
{
	flapi_put_thing(t, &kind, id, name, w);
}

struct key_ref {
	int64_t created_unix_s;
	char id[AUTHKEY_ID_CHARS + 4];
};

struct key_list {
	struct tailnet *t;
	struct key_ref refs[];
};

static int
ref_order(const void *a, const void *b)
{
	const struct key_ref *x = a, *y = b;

	if (x->created_unix_s != y->created_unix_s)
		return x->created_unix_s < y->created_unix_s ? -1 : 1;
	return strcmp(x->id, y->id);
}

static void
list_put(void *arg, size_t i, struct json_writer *w)
{
	struct key_list *l = arg;

	if (key_find(l->t, l->refs[i].id) != NULL)
		flapi_put_key(l->t, l->refs[i].id, NULL, w);
}

static void
keys_list(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	struct key_list *l = obj_alloc(sizeof(*l) + (t->authkeys.count + 1) * sizeof(l->refs[0]));
	const struct authkey *k;
	size_t at = 0, n = 0;

	l->t = t;
	while ((k = map_next(&t->authkeys, &at)) != NULL) {
		l->refs[n].created_unix_s = k->created_unix_s;
		memcpy(l->refs[n++].id, k->id, sizeof(k->id));
	}
	qsort(l->refs, n, sizeof(l->refs[0]), ref_order);
	http_reply_list(q, &(struct http_list){
		.name = "keys", .n = n, .arg = l, .put = list_put, .free_fn = free,
	});
}

static void
on_changed(void *arg, const struct tailnet_result *res)
{
	flapi_reply_changed(arg, &kind, res);
}

/* The owner of a new key: the user named, or the only one there is. NULL: answered 400. */
static const struct user *
owner_of(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	const char *name = json_get_str(q->json, "user", NULL);
	const struct user *u = NULL;
	size_t at = 0;

	if (name != NULL) {
		if ((u = tailnet_user_find(t, name)) == NULL)
			http_reply_error(q, 400, "there is no user \"%.130s\"", name);
	} else if (t->users.count == 1) {
		u = map_next(&t->users, &at);
	} else if (t->users.count == 0) {
		http_reply_error(q, 400, "there is no user yet to own the key: create one first");
	} else {
		http_reply_error(q, 400, "name the user who owns the key: there are %zu", t->users.count);
	}
	return u;
}

static void
keys_create(struct http_req *q)
{
	static const struct flapi_member members[] = {
		{ "user", FLAPI_TEXT }, { "description", FLAPI_TEXT }, { "tags", FLAPI_TEXTS },
		{ "reusable", FLAPI_BOOL }, { "ephemeral", FLAPI_BOOL }, { "preauthorized", FLAPI_BOOL },
		{ "expirySeconds", FLAPI_INT }, { "nodeName", FLAPI_TEXT }, { "nodeIp4", FLAPI_TEXT },
		{ "nodeIp6", FLAPI_TEXT },
	};
	struct net_ip ip4, ip6;
	struct flapi_texts tags;
	const struct user *u;

	if (!flapi_body_is(q, members, COUNT_OF(members)) || !flapi_texts(q, "tags", &tags) ||
	    !flapi_ip(q, "nodeIp4", &ip4) || !flapi_ip(q, "nodeIp6", &ip6) || !creds_tags_are_ok(q, &tags) ||
	    (u = owner_of(q)) == NULL)
		return;
	if (json_object_get(q->json, "nodeName") == NULL && (ip4.family != 0 || ip6.family != 0)) {
		http_reply_error(q, 400, "nodeIp4 and nodeIp6 need a nodeName");
		return;
	}
	int64_t expiry_s = json_get_int(q->json, "expirySeconds", EXPIRY_DFLT_S);
	if (expiry_s < 0 || expiry_s > EXPIRY_MAX_S) {
		http_reply_error(q, 400, "expirySeconds must be 0 (never) to %" PRId64, EXPIRY_MAX_S);
		return;
	}
	struct tailnet_key_spec spec = {
		.user_id = u->id,
		.description = json_get_str(q->json, "description", ""),
		.tags = tags.v,
		.n_tags = tags.n,
		.is_reusable = json_get_bool(q->json, "reusable", false),
		.is_ephemeral = json_get_bool(q->json, "ephemeral", false),
		.is_preauthorized = json_get_bool(q->json, "preauthorized", true),
		.expires_unix_s = expiry_s == 0 ? 0 : clock_wall_s() + expiry_s,
		.node_name = json_get_str(q->json, "nodeName", NULL),
		.node_ip4 = ip4,
		.node_ip6 = ip6,
	};
	tailnet_key_create(flapi_tailnet(q), &q->who.actor, &spec, on_changed, q);
}

/* The key of the path; NULL: answered 404. A whole key instead of its id is not repeated in the answer. */
static const struct authkey *
key_of(struct http_req *q)
{
	const struct authkey *k = key_find(flapi_tailnet(q), q->params[0]);

	if (k == NULL && strlen(q->params[0]) > AUTHKEY_ID_CHARS)
		http_reply_error(q, 404,
		    "there is no such key: give its id of %d characters, as in the list",
		    AUTHKEY_ID_CHARS);
	else if (k == NULL)
		http_reply_error(q, 404, "there is no key \"%s\"", q->params[0]);
	return k;
}

static void
keys_get(struct http_req *q)
{
	const struct authkey *k = key_of(q);

	if (k != NULL)
		flapi_reply_thing(q, &kind, k->id, NULL);
}

static void
keys_revoke(struct http_req *q)
{
	const struct authkey *k = key_of(q);

	if (k != NULL)
		tailnet_key_revoke(flapi_tailnet(q), &q->who.actor, k->id, on_changed, q);
}

static void
keys_delete(struct http_req *q)
{
	const struct authkey *k = key_of(q);

	if (k != NULL)
		tailnet_key_remove(flapi_tailnet(q), &q->who.actor, k->id, on_changed, q);
}

const struct http_route flapi_keys_routes[] = {
	{ "GET", FLAPI "/keys", HTTP_NEED(HTTP_READ, SCOPE_AUTH_KEYS), false, keys_list },
	{ "POST", FLAPI "/keys", HTTP_NEED(HTTP_WRITE, SCOPE_AUTH_KEYS), true, keys_create },
	{ "GET", FLAPI "/keys/{id}", HTTP_NEED(HTTP_READ, SCOPE_AUTH_KEYS), false, keys_get },
	{ "POST", FLAPI "/keys/{id}/revoke", HTTP_NEED(HTTP_WRITE, SCOPE_AUTH_KEYS), false, keys_revoke },
	{ "DELETE", FLAPI "/keys/{id}", HTTP_NEED(HTTP_WRITE, SCOPE_AUTH_KEYS), false, keys_delete },
};
const size_t flapi_keys_routes_count = COUNT_OF(flapi_keys_routes);
