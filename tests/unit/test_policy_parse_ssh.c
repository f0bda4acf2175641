/* links: coord/policy coord/hujson coord/ipset coord/tag coord/policy_parse coord/policy_parse_cap coord/policy_parse_ipset coord/policy_parse_names coord/policy_parse_posture coord/policy_parse_rule coord/policy_parse_sel coord/policy_parse_ssh coord/policy_parse_test */
/* SSH rules and node attributes: what is read, what is refused and why. */
#include "tests/unit/policy_text.h"

#define SSH_HEAD "{\"tagOwners\":{\"tag:a\":[]},\"groups\":{\"group:g\":[]}," \
	"\"hosts\":{\"h\":\"10.0.0.1\"},\"postures\":{\"posture:p\":[]},\"ssh\":[{"

static void
test_ssh(void **state)
{
	struct policy *p = policy_of(SSH_HEAD "\"action\":\" check \",\"src\":[\"u@\"],"
	    "\"dst\":[\"tag:a\",\"autogroup:self\",\"u@\"],\"users\":[\" root \",\"localpart:*@x.y\"],"
	    "\"acceptEnv\":[\"GIT_*\"],\"srcPosture\":[\"posture:p\"]},\n{\"action\":\"accept\","
	    "\"users\":[\"autogroup:nonroot\"]}]}");

	(void)state;
	assert_int_equal(p->n_ssh, 2);
	assert_true(p->ssh[0].is_check && !p->ssh[1].is_check);
	assert_int_equal(p->ssh[0].check_period_s, 12 * 3600);
	assert_int_equal(p->ssh[0].src.n, 1);
	assert_int_equal(p->ssh[0].dst.n, 3);
	assert_int_equal(p->ssh[0].n_users, 2);
	assert_string_equal(p->ssh[0].users[0], "root");
	assert_string_equal(p->ssh[0].users[1], "localpart:*@x.y");
	assert_string_equal(p->ssh[0].accept_env[0], "GIT_*");
	assert_int_equal(p->ssh[0].postures.n, 1);
	assert_int_equal(p->ssh[1].line, 2);
	policy_drop(p);
}

static void
test_ssh_refused(void **state)
{
	static const struct { const char *text, *want; } cases[] = {
		{ "\"users\":[\"u\"]", "line 1, column 111: action must be specified" },
		{ "\"action\":\" \",\"users\":[\"u\"]", "action must be specified" },
		{ "\"action\":\"deny\",\"users\":[\"u\"]", "\"deny\" is not a valid action" },
		{ "\"action\":\"Accept\",\"users\":[\"u\"]", "\"Accept\" is not a valid action" },
		{ "\"action\":7,\"users\":[\"u\"]", "action wants a string" },
		{ "\"action\":\"accept\"", "users must be specified" },
		{ "\"action\":\"accept\",\"users\":[]", "users must be specified" },
		{ "\"action\":\"accept\",\"users\":\"u\"", "users wants a list of strings" },
		{ "\"action\":\"accept\",\"users\":[\"*\"]", "user \"*\" is not valid" },
		{ "\"action\":\"accept\",\"users\":[\"u\",\" \"]", "user \"\" is not valid" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"acceptEnv\":[\"\"]", "acceptEnv values cannot" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"recorder\":[]", "unknown field \"recorder\"" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"checkPeriod\":\"1h\"", "only valid with action" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"src\":[\"*\"]", "\"*\" not valid as src" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"src\":[\"h\"]", "\"h\" not valid as src" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"src\":[\"10.0.0.1\"]", "not valid as src" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"src\":[\"tag:z\"]", "tag not found: \"tag:z\"" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"dst\":[\"*\"]", "\"*\" not valid as dst" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"dst\":[\"group:g\"]", "\"group:g\" not valid" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"dst\":[\"h\"]", "invalid dst \"h\"" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"dst\":[\"zzz\"]", "invalid dst \"zzz\"" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"src\":[\"tag:a\",\"u@\"],\"dst\":[\"u@\"]",
		  "tags in SSH source cannot access user-owned devices" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"src\":[\"u@\",\"v@\"],\"dst\":[\"u@\"]",
		  "src is only that same user" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"src\":[\"group:g\",\"u@\"],\"dst\":[\"u@\"]",
		  "src is only that same user" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"src\":[],\"dst\":[\"u@\"]", "same user" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"src\":[\"autogroup:tagged\"],"
		  "\"dst\":[\"autogroup:self\"]", "autogroup:self requires that src holds only users" },
		{ "\"action\":\"accept\",\"users\":[\"u\"],\"src\":[\"tag:a\"],"
		  "\"dst\":[\"autogroup:member\"]", "tags in SSH source cannot access autogroup:member" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 };

		buf_printf(&b, SSH_HEAD "%s}]}", cases[i].text);
		assert_refused((char *)b.p, b.len, cases[i].want);
		buf_fini(&b);
	}
}

