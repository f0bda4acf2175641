/*
 * Pre-auth keys, written tskey-auth-<id>-<secret> (base/secret).
 */
#ifndef COORD_AUTHKEY_H
#define COORD_AUTHKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/net.h"
#include "base/secret.h"

#define AUTHKEY_MAGIC		0xa07be501u
#define AUTHKEY_ID_CHARS	SECRET_ID_CHARS
#define AUTHKEY_SECRET_CHARS	SECRET_CHARS
#define AUTHKEY_TEXT_MAX	SECRET_TEXT_MAX
#define AUTHKEY_HASH_BYTES	SECRET_HASH_BYTES
#define AUTHKEY_DESCRIPTION_MAX	128

/* Name and addresses promised to the node that will join with the key. */
struct authkey_plan {
	char name[64];				/* MagicDNS label, zero-padded; "": nothing is promised */
	struct net_ip ip4, ip6;
};

struct authkey {
	uint32_t magic;
	char id[SECRET_ID_MAX];			/* zero-padded */
	uint8_t secret_hash[AUTHKEY_HASH_BYTES];
	int64_t user_id;			/* owner (who made it, for tagged keys) */
	char description[AUTHKEY_DESCRIPTION_MAX];
	char **tags;				/* owned; n_tags > 0: nodes become tagged */
	unsigned n_tags;
	bool is_reusable, is_ephemeral, is_preauthorized;
	int64_t created_unix_s, expires_unix_s;	/* 0: never */
	int64_t revoked_unix_s;			/* 0: not */
	int64_t last_used_unix_s;
	unsigned uses;				/* committed */
	unsigned uses_pending;			/* reserved by registrations under way */
	struct authkey_plan plan;
	bool _is_plan_ending;			/* tailnet: its end is under way */
};

/* Makes id, secret and hash; text (AUTHKEY_TEXT_MAX) is to be shown once. */
void authkey_make(struct authkey *k, char *text);
/* Splits a text into id (NUL-terminated) and the secret's hash. ERR_INVAL: not of this form. */
enum err authkey_parse(const char *text, size_t n, char id[SECRET_ID_MAX],
	uint8_t hash[SECRET_HASH_BYTES]) MUST_USE;
/* May it be used for a new node now? ERR_OK; ERR_DENIED with *why for people ("auth key k12…
 * expired on …: make a new one with `fairlead keys create`"); ERR_BUSY: single use, and a
 * registration that is not committed yet has reserved it. */
enum err authkey_is_usable(const struct authkey *k, int64_t now_unix_s, struct err_text *why)
	MUST_USE;
/* "active" | "used" | "expired" | "revoked"; static. */
const char *authkey_state(const struct authkey *k, int64_t now_unix_s);
/* Heap object with its magic; owns tags. */
struct authkey *authkey_new(void) MUST_USE;
void authkey_free(struct authkey *k);		/* NULL is fine */

#endif
