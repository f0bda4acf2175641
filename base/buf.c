/* Growable bytes, and shared immutable bytes. */
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#define BUF_MIN_BYTES 64

void
buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ 0 };
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
}

uint8_t *
buf_reserve(struct buf *b, size_t n)
{
	ASSERT(n <= SIZE_MAX / 2 - b->len);
	if (b->p == NULL || b->cap - b->len < n) {
		size_t cap = b->cap > BUF_MIN_BYTES ? b->cap : BUF_MIN_BYTES;

		while (cap - b->len < n)
			cap *= 2;
		b->p = obj_realloc(b->p, cap);
		b->cap = cap;
	}
	return b->p + b->len;
}

void
buf_append(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	memcpy(buf_reserve(b, n), p, n);
	b->len += n;
}

void
buf_str(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

void
buf_byte(struct buf *b, uint8_t c)
{
	*buf_reserve(b, 1) = c;
	b->len++;
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	char *room = (char *)buf_reserve(b, 1);
	int n = vsnprintf(room, b->cap - b->len, fmt, ap);
	ASSERT(n >= 0);
	if ((size_t)n >= b->cap - b->len) {
		room = (char *)buf_reserve(b, (size_t)n + 1);
		n = vsnprintf(room, b->cap - b->len, fmt, again);
		ASSERT(n >= 0 && (size_t)n < b->cap - b->len);
	}
	va_end(again);
	va_end(ap);
	b->len += (size_t)n;
}

void
buf_consume(struct buf *b, size_t n)
{
	ASSERT(n <= b->len);
	b->len -= n;
	if (b->len > 0 && n > 0)
		memmove(b->p, b->p + n, b->len);
}

const char *
buf_cstr(struct buf *b)
{
	*buf_reserve(b, 1) = '\0';
	return (const char *)b->p;
}

struct shbuf *
shbuf_alloc(size_t n)
{
	ASSERT(n <= SIZE_MAX - sizeof(struct shbuf));
	struct shbuf *s = malloc(sizeof(*s) + n);	/* not zeroed: it is filled at once */

	ASSERT(s != NULL);
	atomic_init(&s->refs, 1);
	s->len = n;
	return s;
}

struct shbuf *
shbuf_new(const void *p, size_t n)
{
	struct shbuf *s = shbuf_alloc(n);

	if (n > 0)
		memcpy(s->bytes, p, n);
	return s;
}

struct shbuf *
shbuf_hold(struct shbuf *s)
{
	unsigned before = atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);

	ASSERT(before > 0 && before < UINT32_MAX / 2);
	return s;
}

void
shbuf_drop(struct shbuf *s)
{
	if (s == NULL)
		return;
	unsigned before = atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel);
	ASSERT(before > 0);
	if (before == 1)
		free(s);
}

bool
shbuf_eq(const struct shbuf *a, const struct shbuf *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a == b || (a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0);
}
