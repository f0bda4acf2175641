/* Certificates that the door makes itself: the self-signed one, and the relay's meta certificate. */
#ifndef SERVER_TLS_SELF_H
#define SERVER_TLS_SELF_H

#include <stdint.h>

#include <openssl/ssl.h>

#include "base/err.h"

#define TLS_SELF_RENEW_DAYS	30	/* made again when it ends within this */

/* Puts <dir>/selfsigned.{crt,key} into ctx; made if there is none, or if it cannot serve any more
 * (see tls_new). ERR_IO, ERR_INVAL, ERR_CRYPTO with *why. */
enum err tls_self_load_or_make(SSL_CTX *ctx, const char *dir, const char *host, struct err_text *why)
	MUST_USE;
/* Adds the meta certificate of a relay with this key behind the chain. ERR_CRYPTO with *why. */
enum err tls_self_add_meta(SSL_CTX *ctx, const uint8_t derp_public[32], struct err_text *why)
	MUST_USE;

/* The oldest error of OpenSSL's queue in words, static; empties the queue. */
const char *tls_self_reason(void);

#endif
