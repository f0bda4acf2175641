/* links: coord/policy coord/hujson coord/ipset coord/tag coord/policy_parse coord/policy_parse_cap coord/policy_parse_ipset coord/policy_parse_names coord/policy_parse_posture coord/policy_parse_rule coord/policy_parse_sel coord/policy_parse_ssh coord/policy_parse_test */
/* Tests inside a policy: what is read, and what is wrong with malformed ones. */
#include "tests/unit/policy_text.h"

#define TEST_HEAD "{\"tagOwners\":{\"tag:a\":[]},\"groups\":{\"group:g\":[]}," \
	"\"hosts\":{\"h\":\"10.0.0.1\",\"net\":\"10.0.0.0/8\"},"

/* Malformed tests are no faults of the text; they have a problem. */
struct problem_case {
	const char *text, *want;	/* NULL: none */
};

/* What is wrong with an entry of the policy's member, which is "tests" or "sshTests". */
static void
has_problems(const char *member, const struct problem_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf b = { 0 };

		buf_printf(&b, TEST_HEAD "\"%s\":[{%s}]}", member, cases[i].text);
		struct policy *p = policy_of(buf_cstr(&b));
		const char *problem = p->n_tests > 0 ? p->tests[0].problem : p->ssh_tests[0].problem;

		if ((problem == NULL) != (cases[i].want == NULL) ||
		    (problem != NULL && strstr(problem, cases[i].want) == NULL))
			fail_msg("%s: %s", cases[i].text, problem == NULL ? "no problem" : problem);
		policy_drop(p);
		buf_fini(&b);
	}
}

static void
test_test_problems(void **state)
{
	static const struct problem_case cases[] = {
		{ "\"src\":\"u@\",\"accept\":[\"tag:a:22\",\"10.0.0.1:80\",\"h:1\",\"u@x.y:22\"]", NULL },
		{ "\"src\":\"tag:a\",\"proto\":\"udp\",\"deny\":[\"autogroup:member:53\"]", NULL },
		{ "\"src\":\"10.0.0.1\",\"proto\":6,\"allow\":[\"group:g:22\"]", NULL },
		{ "\"src\":\"autogroup:tagged\",\"deny\":[\"[fd7a::1]:22\",\"autogroup:self:1\"]", NULL },
		{ "\"accept\":[\"tag:a:22\"]", "src must be specified" },
		{ "\"src\":\"\",\"accept\":[\"tag:a:22\"]", "src must be specified" },
		{ "\"src\":\"u@\"", "test entry must have at least one of \"accept\" or \"deny\"" },
		{ "\"src\":\"u@\",\"accept\":[],\"deny\":[]", "at least one of" },
		{ "\"src\":\"group:z\",\"deny\":[\"h:22\"]", "group not defined in policy: \"group:z\"" },
		{ "\"src\":\"*\",\"deny\":[\"h:22\"]", "\"*\" not valid as src of a test" },
		{ "\"src\":\"net\",\"deny\":[\"h:22\"]", "\"net\" is more than one address" },
		{ "\"src\":\"u@\",\"proto\":\"icmp\",\"deny\":[\"h:22\"]", "test protocol must be tcp, udp" },
		{ "\"src\":\"u@\",\"proto\":\"nope\",\"deny\":[\"h:22\"]", "protocol \"nope\" not known" },
		{ "\"src\":\"u@\",\"deny\":[\"h:22,80\"]", "test destination port must be a single port" },
		{ "\"src\":\"u@\",\"deny\":[\"h:*\"]", "must be a single port" },
		{ "\"src\":\"u@\",\"deny\":[\"h:1-2\"]", "must be a single port" },
		{ "\"src\":\"u@\",\"deny\":[\"h:x\"]", "port range \"x\": invalid first integer" },
		{ "\"src\":\"u@\",\"deny\":[\"net:22\"]", "must be a single host, not a CIDR range" },
		{ "\"src\":\"u@\",\"deny\":[\"10.0.0.1/32:22\"]", "must be a single host, not a CIDR" },
		{ "\"src\":\"u@\",\"deny\":[\"10.0.0.0/33:22\"]", "no address or prefix" },
		{ "\"src\":\"u@\",\"deny\":[\"autogroup:internet:22\"]", "not valid as dst of a test" },
		{ "\"src\":\"u@\",\"deny\":[\"tag:z:22\"]", "tag not found: \"tag:z\"" },
		{ "\"src\":\"u@\",\"deny\":[\"zzz:22\",\"h:0\"]", "host not defined in policy: \"zzz\"" },
	};

	(void)state;
	has_problems("tests", cases, COUNT_OF(cases));
}

