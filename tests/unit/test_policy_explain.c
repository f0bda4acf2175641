/* links: coord/policy* coord/hujson coord/ipset coord/tag coord/hostinfo coord/user */
/* Why somebody may reach something, and what would have to change if not. */
#include "tests/unit/policy_rig.h"

#include "base/json.h"
#include "coord/policy_explain.h"

static bool
is_expired(void *arg, int64_t node_id)
{
	(void)arg;
	return node_id == 11;
}

static const struct hostinfo windows = { .os = "windows", .client_version = "1.70.0" };

static const struct hostinfo *
host_of(void *arg, int64_t node_id)
{
	(void)arg;
	return node_id == 3 ? &windows : NULL;
}

/* web-2 advertises 10.99.0.0/16, which nobody approved. */
static int64_t
advertiser(void *arg, const struct net_ip *ip, struct net_prefix *route)
{
	(void)arg;
	assert_int_equal(net_prefix_parse("10.99.0.0/16", 12, route), ERR_OK);
	return net_prefix_has(route, ip) ? 5 : 0;
}

static const struct policy_explain_facts facts = {
	.name = rig_name, .is_expired = is_expired, .host = host_of, .advertiser = advertiser,
};

static const char policy_text[] = "{\n"				/* line 1 */
	RIG_TAGS "\n"
	"\"postures\": {\"posture:linux\": [\"node:os IN ['linux']\"]},\n"
	"\"acls\": [\n"
	"  {\"action\": \"accept\", \"src\": [\"alice@\"], /* laptops } */\n"	/* line 5 */
	"   \"dst\": [\"tag:web:22,80-90\"]},\n"
	"  {\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": "
	    "[\"10.20.0.0/16:443\"]},\n"
	"  {\"action\": \"accept\", \"src\": [\"tag:k3s\", \"10.42.0.0/16\"], \"dst\": "
	    "[\"tag:k3s:*\", \"10.42.0.0/16:*\"]},\n"
	"  {\"action\": \"accept\", \"proto\": \"udp\", \"src\": [\"autogroup:member\"], \"dst\": "
	    "[\"autogroup:self:53\"]},\n"
	"  {\"action\": \"accept\", \"src\": [\"bob@\"], \"srcPosture\": [\"posture:linux\"], "
	    "\"dst\": [\"tag:web:443\"]},\n"
	"],\n"
	"\"grants\": [\n"						/* line 12 */
	"  {\"src\": [\"bob@\"], \"dst\": [\"10.20.0.0/16\"], \"ip\": [\"8080\"], \"via\": "
	    "[\"tag:spare\"]},\n"
	"  {\"src\": [\"alice@\"], \"dst\": [\"autogroup:internet\"], \"ip\": [\"*\"]},\n"
	"]}";

struct explain_case {
	const char *src, *dst;		/* names of nodes, or addresses; dst with port */
	bool is_allowed;
	const char *want;		/* '|'-separated pieces of the text */
	const char *want_not;		/* NULL: nothing is forbidden */
};

static int64_t
find_node(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(rig_nodes); i++) {
		if (strcmp(rig_nodes[i].name, name) == 0)
			return rig_nodes[i].id;
	}
	return 0;
}

static struct policy_explain *
explain(struct policy_world *w, const char *src, const char *dst)
{
	struct policy_explain_ask ask = { 0 };
	struct policy_explain *e = NULL;
	struct err_text why;
	char host[256];

	assert_int_equal(policy_explain_parse(dst, host, &ask, &why), ERR_OK);
	if ((ask.src_node = find_node(src)) == 0)
		ask.src_ip = rig_ip(src);
	if ((ask.dst_node = find_node(host)) == 0)
		ask.dst_ip = rig_ip(host);
	assert_int_equal(policy_explain_new(w, &ask, &facts, &e, &why), ERR_OK);
	return e;
}

