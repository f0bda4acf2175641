/* links: coord/policy_world* coord/policy_ssh* coord/policy_posture coord/policy_users coord/policy coord/policy_parse* coord/hostinfo coord/hujson coord/ipset coord/tag */
/*
 * Proves: what filters, attributes and views look like to the byte; how nodes come, change and go;
 * who is stale because of whom; that what did not change is kept; that large policies cost little.
 * What every policy means is proven by test_policy_property.
 */
#include "policy_rig.h"

#include "base/clock.h"
#include "base/json.h"

#define ANY_SOURCES "\"100.64.0.0-100.115.91.255\",\"100.115.94.0-100.127.255.255\",\"fd7a:115c:a1e0::/48\""
#define ALL_PORTS "\"Ports\":{\"First\":0,\"Last\":65535}"

static void
settle(struct policy_world *w)
{
	struct node_route routes[RIG_ROUTES_MAX];
	int64_t id;

	while (policy_world_stale(w, &id)) {
		struct policy_node n = rig_policy_node(&rig_nodes[id - 1], routes);

		assert_non_null(policy_world_join(w, &n));
	}
	(void)policy_world_refresh(w);
}

static struct policy_world *
world(struct rig *r, const char *policy)
{
	struct policy_world *w;

	rig_init(r);
	w = rig_world(r, policy);
	settle(w);
	return w;
}

static void
world_end(struct rig *r, struct policy_world *w)
{
	policy_world_free(w);
	rig_fini(r);
}

static const struct policy_class *
class_of(const struct policy_world *w, int64_t id)
{
	const struct policy_class *c = policy_world_class_of(w, id);

	assert_non_null(c);
	return c;
}

static void
assert_text(const struct shbuf *got, const char *want)
{
	struct buf b = { 0 };

	buf_append(&b, got->bytes, got->len);
	assert_string_equal(buf_cstr(&b), want);
	buf_fini(&b);
}

/* --- filters ---------------------------------------------------------------------------------- */

