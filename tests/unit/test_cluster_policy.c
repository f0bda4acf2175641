/* links: coord/cluster coord/cluster_policy coord/hujson coord/hujson_edit coord/ipset coord/tag coord/policy coord/policy_parse* */
/* What a cluster needs in the policy: the text that comes out is a policy that says it, nothing
 * else in it moves, and it goes again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "coord/cluster_policy.h"
#include "coord/policy.h"

static struct cluster
cluster_of(const char *name, const char *pod4, const char *pod6)
{
	struct cluster c = { .n_lan = 0 };

	strcpy(c.name, name);
	strcat(strcpy(c.tag, CLUSTER_TAG_PREFIX), name);
	assert_int_equal(net_prefix_parse(pod4, strlen(pod4), &c.range[CLUSTER_POD4]), ERR_OK);
	if (pod6 != NULL)
		assert_int_equal(net_prefix_parse(pod6, strlen(pod6), &c.range[CLUSTER_POD6]), ERR_OK);
	return c;
}

static struct policy *
parse(struct buf *text)
{
	struct policy_errors errors = { .n = 0 };
	struct policy *p;
	struct buf told = { .len = 0 };

	if (policy_parse((const char *)text->p, text->len, &p, &errors) != ERR_OK) {
		policy_errors_put(&told, &errors);
		fail_msg("%s in\n%s", buf_cstr(&told), buf_cstr(text));
	}
	policy_errors_fini(&errors);
	return p;
}

static void
add(struct buf *text, const struct cluster *c, struct cluster_policy_how how)
{
	struct err_text why = { "" };

	if (cluster_policy_add(text, c, &how, &why) != ERR_OK)
		fail_msg("%s", why.s);
}

static void
test_without_policy(void **state)
{
	char *tags[] = { (char []){ "tag:cam" }, (char []){ "tag:k3s" } };
	struct cluster c = cluster_of("edge-a", "10.42.0.0/16", NULL);
	struct buf text = { .len = 0 };
	struct policy *p;

	(void)state;
	add(&text, &c, (struct cluster_policy_how){ .tags = tags, .n_tags = COUNT_OF(tags) });
	assert_string_equal(buf_cstr(&text), "{\n"
	    "\t\"tagOwners\": {\n"
	    "\t\t\"tag:k3s-edge-a\": [\"autogroup:admin\"],\n"
	    "\t\t\"tag:cam\": [\"autogroup:admin\"],\n"
	    "\t\t\"tag:k3s\": [\"autogroup:admin\"]\n"
	    "\t},\n"
	    "\t\"autoApprovers\": {\n"
	    "\t\t\"routes\": {\n"
	    "\t\t\t\"10.42.0.0/16\": [\"tag:k3s-edge-a\"]\n"
	    "\t\t}\n"
	    "\t}\n"
	    "}\n");
	p = parse(&text);
	assert_false(p->has_rules);		/* everything stays allowed */
	assert_int_equal(p->n_routes, 1);
	policy_drop(p);
	/* the second one beside it; tags that somebody took out of the text stay out */
	c = cluster_of("edge-b", "10.44.0.0/16", "fd12:3456:789a:4200::/56");
	add(&text, &c, (struct cluster_policy_how){ .tags = (char *[]){ (char []){ "tag:new" } },
	    .n_tags = 1 });
	p = parse(&text);
	assert_false(p->has_rules);
	assert_int_equal(p->n_routes, 3);
	assert_int_equal(p->n_tags, 4);
	policy_drop(p);
	buf_fini(&text);
}

static void
test_isolated(void **state)
{
	struct cluster c = cluster_of("edge-a", "10.42.0.0/16", NULL);
	struct buf text = { .len = 0 };
	struct policy *p;

	(void)state;
	add(&text, &c, (struct cluster_policy_how){ .is_isolated = true });
	p = parse(&text);
	assert_true(p->has_rules);
	assert_int_equal(p->n_rules, 2);
	policy_drop(p);
	buf_fini(&text);
}

#define COMMENTED "// our network\n{\n" \
	"  \"tagOwners\": {\"tag:web\": []}, // who\n" \
	"  /* what is allowed */\n" \
	"  \"acls\": [\n" \
	"    // people\n" \
	"    {\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"tag:web:443\"]},\n" \
	"  ],\n" \
	"}\n"

