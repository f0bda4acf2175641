/* links: coord/region coord/relay_hello server/regions_file */
/* Proves which regions, nodes and first words of relays are taken, and that what is refused says why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/relay_hello.h"
#include "server/regions_file.h"

#define PIN "sha256-raw:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define KEY "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void
test_nodes(void **state)
{
	static const struct { const char *json, *why; } cases[] = {
		{ "{\"hostname\":\"derp.example.org\"}", NULL },
		{ "{\"hostname\":\"192.0.2.1\",\"certName\":\"" PIN "\",\"stunPort\":-1,"
		    "\"derpPort\":1}", NULL },
		{ "{\"hostname\":\"2001:db8::1\",\"ipv4\":\"none\",\"ipv6\":\"2001:db8::1\"}", NULL },
		{ "{\"hostname\":\"a\",\"certName\":\"front.example\",\"mesh\":true,"
		    "\"canPort80\":true}", NULL },
		{ "{}", "hostname" },
		{ "[]", "a node is an object" },
		{ "{\"hostname\":\"-a\"}", "hostname" },
		{ "{\"hostname\":\"a..b\"}", "hostname" },
		{ "{\"hostname\":\"a/b\"}", "hostname" },
		{ "{\"hostname\":\"A\"}", "lower case" },
		{ "{\"hostname\":7}", "hostname must be a string" },
		{ "{\"hostname\":\"a\",\"derpPort\":0}", "derpPort is a number from 1" },
		{ "{\"hostname\":\"a\",\"derpPort\":-1}", "derpPort is a number from 1" },
		{ "{\"hostname\":\"a\",\"derpPort\":70000}", "derpPort must be a port" },
		{ "{\"hostname\":\"a\",\"stunPort\":0}", "stunPort is a number" },
		{ "{\"hostname\":\"a\",\"ipv4\":\"::1\"}", "ipv4" },
		{ "{\"hostname\":\"a\",\"ipv6\":\"10.0.0.1\"}", "ipv6" },
		{ "{\"hostname\":\"a\",\"certName\":\"sha256-raw:00\"}", "certName" },
		{ "{\"hostname\":\"a\",\"mesh\":1}", "mesh must be true or false" },
		{ "{\"hostname\":\"a\",\"name\":\"A b\"}", "name" },
		{ "{\"hostname\":\"a\",\"x\":1}", "no member \"x\"" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		json_t *v = json_loads(cases[i].json, 0, NULL);
		struct region_node n, again;
		struct err_text why = { "" };
		enum err rc = region_node_parse(v, &n, &why);

		json_decref(v);
		if (cases[i].why != NULL) {
			assert_int_not_equal(rc, ERR_OK);
			if (strstr(why.s, cases[i].why) == NULL)
				fail_msg("%s: %s", cases[i].json, why.s);
			continue;
		}
		/* Written and read again it is the same. */
		struct buf b = { .len = 0 };
		struct json_writer w;

		assert_int_equal(rc, ERR_OK);
		json_w_init(&w, &b);
		region_node_put(&n, NULL, &w);
		assert_non_null(v = json_loads(buf_cstr(&b), 0, NULL));
		assert_int_equal(region_node_parse(v, &again, &why), ERR_OK);
		assert_true(region_node_eq(&n, &again));
		json_decref(v);
		buf_fini(&b);
	}
}

static void
test_names_of_nodes(void **state)
{
	struct region r = { .id = 5, .code = "x", .name = "X" };
	json_t *v = json_loads("[{\"hostname\":\"a\"},{\"hostname\":\"b\",\"name\":\"5a\"},"
	    "{\"hostname\":\"c\"}]", 0, NULL);
	struct err_text why;

	(void)state;
	assert_int_equal(region_nodes_parse(v, &r, &why), ERR_OK);
	assert_int_equal(r.n_nodes, 3);
	assert_string_equal(r.nodes[0].name, "5b");
	assert_string_equal(r.nodes[1].name, "5a");
	assert_string_equal(r.nodes[2].name, "5c");
	assert_int_equal(region_check(&r, &why), ERR_OK);
	memcpy(r.nodes[2].name, "5a", 3);
	assert_int_equal(region_check(&r, &why), ERR_INVAL);
	json_decref(v);
	v = json_array();
	for (int i = 0; i <= REGION_NODES_MAX; i++)
		json_array_append_new(v, json_pack("{s:s}", "hostname", "a"));
	assert_int_equal(region_nodes_parse(v, &r, &why), ERR_LIMIT);
	assert_int_equal(r.n_nodes, 3);
	json_decref(v);
}

