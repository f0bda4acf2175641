/* Memory of DNS settings, and what is a good one. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "coord/dns.h"

#define NAME_MAX_CHARS	253
#define LABEL_MAX_CHARS	63
#define VALUE_MAX_CHARS	1024

void
dns_resolvers_add(struct dns_resolvers *r, const char *addr, bool use_with_exit_node)
{
	r->v = obj_realloc(r->v, (r->n + 1) * sizeof(*r->v));
	r->v[r->n++] = (struct dns_resolver){ .addr = obj_strdup(addr),
		.use_with_exit_node = use_with_exit_node };
}

void
dns_resolvers_fini(struct dns_resolvers *r)
{
	for (unsigned i = 0; i < r->n; i++)
		free(r->v[i].addr);
	free(r->v);
	*r = (struct dns_resolvers){ .n = 0 };
}

struct dns_split *
dns_split_add(struct dns_params *p, const char *domain)
{
	for (unsigned i = 0; i < p->n_split; i++)
		if (strcmp(p->split[i].domain, domain) == 0)
			return &p->split[i];
	p->split = obj_realloc(p->split, (p->n_split + 1) * sizeof(*p->split));
	p->split[p->n_split] = (struct dns_split){ .domain = obj_strdup(domain) };
	return &p->split[p->n_split++];
}

static void
text_add(char ***list, unsigned *n, const char *text)
{
	*list = obj_realloc(*list, (*n + 1) * sizeof(**list));
	(*list)[(*n)++] = obj_strdup(text);
}

void
dns_search_add(struct dns_params *p, const char *domain)
{
	text_add(&p->search_domains, &p->n_search_domains, domain);
}

void
dns_off_tag_add(struct dns_params *p, const char *tag)
{
	text_add(&p->off_tags, &p->n_off_tags, tag);
}

void
dns_record_add(struct dns_params *p, const char *name, const char *type, const char *value)
{
	p->records = obj_realloc(p->records, (p->n_records + 1) * sizeof(*p->records));
	p->records[p->n_records++] = (struct dns_record){ .name = obj_strdup(name),
		.type = obj_strdup(type), .value = obj_strdup(value) };
}

void
dns_record_fini(struct dns_record *r)
{
	free(r->name);
	free(r->type);
	free(r->value);
	*r = (struct dns_record){ .name = NULL };
}

static void
texts_free(char **list, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		free(list[i]);
	free(list);
}

void
dns_params_fini(struct dns_params *p)
{
	free(p->base_domain);
	dns_resolvers_fini(&p->nameservers);
	for (unsigned i = 0; i < p->n_split; i++) {
		free(p->split[i].domain);
		dns_resolvers_fini(&p->split[i].to);
	}
	free(p->split);
	texts_free(p->search_domains, p->n_search_domains);
	for (unsigned i = 0; i < p->n_records; i++)
		dns_record_fini(&p->records[i]);
	free(p->records);
	texts_free(p->off_tags, p->n_off_tags);
	*p = (struct dns_params){ .n_split = 0 };
}

bool
dns_resolver_is_valid(const char *addr)
{
	struct net_ip ip;
	struct net_addr a;

	if (net_ip_parse(addr, strlen(addr), &ip) == ERR_OK)
		return true;
	if (net_addr_parse(addr, strlen(addr), &a) == ERR_OK)
		return a.port != 0;
	if (strncmp(addr, "https://", 8) != 0 || strlen(addr) > VALUE_MAX_CHARS ||
	    !isalnum((unsigned char)addr[8]))
		return false;
	for (const char *p = addr; *p != 0; p++)
		if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f || strchr("\"<>\\#@", *p) != NULL)
			return false;
	return true;
}

bool
dns_name_is_valid(const char *name)
{
	size_t label = 0;

	if (strlen(name) > NAME_MAX_CHARS)
		return false;
	for (const char *p = name;; p++) {
		if (*p == '.' || *p == 0) {
			if (label == 0 || label > LABEL_MAX_CHARS || p[-1] == '-')
				return false;
			if (*p == 0)
				return true;
			label = 0;
			continue;
		}
		if (!(*p >= 'a' && *p <= 'z') && !(*p >= '0' && *p <= '9') && *p != '_' &&
		    !(*p == '-' && label > 0))
			return false;
		label++;
	}
}

/* Lower case, without a dot at the end. The caller's. */
static char *
name_fold(const char *name)
{
	char *out = obj_strdup(name);
	size_t n = strlen(out);

	for (size_t i = 0; i < n; i++)
		out[i] = (char)tolower((unsigned char)out[i]);
	if (n > 1 && out[n - 1] == '.')
		out[n - 1] = 0;
	return out;
}

