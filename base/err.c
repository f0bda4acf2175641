/* Texts of the result codes. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

const char *
err_str(enum err rc)
{
	static const char *const texts[] = {
#define X(name, text) [ERR_##name] = text,
		ERR_TABLE(X)
#undef X
	};

	if ((unsigned)rc >= COUNT_OF(texts))
		return "unknown result";
	return texts[rc];
}

enum err
err_say(struct err_text *why, enum err rc, const char *fmt, ...)
{
	va_list ap;

	if (why == NULL)
		return rc;
	va_start(ap, fmt);
	vsnprintf(why->s, sizeof(why->s), fmt, ap);
	va_end(ap);
	return rc;
}
