/* links: coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_tag coord/policy_owner coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule */
/* What is decided of a node beside its login: plans, addresses, approval, expiry, settings; with commits that
 * fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "coord/ipam.h"
#include "ann_fixture.h"

static struct net_ip
ip(const char *text)
{
	struct net_ip out = { 0 };

	if (text[0] != '\0')
		assert_int_equal(net_ip_parse(text, strlen(text), &out), ERR_OK);
	return out;
}

static void
ip_is(const struct net_ip *have, const char *want)
{
	char text[NET_TEXT_MAX];

	assert_string_equal(net_ip_put(have, text), want);
}

/* Asks for a planned node; its key's text is in fake.secret after the commit. */
static void
plan(const char *name, const char *ip4, const char *ip6, int64_t expires)
{
	struct tailnet_key_spec spec = { .user_id = ann, .is_preauthorized = true, .node_name = name,
		.node_ip4 = ip(ip4), .node_ip6 = ip(ip6), .expires_unix_s = expires };

	tailnet_key_create(fake.t, &fake_actor, &spec, fake_done, NULL);
}

static struct authkey *
last_key(void)
{
	char id[AUTHKEY_ID_CHARS + 4] = "";

	memcpy(id, fake.key_id, AUTHKEY_ID_CHARS);
	return map_find(&fake.t->authkeys, id);
}

static void
test_plan(void **state)
{
	char text[AUTHKEY_TEXT_MAX];
	struct authkey *k;
	struct node *n;

	(void)state;
	plan("edge-7", "100.64.0.7", "", 0);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	strcpy(text, fake.secret);
	k = last_key();
	ip_is(&k->plan.ip6, "fd7a:115c:a1e0::1");
	n = join(11, ann_key, "edge-7");
	assert_string_equal(n->name, "edge-7-1");
	tailnet_node_rename(fake.t, &fake_actor, n->id, "edge-7", fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_EXISTS);
	/* a failed use leaves what is promised */
	fake_register(&(struct fake_req){ .machine = 12, .key = 12, .auth = text, .hostname = "pi" });
	fake_commit_one(ERR_FULL, "full");
	assert_string_equal(k->plan.name, "edge-7");
	n = join(12, text, "pi");
	assert_string_equal(n->name, "edge-7");
	assert_true(n->is_name_given);
	ip_is(&n->ip4, "100.64.0.7");
	ip_is(&n->ip6, "fd7a:115c:a1e0::1");
	assert_string_equal(k->plan.name, "");
	assert_int_equal(fake.t->priv->names_held.count, 0);
	fake_register(&(struct fake_req){ .machine = 13, .key = 13, .auth = text });
	assert_non_null(strstr(fake_reply()->body, "for one use"));
}

/* A machine that has a node already becomes the planned one. */
static void
test_plan_for_known(void **state)
{
	char text[AUTHKEY_TEXT_MAX];
	struct node *n = join(11, ann_key, "edge");

	(void)state;
	plan("gate", "100.64.0.9", "fd7a:115c:a1e0::9", 0);
	fake_commit();
	strcpy(text, fake.secret);
	fake_register(&(struct fake_req){ .machine = 11, .key = 12, .old = 11, .auth = text });
	assert_true(n->_is_moving);
	tailnet_node_set_ips(fake.t, &fake_actor, n->id, &(struct net_ip){ 0 }, NULL, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_BUSY);
	fake_commit();
	assert_ptr_equal(fake_node(12), n);
	assert_false(n->_is_moving);
	assert_string_equal(n->name, "gate");
	ip_is(&n->ip4, "100.64.0.9");
	ip_is(&n->ip6, "fd7a:115c:a1e0::9");
	n = join(13, ann_key, "next");
	ip_is(&n->ip4, "100.64.0.2");		/* 100.64.0.1 rests */
}

