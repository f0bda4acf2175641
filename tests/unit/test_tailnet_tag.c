/* links: coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_policy_save coord/tailnet_policy_file coord/tailnet_task coord/policies_read coord/tailnet_tag coord/policy coord/policy_* coord/hujson coord/ipset coord/store coord/store_sql coord/store_cluster coord/store_stmt coord/store_cred coord/store_join coord/store_policy coord/store_load coord/migrate gen/migrations coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota */
/* Who may give which tag: keys, what devices ask for, administrators; with tagOwners and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "saved_policy.h"

#define OWNERS "{\"acls\": [], \"groups\": {\"group:ops\": [\"bob@example.org\"]}, \"tagOwners\": {" \
	"\"tag:k3s\": [\"group:ops\"], \"tag:edge\": [\"tag:k3s\"], \"tag:deep\": [\"tag:edge\"], " \
	"\"tag:none\": []}}"

static void
test_tags(void **state)
{
	static const struct {
		const char *user, *key_tag, *asked;
		const char *refused;	/* NULL: it joins */
		const char *tags;	/* then */
	} cases[] = {
		{ "bob@example.org", NULL, "[\"tag:k3s\"]", NULL, "tag:k3s" },
		{ "bob@example.org", NULL, "[\"tag:deep\",\"tag:k3s\"]", NULL, "tag:deep tag:k3s" },
		{ "bob@example.org", NULL, "[\"tag:none\"]", "[tag:none] are invalid or not permitted: user "
		  "bob@example.org does not own tag:none", NULL },
		{ "bob@example.org", NULL, "[\"tag:k3s\",\"tag:zoo\"]", "[tag:zoo] are invalid or not "
		  "permitted: tag:zoo is not among the tagOwners", NULL },
		{ "ann@example.org", NULL, "[\"tag:none\"]", NULL, "tag:none" },	/* an administrator */
		{ "ann@example.org", NULL, "[\"tag:zoo\"]", "tag:zoo is not among the tagOwners", NULL },
		{ "ann@example.org", "tag:k3s", "[\"tag:edge\"]", NULL, "tag:edge tag:k3s" },
		{ "ann@example.org", "tag:k3s", "[\"tag:deep\"]", NULL, "tag:deep tag:k3s" },
		{ "ann@example.org", "tag:k3s", "[]", NULL, "tag:k3s" },
		{ "ann@example.org", "tag:edge", "[\"tag:k3s\"]", "[tag:k3s] are invalid or not "
		  "permitted: none of [tag:edge] owns tag:k3s", NULL },
	};
	char text[AUTHKEY_TEXT_MAX], tags[200];

	(void)state;
	set(OWNERS);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct user *u = tailnet_user_find(fake.t, cases[i].user);

		snprintf(text, sizeof(text), "%s", fake_key(u->id, "", cases[i].key_tag, 0));
		fake_register(&(struct fake_req){ .machine = 10 + (int)i, .key = 10 + (int)i, .auth = text,
		    .tags = cases[i].asked });
		fake_commit();
		if (cases[i].refused != NULL) {
			if (strstr(fake_reply()->body, cases[i].refused) == NULL)
				fail_msg("case %zu: %s", i, fake_reply()->body);
			assert_null(fake_node(10 + (int)i));
			continue;
		}
		if (fake_node(10 + (int)i) == NULL)
			fail_msg("case %zu: %s", i, fake_reply()->body);
		tailnet_tags_say(tags, sizeof(tags), fake_node(10 + (int)i)->tags,
		    fake_node(10 + (int)i)->n_tags);
		assert_string_equal(tags, cases[i].tags);
	}
}

/* An administrator gives any tag that is defined; then the key does not expire and the node is no longer its
 * user's. */
static void
test_tags_given(void **state)
{
	static const char *const good[] = { "tag:none" }, *const bad[] = { "tag:zoo" };
	struct user *bob = tailnet_user_find(fake.t, "bob@example.org");
	struct tailnet_key_spec spec = { .user_id = bob->id, .tags = bad, .n_tags = 1 };
	char text[AUTHKEY_TEXT_MAX];
	struct node *n;

	(void)state;
	snprintf(text, sizeof(text), "%s", fake_key(bob->id, "", NULL, 0));
	assert_int_equal(register_once(1, text), 200);
	n = fake_node(1);
	assert_int_not_equal(n->key_expiry_unix_s, 0);
	tailnet_node_tag(fake.t, &fake_actor, n->id, bad, 1, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);	/* no policy says otherwise */
	tailnet_node_tag(fake.t, &fake_actor, n->id, NULL, 0, fake_done, NULL);
	fake_commit();
	set(OWNERS);
	tailnet_node_tag(fake.t, &fake_actor, n->id, bad, 1, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
	assert_non_null(strstr(fake.res.why.s, "tag:zoo is not among the tagOwners"));
	tailnet_node_tag(fake.t, &fake_actor, n->id, good, 1, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_int_equal(n->key_expiry_unix_s, 0);
	assert_int_equal(node_owner_id(n), USER_TAGGED_ID);
	tailnet_key_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	assert_int_equal(fake.res.rc, ERR_INVAL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_tags), TEST(test_tags_given) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
