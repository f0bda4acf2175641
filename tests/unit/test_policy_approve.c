/* links: coord/policy* coord/hujson coord/ipset coord/tag coord/hostinfo coord/user */
/* Which routes a policy approves by itself. */
#include "tests/unit/policy_rig.h"

#include "coord/policy_approve.h"

static const char policy_text[] = "{" RIG_TAGS
	"\"groups\":{\"group:net\":[\"bob@\"]},"
	"\"autoApprovers\":{\"routes\":{"
	"\"10.0.0.0/8\":[\"tag:router\"],\"10.20.0.0/16\":[\"tag:web\"],"
	    "\"192.168.0.0/16\":[\"group:net\"],"
	"\"0.0.0.0/0\":[\"tag:k3s\"],\"fd00::/8\":[\"alice@\"]},"
	"\"exitNode\":[\"tag:exit\",\"alice@\"],\"services\":{\"svc:db\":[\"tag:web\"]}}}";

static void
test_routes(void **state)
{
	static const struct { int64_t node_id; const char *route; bool want; } cases[] = {
		{ 6, "10.20.0.0/16", true },	/* inside */
		{ 6, "10.0.0.0/8", true },	/* equal */
		{ 6, "0.0.0.0/1", false },	/* wider */
		{ 6, "11.0.0.0/16", false },
		{ 4, "10.20.7.0/24", true },	/* the narrower of two keys */
		{ 4, "10.21.0.0/16", false },
		{ 3, "192.168.1.0/24", true },	/* by group */
		{ 9, "192.168.1.0/24", false },	/* its user might, but it waits */
		{ 1, "192.168.1.0/24", false },
		{ 1, "fd00:1::/64", true },
		{ 3, "fd00:1::/64", false },
		/* every IPv4 prefix, but no exit route */
		{ 10, "172.16.0.0/12", true },
		{ 10, "0.0.0.0/0", false },
		{ 10, "fd00:1::/64", false },
		{ 8, "0.0.0.0/0", true },
		{ 8, "::/0", true },
		{ 8, "10.0.0.0/8", false },
		{ 1, "::/0", true },
		{ 6, "0.0.0.0/0", false },
	};
	struct rig r;

	(void)state;
	rig_init(&r);
	struct policy_world *w = rig_world(&r, policy_text);

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct node_route routes[RIG_ROUTES_MAX];
		struct net_prefix p;

		assert_int_equal(net_prefix_parse(cases[i].route, strlen(cases[i].route), &p),
		    ERR_OK);
		for (size_t k = 0; k < COUNT_OF(rig_nodes); k++) {
			struct policy_node n = rig_policy_node(&rig_nodes[k], routes);

			if (n.id == cases[i].node_id && policy_approves(w, &n, &p) != cases[i].want)
				fail_msg("%s of %s", cases[i].route, rig_nodes[k].name);
		}
	}
	policy_world_free(w);
	rig_fini(&r);
}

/* A node that alice had and that is tagged now goes by its tags. */
static void
test_former_user(void **state)
{
	const struct rig_node was = { .id = 50, .name = "was-alice", .user_id = 0,
	    .tags = { "tag:router" } };
	struct node_route routes[RIG_ROUTES_MAX];
	struct net_prefix p;
	struct rig r;

	(void)state;
	rig_init(&r);
	struct policy_world *w = rig_world(&r, policy_text);
	struct policy_node n = rig_policy_node(&was, routes);

	assert_int_equal(net_prefix_parse("0.0.0.0/0", 9, &p), ERR_OK);
	assert_false(policy_approves(w, &n, &p));
	assert_int_equal(net_prefix_parse("10.1.0.0/16", 11, &p), ERR_OK);
	assert_true(policy_approves(w, &n, &p));
	policy_world_free(w);
	rig_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes),
		cmocka_unit_test(test_former_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
