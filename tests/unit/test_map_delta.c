/* links: coord/map_delta coord/map_full coord/map_world coord/map_chunk coord/map_peer coord/map_zstd coord/policy_class coord/tag */
/* Proves: each kind of change reaches those who see it as the smallest delta, merged, and made once
 * for all. */
#include "map_world_fixture.h"

/* Text of the delta without {}, or "" when there is none. */
static char *
delta_text(struct fw *f, const struct node *viewer, uint64_t from, struct buf *b)
{
	struct map_segs segs = { .n = 0 };

	buf_clear(b);
	map_delta_put(&f->w, viewer, from, viewer->map->class->filter, &segs);
	fx_text(segs.v, segs.n, b);
	map_full_segs_fini(&segs);
	buf_cstr(b);
	return (char *)b->p;
}

static void
assert_delta(struct fw *f, const struct node *viewer, uint64_t from, const char *want)
{
	struct buf b = { 0 };

	assert_string_equal(delta_text(f, viewer, from, &b), want);
	buf_fini(&b);
}

static struct fw *
three(void)
{
	struct fw *f = fw_new(3, NULL);

	for (int64_t i = 1; i <= 3; i++)
		fw_join(f, i);
	map_world_publish(&f->w);
	return f;
}

static void
kinds(void **state)
{
	struct fw *f = three();
	struct node *n = f->nodes[2];
	uint64_t from = f->w.published;

	(void)state;
	assert_delta(f, f->nodes[1], from, "");
	fx_endpoint(n, 9);
	fw_note(f, n, CHANGE_ENDPOINTS);
	assert_delta(f, f->nodes[1], from, "");		/* not published yet */
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[1], from,
	    "{\"PeersChangedPatch\":[{\"NodeID\":2,\"Endpoints\":[\"192.0.2.1:9\"]}]}");
	assert_delta(f, n, from, "");			/* its own news are none */

	/* merged with what follows, in one patch */
	n->home_derp = 900;
	fw_note(f, n, CHANGE_HOME);
	n->is_online = true;
	n->last_seen_unix_s = FX_NOW;
	fw_note(f, n, CHANGE_ONLINE);
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[1], from, "{\"PeersChangedPatch\":[{\"NodeID\":2,"
	    "\"DERPRegion\":900,\"Endpoints\":[\"192.0.2.1:9\"],\"Online\":true,"
	    "\"LastSeen\":\"2027-01-15T08:00:00Z\"}]}");
	fw_free(f);
}

static void
whole_nodes(void **state)
{
	struct fw *f = three();
	struct node *n = f->nodes[2];
	uint64_t from = f->w.published;
	struct map_segs segs = { .n = 0 };
	json_t *d;

	(void)state;
	/* a whole node swallows patches; no profile, because the owner is known */
	fw_note(f, n, CHANGE_ENDPOINTS);
	snprintf(n->name, sizeof(n->name), "renamed");
	fw_note(f, n, CHANGE_WHOLE | CHANGE_SELF);
	map_world_publish(&f->w);
	d = fw_delta(f, f->nodes[1], from);
	assert_int_equal(json_object_size(d), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(
	    json_object_get(d, "PeersChanged"), 0), "Name")), "renamed.tail.example.");
	json_decref(d);
	/* the node itself gets its Node and nothing else */
	d = fw_delta(f, n, from);
	assert_int_equal(json_object_size(d), 1);
	assert_non_null(json_object_get(json_object_get(d, "Node"), "Machine"));
	json_decref(d);

	/* a newcomer comes with its owner's profile */
	from = f->w.published;
	n = fw_join(f, 3);
	map_world_publish(&f->w);
	d = fw_delta(f, f->nodes[1], from);
	assert_int_equal(json_object_size(d), 2);
	assert_int_equal(json_array_size(json_object_get(d, "PeersChanged")), 1);
	assert_int_equal(json_array_size(json_object_get(d, "UserProfiles")), 1);
	json_decref(d);
	/* who is not told of itself; the profile is for all */
	map_delta_put(&f->w, n, from, n->map->class->filter, &segs);
	d = fx_json_take(&segs);
	assert_null(json_object_get(d, "PeersChanged"));
	json_decref(d);

	/* home relay 0 cannot be patched */
	from = f->w.published;
	n->home_derp = 0;
	fw_note(f, n, CHANGE_HOME);
	map_world_publish(&f->w);
	d = fw_delta(f, f->nodes[1], from);
	assert_int_equal(json_array_size(json_object_get(d, "PeersChanged")), 1);
	json_decref(d);
	fw_free(f);
}

