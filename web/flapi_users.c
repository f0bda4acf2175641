/* /api/fairlead/v1/users */
#include <string.h>

#include "web/flapi.h"

static void
user_put(const struct user *u, const char *name, struct json_writer *w)
{
	json_w_obj_open(w, name);
	flapi_id(w, "id", u->id);
	json_w_str(w, "name", u->name);
	json_w_str(w, "displayName", u->display_name);
	json_w_str(w, "role", user_role_word(u->role));
	flapi_time(w, "created", u->created_unix_s);
	json_w_int(w, "nodes", u->n_nodes);
	json_w_int(w, "keys", u->n_keys);
	json_w_obj_close(w);
}

void
flapi_put_user(struct tailnet *t, int64_t id, const char *name, struct json_writer *w)
{
	const struct user *u = map_find(&t->users, &id);

	if (u != NULL)
		user_put(u, name, w);
	else
		json_w_null(w, name);
}

static void
put_by_id(struct tailnet *t, int64_t id, struct json_writer *w)
{
	const struct user *u = map_find(&t->users, &id);

	if (u != NULL)
		user_put(u, NULL, w);
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
	user_put(u, NULL, &w);
	http_reply_json_take(q, 200, &b);
}

/* The role of that word, if who asks may give it. false: answered. */
static bool
role_take(struct http_req *q, const char *word, enum user_role *out)
{
	if (!user_role_parse(word, out)) {
		http_reply_error(q, 400,
		    "\"%.60s\" is no role: owner, admin, network-admin, auditor or member", word);
		return false;
	}
	if (*out == USER_OWNER && q->who.role != USER_OWNER) {
		http_reply_error(q, 403, "only an owner makes another user owner");
		return false;
	}
	return true;
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
	if (!role_take(q, role, &spec.role))
		return;
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
	user_put(u, NULL, &w);
	http_reply_json_take(q, 200, &b);
}

/* The user of the path, if who asks may change it. NULL: answered. */
static const struct user *
user_to_change(struct http_req *q)
{
	const struct user *u = user_of(q);

	if (u != NULL && u->role == USER_OWNER && q->who.role != USER_OWNER) {
		http_reply_error(q, 403, "only an owner changes an owner");
		return NULL;
	}
	return u;
}

/* Name and role are two changes: the role follows when the name is durable. */
static void
on_renamed(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	enum user_role role;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else if (user_role_parse(json_get_str(q->json, "role", ""), &role))
		tailnet_user_set_role(flapi_tailnet(q), &q->who.actor, res->id, role, on_changed, q);
	else
		on_changed(arg, res);
}

static void
users_patch(struct http_req *q)
{
	static const struct flapi_member members[] = { { "name", FLAPI_TEXT }, { "role", FLAPI_TEXT } };
	struct tailnet *t = flapi_tailnet(q);
	enum user_role role = USER_MEMBER;
	const struct user *u;

	if (!flapi_body_is(q, members, COUNT_OF(members)) || (u = user_to_change(q)) == NULL)
		return;
	const char *name = json_get_str(q->json, "name", NULL);
	const char *word = json_get_str(q->json, "role", NULL);
	if (word != NULL && !role_take(q, word, &role))
		return;
	if (name != NULL)
		tailnet_user_rename(t, &q->who.actor, u->id, name, on_renamed, q);
	else if (word != NULL)
		tailnet_user_set_role(t, &q->who.actor, u->id, role, on_changed, q);
	else
		users_get(q);		/* nothing to change */
}

static void
users_delete(struct http_req *q)
{
	const struct user *u = user_to_change(q);

	if (u != NULL)
		tailnet_user_remove(flapi_tailnet(q), &q->who.actor, u->id, on_changed, q);
}

const struct http_route flapi_users_routes[] = {
	{ "GET", FLAPI "/users", HTTP_NEED(HTTP_READ, SCOPE_USERS), false, users_list },
	{ "POST", FLAPI "/users", HTTP_NEED(HTTP_WRITE, SCOPE_USERS), true, users_create },
	{ "GET", FLAPI "/users/{id}", HTTP_NEED(HTTP_READ, SCOPE_USERS), false, users_get },
	{ "PATCH", FLAPI "/users/{id}", HTTP_NEED(HTTP_WRITE, SCOPE_USERS), true, users_patch },
	{ "DELETE", FLAPI "/users/{id}", HTTP_NEED(HTTP_WRITE, SCOPE_USERS), false, users_delete },
};
const size_t flapi_users_routes_count = COUNT_OF(flapi_users_routes);