static const struct filter_case {
	const char *policy;
	int64_t node;
	const char *want;
} filter_cases[] = {
	/* No policy: "*" is tailnet addresses and subnet routes, not the whole world. */
	{ "{}", 1, "[{\"SrcIPs\":[" ANY_SOURCES ",\"10.20.0.0/16\",\"10.42.0.0/23\"],"
	    "\"DstPorts\":[{\"IP\":\"*\"," ALL_PORTS "}]}]" },
	{ "{\"acls\":[]}", 1, "[]" },
	{ "{}", 9, "[]" },			/* it waits */
	/* The cluster rule: own addresses by holes, the literal as it is written. */
	{ "{" RIG_TAGS "\"acls\":[{\"action\":\"accept\",\"src\":[\"tag:k3s\",\"10.42.0.0/16\"],"
	    "\"dst\":[\"tag:k3s:*\",\"10.42.0.0/16:*\"]}]}", 10,
	    "[{\"SrcIPs\":[\"100.64.0.10/31\",\"fd7a:115c:a1e0::a/127\",\"10.42.0.0/16\"],"
	    "\"DstPorts\":[{\"IP\":\"\x01\"," ALL_PORTS "},{\"IP\":\"\x02\"," ALL_PORTS "},"
	    "{\"IP\":\"10.42.0.0/16\"," ALL_PORTS "}]}]" },
	{ "{" RIG_TAGS "\"acls\":[{\"action\":\"accept\",\"src\":[\"tag:k3s\",\"10.42.0.0/16\"],"
	    "\"dst\":[\"tag:k3s:*\",\"10.42.0.0/16:*\"]}]}", 4, "[]" },
	/* Equal sources and protocol are one rule; another protocol is another. */
	{ "{" RIG_TAGS "\"acls\":[{\"action\":\"accept\",\"src\":[\"10.9.0.1\"],"
	    "\"dst\":[\"100.64.0.4:22,80\"]},"
	    "{\"action\":\"accept\",\"proto\":\"udp\",\"src\":[\"10.9.0.1\"],\"dst\":[\"100.64.0.4:53\"]},"
	    "{\"action\":\"accept\",\"src\":[\"10.9.0.1\"],\"dst\":[\"100.64.0.4:443\"]}]}", 4,
	    "[{\"SrcIPs\":[\"10.9.0.1\"],\"DstPorts\":["
	    "{\"IP\":\"100.64.0.4\",\"Ports\":{\"First\":22,\"Last\":22}},"
	    "{\"IP\":\"100.64.0.4\",\"Ports\":{\"First\":80,\"Last\":80}},"
	    "{\"IP\":\"100.64.0.4\",\"Ports\":{\"First\":443,\"Last\":443}}]},"
	    "{\"SrcIPs\":[\"10.9.0.1\"],\"DstPorts\":[{\"IP\":\"100.64.0.4\","
	    "\"Ports\":{\"First\":53,\"Last\":53}}],"
	    "\"IPProto\":[17]}]" },
	/* autogroup:self: the user's own, and nothing for tagged nodes. */
	{ "{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
	    "\"dst\":[\"autogroup:self:22\"]}]}", 1,
	    "[{\"SrcIPs\":[\"100.64.0.1-100.64.0.2\",\"fd7a:115c:a1e0::1-fd7a:115c:a1e0::2\"],\"DstPorts\":["
	    "{\"IP\":\"\x01\",\"Ports\":{\"First\":22,\"Last\":22}},"
	    "{\"IP\":\"\x02\",\"Ports\":{\"First\":22,\"Last\":22}}]}]" },
	{ "{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
	    "\"dst\":[\"autogroup:self:22\"]}]}", 4,
	    "[]" },
	/* Capabilities: narrowed to the node's own address, the companion goes the other way. */
	{ "{" RIG_TAGS "\"grants\":[{\"src\":[\"tag:k3s\"],\"dst\":[\"100.64.0.0/29\"],"
	    "\"app\":{\"tailscale.com/cap/relay\":[]}}]}", 4,
	    "[{\"SrcIPs\":[\"100.64.0.10/31\",\"fd7a:115c:a1e0::a/127\"],"
	    "\"CapGrant\":[{\"Dsts\":[\"\x01/32\"],\"CapMap\":{\"tailscale.com/cap/relay\":[]}}]}]" },
	{ "{" RIG_TAGS "\"grants\":[{\"src\":[\"tag:k3s\"],\"dst\":[\"100.64.0.0/29\"],"
	    "\"app\":{\"tailscale.com/cap/relay\":[]}}]}", 10,
	    "[{\"SrcIPs\":[\"100.64.0.0/29\"],\"CapGrant\":[{\"Dsts\":[\"\x01/32\",\"\x02/128\"],"
	    "\"CapMap\":{\"tailscale.com/cap/relay-target\":null}}]}]" },
	/* A prefix of capabilities that a router routes is kept whole, as prefixes. */
	{ "{" RIG_TAGS "\"ipsets\":{\"ipset:i\":[\"10.20.0.1-10.20.0.6\"]},\"grants\":[{\"src\":[\"10.9.0.1\"],"
	    "\"dst\":[\"ipset:i\"],\"app\":{\"example.com/x\":[1]}}]}", 6,
	    "[{\"SrcIPs\":[\"10.9.0.1\"],\"CapGrant\":[{\"Dsts\":[\"10.20.0.1/32\","
	    "\"10.20.0.2/31\",\"10.20.0.4/31\","
	    "\"10.20.0.6/32\"],\"CapMap\":{\"example.com/x\":[1]}}]}]" },
	/* The internet, through an exit node and through one that a via rule names. */
	{ "{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:danger-all\"],\"dst\":[\"8.8.8.8:53\"]}]}", 8,
	    "[{\"SrcIPs\":[\"*\"],\"DstPorts\":[{\"IP\":\"8.8.8.8\",\"Ports\":{\"First\":53,\"Last\":53}}]}]" },
	{ "{\"acls\":[{\"action\":\"accept\",\"src\":[\"autogroup:danger-all\"],\"dst\":[\"8.8.8.8:53\"]}]}", 6,
	    "[]" },
	{ "{" RIG_TAGS "\"grants\":[{\"src\":[\"10.9.0.1\"],\"dst\":[\"10.20.1.0/24\",\"10.30.0.0/16\"],"
	    "\"ip\":[\"tcp:80\"],\"via\":[\"tag:spare\"]}]}", 7,
	    "[{\"SrcIPs\":[\"10.9.0.1\"],\"DstPorts\":[{\"IP\":\"10.20.1.0/24\","
	    "\"Ports\":{\"First\":80,\"Last\":80}}],"
	    "\"IPProto\":[6]}]" },
	{ "{" RIG_TAGS "\"grants\":[{\"src\":[\"10.9.0.1\"],\"dst\":[\"10.20.1.0/24\"],"
	    "\"ip\":[\"tcp:80\"],\"via\":[\"tag:spare\"]}]}", 6, "[]" },
};