static void
check(struct policy_world *w, const struct explain_case *c)
{
	struct policy_explain *e = explain(w, c->src, c->dst);
	char *want = obj_strdup(c->want), *save = NULL;
	struct buf text = { 0 }, json = { 0 };
	struct err_text why;
	json_t *root = NULL;

	policy_explain_put_text(&text, e);
	if (e->is_allowed != c->is_allowed)
		fail_msg("%s -> %s: %s", c->src, c->dst, buf_cstr(&text));
	for (char *piece = strtok_r(want, "|", &save); piece != NULL; piece = strtok_r(NULL, "|",
	    &save)) {
		if (strstr(buf_cstr(&text), piece) == NULL)
			fail_msg("%s -> %s: no \"%s\" in %s", c->src, c->dst, piece,
			    buf_cstr(&text));
	}
	if (c->want_not != NULL && strstr(buf_cstr(&text), c->want_not) != NULL)
		fail_msg("%s -> %s: \"%s\" in %s", c->src, c->dst, c->want_not, buf_cstr(&text));
	policy_explain_put_json(&json, e);
	assert_int_equal(json_parse(json.p, json.len, &root, &why), ERR_OK);
	assert_int_equal(json_get_bool(root, "allowed", !c->is_allowed), c->is_allowed);
	assert_int_equal(json_array_size(json_get(root, "findings")), e->n);
	json_decref(root);
	policy_explain_free(e);
	free(want);
	buf_fini(&text);
	buf_fini(&json);
}

static void
test_cases(void **state)
{
	static const struct explain_case cases[] = {
		{ "alice-laptop", "web-1:22", true,
		  "allowed: alice-laptop (100.64.0.1) -> web-1 (100.64.0.4), tcp:22\n|line 5, "
		  "column 3: alice@ may reach tag:web:22,80-90|"
		  "{\"action\": \"accept\", \"src\": [\"alice@\"], \"dst\": [\"tag:web:22,"
		  "80-90\"]}\n|"
		  "{\"SrcIPs\":[\"100.64.0.1-100.64.0.2\",\"fd7a:115c:a1e0::1-fd7a:115c:a1e0::2\"],"
		  "\"DstPorts\":[{\"IP\":\"100.64.0.4\",\"Ports\":{\"First\":22,\"Last\":22}}],"
		  "\"IPProto\":[6]}", "laptops" },
		/* ICMP goes wherever anything goes */
		{ "alice-laptop", "web-1/icmp", true, "icmp|line 5", NULL },
		{ "alice-laptop", "web-1:23", false,
		  "denied|no rule lets alice-laptop (100.64.0.1) reach web-1 (100.64.0.4) on "
		  "tcp:23|"
		  "port         line 5, column 3: has this source and destination, but allows 22, "
		  "80-90 only: add tcp:23", NULL },
		{ "bob-laptop", "web-1:22", false, "source       line 5, column 3: allows it from "
		  "alice@: bob-laptop", "posture " },
		/* a posture, and what the device has */
		{ "bob-laptop", "web-1:443", false,
		  "posture      line 10, column 3|posture:linux wants node:os IN ['linux'], the "
		  "device has 'windows'", NULL },
		/* by address, of the other family too */
		{ "fd7a:115c:a1e0::1", "web-2:80", true, "alice-laptop (fd7a:115c:a1e0::1) -> "
		  "web-2 (fd7a:115c:a1e0::5)", NULL },
		{ "100.64.0.1", "100.64.0.5:90", true, "web-2 (100.64.0.5)", NULL },
		{ "100.64.0.1", "[fd7a:115c:a1e0::5]:90", false, "no IPv4, the other no IPv6",
		  NULL },
		/* routes: the primary, and via */
		{ "alice-laptop", "10.20.3.4:443", true,
		  "10.20.3.4 (10.20.0.0/16 of gw-1)|line 7, column 3|10.20.0.0/16 through gw-1, "
		  "its primary router", NULL },
		{ "bob-laptop", "10.20.3.4:443", true, "gw-1, its primary router", NULL },
		{ "10.42.0.7", "10.42.0.9:80", true, "10.42.0.7 (10.42.0.0/24 of k3s-1)|line 8, "
		  "column 3", NULL },
		{ "web-1", "10.20.3.4:443", false, "source       line 7, column 3: allows it from "
		  "autogroup:member: web-1", NULL },
		/* nobody's, and somebody's who lacks approval */
		{ "alice-laptop", "10.50.0.1:80", false, "no node has the address 10.50.0.1 or an "
		  "approved route", "unapproved" },
		{ "alice-laptop", "10.99.0.1:80", false,
		  "unapproved   web-2 advertises 10.99.0.0/16, which is not approved", "no-rule" },
		/* the internet */
		{ "alice-laptop", "8.8.8.8:53/udp", true, "0.0.0.0/0 through exit-1, if the client "
		  "has chosen it", NULL },
		{ "bob-laptop", "8.8.8.8:53/udp", false, "source       line 14, column 3", NULL },
		/* nodes that may not talk at all */
		{ "bob-new", "web-1:443", false, "blocked      bob-new waits for approval",
		  "no-rule" },
		{ "k3s-1", "k3s-2:80", false, "blocked      k3s-2 has an expired key", "no-rule" },
		/* autogroup:self */
		{ "alice-laptop", "alice-phone:53/udp", true,
		  "line 9, column 3|\"SrcIPs\":[\"100.64.0.1\"],"
		  "\"DstPorts\":[{\"IP\":\"100.64.0.2\"|\"IPProto\":[17]", NULL },
		{ "alice-laptop", "bob-laptop:53/udp", false,
		  "destination  line 9, column 3: allows udp:53 from this source", NULL },
		{ "gw-1", "web-1:9", false, "no rule lets gw-1", "line" },
	};
	struct rig r;

	(void)state;
	rig_init(&r);
	struct policy_world *w = rig_world(&r, policy_text);

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(w, &cases[i]);
	policy_world_free(w);
	rig_fini(&r);
}

