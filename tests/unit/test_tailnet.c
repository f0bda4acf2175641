/* links: coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_tag coord/policy_owner coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule */
/* Users, keys and nodes as an administrator changes them; names; what happens by time alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ann_fixture.h"

static void
host_is(struct node *n, const char *hostname)
{
	char text[200];

	snprintf(text, sizeof(text), "{\"Hostname\":\"%s\"}", hostname);
	hostinfo_drop(n->host);
	assert_int_equal(hostinfo_parse(text, strlen(text), &n->host, NULL), ERR_OK);
	tailnet_node_hostname(fake.t, n);
}

static void
test_users(void **state)
{
	struct tailnet_user_spec spec = { .name = "ann@example.org", .role = USER_MEMBER };
	int64_t bob;

	(void)state;
	tailnet_user_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_EXISTS);
	spec.name = "a b";
	tailnet_user_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	assert_int_equal(fake_queued, 0);

	spec.name = "bob";
	tailnet_user_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	assert_null(tailnet_user_find(fake.t, "bob"));		/* not before the commit */
	fake_commit();
	bob = fake.res.id;
	assert_int_equal(tailnet_user_find(fake.t, "bob")->id, bob);
	assert_int_equal(tailnet_user_find(fake.t, "2")->id, bob);
	assert_string_equal(tailnet_user_find(fake.t, "bob")->display_name, "bob");

	tailnet_user_rename(fake.t, &fake_actor, bob, "ann@example.org", fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_EXISTS);
	tailnet_user_rename(fake.t, &fake_actor, bob, "bob", fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_OK);
	tailnet_user_rename(fake.t, &fake_actor, 99, "x", fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
	tailnet_user_rename(fake.t, &fake_actor, bob, "rob", fake_done, NULL);
	fake_commit();
	assert_null(tailnet_user_find(fake.t, "bob"));
	assert_int_equal(tailnet_user_find(fake.t, "rob")->id, bob);

	tailnet_user_remove(fake.t, &fake_actor, ann, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_EXISTS);		/* has a key */
	tailnet_user_remove(fake.t, &fake_actor, bob, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_null(tailnet_user_find(fake.t, "rob"));
	tailnet_user_remove(fake.t, &fake_actor, bob, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
}

/* The database found a double that memory did not know of: said in words. */
static void
test_constraint_text(void **state)
{
	struct tailnet_user_spec spec = { .name = "carl", .role = USER_MEMBER };

	(void)state;
	tailnet_user_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	fake_commit_one(ERR_EXISTS, "UNIQUE constraint failed: users.name");
	assert_int_equal(fake.res.rc, ERR_EXISTS);
	assert_string_equal(fake.res.why.s, "there is already a user of that name");
	fake_store_is_full = true;
	fake.n_done = 0;
	tailnet_user_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	assert_int_equal(fake.n_done, 1);
	assert_int_equal(fake.res.rc, ERR_BUSY);
}

static void
test_keys(void **state)
{
	const char *bad_tag = "k3s";
	struct tailnet_key_spec spec = { .user_id = ann, .tags = &bad_tag, .n_tags = 1 };
	char id[32];

	(void)state;
	tailnet_key_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	spec.n_tags = 0;
	spec.expires_unix_s = T0;
	tailnet_key_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	spec.user_id = 77;
	tailnet_key_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);

	fake_key(ann, "", "tag:a", T0 + 5);
	assert_int_equal(strlen(fake.secret), 67);
	strcpy(id, fake.key_id);
	assert_memory_equal(fake.secret + 11, id, 12);
	assert_int_equal(tailnet_user_find(fake.t, "1")->n_keys, 2);
	fake_clock(T0 + 1);
	tailnet_key_revoke(fake.t, &fake_actor, id, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_string_equal(fake.secret, "");			/* shown once */
	tailnet_key_revoke(fake.t, &fake_actor, id, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_OK);			/* is revoked already */
	tailnet_key_remove(fake.t, &fake_actor, id, fake_done, NULL);
	fake_commit();
	assert_int_equal(tailnet_user_find(fake.t, "1")->n_keys, 1);
	tailnet_key_remove(fake.t, &fake_actor, id, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
	tailnet_key_revoke(fake.t, &fake_actor, "nothing like it", fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
}

static void
test_find(void **state)
{
	struct node *n = join(11, ann_key, "Edge");
	static const char *const found[] = { "1", "edge", "EDGE", "edge.example.net",
	    "edge.example.net.", "edge.Example.Net", "edge.", "100.64.0.1",
	    "fd7a:115c:a1e0::1" };
	static const char *const not_found[] = { "", "2", "edg", "edge.example.org", "edge.example",
	    "100.64.0.2", ".", "edge..example.net",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(found); i++) {
		if (tailnet_node_find(fake.t, found[i]) != n)
			fail_msg("%s", found[i]);
	}
	for (size_t i = 0; i < COUNT_OF(not_found); i++) {
		if (tailnet_node_find(fake.t, not_found[i]) != NULL)
			fail_msg("%s", not_found[i]);
	}
}

static void
test_rename(void **state)
{
	struct node *a = join(11, ann_key, "edge"), *b = join(12, ann_key, "edge");

	(void)state;
	assert_string_equal(b->name, "edge-1");
	tailnet_node_rename(fake.t, &fake_actor, a->id, "edge-1", fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_EXISTS);
	tailnet_node_rename(fake.t, &fake_actor, a->id, "No Name", fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	tailnet_node_rename(fake.t, &fake_actor, 9, "x", fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
	tailnet_node_rename(fake.t, &fake_actor, a->id, "gate", fake_done, NULL);
	tailnet_node_rename(fake.t, &fake_actor, b->id, "gate", fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_EXISTS);	/* promised, though not committed */
	fake_map.what = 0;
	fake_commit();
	assert_string_equal(a->name, "gate");
	assert_true(a->is_name_given);
	assert_true(fake_map.what & CHANGE_WHOLE);
	host_is(a, "other");
	assert_int_equal(fake_queued, 0);		/* a given name stays */
	tailnet_node_rename(fake.t, &fake_actor, a->id, "", fake_done, NULL);
	fake_commit();
	assert_string_equal(a->name, "other");
	assert_false(a->is_name_given);
	/* a failed one gives the name back */
	tailnet_node_rename(fake.t, &fake_actor, b->id, "lost", fake_done, NULL);
	fake_commit_one(ERR_IO, "disk");
	assert_string_equal(b->name, "edge-1");
	tailnet_node_rename(fake.t, &fake_actor, a->id, "lost", fake_done, NULL);
	fake_commit();
	assert_string_equal(a->name, "lost");
	/* giving the name that it has already only makes it stay */
	tailnet_node_rename(fake.t, &fake_actor, b->id, "edge-1", fake_done, NULL);
	fake_commit();
	assert_true(b->is_name_given);
}

static void
test_hostname(void **state)
{
	struct node *a = join(11, ann_key, "edge"), *b = join(12, ann_key, "edge");

	(void)state;
	host_is(a, "edge");
	host_is(b, "edge");
	host_is(b, "EDGE.local");
	assert_int_equal(fake_queued, 0);		/* no churn */
	host_is(b, "web");
	host_is(b, "web2");				/* while the first is under way */
	assert_int_equal(fake_queued, 1);
	fake_commit();
	assert_string_equal(b->name, "web2");
	assert_int_equal(fake.t->priv->names_held.count, 0);
	/* an administrator's name, given while one was under way, wins */
	host_is(b, "web3");
	tailnet_node_rename(fake.t, &fake_actor, b->id, "mine", fake_done, NULL);
	fake_commit();
	assert_string_equal(b->name, "mine");
	host_is(a, "x");
	tailnet_node_rename(fake.t, &fake_actor, a->id, "kept", fake_done, NULL);
	host_is(a, "y");
	fake_commit();
	assert_string_equal(a->name, "kept");
}

/* A node that calls itself something else all the time writes a few records a minute; the last name counts. */
static void
test_hostname_flood(void **state)
{
	struct node *a = join(13, ann_key, "edge");
	char text[32];

	(void)state;
	fake_audits = 0;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "name%u", i);
		host_is(a, text);
		fake_commit();
	}
	assert_int_equal(fake_audits, TAILNET_OWN_NAMES_MAX);
	fake_clock(fake.now + TAILNET_OWN_NAMES_S - 1);
	tailnet_due_run(fake.t);
	fake_commit();
	assert_int_equal(fake_audits, TAILNET_OWN_NAMES_MAX);
	fake_clock(fake.now + 1);
	tailnet_due_run(fake.t);
	fake_commit();
	assert_string_equal(a->name, "name999");
	assert_int_equal(fake_audits, TAILNET_OWN_NAMES_MAX + 1);
}

static void
test_many_equal_names(void **state)
{
	char name[DNS_LABEL_MAX];

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		char want[DNS_LABEL_MAX];

		tailnet_name_take(fake.t, "node", name);
		dns_label_number("node", i, want);
		assert_string_equal(name, want);
	}
	for (unsigned i = 0; i < 3000; i++) {
		dns_label_number("node", i, name);
		assert_false(tailnet_name_is_free(fake.t, name));
		tailnet_name_give(fake.t, name);
		assert_true(tailnet_name_is_free(fake.t, name));
	}
}

static void
test_tag(void **state)
{
	static const char *const tags[] = { "tag:b", "tag:a", "tag:b" };
	static const char *const bad[] = { "tag:" };
	struct node *n = join(11, ann_key, "edge");

	(void)state;
	tailnet_node_tag(fake.t, &fake_actor, n->id, bad, 1, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	tailnet_node_tag(fake.t, &fake_actor, n->id, tags, 3, fake_done, NULL);
	assert_int_equal(n->n_tags, 0);
	fake_commit();
	assert_int_equal(n->n_tags, 2);
	assert_string_equal(n->tags[0], "tag:a");
	assert_int_equal(n->key_expiry_unix_s, 0);
	assert_int_equal(node_owner_id(n), USER_TAGGED_ID);
	tailnet_node_tag(fake.t, &fake_actor, n->id, NULL, 0, fake_done, NULL);
	fake_commit();
	assert_int_equal(node_owner_id(n), ann);
	assert_int_equal(n->key_expiry_unix_s, T0 + 180 * DAY_S);
	/* tags do not bring an expired node back */
	tailnet_node_expire(fake.t, &fake_actor, n->id, fake_done, NULL);
	fake_commit();
	assert_false(fake_is_admitted[11]);
	tailnet_node_tag(fake.t, &fake_actor, n->id, tags, 1, fake_done, NULL);
	fake_commit();
	assert_true(node_is_expired(n, T0));
	assert_false(fake_is_admitted[11]);
}

/* Two changes of one node under way at once: neither is lost. */
static void
test_concurrent_changes(void **state)
{
	static const char *const tags[] = { "tag:a" };
	struct node *n = join(11, ann_key, "edge");

	(void)state;
	tailnet_node_tag(fake.t, &fake_actor, n->id, tags, 1, fake_done, NULL);
	tailnet_node_rename(fake.t, &fake_actor, n->id, "gate", fake_done, NULL);
	fake_register(&(struct fake_req){ .machine = 11, .key = 12, .old = 11, .auth = ann_key,
	    .tags = "[\"tag:a\"]" });
	fake_commit();
	assert_int_equal(fake_reply()->status, 200);
	assert_string_equal(n->name, "gate");
	assert_int_equal(n->n_tags, 1);
	assert_ptr_equal(fake_node(12), n);
}

static void
test_remove(void **state)
{
	struct node *n = join(11, ann_key, "edge");

	(void)state;
	tailnet_node_remove(fake.t, &fake_actor, n->id, fake_done, NULL);
	fake_commit_one(ERR_FULL, "full");
	assert_int_equal(fake.res.rc, ERR_FULL);
	assert_ptr_equal(fake_node(11), n);
	fake_register(&(struct fake_req){ .machine = 11, .key = 11 });	/* lives on */
	assert_non_null(strstr(fake_reply()->body, "\"MachineAuthorized\":true"));
	tailnet_node_remove(fake.t, &fake_actor, n->id, fake_done, NULL);
	fake_commit();
	assert_null(fake_node(11));
	assert_false(fake_is_admitted[11]);
	assert_int_equal(fake.t->priv->machines.count, 0);
	assert_int_equal(tailnet_user_find(fake.t, "1")->n_nodes, 0);
	tailnet_node_remove(fake.t, &fake_actor, 1, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_NOTFOUND);
}

/* Keys expire by the clock: told once, and the relay serves the node no more. */
static void
test_expiry_by_time(void **state)
{
	struct node *n = join(11, ann_key, "edge");

	(void)state;
	fake_map.what = 0;
	fake_clock(n->key_expiry_unix_s - 1);
	tailnet_due_run(fake.t);
	assert_int_equal(fake_map.what, 0);
	fake_clock(n->key_expiry_unix_s);
	tailnet_due_run(fake.t);
	assert_int_equal(fake_map.what, CHANGE_KEY | CHANGE_SELF);
	assert_false(fake_is_admitted[11]);
	fake_map.what = 0;
	tailnet_due_run(fake.t);
	assert_int_equal(fake_map.what, 0);
	/* registered again it can expire again */
	fake_register(&(struct fake_req){ .machine = 11, .key = 11, .auth = ann_key });
	fake_commit();
	assert_true(fake_is_admitted[11]);
	fake_clock(n->key_expiry_unix_s);
	fake_map.what = 0;
	tailnet_due_run(fake.t);
	assert_int_equal(fake_map.what, CHANGE_KEY | CHANGE_SELF);
}

static void
test_ephemeral(void **state)
{
	char key[AUTHKEY_TEXT_MAX];
	struct node *n, *other;

	(void)state;
	strcpy(key, fake_key(ann, "re", NULL, 0));
	other = join(12, ann_key, "lasting");
	fake_register(&(struct fake_req){ .machine = 11, .key = 11, .auth = key });
	fake_commit();
	n = fake_node(11);
	assert_true(n->is_ephemeral);
	fake_clock(T0 + 1799);				/* not before its first poll */
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 0);
	n->is_online = true;
	tailnet_soft_dirty(fake.t, n);
	fake_clock(T0 + 9000);				/* not while it is online */
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 0);
	n->is_online = false;
	n->last_seen_unix_s = T0 + 9000;
	tailnet_soft_dirty(fake.t, n);
	fake_clock(T0 + 9000 + 1799);
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 0);
	fake_register(&(struct fake_req){ .machine = 11, .key = 11 });	/* its client restarted */
	fake_clock(T0 + 9000 + 1800);
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 0);
	fake_clock(T0 + 9000 + 1799 + 1800);
	tailnet_due_run(fake.t);
	tailnet_due_run(fake.t);
	assert_int_equal(fake_queued, 1);		/* asked for once */
	fake_commit();
	assert_null(fake_node(11));
	assert_ptr_equal(fake_node(12), other);

	fake_register(&(struct fake_req){ .machine = 13, .key = 13, .auth = ann_key,
	    .is_ephemeral = true });
	fake_commit();
	assert_true(fake_node(13)->is_ephemeral);	/* the client may ask for it, too */
}