static void
test_filters(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(filter_cases); i++) {
		const struct filter_case *c = &filter_cases[i];
		struct rig r;
		struct policy_world *w = world(&r, c->policy);

		assert_text(class_of(w, c->node)->bundle->filter, c->want);
		world_end(&r, w);
	}
}

static void
test_holes(void **state)
{
	static const char text[] = "[\"\x01\",\"\x02/128\",\"\x01/32\",\"\x02\"]";
	struct shbuf *template = shbuf_new(text, strlen(text));
	struct policy_node n = { .ip4 = rig_ip("100.64.0.7"), .ip6 = rig_ip("fd7a:115c:a1e0::7") };
	struct buf b = { 0 };

	(void)state;
	policy_filter_put(&b, template, &n);
	assert_string_equal(buf_cstr(&b), "[\"100.64.0.7\",\"fd7a:115c:a1e0::7/128\",\"100.64.0.7/32\","
	    "\"fd7a:115c:a1e0::7\"]");
	buf_fini(&b);
	shbuf_drop(template);
}

/* --- attributes ------------------------------------------------------------------------------- */

static const struct caps_case {
	const char *policy;
	int64_t node;
	const char *want;
	bool is_ipv4_off, is_exit_suggested;
} caps_cases[] = {
	{ "{}", 1, "", false, false },
	{ "{\"randomizeClientPort\":true}", 1, "\"randomize-client-port\":null", false, false },
	{ "{\"randomizeClientPort\":true}", 9, "", false, false },
	{ "{\"disableIPv4\":true}", 1, "\"disable-ipv4\":null", true, false },
	{ "{\"OneCGNATRoute\":\"mac-always\"}", 1, "\"one-cgnat?v=true\":null", false, false },
	{ "{\"OneCGNATRoute\":\"mac-never\"}", 1, "\"one-cgnat?v=false\":null", false, false },
	{ "{\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"b\",\"a\"]},{\"target\":[\"alice@\"],"
	    "\"attr\":[\"c\",\"b\"]}]}", 1,
	    "\"a\":null,\"b\":null,\"c\":null", false, false },
	{ "{\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"a\"]},{\"target\":[\"alice@\"],"
	    "\"attr\":[\"c\"]}]}", 3,
	    "\"a\":null", false, false },
	/* Values of one name are one list, each once. */
	{ "{\"nodeAttrs\":[{\"target\":[\"*\"],\"app\":{\"example.com/x\":[1]}},"
	    "{\"target\":[\"alice@\"],\"app\":{\"example.com/x\":[{\"y\":2}]}},"
	    "{\"target\":[\"autogroup:member\"],\"app\":{\"example.com/x\":[1]}}]}", 1,
	    "\"example.com/x\":[1,{\"y\":2}]", false, false },
	{ "{\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"suggest-exit-node\"]}]}", 1,
	    "\"suggest-exit-node\":null", false, false },
	{ "{\"nodeAttrs\":[{\"target\":[\"*\"],\"attr\":[\"suggest-exit-node\"]}]}", 8,
	    "\"suggest-exit-node\":null", false, true },
	{ "{\"nodeAttrs\":[{\"target\":[\"100.64.0.3\"],\"attr\":[\"disable-ipv4\"]}]}", 3,
	    "\"disable-ipv4\":null", true, false },
};

