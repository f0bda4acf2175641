/*
 * Routers with an alternative: are they there, and do they answer? The client answers a PingRequest of no
 * type with a HEAD request to its URL over Noise (control/controlclient/direct.go: answerHeadPing; alike in
 * 1.80 and 1.103). An URL like the last one's is disregarded, so each has a number. Its host is without a
 * port, as in the client's other requests: with another host it would open a second connection.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rand.h"
#include "coord/session.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_route_private.h"

bool
tailnet_route_is_up(const struct node *n, int64_t now_ms)
{
	const struct node_router *r = n->_router;

	if (r->is_silent || node_is_expired(n, clock_wall_s()))
		return false;
	if (n->session != NULL)
		return true;
	/* Since the start of the server it may not have found back yet: as its peers are told. */
	return n->is_online && !(r->had_stream && r->gone_ms != 0 && now_ms - r->gone_ms >= ROUTE_FAILOVER_MS);
}

/* --- probes --------------------------------------------------------------------------------------- */

/* The host of the server's address: "vpn.example.org", "[fd00::1]". */
static size_t
host_of(const char *url, const char **out)
{
	const char *begin = strstr(url, "://");

	begin = begin == NULL ? url : begin + 3;
	*out = begin;
	return begin[0] == '[' ? strcspn(begin, "]") + 1 : strcspn(begin, ":/");
}

static void
ping(struct tailnet *t, struct node_router *r, int64_t now)
{
	char url[512];
	const char *host;
	size_t n_host = host_of(t->deps.server_url, &host);
	struct buf b = { 0 };
	struct json_writer w;

	do
		rand_bytes(&r->ping_id, sizeof(r->ping_id));
	while (r->ping_id == 0);
	snprintf(url, sizeof(url), "https://%.*s/machine/ping-response?id=%016" PRIx64, (int)n_host, host,
	    r->ping_id);
	/* A message with KeepAlive costs the client no look at its map. */
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_bool(&w, "KeepAlive", true);
	json_w_obj_open(&w, "PingRequest");
	json_w_str(&w, "URL", url);
	json_w_bool(&w, "URLIsNoise", true);
	json_w_obj_close(&w);
	json_w_obj_close(&w);
	r->is_asked = session_ping(t, r->node, buf_cstr(&b));
	r->asked_ms = now;
	r->left_ms = 0;
	buf_fini(&b);
	metric_add(METRIC_ROUTE_PROBES, 1);
}

static void
silent_set(struct node_router *r, bool is_silent)
{
	struct node *n = r->node;

	if (r->is_silent == is_silent)
		return;
	r->is_silent = is_silent;
	if (is_silent) {
		metric_add(METRIC_ROUTE_PROBES_LOST, 1);
		log_warn(LOG_COORD, "router does not answer", "node", LOG_NUM(n->id), "name", n->name);
	} else {
		log_info(LOG_COORD, "router answers again", "node", LOG_NUM(n->id), "name", n->name);
	}
}

/* A probe is under way: is it too old by now? late_ms: the server itself was not there so long. */
static void
judge(struct node_router *r, int64_t now, int64_t late_ms)
{
	r->asked_ms += late_ms;
	r->left_ms += r->left_ms != 0 ? late_ms : 0;
	switch (session_ping_state(r->node)) {
	case SESSION_PING_NONE:		/* its stream ended, and it with that */
		r->is_asked = false;
		r->asked_ms = 0;
		return;
	case SESSION_PING_WAITS:
		if (now - r->asked_ms < ROUTE_STUCK_MS)
			return;
		break;
	case SESSION_PING_LEFT:
		if (r->left_ms == 0)
			r->left_ms = now;
		if (now - r->left_ms < ROUTE_ANSWER_MS)
			return;
		break;
	}
	r->is_asked = false;
	silent_set(r, true);
}

/* Does anything depend on whether it answers? */
static bool
is_asked_for(const struct tailnet *t, const struct node_router *r)
{
	const struct node *n = r->node;

	if (r->is_silent)
		return true;
	for (unsigned i = 0; i < n->n_routes; i++) {
		const struct route_prefix *p = tailnet_route_find(t, &n->routes[i].prefix);

		if (p != NULL && p->n > 1 && p->primary == n)
			return true;
	}
	return false;
}

static void
probe(struct tailnet *t, struct node_router *r, int64_t now, int64_t late_ms)
{
	if (r->is_asked)
		judge(r, now, late_ms);
	if (!r->is_asked && r->node->session != NULL && is_asked_for(t, r) &&
	    (r->asked_ms == 0 || now - r->asked_ms >= ROUTE_PROBE_MS))
		ping(t, r, now);
}

void
tailnet_route_pong(struct tailnet *t, const struct machine_key *from, uint64_t id)
{
	const struct machine *m = map_find(&t->priv->machines, from);

	for (struct node *n = m == NULL ? NULL : m->first; n != NULL; n = n->_machine_next) {
		struct node_router *r = n->_router;

		if (r == NULL || r->ping_id != id || id == 0)
			continue;
		r->is_asked = false;
		silent_set(r, false);
		tailnet_route_wake(t);
	}
}

/* --- the timer ------------------------------------------------------------------------------------ */

static void
look(struct tailnet *t, struct node_router *r, int64_t now, int64_t late_ms)
{
	bool is_up;

	if (r->node->session != NULL) {
		r->had_stream = true;
		r->gone_ms = 0;
	} else if (r->gone_ms == 0) {
		r->gone_ms = now;
	}
	probe(t, r, now, late_ms);
	is_up = tailnet_route_is_up(r->node, now);
	if (is_up == r->was_up)
		return;
	r->was_up = is_up;
	tailnet_route_elect(t, r->node);
}

static void
retry(struct tailnet *t, int64_t now)
{
	struct node *n;
	size_t at = 0;

	t->routes->has_retries = false;
	while ((n = map_next(&t->nodes, &at)) != NULL) {
		struct node_router *r = n->_router;

		if (r == NULL || !r->is_retry)
			continue;
		if (r->retry_ms <= now) {
			r->is_retry = false;
			tailnet_route_ask(t, n);
		}
		t->routes->has_retries |= r->is_retry;
	}
}

void
tailnet_route_run(struct tailnet *t)
{
	struct tailnet_routes *s = t->routes;
	int64_t now = clock_mono_ms();
	int64_t late = s->run_ms == 0 ? 0 : now - s->run_ms - ROUTE_POLL_MS;
	struct node_router *r;

	/* Electing another primary asks it at once: it is looked at in this walk or the next. */
	TAILQ_FOREACH(r, &s->shared, link)
		look(t, r, now, late > ROUTE_POLL_MS ? late : 0);
	if (s->has_retries)
		retry(t, now);
	s->run_ms = now;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct tailnet *t = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(t, TAILNET_MAGIC);
	tailnet_route_run(t);
	if (TAILQ_EMPTY(&t->routes->shared) && !t->routes->has_retries)
		t->routes->run_ms = 0;
	else
		tailnet_route_wake(t);
}

void
tailnet_route_wake(struct tailnet *t)
{
	struct tailnet_routes *s = t->routes;
	struct timeval tv = { .tv_usec = ROUTE_POLL_MS * 1000 };

	if (!t->priv->is_started || (TAILQ_EMPTY(&s->shared) && !s->has_retries))
		return;
	if (s->timer == NULL)
		s->timer = evtimer_new(t->deps.base, on_timer, t);
	ASSERT(s->timer != NULL);
	if (!evtimer_pending(s->timer, NULL))
		ASSERT(evtimer_add(s->timer, &tv) == 0);
}
