/* links: */
/* JSON: bounds of the parser, and the writer against jansson. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define X10(s) s s s s s s s s s s

static void
test_parse(void **state)
{
	static const struct {
		const char *text, *want;	/* compact text */
	} cases[] = {
		{ "{}", "{}" },
		{ " {\"a\": [1, 2.5, true, null], \"b\":\"x\"}\n",
		  "{\"a\":[1,2.5,true,null],\"b\":\"x\"}" },
		{ "null", "null" },
		{ "\"s\"", "\"s\"" },
		{ "-9223372036854775808", "-9223372036854775808" },
		{ "{\"a\":1,\"a\":2}", "{\"a\":2}" },
		{ "\"[[{{\\\"[[\\\\\"", "\"[[{{\\\"[[\\\\\"" },
		{ "\"\\u00e4\\ud83d\\ude00\"", "\"\xc3\xa4\xf0\x9f\x98\x80\"" },
	};
	struct buf b = { 0 };
	struct err_text why;
	json_t *v;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		if (json_parse(cases[i].text, strlen(cases[i].text), &v, &why) != ERR_OK)
			fail_msg("%s: %s", cases[i].text, why.s);
		buf_clear(&b);
		json_dump_to(&b, v);
		assert_string_equal(buf_cstr(&b), cases[i].want);
		json_decref(v);
	}
	buf_fini(&b);
}

static void
test_parse_refused(void **state)
{
	static const struct {
		const char *text, *want;	/* where */
	} cases[] = {
		{ "", "line 1, column 0" },
		{ "{", "line 1, column 1" },
		{ "{}x", "line 1, column 3" },
		{ "{}{}", "line 1" },
		{ "{\n \"a\": ]\n}", "line 2, column 7" },
		{ "\"\xff\"", "line 1" },
		{ "\"\xed\xa0\x80\"", "line 1" },
		{ "\"\\u0000\"", "line 1, column 8: a text has a NUL character (\\u0000)" },
		{ "{\"a\\u0000\":1}", "line 1, column 10: a text has a NUL character (\\u0000)" },
		{ "\"a", "line 1" },
		{ "\"a\\", "line 1" },
		{ "{'a':1}", "line 1" },
		{ "9223372036854775808", "line 1" },
		{ "1e999", "line 1" },
		{ "// no comments\n{}", "line 1" },
	};
	struct err_text why;
	json_t *v = NULL;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		if (json_parse(cases[i].text, strlen(cases[i].text), &v, &why) != ERR_INVAL)
			fail_msg("accepted: %s", cases[i].text);
		if (strstr(why.s, cases[i].want) != why.s)
			fail_msg("%s: %s", cases[i].text, why.s);
		assert_null(v);
	}
	assert_int_equal(json_parse("{}", 1, &v, NULL), ERR_INVAL);
	assert_int_equal(json_parse("{}\0", 3, &v, NULL), ERR_INVAL);
	assert_int_equal(json_parse("{\n\"a\0b\":1}", 10, &v, &why), ERR_INVAL);
	assert_string_equal(why.s, "line 2, column 3: a NUL byte");
	/* The text may be a secret: the error says where, not what. */
	assert_int_equal(json_parse("{\"k\": tskey-1}", 14, &v, &why), ERR_INVAL);
	assert_null(strstr(why.s, "tskey"));
}

static void
test_depth(void **state)
{
	char text[2 * (JSON_DEPTH_MAX + 1) + 64];
	struct err_text why;
	json_t *v;

	(void)state;
	memset(text, '[', JSON_DEPTH_MAX);
	memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
	assert_int_equal(json_parse(text, 2 * JSON_DEPTH_MAX, &v, &why), ERR_OK);
	json_decref(v);
	memset(text, '[', JSON_DEPTH_MAX + 1);
	memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
	assert_int_equal(json_parse(text, 2 * (JSON_DEPTH_MAX + 1), &v, &why), ERR_INVAL);
	assert_string_equal(why.s, "line 1, column 65: nested deeper than 64");
	/* Width is not depth, and brackets in strings are none. */
	static const char wide[] = "[" X10(X10("[],{},")) "\"" X10("[[[[[[[[[[") "\"]";
	assert_int_equal(json_parse(wide, sizeof(wide) - 1, &v, &why), ERR_OK);
	json_decref(v);
	/* A quote behind a backslash does not end the string. */
	static const char quoted[] = "[\"\\\"" X10("[[[[[[[[[[") "\"]";
	assert_int_equal(json_parse(quoted, sizeof(quoted) - 1, &v, &why), ERR_OK);
	json_decref(v);
}

