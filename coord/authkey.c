/* Auth keys: text form, hash, state. */
#include "coord/authkey.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "coord/tag.h"

static const char prefix[] = "tskey-auth-";
#define PREFIX_CHARS	(sizeof(prefix) - 1)
#define REMEDY		"make a new one with `fairlead keys create`"

static void
hash_secret(const char *secret, uint8_t hash[AUTHKEY_HASH_BYTES])
{
	unsigned len = 0;

	ASSERT(EVP_Digest(secret, AUTHKEY_SECRET_CHARS, hash, &len, EVP_sha256(), NULL) == 1);
	ASSERT(len == AUTHKEY_HASH_BYTES);
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
authkey_make(struct authkey *k, char *text)
{
	char secret[AUTHKEY_SECRET_CHARS + 1];

	memset(k->id, 0, sizeof(k->id));
	rand_text(k->id, AUTHKEY_ID_CHARS);
	rand_text(secret, AUTHKEY_SECRET_CHARS);
	hash_secret(secret, k->secret_hash);
	snprintf(text, AUTHKEY_TEXT_MAX, "%s%s-%s", prefix, k->id, secret);
	explicit_bzero(secret, sizeof(secret));
}

enum err
authkey_parse(const char *text, size_t n, char id[AUTHKEY_ID_CHARS + 4],
	uint8_t hash[AUTHKEY_HASH_BYTES])
{
	const char *id_at = text + PREFIX_CHARS;
	const char *secret_at = id_at + AUTHKEY_ID_CHARS + 1;

	if (n != PREFIX_CHARS + AUTHKEY_ID_CHARS + 1 + AUTHKEY_SECRET_CHARS ||
	    memcmp(text, prefix, PREFIX_CHARS) != 0 || secret_at[-1] != '-' ||
	    !is_text(id_at, AUTHKEY_ID_CHARS) || !is_text(secret_at, AUTHKEY_SECRET_CHARS))
		return ERR_INVAL;
	memset(id, 0, AUTHKEY_ID_CHARS + 4);
	memcpy(id, id_at, AUTHKEY_ID_CHARS);
	hash_secret(secret_at, hash);
	return ERR_OK;
}

enum err
authkey_is_usable(const struct authkey *k, int64_t now_unix_s, struct err_text *why)
{
	char when[CLOCK_RFC3339_BYTES];

	if (k->revoked_unix_s != 0)
		return err_say(why, ERR_DENIED, "auth key %s was revoked on %.10s: " REMEDY, k->id,
		    clock_rfc3339(k->revoked_unix_s, when));
	if (k->expires_unix_s != 0 && k->expires_unix_s <= now_unix_s)
		return err_say(why, ERR_DENIED, "auth key %s expired on %.10s: " REMEDY, k->id,
		    clock_rfc3339(k->expires_unix_s, when));
	if (!k->is_reusable && k->uses > 0)
		return err_say(why, ERR_DENIED, "auth key %s is for one use and was used on %.10s: "
		    REMEDY, k->id, clock_rfc3339(k->last_used_unix_s, when));
	if (!k->is_reusable && k->uses_pending > 0)
		return err_say(why, ERR_BUSY, "auth key %s is just being used", k->id);
	return ERR_OK;
}

const char *
authkey_state(const struct authkey *k, int64_t now_unix_s)
{
	if (k->revoked_unix_s != 0)
		return "revoked";
	if (!k->is_reusable && k->uses > 0)
		return "used";
	if (k->expires_unix_s != 0 && k->expires_unix_s <= now_unix_s)
		return "expired";
	return "active";
}

struct authkey *
authkey_new(void)
{
	struct authkey *k = obj_alloc(sizeof(*k));

	k->magic = AUTHKEY_MAGIC;
	return k;
}

void
authkey_free(struct authkey *k)
{
	if (k == NULL)
		return;
	OBJ_CHECK(k, AUTHKEY_MAGIC);
	k->magic = 0;
	tag_list_free(k->tags, k->n_tags);
	free(k);
}
