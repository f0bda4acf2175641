/*
 * One request as handlers see it, and the ways to answer it. Coordinator thread. Exactly one http_reply
 * function is called for each request, by the handler or later; the request must not be touched after it.
 *
 * Errors are {"message": "…", "status": code}, as every client of the API expects them.
 */
#ifndef WEB_HTTP_REQ_H
#define WEB_HTTP_REQ_H

#include "base/json.h"
#include "web/auth.h"
#include "web/form.h"
#include "web/http.h"

#define HTTP_REQ_MAGIC	0x4773e901u
#define HTTP_FIELDS_MAX	4

struct MHD_Connection;
struct MHD_Response;

enum http_stage {
	HTTP_HEAD,		/* its head is being looked at */
	HTTP_BODY,		/* its body comes in */
	HTTP_RUNNING,		/* the handler runs */
	HTTP_WAITING,		/* suspended, waits for its answer */
	HTTP_BACK,		/* suspended, the connection goes back to the door */
	HTTP_ANSWERED		/* the answer is made */
};

struct http_req {
	uint32_t magic;
	/* for handlers */
	struct coord *coord;		/* borrowed */
	char *target;			/* as sent; owned */
	const struct http_route *route;
	const struct http_peer *peer;	/* of this request; NULL once the connection ended */
	void *arg;			/* of http_routes_for, else NULL */
	struct auth who;		/* checked against route->access */
	char params[ROUTER_PARAMS_MAX][ROUTER_PARAM_BYTES];
	json_t *json;			/* owned; an object when route->takes_json, {} without a body */
	/* for http and http_req only */
	struct http *_http;
	struct http_peer _peer;
	struct { const char *name; char *value; } _fields[HTTP_FIELDS_MAX];	/* of the answer */
	unsigned _n_fields;
	struct http_conn *_link;	/* its connection; NULL once that ended */
	struct MHD_Connection *_conn;
	struct MHD_Response *_response;	/* owned until queued */
	int _status;
	enum http_stage _stage;
	struct buf _body;
	size_t _body_total_bytes;	/* with what was thrown away */
	TAILQ_ENTRY(http_req) _waiting;	/* in HTTP_WAITING and HTTP_BACK */
};

/* 200 and so on with a JSON text. body is taken: *body is empty afterwards. */
void http_reply_json_take(struct http_req *q, int status, struct buf *body);
/* The same with another type, and nothing added. */
void http_reply_bytes_take(struct http_req *q, int status, const char *type, struct buf *body);
/* text is static; type such as "text/plain; charset=utf-8". */
void http_reply_text(struct http_req *q, int status, const char *type, const char *text);
void http_reply_error(struct http_req *q, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The status that rc stands for, with why (or the text of rc when it says nothing). */
void http_reply_err(struct http_req *q, enum err rc, const struct err_text *why);

/* A list of any length, made as the client takes it, so that the loop's turns stay short: {"name":[…]}. */
struct http_list {
	const char *name;		/* static */
	size_t n;
	void *arg;
	/* Writes element i (an unnamed object), or nothing when it has gone meanwhile. */
	void (*put)(void *arg, size_t i, struct json_writer *w);
	void (*free_fn)(void *arg);
};
void http_reply_list(struct http_req *q, const struct http_list *list);

/* A field of the answer to come; name is static, value copied. */
void http_add_field(struct http_req *q, const char *name, const char *value);
/* For a wrong secret that is not the credential of the request itself. Answers 401, or 429; or says whether
 * the source may be told 401 (false: 429 is due). */
void http_who_wrong(struct http_req *q, const char *message);
bool http_who_may_be_wrong(struct http_req *q);
/* For public pages: does a session of the console ask for it? For what it shows only: a request that changes
 * something needs a route that says so. */
bool http_who_session(const struct http_req *q, struct auth *out);
/* The query of the target, parsed; false: answered 400. The caller frees it with form_fini. */
bool http_query(struct http_req *q, struct form *out) MUST_USE;
/* A whole number of the query. One that is absent or empty leaves *out as it is; false: it is none, or not
 * from min to max: answered 400. max is at most DECIMAL_MAX. */
struct http_number {
	const char *name;
	int64_t min, max;
};
bool http_query_number(struct http_req *q, const struct form *f, const struct http_number *what,
	int64_t *out) MUST_USE;
/* The body of a route that does not take JSON, n bytes; borrowed. */
const char *http_body(const struct http_req *q, size_t *n);
/* A field of the request, or NULL. Before the first wait only. */
const char *http_field(const struct http_req *q, const char *name);

/* The server's, for web/events. */
struct events *http_events(const struct http_req *q);
/* 200 with the n_bytes of a file (fd is taken), sent as the client reads. */
void http_reply_file_take(struct http_req *q, const char *type, int fd, uint64_t n_bytes);

/* Seconds since the server started. */
int64_t http_uptime_s(const struct http_req *q);

#endif
