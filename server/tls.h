/*
 * The TLS context of the door: named certificate files, or a self-signed one kept in the data
 * directory.
 */
#ifndef SERVER_TLS_H
#define SERVER_TLS_H

#include <stdbool.h>

#include "base/config.h"
#include "base/err.h"
#include "base/io.h"

struct tls;

/* Loads config.tls files, or loads/makes <data_dir>/selfsigned.{crt,key} (ECDSA P-256, the given
 * host as IP or DNS SAN plus localhost and 127.0.0.1, ::1; 10 years; made again when the host
 * changes, it is damaged or within 30 days of its end; files 0600). ERR_IO/ERR_INVAL with *why
 * naming the file. Main thread. */
enum err tls_new(const struct config *cfg, const char *host, struct tls **out,
	struct err_text *why) MUST_USE;
void tls_free(struct tls *t);
bool tls_is_self_signed(const struct tls *t);
/* "sha256-raw:<64 hex>" of the leaf's DER: the CertName of a DERP node; static life of t. */
const char *tls_pin(const struct tls *t);
/* A new server-side SSL, the caller's (io_tls_start takes it). Any thread. */
SSL *tls_accept(struct tls *t) MUST_USE;
/* Adds the relay's meta certificate (Tailscale derpserver initMetacert: CN "derpkey"+hex, serial 2)
 * after the chain, so that TLS 1.3 clients save a round trip. Before the first tls_accept. */
enum err tls_add_derp_meta(struct tls *t, const uint8_t derp_public[32], struct err_text *why)
	MUST_USE;

#endif
