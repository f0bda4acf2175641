/* Test vectors: one file of tests/data/, whose members are often bytes in hex. cmocka is included
 * before. */
#ifndef TESTS_UNIT_VECTORS_H
#define TESTS_UNIT_VECTORS_H

#include <jansson.h>
#include <string.h>

#include "base/key.h"

static json_t *doc;

/* 0, or -1 when there is no such JSON file: what cmocka wants of a group's setup. */
static inline int
doc_open(const char *path)
{
	doc = json_load_file(path, 0, NULL);
	return doc == NULL ? -1 : 0;
}

static inline int
doc_close(void **state)
{
	(void)state;
	json_decref(doc);
	return 0;
}

/* The hex member of v into out of cap bytes; returns its length. */
static inline size_t
hex(const json_t *v, const char *name, uint8_t *out, size_t cap)
{
	const char *s = json_string_value(json_object_get(v, name));

	assert_non_null(s);
	assert_true(strlen(s) / 2 <= cap);
	assert_int_equal(key_hex_parse(s, strlen(s), out), ERR_OK);
	return strlen(s) / 2;
}

#endif