static void
test_attributes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(caps_cases); i++) {
		const struct caps_case *c = &caps_cases[i];
		struct rig r;
		struct policy_world *w = world(&r, c->policy);
		const struct policy_bundle *b = class_of(w, c->node)->bundle;

		assert_text(b->caps, c->want);
		assert_int_equal(b->is_ipv4_off, c->is_ipv4_off);
		assert_int_equal(b->is_exit_suggested, c->is_exit_suggested);
		world_end(&r, w);
	}
}

/* --- rows and views --------------------------------------------------------------------------- */

static void
test_open_is_one_row(void **state)
{
	struct rig r;
	struct policy_world *w = world(&r, "{}");
	const struct policy_view *view;

	(void)state;
	assert_int_equal(w->n_rows, 2);		/* and the one of those that wait */
	for (int64_t id = 1; id <= (int64_t)COUNT_OF(rig_nodes); id++)
		assert_int_equal(class_of(w, id)->row, id == 9 ? POLICY_ROW_WAITING : 1);
	view = policy_world_view(w, 1, 1);
	assert_non_null(view);
	assert_int_equal(view->id, 0);
	assert_false(view->is_ipv4_hidden);
	assert_int_equal(view->show[0], POLICY_SHOW_PRIMARY);
	assert_null(policy_world_view(w, POLICY_ROW_WAITING, 1));
	assert_null(policy_world_view(w, 1, POLICY_ROW_WAITING));
	world_end(&r, w);
}

/* Nodes of one tag that route different subnets of one literal are alike. */
static void
test_classes(void **state)
{
	struct rig r;
	struct policy_world *w = world(&r, "{" RIG_TAGS "\"acls\":[{\"action\":\"accept\","
	    "\"src\":[\"tag:k3s\",\"10.42.0.0/16\"],\"dst\":[\"tag:k3s:*\",\"10.42.0.0/16:*\"]}]}");

	(void)state;
	assert_ptr_equal(class_of(w, 10), class_of(w, 11));
	assert_ptr_equal(class_of(w, 4), class_of(w, 5));
	assert_int_equal(class_of(w, 10)->n_nodes, 2);
	assert_int_equal(policy_class_user(class_of(w, 1)), 1);
	assert_int_equal(policy_class_user(class_of(w, 4)), 0);
	assert_int_equal(policy_class_user(class_of(w, 9)), -1);
	assert_null(policy_world_view(w, class_of(w, 10)->row, class_of(w, 4)->row));
	assert_non_null(policy_world_view(w, class_of(w, 10)->row, class_of(w, 10)->row));
	/* Nobody else is concerned: one row for all of them, which does not see itself. */
	assert_int_equal(class_of(w, 1)->row, class_of(w, 3)->row);
	assert_null(policy_world_view(w, class_of(w, 1)->row, class_of(w, 1)->row));
	assert_null(policy_world_class_of(w, 99));
	world_end(&r, w);
}

