/* links: coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_tag coord/policy_owner coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule */
/* Routes in effect by advertising and approval; changes under way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "route_rig.h"

/* --- in effect ------------------------------------------------------------------------------------ */

static void
test_effective(void **state)
{
	struct node *n = router(1, B " " A);

	(void)state;
	assert_string_equal(routes_of(n), "");
	fake_map.n_whole = 0;
	approve(n, A " 192.168.0.0/24");	/* the latter before it is advertised */
	assert_string_equal(routes_of(n), A "*");
	assert_true(fake_map.n_whole > 0);
	assert_int_equal(metric_get(METRIC_ROUTES_ADVERTISED), 2);
	assert_int_equal(metric_get(METRIC_ROUTES_APPROVED), 1);
	assert_int_equal(metric_get(METRIC_ROUTES_CARRIED), 1);

	advertise(n, A " 192.168.0.0/24");
	assert_string_equal(routes_of(n), A "* 192.168.0.0/24*");
	fake_map.n_whole = 0;
	advertise(n, "192.168.0.0/24 " A);	/* the same */
	assert_int_equal(fake_map.n_whole, 0);
	advertise(n, "");
	assert_string_equal(routes_of(n), "");
	assert_int_equal(fake_map.n_whole, 1);
	assert_string_equal(approved_of(n), "[\"10.1.0.0/16\",\"192.168.0.0/24\"]");
	advertise(n, A);			/* approval is remembered */
	assert_string_equal(routes_of(n), A "*");

	tailnet_node_set_authorized(fake.t, &fake_actor, n->id, false, fake_done, NULL);
	fake_commit();
	assert_string_equal(routes_of(n), "");
	tailnet_node_set_authorized(fake.t, &fake_actor, n->id, true, fake_done, NULL);
	fake_commit();
	assert_string_equal(routes_of(n), A "*");
	tailnet_node_remove(fake.t, &fake_actor, n->id, fake_done, NULL);
	fake_commit();
	assert_int_equal(metric_get(METRIC_ROUTES_ADVERTISED), 0);
	assert_int_equal(metric_get(METRIC_ROUTES_APPROVED), 0);
	assert_int_equal(metric_get(METRIC_ROUTES_CARRIED), 0);
}

