/* The policy: read, saved, taken back; its versions. */
#include "web/flapi_policy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "web/flapi.h"
#include "web/policy_reply.h"

#define LIMIT_DFLT 100

/* --- reading ---------------------------------------------------------------------------------- */

/* Members of what is in force. */
static void
put_now(struct json_writer *w, const struct tailnet *t)
{
	const struct tailnet_policy *s = t->policies;
	const char *problem = tailnet_policy_problem(t);

	json_w_int(w, "version", s->now.version);
	json_w_bool(w, "isSet", t->policy != NULL);
	json_w_str(w, "author", s->now.author);
	json_w_str(w, "comment", s->now.comment);
	flapi_time(w, "made", s->now.made_unix_s);
	flapi_time(w, "confirmBy", s->now.confirm_by_unix_s);
	json_w_int(w, "newestVersion", s->newest);
	json_w_str(w, "file", t->deps.cfg->policy.path != NULL ? t->deps.cfg->policy.path : "");
	if (problem != NULL)
		json_w_str(w, "problem", problem);
	else
		json_w_null(w, "problem");
}

static void
policy_get(struct http_req *q)
{
	const struct tailnet *t = flapi_tailnet(q);
	struct buf b = { .len = 0 }, text = { .len = 0 };
	struct json_writer w;

	policy_reply_put_text(&text, t);
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	put_now(&w, t);
	json_w_strn(&w, "text", (const char *)text.p, text.len);
	json_w_obj_close(&w);
	buf_fini(&text);
	http_reply_json_take(q, 200, &b);
}

static void
put_version(void *arg, const struct policies_record *v)
{
	struct json_writer *w = arg;

	json_w_obj_open(w, NULL);
	json_w_int(w, "version", v->version);
	json_w_str(w, "author", v->author);
	json_w_str(w, "comment", v->comment);
	json_w_time(w, "made", v->made_unix_s);
	flapi_time(w, "confirmBy", v->confirm_by_unix_s);
	json_w_int(w, "bytes", (int64_t)v->n_bytes);
	json_w_obj_close(w);
}

static void
versions_get(struct http_req *q)
{
	int64_t before = 0, limit = LIMIT_DFLT;
	struct buf b = { .len = 0 };
	struct err_text why = { "" };
	struct json_writer w;
	struct form f;

	if (!http_query(q, &f))
		return;
	bool is_ok = http_query_number(q, &f, &(struct http_number){ "before", 0, DECIMAL_MAX }, &before) &&
	    http_query_number(q, &f, &(struct http_number){ "limit", 0, DECIMAL_MAX }, &limit);
	form_fini(&f);
	if (!is_ok)
		return;
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_int(&w, "inForce", flapi_tailnet(q)->policies->now.version);
	json_w_arr_open(&w, "versions");
	enum err rc = policies_read(coord_policies(q->coord), before,
	    limit > POLICIES_READ_MAX ? POLICIES_READ_MAX : (unsigned)limit, put_version, &w, &why);
	json_w_arr_close(&w);
	json_w_obj_close(&w);
	if (rc == ERR_OK)
		http_reply_json_take(q, 200, &b);
	else
		http_reply_err(q, rc, &why);
	buf_fini(&b);
}

static void
version_get(struct http_req *q)
{
	const char *which = q->params[0];
	struct buf b = { .len = 0 }, text = { .len = 0 };
	struct err_text why = { "" };
	struct json_writer w;
	int64_t version = decimal_parse(which);
	enum err rc = version < 0 ? err_say(&why, ERR_NOTFOUND, "there is no version \"%.60s\" of the policy: "
	    "`fairlead policy history` lists them", which) :
	    policies_read_text(coord_policies(q->coord), version, &text, &why);

	if (rc == ERR_OK) {
		json_w_init(&w, &b);
		json_w_obj_open(&w, NULL);
		json_w_int(&w, "version", version);
		json_w_strn(&w, "text", (const char *)text.p, text.len);
		json_w_obj_close(&w);
		http_reply_json_take(q, 200, &b);
	} else {
		http_reply_err(q, rc, &why);
	}
	buf_fini(&text);
}

