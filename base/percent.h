/* Percent-encoding (RFC 3986, 2.1), byte by byte. Pure. */
#ifndef BASE_PERCENT_H
#define BASE_PERCENT_H

#include <stdint.h>

#include "base/err.h"

/* The byte that *p stands for, itself or %XX; *p moves behind it. *p is below end. ERR_INVAL: a '%' without two
 * hex digits behind it. */
enum err percent_take(const char **p, const char *end, uint8_t *out) MUST_USE;

#endif
