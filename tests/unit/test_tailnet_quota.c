/* links: coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_policy_save coord/tailnet_policy_file coord/tailnet_task coord/policies_read coord/tailnet_tag coord/policy coord/policy_* coord/hujson coord/ipset coord/store coord/store_sql coord/store_cluster coord/store_stmt coord/store_cred coord/store_join coord/store_policy coord/store_load coord/migrate gen/migrations coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota */
/* Proves: who is charged to which quota, as tags, owners, node keys and quotas change; quotas are stored,
 * and go with their node or user. The relay is a list of what it was told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <unistd.h>

#define FAKE_REAL_STORE
#include "coord/tailnet_quota.h"
#include "fake_tailnet.h"

/* --- the relay -------------------------------------------------------------------------------- */

struct quota {
	int64_t bytes_per_s;
};

static int n_quotas, n_told;
static char told[256][200];		/* by first byte of the key: rates, in order */

static struct quota *
made(int64_t bytes_per_s)
{
	struct quota *q = obj_alloc(sizeof(*q));

	q->bytes_per_s = bytes_per_s;
	n_quotas++;
	return q;
}

static void
dropped(struct quota *q)
{
	n_quotas--;
	free(q);
}

static void
rate_set(struct quota *q, int64_t bytes_per_s)
{
	q->bytes_per_s = bytes_per_s;
}

static struct {
	struct quota *list[40];
	unsigned n;
} charges[256];

static void
charged(void *arg, const struct node_key *key, struct quota *const *quotas, unsigned n)
{
	(void)arg;
	n_told++;
	charges[key->b[0]].n = n;
	memcpy(charges[key->b[0]].list, quotas, n * sizeof(*quotas));
}

static const struct tailnet_quota_ops ops = {
	.make = made, .drop = dropped, .set_rate = rate_set, .charge = charged,
};

/* "500 1000": what the key is charged to now, as rates. */
static const char *
rates(int key)
{
	size_t n = 0;

	told[key][0] = '\0';
	for (unsigned i = 0; i < charges[key].n; i++)
		n += (size_t)snprintf(told[key] + n, sizeof(told[key]) - n, "%s%lld", i > 0 ? " " : "",
		    (long long)charges[key].list[i]->bytes_per_s);
	return told[key];
}

/* --- the tailnet ------------------------------------------------------------------------------ */

static int64_t ann, bob;

static int
set_up(void **state)
{
	(void)state;
	snprintf(fake_db_path, sizeof(fake_db_path), "/tmp/test_tailnet_quota.%d.db", (int)getpid());
	unlink(fake_db_path);
	memset(charges, 0, sizeof(charges));
	fake_quota_ops = &ops;
	fake_start();
	ann = fake_user("ann@example.org", USER_OWNER);
	bob = fake_user("bob@example.org", USER_MEMBER);
	n_told = 0;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	fake_stop();
	assert_int_equal(n_quotas, 0);
	unlink(fake_db_path);
	return 0;
}

static struct node *
join(int64_t user, int key, const char *tag)
{
	char text[AUTHKEY_TEXT_MAX], name[16];

	snprintf(text, sizeof(text), "%s", fake_key(user, "", tag, 0));
	snprintf(name, sizeof(name), "n%d", key);
	fake_register(&(struct fake_req){ .machine = key, .key = key, .auth = text, .hostname = name });
	fake_commit();
	assert_non_null(fake_node(key));
	return fake_node(key);
}

static enum err
set(const char *subject, int64_t bytes_per_s)
{
	struct quota_rule r;
	struct err_text why = { "" };
	enum err rc = tailnet_quota_resolve(fake.t, subject, &r, &why);

	if (rc != ERR_OK)
		return rc;
	r.bytes_per_s = bytes_per_s;
	if (bytes_per_s < 0)
		tailnet_quota_unset(fake.t, &fake_actor, &r, fake_done, NULL);
	else
		tailnet_quota_set(fake.t, &fake_actor, &r, fake_done, NULL);
	fake_commit();
	return fake.res.rc;
}

