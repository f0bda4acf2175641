/*
 * Secrets that are shown once: <prefix><id>-<secret>, id 12 and secret 43 characters of [A-Za-z0-9]
 * (256 bits). Only SHA-256 of the secret is kept: a random one of that length needs no slow hash. Any
 * thread.
 */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SECRET_ID_CHARS		12
#define SECRET_ID_MAX		16	/* zero-padded */
#define SECRET_CHARS		43
#define SECRET_HASH_BYTES	32
#define SECRET_TEXT_MAX		80	/* with NUL; prefixes of up to 23 characters */

/* Makes id and secret: the secret is in text, its hash is to be kept. */
void secret_make(const char *prefix, char id[SECRET_ID_MAX], uint8_t hash[SECRET_HASH_BYTES],
	char text[SECRET_TEXT_MAX]);
/* Splits a text of n bytes (no NUL needed) into id and the secret's hash. ERR_INVAL: not of this form, or
 * with another prefix; then nothing is written. */
enum err secret_parse(const char *prefix, const char *text, size_t n, char id[SECRET_ID_MAX],
	uint8_t hash[SECRET_HASH_BYTES]) MUST_USE;

#endif
