/* links: coord/hujson */
/* HuJSON: what is taken and what it says, what is refused and where, and hostile texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "coord/hujson.h"

static const struct hujson_limits limits = { 1 << 20, 1000, 8 };

static void
test_taken(void **state)
{
	static const struct { const char *text, *want; } cases[] = {
		{ "{}", "{}" },
		{ " [ ] ", "[]" },
		{ "null", "null" }, { "true", "true" }, { "false", "false" },
		{ "0", "0" }, { "-0.5e+10", "-0.5e+10" }, { "12345678901234567890", "12345678901234567890" },
		{ "\"\"", "\"\"" },
		{ "{\"a\":1,}", "{\"a\":1}" },
		{ "[1,2,]", "[1,2]" },
		{ "[[],{},]", "[[],{}]" },
		{ "{\"a\":{\"b\":[true,null,\"x\"]}}", "{\"a\":{\"b\":[true,null,\"x\"]}}" },
		{ "{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}" },
		{ "// c\n{}", "{}" }, { "{} // c", "{}" }, { "{}\n// c\n", "{}" }, { "{} //", "{}" },
		{ "/**/{/* a */\"x\"/* b */:/* c */1/* d */,/* e */}/* f */", "{\"x\":1}" },
		{ "[1/* * / */,// ] \n2]", "[1,2]" },
		{ "/* \n// */ 1", "1" }, { "// /*\n1", "1" },
		{ "\"// no /* comment */\"", "\"// no /* comment */\"" },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\"" },
		{ "\"\\u00e4\\u20AC\\ud83d\\ude00\"", "\"ä€😀\"" },
		{ "\"ä€😀\"", "\"ä€😀\"" },
		{ "\"a\\u0041b\"", "\"aAb\"" },
		{ "{\"\\u0061\":1}", "{\"a\":1}" },
		{ "\r\n\t 1 \r\n", "1" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct arena *a = arena_new();
		struct hujson *v;
		struct hujson_error error;
		struct buf b = { 0 };

		if (hujson_parse(a, cases[i].text, strlen(cases[i].text), &limits, &v, &error) != ERR_OK)
			fail_msg("%s: %u:%u %s", cases[i].text, error.line, error.column, error.why.s);
		hujson_put(&b, v);
		assert_string_equal(buf_cstr(&b), cases[i].want);
		buf_fini(&b);
		arena_free(a);
	}
}

