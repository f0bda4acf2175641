/*
 * libmicrohttpd 0.9.75 in an outer loop. Found by trying: after MHD_resume_connection neither its epoll
 * descriptor nor MHD_get_timeout tells of the connection, so MHD_run is called by us (http_kick); it
 * complains of TCP_NODELAY on each Unix socket; a handler that returns MHD_NO ends the connection
 * without a byte.
 */
#include "web/http.h"

#include <event2/event.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "web/flapi.h"
#include "web/http_private.h"

#define CONN_IDLE_S		120	/* above the keep-alive of common reverse proxies (60-75 s) */
#define CONN_MEMORY_BYTES	(32u << 10)	/* head of a request, and one write's worth of an answer */
#define BODY_WASTE_BYTES	(8u << 20)	/* of a chunked body; then the connection ends */
#define COMPLAINTS_PER_S	1.0

static void
timer_set(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG ms;

	if (MHD_get_timeout(h->daemon, &ms) != MHD_YES) {
		event_del(h->ev_timer);
		return;
	}
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000) };
	event_add(h->ev_timer, &tv);
}

static void
conn_free(struct http_conn *c)
{
	if (c->ev_back != NULL)
		event_free(c->ev_back);
	c->magic = 0;
	free(c);
}

static void
on_run(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	struct http_conn *c, *next;

	(void)fd;
	(void)what;
	OBJ_CHECK(h, HTTP_MAGIC);
	(void)MHD_run(h->daemon);
	/* What it has not met in a whole run it has refused, and closed. */
	TAILQ_FOREACH_SAFE(c, &h->fresh, link, next) {
		TAILQ_REMOVE(&h->fresh, c, link);
		conn_free(c);
	}
	timer_set(h);
}

void
http_kick(struct http *h)
{
	event_active(h->ev_run, EV_TIMEOUT, 0);
}

void
http_resume(struct http_req *q)
{
	TAILQ_REMOVE(&q->_http->waiting, q, _waiting);
	MHD_resume_connection(q->_conn);
	http_kick(q->_http);
}

static void
wait_start(struct http_req *q, enum http_stage stage)
{
	q->_stage = stage;
	TAILQ_INSERT_TAIL(&q->_http->waiting, q, _waiting);
	MHD_suspend_connection(q->_conn);
}

/* --- connections ------------------------------------------------------------------------------ */

static void
on_connection(void *cls, struct MHD_Connection *mc, void **socket_context,
    enum MHD_ConnectionNotificationCode code)
{
	struct http *h = cls;
	struct http_conn *c;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if ((c = *socket_context) != NULL) {
			OBJ_CHECK(c, HTTP_CONN_MAGIC);
			TAILQ_REMOVE(&h->open, c, link);
			conn_free(c);
		}
		return;
	}
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(mc,
	    MHD_CONNECTION_INFO_CONNECTION_FD);
	TAILQ_FOREACH(c, &h->fresh, link)
		if (info != NULL && c->fd == info->connect_fd)
			break;
	*socket_context = c;
	if (c == NULL)
		return;
	TAILQ_REMOVE(&h->fresh, c, link);
	TAILQ_INSERT_TAIL(&h->open, c, link);
}

void
http_conn_add_take(struct http *h, int fd, const struct http_peer *peer)
{
	struct http_conn *c = obj_alloc(sizeof(*c));
	struct sockaddr_storage ss = { .ss_family = AF_UNIX };
	socklen_t n = sizeof(sa_family_t);

	*c = (struct http_conn){ .magic = HTTP_CONN_MAGIC, .http = h, .fd = fd, .peer = *peer };
	if (peer->addr.ip.family != 0)
		n = net_addr_to_sockaddr(&peer->addr, &ss);
	TAILQ_INSERT_TAIL(&h->fresh, c, link);
	/* It closes fd whether it succeeds or not. A refused one is freed by the next run. */
	if (MHD_add_connection(h->daemon, fd, (struct sockaddr *)&ss, n) != MHD_YES)
		log_warn(LOG_WEB, "connection refused", "err", strerror(errno));
	http_kick(h);
}

