/*
 * The policy file by API v2. A text is kept as it was sent; ETag is the SHA-256 of it ("ts-default"
 * while there is none), If-Match guards against lost changes. Faults are {"message": "line 3,
 * column 7: …", "data": […]}.
 */
#include "web/api_policy.h"

#include <openssl/evp.h>
#include <string.h>

#include "web/api.h"
#include "web/policy_reply.h"

#define HUJSON_TYPE "application/hujson"

/* --- answers ---------------------------------------------------------------------------------- */

static void
reply_policy(struct http_req *q, bool is_hujson)
{
	const struct tailnet *t = flapi_tailnet(q);
	struct buf text = { .len = 0 }, plain = { .len = 0 };
	char etag[POLICY_REPLY_ETAG_MAX];

	http_add_field(q, "ETag", policy_reply_etag(t, etag));
	policy_reply_put_text(&text, t);
	if (is_hujson) {
		http_reply_bytes_take(q, 200, HUJSON_TYPE, &text);
		return;
	}
	hujson_plain_put(&plain, (const char *)text.p, text.len);
	buf_fini(&text);
	http_reply_bytes_take(q, 200, "application/json", &plain);
}

/* Faults by whom they are about: of a test "src -> dst: …", its source. */
static void
put_data(struct json_writer *w, const struct policy_verdict *v)
{
	struct buf text = { .len = 0 };

	json_w_arr_open(w, "data");
	for (unsigned i = v->is_test_failure ? 1 : 0; i < v->errors.n; i++) {
		const char *arrow = v->is_test_failure ? strstr(v->errors.v[i].text, " -> ") : NULL;
		const struct policy_errors one = { .v = &v->errors.v[i], .n = 1 };

		buf_clear(&text);
		policy_errors_put(&text, &one);
		json_w_obj_open(w, NULL);
		json_w_strn(w, "user", v->errors.v[i].text,
		    arrow != NULL ? (size_t)(arrow - v->errors.v[i].text) : 0);
		json_w_arr_open(w, "errors");
		json_w_strn(w, NULL, (const char *)text.p, text.len);
		json_w_arr_close(w);
		json_w_arr_open(w, "warnings");
		json_w_arr_close(w);
		json_w_obj_close(w);
	}
	json_w_arr_close(w);
	buf_fini(&text);
}

/* The verdict is none of ERR_OK. */
static void
reply_faults(struct http_req *q, int status, const struct policy_verdict *v)
{
	struct buf b = { .len = 0 }, first = { .len = 0 };
	struct json_writer w;

	policy_reply_put_first(&first, &v->errors);
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_strn(&w, "message", (const char *)first.p, first.len);
	put_data(&w, v);
	if (status != 200)
		json_w_int(&w, "status", status);
	json_w_obj_close(&w);
	buf_fini(&first);
	http_reply_json_take(q, status, &b);
}

