/* links: coord/map_delta coord/map_full coord/map_filter coord/map_private coord/map_policy coord/map_world coord/map_chunk coord/map_peer coord/node_attr coord/map_zstd coord/policy_world* coord/policy_users coord/policy_posture coord/policy_ssh* coord/policy coord/policy_parse* coord/hujson coord/ipset coord/dns coord/dns_params coord/tag */
/* Proves: a full map is one valid JSON text of shared and private frames, with every node that
 * the viewer sees, once, and without itself. */
#include "coord/policy_ssh.h"
#include "map_world_fixture.h"

static json_t *
peers_of(json_t *map)
{
	json_t *peers = json_object_get(map, "Peers");

	assert_true(json_is_array(peers));
	return peers;
}

/* Ids ascending and each visible, the viewer not among them. Returns how many. */
static size_t
check_peers(struct fw *f, json_t *map, const struct node *viewer)
{
	json_t *v;
	size_t i, want = 0;
	int64_t last = 0;

	json_array_foreach(peers_of(map), i, v) {
		int64_t id = json_integer_value(json_object_get(v, "ID"));

		assert_true(id > last && id != viewer->id && f->nodes[id] != NULL);
		last = id;
	}
	for (unsigned k = 0; k < FW_NODES_MAX; k++)
		want += f->nodes[k] != NULL && f->nodes[k] != viewer;
	assert_int_equal(i, want);
	return i;
}

static void
alone(void **state)
{
	static const char *const members[] = { "Node", "DERPMap", "DNSConfig", "Domain",
		"CollectServices", "PacketFilters", "SSHPolicy", "Debug", "ControlTime", "Health",
		"UserProfiles", "Peers" };
	struct fw *f = fw_new(1, "");
	struct node *n = fw_join(f, 1);
	struct map_full_result res;
	json_t *map = fw_full(f, n, &res), *v;

	(void)state;
	assert_int_equal(json_object_size(map), COUNT_OF(members));
	for (unsigned i = 0; i < COUNT_OF(members); i++)
		assert_non_null(json_object_get(map, members[i]));
	assert_int_equal(json_array_size(peers_of(map)), 0);
	assert_false(res.has_peers);
	assert_int_equal(res.from, f->w.published);
	v = json_object_get(map, "Node");
	assert_int_equal(json_integer_value(json_object_get(v, "ID")), 1);
	assert_non_null(json_object_get(v, "Machine"));
	v = json_object_get(json_object_get(map, "PacketFilters"), "base");
	assert_int_equal(json_array_size(v), 1);
	assert_true(json_is_true(json_object_get(json_object_get(map, "Debug"), "DisableLogTail")));
	assert_true(json_is_false(json_object_get(map, "CollectServices")));
	assert_int_equal(json_array_size(json_object_get(map, "Health")), 0);
	assert_string_equal(json_string_value(json_object_get(map, "Domain")), "tail.example");
	assert_string_equal(json_string_value(json_object_get(map, "ControlTime")),
	    "2027-01-15T08:00:00Z");
	json_decref(map);
	fw_free(f);
}

static void
a_thousand(void **state)
{
	struct fw *f = fw_new(1, "");
	struct map_full_result res;

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		fw_join(f, 1);
	static const int64_t viewers[] = { 1, 64, 65, 500, 1000 };
	for (unsigned i = 0; i < COUNT_OF(viewers); i++) {
		json_t *map = fw_full(f, f->nodes[viewers[i]], &res);

		assert_int_equal(check_peers(f, map, f->nodes[viewers[i]]), 999);
		assert_true(res.has_peers);
		assert_int_equal(json_array_size(json_object_get(map, "UserProfiles")), 2);
		json_decref(map);
	}
	/* 16 chunks, each compressed once however many viewers there are */
	assert_int_equal(f->w.chunks_made, 16);
	fw_free(f);
}