void
http_add_take(struct http *h, int fd, const struct net_addr *peer, bool is_tls, struct conn_ref pass)
{
	http_conn_add_take(h, fd, &(struct http_peer){
		.origin = HTTP_FROM_DOOR, .addr = *peer, .is_tls = is_tls, .pass = pass,
	});
}

/* --- back to the door ------------------------------------------------------------------------- */

struct head_print {
	struct buf *out;
};

static enum MHD_Result
print_field(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct head_print *p = cls;

	(void)kind;
	buf_printf(p->out, "%s: %s\r\n", name, value != NULL ? value : "");
	return MHD_YES;
}

/* The door has closed its end (or, against the rules, something was sent behind the request). */
static void
on_back_end(evutil_socket_t fd, short what, void *arg)
{
	struct http_req *q = arg;
	char waste[512];

	(void)what;
	OBJ_CHECK(q, HTTP_REQ_MAGIC);
	ssize_t n = recv(fd, waste, sizeof(waste), MSG_DONTWAIT);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	event_del(q->_link->ev_back);
	http_resume(q);
}

static bool
path_is_of(const char *path, const char *route)
{
	size_t n = strlen(route);

	if (n > 1 && route[n - 1] == '/')
		return strncmp(path, route, n) == 0 && path[n] != '\0';
	return strcmp(path, route) == 0;
}

static unsigned
upgrade_find(const struct http *h, const struct http_req *q)
{
	char *path = router_path(q->target);
	unsigned i = 0;

	while (i < h->n_upgrades && !path_is_of(path, h->upgrades[i].path))
		i++;
	free(path);
	return i;
}

static const char *
field(const struct http_req *q, const char *name)
{
	return MHD_lookup_connection_value(q->_conn, MHD_HEADER_KIND, name);
}

/* false: the request is not for the door, or not from it. */
static bool
back_start(struct http_req *q, const char *method)
{
	struct http *h = q->_http;
	unsigned i = upgrade_find(h, q);
	const char *length = field(q, "Content-Length");

	if (i == h->n_upgrades || q->peer->pass.generation == 0)
		return false;
	if ((length != NULL && strtoul(length, NULL, 10) != 0) || field(q, "Transfer-Encoding") != NULL) {
		http_reply_error(q, 400, "a request for %s takes no body", h->upgrades[i].path);
		return true;
	}
	struct buf head = { .len = 0 };
	const struct buf none = { .len = 0 };
	buf_printf(&head, "%s %s HTTP/1.1\r\n", method, q->target);
	struct head_print print = { .out = &head };
	(void)MHD_get_connection_values(q->_conn, MHD_HEADER_KIND, print_field, &print);
	buf_str(&head, "\r\n");
	wait_start(q, HTTP_BACK);
	q->_link->ev_back = event_new(h->base, q->_link->fd, EV_READ | EV_PERSIST, on_back_end, q);
	event_add(q->_link->ev_back, NULL);
	h->upgrades[i].fn(h->upgrades[i].arg, q->peer->pass, &head, &none);
	buf_fini(&head);
	return true;
}

void
http_on_upgrade(struct http *h, const char *path, http_upgrade_fn *fn, void *arg)
{
	ASSERT(h->n_upgrades < HTTP_UPGRADES_MAX);
	h->upgrades[h->n_upgrades].path = obj_strdup(path);
	h->upgrades[h->n_upgrades].fn = fn;
	h->upgrades[h->n_upgrades++].arg = arg;
}

/* --- requests --------------------------------------------------------------------------------- */

/* Makes the request; what is returned is *con_cls of all later calls. */
static void *
on_uri(void *cls, const char *uri, struct MHD_Connection *mc)
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

static void
on_completed(void *cls, struct MHD_Connection *mc, void **con_cls, enum MHD_RequestTerminationCode why)
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

