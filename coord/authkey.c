/* Auth keys: text form, hash, state. */
#include "coord/authkey.h"

#include <stdlib.h>

#include "base/clock.h"
#include "coord/tag.h"

#define PREFIX		"tskey-auth-"
#define REMEDY		"make a new one with `fairlead keys create`"

void
authkey_make(struct authkey *k, char *text)
{
	secret_make(PREFIX, k->id, k->secret_hash, text);
}

enum err
authkey_parse(const char *text, size_t n, char id[SECRET_ID_MAX], uint8_t hash[SECRET_HASH_BYTES])
{
	return secret_parse(PREFIX, text, n, id, hash);
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