/* A via grant alone leads through its routers; the primary is not asked. */
static void
test_via(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	struct policy_world *w = rig_world(&r, "{" RIG_TAGS
	    "\"grants\":[{\"src\":[\"bob@\"],\"dst\":[\"10.20.0.0/16\"],\"ip\":[\"8080\"],"
	    "\"via\":[\"tag:spare\"]}]}");

	check(w, &(struct explain_case){ "bob-laptop", "10.20.3.4:8080", true,
	    "10.20.3.4 (10.20.0.0/16 of gw-2)|10.20.0.0/16 through gw-2, chosen by via", NULL });
	check(w, &(struct explain_case){ "bob-laptop", "10.20.3.4:80", false, "allows 8080 only",
	    NULL });
	check(w, &(struct explain_case){ "alice-laptop", "10.20.3.4:8080", false, "denied",
	    "gw-2" });
	policy_world_free(w);
	rig_fini(&r);
}

/* Without IPv4 a rule of IPv4 addresses alone lets nobody through; a name means the IPv6 address. */
static void
test_ipv4_off(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	struct policy_world *w = rig_world(&r, "{" RIG_TAGS
	    "\"nodeAttrs\":[{\"target\":[\"alice@\"],\"attr\":[\"disable-ipv4\"]}],"
	    "\"grants\":[{\"src\":[\"100.64.0.1\"],\"dst\":[\"tag:web\"],\"ip\":[\"22\"]},"
	    "{\"src\":[\"bob@\"],\"dst\":[\"*\"],\"ip\":[\"22\"]}]}");

	check(w, &(struct explain_case){ "alice-laptop", "web-1:22", false,
	    "alice-laptop (fd7a:115c:a1e0::1)|denied", "allowed:" });
	check(w, &(struct explain_case){ "100.64.0.1", "web-1:22", false,
	    "alice-laptop has no IPv4: disableIPv4, or the attribute disable-ipv4", "allowed:" });
	check(w, &(struct explain_case){ "bob-laptop", "100.64.0.1:22", false,
	    "alice-laptop has no IPv4", "allowed:" });
	check(w, &(struct explain_case){ "bob-laptop", "alice-laptop:22", true,
	    "bob-laptop (fd7a:115c:a1e0::3)", "(100.64." });
	check(w, &(struct explain_case){ "bob-laptop", "web-1:22", true, "(100.64.0.4)", NULL });
	policy_world_free(w);
	rig_fini(&r);
}

static void
test_no_policy(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	struct policy_world *w = rig_world(&r, "");

	check(w, &(struct explain_case){ "web-1", "bob-laptop:1", true,
	    "neither acls nor grants: everything is allowed|\"IP\":\"*\"", "line" });
	check(w, &(struct explain_case){ "web-1", "10.20.1.1:9/sctp", false,
	    "10.20.0.0/16 of gw-1|allows * (TCP, UDP and ICMP) only: add sctp:9", "line" });
	policy_world_free(w);
	rig_fini(&r);
}

