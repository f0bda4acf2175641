/* application/x-www-form-urlencoded: bodies of that type, and query strings. Pure. */
#ifndef WEB_FORM_H
#define WEB_FORM_H

#include <stddef.h>

#include "base/err.h"

#define FORM_PAIRS_MAX 64

struct form {
	char *_text;			/* owned; names and values point into it */
	unsigned n;
	struct { const char *name, *value; } pairs[FORM_PAIRS_MAX];
};

/* n bytes. ERR_INVAL: badly encoded, or a NUL in it; ERR_LIMIT: more than FORM_PAIRS_MAX pairs. *out is
 * empty then. */
enum err form_parse(const char *p, size_t n, struct form *out) MUST_USE;
void form_fini(struct form *f);
/* The first value of that name, borrowed, or NULL. */
const char *form_get(const struct form *f, const char *name);

#endif