static void
run_handler(struct http_req *q, const char *method)
{
	q->_stage = HTTP_RUNNING;
	if (q->_body_total_bytes > HTTP_BODY_MAX_BYTES) {
		http_reply_error(q, 413, "the body is longer than %u bytes", HTTP_BODY_MAX_BYTES);
		return;
	}
	if (find_route(q, method) != ERR_OK)
		return;
	if (http_who(q, method) == ERR_OK && parse_body(q) == ERR_OK)
		q->route->fn(q);
}

static enum MHD_Result
take_head(struct http_req *q, const char *method)
{
	const char *length;

	if (q->_link == NULL)
		return MHD_NO;
	http_who_peer(q, &q->_link->peer);
	if (back_start(q, method))
		return q->_stage == HTTP_ANSWERED ? queue_answer(q) : MHD_YES;
	q->_stage = HTTP_BODY;
	length = field(q, "Content-Length");
	if (length == NULL || strtoull(length, NULL, 10) <= HTTP_BODY_MAX_BYTES)
		return MHD_YES;
	http_reply_error(q, 413, "the body is longer than %u bytes", HTTP_BODY_MAX_BYTES);
	return queue_answer(q);
}

static enum MHD_Result
take_body(struct http_req *q, const char *data, size_t *n)
{
	q->_body_total_bytes += *n;
	if (q->_body_total_bytes > BODY_WASTE_BYTES)
		return MHD_NO;
	if (q->_body_total_bytes <= HTTP_BODY_MAX_BYTES)
		buf_append(&q->_body, data, *n);
	*n = 0;
	return MHD_YES;
}

static enum MHD_Result
on_access(void *cls, struct MHD_Connection *mc, const char *url, const char *method,
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
		wait_start(q, HTTP_WAITING);
		return MHD_YES;
	case HTTP_ANSWERED:
		return queue_answer(q);		/* it was waiting */
	default:
		return MHD_NO;			/* HTTP_BACK: the door has closed its end */
	}
}

/* --- daemon ----------------------------------------------------------------------------------- */

static void __attribute__((format(printf, 2, 0)))
on_log(void *cls, const char *fmt, va_list args)
{
	/* Socket options that Unix sockets do not have; clients that leave; our own MHD_NO. */
	static const char *const harmless[] = {
		"NODELAY", "TCP_CORK", "Failed to push the data", "no longer available for sending",
		"Application reported internal error",
	};
	struct http *h = cls;
	char line[256];

	vsnprintf(line, sizeof(line), fmt, args);
	line[strcspn(line, "\r\n")] = 0;
	for (size_t i = 0; i < COUNT_OF(harmless); i++)
		if (strstr(line, harmless[i]) != NULL)
			return;
	if (ratelimit_take(h->complaints, "", 1, clock_mono_ms()))
		log_warn(LOG_WEB, "libmicrohttpd complains", "text", line);
}

int64_t
http_uptime_s(const struct http_req *q)
{
	return (clock_mono_ms() - q->_http->started_mono_ms) / 1000;
}

static enum err
daemon_start(struct http *h, struct err_text *why)
{
	unsigned conns = h->cfg->limits.conns + 64;	/* and the Unix socket's */

	h->daemon = MHD_start_daemon(
	    MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
	    0, NULL,
	    NULL, on_access, h,
	    MHD_OPTION_EXTERNAL_LOGGER, on_log, h,
	    MHD_OPTION_CONNECTION_LIMIT, conns,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONN_IDLE_S,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONN_MEMORY_BYTES,
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
	    MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
	    MHD_OPTION_URI_LOG_CALLBACK, on_uri, h,
	    MHD_OPTION_END);
	if (h->daemon == NULL)
		return err_say(why, ERR_IO, "cannot start the HTTP server: %s", strerror(errno));
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL)
		return err_say(why, ERR_IO, "the HTTP library of this machine has no epoll");
	h->ev_epoll = event_new(h->base, info->epoll_fd, EV_READ | EV_PERSIST, on_run, h);
	h->ev_timer = event_new(h->base, -1, 0, on_run, h);
	h->ev_run = event_new(h->base, -1, 0, on_run, h);
	if (h->ev_epoll == NULL || h->ev_timer == NULL || h->ev_run == NULL ||
	    event_add(h->ev_epoll, NULL) != 0)
		return err_say(why, ERR_IO, "cannot watch the HTTP server");
	return ERR_OK;
}