static void
tag(struct node *n, const char *a, const char *b)
{
	const char *tags[] = { a, b };

	tailnet_node_tag(fake.t, &fake_actor, n->id, tags, b != NULL ? 2 : a != NULL ? 1 : 0, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
}

/* --- tests ------------------------------------------------------------------------------------ */

static void
test_nothing_without_quotas(void **state)
{
	(void)state;
	for (int key = 10; key < 40; key++)
		join(key % 2 == 0 ? ann : bob, key, key % 3 == 0 ? "tag:a" : NULL);
	assert_int_equal(n_told, 0);
	assert_int_equal(n_quotas, 0);
	assert_int_equal(fake.t->quotas->charged.count, 0);
}

static void
test_who_is_charged(void **state)
{
	struct node *plain, *tagged, *both;

	(void)state;
	plain = join(ann, 10, NULL);
	tagged = join(ann, 11, "tag:a");
	both = join(bob, 12, "tag:a");
	tag(both, "tag:a", "tag:b");
	assert_int_equal(set("tag:a", 5000), ERR_OK);
	assert_int_equal(set("tag:b", 7000), ERR_OK);
	assert_int_equal(set("ann@example.org", 9000), ERR_OK);
	assert_string_equal(rates(10), "9000");
	assert_string_equal(rates(11), "5000");	/* not its user's */
	assert_string_equal(rates(12), "5000 7000");
	assert_ptr_equal(charges[11].list[0], charges[12].list[0]);	/* one for all */
	assert_int_equal(n_quotas, 3);

	assert_int_equal(set("default", 2000), ERR_OK);
	assert_string_equal(rates(10), "9000 2000");
	assert_string_equal(rates(12), "5000 7000 2000");
	assert_ptr_not_equal(charges[11].list[1], charges[10].list[1]);	/* each its own */
	assert_int_equal(set("n10", 3000), ERR_OK);
	assert_int_equal(set("n11", 0), ERR_OK);	/* no limit, whatever others have */
	assert_string_equal(rates(10), "9000 3000");
	assert_string_equal(rates(11), "5000");
	assert_int_equal(set("default", -1), ERR_OK);
	assert_string_equal(rates(12), "5000 7000");
	assert_string_equal(rates(10), "9000 3000");
	assert_int_equal(set("n10", -1), ERR_OK);
	assert_string_equal(rates(10), "9000");
	assert_int_equal(tailnet_quota_nodes(fake.t, &tailnet_quota_find(fake.t, "tag:a")->r), 2);

	tag(plain, "tag:b", NULL);
	assert_string_equal(rates(10), "7000");
	tag(both, "tag:b", NULL);
	assert_string_equal(rates(12), "7000");
	tag(tagged, "tag:c", NULL);
	assert_string_equal(rates(11), "");
	assert_int_equal(set("tag:a", -1), ERR_OK);
	assert_int_equal(set("tag:b", -1), ERR_OK);
	assert_string_equal(rates(12), "");
	assert_int_equal(fake.t->quotas->charged.count, 0);
	assert_int_equal(n_quotas, 1);	/* ann's, until it is unset */
}

static void
test_a_rate_changes_without_telling(void **state)
{
	(void)state;
	join(ann, 10, "tag:a");
	assert_int_equal(set("tag:a", 5000), ERR_OK);
	assert_int_equal(set("n10", 4000), ERR_OK);
	n_told = 0;
	assert_int_equal(set("tag:a", 6000), ERR_OK);
	assert_int_equal(set("n10", 4500), ERR_OK);
	assert_string_equal(rates(10), "6000 4500");
	assert_int_equal(n_told, 0);
}

static void
test_another_node_key(void **state)
{
	char text[AUTHKEY_TEXT_MAX];

	(void)state;
	join(ann, 10, NULL);
	assert_int_equal(set("n10", 4000), ERR_OK);
	snprintf(text, sizeof(text), "%s", fake_key(ann, "", NULL, 0));
	fake_register(&(struct fake_req){ .machine = 10, .key = 20, .old = 10, .auth = text,
	    .hostname = "n10" });
	fake_commit();
	assert_non_null(fake_node(20));
	assert_string_equal(rates(20), "4000");
}

static void
test_approval_and_expiry(void **state)
{
	struct node *n = join(ann, 10, NULL);

	(void)state;
	assert_int_equal(set("n10", 4000), ERR_OK);
	charges[10].n = 0;	/* the relay forgets whom it expels */
	tailnet_node_set_authorized(fake.t, &fake_actor, n->id, false, fake_done, NULL);
	fake_commit();
	assert_string_equal(rates(10), "");
	tailnet_node_set_authorized(fake.t, &fake_actor, n->id, true, fake_done, NULL);
	fake_commit();
	assert_string_equal(rates(10), "4000");
	tailnet_node_expire(fake.t, &fake_actor, n->id, fake_done, NULL);
	fake_commit();
	charges[10].n = 0;
	tailnet_node_set_expiry(fake.t, &fake_actor, n->id, 0, fake_done, NULL);
	fake_commit();
	assert_string_equal(rates(10), "4000");
}

static void
test_goes_with_node_and_user(void **state)
{
	struct node *n = join(ann, 10, NULL);
	char subject[40];

	(void)state;
	snprintf(subject, sizeof(subject), "node %lld", (long long)n->id);
	assert_int_equal(set("n10", 4000), ERR_OK);
	assert_int_equal(set("bob@example.org", 4000), ERR_OK);
	assert_non_null(tailnet_quota_find(fake.t, subject));
	tailnet_node_remove(fake.t, &fake_actor, n->id, fake_done, NULL);
	fake_commit();
	assert_null(tailnet_quota_find(fake.t, subject));
	tailnet_user_remove(fake.t, &fake_actor, bob, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_int_equal(fake.t->quotas->rules.count, 0);
	fake_stop();
	fake_start();	/* the database has forgotten them too */
	assert_int_equal(fake.t->quotas->rules.count, 0);
}

static void
test_lasts_over_a_restart(void **state)
{
	(void)state;
	join(ann, 10, "tag:a");
	join(bob, 11, NULL);
	assert_int_equal(set("tag:a", 5000), ERR_OK);
	assert_int_equal(set("bob@example.org", 6000), ERR_OK);
	assert_int_equal(set("default", 7000), ERR_OK);
	assert_int_equal(set("n10", 8000), ERR_OK);
	assert_int_equal(set("n10", 8500), ERR_OK);
	fake_stop();
	assert_int_equal(n_quotas, 0);
	memset(charges, 0, sizeof(charges));
	fake_start();
	assert_string_equal(rates(10), "5000 8500");
	assert_string_equal(rates(11), "6000 7000");
}

static void
test_configured_default(void **state)
{
	(void)state;
	join(ann, 10, NULL);
	fake_stop();
	fake_cfg_node_quota = (char[]){ "800 kbit/s" };
	fake_start();
	fake_cfg_node_quota = NULL;
	assert_string_equal(rates(10), "100000");
	assert_int_equal(set("default", 0), ERR_OK);
	assert_string_equal(rates(10), "");
	assert_int_equal(set("default", -1), ERR_OK);
	assert_string_equal(rates(10), "100000");
}

static void
test_refusals(void **state)
{
	static const struct {
		const char *subject;
		int64_t bytes_per_s;
		enum err rc;
	} cases[] = {
		{ "nobody", 5000, ERR_NOTFOUND }, { "tag:", 5000, ERR_INVAL }, { "tag:a", 0, ERR_INVAL },
		{ "tag:a", 999, ERR_INVAL }, { "tag:a", -1, ERR_NOTFOUND }, { "same", 5000, ERR_INVAL },
		{ "user:n10", 5000, ERR_NOTFOUND }, { "node:bob@example.org", 5000, ERR_NOTFOUND },
		{ "node:same", 5000, ERR_OK }, { "user:same", 5000, ERR_OK },
	};
	struct node *n = join(ann, 10, NULL);

	(void)state;
	fake_user("same", USER_MEMBER);
	tailnet_node_rename(fake.t, &fake_actor, n->id, "same", fake_done, NULL);
	fake_commit();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		enum err rc = set(cases[i].subject, cases[i].bytes_per_s);

		if (rc != cases[i].rc)
			fail_msg("%s %lld: %s", cases[i].subject, (long long)cases[i].bytes_per_s, err_str(rc));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_nothing_without_quotas, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_who_is_charged, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_rate_changes_without_telling, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_another_node_key, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_approval_and_expiry, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_goes_with_node_and_user, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lasts_over_a_restart, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_configured_default, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
