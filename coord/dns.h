/* What clients are told of name resolution (tailcfg.DNSConfig). Pure. */
#ifndef COORD_DNS_H
#define COORD_DNS_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/config.h"

struct dns_params {
	const char *base_domain;	/* without dots at the ends; "" = none */
	bool magic_dns;			/* clients resolve nodes' names by themselves */
	const struct config_list *nameservers;	/* replace the host's resolvers; none = they stay */
};

/* Appends the DNSConfig object. */
void dns_put(struct buf *b, const struct dns_params *p);

#endif
