/* links: coord/policy* coord/hujson coord/ipset coord/tag coord/hostinfo coord/user */
/* SSH rules as nodes are told them, and which of them asks for a check. */
#include "tests/unit/policy_rig.h"

#include "coord/policy_ssh.h"

#define ACCEPT "\"action\":{\"accept\":true,\"allowAgentForwarding\":true," \
	"\"allowLocalPortForwarding\":true,\"allowRemotePortForwarding\":true}"
#define CHECK "\"action\":{\"holdAndDelegate\":\"" RIG_URL \
	"/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER\"}"
#define IPS(id4, id6) "{\"nodeIP\":\"100.64.0." id4 "\"},{\"nodeIP\":\"fd7a:115c:a1e0::" id6 "\"}"
#define ALICE IPS("1", "1") "," IPS("2", "2")
#define BOB IPS("3", "3")
#define WEB IPS("4", "4") "," IPS("5", "5")

struct told_case {
	const char *rules;		/* of the section ssh */
	int64_t node_id;
	const char *want;		/* rules that the node is told */
};

static void
test_told(void **state)
{
	static const struct told_case cases[] = {
		{ "", 4, "" },
		/* root is always said of, nonroot is a star, names are themselves, once */
		{ "{\"action\":\"accept\",\"src\":[\"bob@\"],\"dst\":[\"tag:web\"],"
		  "\"users\":[\"autogroup:nonroot\",\"deploy\",\"deploy\"]}", 4,
		  "{\"principals\":[" BOB "],\"sshUsers\":{\"*\":\"=\",\"root\":\"\","
		  "\"deploy\":\"deploy\"}," ACCEPT "}" },
		{ "{\"action\":\"accept\",\"src\":[\"bob@\"],\"dst\":[\"tag:web\"],"
		  "\"users\":[\"root\"],"
		  "\"acceptEnv\":[\"LANG\",\"GIT_*\"]}", 5,
		  "{\"principals\":[" BOB "],\"sshUsers\":{\"root\":\"root\"},"
		  ACCEPT ",\"acceptEnv\":[\"LANG\",\"GIT_*\"]}" },
		/* not a destination, and one that waits */
		{ "{\"action\":\"accept\",\"src\":[\"bob@\"],\"dst\":[\"tag:web\"],"
		  "\"users\":[\"root\"]}", 6, "" },
		{ "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
		  "\"dst\":[\"autogroup:self\"],\"users\":[\"root\"]}", 9, "" },
		/* no sources: no rule */
		{ "{\"action\":\"accept\",\"src\":[\"carol@\"],\"dst\":[\"tag:web\"],"
		  "\"users\":[\"root\"]}", 4, "" },
		/* by user, then tagged ones */
		{ "{\"action\":\"accept\",\"src\":[\"tag:web\",\"autogroup:member\"],"
		  "\"dst\":[\"tag:router\"],\"users\":[\"root\"]}", 6,
		  "{\"principals\":[" ALICE "," BOB "," WEB "],\"sshUsers\":{\"root\":\"root\"},"
		  ACCEPT "}" },
		/* what demands more goes first */
		{ "{\"action\":\"accept\",\"src\":[\"bob@\"],\"dst\":[\"tag:web\"],"
		  "\"users\":[\"root\"]},"
		  "{\"action\":\"check\",\"src\":[\"bob@\"],\"dst\":[\"tag:web\"],"
		  "\"users\":[\"root\"]}", 4,
		  "{\"principals\":[" BOB "],\"sshUsers\":{\"root\":\"root\"}," CHECK "},"
		  "{\"principals\":[" BOB "],\"sshUsers\":{\"root\":\"root\"}," ACCEPT "}" },
		/* autogroup:self: the own user's alone, tagged nodes none */
		{ "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
		  "\"dst\":[\"autogroup:self\"],\"users\":[\"root\"]}", 2,
		  "{\"principals\":[" ALICE "],\"sshUsers\":{\"root\":\"root\"}," ACCEPT "}" },
		{ "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
		  "\"dst\":[\"autogroup:self\"],\"users\":[\"root\"]}", 4, "" },
		/* local parts: user by user, of those whose domain fits */
		{ "{\"action\":\"accept\",\"src\":[\"autogroup:member\",\"tag:web\"],"
		  "\"dst\":[\"tag:router\"],"
		  "\"users\":[\"localpart:*@EXAMPLE.com\",\"ubuntu\"]}", 6,
		  "{\"principals\":[" ALICE "],\"sshUsers\":{\"root\":\"\",\"ubuntu\":\"ubuntu\"},"
		  ACCEPT "},"
		  "{\"principals\":[" ALICE "],\"sshUsers\":{\"alice\":\"alice\"}," ACCEPT "},"
		  "{\"principals\":[" BOB "],\"sshUsers\":{\"root\":\"\",\"ubuntu\":\"ubuntu\"},"
		  ACCEPT "},"
		  "{\"principals\":[" BOB "],\"sshUsers\":{\"bob\":\"bob\"}," ACCEPT "},"
		  "{\"principals\":[" WEB "],\"sshUsers\":{\"root\":\"\",\"ubuntu\":\"ubuntu\"},"
		  ACCEPT "}" },
		/* a source that is no destination: its own user's */
		{ "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"tag:web\"],"
		  "\"users\":[\"localpart:*@example.com\"]}", 3,
		  "{\"principals\":[" BOB "],\"sshUsers\":{\"root\":\"\"}," ACCEPT "},"
		  "{\"principals\":[" BOB "],\"sshUsers\":{\"bob\":\"bob\"}," ACCEPT "}" },
		/* a malformed one is a name */
		{ "{\"action\":\"accept\",\"src\":[\"bob@\"],\"dst\":[\"tag:web\"],"
		  "\"users\":[\"localpart:bob\"]}", 4,
		  "{\"principals\":[" BOB "],\"sshUsers\":{\"root\":\"\","
		  "\"localpart:bob\":\"localpart:bob\"}," ACCEPT "}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct rig r;
		struct buf text = { 0 }, got = { 0 }, want = { 0 };

		rig_init(&r);
		buf_printf(&text, "{" RIG_TAGS "\"ssh\":[%s]}", cases[i].rules);
		struct policy_world *w = rig_world(&r, buf_cstr(&text));

		policy_ssh_put(&got, w, policy_world_class_of(w, cases[i].node_id));
		buf_printf(&want, "{\"rules\":[%s]}", cases[i].want);
		assert_string_equal(buf_cstr(&got), buf_cstr(&want));
		policy_world_free(w);
		buf_fini(&text);
		buf_fini(&got);
		buf_fini(&want);
		rig_fini(&r);
	}
}

/* One maker for all says the same as one for each; who is told the same shares the bytes. */
static void
test_maker(void **state)
{
	struct rig r;

	(void)state;
	rig_init(&r);
	struct policy_world *w = rig_world(&r, "{" RIG_TAGS "\"ssh\":["
	    "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\","
	    "\"tag:web\"],"
	    "\"users\":[\"root\",\"localpart:*@example.com\"]},"
	    "{\"action\":\"check\",\"src\":[\"autogroup:member\"],\"dst\":[\"tag:web\","
	    "\"tag:router\"],\"users\":[\"root\"]}]}");
	struct policy_ssh_maker *m = policy_ssh_maker_new(w);
	struct shbuf *web[2] = { NULL, NULL };

	for (size_t i = 0; i < COUNT_OF(rig_nodes); i++) {
		const struct policy_class *c = policy_world_class_of(w, rig_nodes[i].id);
		struct shbuf *got = policy_ssh_maker_get(m, c);
		struct buf want = { 0 };

		policy_ssh_put(&want, w, c);
		assert_int_equal(got->len, want.len);
		assert_memory_equal(got->bytes, want.p, want.len);
		buf_fini(&want);
		if (strncmp(rig_nodes[i].name, "web", 3) == 0)
			web[web[0] != NULL] = got;
		else
			shbuf_drop(got);
	}
	assert_non_null(web[1]);
	assert_ptr_equal(web[0], web[1]);
	shbuf_drop(web[0]);
	shbuf_drop(web[1]);
	policy_ssh_maker_free(m);
	policy_world_free(w);
	rig_fini(&r);
}

static void
test_check_rule(void **state)
{
	static const struct {
		int64_t src, dst;
		const char *user;
		int64_t want_period_s;	/* -1: none */
	} cases[] = {
		{ 1, 4, "root", 60 },
		{ 1, 4, "ubuntu", 3600 },
		{ 1, 4, NULL, 60 },
		{ 1, 4, "", -1 },
		{ 1, 4, "alice", 3600 },
		{ 3, 4, "root", -1 },		/* accepted without */
		{ 3, 4, "ubuntu", 3600 },
		{ 1, 2, "root", 0 },		/* always */
		{ 2, 1, "alice", 0 },		/* by local part */
		{ 2, 1, "bob", -1 },
		{ 1, 3, "root", -1 },		/* another user's */
		{ 4, 5, "root", -1 },
		{ 9, 4, "ubuntu", -1 },		/* waits */
		{ 1, 9, "root", -1 },
		{ 1, 99, "root", -1 },
		{ 99, 4, "root", -1 },
	};
	struct rig r;

	(void)state;
	rig_init(&r);
	struct policy_world *w = rig_world(&r, "{" RIG_TAGS "\"ssh\":["
	    "{\"action\":\"check\",\"src\":[\"alice@\"],\"dst\":[\"tag:web\"],\"users\":[\"root\"],"
	    "\"checkPeriod\":\"1m\"},"
	    "{\"action\":\"accept\",\"src\":[\"bob@\"],\"dst\":[\"tag:web\"],\"users\":[\"root\"]},"
	    "{\"action\":\"check\",\"src\":[\"autogroup:member\"],\"dst\":[\"tag:web\"],"
	    "\"users\":[\"autogroup:nonroot\"],"
	    "\"checkPeriod\":\"1h\"},"
	    "{\"action\":\"check\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\"],"
	    "\"users\":[\"root\",\"localpart:*@example.com\"],\"checkPeriod\":\"always\"}]}");

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct policy_ssh *rule = policy_ssh_check_rule(w, cases[i].src, cases[i].dst,
		    cases[i].user);

		if ((rule != NULL ? rule->check_period_s : -1) != cases[i].want_period_s)
			fail_msg("case %zu: %ld", i,
			    rule != NULL ? (long)rule->check_period_s : -1L);
	}
	policy_world_free(w);
	rig_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_told),
		cmocka_unit_test(test_maker),
		cmocka_unit_test(test_check_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
