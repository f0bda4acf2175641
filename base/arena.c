/* An arena: chunks, each twice as large as the one before up to a limit; never gives back. */
#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FIRST_BYTES	4096
#define CHUNK_MAX_BYTES	(1u << 20)
#define ALIGN_BYTES	alignof(max_align_t)

struct chunk {
	struct chunk *next;
	size_t used, cap;
	max_align_t bytes[];
};

struct arena {
	struct chunk *chunks;	/* the first one is filled */
	size_t next_bytes, total_bytes;
};

struct arena *
arena_new(void)
{
	struct arena *a = obj_alloc(sizeof(*a));

	a->next_bytes = FIRST_BYTES;
	return a;
}

void
arena_free(struct arena *a)
{
	if (a == NULL)
		return;
	while (a->chunks != NULL) {
		struct chunk *c = a->chunks;

		a->chunks = c->next;
		free(c);
	}
	free(a);
}

void *
arena_alloc(struct arena *a, size_t n_bytes)
{
	struct chunk *c = a->chunks;

	ASSERT(n_bytes <= SIZE_MAX / 2);
	n_bytes = (n_bytes + ALIGN_BYTES - 1) / ALIGN_BYTES * ALIGN_BYTES;
	if (c == NULL || c->cap - c->used < n_bytes) {
		size_t cap = n_bytes > a->next_bytes ? n_bytes : a->next_bytes;

		c = obj_alloc(sizeof(*c) + cap);
		c->cap = cap;
		c->next = a->chunks;
		a->chunks = c;
		a->total_bytes += sizeof(*c) + cap;
		if (a->next_bytes < CHUNK_MAX_BYTES)
			a->next_bytes *= 2;
	}
	void *p = (char *)c->bytes + c->used;
	c->used += n_bytes;
	return p;
}

char *
arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *copy = arena_alloc(a, n + 1);

	if (n > 0)
		memcpy(copy, s, n);
	return copy;
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;

	va_start(ap, fmt);
	va_copy(again, ap);
	int n = vsnprintf(NULL, 0, fmt, ap);
	ASSERT(n >= 0);
	char *s = arena_alloc(a, (size_t)n + 1);
	vsnprintf(s, (size_t)n + 1, fmt, again);
	va_end(again);
	va_end(ap);
	return s;
}

size_t
arena_size(const struct arena *a)
{
	return a->total_bytes;
}
