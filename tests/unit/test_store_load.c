/* links: coord/store coord/store_sql coord/store_stmt coord/store_cred coord/store_policy coord/store_cluster coord/store_join coord/store_load coord/migrate gen/migrations coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_tag coord/policy_owner coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota */
/* What is loaded equals what was, after changes by chance; rows that somebody spoilt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store_file.h"

static struct net_ip
some_ip(int family)
{
	struct net_ip ip;
	char text[NET_TEXT_MAX];

	snprintf(text, sizeof(text), family == 4 ? "100.64.0.%d" : "fd7a:115c:a1e0::%x", 1 + chance(80));
	assert_int_equal(net_ip_parse(text, strlen(text), &ip), ERR_OK);
	return ip;
}

static char plan_text[AUTHKEY_TEXT_MAX], plan_id[AUTHKEY_ID_CHARS + 4];	/* the last one's */

/* tailnet_done_fn */
static void
on_plan(void *arg, const struct tailnet_result *res)
{
	(void)arg;
	if (res->rc != ERR_OK)
		return;
	snprintf(plan_text, sizeof(plan_text), "%s", res->secret);
	snprintf(plan_id, sizeof(plan_id), "%s", res->key_id);
}

/* Plans, addresses, expiry, approval, settings. */
static void
change_joining(struct node *n)
{
	struct tailnet_settings s = { .devices_need_approval = chance(2), .key_days = chance(40) - 1 };
	struct tailnet_key_spec spec = { .user_id = 1 + chance(3), .is_preauthorized = chance(2) };
	struct net_ip ip4 = some_ip(4), ip6 = some_ip(6);
	char name[32];

	snprintf(name, sizeof(name), "n%d", chance(20));
	switch (chance(8)) {
	case 0: case 1:
		spec.node_name = name;
		spec.node_ip4 = ip4;
		if (chance(2))
			spec.node_ip6 = ip6;
		spec.expires_unix_s = chance(2) ? 0 : fake.now + chance(DAY_S) + 1;
		tailnet_key_create(fake.t, &fake_actor, &spec, on_plan, NULL);
		break;
	case 2:
		fake_register(&(struct fake_req){ .machine = chance(40) + 1, .key = chance(150) + 1,
		    .auth = plan_text });
		break;
	case 3:
		if (chance(2))
			tailnet_key_revoke(fake.t, &fake_actor, plan_id, NULL, NULL);
		else
			tailnet_key_remove(fake.t, &fake_actor, plan_id, NULL, NULL);
		break;
	case 4:
		if (n != NULL)
			tailnet_node_set_ips(fake.t, &fake_actor, n->id, &ip4, chance(2) ? &ip6 : NULL, NULL,
			    NULL);
		break;
	case 5:
		if (n != NULL)
			tailnet_node_set_expiry(fake.t, &fake_actor, n->id,
			    chance(2) ? 0 : fake.now + 1 + chance(10 * DAY_S), NULL, NULL);
		break;
	case 6:
		if (n != NULL)
			tailnet_node_set_authorized(fake.t, &fake_actor, n->id, chance(2), NULL, NULL);
		break;
	case 7:
		tailnet_settings_set(fake.t, &fake_actor, &s, NULL, NULL);
		tailnet_due_run(fake.t);
		break;
	}
}

static void
change_routes(struct node *n)
{
	struct net_prefix some[2] = {
		{ .ip = { 4, { 10, (uint8_t)chance(4) } }, .bits = 16 }, { .ip.family = 4 },
	};
	struct tailnet_route_change c = { .is_whole = chance(4) == 0, .add = some,
		.n_add = (unsigned)chance(3), .remove = some, .n_remove = (unsigned)(chance(4) == 0) };

	tailnet_node_set_routes(fake.t, &fake_actor, n->id, &c, NULL, NULL);
	tailnet_route_run(fake.t);
}

static void
change_something(char key_text[3][AUTHKEY_TEXT_MAX])
{
	static const char *const tags[] = { "tag:b", "tag:a", "tag:c" };
	struct node *n = some_node();
	char name[32];
	int k = chance(60) + 1;

	switch (chance(20)) {
	case 0: case 1: case 2: case 3:
		fake_register(&(struct fake_req){ .machine = k % 40 + 1, .key = k + chance(100),
		    .auth = key_text[chance(3)], .old = chance(2) ? chance(160) : 0 });
		break;
	case 4:
		if (n != NULL)
			tailnet_node_tag(fake.t, &fake_actor, n->id, tags, (unsigned)chance(4), NULL, NULL);
		break;
	case 5:
		snprintf(name, sizeof(name), "n%d", chance(20));
		if (n != NULL)
			tailnet_node_rename(fake.t, &fake_actor, n->id, chance(4) ? name : "", NULL, NULL);
		break;
	case 6:
		if (n != NULL)
			tailnet_node_expire(fake.t, &fake_actor, n->id, NULL, NULL);
		break;
	case 7:
		if (n != NULL)
			tailnet_node_remove(fake.t, &fake_actor, n->id, NULL, NULL);
		break;
	case 8: case 9:
		if (n != NULL)
			change_soft(n);
		break;
	case 10:
		snprintf(name, sizeof(name), "user%d", chance(5));
		tailnet_user_rename(fake.t, &fake_actor, 1 + chance(3), name, NULL, NULL);
		break;
	case 18: case 19:
		if (n != NULL)
			change_routes(n);
		break;
	case 11:
		fake_clock(fake.now + chance(2 * DAY_S));
		break;
	default:
		change_joining(n);
		break;
	}
}