/* --- saving ----------------------------------------------------------------------------------- */

static void
put_verdict(struct json_writer *w, const struct policy_verdict *v)
{
	policy_reply_put_errors(w, "errors", &v->errors);
	policy_reply_put_errors(w, "warnings", &v->warnings);
}

/* {"message", "errors", "warnings", "status"} */
static void
reply_faults(struct http_req *q, const struct policy_verdict *v)
{
	struct buf b = { .len = 0 }, first = { .len = 0 };
	struct json_writer w;

	policy_reply_put_first(&first, &v->errors);
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_strn(&w, "message", (const char *)first.p, first.len);
	put_verdict(&w, v);
	json_w_int(&w, "leftOff", v->errors.n_left_off);
	json_w_int(&w, "status", 400);
	json_w_obj_close(&w);
	buf_fini(&first);
	http_reply_json_take(q, 400, &b);
}

/* policy_save_fn */
static void
on_saved(void *arg, const struct policy_outcome *o)
{
	struct http_req *q = arg;
	struct buf b = { .len = 0 };
	struct json_writer w;

	if (o->rc != ERR_OK && o->verdict != NULL && o->verdict->rc != ERR_OK) {
		reply_faults(q, o->verdict);
		return;
	}
	if (o->rc != ERR_OK) {
		http_reply_err(q, o->rc, &o->why);
		return;
	}
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	put_now(&w, flapi_tailnet(q));
	json_w_bool(&w, "isUnchanged", o->is_unchanged);
	policy_reply_put_errors(&w, "warnings", &o->verdict->warnings);
	json_w_obj_close(&w);
	http_reply_json_take(q, 200, &b);
}

/* What both ways of saving take from the body. false: answered. */
static bool
wish_take(struct http_req *q, const char *what, struct policy_wish *wish)
{
	*wish = (struct policy_wish){
		.what = what, .comment = json_get_str(q->json, "comment", NULL),
		.if_version = json_get_int(q->json, "ifVersion", -1),
		.confirm_within_s = json_get_int(q->json, "confirmWithinSeconds", 0),
	};
	if (wish->comment == NULL || strlen(wish->comment) < POLICY_COMMENT_MAX)
		return true;
	http_reply_error(q, 400, "a comment has at most %d bytes", POLICY_COMMENT_MAX - 1);
	return false;
}

static void
policy_put(struct http_req *q)
{
	static const struct flapi_member members[] = {
		{ "text", FLAPI_TEXT }, { "comment", FLAPI_TEXT }, { "ifVersion", FLAPI_INT },
		{ "confirmWithinSeconds", FLAPI_INT },
	};
	struct policy_wish wish;

	if (!flapi_body_is(q, members, COUNT_OF(members)) || !wish_take(q, "policy.set", &wish))
		return;
	wish.text = json_get_str(q->json, "text", NULL);
	if (wish.text == NULL) {
		http_reply_error(q, 400, "text, the policy, is missing; \"\" is none");
		return;
	}
	wish.n_bytes = json_string_length(json_object_get(q->json, "text"));
	if (wish.n_bytes == 0)
		wish.what = "policy.reset";
	tailnet_policy_save(flapi_tailnet(q), &q->who.actor, &wish, on_saved, q);
}

static void
policy_rollback(struct http_req *q)
{
	static const struct flapi_member members[] = {
		{ "version", FLAPI_INT }, { "comment", FLAPI_TEXT }, { "ifVersion", FLAPI_INT },
		{ "confirmWithinSeconds", FLAPI_INT },
	};
	int64_t version = json_get_int(q->json, "version", -1);
	struct buf text = { .len = 0 };
	struct policy_wish wish;
	struct err_text why = { "" };
	char comment[64];
	enum err rc;

	if (!flapi_body_is(q, members, COUNT_OF(members)) || !wish_take(q, "policy.rollback", &wish))
		return;
	if (version < 0) {
		http_reply_error(q, 400, "version, the one to go back to, is missing");
		return;
	}
	if ((rc = policies_read_text(coord_policies(q->coord), version, &text, &why)) != ERR_OK) {
		http_reply_err(q, rc, &why);
		return;
	}
	snprintf(comment, sizeof(comment), "back to version %" PRId64, version);
	if (wish.comment == NULL)
		wish.comment = comment;
	wish.text = (const char *)text.p;
	wish.n_bytes = text.len;
	tailnet_policy_save(flapi_tailnet(q), &q->who.actor, &wish, on_saved, q);
	buf_fini(&text);
}

