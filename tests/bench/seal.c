/* TLS 1.3 records with AES-128-GCM. */
#include "tests/bench/seal.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "base/wire.h"

#define KEY_LENGTH		16
#define IV_LENGTH		12
#define TAG_LENGTH		16
#define TYPE_ALERT		21
#define TYPE_HANDSHAKE		22
#define TYPE_DATA		23
#define MESSAGE_KEY_UPDATE	24

/* HKDF-Expand-Label with an empty context; n <= 32: one block. */
static void
expand_label(const uint8_t secret[SEAL_SECRET_BYTES], const char *label, uint8_t *out, size_t n)
{
	uint8_t info[64], block[EVP_MAX_MD_SIZE];
	size_t n_label = strlen(label), at = 0;

	wire_put_u16be(info, (uint16_t)n);
	info[2] = (uint8_t)(6 + n_label);
	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, n_label);
	at = 9 + n_label;
	info[at++] = 0;
	info[at++] = 1;
	ASSERT(HMAC(EVP_sha256(), secret, SEAL_SECRET_BYTES, info, at, block, NULL) != NULL);
	memcpy(out, block, n);
}

static void
set_keys(struct seal *s)
{
	uint8_t key[KEY_LENGTH];

	expand_label(s->secret, "key", key, sizeof key);
	expand_label(s->secret, "iv", s->iv, sizeof s->iv);
	s->seq = 0;
	ASSERT(EVP_CipherInit_ex(s->ctx, EVP_aes_128_gcm(), NULL, key, NULL, s->is_tx) == 1);
}

void
seal_init(struct seal *s, const uint8_t secret[SEAL_SECRET_BYTES], bool is_tx)
{
	s->ctx = EVP_CIPHER_CTX_new();
	ASSERT(s->ctx != NULL);
	s->is_tx = is_tx;
	memcpy(s->secret, secret, SEAL_SECRET_BYTES);
	set_keys(s);
}

void
seal_fini(struct seal *s)
{
	EVP_CIPHER_CTX_free(s->ctx);
	s->ctx = NULL;
}

static void
next_nonce(struct seal *s, uint8_t nonce[IV_LENGTH])
{
	uint8_t seq[8];

	wire_put_u64be(seq, s->seq++);
	memcpy(nonce, s->iv, IV_LENGTH);
	for (size_t i = 0; i < sizeof seq; i++)
		nonce[4 + i] ^= seq[i];
}

void
seal_put(struct seal *s, uint8_t *p, size_t n, uint8_t *out)
{
	uint8_t nonce[IV_LENGTH];
	int got;

	p[n] = TYPE_DATA;
	out[0] = TYPE_DATA;
	out[1] = out[2] = 3;
	wire_put_u16be(out + 3, (uint16_t)(n + 1 + TAG_LENGTH));
	next_nonce(s, nonce);
	bool is_done = EVP_EncryptInit_ex(s->ctx, NULL, NULL, NULL, nonce) == 1 &&
	    EVP_EncryptUpdate(s->ctx, NULL, &got, out, SEAL_HEAD_BYTES) == 1 &&
	    EVP_EncryptUpdate(s->ctx, out + SEAL_HEAD_BYTES, &got, p, (int)n + 1) == 1 &&
	    EVP_EncryptFinal_ex(s->ctx, out, &got) == 1 &&
	    EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_GET_TAG, TAG_LENGTH,
		out + SEAL_HEAD_BYTES + n + 1) == 1;
	ASSERT(is_done);
}

enum err
seal_record_bytes(const uint8_t *p, size_t n, size_t *out)
{
	if (n < SEAL_HEAD_BYTES)
		return ERR_AGAIN;
	size_t length = wire_u16be(p + 3);
	if (p[1] != 3 || length < 1 || length > SEAL_PLAIN_MAX + 256)
		return ERR_PROTO;
	if (n < SEAL_HEAD_BYTES + length)
		return ERR_AGAIN;
	*out = SEAL_HEAD_BYTES + length;
	return ERR_OK;
}

/* A new secret for this direction. Servers do not ask for one of ours unless a record limit is near. */
static void
on_handshake_message(struct seal *s, const uint8_t *p, size_t n)
{
	uint8_t next[SEAL_SECRET_BYTES];

	if (n < 1 || p[0] != MESSAGE_KEY_UPDATE)
		return;
	expand_label(s->secret, "traffic upd", next, sizeof next);
	memcpy(s->secret, next, sizeof next);
	set_keys(s);
}

enum err
seal_open(struct seal *s, uint8_t *record, size_t n, size_t *n_plain)
{
	uint8_t nonce[IV_LENGTH], *body = record + SEAL_HEAD_BYTES;
	size_t length = n - SEAL_HEAD_BYTES;
	int got;

	*n_plain = 0;
	if (record[0] == 20)			/* a late ChangeCipherSpec of the compatibility mode */
		return ERR_OK;
	if (record[0] != TYPE_DATA || length < 1 + TAG_LENGTH)
		return record[0] == TYPE_ALERT ? ERR_CLOSED : ERR_CRYPTO;
	length -= TAG_LENGTH;
	next_nonce(s, nonce);
	if (EVP_DecryptInit_ex(s->ctx, NULL, NULL, NULL, nonce) != 1 ||
	    EVP_CIPHER_CTX_ctrl(s->ctx, EVP_CTRL_AEAD_SET_TAG, TAG_LENGTH, body + length) != 1 ||
	    EVP_DecryptUpdate(s->ctx, NULL, &got, record, SEAL_HEAD_BYTES) != 1 ||
	    EVP_DecryptUpdate(s->ctx, body, &got, body, (int)length) != 1 ||
	    EVP_DecryptFinal_ex(s->ctx, body + length, &got) != 1)
		return ERR_CRYPTO;
	while (length > 0 && body[length - 1] == 0)
		length--;
	if (length == 0)
		return ERR_PROTO;
	uint8_t type = body[--length];
	if (type == TYPE_DATA)
		*n_plain = length;
	else if (type == TYPE_HANDSHAKE)
		on_handshake_message(s, body, length);
	else
		return ERR_CLOSED;
	return ERR_OK;
}
