/* links: coord/map_peer coord/node_attr coord/policy_world* coord/policy_users coord/policy_posture coord/policy_ssh* coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tag */
/* Proves: a node is written as clients expect it, to peers without its secrets, with hostile
 * strings escaped. */
#include "map_fixture.h"

#include "base/clock.h"
#include "coord/policy_world.h"

static json_t *
parse(struct buf *b)
{
	json_error_t e;
	json_t *v = json_loadb((const char *)b->p, b->len, JSON_REJECT_DUPLICATES, &e);

	assert_non_null(v);
	buf_fini(b);
	return v;
}

static json_t *
peer(const struct node *n, bool is_expired)
{
	struct buf b = { 0 };

	struct map_node mn = { .node = (struct node *)n, .is_expired = is_expired };
	struct map_look look = { .base_domain = "tail.example" };

	map_peer_put(&b, &mn, &look);
	return parse(&b);
}

static json_t *
self(const struct node *n)
{
	struct buf b = { 0 };
	struct json_writer w;

	struct map_node mn = { .node = (struct node *)n };
	struct map_own own = { .base_domain = "tail.example" };

	json_w_init(&w, &b);
	map_peer_self_put(&w, NULL, &mn, &own, n->key_expiry_unix_s);
	return parse(&b);
}

static const char *
str(const json_t *v, const char *name)
{
	return json_string_value(json_object_get(v, name));
}

static void
peer_members(void **state)
{
	struct node *n = fx_node(7, 3);
	char text[KEY_TEXT_MAX];

	(void)state;
	n->home_derp = 900;
	n->is_online = true;
	n->last_seen_unix_s = FX_NOW;
	fx_endpoint(n, 41641);
	json_t *v = peer(n, false);
	assert_int_equal(json_integer_value(json_object_get(v, "ID")), 7);
	assert_string_equal(str(v, "StableID"), "7");
	assert_string_equal(str(v, "Name"), "n7.tail.example.");
	assert_int_equal(json_integer_value(json_object_get(v, "User")), 3);
	assert_string_equal(str(v, "Key"), node_key_put(&n->node_key, text));
	assert_string_equal(str(v, "DiscoKey"), disco_key_put(&n->disco_key, text));
	json_t *a = json_object_get(v, "Addresses");
	assert_int_equal(json_array_size(a), 2);
	assert_string_equal(json_string_value(json_array_get(a, 0)), "100.64.0.7/32");
	assert_string_equal(json_string_value(json_array_get(a, 1)), "fd7a:115c:a1e0::7/128");
	assert_true(json_equal(a, json_object_get(v, "AllowedIPs")));
	assert_string_equal(json_string_value(json_array_get(json_object_get(v, "Endpoints"), 0)),
	    "192.0.2.1:41641");
	assert_int_equal(json_integer_value(json_object_get(v, "HomeDERP")), 900);
	assert_non_null(json_object_get(json_object_get(v, "Hostinfo"), "Services"));
	assert_int_equal(json_integer_value(json_object_get(v, "Cap")), 145);
	assert_non_null(str(v, "Created"));
	assert_true(json_is_true(json_object_get(v, "Online")));
	assert_true(json_is_true(json_object_get(v, "MachineAuthorized")));
	static const char *const absent[] = { "Machine", "LastSeen", "KeyExpiry", "Tags", "Expired",
		"CapMap" };
	for (unsigned i = 0; i < COUNT_OF(absent); i++)
		assert_null(json_object_get(v, absent[i]));
	json_decref(v);
	fx_node_free(n);
}