/* tailnet_done_fn */
static void
on_confirmed(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		policy_get(q);
}

static void
policy_confirm(struct http_req *q)
{
	static const struct flapi_member members[] = { { "version", FLAPI_INT } };
	struct tailnet *t = flapi_tailnet(q);

	if (flapi_body_is(q, members, COUNT_OF(members)))
		tailnet_policy_confirm(t, &q->who.actor,
		    json_get_int(q->json, "version", t->policies->now.version), on_confirmed, q);
}

/* --- asking ----------------------------------------------------------------------------------- */

/* An ask about the body's text, or, without one, about the policy in force. */
static struct policy_ask *
ask_take(struct http_req *q, policy_ask_fn *work, policy_ask_fn *answer)
{
	const json_t *text = json_object_get(q->json, "text");
	struct policy_ask *a = policy_reply_ask_new(q, work, answer);

	if (text != NULL)
		policy_reply_ask_text(a, json_string_value(text), json_string_length(text));
	return a;
}

static void
check_work(struct policy_ask *a)
{
	const struct policy *p = a->task.policy;

	if (a->text != NULL)
		policy_check(a->text, a->n_bytes, a->task.snapshot, &a->verdict);
	else
		policy_check(p != NULL ? p->text : "", p != NULL ? p->text_bytes : 0, a->task.snapshot,
		    &a->verdict);
}

/* 200 in any case: whether it is good is what was asked. */
static void
check_answer(struct policy_ask *a)
{
	const struct policy *p = a->verdict.policy;
	struct json_writer w;

	json_w_init(&w, &a->out);
	json_w_obj_open(&w, NULL);
	json_w_bool(&w, "ok", a->verdict.rc == ERR_OK);
	json_w_bool(&w, "isTestFailure", a->verdict.is_test_failure);
	json_w_int(&w, "tests", p != NULL ? (int64_t)p->n_tests + p->n_ssh_tests : 0);
	put_verdict(&w, &a->verdict);
	json_w_int(&w, "leftOff", a->verdict.errors.n_left_off);
	json_w_obj_close(&w);
	http_reply_json_take(a->q, 200, &a->out);
}

static void
policy_check_post(struct http_req *q)
{
	static const struct flapi_member members[] = { { "text", FLAPI_TEXT } };

	if (flapi_body_is(q, members, COUNT_OF(members)))
		policy_reply_ask_start(ask_take(q, check_work, check_answer));
}

/* Of what put appended to the first buf an object is made, with lines for people beside it. */
static void
put_answer(struct buf *out, const char *name, struct buf *json, struct buf *text)
{
	struct json_writer w;

	json_w_init(&w, out);
	json_w_obj_open(&w, NULL);
	json_w_raw(&w, name, json->p, json->len);
	json_w_strn(&w, "text", (const char *)text->p, text->len);
	json_w_obj_close(&w);
	buf_fini(json);
	buf_fini(text);
}

static void
plan_work(struct policy_ask *a)
{
	struct policy *next = policy_reply_ask_policy(a), *now = NULL;
	struct policy_errors none = { .n = 0 };
	struct buf json = { .len = 0 }, text = { .len = 0 };

	if (next == NULL)
		return;
	if (a->task.policy != NULL)
		now = policy_hold(a->task.policy);
	else
		ASSERT(policy_parse("", 0, &now, &none) == ERR_OK);
	struct policy_world *before = policy_snapshot_world(a->task.snapshot, now);
	struct policy_world *after = policy_snapshot_world(a->task.snapshot, next);
	struct policy_plan *plan = policy_plan_new(before, after, policy_snapshot_name, a->task.snapshot);
	policy_plan_put_json(&json, plan);
	policy_plan_put_text(&text, plan);
	put_answer(&a->out, "plan", &json, &text);
	policy_plan_free(plan);
	policy_world_free(before);
	policy_world_free(after);
	policy_drop(now);
	policy_drop(next);
}

