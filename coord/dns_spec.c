/* DNS settings as text and JSON. */
#include "coord/dns_spec.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "coord/tag.h"

const char *
dns_spec_split_parse(const char *text, char domain[DNS_SPEC_NAME_MAX])
{
	size_t n = strcspn(text, "=");

	if (text[n] == 0 || n >= DNS_SPEC_NAME_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++)
		domain[i] = (char)tolower((unsigned char)text[i]);
	domain[n] = 0;
	return dns_name_is_valid(domain) && dns_resolver_is_valid(text + n + 1) ? text + n + 1 : NULL;
}

enum err
dns_spec_record_parse(const char *text, struct dns_record *out, struct err_text *why)
{
	char *copy = obj_strdup(text), *rest = copy;
	char *name = strsep(&rest, " "), *type = strsep(&rest, " ");
	enum err rc;

	if (type == NULL || rest == NULL || *rest == 0)
		rc = err_say(why, ERR_INVAL, "\"%.100s\" is not NAME TYPE VALUE", text);
	else
		rc = dns_record_make(name, type, rest + strspn(rest, " "), out, why);
	free(copy);
	return rc;
}

/* Appends the record as it is written; ERR_INVAL with *why. out NULL: looks only. */
static enum err
record_read(const json_t *v, struct dns_params *out, struct err_text *why)
{
	const char *name = json_get_str(v, "name", NULL), *type = json_get_str(v, "type", NULL),
	    *value = json_get_str(v, "value", NULL);
	struct dns_record r;
	enum err rc;

	if (name == NULL || type == NULL || value == NULL)
		return err_say(why, ERR_INVAL, "a record is an object with name, type and value, all texts");
	if ((rc = dns_record_make(name, type, value, &r, why)) != ERR_OK)
		return rc;
	if (out != NULL)
		dns_record_add(out, r.name, r.type, r.value);
	dns_record_fini(&r);
	return ERR_OK;
}

static enum err
records_check(const json_t *list, struct err_text *why)
{
	enum err rc = ERR_OK;
	const json_t *v;
	size_t i;

	if (!json_is_array(list))
		return err_say(why, ERR_INVAL, "records are an array of {\"name\", \"type\", \"value\"}");
	if (json_array_size(list) > DNS_SPEC_RECORDS_MAX)
		return err_say(why, ERR_INVAL, "there are more than %d records", DNS_SPEC_RECORDS_MAX);
	json_array_foreach(list, i, v)
		if ((rc = record_read(v, NULL, why)) != ERR_OK)
			break;
	return rc;
}

static void
records_apply(const json_t *list, struct dns_params *out)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		ASSERT(record_read(v, out, NULL) == ERR_OK);
}

enum err
dns_spec_file_parse(const void *text, size_t n, struct dns_params *out, struct err_text *why)
{
	json_t *v = NULL;
	enum err rc = json_parse(text, n, &v, why);

	if (rc == ERR_OK && (rc = records_check(v, why)) == ERR_OK)
		records_apply(v, out);
	json_decref(v);
	return rc;
}

static void
put_prefix(const char *text, struct net_prefix *out)
{
	if (text == NULL || net_prefix_parse(text, strlen(text), out) != ERR_OK)
		*out = (struct net_prefix){ .bits = 0 };
}

void
dns_spec_config(const struct config *cfg, struct dns_params *out)
{
	char domain[DNS_SPEC_NAME_MAX];
	struct dns_record r;

	out->base_domain = obj_strdup(cfg->dns.base_domain != NULL ? cfg->dns.base_domain : "");
	out->magic_dns = cfg->dns.magic_dns;
	put_prefix(cfg->prefixes.v4, &out->v4);
	put_prefix(cfg->prefixes.v6, &out->v6);
	for (unsigned i = 0; i < cfg->dns.nameservers.n; i++)
		dns_resolvers_add(&out->nameservers, cfg->dns.nameservers.items[i], false);
	out->override_local = cfg->dns.override_local;
	for (unsigned i = 0; i < cfg->dns.search_domains.n; i++)
		dns_search_add(out, cfg->dns.search_domains.items[i]);
	for (unsigned i = 0; i < cfg->dns.no_dns_tags.n; i++)
		dns_off_tag_add(out, cfg->dns.no_dns_tags.items[i]);
	for (unsigned i = 0; i < cfg->dns.split.n; i++) {
		const char *to = dns_spec_split_parse(cfg->dns.split.items[i], domain);

		ASSERT(to != NULL);	/* config_load refuses others */
		dns_resolvers_add(&dns_split_add(out, domain)->to, to, false);
	}
	for (unsigned i = 0; i < cfg->dns.records.n; i++) {
		ASSERT(dns_spec_record_parse(cfg->dns.records.items[i], &r, NULL) == ERR_OK);
		dns_record_add(out, r.name, r.type, r.value);
		dns_record_fini(&r);
	}
}

