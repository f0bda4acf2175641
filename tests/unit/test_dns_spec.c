/* links: coord/dns_spec coord/dns_params coord/dns coord/tag coord/node coord/hostinfo */
/* Proves: settings as they are written become those in effect, and what is not well written is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "coord/dns_spec.h"

static const struct config *
config(void)
{
	static char *servers[] = { "1.1.1.1" }, *split[] = { "Corp.ex=10.0.0.1", "corp.ex=10.0.0.2" },
	    *search[] = { "corp.ex" }, *records[] = { "db.ex A 10.0.0.5", "www.ex CNAME db.ex" },
	    *tags[] = { "tag:k3s" };
	static struct config c = {
		.prefixes = { "100.64.0.0/16", "fd7a:115c:a1e0::/48" },
		.dns = { .base_domain = "t.ex", .magic_dns = true, .override_local = true,
		    .nameservers = { servers, 1 }, .split = { split, 2 }, .search_domains = { search, 1 },
		    .records = { records, 2 }, .no_dns_tags = { tags, 1 } },
	};

	return &c;
}

/* The DNSConfig of the configuration and what was changed. */
static void
made(const char *spec, char out[3000])
{
	struct dns_params p = { .n_split = 0 };
	struct buf b = { 0 };
	struct err_text why = { "" };
	json_t *v = NULL;

	dns_spec_config(config(), &p);
	if (json_parse(spec, strlen(spec), &v, &why) != ERR_OK || dns_spec_check(v, &why) != ERR_OK)
		fail_msg("%s: %s", spec, why.s);
	dns_spec_apply(v, &p);
	p.v4 = p.v6 = (struct net_prefix){ .bits = 0 };
	dns_put(&b, &p, NULL);
	assert_true(b.len < 3000);
	memcpy(out, buf_cstr(&b), b.len + 1);
	buf_fini(&b);
	json_decref(v);
	dns_params_fini(&p);
}

#define RECORDS_IN	"\"ExtraRecords\":[{\"Name\":\"db.ex\",\"Type\":\"A\",\"Value\":\"10.0.0.5\"}," \
	"{\"Name\":\"www.ex\",\"Type\":\"CNAME\",\"Value\":\"db.ex\"}"
#define SERVERS_IN	"\"Resolvers\":[{\"Addr\":\"1.1.1.1\"}]"
#define SPLIT_IN	"\"corp.ex\":[{\"Addr\":\"10.0.0.1\"},{\"Addr\":\"10.0.0.2\"}]"
#define ROUTES_END	",\"db.ex\":[],\"www.ex\":[]}"

static void
changes_stand_over_the_configuration(void **state)
{
	static const struct { const char *spec, *want; } cases[] = {
		{ "{}", "{\"Proxied\":true,\"Domains\":[\"t.ex\",\"corp.ex\"]," SERVERS_IN ",\"Routes\":{"
		    SPLIT_IN ROUTES_END "," RECORDS_IN "]}" },
		{ "{\"magicDNS\":false,\"searchPaths\":[],\"splitDNS\":{},\"nameservers\":[]}",
		    "{\"Proxied\":false,\"Domains\":[\"t.ex\"],\"Routes\":{\"db.ex\":[],\"www.ex\":[]},"
		    RECORDS_IN "]}" },
		{ "{\"overrideLocalDNS\":false,\"splitDNS\":{\"a.ex\":[{\"address\":\"9.9.9.9\"}]},"
		    "\"searchPaths\":[\"x.ex\",\"y.ex\"]}", "{\"Proxied\":true,\"Domains\":[\"t.ex\",\"x.ex\","
		    "\"y.ex\"],\"FallbackResolvers\":[{\"Addr\":\"1.1.1.1\"}],\"Routes\":{\"a.ex\":[{\"Addr\":"
		    "\"9.9.9.9\"}]" ROUTES_END "," RECORDS_IN "]}" },
		{ "{\"nameservers\":[{\"address\":\"9.9.9.9\",\"useWithExitNode\":true}],\"records\":[{\"id\":"
		    "\"1\",\"name\":\"n.t.ex\",\"type\":\"A\",\"value\":\"1.2.3.4\"}]}",
		    "{\"Proxied\":true,\"Domains\":[\"t.ex\",\"corp.ex\"],\"Resolvers\":[{\"Addr\":\"9.9.9.9\","
		    "\"UseWithExitNode\":true}],\"Routes\":{" SPLIT_IN ROUTES_END "," RECORDS_IN
		    ",{\"Name\":\"n.t.ex\",\"Type\":\"A\",\"Value\":\"1.2.3.4\"}]}" },
	};
	char text[3000];

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		made(cases[i].spec, text);
		assert_string_equal(text, cases[i].want);
	}
}

