/* Texts, faults and long work around policies. */
#include "web/policy_reply.h"

#include <stdio.h>
#include <string.h>

void
policy_reply_put_errors(struct json_writer *w, const char *name, const struct policy_errors *e)
{
	json_w_arr_open(w, name);
	for (unsigned i = 0; i < e->n; i++) {
		json_w_obj_open(w, NULL);
		if (e->v[i].line > 0) {
			json_w_int(w, "line", e->v[i].line);
			json_w_int(w, "column", e->v[i].column);
		}
		json_w_str(w, "text", e->v[i].text);
		json_w_obj_close(w);
	}
	json_w_arr_close(w);
}

void
policy_reply_put_first(struct buf *b, const struct policy_errors *e)
{
	const struct policy_errors first = { .v = e->v, .n = e->n > 0 };

	policy_errors_put(b, &first);
}

void
policy_reply_put_text(struct buf *b, const struct tailnet *t)
{
	if (t->policy != NULL)
		buf_append(b, t->policy->text, t->policy->text_bytes);
	else
		buf_str(b, POLICY_REPLY_DEFAULT);
}

char *
policy_reply_etag(const struct tailnet *t, char out[POLICY_REPLY_ETAG_MAX])
{
	snprintf(out, POLICY_REPLY_ETAG_MAX, "\"%s\"",
	    t->policy != NULL ? t->policies->now.hash : POLICY_HASH_DEFAULT);
	return out;
}

/* --- long work -------------------------------------------------------------------------------- */

static void
ask_free(struct policy_ask *a)
{
	policy_verdict_fini(&a->verdict);
	buf_fini(&a->out);
	free(a->text);
	free(a->from);
	free(a->to);
	free(a);
}

static void
on_work(struct tailnet_task *k)
{
	struct policy_ask *a = CONTAINER_OF(k, struct policy_ask, task);

	a->work(a);
}

static void
on_done(struct tailnet_task *k, enum err rc)
{
	struct policy_ask *a = CONTAINER_OF(k, struct policy_ask, task);

	if (rc != ERR_OK)
		http_reply_err(a->q, rc, NULL);
	else if (a->rc != ERR_OK)
		http_reply_err(a->q, a->rc, &a->why);
	else
		a->answer(a);
	ask_free(a);
}

struct policy_ask *
policy_reply_ask_new(struct http_req *q, policy_ask_fn *work, policy_ask_fn *answer)
{
	struct policy_ask *a = obj_alloc(sizeof(*a));

	a->q = q;
	a->task.t = flapi_tailnet(q);
	a->task.work = on_work;
	a->task.done = on_done;
	a->work = work;
	a->answer = answer;
	return a;
}

void
policy_reply_ask_text(struct policy_ask *a, const char *text, size_t n)
{
	a->text = obj_alloc(n + 1);
	if (n > 0)
		memcpy(a->text, text, n);
	a->n_bytes = n;
}

void
policy_reply_ask_start(struct policy_ask *a)
{
	tailnet_task_start(&a->task);
}

struct policy *
policy_reply_ask_policy(struct policy_ask *a)
{
	struct policy *p = NULL;

	if (a->text == NULL && a->task.policy != NULL)
		return policy_hold(a->task.policy);
	a->verdict.rc = policy_parse(a->text != NULL ? a->text : "", a->n_bytes, &p, &a->verdict.errors);
	return p;
}
