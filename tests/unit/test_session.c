/* links: coord/session coord/session_send coord/session_apply coord/session_presence coord/change coord/map_spread coord/map_delta coord/map_full coord/map_world coord/map_chunk coord/map_peer coord/map_zstd coord/policy_class coord/derpmap coord/dns coord/msg_map coord/hostinfo coord/tag */
/* Proves: what a client says reaches the streams of its peers as the smallest message, one answer at a time, and what a
 * stream's begin, end and replacement mean for its node. ts2021 and the tailnet are played by the test. */
#include "map_fixture.h"

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "coord/session_state.h"

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
static unsigned n_soft_dirty, n_hostname;
static int64_t mono_ms;

static struct sent *
record(struct conn_ref conn, int32_t stream)
{
	struct sent *s = obj_alloc(sizeof(*s));

	s->slot = conn.slot;
	s->stream = stream;
	TAILQ_INSERT_TAIL(&sent_list, s, link);
	return s;
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
tailnet_node_hostname(struct tailnet *t, struct node *n)
{
	(void)t;
	(void)n;
	n_hostname++;
}

static void
sent_drop(struct sent *s)
{
	TAILQ_REMOVE(&sent_list, s, link);
	json_decref(s->msg);
	free(s);
}

/* --- the tailnet -------------------------------------------------------------------------------- */

struct fs {
	struct config cfg;
	struct tailnet t;
	struct node *nodes[200];
};

static void
advance(int64_t ms)
{
	mono_ms += ms;
	clock_test_set(mono_ms, FX_NOW + mono_ms / 1000);
}

static struct node *
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

/* What tailnet does with a removed node. */
static void
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
	free(n->endpoints);
	hostinfo_drop(n->host);
	free(n);
	f->nodes[id] = NULL;
}

