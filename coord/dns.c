/*
 * DNSConfig (tailcfg.DNSConfig; how clients use it: ipn/ipnlocal dnsConfigForNetmap).
 *
 * Routes: a suffix with an empty list is answered by the client itself; null instead of an empty list
 * would be dropped when the client copies the object. A record whose name no route covers needs a
 * route of its own, or systems with split DNS never ask the client for it.
 *
 * NextDNS: per node a profile by the attribute "nextdns:PROFILE" (the first in byte order) instead of
 * path and query; then device_ip, device_model and device_name in the query, unless
 * "nextdns:no-device-info".
 */
#include "coord/dns.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "coord/node.h"

#define NEXTDNS_URL		"https://dns.nextdns.io"
#define NEXTDNS_ATTR		"nextdns:"
#define NEXTDNS_NO_INFO		"no-device-info"
#define NEXTDNS_PROFILE_MAX	64

struct nextdns {
	char profile[NEXTDNS_PROFILE_MAX + 1];	/* "": as configured */
	bool is_info_off;
};

struct dns_node
dns_node_of(const struct node *n, const char *caps, size_t n_caps)
{
	return (struct dns_node){
		.hostname = n->host != NULL ? n->host->hostname : "",
		.os = n->host != NULL ? n->host->os : "",
		.ip4 = n->ip4, .ip6 = n->ip6,
		.tags = n->tags, .n_tags = n->n_tags,
		.caps = caps, .n_caps = n_caps,
	};
}

static bool
is_nextdns(const char *addr)
{
	size_t n = sizeof(NEXTDNS_URL) - 1;

	return strncasecmp(addr, NEXTDNS_URL, n) == 0 &&
	    (addr[n] == 0 || addr[n] == '/' || addr[n] == '?');
}

static bool
any_nextdns(const struct dns_resolvers *r)
{
	for (unsigned i = 0; i < r->n; i++)
		if (is_nextdns(r->v[i].addr))
			return true;
	return false;
}

/* The members of its CapMap, if the word is among them at all; NULL otherwise. The caller's. */
static json_t *
caps_with(const struct dns_node *n, const char *word)
{
	struct buf text = { .len = 0 };
	json_t *v = NULL;

	if (n->n_caps == 0 || memmem(n->caps, n->n_caps, word, strlen(word)) == NULL)
		return NULL;
	buf_byte(&text, '{');
	buf_append(&text, n->caps, n->n_caps);
	buf_byte(&text, '}');
	if (json_parse(text.p, text.len, &v, NULL) != ERR_OK)
		v = NULL;
	buf_fini(&text);
	return v;
}

static bool
is_off(const struct dns_params *p, const struct dns_node *n)
{
	json_t *caps;

	for (unsigned i = 0; i < p->n_off_tags; i++)
		for (unsigned k = 0; k < n->n_tags; k++)
			if (strcmp(p->off_tags[i], n->tags[k]) == 0)
				return true;
	caps = caps_with(n, "\"" DNS_ATTR_OFF "\"");
	bool is = json_object_get(caps, DNS_ATTR_OFF) != NULL;
	json_decref(caps);
	return is;
}

enum dns_variant
dns_variant_of(const struct dns_params *p, const struct dns_node *n)
{
	if (is_off(p, n))
		return DNS_OFF;
	if (any_nextdns(&p->nameservers))
		return DNS_OWN;
	for (unsigned i = 0; i < p->n_split; i++)
		if (any_nextdns(&p->split[i].to))
			return DNS_OWN;
	return DNS_COMMON;
}

static bool
is_profile(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && strchr("._-", s[i]) == NULL)
			return false;
	return n > 0 && n <= NEXTDNS_PROFILE_MAX;
}

