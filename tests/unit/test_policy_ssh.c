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

static void
ssh_put(struct buf *b, struct policy_world *w, int64_t node_id)
{
	buf_clear(b);
	policy_ssh_put(b, w, policy_world_class_of(w, node_id));
}

/* Equal texts have equal digests, others have others; what is told without rules is 0. */
static void
test_digests(void **state)
{
	struct rig r;
	struct buf a = { 0 }, b = { 0 };

	(void)state;
	rig_init(&r);
	struct policy_world *w = rig_world(&r, "{" RIG_TAGS "\"ssh\":["
	    "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\","
	    "\"tag:web\"],"
	    "\"users\":[\"root\",\"localpart:*@example.com\"]},"
	    "{\"action\":\"check\",\"src\":[\"autogroup:member\"],\"dst\":[\"tag:web\","
	    "\"tag:router\"],\"users\":[\"root\"]}]}");
	struct policy_ssh_maker *m = policy_world_ssh(w);

	for (size_t i = 0; i < COUNT_OF(rig_nodes); i++) {
		const struct policy_class *c = policy_world_class_of(w, rig_nodes[i].id);

		ssh_put(&a, w, rig_nodes[i].id);
		assert_int_equal(policy_ssh_maker_digest(m, c), c->bundle->ssh);
		assert_int_equal(c->bundle->ssh == 0, strcmp(buf_cstr(&a), "{\"rules\":[]}") == 0);
		assert_true(a.len <= policy_ssh_maker_bytes(m, c) + 12);
		for (size_t k = 0; k < i; k++) {
			const struct policy_class *other = policy_world_class_of(w, rig_nodes[k].id);

			ssh_put(&b, w, rig_nodes[k].id);
			assert_int_equal(c->bundle->ssh == other->bundle->ssh,
			    strcmp(buf_cstr(&a), buf_cstr(&b)) == 0);
		}
	}
	policy_world_free(w);
	rig_fini(&r);
	buf_fini(&a);
	buf_fini(&b);
}

/* --- many ------------------------------------------------------------------------------------- */

#define MANY 150			/* nodes: 1 … 120 of users 1 … 60, the others tagged web */
#define MANY_USERS 60

struct many {
	struct user users[MANY_USERS + 1];
	struct map by_id;
	char *web[1];
};

static struct policy_node
many_node(struct many *m, int64_t id)
{
	struct policy_node n = { .id = id };

	n.ip4 = net_ip_from_v4((uint8_t[]){ 100, 64, (uint8_t)(id >> 8), (uint8_t)id });
	if (id > 2 * MANY_USERS) {
		n.tags = m->web;
		n.n_tags = 1;
	} else {
		n.user_id = 1 + (id - 1) / 2;
	}
	return n;
}

static struct policy_world *
many_world(struct many *m, const char *rules, int64_t n)
{
	struct policy_errors errors = { 0 };
	struct buf text = { 0 };
	struct policy *p;

	m->web[0] = (char *)(uintptr_t)"tag:web";
	MAP_INIT(&m->by_id, struct user, id);
	for (unsigned i = 0; i < MANY_USERS; i++) {
		struct user *u = &m->users[i];

		*u = (struct user){ .id = i + 1, .role = USER_MEMBER };
		snprintf(u->name, sizeof(u->name), i == 9 ? USER_TAGGED_LOGIN : "u%u@example.com", i + 1);
		(void)map_put(&m->by_id, u);
	}
	buf_printf(&text, "{" RIG_TAGS "\"postures\":{\"posture:x\":[\"node:os != 'plan9'\"]},\"ssh\":[%s]}",
	    rules);
	assert_int_equal(policy_parse((const char *)text.p, text.len, &p, &errors), ERR_OK);
	buf_fini(&text);
	struct policy_world *w = policy_world_new(p, &m->by_id, RIG_URL);
	policy_drop(p);
	for (int64_t id = 1; id <= n; id++) {
		struct policy_node pn = many_node(m, id);

		assert_non_null(policy_world_join(w, &pn));
	}
	(void)policy_world_refresh(w);
	return w;
}

