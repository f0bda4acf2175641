/*
 * A request from its head to its handler: routed, and who asks known, before a byte of its body is kept.
 *
 * A refusal at the head goes out when the body has passed, unkept: so the connection can be used again,
 * and a client that writes before it reads gets to see it. It goes out at once, and ends the connection,
 * where the client waits for leave to send (Expect) or announces more than anybody may send.
 */
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "web/http_private.h"

#define BODY_PUBLIC_BYTES	(16u << 10)	/* kept of a body when nobody is known to send it */
#define BODY_WASTE_BYTES	(8u << 20)	/* of a body that is not kept; then the connection ends */

const char *
http_field(const struct http_req *q, const char *name)
{
	return q->_conn != NULL ? MHD_lookup_connection_value(q->_conn, MHD_HEADER_KIND, name) : NULL;
}

/* Announced; 0: none, or chunked. Too large a number is UINT64_MAX. */
static uint64_t
content_length(const struct http_req *q)
{
	const char *text = http_field(q, "Content-Length");

	return text != NULL ? strtoull(text, NULL, 10) : 0;
}

bool
http_has_body(const struct http_req *q)
{
	return content_length(q) > 0 || http_field(q, "Transfer-Encoding") != NULL;
}

void *
http_on_uri(void *cls, const char *uri, struct MHD_Connection *mc)
{
	struct http *h = cls;
	struct http_req *q = obj_alloc(sizeof(*q));
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(mc, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	q->magic = HTTP_REQ_MAGIC;
	q->coord = h->coord;
	q->target = obj_strdup(uri);
	q->_http = h;
	q->_conn = mc;
	q->_link = info != NULL ? info->socket_context : NULL;
	q->peer = q->_link != NULL ? &q->_link->peer : NULL;
	return q;
}

void
http_on_completed(void *cls, struct MHD_Connection *mc, void **con_cls, enum MHD_RequestTerminationCode why)
{
	struct http_req *q = *con_cls;

	(void)cls;
	(void)mc;
	(void)why;
	if (q == NULL)
		return;
	OBJ_CHECK(q, HTTP_REQ_MAGIC);
	*con_cls = NULL;
	if (q->_link != NULL && q->_link->ev_back != NULL) {
		event_free(q->_link->ev_back);
		q->_link->ev_back = NULL;
	}
	if (q->_stage == HTTP_WAITING || q->_stage == HTTP_RUNNING) {
		q->_conn = NULL;	/* freed when it is answered */
		q->_link = NULL;
		q->peer = NULL;
		return;
	}
	http_req_free(q);
}

static enum MHD_Result
queue_answer(struct http_req *q)
{
	enum MHD_Result ok = MHD_queue_response(q->_conn, (unsigned)q->_status, q->_response);

	MHD_destroy_response(q->_response);
	q->_response = NULL;
	return ok;
}

/* ERR_OK: route and parameters are in q; otherwise it is answered. */
static enum err
find_route(struct http_req *q, const char *method)
{
	struct http *h = q->_http;
	struct router_match m = { .route = NULL };
	char *path = router_path(q->target);
	enum err rc = ERR_OK;

	for (unsigned i = 0; i < h->n_tables && rc == ERR_OK && m.route == NULL; i++) {
		rc = router_find(h->tables[i].routes, h->tables[i].n, method, path, &m);
		q->arg = h->tables[i].arg;
	}
	if (rc != ERR_OK) {
		http_reply_error(q, 400, "the path is not well encoded");
	} else if (m.route != NULL) {
		q->route = m.route;
		memcpy(q->params, m.params, sizeof(q->params));
	} else if (m.has_path) {
		rc = ERR_NOTFOUND;
		http_reply_error(q, 405, "%.16s is not possible here, only %s", method, m.allow);
		(void)MHD_add_response_header(q->_response, "Allow", m.allow);
	} else if (h->other != NULL && h->other(q, method, path)) {
		rc = ERR_NOTFOUND;		/* of a route */
	} else {
		rc = ERR_NOTFOUND;
		http_reply_error(q, 404, "there is nothing at %.200s", path);
	}
	free(path);
	return rc;
}

static enum err
parse_body(struct http_req *q)
{
	struct err_text why = { "" };
	enum err rc = ERR_OK;

	if (!q->route->takes_json)
		return ERR_OK;
	if (q->_body.len == 0)
		q->json = json_object();
	else if ((rc = json_parse(q->_body.p, q->_body.len, &q->json, &why)) != ERR_OK)
		http_reply_error(q, 400, "the body is not JSON: %s", why.s);
	buf_fini(&q->_body);
	if (rc == ERR_OK && !json_is_object(q->json)) {
		rc = ERR_INVAL;
		http_reply_error(q, 400, "the body must be a JSON object");
	}
	return rc;
}

static size_t
body_max(const struct http_req *q)
{
	if (HTTP_LEVEL(q->route->access) < HTTP_KNOWN)
		return BODY_PUBLIC_BYTES;
	return (q->route->access & HTTP_LARGE) != 0 ? HTTP_BODY_LARGE_BYTES : HTTP_BODY_MAX_BYTES;
}

static void
refuse_body(struct http_req *q)
{
	http_reply_error(q, 413, "the body is longer than %zu bytes", body_max(q));
}

static void
run_handler(struct http_req *q, const char *method)
{
	q->_stage = HTTP_RUNNING;
	if (q->_body_total_bytes > body_max(q)) {
		refuse_body(q);
		return;
	}
	/* A body may take its time; the credential may have ended meanwhile. */
	if (q->_body_total_bytes > 0 && http_who(q, method) != ERR_OK)
		return;
	if (parse_body(q) == ERR_OK)
		q->route->fn(q);
}

static enum MHD_Result
take_head(struct http_req *q, const char *method)
{
	bool is_long = content_length(q) > HTTP_BODY_MAX_BYTES;

	if (q->_link == NULL)
		return MHD_NO;
	http_who_peer(q, &q->_link->peer);
	if (http_back_start(q, method))
		return q->_stage == HTTP_ANSWERED ? queue_answer(q) : MHD_YES;
	q->_stage = HTTP_BODY;
	if (find_route(q, method) == ERR_OK && http_who(q, method) == ERR_OK &&
	    content_length(q) > body_max(q))
		refuse_body(q);
	if (q->_stage == HTTP_ANSWERED && (is_long || http_field(q, "Expect") != NULL))
		return queue_answer(q);
	return MHD_YES;
}

static enum MHD_Result
take_body(struct http_req *q, const char *data, size_t *n)
{
	q->_body_total_bytes += *n;
	if (q->_body_total_bytes > BODY_WASTE_BYTES)
		return MHD_NO;
	if (q->_stage == HTTP_BODY && q->_body_total_bytes <= body_max(q))
		buf_append(&q->_body, data, *n);
	*n = 0;
	return MHD_YES;
}

enum MHD_Result
http_on_access(void *cls, struct MHD_Connection *mc, const char *url, const char *method,
	const char *version, const char *data, size_t *n, void **con_cls)
{
	struct http_req *q = *con_cls;

	(void)cls;
	(void)mc;
	(void)url;
	(void)version;
	OBJ_CHECK(q, HTTP_REQ_MAGIC);
	switch (q->_stage) {
	case HTTP_HEAD:
		return take_head(q, method);
	case HTTP_BODY:
		if (*n > 0)
			return take_body(q, data, n);
		run_handler(q, method);
		if (q->_stage == HTTP_ANSWERED)
			return queue_answer(q);
		http_wait_start(q, HTTP_WAITING);
		return MHD_YES;
	case HTTP_ANSWERED:		/* it was waiting, or refused at its head */
		return *n > 0 ? take_body(q, data, n) : queue_answer(q);
	default:
		return MHD_NO;			/* HTTP_BACK: the door has closed its end */
	}
}