static void
test_parse(void **state)
{
	static const struct { const char *text, *host; int proto; unsigned port; } good[] = {
		{ "web-1:22", "web-1", 6, 22 },
		{ "web-1:22/tcp", "web-1", 6, 22 },
		{ "10.0.0.1:53/UDP", "10.0.0.1", 17, 53 },
		{ "[fd7a::1]:65535/132", "fd7a::1", 132, 65535 },
		{ "fd7a::1/icmpv6", "fd7a::1", 58, 0 },
		{ "[fd7a::1]/icmp", "fd7a::1", 1, 0 },
		{ "web/255", "web", 255, 0 },
	};
	static const char *const bad[] = { "", ":", ":22", "web", "web:", "web:0", "web:65536",
	    "web:2x", "web/", "web/0",
		"web/256", "web/06", "web/x", "web:22/icmp", "fd7a::1:22", "[fd7a::1]", "[]:1", "/",
		    "web:1/" };
	struct policy_explain_ask ask = { 0 };
	struct err_text why;
	char host[256];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		assert_int_equal(policy_explain_parse(good[i].text, host, &ask, &why), ERR_OK);
		assert_string_equal(host, good[i].host);
		assert_int_equal(ask.proto, good[i].proto);
		assert_int_equal(ask.port, good[i].port);
	}
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		if (policy_explain_parse(bad[i], host, &ask, &why) != ERR_INVAL)
			fail_msg("\"%s\" was taken", bad[i]);
	}
}

static void
test_unknown(void **state)
{
	const struct policy_explain_ask asks[] = {
		{ .src_node = 99, .dst_node = 1, .proto = 6 },
		{ .src_node = 1, .dst_node = 99, .proto = 6 },
		{ .src_node = 1, .proto = 6 },
		{ .dst_node = 1, .proto = 6 },
	};
	struct policy_explain *e = NULL;
	struct err_text why;
	struct rig r;

	(void)state;
	rig_init(&r);
	struct policy_world *w = rig_world(&r, "");

	for (size_t i = 0; i < COUNT_OF(asks); i++) {
		assert_int_equal(policy_explain_new(w, &asks[i], &facts, &e, &why), ERR_NOTFOUND);
		assert_null(e);
	}
	policy_explain_free(NULL);
	policy_world_free(w);
	rig_fini(&r);
}

/* A rule that is long is cut, whatever is in it; places beyond the text are nothing. */
static void
test_excerpt(void **state)
{
	static const char want[] = "{\"action\":\"accept\", \"src\":[\"\xc3\xa4\"],"
	    "\"dst\":[\"10.0.0.0:80\"";
	struct buf text = { 0 };
	struct rig r;
	char *rule;

	(void)state;
	rig_init(&r);
	buf_str(&text, "{" RIG_TAGS "\n\"hosts\":{\"\xc3\xa4\":\"10.0.0.1\"}, "
	    "\"acls\":[{\"action\":\"accept\", // to the \xc3\xa4\n"
	    "\t\t\"src\":[\"\xc3\xa4\"],\"dst\":[");
	for (unsigned i = 0; i < 100; i++)
		buf_printf(&text, "%s\"10.0.0.%u:80\"", i > 0 ? "," : "", i);
	buf_str(&text, "]}]}");
	struct policy *p = rig_parse(&r, buf_cstr(&text));

	assert_int_equal(p->rules[0].line, 2);
	rule = policy_explain_excerpt(p, p->rules[0].line, p->rules[0].column);
	assert_int_equal(strncmp(rule, want, strlen(want)), 0);
	assert_string_equal(rule + strlen(rule) - 4, " ...");
	assert_true(strlen(rule) < 320);
	free(rule);
	rule = policy_explain_excerpt(p, 77, 7);
	assert_string_equal(rule, "");
	free(rule);
	policy_drop(p);
	buf_fini(&text);
	rig_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_via),
		cmocka_unit_test(test_ipv4_off), cmocka_unit_test(test_no_policy),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_excerpt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
