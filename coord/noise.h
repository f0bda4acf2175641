/*
 * Noise_IK_25519_ChaChaPoly_BLAKE2s as the clients' control protocol uses it: the responder's side
 * of the handshake, and the records behind it. Pure: bytes in, bytes out. Layout in noise.c.
 */
#ifndef COORD_NOISE_H
#define COORD_NOISE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/key.h"

#define NOISE_HELLO_BYTES	101	/* the client's initiation */
#define NOISE_ANSWER_BYTES	51	/* our response */
#define NOISE_HASH_BYTES	32
#define NOISE_HEAD_BYTES	3	/* of a record */
#define NOISE_TAG_BYTES		16
#define NOISE_RECORD_MAX	4096	/* whole record on the wire */
#define NOISE_PLAIN_MAX		4077	/* plaintext in one record */

/* Cipher and hash contexts, fetched once (an implicit fetch costs more than a record). One thread
 * at a time; a worker has one for all its connections, so that a connection keeps 80 bytes. */
struct noise_engine;
struct noise_engine *noise_engine_new(void) MUST_USE;	/* never NULL */
void noise_engine_free(struct noise_engine *e);		/* NULL is fine */

/* The server's static key pair. */
struct noise_identity {
	struct private_key priv;
	struct machine_key pub;
};

/* One direction of a connection. counter is of the next record; 2^64-1 is never used. */
struct noise_half {
	uint8_t key[KEY_BYTES];
	uint64_t counter;
};

/* What a handshake gives. */
struct noise_accepted {
	uint16_t version;			/* capability version of the client */
	struct machine_key machine;		/* authenticated */
	struct noise_half rx, tx;
	uint8_t answer[NOISE_ANSWER_BYTES];	/* to be sent */
	uint8_t hash[NOISE_HASH_BYTES];		/* of the handshake */
};

/* Is it an initiation by its length and head? Cheap; version into *version. ERR_PROTO. */
enum err noise_hello_check(const uint8_t *p, size_t n, uint16_t *version) MUST_USE;
/* The whole handshake: about 0.2 ms. ephemeral: fresh random bytes, used once. ERR_PROTO: no
 * initiation; ERR_CRYPTO: not made for our key, or a key of small order. */
enum err noise_accept(struct noise_engine *e, const struct noise_identity *id,
	const struct private_key *ephemeral, const uint8_t hello[NOISE_HELLO_BYTES],
	struct noise_accepted *out) MUST_USE;

/* Length of the record that begins at p. ERR_AGAIN: not all of it is there; ERR_PROTO: no
 * record. */
enum err noise_record_bytes(const uint8_t *p, size_t n, size_t *out) MUST_USE;
/* Decrypts a whole record (n from noise_record_bytes) in place: the plaintext then is at
 * record + NOISE_HEAD_BYTES, *n_plain bytes, maybe none. ERR_CRYPTO: close. */
enum err noise_open(struct noise_engine *e, struct noise_half *rx, uint8_t *record, size_t n,
	size_t *n_plain) MUST_USE;

/* Bytes that n bytes of plaintext become: in full records, and one for the rest. */
static inline size_t
noise_sealed_bytes(size_t n)
{
	return n + (n + NOISE_PLAIN_MAX - 1) / NOISE_PLAIN_MAX *
	    (NOISE_HEAD_BYTES + NOISE_TAG_BYTES);
}

/* Seals n bytes into records; out (not overlapping) gets noise_sealed_bytes(n). ERR_LIMIT: the
 * counter is used up: close. */
enum err noise_seal(struct noise_engine *e, struct noise_half *tx, const uint8_t *p, size_t n,
	uint8_t *out) MUST_USE;

#endif