static void
nextdns_of(const struct dns_node *n, struct nextdns *out)
{
	json_t *caps = caps_with(n, "\"" NEXTDNS_ATTR), *v;
	const char *name;

	*out = (struct nextdns){ .is_info_off = false };
	json_object_foreach(caps, name, v) {
		const char *word = name + sizeof(NEXTDNS_ATTR) - 1;

		if (strncmp(name, NEXTDNS_ATTR, sizeof(NEXTDNS_ATTR) - 1) != 0)
			continue;
		if (strcmp(word, NEXTDNS_NO_INFO) == 0)
			out->is_info_off = true;
		else if (is_profile(word) && (out->profile[0] == 0 || strcmp(word, out->profile) < 0))
			snprintf(out->profile, sizeof(out->profile), "%s", word);
	}
	json_decref(caps);
}

/* As a form's value (application/x-www-form-urlencoded). */
static void
put_escaped(struct buf *b, const char *s)
{
	for (; *s != 0; s++) {
		uint8_t c = (uint8_t)*s;

		if (isalnum(c) || strchr("-_.~", c) != NULL)
			buf_byte(b, c);
		else if (c == ' ')
			buf_byte(b, '+');
		else
			buf_printf(b, "%%%02X", c);
	}
}

static void
put_query(struct buf *url, const char *name, const char *value)
{
	if (value == NULL || *value == 0)
		return;
	buf_byte(url, memchr(url->p, '?', url->len) == NULL ? '?' : '&');
	buf_printf(url, "%s=", name);
	put_escaped(url, value);
}

static void
put_nextdns_url(struct buf *url, const char *addr, const struct dns_node *n)
{
	const struct net_ip *ip = n->ip4.family != 0 ? &n->ip4 : &n->ip6;
	char text[NET_TEXT_MAX];
	struct nextdns how;

	nextdns_of(n, &how);
	if (how.profile[0] != 0)
		buf_printf(url, NEXTDNS_URL "/%s", how.profile);
	else
		buf_str(url, addr);
	if (how.is_info_off)
		return;
	put_query(url, "device_ip", ip->family != 0 ? net_ip_put(ip, text) : "");
	put_query(url, "device_model", n->os);
	put_query(url, "device_name", n->hostname);
}

static void
put_resolvers(struct json_writer *w, const char *name, const struct dns_resolvers *r,
	const struct dns_node *n)
{
	struct buf url = { .len = 0 };

	json_w_arr_open(w, name);
	for (unsigned i = 0; i < r->n; i++) {
		buf_clear(&url);
		if (n != NULL && is_nextdns(r->v[i].addr))
			put_nextdns_url(&url, r->v[i].addr, n);
		else
			buf_str(&url, r->v[i].addr);
		json_w_obj_open(w, NULL);
		json_w_strn(w, "Addr", (const char *)url.p, url.len);
		if (r->v[i].use_with_exit_node)
			json_w_bool(w, "UseWithExitNode", true);
		json_w_obj_close(w);
	}
	json_w_arr_close(w);
	buf_fini(&url);
}

static void
put_empty_route(struct json_writer *w, const char *name)
{
	json_w_arr_open(w, name);
	json_w_arr_close(w);
}

/* Of the address: a byte (IPv4) or a nibble. */
static unsigned
digit_at(const struct net_ip *ip, unsigned i)
{
	unsigned b = ip->family == 4 ? ip->b[i] : ip->b[i / 2];

	return ip->family == 4 ? b : i % 2 == 0 ? b >> 4 : b & 15u;
}

/* The zone that ends in the first n_fixed digits of the address, before them value unless negative. */
static void
put_zone(struct json_writer *w, const struct net_ip *ip, unsigned n_fixed, int value)
{
	char name[96];
	int n = 0;

	if (value >= 0)
		n = snprintf(name, sizeof(name), ip->family == 4 ? "%d." : "%x.", (unsigned)value);
	for (unsigned i = n_fixed; i-- > 0;)
		n += snprintf(name + n, sizeof(name) - (size_t)n, ip->family == 4 ? "%u." : "%x.",
		    digit_at(ip, i));
	snprintf(name + n, sizeof(name) - (size_t)n, "%s", ip->family == 4 ? "in-addr.arpa" : "ip6.arpa");
	put_empty_route(w, name);
}

