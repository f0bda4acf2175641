/* Records of admission: made, signed, checked, read. */
#include "base/admit.h"

#include <sodium.h>
#include <string.h>

#include "base/wire.h"

#define MAGIC		"FLADMIT1"
#define MAGIC_BYTES	8u
#define LENGTH_BYTES	4u
#define SIGN_BYTES	64u
#define BODY_AT		(LENGTH_BYTES + SIGN_BYTES)
#define BODY_HEAD_BYTES	(ADMIT_HEAD_BYTES - BODY_AT)
#define VALID_MAX_S	(3650u * 86400u)

_Static_assert(SIGN_BYTES == crypto_sign_BYTES && ADMIT_PUBLIC_BYTES == crypto_sign_PUBLICKEYBYTES &&
    ADMIT_SECRET_BYTES == crypto_sign_SECRETKEYBYTES, "Ed25519 as libsodium has it");

void
admit_signer_init(struct admit_signer *s, const struct private_key *noise)
{
	static const char purpose[] = "fairlead: signs what relays are told";
	uint8_t seed[crypto_sign_SEEDBYTES];

	ASSERT(sodium_init() >= 0);
	ASSERT(crypto_generichash(seed, sizeof(seed), (const uint8_t *)purpose, sizeof(purpose) - 1, noise->b,
	    KEY_BYTES) == 0);
	ASSERT(crypto_sign_seed_keypair(s->public, s->secret, seed) == 0);
	sodium_memzero(seed, sizeof(seed));
}

struct shbuf *
admit_record_new(const struct admit_signer *s, const struct admit_record *r)
{
	size_t total = ADMIT_HEAD_BYTES + r->n;
	struct shbuf *b;
	uint8_t *p;

	ASSERT(total <= ADMIT_RECORD_MAX);
	b = shbuf_alloc(total);
	p = b->bytes;
	wire_put_u32be(p, (uint32_t)(total - LENGTH_BYTES));
	memcpy(p + BODY_AT, MAGIC, MAGIC_BYTES);
	p[76] = (uint8_t)r->kind;
	memset(p + 77, 0, 3);
	wire_put_u32be(p + 80, r->valid_s);
	wire_put_u64be(p + 84, r->epoch);
	wire_put_u64be(p + 92, r->seq);
	wire_put_u64be(p + 100, (uint64_t)r->issued_unix_s);
	if (r->n > 0)
		memcpy(p + ADMIT_HEAD_BYTES, r->payload, r->n);
	ASSERT(crypto_sign_detached(p + LENGTH_BYTES, NULL, p + BODY_AT, total - BODY_AT, s->secret) == 0);
	return b;
}

static bool
is_payload(enum admit_kind kind, const uint8_t *p, size_t n)
{
	switch (kind) {
	case ADMIT_SNAPSHOT:
		return n % KEY_BYTES == 0;
	case ADMIT_DELTA:
		for (size_t at = 0; at < n; at += ADMIT_CHANGE_BYTES)
			if (n - at < ADMIT_CHANGE_BYTES || p[at] > 1)
				return false;
		return true;
	case ADMIT_TICK:
		return n == 0;
	case ADMIT_CONFIG:
		return n > 0;
	}
	return false;
}

enum err
admit_body_parse(const uint8_t *p, size_t n, struct admit_record *out)
{
	struct admit_record r;

	if (n < BODY_HEAD_BYTES || memcmp(p, MAGIC, MAGIC_BYTES) != 0)
		return ERR_PROTO;
	r.kind = p[8];
	r.valid_s = wire_u32be(p + 12);
	r.epoch = wire_u64be(p + 16);
	r.seq = wire_u64be(p + 24);
	r.issued_unix_s = (int64_t)wire_u64be(p + 32);
	r.payload = p + BODY_HEAD_BYTES;
	r.n = n - BODY_HEAD_BYTES;
	/* Times that cannot be added to without overflow are nobody's. */
	if (r.issued_unix_s < 0 || r.issued_unix_s > INT64_MAX / 2 || r.valid_s > VALID_MAX_S ||
	    !is_payload(r.kind, r.payload, r.n))
		return ERR_PROTO;
	*out = r;
	return ERR_OK;
}

enum err
admit_record_parse(const uint8_t *p, size_t n, const uint8_t public[ADMIT_PUBLIC_BYTES],
	struct admit_record *out, size_t *used)
{
	size_t len;
	enum err rc;

	if (n < LENGTH_BYTES)
		return ERR_AGAIN;
	len = wire_u32be(p);
	if (len > ADMIT_RECORD_MAX - LENGTH_BYTES)
		return ERR_LIMIT;
	if (len < ADMIT_HEAD_BYTES - LENGTH_BYTES)
		return ERR_PROTO;
	if (n - LENGTH_BYTES < len)
		return ERR_AGAIN;
	if (crypto_sign_verify_detached(p + LENGTH_BYTES, p + BODY_AT, len - SIGN_BYTES, public) != 0)
		return ERR_CRYPTO;
	if ((rc = admit_body_parse(p + BODY_AT, len - SIGN_BYTES, out)) == ERR_OK)
		*used = LENGTH_BYTES + len;
	return rc;
}
