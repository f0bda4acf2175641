/* /api/fairlead/v1/users */
#include <string.h>

#include "web/flapi.h"

static const char *const role_words[] = {
#define X(id, word) word,
	USER_ROLE_TABLE(X)
#undef X
};

static void
user_put(const struct user *u, struct json_writer *w)
{
	json_w_obj_open(w, NULL);
	flapi_id(w, "id", u->id);
	json_w_str(w, "name", u->name);
	json_w_str(w, "displayName", u->display_name);
	json_w_str(w, "role", role_words[u->role]);
	flapi_time(w, "created", u->created_unix_s);
	json_w_int(w, "nodes", u->n_nodes);
	json_w_int(w, "keys", u->n_keys);
	json_w_obj_close(w);
}

static void
put_by_id(struct tailnet *t, int64_t id, struct json_writer *w)
{
	const struct user *u = map_find(&t->users, &id);

	if (u != NULL)
		user_put(u, w);
}

static void
users_list(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	int64_t *ids = obj_alloc((t->users.count + 1) * sizeof(*ids));
	const struct user *u;
	size_t at = 0, n = 0;

	while ((u = map_next(&t->users, &at)) != NULL)
		ids[n++] = u->id;
	flapi_reply_ids_take(q, "users", ids, n, put_by_id);
}

/* The change is made: shows the user as it is now. */
static void
on_changed(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	struct tailnet *t = flapi_tailnet(q);
	const struct user *u;
	struct buf b = { .len = 0 };
	struct json_writer w;

	if (res->rc != ERR_OK) {
		http_reply_err(q, res->rc, &res->why);
		return;
	}
	if ((u = map_find(&t->users, &res->id)) == NULL) {
		flapi_reply_empty(q);		/* removed, now or by somebody else meanwhile */
		return;
	}
	json_w_init(&w, &b);
	user_put(u, &w);
	http_reply_json_take(q, 200, &b);
}

static bool
role_parse(const char *word, enum user_role *out)
{
	for (unsigned i = 0; i < COUNT_OF(role_words); i++)
		if (strcmp(word, role_words[i]) == 0) {
			*out = (enum user_role)i;
			return true;
		}
	return false;
}

static void
users_create(struct http_req *q)
{
	static const struct flapi_member members[] = {
		{ "name", FLAPI_TEXT }, { "displayName", FLAPI_TEXT }, { "role", FLAPI_TEXT },
	};
	struct tailnet_user_spec spec = { .role = USER_MEMBER };

	if (!flapi_body_is(q, members, COUNT_OF(members)))
		return;
	spec.name = json_get_str(q->json, "name", "");
	spec.display_name = json_get_str(q->json, "displayName", "");
	const char *role = json_get_str(q->json, "role", "member");
	if (!role_parse(role, &spec.role)) {
		http_reply_error(q, 400,
		    "\"%.60s\" is no role: owner, admin, network-admin, auditor or member", role);
		return;
	}
	tailnet_user_create(flapi_tailnet(q), &q->who.actor, &spec, on_changed, q);
}

/* The user of the path by id or name; NULL: answered 404. */
static const struct user *
user_of(struct http_req *q)
{
	const struct user *u = tailnet_user_find(flapi_tailnet(q), q->params[0]);

	if (u == NULL)
		http_reply_error(q, 404, "there is no user \"%.130s\"", q->params[0]);
	return u;
}

static void
users_get(struct http_req *q)
{
	const struct user *u = user_of(q);
	struct buf b = { .len = 0 };
	struct json_writer w;

	if (u == NULL)
		return;
	json_w_init(&w, &b);
	user_put(u, &w);
	http_reply_json_take(q, 200, &b);
}

static void
users_patch(struct http_req *q)
{
	static const struct flapi_member members[] = { { "name", FLAPI_TEXT } };
	const char *name;
	const struct user *u;

	if (!flapi_body_is(q, members, COUNT_OF(members)) || (u = user_of(q)) == NULL)
		return;
	if ((name = json_get_str(q->json, "name", NULL)) == NULL) {
		users_get(q);		/* nothing to change */
		return;
	}
	tailnet_user_rename(flapi_tailnet(q), &q->who.actor, u->id, name, on_changed, q);
}

static void
users_delete(struct http_req *q)
{
	const struct user *u = user_of(q);

	if (u != NULL)
		tailnet_user_remove(flapi_tailnet(q), &q->who.actor, u->id, on_changed, q);
}

const struct http_route flapi_users_routes[] = {
	{ "GET", FLAPI "/users", HTTP_READ, false, users_list },
	{ "POST", FLAPI "/users", HTTP_WRITE, true, users_create },
	{ "GET", FLAPI "/users/{id}", HTTP_READ, false, users_get },
	{ "PATCH", FLAPI "/users/{id}", HTTP_WRITE, true, users_patch },
	{ "DELETE", FLAPI "/users/{id}", HTTP_WRITE, false, users_delete },
};
const size_t flapi_users_routes_count = COUNT_OF(flapi_users_routes);