static void
test_views_of_routes(void **state)
{
	/* Of two routers the via rule takes the one that has the tag, primary or not. */
	struct rig r;
	struct policy_world *w = world(&r,
	    "{" RIG_TAGS "\"grants\":[{\"src\":[\"alice@\"],\"dst\":[\"10.20.0.0/16\"],"
	    "\"ip\":[\"*\"],\"via\":[\"tag:spare\"]},{\"src\":[\"alice@\"],"
	    "\"dst\":[\"tag:router\"],\"ip\":[\"22\"]},"
	    "{\"src\":[\"bob@example.com\"],\"dst\":[\"10.20.0.0/16\",\"autogroup:internet\"],\"ip\":[\"*\"]}],"
	    "\"nodeAttrs\":[{\"target\":[\"bob@example.com\"],\"attr\":[\"disable-ipv4\"]}]}");
	static const struct { int64_t viewer, node; int show; } cases[] = {
		{ 1, 7, POLICY_SHOW_ALWAYS }, { 1, 6, POLICY_SHOW_NOT }, { 3, 6, POLICY_SHOW_PRIMARY },
		{ 3, 7, POLICY_SHOW_PRIMARY }, { 3, 8, POLICY_SHOW_PRIMARY }, { 6, 7, -1 },
		{ 1, 8, -1 }, { 6, 4, -1 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct policy_class *a = class_of(w, cases[i].viewer), *b = class_of(w, cases[i].node);
		const struct policy_view *view = policy_world_view(w, a->row, b->row);
		const struct policy_node *n = policy_world_node(w, cases[i].node);

		if (cases[i].show < 0) {
			assert_null(view);
			continue;
		}
		assert_non_null(view);
		assert_int_equal(view->show[policy_world_kind(w, b, n, 0)], cases[i].show);
		assert_int_equal(view->is_ipv4_hidden, cases[i].viewer == 3);
		assert_true(!view->is_ipv4_hidden || view->id != 0);
	}
	world_end(&r, w);
}

/* --- coming, changing, going ------------------------------------------------------------------ */

static void
test_refresh_keeps(void **state)
{
	struct rig r;
	struct policy_world *w = world(&r, "{" RIG_TAGS "\"acls\":[{\"action\":\"accept\",\"src\":[\"alice@\"],"
	    "\"dst\":[\"tag:web:80\"]},{\"action\":\"accept\",\"src\":[\"tag:k3s\"],"
	    "\"dst\":[\"tag:exit:1\"]}]}");
	struct policy_bundle *web = policy_bundle_hold(class_of(w, 4)->bundle);
	const struct policy_bundle *exit = class_of(w, 8)->bundle, *bob = class_of(w, 3)->bundle;
	struct policy_node n = { .id = 100, .user_id = 1, .ip4 = rig_ip("100.64.1.0") };

	(void)state;
	assert_false(policy_world_refresh(w));
	assert_non_null(policy_world_join(w, &n));
	assert_true(policy_world_refresh(w));
	assert_ptr_not_equal(class_of(w, 4)->bundle, web);
	assert_false(shbuf_eq(class_of(w, 4)->bundle->filter, web->filter));
	assert_ptr_equal(class_of(w, 4)->bundle->caps, web->caps);
	assert_ptr_equal(class_of(w, 8)->bundle, exit);
	assert_ptr_equal(class_of(w, 3)->bundle, bob);
	/* Gone again, all is as it was; gone and back before anybody looks, nothing has been. */
	policy_world_leave(w, 100);
	assert_true(policy_world_refresh(w));
	assert_true(shbuf_eq(class_of(w, 4)->bundle->filter, web->filter));
	assert_non_null(policy_world_join(w, &n));
	policy_world_leave(w, 100);
	policy_world_leave(w, 100);
	assert_false(policy_world_refresh(w));
	policy_bundle_drop(web);
	world_end(&r, w);
}

static void
test_is_current(void **state)
{
	struct rig r;
	struct policy_world *w = world(&r,
	    "{" RIG_TAGS "\"acls\":[{\"action\":\"accept\",\"src\":[\"tag:web\"],"
	    "\"dst\":[\"10.20.0.0/16:80\"]}]}");
	struct node_route routes[RIG_ROUTES_MAX];
	struct policy_node n = rig_policy_node(&rig_nodes[5], routes), changed;
	char *const web[] = { (char *)(uintptr_t)"tag:web" };

	(void)state;
	assert_true(policy_world_is_current(w, &n));
	changed = n;
	changed.tags = web;
	assert_false(policy_world_is_current(w, &changed));
	changed = n;
	changed.ip4 = rig_ip("100.64.9.9");
	assert_false(policy_world_is_current(w, &changed));
	changed = n;
	changed.n_routes = 0;
	assert_false(policy_world_is_current(w, &changed));
	changed = n;
	changed.is_waiting = true;
	assert_false(policy_world_is_current(w, &changed));
	routes[0].is_primary = false;		/* a matter of views */
	assert_true(policy_world_is_current(w, &n));
	n.id = 77;
	assert_false(policy_world_is_current(w, &n));
	world_end(&r, w);
}

/* A second router for a route: the first one is stale, and again when it is alone again. */
static void
test_stale_by_route(void **state)
{
	struct rig r;
	struct policy_world *w = world(&r,
	    "{" RIG_TAGS "\"acls\":[{\"action\":\"accept\",\"src\":[\"tag:k3s\"],"
	    "\"dst\":[\"10.42.0.0/16:80\"]}]}");
	struct node_route routes[RIG_ROUTES_MAX], mine[RIG_ROUTES_MAX];
	struct policy_node n = rig_policy_node(&rig_nodes[9], routes),
	    first = rig_policy_node(&rig_nodes[9], mine);
	int64_t id = 0;

	(void)state;
	n.id = 50;
	n.ip4 = rig_ip("100.64.0.50");
	n.ip6.family = 0;
	assert_non_null(policy_world_join(w, &n));
	assert_false(policy_world_is_current(w, &first));
	assert_true(policy_world_stale(w, &id));
	assert_int_equal(id, 10);
	assert_non_null(policy_world_join(w, &first));
	assert_false(policy_world_stale(w, &id));
	assert_true(policy_world_is_current(w, &first));
	policy_world_leave(w, 50);
	assert_true(policy_world_stale(w, &id));
	assert_int_equal(id, 10);
	assert_non_null(policy_world_join(w, &first));
	assert_false(policy_world_stale(w, &id));
	world_end(&r, w);
}

/* An exit node's routes are held against selectors, which nobody may be in at first. */
static void
test_stale_by_first_node(void **state)
{
	struct rig r;
	struct policy_world *w = world(&r,
	    "{" RIG_TAGS "\"acls\":[{\"action\":\"accept\",\"src\":[\"carol@other.org\"],"
	    "\"dst\":[\"tag:exit:22\"]}]}");
	struct policy_node n = { .id = 60, .user_id = 3, .ip4 = rig_ip("100.64.0.60") };
	struct node_route routes[RIG_ROUTES_MAX];
	struct policy_node exit = rig_policy_node(&rig_nodes[7], routes);
	int64_t id = 0;

	(void)state;
	assert_non_null(policy_world_join(w, &n));
	assert_true(policy_world_stale(w, &id));
	assert_int_equal(id, 8);
	assert_non_null(policy_world_join(w, &exit));
	assert_false(policy_world_stale(w, &id));
	n.id = 61;
	n.ip4 = rig_ip("100.64.0.61");
	assert_non_null(policy_world_join(w, &n));
	assert_false(policy_world_stale(w, &id));
	world_end(&r, w);
}

/* Two nodes change addresses: the set of their tag is right whoever is first. */
static void
test_addresses_swap(void **state)
{
	struct rig r;
	struct policy_world *w = world(&r,
	    "{" RIG_TAGS "\"acls\":[{\"action\":\"accept\",\"src\":[\"tag:web\"],"
	    "\"dst\":[\"tag:exit:22\"]}]}");
	struct shbuf *before = shbuf_hold(class_of(w, 8)->bundle->filter);
	struct node_route routes[RIG_ROUTES_MAX], others[RIG_ROUTES_MAX];
	struct policy_node a = rig_policy_node(&rig_nodes[3], routes),
	    b = rig_policy_node(&rig_nodes[4], others);
	struct net_ip ip = a.ip4;

	(void)state;
	a.ip4 = b.ip4;
	assert_non_null(policy_world_join(w, &a));
	b.ip4 = ip;
	assert_non_null(policy_world_join(w, &b));
	assert_false(policy_world_refresh(w));
	assert_true(shbuf_eq(class_of(w, 8)->bundle->filter, before));
	shbuf_drop(before);
	world_end(&r, w);
}

/* --- postures --------------------------------------------------------------------------------- */

static const char *
tier(void *arg, const char *attribute)
{
	return strcmp(attribute, "custom:tier") == 0 ? arg : NULL;
}

static void
test_postures(void **state)
{
	static const char json[] = "{\"OS\":\"linux\",\"IPNVersion\":\"1.82.5-tdeadbeef\","
	    "\"AllowsUpdate\":true,"
	    "\"StateEncrypted\":false}";
	static const struct { const char *posture; const char *tier; bool is_met; } cases[] = {
		{ "node:os == 'linux'", NULL, true }, { "node:os IN ['macos', 'windows']", NULL, false },
		{ "node:tsVersion >= '1.82'", NULL, true }, { "node:tsVersion < '1.9'", NULL, false },
		{ "node:tsReleaseTrack == 'stable'", NULL, true }, { "node:tsAutoUpdate == true", NULL, true },
		{ "node:tsStateEncrypted == true", NULL, false },
		    { "node:tsStateEncrypted == false", NULL, true },
		{ "custom:tier == 'prod'", "prod", true }, { "custom:tier == 'prod'", "dev", false },
		{ "custom:tier == 'prod'", NULL, false }, { "custom:tier NOT SET", NULL, true },
		{ "node:osVersion IS SET", NULL, false },
	};
	struct hostinfo *host;
	struct err_text why;

	(void)state;
	assert_int_equal(hostinfo_parse(json, sizeof(json) - 1, &host, &why), ERR_OK);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct policy_node n = { .id = 70, .user_id = 1, .ip4 = rig_ip("100.64.0.70"), .host = host,
		    .more = cases[i].tier != NULL ? tier : NULL, .more_arg = (void *)(uintptr_t)cases[i].tier };
		struct buf policy = { 0 };
		struct policy_world *w;
		struct rig r;
		char filter[128];

		buf_printf(&policy, "{\"postures\":{\"posture:p\":[\"%s\"]},\"acls\":[{\"action\":\"accept\","
		    "\"src\":[\"100.64.0.64/28\"],\"srcPosture\":[\"posture:p\"],"
		    "\"dst\":[\"100.64.0.4:80\"]}]}",
		    cases[i].posture);
		w = world(&r, buf_cstr(&policy));
		assert_non_null(policy_world_join(w, &n));
		policy_world_refresh(w);
		/* Only the addresses of nodes that meet it are sources, not the whole prefix. */
		snprintf(filter, sizeof(filter), "[%s]", !cases[i].is_met ? "" :
		    "{\"SrcIPs\":[\"100.64.0.70\"],"
		    "\"DstPorts\":[{\"IP\":\"100.64.0.4\",\"Ports\":{\"First\":80,\"Last\":80}}]}");
		assert_text(class_of(w, 4)->bundle->filter, filter);
		assert_int_equal(policy_world_view(w, class_of(w, 70)->row, class_of(w, 4)->row) != NULL,
		    cases[i].is_met);
		n.host = NULL;
		n.more = NULL;
		assert_true(cases[i].is_met != policy_world_is_current(w, &n) ||
		    strstr(cases[i].posture, "NOT SET") != NULL);
		world_end(&r, w);
		buf_fini(&policy);
	}
	hostinfo_drop(host);
}

