/* links: coord/policy* coord/hujson coord/ipset coord/tag coord/hostinfo coord/user */
/* The tests that policies bring along: which hold, and what is told of those that do not. */
#include "tests/unit/policy_rig.h"

#include <time.h>

#include "coord/policy_test.h"

/* want NULL: all hold. Else each '|'-separated piece is told. */
struct case_of_tests {
	const char *members;		/* of the policy */
	const char *want;
};

static void
check(const struct case_of_tests *c)
{
	struct buf text = { 0 };
	struct rig r;
	enum err rc;

	rig_init(&r);
	buf_printf(&text, "{" RIG_TAGS "%s}", c->members);
	struct policy_world *w = rig_world(&r, buf_cstr(&text));

	rc = policy_test_run(w, &r.errors);
	policy_errors_put(&r.told, &r.errors);
	assert_int_equal(rc, c->want == NULL ? ERR_OK : ERR_INVAL);
	if (c->want != NULL) {
		char *want = obj_strdup(c->want), *save = NULL;

		assert_string_equal(r.errors.v[0].text, "test(s) failed");
		for (char *piece = strtok_r(want, "|", &save); piece != NULL;
		    piece = strtok_r(NULL, "|", &save)) {
			if (strstr(buf_cstr(&r.told), piece) == NULL)
				fail_msg("%s: wanted \"%s\", told \"%s\"", c->members, piece,
				    buf_cstr(&r.told));
		}
		free(want);
	} else {
		assert_int_equal(r.errors.n, 0);
	}
	policy_world_free(w);
	buf_fini(&text);
	rig_fini(&r);
}

#define RULES "\"acls\":[" \
	"{\"action\":\"accept\",\"src\":[\"alice@\"],\"dst\":[\"tag:web:22,80-90\"]}," \
	"{\"action\":\"accept\",\"src\":[\"bob@\"],\"proto\":\"tcp\"," \
	"\"dst\":[\"100.64.0.4:443\"]}," \
	"{\"action\":\"accept\",\"src\":[\"tag:router\"],\"proto\":\"udp\",\"dst\":[\"*:53\"]}," \
	"{\"action\":\"accept\",\"src\":[\"100.64.0.10\"],\"dst\":[\"tag:exit:1\"]}," \
	"{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self:9\"]}]," \
	"\"grants\":[{\"src\":[\"tag:web\"],\"dst\":[\"tag:router\"],\"ip\":[\"sctp:7\",\"8\"]}," \
	"{\"src\":[\"tag:web\"],\"dst\":[\"10.20.0.0/16\"],\"ip\":[\"*\"]," \
	"\"via\":[\"tag:router\"]}]," \
	"\"hosts\":{\"one\":\"10.20.0.9\"},"
#define TEST(src, what, list) "\"tests\":[{\"src\":\"" src "\"," what ":[" list "]}]"
#define TEST_PROTO(src, proto, what, list) \
	"\"tests\":[{\"src\":\"" src "\",\"proto\":\"" proto "\"," what ":[" list "]}]"

