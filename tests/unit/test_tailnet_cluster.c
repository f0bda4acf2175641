/* links: coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_save coord/cluster_policy coord/hujson_edit coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_policy_save coord/tailnet_policy_file coord/tailnet_task coord/policies_read coord/tailnet_tag coord/policy coord/policy_* coord/hujson coord/ipset coord/store coord/store_sql coord/store_cluster coord/store_stmt coord/store_cred coord/store_join coord/store_policy coord/store_load coord/migrate gen/migrations coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota */
/* Clusters of a tailnet: made with key and policy at once or not at all, changed, removed, kept
 * over starts; what they claim twice is told until it ends, and refused where that is wanted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/metrics.h"
#include "coord/tailnet_cluster_save.h"
#include "coord/tailnet_route.h"
#include "saved_policy.h"

static struct net_prefix
prefix(const char *text)
{
	struct net_prefix p;

	assert_int_equal(net_prefix_parse(text, strlen(text), &p), ERR_OK);
	return p;
}

static struct tailnet_cluster_spec
spec_of(const char *name)
{
	return (struct tailnet_cluster_spec){ .name = name, .user_id = tailnet_user_find(fake.t,
	    "ann@example.org")->id };
}

static void
asked(void (*fn)(struct tailnet *t, const struct actor *by, const struct tailnet_cluster_spec *spec,
    tailnet_done_fn *done, void *arg), const struct tailnet_cluster_spec *spec)
{
	int n = fake.n_done;

	fake.res.rc = ERR_OK;
	fn(fake.t, &fake_actor, spec, fake_done, NULL);
	for (int i = 0; i < 3 && fake.n_done == n; i++)
		fake_commit();
	assert_int_equal(fake.n_done, n + 1);
}

static const struct cluster *
made(const struct tailnet_cluster_spec *spec)
{
	asked(tailnet_cluster_create, spec);
	if (fake.res.rc != ERR_OK)
		fail_msg("%s: %s", spec->name, fake.res.why.s);
	assert_non_null(tailnet_cluster_find(fake.t, spec->name));
	return tailnet_cluster_find(fake.t, spec->name);
}

static void
refused(enum err rc, const char *why)
{
	assert_int_equal(fake.res.rc, rc);
	if (strstr(fake.res.why.s, why) == NULL)
		fail_msg("%s, not %s", fake.res.why.s, why);
}

static void
has_range(const struct cluster *c, enum cluster_range r, const char *text)
{
	char put[NET_TEXT_MAX];

	assert_string_equal(c->range[r].ip.family == 0 ? "" : net_prefix_put(&c->range[r], put), text);
}

static const char *
policy_text(void)
{
	return fake.t->policy == NULL ? "" : fake.t->policy->text;
}

/* A node that joins with the key and advertises the routes (a JSON array); its id. */
static int64_t
node_joins(int machine, const char *key, const char *hostname, const char *routes)
{
	char host[512];
	struct node *n;

	fake_register(&(struct fake_req){ .machine = machine, .key = machine, .auth = key, .hostname =
	    hostname });
	fake_commit();
	n = tailnet_node_find(fake.t, hostname);
	assert_non_null(n);
	hostinfo_drop(n->host);
	snprintf(host, sizeof(host), "{\"OS\":\"linux\",\"Hostname\":\"%s\",\"RoutableIPs\":%s}",
	    hostname, routes);
	assert_int_equal(hostinfo_parse(host, strlen(host), &n->host, NULL), ERR_OK);
	n->is_online = true;
	tailnet_cluster_note(fake.t, n);
	return n->id;
}

static void
look(void)
{
	tailnet_cluster_look(fake.t);
	fake_commit();
}

static int64_t
audits(const char *what)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM audit WHERE what = '%s'", what);
	return number(sql);
}

