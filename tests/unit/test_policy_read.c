/* links: coord/policy coord/hujson coord/ipset coord/tag coord/policy_parse coord/policy_parse_cap coord/policy_parse_ipset coord/policy_parse_names coord/policy_parse_posture coord/policy_parse_rule coord/policy_parse_sel coord/policy_parse_ssh coord/policy_parse_test */
/* What a policy says once it is read: selectors, rules, the rest; and its limits. */
#include "tests/unit/policy_text.h"

static void
assert_set(const struct policy_sel *sel, const char *want)
{
	struct buf b = { 0 };

	ipset_put(&b, &sel->set);
	assert_string_equal(buf_cstr(&b), want);
	buf_fini(&b);
}

static const struct policy_sel *
sel_of(const struct policy *p, const char *text)
{
	for (unsigned i = 0; i < p->n_sels; i++) {
		if (strcmp(p->sels[i].text, text) == 0)
			return &p->sels[i];
	}
	fail_msg("no selector %s", text);
	return NULL;
}

/* The policy that K3s users paste, as they do. */
static void
test_k3s(void **state)
{
	struct policy *p = policy_of("{\n"
	    "\t\"tagOwners\": {\"tag:testing-k3s\": [\"autogroup:admin\"]}, // ours\n"
	    "\t\"acls\": [{ \"action\": \"accept\", \"src\": [\"tag:testing-k3s\", \"10.42.0.0/16\"], "
	    "\"dst\": [\"tag:testing-k3s:*\", \"10.42.0.0/16:*\"], }, ],\n}\n");
	const struct policy_rule *r = &p->rules[0];

	(void)state;
	assert_true(p->has_rules);
	assert_int_equal(p->n_rules, 1);
	assert_int_equal(r->line, 3);
	assert_int_equal(r->column, 11);
	assert_false(r->is_grant);
	assert_int_equal(r->proto, -1);
	assert_int_equal(r->src.n, 2);
	assert_int_equal(r->n_dst, 2);
	assert_int_equal(r->src.v[0], r->dst[0].sel);	/* equal texts are one selector */
	assert_int_equal(r->src.v[1], r->dst[1].sel);
	assert_string_equal(r->dst[1].text, "10.42.0.0/16:*");
	assert_int_equal(r->dst[1].n_ports, 1);
	assert_int_equal(r->dst[1].ports[0].first, 0);
	assert_int_equal(r->dst[1].ports[0].last, 65535);
	assert_int_equal(p->sels[r->src.v[0]].kind, POLICY_SEL_TAG);
	assert_string_equal(p->sels[r->src.v[0]].tag, "tag:testing-k3s");
	assert_set(&p->sels[r->src.v[1]], "\"10.42.0.0/16\"");
	assert_non_null(strstr(p->text, "// ours\n"));
	assert_int_equal(p->text_bytes, strlen(p->text));
	assert_ptr_equal(policy_hold(p), p);
	policy_drop(p);
	assert_int_equal(p->n_rules, 1);
	policy_drop(p);
	policy_drop(NULL);
}

