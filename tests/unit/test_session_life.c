/* links: coord/session coord/session_send coord/session_apply coord/session_presence coord/change coord/map_spread coord/map_delta coord/map_full coord/map_filter coord/map_private coord/map_policy coord/map_world coord/map_chunk coord/map_peer coord/node_attr coord/map_zstd coord/policy_world* coord/policy_users coord/policy_posture coord/policy_ssh* coord/policy coord/policy_parse* coord/hujson coord/ipset coord/derpmap coord/dns coord/dns_params coord/dns_spec coord/node coord/msg_map coord/hostinfo coord/tag coord/region */
/* Proves: what the begin, end and replacement of a stream, and the end of a node, mean for it and
 * its peers. */
#include "session_fixture.h"

static void
grace(void **state)
{
	struct fs *f = streams(2);

	(void)state;
	session_on_gone(&f->t, conn_of(1), 3, 0);
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

	/* gone for good: LastSeen is when its client was last heard of */
	session_on_gone(&f->t, conn_of(1), 3, 61999);
	int64_t gone = clock_wall_s() - 61;
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

/* A ping goes at once, or behind what is under way, the last one only; before what is to come then. */
static void
pings(void **state)
{
	struct fs *f = streams(3);
	json_t *msg;

	(void)state;
	assert_int_equal(session_ping_state(f->nodes[1]), SESSION_PING_NONE);
	assert_true(session_ping(&f->t, f->nodes[1], "{\"KeepAlive\":true,\"x\":1}"));
	assert_int_equal(session_ping_state(f->nodes[1]), SESSION_PING_LEFT);
	msg = take(1);
	assert_int_equal(json_integer_value(json_object_get(msg, "x")), 1);
	json_decref(msg);

	assert_true(session_ping(&f->t, f->nodes[1], "{\"x\":2}"));
	change_note(&f->t, f->nodes[2], CHANGE_WHOLE);
	turn(f);
	assert_true(session_ping(&f->t, f->nodes[1], "{\"x\":3}"));
	assert_null(take(1));
	assert_int_equal(session_ping_state(f->nodes[1]), SESSION_PING_WAITS);
	drained(f, 1);
	msg = take(1);
	assert_int_equal(json_integer_value(json_object_get(msg, "x")), 3);
	json_decref(msg);
	assert_int_equal(session_ping_state(f->nodes[1]), SESSION_PING_LEFT);
	drained(f, 1);
	turn(f);
	msg = take(1);
	assert_non_null(json_object_get(msg, "PeersChanged"));
	json_decref(msg);

	/* A new stream has none; the first message of one is its map. */
	ask(f, f->nodes[1], 77, request(f->nodes[1], true, "{\"Hostname\":\"h\"}"));
	assert_int_equal(session_ping_state(f->nodes[1]), SESSION_PING_NONE);
	assert_true(session_ping(&f->t, f->nodes[1], "{\"x\":4}"));
	turn(f);
	msg = take(77);
	assert_non_null(json_object_get(msg, "Peers"));
	json_decref(msg);
	drained(f, 77);
	msg = take(77);
	assert_int_equal(json_integer_value(json_object_get(msg, "x")), 4);
	json_decref(msg);
	assert_true(session_ping(&f->t, f->nodes[1], "{\"x\":5}"));	/* waits, and goes with the stream */
	session_on_gone(&f->t, conn_of(77), 3, 0);
	assert_false(session_ping(&f->t, f->nodes[1], "{\"x\":6}"));
	assert_int_equal(session_ping_state(f->nodes[1]), SESSION_PING_NONE);
	assert_true(session_ping(&f->t, f->nodes[3], "{\"x\":7}"));
	assert_true(session_ping(&f->t, f->nodes[3], "{\"x\":8}"));
	json_decref(take(3));
	drop(f, 3, true);			/* its last message takes the place of the ping */
	drained(f, 3);
	msg = take(3);
	assert_non_null(json_object_get(msg, "Node"));
	json_decref(msg);
	fs_free(f);
}

static void
replacement(void **state)
{
	struct fs *f = streams(2);

	(void)state;
	ask(f, f->nodes[1], 77, request(f->nodes[1], true, "{\"Hostname\":\"h\"}"));
	assert_int_equal(take_status(1), -1);
	session_on_gone(&f->t, conn_of(1), 3, 0);		/* of the old one: means nothing */
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
	session_on_gone(&f->t, conn_of(3), 3, 0);
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

/* Removals beyond what is kept: a stream that lacks them gets a full map; when it has no peer
 * left, which a full map cannot say, it has to begin anew. */
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
			join_seen(f, 150);
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

/* A node that joins is told of once: with its first stream, or, if it opens none, soon. */
static void
a_join_is_told_once(void **state)
{
	struct fs *f = streams(2);

	(void)state;
	struct node *n = join(f, 3);
	turn(f);
	assert_true(TAILQ_EMPTY(&sent_list));
	/* what it says before counts */
	ask(f, n, 8, request(n, false, "{\"Hostname\":\"h\",\"NetInfo\":{\"PreferredDERP\":900}}"));
	assert_int_equal(take_status(8), 200);
	turn(f);
	assert_true(TAILQ_EMPTY(&sent_list));
	open_stream(f, 3);
	turn(f);
	json_decref(take(3));
	json_t *msg = take(1), *peer = json_array_get(json_object_get(msg, "PeersChanged"), 0);
	assert_true(json_is_true(json_object_get(peer, "Online")));
	assert_int_equal(json_integer_value(json_object_get(peer, "HomeDERP")), 900);
	assert_null(json_object_get(msg, "PeersChangedPatch"));
	json_decref(msg);
	for (unsigned i = 1; i <= 3; i++)
		drained(f, i);
	json_decref(take(2));
	advance(SESSION_UNSEEN_MS);
	session_presence_run_unseen(f->t.map);
	turn(f);
	assert_true(TAILQ_EMPTY(&sent_list));

	/* by the loop's own timer when there is no stream; one of them is gone before */
	drained(f, 2);
	join(f, 4);
	join(f, 5);
	drop(f, 4, true);
	advance(SESSION_UNSEEN_MS - 1);
	session_presence_run_unseen(f->t.map);
	turn(f);
	assert_true(TAILQ_EMPTY(&sent_list));
	advance(1);
	session_presence_run_unseen(f->t.map);
	turn(f);
	msg = take(1);
	assert_int_equal(json_array_size(json_object_get(msg, "PeersChanged")), 1);
	assert_null(json_object_get(msg, "PeersRemoved"));
	json_decref(msg);
	fs_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grace),
		cmocka_unit_test(restart_gives_grace),
		cmocka_unit_test(pings), cmocka_unit_test(replacement),
		cmocka_unit_test(deletion),
		cmocka_unit_test(key_expiry_reaches_the_node),
		cmocka_unit_test(overrun),
		cmocka_unit_test(a_join_is_told_once),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
