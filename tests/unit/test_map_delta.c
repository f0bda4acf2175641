/* links: coord/map_delta coord/map_full coord/map_filter coord/map_private coord/map_policy coord/map_world coord/map_chunk coord/map_peer coord/node_attr coord/map_zstd coord/policy_world* coord/policy_users coord/policy_posture coord/policy_ssh* coord/policy coord/policy_parse* coord/hujson coord/ipset coord/dns coord/dns_params coord/tag */
/* Proves: each kind of change reaches those who see it as the smallest delta, merged, and made once
 * for all. */
#include "map_world_fixture.h"

/* Text of the delta without {}, or "" when there is none. */
static char *
delta_text(struct fw *f, const struct node *viewer, uint64_t from, struct buf *b)
{
	struct map_segs segs = fw_delta_segs(f, viewer, from);

	buf_clear(b);
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
	struct fw *f = fw_new(3, "");

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
	d = fw_delta(f, n, from);
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

	(void)state;
	fw_note(f, f->nodes[2], CHANGE_ENDPOINTS);
	map_world_publish(&f->w);
	struct map_segs a = fw_delta_segs(f, f->nodes[1], from), b = fw_delta_segs(f, f->nodes[3], from);
	struct map_segs c = fw_delta_segs(f, f->nodes[1], from - 1);
	assert_int_equal(a.n, 1);
	assert_int_equal(b.n, 1);
	assert_ptr_equal(a.v[0], b.v[0]);	/* made once */
	assert_int_equal(c.n, 1);
	assert_ptr_not_equal(a.v[0], c.v[0]);	/* another start, another delta */
	map_full_segs_fini(&a);
	map_full_segs_fini(&b);
	map_full_segs_fini(&c);
	for (unsigned i = 0; i < 3 * MAP_DELTA_CACHE_MAX; i++) {
		a = fw_delta_segs(f, f->nodes[1], i);
		assert_true(f->w.n_deltas <= MAP_DELTA_CACHE_MAX);
		map_full_segs_fini(&a);
	}
	map_world_publish(&f->w);
	assert_int_equal(f->w.n_deltas, 0);
	fw_free(f);
}

/* Hundreds of changes: slices, shared by all but the viewer's own. */
static void
long_deltas(void **state)
{
	struct fw *f = fw_new(1, "");
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
	struct map_segs a = fw_delta_segs(f, f->nodes[1], from), b = fw_delta_segs(f, f->nodes[400], from);
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

static struct fw *
three_by_rows(struct buf *policy)
{
	fw_policy_rows(policy, 1, "");
	struct fw *f = fw_new(3, buf_cstr(policy));

	for (int64_t i = 1; i <= 3; i++)
		fw_join(f, i);
	map_world_publish(&f->w);
	return f;
}

static void
for_all(void **state)
{
	struct buf policy = { 0 };
	struct fw *f = three_by_rows(&policy);
	int64_t id = 1;

	(void)state;
	/* texts: the same bytes again are no news */
	uint64_t from = f->w.published;
	map_world_note_text(&f->w, &f->w.derp, fx_shbuf("{\"Regions\":{}}"));
	assert_int_equal(f->w.seq, from);
	map_world_note_text(&f->w, &f->w.derp, fx_shbuf("{\"Regions\":{\"1\":null}}"));
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[1], from, "{\"DERPMap\":{\"Regions\":{\"1\":null}}}");

	/* users: whose name changed, to those who see nodes of theirs; who they are is asked by policies */
	from = f->w.published;
	assert_false(map_world_note_users(&f->w));
	assert_int_equal(f->w.seq, from);
	struct user *u = map_find(&f->users, &id);
	snprintf(u->display_name, sizeof(u->display_name), "Ann");
	assert_false(map_world_note_users(&f->w));
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[3], from, "{\"UserProfiles\":[{\"ID\":1,\"LoginName\":\"user1\","
	    "\"DisplayName\":\"Ann\"}]}");
	assert_delta(f, f->nodes[2], from, "");
	from = f->w.seq;
	u->role = USER_ADMIN;
	assert_true(map_world_note_users(&f->w));
	assert_int_equal(f->w.seq, from);
	u = fx_user(&f->users, 9, "nine");
	assert_true(map_world_note_users(&f->w));
	map_remove(&f->users, &u->id);
	free(u);
	assert_true(map_world_note_users(&f->w));
	assert_false(map_world_note_users(&f->w));
	buf_fini(&policy);
	fw_free(f);
}

/* Scratch: the delta from what was sent before; that is what was sent then. */
static void
private_text(struct fw *f, const struct node *viewer, uint64_t from, struct map_sent *sent, struct buf *out)
{
	struct map_segs segs = { .n = 0 };

	buf_clear(out);
	map_delta_put(&f->w, viewer, from, sent, &segs);
	fx_text(segs.v, segs.n, out);
	map_full_segs_fini(&segs);
	buf_cstr(out);
}

