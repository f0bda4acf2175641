/* %XX to bytes. */
#include "base/percent.h"

#include "base/key.h"

enum err
percent_take(const char **p, const char *end, uint8_t *out)
{
	if (**p != '%') {
		*out = (uint8_t)*(*p)++;
		return ERR_OK;
	}
	if (end - *p < 3 || key_hex_parse(*p + 1, 2, out) != ERR_OK)
		return ERR_INVAL;
	*p += 3;
	return ERR_OK;
}
