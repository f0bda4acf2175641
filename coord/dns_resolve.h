/*
 * Further names: from the records that are asked for to the addresses that clients are sent. Clients
 * know A and AAAA only (ipn/ipnlocal dnsConfigForNetmap passes over other types), so a CNAME is
 * followed here, to other records, nodes and names of outside, and TXT is kept and not sent. Pure.
 */
#ifndef COORD_DNS_RESOLVE_H
#define COORD_DNS_RESOLVE_H

#include "coord/dns.h"

#define DNS_RESOLVE_IPS_MAX	16	/* of one CNAME */
#define DNS_RESOLVE_DEPTH_MAX	8	/* CNAME of CNAME of … */
#define DNS_PROBLEM_MAX		128

enum dns_origin { DNS_OF_CONFIG, DNS_OF_FILE, DNS_OF_API };

struct dns_wanted {
	struct dns_record r;		/* owned, as dns_record_make makes it */
	enum dns_origin origin;
	char problem[DNS_PROBLEM_MAX];	/* why clients do not get it; "": they do */
};

struct dns_ips {
	struct net_ip v[DNS_RESOLVE_IPS_MAX];
	unsigned n;
};
void dns_ips_add(struct dns_ips *to, const struct net_ip *ip);	/* unless full, there, or none */

/* What is known besides the records. Both add to *out; false, with problem filled: there is nothing. */
struct dns_finder {
	void *arg;
	bool (*node)(void *arg, const char *label, struct dns_ips *out);
	bool (*outside)(void *arg, const char *name, struct dns_ips *out, char problem[DNS_PROBLEM_MAX]);
};

/* Appends addresses to out->records, in the order of list, and fills in problems. */
void dns_resolve(struct dns_wanted *list, unsigned n, const struct dns_finder *f, struct dns_params *out);

#endif