static void
test_check_period(void **state)
{
	/* want: refused so; else the period */
	static const struct { const char *text; int64_t want_s; const char *want; } cases[] = {
		{ "always", 0, NULL }, { "0", 0, NULL }, { "0s", 0, NULL }, { "20h", 72000, NULL },
		{ "1h30m", 5400, NULL }, { "1.5h", 5400, NULL }, { "+90s", 90, NULL }, { "168h", 604800, NULL },
		{ "300ms", 1, NULL }, { "1s1ns", 2, NULL }, { "60000000us", 60, NULL }, { ".5m", 30, NULL },
		{ "60000000µs", 60, NULL },
		{ "abc", 0, "time: invalid duration \"abc\"" }, { "", 0, "time: invalid duration \"\"" },
		{ "5", 0, "time: missing unit in duration \"5\"" },
		{ "5d", 0, "time: unknown unit \"d\" in duration \"5d\"" },
		{ "5 h", 0, "time: unknown unit \" h\"" }, { ".h", 0, "time: invalid duration" },
		{ "h", 0, "time: invalid duration" }, { "1hh", 0, "time: unknown unit \"hh\"" },
		{ "99999999999999h", 0, "time: invalid duration" },
		{ "-1m", 0, "checkPeriod -1m0s must be a positive duration" },
		{ "-1.5s", 0, "checkPeriod -1.5s must be a positive duration" },
		{ "-1h", 0, "checkPeriod -1h0m0s must be a positive duration" },
		{ "168h1s", 0, "checkPeriod 168h0m1s is above the max (168h)" },
		{ "192h", 0, "checkPeriod 192h0m0s is above the max (168h)" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 };

		buf_printf(&b, SSH_HEAD "\"action\":\"check\",\"users\":[\"u\"],\"checkPeriod\":\"%s\"}]}",
		    cases[i].text);
		if (cases[i].want != NULL) {
			assert_refused((char *)b.p, b.len, cases[i].want);
		} else {
			struct policy *p = policy_of(buf_cstr(&b));

			assert_int_equal(p->ssh[0].check_period_s, cases[i].want_s);
			policy_drop(p);
		}
		buf_fini(&b);
	}
}

static void
test_attrs_refused(void **state)
{
	static const struct { const char *text, *want; } cases[] = {
		{ "\"target\":[\"autogroup:self\"]", "\"autogroup:self\" not valid as target of nodeAttrs" },
		{ "\"target\":[\"autogroup:internet\"]", "not valid as target" },
		{ "\"target\":[\"autogroup:danger-all\"]", "not valid as target" },
		{ "\"target\":[\"autogroup:shared\"]", "not valid as target" },
		{ "\"target\":[\"ipset:s\"]", "\"ipset:s\" not valid as target" },
		{ "\"target\":[\"tag:z\"]", "tag not found: \"tag:z\"" },
		{ "\"target\":[\"%bogus%\"]", "host not defined in policy: \"%bogus%\"" },
		{ "\"attr\":\"funnel\"", "attr wants a list of strings" },
		{ "\"attrs\":[]", "unknown field \"attrs\"" },
		{ "\"app\":{\"x\":[]}", "capability name must have the form" },
		{ "\"ipPool\":[\"10.0.0.0/8\"]", "ipPool must be within 100.64.0.0/10: \"10.0.0.0/8\"" },
		{ "\"ipPool\":[\"100.0.0.0/8\"]", "ipPool must be within" },
		{ "\"ipPool\":[\"100.100.0.0/16\"]", "must not overlap 100.100.100.0/24, which is reserved" },
		{ "\"ipPool\":[\"100.115.92.7\"]", "must not overlap 100.115.92.0/23" },
		{ "\"ipPool\":[\"x\"]", "ipPool: \"x\" is no address or prefix" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 };

		buf_printf(&b, "{\"tagOwners\":{},\"ipsets\":{\"ipset:s\":[]},"
		    "\"nodeAttrs\":[{%s}]}", cases[i].text);
		assert_refused((char *)b.p, b.len, cases[i].want);
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ssh),
		cmocka_unit_test(test_ssh_refused),
		cmocka_unit_test(test_check_period),
		cmocka_unit_test(test_attrs_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