static void
keys_and_expiry(void **state)
{
	struct fw *f = three();
	struct node *n = f->nodes[2];
	uint64_t from = f->w.published;
	json_t *d, *peer;

	(void)state;
	n->node_key.b[0] = 0xee;
	fw_note(f, n, CHANGE_KEY);
	map_world_publish(&f->w);
	d = fw_delta(f, f->nodes[1], from);
	peer = json_array_get(json_object_get(d, "PeersChangedPatch"), 0);
	assert_string_equal(json_string_value(json_object_get(peer, "KeyExpiry")),
	    "0001-01-01T00:00:00Z");
	assert_memory_equal(json_string_value(json_object_get(peer, "Key")), "nodekey:ee", 10);
	json_decref(d);
	d = fw_delta(f, n, from);
	assert_non_null(json_object_get(d, "Node"));
	json_decref(d);

	/* expired, and valid again: Expired goes with whole nodes only */
	for (int is_expired = 1; is_expired >= 0; is_expired--) {
		from = f->w.published;
		n->key_expiry_unix_s = FX_NOW + (is_expired ? -1 : 1000);
		fw_note(f, n, CHANGE_KEY);
		map_world_publish(&f->w);
		d = fw_delta(f, f->nodes[1], from);
		peer = json_array_get(json_object_get(d, "PeersChanged"), 0);
		assert_non_null(peer);
		assert_int_equal(json_is_true(json_object_get(peer, "Expired")), is_expired);
		json_decref(d);
	}
	fw_free(f);
}

static void
removals(void **state)
{
	struct fw *f = three();
	uint64_t from = f->w.published;

	(void)state;
	fw_note(f, f->nodes[2], CHANGE_WHOLE);
	fw_remove(f, 2);
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[1], from, "{\"PeersRemoved\":[2]}");
	/* noted, but not freed yet: nobody hears of it any more */
	struct node *n = f->nodes[3];
	from = f->w.published;
	fw_note(f, n, CHANGE_REMOVED);
	fw_note(f, n, CHANGE_ONLINE);
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[1], from, "{\"PeersRemoved\":[3]}");
	fw_remove(f, 3);
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[1], from, "{\"PeersRemoved\":[3]}");
	/* came and went */
	from = f->w.published;
	fw_join(f, 1);
	fw_remove(f, 4);
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[1], from, "{\"PeersRemoved\":[4]}");
	fw_free(f);
}

static void
overrun(void **state)
{
	struct fw *f = three();
	uint64_t from = f->w.published;
	struct node *n;

	(void)state;
	for (unsigned i = 0; i < MAP_WORLD_TOMBS_MAX; i++) {
		n = fw_join(f, 1);
		fw_remove(f, n->id);
		f->last_id--;
	}
	map_world_publish(&f->w);
	assert_false(map_delta_is_overrun(&f->w, from));
	uint64_t middle = f->w.published;
	n = fw_join(f, 1);
	fw_remove(f, n->id);
	map_world_publish(&f->w);
	assert_true(map_delta_is_overrun(&f->w, from));
	assert_false(map_delta_is_overrun(&f->w, middle));
	fw_free(f);
}