static unsigned
count(const struct buf *b, const char *what)
{
	unsigned n = 0;

	for (const char *at = (const char *)b->p; (at = strstr(at, what)) != NULL; at++)
		n++;
	return n;
}

/* Rules with many sources name people by login and tagged nodes by id: a node more of somebody who is there
 * already is told to nobody. */
static void
test_many(void **state)
{
	static struct many m;
	struct buf b = { 0 };

	(void)state;
	struct policy_world *w = many_world(&m, "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
	    "\"dst\":[\"autogroup:member\",\"autogroup:self\"],\"users\":[\"root\"]}", MANY - 1);
	struct policy_node last = many_node(&m, 1);

	ssh_put(&b, w, 5);
	buf_byte(&b, 0);
	assert_int_equal(count(&b, "{\"userLogin\":\"u3@example.com\"}"), 2);	/* self, and member */
	assert_int_equal(count(&b, "{\"userLogin\":\"u60@example.com\"}"), 1);
	/* A login that tagged nodes have stands for nobody. */
	assert_int_equal(count(&b, USER_TAGGED_LOGIN), 0);
	assert_int_equal(count(&b, "{\"node\":\"19\"},{\"node\":\"20\"}"), 1);
	assert_int_equal(count(&b, "nodeIP"), 0);
	uint64_t before = policy_world_class_of(w, 5)->bundle->ssh;

	last.id = 999;
	last.ip4 = net_ip_from_v4((uint8_t[]){ 100, 64, 9, 9 });
	assert_non_null(policy_world_join(w, &last));
	(void)policy_world_refresh(w);
	assert_int_equal(policy_world_class_of(w, 5)->bundle->ssh, before);
	strcpy(m.users[0].name, "new@example.com");
	policy_world_ssh_touch(w);
	assert_true(policy_world_refresh(w));
	assert_int_not_equal(policy_world_class_of(w, 5)->bundle->ssh, before);
	ssh_put(&b, w, 5);
	buf_byte(&b, 0);
	assert_int_equal(count(&b, "{\"userLogin\":\"new@example.com\"}"), 1);
	policy_world_free(w);
	map_fini(&m.by_id);
	buf_fini(&b);
}

/* With postures, and of tags, sources are single nodes. Local parts: the rule for all once, then one to a
 * user. */
static void
test_many_nodes(void **state)
{
	static struct many m;
	struct buf b = { 0 };

	(void)state;
	struct policy_world *w = many_world(&m,
	    "{\"action\":\"accept\",\"src\":[\"autogroup:member\",\"tag:web\"],\"dst\":[\"tag:web\"],"
	    "\"users\":[\"ubuntu\",\"localpart:*@example.com\"]}", MANY);

	ssh_put(&b, w, MANY);
	buf_byte(&b, 0);
	assert_int_equal(count(&b, "{\"node\":\"150\"}"), 1);
	assert_int_equal(count(&b, "\"ubuntu\":\"ubuntu\""), 1);
	assert_int_equal(count(&b, "\"sshUsers\":{\"u7\":\"u7\"}"), 1);
	assert_int_equal(count(&b, "{\"userLogin\":\"u7@example.com\"}"), 2);
	assert_int_equal(count(&b, "\"principals\""), 1 + MANY_USERS - 1);
	policy_world_free(w);
	map_fini(&m.by_id);
	w = many_world(&m, "{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"tag:web\"],"
	    "\"srcPosture\":[\"posture:x\"],\"users\":[\"root\"]}", MANY);
	ssh_put(&b, w, MANY);
	buf_byte(&b, 0);
	assert_int_equal(count(&b, "userLogin"), 0);
	policy_world_free(w);
	map_fini(&m.by_id);
	buf_fini(&b);
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
		cmocka_unit_test(test_digests),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_many_nodes),
		cmocka_unit_test(test_check_rule),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
