/* UTF-8: the well-formed byte sequences of RFC 3629 section 4. */
#include "base/utf8.h"

#include <stdbool.h>

static bool
is_tail(uint8_t c)
{
	return (c & 0xc0) == 0x80;
}

size_t
utf8_char_len(const uint8_t *p, size_t n)
{
	uint8_t c = p[0];

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || n < 2 || !is_tail(p[1]))
		return 0;
	if (c < 0xe0)
		return 2;
	if (n < 3 || !is_tail(p[2]))
		return 0;
	if (c < 0xf0) {
		bool is_overlong = c == 0xe0 && p[1] < 0xa0;
		bool is_surrogate = c == 0xed && p[1] >= 0xa0;
		return is_overlong || is_surrogate ? 0 : 3;
	}
	if (n < 4 || !is_tail(p[3]) || c > 0xf4)
		return 0;
	if ((c == 0xf0 && p[1] < 0x90) || (c == 0xf4 && p[1] >= 0x90))
		return 0;
	return 4;
}