static void
test_create(void **state)
{
	struct tailnet_cluster_spec spec = spec_of("edge-a");
	const struct cluster *c = made(&spec);
	const struct authkey *k;

	(void)state;
	has_range(c, CLUSTER_POD4, "10.42.0.0/16");
	has_range(c, CLUSTER_SERVICE4, "10.43.0.0/16");
	has_range(c, CLUSTER_POD6, "");
	assert_string_equal(c->tag, "tag:k3s-edge-a");
	assert_string_equal(c->key_id, fake.key_id);
	assert_int_equal(strspn(fake.secret,
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"),
	    strlen(fake.secret));	/* K3s cuts at ',' and '=' */
	k = map_find(&fake.t->authkeys, c->key_id);
	assert_non_null(k);
	assert_true(k->is_reusable && k->is_preauthorized && !k->is_ephemeral);
	assert_true(tag_list_has(k->tags, k->n_tags, "tag:k3s-edge-a"));
	assert_false(fake.t->policy->has_rules);	/* everything stays allowed */
	assert_non_null(strstr(policy_text(), "\"10.42.0.0/16\": [\"tag:k3s-edge-a\"]"));
	assert_int_equal(audits("cluster.create") + audits("key.create") + audits("policy.set"), 3);
	spec = spec_of("edge-b");
	spec.is_dual_stack = true;
	c = made(&spec);
	has_range(c, CLUSTER_POD4, "10.44.0.0/16");
	has_range(c, CLUSTER_SERVICE4, "10.45.0.0/16");
	assert_int_equal(c->range[CLUSTER_POD6].bits, 56);
	assert_int_equal(c->range[CLUSTER_SERVICE6].bits, 112);
	assert_int_equal(c->range[CLUSTER_POD6].ip.b[0], 0xfd);
	assert_reload_equal();
	assert_int_equal(fake.t->clusters->by_name.count, 2);
}

/* Nobody's range is given out: neither that of a route, nor one that the policy names. */
static void
test_free_ranges(void **state)
{
	struct tailnet_cluster_spec spec = spec_of("a");
	const struct cluster *c;

	(void)state;
	set("{\"hosts\": {\"office\": \"10.44.9.0/24\"}, \"acls\": [{\"action\": \"accept\", \"src\": [\"*\"],"
	    " \"dst\": [\"office:*\", \"10.0.0.0/8:22\"]}]}");
	(void)node_joins(1, fake_key(spec.user_id, "r", NULL, 0), "router",
	    "[\"10.42.0.0/24\", \"0.0.0.0/0\"]");
	c = made(&spec);
	has_range(c, CLUSTER_POD4, "10.46.0.0/16");
	has_range(c, CLUSTER_SERVICE4, "10.47.0.0/16");
}

#define RESTRICTED "// who may what\n{\n  // people\n  \"acls\": [\n    {\"action\": \"accept\"," \
	" \"src\": [\"autogroup:member\"], \"dst\": [\"autogroup:self:*\"]}, // themselves\n  ],\n}\n"

static void
test_policy_with_rules(void **state)
{
	struct tailnet_cluster_spec spec = spec_of("edge-a");

	(void)state;
	set(RESTRICTED);
	(void)made(&spec);
	assert_non_null(strstr(policy_text(), "// who may what\n{\n  // people\n"));
	assert_non_null(strstr(policy_text(), "}, // themselves\n    {\n      \"action\": \"accept\",\n"
	    "      \"src\": [\"tag:k3s-edge-a\", \"10.42.0.0/16\"],\n"
	    "      \"dst\": [\"tag:k3s-edge-a:*\", \"10.42.0.0/16:*\"]\n    },\n  ],\n"));
	assert_int_equal(fake.t->policy->n_rules, 2);
	asked(tailnet_cluster_remove, &spec);
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_int_equal(fake.t->policy->n_rules, 1);
	assert_null(strstr(policy_text(), "k3s"));
}

/* Nothing is left of what could not be done. */
static void
nothing_is_there(const char *name, size_t n_keys, const char *policy)
{
	struct tailnet_cluster_spec spec = spec_of("other");

	assert_null(tailnet_cluster_find(fake.t, name));
	assert_int_equal(fake.t->authkeys.count, n_keys);
	assert_string_equal(policy_text(), policy);
	assert_true(TAILQ_EMPTY(&fake.t->clusters->_under_way));
	assert_int_equal(number("SELECT count(*) FROM clusters"), 0);
	assert_int_equal(number("SELECT count(*) FROM auth_keys"), (int64_t)n_keys);
	spec.leaves_policy = true;
	has_range(made(&spec), CLUSTER_POD4, "10.42.0.0/16");	/* is free again */
	spec.is_forced = true;
	asked(tailnet_cluster_remove, &spec);
	assert_int_equal(fake.res.rc, ERR_OK);
}

static void
test_whole_or_not(void **state)
{
	static const int codes[] = { SQLITE_FULL, SQLITE_BUSY, SQLITE_CONSTRAINT };
	struct tailnet_cluster_spec spec = spec_of("edge-a");

	(void)state;
	set(RESTRICTED);
	for (size_t i = 0; i < COUNT_OF(codes); i++) {
		int n = 0;

		do {
			size_t n_keys = fake.t->authkeys.count;

			store_test_fail_step(fake_store, ++n, codes[i], 0);
			asked(tailnet_cluster_create, &spec);
			store_test_fail_step(fake_store, 0, 0, 0);
			if (fake.res.rc != ERR_OK)
				nothing_is_there("edge-a", n_keys, RESTRICTED);
		} while (fake.res.rc != ERR_OK || tailnet_cluster_find(fake.t, "edge-a") == NULL);
		assert_true(n > 6);
		asked(tailnet_cluster_remove, &spec);
		assert_int_equal(fake.res.rc, ERR_OK);
		set(RESTRICTED);
	}
}

static void
test_refused(void **state)
{
	struct tailnet_cluster_spec spec = spec_of("edge-a");
	char policy[512];

	(void)state;
	/* the policy's own test says no */
	(void)node_joins(1, fake_key(spec.user_id, "r", "tag:k3s-edge-a", 0), "edge-1", "[]");
	(void)node_joins(2, fake.secret, "edge-2", "[]");
	snprintf(policy, sizeof(policy), "{\"tagOwners\": {\"tag:k3s-edge-a\": []}, \"acls\": [], "
	    "\"tests\": [{\"src\":"
	    " \"tag:k3s-edge-a\", \"deny\": [\"tag:k3s-edge-a:80\"]}]}");
	set(policy);
	asked(tailnet_cluster_create, &spec);
	refused(ERR_INVAL, "the policy would not be valid with it: test(s) failed");
	nothing_is_there("edge-a", 1, policy);
	/* or cannot be changed */
	set("{\"acls\": [], \"tagOwners\": null}");
	(void)made(&spec);
	asked(tailnet_cluster_create, &spec);
	refused(ERR_EXISTS, "there is a cluster edge-a already");
	spec = spec_of("Edge");
	asked(tailnet_cluster_create, &spec);
	refused(ERR_INVAL, "no name of a cluster");
	spec = spec_of("edge-b");
	spec.tag = "tag:k3s-edge-a";
	asked(tailnet_cluster_create, &spec);
	refused(ERR_EXISTS, "is the tag of cluster edge-a");
	spec = spec_of("edge-b");
	spec.range[CLUSTER_POD4] = prefix("10.43.7.0/24");
	asked(tailnet_cluster_create, &spec);
	refused(ERR_EXISTS, "10.43.7.0/24 overlaps 10.43.0.0/16 of cluster edge-a");
	spec.range[CLUSTER_POD4] = prefix("100.64.0.0/16");
	asked(tailnet_cluster_create, &spec);
	refused(ERR_INVAL, "the tailnet's own addresses");
	/* no range for services is free beside it, which is not what is wrong */
	spec.range[CLUSTER_POD4] = prefix("0.0.0.0/0");
	asked(tailnet_cluster_create, &spec);
	refused(ERR_INVAL, "0.0.0.0/0 cannot be the pod range: K3s takes IPv4 prefixes from /8 to /24");
	spec = spec_of("nobody");
	asked(tailnet_cluster_set, &spec);
	refused(ERR_NOTFOUND, "there is no cluster \"nobody\"");
	/* and not while a policy may be taken back */
	struct policy_wish wish = wish_of("{\"acls\": []}");
	wish.confirm_within_s = 60;
	save(&wish);
	spec = spec_of("edge-b");
	asked(tailnet_cluster_create, &spec);
	refused(ERR_EXISTS, "waits to be confirmed");
}

static void
count(void *arg, const struct tailnet_result *res)
{
	*(int *)arg += res->rc == ERR_OK;
}

/* Asked for before the first one is written: each gets its own, a name is taken once, and one
 * policy has both. */
static void
test_at_once(void **state)
{
	struct tailnet_cluster_spec a = spec_of("a"), b = spec_of("b");
	int n_ok = 0;

	(void)state;
	tailnet_cluster_create(fake.t, &fake_actor, &a, count, &n_ok);
	tailnet_cluster_create(fake.t, &fake_actor, &b, count, &n_ok);
	tailnet_cluster_create(fake.t, &fake_actor, &b, fake_done, NULL);
	refused(ERR_BUSY, "cluster b is being made");
	for (int i = 0; i < 5; i++)
		fake_commit();
	assert_int_equal(n_ok, 2);
	has_range(tailnet_cluster_find(fake.t, "a"), CLUSTER_POD4, "10.42.0.0/16");
	has_range(tailnet_cluster_find(fake.t, "b"), CLUSTER_POD4, "10.44.0.0/16");
	assert_int_equal(fake.t->policy->n_routes, 2);
	assert_int_equal(fake.t->policy->n_tags, 2);
}

static void
test_set_and_remove(void **state)
{
	struct tailnet_cluster_spec spec = spec_of("edge-a");
	struct net_prefix lan[] = { prefix("192.168.7.0/24") };
	char first_key[32], secret[AUTHKEY_TEXT_MAX];

	(void)state;
	(void)made(&spec);
	memcpy(first_key, fake.key_id, sizeof(first_key));
	spec.range[CLUSTER_POD4] = prefix("10.80.0.0/16");
	spec.lan = lan;
	spec.n_lan = 1;
	asked(tailnet_cluster_set, &spec);
	assert_int_equal(fake.res.rc, ERR_OK);
	has_range(tailnet_cluster_find(fake.t, "edge-a"), CLUSTER_POD4, "10.80.0.0/16");
	has_range(tailnet_cluster_find(fake.t, "edge-a"), CLUSTER_SERVICE4, "10.43.0.0/16");
	assert_int_equal(tailnet_cluster_find(fake.t, "edge-a")->n_lan, 1);
	assert_null(strstr(policy_text(), "10.42.0.0/16"));
	assert_non_null(strstr(policy_text(), "\"10.80.0.0/16\": [\"tag:k3s-edge-a\"]"));
	spec = spec_of("edge-a");
	asked(tailnet_cluster_key, &spec);
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_string_not_equal(fake.key_id, first_key);
	assert_string_equal(tailnet_cluster_find(fake.t, "edge-a")->key_id, fake.key_id);
	memcpy(secret, fake.secret, sizeof(secret));
	assert_reload_equal();
	(void)node_joins(1, secret, "edge-1", "[]");
	asked(tailnet_cluster_remove, &spec);
	refused(ERR_EXISTS, "1 nodes have tag:k3s-edge-a");
	spec.is_forced = true;
	asked(tailnet_cluster_remove, &spec);
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_null(tailnet_cluster_find(fake.t, "edge-a"));
	assert_int_equal(number("SELECT count(*) FROM auth_keys WHERE revoked_unix_s = 0"), 0);
	assert_null(strstr(policy_text(), "10.80.0.0/16"));
	assert_int_equal(audits("cluster.change") + audits("cluster.remove"), 3);
}

static void
test_no_ephemeral_keys(void **state)
{
	struct tailnet_cluster_spec spec = spec_of("edge-a");
	const char *tag = "tag:k3s-edge-a";
	struct tailnet_key_spec key = { .user_id = spec.user_id, .tags = &tag, .n_tags = 1,
	    .is_ephemeral = true };

	(void)state;
	(void)made(&spec);
	tailnet_key_create(fake.t, &fake_actor, &key, fake_done, NULL);
	refused(ERR_INVAL, "tag:k3s-edge-a is the tag of cluster edge-a");
	key.is_ephemeral = false;
	tailnet_key_create(fake.t, &fake_actor, &key, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
}

/* A node of one cluster advertises a range of another: told everywhere once, until it ends. */
static void
test_conflict(void **state)
{
	struct tailnet_cluster_spec a = spec_of("edge-a"), b = spec_of("edge-b");
	int64_t id;
	struct node *n;

	(void)state;
	(void)made(&a);
	(void)made(&b);
	(void)node_joins(1, fake.secret, "edge-b-1", "[\"10.44.0.0/24\"]");
	look();
	assert_int_equal(fake.t->clusters->conflicts.n, 0);
	id = node_joins(2, fake.secret, "edge-b-2", "[\"10.42.7.0/24\", \"0.0.0.0/0\"]");
	look();
	look();
	assert_int_equal(fake.t->clusters->conflicts.n, 1);
	assert_int_equal(metric_get(METRIC_CLUSTER_CONFLICTS), 1);
	assert_int_equal(audits("cluster.conflict"), 1);
	assert_int_equal(fake_map.health_id, id);
	assert_string_equal(fake_map.health, "clusters edge-a and edge-b both claim 10.42.7.0/24: "
	    "traffic for these "
	    "addresses may reach the wrong one. Give one another range");
	fake_start_at = fake.now;	/* it is no news after a start */
	fake_stop();
	fake_start();
	fake_start_at = T0;
	fake_commit();
	assert_int_equal(fake.t->clusters->conflicts.n, 0);	/* Hostinfo of the test was not stored */
	id = node_joins(2, fake.secret, "edge-b-2", "[\"10.42.7.0/24\"]");
	look();
	assert_int_equal(audits("cluster.conflict"), 2);
	n = map_find(&fake.t->nodes, &id);
	hostinfo_drop(n->host);
	assert_int_equal(hostinfo_parse("{}", 2, &n->host, NULL), ERR_OK);
	look();
	assert_int_equal(fake.t->clusters->conflicts.n, 0);
	assert_int_equal(metric_get(METRIC_CLUSTER_CONFLICTS), 0);
	assert_int_equal(audits("cluster.conflict_end"), 1);
	assert_int_equal(fake_map.health_id, id);
	assert_string_equal(fake_map.health, "");
}

/* Clusters without a record, by the tags of their nodes; and one tag for two of them. */
static void
test_inferred(void **state)
{
	int64_t ann = tailnet_user_find(fake.t, "ann@example.org")->id;
	struct cluster_view *v;
	size_t n;

	(void)state;
	(void)node_joins(1, fake_key(ann, "r", "tag:k3s", 0), "a-1", "[\"10.42.0.0/24\", \"192.168.1.0/24\"]");
	(void)node_joins(2, fake.secret, "a-2", "[\"10.42.1.0/24\", \"192.168.1.0/24\"]");
	look();
	assert_int_equal(fake.t->clusters->conflicts.n, 0);	/* two routers of one LAN */
	(void)node_joins(3, fake.secret, "a-3", "[\"10.42.1.0/24\"]");
	look();
	assert_int_equal(fake.t->clusters->conflicts.n, 1);	/* two nodes with the same pods */
	assert_string_equal(fake.t->clusters->conflicts.v[0].a, "tag:k3s");
	assert_string_equal(fake.t->clusters->conflicts.v[0].b, "tag:k3s");
	(void)node_joins(4, fake_key(ann, "r", "tag:k3s-lab", 0), "lab-1", "[\"10.42.0.0/24\"]");
	look();
	assert_int_equal(fake.t->clusters->conflicts.n, 2);
	v = tailnet_cluster_views(fake.t, &n);
	assert_int_equal(n, 2);
	assert_string_equal(v[0].name, "tag:k3s");
	assert_null(v[0].record);
	assert_int_equal(v[0].n_nodes, 3);
	assert_int_equal(v[0].n_routes, 3);
	assert_string_equal(v[1].tag, "tag:k3s-lab");
	cluster_views_free(v, n);
	/* recording one with the range it has: its own nodes' routes are its own */
	struct tailnet_cluster_spec spec = spec_of("lab");
	spec.range[CLUSTER_POD4] = prefix("10.42.0.0/16");
	asked(tailnet_cluster_create, &spec);
	refused(ERR_EXISTS, "overlaps a route of a node that is not of the cluster");
	spec.is_forced = true;
	(void)made(&spec);
	look();
	assert_int_equal(fake.t->clusters->conflicts.n, 2);
}

static bool
allows(int64_t id, const char *route, struct err_text *why)
{
	struct net_prefix p = prefix(route);

	why->s[0] = '\0';
	return tailnet_cluster_allows_route(fake.t, map_find(&fake.t->nodes, &id), &p, why);
}

static void
test_refusal_mode(void **state)
{
	struct tailnet_cluster_spec a = spec_of("edge-a"), b = spec_of("edge-b"), c = spec_of("edge-c");
	struct tailnet_settings settings = fake.t->settings;
	struct node_route *taken = obj_alloc(sizeof(*taken));
	struct err_text why;
	int64_t of_a, of_b, of_none;
	struct node *n;

	(void)state;
	(void)made(&a);
	of_a = node_joins(1, fake.secret, "a-1", "[]");
	(void)made(&b);
	of_b = node_joins(2, fake.secret, "b-1", "[]");
	of_none = node_joins(3, fake_key(a.user_id, "r", NULL, 0), "laptop", "[]");
	assert_true(allows(of_b, "10.42.7.0/24", &why));	/* not wanted yet */
	settings.refuse_cluster_overlap = 1;
	tailnet_settings_set(fake.t, &fake_actor, &settings, fake_done, NULL);
	fake_commit();
	assert_false(allows(of_b, "10.42.7.0/24", &why));
	assert_string_equal(why.s, "10.42.7.0/24 is not approved: cluster edge-a has 10.42.0.0/16 (setting "
	    "refuse-cluster-overlap)");
	assert_false(allows(of_b, "10.0.0.0/8", &why));
	assert_true(allows(of_b, "10.44.7.0/24", &why));
	assert_true(allows(of_a, "10.42.7.0/24", &why));
	assert_true(allows(of_b, "0.0.0.0/0", &why));
	assert_true(allows(of_none, "10.42.7.0/24", &why));
	/* a LAN that the other one is the way to already; not so within one's own record */
	n = map_find(&fake.t->nodes, &of_a);
	taken->prefix = prefix("192.168.0.0/16");
	n->routes = taken;
	n->n_routes = 1;
	assert_false(allows(of_b, "192.168.7.0/24", &why));
	taken->prefix = prefix("10.44.0.0/24");
	assert_true(allows(of_b, "10.44.0.0/24", &why));
	/* by hand neither; what is approved already stays */
	struct net_prefix route = prefix("10.42.7.0/24");
	tailnet_node_set_routes(fake.t, &fake_actor, of_b, &(struct tailnet_route_change){ .add = &route,
	    .n_add = 1 }, fake_done, NULL);
	refused(ERR_INVAL, "10.42.7.0/24 is not approved: cluster edge-a has");
	/* nor can it be forced */
	c.range[CLUSTER_POD4] = prefix("10.42.0.0/16");
	c.is_forced = true;
	asked(tailnet_cluster_create, &c);
	refused(ERR_DENIED, "overlapping ranges are refused");
	n->routes = NULL;
	n->n_routes = 0;
	free(taken);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_create, begin, end),
		cmocka_unit_test_setup_teardown(test_free_ranges, begin, end),
		cmocka_unit_test_setup_teardown(test_policy_with_rules, begin, end),
		cmocka_unit_test_setup_teardown(test_whole_or_not, begin, end),
		cmocka_unit_test_setup_teardown(test_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_at_once, begin, end),
		cmocka_unit_test_setup_teardown(test_set_and_remove, begin, end),
		cmocka_unit_test_setup_teardown(test_no_ephemeral_keys, begin, end),
		cmocka_unit_test_setup_teardown(test_conflict, begin, end),
		cmocka_unit_test_setup_teardown(test_inferred, begin, end),
		cmocka_unit_test_setup_teardown(test_refusal_mode, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