static void
peer_variants(void **state)
{
	struct node *n = fx_node(8, 3);
	static const char *const tags[] = { "tag:edge", "tag:k3s" };

	(void)state;
	fx_tags(n, tags, 2);
	n->ip6.family = 0;
	n->is_authorized = false;
	n->key_expiry_unix_s = n->last_seen_unix_s = FX_NOW;
	memset(&n->disco_key, 0, sizeof(n->disco_key));
	json_t *v = peer(n, true);
	assert_int_equal(json_integer_value(json_object_get(v, "User")), USER_TAGGED_ID);
	assert_int_equal(json_array_size(json_object_get(v, "Tags")), 2);
	assert_int_equal(json_array_size(json_object_get(v, "Addresses")), 1);
	assert_true(json_is_false(json_object_get(v, "Online")));
	assert_string_equal(str(v, "LastSeen"), "2027-01-15T08:00:00Z");
	assert_string_equal(str(v, "KeyExpiry"), "2027-01-15T08:00:00Z");
	assert_true(json_is_true(json_object_get(v, "Expired")));
	assert_null(json_object_get(v, "MachineAuthorized"));
	assert_null(json_object_get(v, "DiscoKey"));
	assert_null(json_object_get(v, "Endpoints"));
	assert_null(json_object_get(v, "HomeDERP"));
	json_decref(v);
	fx_node_free(n);
}

static void
assert_list(json_t *v, const char *name, const char *want)
{
	struct buf b = { 0 };
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(v, name), i, item)
		buf_printf(&b, "%s%s", i > 0 ? " " : "", json_string_value(item));
	assert_string_equal(buf_cstr(&b), want);
	buf_fini(&b);
}

/* Routes: the node's own, and those that its peers see in view 0: of which it is the primary. */
static void
routes(void **state)
{
	static const char *const all[] = { "0.0.0.0/0", "10.1.0.0/16", "10.2.0.0/16!", "::/0" };
	struct node *n = fx_node(7, 3);

	(void)state;
	fx_routes(n, all, 4);
	json_t *v = peer(n, false);
	assert_list(v, "Addresses", "100.64.0.7/32 fd7a:115c:a1e0::7/128");
	assert_list(v, "AllowedIPs", "100.64.0.7/32 fd7a:115c:a1e0::7/128 0.0.0.0/0 10.1.0.0/16 ::/0");
	assert_list(v, "PrimaryRoutes", "10.1.0.0/16");
	json_decref(v);
	v = self(n);
	assert_list(v, "AllowedIPs", "100.64.0.7/32 fd7a:115c:a1e0::7/128 0.0.0.0/0 10.1.0.0/16 ::/0");
	assert_list(v, "PrimaryRoutes", "10.1.0.0/16");
	json_decref(v);
	fx_node_free(n);
}

/* What its class gives it: capabilities, those of ours replaced by the policy's; no IPv4; and that it is a good
 * exit node, which peers are told too. */
static void
bundles(void **state)
{
	static const char *const all[] = { "0.0.0.0/0", "::/0" };
	struct node *n = fx_node(7, 3);
	struct policy_bundle bundle = { .is_ipv4_off = true, .is_exit_suggested = true,
		.caps = fx_shbuf("\"https://tailscale.com/cap/ssh\":[1],\"x\":null") };
	struct policy_class class = { .bundle = &bundle };
	struct map_node mn = { .node = n, .class = &class };
	struct map_look look = { .base_domain = "t" };
	struct json_writer w;
	struct buf b = { 0 };

	(void)state;
	fx_routes(n, all, 2);
	json_w_init(&w, &b);
	map_peer_self_put(&w, NULL, &mn, &(struct map_own){ .base_domain = "t" }, 0);
	json_t *v = parse(&b), *caps = json_object_get(v, "CapMap");
	assert_int_equal(json_object_size(caps), 5);
	assert_int_equal(json_array_size(json_object_get(caps, "https://tailscale.com/cap/ssh")), 1);
	assert_true(json_is_null(json_object_get(caps, "x")));
	assert_list(v, "Addresses", "fd7a:115c:a1e0::7/128");
	assert_list(v, "AllowedIPs", "fd7a:115c:a1e0::7/128 0.0.0.0/0 ::/0");
	json_decref(v);
	map_peer_put(&b, &mn, &look);
	v = parse(&b);
	assert_list(v, "Addresses", "fd7a:115c:a1e0::7/128");
	assert_int_equal(json_object_size(json_object_get(v, "CapMap")), 1);
	assert_non_null(json_object_get(json_object_get(v, "CapMap"), "suggest-exit-node"));
	json_decref(v);
	shbuf_drop(bundle.caps);
	fx_node_free(n);
}

