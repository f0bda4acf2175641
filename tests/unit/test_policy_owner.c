/* links: coord/policy coord/policy_users coord/policy_owner coord/hujson coord/ipset coord/tag coord/policy_parse coord/policy_parse_cap coord/policy_parse_ipset coord/policy_parse_names coord/policy_parse_posture coord/policy_parse_rule coord/policy_parse_sel coord/policy_parse_ssh coord/policy_parse_test */
/* Whom a token of a policy means, and who may give which tag. */
#include "coord/policy_owner.h"
#include "coord/policy_users.h"
#include "tests/unit/policy_text.h"

static struct user people[] = {
	{ .id = 1, .name = "alice", .email = "alice@example.com", .role = USER_MEMBER },
	{ .id = 2, .name = "bob", .email = "bob@example.com", .provider_id = "idp/2",
	  .role = USER_MEMBER },
	{ .id = 3, .name = "carol", .email = "carol@Corp.example", .role = USER_ADMIN },
	{ .id = 4, .name = "eve@example.com", .email = "eve@example.com", .role = USER_OWNER },
	{ .id = 5, .name = "dan", .email = "shared@example.com", .role = USER_NETWORK_ADMIN },
	{ .id = 6, .name = "dora", .email = "shared@example.com", .role = USER_AUDITOR },
	/* Named as another one's id is: the id counts. */
	{ .id = 7, .name = "idp/2", .role = USER_MEMBER },
	{ .id = 8, .name = "f1", .provider_id = "twice", .role = USER_MEMBER },
	{ .id = 9, .name = "f2", .provider_id = "twice", .role = USER_MEMBER },
};

static struct map
map_of_people(void)
{
	struct map users;

	MAP_INIT(&users, struct user, id);
	for (size_t i = 0; i < COUNT_OF(people); i++)
		assert_null(map_put(&users, &people[i]));
	return users;
}

static void
test_find(void **state)
{
	static const struct { const char *token; int64_t id; } cases[] = {
		{ "alice", 1 }, { "alice@example.com", 1 }, { "bob", 2 }, { "idp/2", 2 },
		{ "Alice", 0 }, { "alice@", 0 }, { "", 0 }, { "nobody", 0 },
		{ "carol@Corp.example", 3 }, { "carol@corp.example", 0 }, { "eve@example.com", 4 },
		{ "shared@example.com", 0 }, { "dan", 5 }, { "twice", 0 },
	};
	struct map users = map_of_people();
	struct policy_users *index = policy_users_new(&users);
	char longest[USER_NAME_MAX + 2];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct user *a = policy_user_find(&users, cases[i].token);
		const struct user *b = policy_users_find(index, cases[i].token);

		if ((a == NULL ? 0 : a->id) != cases[i].id || a != b)
			fail_msg("%s: %s, %s", cases[i].token, a == NULL ? "-" : a->name,
			    b == NULL ? "-" : b->name);
	}
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_null(policy_users_find(index, longest));
	policy_users_free(index);
	policy_users_free(NULL);
	map_fini(&users);
}

