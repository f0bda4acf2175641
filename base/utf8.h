/* UTF-8, strictly (RFC 3629): no surrogates, no overlong forms, nothing beyond U+10FFFF. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Length (1-4) of the character that starts at p, which has n > 0 bytes; 0: not UTF-8. */
size_t utf8_char_len(const uint8_t *p, size_t n);

#endif
