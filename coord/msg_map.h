/*
 * Map messages: POST /machine/map, request bytes -> struct; framing of answers (u32 little-endian
 * length, then zstd frames that together are one JSON text). Pure.
 * Source: tailcfg.MapRequest; controlclient/direct.go decodeMsg.
 */
#ifndef COORD_MSG_MAP_H
#define COORD_MSG_MAP_H

#include "base/buf.h"
#include "base/key.h"
#include "coord/hostinfo.h"

#define MAP_ENDPOINTS_MAX 64

struct map_endpoint {
	struct net_addr addr;
	uint8_t type;		/* tailcfg.EndpointType */
};

struct map_req {
	uint32_t version;		/* capability version */
	struct node_key node_key;
	bool has_disco_key;
	struct disco_key disco_key;
	bool is_stream, omits_peers, is_read_only, wants_zstd;
	bool has_endpoints;		/* the member was there, even if empty */
	struct map_endpoint *endpoints;	/* owned */
	unsigned n_endpoints;
	struct hostinfo *host;		/* owned reference; NULL: not sent */
};

/* ERR_INVAL or ERR_LIMIT with *why (named member) for anything that is no MapRequest. Endpoints
 * beyond MAP_ENDPOINTS_MAX, and those that are no address, are left out. */
enum err msg_map_parse(const void *p, size_t n, struct map_req **out, struct err_text *why)
	MUST_USE;
void msg_map_free(struct map_req *r);		/* NULL is fine */

#define MSG_MAP_LENGTH_BYTES 4
/* The length in front of an answer of n bytes. */
void msg_map_put_length(uint8_t out[MSG_MAP_LENGTH_BYTES], size_t n);
/* {"KeepAlive":true} as one zstd frame without its length: always the same bytes, which clients
 * then know without decoding. Static; its length into *n. */
const uint8_t *msg_map_keepalive(size_t *n);

#endif
