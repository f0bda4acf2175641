/*
 * An arena: many small things that live and go together. One thread at a time.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/obj.h"

struct arena;

struct arena *arena_new(void) MUST_USE;
void arena_free(struct arena *a);	/* with everything in it; NULL is fine */
/* Zeroed, aligned for anything; not NULL, even of 0 bytes. Aborts when there is no memory: bound what
 * comes from outside first. */
void *arena_alloc(struct arena *a, size_t n_bytes) MUST_USE;
/* Copy with NUL behind it. */
char *arena_strndup(struct arena *a, const char *s, size_t n) MUST_USE;
/* By the printf format. */
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_USE;
/* All that was taken from the system, in bytes. */
size_t arena_size(const struct arena *a);

#endif