static bool
wants_hujson(const struct http_req *q)
{
	const char *accept = http_field(q, "Accept");

	return accept != NULL && strstr(accept, HUJSON_TYPE) != NULL;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void
put_base64(struct json_writer *w, const char *name, const struct buf *text)
{
	struct buf b = { .len = 0 };
	int n = EVP_EncodeBlock(buf_reserve(&b, (text->len + 2) / 3 * 4 + 1), text->p, (int)text->len);

	json_w_strn(w, name, (const char *)b.p, (size_t)n);
	buf_fini(&b);
}

static void
put_lines(struct json_writer *w, const char *name, const struct policy_errors *e)
{
	struct buf text = { .len = 0 };

	json_w_arr_open(w, name);
	for (unsigned i = 0; i < e->n; i++) {
		const struct policy_errors one = { .v = &e->v[i], .n = 1 };

		buf_clear(&text);
		policy_errors_put(&text, &one);
		json_w_strn(w, NULL, (const char *)text.p, text.len);
	}
	json_w_arr_close(w);
	buf_fini(&text);
}

/* policy_save_fn: the policy in force was looked at again. */
static void
on_details(void *arg, const struct policy_outcome *o)
{
	struct http_req *q = arg;
	const struct tailnet *t = flapi_tailnet(q);
	struct buf b = { .len = 0 }, text = { .len = 0 };
	char etag[POLICY_REPLY_ETAG_MAX];
	struct json_writer w;

	if (o->rc != ERR_OK && o->rc != ERR_INVAL) {
		http_reply_err(q, o->rc, &o->why);
		return;
	}
	policy_reply_put_text(&text, t);
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	put_base64(&w, "acl", &text);
	put_lines(&w, "warnings", &o->verdict->warnings);
	put_lines(&w, "errors", &o->verdict->errors);
	json_w_obj_close(&w);
	buf_fini(&text);
	http_add_field(q, "ETag", policy_reply_etag(t, etag));
	http_reply_json_take(q, 200, &b);
}

static void
acl_get(struct http_req *q)
{
	const struct tailnet *t = api_tailnet(q);
	const char *details;
	struct form f;

	if (t == NULL || !http_query(q, &f))
		return;
	details = form_get(&f, "details");
	bool is_detailed = details != NULL && (strcmp(details, "1") == 0 || strcmp(details, "true") == 0);
	form_fini(&f);
	if (!is_detailed) {
		reply_policy(q, wants_hujson(q));
		return;
	}
	struct policy_wish wish = { .if_version = -1 };
	if (t->policy != NULL) {
		wish.text = t->policy->text;
		wish.n_bytes = t->policy->text_bytes;
	}
	tailnet_policy_save(flapi_tailnet(q), &q->who.actor, &wish, on_details, q);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void
reply_saved(struct http_req *q, const struct policy_outcome *o, bool is_hujson)
{
	if (o->rc == ERR_OK)
		reply_policy(q, is_hujson);
	else if (o->rc == ERR_EXISTS)
		http_reply_error(q, 412, "precondition failed, invalid old hash");
	else if (o->verdict != NULL && o->verdict->rc != ERR_OK)
		reply_faults(q, 400, o->verdict);
	else
		http_reply_err(q, o->rc, &o->why);
}

/* The fields of a request go with its first wait, so there is a function for each form of the
 * answer. */
static void
on_saved_plain(void *arg, const struct policy_outcome *o)
{
	reply_saved(arg, o, false);
}

static void
on_saved_hujson(void *arg, const struct policy_outcome *o)
{
	reply_saved(arg, o, true);
}

/* If-Match, quoted or not, into out; "": any. */
static void
take_if_match(const struct http_req *q, char out[POLICY_HASH_CHARS + 1])
{
	const char *v = http_field(q, "If-Match");
	size_t n = v != NULL ? strlen(v) : 0;

	out[0] = '\0';
	if (n >= 2 && v[0] == '"' && v[n - 1] == '"') {
		v++;
		n -= 2;
	}
	if (n == 0 || (n == 1 && *v == '*'))
		return;
	if (n > POLICY_HASH_CHARS) {	/* no hash of ours */
		v = "?";
		n = 1;
	}
	memcpy(out, v, n);
	out[n] = '\0';
}

static void
acl_post(struct http_req *q)
{
	char hash[POLICY_HASH_CHARS + 1];
	struct policy_wish wish = { .what = "policy.set", .if_version = -1, .if_hash = hash };

	if (api_tailnet(q) == NULL)
		return;
	take_if_match(q, hash);
	wish.text = http_body(q, &wish.n_bytes);
	if (wish.n_bytes == 0)
		wish.what = "policy.reset";
	tailnet_policy_save(flapi_tailnet(q), &q->who.actor, &wish,
	    wants_hujson(q) ? on_saved_hujson : on_saved_plain, q);
}

/* --- asking ----------------------------------------------------------------------------------- */

static bool
is_list(const char *text, size_t n)
{
	struct buf plain = { .len = 0 };
	size_t i = 0;

	hujson_plain_put(&plain, text, n);
	while (i < n && strchr(" \t\r\n", plain.p[i]) != NULL)
		i++;
	bool is = i < n && plain.p[i] == '[';
	buf_fini(&plain);
	return is;
}

static void
validate_work(struct policy_ask *a)
{
	if (is_list(a->text, a->n_bytes))
		policy_check_tests(a->task.policy, a->text, a->n_bytes, a->task.snapshot, &a->verdict);
	else
		policy_check(a->text, a->n_bytes, a->task.snapshot, &a->verdict);
}

/* 200 in any case: clients look at the message. */
static void
validate_answer(struct policy_ask *a)
{
	if (a->verdict.rc == ERR_OK)
		flapi_reply_empty(a->q);
	else
		reply_faults(a->q, 200, &a->verdict);
}

static void
acl_validate(struct http_req *q)
{
	struct policy_ask *a;
	const char *text;
	size_t n;

	if (api_tailnet(q) == NULL)
		return;
	text = http_body(q, &n);
	a = policy_reply_ask_new(q, validate_work, validate_answer);
	policy_reply_ask_text(a, text, n);
	policy_reply_ask_start(a);
}

static void
preview_work(struct policy_ask *a)
{
	struct policy_preview p;
	struct policy *policy;
	struct json_writer w;
	struct buf matches = { .len = 0 };

	a->rc = policy_preview_parse(a->from, a->to, &p, &a->why);
	if (a->rc != ERR_OK || (policy = policy_reply_ask_policy(a)) == NULL)
		return;
	struct policy_world *world = policy_snapshot_world(a->task.snapshot, policy);
	policy_preview_put(&matches, world, &p);
	policy_world_free(world);
	json_w_init(&w, &a->out);
	json_w_obj_open(&w, NULL);
	json_w_raw(&w, "matches", matches.p, matches.len);
	json_w_str(&w, "type", a->from);
	json_w_str(&w, "previewFor", a->to);
	json_w_obj_open(&w, "postures");
	json_w_obj_close(&w);
	json_w_obj_close(&w);
	buf_fini(&matches);
	policy_drop(policy);
}

static void
preview_answer(struct policy_ask *a)
{
	if (a->verdict.rc == ERR_OK)
		http_reply_json_take(a->q, 200, &a->out);
	else
		reply_faults(a->q, 400, &a->verdict);
}

static void
acl_preview(struct http_req *q)
{
	struct policy_ask *a;
	const char *text, *type, *what;
	struct form f;
	size_t n;

	if (api_tailnet(q) == NULL || !http_query(q, &f))
		return;
	text = http_body(q, &n);
	type = form_get(&f, "type");
	what = form_get(&f, "previewFor");
	a = policy_reply_ask_new(q, preview_work, preview_answer);
	a->from = obj_strdup(type != NULL ? type : "");
	a->to = obj_strdup(what != NULL ? what : "");
	form_fini(&f);
	if (n > 0)
		policy_reply_ask_text(a, text, n);
	policy_reply_ask_start(a);
}

#define ACL	API2 "/tailnet/{t}/acl"
#define READ	HTTP_NEED(HTTP_READ, SCOPE_POLICY)
#define WRITE	HTTP_NEED(HTTP_WRITE, SCOPE_POLICY)

static const struct http_route routes[] = {
	{ "GET", ACL, READ, false, acl_get },
	{ "POST", ACL, WRITE | HTTP_LARGE, false, acl_post },
	{ "POST", ACL "/validate", READ | HTTP_LARGE, false, acl_validate },
	{ "POST", ACL "/preview", READ | HTTP_LARGE, false, acl_preview },
};

void
api_policy_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}
