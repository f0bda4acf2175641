/* Cases of policy-case about names of nodes and DNS settings. */
#include <stdio.h>
#include <string.h>

#include "coord/dns.h"
#include "coord/dns_label.h"
#include "tests/tools/policy_case.h"

static bool
is_taken(const json_t *names, const char *name)
{
	const json_t *v;
	size_t i;

	json_array_foreach(names, i, v) {
		if (strcmp(json_string_value(v), name) == 0)
			return true;
	}
	return false;
}

void
case_names(const json_t *c, json_t *out)
{
	const char *domain = json_get_str(c, "base_domain", "");
	json_t *names = json_array(), *fqdns = json_array();
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(c, "hostnames"), i, v) {
		char base[DNS_LABEL_MAX], name[DNS_LABEL_MAX];
		unsigned n = 0;

		dns_label_from_host(json_string_value(v), base);
		do
			dns_label_number(base, n++, name);
		while (is_taken(names, name));
		json_array_append_new(names, json_string(name));
		json_array_append_new(fqdns, *domain == '\0' ? json_string(name) :
		    json_sprintf("%s.%s.", name, domain));
	}
	json_object_set_new(out, "accept", json_true());
	json_object_set_new(out, "given_names", names);
	json_object_set_new(out, "fqdns", fqdns);
}

static void
prefix_read(const json_t *c, const char *name, struct net_prefix *to)
{
	const char *text = json_get_str(json_object_get(c, "prefixes"), name, "");

	if (*text != '\0' && net_prefix_parse(text, strlen(text), to) != ERR_OK)
		case_die("a prefix is none");
}

static void
params_read(const json_t *c, struct dns_params *p)
{
	const json_t *dns = json_object_get(c, "dns"), *servers = json_object_get(dns,
	    "nameservers"), *v, *list;
	const char *domain;
	size_t i, k;

	p->base_domain = obj_strdup(json_get_str(dns, "base_domain", ""));
	p->magic_dns = json_get_bool(dns, "magic_dns", false);
	p->override_local = json_get_bool(dns, "override_local_dns", false);
	json_array_foreach(json_object_get(servers, "global"), i, v)
		dns_resolvers_add(&p->nameservers, json_string_value(v), false);
	json_object_foreach(json_object_get(servers, "split"), domain, list) {
		json_array_foreach(list, k, v)
			dns_resolvers_add(&dns_split_add(p, domain)->to, json_string_value(v), false);
	}
	json_array_foreach(json_object_get(dns, "search_domains"), i, v)
		dns_search_add(p, json_string_value(v));
	json_array_foreach(json_object_get(dns, "extra_records"), i, v)
		dns_record_add(p, json_get_str(v, "name", ""), json_get_str(v, "type", ""),
		    json_get_str(v, "value", ""));
	prefix_read(c, "v4", &p->v4);
	prefix_read(c, "v6", &p->v6);
}

void
case_dns(const json_t *c, json_t *out)
{
	const json_t *node = json_object_get(c, "node"), *v;
	struct dns_params p = { .n_split = 0 };
	struct err_text why;
	struct buf caps = { 0 }, text = { 0 };
	struct json_writer j;
	size_t i;

	params_read(c, &p);
	if (dns_params_check(&p, &why) != ERR_OK) {
		json_object_set_new(out, "accept", json_false());
		json_object_set_new(out, "error", json_string(why.s));
		dns_params_fini(&p);
		return;
	}
	json_w_init(&j, &caps);
	json_array_foreach(json_object_get(node, "cap_map"), i, v)
		json_w_null(&j, json_string_value(v));
	struct dns_node n = { .hostname = json_get_str(node, "hostname", ""),
	    .os = json_get_str(node, "os", ""),
		.caps = (const char *)caps.p, .n_caps = caps.len };
	const char *ip4 = json_get_str(node, "ipv4", ""), *ip6 = json_get_str(node, "ipv6", "");

	if ((*ip4 != '\0' && net_ip_parse(ip4, strlen(ip4), &n.ip4) != ERR_OK) ||
	    (*ip6 != '\0' && net_ip_parse(ip6, strlen(ip6), &n.ip6) != ERR_OK))
		case_die("an address is none");
	dns_put(&text, &p, dns_variant_of(&p, &n) == DNS_COMMON ? NULL : &n);
	json_object_set_new(out, "accept", json_true());
	json_object_set_new(out, "dns_config", json_loadb((const char *)text.p, text.len, 0, NULL));
	buf_fini(&text);
	buf_fini(&caps);
	dns_params_fini(&p);
}