/* Filters: told where they are others, and once; what all are told besides is shared. */
static void
filters(void **state)
{
	struct buf policy = { 0 }, text = { 0 };
	struct fw *f = three_by_rows(&policy);
	struct map_segs a = { .n = 0 }, b = { .n = 0 };
	struct map_sent one = fw_sent(f, f->nodes[1]), three_sent = fw_sent(f, f->nodes[3]);

	(void)state;
	uint64_t from = f->w.published;
	fw_policy_rows(&policy, 2, "");
	fw_policy_set(f, buf_cstr(&policy));
	map_world_publish(&f->w);
	assert_false(f->nodes[1]->map->needs_full);
	private_text(f, f->nodes[1], from, &one, &text);
	json_t *d = json_loads((char *)text.p, 0, NULL);
	assert_int_equal(json_object_size(d), 1);
	json_t *rule = json_array_get(json_object_get(json_object_get(d, "PacketFilters"), "base"), 0);
	assert_int_equal(json_integer_value(json_object_get(json_object_get(json_array_get(
	    json_object_get(rule, "DstPorts"), 0), "Ports"), "First")), 2);
	json_decref(d);
	private_text(f, f->nodes[1], from, &one, &text);
	assert_string_equal((char *)text.p, "");

	/* with news that others get too: behind the private frame the one that they share */
	fw_policy_rows(&policy, 3, "");
	fw_policy_set(f, buf_cstr(&policy));
	struct node *n = fw_join(f, 1);
	map_world_publish(&f->w);
	map_delta_put(&f->w, f->nodes[1], from, &one, &a);
	map_delta_put(&f->w, f->nodes[3], from, &three_sent, &b);
	assert_int_equal(a.n, 2);
	assert_int_equal(b.n, 2);
	assert_ptr_equal(a.v[1], b.v[1]);
	d = fx_json_take(&a);
	assert_non_null(json_object_get(d, "PacketFilters"));
	assert_int_equal(json_array_size(json_object_get(d, "PeersChanged")), 1);
	json_decref(d);
	json_decref(fx_json_take(&b));

	/* none left: an empty list, not an absent one */
	from = f->w.published;
	n->is_authorized = false;
	struct map_sent four = fw_sent(f, n);
	fw_note(f, n, CHANGE_SELF);
	map_world_publish(&f->w);
	private_text(f, n, from, &four, &text);
	assert_non_null(strstr((char *)text.p, "\"PacketFilters\":{\"base\":[]}"));
	map_private_sent_fini(&one);
	map_private_sent_fini(&three_sent);
	map_private_sent_fini(&four);
	buf_fini(&text);
	buf_fini(&policy);
	fw_free(f);
}

/* Addresses that change are in the filter, although its class has the same one as before. */
static void
own_addresses(void **state)
{
	struct buf text = { 0 };
	struct fw *f = fw_new(1, "{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"],"
	    "\"dst\": [\"user1@:1\"]}]}");
	struct node *n = fw_join(f, 1);

	fw_join(f, 1);
	map_world_publish(&f->w);
	struct map_sent sent = fw_sent(f, n);
	uint64_t from = f->w.published;

	(void)state;
	n->ip4.b[3] = 200;
	fw_note(f, n, CHANGE_WHOLE | CHANGE_SELF);
	map_world_publish(&f->w);
	private_text(f, n, from, &sent, &text);
	json_t *d = json_loads((char *)text.p, 0, NULL);
	assert_int_equal(json_object_size(d), 2);
	assert_non_null(json_object_get(d, "Node"));
	char *filter = json_dumps(json_object_get(d, "PacketFilters"), 0);
	assert_non_null(strstr(filter, "100.64.0.200"));
	free(filter);
	json_decref(d);
	map_private_sent_fini(&sent);
	buf_fini(&text);
	fw_free(f);
}