/* --- sizes ------------------------------------------------------------------------------------ */

/* Each second address of a range belongs to tag:web, so that none join; so many rules over them. */
static struct policy_world *
big_world(struct rig *r, unsigned n_nodes, unsigned n_rules)
{
	char *const tags[] = { (char *)(uintptr_t)"tag:web" },
	    *const other[] = { (char *)(uintptr_t)"tag:spare" };
	struct policy_world *w;
	struct buf b = { 0 };

	buf_str(&b, "{" RIG_TAGS "\"acls\":[");
	for (unsigned i = 0; i < n_rules; i++)
		buf_printf(&b,
		    "%s{\"action\":\"accept\",\"src\":[\"tag:web\",\"10.%u.%u.0/24\"],\"dst\":[\"tag:exit:%u\","
		    "\"tag:k3s:1\",\"10.20.0.0/16:%u\",\"tag:spare:%u\",\"tag:web:9\"]}", i > 0 ?
		    "," : "", i / 250, i % 250,
		    1000 + i, 1 + i, 2 + i);
	buf_str(&b, "]}");
	w = world(r, buf_cstr(&b));
	buf_fini(&b);
	for (unsigned i = 0; i < n_nodes; i++) {
		struct policy_node n = { .id = 1000 + i, .tags = i % 2 == 0 ? tags : other, .n_tags = 1,
		    .ip4 = net_ip_from_v4((uint8_t[]){ 100, 70, (uint8_t)(i >> 8), (uint8_t)i }) };

		assert_non_null(policy_world_join(w, &n));
	}
	policy_world_refresh(w);
	return w;
}

