/* Digits to a number; without strtoll's blanks, signs and errno. */
#include "base/decimal.h"

#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX 18		/* any so long fit */

int64_t
decimal_parse(const char *text)
{
	size_t n = strlen(text);

	return n > 0 && n <= DIGITS_MAX && strspn(text, "0123456789") == n ? strtoll(text, NULL, 10) : -1;
}