static void
asked_answer(struct policy_ask *a)
{
	if (a->verdict.rc == ERR_OK)
		http_reply_json_take(a->q, 200, &a->out);
	else
		reply_faults(a->q, &a->verdict);
}

static void
policy_plan_post(struct http_req *q)
{
	static const struct flapi_member members[] = { { "text", FLAPI_TEXT } };

	if (flapi_body_is(q, members, COUNT_OF(members)))
		policy_reply_ask_start(ask_take(q, plan_work, asked_answer));
}

/* A node or an address. */
static enum err
end_find(const struct policy_snapshot *s, const char *text, int64_t *node, struct net_ip *ip,
	struct err_text *why)
{
	const struct policy_snapshot_node *n;

	/* The other address of a node would be another question. */
	if (net_ip_parse(text, strlen(text), ip) == ERR_OK)
		return ERR_OK;
	if ((n = policy_snapshot_named(s, text)) != NULL)
		*node = n->n.id;
	else
		return err_say(why, ERR_NOTFOUND, "there is no node \"%.100s\", and it is no address: "
		    "`fairlead nodes list` shows them", text);
	return ERR_OK;
}

static void
explain_work(struct policy_ask *a)
{
	const struct policy_snapshot *s = a->task.snapshot;
	struct policy_explain_facts facts = policy_snapshot_facts(s);
	struct policy_explain_ask ask = { .src_node = 0 };
	struct buf json = { .len = 0 }, text = { .len = 0 };
	struct policy_explain *e = NULL;
	struct policy *p = NULL;
	char host[256];

	if ((a->rc = policy_explain_parse(a->to, host, &ask, &a->why)) != ERR_OK ||
	    (a->rc = end_find(s, a->from, &ask.src_node, &ask.src_ip, &a->why)) != ERR_OK ||
	    (a->rc = end_find(s, host, &ask.dst_node, &ask.dst_ip, &a->why)) != ERR_OK ||
	    (p = policy_reply_ask_policy(a)) == NULL)
		return;
	struct policy_world *w = policy_snapshot_world(s, p);
	a->rc = policy_explain_new(w, &ask, &facts, &e, &a->why);
	if (a->rc == ERR_OK) {
		policy_explain_put_json(&json, e);
		policy_explain_put_text(&text, e);
		put_answer(&a->out, "explanation", &json, &text);
	}
	policy_explain_free(e);
	policy_world_free(w);
	policy_drop(p);
}

static void
policy_explain_post(struct http_req *q)
{
	static const struct flapi_member members[] = {
		{ "text", FLAPI_TEXT }, { "src", FLAPI_TEXT }, { "dst", FLAPI_TEXT },
	};
	struct policy_ask *a;

	if (!flapi_body_is(q, members, COUNT_OF(members)))
		return;
	a = ask_take(q, explain_work, asked_answer);
	a->from = obj_strdup(json_get_str(q->json, "src", ""));
	a->to = obj_strdup(json_get_str(q->json, "dst", ""));
	policy_reply_ask_start(a);
}

#define POLICY	FLAPI "/policy"
#define READ	HTTP_NEED(HTTP_READ, SCOPE_POLICY)
#define WRITE	HTTP_NEED(HTTP_WRITE, SCOPE_POLICY)

static const struct http_route routes[] = {
	{ "GET", POLICY, READ, false, policy_get },
	{ "PUT", POLICY, WRITE | HTTP_LARGE, true, policy_put },
	{ "GET", POLICY "/versions", READ, false, versions_get },
	{ "GET", POLICY "/versions/{n}", READ, false, version_get },
	{ "POST", POLICY "/rollback", WRITE, true, policy_rollback },
	{ "POST", POLICY "/confirm", WRITE, true, policy_confirm },
	{ "POST", POLICY "/check", READ | HTTP_LARGE, true, policy_check_post },
	{ "POST", POLICY "/plan", READ | HTTP_LARGE, true, policy_plan_post },
	{ "POST", POLICY "/explain", READ | HTTP_LARGE, true, policy_explain_post },
};

void
flapi_policy_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}
