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
/* Memory of a connection, in heads: the largest, cookies again (it copies them), and room for its fields and
 * for one write's worth of an answer. With less, it answers the largest heads itself, in HTML. */
#define CONN_MEMORY_HEADS	3u
#define CONN_MEMORY_MIN_BYTES	(32u << 10)
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
	ASSERT(event_add(h->ev_timer, &tv) == 0);
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

void
http_wait_start(struct http_req *q, enum http_stage stage)
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
	size_t memory = CONN_MEMORY_HEADS * h->cfg->limits.head_bytes;

	h->daemon = MHD_start_daemon(
	    MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG,
	    0, NULL,
	    NULL, http_on_access, h,
	    MHD_OPTION_EXTERNAL_LOGGER, on_log, h,
	    MHD_OPTION_CONNECTION_LIMIT, conns,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)CONN_IDLE_S,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    memory > CONN_MEMORY_MIN_BYTES ? memory : (size_t)CONN_MEMORY_MIN_BYTES,
	    MHD_OPTION_NOTIFY_CONNECTION, on_connection, h,
	    MHD_OPTION_NOTIFY_COMPLETED, http_on_completed, h,
	    MHD_OPTION_URI_LOG_CALLBACK, http_on_uri, h,
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
		return err_say(why, ERR_IO, "cannot watch the HTTP server: %s", strerror(errno));
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
