/*
 * What clients are told of name resolution (tailcfg.DNSConfig), from the settings in effect. Pure.
 *
 * Most nodes get one common text. Nodes for which DNS is off (by tag or by the node attribute
 * DNS_ATTR_OFF) get one that leaves their resolver alone: a K3s node must not hand MagicDNS on to its
 * pods. With a resolver at https://dns.nextdns.io every other node gets a text of its own.
 */
#ifndef COORD_DNS_H
#define COORD_DNS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/net.h"

#define DNS_ATTR_OFF	"fairlead:no-dns"	/* ours, for nodeAttrs of the policy */

struct node;

struct dns_resolver {
	char *addr;			/* "1.1.1.1", "1.1.1.1:5353", "https://dns.example/dns-query" */
	bool use_with_exit_node;	/* also while the client uses an exit node */
};

struct dns_resolvers {
	struct dns_resolver *v;
	unsigned n;
};

/* Names below the domain are looked up there. */
struct dns_split {
	char *domain;
	struct dns_resolvers to;
};

struct dns_record {
	char *name;			/* lower case, no dot at the end */
	char *type;			/* "A", "AAAA", "CNAME", "TXT"; of params: "A", "AAAA" only */
	char *value;
};

/* Settings in effect. All pointers are owned: dns_params_fini. All zero: nothing is set. */
struct dns_params {
	char *base_domain;		/* without dots at the ends; NULL or "": none */
	bool magic_dns;			/* clients resolve nodes' names by themselves */
	bool override_local;		/* nameservers, if any, replace those of the host, else they are
					 * a fallback */
	struct dns_resolvers nameservers;
	struct dns_split *split;
	unsigned n_split;
	char **search_domains;		/* besides base_domain */
	unsigned n_search_domains;
	struct dns_record *records;	/* addresses only */
	unsigned n_records;
	char **off_tags;		/* DNS is off for nodes with one of them */
	unsigned n_off_tags;
	struct net_prefix v4, v6;	/* nodes' addresses, for reverse zones; family 0: none */
};

/* A node as far as it matters here. All borrowed; may be zero where unknown. */
struct dns_node {
	const char *hostname, *os;	/* as the client says */
	struct net_ip ip4, ip6;
	char *const *tags;
	unsigned n_tags;
	const char *caps;		/* members of its CapMap: "\"a\":null,\"b\":[…]" */
	size_t n_caps;			/* bytes */
};

enum dns_variant {
	DNS_COMMON,			/* the text with node NULL */
	DNS_OFF,			/* the same text for all of these */
	DNS_OWN				/* a text of its own */
};

/* From its record, with caps as above (struct policy_bundle has them). */
struct dns_node dns_node_of(const struct node *n, const char *caps, size_t n_caps);

/* Which text the node gets. */
enum dns_variant dns_variant_of(const struct dns_params *p, const struct dns_node *n);
/* Appends the DNSConfig object that n gets; n NULL: the common one. */
void dns_put(struct buf *b, const struct dns_params *p, const struct dns_node *n);

/* ERR_INVAL with *why: MagicDNS without a base domain, override without a nameserver, or a text that is
 * none of its kind. */
enum err dns_params_check(const struct dns_params *p, struct err_text *why) MUST_USE;
void dns_params_fini(struct dns_params *p);	/* frees what it owns; zero again */

/* Appends a copy. */
void dns_resolvers_add(struct dns_resolvers *r, const char *addr, bool use_with_exit_node);
void dns_resolvers_fini(struct dns_resolvers *r);
/* The entry of that domain, made when it is new. */
struct dns_split *dns_split_add(struct dns_params *p, const char *domain);
void dns_search_add(struct dns_params *p, const char *domain);
void dns_off_tag_add(struct dns_params *p, const char *tag);
void dns_record_add(struct dns_params *p, const char *name, const char *type, const char *value);

/* An address, address:port, or an https:// URL. */
bool dns_resolver_is_valid(const char *addr);
/* "name.example.org" in lower case: labels of [a-z0-9_-], at most 253 characters. */
bool dns_name_is_valid(const char *name);
/* *out is the record with its name in lower case without a dot at the end, members owned by the caller
 * (dns_record_fini). ERR_INVAL with *why: no name, a wildcard, an unknown type, a value that does not fit. */
enum err dns_record_make(const char *name, const char *type, const char *value, struct dns_record *out,
	struct err_text *why) MUST_USE;
void dns_record_fini(struct dns_record *r);

#endif
