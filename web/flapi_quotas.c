/* /api/fairlead/v1/quotas: how much may be sent through the relay. */
#include "web/flapi_quotas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

/* --- what is shown ---------------------------------------------------------------------------- */

/* What people call the subject; "" when it has gone. */
static const char *
subject_name(struct tailnet *t, const struct quota_rule *r)
{
	const struct node *n;
	const struct user *u;

	if (r->kind == QUOTA_RULE_NODE)
		return (n = map_find(&t->nodes, &r->id)) != NULL ? n->name : "";
	if (r->kind == QUOTA_RULE_USER)
		return (u = map_find(&t->users, &r->id)) != NULL ? u->name : "";
	return r->subject;
}

static void
put_rule(struct tailnet *t, const struct quota_rule *r, const char *name, struct json_writer *w)
{
	char subject[USER_NAME_MAX + 8], rate[QUOTA_RULE_TEXT_MAX];
	bool is_named = r->kind == QUOTA_RULE_NODE || r->kind == QUOTA_RULE_USER;

	snprintf(subject, sizeof(subject), "%s%s%s", is_named ? quota_rule_word(r->kind) : "",
	    is_named ? ":" : "", subject_name(t, r));
	json_w_obj_open(w, name);
	json_w_str(w, "subject", subject);
	json_w_str(w, "kind", quota_rule_word(r->kind));
	json_w_str(w, "name", subject_name(t, r));
	if (is_named)
		flapi_id(w, "id", r->id);
	else
		json_w_null(w, "id");
	json_w_int(w, "bytesPerSecond", r->bytes_per_s);
	json_w_str(w, "rate", quota_rule_rate_put(r->bytes_per_s, rate));
	json_w_str(w, "source", tailnet_quota_find(t, r->subject) != NULL ? "api" : "config");
	json_w_int(w, "nodes", tailnet_quota_nodes(t, r));
	json_w_obj_close(w);
}

void
flapi_put_quota(struct tailnet *t, const char *subject, const char *name, struct json_writer *w)
{
	const struct tailnet_quota *set = tailnet_quota_find(t, subject);

	if (set != NULL)
		put_rule(t, &set->r, name, w);
	else
		json_w_null(w, name);
}

/* The default first, then tags, users and nodes, each by name. */
struct listed {
	const struct quota_rule *r;
	const char *name;
};

static int
list_order(const void *a, const void *b)
{
	static const int place[] = {
		[QUOTA_RULE_DEFAULT] = 0, [QUOTA_RULE_TAG] = 1, [QUOTA_RULE_USER] = 2, [QUOTA_RULE_NODE] = 3,
	};
	const struct listed *x = a, *y = b;
	int d = place[x->r->kind] - place[y->r->kind];

	return d != 0 ? d : strcmp(x->name, y->name);
}

/* Made of the rules and, unless one is set, of what is configured. */
static struct quota_rule
default_rule(const struct tailnet *t)
{
	struct quota_rule r = quota_rule_make(QUOTA_RULE_DEFAULT, 0);

	r.bytes_per_s = tailnet_quota_default(t);
	return r;
}

static void
quotas_list(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	const struct map *rules = &t->quotas->rules;
	struct listed *list = obj_alloc((rules->count + 1) * sizeof(*list));
	struct quota_rule all = default_rule(t);
	const struct tailnet_quota *set;
	struct buf b = { .len = 0 };
	struct json_writer w;
	size_t n = 0;

	list[n++] = (struct listed){ &all, all.subject };
	for (size_t at = 0; (set = map_next(rules, &at)) != NULL;)
		if (set->r.kind != QUOTA_RULE_DEFAULT)
			list[n++] = (struct listed){ &set->r, subject_name(t, &set->r) };
	qsort(list, n, sizeof(*list), list_order);
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_arr_open(&w, "quotas");
	for (size_t i = 0; i < n; i++)
		put_rule(t, list[i].r, NULL, &w);
	json_w_arr_close(&w);
	json_w_obj_close(&w);
	free(list);
	http_reply_json_take(q, 200, &b);
}

/* --- changes ---------------------------------------------------------------------------------- */

/* false: answered. */
static bool
subject_take(struct http_req *q, struct quota_rule *r)
{
	struct err_text why;
	enum err rc = tailnet_quota_resolve(flapi_tailnet(q), q->params[0], r, &why);

	if (rc != ERR_OK)
		http_reply_err(q, rc, &why);
	return rc == ERR_OK;
}

static void
reply_rule(struct http_req *q, const struct quota_rule *r)
{
	struct buf b = { .len = 0 };
	struct json_writer w;

	json_w_init(&w, &b);
	put_rule(flapi_tailnet(q), r, NULL, &w);
	http_reply_json_take(q, 200, &b);
}

static void
on_changed(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	struct quota_rule r;

	if (res->rc != ERR_OK) {
		http_reply_err(q, res->rc, &res->why);
		return;
	}
	if (!subject_take(q, &r))
		return;
	if (r.kind == QUOTA_RULE_DEFAULT)
		r = default_rule(flapi_tailnet(q));
	reply_rule(q, &r);
}

/* {"bytesPerSecond": 1000000} or {"rate": "1MB/s"}. false: answered 400. */
static bool
rate_take(struct http_req *q, int64_t *bytes_per_s)
{
	static const struct flapi_member members[] = {
		{ "bytesPerSecond", FLAPI_INT }, { "rate", FLAPI_TEXT },
	};
	const char *rate = json_get_str(q->json, "rate", NULL);
	struct err_text why;

	if (!flapi_body_is(q, members, COUNT_OF(members)))
		return false;
	*bytes_per_s = json_get_int(q->json, "bytesPerSecond", -1);
	if ((rate == NULL) == (*bytes_per_s < 0)) {
		http_reply_error(q, 400, "a quota is either bytesPerSecond, a number, or rate, such as "
		    "\"10MB/s\"");
		return false;
	}
	if (rate == NULL || quota_rule_rate_parse(rate, bytes_per_s, &why) == ERR_OK)
		return true;
	http_reply_error(q, 400, "%s", why.s);
	return false;
}

static void
quotas_put(struct http_req *q)
{
	struct quota_rule r;
	int64_t bytes_per_s;

	if (!rate_take(q, &bytes_per_s) || !subject_take(q, &r))
		return;
	r.bytes_per_s = bytes_per_s;
	tailnet_quota_set(flapi_tailnet(q), &q->who.actor, &r, on_changed, q);
}

static void
quotas_delete(struct http_req *q)
{
	struct quota_rule r;

	if (subject_take(q, &r))
		tailnet_quota_unset(flapi_tailnet(q), &q->who.actor, &r, on_changed, q);
}

#define READ	HTTP_NEED(HTTP_READ, SCOPE_NETWORKING)
#define WRITE	HTTP_NEED(HTTP_WRITE, SCOPE_NETWORKING)

static const struct http_route routes[] = {
	{ "GET", FLAPI "/quotas", READ, false, quotas_list },
	{ "PUT", FLAPI "/quotas/{subject}", WRITE, true, quotas_put },
	{ "DELETE", FLAPI "/quotas/{subject}", WRITE, false, quotas_delete },
};

void
flapi_quotas_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}