static void
shared(void **state)
{
	struct fw *f = three();
	uint64_t from = f->w.published;
	struct map_segs a = { .n = 0 }, b = { .n = 0 }, c = { .n = 0 };
	const struct shbuf *filter = f->nodes[1]->map->class->filter;

	(void)state;
	fw_note(f, f->nodes[2], CHANGE_ENDPOINTS);
	map_world_publish(&f->w);
	map_delta_put(&f->w, f->nodes[1], from, filter, &a);
	map_delta_put(&f->w, f->nodes[3], from, filter, &b);
	assert_int_equal(a.n, 1);
	assert_int_equal(b.n, 1);
	assert_ptr_equal(a.v[0], b.v[0]);	/* made once */
	map_delta_put(&f->w, f->nodes[1], from - 1, filter, &c);
	assert_int_equal(c.n, 1);
	assert_ptr_not_equal(a.v[0], c.v[0]);	/* another start, another delta */
	map_full_segs_fini(&a);
	map_full_segs_fini(&b);
	map_full_segs_fini(&c);
	for (unsigned i = 0; i < 3 * MAP_DELTA_CACHE_MAX; i++) {
		map_delta_put(&f->w, f->nodes[1], i, filter, &a);
		assert_true(f->w.n_deltas <= MAP_DELTA_CACHE_MAX);
	}
	map_full_segs_fini(&a);
	map_world_publish(&f->w);
	assert_int_equal(f->w.n_deltas, 0);
	fw_free(f);
}

/* Hundreds of changes: slices, shared by all but the viewer's own. */
static void
long_deltas(void **state)
{
	struct fw *f = fw_new(1, NULL);
	struct map_segs a = { .n = 0 }, b = { .n = 0 };
	unsigned n_same = 0;

	(void)state;
	for (unsigned i = 0; i < 400; i++)
		fw_join(f, 1);
	map_world_publish(&f->w);
	uint64_t from = f->w.published;
	for (int64_t id = 1; id <= 400; id++)
		fw_note(f, f->nodes[id], id % 2 == 0 ? CHANGE_WHOLE : CHANGE_ENDPOINTS);
	map_world_publish(&f->w);
	for (int64_t id = 1; id <= 400; id += 7) {
		json_t *d = fw_delta(f, f->nodes[id], from), *v;
		size_t i;

		assert_int_equal(json_array_size(json_object_get(d, "PeersChanged")),
		    200 - (id % 2 == 0));
		assert_int_equal(json_array_size(json_object_get(d, "PeersChangedPatch")),
		    200 - (id % 2 == 1));
		json_array_foreach(json_object_get(d, "PeersChanged"), i, v)
			assert_true(json_integer_value(json_object_get(v, "ID")) != id);
		json_array_foreach(json_object_get(d, "PeersChangedPatch"), i, v)
			assert_true(json_integer_value(json_object_get(v, "NodeID")) != id);
		json_decref(d);
	}
	const struct shbuf *filter = f->nodes[1]->map->class->filter;
	map_delta_put(&f->w, f->nodes[1], from, filter, &a);
	map_delta_put(&f->w, f->nodes[400], from, filter, &b);
	for (unsigned i = 0; i < a.n; i++)
		for (unsigned k = 0; k < b.n; k++)
			n_same += a.v[i] == b.v[k] && a.v[i] != f->w.comma;
	assert_int_equal(n_same, 6);	/* 4 + 4 slices, less each one's own */
	map_full_segs_fini(&a);
	map_full_segs_fini(&b);

	/* the viewer alone in its slice, and with its own Node to be told */
	from = f->w.published;
	for (int64_t id = 1; id <= 129; id++)
		fw_note(f, f->nodes[id], id == 129 ? CHANGE_WHOLE | CHANGE_SELF : CHANGE_WHOLE);
	map_world_publish(&f->w);
	json_t *d = fw_delta(f, f->nodes[129], from);
	assert_int_equal(json_array_size(json_object_get(d, "PeersChanged")), 128);
	assert_non_null(json_object_get(d, "Node"));
	json_decref(d);
	fw_free(f);
}