static void
prepared_in_steps(void **state)
{
	struct fw *f = fw_new(1, "");
	struct map_full_result res;

	(void)state;
	for (unsigned i = 0; i < 640; i++)
		fw_join(f, 1);
	/* ten chunks, one of them the viewer's own */
	assert_false(map_full_prepare(&f->w, f->nodes[1], f->mono_ms, 4));
	assert_false(map_full_prepare(&f->w, f->nodes[1], f->mono_ms, 4));
	assert_int_equal(f->w.chunks_made, 8);
	assert_true(map_full_prepare(&f->w, f->nodes[1], f->mono_ms, 4));
	assert_int_equal(f->w.chunks_made, 9);
	json_decref(fw_full(f, f->nodes[1], &res));
	assert_int_equal(f->w.chunks_made, 9);
	fw_free(f);
}

static void
frames_are_shared(void **state)
{
	struct fw *f = fw_new(1, "");
	struct map_segs a = { .n = 0 }, b = { .n = 0 };
	struct map_sent sent = { .bundle = NULL };
	struct map_full_ask ask = { .mono_ms = 1, .unix_s = FX_NOW, .sent = &sent };
	struct map_full_result res;
	unsigned n_same = 0;

	(void)state;
	for (unsigned i = 0; i < 640; i++)
		fw_join(f, 1);
	map_full_put(&f->w, f->nodes[1], &ask, &a, &res);
	map_full_put(&f->w, f->nodes[640], &ask, &b, &res);
	for (unsigned i = 0; i < a.n; i++)
		for (unsigned k = 0; k < b.n; k++)
			n_same += a.v[i] == b.v[k] && a.v[i] != f->w.comma;
	assert_int_equal(n_same, 8);	/* ten chunks but the two viewers' own */
	assert_true(a.n <= 22);
	map_private_sent_fini(&sent);
	map_full_segs_fini(&a);
	map_full_segs_fini(&b);
	fw_free(f);
}

/* Chunks of every filling, and viewers alone in theirs: commas are where they belong. */
static void
shrinking(void **state)
{
	struct fw *f = fw_new(1, "");
	struct map_full_result res;
	uint64_t x = 7;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		fw_join(f, 1);
	for (unsigned left = 200; left > 1; left--) {
		int64_t id = 0;

		do {
			x = x * 6364136223846793005u + 1442695040888963407u;
			id = (int64_t)((x >> 33) % 200) + 1;
		} while (f->nodes[id] == NULL);
		fw_remove(f, id);
		for (int64_t v = 1; v <= 200; v++) {
			if (f->nodes[v] == NULL || (v % 17 != 0 && left > 4))
				continue;
			json_t *map = fw_full(f, f->nodes[v], &res);

			assert_int_equal(check_peers(f, map, f->nodes[v]), left - 2);
			assert_int_equal(res.has_peers, left > 2);
			json_decref(map);
		}
	}
	fw_free(f);
}

/* A viewer alone in the first, a middle or the last chunk. */
static void
alone_in_chunk(void **state)
{
	struct map_full_result res;

	(void)state;
	for (int64_t pick = 0; pick < 3; pick++) {
		struct fw *f = fw_new(1, "");
		int64_t keep = pick * 64 + 7;

		for (unsigned i = 0; i < 192; i++)
			fw_join(f, 1);
		/* neighbours are joined only up to MAP_CHUNK_JOIN: full ones keep it alone */
		for (int64_t id = pick * 64 + 1; id <= pick * 64 + 64; id++)
			if (id != keep)
				fw_remove(f, id);
		assert_int_equal(f->nodes[keep]->map->chunk->n, 1);
		json_t *map = fw_full(f, f->nodes[keep], &res);
		assert_int_equal(check_peers(f, map, f->nodes[keep]), 128);
		json_decref(map);
		fw_free(f);
	}
}