static void
test_plan_refused(void **state)
{
	static const struct { const char *name, *ip4, *ip6; enum err rc; } cases[] = {
		{ "taken", "", "", ERR_EXISTS }, { "planned", "", "", ERR_EXISTS },
		{ "No Name", "", "", ERR_INVAL }, { "", "", "", ERR_INVAL },
		{ "new", "100.64.0.1", "", ERR_EXISTS }, { "new", "100.64.0.50", "", ERR_EXISTS },
		{ "new", "100.65.0.1", "", ERR_INVAL }, { "new", "fd7a:115c:a1e0::9", "", ERR_INVAL },
		{ "new", "", "100.64.0.60", ERR_INVAL }, { "new", "100.64.0.0", "", ERR_INVAL },
		{ "new", "100.64.0.61", "fd7a:115c:a1e0::53", ERR_INVAL },
		{ "new", "100.64.0.61", "2001:db8::1", ERR_INVAL },
	};
	struct tailnet_key_spec spec = { .user_id = ann, .node_name = "x", .is_reusable = true };
	size_t n_free;

	(void)state;
	join(11, ann_key, "taken");
	plan("planned", "100.64.0.50", "", 0);
	fake_commit();
	n_free = ipam_free_count(fake.t->ipam, 4) + ipam_free_count(fake.t->ipam, 6);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		plan(cases[i].name, cases[i].ip4, cases[i].ip6, 0);
		if (fake.res.rc != cases[i].rc || fake.res.why.s[0] == '\0')
			fail_msg("case %zu: %d %s", i, fake.res.rc, fake.res.why.s);
	}
	tailnet_key_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	plan("new", "", "", 0);
	fake_commit_one(ERR_EXISTS, "constraint");
	assert_string_equal(fake.res.why.s, "name or address was given away just now");
	assert_int_equal(fake_queued, 0);
	assert_int_equal(ipam_free_count(fake.t->ipam, 4) + ipam_free_count(fake.t->ipam, 6), n_free);
	assert_int_equal(fake.t->priv->names_held.count, 1);
}

/* Revoked, removed or expired: free again. */
static void
test_plan_ends(void **state)
{
	size_t n_free = ipam_free_count(fake.t->ipam, 4);

	(void)state;
	for (int i = 0; i < 3; i++) {
		plan("edge-7", "100.64.0.7", "", i == 2 ? T0 + 100 : 0);
		fake_commit();
		assert_int_equal(fake.res.rc, ERR_OK);
		assert_int_equal(ipam_free_count(fake.t->ipam, 4), n_free - 1);
		if (i == 0)
			tailnet_key_revoke(fake.t, &fake_actor, fake.key_id, fake_done, NULL);
		else if (i == 1)
			tailnet_key_remove(fake.t, &fake_actor, fake.key_id, fake_done, NULL);
		fake_commit();
		if (i < 2)
			continue;
		tailnet_due_run(fake.t);
		assert_int_equal(fake_queued, 0);
		fake_clock(T0 + 100);
		tailnet_due_run(fake.t);
		tailnet_due_run(fake.t);
		assert_int_equal(fake_queued, 1);
		fake_commit_one(ERR_FULL, "full");
		tailnet_due_run(fake.t);
		fake_commit();
		tailnet_due_run(fake.t);
		assert_int_equal(fake_queued, 0);
	}
	assert_int_equal(ipam_free_count(fake.t->ipam, 4), n_free);
	assert_int_equal(fake.t->priv->names_held.count, 0);
}