static void
capabilities_dns_health(void **state)
{
	struct buf policy = { 0 }, text = { 0 };
	struct fw *f = three_by_rows(&policy);
	struct node *n = f->nodes[1];
	struct map_sent sent = fw_sent(f, n), other = fw_sent(f, f->nodes[3]);
	uint64_t from = f->w.published;
	json_t *d;

	(void)state;
	/* an attribute: its Node, and nothing else */
	fw_policy_rows(&policy, 1, "\"nodeAttrs\": [{\"target\": [\"user1@\"], \"attr\": [\"x-one\"]}],");
	fw_policy_set(f, buf_cstr(&policy));
	map_world_publish(&f->w);
	private_text(f, n, from, &sent, &text);
	d = json_loads((char *)text.p, 0, NULL);
	assert_int_equal(json_object_size(d), 1);
	json_t *caps = json_object_get(json_object_get(d, "Node"), "CapMap");
	assert_non_null(json_object_get(caps, "x-one"));
	assert_int_equal(json_object_size(caps), 5);
	json_decref(d);
	private_text(f, f->nodes[3], from, &other, &text);
	assert_string_equal((char *)text.p, "");

	/* name resolution: common, and off for whom it is switched off */
	from = f->w.published;
	dns_search_add(&f->dns, "search.example");
	map_world_note_dns(&f->w, &f->dns);
	map_world_publish(&f->w);
	private_text(f, n, from, &sent, &text);
	assert_non_null(strstr((char *)text.p, "{\"DNSConfig\":{"));
	assert_non_null(strstr((char *)text.p, "search.example"));
	assert_null(strstr((char *)text.p, "Node"));
	private_text(f, n, from, &sent, &text);
	assert_string_equal((char *)text.p, "");
	from = f->w.published;
	fw_policy_rows(&policy, 1,
	    "\"nodeAttrs\": [{\"target\": [\"user1@\"], \"attr\": [\"" DNS_ATTR_OFF "\"]}],");
	fw_policy_set(f, buf_cstr(&policy));
	map_world_publish(&f->w);
	private_text(f, n, from, &sent, &text);
	assert_non_null(strstr((char *)text.p, "\"DNSConfig\":{"));
	assert_null(strstr((char *)text.p, "search.example"));

	/* health: to the node concerned, until it is over */
	from = f->w.published;
	map_world_note_health(&f->w, n, fx_shbuf("[\"ill\"]"));
	map_world_publish(&f->w);
	private_text(f, n, from, &sent, &text);
	assert_string_equal((char *)text.p, "{\"Health\":[\"ill\"]}");
	private_text(f, f->nodes[3], from, &other, &text);
	assert_null(strstr((char *)text.p, "Health"));
	map_world_note_health(&f->w, n, NULL);
	map_world_publish(&f->w);
	private_text(f, n, from, &sent, &text);
	assert_string_equal((char *)text.p, "{\"Health\":[]}");
	map_private_sent_fini(&sent);
	map_private_sent_fini(&other);
	buf_fini(&text);
	buf_fini(&policy);
	fw_free(f);
}

static void
moved_to_another_row(void **state)
{
	static const char *const tags[] = { "tag:a" };
	struct buf policy = { 0 };
	struct fw *f = three_by_rows(&policy);
	struct node *n = f->nodes[3];

	(void)state;
	uint64_t from = f->w.published;
	n->user_id = 2;
	fw_note(f, n, CHANGE_WHOLE | CHANGE_SELF);
	fw_note(f, f->nodes[1], CHANGE_WHOLE);
	assert_true(n->map->needs_full);
	assert_false(f->nodes[1]->map->needs_full);
	map_world_publish(&f->w);
	assert_delta(f, f->nodes[1], from, "{\"PeersRemoved\":[3]}");
	json_t *d = fw_delta(f, f->nodes[2], from);
	assert_int_equal(json_array_size(json_object_get(d, "PeersChanged")), 1);
	assert_int_equal(json_array_size(json_object_get(d, "UserProfiles")), 1);
	assert_null(json_object_get(d, "PeersRemoved"));
	json_decref(d);
	/* into a row that the same viewer sees as well: changed, not removed too */
	from = f->w.published;
	fx_tags(n, tags, 1);
	fw_note(f, n, CHANGE_WHOLE | CHANGE_SELF);
	map_world_publish(&f->w);
	d = fw_delta(f, f->nodes[2], from);
	assert_int_equal(json_array_size(json_object_get(d, "PeersChanged")), 1);
	assert_null(json_object_get(d, "PeersRemoved"));
	json_decref(d);
	buf_fini(&policy);
	fw_free(f);
}

/* Before it joined nobody hears of a node, whatever it says. */
static void
not_joined_yet(void **state)
{
	struct fw *f = three();
	uint64_t from = f->w.seq;
	struct node *n = f->nodes[4] = fx_node(4, 1);

	(void)state;
	map_world_add(&f->w, n, FX_NOW);
	fw_note(f, n, CHANGE_ENDPOINTS);
	fw_note(f, n, CHANGE_ONLINE);
	assert_int_equal(f->w.seq, from);
	n->home_derp = 900;
	fw_note(f, n, CHANGE_JOINED);
	map_world_publish(&f->w);
	json_t *d = fw_delta(f, f->nodes[1], from);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json_object_get(d,
	    "PeersChanged"), 0), "HomeDERP")), 900);
	json_decref(d);
	/* gone before it joined: nobody is told */
	n = f->nodes[5] = fx_node(5, 1);
	from = f->w.seq;
	map_world_add(&f->w, n, FX_NOW);
	f->last_id = 5;
	fw_remove(f, 5);
	assert_int_equal(f->w.seq, from);
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
		cmocka_unit_test(filters),
		cmocka_unit_test(own_addresses),
		cmocka_unit_test(capabilities_dns_health),
		cmocka_unit_test(moved_to_another_row),
		cmocka_unit_test(not_joined_yet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
