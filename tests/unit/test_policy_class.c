/* links: coord/policy_class coord/tag */
/* Proves: nodes with the same owner or the same tags are one class, and a class goes with its
 * last node. */
#include "map_fixture.h"

#include "coord/policy_class.h"

static void
classes(void **state)
{
	static const char *const ab[] = { "tag:a", "tag:b" }, *const joined[] = { "tag:atag:b" };
	struct policy_class_table t;
	struct node *n[6];
	struct policy_class *c[6];

	(void)state;
	policy_class_init(&t, &policy_class_allow_all);
	for (unsigned i = 0; i < 6; i++)
		n[i] = fx_node(i + 1, 1 + i / 2 % 2);	/* owners 1 1 2 2 1 1 */
	fx_tags(n[3], ab, 2);
	fx_tags(n[4], ab, 2);
	fx_tags(n[5], joined, 1);
	for (unsigned i = 0; i < 6; i++)
		c[i] = policy_class_join(&t, n[i]);
	assert_ptr_equal(c[0], c[1]);
	assert_ptr_not_equal(c[0], c[2]);
	assert_ptr_equal(c[3], c[4]);		/* tags count, whoever registered them */
	assert_ptr_not_equal(c[3], c[5]);
	assert_ptr_not_equal(c[2], c[3]);
	for (unsigned i = 0; i < 6; i++)
		for (unsigned k = 0; k < 6; k++)
			assert_int_equal(policy_class_has(c[i], n[k]), c[i] == c[k]);
	assert_int_equal(t._by_key.count, 4);
	for (unsigned i = 0; i < 6; i++)
		policy_class_leave(&t, c[i]);
	assert_int_equal(t._by_key.count, 0);
	for (unsigned i = 0; i < 6; i++)
		fx_node_free(n[i]);
	policy_class_fini(&t);
}

static void
allow_all(void **state)
{
	struct policy_class_table t;
	struct node *n = fx_node(1, 1);
	json_error_t e;

	(void)state;
	policy_class_init(&t, &policy_class_allow_all);
	struct policy_class *c = policy_class_join(&t, n);
	assert_int_equal(c->row, 1);
	assert_true(policy_class_sees(&t, 1, 1));
	json_t *v = json_loadb((const char *)c->filter->bytes, c->filter->len, 0, &e);
	json_t *rule = json_array_get(v, 0), *dst = json_array_get(json_object_get(rule, "DstPorts"), 0);
	assert_string_equal(json_string_value(json_array_get(json_object_get(rule, "SrcIPs"), 0)), "*");
	assert_string_equal(json_string_value(json_object_get(dst, "IP")), "*");
	json_t *ports = json_object_get(dst, "Ports");
	assert_int_equal(json_integer_value(json_object_get(ports, "First")), 0);
	assert_int_equal(json_integer_value(json_object_get(ports, "Last")), 65535);
	json_decref(v);
	const struct shbuf *before = c->filter;
	policy_class_refilter(&t);
	assert_ptr_not_equal(before, c->filter);
	policy_class_fini(&t);		/* frees what is left */
	fx_node_free(n);
}

/* Nodes that wait for approval, whoever owns them: one class, in a row that sees nobody. */
static void
waiting(void **state)
{
	static const char *const tags[] = { "tag:a" };
	struct policy_class_table t;
	struct node *n[3];
	struct policy_class *c[3];

	(void)state;
	policy_class_init(&t, &policy_class_allow_all);
	for (unsigned i = 0; i < 3; i++)
		n[i] = fx_node(i + 1, i + 1);
	fx_tags(n[1], tags, 1);
	n[0]->is_authorized = n[1]->is_authorized = false;
	for (unsigned i = 0; i < 3; i++)
		c[i] = policy_class_join(&t, n[i]);
	assert_ptr_equal(c[0], c[1]);
	assert_ptr_not_equal(c[0], c[2]);
	assert_int_equal(c[0]->row, POLICY_CLASS_ROW_WAITING);
	assert_false(policy_class_sees(&t, c[0]->row, c[0]->row));
	assert_false(policy_class_sees(&t, c[0]->row, c[2]->row));
	assert_false(policy_class_sees(&t, c[2]->row, c[0]->row));
	assert_int_equal(c[0]->filter->len, 2);
	policy_class_refilter(&t);
	assert_int_equal(c[0]->filter->len, 2);
	assert_true(policy_class_has(c[0], n[1]));
	assert_false(policy_class_has(c[0], n[2]));
	assert_false(policy_class_has(c[2], n[0]));
	n[1]->is_authorized = true;
	assert_false(policy_class_has(c[0], n[1]));
	for (unsigned i = 0; i < 3; i++) {
		policy_class_leave(&t, c[i]);
		fx_node_free(n[i]);
	}
	policy_class_fini(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes),
		cmocka_unit_test(allow_all),
		cmocka_unit_test(waiting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
