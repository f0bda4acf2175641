/* links: coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_tag coord/policy_owner coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule */
/* Primary routers: elected, gone, silent, back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route_rig.h"

/* --- primaries ------------------------------------------------------------------------------------ */

/* Two routers of A, b of B too; a is primary of A. */
static void
pair(struct node **a, struct node **b)
{
	*a = router(1, A);
	*b = router(2, A " " B);
	approve(*b, B);
	approve(*a, A);
	approve(*b, A);
	assert_string_equal(routes_of(*a), A "*");
	assert_string_equal(routes_of(*b), A " " B "*");
}

static void
test_stream_ends(void **state)
{
	int64_t failovers = metric_get(METRIC_ROUTE_FAILOVERS);
	struct node *a, *b;

	(void)state;
	pair(&a, &b);
	pass(1000);
	a->session = NULL;			/* a link that is lost, and found again */
	pass(ROUTE_FAILOVER_MS - ROUTE_POLL_MS);
	a->session = (struct session *)(void *)&stream;
	pass(10000);
	assert_string_equal(routes_of(a), A "*");
	assert_int_equal(metric_get(METRIC_ROUTE_FAILOVERS), failovers);

	fake_map.n_whole = 0;
	a->session = NULL;
	pass(ROUTE_FAILOVER_MS + 2 * ROUTE_POLL_MS);
	assert_string_equal(routes_of(a), A);
	assert_string_equal(routes_of(b), A "* " B "*");
	assert_int_equal(fake_map.n_whole, 2);
	assert_int_equal(metric_get(METRIC_ROUTE_FAILOVERS), failovers + 1);
	a->session = (struct session *)(void *)&stream;	/* back: stays secondary */
	pass(10000);
	assert_string_equal(routes_of(b), A "* " B "*");
	b->session = a->session = NULL;		/* all gone: the last one stays */
	b->is_online = a->is_online = false;
	pass(20000);
	assert_string_equal(routes_of(b), A "* " B "*");
	assert_int_equal(fake_map.n_whole, 2);
	a->session = (struct session *)(void *)&stream;	/* the first to come back has it */
	a->is_online = true;
	pass(ROUTE_POLL_MS);
	assert_string_equal(routes_of(a), A "*");
	b->is_online = true;
	b->session = a->session;
	pass(10000);
	assert_string_equal(routes_of(a), A "*");
}

static void
test_routers_come_and_go(void **state)
{
	struct node *a, *b, *c;

	(void)state;
	pair(&a, &b);
	advertise(a, "");
	assert_string_equal(routes_of(a), "");
	assert_string_equal(routes_of(b), A "* " B "*");
	advertise(a, A);
	assert_string_equal(routes_of(a), A);
	c = router(3, A);
	approve(c, A);
	assert_string_equal(routes_of(c), A);
	tailnet_node_remove(fake.t, &fake_actor, b->id, fake_done, NULL);
	fake_commit();
	assert_string_equal(routes_of(a), A "*");		/* lowest id */
	change(a, true, "", "");
	fake_commit();
	assert_string_equal(routes_of(c), A "*");
	tailnet_node_expire(fake.t, &fake_actor, c->id, fake_done, NULL);
	fake_commit();
	approve(a, A);						/* c's key is no good any more */
	assert_string_equal(routes_of(a), A "*");
	assert_string_equal(routes_of(c), A);
}

static void
test_exit_nodes(void **state)
{
	struct node *a = router(1, "0.0.0.0/0 ::/0"), *b = router(2, "0.0.0.0/0 ::/0");

	(void)state;
	approve(a, "0.0.0.0/0");
	approve(b, "::/0");
	assert_string_equal(routes_of(a), "0.0.0.0/0* ::/0*");
	assert_string_equal(routes_of(b), "0.0.0.0/0* ::/0*");
	fake_map.n_pings = 0;
	pass(20000);
	assert_int_equal(fake_map.n_pings, 0);	/* each is chosen by its users */
	a->session = NULL;
	pass(20000);
	assert_string_equal(routes_of(a), "0.0.0.0/0* ::/0*");
}

/* --- probes --------------------------------------------------------------------------------------- */