static void
for_all(void **state)
{
	int version = 1;
	const struct policy_class_rules rules = { .arg = &version, .row_of = fw_row_of,
		.sees = fw_sees, .filter_of = fw_filter_of };
	struct fw *f = fw_new(3, &rules);
	struct map_segs segs = { .n = 0 };
	struct buf b = { 0 };
	int64_t id = 1;

	(void)state;
	for (int64_t i = 1; i <= 3; i++)
		fw_join(f, i);
	map_world_publish(&f->w);
	uint64_t from = f->w.published;
	/* texts: the same bytes again are no news */
	map_world_note_text(&f->w, &f->w.dns, fx_shbuf("{\"Proxied\":true}"));
	assert_int_equal(f->w.seq, from);
	map_world_note_text(&f->w, &f->w.dns, fx_shbuf("{\"Proxied\":false}"));
	map_world_note_text(&f->w, &f->w.derp, fx_shbuf("{\"Regions\":{\"1\":null}}"));
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[1], from,
	    "{\"DERPMap\":{\"Regions\":{\"1\":null}},\"DNSConfig\":{\"Proxied\":false}}");

	/* users: whose name changed, to those who see nodes of theirs */
	from = f->w.published;
	map_world_note_users(&f->w);
	assert_int_equal(f->w.seq, from);
	struct user *u = map_find(&f->users, &id);
	snprintf(u->display_name, sizeof(u->display_name), "Ann");
	map_world_note_users(&f->w);
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[3], from, "{\"UserProfiles\":[{\"ID\":1,\"LoginName\":\"user1\","
	    "\"DisplayName\":\"Ann\"}]}");
	assert_delta(f, f->nodes[2], from, "");

	/* filters: by class, only where the text is another */
	struct shbuf *sent = shbuf_hold(f->nodes[1]->map->class->filter);
	from = f->w.published;
	version = 2;
	map_world_note_filters(&f->w);
	map_world_publish(&f->w);
	map_delta_put(&f->w, f->nodes[1], from, sent, &segs);
	fx_text(segs.v, segs.n, &b);
	assert_string_equal(buf_cstr(&b), "{\"PacketFilters\":{\"base\":"
	    "[{\"SrcIPs\":[\"row 1 version 2\"],\"DstPorts\":[]}]}}");
	map_full_segs_fini(&segs);
	map_delta_put(&f->w, f->nodes[1], from, f->nodes[3]->map->class->filter, &segs);
	assert_int_equal(segs.n, 0);
	shbuf_drop(sent);
	buf_fini(&b);
	fw_free(f);
}

static void
moved_to_another_row(void **state)
{
	int version = 1;
	const struct policy_class_rules rules = { .arg = &version, .row_of = fw_row_of,
		.sees = fw_sees, .filter_of = fw_filter_of };
	struct fw *f = fw_new(3, &rules);
	struct node *n;

	(void)state;
	for (int64_t i = 1; i <= 3; i++)
		fw_join(f, i);
	map_world_publish(&f->w);
	uint64_t from = f->w.published;
	n = f->nodes[3];
	n->user_id = 2;
	assert_true(map_world_note(&f->w, n, CHANGE_WHOLE | CHANGE_SELF, FX_NOW));
	assert_false(map_world_note(&f->w, f->nodes[1], CHANGE_WHOLE, FX_NOW));
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[1], from, "{\"PeersRemoved\":[3]}");
	json_t *d = fw_delta(f, f->nodes[2], from);
	assert_int_equal(json_array_size(json_object_get(d, "PeersChanged")), 1);
	assert_int_equal(json_array_size(json_object_get(d, "UserProfiles")), 1);
	assert_null(json_object_get(d, "PeersRemoved"));
	json_decref(d);
	fw_free(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(whole_nodes),
		cmocka_unit_test(keys_and_expiry),
		cmocka_unit_test(removals),
		cmocka_unit_test(overrun),
		cmocka_unit_test(shared),
		cmocka_unit_test(long_deltas),
		cmocka_unit_test(for_all),
		cmocka_unit_test(moved_to_another_row),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
