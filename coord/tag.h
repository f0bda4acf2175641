/* Tags ("tag:k3s") and lists of them, as nodes and keys carry them. Pure. */
#ifndef COORD_TAG_H
#define COORD_TAG_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

#define TAG_TEXT_MAX 64		/* with NUL */

/* "tag:", a letter, then letters, digits and '-' (tailcfg.CheckTag), TAG_TEXT_MAX - 1 characters
 * at most. */
bool tag_is_valid(const char *tag);

/* Sorted copy without doubles into *out (owned by the caller: tag_list_free), its length into
 * *n_out. in may be NULL when n is 0; then *out is NULL. */
void tag_list_copy(const char *const *in, unsigned n, char ***out, unsigned *n_out);
void tag_list_free(char **tags, unsigned n);	/* NULL is fine */
bool tag_list_has(char *const *tags, unsigned n, const char *tag);
/* Both sorted. */
bool tag_list_eq(char *const *a, unsigned na, char *const *b, unsigned nb);

/* JSON array appended to b. */
void tag_list_put(struct buf *b, char *const *tags, unsigned n);
/* The same text back; entries that are no valid tags are left out. ERR_INVAL: no JSON array. */
enum err tag_list_parse(const char *json, char ***out, unsigned *n_out) MUST_USE;

#endif