static void
test_selectors(void **state)
{
	struct policy *p = policy_of("{\"groups\":{\"group:g\":[\"u@\",\"v@x.y\"]},"
	    "\"hosts\":{\"h\":\"10.0.0.1\",\"net\":\"10.0.0.0/8\"},"
	    "\"ipsets\":{\"ipset:one\":[\"10.0.0.0/24\",\"add 10.0.2.0/24\",\"remove 10.0.0.128/25\","
	    "\"10.0.0.200\",\"host:h\",\"remove ipset:two\"],\"ipset:two\":[\"10.0.0.5-10.0.0.9\"]},"
	    "\"acls\":[{\"action\":\"accept\",\"src\":[\"u@\",\" u@ \",\"user:*@X.y\",\"group:g\",\"h\","
	    "\"net\",\"ipset:one\",\"*\",\"autogroup:danger-all\",\"autogroup:admin\","
	    "\"autogroup:it-admin\",\"autogroup:shared\",\"fd7a::5\",\"10.9.9.9\"]},"
	    "{\"action\":\"accept\",\"dst\":[\"autogroup:internet:*\"]}]}");
	const struct policy_sel *s;

	(void)state;
	assert_int_equal(p->rules[0].src.v[0], p->rules[0].src.v[1]);
	assert_int_equal(p->n_tokens, 2);
	assert_string_equal(p->tokens[0].token, "u");
	assert_int_equal(p->tokens[0].line, 1);
	assert_int_equal(p->tokens[0].column, 23);
	assert_string_equal(p->tokens[1].token, "v@x.y");
	s = sel_of(p, "u@");
	assert_int_equal(s->kind, POLICY_SEL_USER);
	assert_int_equal(s->n_users, 1);
	assert_string_equal(s->users[0], "u");
	s = sel_of(p, "group:g");
	assert_int_equal(s->n_users, 2);
	assert_string_equal(s->users[1], "v@x.y");
	assert_string_equal(sel_of(p, "user:*@X.y")->tag, "X.y");
	s = sel_of(p, "h");
	assert_true(s->is_host && s->is_single && !s->is_ipset);
	assert_set(s, "\"10.0.0.1\"");
	assert_false(sel_of(p, "net")->is_single);
	s = sel_of(p, "ipset:one");
	assert_true(s->is_ipset && !s->is_single);
	assert_set(s, "\"10.0.0.0-10.0.0.4\",\"10.0.0.10-10.0.0.127\",\"10.0.0.200\",\"10.0.2.0/24\"");
	assert_set(sel_of(p, "*"), "\"100.64.0.0-100.115.91.255\",\"100.115.94.0-100.127.255.255\","
	    "\"fd7a:115c:a1e0::/48\"");
	assert_set(sel_of(p, "autogroup:danger-all"), "\"0.0.0.0/0\",\"::/0\"");
	assert_set(sel_of(p, "autogroup:internet"), "\"0.0.0.0-9.255.255.255\","
	    "\"11.0.0.0-100.63.255.255\",\"100.128.0.0-169.253.255.255\","
	    "\"169.255.0.0-172.15.255.255\",\"172.32.0.0-192.167.255.255\","
	    "\"192.169.0.0-255.255.255.255\",\"2000::/3\"");
	assert_int_equal(sel_of(p, "autogroup:admin")->roles, 1 << USER_OWNER | 1 << USER_ADMIN);
	assert_int_equal(sel_of(p, "autogroup:it-admin")->kind, POLICY_SEL_ROLE);
	assert_int_equal(sel_of(p, "autogroup:it-admin")->roles, 0);
	assert_int_equal(sel_of(p, "autogroup:shared")->kind, POLICY_SEL_NOBODY);
	assert_true(sel_of(p, "fd7a::5")->is_single && !sel_of(p, "fd7a::5")->is_host);
	policy_drop(p);
}

