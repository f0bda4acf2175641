/* /api/fairlead/v1/logins: devices that asked to join without a key, and what people decide of them. */
#include "web/flapi.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "web/creds.h"
#include "web/html.h"
#include "web/login_page.h"

static void
device_put(const struct login *l, struct json_writer *w)
{
	const struct hostinfo *host = l->req->host;
	char text[KEY_TEXT_MAX];

	json_w_str(w, "hostname", host->hostname);
	json_w_str(w, "os", host->os);
	json_w_str(w, "osVersion", host->os_version);
	json_w_str(w, "clientVersion", host->client_version);
	json_w_str(w, "address", net_ip_put(&l->from.addr.ip, text));
	json_w_str(w, "machineKey", machine_key_put(&l->from.machine, text));
	json_w_str(w, "machineKeyShort", key_short(l->from.machine.b, text));
	json_w_bool(w, "ephemeral", l->req->is_ephemeral);
	json_w_arr_open(w, "tags");
	for (unsigned i = 0; i < host->n_request_tags; i++)
		json_w_str(w, NULL, host->request_tags[i]);
	json_w_arr_close(w);
}

static void
login_put(struct tailnet *t, const struct login *l, const char *name, struct json_writer *w)
{
	const struct node *n = tailnet_login_node(t, l);
	const struct user *u = n == NULL ? NULL : map_find(&t->users, &n->user_id);
	char url[1024];

	json_w_obj_open(w, name);
	json_w_str(w, "id", l->id);
	snprintf(url, sizeof(url), "%.900s" LOGIN_PAGE_PATH "/%s", t->deps.server_url, l->id);
	json_w_str(w, "url", url);
	if (l->req != NULL)		/* not while its approval is being written */
		device_put(l, w);
	if (n != NULL) {
		flapi_id(w, "nodeId", n->id);
		json_w_str(w, "nodeName", n->name);
		json_w_str(w, "nodeUser", u != NULL ? u->name : "");
	} else {
		json_w_null(w, "nodeId");
	}
	json_w_time(w, "created", l->created_unix_s);
	json_w_time(w, "expires", l->expires_unix_s);
	json_w_obj_close(w);
}

void
flapi_put_login(struct tailnet *t, const char *id, const char *name, struct json_writer *w)
{
	const struct login *l = tailnet_login_find(t, id);

	if (l != NULL)
		login_put(t, l, name, w);
	else
		json_w_null(w, name);
}

struct login_list {
	struct tailnet *t;
	struct { char id[LOGIN_ID_CHARS + 8]; int64_t created_unix_s; } refs[];
};

static void
list_put(void *arg, size_t i, struct json_writer *w)
{
	struct login_list *list = arg;
	const struct login *l = tailnet_login_find(list->t, list->refs[i].id);

	if (l != NULL)
		login_put(list->t, l, NULL, w);
}

static int
ref_order(const void *a, const void *b)
{
	const int64_t *x = (const int64_t *)((const char *)a + LOGIN_ID_CHARS + 8);
	const int64_t *y = (const int64_t *)((const char *)b + LOGIN_ID_CHARS + 8);

	return *x != *y ? (*x > *y) - (*x < *y) : strcmp(a, b);
}

static void
logins_list(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	struct login_list *list = obj_alloc(sizeof(*list) + (t->logins.count + 1) * sizeof(list->refs[0]));
	const struct login *l;
	size_t at = 0, n = 0;

	list->t = t;
	while ((l = map_next(&t->logins, &at)) != NULL) {
		if (l->state == LOGIN_REJECTED)
			continue;
		memcpy(list->refs[n].id, l->id, sizeof(l->id));
		list->refs[n++].created_unix_s = l->created_unix_s;
	}
	qsort(list->refs, n, sizeof(list->refs[0]), ref_order);
	http_reply_list(q, &(struct http_list){
		.name = "logins", .n = n, .arg = list, .put = list_put, .free_fn = free,
	});
}

/* The login of the path; NULL: answered 404. */
static const struct login *
login_of(struct http_req *q)
{
	const struct login *l = tailnet_login_find(flapi_tailnet(q), q->params[0]);

	if (l == NULL)
		http_reply_error(q, 404, "there is no login \"%.40s\": it is decided, or over after %d minutes",
		    q->params[0], LOGIN_LIFE_S / 60);
	return l;
}

static void
logins_get(struct http_req *q)
{
	const struct login *l = login_of(q);
	struct buf b = { .len = 0 };
	struct json_writer w;

	if (l == NULL)
		return;
	json_w_init(&w, &b);
	login_put(flapi_tailnet(q), l, NULL, &w);
	http_reply_json_take(q, 200, &b);
}

/* Whose device it becomes: the user named, else the owner of the node that it is already, else as for
 * everything. NULL: answered 400. */
static const struct user *
user_of(struct http_req *q, const struct login *l)
{
	struct tailnet *t = flapi_tailnet(q);
	const char *name = json_get_str(q->json, "user", NULL);
	const struct node *n = tailnet_login_node(t, l);
	const struct user *u = NULL;

	if (name == NULL && n != NULL)
		u = map_find(&t->users, &n->user_id);
	return u != NULL ? u : flapi_user(q, name);
}

static void
logins_approve(struct http_req *q)
{
	static const struct flapi_member members[] = {
		{ "user", FLAPI_TEXT }, { "tags", FLAPI_TEXTS }, { "approved", FLAPI_BOOL },
	};
	const struct login *l;
	const struct user *u;
	struct flapi_texts tags;

	if (!flapi_body_is(q, members, COUNT_OF(members)) || !flapi_texts(q, "tags", &tags) ||
	    (l = login_of(q)) == NULL || (u = user_of(q, l)) == NULL)
		return;
	if (json_object_get(q->json, "tags") == NULL)
		for (unsigned i = 0; i < l->req->host->n_request_tags && i < FLAPI_TEXTS_MAX; i++)
			tags.v[tags.n++] = l->req->host->request_tags[i];
	if (!creds_tags_are_ok(q, &tags))
		return;
	struct tailnet_login_spec spec = {
		.user_id = u->id, .tags = tags.v, .n_tags = tags.n,
		.has_tags = json_is_array(json_object_get(q->json, "tags")),
		.is_authorized = json_get_bool(q->json, "approved", true),
	};
	tailnet_login_approve(flapi_tailnet(q), &q->who.actor, l->id, &spec, flapi_on_node, q);
}

static void
logins_reject(struct http_req *q)
{
	const struct login *l = login_of(q);

	if (l != NULL)
		tailnet_login_reject(flapi_tailnet(q), &q->who.actor, l->id, flapi_on_empty, q);
}

static const struct http_route routes[] = {
	{ "GET", FLAPI "/logins", HTTP_NEED(HTTP_READ, SCOPE_DEVICES), false, logins_list },
	{ "GET", FLAPI "/logins/{id}", HTTP_NEED(HTTP_READ, SCOPE_DEVICES), false, logins_get },
	{ "POST", FLAPI "/logins/{id}/approve", HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES), true, logins_approve },
	{ "POST", FLAPI "/logins/{id}/reject", HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES), false, logins_reject },
};

void
flapi_logins_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
	http_routes(h, html_routes, html_routes_count);
	http_routes(h, login_page_routes, login_page_routes_count);
}