static void
test_reload(void **state)
{
	char key_text[3][AUTHKEY_TEXT_MAX];
	long long n_primaries = 0;

	(void)state;
	fake_start();
	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "u%d", i);
		fake_user(name, i == 2 ? USER_MEMBER : USER_ADMIN);
		strcpy(key_text[i], fake_key(i + 1, i == 1 ? "re" : "r", i == 1 ? "tag:a" : NULL, 0));
		fake_key(i + 1, "", NULL, T0 + 1000);
		tailnet_key_revoke(fake.t, &fake_actor, fake.key_id, NULL, NULL);
	}
	fake_user("removed", USER_AUDITOR);
	tailnet_user_remove(fake.t, &fake_actor, fake.res.id, NULL, NULL);
	for (int round = 0; round < 12; round++) {
		seed = (unsigned)round + 1;
		for (int i = 0; i < 60; i++) {
			change_something(key_text);
			if (chance(5) == 0)
				fake_commit();
		}
		tailnet_flush_soft(fake.t);
		assert_reload_equal();
		n_primaries += number("SELECT count(*) FROM node_state WHERE primary_routes <> '[]'");
		assert_int_equal(fake.t->nodes.count, number("SELECT count(*) FROM nodes"));
	}
	assert_true(fake.t->nodes.count > 5);
	assert_true(number("SELECT count(*) FROM audit WHERE what = 'node.ip'") > 5);
	assert_true(number("SELECT count(*) FROM audit WHERE what = 'node.expiring'") > 0);
	assert_true(number("SELECT count(*) FROM audit WHERE what = 'key.plan_end'") > 0);
	assert_true(number("SELECT count(*) FROM audit WHERE what = 'node.routes'") > 20);
	assert_true(n_primaries > 5);
	assert_true(number("SELECT count(*) FROM audit WHERE what = 'settings.change'") > 5);
	assert_true(number("SELECT count(*) FROM nodes WHERE is_name_given") > 0);
	assert_true(number("SELECT count(*) FROM address_history") > 5);
	assert_true(number("SELECT count(*) FROM audit WHERE before IS NOT NULL AND after IS NOT NULL"
	    " AND json_valid(before) AND json_valid(after) AND what = 'node.rename'") > 5);
	fake_stop();
}

/* Rows that somebody spoilt keep nobody else from starting. */
static void
test_spoilt_rows(void **state)
{
	char auth[AUTHKEY_TEXT_MAX];

	(void)state;
	fake_start();
	fake_user("a", USER_ADMIN);
	strcpy(auth, fake_key(1, "r", NULL, 0));
	for (int i = 1; i <= 5; i++)
		register_once(i, auth);
	fake_stop();
	execute("UPDATE node_state SET hostinfo = '{' WHERE node_id = 1;"
	    "DELETE FROM node_state WHERE node_id = 2;"
	    "UPDATE node_state SET endpoints = '[1,\"x\",\"192.0.2.1:1/3\"]', disco_key = x'00'"
	    " WHERE node_id = 3;"
	    "UPDATE nodes SET tags = 'none' WHERE id = 4;"
	    "UPDATE nodes SET ip4 = 'x' WHERE id = 5;"
	    "UPDATE users SET role = 'king'");
	fake_start();
	assert_int_equal(fake.t->nodes.count, 5);
	assert_string_equal(fake_node(1)->host->hostname, "");
	assert_non_null(fake_node(2)->host);
	assert_int_equal(fake_node(3)->n_endpoints, 1);
	assert_int_equal(fake_node(3)->endpoints[0].type, 3);
	assert_true(disco_key_is_zero(&fake_node(3)->disco_key));
	assert_int_equal(fake_node(4)->n_tags, 0);
	assert_int_equal(tailnet_user_find(fake.t, "a")->role, USER_MEMBER);
	assert_int_equal(register_once(6, auth), 200);
	fake_stop();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_reload), TEST(test_spoilt_rows) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
