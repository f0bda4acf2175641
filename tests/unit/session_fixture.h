/*
 * For the tests of sessions: ts2021 and the tailnet played by the test (what they are called with
 * is recorded), a tailnet of records, and clients that ask and drain. Included by one file of a
 * program.
 */
#ifndef TESTS_SESSION_FIXTURE_H
#define TESTS_SESSION_FIXTURE_H

#include "map_fixture.h"

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "coord/session_state.h"
#include "coord/tailnet_cluster.h"
#include "coord/tailnet_route.h"

#define GRACE_S 10

struct sent {
	TAILQ_ENTRY(sent) link;
	uint32_t slot;
	int32_t stream;
	json_t *msg;		/* of a map message */
	int status;		/* of a reply; 0: a map message, -1: stream end */
	bool is_last;
};

static TAILQ_HEAD(sent_head, sent) sent_list = TAILQ_HEAD_INITIALIZER(sent_list);
static unsigned n_soft_dirty, n_hostname, n_advertised;
static int64_t mono_ms;

static inline struct sent *
record(struct conn_ref conn, int32_t stream)
{
	struct sent *s = obj_alloc(sizeof(*s));

	s->slot = conn.slot;
	s->stream = stream;
	TAILQ_INSERT_TAIL(&sent_list, s, link);
	return s;
}

void
tailnet_cluster_note(struct tailnet *t, const struct node *n)
{
	(void)t;
	(void)n;
}

void
ts2021_reply(struct ts2021 *c, struct conn_ref conn, int32_t stream, int status, int retry_after_s,
	struct shbuf *body)
{
	(void)c;
	assert_int_equal(retry_after_s, 0);
	record(conn, stream)->status = status;
	shbuf_drop(body);
}

void
ts2021_map_send(struct ts2021 *c, struct conn_ref conn, int32_t stream, struct shbuf **segs,
	unsigned n, bool is_last)
{
	struct sent *s = record(conn, stream);

	(void)c;
	assert_true(n > 0);
	s->msg = fx_json(segs, n);
	s->is_last = is_last;
	for (unsigned i = 0; i < n; i++)
		shbuf_drop(segs[i]);
}

void
ts2021_stream_end(struct ts2021 *c, struct conn_ref conn, int32_t stream)
{
	(void)c;
	record(conn, stream)->status = -1;
}

void
tailnet_soft_dirty(struct tailnet *t, struct node *n)
{
	(void)t;
	(void)n;
	n_soft_dirty++;
}

void
tailnet_route_advertised(struct tailnet *t, struct node *n)
{
	(void)t;
	(void)n;
	n_advertised++;
}

void
tailnet_node_hostname(struct tailnet *t, struct node *n)
{
	(void)t;
	(void)n;
	n_hostname++;
}

static inline void
sent_drop(struct sent *s)
{
	TAILQ_REMOVE(&sent_list, s, link);
	json_decref(s->msg);
	free(s);
}

/* --- the tailnet ------------------------------------------------------------------------------ */

struct fs {
	struct config cfg;
	struct tailnet t;
	struct node *nodes[500];
};

static inline void
advance(int64_t ms)
{
	mono_ms += ms;
	clock_test_set(mono_ms, FX_NOW + mono_ms / 1000);
}

static inline struct node *
join(struct fs *f, int64_t id)
{
	struct node *n = f->nodes[id] = fx_node(id, 1);
	struct err_text why;

	fx_host_free(n->host);
	assert_int_equal(hostinfo_parse("{\"Hostname\":\"h\"}", 16, &n->host, &why), ERR_OK);
	map_put(&f->t.nodes, n);
	map_put(&f->t.nodes_by_key, n);
	session_node_added(&f->t, n);
	if (f->t.map->is_loaded)
		change_note(&f->t, n, CHANGE_JOINED);
	return n;
}

/* It joins, and opens no stream so long that its peers are told. */
static inline struct node *
join_seen(struct fs *f, int64_t id)
{
	struct node *n = join(f, id);

	advance(SESSION_UNSEEN_MS);
	session_presence_run_unseen(f->t.map);
	return n;
}

/* What tailnet does with a removed node. */
static inline void
drop(struct fs *f, int64_t id, bool is_told)
{
	struct node *n = f->nodes[id];

	if (is_told) {
		session_end_node(&f->t, n);
		change_note(&f->t, n, CHANGE_REMOVED);
	}
	session_node_removed(&f->t, n);
	map_remove(&f->t.nodes, &n->id);
	map_remove(&f->t.nodes_by_key, &n->node_key);
	fx_tags(n, NULL, 0);
	free(n->routes);
	free(n->endpoints);
	hostinfo_drop(n->host);
	free(n);
	f->nodes[id] = NULL;
}

