/* The one set of result codes, and the text that says why. 0 is success. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/obj.h"

/* X(name, text for people) */
#define ERR_TABLE(X) \
	X(OK, "ok") \
	X(AGAIN, "not enough yet: try again later") \
	X(CLOSED, "the other side closed the connection") \
	X(PROTO, "the other side broke the protocol") \
	X(LIMIT, "a limit was passed") \
	X(CRYPTO, "a cryptographic check failed") \
	X(INVAL, "a value is not valid") \
	X(DENIED, "not allowed") \
	X(NOTFOUND, "there is no such thing") \
	X(EXISTS, "it exists already") \
	X(BUSY, "too busy: try again in a few seconds") \
	X(FULL, "no room is left") \
	X(IO, "an input or output operation failed") \
	X(NOMEM, "no memory is left") \
	X(UNSUPPORTED, "not supported")

enum err {
#define X(name, text) ERR_##name,
	ERR_TABLE(X)
#undef X
	ERR_COUNT
};

/* Why something failed, for people: one sentence, no secret in it. Made where it is known. */
struct err_text {
	char s[320];
};

/* Text of the code: static, never NULL. */
const char *err_str(enum err rc);

/* Fills *why (NULL is fine) by the printf format and returns rc, so that one can write
 * `return err_say(why, ERR_DENIED, "auth key %s expired", id);`. Any thread. */
enum err err_say(struct err_text *why, enum err rc, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
