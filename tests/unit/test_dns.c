/* links: coord/dns coord/dns_params coord/node coord/hostinfo coord/tag */
/* Proves: the DNSConfig of every kind of setting and node, and which settings are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "coord/dns.h"
#include "coord/node.h"

#define ME \
	"\"a\":null,\"nextdns:zz\":null,\"nextdns:def456\":null,\"nextdns:bad/x\":null"

/* One text of settings: words by blanks, "b:t.example" base domain, "m" MagicDNS, "o" override, "n:1.1.1.1"
 * nameserver, "x:9.9.9.9" one for exit nodes too, "s:dom=addr" split, "d:dom" search domain, "r:name=A=value"
 * record, "t:tag" off, "4:prefix", "6:prefix". */
static void
params_make(const char *text, struct dns_params *p)
{
	char *copy = obj_strdup(text), *rest = copy, *word;

	*p = (struct dns_params){ .n_split = 0 };
	while ((word = strsep(&rest, " ")) != NULL) {
		char *value = strchr(word, ':') != NULL ? strchr(word, ':') + 1 : word, *a, *b;

		switch (word[0]) {
		case 'b':
			p->base_domain = obj_strdup(value);
			break;
		case 'm':
			p->magic_dns = true;
			break;
		case 'o':
			p->override_local = true;
			break;
		case 'n':
		case 'x':
			dns_resolvers_add(&p->nameservers, value, word[0] == 'x');
			break;
		case 's':
			a = strsep(&value, "=");
			dns_resolvers_add(&dns_split_add(p, a)->to, value, false);
			break;
		case 'd':
			dns_search_add(p, value);
			break;
		case 'r':
			a = strsep(&value, "=");
			b = strsep(&value, "=");
			dns_record_add(p, a, b, value);
			break;
		case 't':
			dns_off_tag_add(p, value);
			break;
		case '4':
			assert_int_equal(net_prefix_parse(value, strlen(value), &p->v4), ERR_OK);
			break;
		case '6':
			assert_int_equal(net_prefix_parse(value, strlen(value), &p->v6), ERR_OK);
			break;
		}
	}
	free(copy);
}

static void
node_make(struct dns_node *n, char *const *tags, unsigned n_tags, const char *caps)
{
	*n = (struct dns_node){ .hostname = "my web", .os = "linux", .tags = tags, .n_tags = n_tags,
		.caps = caps, .n_caps = strlen(caps) };
	assert_int_equal(net_ip_parse("100.64.0.7", 10, &n->ip4), ERR_OK);
	assert_int_equal(net_ip_parse("fd7a::7", 7, &n->ip6), ERR_OK);
}