static void
test_ssh_test_problems(void **state)
{
	static const struct problem_case cases[] = {
		{ "\"src\":\"u@\",\"dst\":[\"tag:a\",\"h\",\"10.0.0.1\",\"u@\"],\"accept\":[\"root\"]", NULL },
		{ "\"src\":\"u@\",\"dst\":[\"tag:a\"]", NULL },
		{ "\"dst\":[\"tag:a\"],\"deny\":[\"root\"]", "src must be specified" },
		{ "\"src\":\"u@\",\"dst\":[],\"deny\":[\"root\"]", "must have at least one dst" },
		{ "\"src\":\"u@\",\"deny\":[\"root\"]", "must have at least one dst" },
		{ "\"src\":\"u@\",\"dst\":[\"10.0.0.0/24\"]",
		  "SSH tests dst contains disallowed element \"10.0.0.0/24\"" },
		{ "\"src\":\"u@\",\"dst\":[\"net\"]", "SSH tests dst contains disallowed element \"net\"" },
		{ "\"src\":\"u@\",\"dst\":[\"autogroup:internet\"]", "disallowed element \"autogroup:int" },
		{ "\"src\":\"u@\",\"dst\":[\"tag:z\"]", "SSH tests dst contains unknown tag \"tag:z\"" },
		{ "\"src\":\"u@\",\"dst\":[\"tag:a:22\"]", "SSH tests dst contains unknown tag \"tag:a:22\"" },
	};

	(void)state;
	has_problems("sshTests", cases, COUNT_OF(cases));
}

static void
test_tests(void **state)
{
	struct policy *p = policy_of(TEST_HEAD "\"tests\":[{\"src\":\"u@\",\"proto\":\"udp\","
	    "\"srcPostureAttrs\":{\"node:os\":\"linux\",\"custom:n\":1.5,\"custom:b\":true},"
	    "\"accept\":[\"h:22\",\"tag:a:1\"],\"deny\":[\"h:23\"]}],"
	    "\"sshTests\":[{\"src\":\"tag:a\",\"dst\":[\"h\"],\"accept\":[\"a\"],\"deny\":[\"b\",\"c\"],"
	    "\"check\":[\" d \"],\"srcPostureAttrs\":{\"x:y\":false}}]}");
	const struct policy_test *t = &p->tests[0];
	const struct policy_ssh_test *s = &p->ssh_tests[0];

	(void)state;
	assert_string_equal(p->sels[t->src].text, "u@");
	assert_int_equal(t->proto, 17);
	assert_int_equal(t->n_accept, 2);
	assert_int_equal(t->accept[0].ports[0].first, 22);
	assert_string_equal(t->accept[1].text, "tag:a:1");
	assert_int_equal(t->n_deny, 1);
	assert_int_equal(t->n_facts, 3);
	assert_string_equal(t->facts[0].attribute, "node:os");
	assert_string_equal(t->facts[0].value, "linux");
	assert_string_equal(t->facts[1].value, "1.5");
	assert_string_equal(t->facts[2].value, "true");
	assert_int_equal(s->dst.n, 1);
	assert_int_equal(s->n_accept, 1);
	assert_int_equal(s->n_deny, 2);
	assert_string_equal(s->check[0], "d");
	assert_string_equal(s->facts[0].value, "false");
	policy_drop(p);
	assert_refused("{\"tests\":[{\"source\":1}]}", 24, "unknown field \"source\"");
	assert_refused("{\"tests\":[{\"src\":1}]}", 21, "src wants a string, not a number");
	assert_refused("{\"tests\":[{\"srcPostureAttrs\":{\"a\":[]}}]}", 40, "an attribute is a string");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_test_problems),
		cmocka_unit_test(test_ssh_test_problems),
		cmocka_unit_test(test_tests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
