/*
 * Parser of the first request head on a connection (RFC 9112 request line and fields), and of
 * PROXY protocol v1/v2 headers. Pure: bytes in, facts out; nothing is copied or allocated.
 */
#ifndef SERVER_DOOR_HTTP_H
#define SERVER_DOOR_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/net.h"

#define DOOR_HEAD_FIELDS_MAX 64

struct door_str {
	const char *p;		/* borrowed from the parsed bytes; not NUL-terminated */
	size_t n;
};

struct door_head {
	struct door_str method, target, path, query;	/* target = path[?query] */
	unsigned minor;					/* HTTP/1.minor */
	struct { struct door_str name, value; } fields[DOOR_HEAD_FIELDS_MAX];
	unsigned n_fields;
	size_t head_bytes;				/* through the empty line */
	int64_t content_length;				/* -1: none given */
	bool is_chunked;
	bool keeps_alive;				/* by version and Connection */
};

/* The head at the start of [p, p+n). ERR_AGAIN: the empty line is not there yet; ERR_PROTO: no
 * HTTP/1.x, or one that two readers could understand differently (folded or repeated framing
 * fields, bare LF); ERR_LIMIT: too many fields. The caller bounds n. *out is only valid after
 * ERR_OK. */
enum err door_http_parse(const char *p, size_t n, struct door_head *out) MUST_USE;

/* First field of that name (case-insensitive), or an empty string with p == NULL. */
struct door_str door_http_field(const struct door_head *h, const char *name);
bool door_str_is(struct door_str s, const char *text);		/* exact */
bool door_str_is_nocase(struct door_str s, const char *text);
/* Without spaces and tabs at both ends. */
struct door_str door_str_trim(struct door_str s);
/* A comma-separated list holds the token (case-insensitive), as in Connection and Upgrade. */
bool door_str_lists(struct door_str s, const char *token);
/* The same over all fields of that name. */
bool door_http_lists(const struct door_head *h, const char *name, const char *token);

#define DOOR_PROXY_MAX_BYTES 2048	/* longest PROXY header taken */

/* Does [p, p+n) begin a PROXY header? ERR_OK: yes; ERR_AGAIN: too short to say; ERR_NOTFOUND. */
enum err door_proxy_sniff(const uint8_t *p, size_t n) MUST_USE;

/* PROXY protocol header at the start: v1 text or v2 binary. ERR_AGAIN, ERR_PROTO. *used bytes
 * belong to it; *peer is untouched for LOCAL and UNKNOWN. */
enum err door_proxy_parse(const uint8_t *p, size_t n, struct net_addr *peer, size_t *used) MUST_USE;

#endif
