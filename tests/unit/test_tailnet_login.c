/* links: coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_tag coord/policy_owner coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule */
/* Logins: devices without a key, from their request to what people decide, and what time and strangers do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "coord/ipam.h"
#include "coord/tailnet_login.h"
#include "ann_fixture.h"

/* The address in the answer of a stream; "" if there is none. */
static const char *
url_of(int32_t stream)
{
	static char url[256];
	const char *at = strstr(fake_replies[stream].body, "\"AuthURL\":\"");

	url[0] = '\0';
	if (at != NULL)
		snprintf(url, sizeof(url), "%.*s", (int)strcspn(at + 11, "\""), at + 11);
	return url;
}

/* Machine and key n ask without a key; the id of the login. */
static const char *
ask(int n, const char *tags)
{
	static char id[LOGIN_ID_CHARS + 1];

	fake_register(&(struct fake_req){ .machine = n, .key = n, .tags = tags });
	assert_int_equal(fake_reply()->n, 1);
	assert_true(strncmp(url_of(fake.stream), "https://vpn.example.net/register/", 33) == 0);
	snprintf(id, sizeof(id), "%s", url_of(fake.stream) + 33);
	return id;
}

/* The same, waiting behind the address of that login; the stream. */
static int32_t
wait_for(int n, const char *id, const char *tags)
{
	char url[128];

	snprintf(url, sizeof(url), "https://vpn.example.net/register/%s", id);
	fake_register(&(struct fake_req){ .machine = n, .key = n, .tags = tags, .followup = url });
	return fake.stream;
}

static void
approve(const char *id, const struct tailnet_login_spec *spec)
{
	struct tailnet_login_spec s = { .user_id = ann, .is_authorized = true };

	tailnet_login_approve(fake.t, &fake_actor, id, spec != NULL ? spec : &s, fake_done, NULL);
}