static void
test_soft(void **state)
{
	struct txn *x;

	(void)state;
	for (int i = 1; i <= 60; i++)
		tailnet_soft_dirty(fake.t, join(i, ann_key, "n"));
	for (int i = 1; i <= 60; i++)
		tailnet_soft_dirty(fake.t, fake_node(i));
	assert_int_equal(fake_queued, 0);
	assert_true(tailnet_soft_run(fake.t));
	assert_int_equal(fake_queued, 1);
	x = TAILQ_FIRST(&fake_queue);
	assert_int_equal(x->n, 60);			/* once each */
	assert_false(tailnet_soft_run(fake.t));
	assert_false(fake_node(1)->is_soft_dirty);
	tailnet_node_remove(fake.t, &fake_actor, fake_node(1)->id, NULL, NULL);
	fake_commit_one(ERR_FULL, "full");		/* stays to be written */
	assert_true(fake_node(1)->is_soft_dirty);
	fake_commit();					/* the removal */
	fake_store_is_full = true;
	assert_false(tailnet_soft_run(fake.t));
	fake_store_is_full = false;
	tailnet_flush_soft(fake.t);
	assert_int_equal(TAILQ_FIRST(&fake_queue)->n, 59);
	fake_commit();
	assert_false(fake_node(2)->is_soft_dirty);
	assert_true(TAILQ_EMPTY(&fake.t->priv->dirty));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_users), TEST(test_constraint_text), TEST(test_keys), TEST(test_find),
		TEST(test_rename), TEST(test_hostname), TEST(test_hostname_flood),
		TEST(test_many_equal_names), TEST(test_tag),
		TEST(test_concurrent_changes), TEST(test_remove), TEST(test_expiry_by_time),
		TEST(test_ephemeral), TEST(test_soft),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
