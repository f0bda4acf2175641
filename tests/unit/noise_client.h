/* The initiator's side of Noise IK for tests, written apart from coord/noise: HMAC of OpenSSL, AEAD
 * of libsodium. */
#ifndef TESTS_UNIT_NOISE_CLIENT_H
#define TESTS_UNIT_NOISE_CLIENT_H

#include <openssl/evp.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/key.h"
#include "base/wire.h"

struct noise_client {
	uint8_t h[32], ck[32], k[32];
	struct private_key machine, ephemeral;
	struct machine_key machine_pub;
	uint8_t tx_key[32], rx_key[32];
	uint64_t tx_counter, rx_counter;
};

static inline void
nc_hmac(const uint8_t *key, const uint8_t *p, size_t n, uint8_t out[32])
{
	ASSERT(EVP_Q_mac(NULL, "HMAC", NULL, "BLAKE2S-256", NULL, key, 32, p, n, out, 32, NULL) != NULL);
}

static inline void
nc_hkdf(const uint8_t *salt, const uint8_t *p, size_t n, uint8_t *one, uint8_t *two)
{
	uint8_t prk[32], step[33];

	nc_hmac(salt, p, n, prk);
	nc_hmac(prk, (const uint8_t *)"\1", 1, one);
	memcpy(step, one, 32);
	step[32] = 2;
	nc_hmac(prk, step, 33, two);
}

static inline void
nc_mix_hash(struct noise_client *c, const void *p, size_t n)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	ASSERT(EVP_DigestInit_ex(md, EVP_blake2s256(), NULL) == 1);
	ASSERT(EVP_DigestUpdate(md, c->h, 32) == 1 && EVP_DigestUpdate(md, p, n) == 1);
	ASSERT(EVP_DigestFinal_ex(md, c->h, NULL) == 1);
	EVP_MD_CTX_free(md);
}

static inline void
nc_mix_dh(struct noise_client *c, const struct private_key *ours, const uint8_t *theirs)
{
	uint8_t dh[32], ck[32];

	ASSERT(crypto_scalarmult(dh, ours->b, theirs) == 0);
	nc_hkdf(c->ck, dh, 32, ck, c->k);
	memcpy(c->ck, ck, 32);
}

static inline void
nc_seal_hash(struct noise_client *c, const uint8_t *p, size_t n, uint8_t *out)
{
	static const uint8_t nonce[12];

	crypto_aead_chacha20poly1305_ietf_encrypt(out, NULL, p, n, c->h, 32, NULL, nonce, c->k);
	nc_mix_hash(c, out, n + 16);
}

/* The 101 bytes; c->machine and c->ephemeral are set by the caller or made here when zero. */
static inline void
nc_hello(struct noise_client *c, uint16_t version, const struct machine_key *server, uint8_t out[101])
{
	static const char name[] = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
	char prologue[64];

	if (private_key_is_zero(&c->machine))
		private_key_new(&c->machine);
	if (private_key_is_zero(&c->ephemeral))
		private_key_new(&c->ephemeral);
	private_key_public(&c->machine, c->machine_pub.b);
	ASSERT(EVP_Digest(name, sizeof name - 1, c->h, NULL, EVP_blake2s256(), NULL) == 1);
	memcpy(c->ck, c->h, 32);
	snprintf(prologue, sizeof prologue, "Tailscale Control Protocol v%u", (unsigned)version);
	nc_mix_hash(c, prologue, strlen(prologue));
	nc_mix_hash(c, server->b, 32);
	wire_put_u16be(out, version);
	out[2] = 1;
	wire_put_u16be(out + 3, 96);
	private_key_public(&c->ephemeral, out + 5);
	nc_mix_hash(c, out + 5, 32);
	nc_mix_dh(c, &c->ephemeral, server->b);
	nc_seal_hash(c, c->machine_pub.b, 32, out + 37);
	nc_mix_dh(c, &c->machine, server->b);
	nc_seal_hash(c, (const uint8_t *)"", 0, out + 85);
}

/* The server's 51 bytes; false: not ours. */
static inline bool
nc_finish(struct noise_client *c, const uint8_t p[51])
{
	static const uint8_t nonce[12];
	uint8_t none[1];

	if (p[0] != 2 || wire_u16be(p + 1) != 48)
		return false;
	nc_mix_hash(c, p + 3, 32);
	nc_mix_dh(c, &c->ephemeral, p + 3);
	nc_mix_dh(c, &c->machine, p + 3);
	if (crypto_aead_chacha20poly1305_ietf_decrypt(none, NULL, NULL, p + 35, 16, c->h, 32, nonce,
	    c->k) != 0)
		return false;
	nc_hkdf(c->ck, (const uint8_t *)"", 0, c->tx_key, c->rx_key);
	return true;
}

/* n bytes as one record behind out; n <= 4077. */
static inline void
nc_seal(struct noise_client *c, const uint8_t *p, size_t n, struct buf *out)
{
	uint8_t nonce[12] = { 0 }, *d = buf_reserve(out, n + 19);

	wire_put_u64be(nonce + 4, c->tx_counter++);
	d[0] = 4;
	wire_put_u16be(d + 1, (uint16_t)(n + 16));
	crypto_aead_chacha20poly1305_ietf_encrypt(d + 3, NULL, p, n, NULL, 0, NULL, nonce, c->tx_key);
	out->len += n + 19;
}

/* Opens the record at p (of n bytes) to the end of out; returns its length, 0: not all is there. */
static inline size_t
nc_open(struct noise_client *c, const uint8_t *p, size_t n, struct buf *out)
{
	uint8_t nonce[12] = { 0 };
	size_t len;

	if (n < 3 || n < 3u + (len = wire_u16be(p + 1)))
		return 0;
	ASSERT(p[0] == 4 && len >= 16);
	wire_put_u64be(nonce + 4, c->rx_counter++);
	ASSERT(crypto_aead_chacha20poly1305_ietf_decrypt(buf_reserve(out, len), NULL, NULL, p + 3, len,
	    NULL, 0, nonce, c->rx_key) == 0);
	out->len += len - 16;
	return 3 + len;
}

#endif