static void
hostile_strings(void **state)
{
	struct node *n = fx_node(9, 3);
	static const char *const tags[] = { "tag:\"],\"Key\":\"x", "\xff\x01\\" };

	(void)state;
	memset(n->name, '"', sizeof(n->name));	/* not even terminated */
	fx_tags(n, tags, 2);
	json_t *v = peer(n, false);
	assert_int_equal(strlen(str(v, "Name")), 63 + strlen(".tail.example."));
	assert_string_equal(json_string_value(json_array_get(json_object_get(v, "Tags"), 0)), tags[0]);
	json_decref(v);
	fx_node_free(n);
}

static void
self_members(void **state)
{
	struct node *n = fx_node(7, 3);
	char text[KEY_TEXT_MAX];
	static const char *const caps[] = { "https://tailscale.com/cap/file-sharing",
		"https://tailscale.com/cap/is-admin", "https://tailscale.com/cap/ssh" };

	(void)state;
	n->key_expiry_unix_s = FX_NOW;
	json_t *v = self(n), *cap = json_object_get(v, "CapMap");
	assert_string_equal(str(v, "Machine"), machine_key_put(&n->machine_key, text));
	assert_string_equal(str(v, "KeyExpiry"), "2027-01-15T08:00:00Z");
	assert_int_equal(json_object_size(cap), 4);
	for (unsigned i = 0; i < COUNT_OF(caps); i++)
		assert_true(json_is_array(json_object_get(cap, caps[i])));
	assert_true(json_is_false(json_array_get(json_object_get(cap, "default-auto-update"), 0)));
	assert_non_null(json_object_get(v, "Hostinfo"));
	json_decref(v);
	fx_node_free(n);
}

static void
patches(void **state)
{
	static const struct {
		uint32_t what;
		bool is_online;
		const char *want;	/* @ and ^ stand for the disco and node key */
	} cases[] = {
		{ CHANGE_ENDPOINTS, true, "[{\"NodeID\":7,\"Endpoints\":[\"192.0.2.1:1\"]}]" },
		{ CHANGE_HOME, true, "[{\"NodeID\":7,\"DERPRegion\":901}]" },
		{ CHANGE_ONLINE, true,
		    "[{\"NodeID\":7,\"Online\":true,\"LastSeen\":\"2027-01-15T08:00:00Z\"}]" },
		{ CHANGE_ONLINE, false,
		    "[{\"NodeID\":7,\"Online\":false,\"LastSeen\":\"2027-01-15T08:00:00Z\"}]" },
		{ CHANGE_DISCO, true, "[{\"NodeID\":7,\"DiscoKey\":\"@\",\"Online\":true}]" },
		{ CHANGE_DISCO, false, "[{\"NodeID\":7,\"DiscoKey\":\"@\"}]" },
		{ CHANGE_DISCO | CHANGE_ONLINE, false, "[{\"NodeID\":7,\"DiscoKey\":\"@\"},"
		    "{\"NodeID\":7,\"Online\":false,\"LastSeen\":\"2027-01-15T08:00:00Z\"}]" },
		{ CHANGE_KEY, true,
		    "[{\"NodeID\":7,\"Key\":\"^\",\"KeyExpiry\":\"0001-01-01T00:00:00Z\"}]" },
		{ CHANGE_HOME | CHANGE_ENDPOINTS, true,
		    "[{\"NodeID\":7,\"DERPRegion\":901,\"Endpoints\":[\"192.0.2.1:1\"]}]" },
	};
	struct node *n = fx_node(7, 3);
	char disco[KEY_TEXT_MAX], key[KEY_TEXT_MAX];

	(void)state;
	n->home_derp = 901;
	n->last_seen_unix_s = FX_NOW;
	fx_endpoint(n, 1);
	disco_key_put(&n->disco_key, disco);
	node_key_put(&n->node_key, key);
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 }, want = { 0 };
		struct json_writer w;

		n->is_online = cases[i].is_online;
		json_w_init(&w, &b);
		json_w_arr_open(&w, NULL);
		map_peer_patch_put(&w, n, cases[i].what);
		json_w_arr_close(&w);
		for (const char *p = cases[i].want; *p != '\0'; p++) {
			if (*p == '@')
				buf_str(&want, disco);
			else if (*p == '^')
				buf_str(&want, key);
			else
				buf_byte(&want, (uint8_t)*p);
		}
		assert_string_equal(buf_cstr(&b), buf_cstr(&want));
		buf_fini(&b);
		buf_fini(&want);
	}
	fx_node_free(n);
}