static void
stale_chunks(void **state)
{
	struct fw *f = fw_new(1, "");
	struct map_full_result res;

	(void)state;
	for (unsigned i = 0; i < 200; i++)
		fw_join(f, 1);
	map_world_publish(&f->w);
	json_decref(fw_full(f, f->nodes[1], &res));
	assert_int_equal(res.from, f->w.published);
	uint64_t made = f->w.chunks_made, before = f->w.published;

	/* within the window: the old frame, and the stream begins before the change */
	f->nodes[100]->is_online = true;
	fw_note(f, f->nodes[100], CHANGE_ONLINE);
	map_world_publish(&f->w);
	f->mono_ms += MAP_CHUNK_STALE_MS - 1;
	json_decref(fw_full(f, f->nodes[1], &res));
	assert_int_equal(res.from, before);
	assert_int_equal(f->w.chunks_made, made);
	json_t *d = fw_delta(f, f->nodes[1], res.from);
	assert_int_equal(json_array_size(json_object_get(d, "PeersChangedPatch")), 1);
	json_decref(d);

	/* after it: made anew */
	f->mono_ms += 1;
	json_decref(fw_full(f, f->nodes[1], &res));
	assert_int_equal(res.from, f->w.published);
	assert_int_equal(f->w.chunks_made, made + 1);

	/* a removal waits for no window */
	fw_remove(f, 100);
	json_t *map = fw_full(f, f->nodes[1], &res);
	check_peers(f, map, f->nodes[1]);
	json_decref(map);
	fw_free(f);
}

static void
rows(void **state)
{
	static const char *const tags[] = { "tag:all" };
	struct buf policy = { 0 };
	struct map_full_result res;

	(void)state;
	fw_policy_rows(&policy, 7, "");
	struct fw *f = fw_new(40, buf_cstr(&policy));
	for (unsigned i = 0; i < 300; i++) {
		struct node *n = fw_join(f, 1 + i % 40);

		if (i % 10 == 0) {
			fx_tags(n, tags, 1);
			fw_note(f, n, CHANGE_WHOLE | CHANGE_SELF);
		}
	}
	for (int64_t id = 1; id <= 300; id += 13) {
		const struct node *viewer = f->nodes[id];
		json_t *map = fw_full(f, viewer, &res), *v;
		size_t i, want = 0, n_profiles = json_array_size(json_object_get(map, "UserProfiles"));

		for (int64_t k = 1; k <= 300; k++)
			want += fw_rows_see(viewer, f->nodes[k]);
		assert_true(want > 100);
		assert_int_equal(json_array_size(peers_of(map)), want);
		json_array_foreach(peers_of(map), i, v)
			assert_true(fw_rows_see(viewer,
			    f->nodes[json_integer_value(json_object_get(v, "ID"))]));
		assert_true(json_object_size(json_object_get(map, "PacketFilters")) > 0);
		/* 20 owners a row, less those with tagged nodes only, and tagged-devices, and
		 * one's own again */
		assert_true(viewer->n_tags > 0 ? n_profiles > 30 : n_profiles <= 22);
		json_decref(map);
	}
	buf_fini(&policy);
	fw_free(f);
}

/* A client that has peers and may see none any more is told so. */
static void
nobody_left(void **state)
{
	struct fw *f = fw_new(2, "");
	struct map_sent sent = { .bundle = NULL };
	struct map_segs segs = { .n = 0 };
	struct map_full_ask ask = { .mono_ms = 1, .unix_s = FX_NOW, .sent = &sent, .is_again = true };
	struct map_full_result res;

	(void)state;
	for (unsigned i = 0; i < 5; i++)
		fw_join(f, 1);
	map_world_publish(&f->w);
	ask.seq = f->w.published;
	fw_remove(f, 2);
	fw_policy_set(f, "{\"acls\": []}");
	assert_true(f->nodes[1]->map->needs_full);
	map_full_put(&f->w, f->nodes[1], &ask, &segs, &res);
	assert_false(f->nodes[1]->map->needs_full);
	json_t *map = fx_json_take(&segs);
	assert_int_equal(json_array_size(peers_of(map)), 0);
	assert_int_equal(json_array_size(json_object_get(map, "PeersRemoved")), 5);
	json_decref(map);
	map_private_sent_fini(&sent);
	fw_free(f);
}

