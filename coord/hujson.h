/*
 * HuJSON: JSON with comments between tokens (from "//" to the end of the line, or in block form) and
 * one comma more before a closing bracket. A tree in an arena, where every value and name knows its
 * line and column. Strict otherwise: no single quotes, no bare names, UTF-8 alone, no name twice in an
 * object. Pure; linear in the text, whatever it is.
 */
#ifndef COORD_HUJSON_H
#define COORD_HUJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum hujson_type {
	HUJSON_NULL, HUJSON_FALSE, HUJSON_TRUE, HUJSON_NUMBER, HUJSON_STRING, HUJSON_LIST,
	HUJSON_OBJECT
};

/* All of it lies in the arena; nothing is to be changed. */
struct hujson {
	enum hujson_type type;
	unsigned line, column;		/* from 1; columns count characters */
	const char *text;		/* STRING: decoded, without NUL inside; NUMBER: as written */
	const char *name;		/* of a member: its name, decoded; else NULL */
	unsigned name_line, name_column;
	unsigned n;			/* LIST, OBJECT: how many */
	/* bytes of the text from which and up to which it is written; the name is not in */
	uint32_t at, end;
	struct hujson *first;		/* of those */
	struct hujson *next;		/* beside this one */
};

struct hujson_limits {
	size_t n_bytes, n_values;
	unsigned depth;			/* of brackets; at most HUJSON_DEPTH_MAX */
};
#define HUJSON_DEPTH_MAX 256

struct hujson_error {
	unsigned line, column;		/* 0: of the whole */
	struct err_text why;
};

/* Exactly one value with blanks and comments around. ERR_INVAL: not HuJSON; ERR_LIMIT: too long, too
 * deep, too many values. *error says why. */
enum err hujson_parse(struct arena *a, const char *text, size_t n, const struct hujson_limits *limits,
	struct hujson **out, struct hujson_error *error) MUST_USE;

/* What the value is, for people: "a list", "true". Static. */
const char *hujson_type_word(const struct hujson *v);

/* Appends the value as compact JSON; a member's name is left out. */
void hujson_put(struct buf *b, const struct hujson *v);

#endif
