/*
 * JSON: helpers over jansson for requests and small objects, and a streaming writer for maps and
 * long lists (a peer through a DOM costs 22 us, through this 0.6 us).
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/net.h"

#define JSON_DEPTH_MAX 64	/* a deeper text is refused before jansson sees it */
#define JSON_VALUES_MAX (64u << 10)	/* and one of more values: they are what parsing costs, 8 ms */

/* Parses n bytes; trailing bytes, nesting beyond JSON_DEPTH_MAX, more than JSON_VALUES_MAX values, or
 * bad UTF-8 are errors. *out is the caller's reference. ERR_INVAL with *why (line and column). */
enum err json_parse(const void *p, size_t n, json_t **out, struct err_text *why) MUST_USE;

/* Borrowed member, or NULL when it is absent or null. */
const json_t *json_get(const json_t *obj, const char *name);
/* Borrowed member text, or dflt when it is absent or no string. */
const char *json_get_str(const json_t *obj, const char *name, const char *dflt);
int64_t json_get_int(const json_t *obj, const char *name, int64_t dflt);
bool json_get_bool(const json_t *obj, const char *name, bool dflt);
/* The same for who minds other types: absent or null is false, ERR_INVAL with *why: neither true nor
 * false, *out untouched. */
enum err json_get_flag(const json_t *obj, const char *name, bool *out, struct err_text *why) MUST_USE;
/* RFC 3339 member as unix seconds; absent, null, or the clients' zero time: 0. ERR_INVAL: no time,
 * *out untouched. */
enum err json_get_time(const json_t *obj, const char *name, int64_t *out) MUST_USE;

/* Compact text of v appended to b. */
void json_dump_to(struct buf *b, const json_t *v);

/*
 * The writer appends to a buf and places commas itself. Names and strings are escaped
 * (bytes that are not UTF-8, and NUL, become U+FFFD); name is NULL inside an array.
 * The caller balances open and close. A NULL value of json_w_str is written as "".
 */
struct json_writer {
	struct buf *b;		/* borrowed */
	bool _needs_comma;
};

/* Objects and arrays are opened and closed in pairs; a value outside any is the whole text. */
void json_w_init(struct json_writer *w, struct buf *b);
void json_w_obj_open(struct json_writer *w, const char *name);
void json_w_obj_close(struct json_writer *w);
void json_w_arr_open(struct json_writer *w, const char *name);
void json_w_arr_close(struct json_writer *w);
void json_w_str(struct json_writer *w, const char *name, const char *value);
void json_w_strn(struct json_writer *w, const char *name, const char *value, size_t n);
void json_w_int(struct json_writer *w, const char *name, int64_t value);
void json_w_bool(struct json_writer *w, const char *name, bool value);
void json_w_null(struct json_writer *w, const char *name);
/* Ready JSON text, put in as it is. */
void json_w_raw(struct json_writer *w, const char *name, const void *text, size_t n);
/* RFC 3339; 0 is the clients' zero time. */
void json_w_time(struct json_writer *w, const char *name, int64_t unix_s);
/* An array of texts; prefixes of family 0 are left out. */
void json_w_prefixes(struct json_writer *w, const char *name, const struct net_prefix *v, unsigned n);

#endif
