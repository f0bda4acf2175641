/*
 * Objects that defend themselves: a magic number first in every heap object that travels
 * as a void *, and assertions that stay on in production.
 */
#ifndef BASE_OBJ_H
#define BASE_OBJ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* The struct that holds this member. */
#define CONTAINER_OF(ptr, type, member) \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Prints the condition with its place, or that there was no memory (errno), and aborts. Never
 * returns. Any thread. */
_Noreturn void obj_assert_failed(const char *condition, const char *file, int line);

/* Our own fault if it fails: always on. Nothing that a peer can send may reach one. */
#define ASSERT(condition) \
	((condition) ? (void)0 : obj_assert_failed(#condition, __FILE__, __LINE__))

/* obj is not NULL and carries the magic: neither freed nor foreign. */
#define OBJ_CHECK(obj, magic_number) \
	ASSERT((obj) != NULL && (obj)->magic == (magic_number))

/* Memory for small things that must not fail: aborts when there is none. Sizes that come from
 * the wire are bounded before. obj_alloc zeroes. The caller frees with free(). Any thread. */
void *obj_alloc(size_t n_bytes) MUST_USE;
void *obj_realloc(void *old, size_t n_bytes) MUST_USE;
char *obj_strdup(const char *s) MUST_USE;

#endif