static void
common_texts(void **state)
{
	static const struct { const char *settings, *want; } cases[] = {
		{ "", "{\"Proxied\":false,\"Routes\":{}}" },
		{ "b:t.example m", "{\"Proxied\":true,\"Domains\":[\"t.example\"],\"Routes\":{}}" },
		{ "d:corp.example",
		    "{\"Proxied\":false,\"Domains\":[\"corp.example\"],\"Routes\":{}}" },
		{ "b:t.example d:a.example d:b.example o n:1.1.1.1 x:https://dns.example/\"q",
		    "{\"Proxied\":false,\"Domains\":[\"t.example\",\"a.example\",\"b.example\"],"
		    "\"Resolvers\":[{\"Addr\":\"1.1.1.1\"},{\"Addr\":\"https://dns.example/\\\"q\","
		    "\"UseWithExitNode\":true}],\"Routes\":{}}" },
		{ "n:1.1.1.1", "{\"Proxied\":false,\"FallbackResolvers\":[{\"Addr\":\"1.1.1.1\"}],"
		    "\"Routes\":{}}" },
		{ "s:a.example=10.0.0.1 s:b.example=10.0.0.2 s:a.example=10.0.0.3",
		    "{\"Proxied\":false,\"Routes\":{\"a.example\":[{\"Addr\":\"10.0.0.1\"},"
		    "{\"Addr\":\"10.0.0.3\"}],\"b.example\":[{\"Addr\":\"10.0.0.2\"}]}}" },
		/* reverse zones, of whole digits and between two */
		{ "b:t m 4:100.64.0.0/16 6:fd7a:115c:a1e0::/48",
		    "{\"Proxied\":true,\"Domains\":[\"t\"],\"Routes\":{\"64.100.in-addr.arpa\":[],"
		    "\"0.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa\":[]}}" },
		{ "b:t m 4:100.68.0.0/15 6:fd7a:115c:a1e8::/46",
		    "{\"Proxied\":true,\"Domains\":[\"t\"],\"Routes\":{\"68.100.in-addr.arpa\":[],"
		    "\"69.100.in-addr.arpa\":[],\"8.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa\":[],"
		    "\"9.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa\":[],\"a.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa\":[],"
		    "\"b.e.1.a.c.5.1.1.a.7.d.f.ip6.arpa\":[]}}" },
		{ "b:t m 4:100.64.9.248/31",
		    "{\"Proxied\":true,\"Domains\":[\"t\"],\"Routes\":{\"248.9.64.100.in-addr.arpa\":[],"
		    "\"249.9.64.100.in-addr.arpa\":[]}}" },
		{ "b:t 4:100.64.0.0/10", "{\"Proxied\":false,\"Domains\":[\"t\"],\"Routes\":{}}" },
		/* a record gets a route unless one is there */
		{ "b:t.ex m r:a.t.ex=A=1.2.3.4 r:b.ex=A=1.2.3.4 r:b.ex=AAAA=fd::1 r:xt.ex=A=1.2.3.5",
		    "{\"Proxied\":true,\"Domains\":[\"t.ex\"],\"Routes\":{\"b.ex\":[],\"xt.ex\":[]},"
		    "\"ExtraRecords\":[{\"Name\":\"a.t.ex\",\"Type\":\"A\",\"Value\":\"1.2.3.4\"},"
		    "{\"Name\":\"b.ex\",\"Type\":\"A\",\"Value\":\"1.2.3.4\"},"
		    "{\"Name\":\"b.ex\",\"Type\":\"AAAA\",\"Value\":\"fd::1\"},"
		    "{\"Name\":\"xt.ex\",\"Type\":\"A\",\"Value\":\"1.2.3.5\"}]}" },
		{ "b:t.ex r:a.t.ex=A=1.2.3.4 r:g.corp=A=1.2.3.4 s:corp=10.0.0.1",
		    "{\"Proxied\":false,\"Domains\":[\"t.ex\"],\"Routes\":{\"corp\":[{\"Addr\":"
		    "\"10.0.0.1\"}],\"a.t.ex\":[]},\"ExtraRecords\":[{\"Name\":\"a.t.ex\",\"Type\":\"A\","
		    "\"Value\":\"1.2.3.4\"},{\"Name\":\"g.corp\",\"Type\":\"A\",\"Value\":\"1.2.3.4\"}]}" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 }, same = { 0 };
		struct dns_params p;
		struct dns_node n;

		params_make(cases[i].settings, &p);
		node_make(&n, NULL, 0, ME);
		dns_put(&b, &p, NULL);
		assert_string_equal(buf_cstr(&b), cases[i].want);
		assert_int_equal(dns_variant_of(&p, &n), DNS_COMMON);
		dns_put(&same, &p, &n);
		assert_string_equal(buf_cstr(&same), cases[i].want);
		buf_fini(&b);
		buf_fini(&same);
		dns_params_fini(&p);
	}
}

static void
the_v4_pool_has_64_zones(void **state)
{
	struct buf b = { 0 };
	struct dns_params p;
	json_t *v = NULL, *routes, *zone;
	const char *name;

	(void)state;
	params_make("b:t m 4:100.64.0.0/10", &p);
	dns_put(&b, &p, NULL);
	assert_int_equal(json_parse(b.p, b.len, &v, NULL), ERR_OK);
	routes = json_object_get(v, "Routes");
	assert_int_equal(json_object_size(routes), 64);
	assert_non_null(json_object_get(routes, "64.100.in-addr.arpa"));
	assert_non_null(json_object_get(routes, "127.100.in-addr.arpa"));
	json_object_foreach(routes, name, zone) {
		assert_true(json_is_array(zone));
		assert_int_equal(json_array_size(zone), 0);
	}
	json_decref(v);
	buf_fini(&b);
	dns_params_fini(&p);
}