/* What costs time and memory is not the length of a text but how many values are in it. */
static void
test_values(void **state)
{
	static const struct { unsigned n; enum err want; } cases[] = {
		{ JSON_VALUES_MAX, ERR_OK }, { JSON_VALUES_MAX + 1, ERR_INVAL }, { 400000, ERR_INVAL },
	};
	struct err_text why;
	json_t *v;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 };

		buf_byte(&b, '[');
		for (unsigned k = 1; k < cases[i].n; k++)
			buf_str(&b, "0,");
		buf_str(&b, "\",,,,,,,,,,\"]");
		assert_int_equal(json_parse(b.p, b.len, &v, &why), cases[i].want);
		if (cases[i].want == ERR_OK)
			json_decref(v);
		else
			assert_non_null(strstr(why.s, "more than 65536 values"));
		buf_fini(&b);
	}
}

static void
test_get(void **state)
{
	static const char text[] =
	    "{\"s\":\"x\",\"i\":-5,\"t\":true,\"f\":false,\"n\":null,\"r\":1.5}";
	struct err_text why;
	bool flag = false;
	json_t *v;

	(void)state;
	assert_int_equal(json_parse(text, sizeof(text) - 1, &v, NULL), ERR_OK);
	assert_ptr_equal(json_get(v, "s"), json_object_get(v, "s"));
	assert_null(json_get(v, "n"));
	assert_null(json_get(v, "absent"));
	assert_string_equal(json_get_str(v, "s", "d"), "x");
	assert_string_equal(json_get_str(v, "i", "d"), "d");
	assert_string_equal(json_get_str(v, "absent", "d"), "d");
	assert_null(json_get_str(v, "n", NULL));
	assert_int_equal(json_get_int(v, "i", 9), -5);
	assert_int_equal(json_get_int(v, "s", 9), 9);
	assert_int_equal(json_get_int(v, "r", 9), 9);
	assert_true(json_get_bool(v, "t", false));
	assert_false(json_get_bool(v, "f", true));
	assert_true(json_get_bool(v, "n", true));
	assert_int_equal(json_get_flag(v, "t", &flag, &why), ERR_OK);
	assert_true(flag);
	assert_int_equal(json_get_flag(v, "i", &flag, &why), ERR_INVAL);
	assert_string_equal(why.s, "i: neither true nor false");
	assert_true(flag);
	assert_int_equal(json_get_flag(v, "n", &flag, &why), ERR_OK);
	assert_false(flag);
	assert_string_equal(json_get_str(NULL, "s", "d"), "d");
	assert_int_equal(json_get_int(json_object_get(v, "s"), "i", 3), 3);
	json_decref(v);
}