static void
test_refused(void **state)
{
	static const struct { const char *text; unsigned line, column; const char *why; } cases[] = {
		{ "", 1, 1, "the text ends where a value is wanted" },
		{ "  \n ", 2, 2, "the text ends where a value is wanted" },
		{ "// c", 1, 5, "the text ends" },
		{ "{", 1, 2, "the text ends where a name in double quotes is wanted" },
		{ "[", 1, 2, "the text ends where a value is wanted" },
		{ "[1", 1, 3, "the text ends where ',' or ']' is wanted" },
		{ "{\"a\"", 1, 5, "the text ends where ':' is wanted" },
		{ "{\"a\":", 1, 6, "the text ends where a value is wanted" },
		{ "[,]", 1, 2, "',' where a value is wanted" },
		{ "[1,,]", 1, 4, "',' where a value is wanted" },
		{ "{,}", 1, 2, "',' where a name in double quotes is wanted" },
		{ "[1 2]", 1, 4, "'2' where ',' or ']' is wanted" },
		{ "[1}", 1, 3, "'}' where ',' or ']' is wanted" },
		{ "{} {}", 1, 4, "'{' where the end of the text is wanted" },
		{ "{}x", 1, 3, "'x' where the end" },
		{ "{a:1}", 1, 2, "'a' where a name" },
		{ "{'a':1}", 1, 2, "''' where a name" },
		{ "{1:1}", 1, 2, "'1' where a name" },
		{ "{\"a\" 1}", 1, 6, "'1' where ':'" },
		{ "{\n  \"a\": nul\n}", 2, 8, "'n' where a value" },
		{ "nulls", 1, 1, "'n' where a value" }, { "True", 1, 1, "'T' where a value" },
		{ "NaN", 1, 1, "'N'" }, { "+1", 1, 1, "'+'" }, { ".5", 1, 1, "'.'" },
		{ "01", 1, 2, "'1' where the end" }, { "1.", 1, 3, "where a digit" },
		{ "-", 1, 2, "where a digit" }, { "1e", 1, 3, "where a digit" },
		{ "-x", 1, 2, "'x' where a digit" }, { "0x10", 1, 2, "'x' where the end" },
		{ "\"abc", 1, 1, "a string without end" },
		{ "[\"ab\ncd\"]", 1, 2, "a string without end" },
		{ "\"abc\\", 1, 6, "a string without end" },
		{ "\"\t\"", 1, 2, "a control character in a string" },
		{ "\"\\x41\"", 1, 3, "no such escape" }, { "\"\\'\"", 1, 3, "no such escape" },
		{ "\"\\u12\"", 1, 3, "four hexadecimal digits" },
		{ "\"\\u12g4\"", 1, 3, "four hexadecimal digits" },
		{ "\"\\u0000\"", 1, 3, "NUL" },
		{ "\"\\ud83d\"", 1, 3, "surrogate" }, { "\"\\ude00\"", 1, 3, "surrogate" },
		{ "\"\\ud83d\\u0041\"", 1, 3, "surrogate" },
		{ "\"\xff\"", 1, 2, "not UTF-8" }, { "// \xc0\x80\n1", 1, 4, "not UTF-8" },
		{ "\xff", 1, 1, "not UTF-8" }, { "[1\xe4]", 1, 3, "not UTF-8" },
		{ "/* abc", 1, 1, "a comment without end" },
		{ "{\n/* a\n b *", 2, 1, "a comment without end" },
		{ "[1 / 2]", 1, 4, "'/' where" }, { "# c\n1", 1, 1, "'#'" },
		{ "{\"a\":1,\n \"b\":2,\n \"a\":3}", 3, 2, "the name \"a\" is given twice" },
		{ "{\"a\":1,\"\\u0061\":3}", 1, 8, "the name \"a\" is given twice" },
		{ "{\"ä€\": x}", 1, 8, "'x' where a value" },
		{ "/* ä */ [ä]", 1, 10, "'ä' where a value" },
		{ "[[[[[[[[[]]]]]]]]]", 1, 9, "nested too deeply" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct arena *a = arena_new();
		struct hujson *v;
		struct hujson_error e;

		if (hujson_parse(a, cases[i].text, strlen(cases[i].text), &limits, &v, &e) == ERR_OK)
			fail_msg("taken: %s", cases[i].text);
		if (e.line != cases[i].line || e.column != cases[i].column ||
		    strstr(e.why.s, cases[i].why) == NULL)
			fail_msg("%s: %u:%u %s", cases[i].text, e.line, e.column, e.why.s);
		arena_free(a);
	}
}

static void
test_places(void **state)
{
	static const char text[] = "// head\n{\n\t\"a\": [1,\n  \"ü\", {\"b\" :\n true}],}";
	struct arena *a = arena_new();
	struct hujson *v;
	struct hujson_error error;

	(void)state;
	assert_int_equal(hujson_parse(a, text, strlen(text), &limits, &v, &error), ERR_OK);
	assert_int_equal(v->line, 2);
	assert_int_equal(v->column, 1);
	assert_int_equal(v->n, 1);
	assert_int_equal(v->first->name_line, 3);
	assert_int_equal(v->first->name_column, 2);
	assert_int_equal(v->first->column, 7);
	const struct hujson *item = v->first->first->next;
	assert_string_equal(item->text, "ü");
	assert_int_equal(item->line, 4);
	assert_int_equal(item->column, 3);
	item = item->next;
	assert_int_equal(item->column, 8);	/* characters count, not bytes */
	assert_int_equal(item->first->name_column, 9);
	assert_int_equal(item->first->line, 5);
	assert_int_equal(item->first->column, 2);
	assert_null(item->next);
	assert_string_equal(hujson_type_word(item), "an object");
	arena_free(a);
}

/* Many members, all different but for the last: found whatever their number. */
static void
test_twice_among_many(void **state)
{
	(void)state;
	for (unsigned n = 1; n < 300; n = n * 3 / 2 + 1) {
		struct arena *a = arena_new();
		struct buf b = { 0 };
		struct hujson *v;
		struct hujson_error error;

		buf_byte(&b, '{');
		for (unsigned i = 0; i < n; i++)
			buf_printf(&b, "\"k%u\":0,", i);
		size_t n_fine = b.len;
		buf_byte(&b, '}');
		assert_int_equal(hujson_parse(a, (char *)b.p, b.len, &limits, &v, &error), ERR_OK);
		assert_int_equal(v->n, n);
		b.len = n_fine;
		buf_printf(&b, "\"k%u\":0}", n / 2);
		assert_int_equal(hujson_parse(a, (char *)b.p, b.len, &limits, &v, &error), ERR_INVAL);
		assert_non_null(strstr(error.why.s, "twice"));
		buf_fini(&b);
		arena_free(a);
	}
}

static void
test_limits(void **state)
{
	static const struct { struct hujson_limits limits; const char *text; enum err want; } cases[] = {
		{ { 4, 9, 9 }, "[  ]", ERR_OK }, { { 4, 9, 9 }, "[   ]", ERR_LIMIT },
		{ { 99, 3, 9 }, "[1,2]", ERR_OK }, { { 99, 3, 9 }, "[1,2,3]", ERR_LIMIT },
		{ { 99, 9, 2 }, "[{}]", ERR_OK }, { { 99, 9, 2 }, "[{\"a\":[]}]", ERR_LIMIT },
		{ { 99, 9, 2 }, "[[],[],[]]", ERR_OK },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct arena *a = arena_new();
		struct hujson *v;
		struct hujson_error error;

		assert_int_equal(hujson_parse(a, cases[i].text, strlen(cases[i].text), &cases[i].limits, &v,
		    &error), cases[i].want);
		assert_true(cases[i].want == ERR_OK || error.why.s[0] != '\0');
		arena_free(a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_twice_among_many),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