static void
test_only_shared_are_probed(void **state)
{
	struct node *a = router(1, A);

	(void)state;
	approve(a, A);
	fake_map.n_pings = 0;
	fake_map.ping_state = SESSION_PING_LEFT;
	pass(30000);
	assert_int_equal(fake_map.n_pings, 0);
	struct node *b = router(2, A);
	approve(b, A);
	pass(1000);
	assert_int_equal(fake_map.n_pings, 1);
	assert_non_null(strstr(fake_map.ping, "{\"KeepAlive\":true,\"PingRequest\":{\"URL\":"
	    "\"https://vpn.example.net/machine/ping-response?id="));
	assert_non_null(strstr(fake_map.ping, "\"URLIsNoise\":true}}"));
}

static void
test_silence(void **state)
{
	struct node *a, *b;
	uint64_t first;

	(void)state;
	pair(&a, &b);
	fake_map.ping_state = SESSION_PING_LEFT;
	for (int i = 0; i < 10; i++) {
		unsigned n_pings = fake_map.n_pings;

		while (fake_map.n_pings == n_pings)
			pass(ROUTE_POLL_MS);
		pong(a);
	}
	assert_string_equal(routes_of(a), A "*");
	pass(ROUTE_PROBE_MS);
	first = ping_id(a);
	pass(ROUTE_ANSWER_MS + ROUTE_POLL_MS);
	assert_string_equal(routes_of(a), A);
	assert_string_equal(routes_of(b), A "* " B "*");
	assert_false(tailnet_route_answers(a));
	pass(ROUTE_POLL_MS);
	assert_true(ping_id(b) != 0);		/* the new one is asked at once */
	pong(b);
	assert_true(tailnet_route_answers(b));
	/* Answers of others, to other probes, or of strangers are none. */
	tailnet_route_pong(fake.t, &a->machine_key, ping_id(b));
	tailnet_route_pong(fake.t, &b->machine_key, first);
	tailnet_route_pong(fake.t, &a->machine_key, 0);
	tailnet_route_pong(fake.t, &(struct machine_key){ { 99 } }, first);
	assert_false(tailnet_route_answers(a));
	pong(a);				/* late, but there */
	assert_true(tailnet_route_answers(a));
	assert_string_equal(routes_of(b), A "* " B "*");	/* no way back */
}

/* All are silent: the route stays where it is; the first to answer has it. */
static void
test_all_silent(void **state)
{
	struct node *a, *b;

	(void)state;
	pair(&a, &b);
	fake_map.ping_state = SESSION_PING_LEFT;
	pass(40000);
	assert_false(tailnet_route_answers(a));
	assert_false(tailnet_route_answers(b));
	assert_string_equal(routes_of(b), A "* " B "*");
	pong(a);
	pass(ROUTE_POLL_MS);
	assert_string_equal(routes_of(a), A "*");
	assert_string_equal(routes_of(b), A " " B "*");
}

/* A probe waits behind a long map; it goes with its stream; the server itself was away. */
static void
test_no_false_alarm(void **state)
{
	struct node *a, *b;

	(void)state;
	pair(&a, &b);
	fake_map.ping_state = SESSION_PING_WAITS;
	pass(ROUTE_STUCK_MS - ROUTE_POLL_MS);
	assert_true(tailnet_route_answers(a));
	fake_map.ping_state = SESSION_PING_LEFT;
	pass(ROUTE_ANSWER_MS - ROUTE_POLL_MS);
	assert_true(tailnet_route_answers(a));
	pong(a);

	while (fake_map.n_pings == 1)
		pass(ROUTE_POLL_MS);
	fake_map.ping_state = SESSION_PING_NONE;	/* another stream */
	pass(ROUTE_POLL_MS);
	assert_int_equal(fake_map.n_pings, 3);		/* asked again at once */
	fake_map.ping_state = SESSION_PING_LEFT;
	pass(ROUTE_POLL_MS);
	now_ms += 60000;				/* no turn for a minute */
	pass(ROUTE_POLL_MS);
	assert_true(tailnet_route_answers(a));
	pass(ROUTE_ANSWER_MS);
	assert_false(tailnet_route_answers(a));

	pong(a);
	fake_map.ping_state = SESSION_PING_WAITS;
	assert_true(tailnet_route_answers(a));
	pass(60000);					/* it never takes what is before */
	assert_false(tailnet_route_answers(b));
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_stream_ends), T(test_routers_come_and_go), T(test_exit_nodes),
		T(test_only_shared_are_probed), T(test_silence), T(test_all_silent), T(test_no_false_alarm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
