/* links: coord/tailnet_ssh coord/tailnet_ssh_decide coord/tailnet_ssh_rule coord/msg_ssh coord/policy* coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_tag coord/tailnet_policy coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule */
/* SSH checks: from the destination's question to what people decide, and what happens in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ssh_rig.h"

/* --- the way through ------------------------------------------------------------------------------ */

static void
test_approve(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];
	unsigned n_audits;
	int32_t s, other;

	(void)state;
	s = hold(ANN_1, WEB_1, "root", id);
	assert_string_equal(check_of(ask(ANN_1, WEB_1, "root", "")), id);	/* tried again: the same */
	assert_int_equal(fake_queued, 0);
	assert_int_equal(metric_get(METRIC_SSH_PENDING), 1);
	assert_int_equal(tailnet_ssh_find(fake.t, id)->n_waiters, 1);
	n_audits = fake_audits;
	tailnet_ssh_approve(fake.t, &fake_actor, id, fake_done, NULL);
	assert_true(waits(s));			/* not before the record is durable */
	tailnet_ssh_approve(fake.t, &fake_actor, id, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_BUSY);
	tailnet_ssh_reject(fake.t, &fake_actor, id, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_BUSY);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_int_equal(fake.res.id, id_of(WEB_1));
	assert_true(is_let_in(s));
	assert_true(says(s, "# Approved by test."));
	assert_int_equal(fake_audits, n_audits + 1);
	assert_int_equal(fake.t->ssh->checks.count, 0);
	assert_int_equal(metric_get(METRIC_SSH_PENDING), 0);
	assert_int_equal(approve(id), ERR_NOTFOUND);

	/* inside the period: let through when that is on record, without a word */
	other = ask(ANN_1, WEB_1, "root", "");
	assert_true(waits(other));
	fake_commit();
	assert_true(is_let_in(other));
	assert_false(says(other, "message"));
	assert_int_equal(fake_audits, n_audits + 2);
	/* the same person elsewhere, as somebody else, from another node: asked */
	check_of(ask(ANN_1, WEB_2, "root", ""));
	check_of(ask(ANN_1, WEB_1, "deploy", ""));
	check_of(ask(ANN_2, WEB_1, "root", ""));
	/* a question for the check that is over goes through by the proof */
	s = ask(ANN_1, WEB_1, "root", id);
	fake_commit();
	assert_true(is_let_in(s));
}

static void
test_period(void **state)
{
	static const struct { const char *more; int64_t s; } cases[] = {
		{ "", 12 * 3600 }, { ",\"checkPeriod\":\"20h\"", 20 * 3600 }, { ",\"checkPeriod\":\"1m\"", 60 },
		{ ",\"checkPeriod\":\"168h\"", 168 * 3600 },
	};
	char id[SSH_CHECK_ID_CHARS + 1], rule[200];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		snprintf(rule, sizeof(rule), RULE("check", "\"root\"", "%s"), cases[i].more);
		policy_set(rule);
		hold(ANN_1, WEB_1, "root", id);
		assert_int_equal(tailnet_ssh_find(fake.t, id)->period_s, cases[i].s);
		assert_int_equal(approve(id), ERR_OK);
		later(cases[i].s - 1);
		assert_true(is_let_in(use(ANN_1, WEB_1, "root")));
		later(1);
		check_of(ask(ANN_1, WEB_1, "root", ""));	/* a use does not make it longer */
	}
}

/* The wall clock is set back: what was proven is not good for longer. */
static void
test_clock_set_back(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];

	(void)state;
	hold(ANN_1, WEB_1, "root", id);
	assert_int_equal(approve(id), ERR_OK);
	clock_test_set((fake.now - T0) * 1000 + 1000000 + 13 * 3600 * 1000, T0 - DAY_S);
	check_of(ask(ANN_1, WEB_1, "root", ""));
}