static void
test_by_hand(void **state)
{
	static const struct {
		bool is_whole;
		const char *add, *remove;
		enum err rc;
		const char *then;
	} steps[] = {
		{ false, A, "", ERR_OK, "[\"10.1.0.0/16\"]" },
		{ false, B, "", ERR_OK, "[\"10.1.0.0/16\",\"10.2.0.0/16\"]" },
		{ false, "", A " " B, ERR_OK, "[]" },
		{ false, "0.0.0.0/0", "", ERR_OK, "[\"0.0.0.0/0\",\"::/0\"]" },
		{ true, A " ::/0", "", ERR_OK, "[\"0.0.0.0/0\",\"10.1.0.0/16\",\"::/0\"]" },
		{ false, "", "::/0", ERR_OK, "[\"10.1.0.0/16\"]" },
		{ false, "100.64.3.0/24", "", ERR_INVAL, "[\"10.1.0.0/16\"]" },
		{ true, "fd7a:115c:a1e0::/48", "", ERR_INVAL, "[\"10.1.0.0/16\"]" },
		{ true, "fd7a:115c:a1e0:b1a:0:7:a00:0/104", "", ERR_OK,
		  "[\"fd7a:115c:a1e0:b1a:0:7:a00:0/104\"]" },
		{ true, "", "", ERR_OK, "[]" },
	};
	struct node *n = router(1, "");
	struct net_prefix many[ROUTE_LIST_MAX + 1];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		change(n, steps[i].is_whole, steps[i].add, steps[i].remove);
		fake_commit();
		assert_int_equal(fake.n_done, 1);
		assert_int_equal(fake.res.rc, steps[i].rc);
		assert_string_equal(approved_of(n), steps[i].then);
	}
	fake_audits = 0;
	change(n, true, "", "");		/* nothing to do: nothing is written */
	assert_int_equal(fake.n_done, 1);
	assert_int_equal(fake_queued, 0);
	for (unsigned i = 0; i <= ROUTE_LIST_MAX; i++)
		many[i] = (struct net_prefix){ .ip = { 4, { 10, (uint8_t)(i >> 8), (uint8_t)i } }, .bits = 24 };
	tailnet_node_set_routes(fake.t, &fake_actor, n->id, &(struct tailnet_route_change){ .add = many,
	    .n_add = ROUTE_LIST_MAX + 1 }, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_LIMIT);
	tailnet_node_set_routes(fake.t, &fake_actor, 99, &(struct tailnet_route_change){ .add = many,
	    .n_add = 1 }, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
	tailnet_node_set_routes(fake.t, &fake_actor, n->id, &(struct tailnet_route_change){ .add = many,
	    .n_add = ROUTE_LIST_MAX }, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	change(n, false, A, "");		/* one too many */
	assert_int_equal(fake.res.rc, ERR_LIMIT);
}

/* Changes of one node that are under way together lose nothing of one another. */
static void
test_under_way(void **state)
{
	struct node *n = router(1, A " " B);

	(void)state;
	change(n, false, A, "");
	change(n, false, B, "");
	change(n, false, "10.3.0.0/16", A);
	assert_int_equal(fake_queued, 1);
	fake_commit();
	assert_string_equal(approved_of(n), "[\"10.2.0.0/16\",\"10.3.0.0/16\"]");
	assert_int_equal(fake.n_done, 3);

	change(n, false, A, "");		/* refused by the store: what waits is done all the same */
	change(n, false, "", B);
	fake_commit_one(ERR_IO, "broken");
	assert_int_equal(fake.res.rc, ERR_IO);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_string_equal(approved_of(n), "[\"10.3.0.0/16\"]");

	fake.n_done = 0;
	change(n, false, A, "");		/* the node goes meanwhile */
	tailnet_node_remove(fake.t, &fake_actor, n->id, NULL, NULL);
	change(n, false, B, "");
	fake_commit_one(ERR_OK, "");
	assert_int_equal(fake.res.rc, ERR_OK);
	fake_commit_one(ERR_OK, "");
	fake_commit_one(ERR_NOTFOUND, "gone");
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
}

/* Many wait, and the server stops: everybody is answered, and there is an end to what may wait. */
static void
test_waiting_is_bounded(void **state)
{
	struct node *n = router(1, "");
	int busy = 0, i;
	char text[64];

	(void)state;
	fake.n_done = 0;
	for (i = 0; i < 100; i++) {
		struct net_prefix p = { .ip = { 4, { 10, (uint8_t)i } }, .bits = 16 };
		struct tailnet_route_change c = { .add = &p, .n_add = 1 };
		int before = fake.n_done;

		tailnet_node_set_routes(fake.t, &fake_actor, n->id, &c, fake_done, NULL);
		busy += fake.n_done > before && fake.res.rc == ERR_BUSY;
	}
	assert_true(busy > 0 && busy < 99);
	snprintf(text, sizeof(text), "%d", busy);
	assert_int_equal(fake.n_done, busy);
	struct txn *x = TAILQ_FIRST(&fake_queue);
	TAILQ_REMOVE(&fake_queue, x, link);
	fake_queued--;
	txn_abandon_take(x);
	assert_int_equal(fake.n_done, 100);
	assert_int_equal(fake.res.rc, ERR_CLOSED);
}

/* --- by the policy -------------------------------------------------------------------------------- */

#define APPROVERS "{\"tagOwners\":{\"tag:r\":[],\"tag:x\":[]},\"autoApprovers\":{\"routes\":{\"10.0.0.0/8\":" \
	"[\"tag:r\"],\"100.64.0.0/10\":[\"tag:r\"]},\"exitNode\":[\"tag:x\"]}}"

static void
tag(struct node *n, const char *which)
{
	tailnet_node_tag(fake.t, &fake_actor, n->id, &which, 1, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
}

/* Whatever comes last of advertising, tag and policy. */
static void
test_policy_order(void **state)
{
	struct node *n = router(1, A), *m = router(2, "");

	(void)state;
	tag(n, "tag:r");
	assert_string_equal(routes_of(n), "");
	set_policy(APPROVERS);
	assert_string_equal(routes_of(n), A "*");

	advertise(m, B);
	fake_commit();
	assert_string_equal(routes_of(m), "");
	tag(m, "tag:r");
	assert_string_equal(routes_of(m), B "*");

	advertise(m, B " 10.9.0.0/24 192.168.0.0/16 100.64.9.0/24 0.0.0.0/0 ::/0");
	fake_commit();
	assert_string_equal(routes_of(m), B "* 10.9.0.0/24*");
	tag(m, "tag:x");			/* nothing is taken back */
	assert_string_equal(routes_of(m), "0.0.0.0/0* " B "* 10.9.0.0/24* ::/0*");
	set_policy("{}");
	assert_string_equal(routes_of(m), "0.0.0.0/0* " B "* 10.9.0.0/24* ::/0*");
}

static void
test_policy_at_join(void **state)
{
	struct node *n;
	struct actor by = { .name = "x" };

	(void)state;
	set_policy(APPROVERS);
	strcpy(ann_key, fake_key(1, "r", "tag:r", 0));
	fake_register(&(struct fake_req){ .machine = 7, .key = 7, .auth = ann_key,
	    .hostname = "r\",\"RoutableIPs\":[\"" A "\"],\"x\":\"" });
	fake_commit();
	n = fake_node(7);
	assert_string_equal(routes_of(n), A "*");
	(void)by;
}

/* The policy's approval while another change is under way; when the store takes none. */
static void
test_policy_under_way(void **state)
{
	struct node *n = router(1, "");

	(void)state;
	tag(n, "tag:r");
	set_policy(APPROVERS);
	change(n, false, "192.168.0.0/16", "");
	advertise(n, A " 192.168.0.0/16");
	assert_int_equal(fake_queued, 1);
	fake_commit();
	assert_string_equal(routes_of(n), A "* 192.168.0.0/16*");

	fake_store_is_full = true;
	advertise(n, A " " B);
	fake_store_is_full = false;
	fake_commit();
	assert_string_equal(routes_of(n), A "*");
	pass(ROUTE_PROBE_MS + ROUTE_POLL_MS);
	fake_commit();
	assert_string_equal(routes_of(n), A "* " B "*");

	advertise(n, A " " B " 10.3.0.0/16");
	fake_commit_one(ERR_IO, "broken");
	pass(ROUTE_PROBE_MS - ROUTE_POLL_MS);
	assert_int_equal(fake_queued, 0);
	pass(2 * ROUTE_POLL_MS);
	fake_commit();
	assert_string_equal(routes_of(n), A "* " B "* 10.3.0.0/16*");
}

/* Routes that come and go are approved for as long as the node lives: what it no longer advertises, and the
 * policy would approve again, makes room. What an administrator approved stays. */
static void
test_policy_makes_room(void **state)
{
	struct node *n = router(1, "");
	char text[64];

	(void)state;
	tag(n, "tag:r");
	set_policy("{\"tagOwners\":{\"tag:r\":[]},"
	    "\"autoApprovers\":{\"routes\":{\"10.0.0.0/8\":[\"tag:r\"]}}}");
	approve(n, "192.168.7.0/24");
	for (unsigned i = 0; i < 2 * ROUTE_LIST_MAX; i++) {
		snprintf(text, sizeof(text), "10.%u.%u.0/24", i / 200, i % 200);
		advertise(n, text);
		pass(ROUTE_POLICY_EVERY_MS);
		fake_commit();
		strcat(text, "*");
		assert_string_equal(routes_of(n), text);
	}
	assert_true(n->n_approved <= ROUTE_LIST_MAX);
	assert_non_null(strstr(approved_of(n), "\"192.168.7.0/24\""));
}

/* A node whose routes are others all the time fills neither disk nor log; the last of them count. */
static void
test_policy_in_bounds(void **state)
{
	struct node *n = router(1, "");
	char text[64];

	(void)state;
	tag(n, "tag:r");
	set_policy(APPROVERS);
	pass(ROUTE_POLICY_EVERY_MS * ROUTE_POLICY_BURST);
	fake_audits = 0;
	for (unsigned i = 0; i < 200; i++) {
		snprintf(text, sizeof(text), "10.9.%u.0/24", i);
		advertise(n, text);
		fake_commit();
	}
	assert_int_equal(fake_audits, ROUTE_POLICY_BURST);
	assert_string_equal(routes_of(n), "");
	pass(ROUTE_POLICY_EVERY_MS + ROUTE_POLL_MS);
	fake_commit();
	assert_string_equal(routes_of(n), "10.9.199.0/24*");
}

/* What an administrator takes back stays away until something changes that the policy is asked about. */
static void
test_policy_and_hand(void **state)
{
	struct node *n = router(1, A);
	struct tailnet_route *all;

	(void)state;
	tag(n, "tag:r");
	set_policy(APPROVERS);
	change(n, false, "", A);
	fake_commit();
	assert_string_equal(routes_of(n), "");
	advertise(n, A);
	fake_commit();
	assert_string_equal(routes_of(n), "");
	assert_int_equal(tailnet_route_list(fake.t, n, &all), 1);
	assert_true(all[0].is_advertised && !all[0].is_approved && !all[0].is_primary && all[0].is_by_policy);
	free(all);
	set_policy(APPROVERS);
	assert_string_equal(routes_of(n), A "*");
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_effective), T(test_by_hand), T(test_under_way), T(test_waiting_is_bounded),
		T(test_policy_order), T(test_policy_at_join), T(test_policy_under_way), T(test_policy_and_hand),
		T(test_policy_makes_room), T(test_policy_in_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
