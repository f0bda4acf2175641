/* Texts of ids with their secrets, and the hashes that are kept. */
#include "base/secret.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/rand.h"

static void
hash_put(const char *secret, uint8_t hash[SECRET_HASH_BYTES])
{
	unsigned len = 0;

	ASSERT(EVP_Digest(secret, SECRET_CHARS, hash, &len, EVP_sha256(), NULL) == 1);
	ASSERT(len == SECRET_HASH_BYTES);
}

static bool
is_text(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
		    (s[i] >= '0' && s[i] <= '9')))
			return false;
	}
	return true;
}

void
secret_make(const char *prefix, char id[SECRET_ID_MAX], uint8_t hash[SECRET_HASH_BYTES],
	char text[SECRET_TEXT_MAX])
{
	char secret[SECRET_CHARS + 1];

	memset(id, 0, SECRET_ID_MAX);
	rand_text(id, SECRET_ID_CHARS);
	rand_text(secret, SECRET_CHARS);
	hash_put(secret, hash);
	int n = snprintf(text, SECRET_TEXT_MAX, "%s%s-%s", prefix, id, secret);
	ASSERT(n > 0 && n < SECRET_TEXT_MAX);
	explicit_bzero(secret, sizeof(secret));
}

enum err
secret_parse(const char *prefix, const char *text, size_t n, char id[SECRET_ID_MAX],
	uint8_t hash[SECRET_HASH_BYTES])
{
	size_t n_prefix = strlen(prefix);
	const char *id_at = text + n_prefix;
	const char *secret_at = id_at + SECRET_ID_CHARS + 1;

	if (n != n_prefix + SECRET_ID_CHARS + 1 + SECRET_CHARS ||
	    memcmp(text, prefix, n_prefix) != 0 || secret_at[-1] != '-' ||
	    !is_text(id_at, SECRET_ID_CHARS) || !is_text(secret_at, SECRET_CHARS))
		return ERR_INVAL;
	memset(id, 0, SECRET_ID_MAX);
	memcpy(id, id_at, SECRET_ID_CHARS);
	hash_put(secret_at, hash);
	return ERR_OK;
}
