/* /api/fairlead/v1/audit: who changed what, newest first. */
#include <string.h>

#include "base/decimal.h"
#include "web/flapi.h"

#define LIMIT_DFLT 100

struct page {
	struct json_writer w;
	unsigned n;
	int64_t last_id;
};

static void
json_or_null(struct json_writer *w, const char *name, const char *text)
{
	if (text != NULL)
		json_w_raw(w, name, text, strlen(text));
	else
		json_w_null(w, name);
}

static void
record_put(void *arg, const struct audit_record *r)
{
	struct page *p = arg;
	struct json_writer *w = &p->w;

	json_w_obj_open(w, NULL);
	flapi_id(w, "id", r->id);
	json_w_time(w, "at", r->at_unix_s);
	json_w_str(w, "actor", r->actor);
	json_w_str(w, "source", r->source);
	json_w_str(w, "what", r->what);
	json_w_str(w, "object", r->object);
	json_or_null(w, "before", r->before);
	json_or_null(w, "after", r->after);
	json_w_obj_close(w);
	p->n++;
	p->last_id = r->id;
}

static const char *
text_or_null(const struct form *f, const char *name)
{
	const char *text = form_get(f, name);

	return text != NULL && *text != 0 ? text : NULL;
}

static void
audit_get(struct http_req *q)
{
	struct form f;
	struct buf b = { .len = 0 };
	struct page p = { .n = 0 };
	struct err_text why = { "" };
	int64_t before = 0, limit = LIMIT_DFLT;

	if (!http_query(q, &f))
		return;
	if (!http_query_number(q, &f, &(struct http_number){ "before", 1, DECIMAL_MAX }, &before) ||
	    !http_query_number(q, &f, &(struct http_number){ "limit", 1, AUDIT_READ_MAX }, &limit))
		goto out;
	struct audit_query query = {
		.before = before, .limit = (unsigned)limit, .actor = text_or_null(&f, "actor"),
		.object = text_or_null(&f, "object"),
	};
	json_w_init(&p.w, &b);
	json_w_obj_open(&p.w, NULL);
	json_w_arr_open(&p.w, "records");
	enum err rc = audit_read(coord_audit(q->coord), &query, record_put, &p, &why);
	json_w_arr_close(&p.w);
	if (p.n == query.limit)
		flapi_id(&p.w, "next", p.last_id);
	else
		json_w_null(&p.w, "next");
	json_w_obj_close(&p.w);
	if (rc == ERR_OK)
		http_reply_json_take(q, 200, &b);
	else
		http_reply_err(q, rc, &why);
	buf_fini(&b);
out:
	form_fini(&f);
}

const struct http_route flapi_audit_routes[] = {
	{ "GET", FLAPI "/audit", HTTP_NEED(HTTP_READ, SCOPE_LOGS_CONFIG), false, audit_get },
};
const size_t flapi_audit_routes_count = COUNT_OF(flapi_audit_routes);