static inline struct fs *
fs_new(unsigned n_nodes)
{
	static char domain[] = "tail.example", region[] = "home";
	struct fs *f = obj_alloc(sizeof(*f));

	mono_ms = 0;
	advance(100000);
	n_soft_dirty = n_hostname = 0;
	f->cfg.dns.base_domain = domain;
	f->cfg.node.offline_grace_s = GRACE_S;
	f->cfg.derp.is_enabled = true;
	f->cfg.derp.region_id = 900;
	f->cfg.derp.region_code = region;
	f->cfg.derp.region_name = region;
	f->t.magic = TAILNET_MAGIC;
	f->t.deps.cfg = &f->cfg;
	f->t.deps.base = event_base_new();
	f->t.deps.derp_host = "192.0.2.1";
	f->t.deps.server_url = "https://192.0.2.1";
	f->t.deps.derp_port = 443;
	MAP_INIT(&f->t.users, struct user, id);
	MAP_INIT(&f->t.nodes, struct node, id);
	MAP_INIT(&f->t.nodes_by_key, struct node, node_key);
	f->t.map = session_state_new(&f->t);
	fx_user(&f->t.users, 1, "ann");
	for (unsigned i = 1; i <= n_nodes; i++)
		join(f, i);
	session_state_loaded(&f->t);
	return f;
}

static inline void
fs_free(struct fs *f)
{
	struct user *u;
	struct sent *s;
	size_t cursor = 0;

	for (unsigned i = 0; i < COUNT_OF(f->nodes); i++)
		if (f->nodes[i] != NULL)
			drop(f, i, false);
	session_state_free(f->t.map);
	while ((u = map_next(&f->t.users, &cursor)) != NULL)
		free(u);
	map_fini(&f->t.users);
	map_fini(&f->t.nodes);
	map_fini(&f->t.nodes_by_key);
	event_base_free(f->t.deps.base);
	while ((s = TAILQ_FIRST(&sent_list)) != NULL)
		sent_drop(s);
	free(f);
	assert_int_equal(metric_get(METRIC_NODES_ONLINE), 0);
	assert_int_equal(metric_get(METRIC_MAP_STREAMS), 0);
	clock_test_stop();
}

/* A turn of the loop, late enough for every window of a handful of streams. */
static inline void
turn(struct fs *f)
{
	advance(2);
	session_send_run(f->t.map);
	session_presence_run(f->t.map);
}

/* --- the client ------------------------------------------------------------------------------- */

static inline struct map_req *
request(const struct node *n, bool is_stream, const char *host)
{
	struct map_req *r = obj_alloc(sizeof(*r));
	struct err_text why;

	r->version = 145;
	r->node_key = n->node_key;
	r->is_stream = is_stream;
	r->omits_peers = !is_stream;
	r->wants_zstd = true;
	assert_int_equal(hostinfo_parse(host, strlen(host), &r->host, &why), ERR_OK);
	return r;
}

static inline struct conn_ref
conn_of(uint32_t slot)
{
	return (struct conn_ref){ .worker = 1, .slot = slot, .generation = 5 };
}

static inline void
ask(struct fs *f, const struct node *n, uint32_t slot, struct map_req *r)
{
	struct ctl_peer from = { .conn = conn_of(slot), .stream = 3, .machine = n->machine_key };

	session_on_map(&f->t, &from, r);
}

static inline void
open_stream(struct fs *f, int64_t id)
{
	ask(f, f->nodes[id], (uint32_t)id, request(f->nodes[id], true, "{\"Hostname\":\"h\"}"));
}

static inline void
drained(struct fs *f, uint32_t slot)
{
	session_on_drained(&f->t, conn_of(slot), 3);
}

/* The one message that went to this connection, and to it alone if only one is expected; NULL:
 * none. */
static inline json_t *
take(uint32_t slot)
{
	struct sent *s, *next;
	json_t *msg = NULL;

	TAILQ_FOREACH_SAFE(s, &sent_list, link, next) {
		if (s->slot != slot || s->msg == NULL)
			continue;
		assert_null(msg);		/* never two answers without a drain between */
		msg = json_incref(s->msg);
		sent_drop(s);
	}
	return msg;
}

static inline int
take_status(uint32_t slot)
{
	struct sent *s, *next;
	int status = 0;

	TAILQ_FOREACH_SAFE(s, &sent_list, link, next)
		if (s->slot == slot && s->msg == NULL) {
			assert_int_equal(status, 0);
			status = s->status;
			sent_drop(s);
		}
	return status;
}

static inline void
assert_text(json_t *msg, const char *want)
{
	char *text = msg == NULL ? strdup("") : json_dumps(msg, JSON_COMPACT);

	assert_string_equal(text, want);
	free(text);
	json_decref(msg);
}

/* Streams 1..n are open, have their first map and are waiting. */
static inline struct fs *
streams(unsigned n)
{
	struct fs *f = fs_new(n);

	for (unsigned i = 1; i <= n; i++)
		open_stream(f, i);
	for (unsigned k = 0; k < 4; k++) {
		turn(f);
		for (unsigned i = 1; i <= n; i++) {
			json_decref(take(i));
			drained(f, i);
		}
	}
	turn(f);
	assert_true(TAILQ_EMPTY(&sent_list));
	return f;
}

#endif
