/*
 * TLS 1.3 records with AES-128-GCM, one direction, from the traffic secret that OpenSSL's handshake
 * made (RFC 8446, sections 5.2 and 7.3). Cheaper than SSL_write for small records, and a connection
 * keeps no SSL object.
 */
#ifndef TESTS_BENCH_SEAL_H
#define TESTS_BENCH_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SEAL_SECRET_BYTES	32
#define SEAL_HEAD_BYTES		5
#define SEAL_EXTRA_BYTES	22	/* head, content type, tag */
#define SEAL_PLAIN_MAX		16384

struct evp_cipher_ctx_st;

struct seal {
	struct evp_cipher_ctx_st *ctx;
	uint64_t seq;
	uint8_t iv[12];
	uint8_t secret[SEAL_SECRET_BYTES];
	bool is_tx;
};

void seal_init(struct seal *s, const uint8_t secret[SEAL_SECRET_BYTES], bool is_tx);
void seal_fini(struct seal *s);

/* Seals n bytes (at most SEAL_PLAIN_MAX) as one record of application data: n + SEAL_EXTRA_BYTES
 * into out. p[n] is overwritten. p may be out + SEAL_HEAD_BYTES. */
void seal_put(struct seal *s, uint8_t *p, size_t n, uint8_t *out);

/* Length of the record that begins at p, head included. ERR_AGAIN: not all of it is there;
 * ERR_PROTO. */
enum err seal_record_bytes(const uint8_t *p, size_t n, size_t *out) MUST_USE;
/* Opens a whole record in place. Application data then is at record + SEAL_HEAD_BYTES, *n_plain
 * bytes; tickets and key updates give 0. ERR_CRYPTO; ERR_CLOSED: an alert. */
enum err seal_open(struct seal *s, uint8_t *record, size_t n, size_t *n_plain) MUST_USE;

#endif
