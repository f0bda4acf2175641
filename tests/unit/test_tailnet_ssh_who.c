/* links: coord/tailnet_ssh coord/tailnet_ssh_decide coord/tailnet_ssh_rule coord/msg_ssh coord/policy* coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_tag coord/tailnet_policy coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule */
/* SSH checks: who may ask, what changes of nodes and time do to them, and what strangers can make us keep. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ssh_rig.h"

/* --- by whom and for whom ------------------------------------------------------------------------- */

static void
test_who_may_ask(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];
	int64_t a = id_of(ANN_1), w = id_of(WEB_1);
	int32_t s;

	(void)state;
	assert_true(is_rejected(ask_as(ANN_1, a, w, "root", "")));	/* for another node */
	assert_true(is_rejected(ask_as(99, a, w, "root", "")));		/* a stranger */
	assert_true(is_rejected(ask_as(99, a, 999, "root", "")));
	assert_true(is_rejected(ask_as(WEB_1, 999, w, "root", "")));
	assert_true(is_rejected(ask_as(WEB_1, a, w, "toor", "")));	/* not in the rule */
	assert_true(is_rejected(ask_as(WEB_1, id_of(WEB_2), w, "root", "")));
	assert_true(is_rejected(ask_as(ANN_2, a, id_of(ANN_2), "root", "")));	/* no destination of it */
	assert_int_equal(fake.t->ssh->checks.count, 0);
	world_is_behind = true;
	s = ask(ANN_1, WEB_1, "root", "");
	assert_int_equal(fake_replies[s].status, 429);
	world_is_behind = false;

	/* what belongs to one pair says nothing for another, whatever the client claims */
	s = hold(ANN_1, WEB_1, "root", id);
	assert_string_not_equal(check_of(ask(BOB_1, WEB_1, "root", id)), id);
	assert_string_not_equal(check_of(ask(ANN_1, WEB_2, "root", id)), id);
	assert_string_not_equal(check_of(ask(ANN_1, WEB_1, "deploy", id)), id);
	assert_int_equal(tailnet_ssh_find(fake.t, id)->n_waiters, 1);
	assert_int_equal(reject(id), ERR_OK);
	assert_true(is_rejected(s));
	check_of(ask(BOB_1, WEB_1, "root", id));
}

struct change {
	const char *name;
	void (*make)(void);
	bool is_still_allowed;		/* by the policy; it is asked anew then */
};

static void
tag_source(void)
{
	static const char *const tags[] = { "tag:x" };

	tailnet_node_tag(fake.t, &fake_actor, id_of(ANN_1), tags, 1, fake_done, NULL);
}

static void
expire_source(void)
{
	tailnet_node_expire(fake.t, &fake_actor, id_of(ANN_1), fake_done, NULL);
}

static void
expire_destination(void)
{
	tailnet_node_expire(fake.t, &fake_actor, id_of(WEB_1), fake_done, NULL);
}

static void
expire_by_time(void)
{
	tailnet_node_set_expiry(fake.t, &fake_actor, id_of(ANN_1), fake.now + 60, fake_done, NULL);
	fake_commit();
	later(60);
}

static void
disapprove_source(void)
{
	tailnet_node_set_authorized(fake.t, &fake_actor, id_of(ANN_1), false, fake_done, NULL);
}

static void
rename_source(void)
{
	tailnet_node_rename(fake.t, &fake_actor, id_of(ANN_1), "other", fake_done, NULL);
}

static void
remove_source(void)
{
	tailnet_node_remove(fake.t, &fake_actor, id_of(ANN_1), fake_done, NULL);
}

static void
remove_destination(void)
{
	tailnet_node_remove(fake.t, &fake_actor, id_of(WEB_1), fake_done, NULL);
}

/* A change of either node ends what waits and forgets what was proven, of it alone. */
static void
test_node_changes(void **state)
{
	static const struct change cases[] = {
		{ "tag", tag_source, false }, { "expire source", expire_source, false },
		{ "expire destination", expire_destination, false }, { "time", expire_by_time, false },
		{ "disapprove", disapprove_source, false }, { "remove source", remove_source, false },
		{ "remove destination", remove_destination, false }, { "rename", rename_source, true },
	};
	char id[SSH_CHECK_ID_CHARS + 1];

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int64_t a = id_of(ANN_1), w = id_of(WEB_1);
		int32_t s;

		print_message("%s\n", cases[i].name);
		hold(ANN_1, WEB_1, "root", id);
		assert_int_equal(approve(id), ERR_OK);
		hold(ANN_2, WEB_2, "root", id);
		assert_int_equal(approve(id), ERR_OK);
		s = hold(ANN_1, WEB_1, "deploy", id);
		cases[i].make();
		fake_commit();
		if (cases[i].is_still_allowed) {
			assert_true(waits(s));
			assert_true(is_let_in(use(ANN_1, WEB_1, "root")));
		} else {
			assert_true(is_to_ask_anew(s));
			assert_true(is_rejected(ask_as(WEB_1, a, w, "root", "")));
			assert_int_equal(fake.t->ssh->_proofs.count, 1);
		}
		tear_down(state);
		set_up(state);
	}
	/* there and back again: nobody remembers */
	hold(ANN_1, WEB_1, "root", id);
	assert_int_equal(approve(id), ERR_OK);
	disapprove_source();
	fake_commit();
	tailnet_node_set_authorized(fake.t, &fake_actor, id_of(ANN_1), true, fake_done, NULL);
	fake_commit();
	check_of(ask(ANN_1, WEB_1, "root", ""));
}