static enum err
value_check(struct dns_record *r, struct err_text *why)
{
	struct net_ip ip;
	bool is_ip = net_ip_parse(r->value, strlen(r->value), &ip) == ERR_OK;

	if (strcmp(r->type, "A") == 0 || strcmp(r->type, "AAAA") == 0) {
		uint8_t want = r->type[1] == 0 ? 4 : 6;

		if (!is_ip || ip.family != want)
			return err_say(why, ERR_INVAL, "record %.100s: \"%.100s\" is not an IPv%u address",
			    r->name, r->value, want);
		return ERR_OK;
	}
	if (strcmp(r->type, "TXT") == 0)
		return ERR_OK;
	if (strcmp(r->type, "CNAME") != 0)
		return err_say(why, ERR_INVAL, "record %.100s: type \"%.20s\" is not possible: A, AAAA,"
		    " CNAME or TXT", r->name, r->type);
	char *folded = name_fold(r->value);
	free(r->value);
	r->value = folded;
	if (net_ip_parse(r->value, strlen(r->value), &ip) == ERR_OK || !dns_name_is_valid(r->value))
		return err_say(why, ERR_INVAL, "record %.100s: \"%.100s\" is not a name", r->name, r->value);
	if (strcmp(r->value, r->name) == 0)
		return err_say(why, ERR_INVAL, "record %.100s is a CNAME of itself", r->name);
	return ERR_OK;
}

enum err
dns_record_make(const char *name, const char *type, const char *value, struct dns_record *out,
	struct err_text *why)
{
	struct dns_record r = { .name = name_fold(name), .type = obj_strdup(type),
		.value = obj_strdup(value) };
	enum err rc;

	for (char *p = r.type; *p != 0; p++)
		*p = (char)toupper((unsigned char)*p);
	if (strchr(r.name, '*') != NULL)
		rc = err_say(why, ERR_INVAL, "record %.100s: clients match whole names, so a wildcard would"
		    " never be found: write one record for each name", r.name);
	else if (!dns_name_is_valid(r.name))
		rc = err_say(why, ERR_INVAL, "record \"%.100s\": that is not a domain name", r.name);
	else if (strlen(r.value) > VALUE_MAX_CHARS)
		rc = err_say(why, ERR_INVAL, "record %.100s: the value is longer than %d characters", r.name,
		    VALUE_MAX_CHARS);
	else
		rc = value_check(&r, why);
	if (rc == ERR_OK)
		*out = r;
	else
		dns_record_fini(&r);
	return rc;
}

static enum err
resolvers_check(const struct dns_resolvers *r, struct err_text *why)
{
	for (unsigned i = 0; i < r->n; i++)
		if (!dns_resolver_is_valid(r->v[i].addr))
			return err_say(why, ERR_INVAL, "nameserver \"%.100s\" is neither an address nor an"
			    " https:// URL", r->v[i].addr);
	return ERR_OK;
}

enum err
dns_params_check(const struct dns_params *p, struct err_text *why)
{
	enum err rc = resolvers_check(&p->nameservers, why);

	if (rc != ERR_OK)
		return rc;
	if (p->magic_dns && (p->base_domain == NULL || p->base_domain[0] == 0))
		return err_say(why, ERR_INVAL, "MagicDNS needs a base domain");
	if (p->override_local && p->nameservers.n == 0)
		return err_say(why, ERR_INVAL, "to override the nodes' own DNS a global nameserver is needed");
	for (unsigned i = 0; i < p->n_split; i++) {
		if (!dns_name_is_valid(p->split[i].domain))
			return err_say(why, ERR_INVAL, "split DNS: \"%.100s\" is not a domain name in"
			    " lower case", p->split[i].domain);
		if ((rc = resolvers_check(&p->split[i].to, why)) != ERR_OK)
			return rc;
	}
	for (unsigned i = 0; i < p->n_search_domains; i++)
		if (!dns_name_is_valid(p->search_domains[i]))
			return err_say(why, ERR_INVAL, "search domain \"%.100s\" is not a domain name in lower"
			    " case", p->search_domains[i]);
	return ERR_OK;
}