static void
test_check(void **state)
{
	static const struct { const char *text, *want; } cases[] = {
		{ "{\"acls\":[{\"action\":\"accept\",\"src\":[\"alice@\",\"nobody@\",\"eve@example.com\"]}]}",
		  NULL },
		{ "{\"acls\":[{\"action\":\"accept\",\"src\":[\"shared@example.com\"]}]}",
		  "line 1, column 36: multiple users found: \"shared@example.com\"" },
		{ "{\"groups\":{\"group:g\":[\"alice@\",\n\"shared@example.com\"]}}",
		  "line 2, column 1: mult" },
		{ "{\"tagOwners\":{\"tag:a\":[\"shared@example.com\"]}}", "multiple users found" },
		{ "{\"autoApprovers\":{\"exitNode\":[\"shared@example.com\"]}}", "multiple users found" },
		{ "{\"grants\":[{\"ip\":[\"*\"],\"dst\":[\"shared@example.com\"]}]}", "multiple users found" },
		{ "{\"ssh\":[{\"action\":\"accept\",\"users\":[\"a\"],\"src\":[\"shared@example.com\"]}]}",
		  "multiple users found" },
		{ "{\"acls\":[{\"action\":\"accept\",\"src\":[\"twice@\"]}]}", "\"twice\" is the name" },
	};
	struct map users = map_of_people();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct policy *p = policy_of(cases[i].text);
		struct policy_errors errors = { 0 };
		struct buf b = { 0 };
		enum err rc = policy_check_users(p, &users, &errors);

		policy_errors_put(&b, &errors);
		assert_int_equal(rc, cases[i].want == NULL ? ERR_OK : ERR_INVAL);
		assert_int_equal(errors.n, cases[i].want == NULL ? 0 : 1);
		if (cases[i].want != NULL)
			assert_non_null(strstr(buf_cstr(&b), cases[i].want));
		buf_fini(&b);
		policy_errors_fini(&errors);
		policy_drop(p);
	}
	map_fini(&users);
}

static const char owners[] = "{\"groups\":{\"group:ops\":[\"alice@\",\"shared@example.com\"]},"
    "\"tagOwners\":{\"tag:mine\":[\"alice@\"],\"tag:ops\":[\"group:ops\"],\"tag:empty\":[],"
    "\"tag:all\":[\"autogroup:member\"],\"tag:audit\":[\"autogroup:auditor\"],"
    "\"tag:corp\":[\"user:*@EXAMPLE.com\"],\"tag:b\":[\"tag:mine\"],\"tag:c\":[\"tag:b\",\"tag:d\"],"
    "\"tag:d\":[\"tag:c\"],\"tag:self\":[\"tag:self\"],\"tag:any\":[\"autogroup:tagged\"]}}";

static void
test_user_owns(void **state)
{
	static const struct { int user; const char *tag; bool want; } cases[] = {
		{ 1, "tag:mine", true }, { 1, "tag:ops", true }, { 1, "tag:empty", false },
		{ 1, "tag:all", true }, { 1, "tag:audit", false }, { 1, "tag:corp", true },
		{ 1, "tag:b", true }, { 1, "tag:c", true }, { 1, "tag:d", true }, { 1, "tag:self", false },
		{ 1, "tag:any", false }, { 1, "tag:unknown", false }, { 1, "", false },
		{ 2, "tag:mine", false }, { 2, "tag:ops", false }, { 2, "tag:d", false },
		{ 2, "tag:corp", true }, { 7, "tag:corp", false }, { 7, "tag:all", true },
		/* Those who administer the network own what is defined. */
		{ 3, "tag:empty", true }, { 4, "tag:mine", true }, { 5, "tag:self", true },
		{ 3, "tag:unknown", false },
		{ 6, "tag:empty", false }, { 6, "tag:audit", true },
		{ 6, "tag:ops", false },	/* the e-mail address is two users': nobody's */
	};
	struct policy *p = policy_of(owners);
	struct map users = map_of_people();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct user *u = &people[cases[i].user - 1];

		if (policy_user_owns(p, &users, u, cases[i].tag) != cases[i].want)
			fail_msg("%s and %s", u->name, cases[i].tag);
	}
	map_fini(&users);
	policy_drop(p);
}