static void
test_rules(void **state)
{
	struct policy *p = policy_of("{\"tagOwners\":{\"tag:a\":[]},"
	    "\"postures\":{\"posture:p\":[\"node:os IN ['a', \\\"b\\\"]\",\"custom:n >= 1.5\","
	    "\"node:x IS SET\"],\"posture:q\":[]},\"defaultSrcPosture\":[\"posture:q\"],\n"
	    "\"acls\":[{\"action\":\"accept\",\"proto\":\"UDP\",\"src\":[\"*\"],"
	    "\"dst\":[\"[fd7a::1]:53,80-90\"]}],\n"
	    "\"grants\":[{\"src\":[\"*\"],\"dst\":[\"tag:a\"],\"ip\":[\"tcp:22\",\" * \"],"
	    "\"app\":{\"a.b/c\":[ { \"x\": [1, \"ä\"] }, ],\"a.b/d\":null},"
	    "\"via\":[\"tag:a\"],\"srcPosture\":[\"posture:p\",\"posture:q\"]}]}");
	const struct policy_rule *g = &p->rules[0], *a = &p->rules[1];

	(void)state;
	assert_int_equal(p->n_rules, 2);
	assert_true(g->is_grant && !a->is_grant);	/* grants first */
	assert_int_equal(g->line, 3);
	assert_int_equal(a->line, 2);
	assert_int_equal(a->proto, 17);
	assert_int_equal(a->dst[0].n_ports, 2);
	assert_int_equal(a->dst[0].ports[0].first, 53);
	assert_int_equal(a->dst[0].ports[1].last, 90);
	assert_string_equal(p->sels[a->dst[0].sel].text, "fd7a::1");
	assert_string_equal(a->dst[0].text, "[fd7a::1]:53,80-90");
	assert_int_equal(a->postures.n, 1);
	assert_int_equal(a->postures.v[0], 1);
	assert_int_equal(g->n_dst, 1);
	assert_int_equal(g->dst[0].n_ports, 0);
	assert_int_equal(g->n_ip, 2);
	assert_int_equal(g->ip[0].proto, 6);
	assert_int_equal(g->ip[0].ports[0].first, 22);
	assert_string_equal(g->ip[0].text, "tcp:22");
	assert_int_equal(g->ip[1].proto, -1);
	assert_string_equal(g->ip[1].text, "*");
	assert_int_equal(g->n_app, 2);
	assert_string_equal(g->app[0].name, "a.b/c");
	assert_string_equal(g->app[0].values, "[{\"x\":[1,\"ä\"]}]");
	assert_string_equal(g->app[1].values, "[]");
	assert_int_equal(g->via.n, 1);
	assert_int_equal(g->postures.n, 2);
	assert_int_equal(p->n_postures, 2);
	assert_int_equal(p->postures[0].n_tests, 3);
	assert_string_equal(p->postures[0].tests[0].attribute, "node:os");
	assert_int_equal(p->postures[0].tests[0].op, POLICY_POSTURE_IN);
	assert_int_equal(p->postures[0].tests[0].n_values, 2);
	assert_string_equal(p->postures[0].tests[0].values[1], "b");
	assert_int_equal(p->postures[0].tests[1].op, POLICY_POSTURE_GE);
	assert_string_equal(p->postures[0].tests[1].values[0], "1.5");
	assert_int_equal(p->postures[0].tests[2].op, POLICY_POSTURE_IS_SET);
	assert_int_equal(p->postures[0].tests[2].n_values, 0);
	policy_drop(p);
}

