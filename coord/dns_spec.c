/* DNS settings as the configuration has them. */
#include "coord/dns_spec.h"

#include <string.h>

static void
put_prefix(const char *text, struct net_prefix *out)
{
	if (text == NULL || net_prefix_parse(text, strlen(text), out) != ERR_OK)
		*out = (struct net_prefix){ .bits = 0 };
}

void
dns_spec_config(const struct config *cfg, struct dns_params *out)
{
	out->base_domain = obj_strdup(cfg->dns.base_domain != NULL ? cfg->dns.base_domain : "");
	out->magic_dns = cfg->dns.magic_dns;
	for (unsigned i = 0; i < cfg->dns.nameservers.n; i++)
		dns_resolvers_add(&out->nameservers, cfg->dns.nameservers.items[i], false);
	put_prefix(cfg->prefixes.v4, &out->v4);
	put_prefix(cfg->prefixes.v6, &out->v6);
	out->override_local = out->nameservers.n > 0;
}