static void
off_tags(void **state)
{
	struct dns_params p = { .n_split = 0 };
	json_t *v = json_pack("{s:[s,s]}", "noDNSTags", "tag:a", "tag:b");

	(void)state;
	dns_spec_config(config(), &p);
	assert_int_equal(p.n_off_tags, 1);
	assert_string_equal(p.off_tags[0], "tag:k3s");
	assert_int_equal(p.v4.bits, 16);
	dns_spec_apply(v, &p);
	assert_int_equal(p.n_off_tags, 2);
	assert_string_equal(p.off_tags[1], "tag:b");
	json_decref(v);
	dns_params_fini(&p);
}

static void
refused_objects(void **state)
{
	static const struct { const char *spec, *why; } cases[] = {
		{ "[]", "object" }, { "{\"magicDNS\":1}", "magicDNS" },
		{ "{\"overrideLocalDNS\":null}", "overrideLocalDNS" },
		{ "{\"nameservers\":{}}", "nameservers is an array" },
		{ "{\"nameservers\":[\"1.1.1.1\"]}", "a nameserver is" },
		{ "{\"nameservers\":[{\"address\":\"x\"}]}", "\"x\" is neither" },
		{ "{\"nameservers\":[{\"address\":\"1.1.1.1\",\"useWithExitNode\":1}]}", "a nameserver is" },
		{ "{\"splitDNS\":[]}", "splitDNS is an object" }, { "{\"splitDNS\":{\"*\":[]}}", "\"*\"" },
		{ "{\"splitDNS\":{\"a\":[{\"address\":\"b\"}]}}", "a: \"b\"" },
		{ "{\"splitDNS\":{\"a\":null}}", "a is an array" },
		{ "{\"searchPaths\":[\"a b\"]}", "\"a b\" is not a domain" },
		{ "{\"searchPaths\":[7]}", "not a domain" },
		{ "{\"noDNSTags\":[\"k3s\"]}", "\"k3s\" is not a tag" },
		{ "{\"records\":{}}", "records are an array" }, { "{\"records\":[1]}", "a record is" },
		{ "{\"records\":[{\"name\":\"*.a\",\"type\":\"A\",\"value\":\"1.1.1.1\"}]}", "wildcard" },
	};
	struct buf many = { .len = 0 };
	json_t *v;

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct err_text why = { "" };

		assert_int_equal(json_parse(cases[i].spec, strlen(cases[i].spec), &v, NULL), ERR_OK);
		assert_int_equal(dns_spec_check(v, &why), ERR_INVAL);
		if (strstr(why.s, cases[i].why) == NULL)
			fail_msg("%s: %s", cases[i].spec, why.s);
		json_decref(v);
	}
	buf_str(&many, "{\"records\":[");
	for (int i = 0; i <= DNS_SPEC_RECORDS_MAX; i++)
		buf_printf(&many, "%s{\"name\":\"a\",\"type\":\"A\",\"value\":\"1.1.1.1\"}", i > 0 ? "," : "");
	buf_str(&many, "]}");
	assert_int_equal(json_parse(many.p, many.len, &v, NULL), ERR_OK);
	assert_int_equal(dns_spec_check(v, NULL), ERR_INVAL);
	json_array_remove(json_object_get(v, "records"), 0);
	assert_int_equal(dns_spec_check(v, NULL), ERR_OK);
	json_decref(v);
	buf_fini(&many);
}

static void
texts(void **state)
{
	static const char *const bad_records[] = {
		"", "a", "a A", "a A ", "a  A 1.2.3.4", "a A fd::1", "*.a A 1.2.3.4",
	};
	static const char *const bad_split[] = { "", "a", "=1.1.1.1", "a=", "a=b", "a b=1.1.1.1",
		"a..b=1.1.1.1" };
	char domain[DNS_SPEC_NAME_MAX];
	struct dns_record r;

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(bad_records); i++)
		assert_int_equal(dns_spec_record_parse(bad_records[i], &r, NULL), ERR_INVAL);
	for (unsigned i = 0; i < COUNT_OF(bad_split); i++)
		assert_null(dns_spec_split_parse(bad_split[i], domain));
	assert_string_equal(dns_spec_split_parse("A.ex=https://d.ex/q?x=1", domain), "https://d.ex/q?x=1");
	assert_string_equal(domain, "a.ex");
	assert_int_equal(dns_spec_record_parse("A.ex txt some words", &r, NULL), ERR_OK);
	assert_string_equal(r.value, "some words");
	dns_record_fini(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(changes_stand_over_the_configuration), cmocka_unit_test(off_tags),
		cmocka_unit_test(refused_objects), cmocka_unit_test(texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
