/* Map requests and the streams that they open. */
#include "coord/session.h"

#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/ratelimit.h"
#include "coord/session_state.h"

#define THEFTS_PER_S	0.1	/* said in the log, and 3 at once */

static void
on_run(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_send_run(arg);
}

static void
on_grace(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_presence_run(arg);
}

static void
on_unseen(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	session_presence_run_unseen(arg);
}

struct policy *
session_state_policy(void)
{
	struct policy_errors errors = { .n = 0 };
	struct policy *p;

	ASSERT(policy_parse("", 0, &p, &errors) == ERR_OK);
	return p;
}

struct map_state *
session_state_new(struct tailnet *t)
{
	struct map_state *m = obj_alloc(sizeof(*m));
	struct map_world_params p = {
		.policy = session_state_policy(),
		.server_url = t->deps.server_url,
		.user_records = &t->users,
		.base_domain = t->deps.cfg->dns.base_domain,
	};

	m->magic = MAP_STATE_MAGIC;
	m->t = t;
	m->armed_us = INT64_MAX;
	m->thefts = ratelimit_new(THEFTS_PER_S, 3, 1);
	map_world_init(&m->w, &p);
	policy_drop(p.policy);
	MAP_INIT(&m->sessions, struct session, key);
	TAILQ_INIT(&m->fresh);
	TAILQ_INIT(&m->behind);
	TAILQ_INIT(&m->current);
	TAILQ_INIT(&m->grace);
	TAILQ_INIT(&m->unseen);
	m->run_timer = evtimer_new(t->deps.base, on_run, m);
	m->grace_timer = evtimer_new(t->deps.base, on_grace, m);
	m->unseen_timer = evtimer_new(t->deps.base, on_unseen, m);
	ASSERT(m->run_timer != NULL && m->grace_timer != NULL && m->unseen_timer != NULL);
	return m;
}

void
session_state_free(struct map_state *m)
{
	struct session *s;
	size_t cursor = 0;

	if (m == NULL)
		return;
	OBJ_CHECK(m, MAP_STATE_MAGIC);
	while ((s = map_next(&m->sessions, &cursor)) != NULL)
		session_send_forget(m, s);
	map_fini(&m->sessions);
	event_free(m->run_timer);
	event_free(m->grace_timer);
	event_free(m->unseen_timer);
	map_full_segs_fini(&m->segs);
	map_world_fini(&m->w);
	dns_params_fini(&m->dns);
	ratelimit_free(m->thefts);
	m->magic = 0;
	free(m);
}

void
session_state_loaded(struct tailnet *t)
{
	struct map_state *m = t->map;
	struct node *n;
	size_t cursor = 0;

	OBJ_CHECK(m, MAP_STATE_MAGIC);
	m->is_loaded = true;
	change_note_all(t, CHANGE_ALL_DERP | CHANGE_ALL_DNS | CHANGE_ALL_USERS | CHANGE_ALL_ATTRS);
	while ((n = map_next(&t->nodes, &cursor)) != NULL)
		session_presence_load(m, n);
}

void
session_node_added(struct tailnet *t, struct node *n)
{
	map_world_add(&t->map->w, n, clock_wall_s());
	if (!t->map->is_loaded)
		map_world_place(&t->map->w, n);
}

void
session_node_removed(struct tailnet *t, struct node *n)
{
	struct map_state *m = t->map;

	if (n->map == NULL)
		return;
	if (n->session != NULL)
		session_send_forget(m, n->session);
	session_presence_forget(m, n);
	map_world_remove(&m->w, n);
}

void
session_end_node(struct tailnet *t, struct node *n)
{
	struct map_state *m = t->map;

	if (n->session != NULL) {
		n->map->gone_unix_s = clock_wall_s();
		session_send_end_take(m, n->session, map_full_end(&m->w, n));
	}
	session_presence_down(m, n);
}

static void
reply_text(struct tailnet *t, const struct ctl_peer *from, int status, const char *text)
{
	ts2021_reply(t->deps.control, from->conn, from->stream, status, 0,
	    shbuf_new(text, strlen(text)));
}

static void
key_fill(struct session *s, struct conn_ref conn, int32_t stream)
{
	s->key.worker = conn.worker;
	s->key.slot = conn.slot;
	s->key.generation = conn.generation;
	s->key.stream = (uint32_t)stream;
}

static struct session *
find(struct map_state *m, struct conn_ref conn, int32_t stream)
{
	struct session probe = { .magic = 0 };

	key_fill(&probe, conn, stream);
	return map_find(&m->sessions, &probe.key);
}

static void
stream_open(struct map_state *m, struct node *n, const struct ctl_peer *from)
{
	struct session *s = obj_alloc(sizeof(*s)), *same;

	if (n->session != NULL)
		session_send_close(m, n->session);
	if ((same = find(m, from->conn, from->stream)) != NULL)
		session_send_forget(m, same);	/* its end is still on the way to us */
	s->magic = SESSION_MAGIC;
	s->state = SESSION_BUSY;
	s->node = n;
	s->needs_full = true;
	key_fill(s, from->conn, from->stream);
	map_put(&m->sessions, s);
	n->session = s;
	metric_add(METRIC_MAP_STREAMS, 1);
	session_presence_up(m, n);
	session_send_queue(m, s, SESSION_FRESH);
	session_send_arm(m);
}

void
session_on_map(struct tailnet *t, const struct ctl_peer *from, struct map_req *req)
{
	struct node *n = map_find(&t->nodes_by_key, &req->node_key);
	char ip[NET_TEXT_MAX];

	OBJ_CHECK(t->map, MAP_STATE_MAGIC);
	if (n == NULL) {
		reply_text(t, from, 404, "this server does not know the node key");
		goto out;
	}
	if (!machine_key_eq(&n->machine_key, &from->machine)) {
		if (ratelimit_take(t->map->thefts, "", 0, clock_mono_ms()))
			log_warn(LOG_MAP, "map request for another machine's node", "node",
			    LOG_NUM(n->id), "ip", net_ip_put(&from->addr.ip, ip));
		reply_text(t, from, 401, "the node key belongs to another machine");
		goto out;
	}
	if (req->is_stream && !req->wants_zstd) {
		reply_text(t, from, 400, "maps are sent compressed with zstd only");
		goto out;
	}
	if (!req->is_read_only)
		change_note(t, n, session_apply(t, n, req));
	if (req->is_stream)
		stream_open(t->map, n, from);
	else
		ts2021_reply(t->deps.control, from->conn, from->stream, 200, 0, NULL);
out:
	msg_map_free(req);
}

void
session_on_drained(struct tailnet *t, struct conn_ref conn, int32_t stream)
{
	struct map_state *m = t->map;
	struct session *s = find(m, conn, stream);

	if (s == NULL)
		return;
	if (s->state == SESSION_ENDING) {
		session_send_last(m, s);
		return;
	}
	if (s->state != SESSION_BUSY)
		return;
	if (s->ping != NULL) {
		session_send_ping(m, s);
		return;
	}
	if (s->needs_full || s->node->map->needs_full)
		session_send_queue(m, s, SESSION_FRESH);
	else
		session_send_queue(m, s,
		    s->seq < m->w.published ? SESSION_BEHIND : SESSION_CURRENT);
	session_send_arm(m);
}

void
session_on_gone(struct tailnet *t, struct conn_ref conn, int32_t stream, unsigned silent_ms)
{
	struct map_state *m = t->map;
	struct session *s = find(m, conn, stream);

	if (s == NULL)
		return;
	struct node *n = s->node;
	session_send_forget(m, s);
	if (n != NULL)
		session_presence_gone(m, n, silent_ms);
}
