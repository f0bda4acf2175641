/* links: coord/session coord/session_send coord/session_apply coord/session_presence coord/change coord/map_spread coord/map_delta coord/map_full coord/map_filter coord/map_private coord/map_policy coord/map_world coord/map_chunk coord/map_peer coord/node_attr coord/map_zstd coord/policy_world* coord/policy_users coord/policy_posture coord/policy_ssh* coord/policy coord/policy_parse* coord/hujson coord/ipset coord/derpmap coord/dns coord/dns_params coord/dns_spec coord/node coord/msg_map coord/hostinfo coord/tag coord/region */
/* Proves: what a client says reaches the streams of its peers as the smallest message, one
 * answer at a time, and no sooner or later than the pace allows. */
#include "session_fixture.h"

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
	session_on_gone(&f->t, conn_of(9), 3, 0);
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
	/* the same again, and another port */
	for (unsigned i = 0; i < 2; i++) {
		r = request(n, false, "{\"Hostname\":\"h\"}");
		r->has_endpoints = true;
		r->n_endpoints = 1;
		r->endpoints = obj_alloc(sizeof(*r->endpoints));
		r->endpoints[0].addr = n->endpoints[0].addr;
		r->endpoints[0].addr.port = (uint16_t)(41641 + i);
		ask(f, n, 8, r);
		assert_int_equal(take_status(8), 200);
		turn(f);
		assert_text(take(2), i == 0 ? "" : "{\"PeersChangedPatch\":[{\"NodeID\":1,"
		    "\"Endpoints\":[\"192.0.2.7:41642\"]}]}");
		drained(f, 2);
	}
	/* without any, and without saying so */
	r = request(n, false, "{\"Hostname\":\"h\"}");
	r->has_endpoints = true;
	ask(f, n, 8, r);
	assert_int_equal(take_status(8), 200);
	hostinfo_drop((r = request(n, false, "{}"))->host);
	r->host = NULL;
	ask(f, n, 8, r);
	assert_int_equal(take_status(8), 200);
	turn(f);
	assert_text(take(2), "{\"PeersChangedPatch\":[{\"NodeID\":1,\"Endpoints\":[]}]}");
	drained(f, 2);

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
	join_seen(f, 3);
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
		join_seen(f, 100 + i);
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
	change_policy_set(&f->t, NULL);		/* the same as before: no news */
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

/* Chunks for a first map are made in steps between which the clock is looked at; the map is the same. */
static void
large_first_map(void **state)
{
	struct fs *f = fs_new(450);

	(void)state;
	open_stream(f, 1);
	turn(f);
	json_t *map = take(1);
	assert_int_equal(json_array_size(json_object_get(map, "Peers")), 449);
	json_decref(map);
	assert_int_equal(f->nodes[1]->session->n_steps, 0);
	fs_free(f);
}

static void
policy_set(struct fs *f, const char *text)
{
	struct policy_errors errors = { .n = 0 };
	struct policy *p;

	assert_int_equal(policy_parse(text, strlen(text), &p, &errors), ERR_OK);
	change_policy_set(&f->t, p);
	policy_drop(p);
}

/* All that there is to send is sent and read. */
static void
drain(struct fs *f, uint32_t n)
{
	for (unsigned k = 0; k < 4; k++) {
		turn(f);
		for (uint32_t i = 1; i <= n; i++) {
			json_decref(take(i));
			drained(f, i);
		}
	}
}

static void
policies(void **state)
{
	static const char *const tags[] = { "tag:x" };
	struct fs *f = streams(3);
	json_t *msg;

	(void)state;
	/* only the filter is another */
	policy_set(f, "{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:80\"]}]}");
	turn(f);
	for (uint32_t i = 1; i <= 3; i++) {
		msg = take(i);
		assert_int_equal(json_object_size(msg), 1);
		assert_non_null(json_object_get(json_object_get(msg, "PacketFilters"), "base"));
		json_decref(msg);
		drained(f, i);
	}
	/* 2 leaves the row of the others; 3 is moved while its answer is under way, and joins it */
	policy_set(f, "{ // rows version 1\n \"tagOwners\": {\"tag:x\": []}, \"acls\": ["
	    "{\"action\": \"accept\", \"src\": [\"ann@\"], \"dst\": [\"ann@:*\"]},"
	    "{\"action\": \"accept\", \"src\": [\"tag:x\"], \"dst\": [\"tag:x:*\"]}]}");
	drain(f, 3);
	fx_tags(f->nodes[2], tags, 1);
	change_note(&f->t, f->nodes[2], CHANGE_WHOLE | CHANGE_SELF);
	turn(f);
	msg = take(2);
	assert_int_equal(json_array_size(json_object_get(msg, "Peers")), 0);
	assert_true(json_array_size(json_object_get(msg, "PeersRemoved")) >= 2);
	json_decref(msg);
	drained(f, 2);
	for (uint32_t i = 1; i <= 3; i += 2) {
		msg = take(i);
		assert_int_equal(json_integer_value(json_array_get(json_object_get(msg,
		    "PeersRemoved"), 0)), 2);
		json_decref(msg);
	}
	drained(f, 1);
	fx_tags(f->nodes[3], tags, 1);
	change_note(&f->t, f->nodes[3], CHANGE_WHOLE | CHANGE_SELF);
	turn(f);
	assert_null(take(3));
	drained(f, 3);
	turn(f);
	msg = take(3);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(msg,
	    "Peers"), 0), "ID")), 2);
	json_decref(msg);
	fs_free(f);
}

/* A user of whom the policy speaks comes, or is another: it is evaluated anew, and told at once. */
static void
users_of_a_policy(void **state)
{
	struct fs *f = streams(2);
	int64_t id = 1;
	json_t *msg;

	(void)state;
	policy_set(f, "{ // rows version 1\n \"acls\": [{\"action\": \"accept\", \"src\": [\"eve@\"],"
	    " \"dst\": [\"eve@:*\"]}]}");
	drain(f, 2);
	struct user *u = map_find(&f->t.users, &id);
	snprintf(u->name, sizeof(u->name), "eve");
	change_note_all(&f->t, CHANGE_ALL_USERS);
	turn(f);
	msg = take(1);
	assert_int_equal(json_array_size(json_object_get(msg, "Peers")), 1);
	assert_true(json_array_size(json_object_get(json_object_get(msg, "PacketFilters"), "base")) > 0);
	json_decref(msg);
	assert_ptr_equal(change_policy_world(&f->t), f->t.map->w.policy);
	fs_free(f);
}

static void
health(void **state)
{
	struct fs *f = streams(2);

	(void)state;
	change_health_set(&f->t, f->nodes[1], "10.42.0.0/16 is \"twice\"");
	turn(f);
	assert_text(take(1), "{\"Health\":[\"10.42.0.0/16 is \\\"twice\\\"\"]}");
	assert_null(take(2));
	drained(f, 1);
	change_health_set(&f->t, f->nodes[1], "10.42.0.0/16 is \"twice\"");
	turn(f);
	assert_null(take(1));
	change_health_set(&f->t, f->nodes[1], NULL);
	turn(f);
	assert_text(take(1), "{\"Health\":[]}");
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
		cmocka_unit_test(for_all),
		cmocka_unit_test(pace),
		cmocka_unit_test(large_first_map),
		cmocka_unit_test(policies),
		cmocka_unit_test(users_of_a_policy),
		cmocka_unit_test(health),
	};

	log_set_level(LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