/* Reverse zones end at whole digits: a prefix between two is all zones that it has. */
static void
put_reverse_zones(struct json_writer *w, const struct net_prefix *p)
{
	unsigned width = p->ip.family == 4 ? 8 : 4, n_fixed = p->bits / width, rest = p->bits % width;
	unsigned first;

	if (p->ip.family == 0)
		return;
	if (rest == 0) {
		put_zone(w, &p->ip, n_fixed, -1);
		return;
	}
	first = digit_at(&p->ip, n_fixed);
	for (unsigned i = 0; i < 1u << (width - rest); i++)
		put_zone(w, &p->ip, n_fixed, (int)(first + i));
}

static bool
is_below(const char *name, const char *domain)
{
	size_t n = strlen(name), nd = strlen(domain);

	return nd > 0 && n >= nd && strcmp(name + n - nd, domain) == 0 &&
	    (n == nd || name[n - nd - 1] == '.');
}

static bool
has_domain(const struct dns_params *p)
{
	return p->base_domain != NULL && p->base_domain[0] != 0;
}

/* Does the client answer, or ask somebody, for this record's name anyway? */
static bool
is_routed(const struct dns_params *p, unsigned record)
{
	const char *name = p->records[record].name;

	if (p->magic_dns && has_domain(p) && is_below(name, p->base_domain))
		return true;
	for (unsigned i = 0; i < p->n_split; i++)
		if (is_below(name, p->split[i].domain))
			return true;
	return record > 0 && strcmp(name, p->records[record - 1].name) == 0;
}

static void
put_routes(struct json_writer *w, const struct dns_params *p, const struct dns_node *n)
{
	json_w_obj_open(w, "Routes");
	if (p->magic_dns) {
		put_reverse_zones(w, &p->v4);
		put_reverse_zones(w, &p->v6);
	}
	for (unsigned i = 0; i < p->n_split; i++)
		put_resolvers(w, p->split[i].domain, &p->split[i].to, n);
	for (unsigned i = 0; i < p->n_records; i++)
		if (!is_routed(p, i))
			put_empty_route(w, p->records[i].name);
	json_w_obj_close(w);
}

static void
put_domains(struct json_writer *w, const struct dns_params *p)
{
	if (!has_domain(p) && p->n_search_domains == 0)
		return;
	json_w_arr_open(w, "Domains");
	if (has_domain(p))
		json_w_str(w, NULL, p->base_domain);
	for (unsigned i = 0; i < p->n_search_domains; i++)
		json_w_str(w, NULL, p->search_domains[i]);
	json_w_arr_close(w);
}

static void
put_records(struct json_writer *w, const struct dns_params *p)
{
	if (p->n_records == 0)
		return;
	json_w_arr_open(w, "ExtraRecords");
	for (unsigned i = 0; i < p->n_records; i++) {
		json_w_obj_open(w, NULL);
		json_w_str(w, "Name", p->records[i].name);
		json_w_str(w, "Type", p->records[i].type);
		json_w_str(w, "Value", p->records[i].value);
		json_w_obj_close(w);
	}
	json_w_arr_close(w);
}

void
dns_put(struct buf *b, const struct dns_params *p, const struct dns_node *n)
{
	struct json_writer w;
	bool is_on = n == NULL || dns_variant_of(p, n) != DNS_OFF;

	json_w_init(&w, b);
	json_w_obj_open(&w, NULL);
	json_w_bool(&w, "Proxied", is_on && p->magic_dns);
	if (is_on) {
		put_domains(&w, p);
		if (p->nameservers.n > 0)
			put_resolvers(&w, p->override_local ? "Resolvers" : "FallbackResolvers",
			    &p->nameservers, n);
		put_routes(&w, p, n);
		put_records(&w, p);
	}
	json_w_obj_close(&w);
}
