/*
 * TLS 1.3 records with AES-128-GCM of any content, as a peer that follows no rules may make them. Keys are
 * derived and used in another way than base/tls_record does.
 */
#ifndef TESTS_UNIT_TLS_FORGE_H
#define TESTS_UNIT_TLS_FORGE_H

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdint.h>
#include <string.h>

#include "base/obj.h"

#define TLS_FORGE_SECRET_BYTES	32u
#define TLS_FORGE_EXTRA_BYTES	21u	/* head and tag; the type is the caller's */

struct tls_forge {
	uint8_t secret[TLS_FORGE_SECRET_BYTES];
	uint64_t seq;
};

static inline void
tls_forge_expand(const struct tls_forge *f, const char *label, uint8_t *out, size_t n)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", NULL);
	EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){ "SHA256" }, 0),
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)f->secret,
		    sizeof f->secret),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PREFIX, (char[]){ "tls13 " }, 6),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_LABEL, (void *)(uintptr_t)label,
		    strlen(label)),
		OSSL_PARAM_construct_end(),
	};

	ASSERT(EVP_KDF_derive(ctx, out, n, params) == 1);
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
}

/* A record whose inside is these n bytes: content, type and zeros as they are. Returns its length. */
static inline size_t
tls_forge_put(struct tls_forge *f, const uint8_t *inner, size_t n, uint8_t *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	uint8_t key[16], iv[12];
	int got;

	tls_forge_expand(f, "key", key, sizeof key);
	tls_forge_expand(f, "iv", iv, sizeof iv);
	for (unsigned i = 0; i < 8; i++)
		iv[11 - i] ^= (uint8_t)(f->seq >> (8 * i));
	f->seq++;
	memcpy(out, "\x17\x03\x03", 3);
	out[3] = (uint8_t)((n + 16) >> 8);
	out[4] = (uint8_t)(n + 16);
	ASSERT(EVP_EncryptInit_ex(ctx, EVP_aes_128_gcm(), NULL, key, iv) == 1);
	ASSERT(EVP_EncryptUpdate(ctx, NULL, &got, out, 5) == 1);
	if (n > 0)
		ASSERT(EVP_EncryptUpdate(ctx, out + 5, &got, inner, (int)n) == 1);
	ASSERT(EVP_EncryptFinal_ex(ctx, out + 5 + n, &got) == 1);
	ASSERT(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, out + 5 + n) == 1);
	EVP_CIPHER_CTX_free(ctx);
	return n + TLS_FORGE_EXTRA_BYTES;
}

/* The secret behind a KeyUpdate. */
static inline void
tls_forge_update(struct tls_forge *f)
{
	uint8_t next[TLS_FORGE_SECRET_BYTES];

	tls_forge_expand(f, "traffic upd", next, sizeof next);
	memcpy(f->secret, next, sizeof next);
	f->seq = 0;
}

#endif
