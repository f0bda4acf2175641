/* Header fields that say who asks: bytes to texts. Pure. */
#ifndef WEB_AUTH_TEXT_H
#define WEB_AUTH_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define AUTH_TEXT_MAX 512	/* longest name or secret, with NUL */

/* Basic (RFC 7617): user and password; Bearer (RFC 6750): the token is in user. */
struct auth_text {
	bool is_bearer;
	char user[AUTH_TEXT_MAX], password[AUTH_TEXT_MAX];
};

/* The value of an Authorization field. ERR_INVAL: another scheme, badly encoded, or too long. */
enum err auth_text_parse(const char *value, struct auth_text *out) MUST_USE;

/* The value of a cookie in a Cookie field, borrowed from it, its length in *n; NULL: not there. */
const char *auth_text_cookie(const char *field, const char *name, size_t *n);

/* One X-Forwarded-For or similar element behind the last comma before *end; moves *end before that comma.
 * false: nothing is left. */
bool auth_text_last(const char *list, size_t *end, const char **p, size_t *n);

#endif