/* An empty list of endpoints must reach peers: absent would mean "unchanged". */
static void
patch_without_endpoints(void **state)
{
	struct node *n = fx_node(7, 3);
	struct buf b = { 0 };
	struct json_writer w;

	(void)state;
	json_w_init(&w, &b);
	map_peer_patch_put(&w, n, CHANGE_ENDPOINTS);
	assert_string_equal(buf_cstr(&b), "{\"NodeID\":7,\"Endpoints\":[]}");
	buf_fini(&b);
	fx_node_free(n);
}

static void
profiles(void **state)
{
	struct user u = { .id = 3, .name = "ann@x", .display_name = "" };
	struct buf b = { 0 };
	struct json_writer w;

	(void)state;
	json_w_init(&w, &b);
	json_w_arr_open(&w, NULL);
	map_peer_profile_put(&w, 3, &u);
	snprintf(u.display_name, sizeof(u.display_name), "Ann \"x\"");
	map_peer_profile_put(&w, 3, &u);
	map_peer_profile_put(&w, USER_TAGGED_ID, NULL);
	map_peer_profile_put(&w, 5, NULL);
	json_w_arr_close(&w);
	assert_string_equal(buf_cstr(&b),
	    "[{\"ID\":3,\"LoginName\":\"ann@x\",\"DisplayName\":\"ann@x\"},"
	    "{\"ID\":3,\"LoginName\":\"ann@x\",\"DisplayName\":\"Ann \\\"x\\\"\"},"
	    "{\"ID\":2147455555,\"LoginName\":\"tagged-devices\",\"DisplayName\":\"tagged-devices\"},"
	    "{\"ID\":5,\"LoginName\":\"\",\"DisplayName\":\"\"}]");
	buf_fini(&b);
}

static void
fqdn_and_expiry(void **state)
{
	struct node *n = fx_node(7, 3);
	char out[MAP_FQDN_MAX];

	(void)state;
	assert_string_equal(map_peer_fqdn(n, "", out), "n7.");
	assert_string_equal(map_peer_fqdn(n, NULL, out), "n7.");
	assert_string_equal(map_peer_fqdn(n, "a.b", out), "n7.a.b.");
	assert_false(node_is_expired(n, FX_NOW));
	n->key_expiry_unix_s = FX_NOW;
	assert_true(node_is_expired(n, FX_NOW));
	assert_false(node_is_expired(n, FX_NOW - 1));
	fx_node_free(n);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peer_members),
		cmocka_unit_test(peer_variants),
		cmocka_unit_test(routes),
		cmocka_unit_test(bundles),
		cmocka_unit_test(hostile_strings),
		cmocka_unit_test(self_members),
		cmocka_unit_test(patches),
		cmocka_unit_test(patch_without_endpoints),
		cmocka_unit_test(profiles),
		cmocka_unit_test(fqdn_and_expiry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