/* One user per node: still one row, chunks of 64, and the profiles in a shared frame. */
static void
user_per_node(void **state)
{
	struct fw *f = fw_new(1000, "");
	struct map_full_result res;

	(void)state;
	for (int64_t i = 1; i <= 1000; i++)
		fw_join(f, i);
	unsigned n_groups = 0;
	for (unsigned i = 0; i < f->w.n_groups; i++)
		n_groups += f->w.groups[i] != NULL;
	assert_int_equal(n_groups, 1);
	for (int64_t id = 1; id <= 1000; id += 333) {
		json_t *map = fw_full(f, f->nodes[id], &res);

		assert_int_equal(check_peers(f, map, f->nodes[id]), 999);
		assert_int_equal(json_array_size(json_object_get(map, "UserProfiles")), 1001);
		json_decref(map);
	}
	assert_int_equal(f->w.chunks_made, 16 + 1);
	fw_free(f);
}

static void
the_end(void **state)
{
	struct fw *f = fw_new(1, "");
	struct node *n = fw_join(f, 1);
	struct shbuf *s = map_full_end(&f->w, n);
	json_t *map = fx_json(&s, 1);

	(void)state;
	assert_int_equal(json_object_size(map), 1);
	assert_string_equal(json_string_value(json_object_get(json_object_get(map, "Node"),
	    "KeyExpiry")), "1970-01-01T00:02:03Z");
	json_decref(map);
	shbuf_drop(s);
	fw_free(f);
}

/* The SSHPolicy of the node as the policy engine puts it. */
static void
check_ssh(struct fw *f, json_t *map, const struct node *n)
{
	struct buf b = { 0 };

	policy_ssh_put(&b, f->w.policy, n->map->class);
	json_t *want = json_loadb((const char *)b.p, b.len, 0, NULL);
	assert_non_null(want);
	assert_true(json_equal(want, json_object_get(map, "SSHPolicy")));
	json_decref(want);
	buf_fini(&b);
}

/* Long principals are compressed once for all nodes that get them, in full maps and in deltas. */
static void
ssh_is_shared(void **state)
{
	enum { USERS = 400 };
	struct fw *f = fw_new(USERS + 1, "{\"ssh\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
	    "\"dst\":[\"autogroup:member\",\"autogroup:self\"],\"users\":[\"root\"]}]}");
	struct map_full_result res;
	json_t *map;

	(void)state;
	for (int64_t u = 1; u <= USERS; u++)
		fw_join(f, u);
	map_world_publish(&f->w);
	for (int64_t id = 1; id <= 3; id++) {
		map = fw_full(f, f->nodes[id], &res);
		check_ssh(f, map, f->nodes[id]);
		json_decref(map);
	}
	assert_non_null(f->w.ssh_frames[0].frame);
	assert_null(f->w.ssh_frames[1].frame);

	struct map_sent sent = fw_sent(f, f->nodes[7]);
	struct map_segs segs = { .n = 0 };
	uint64_t from = f->w.published;

	fw_join(f, 7);		/* a second one of a user: told to that user's alone, and then by login */
	map_world_publish(&f->w);
	map_delta_put(&f->w, f->nodes[7], from, &sent, &segs);
	map = fx_json_take(&segs);
	assert_null(json_object_get(map, "SSHPolicy"));
	json_decref(map);
	from = f->w.published;
	fw_join(f, USERS + 1);
	map_world_publish(&f->w);
	segs = (struct map_segs){ .n = 0 };
	map_delta_put(&f->w, f->nodes[7], from, &sent, &segs);
	map = fx_json_take(&segs);
	check_ssh(f, map, f->nodes[7]);
	assert_int_equal(json_array_size(json_object_get(map, "PeersChanged")), 1);
	json_decref(map);
	map_private_sent_fini(&sent);
	fw_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alone),
		cmocka_unit_test(a_thousand),
		cmocka_unit_test(prepared_in_steps),
		cmocka_unit_test(frames_are_shared),
		cmocka_unit_test(shrinking),
		cmocka_unit_test(alone_in_chunk),
		cmocka_unit_test(stale_chunks),
		cmocka_unit_test(rows),
		cmocka_unit_test(nobody_left),
		cmocka_unit_test(user_per_node),
		cmocka_unit_test(the_end),
		cmocka_unit_test(ssh_is_shared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
