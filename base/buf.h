/* Growable bytes with one owner (struct buf), and shared immutable bytes (struct shbuf). */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/obj.h"

/* All zero is an empty buffer that owns no memory. */
struct buf {
	uint8_t *p;
	size_t len;	/* bytes used */
	size_t cap;	/* bytes owned */
};

void buf_fini(struct buf *b);				/* frees; b is empty again */
void buf_clear(struct buf *b);				/* len = 0, keeps memory */
uint8_t *buf_reserve(struct buf *b, size_t n);		/* room for n more; returns b->p + b->len */
void buf_append(struct buf *b, const void *p, size_t n);
void buf_str(struct buf *b, const char *s);
void buf_byte(struct buf *b, uint8_t c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_consume(struct buf *b, size_t n);		/* drops the first n bytes; n <= len */
/* NUL behind the last byte (not counted) and the text. */
const char *buf_cstr(struct buf *b);

/* Immutable once made; freed with the last reference. Any thread may hold and drop. */
struct shbuf {
	atomic_uint refs;
	size_t len;
	uint8_t bytes[];
};

struct shbuf *shbuf_new(const void *p, size_t n) MUST_USE;	/* one reference, the caller's */
struct shbuf *shbuf_alloc(size_t n) MUST_USE;		/* uninitialised: fill before sharing */
struct shbuf *shbuf_hold(struct shbuf *s);		/* one more reference; returns s */
void shbuf_drop(struct shbuf *s);			/* NULL is fine */
/* The same bytes; NULL equals NULL only. */
bool shbuf_eq(const struct shbuf *a, const struct shbuf *b);

#endif
