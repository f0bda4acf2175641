/* Answers. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/decimal.h"
#include "web/http_private.h"

#define LIST_STEP_BYTES	(16u << 10)	/* made at a time; an element may pass it */

void
http_req_free(struct http_req *q)
{
	if (q->_response != NULL)
		MHD_destroy_response(q->_response);
	json_decref(q->json);
	buf_fini(&q->_body);
	free(q->target);
	for (unsigned i = 0; i < q->_n_fields; i++) {
		explicit_bzero(q->_fields[i].value, strlen(q->_fields[i].value));
		free(q->_fields[i].value);
	}
	q->magic = 0;
	free(q);
}

/* For everything: nothing is kept by caches, guessed at, framed, or told on. */
static void
add_common(struct MHD_Response *r, const char *type)
{
	static const char *const fields[][2] = {
		{ "X-Content-Type-Options", "nosniff" }, { "Cache-Control", "no-store" },
		{ "Referrer-Policy", "no-referrer" }, { "X-Frame-Options", "DENY" },
		{ "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'" },
	};

	for (size_t i = 0; i < COUNT_OF(fields); i++)
		(void)MHD_add_response_header(r, fields[i][0], fields[i][1]);
	(void)MHD_add_response_header(r, "Content-Type", type);
}

void
http_answer_take(struct http_req *q, int status, struct MHD_Response *r, const char *type)
{
	OBJ_CHECK(q, HTTP_REQ_MAGIC);
	ASSERT(q->_stage != HTTP_ANSWERED && r != NULL);
	add_common(r, type);
	http_answer_raw_take(q, status, r);
}

void
http_answer_raw_take(struct http_req *q, int status, struct MHD_Response *r)
{
	OBJ_CHECK(q, HTTP_REQ_MAGIC);
	ASSERT(q->_stage != HTTP_ANSWERED && r != NULL);
	for (unsigned i = 0; i < q->_n_fields; i++)
		(void)MHD_add_response_header(r, q->_fields[i].name, q->_fields[i].value);
	if (status == 401)
		(void)MHD_add_response_header(r, "WWW-Authenticate", "Bearer");
	if (status == 503)
		(void)MHD_add_response_header(r, "Retry-After", "1");
	q->_response = r;
	q->_status = status;
	bool was_waiting = q->_stage == HTTP_WAITING;
	q->_stage = HTTP_ANSWERED;
	if (q->_conn == NULL)
		http_req_free(q);
	else if (was_waiting)
		http_resume(q);
}

void
http_reply_json_take(struct http_req *q, int status, struct buf *body)
{
	struct buf b = *body;

	*body = (struct buf){ .len = 0 };
	buf_byte(&b, '\n');
	http_answer_take(q, status, MHD_create_response_from_buffer(b.len, b.p, MHD_RESPMEM_MUST_FREE),
	    "application/json");
}

void
http_reply_bytes_take(struct http_req *q, int status, const char *type, struct buf *body)
{
	struct buf b = *body;

	*body = (struct buf){ .len = 0 };
	http_answer_take(q, status, MHD_create_response_from_buffer(b.len, b.p, MHD_RESPMEM_MUST_FREE), type);
}

void
http_reply_text(struct http_req *q, int status, const char *type, const char *text)
{
	http_answer_take(q, status, MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
	    MHD_RESPMEM_PERSISTENT), type);
}

void
http_reply_error(struct http_req *q, int status, const char *fmt, ...)
{
	struct err_text text;
	struct buf b = { .len = 0 };
	struct json_writer w;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text.s, sizeof(text.s), fmt, ap);
	va_end(ap);
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_str(&w, "message", text.s);
	json_w_int(&w, "status", status);
	json_w_obj_close(&w);
	http_reply_json_take(q, status, &b);
}