static void
off_leaves_the_resolver_alone(void **state)
{
	static char *tags[] = { "tag:edge", "tag:k3s" };
	static const struct { unsigned n_tags; const char *caps; enum dns_variant want; } cases[] = {
		{ 2, "", DNS_OFF }, { 1, "", DNS_OWN }, { 0, "\"fairlead:no-dns\":null", DNS_OFF },
		{ 0, "\"x\":1,\"fairlead:no-dns\":[]", DNS_OFF },
		{ 0, "\"x\":[\"fairlead:no-dns\"]", DNS_OWN },	/* a value, not a capability */
	};
	struct dns_params p;

	(void)state;
	params_make("b:t.example m o n:https://dns.nextdns.io/a s:a=1.1.1.1 d:b r:c=A=1.2.3.4 t:tag:k3s", &p);
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 };
		struct dns_node n;

		node_make(&n, tags, cases[i].n_tags, cases[i].caps);
		assert_int_equal(dns_variant_of(&p, &n), cases[i].want);
		dns_put(&b, &p, &n);
		assert_int_equal(strcmp(buf_cstr(&b), "{\"Proxied\":false}") == 0, cases[i].want == DNS_OFF);
		buf_fini(&b);
	}
	dns_params_fini(&p);
}

static void
nextdns_by_node(void **state)
{
	static const struct { const char *addr, *caps, *want; } cases[] = {
		{ "https://dns.nextdns.io/abc", "",
		    "https://dns.nextdns.io/abc?device_ip=100.64.0.7&device_model=linux&device_name=my+web" },
		{ "https://dns.nextdns.io", "",
		    "https://dns.nextdns.io?device_ip=100.64.0.7&device_model=linux&device_name=my+web" },
		{ "https://dns.nextdns.io/abc?x=1", "",
		    "https://dns.nextdns.io/abc?x=1&device_ip=100.64.0.7&device_model=linux"
		    "&device_name=my+web" },
		{ "https://dns.nextdns.io/abc?x=1", ME,
		    "https://dns.nextdns.io/def456?device_ip=100.64.0.7&device_model=linux"
		    "&device_name=my+web" },
		{ "https://dns.nextdns.io/abc", "\"nextdns:no-device-info\":null",
		    "https://dns.nextdns.io/abc" },
		{ "https://dns.nextdns.io/abc", "\"nextdns:no-device-info\":null,\"nextdns:p\":null",
		    "https://dns.nextdns.io/p" },
		{ "https://dns.nextdns.io.evil.example/abc", ME, "https://dns.nextdns.io.evil.example/abc" },
		{ "https://dns.nextdns.io@evil.example", ME, "https://dns.nextdns.io@evil.example" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 };
		struct dns_params p = { .n_split = 0 };
		struct dns_node n;
		char want[400];

		dns_resolvers_add(&dns_split_add(&p, "a")->to, cases[i].addr, false);
		node_make(&n, NULL, 0, cases[i].caps);
		assert_int_equal(dns_variant_of(&p, &n), i < 6 ? DNS_OWN : DNS_COMMON);
		dns_put(&b, &p, &n);
		snprintf(want, sizeof(want),
		    "{\"Proxied\":false,\"Routes\":{\"a\":[{\"Addr\":\"%s\"}]}}", cases[i].want);
		assert_string_equal(buf_cstr(&b), want);
		buf_fini(&b);
		dns_params_fini(&p);
	}
}

static void
a_node_of_a_record(void **state)
{
	static const char host[] = "{\"Hostname\":\"web\\\"\",\"OS\":\"windows\"}";
	static const char *const tags[] = { "tag:k3s" };
	struct node *rec = node_new();
	struct dns_node n;
	struct dns_params p;

	(void)state;
	assert_int_equal(hostinfo_parse(host, sizeof(host) - 1, &rec->host, NULL), ERR_OK);
	assert_int_equal(net_ip_parse("fd7a::9", 7, &rec->ip6), ERR_OK);
	node_set_tags(rec, tags, 1);
	n = dns_node_of(rec, "", 0);
	params_make("t:tag:k3s", &p);
	assert_int_equal(dns_variant_of(&p, &n), DNS_OFF);
	dns_params_fini(&p);
	params_make("n:https://dns.nextdns.io/q", &p);
	struct buf b = { 0 };
	dns_put(&b, &p, &n);
	assert_non_null(strstr(buf_cstr(&b), "q?device_ip=fd7a%3A%3A9&device_model=windows"
	    "&device_name=web%22"));
	buf_fini(&b);
	dns_params_fini(&p);
	node_free(rec);
}