static void
test_absent_rules(void **state)
{
	static const struct { const char *text; bool has_rules; unsigned n_rules; } cases[] = {
		{ "", false, 1 }, { "{}", false, 1 }, { "{\"acls\":null,\"grants\":null}", false, 1 },
		{ "{\"acls\":[]}", true, 0 }, { "{\"grants\":[]}", true, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct policy *p = policy_of(cases[i].text);

		assert_int_equal(p->has_rules, cases[i].has_rules);
		assert_int_equal(p->n_rules, cases[i].n_rules);
		if (!p->has_rules) {
			assert_int_equal(p->rules[0].line, 0);
			assert_int_equal(p->sels[p->rules[0].src.v[0]].kind, POLICY_SEL_ANY);
			assert_int_equal(p->rules[0].dst[0].sel, p->rules[0].src.v[0]);
			assert_int_equal(p->rules[0].dst[0].ports[0].last, 65535);
			assert_int_equal(p->rules[0].proto, -1);
		}
		policy_drop(p);
	}
}

static void
test_other_sections(void **state)
{
	struct policy *p = policy_of("{\"tagOwners\":{\"tag:b\":[],\"tag:a\":[\"u@\",\"tag:b\"]},"
	    "\"autoApprovers\":{\"routes\":{\"10.0.0.0/8\":[\"tag:a\"]},\"exitNode\":[\"tag:b\",\"u@\"],"
	    "\"services\":{\"svc:web\":[\"tag:a\"]}},\n"
	    "\"nodeAttrs\":[{\"target\":[\" tag:a \",\"*\"],\"attr\":[\"funnel\",\"x:y\"],"
	    "\"app\":{\"tailscale.com/app-connectors\":[{}]},\"ipPool\":[\"100.81.0.0/16\"]},\n"
	    "{\"target\":[],\"attr\":null}],\"randomizeClientPort\":true,\"disableIPv4\":true,"
	    "\"oneCGNATRoute\":\"mac-always\"}");

	(void)state;
	assert_int_equal(p->n_tags, 2);
	assert_string_equal(p->tags[0].tag, "tag:a");	/* sorted */
	assert_int_equal(p->tags[0].owners.n, 2);
	assert_int_equal(p->tags[1].owners.n, 0);
	assert_int_equal(p->n_routes, 1);
	assert_int_equal(p->routes[0].prefix.bits, 8);
	assert_int_equal(p->routes[0].who.n, 1);
	assert_int_equal(p->exit_node.who.n, 2);
	assert_int_equal(p->n_attrs, 2);
	assert_int_equal(p->attrs[0].line, 2);
	assert_int_equal(p->attrs[0].target.n, 2);
	assert_string_equal(p->attrs[0].attrs[1], "x:y");
	assert_string_equal(p->attrs[0].app[0].values, "[{}]");
	assert_int_equal(p->attrs[0].ip_pool[0].bits, 16);
	assert_int_equal(p->attrs[1].n_attrs, 0);
	assert_true(p->randomize_client_port && p->disable_ipv4);
	assert_int_equal(p->one_cgnat_route, POLICY_CGNAT_MAC_ALWAYS);
	policy_drop(p);
}

static void
repeat(struct buf *b, const char *head, const char *item, unsigned n, const char *tail)
{
	buf_clear(b);
	buf_str(b, head);
	for (unsigned i = 0; i < n; i++)
		buf_printf(b, "%s", item);
	buf_str(b, tail);
}

static void
test_limits(void **state)
{
	struct buf b = { 0 };
	struct policy *p;

	(void)state;
	repeat(&b, "", " ", POLICY_TEXT_MAX, "{}");
	assert_refused((char *)b.p, b.len, "bytes are too many");
	repeat(&b, "{\"acls\":", "[", POLICY_DEPTH_MAX, "");
	assert_refused((char *)b.p, b.len, "nested too deeply");
	repeat(&b, "{\"acls\":[", "{\"action\":\"accept\"},", POLICY_RULES_MAX + 1, "]}");
	assert_refused((char *)b.p, b.len, "20001 rules are too many");
	repeat(&b, "{\"acls\":[", "{\"action\":\"accept\"},", POLICY_RULES_MAX, "]}");
	p = policy_of(buf_cstr(&b));
	assert_int_equal(p->n_rules, POLICY_RULES_MAX);
	policy_drop(p);
	repeat(&b, "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[", "\"*:*\",",
	    POLICY_PAIRS_MAX + 1, "]}]}");
	assert_refused((char *)b.p, b.len, "too many destinations");
	repeat(&b, "{\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:1", ",1", 1000, "\"]}]}");
	assert_refused((char *)b.p, b.len, "more than 1000 ports");
	buf_fini(&b);
}

/* Of many faults some are told, and how many more there are. */
static void
test_many_errors(void **state)
{
	struct buf b = { 0 };

	(void)state;
	repeat(&b, "{\"acls\":[{\"action\":\"accept\",\"src\":[", "\"x\",\n", POLICY_ERRORS_MAX + 7, "]}]}");
	assert_refused((char *)b.p, b.len, "line 50, column 1: host not defined");
	assert_refused((char *)b.p, b.len, "\nand 7 more");
	/* Long texts of others are cut between characters. */
	repeat(&b, "{\"acls\":[{\"action\":\"", "ä", 400, "\"}]}");
	assert_refused((char *)b.p, b.len, "action=\"ää");
	buf_fini(&b);
}

/* A chain of ipsets, and ipsets that would multiply. */
static void
test_hostile_ipsets(void **state)
{
	struct buf b = { 0 };

	(void)state;
	buf_str(&b, "{\"ipsets\":{");
	for (unsigned i = 0; i < 1000; i++)
		buf_printf(&b, "\"ipset:%u\":[\"ipset:%u\"],", i, i + 1);
	buf_str(&b, "\"ipset:1000\":[]}}");
	assert_refused((char *)b.p, b.len, "ipsets nested too deeply");
	buf_clear(&b);
	buf_str(&b, "{\"ipsets\":{\"ipset:a\":[");
	for (unsigned i = 0; i < 2000; i++)
		buf_printf(&b, "\"10.0.%u.%u\",", i / 128, 2 * (i % 128));
	buf_str(&b, "],");
	for (unsigned i = 0; i < 2000; i++)
		buf_printf(&b, "\"ipset:%u\":[\"ipset:a\"],", i);
	buf_str(&b, "}}");
	assert_refused((char *)b.p, b.len, "the ipsets are too much work");
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_k3s),
		cmocka_unit_test(test_selectors),
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_absent_rules),
		cmocka_unit_test(test_other_sections),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_many_errors),
		cmocka_unit_test(test_hostile_ipsets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