static void
test_writer(void **state)
{
	struct net_prefix nets[3] = { { .bits = 0 } };
	struct buf b = { 0 };
	struct json_writer w;

	(void)state;
	assert_int_equal(net_prefix_parse("10.1.0.0/16", 11, &nets[0]), ERR_OK);
	assert_int_equal(net_prefix_parse("fd00::/8", 8, &nets[2]), ERR_OK);
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_obj_open(&w, "empty");
	json_w_obj_close(&w);
	json_w_arr_open(&w, "list");
	json_w_arr_open(&w, NULL);
	json_w_arr_close(&w);
	json_w_int(&w, NULL, 0);
	json_w_int(&w, NULL, INT64_MIN);
	json_w_int(&w, NULL, INT64_MAX);
	json_w_str(&w, NULL, "s");
	json_w_obj_open(&w, NULL);
	json_w_bool(&w, "t", true);
	json_w_bool(&w, "f", false);
	json_w_obj_close(&w);
	json_w_arr_close(&w);
	json_w_null(&w, "n\"ame");
	json_w_str(&w, "none", NULL);
	json_w_strn(&w, "part", "abcdef", 3);
	json_w_strn(&w, "nothing", NULL, 0);
	json_w_raw(&w, "raw", "{\"x\":1}", 7);
	json_w_time(&w, "at", 1795464097);
	json_w_time(&w, "never", 0);
	json_w_prefixes(&w, "nets", nets, COUNT_OF(nets));
	json_w_prefixes(&w, "no nets", NULL, 0);
	json_w_obj_close(&w);
	assert_string_equal(buf_cstr(&b),
	    "{\"empty\":{},\"list\":[[],0,-9223372036854775808,9223372036854775807,\"s\","
	    "{\"t\":true,\"f\":false}],\"n\\\"ame\":null,\"none\":\"\",\"part\":\"abc\","
	    "\"nothing\":\"\",\"raw\":{\"x\":1},\"at\":\"2026-11-23T20:01:37Z\","
	    "\"never\":\"0001-01-01T00:00:00Z\",\"nets\":[\"10.1.0.0/16\",\"fd00::/8\"],\"no nets\":[]}");
	buf_fini(&b);
}

static void
test_escapes(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const char *want;
	} cases[] = {
		{ "", 0, "\"\"" },
		{ "plain /<>&'", 11, "\"plain /<>&'\"" },
		{ "\"\\\b\t\n\f\r", 7, "\"\\\"\\\\\\b\\t\\n\\f\\r\"" },
		{ "\x01\x0b\x1f\x7f", 4, "\"\\u0001\\u000b\\u001f\x7f\"" },
		{ "a\0b", 3, "\"a\xef\xbf\xbd" "b\"" },
		{ "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", 9,
		  "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
		{ "\xff\xc3", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xed\xa0\x80x", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx\"" },
	};
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct json_writer w;

		buf_clear(&b);
		json_w_init(&w, &b);
		json_w_strn(&w, NULL, cases[i].bytes, cases[i].n);
		assert_string_equal(buf_cstr(&b), cases[i].want);
	}
	buf_fini(&b);
}

/* Every ASCII byte at every place of a word, after its neighbours: jansson reads it back. */
static void
test_every_byte(void **state)
{
	struct buf b = { 0 };

	(void)state;
	for (int c = 1; c < 0x80; c++) {
		for (size_t at = 0; at < 17; at++) {
			char text[] = "\x7f !#[]~}012345678";
			struct json_writer w;
			json_t *v;

			text[at] = (char)c;
			buf_clear(&b);
			json_w_init(&w, &b);
			json_w_str(&w, NULL, text);
			assert_int_equal(json_parse(b.p, b.len, &v, NULL), ERR_OK);
			assert_string_equal(json_string_value(v), text);
			json_decref(v);
		}
	}
	buf_fini(&b);
}

/* Long strings of every byte and of characters that straddle the writer's pieces: jansson reads
 * them back as they were. */
static void
test_long(void **state)
{
	static char text[3000 * 4 + 1];
	static const char *const units[] = {
		"x", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\n", "\x01",
	};

	(void)state;
	for (size_t u = 0; u < COUNT_OF(units); u++) {
		for (size_t shift = 0; shift < 4; shift++) {
			struct buf b = { 0 };
			struct json_writer w;
			json_t *v;

			memset(text, 'y', shift);
			text[shift] = '\0';
			for (int i = 0; i < 2900; i++)
				strcpy(text + shift + (size_t)i * strlen(units[u]), units[u]);
			json_w_init(&w, &b);
			json_w_str(&w, NULL, text);
			assert_int_equal(json_parse(b.p, b.len, &v, NULL), ERR_OK);
			assert_string_equal(json_string_value(v), text);
			json_decref(v);
			buf_fini(&b);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_refused),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
