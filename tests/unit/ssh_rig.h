/* A tailnet with SSH rules over a policy world of its nodes, for the tests of checks: two nodes of ann, one of
 * bob, two servers. One test program each. */
#ifndef TESTS_UNIT_SSH_RIG_H
#define TESTS_UNIT_SSH_RIG_H

#include "base/metrics.h"
#define FAKE_REAL_SSH_RULE
#define FAKE_OWN_POLICY_WORLD
#include "coord/policy_world.h"
#include "coord/tailnet_policy.h"
#include "coord/tailnet_ssh.h"
#include "fake_tailnet.h"

#define RULE(action, users, more) "{\"action\":\"" action "\",\"src\":[\"autogroup:member\"]," \
	"\"dst\":[\"tag:web\"],\"users\":[" users "]" more "}"
#define CHECK RULE("check", "\"root\",\"deploy\"", "")
#define ALWAYS RULE("check", "\"root\",\"deploy\"", ",\"checkPeriod\":\"always\"")

enum { ANN_1 = 11, ANN_2, BOB_1, WEB_1, WEB_2 };	/* machines and node keys */

static struct policy_world *world;
static bool world_is_behind;		/* it knows no node yet */
static int64_t ann, bob;

/* The nodes as they are now. */
struct policy_world *
change_policy_world(struct tailnet *t)
{
	struct node *n;

	policy_world_free(world);
	world = policy_world_new(t->policy, &t->users, "https://vpn.example.net");
	for (size_t at = 0; !world_is_behind && (n = map_next(&t->nodes, &at)) != NULL; ) {
		struct policy_node as = policy_node_of(n);

		assert_non_null(policy_world_join(world, &as));
	}
	(void)policy_world_refresh(world);
	return world;
}

static inline void
policy_set(const char *rules)
{
	struct policy_version v = { .made_unix_s = fake.now };
	struct policy_errors errors = { 0 };
	struct buf text = { 0 };
	struct policy *p;

	buf_printf(&text, "{\"tagOwners\":{\"tag:web\":[],\"tag:x\":[]},"
	    "\"acls\":[{\"action\":\"accept\",\"src\":[\"*\"],\"dst\":[\"*:*\"]}],\"ssh\":[%s]}", rules);
	assert_int_equal(policy_parse(buf_cstr(&text), text.len, &p, &errors), ERR_OK);
	policy_version_set(&v, p);
	tailnet_policy_submit_take(fake.t, &fake_actor, "policy.set", &v, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	buf_fini(&text);
}

static inline void
join(int n, int64_t user, const char *tag)
{
	char key[AUTHKEY_TEXT_MAX];

	strcpy(key, fake_key(user, "", tag, 0));
	fake_register(&(struct fake_req){ .machine = n, .key = n, .auth = key });
	fake_commit();
	assert_non_null(fake_node(n));
}

static inline int
set_up(void **state)
{
	(void)state;
	fake_start();
	ann = fake_user("ann@example.org", USER_OWNER);
	bob = fake_user("bob@example.org", USER_MEMBER);
	join(ANN_1, ann, NULL);
	join(ANN_2, ann, NULL);
	join(BOB_1, bob, NULL);
	join(WEB_1, ann, "tag:web");
	join(WEB_2, ann, "tag:web");
	policy_set(CHECK);
	world_is_behind = false;
	return 0;
}

static inline int
tear_down(void **state)
{
	(void)state;
	fake_stop();
	policy_world_free(world);
	world = NULL;
	assert_int_equal(metric_get(METRIC_SSH_PENDING), 0);
	return 0;
}

static inline int64_t
id_of(int n)
{
	return fake_node(n)->id;
}

/* A question of machine `by`; its stream. */
static inline int32_t
ask_as(int by, int64_t src, int64_t dst, const char *user, const char *check)
{
	struct ctl_peer from = { .conn = { .generation = 1 }, .stream = ++fake.stream };
	struct ssh_req q = { .who = { .src_id = src, .dst_id = dst } };

	memset(from.machine.b, by, KEY_BYTES);
	assert_int_equal(net_addr_parse("192.0.2.7:1", 11, &from.addr), ERR_OK);
	snprintf(q.who.user, sizeof(q.who.user), "%s", user);
	snprintf(q.check, sizeof(q.check), "%s", check);
	tailnet_ssh_ask(fake.t, &from, &q);
	return fake.stream;
}

static inline int32_t
ask(int src, int dst, const char *user, const char *check)
{
	return ask_as(dst, id_of(src), id_of(dst), user, check);
}

static inline bool
says(int32_t stream, const char *text)
{
	return fake_replies[stream].n == 1 && strstr(fake_replies[stream].body, text) != NULL;
}

#define ACCEPT "\"accept\":true,\"allowAgentForwarding\":true"
#define REJECT "\"reject\":true"
#define is_let_in(s)	says(s, ACCEPT)
#define is_rejected(s)	says(s, REJECT)
#define waits(s)	(fake_replies[s].n == 0)
/* The destination asks as for the first time. */
static inline bool
is_to_ask_anew(int32_t stream)
{
	return says(stream, "local_user=$LOCAL_USER\"}") && !says(stream, "message");
}

/* The id of the check that the answer holds the connection for. */
static inline const char *
check_of(int32_t stream)
{
	static char id[SSH_CHECK_ID_CHARS + 1];
	const char *at = strstr(fake_replies[stream].body, "&check=");

	if (fake_replies[stream].n != 1 || at == NULL)
		fail_msg("no check: %s", fake_replies[stream].body);
	snprintf(id, sizeof(id), "%s", at + 7);
	assert_true(says(stream, "https://vpn.example.net/ssh/check/"));
	assert_true(says(stream, "fairlead ssh approve "));
	return id;
}

/* Asked for and waited for; the stream that waits, and the id. */
static inline int32_t
hold(int src, int dst, const char *user, char id[SSH_CHECK_ID_CHARS + 1])
{
	int32_t s;

	strcpy(id, check_of(ask(src, dst, user, "")));
	s = ask(src, dst, user, id);
	assert_true(waits(s));
	return s;
}

static inline enum err
approve(const char *id)
{
	tailnet_ssh_approve(fake.t, &fake_actor, id, fake_done, NULL);
	fake_commit();
	return fake.res.rc;
}

static inline enum err
reject(const char *id)
{
	tailnet_ssh_reject(fake.t, &fake_actor, id, fake_done, NULL);
	fake_commit();
	return fake.res.rc;
}

static inline void
gone(int32_t stream)
{
	tailnet_ssh_gone(fake.t, (struct conn_ref){ .generation = 1 }, stream);
}

static inline void
later(int64_t s)
{
	fake_clock(fake.now + s);
	tailnet_due_run(fake.t);
}

/* Asks without a check, through to the answer. */
static inline int32_t
use(int src, int dst, const char *user)
{
	int32_t s = ask(src, dst, user, "");

	fake_commit();
	return s;
}

#endif