static void
settings_that_are_refused(void **state)
{
	static const struct { const char *settings, *why; } cases[] = {
		{ "", NULL },
		{ "b:t m o n:1.1.1.1 n:[fd00::1]:53 n:https://d.example/x s:a.b=1.1.1.1 d:c", NULL },
		{ "m", "MagicDNS needs a base domain" },
		{ "o", "global nameserver is needed" },
		{ "n:example.org", "nameserver \"example.org\"" }, { "n:1.1.1.1:0", "nameserver" },
		{ "n:http://1.1.1.1", "nameserver" }, { "n:https://", "nameserver" },
		{ "n:https://user@d.example", "nameserver" }, { "n:https://d.example/#x", "nameserver" },
		{ "s:Corp.example=1.1.1.1", "split DNS: \"Corp.example\"" }, { "s:a=b", "nameserver \"b\"" },
		{ "s:*.a=1.1.1.1", "split DNS" }, { "d:a..b", "search domain \"a..b\"" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct dns_params p;
		struct err_text why = { "" };

		params_make(cases[i].settings, &p);
		assert_int_equal(dns_params_check(&p, &why), cases[i].why == NULL ? ERR_OK : ERR_INVAL);
		if (cases[i].why != NULL)
			assert_non_null(strstr(why.s, cases[i].why));
		dns_params_fini(&p);
	}
}

static void
records(void **state)
{
	static const struct { const char *name, *type, *value, *want; bool is_refused; } cases[] = {
		{ "Grafana.Example.", "a", "1.2.3.4", "grafana.example A 1.2.3.4", false },
		{ "g", "AAAA", "fd00::1", "g AAAA fd00::1", false },
		{ "g", "CNAME", "Web.Example.", "g CNAME web.example", false },
		{ "_x.g", "TXT", "any \"Text\"", "_x.g TXT any \"Text\"", false },
		{ "*.g", "A", "1.2.3.4", "whole names, so a wildcard would never be found", true },
		{ "*", "A", "1.2.3.4", "wildcard", true },
		{ "", "A", "1.2.3.4", "not a domain name", true },
		{ "a b", "A", "1.2.3.4", "not a domain name", true },
		{ "-a", "A", "1.2.3.4", "not a domain name", true },
		{ "a-.b", "A", "1.2.3.4", "not a domain name", true },
		{ "g", "A", "fd00::1", "not an IPv4 address", true },
		{ "g", "AAAA", "1.2.3.4", "not an IPv6 address", true },
		{ "g", "A", "web", "not an IPv4 address", true },
		{ "g", "MX", "web", "type \"MX\" is not possible", true },
		{ "g", "CNAME", "1.2.3.4", "is not a name", true },
		{ "g", "CNAME", "1.2.3.4.", "is not a name", true },
		{ "g", "CNAME", "*.x", "is not a name", true },
		{ "g.example", "CNAME", "G.example", "CNAME of itself", true },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct dns_record r;
		struct err_text why = { "" };
		char text[300];
		enum err rc = dns_record_make(cases[i].name, cases[i].type, cases[i].value, &r, &why);

		assert_int_equal(rc, cases[i].is_refused ? ERR_INVAL : ERR_OK);
		if (rc != ERR_OK) {
			assert_non_null(strstr(why.s, cases[i].want));
			continue;
		}
		snprintf(text, sizeof(text), "%s %s %s", r.name, r.type, r.value);
		assert_string_equal(text, cases[i].want);
		dns_record_fini(&r);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(common_texts), cmocka_unit_test(the_v4_pool_has_64_zones),
		cmocka_unit_test(off_leaves_the_resolver_alone), cmocka_unit_test(nextdns_by_node),
		cmocka_unit_test(a_node_of_a_record), cmocka_unit_test(settings_that_are_refused),
		cmocka_unit_test(records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
