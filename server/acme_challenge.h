/*
 * The authority's question by HTTP-01 (RFC 8555 section 8.3): the ACME client runs our hook, which
 * puts the answer into a directory, and the door gives it out below ACME_CHALLENGE_PATH.
 *
 * The hook is this program itself: in a process with ACME_CHALLENGE_ENV it is nothing else. uacme
 * calls it as `PROGRAM begin|done|failed TYPE IDENT TOKEN AUTH`; a type that is refused at "begin" is
 * offered no more.
 */
#ifndef SERVER_ACME_CHALLENGE_H
#define SERVER_ACME_CHALLENGE_H

#include <stdbool.h>
#include <stddef.h>

#define ACME_CHALLENGE_PATH	"/.well-known/acme-challenge/"
#define ACME_CHALLENGE_ENV	"FAIRLEAD_ACME_HOOK"	/* the directory */
#define ACME_CHALLENGE_MAX	256	/* of a token; of an answer with its NUL twice that */

/* 1 to ACME_CHALLENGE_MAX characters of [A-Za-z0-9_-], as RFC 8555 has it: a file name too. */
bool acme_challenge_token_is_good(const char *token, size_t n);

/* The whole hook, argv as main has it. Returns its exit status: 0, or 1 (the challenge is refused). */
int acme_challenge_hook(const char *dir, int argc, char **argv);
/* The answer to the token of n characters, or false: there is none. Any thread; reads a small file. */
bool acme_challenge_read(const char *dir, const char *token, size_t n,
	char out[2 * ACME_CHALLENGE_MAX]);

#endif