static void
test_tests(void **state)
{
	static const struct case_of_tests cases[] = {
		{ "\"acls\":[]", NULL },
		{ RULES TEST("alice@", "\"accept\"", "\"tag:web:22\",\"tag:web:85\","
		  "\"100.64.0.5:80\""), NULL },
		{ RULES TEST("alice@", "\"accept\"", "\"tag:web:79\",\"tag:web:91\""),
		  "alice@ -> tag:web:79: expected ALLOWED, got DENIED|tag:web:91: expected" },
		{ RULES TEST("alice@", "\"deny\"", "\"tag:web:79\",\"tag:exit:22\""), NULL },
		{ RULES TEST("alice@", "\"deny\"", "\"tag:web:90\""),
		  "alice@ -> tag:web:90: expected DENIED, got ALLOWED" },
		/* some address of the destination will do */
		{ RULES TEST("bob@", "\"accept\"", "\"tag:web:443\""), NULL },
		{ RULES TEST("bob@", "\"deny\"", "\"100.64.0.5:443\""), NULL },
		/* protocols: of the default set, one will do */
		{ RULES TEST_PROTO("bob@", "udp", "\"deny\"", "\"tag:web:443\""), NULL },
		{ RULES TEST_PROTO("bob@", "tcp", "\"deny\"", "\"tag:web:443\""),
		  "(tcp): expected DENIED" },
		{ RULES TEST_PROTO("alice@", "sctp", "\"accept\"", "\"tag:web:22\""), NULL },
		{ RULES TEST_PROTO("tag:router", "tcp", "\"accept\"", "\"tag:web:53\""),
		  "(tcp): expected ALLOWED" },
		{ RULES TEST("tag:router", "\"accept\"", "\"one:53\",\"8.8.8.8:53\""), NULL },
		{ RULES TEST_PROTO("tag:web", "sctp", "\"accept\"",
		  "\"tag:router:7\",\"tag:router:8\""), NULL },
		{ RULES TEST("tag:web", "\"deny\"", "\"tag:router:7\""), NULL },
		/* every address of the source: tag:k3s has another node, and both have IPv6 */
		{ RULES TEST("tag:k3s", "\"accept\"", "\"tag:exit:1\""),
		  "tag:k3s -> tag:exit:1: expected ALLOWED" },
		{ RULES TEST("100.64.0.10", "\"accept\"", "\"tag:exit:1\""), NULL },
		/* neither autogroup:self nor via */
		{ RULES TEST("alice@", "\"deny\"", "\"100.64.0.2:9\""), NULL },
		{ RULES TEST("tag:web", "\"deny\"", "\"one:80\""), NULL },
		{ RULES TEST("alice@", "\"accept\"", "\"autogroup:self:9\""),
		  "autogroup:self cannot be tested" },
		/* nobody there */
		{ RULES TEST("carol@", "\"deny\"", "\"tag:web:1\""),
		  "source \"carol@\" resolved to no IP addresses" },
		{ RULES TEST("nobody@", "\"deny\"", "\"tag:web:1\""),
		  "source \"nobody@\" resolved" },
		{ RULES TEST("alice@", "\"deny\"", "\"carol@:1\""),
		  "carol@:1: destination resolved to no IP" },
		/* malformed ones, as the parser tells */
		{ RULES TEST("alice@", "\"accept\"", "\"tag:web:22,80\""), "single port" },
		{ RULES "\"tests\":[{\"src\":\"alice@\"}]", "at least one of" },
		/* all that fail are told, with their lines */
		{ RULES "\"tests\":[{\"src\":\"alice@\",\"accept\":[\"tag:web:1\"]},"
		  "\n{\"src\":\"bob@\",\"accept\":[\"tag:web:2\"]}]",
		  "line 1, column 1: alice@|line 2, column 1: bob@" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(&cases[i]);
}

/* What a test claims of its source decides, not what devices have. */
static void
test_postures(void **state)
{
#define POSTURED "\"postures\":{\"posture:new\":[\"node:os == 'linux'\"," \
	"\"node:tsVersion >= '1.80'\"]}," \
	"\"acls\":[{\"action\":\"accept\",\"src\":[\"alice@\"],\"srcPosture\":[\"posture:new\"]," \
	"\"dst\":[\"tag:web:22\"]}],"
	static const struct case_of_tests cases[] = {
		{ POSTURED TEST("alice@", "\"deny\"", "\"tag:web:22\""), NULL },
		{ POSTURED "\"tests\":[{\"src\":\"alice@\","
		  "\"srcPostureAttrs\":{\"node:os\":\"linux\","
		  "\"node:tsVersion\":\"1.100.2\"},\"accept\":[\"tag:web:22\"]}]", NULL },
		{ POSTURED "\"tests\":[{\"src\":\"alice@\","
		  "\"srcPostureAttrs\":{\"node:os\":\"linux\","
		  "\"node:tsVersion\":\"1.9.9\"},\"accept\":[\"tag:web:22\"]}]",
		  "expected ALLOWED" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(&cases[i]);
}

#define SSH "\"ssh\":[" \
	"{\"action\":\"accept\",\"src\":[\"alice@\"],\"dst\":[\"tag:web\"]," \
	"\"users\":[\"autogroup:nonroot\"]}," \
	"{\"action\":\"check\",\"src\":[\"alice@\"],\"dst\":[\"tag:web\"],\"users\":[\"root\"]}," \
	"{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\"]," \
	"\"users\":[\"me\"]}," \
	"{\"action\":\"accept\",\"src\":[\"tag:web\"],\"dst\":[\"tag:router\"]," \
	"\"users\":[\"localpart:*@example.com\",\"x\"]}]," \
	"\"hosts\":{\"w1\":\"100.64.0.4\",\"w6\":\"fd7a:115c:a1e0::4\"},"
#define SSH_TEST(src, dst, what, list) \
	"\"sshTests\":[{\"src\":\"" src "\",\"dst\":[" dst "]," what ":[" list "]}]"

static void
test_ssh_tests(void **state)
{
	static const struct case_of_tests cases[] = {
		{ SSH SSH_TEST("alice@", "\"tag:web\"", "\"accept\"", "\"root\",\"ubuntu\""),
		  NULL },
		{ SSH SSH_TEST("alice@", "\"tag:web\"", "\"check\"", "\"root\""), NULL },
		{ SSH SSH_TEST("alice@", "\"tag:web\"", "\"check\"", "\"ubuntu\""),
		  "alice@/ubuntu -> tag:web: expected ALLOWED via check, got ALLOWED via accept" },
		{ SSH SSH_TEST("bob@", "\"tag:web\"", "\"check\"", "\"root\""),
		  "via check, got DENIED" },
		{ SSH SSH_TEST("alice@", "\"tag:web\",\"tag:router\"", "\"accept\"", "\"ubuntu\""),
		  "alice@/ubuntu -> tag:router: expected ALLOWED, got DENIED" },
		{ SSH SSH_TEST("alice@", "\"tag:web\"", "\"deny\"", "\"ubuntu\""),
		  "expected DENIED, got ALLOWED" },
		{ SSH SSH_TEST("bob@", "\"tag:web\"", "\"deny\"", "\"root\",\"ubuntu\""), NULL },
		{ SSH SSH_TEST("alice@", "\"w1\",\"100.64.0.5\",\"w6\"", "\"accept\"", "\"root\""),
		  NULL },
		{ SSH SSH_TEST("alice@", "\"fd7a:115c:a1e0::4\"", "\"accept\"", "\"root\""),
		  "SSH tests dst contains disallowed element \"fd7a:115c:a1e0::4\"" },
		{ SSH SSH_TEST("alice@", "\"100.64.0.0/24\"", "\"accept\"", "\"root\""),
		  "SSH tests dst contains disallowed element \"100.64.0.0/24\"" },
		{ SSH SSH_TEST("alice@", "\"autogroup:self\"", "\"accept\"", "\"me\""), NULL },
		{ SSH SSH_TEST("alice@", "\"bob@\"", "\"deny\"", "\"me\""), NULL },
		{ SSH SSH_TEST("autogroup:member", "\"autogroup:self\"", "\"accept\"", "\"me\""),
		  NULL },
		{ SSH SSH_TEST("tag:web", "\"autogroup:self\"", "\"deny\"", "\"me\""),
		  "\"autogroup:self\" resolved to no nodes" },
		/* a tagged source has no local part */
		{ SSH SSH_TEST("tag:web", "\"tag:router\"", "\"deny\"",
		  "\"alice\",\"localpart:*@example.com\""), NULL },
		{ SSH SSH_TEST("alice@", "\"tag:web\"", "\"accept\"", "\"\""), "an empty user" },
		{ SSH SSH_TEST("carol@", "\"tag:web\"", "\"deny\"", "\"root\""),
		  "source \"carol@\" resolved to no" },
		{ SSH SSH_TEST("alice@", "\"carol@\"", "\"deny\"", "\"root\""),
		  "dst \"carol@\" resolved to no nodes" },
		{ SSH "\"sshTests\":[{\"src\":\"alice@\",\"dst\":[\"tag:web\"]}]",
		  "needs accept, deny or check" },
		{ SSH "\"sshTests\":[{\"src\":\"alice@\",\"accept\":[\"root\"]}]",
		  "at least one dst" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		check(&cases[i]);
}

/* Ten thousand tests of two thousand rules: told in bounded time, whatever comes of it. */
static void
test_hostile(void **state)
{
	struct buf text = { 0 };
	struct rig r;
	struct timespec begin, end;

	(void)state;
	rig_init(&r);
	buf_str(&text, "{" RIG_TAGS "\"acls\":[");
	for (unsigned i = 0; i < 2000; i++)
		buf_printf(&text, "%s{\"action\":\"accept\",\"src\":[\"10.%u.%u.0/24\"],"
		    "\"dst\":[\"10.%u.%u.7:*\"]}",
		    i > 0 ? "," : "", i / 200, i % 200, i % 200, i / 200);
	buf_str(&text, "],\"tests\":[");
	for (unsigned i = 0; i < 10000; i++)
		buf_printf(&text, "%s{\"src\":\"alice@\",\"accept\":[\"10.%u.%u.7:22\","
		    "\"tag:web:%u\"]}",
		    i > 0 ? "," : "", i % 200, i / 200 % 10, i % 60000 + 1);
	buf_str(&text, "]}");
	struct policy_world *w = rig_world(&r, buf_cstr(&text));

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	assert_int_equal(policy_test_run(w, &r.errors), ERR_INVAL);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	assert_int_equal(r.errors.n, POLICY_ERRORS_MAX);
	assert_true(r.errors.n_left_off > 0);
	/* 30 s under the slowest sanitizer; without one it is a tenth of a second. */
	assert_in_range(end.tv_sec - begin.tv_sec, 0, 30);
	policy_world_free(w);
	buf_fini(&text);
	rig_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tests),
		cmocka_unit_test(test_postures),
		cmocka_unit_test(test_ssh_tests),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
