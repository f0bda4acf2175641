/* The DERP map: which relays clients are told of. Pure. Source: tailcfg/derpmap.go. */
#ifndef COORD_DERPMAP_H
#define COORD_DERPMAP_H

#include <stdint.h>

#include "base/buf.h"

struct region;

struct derpmap_params {
	const char *host;		/* name or IP literal that clients reach the relay by */
	const char *pin;		/* "sha256-raw:…" of a self-signed certificate, or NULL */
	uint16_t derp_port;		/* 0: no relay here: the map has no region */
	uint16_t stun_port;		/* 0: none */
	uint16_t http_port;		/* of the plain port that answers /generate_204; 0: none */
	unsigned region_id;		/* 900-999 are for private use */
	const char *region_code, *region_name;
	/* Addresses: "none" = clients shall not try this family. NULL or "" = what host says, and if that
	 * is a name: IPv4 as DNS says, no IPv6. */
	const char *ipv4, *ipv6;
	/* Further regions; one with our own id adds its nodes to ours. */
	const struct region *const *more;
	unsigned n_more;
};

/* Appends the DERPMap object. */
void derpmap_put(struct buf *b, const struct derpmap_params *p);

#endif
