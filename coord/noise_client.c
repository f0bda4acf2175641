/* Noise_IK_25519_ChaChaPoly_BLAKE2s, initiator: e, es, s, ss; then e, ee, se. */
#include "coord/noise_client.h"

#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/wire.h"

#define HMAC_BLOCK	64
#define HELLO_HEAD	5
#define ANSWER_HEAD	3

static EVP_MD *blake2s;

void
noise_client_init(void)
{
	blake2s = EVP_MD_fetch(NULL, "BLAKE2S-256", NULL);
	ASSERT(sodium_init() >= 0 && blake2s != NULL);
}

/* BLAKE2s of two pieces. */
static void
hash(const void *a, size_t n_a, const void *b, size_t n_b, uint8_t out[NOISE_HASH_BYTES])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool is_done = md != NULL && EVP_DigestInit_ex2(md, blake2s, NULL) == 1 &&
	    EVP_DigestUpdate(md, a, n_a) == 1 && EVP_DigestUpdate(md, b, n_b) == 1 &&
	    EVP_DigestFinal_ex(md, out, NULL) == 1;

	EVP_MD_CTX_free(md);
	ASSERT(is_done);
}

static void
hmac(const uint8_t key[NOISE_HASH_BYTES], const void *p, size_t n, uint8_t out[NOISE_HASH_BYTES])
{
	uint8_t block[HMAC_BLOCK], inner[NOISE_HASH_BYTES];

	memset(block, 0x36, sizeof block);
	for (size_t i = 0; i < NOISE_HASH_BYTES; i++)
		block[i] ^= key[i];
	hash(block, sizeof block, p, n, inner);
	for (size_t i = 0; i < sizeof block; i++)
		block[i] ^= 0x36 ^ 0x5c;
	hash(block, sizeof block, inner, sizeof inner, out);
}

static void
hkdf(const uint8_t ck[NOISE_HASH_BYTES], const void *p, size_t n, uint8_t a[NOISE_HASH_BYTES],
    uint8_t b[NOISE_HASH_BYTES])
{
	uint8_t prk[NOISE_HASH_BYTES], more[NOISE_HASH_BYTES + 1], one = 1;

	hmac(ck, p, n, prk);
	hmac(prk, &one, 1, a);
	memcpy(more, a, NOISE_HASH_BYTES);
	more[NOISE_HASH_BYTES] = 2;
	hmac(prk, more, sizeof more, b);
}

static void
mix_hash(struct noise_client *c, const void *p, size_t n)
{
	hash(c->h, sizeof c->h, p, n, c->h);
}

/* ERR_CRYPTO: a point of small order. */
static enum err
mix_dh(struct noise_client *c, const uint8_t priv[KEY_BYTES], const uint8_t pub[KEY_BYTES],
    uint8_t key[KEY_BYTES])
{
	uint8_t dh[KEY_BYTES];

	if (crypto_scalarmult(dh, priv, pub) != 0)
		return ERR_CRYPTO;
	hkdf(c->ck, dh, sizeof dh, c->ck, key);
	return ERR_OK;
}

static void
seal(struct noise_client *c, const uint8_t key[KEY_BYTES], const uint8_t *p, size_t n, uint8_t *out)
{
	static const uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];

	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, p, n, c->h, sizeof c->h, NULL, nonce,
	    key);
	mix_hash(c, out, n + NOISE_TAG_BYTES);
}

enum err
noise_client_hello(struct noise_client *c, const struct noise_identity *own,
    const struct machine_key *server, uint16_t version, uint8_t out[NOISE_HELLO_BYTES])
{
	static const char name[] = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
	uint8_t key[KEY_BYTES], *p = out + HELLO_HEAD;
	char prologue[48];
	int n = snprintf(prologue, sizeof prologue, "Tailscale Control Protocol v%u", version);

	hash(name, sizeof name - 1, "", 0, c->h);
	memcpy(c->ck, c->h, sizeof c->ck);
	mix_hash(c, prologue, (size_t)n);
	mix_hash(c, server->b, KEY_BYTES);
	wire_put_u16be(out, version);
	out[2] = 1;
	wire_put_u16be(out + 3, NOISE_HELLO_BYTES - HELLO_HEAD);
	crypto_box_keypair(p, c->ephemeral.b);
	mix_hash(c, p, KEY_BYTES);
	p += KEY_BYTES;
	if (mix_dh(c, c->ephemeral.b, server->b, key) != ERR_OK)
		return ERR_CRYPTO;
	seal(c, key, own->pub.b, KEY_BYTES, p);
	p += KEY_BYTES + NOISE_TAG_BYTES;
	if (mix_dh(c, own->priv.b, server->b, key) != ERR_OK)
		return ERR_CRYPTO;
	seal(c, key, NULL, 0, p);
	return ERR_OK;
}

enum err
noise_client_finish(struct noise_client *c, const struct noise_identity *own,
    const uint8_t answer[NOISE_ANSWER_BYTES], struct noise_half *rx, struct noise_half *tx)
{
	static const uint8_t nonce[crypto_aead_chacha20poly1305_ietf_NPUBBYTES];
	const uint8_t *pub = answer + ANSWER_HEAD;
	uint8_t key[KEY_BYTES], nothing[1];

	if (answer[0] != 2 || wire_u16be(answer + 1) != NOISE_ANSWER_BYTES - ANSWER_HEAD)
		return ERR_PROTO;
	mix_hash(c, pub, KEY_BYTES);
	if (mix_dh(c, c->ephemeral.b, pub, key) != ERR_OK ||
	    mix_dh(c, own->priv.b, pub, key) != ERR_OK ||
	    crypto_aead_chacha20poly1305_ietf_decrypt(nothing, NULL, NULL, pub + KEY_BYTES,
		NOISE_TAG_BYTES, c->h, sizeof c->h, nonce, key) != 0)
		return ERR_CRYPTO;
	hkdf(c->ck, NULL, 0, tx->key, rx->key);
	tx->counter = rx->counter = 0;
	return ERR_OK;
}