static void
test_always(void **state)
{
	char one[SSH_CHECK_ID_CHARS + 1], two[SSH_CHECK_ID_CHARS + 1];
	int32_t s, other;

	(void)state;
	policy_set(ALWAYS);
	s = hold(ANN_1, WEB_1, "root", one);
	other = hold(ANN_1, WEB_1, "root", two);
	assert_string_not_equal(one, two);		/* each connection has its own */
	assert_int_equal(approve(one), ERR_OK);
	assert_true(is_let_in(s));
	assert_true(waits(other));
	check_of(ask(ANN_1, WEB_1, "root", ""));
	/* used up */
	assert_string_not_equal(check_of(ask(ANN_1, WEB_1, "root", one)), one);
	assert_int_equal(reject(two), ERR_OK);
	assert_true(is_rejected(other));
	assert_true(says(other, "# This SSH login was rejected by test."));
}

static void
test_first_rule_decides(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];

	(void)state;
	policy_set(RULE("check", "\"deploy\"", ",\"checkPeriod\":\"1h\"") ","
	    RULE("check", "\"root\",\"deploy\"", ",\"checkPeriod\":\"2h\"") "," RULE("accept", "\"root\"", ""));
	hold(ANN_1, WEB_1, "deploy", id);
	assert_int_equal(tailnet_ssh_find(fake.t, id)->period_s, 3600);
	hold(ANN_1, WEB_1, "root", id);
	assert_int_equal(tailnet_ssh_find(fake.t, id)->period_s, 7200);
}

static void
test_reject(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];
	unsigned n_audits = fake_audits;
	int32_t s = hold(ANN_1, WEB_1, "root", id);

	(void)state;
	assert_int_equal(reject(id), ERR_OK);
	assert_true(is_rejected(s));
	assert_int_equal(fake_audits, n_audits + 1);
	assert_null(tailnet_ssh_find(fake.t, id));
	assert_int_equal(approve(id), ERR_NOTFOUND);
	assert_true(is_rejected(ask(ANN_1, WEB_1, "root", id)));	/* its answer was lost */
	assert_string_not_equal(check_of(ask(ANN_1, WEB_1, "root", "")), id);
}

/* --- races ---------------------------------------------------------------------------------------- */

static void
test_approved_without_client(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];
	int32_t s;

	(void)state;
	gone(hold(ANN_1, WEB_1, "root", id));
	assert_int_equal(tailnet_ssh_find(fake.t, id)->n_waiters, 0);
	assert_int_equal(approve(id), ERR_OK);
	s = ask(ANN_1, WEB_1, "root", id);		/* it comes back */
	assert_true(waits(s));
	fake_commit();
	assert_true(is_let_in(s));

	/* each time: kept for the one connection, for as long as it would have waited */
	policy_set(ALWAYS);
	gone(hold(ANN_1, WEB_1, "root", id));
	assert_int_equal(approve(id), ERR_OK);
	assert_null(tailnet_ssh_find(fake.t, id));
	check_of(ask(ANN_1, WEB_1, "root", ""));
	s = ask(ANN_1, WEB_1, "root", id);
	fake_commit();
	assert_true(is_let_in(s));
	check_of(ask(ANN_1, WEB_1, "root", id));
	gone(hold(ANN_1, WEB_1, "root", id));
	assert_int_equal(approve(id), ERR_OK);
	later(SSH_CHECK_LIFE_S);
	check_of(ask(ANN_1, WEB_1, "root", id));
}

static void
test_asks_twice(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];
	int32_t first, second;

	(void)state;
	/* the same stream number again, before its end was told */
	first = hold(ANN_1, WEB_1, "root", id);
	fake.stream--;
	assert_int_equal(ask(ANN_1, WEB_1, "root", id), first);
	assert_int_equal(tailnet_ssh_find(fake.t, id)->n_waiters, 1);
	second = ask(ANN_1, WEB_1, "root", id);
	assert_int_equal(approve(id), ERR_OK);
	assert_true(is_let_in(first) && is_let_in(second));
	gone(first);

	/* each time: the older request of one check is one that its client gave up */
	policy_set(ALWAYS);
	first = hold(ANN_1, WEB_1, "root", id);
	second = ask(ANN_1, WEB_1, "root", id);
	assert_int_equal(fake_replies[first].status, 429);
	assert_int_equal(approve(id), ERR_OK);
	assert_true(is_let_in(second));
}

