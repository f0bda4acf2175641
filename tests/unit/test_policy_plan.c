/* links: coord/policy* coord/hujson coord/ipset coord/tag coord/hostinfo coord/user */
/* What another policy would change: who gains and loses what, told together and in bounded time. */
#include "tests/unit/policy_rig.h"

#include <time.h>

#include "base/json.h"
#include "coord/policy_plan.h"

#define ACLS(rules) "{" RIG_TAGS "\"acls\":[" rules "]}"
#define ACL(src, dst) "{\"action\":\"accept\",\"src\":[" src "],\"dst\":[" dst "]}"
#define GRANTS(rules) "{" RIG_TAGS "\"grants\":[" rules "]}"

struct plan_case {
	const char *old, *new;
	const char *want;		/* the whole text */
};

static void
check(const struct plan_case *c)
{
	struct buf text = { 0 }, json = { 0 };
	struct rig r;
	struct err_text why;
	json_t *root = NULL;

	rig_init(&r);
	struct policy_world *old = rig_world(&r, c->old), *new = rig_world(&r, c->new);
	struct policy_plan *p = policy_plan_new(old, new, rig_name, NULL);

	policy_plan_put_text(&text, p);
	assert_string_equal(buf_cstr(&text), c->want);
	assert_false(p->is_cut);
	policy_plan_put_json(&json, p);
	assert_int_equal(json_parse(json.p, json.len, &root, &why), ERR_OK);
	assert_int_equal(json_array_size(json_get(root, "changes")), p->n);
	assert_int_equal(json_get_int(root, "pairsGaining", -1), p->n_gaining);
	json_decref(root);
	policy_plan_free(p);
	policy_world_free(old);
	policy_world_free(new);
	buf_fini(&text);
	buf_fini(&json);
	rig_fini(&r);
}

#define NOTHING "nobody gains or loses anything\n"

