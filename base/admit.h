/*
 * What a coordinator tells its relays on other machines, each record signed by it: who may use them,
 * and how they link with one another. Pure but for the key's derivation; any thread.
 *
 * A record, integers big-endian:
 *   0   4  length of what follows
 *   4  64  Ed25519 signature of all that follows it
 *  68   8  "FLADMIT1"
 *  76   1  kind
 *  77   3  zero
 *  80   4  for how many seconds after it was issued what is known by it holds
 *  84   8  epoch: of the coordinator's run; numbers of another one say nothing
 *  92   8  number of the state that this record leads to
 * 100   8  issued, Unix seconds
 * 108      by kind
 *
 *   SNAPSHOT  node keys of 32 bytes: these and no others are admitted
 *   DELTA     from the state before: of each change one byte, 1 admitted or 0 not any more, and a key
 *   TICK      nothing: the state of this number still holds
 *   CONFIG    a JSON object for this relay alone
 */
#ifndef BASE_ADMIT_H
#define BASE_ADMIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/key.h"

#define ADMIT_RECORD_MAX	(16u << 20)	/* with all; half a million keys */
#define ADMIT_HEAD_BYTES	108u
#define ADMIT_CHANGE_BYTES	(1u + KEY_BYTES)
#define ADMIT_PUBLIC_BYTES	32
#define ADMIT_SECRET_BYTES	64
#define ADMIT_PUBLIC_FIELD	"X-Fairlead-Relay-Key"	/* of the answer: the public key in hex */

enum admit_kind { ADMIT_SNAPSHOT = 1, ADMIT_DELTA, ADMIT_TICK, ADMIT_CONFIG };

struct admit_record {
	enum admit_kind kind;
	uint32_t valid_s;
	uint64_t epoch, seq;
	int64_t issued_unix_s;
	const uint8_t *payload;		/* borrowed, n bytes */
	size_t n;
};

struct admit_signer {
	uint8_t public[ADMIT_PUBLIC_BYTES];
	uint8_t secret[ADMIT_SECRET_BYTES];
};

/* The signing key that belongs to the server's Noise key: it stays as long as that does. */
void admit_signer_init(struct admit_signer *s, const struct private_key *noise);
/* The whole record, signed; r->n fits. The caller's reference. */
struct shbuf *admit_record_new(const struct admit_signer *s, const struct admit_record *r) MUST_USE;

/* The record at [p, p+n). ERR_OK: *out borrows from p, *used bytes of it; ERR_AGAIN: not all of it yet;
 * ERR_LIMIT: longer than ever sent; ERR_CRYPTO: not signed by this key; ERR_PROTO: signed, but not of
 * this form. */
enum err admit_record_parse(const uint8_t *p, size_t n, const uint8_t public[ADMIT_PUBLIC_BYTES],
	struct admit_record *out, size_t *used) MUST_USE;
/* The same of a record whose signature does not matter (fuzzing): body only. ERR_PROTO. */
enum err admit_body_parse(const uint8_t *p, size_t n, struct admit_record *out) MUST_USE;

#endif