static void
test_policy_change(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];
	int32_t s;

	(void)state;
	/* while one waits, and one has a proof: both are asked anew */
	hold(ANN_1, WEB_1, "root", id);
	assert_int_equal(approve(id), ERR_OK);
	s = hold(ANN_2, WEB_1, "root", id);
	policy_set(CHECK);
	assert_true(is_to_ask_anew(s));
	assert_int_equal(approve(id), ERR_NOTFOUND);
	check_of(ask(ANN_1, WEB_1, "root", ""));
	assert_string_not_equal(check_of(ask(ANN_2, WEB_1, "root", id)), id);

	/* between an approval and its record; between a use and its record */
	s = hold(ANN_1, WEB_2, "root", id);
	tailnet_ssh_approve(fake.t, &fake_actor, id, fake_done, NULL);
	tailnet_ssh_forget_all(fake.t);
	assert_true(is_to_ask_anew(s));
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
	hold(ANN_1, WEB_2, "root", id);
	assert_int_equal(approve(id), ERR_OK);
	s = ask(ANN_1, WEB_2, "root", "");
	tailnet_ssh_forget_all(fake.t);
	fake_commit();
	assert_true(is_to_ask_anew(s));

	/* no rule any more, and one that accepts: nothing to check, the client has its new rules */
	s = hold(ANN_1, WEB_2, "root", id);
	policy_set("");
	assert_true(is_to_ask_anew(s));
	assert_true(is_rejected(ask(ANN_1, WEB_2, "root", "")));
	policy_set(RULE("accept", "\"root\"", ""));
	assert_true(is_rejected(ask(ANN_1, WEB_2, "root", "")));
}

static void
test_store_fails(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];
	int32_t s = hold(ANN_1, WEB_1, "root", id);

	(void)state;
	tailnet_ssh_approve(fake.t, &fake_actor, id, fake_done, NULL);
	fake_commit_one(ERR_FULL, "the server's disk is full");
	assert_int_equal(fake.res.rc, ERR_FULL);
	assert_true(waits(s));
	fake_store_is_full = true;
	assert_int_equal(approve(id), ERR_BUSY);
	assert_int_equal(reject(id), ERR_BUSY);
	fake_store_is_full = false;
	assert_int_equal(approve(id), ERR_OK);
	assert_true(is_let_in(s));
	/* nobody comes in that is not on record; the client comes again */
	s = ask(ANN_1, WEB_1, "root", "");
	fake_commit_one(ERR_FULL, "the server's disk is full");
	assert_int_equal(fake_replies[s].status, 429);
	assert_true(is_let_in(use(ANN_1, WEB_1, "root")));
}

static void
test_server_stops(void **state)
{
	char id[SSH_CHECK_ID_CHARS + 1];

	(void)state;
	hold(ANN_1, WEB_1, "root", id);
	hold(ANN_2, WEB_1, "root", id);
	tailnet_ssh_approve(fake.t, &fake_actor, id, NULL, NULL);
	hold(BOB_1, WEB_1, "root", id);
	assert_int_equal(approve(id), ERR_OK);
	ask(BOB_1, WEB_1, "root", "");
	assert_int_equal(metric_get(METRIC_SSH_PENDING), 1);	/* tear_down frees them all */
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_approve), TEST(test_period), TEST(test_clock_set_back), TEST(test_always),
		TEST(test_first_rule_decides), TEST(test_reject), TEST(test_approved_without_client),
		TEST(test_asks_twice), TEST(test_policy_change), TEST(test_store_fails),
		TEST(test_server_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
