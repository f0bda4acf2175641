/*
 * DNSConfig. Reverse zones are left out: a client with Proxied set adds those of 100.64.0.0/10 and
 * of our IPv6 range by itself (ipn/ipnlocal magicDNSRootDomains). CertDomains stay absent until
 * certificates can be had for nodes' names.
 */
#include "coord/dns.h"

#include "base/json.h"

void
dns_put(struct buf *b, const struct dns_params *p)
{
	struct json_writer w;
	bool has_domain = p->base_domain != NULL && p->base_domain[0] != '\0';

	json_w_init(&w, b);
	json_w_obj_open(&w, NULL);
	json_w_bool(&w, "Proxied", p->magic_dns);
	json_w_arr_open(&w, "Domains");
	if (has_domain)
		json_w_str(&w, NULL, p->base_domain);
	json_w_arr_close(&w);
	if (p->nameservers != NULL && p->nameservers->n > 0) {
		json_w_arr_open(&w, "Resolvers");
		for (unsigned i = 0; i < p->nameservers->n; i++) {
			json_w_obj_open(&w, NULL);
			json_w_str(&w, "Addr", p->nameservers->items[i]);
			json_w_obj_close(&w);
		}
		json_w_arr_close(&w);
	}
	if (p->magic_dns && has_domain) {
		json_w_obj_open(&w, "Routes");
		json_w_arr_open(&w, p->base_domain);
		json_w_arr_close(&w);
		json_w_obj_close(&w);
	}
	json_w_obj_close(&w);
}
