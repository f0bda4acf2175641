/* /api/fairlead/v1/ssh-checks: SSH logins that a policy's check rule holds, and what people decide of them. */
#include "web/flapi.h"

#include <stdio.h>
#include <string.h>

#include "web/ssh_page.h"

static void
node_put(const struct tailnet *t, int64_t id, const char *name, struct json_writer *w)
{
	const struct node *n = map_find(&t->nodes, &id);

	json_w_obj_open(w, name);
	flapi_id(w, "id", id);
	if (n != NULL) {
		json_w_str(w, "name", n->name);
		flapi_put_owner(t, n->user_id, w);
		flapi_put_texts(w, "tags", n->tags, n->n_tags);
		flapi_put_addresses(n, w);
	}
	json_w_obj_close(w);
}

static void
check_put(const struct tailnet *t, const struct ssh_check *c, const char *name, struct json_writer *w)
{
	char url[1024];

	json_w_obj_open(w, name);
	json_w_str(w, "id", c->id);
	snprintf(url, sizeof(url), "%.900s" TAILNET_SSH_PAGE "/%s", t->deps.server_url, c->id);
	json_w_str(w, "url", url);
	node_put(t, c->who.src_id, "source", w);
	node_put(t, c->who.dst_id, "destination", w);
	json_w_str(w, "localUser", c->who.user);
	json_w_int(w, "checkPeriodSeconds", c->period_s);
	json_w_bool(w, "waiting", c->n_waiters > 0);
	json_w_time(w, "created", c->created_unix_s);
	json_w_time(w, "expires", c->expires_unix_s);
	json_w_obj_close(w);
}

void
flapi_put_ssh(struct tailnet *t, const char *id, const char *name, struct json_writer *w)
{
	const struct ssh_check *c = tailnet_ssh_find(t, id);

	if (c != NULL)
		check_put(t, c, name, w);
	else
		json_w_null(w, name);
}

struct check_list {
	struct tailnet *t;
	char ids[][SSH_CHECK_ID_CHARS + 8];
};

static void
list_put(void *arg, size_t i, struct json_writer *w)
{
	struct check_list *list = arg;
	const struct ssh_check *c = tailnet_ssh_find(list->t, list->ids[i]);

	if (c != NULL)
		check_put(list->t, c, NULL, w);
}

static void
checks_list(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	struct check_list *list = obj_alloc(sizeof(*list) + (t->ssh->checks.count + 1) * sizeof(list->ids[0]));
	const struct ssh_check *c;
	size_t n = 0;

	list->t = t;
	TAILQ_FOREACH(c, &t->ssh->oldest_first, link)
		memcpy(list->ids[n++], c->id, sizeof(c->id));
	http_reply_list(q, &(struct http_list){
		.name = "sshChecks", .n = n, .arg = list, .put = list_put, .free_fn = free,
	});
}

/* The check of the path; NULL: answered 404. */
static const struct ssh_check *
check_of(struct http_req *q)
{
	const struct ssh_check *c = tailnet_ssh_find(flapi_tailnet(q), q->params[0]);

	if (c == NULL)
		http_reply_error(q, 404, "no SSH login \"%.40s\" waits: it is decided, or over after %d "
		    "minutes, or the policy changed", q->params[0], SSH_CHECK_LIFE_S / 60);
	return c;
}

static void
checks_get(struct http_req *q)
{
	const struct ssh_check *c = check_of(q);
	struct buf b = { .len = 0 };
	struct json_writer w;

	if (c == NULL)
		return;
	json_w_init(&w, &b);
	check_put(flapi_tailnet(q), c, NULL, &w);
	http_reply_json_take(q, 200, &b);
}

static void
checks_approve(struct http_req *q)
{
	const struct ssh_check *c = check_of(q);

	if (c != NULL)
		tailnet_ssh_approve(flapi_tailnet(q), &q->who.actor, c->id, flapi_on_empty, q);
}

static void
checks_reject(struct http_req *q)
{
	const struct ssh_check *c = check_of(q);

	if (c != NULL)
		tailnet_ssh_reject(flapi_tailnet(q), &q->who.actor, c->id, flapi_on_empty, q);
}

static const struct http_route routes[] = {
	{ "GET", FLAPI "/ssh-checks", HTTP_NEED(HTTP_READ, SCOPE_DEVICES), false, checks_list },
	{ "GET", FLAPI "/ssh-checks/{id}", HTTP_NEED(HTTP_READ, SCOPE_DEVICES), false, checks_get },
	{ "POST", FLAPI "/ssh-checks/{id}/approve", HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES), false,
	  checks_approve },
	{ "POST", FLAPI "/ssh-checks/{id}/reject", HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES), false, checks_reject },
};

void
flapi_ssh_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
	http_routes(h, ssh_page_routes, ssh_page_routes_count);
}