static struct fs *
fs_new(unsigned n_nodes)
{
	static char domain[] = "tail.example";
	struct fs *f = obj_alloc(sizeof(*f));

	mono_ms = 0;
	advance(100000);
	n_soft_dirty = n_hostname = 0;
	f->cfg.dns.base_domain = domain;
	f->cfg.node.offline_grace_s = GRACE_S;
	f->cfg.derp.is_enabled = true;
	f->t.magic = TAILNET_MAGIC;
	f->t.deps.cfg = &f->cfg;
	f->t.deps.base = event_base_new();
	f->t.deps.derp_host = "192.0.2.1";
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

static void
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
static void
turn(struct fs *f)
{
	advance(2);
	session_send_run(f->t.map);
	session_presence_run(f->t.map);
}

/* --- the client --------------------------------------------------------------------------------- */

static struct map_req *
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

static struct conn_ref
conn_of(uint32_t slot)
{
	return (struct conn_ref){ .worker = 1, .slot = slot, .generation = 5 };
}

static void
ask(struct fs *f, const struct node *n, uint32_t slot, struct map_req *r)
{
	struct ctl_peer from = { .conn = conn_of(slot), .stream = 3, .machine = n->machine_key };

	session_on_map(&f->t, &from, r);
}

static void
open_stream(struct fs *f, int64_t id)
{
	ask(f, f->nodes[id], (uint32_t)id, request(f->nodes[id], true, "{\"Hostname\":\"h\"}"));
}

static void
drained(struct fs *f, uint32_t slot)
{
	session_on_drained(&f->t, conn_of(slot), 3);
}

/* The one message that went to this connection, and to it alone if only one is expected; NULL: none. */
static json_t *
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

static int
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

static void
assert_text(json_t *msg, const char *want)
{
	char *text = msg == NULL ? strdup("") : json_dumps(msg, JSON_COMPACT);

	assert_string_equal(text, want);
	free(text);
	json_decref(msg);
}

/* Streams 1..n are open, have their first map and are waiting. */
static struct fs *
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

/* --- the tests ---------------------------------------------------------------------------------- */

static void
first_map(void **state)
{
	struct fs *f = fs_new(3);
	json_t *map;

	(void)state;
	/* by the loop's own timer, without waiting */
	open_stream(f, 1);
	assert_null(take(1));
	event_base_loop(f->t.deps.base, EVLOOP_ONCE);
	map = take(1);
	assert_non_null(map);
	assert_int_equal(json_array_size(json_object_get(map, "Peers")), 2);
	assert_non_null(json_object_get(json_object_get(json_object_get(map, "DERPMap"), "Regions"),
	    "900"));
	assert_non_null(json_object_get(map, "DNSConfig"));
	json_decref(map);
	assert_int_equal(metric_get(METRIC_MAP_STREAMS), 1);
	assert_int_equal(metric_get(METRIC_NODES_ONLINE), 1);
	assert_true(f->nodes[1]->is_online);
	assert_ptr_equal(f->nodes[1]->session->node, f->nodes[1]);
	fs_free(f);
}

static void
refusals(void **state)
{
	struct fs *f = fs_new(2);
	struct map_req *r;
	struct ctl_peer from = { .conn = conn_of(9), .stream = 3 };

	(void)state;
	r = request(f->nodes[1], true, "{}");
	r->node_key.b[5] ^= 1;
	session_on_map(&f->t, &from, r);
	assert_int_equal(take_status(9), 404);
	from.machine = f->nodes[2]->machine_key;
	session_on_map(&f->t, &from, request(f->nodes[1], true, "{\"Hostname\":\"evil\"}"));
	assert_int_equal(take_status(9), 401);
	r = request(f->nodes[2], true, "{\"Hostname\":\"h\"}");
	r->wants_zstd = false;
	session_on_map(&f->t, &from, r);
	assert_int_equal(take_status(9), 400);
	assert_int_equal(n_hostname, 0);
	assert_int_equal(metric_get(METRIC_MAP_STREAMS), 0);
	/* late news of streams that nobody knows */
	session_on_drained(&f->t, conn_of(9), 3);
	session_on_gone(&f->t, conn_of(9), 3);
	fs_free(f);
}

static void
lite_updates(void **state)
{
	struct fs *f = streams(2);
	struct node *n = f->nodes[1];
	struct map_req *r;
	static const char net[] = "{\"Hostname\":\"h\",\"NetInfo\":{\"PreferredDERP\":900}}";
	char disco[KEY_TEXT_MAX], want[256];

	(void)state;
	n_soft_dirty = 0;
	/* nothing new: no change, no write */
	ask(f, n, 8, request(n, false, "{\"Hostname\":\"h\"}"));
	assert_int_equal(take_status(8), 200);
	turn(f);
	assert_true(TAILQ_EMPTY(&sent_list));
	assert_int_equal(n_soft_dirty, 0);

	r = request(n, false, "{\"Hostname\":\"h\"}");
	r->has_endpoints = true;
	r->n_endpoints = 1;
	r->endpoints = obj_alloc(sizeof(*r->endpoints));
	r->endpoints[0].addr = (struct net_addr){ { 4, { 192, 0, 2, 7 } }, 41641 };
	ask(f, n, 8, r);
	assert_int_equal(take_status(8), 200);
	turn(f);
	assert_text(take(2), "{\"PeersChangedPatch\":[{\"NodeID\":1,\"Endpoints\":"
	    "[\"192.0.2.7:41641\"]}]}");
	drained(f, 2);
	assert_null(take(1));
	assert_int_equal(n_soft_dirty, 1);

	ask(f, n, 8, request(n, false, net));
	turn(f);
	assert_text(take(2), "{\"PeersChangedPatch\":[{\"NodeID\":1,\"DERPRegion\":900}]}");
	drained(f, 2);
	assert_int_equal(n->home_derp, 900);
	/* without NetInfo, and with "none found": stays */
	ask(f, n, 8, request(n, false, "{\"Hostname\":\"h\"}"));
	ask(f, n, 8, request(n, false, "{\"Hostname\":\"h\",\"NetInfo\":{\"PreferredDERP\":0}}"));
	turn(f);
	assert_null(take(2));
	assert_int_equal(n->home_derp, 900);

	r = request(n, false, net);
	r->has_disco_key = true;
	memset(&r->disco_key, 0x77, sizeof(r->disco_key));
	disco_key_put(&r->disco_key, disco);
	ask(f, n, 8, r);
	turn(f);
	snprintf(want, sizeof(want), "{\"PeersChangedPatch\":[{\"NodeID\":1,\"DiscoKey\":\"%s\","
	    "\"Online\":true}]}", disco);
	assert_text(take(2), want);
	drained(f, 2);
	/* a key of zeros is none */
	r = request(n, false, net);
	r->has_disco_key = true;
	ask(f, n, 8, r);
	turn(f);
	assert_null(take(2));
	fs_free(f);
}

static void
host_changes(void **state)
{
	struct fs *f = streams(2);
	struct node *n = f->nodes[1];
	struct map_req *r;
	json_t *msg, *peer;

	(void)state;
	n_hostname = 0;
	ask(f, n, 8, request(n, false, "{\"Hostname\":\"h\",\"OS\":\"linux\","
	    "\"Services\":[{\"Proto\":\"peerapi4\",\"Port\":7}]}"));
	turn(f);
	msg = take(2);
	peer = json_array_get(json_object_get(msg, "PeersChanged"), 0);
	assert_non_null(json_object_get(json_object_get(peer, "Hostinfo"), "Services"));
	json_decref(msg);
	drained(f, 2);
	assert_null(take(1));		/* no echo to the node itself */
	assert_int_equal(n_hostname, 0);
	ask(f, n, 8, request(n, false, "{\"Hostname\":\"new\"}"));
	assert_int_equal(n_hostname, 1);
	turn(f);
	json_decref(take(2));
	drained(f, 2);

	/* capability version, by a newer client */
	r = request(n, false, "{\"Hostname\":\"new\"}");
	r->version = 146;
	ask(f, n, 8, r);
	turn(f);
	msg = take(2);
	peer = json_array_get(json_object_get(msg, "PeersChanged"), 0);
	assert_int_equal(json_integer_value(json_object_get(peer, "Cap")), 146);
	json_decref(msg);
	drained(f, 2);

	/* read-only: opens a stream, changes nothing */
	r = request(n, true, "{\"Hostname\":\"other\"}");
	r->is_read_only = true;
	ask(f, n, 11, r);
	assert_int_equal(n_hostname, 1);
	fs_free(f);
}

static void
join_is_seen(void **state)
{
	struct fs *f = streams(2);
	json_t *msg;

	(void)state;
	join(f, 3);
	turn(f);
	for (uint32_t i = 1; i <= 2; i++) {
		msg = take(i);
		assert_int_equal(json_object_size(msg), 2);
		assert_int_equal(json_array_size(json_object_get(msg, "PeersChanged")), 1);
		assert_int_equal(json_array_size(json_object_get(msg, "UserProfiles")), 1);
		json_decref(msg);
		drained(f, i);
	}
	/* its own stream: a full map, and it is online; then silence */
	open_stream(f, 3);
	turn(f);
	msg = take(3);
	assert_int_equal(json_array_size(json_object_get(msg, "Peers")), 2);
	json_decref(msg);
	drained(f, 3);
	msg = take(1);
	assert_true(json_is_true(json_object_get(json_array_get(
	    json_object_get(msg, "PeersChangedPatch"), 0), "Online")));
	json_decref(msg);
	turn(f);
	assert_null(take(3));
	fs_free(f);
}

static void
slow_stream_gets_one_merged_delta(void **state)
{
	struct fs *f = streams(3);
	json_t *msg;

	(void)state;
	fx_endpoint(f->nodes[1], 1);
	change_note(&f->t, f->nodes[1], CHANGE_ENDPOINTS);
	turn(f);
	json_decref(take(2));		/* 2 is slow from here on: not drained */
	for (uint16_t i = 0; i < 50; i++) {
		fx_endpoint(f->nodes[1], (uint16_t)(100 + i));
		change_note(&f->t, f->nodes[1], CHANGE_ENDPOINTS);
		join(f, 100 + i);
		turn(f);
		assert_null(take(2));
		json_decref(take(3));
		drained(f, 3);
	}
	drop(f, 110, true);
	turn(f);
	assert_null(take(2));
	drained(f, 2);
	turn(f);
	msg = take(2);
	assert_int_equal(json_array_size(json_object_get(msg, "PeersChanged")), 49);
	assert_int_equal(json_array_size(json_object_get(msg, "PeersRemoved")), 1);
	json_t *patches = json_object_get(msg, "PeersChangedPatch");
	assert_int_equal(json_array_size(patches), 1);
	assert_string_equal(json_string_value(json_array_get(json_object_get(json_array_get(patches,
	    0), "Endpoints"), 0)), "192.0.2.1:149");
	json_decref(msg);
	drained(f, 2);
	turn(f);
	assert_null(take(2));
	fs_free(f);
}

static void
grace(void **state)
{
	struct fs *f = streams(2);

	(void)state;
	session_on_gone(&f->t, conn_of(1), 3);
	assert_null(f->nodes[1]->session);
	for (unsigned i = 0; i < GRACE_S - 1; i++) {
		advance(1000);
		turn(f);
	}
	assert_null(take(2));
	assert_true(f->nodes[1]->is_online);
	/* back in time: nobody hears a word */
	open_stream(f, 1);
	turn(f);
	json_decref(take(1));
	drained(f, 1);
	advance(100000);
	turn(f);
	assert_true(TAILQ_EMPTY(&sent_list));
	assert_int_equal(metric_get(METRIC_NODES_ONLINE), 2);

	/* gone for good: LastSeen is when the stream ended */
	session_on_gone(&f->t, conn_of(1), 3);
	int64_t gone = clock_wall_s();
	advance(GRACE_S * 1000);
	turn(f);
	turn(f);
	assert_false(f->nodes[1]->is_online);
	assert_int_equal(f->nodes[1]->last_seen_unix_s, gone);
	json_t *msg = take(2), *patch = json_array_get(json_object_get(msg, "PeersChangedPatch"), 0);
	assert_true(json_is_false(json_object_get(patch, "Online")));
	assert_non_null(json_object_get(patch, "LastSeen"));
	json_decref(msg);
	assert_int_equal(metric_get(METRIC_NODES_ONLINE), 1);
	fs_free(f);
}

static void
restart_gives_grace(void **state)
{
	struct fs *f = fs_new(0);

	(void)state;
	f->t.map->is_loaded = false;
	join(f, 1);
	join(f, 2)->is_online = true;
	join(f, 3)->is_online = true;
	session_state_loaded(&f->t);
	assert_int_equal(metric_get(METRIC_NODES_ONLINE), 2);
	open_stream(f, 1);
	open_stream(f, 3);
	turn(f);
	json_decref(take(1));
	json_decref(take(3));
	drained(f, 1);
	drained(f, 3);
	turn(f);
	json_decref(take(3));		/* that 1 is online */
	drained(f, 3);
	advance(GRACE_S * 1000);
	turn(f);
	turn(f);
	json_t *msg = take(1);
	assert_int_equal(json_array_size(json_object_get(msg, "PeersChangedPatch")), 1);
	json_decref(msg);
	assert_false(f->nodes[2]->is_online);
	assert_true(f->nodes[3]->is_online);
	fs_free(f);
}

static void
replacement(void **state)
{
	struct fs *f = streams(2);

	(void)state;
	ask(f, f->nodes[1], 77, request(f->nodes[1], true, "{\"Hostname\":\"h\"}"));
	assert_int_equal(take_status(1), -1);
	session_on_gone(&f->t, conn_of(1), 3);		/* of the old one: means nothing */
	drained(f, 1);
	turn(f);
	json_decref(take(77));
	drained(f, 77);
	advance(GRACE_S * 2000);
	turn(f);
	assert_true(f->nodes[1]->is_online);
	assert_null(take(2));
	assert_int_equal(metric_get(METRIC_MAP_STREAMS), 2);
	/* the same name again, its end not yet heard of */
	ask(f, f->nodes[2], 77, request(f->nodes[2], true, "{\"Hostname\":\"h\"}"));
	assert_int_equal(take_status(2), -1);
	assert_null(f->nodes[1]->session);
	assert_non_null(f->nodes[2]->session);
	fs_free(f);
}

static void
deletion(void **state)
{
	struct fs *f = streams(3);
	struct sent *s;

	(void)state;
	/* at once, to a stream that is waiting */
	drop(f, 1, true);
	s = TAILQ_FIRST(&sent_list);
	assert_non_null(s);
	assert_true(s->slot == 1 && s->is_last);
	assert_string_equal(json_string_value(json_object_get(json_object_get(s->msg, "Node"),
	    "KeyExpiry")), "1970-01-01T00:02:03Z");
	json_decref(take(1));
	turn(f);
	json_t *msg = take(2);
	assert_int_equal(json_integer_value(json_array_get(json_object_get(msg, "PeersRemoved"), 0)),
	    1);
	json_decref(msg);
	/* after the answer under way, to one that is not: 2 has not drained */
	drop(f, 2, true);
	assert_null(take(2));
	turn(f);
	assert_null(take(2));
	drained(f, 2);
	s = TAILQ_LAST(&sent_list, sent_head);
	assert_non_null(s);
	assert_true(s->slot == 2 && s->is_last);
	json_decref(take(2));
	drained(f, 2);
	assert_int_equal(metric_get(METRIC_MAP_STREAMS), 1);
	/* gone before it could be told */
	json_decref(take(3));
	drop(f, 3, true);
	session_on_gone(&f->t, conn_of(3), 3);
	assert_int_equal(metric_get(METRIC_MAP_STREAMS), 0);
	fs_free(f);
}

static void
key_expiry_reaches_the_node(void **state)
{
	struct fs *f = streams(2);
	json_t *msg;

	(void)state;
	f->nodes[1]->key_expiry_unix_s = clock_wall_s() - 1;
	change_note(&f->t, f->nodes[1], CHANGE_KEY | CHANGE_SELF);
	turn(f);
	msg = take(1);
	assert_non_null(json_object_get(json_object_get(msg, "Node"), "KeyExpiry"));
	json_decref(msg);
	msg = take(2);
	assert_true(json_is_true(json_object_get(json_array_get(json_object_get(msg, "PeersChanged"),
	    0), "Expired")));
	json_decref(msg);
	/* an expired node may still stream: its client shows that it has to log in */
	ask(f, f->nodes[1], 50, request(f->nodes[1], true, "{\"Hostname\":\"h\"}"));
	turn(f);
	msg = take(50);
	assert_non_null(json_object_get(json_object_get(msg, "Node"), "KeyExpiry"));
	json_decref(msg);
	fs_free(f);
}

/* Removals beyond what is kept: a stream that lacks them gets a full map; when it has no peer left, which a full
 * map cannot say, it has to begin anew. */
static void
overrun(void **state)
{
	for (unsigned others = 0; others < 2; others++) {
		struct fs *f = streams(2 + others);

		(void)state;
		fx_endpoint(f->nodes[1], 1);
		change_note(&f->t, f->nodes[1], CHANGE_ENDPOINTS);
		turn(f);
		json_decref(take(2));
		for (unsigned i = 0; i <= MAP_WORLD_TOMBS_MAX; i++) {
			join(f, 150);
			drop(f, 150, true);
		}
		drop(f, 1, true);
		turn(f);
		drained(f, 2);
		turn(f);
		if (others == 0) {
			assert_int_equal(take_status(2), -1);
			assert_null(f->nodes[2]->session);
			assert_true(f->nodes[2]->map->is_in_grace);
		} else {
			json_t *msg = take(2);
			assert_int_equal(json_array_size(json_object_get(msg, "Peers")), 1);
			json_decref(msg);
		}
		fs_free(f);
	}
}

static void
for_all(void **state)
{
	struct fs *f = streams(2);
	json_t *msg;
	int64_t id = 1;

	(void)state;
	change_note_all(&f->t, CHANGE_ALL_DNS | CHANGE_ALL_DERP | CHANGE_ALL_USERS);
	turn(f);
	assert_true(TAILQ_EMPTY(&sent_list));	/* all is as it was */
	f->cfg.dns.magic_dns = true;
	f->t.deps.stun_port = 3478;
	struct user *u = map_find(&f->t.users, &id);
	snprintf(u->name, sizeof(u->name), "ann@example.org");
	change_note_all(&f->t, CHANGE_ALL_DNS | CHANGE_ALL_DERP | CHANGE_ALL_USERS);
	turn(f);
	msg = take(1);
	assert_int_equal(json_object_size(msg), 3);
	assert_true(json_is_true(json_object_get(json_object_get(msg, "DNSConfig"), "Proxied")));
	assert_non_null(json_object_get(msg, "DERPMap"));
	assert_non_null(json_object_get(msg, "UserProfiles"));
	json_decref(msg);
	drained(f, 1);
	change_note_all(&f->t, CHANGE_ALL_POLICY);	/* the same filters: no news */
	turn(f);
	assert_null(take(1));
	fs_free(f);
}

/* In a storm a plain change waits for the window, a new home relay does not. */
static void
pace(void **state)
{
	struct fs *f = streams(3);
	struct map_spread *s = &f->t.map->spread;

	(void)state;
	s->cost_us = 40000;
	advance(1000);
	change_note(&f->t, f->nodes[1], CHANGE_ENDPOINTS);
	session_send_run(f->t.map);		/* quiet before: at once */
	json_decref(take(2));
	drained(f, 2);
	s->cost_us = 40000;
	change_note(&f->t, f->nodes[1], CHANGE_ENDPOINTS);
	advance(119);
	session_send_run(f->t.map);
	assert_null(take(2));
	advance(1);
	session_send_run(f->t.map);
	json_decref(take(2));
	drained(f, 2);
	s->cost_us = 40000;
	f->nodes[1]->home_derp = 901;
	change_note(&f->t, f->nodes[1], CHANGE_HOME);
	advance(40);
	session_send_run(f->t.map);
	assert_text(take(2), "{\"PeersChangedPatch\":[{\"NodeID\":1,\"DERPRegion\":901}]}");
	fs_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_map),
		cmocka_unit_test(refusals),
		cmocka_unit_test(lite_updates),
		cmocka_unit_test(host_changes),
		cmocka_unit_test(join_is_seen),
		cmocka_unit_test(slow_stream_gets_one_merged_delta),
		cmocka_unit_test(grace),
		cmocka_unit_test(restart_gives_grace),
		cmocka_unit_test(replacement),
		cmocka_unit_test(deletion),
		cmocka_unit_test(key_expiry_reaches_the_node),
		cmocka_unit_test(overrun),
		cmocka_unit_test(for_all),
		cmocka_unit_test(pace),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