void
http_reply_err(struct http_req *q, enum err rc, const struct err_text *why)
{
	static const int statuses[ERR_COUNT] = {
		[ERR_INVAL] = 400, [ERR_PROTO] = 400, [ERR_LIMIT] = 400, [ERR_DENIED] = 403,
		    [ERR_NOTFOUND] = 404,
		[ERR_EXISTS] = 409, [ERR_AGAIN] = 503, [ERR_BUSY] = 503, [ERR_FULL] = 503, [ERR_IO] = 503,
		[ERR_CLOSED] = 503, [ERR_NOMEM] = 503, [ERR_UNSUPPORTED] = 501,
	};
	int status = statuses[rc] != 0 ? statuses[rc] : 500;

	http_reply_error(q, status, "%s", why != NULL && why->s[0] != 0 ? why->s : err_str(rc));
}

void
http_add_field(struct http_req *q, const char *name, const char *value)
{
	ASSERT(q->_n_fields < HTTP_FIELDS_MAX);
	q->_fields[q->_n_fields].name = name;
	q->_fields[q->_n_fields++].value = obj_strdup(value);
}

bool
http_query(struct http_req *q, struct form *out)
{
	const char *at = strchr(q->target, '?');
	enum err rc = form_parse(at != NULL ? at + 1 : "", at != NULL ? strlen(at + 1) : 0, out);

	if (rc != ERR_OK)
		http_reply_error(q, 400, "the query is not well encoded, or has more than %d parts",
		    FORM_PAIRS_MAX);
	return rc == ERR_OK;
}

bool
http_query_number(struct http_req *q, const struct form *f, const struct http_number *what, int64_t *out)
{
	const char *text = form_get(f, what->name);
	int64_t v;

	if (text == NULL || *text == '\0')
		return true;
	v = decimal_parse(text);
	if (v < what->min || v > what->max) {
		http_reply_error(q, 400, "%s must be a whole number from %lld to %lld", what->name,
		    (long long)what->min, (long long)what->max);
		return false;
	}
	*out = v;
	return true;
}

const char *
http_body(const struct http_req *q, size_t *n)
{
	*n = q->_body.len;
	return (const char *)q->_body.p;
}

struct list_state {
	struct http_list list;
	struct buf out;
	size_t sent;			/* of out */
	size_t next;			/* element */
	struct json_writer w;
	bool is_closed;
};

static void
list_make_some(struct list_state *s)
{
	buf_clear(&s->out);
	s->sent = 0;
	if (s->next == 0 && !s->is_closed) {
		json_w_init(&s->w, &s->out);
		json_w_obj_open(&s->w, NULL);
		json_w_arr_open(&s->w, s->list.name);
	}
	while (s->next < s->list.n && s->out.len < LIST_STEP_BYTES)
		s->list.put(s->list.arg, s->next++, &s->w);
	if (s->next == s->list.n && !s->is_closed) {
		json_w_arr_close(&s->w);
		json_w_obj_close(&s->w);
		buf_byte(&s->out, '\n');
		s->is_closed = true;
	}
}

static ssize_t
list_read(void *cls, uint64_t pos, char *to, size_t max)
{
	struct list_state *s = cls;

	(void)pos;
	if (s->sent == s->out.len) {
		if (s->is_closed)
			return MHD_CONTENT_READER_END_OF_STREAM;
		list_make_some(s);
	}
	size_t n = s->out.len - s->sent < max ? s->out.len - s->sent : max;
	memcpy(to, s->out.p + s->sent, n);
	s->sent += n;
	return (ssize_t)n;
}

static void
list_free(void *cls)
{
	struct list_state *s = cls;

	if (s->list.free_fn != NULL)
		s->list.free_fn(s->list.arg);
	buf_fini(&s->out);
	free(s);
}

void
http_reply_list(struct http_req *q, const struct http_list *list)
{
	struct list_state *s = obj_alloc(sizeof(*s));

	s->list = *list;
	http_answer_take(q, 200, MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
	    LIST_STEP_BYTES, list_read,
	    s, list_free), "application/json");
}

void
http_reply_file_take(struct http_req *q, const char *type, int fd, uint64_t n_bytes)
{
	http_answer_take(q, 200, MHD_create_response_from_fd64(n_bytes, fd),
	    type);
}