/* Thousands of scattered sources are named once, not for every rule. */
static void
test_long_filter(void **state)
{
	struct rig r;
	struct policy_world *w = big_world(&r, 4000, 200);
	unsigned n_rules = 0, n_first = 0;
	struct buf b = { 0 };
	const json_t *rule;
	json_t *v;
	size_t i;

	(void)state;
	policy_filter_put(&b, class_of(w, 8)->bundle->filter, policy_world_node(w, 8));
	v = json_loadb((const char *)b.p, b.len, 0, NULL);
	buf_fini(&b);
	assert_non_null(v);
	json_array_foreach(v, i, rule) {
		const json_t *src = json_object_get(rule, "SrcIPs");

		n_rules++;
		n_first += json_array_size(src) > 1000;
		if (json_array_size(src) > 1000)
			assert_int_equal(json_array_size(json_object_get(rule, "DstPorts")), 400);
		else
			assert_int_equal(json_array_size(json_object_get(rule, "DstPorts")), 2);
	}
	assert_int_equal(n_first, 1);
	assert_int_equal(n_rules, 201);
	json_decref(v);
	world_end(&r, w);
}

/* As large as a policy may be: 20,000 rules, 100,000 pairs. Seconds would be too long. */
static void
test_largest_policy(void **state)
{
	struct rig r;
	int64_t begin = clock_mono_ms();
	struct policy_world *w = big_world(&r, 2000, POLICY_RULES_MAX);

	(void)state;
	assert_non_null(policy_world_view(w, class_of(w, 1000)->row, class_of(w, 8)->row));
	assert_true(clock_mono_ms() - begin < 30000);
	world_end(&r, w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filters), cmocka_unit_test(test_holes), cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_open_is_one_row), cmocka_unit_test(test_classes),
		cmocka_unit_test(test_views_of_routes), cmocka_unit_test(test_refresh_keeps),
		cmocka_unit_test(test_is_current), cmocka_unit_test(test_stale_by_route),
		cmocka_unit_test(test_stale_by_first_node), cmocka_unit_test(test_addresses_swap),
		cmocka_unit_test(test_postures), cmocka_unit_test(test_long_filter),
		cmocka_unit_test(test_largest_policy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
