/*
 * What a relay on another machine says of itself when it comes (POST /api/fairlead/v1/relay). Pure.
 *
 *   {"version":"1.0","derpKey":"<64 hex: its DERP public key>",
 *    "node":{…as in coord/region.h, "hostname" may be missing: where it comes from}}
 */
#ifndef COORD_RELAY_HELLO_H
#define COORD_RELAY_HELLO_H

#include "coord/region.h"

struct relay_hello {
	char version[64];
	uint8_t derp_key[KEY_BYTES];
	struct region_node node;	/* its name is the relay's */
};

/* name: of the relay; from: its address. ERR_INVAL, ERR_LIMIT with *why. */
enum err relay_hello_parse(const json_t *v, const char *name, const struct net_ip *from,
	struct relay_hello *out, struct err_text *why) MUST_USE;

#endif