static void
test_mesh_targets(void **state)
{
	static const struct { struct region_node n; const char *want; } cases[] = {
		{ { .host = "derp.example", .derp_port = 443 }, "https://derp.example:443" },
		{ { .host = "192.0.2.1", .cert_name = PIN, .derp_port = 8443 },
		    "https://" PIN "@192.0.2.1:8443" },
		{ { .host = "2001:db8::1", .derp_port = 1 }, "https://[2001:db8::1]:1" },
		{ { .host = "a", .cert_name = "front.example", .derp_port = 443 }, "https://a:443" },
	};
	char text[REGION_MESH_TARGET_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		region_mesh_target_put(&cases[i].n, text, sizeof(text));
		assert_string_equal(text, cases[i].want);
	}
}

static void
test_hello(void **state)
{
	static const struct { const char *json, *host, *why; } cases[] = {
		{ "{\"version\":\"1\",\"derpKey\":\"" KEY "\",\"node\":{}}", "203.0.113.9", NULL },
		{ "{\"version\":\"1\",\"derpKey\":\"" KEY "\",\"node\":{\"hostname\":\"\",\"name\":\"x\","
		    "\"mesh\":true}}", "203.0.113.9", NULL },
		{ "{\"derpKey\":\"" KEY "\",\"node\":{\"hostname\":\"r.example\"}}", "r.example", NULL },
		{ "{\"derpKey\":\"" KEY "\"}", NULL, "node is missing" },
		{ "{\"derpKey\":\"00\",\"node\":{}}", NULL, "derpKey" },
		{ "{\"node\":{}}", NULL, "derpKey" },
		{ "{\"derpKey\":\"" KEY "\",\"node\":[]}", NULL, "node is missing" },
		{ "{\"derpKey\":\"" KEY "\",\"node\":{\"derpPort\":0}}", NULL, "derpPort" },
	};
	struct net_ip from = { .family = 4, .b = { 203, 0, 113, 9 } };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		json_t *v = json_loads(cases[i].json, 0, NULL);
		struct relay_hello h;
		struct err_text why = { "" };
		enum err rc = relay_hello_parse(v, "edge", &from, &h, &why);

		json_decref(v);
		if (cases[i].why != NULL) {
			assert_int_not_equal(rc, ERR_OK);
			assert_non_null(strstr(why.s, cases[i].why));
			continue;
		}
		assert_int_equal(rc, ERR_OK);
		assert_string_equal(h.node.name, "edge");
		assert_string_equal(h.node.host, cases[i].host);
		assert_false(h.node.is_meshed);
	}
}

static void
test_files(void **state)
{
	static const struct { const char *text; unsigned n; const char *why; } cases[] = {
		{ "Regions: {1: {RegionCode: a, RegionName: A, Nodes: [{HostName: h, STUNPort: 3479}]},"
		    " 2: {RegionID: 3, regioncode: b}, 4: null}", 2, NULL },
		{ "{\"Regions\":{\"7\":{\"RegionID\":7,\"RegionCode\":\"c\",\"Nodes\":[]}}}", 1, NULL },
		{ "", 0, "holds no regions" },
		{ "x", 0, "no \"regions\"" },
		{ "regions: [", 0, "is no YAML: line " },
		{ "regions: {x: {regioncode: a}}", 0, "region x: the id" },
		{ "regions: {1: {regioncode: A}}", 0, "region 1: code" },
		{ "regions: {1: {regioncode: a}, 2: {regioncode: a}}", 0, "two regions" },
		{ "regions: {1: {regioncode: a, nodes: [{hostname: h, stunonly: true}]}}", 0, "stunonly" },
		{ "regions: &a {1: *a}", 0, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct region **list = NULL;
		struct err_text why = { "" };
		unsigned n = 0;
		enum err rc = regions_file_parse("f", cases[i].text, strlen(cases[i].text), &list, &n, &why);

		if (cases[i].why == NULL) {
			assert_int_equal(rc, ERR_OK);
			assert_int_equal(n, cases[i].n);
		} else {
			assert_int_not_equal(rc, ERR_OK);
			if (strstr(why.s, cases[i].why) == NULL)
				fail_msg("%s: %s", cases[i].text, why.s);
		}
		for (unsigned k = 0; k < n; k++)
			free(list[k]);
		free(list);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes), cmocka_unit_test(test_names_of_nodes),
		cmocka_unit_test(test_mesh_targets), cmocka_unit_test(test_hello), cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