static void
test_tags_own(void **state)
{
	static const struct { char *tags[2]; const char *tag; bool want; } cases[] = {
		{ { "tag:mine" }, "tag:mine", true }, { { "tag:mine" }, "tag:d", true },
		{ { "tag:c" }, "tag:d", true }, { { "tag:d" }, "tag:c", true }, { { "tag:d" }, "tag:b", false },
		{ { "tag:x", "tag:b" }, "tag:d", true }, { { "tag:x", "tag:y" }, "tag:y", true },
		{ { "tag:x", "tag:y" }, "tag:mine", false }, { { NULL }, "tag:any", false },
		{ { "tag:x" }, "tag:any", true }, { { "tag:mine" }, "tag:unknown", false },
		{ { "tag:empty" }, "tag:empty", true }, { { NULL }, "tag:empty", false },
	};
	struct policy *p = policy_of(owners), *none = policy_of("{}");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		unsigned n = cases[i].tags[0] == NULL ? 0 : cases[i].tags[1] == NULL ? 1 : 2;

		if (policy_tags_own(p, cases[i].tags, n, cases[i].tag) != cases[i].want)
			fail_msg("%s and %s", n == 0 ? "none" : cases[i].tags[0], cases[i].tag);
	}
	assert_true(policy_tag_is_defined(p, "tag:empty"));
	assert_false(policy_tag_is_defined(p, "tag:emptyx"));
	assert_false(policy_tag_is_defined(none, "tag:mine"));
	assert_false(policy_tags_own(none, NULL, 0, "tag:mine"));
	policy_drop(p);
	policy_drop(none);
}

static void
test_pools(void **state)
{
	static const struct { int user; char *tag; const char *want; } cases[] = {
		{ 1, NULL, "100.80.0.0/16 100.99.0.0/24 " }, { 2, NULL, "100.99.0.0/24 " },
		{ 0, "tag:k3s", "100.81.0.0/16 100.82.0.7/32 100.99.0.0/24 " },
		{ 0, "tag:other", "100.81.0.0/16 100.82.0.7/32 100.99.0.0/24 " },
		{ 0, "tag:x", "100.99.0.0/24 " },
	};
	struct policy *p = policy_of("{\"tagOwners\":"
	    "{\"tag:k3s\":[],\"tag:other\":[],\"tag:x\":[]},\"nodeAttrs\":["
	    "{\"target\":[\"alice@\"],\"ipPool\":[\"100.80.0.0/16\"]},"
	    "{\"target\":[\"tag:k3s\",\"tag:other\"],\"ipPool\":[\"100.81.0.0/16\",\"100.82.0.7\"]},"
	    "{\"target\":[\"tag:x\"],\"attr\":[\"funnel\"]},"
	    "{\"target\":[\"*\"],\"ipPool\":[\"100.99.0.0/24\"]}]}");
	struct map users = map_of_people();

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct net_prefix out[8];
		struct buf b = { 0 };
		char text[NET_TEXT_MAX], *tags[] = { cases[i].tag };
		unsigned n = policy_pools(p, &users, cases[i].user == 0 ? NULL : &people[cases[i].user - 1],
		    tags, cases[i].tag != NULL, out, COUNT_OF(out));

		for (unsigned k = 0; k < n; k++)
			buf_printf(&b, "%s ", net_prefix_put(&out[k], text));
		assert_string_equal(buf_cstr(&b), cases[i].want);
		assert_int_equal(policy_pools(p, &users, NULL, tags, cases[i].tag != NULL, out, 1), 1);
		buf_fini(&b);
	}
	map_fini(&users);
	policy_drop(p);
}

/* A chain as long as a policy may have: no deep calls, each tag looked at once. */
static void
test_long_chain(void **state)
{
	struct buf b = { 0 };
	struct map users = map_of_people();
	char *bottom[] = { "tag:t0" };

	(void)state;
	buf_str(&b, "{\"tagOwners\":{\"tag:t0\":[\"alice@\",\"tag:t19999\"]");
	for (unsigned i = 1; i < 20000; i++)
		buf_printf(&b, ",\"tag:t%u\":[\"tag:t%u\"]", i, i - 1);
	buf_str(&b, "}}");
	struct policy *p = policy_of(buf_cstr(&b));
	assert_true(policy_user_owns(p, &users, &people[0], "tag:t19999"));
	assert_false(policy_user_owns(p, &users, &people[1], "tag:t19999"));
	assert_true(policy_tags_own(p, bottom, 1, "tag:t19999"));
	policy_drop(p);
	map_fini(&users);
	buf_fini(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_find),
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_user_owns),
		cmocka_unit_test(test_tags_own),
		cmocka_unit_test(test_pools),
		cmocka_unit_test(test_long_chain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
