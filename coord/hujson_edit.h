/*
 * Changes a HuJSON text where it stands: what else is written there, comments, indentation and
 * line ends, stays as it is. A path names the object or list to be changed, from the top, letter
 * case not counting; what of it is missing or null is made. Pure; linear in the text.
 *
 * Values are JSON text; one of several lines is indented with tabs, which become what the text
 * is indented with.
 */
#ifndef COORD_HUJSON_EDIT_H
#define COORD_HUJSON_EDIT_H

#include "base/buf.h"
#include "base/err.h"

#define HUJSON_EDIT_PATH_MAX 4

struct hujson_path {
	const char *names[HUJSON_EDIT_PATH_MAX];
	unsigned n;
};

/* All of these: ERR_INVAL with *why when the text is no HuJSON object (one of blanks alone is as
 * "{}"), or when something of the path is neither object nor, at its end, what is needed. The
 * text is untouched then. */

/* The object gets one member more, at its end. ERR_EXISTS: it has one of that name. */
enum err hujson_edit_member(struct buf *text, const struct hujson_path *path, const char *name,
	const char *value, struct err_text *why) MUST_USE;
/* The list gets one value more, at its end, unless an equal one is in it: ERR_EXISTS. */
enum err hujson_edit_entry(struct buf *text, const struct hujson_path *path, const char *value,
	struct err_text *why) MUST_USE;
/* They go, with their lines if nothing else is on them. ERR_NOTFOUND: there is none. */
enum err hujson_edit_remove_member(struct buf *text, const struct hujson_path *path, const char *name,
	struct err_text *why) MUST_USE;
enum err hujson_edit_remove_entry(struct buf *text, const struct hujson_path *path, const char *value,
	struct err_text *why) MUST_USE;
/* How many members or entries are at the end of the path; 0: none, or the path leads nowhere. */
unsigned hujson_edit_count(const struct buf *text, const struct hujson_path *path);

#endif
