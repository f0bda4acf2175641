/* HuJSON -> JSON with the same lines: comments become blanks, a comma before a closing bracket
 * goes. Pure. */
#ifndef COORD_HUJSON_PLAIN_H
#define COORD_HUJSON_PLAIN_H

#include "base/buf.h"

/* Appends it. The text is HuJSON, as hujson_parse has said; of other texts it makes something,
 * of at most n bytes. */
void hujson_plain_put(struct buf *b, const char *text, size_t n);

#endif
