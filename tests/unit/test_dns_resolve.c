/* links: coord/dns_resolve coord/dns_params */
/* Proves: records become addresses as they lead to one another, to nodes and outside, and never in a circle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/dns_resolve.h"

static void
add(struct dns_ips *out, const char *text)
{
	struct net_ip ip;

	assert_int_equal(net_ip_parse(text, strlen(text), &ip), ERR_OK);
	dns_ips_add(out, &ip);
}

static bool
find_node(void *arg, const char *label, struct dns_ips *out)
{
	(void)arg;
	if (strcmp(label, "web") != 0)
		return false;
	add(out, "100.64.0.7");
	add(out, "fd7a::7");
	add(out, "100.64.0.7");		/* counts once */
	return true;
}

static bool
find_outside(void *arg, const char *name, struct dns_ips *out, char problem[DNS_PROBLEM_MAX])
{
	(void)arg;
	if (strcmp(name, "db.corp") == 0) {
		add(out, "192.0.2.1");
		return true;
	}
	snprintf(problem, DNS_PROBLEM_MAX, "not found");
	return false;
}

/* Text of results: "name type value;" each, then "!name: problem;" each. */
static void
resolve(const char *records, char out[2000])
{
	static const struct dns_finder f = { .node = find_node, .outside = find_outside };
	char base[] = "t.ex", *copy = obj_strdup(records), *rest = copy, *word;
	struct dns_params p = { .n_split = 0 };
	struct dns_wanted list[16];
	unsigned n = 0;

	while ((word = strsep(&rest, ";")) != NULL && *word != 0) {
		char *name = strsep(&word, " "), *type = strsep(&word, " ");

		list[n] = (struct dns_wanted){ .problem = "old" };
		assert_int_equal(dns_record_make(name, type, word, &list[n++].r, NULL), ERR_OK);
	}
	p.base_domain = base;
	dns_resolve(list, n, &f, &p);
	out[0] = 0;
	for (unsigned i = 0; i < p.n_records; i++)
		snprintf(out + strlen(out), 2000 - strlen(out), "%s %s %s;", p.records[i].name,
		    p.records[i].type, p.records[i].value);
	for (unsigned i = 0; i < n; i++) {
		if (list[i].problem[0] != 0)
			snprintf(out + strlen(out), 2000 - strlen(out), "!%s: %s;", list[i].r.name,
			    list[i].problem);
		dns_record_fini(&list[i].r);
	}
	p.base_domain = NULL;
	dns_params_fini(&p);
	free(copy);
}

static void
records_become_addresses(void **state)
{
	static const struct { const char *records, *want; } cases[] = {
		{ "", "" },
		{ "b A 1.2.3.4;a AAAA fd::1;b A 1.2.3.5;",
		    "b A 1.2.3.4;a AAAA fd::1;b A 1.2.3.5;" },
		{ "g CNAME web;h.t.ex CNAME web.t.ex;", "g A 100.64.0.7;g AAAA fd7a::7;"
		    "h.t.ex A 100.64.0.7;h.t.ex AAAA fd7a::7;" },
		{ "g CNAME wbe;", "!g: there is neither a node nor a record wbe;" },
		{ "g CNAME a.web.t.ex;", "!g: there is neither a node nor a record a.web.t.ex;" },
		{ "g CNAME t.ex;", "!g: not found;" },
		{ "g CNAME db.corp;", "g A 192.0.2.1;" },
		{ "g CNAME x.corp;", "!g: not found;" },
		{ "c CNAME b.ex;b.ex CNAME a.ex;a.ex A 1.2.3.4;a.ex AAAA fd::1;",
		    "c A 1.2.3.4;c AAAA fd::1;b.ex A 1.2.3.4;b.ex AAAA fd::1;a.ex A 1.2.3.4;a.ex AAAA fd::1;" },
		/* a record goes before a node of that name */
		{ "g CNAME web.t.ex;web.t.ex A 9.9.9.9;", "g A 9.9.9.9;web.t.ex A 9.9.9.9;" },
		{ "g CNAME web.t.ex;web.t.ex TXT hi;", "g A 100.64.0.7;g AAAA fd7a::7;"
		    "!web.t.ex: clients have no TXT records: kept, not sent;" },
		/* circles end; what another branch finds is used */
		{ "a.ex CNAME b.ex;b.ex CNAME a.ex;", "!a.ex: more than 8 CNAMEs lead to one another;"
		    "!b.ex: more than 8 CNAMEs lead to one another;" },
		{ "a.ex CNAME x.corp;a.ex CNAME web;c CNAME a.ex;", "a.ex A 100.64.0.7;a.ex AAAA fd7a::7;"
		    "c A 100.64.0.7;c AAAA fd7a::7;!a.ex: not found;" },
		{ "t TXT a;", "!t: clients have no TXT records: kept, not sent;" },
	};
	char text[2000];

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		resolve(cases[i].records, text);
		assert_string_equal(text, cases[i].want);
	}
}

/* Two CNAMEs at each of many steps would be 2^n ways without the bound on depth and addresses. */
static void
a_thicket_ends(void **state)
{
	static const struct dns_finder f = { .node = find_node, .outside = find_outside };
	enum { N = 60 };
	static struct dns_wanted list[2 * N];
	struct dns_params p = { .n_split = 0 };
	char name[20], value[20];

	(void)state;
	for (int i = 0; i < 2 * N; i++) {
		snprintf(name, sizeof(name), "n%d.ex", i / 2);
		snprintf(value, sizeof(value), "n%d.ex", (i / 2 + 1 + i % 2) % N);
		assert_int_equal(dns_record_make(name, "CNAME", value, &list[i].r, NULL), ERR_OK);
	}
	dns_resolve(list, 2 * N, &f, &p);
	assert_int_equal(p.n_records, 0);
	for (int i = 0; i < 2 * N; i++) {
		assert_string_not_equal(list[i].problem, "");
		dns_record_fini(&list[i].r);
	}
	dns_params_fini(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_become_addresses), cmocka_unit_test(a_thicket_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
