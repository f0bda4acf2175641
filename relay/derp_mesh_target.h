/*
 * Another relay of the region, as the configuration names it. Pure.
 *
 *   [https:// | http://] [sha256-raw:PIN@] HOST [:PORT]
 *
 * HOST: a name, an IPv4 address, or an IPv6 address in brackets. PORT: 443, with http:// 80. PIN: 64 hex
 * digits, SHA-256 of the certificate that is expected instead of one that is valid for HOST.
 */
#ifndef RELAY_DERP_MESH_TARGET_H
#define RELAY_DERP_MESH_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define DERP_MESH_PIN_BYTES 32

struct derp_mesh_target {
	char host[254];		/* without brackets */
	uint16_t port;
	bool is_tls;
	bool is_ip;		/* host is an address */
	bool has_pin;
	uint8_t pin[DERP_MESH_PIN_BYTES];
};

/* ERR_INVAL: it is not of that form. */
enum err derp_mesh_target_parse(const char *text, struct derp_mesh_target *out) MUST_USE;

#define DERP_MESH_REQUEST_BYTES 512
/* The upgrade request; returns its length. */
size_t derp_mesh_target_request(const struct derp_mesh_target *t, char out[DERP_MESH_REQUEST_BYTES]);

/* Answer to it in [p, p+n): ERR_OK, *head_bytes of it are HTTP and what follows is DERP; ERR_AGAIN: not
 * all of the head yet; ERR_LIMIT: too long; ERR_DENIED: no 101; ERR_PROTO: no HTTP. */
enum err derp_mesh_target_answer(const char *p, size_t n, size_t *head_bytes) MUST_USE;

#endif
