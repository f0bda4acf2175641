/* DNS settings as the configuration has them. Pure. */
#ifndef COORD_DNS_SPEC_H
#define COORD_DNS_SPEC_H

#include "base/config.h"
#include "coord/dns.h"

/* What the configuration says, into *out (zeroed by the caller). */
void dns_spec_config(const struct config *cfg, struct dns_params *out);

#endif