static void
test_ips(void **state)
{
	struct node *n = join(11, ann_key, "a"), *other = join(12, ann_key, "b");
	struct net_ip next4 = ip("100.64.0.9"), next6 = ip("fd7a:115c:a1e0::9"), none = { 0 };
	size_t n_free = ipam_free_count(fake.t->ipam, 4);

	(void)state;
	tailnet_node_set_ips(fake.t, &fake_actor, n->id, &next4, &none, fake_done, NULL);
	ip_is(&n->ip4, "100.64.0.1");			/* not before the commit */
	tailnet_node_set_ips(fake.t, &fake_actor, n->id, &none, &next6, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_BUSY);
	tailnet_node_set_ips(fake.t, &fake_actor, other->id, &next4, NULL, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_EXISTS);	/* promised */
	fake_commit_one(ERR_FULL, "full");
	assert_int_equal(ipam_free_count(fake.t->ipam, 4), n_free);
	fake_map.what = 0;
	tailnet_node_set_ips(fake.t, &fake_actor, n->id, &next4, &next6, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_int_equal(fake.res.id, n->id);
	ip_is(&n->ip4, "100.64.0.9");
	ip_is(&n->ip6, "fd7a:115c:a1e0::9");
	assert_int_equal(fake_map.what, CHANGE_WHOLE | CHANGE_SELF);
	assert_ptr_equal(tailnet_node_find(fake.t, "100.64.0.9"), n);
	/* the old one rests, but may be asked for */
	ip_is(&join(13, ann_key, "c")->ip4, "100.64.0.3");
	next4 = ip("100.64.0.1");
	tailnet_node_set_ips(fake.t, &fake_actor, other->id, &next4, NULL, fake_done, NULL);
	fake_commit();
	ip_is(&other->ip4, "100.64.0.1");
	tailnet_node_set_ips(fake.t, &fake_actor, other->id, &next4, NULL, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_OK);		/* its own */
	assert_int_equal(fake_queued, 0);
	next4 = ip("192.0.2.1");
	tailnet_node_set_ips(fake.t, &fake_actor, other->id, &next4, &next6, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	tailnet_node_set_ips(fake.t, &fake_actor, 99, &next4, NULL, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
	assert_false(other->_is_moving);
}

static void
test_approval(void **state)
{
	struct tailnet_settings s = { .devices_need_approval = 1, .key_days = -1 };
	struct tailnet_key_spec spec = { .user_id = ann, .is_reusable = true };
	char needs[AUTHKEY_TEXT_MAX];
	struct node *n;

	(void)state;
	tailnet_key_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	fake_commit();
	strcpy(needs, fake.secret);
	assert_true(join(11, needs, "before")->is_authorized);
	tailnet_settings_set(fake.t, &fake_actor, &s, fake_done, NULL);
	assert_int_equal(fake.t->settings.devices_need_approval, 0);	/* not before the commit */
	fake_commit();
	assert_true(join(12, ann_key, "trusted")->is_authorized);
	n = join(13, needs, "waiting");
	assert_false(n->is_authorized);
	assert_false(fake_is_admitted[13]);
	assert_non_null(strstr(fake_reply()->body, "\"MachineAuthorized\":false"));
	tailnet_due_run(fake.t);
	assert_int_equal(metric_get(METRIC_NODES_UNAPPROVED), 1);
	fake_register(&(struct fake_req){ .machine = 13, .key = 14, .old = 13, .auth = needs });
	fake_commit();
	assert_false(n->is_authorized);			/* asking again is no approval */
	fake_map.what = 0;
	tailnet_node_set_authorized(fake.t, &fake_actor, n->id, true, fake_done, NULL);
	fake_commit();
	assert_true(n->is_authorized && fake_is_admitted[14]);
	assert_true(fake_map.what & CHANGE_SELF);
	tailnet_node_set_authorized(fake.t, &fake_actor, n->id, false, fake_done, NULL);
	fake_commit();
	assert_false(fake_is_admitted[14]);
	/* the setting off: those that wait, wait; a key that approves, approves */
	s.devices_need_approval = 0;
	tailnet_settings_set(fake.t, &fake_actor, &s, fake_done, NULL);
	fake_commit();
	fake_register(&(struct fake_req){ .machine = 13, .key = 15, .old = 14, .auth = needs });
	fake_commit();
	assert_false(n->is_authorized);
	fake_register(&(struct fake_req){ .machine = 13, .key = 16, .old = 15, .auth = ann_key });
	fake_commit();
	assert_true(n->is_authorized && fake_is_admitted[16]);
}

static void
test_settings(void **state)
{
	struct tailnet_settings s = fake.t->settings;

	(void)state;
	assert_int_equal(tailnet_key_days(fake.t), 180);
	tailnet_settings_set(fake.t, &fake_actor, &s, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_int_equal(fake_queued, 0);		/* nothing changed */
	s.key_days = 3651;
	tailnet_settings_set(fake.t, &fake_actor, &s, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	assert_non_null(strstr(fake.res.why.s, "key_days is a number from -1 to 3650"));
	s.key_days = 7;
	tailnet_settings_set(fake.t, &fake_actor, &s, fake_done, NULL);
	fake_commit_one(ERR_FULL, "full");
	assert_int_equal(tailnet_key_days(fake.t), 180);
	tailnet_settings_set(fake.t, &fake_actor, &s, fake_done, NULL);
	fake_commit();
	assert_int_equal(join(11, ann_key, "a")->key_expiry_unix_s, T0 + 7 * DAY_S);
	s.key_days = 0;
	tailnet_settings_set(fake.t, &fake_actor, &s, fake_done, NULL);
	fake_commit();
	assert_int_equal(join(12, ann_key, "b")->key_expiry_unix_s, 0);
	assert_null(tailnet_setting_name("colour"));
	assert_string_equal(tailnet_setting_name("key_days"), "key_days");
	tailnet_setting_apply(fake.t, "key_days", 99999);	/* as a spoilt database may have it */
	assert_int_equal(tailnet_key_days(fake.t), 0);
}

static void
test_expiry_switch(void **state)
{
	struct node *n = join(11, ann_key, "a");

	(void)state;
	tailnet_node_set_expiry(fake.t, &fake_actor, n->id, T0, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	tailnet_node_set_expiry(fake.t, &fake_actor, n->id, T0 + 50, fake_done, NULL);
	fake_commit();
	assert_int_equal(n->key_expiry_unix_s, T0 + 50);
	fake_clock(T0 + 60);
	tailnet_due_run(fake.t);
	fake_commit();
	assert_false(fake_is_admitted[11]);
	tailnet_node_set_no_expiry(fake.t, &fake_actor, n->id, true, fake_done, NULL);
	fake_commit();
	assert_true(fake_is_admitted[11]);		/* good again */
	assert_int_equal(n->key_expiry_unix_s, 0);
	/* stays through logins, logouts, tags and back */
	fake_register(&(struct fake_req){ .machine = 11, .key = 12, .old = 11, .auth = ann_key });
	fake_commit();
	assert_int_equal(n->key_expiry_unix_s, 0);
	fake_register(&(struct fake_req){ .machine = 11, .key = 12, .expiry = 123 });
	fake_commit();
	assert_int_equal(n->key_expiry_unix_s, T0 + 60);
	fake_register(&(struct fake_req){ .machine = 11, .key = 13, .auth = ann_key });
	fake_commit();
	assert_int_equal(n->key_expiry_unix_s, 0);
	tailnet_node_tag(fake.t, &fake_actor, n->id, (const char *const[]){ "tag:a" }, 1, fake_done, NULL);
	tailnet_node_tag(fake.t, &fake_actor, n->id, NULL, 0, fake_done, NULL);
	fake_commit();
	assert_int_equal(n->key_expiry_unix_s, 0);
	tailnet_node_set_no_expiry(fake.t, &fake_actor, n->id, false, fake_done, NULL);
	fake_commit();
	assert_int_equal(n->key_expiry_unix_s, T0 + 60 + 180 * DAY_S);
	tailnet_node_set_no_expiry(fake.t, &fake_actor, n->id, false, fake_done, NULL);
	assert_int_equal(fake_queued, 0);
}

static void
test_warning(void **state)
{
	struct node *n = join(11, ann_key, "a");
	int64_t expiry = n->key_expiry_unix_s;
	unsigned audits = fake_audits;

	(void)state;
	fake_clock(expiry - 7 * DAY_S - 1);
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 0);
	assert_int_equal(metric_get(METRIC_NODES_EXPIRING), 0);
	fake_clock(expiry - 7 * DAY_S);
	fake_store_is_full = true;
	tailnet_due_run(fake.t);
	fake_store_is_full = false;
	tailnet_due_run(fake.t);
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 1);		/* once */
	fake_commit();
	assert_int_equal(fake_audits, audits + 1);
	assert_int_equal(metric_get(METRIC_NODES_EXPIRING), 1);
	fake_register(&(struct fake_req){ .machine = 11, .key = 12, .old = 11, .auth = ann_key });
	fake_commit();
	tailnet_due_run(fake.t);
	assert_int_equal(metric_get(METRIC_NODES_EXPIRING), 0);
	fake_clock(n->key_expiry_unix_s - 1);		/* of the next one, too */
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 1);
	fake_commit();
}

/* With a short timeout, too, a node has time for its first poll. */
static void
test_ephemeral_first_poll(void **state)
{
	char key[AUTHKEY_TEXT_MAX];
	struct node *n;

	(void)state;
	fake.cfg.node.ephemeral_timeout_s = 30;
	strcpy(key, fake_key(ann, "re", NULL, 0));
	n = join(11, key, "a");
	fake_clock(T0 + 599);
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 0);
	n->is_online = true;
	n->last_seen_unix_s = fake.now;
	tailnet_soft_dirty(fake.t, n);
	n->is_online = false;
	fake_clock(T0 + 599 + 29);
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 0);
	fake_clock(T0 + 599 + 30);
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 1);
	fake_commit();
	join(12, key, "b");
	fake_clock(fake.now + 600);			/* one that never came */
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 1);
	fake_commit();
	assert_null(fake_node(12));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plan), TEST(test_plan_for_known), TEST(test_plan_refused), TEST(test_plan_ends),
		TEST(test_ips), TEST(test_approval), TEST(test_settings), TEST(test_expiry_switch),
		TEST(test_warning), TEST(test_ephemeral_first_poll),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