static void
test_with_rules(void **state)
{
	struct cluster c = cluster_of("edge-a", "10.42.0.0/16", "2001:cafe:42::/56");
	struct buf text = { .len = 0 }, again = { .len = 0 };
	struct err_text why = { "" };
	struct policy *p;

	(void)state;
	buf_str(&text, COMMENTED);
	add(&text, &c, (struct cluster_policy_how){ .has_rules = true });
	assert_string_equal(buf_cstr(&text), "// our network\n{\n"
	    "  \"tagOwners\": {\"tag:web\": [], \"tag:k3s-edge-a\": [\"autogroup:admin\"]}, // who\n"
	    "  /* what is allowed */\n"
	    "  \"acls\": [\n"
	    "    // people\n"
	    "    {\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"tag:web:443\"]},\n"
	    "    {\n"
	    "      \"action\": \"accept\",\n"
	    "      \"src\": [\"tag:k3s-edge-a\", \"10.42.0.0/16\", \"2001:cafe:42::/56\"],\n"
	    "      \"dst\": [\"tag:k3s-edge-a:*\", \"10.42.0.0/16:*\", \"2001:cafe:42::/56:*\"]\n"
	    "    },\n"
	    "  ],\n"
	    "  \"autoApprovers\": {\n"
	    "    \"routes\": {\n"
	    "      \"10.42.0.0/16\": [\"tag:k3s-edge-a\"],\n"
	    "      \"2001:cafe:42::/56\": [\"tag:k3s-edge-a\"]\n"
	    "    }\n"
	    "  },\n"
	    "}\n");
	p = parse(&text);
	assert_int_equal(p->n_rules, 2);
	assert_int_equal(p->n_routes, 2);
	policy_drop(p);
	/* once more changes nothing */
	buf_str(&again, buf_cstr(&text));
	add(&again, &c, (struct cluster_policy_how){ .has_rules = true });
	assert_string_equal(buf_cstr(&again), buf_cstr(&text));
	/* and back */
	assert_int_equal(cluster_policy_remove(&text, &c, &why), ERR_OK);
	assert_string_equal(buf_cstr(&text), "// our network\n{\n"
	    "  \"tagOwners\": {\"tag:web\": []}, // who\n"
	    "  /* what is allowed */\n"
	    "  \"acls\": [\n"
	    "    // people\n"
	    "    {\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": [\"tag:web:443\"]},\n"
	    "  ],\n"
	    "  \"autoApprovers\": {\n"
	    "    \"routes\": {\n"
	    "    }\n"
	    "  },\n"
	    "}\n");
	policy_drop(parse(&text));
	buf_fini(&text);
	buf_fini(&again);
}

/* A prefix that others are approved for keeps them; a tag that is used elsewhere stays. */
static void
test_shared(void **state)
{
	struct cluster c = cluster_of("edge-a", "10.42.0.0/16", NULL);
	struct buf text = { .len = 0 };
	struct err_text why = { "" };

	(void)state;
	buf_str(&text, "{\"tagOwners\": {\"tag:gw\": []}, \"autoApprovers\": {\"routes\": "
	    "{\"10.42.0.0/16\": [\"tag:gw\"]}},\n"
	    "\"ssh\": [{\"action\": \"accept\", \"src\": [\"autogroup:member\"], \"dst\": "
	    "[\"tag:k3s-edge-a\"], "
	    "\"users\": [\"root\"]}]}");
	add(&text, &c, (struct cluster_policy_how){ .has_rules = false });
	assert_non_null(strstr(buf_cstr(&text), "{\"10.42.0.0/16\": [\"tag:gw\", \"tag:k3s-edge-a\"]}"));
	policy_drop(parse(&text));
	assert_int_equal(cluster_policy_remove(&text, &c, &why), ERR_OK);
	assert_non_null(strstr(buf_cstr(&text), "{\"10.42.0.0/16\": [\"tag:gw\"]}"));
	assert_non_null(strstr(buf_cstr(&text), "\"tag:k3s-edge-a\": [\"autogroup:admin\"]"));
	policy_drop(parse(&text));
	buf_fini(&text);
}

static void
test_refused(void **state)
{
	static const struct { const char *text, *why; } cases[] = {
		{ "[]", "the text is a list" },
		{ "{\"tagOwners\": [] }", "\"tagOwners\" is a list, where an object is wanted" },
		{ "{\"autoApprovers\": {\"routes\": {\"10.42.0.0/16\": \"tag:x\"}}}",
		  "is a string, where a list is wanted" },
	};
	struct cluster c = cluster_of("edge-a", "10.42.0.0/16", NULL);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf text = { .len = 0 };
		struct err_text why = { "" };

		buf_str(&text, cases[i].text);
		assert_int_equal(cluster_policy_add(&text, &c, &(struct cluster_policy_how){ .n_tags =
		    0 }, &why), ERR_INVAL);
		assert_non_null(strstr(why.s, cases[i].why));
		buf_fini(&text);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_without_policy),
		cmocka_unit_test(test_isolated),
		cmocka_unit_test(test_with_rules),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
