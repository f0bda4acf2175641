/*
 * The door as a whole: routes, per-worker state, deadlines, the ration of later work, and the text
 * of answers. Sockets are in door_listen.c, connections in door_conn.c and door_pass.c.
 */
#include "server/door.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "server/door_pass.h"
#include "server/door_private.h"

#define DOOR_TICK_MIN_MS	10
#define DOOR_TICK_MAX_MS	250	/* so late a deadline may be noticed */
#define DOOR_SAY_EVERY_MS	60000

/* --- answers ---------------------------------------------------------------------------------- */

static const char *
status_text(int status)
{
	static const struct { int status; const char *text; } texts[] = {
		{ 200, "OK" }, { 204, "No Content" }, { 301, "Moved Permanently" },
		{ 302, "Found" }, { 303, "See Other" }, { 307, "Temporary Redirect" },
		{ 308, "Permanent Redirect" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" },
		{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 408, "Request Timeout" },
		{ 413, "Content Too Large" }, { 426, "Upgrade Required" },
		{ 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" }, { 503, "Service Unavailable" },
	};

	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Status";
}

/* IMF-fixdate of RFC 9110 section 5.6.7, in English whatever the locale says. */
static void
put_date(struct buf *out)
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	time_t now = (time_t)clock_wall_s();
	struct tm tm;

	if (gmtime_r(&now, &tm) == NULL)
		return;
	buf_printf(out, "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
	    days + 3 * tm.tm_wday, tm.tm_mday, months + 3 * tm.tm_mon, tm.tm_year + 1900,
	    tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void
door_answer(struct buf *out, const struct door_head *head, int status, const char *type,
	const char *extra, const void *body, size_t n)
{
	bool has_connection = extra != NULL && strcasestr(extra, "Connection:") != NULL;

	buf_printf(out, "HTTP/1.1 %d %s\r\n", status, status_text(status));
	put_date(out);
	if (status != 204)
		buf_printf(out, "Content-Length: %zu\r\n", n);
	if (type != NULL)
		buf_printf(out, "Content-Type: %s\r\n", type);
	if (!head->keeps_alive && !has_connection)
		buf_str(out, "Connection: close\r\n");
	else if (head->minor == 0 && !has_connection)
		buf_str(out, "Connection: keep-alive\r\n");
	if (extra != NULL)
		buf_str(out, extra);
	buf_str(out, "\r\n");
	if (n > 0 && status != 204 && !door_str_is(head->method, "HEAD"))
		buf_append(out, body, n);
}

bool
door_answer_closes(const struct buf *out)
{
	static const char field[] = "\r\nConnection: close\r\n";
	const void *end = out->len > 0 ? memmem(out->p, out->len, "\r\n\r\n", 4) : NULL;
	size_t n = end != NULL ? (size_t)((const uint8_t *)end - out->p) + 2 : out->len;

	return n > 0 && memmem(out->p, n, field, sizeof(field) - 1) != NULL;
}

/* --- shared by the files of the door ---------------------------------------------------------- */

bool
door_is_trusted(const struct door *d, const struct net_ip *ip)
{
	return net_prefixes_have(&d->trusted, ip);
}

void
door_count(struct worker *w, int n)
{
	worker_conns_add(w, n);
	metric_add(METRIC_DOOR_OPEN, n);
}

void
door_say_full(struct door *d, const char *event, const char *why)
{
	int64_t now_ms = clock_mono_ms(), said_ms = atomic_load(&d->said_full_ms);

	if (now_ms - said_ms < DOOR_SAY_EVERY_MS)
		return;
	if (atomic_compare_exchange_strong(&d->said_full_ms, &said_ms, now_ms))
		log_warn(LOG_DOOR, event, "err", why);
}

void
door_later_ask(struct door_worker *dw, struct door_later *l)
{
	if (l->is_queued)
		return;
	l->is_queued = true;
	if (l->is_begun)
		TAILQ_INSERT_HEAD(&dw->later, l, _link);
	else
		TAILQ_INSERT_TAIL(&dw->later, l, _link);
	dw->n_later++;
	worker_again(dw->w, &dw->again);
}

void
door_later_cancel(struct door_worker *dw, struct door_later *l)
{
	if (!l->is_queued)
		return;
	l->is_queued = false;
	TAILQ_REMOVE(&dw->later, l, _link);
	dw->n_later--;
}

static void
on_again(struct worker_flush *f)
{
	struct door_worker *dw = CONTAINER_OF(f, struct door_worker, again);
	struct door_later *l;

	for (unsigned i = 0; i < DOOR_LATER_PER_TURN; i++) {
		if ((l = TAILQ_FIRST(&dw->later)) == NULL)
			return;
		door_later_cancel(dw, l);
		l->fn(l);
	}
	if (!TAILQ_EMPTY(&dw->later))
		worker_again(dw->w, &dw->again);
}

/* --- deadlines -------------------------------------------------------------------------------- */

void
door_tick_start(struct door_worker *dw)
{
	const struct timeval tick = { .tv_sec = dw->tick_ms / 1000,
		.tv_usec = (suseconds_t)(dw->tick_ms % 1000) * 1000 };

	if (dw->is_ticking || dw->is_stopped)
		return;
	dw->is_ticking = true;
	ASSERT(event_add(dw->tick, &tick) == 0);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct door_worker *dw = arg;
	int64_t now_ms = worker_now_ms(dw->w);
	bool is_busy;

	(void)fd;
	(void)what;
	for (unsigned i = 0; i < DOOR_WAIT_COUNT; i++) {
		struct door_conn *c;

		while ((c = TAILQ_FIRST(&dw->conns[i])) != NULL &&
		    door_conn_deadline_ms(c) <= now_ms)
			door_conn_expire(c);
	}
	is_busy = door_pass_expire(dw, now_ms);
	for (unsigned i = 0; i < DOOR_WAIT_COUNT; i++)
		is_busy = is_busy || !TAILQ_EMPTY(&dw->conns[i]);
	dw->is_ticking = false;
	if (is_busy)
		door_tick_start(dw);
}

/* --- life ------------------------------------------------------------------------------------- */

/* Ends everything of the door on this worker. On its thread, or when it has none. */
static void
door_worker_stop(struct door_worker *dw)
{
	if (dw->is_stopped)
		return;
	dw->is_stopped = true;
	door_listen_stop(dw);
	for (unsigned i = 0; i < DOOR_WAIT_COUNT; i++) {
		struct door_conn *c;

		while ((c = TAILQ_FIRST(&dw->conns[i])) != NULL)
			door_conn_free(c);
	}
	(void)door_pass_expire(dw, INT64_MAX);
	worker_flush_cancel(dw->w, &dw->again);
	event_free(dw->tick);
}

static void
on_stop(struct worker *w, void *arg)
{
	struct door_worker *dw = w->modules[WORKER_DOOR];

	(void)arg;
	if (dw != NULL)		/* the door may have been freed already, if the workers never ran */
		door_worker_stop(dw);
}

static struct door_worker *
door_worker_new(struct door *d, struct worker *w)
{
	struct door_worker *dw = obj_alloc(sizeof(*dw));
	int64_t head_ms = d->cfg->limits.head_ms;

	dw->d = d;
	dw->w = w;
	dw->wait_ms[DOOR_WAIT_HEAD] = head_ms;
	dw->wait_ms[DOOR_WAIT_IDLE] = DOOR_IDLE_MS;
	dw->wait_ms[DOOR_WAIT_LINGER] = DOOR_LINGER_MS;
	dw->tick_ms = head_ms / 8;
	if (dw->tick_ms < DOOR_TICK_MIN_MS)
		dw->tick_ms = DOOR_TICK_MIN_MS;
	if (dw->tick_ms > DOOR_TICK_MAX_MS)
		dw->tick_ms = DOOR_TICK_MAX_MS;
	for (unsigned i = 0; i < DOOR_WAIT_COUNT; i++)
		TAILQ_INIT(&dw->conns[i]);
	for (size_t i = 0; i < COUNT_OF(dw->passes); i++)
		TAILQ_INIT(&dw->passes[i]);
	TAILQ_INIT(&dw->later);
	dw->again.fn = on_again;
	dw->tick = event_new(w->base, -1, 0, on_tick, dw);
	ASSERT(dw->tick != NULL);
	ASSERT(w->modules[WORKER_DOOR] == NULL);
	w->modules[WORKER_DOOR] = dw;
	worker_on_stop(w, on_stop, NULL);
	return dw;
}

enum err
door_new(const struct config *cfg, struct worker_group *g, struct tls *tls, struct door **out,
	struct err_text *why)
{
	struct door *d = obj_alloc(sizeof(*d));
	enum err rc;

	d->magic = DOOR_MAGIC;
	d->cfg = cfg;
	d->g = g;
	d->tls = tls;
	atomic_init(&d->said_full_ms, INT64_MIN / 2);
	atomic_init(&d->accept_due_us, 0);
	rc = net_prefixes_parse("trusted_proxies", cfg->trusted_proxies.items, cfg->trusted_proxies.n,
	    &d->trusted, why);
	if (rc != ERR_OK) {
		free(d);
		return rc;
	}
	d->sources = door_source_new();
	d->guests = door_source_new();
	for (unsigned i = 0; i < worker_group_count(g); i++)
		d->workers[i] = door_worker_new(d, worker_group_at(g, i));
	*out = d;
	return ERR_OK;
}

static void
close_on_worker(struct worker *w, void *arg)
{
	(void)w;
	door_listen_stop(arg);
}

void
door_close(struct door *d)
{
	OBJ_CHECK(d, DOOR_MAGIC);
	for (unsigned i = 0; i < worker_group_count(d->g); i++)
		worker_call(d->workers[i]->w, close_on_worker, d->workers[i], NULL);
}

void
door_free(struct door *d)
{
	if (d == NULL)
		return;
	OBJ_CHECK(d, DOOR_MAGIC);
	for (unsigned i = 0; i < worker_group_count(d->g); i++) {
		struct door_worker *dw = d->workers[i];

		door_worker_stop(dw);
		dw->w->modules[WORKER_DOOR] = NULL;
		free(dw);
	}
	for (unsigned i = 0; i < d->n_listeners; i++)
		close(d->listeners[i].fd);
	for (unsigned i = 0; i < d->n_routes; i++)
		free(d->routes[i].path);
	door_source_free(d->sources);
	door_source_free(d->guests);
	d->magic = 0;
	free(d);
}

/* --- routes ----------------------------------------------------------------------------------- */

static struct door_route *
route_new(struct door *d, const char *path, void *arg)
{
	OBJ_CHECK(d, DOOR_MAGIC);
	ASSERT(d->n_routes < DOOR_ROUTES_MAX);
	struct door_route *r = &d->routes[d->n_routes++];

	r->path = obj_strdup(path);
	r->arg = arg;
	return r;
}

void
door_on_answer(struct door *d, const char *method, const char *path, door_answer_fn *fn, void *arg)
{
	struct door_route *r = route_new(d, path, arg);

	r->method = method;
	r->answer = fn;
}

void
door_on_upgrade(struct door *d, const char *path, const char *token, door_upgrade_fn *fn, void *arg)
{
	struct door_route *r = route_new(d, path, arg);

	r->token = token;
	r->upgrade = fn;
}

void
door_on_websocket(struct door *d, const char *path, const char *protocol, door_upgrade_fn *fn,
	void *arg)
{
	struct door_route *r = route_new(d, path, arg);

	r->token = "websocket";
	r->protocol = protocol;
	r->upgrade = fn;
}

void
door_on_pass(struct door *d, door_pass_fn *fn, void *arg)
{
	OBJ_CHECK(d, DOOR_MAGIC);
	d->pass_fn = fn;
	d->pass_arg = arg;
}

void
door_ports(const struct door *d, uint16_t *https, uint16_t *http)
{
	OBJ_CHECK(d, DOOR_MAGIC);
	*https = *http = 0;
	for (unsigned i = 0; i < d->n_listeners; i++) {
		uint16_t *out = d->listeners[i].is_https ? https : http;

		if (*out == 0)
			*out = d->listeners[i].addr.port;
	}
}

/* --- the way back from libmicrohttpd ---------------------------------------------------------- */

struct pass_back {
	struct conn_ref ref;
	struct buf request;
};

static void
pass_back_drop(void *arg)
{
	struct pass_back *b = arg;

	buf_fini(&b->request);
	free(b);
}

static void
pass_back_arrive(struct worker *w, void *arg)
{
	struct pass_back *b = arg;
	struct door_pass *p = worker_find(w, b->ref);

	if (p != NULL)
		door_pass_back(p, &b->request);
	pass_back_drop(b);
}

void
door_pass_upgrade(struct door *d, struct conn_ref pass, const struct buf *head_bytes,
	const struct buf *rest)
{
	OBJ_CHECK(d, DOOR_MAGIC);
	struct pass_back *b;

	if (pass.generation == 0)
		return;
	b = obj_alloc(sizeof(*b));
	b->ref = pass;
	buf_append(&b->request, head_bytes->p, head_bytes->len);
	buf_append(&b->request, rest->p, rest->len);
	worker_call(worker_group_at(d->g, pass.worker), pass_back_arrive, b, pass_back_drop);
}