enum err
http_new(struct event_base *base, const struct config *cfg, struct coord *coord, struct http **out,
    struct err_text *why)
{
	struct http *h = obj_alloc(sizeof(*h));
	enum err rc;

	h->magic = HTTP_MAGIC;
	h->base = base;
	h->cfg = cfg;
	h->coord = coord;
	h->unix_fd = -1;
	h->started_mono_ms = clock_mono_ms();
	TAILQ_INIT(&h->fresh);
	TAILQ_INIT(&h->open);
	TAILQ_INIT(&h->waiting);
	TAILQ_INIT(&h->streams);
	h->tailnet = coord_tailnet(coord, "default");
	h->complaints = ratelimit_new(COMPLAINTS_PER_S, 10, 1);
	if ((rc = http_who_init(h, why)) != ERR_OK || (rc = daemon_start(h, why)) != ERR_OK) {
		http_free(h);
		return rc;
	}
	flapi_attach(h);
	*out = h;
	return ERR_OK;
}

void
http_routes(struct http *h, const struct http_route *table, size_t n)
{
	ASSERT(h->n_tables < HTTP_TABLES_MAX);
	h->tables[h->n_tables].routes = table;
	h->tables[h->n_tables++].n = n;
}

void
http_at_end(struct http *h, void (*fn)(void *arg), void *arg)
{
	ASSERT(h->n_at_end < HTTP_AT_END_MAX);
	h->at_end[h->n_at_end].fn = fn;
	h->at_end[h->n_at_end++].arg = arg;
}

void
http_on_other(struct http *h, http_other_fn *fn)
{
	h->other = fn;
}

void
http_set_events(struct http *h, struct events *e)
{
	h->events = e;
}

struct events *
http_events(const struct http_req *q)
{
	return q->_http->events;
}

struct event_base *
http_base(struct http *h)
{
	return h->base;
}

struct coord *
http_coord(struct http *h)
{
	return h->coord;
}

void
http_routes_for(struct http *h, const struct http_route *table, size_t n, void *arg)
{
	http_routes(h, table, n);
	h->tables[h->n_tables - 1].arg = arg;
}

static void
event_drop(struct event *ev)
{
	if (ev != NULL)
		event_free(ev);
}

void
http_free(struct http *h)
{
	struct http_req *q;
	struct http_conn *c;

	if (h == NULL)
		return;
	OBJ_CHECK(h, HTTP_MAGIC);
	http_unix_close(h);
	/* It must not be stopped with suspended connections. */
	http_stream_stop_all(h);
	while ((q = TAILQ_FIRST(&h->waiting)) != NULL) {
		TAILQ_REMOVE(&h->waiting, q, _waiting);
		MHD_resume_connection(q->_conn);
	}
	if (h->daemon != NULL)
		MHD_stop_daemon(h->daemon);
	while ((c = TAILQ_FIRST(&h->fresh)) != NULL) {
		TAILQ_REMOVE(&h->fresh, c, link);
		conn_free(c);
	}
	event_drop(h->ev_epoll);
	event_drop(h->ev_timer);
	event_drop(h->ev_run);
	for (unsigned i = 0; i < h->n_upgrades; i++)
		free(h->upgrades[i].path);
	for (unsigned i = 0; i < h->n_at_end; i++)
		h->at_end[i].fn(h->at_end[i].arg);
	ratelimit_free(h->complaints);
	ratelimit_free(h->wrong);
	h->magic = 0;
	free(h);
}