static void
test_approve(void **state)
{
	char id[LOGIN_ID_CHARS + 1];
	int32_t first, second;

	(void)state;
	strcpy(id, ask(11, "[\"tag:b\"]"));
	assert_string_equal(ask(11, "[\"tag:b\"]"), id);		/* the same while it is pending */
	first = wait_for(11, id, "[\"tag:b\"]");
	second = wait_for(11, id, "[\"tag:b\"]");
	assert_int_equal(fake_replies[first].n + fake_replies[second].n, 0);
	assert_int_equal(fake_queued, 0);			/* nothing is stored for it */
	approve(id, NULL);
	assert_int_equal(fake_replies[first].n, 0);		/* not before the commit */
	approve(id, NULL);
	assert_int_equal(fake.res.rc, ERR_BUSY);
	tailnet_login_reject(fake.t, &fake_actor, id, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_BUSY);
	fake_register(&(struct fake_req){ .machine = 11, .key = 11 });	/* its client asks meanwhile */
	assert_int_equal(fake_reply()->n, 0);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_int_equal(fake.res.id, 1);
	for (int32_t s = first; s <= fake.stream; s++) {
		assert_int_equal(fake_replies[s].n, 1);
		assert_non_null(strstr(fake_replies[s].body, "\"MachineAuthorized\":true"));
	}
	assert_string_equal(fake_node(11)->tags[0], "tag:b");
	assert_string_equal(fake_node(11)->authkey_id, "");
	assert_true(fake_is_admitted[11]);
	assert_int_equal(fake.t->logins.count, 0);
	approve(id, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
}

static void
test_approve_refused(void **state)
{
	static const char *const good[] = { "tag:x" }, *const bad[] = { "x" };
	struct tailnet_login_spec spec = { .user_id = 99, .is_authorized = true };
	size_t n_free = ipam_free_count(fake.t->ipam, 4);
	char id[LOGIN_ID_CHARS + 1];
	int32_t s;

	(void)state;
	strcpy(id, ask(11, NULL));
	s = wait_for(11, id, NULL);
	approve("aaaaaaaaaaaaaaaaaaaaaaaa", NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
	approve("", NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
	approve(id, &spec);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
	spec = (struct tailnet_login_spec){ .user_id = ann, .tags = bad, .n_tags = 1, .has_tags = true };
	approve(id, &spec);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	/* whatever the disk says, it can be approved again */
	approve(id, NULL);
	fake_commit_one(ERR_FULL, "the server's disk is full");
	assert_int_equal(fake.res.rc, ERR_FULL);
	assert_string_equal(fake.res.why.s, "the server's disk is full");
	fake_store_is_full = true;
	approve(id, NULL);
	assert_int_equal(fake.res.rc, ERR_BUSY);
	fake_store_is_full = false;
	assert_int_equal(fake_replies[s].n, 0);
	assert_int_equal(ipam_free_count(fake.t->ipam, 4), n_free);
	assert_int_equal(fake.t->priv->names_held.count, 0);
	spec.tags = good;
	approve(id, &spec);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_int_equal(fake_replies[s].n, 1);
	assert_string_equal(fake_node(11)->tags[0], "tag:x");
}

static void
test_reject(void **state)
{
	char id[LOGIN_ID_CHARS + 1];
	int32_t s;

	(void)state;
	strcpy(id, ask(11, NULL));
	s = wait_for(11, id, NULL);
	tailnet_login_reject(fake.t, &fake_actor, id, fake_done, NULL);
	fake_commit_one(ERR_IO, "disk");		/* not recorded: not decided */
	assert_int_equal(fake.res.rc, ERR_IO);
	assert_int_equal(fake_replies[s].n, 0);
	tailnet_login_reject(fake.t, &fake_actor, id, fake_done, NULL);
	assert_int_equal(fake_replies[s].n, 0);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_non_null(strstr(fake_replies[s].body, "rejected this device"));
	assert_null(tailnet_login_find(fake.t, id));
	fake_register(&(struct fake_req){ .machine = 11, .key = 11 });
	assert_non_null(strstr(fake_reply()->body, "rejected this device"));
	approve(id, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
	/* with a key it may come in: somebody gave it that */
	fake_register(&(struct fake_req){ .machine = 11, .key = 11, .auth = ann_key });
	fake_commit();
	assert_non_null(fake_node(11));
	fake_clock(T0 + LOGIN_LIFE_S);
	tailnet_due_run(fake.t);
	assert_int_equal(fake.t->logins.count, 0);
}

/* After its life a login is nobody's; who waited gets another address. */
static void
test_end(void **state)
{
	char id[LOGIN_ID_CHARS + 1];
	int32_t s;

	(void)state;
	strcpy(id, ask(11, NULL));
	s = wait_for(11, id, NULL);
	ask(12, NULL);
	fake_clock(T0 + LOGIN_LIFE_S - 1);
	tailnet_due_run(fake.t);
	assert_int_equal(fake_replies[s].n, 0);
	assert_int_equal(fake.t->logins.count, 2);
	fake_clock(T0 + LOGIN_LIFE_S);
	assert_null(tailnet_login_find(fake.t, id));
	tailnet_due_run(fake.t);
	assert_int_equal(fake_replies[s].n, 1);
	assert_string_not_equal(url_of(s), "");
	assert_null(strstr(url_of(s), id));
	assert_int_equal(fake.t->logins.count, 1);		/* 12 did not wait */
	/* the address that nobody knows any more: the new one */
	s = wait_for(11, id, NULL);
	assert_int_equal(fake_replies[s].n, 1);
	assert_null(strstr(url_of(s), id));
	fake_clock(T0 + 2 * LOGIN_LIFE_S);
	tailnet_due_run(fake.t);
	assert_int_equal(fake.t->logins.count, 0);
	assert_int_equal(fake.t->priv->machines.count, 0);
}

/* Streams that vanish, too many of them, and devices that become others behind their address. */
static void
test_waiters(void **state)
{
	char id[LOGIN_ID_CHARS + 1];
	int32_t s, streams[LOGIN_WAITERS_MAX + 1];

	(void)state;
	strcpy(id, ask(11, NULL));
	for (size_t i = 0; i < COUNT_OF(streams); i++)
		streams[i] = wait_for(11, id, NULL);
	assert_int_equal(fake_replies[streams[0]].status, 429);	/* the oldest makes room */
	assert_int_equal(fake.t->priv->login_waiters.count, LOGIN_WAITERS_MAX);
	for (size_t i = 1; i < COUNT_OF(streams); i++)
		fake_gone(streams[i]);
	assert_int_equal(fake.t->priv->login_waiters.count, 0);
	fake_gone(streams[0]);
	fake_gone(4000);
	s = wait_for(11, id, NULL);
	fake.stream--;				/* the same stream again: its end was not told */
	assert_int_equal(wait_for(11, id, NULL), s);
	assert_int_equal(fake.t->priv->login_waiters.count, 1);
	assert_int_equal(fake_replies[s].n, 0);
	/* other tags: another login; who waited for the old one is put off */
	assert_string_not_equal(ask(11, "[\"tag:admin\"]"), id);
	assert_int_equal(fake_replies[s].status, 429);
	assert_null(tailnet_login_find(fake.t, id));
	assert_int_equal(fake.t->logins.count, 1);
	/* another machine cannot wait for it */
	strcpy(id, ask(11, "[\"tag:admin\"]"));
	s = wait_for(12, id, "[\"tag:admin\"]");
	assert_int_equal(fake_replies[s].n, 1);
	assert_null(strstr(url_of(s), id));
	/* rubbish behind the slash */
	s = wait_for(11, "x", "[\"tag:admin\"]");
	assert_non_null(strstr(url_of(s), id));
}

/* A machine that gets in otherwise: its login comes to the same node. */
static void
test_meanwhile(void **state)
{
	char id[LOGIN_ID_CHARS + 1];

	(void)state;
	strcpy(id, ask(11, NULL));
	fake_register(&(struct fake_req){ .machine = 11, .key = 11, .auth = ann_key });
	approve(id, NULL);
	assert_int_equal(fake.res.rc, ERR_BUSY);
	fake_commit();
	approve(id, NULL);
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_int_equal(fake.res.id, fake_node(11)->id);
	assert_int_equal(fake_queued, 0);
	assert_int_equal(fake.t->logins.count, 0);
	/* logged out: approval continues the node, with its name and addresses */
	fake_register(&(struct fake_req){ .machine = 11, .key = 11, .expiry = 123 });
	fake_commit();
	fake_register(&(struct fake_req){ .machine = 11, .key = 13 });
	snprintf(id, sizeof(id), "%s", url_of(fake.stream) + 33);
	assert_ptr_equal(tailnet_login_node(fake.t, tailnet_login_find(fake.t, id)), fake_node(11));
	approve(id, NULL);
	fake_commit();
	assert_int_equal(fake_node(13)->id, 1);
	assert_int_equal(fake.t->nodes.count, 1);
}

static void
from_address(int machine, unsigned address, const char *host)
{
	struct ctl_peer from = { .conn = { .generation = 1 }, .stream = ++fake.stream, .noise_version = 145 };
	struct register_req *req = obj_alloc(sizeof(*req));

	memcpy(from.machine.b, &machine, sizeof(machine));
	from.machine.b[31] = 1;
	memcpy(req->node_key.b, from.machine.b, KEY_BYTES);
	assert_int_equal(net_addr_parse("192.0.2.9:5", 11, &from.addr), ERR_OK);
	memcpy(from.addr.ip.b, &address, 4);
	assert_int_equal(hostinfo_parse(host, strlen(host), &req->host, NULL), ERR_OK);
	tailnet_register(fake.t, &from, req);
}

static void
test_bounds(void **state)
{
	char id[LOGIN_ID_CHARS + 1], big[LOGIN_HOST_MAX + 100];
	int32_t s;

	(void)state;
	strcpy(id, ask(11, NULL));
	s = wait_for(11, id, NULL);
	for (int i = 0; i < LOGINS_PER_SOURCE_MAX - 1; i++) {
		fake_clock(fake.now + 1);
		from_address(i, 0x090200c0, "{}");		/* 192.0.2.9, as ours */
	}
	assert_int_equal(fake.t->logins.count, LOGINS_PER_SOURCE_MAX);
	assert_non_null(tailnet_login_find(fake.t, id));
	from_address(1000, 0x090200c0, "{}");
	assert_int_equal(fake.t->logins.count, LOGINS_PER_SOURCE_MAX);
	assert_null(tailnet_login_find(fake.t, id));
	assert_int_equal(fake_replies[s].status, 429);
	/* from everywhere: those whose client waits stay longest */
	strcpy(id, ask(11, NULL));
	wait_for(11, id, NULL);
	for (int i = 0; i < LOGINS_MAX; i++)
		from_address(2000 + i, (unsigned)i * 7919 + 1, "{}");
	assert_int_equal(fake.t->logins.count, LOGINS_MAX);
	assert_non_null(tailnet_login_find(fake.t, id));
	/* too much to keep of a stranger */
	snprintf(big, sizeof(big), "{\"Note\":\"%0*d\"}", (int)LOGIN_HOST_MAX, 0);
	from_address(1, 77, big);
	assert_non_null(strstr(fake_reply()->body, "without an auth key"));
	assert_int_equal(fake.t->priv->login_waiters.count, 1);
	assert_int_equal(metric_get(METRIC_LOGINS), LOGINS_MAX);
}

/* New logins are rationed as refusals are. */
static void
test_rate(void **state)
{
	(void)state;
	ratelimit_free(fake.t->priv->refusals);
	fake.t->priv->refusals = ratelimit_new(0.1, 2, 100);
	ask(11, NULL);
	ask(12, NULL);
	ask(12, NULL);						/* nothing new */
	fake_register(&(struct fake_req){ .machine = 13, .key = 13 });
	assert_int_equal(fake_reply()->status, 429);
	assert_true(fake_reply()->retry_after_s > 0);
	assert_int_equal(fake.t->logins.count, 2);
	assert_int_equal(fake.t->priv->machines.count, 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_approve), TEST(test_approve_refused), TEST(test_reject), TEST(test_end),
		TEST(test_waiters), TEST(test_meanwhile), TEST(test_bounds), TEST(test_rate),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