static enum err
resolvers_check(const json_t *list, const char *of, struct err_text *why)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > DNS_SPEC_RESOLVERS_MAX)
		return err_say(why, ERR_INVAL, "%.100s is an array of at most %d nameservers", of,
		    DNS_SPEC_RESOLVERS_MAX);
	json_array_foreach(list, i, v) {
		const char *addr = json_get_str(v, "address", NULL);
		const json_t *flag = json_get(v, "useWithExitNode");

		if (addr == NULL || (flag != NULL && !json_is_boolean(flag)))
			return err_say(why, ERR_INVAL, "%.100s: a nameserver is {\"address\": text,"
			    " \"useWithExitNode\": true or false}", of);
		if (!dns_resolver_is_valid(addr))
			return err_say(why, ERR_INVAL, "%.100s: \"%.100s\" is neither an address nor an"
			    " https:// URL", of, addr);
	}
	return ERR_OK;
}

static enum err
texts_check(const json_t *list, size_t max, bool (*is_valid)(const char *), const char *want,
	struct err_text *why)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > max)
		return err_say(why, ERR_INVAL, "an array of at most %zu entries is wanted, each %s", max, want);
	json_array_foreach(list, i, v)
		if (!json_is_string(v) || !is_valid(json_string_value(v)))
			return err_say(why, ERR_INVAL, "\"%.100s\" is not %s",
			    json_is_string(v) ? json_string_value(v) : "?", want);
	return ERR_OK;
}

static enum err
split_check(const json_t *split, struct err_text *why)
{
	enum err rc = ERR_OK;
	const json_t *list;
	const char *domain;

	if (!json_is_object(split) || json_object_size(split) > DNS_SPEC_SPLIT_MAX)
		return err_say(why, ERR_INVAL, "splitDNS is an object of at most %d domains",
		    DNS_SPEC_SPLIT_MAX);
	json_object_foreach((json_t *)(uintptr_t)split, domain, list) {
		if (!dns_name_is_valid(domain))
			return err_say(why, ERR_INVAL, "splitDNS: \"%.100s\" is not a domain name in"
			    " lower case", domain);
		if ((rc = resolvers_check(list, domain, why)) != ERR_OK)
			break;
	}
	return rc;
}

enum err
dns_spec_check(const json_t *spec, struct err_text *why)
{
	static const char *const flags[] = { "magicDNS", "overrideLocalDNS" };
	const json_t *v;
	enum err rc = ERR_OK;

	if (!json_is_object(spec))
		return err_say(why, ERR_INVAL, "DNS settings are an object");
	for (unsigned i = 0; i < COUNT_OF(flags); i++)
		if ((v = json_object_get(spec, flags[i])) != NULL && !json_is_boolean(v))
			return err_say(why, ERR_INVAL, "%s is true or false", flags[i]);
	if ((v = json_object_get(spec, "nameservers")) != NULL)
		rc = resolvers_check(v, "nameservers", why);
	if (rc == ERR_OK && (v = json_object_get(spec, "splitDNS")) != NULL)
		rc = split_check(v, why);
	if (rc == ERR_OK && (v = json_object_get(spec, "searchPaths")) != NULL)
		rc = texts_check(v, DNS_SPEC_SEARCH_MAX, dns_name_is_valid, "a domain name in lower case", why);
	if (rc == ERR_OK && (v = json_object_get(spec, "noDNSTags")) != NULL)
		rc = texts_check(v, DNS_SPEC_TAGS_MAX, tag_is_valid, "a tag such as tag:k3s", why);
	if (rc == ERR_OK && (v = json_object_get(spec, "records")) != NULL)
		rc = records_check(v, why);
	return rc;
}

static void
resolvers_apply(const json_t *list, struct dns_resolvers *out)
{
	const json_t *v;
	size_t i;

	dns_resolvers_fini(out);
	json_array_foreach(list, i, v)
		dns_resolvers_add(out, json_get_str(v, "address", ""),
		    json_get_bool(v, "useWithExitNode", false));
}

static void
texts_apply(const json_t *list, char ***out, unsigned *n, struct dns_params *p,
	void (*add)(struct dns_params *, const char *))
{
	const json_t *v;
	size_t i;

	for (unsigned k = 0; k < *n; k++)
		free((*out)[k]);
	*n = 0;
	json_array_foreach(list, i, v)
		add(p, json_string_value(v));
}

static void
split_apply(const json_t *split, struct dns_params *out)
{
	const json_t *list;
	const char *domain;

	for (unsigned i = 0; i < out->n_split; i++) {
		free(out->split[i].domain);
		dns_resolvers_fini(&out->split[i].to);
	}
	out->n_split = 0;
	json_object_foreach((json_t *)(uintptr_t)split, domain, list)
		resolvers_apply(list, &dns_split_add(out, domain)->to);
}

void
dns_spec_apply(const json_t *spec, struct dns_params *out)
{
	const json_t *v;

	out->magic_dns = json_get_bool(spec, "magicDNS", out->magic_dns);
	if ((v = json_object_get(spec, "nameservers")) != NULL)
		resolvers_apply(v, &out->nameservers);
	out->override_local = json_get_bool(spec, "overrideLocalDNS", out->override_local);
	if ((v = json_object_get(spec, "splitDNS")) != NULL)
		split_apply(v, out);
	if ((v = json_object_get(spec, "searchPaths")) != NULL)
		texts_apply(v, &out->search_domains, &out->n_search_domains, out, dns_search_add);
	if ((v = json_object_get(spec, "noDNSTags")) != NULL)
		texts_apply(v, &out->off_tags, &out->n_off_tags, out, dns_off_tag_add);
	records_apply(json_object_get(spec, "records"), out);
}