/* A posture can change without the policy: the approval asks it again. */
static void
test_rule_is_another(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];
	int32_t s = hold(ANN_1, WEB_1, "root", id);

	(void)state;
	tailnet_ssh_find(fake.t, id)->period_s = 60;	/* as if another rule had been met then */
	assert_int_equal(approve(id), ERR_DENIED);
	assert_true(waits(s));
	assert_string_not_equal(check_of(ask(ANN_1, WEB_1, "root", id)), id);
}

/* --- bounds --------------------------------------------------------------------------------------- */

static void
test_expiry(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];
	int32_t s = hold(ANN_1, WEB_1, "root", id);

	(void)state;
	later(SSH_CHECK_LIFE_S - 1);
	assert_true(waits(s));
	later(1);
	assert_true(is_rejected(s));
	assert_true(says(s, "Nobody approved"));
	assert_int_equal(approve(id), ERR_NOTFOUND);
	assert_int_equal(fake.t->ssh->checks.count, 0);

	/* over while its approval is written: that counts */
	s = hold(ANN_1, WEB_1, "root", id);
	tailnet_ssh_approve(fake.t, &fake_actor, id, fake_done, NULL);
	later(SSH_CHECK_LIFE_S);
	assert_true(waits(s));
	fake_commit();
	assert_true(is_let_in(s));
}

static void
test_bounds(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1], first[SSH_CHECK_ID_CHARS + 1] = "";
	int32_t s[SSH_CHECKS_PER_SOURCE_MAX + 1], n = 0, other;

	(void)state;
	policy_set(ALWAYS);
	/* of one source: its own oldest goes, those of others stay */
	other = hold(BOB_1, WEB_1, "root", id);
	for (int i = 0; i <= SSH_CHECKS_PER_SOURCE_MAX; i++) {
		s[i] = hold(ANN_1, WEB_1, "root", first);
		later(10);
	}
	assert_true(is_rejected(s[0]));
	assert_true(says(s[0], "Too many"));
	for (int i = 1; i <= SSH_CHECKS_PER_SOURCE_MAX; i++)
		assert_true(waits(s[i]));
	assert_true(waits(other));
	/* one that nobody waits for goes first */
	gone(s[5]);
	hold(ANN_1, WEB_1, "root", id);
	assert_true(waits(s[1]));
	/* questions at all: refused for a while, and heard again */
	while (fake_replies[other = ask(ANN_1, WEB_2, "x", "")].status == 200)
		assert_true(++n < 1000);
	assert_int_equal(n, (int)SSH_ASKS_BURST);
	assert_int_equal(fake_replies[other].status, 429);
	assert_int_equal(fake_replies[other].retry_after_s, 2);
	later(10);
	assert_true(is_rejected(ask(ANN_1, WEB_2, "x", "")));
}

/* Checks of one destination, and requests that wait for one. */
static void
test_bounds_of_nodes(void **state)
{
	int32_t s[SSH_CHECKS_PER_NODE_MAX + 1], one;
	char id[SSH_CHECK_ID_CHARS + 1];

	(void)state;
	policy_set(RULE("check", "\"autogroup:nonroot\"", ""));
	for (int i = 0; i <= SSH_CHECKS_PER_NODE_MAX; i++) {
		int source = 100 + i / (SSH_CHECKS_PER_SOURCE_MAX - 1);
		char user[16];

		if (i % (SSH_CHECKS_PER_SOURCE_MAX - 1) == 0)
			join(source, bob, NULL);
		snprintf(user, sizeof(user), "u%d", i);
		s[i] = hold(source, WEB_1, user, id);
	}
	assert_true(is_rejected(s[0]));
	for (int i = 1; i <= SSH_CHECKS_PER_NODE_MAX; i++)
		assert_true(waits(s[i]));
	assert_int_equal(fake.t->ssh->checks.count, SSH_CHECKS_PER_NODE_MAX);
	one = ask(100, WEB_1, "u1", check_of(ask(100, WEB_1, "u1", "")));
	assert_int_equal(fake_replies[one].status, 429);	/* no stream of the connection is left for it */
	gone(s[1]);
	assert_true(waits(ask(100, WEB_1, "u1", check_of(ask(100, WEB_1, "u1", "")))));
	one = ask(BOB_1, WEB_2, "deploy", check_of(ask(BOB_1, WEB_2, "deploy", "")));
	assert_true(waits(one));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_who_may_ask), TEST(test_node_changes), TEST(test_rule_is_another),
		TEST(test_expiry), TEST(test_bounds), TEST(test_bounds_of_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
