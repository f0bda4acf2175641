/*
 * The TLS context of the door: named certificate files, or a self-signed one kept in the data
 * directory. Files are loaded again when they change; a connection keeps the certificate that it
 * began with.
 */
#ifndef SERVER_TLS_H
#define SERVER_TLS_H

#include <stdbool.h>

#include "base/config.h"
#include "base/err.h"
#include "base/io.h"

struct tls;

/* How often to call tls_check: a new pair of files serves after two calls that saw it alike. */
#define TLS_CHECK_MS 10000

/* Everything here: on the main (coordinator) thread, unless said otherwise. */

/* Loads config.tls files, or loads/makes <data_dir>/selfsigned.{crt,key} (ECDSA P-256, the given
 * host as IP or DNS SAN plus localhost and 127.0.0.1, ::1; 10 years; made again when the host
 * changes, it is damaged or within 30 days of its end; files 0600). ERR_IO/ERR_INVAL with *why
 * naming the file. */
enum err tls_new(const struct config *cfg, const char *host, struct tls **out,
	struct err_text *why) MUST_USE;
void tls_free(struct tls *t);		/* no thread calls tls_accept any more; NULL is fine */

/* Files that an ACME client writes, in place of a self-signed certificate: they serve as long as
 * they are there, good, made for the host and within their dates, otherwise the self-signed one
 * does. Paths are copied. Once, before tls_check. */
void tls_prefer(struct tls *t, const char *cert_file, const char *key_file);

/* Looks at the files: if they have changed they are loaded. What cannot be used is logged once, and
 * the certificate in use stays. Makes the self-signed one again before its end. is_now: somebody
 * asked (SIGHUP), so a changed pair is tried at once, also when it was refused before. true: another
 * certificate serves from here on (tls_is_self_signed, tls_pin, tls_dates are its). */
bool tls_check(struct tls *t, bool is_now);

/* About the certificate of the moment. */
bool tls_is_self_signed(const struct tls *t);
/* "sha256-raw:<64 hex>" of the leaf's DER: the CertName of a DERP node; until the next tls_check. */
const char *tls_pin(const struct tls *t);
/* The leaf's dates. */
void tls_dates(const struct tls *t, int64_t *not_before_unix_s, int64_t *not_after_unix_s);

/* A new server-side SSL with the certificate of the moment, the caller's (io_tls_start takes it).
 * Any thread. */
SSL *tls_accept(struct tls *t) MUST_USE;
/* Adds the relay's meta certificate (Tailscale derpserver initMetacert: CN "derpkey"+hex, serial 2)
 * after the chain, here and after each change, so that TLS 1.3 clients save a round trip. Before the
 * first tls_accept. */
enum err tls_add_derp_meta(struct tls *t, const uint8_t derp_public[32], struct err_text *why)
	MUST_USE;

#endif
