/*
 * Keys. One struct per kind, so that swapping a node key and a machine key does not compile.
 * Text forms (Tailscale types/key): prefix + 64 hex digits; upper-case digits are accepted,
 * the prefix is case-sensitive, the length exact.
 */
#ifndef BASE_KEY_H
#define BASE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KEY_BYTES	32
#define KEY_TEXT_MAX	80	/* longest prefix + 64 + NUL */

/* X(struct name, text prefix): 32 bytes each */
#define KEY_TABLE(X) \
	X(machine_key, "mkey:") \
	X(node_key, "nodekey:") \
	X(disco_key, "discokey:") \
	X(challenge_key, "chalpub:") \
	X(private_key, "privkey:")

#define X(kind, prefix) \
	struct kind { uint8_t b[KEY_BYTES]; };
KEY_TABLE(X)
#undef X

/*
 * For every kind K of the table:
 * K_parse: text of n bytes (no NUL needed) -> *out. ERR_INVAL: wrong prefix, length or digit.
 * K_put: writes the text form with NUL into out; returns out.
 * K_eq: constant-time compare. K_is_zero: all bytes zero.
 */
#define X(kind, prefix) \
	enum err kind##_parse(const char *text, size_t n, struct kind *out) MUST_USE; \
	char *kind##_put(const struct kind *k, char out[KEY_TEXT_MAX]); \
	bool kind##_eq(const struct kind *a, const struct kind *b); \
	bool kind##_is_zero(const struct kind *k);
KEY_TABLE(X)
#undef X

/* "[" + first 5 characters of base64 + "]", for logs. Returns out. */
char *key_short(const uint8_t key[KEY_BYTES], char out[8]);

/* A new private key from the CSPRNG, clamped (byte 0 &= 248; byte 31 = byte 31 & 127 | 64). */
void private_key_new(struct private_key *out);

/* Public half (X25519 base point). */
void private_key_public(const struct private_key *priv, uint8_t out[KEY_BYTES]);

/* Reads a key file (privkey: text, white space around it is fine). With is_made_if_missing a
 * missing file is made first (mode 0600, written whole, synced, renamed into place).
 * ERR_IO or ERR_INVAL with *why. */
enum err private_key_file(const char *path, bool is_made_if_missing, struct private_key *out,
	struct err_text *why) MUST_USE;

/* Lower-case hex of n bytes, with NUL; out holds 2n+1. Returns out. */
char *key_hex_put(const uint8_t *p, size_t n, char *out);
/* n_chars hex digits -> n_chars/2 bytes. ERR_INVAL. */
enum err key_hex_parse(const char *text, size_t n_chars, uint8_t *out) MUST_USE;

#endif
