/*
 * Credentials of the API, written <prefix><id>-<secret> (base/secret). Pure but for randomness.
 */
#ifndef COORD_CRED_H
#define COORD_CRED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/secret.h"
#include "coord/user.h"

#define CRED_MAGIC		0xc4ed0001u
#define CRED_ID_CHARS		SECRET_ID_CHARS
#define CRED_ID_MAX		SECRET_ID_MAX	/* zero-padded */
#define CRED_TEXT_MAX		SECRET_TEXT_MAX
#define CRED_HASH_BYTES		SECRET_HASH_BYTES
#define CRED_DESCRIPTION_MAX	128
#define CRED_SCOPES_MAX		1024	/* bytes, with NUL */

/* X(id, word in the database, prefix of the text) */
#define CRED_KIND_TABLE(X) \
	X(API, "api", "tskey-api-")		/* API key of a user */ \
	X(CLIENT, "client", "tskey-client-")	/* OAuth client: gets access tokens */ \
	X(TOKEN, "token", "tskey-token-")	/* access token; parent is its client */ \
	X(LINK, "link", "fl-login-")		/* sign-in to the console, once */ \
	X(SESSION, "session", "fl-session-")	/* of the console */

enum cred_kind {
#define X(id, word, prefix) CRED_##id,
	CRED_KIND_TABLE(X)
#undef X
	CRED_KIND_COUNT
};

struct cred {
	uint32_t magic;
	enum cred_kind kind;
	char id[CRED_ID_MAX];
	uint8_t secret_hash[CRED_HASH_BYTES];
	int64_t user_id;			/* 0: none, role counts */
	enum user_role role;			/* of a credential without a user */
	char parent[CRED_ID_MAX];		/* id of a token's client; else "" */
	char name[USER_NAME_MAX];		/* who did it, for the audit record: links and sessions */
	char description[CRED_DESCRIPTION_MAX];
	char *scopes;				/* owned, separated by blanks; never NULL in memory */
	char **tags;				/* owned, sorted */
	unsigned n_tags;
	int64_t created_unix_s, expires_unix_s;	/* 0: never */
	int64_t revoked_unix_s;			/* 0: not */
	int64_t last_used_unix_s;
	int64_t _used_written_unix_s;		/* last use that was sent to the store */
};

/* Word of the kind; static. */
const char *cred_kind_word(enum cred_kind kind);
/* false: no such word, *out untouched. */
bool cred_kind_parse(const char *word, enum cred_kind *out);

/* Makes id, secret and hash for c->kind; text (CRED_TEXT_MAX) is to be shown once. */
void cred_make(struct cred *c, char *text);
/* Splits a text of n bytes (no NUL needed) into kind, id (zero-padded) and the secret's hash.
 * ERR_INVAL: not of this form. */
enum err cred_parse(const char *text, size_t n, enum cred_kind *kind, char id[CRED_ID_MAX],
	uint8_t hash[CRED_HASH_BYTES]) MUST_USE;
/* Constant-time. */
bool cred_hash_eq(const uint8_t a[CRED_HASH_BYTES], const uint8_t b[CRED_HASH_BYTES]);
/* "active" | "expired" | "revoked"; static. */
const char *cred_state(const struct cred *c, int64_t now_unix_s);

/* Heap object with its magic, scopes "". */
struct cred *cred_new(void) MUST_USE;
void cred_free(struct cred *c);			/* and what it owns; NULL is fine */
/* What a record owns; the struct itself is the caller's. */
void cred_fini(struct cred *c);

#endif
