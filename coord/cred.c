/* Credentials of the API: text form, hash, state. */
#include "coord/cred.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "coord/tag.h"

static const struct { const char *word, *prefix; } kinds[] = {
#define X(id, word, prefix) [CRED_##id] = { word, prefix },
	CRED_KIND_TABLE(X)
#undef X
};

const char *
cred_kind_word(enum cred_kind kind)
{
	return kinds[kind].word;
}

bool
cred_kind_parse(const char *word, enum cred_kind *out)
{
	for (int i = 0; i < CRED_KIND_COUNT; i++) {
		if (strcmp(word, kinds[i].word) == 0) {
			*out = (enum cred_kind)i;
			return true;
		}
	}
	return false;
}

void
cred_make(struct cred *c, char *text)
{
	secret_make(kinds[c->kind].prefix, c->id, c->secret_hash, text);
}

enum err
cred_parse(const char *text, size_t n, enum cred_kind *kind, char id[CRED_ID_MAX],
	uint8_t hash[CRED_HASH_BYTES])
{
	for (int i = 0; i < CRED_KIND_COUNT; i++) {
		if (secret_parse(kinds[i].prefix, text, n, id, hash) == ERR_OK) {
			*kind = (enum cred_kind)i;
			return ERR_OK;
		}
	}
	return ERR_INVAL;
}

bool
cred_hash_eq(const uint8_t a[CRED_HASH_BYTES], const uint8_t b[CRED_HASH_BYTES])
{
	return CRYPTO_memcmp(a, b, CRED_HASH_BYTES) == 0;
}

const char *
cred_state(const struct cred *c, int64_t now_unix_s)
{
	if (c->revoked_unix_s != 0)
		return "revoked";
	if (c->expires_unix_s != 0 && c->expires_unix_s <= now_unix_s)
		return "expired";
	return "active";
}

struct cred *
cred_new(void)
{
	struct cred *c = obj_alloc(sizeof(*c));

	c->magic = CRED_MAGIC;
	c->scopes = obj_strdup("");
	return c;
}

void
cred_fini(struct cred *c)
{
	free(c->scopes);
	tag_list_free(c->tags, c->n_tags);
	c->scopes = NULL;
	c->tags = NULL;
	c->n_tags = 0;
}

void
cred_free(struct cred *c)
{
	if (c == NULL)
		return;
	OBJ_CHECK(c, CRED_MAGIC);
	c->magic = 0;
	cred_fini(c);
	free(c);
}