static void
test_cases(void **state)
{
	static const struct plan_case cases[] = {
		{ "", "", NOTHING },
		{ ACLS(""), ACLS(""), NOTHING },
		{ ACLS(""), ACLS(ACL("\"alice@\"", "\"tag:web:22,80-90\"")),
		  "4 pairs of nodes gain, 0 lose\nalice-laptop, alice-phone -> web-1, web-2 (4):\n "
		  " + 22, 80-90\n" },
		{ ACLS(ACL("\"alice@\"", "\"tag:web:22\"")), ACLS(""),
		  "0 pairs of nodes gain, 4 lose\nalice-laptop, alice-phone -> web-1, web-2 (4):\n "
		  " - 22\n" },
		/* written in another way, the same */
		{ ACLS(ACL("\"alice@\"", "\"tag:web:22\"") "," ACL("\"bob@\"", "\"tag:web:22\"")),
		  ACLS(ACL("\"bob@\",\"alice@\"", "\"tag:web:22\"")), NOTHING },
		{ ACLS(ACL("\"alice@\"", "\"tag:web:20-30\"")),
		  ACLS(ACL("\"alice@\"", "\"tag:web:20-25\"") "," ACL("\"alice@\"",
		  "\"tag:web:26-30\"")), NOTHING },
		/* a rule that another one has covered already */
		{ ACLS(ACL("\"*\"", "\"*:*\"")), ACLS(ACL("\"*\"", "\"*:*\"") "," ACL("\"alice@\"",
		  "\"tag:web:22\"")), NOTHING },
		/* ports come and go */
		{ ACLS(ACL("\"alice@\"", "\"tag:web:20-30\"")), ACLS(ACL("\"alice@\"",
		  "\"tag:web:25-35\"")),
		  "4 pairs of nodes gain, 4 lose\nalice-laptop, alice-phone -> web-1, web-2 (4):\n "
		  " + tcp:31-35, udp:31-35\n  - tcp:20-24, udp:20-24\n" },
		/* one family */
		{ ACLS(""), ACLS(ACL("\"100.64.0.3\"", "\"tag:web:22\"")),
		  "2 pairs of nodes gain, 0 lose\nbob-laptop -> web-1, web-2, IPv4 (2):\n  + "
		  "22\n" },
		/* a group of others, behind names */
		{ "{" RIG_TAGS "\"groups\":{\"group:g\":[\"bob@\"]},\"acls\":[" ACL("\"group:g\"",
		  "\"tag:web:22\"") "]}",
		  "{" RIG_TAGS "\"groups\":{\"group:g\":[\"alice@\",\"bob@\"]},\"acls\":["
		  ACL("\"group:g\"", "\"tag:web:22\"") "]}",
		  "4 pairs of nodes gain, 0 lose\nalice-laptop, alice-phone -> web-1, web-2 (4):\n "
		  " + 22\n" },
		/* own devices: nothing between users */
		{ ACLS(""), ACLS(ACL("\"autogroup:member\"", "\"autogroup:self:22\"")),
		  "2 pairs of nodes gain, 0 lose\nalice-laptop, alice-phone, bob-laptop -> "
		  "alice-laptop, alice-phone, bob-laptop, "
		  "own devices only (2):\n  + 22\n" },
		{ ACLS(ACL("\"autogroup:member\"", "\"autogroup:member:*\"")),
		  ACLS(ACL("\"autogroup:member\"", "\"autogroup:self:*\"")),
		  "0 pairs of nodes gain, 4 lose\nalice-laptop, alice-phone, bob-laptop -> "
		  "alice-laptop, alice-phone, bob-laptop (4):\n  - *\n" },
		/* behind routers, cut to what the rule names */
		{ ACLS(ACL("\"bob@\"", "\"10.20.7.0/24:80\"")), ACLS(ACL("\"bob@\"",
		  "\"10.20.8.0/24:80\"")),
		  "2 pairs of nodes gain, 2 lose\n"
		  "bob-laptop -> 10.20.7.0/24 (gw-1), 10.20.7.0/24 (gw-2), IPv4 (2):\n  - 80\n"
		  "bob-laptop -> 10.20.8.0/24 (gw-1), 10.20.8.0/24 (gw-2), IPv4 (2):\n  + 80\n" },
		/* the internet */
		{ GRANTS(""), GRANTS("{\"src\":[\"bob@\"],\"dst\":[\"autogroup:internet\"],"
		  "\"ip\":[\"*\"]}"),
		  "2 pairs of nodes gain, 0 lose\nbob-laptop -> the internet (exit-1), IPv4 (1):\n "
		  " + *\n"
		  "bob-laptop -> the internet (exit-1), IPv6 (1):\n  + *\n" },
		/* via: through that one alone */
		{ GRANTS("{\"src\":[\"bob@\"],\"dst\":[\"10.20.0.0/16\"],\"ip\":[\"80\"]}"),
		  GRANTS("{\"src\":[\"bob@\"],\"dst\":[\"10.20.0.0/16\"],\"ip\":[\"80\"],"
		  "\"via\":[\"tag:spare\"]}"),
		  "0 pairs of nodes gain, 1 lose\nbob-laptop -> 10.20.0.0/16 (gw-1), IPv4 (1):\n  "
		  "- 80\n" },
		/* capabilities */
		{ GRANTS(""), GRANTS("{\"src\":[\"bob@\"],\"dst\":[\"tag:web\"],"
		  "\"app\":{\"example.com/cap/x\":[{}]}}"),
		  "2 pairs of nodes gain, 0 lose\nbob-laptop -> web-1, web-2 (2):\n  + app "
		  "example.com/cap/x\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(&cases[i]);
}

/* The cluster: nodes and pods of both sides, nobody else. */
static void
test_cluster(void **state)
{
	struct buf text = { 0 };
	struct rig r;

	(void)state;
	rig_init(&r);
	struct policy_world *old = rig_world(&r, ACLS(""));
	struct policy_world *new = rig_world(&r, ACLS(ACL("\"tag:k3s\",\"10.42.0.0/16\"",
	    "\"tag:k3s:*\",\"10.42.0.0/16:*\"")));
	struct policy_plan *p = policy_plan_new(old, new, rig_name, NULL);

	policy_plan_put_text(&text, p);
	for (size_t i = 0; i < COUNT_OF(rig_nodes); i++) {
		bool is_of_it = rig_nodes[i].tags[0] != NULL && strcmp(rig_nodes[i].tags[0],
		    "tag:k3s") == 0;

		if ((strstr(buf_cstr(&text), rig_nodes[i].name) != NULL) != is_of_it)
			fail_msg("%s in %s", rig_nodes[i].name, buf_cstr(&text));
	}
	assert_non_null(strstr(buf_cstr(&text), "10.42.1.0/24 (k3s-2)"));
	assert_int_equal(p->n_losing, 0);
	/* Two nodes by IPv6, and each of two kinds of ends by IPv4, both ways. */
	assert_int_equal(p->n_gaining, 2 + 2 * 4);
	policy_plan_free(p);
	/* The first policy of all. */
	p = policy_plan_new(NULL, new, rig_name, NULL);
	assert_int_equal(p->n_gaining, 2 + 2 * 4);
	policy_plan_free(p);
	policy_plan_free(NULL);
	policy_world_free(old);
	policy_world_free(new);
	buf_fini(&text);
	rig_fini(&r);
}

static void
add_nodes(struct policy_world *w, unsigned n, unsigned n_tags)
{
	for (unsigned i = 0; i < n; i++) {
		char tag[16], *tags[1] = { tag };
		struct net_prefix route;
		struct node_route routes[1] = { { .is_primary = true } };
		struct policy_node node = { .id = 1000 + i, .tags = tags, .n_tags = 1,
		    .routes = routes };
		char text[48];

		snprintf(tag, sizeof(tag), "tag:t%u", i % n_tags);
		snprintf(text, sizeof(text), "100.70.%u.%u", i / 256, i % 256);
		node.ip4 = rig_ip(text);
		snprintf(text, sizeof(text), "fd7a:115c:a1e0::1:%x", i);
		node.ip6 = rig_ip(text);
		snprintf(text, sizeof(text), "10.%u.%u.0/24", 100 + i / 256, i % 256);
		assert_int_equal(net_prefix_parse(text, strlen(text), &route), ERR_OK);
		routes[0].prefix = route;
		node.n_routes = i % 10 == 0;
		assert_non_null(policy_world_join(w, &node));
	}
	(void)policy_world_refresh(w);
}

/* Many nodes, tags and rules. One rule changed: a line, at once. All of them: a bounded answer. */
static void
test_many(void **state)
{
	enum { NODES = 3000, TAGS = 30, RULES = 300 };
	struct buf texts[3] = { { 0 }, { 0 }, { 0 } };
	struct policy_world *w[3];
	struct timespec begin, end;
	struct rig r;

	(void)state;
	rig_init(&r);
	for (unsigned k = 0; k < 3; k++) {
		buf_str(&texts[k], "{\"tagOwners\":{");
		for (unsigned i = 0; i < TAGS; i++)
			buf_printf(&texts[k], "%s\"tag:t%u\":[]", i > 0 ? "," : "", i);
		buf_str(&texts[k], "},\"acls\":[");
		for (unsigned i = 0; i < RULES; i++)
			buf_printf(&texts[k], "%s{\"action\":\"accept\",\"src\":[\"tag:t%u\"],"
			    "\"dst\":[\"tag:t%u:%u\",\"10.%u.0.0/16:80\"]}",
			    i > 0 ? "," : "", i % TAGS, i / TAGS,
			    k == 2 ? i % 5 + 1 : k == 1 && i == 7 ? 2000 : 1000 + i, 100 + i % 12);
		buf_str(&texts[k], "]}");
		struct policy *p = rig_parse(&r, buf_cstr(&texts[k]));

		w[k] = policy_world_new(p, &r.users, RIG_URL);
		policy_drop(p);
		add_nodes(w[k], NODES, TAGS);
	}
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	struct policy_plan *one = policy_plan_new(w[0], w[1], NULL, NULL);
	struct policy_plan *all = policy_plan_new(w[0], w[2], NULL, NULL);

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	assert_false(one->is_cut);
	assert_int_equal(one->n, 1);
	assert_int_equal(one->n_gaining, NODES / TAGS * NODES / TAGS);
	assert_string_equal(one->v[0].gains, "tcp:2000, udp:2000");
	assert_string_equal(one->v[0].loses, "tcp:1007, udp:1007");
	assert_int_equal(one->v[0].src.n_names, POLICY_PLAN_NAMES_MAX);
	assert_int_equal(one->v[0].src.n, NODES / TAGS);
	assert_true(all->n > 0 && all->n <= POLICY_PLAN_CHANGES_MAX);
	assert_true(all->is_cut || all->n_losing > 0);
	/* A second or two without sanitizers. */
	assert_in_range(end.tv_sec - begin.tv_sec, 0, 60);
	policy_plan_free(one);
	policy_plan_free(all);
	for (unsigned k = 0; k < 3; k++) {
		policy_world_free(w[k]);
		buf_fini(&texts[k]);
	}
	rig_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_cluster),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
