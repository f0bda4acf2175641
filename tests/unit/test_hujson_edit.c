/* links: coord/hujson coord/hujson_edit */
/* HuJSON edited in place: what is added and removed, where it lands, and that all else stays
 * byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "coord/hujson.h"
#include "coord/hujson_edit.h"

static const struct hujson_limits limits = { 1 << 20, 10000, 64 };

static struct buf
buf_of(const char *text)
{
	struct buf b = { .len = 0 };

	buf_str(&b, text);
	return b;
}

/* Whatever comes out is HuJSON. */
static void
assert_good(struct buf *text)
{
	struct arena *a = arena_new();
	struct hujson *v;
	struct hujson_error error;

	if (hujson_parse(a, (const char *)text->p, text->len, &limits, &v, &error) != ERR_OK)
		fail_msg("%u:%u %s in:\n%s", error.line, error.column, error.why.s, buf_cstr(text));
	arena_free(a);
}

#define AT(...) { .names = { __VA_ARGS__ }, .n = sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *) }

struct edit_case {
	struct hujson_path path;
	const char *name, *value;	/* name NULL: an entry */
	const char *text, *want;
};

static void
run(const struct edit_case *c)
{
	struct buf b = buf_of(c->text);
	struct err_text why = { "" };
	enum err rc = c->name != NULL ? hujson_edit_member(&b, &c->path, c->name, c->value, &why) :
	    hujson_edit_entry(&b, &c->path, c->value, &why);

	if (rc != ERR_OK)
		fail_msg("%s: %s", c->text, why.s);
	assert_string_equal(buf_cstr(&b), c->want);
	assert_good(&b);
	buf_fini(&b);
}

static void
test_members(void **state)
{
	static const struct edit_case cases[] = {
		/* nothing there yet */
		{ AT("tagOwners"), "tag:a", "[]", "", "{\n\t\"tagOwners\": {\n\t\t\"tag:a\": []\n\t}\n}\n" },
		{ AT("tagOwners"), "tag:a", "[]", "  \n\n",
		  "{\n\t\"tagOwners\": {\n\t\t\"tag:a\": []\n\t}\n}\n" },
		{ AT("tagOwners"), "tag:a", "[]", "{}", "{\"tagOwners\": {\"tag:a\": []}}" },
		{ AT("a", "b"), "c", "1", "{\n}\n",
		  "{\n\t\"a\": {\n\t\t\"b\": {\n\t\t\t\"c\": 1\n\t\t}\n\t}\n}\n" },
		{ .name = "a", .value = "1", .text = "{ }", .want = "{\"a\": 1 }" },
		/* comments where it goes */
		{ AT("t"), "b", "2", "{\n  // head\n  \"t\": {\n    \"a\": 1 // one\n    // tail\n  } "
		  "// end\n}\n",
		  "{\n  // head\n  \"t\": {\n    \"a\": 1, // one\n    // tail\n    \"b\": 2\n  } // "
		  "end\n}\n" },
		{ AT("t"), "b", "2", "{\n  \"t\": {\n    \"a\": 1, /* , */ // ,}\n  },\n}",
		  "{\n  \"t\": {\n    \"a\": 1, /* , */ // ,}\n    \"b\": 2,\n  },\n}" },
		{ AT("t"), "b", "2", "{\"t\": {/* none yet */}}", "{\"t\": {/* none yet */ \"b\": 2}}" },
		{ AT("t"), "b", "2", "{\n\t\"t\": {\n\t\t// none yet\n\t}\n}",
		  "{\n\t\"t\": {\n\t\t// none yet\n\t\t\"b\": 2\n\t}\n}" },
		{ AT("t"), "b", "2", "{\"t\": {\"a\": 1 /* x */ }}", "{\"t\": {\"a\": 1, /* x */ \"b\": 2 }}" },
		{ AT("t"), "b", "2", "{\"t\": {\"a\": 1 // }\n}}", "{\"t\": {\"a\": 1, // }\n\t\"b\": 2\n}}" },
		{ AT("t"), "b", "2", "{\"t\": {\"a\": 1 // x\n\r}}", "{\"t\": {\"a\": 1, // x\n\r \"b\": 2}}" },
		/* one line, and a comma at its end */
		{ AT("t"), "b", "2", "{\"t\":{\"a\":1,},}", "{\"t\":{\"a\":1, \"b\": 2,},}" },
		{ AT("t"), "b", "[\n\t1,\n\t2\n]", "{\"t\":{\"a\":1}}", "{\"t\":{\"a\":1, \"b\": [1,2]}}" },
		/* brackets in strings, names with escapes, letter case */
		{ AT("t"), "b", "2", "{\"x\": \"}{ // \\\" /*\", \"T\": {\"\\u0061\": \"]\"}}",
		  "{\"x\": \"}{ // \\\" /*\", \"T\": {\"\\u0061\": \"]\", \"b\": 2}}" },
		{ AT("t"), "q\"\\", "2", "{\"t\": {\"a\": 1}}", "{\"t\": {\"a\": 1, \"q\\\"\\\\\": 2}}" },
		/* null is as absent */
		{ AT("t", "u"), "b", "2", "{\n  \"t\": null, // c\n}",
		  "{\n  \"t\": {\n    \"u\": {\n      \"b\": 2\n    }\n  }, // c\n}" },
		/* empty brackets open */
		{ AT("t"), "b", "2", "{\n  \"t\": {},\n}", "{\n  \"t\": {\n    \"b\": 2\n  },\n}" },
		{ AT("t"), "b", "2", "{\n  \"t\": {\n  }\n}", "{\n  \"t\": {\n    \"b\": 2\n  }\n}" },
		/* line ends of other systems, and none at the end */
		{ AT("t"), "b", "[\n\t1\n]", "{\r\n  \"t\": {\r\n    \"a\": 1\r\n  }\r\n}",
		  "{\r\n  \"t\": {\r\n    \"a\": 1,\r\n    \"b\": [\r\n      1\r\n    ]\r\n  }\r\n}" },
		/* odd layouts */
		{ AT("t"), "b", "2", "{ \"t\":\n{\n\"a\"\n:\n1\n}\n}",
		  "{ \"t\":\n{\n\"a\"\n:\n1,\n\"b\": 2\n}\n}" },
		{ AT("t"), "b", "2", "// ä {\n{\"ü\": 1, \"t\": {\"ö\": \"é\"}}\n",
		  "// ä {\n{\"ü\": 1, \"t\": {\"ö\": \"é\", \"b\": 2}}\n" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run(&cases[i]);
}

static void
test_entries(void **state)
{
	static const struct edit_case cases[] = {
		{ AT("l"), NULL, "1", "{}", "{\"l\": [1]}" },
		{ AT("l"), NULL, "1", "", "{\n\t\"l\": [\n\t\t1\n\t]\n}\n" },
		{ AT("l"), NULL, "1", "{\n \"l\": []\n}", "{\n \"l\": [1]\n}" },
		{ AT("l"), NULL, "1", "{\n \"l\": null\n}", "{\n \"l\": [\n  1\n ]\n}" },
		{ AT("a", "l"), NULL, "\"x\"", "{\n \"a\": {\"l\": [\"y\"]}\n}",
		  "{\n \"a\": {\"l\": [\"y\", \"x\"]}\n}" },
		{ AT("acls"), NULL, "{\n\t\"src\": [\"a\"],\n}",
		  "{\n  \"acls\": [\n    // first\n    {\"src\": [\"*\"]}, // all\n\n    // the end\n  ],\n}",
		  "{\n  \"acls\": [\n    // first\n    {\"src\": [\"*\"]}, // all\n\n    // the end\n"
		  "    {\n      \"src\": [\"a\"],\n    },\n  ],\n}" },
		{ AT("acls"), NULL, "{\n\t\"src\": [\"a\"],\n}", "{\"acls\": [{\n\t\"src\": [\"*\"],\n}]}",
		  "{\"acls\": [{\n\t\"src\": [\"*\"],\n}, {\"src\": [\"a\"],}]}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run(&cases[i]);
}

static void
test_refused(void **state)
{
	static const struct {
		struct hujson_path path;
		const char *name, *value, *text;
		enum err rc;
		const char *why;
	} cases[] = {
		{ AT("t"), "a", "1", "[]", ERR_INVAL, "the text is a list, not an object" },
		{ AT("t"), "a", "1", "{", ERR_INVAL, "line 1, column 2: " },
		{ AT("t"), "a", "1", "// nothing", ERR_INVAL, "line 1, column 11: " },
		{ AT("t"), "a", "1", "{\n \"t\": [1]}", ERR_INVAL,
		  "line 2, column 7: \"t\" is a list, where an object is wanted" },
		{ AT("t", "u"), NULL, "1", "{\"t\": {\"U\": {}}}", ERR_INVAL,
		  "\"U\" is an object, where a list" },
		{ AT("t"), "a", "1", "{\"t\": {\"a\": 2}}", ERR_EXISTS, "\"a\" is there already" },
		{ AT("l"), NULL, "{\"b\": [1], \"c\": 2}", "{\"l\": [{ \"b\": [1,], // x\n \"c\": 2}]}",
		  ERR_EXISTS,
		  "is there already" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = buf_of(cases[i].text);
		struct err_text why = { "" };
		enum err rc = cases[i].name != NULL ?
		    hujson_edit_member(&b, &cases[i].path, cases[i].name, cases[i].value, &why) :
		    hujson_edit_entry(&b, &cases[i].path, cases[i].value, &why);

		assert_int_equal(rc, cases[i].rc);
		assert_non_null(strstr(why.s, cases[i].why));
		assert_string_equal(buf_cstr(&b), cases[i].text);
		buf_fini(&b);
	}
}

static void
test_removed(void **state)
{
	static const struct edit_case cases[] = {
		{ AT("t"), "a", NULL, "{\n  \"t\": {\n    \"a\": [\n      1\n    ],\n    \"b\": 2\n  }\n}",
		  "{\n  \"t\": {\n    \"b\": 2\n  }\n}" },
		{ AT("t"), "b", NULL, "{\n  \"t\": {\n    \"a\": 1, // one\n    // two\n    \"b\": 2\n  }\n}",
		  "{\n  \"t\": {\n    \"a\": 1 // one\n    // two\n  }\n}" },
		{ AT("t"), "b", NULL, "{\n  \"t\": {\n    \"b\": 2, // two\n  }\n}",
		  "{\n  \"t\": {\n    // two\n  }\n}" },
		{ AT("t"), "b", NULL, "{\"t\": {\"a\": 1, \"b\": 2}}", "{\"t\": {\"a\": 1}}" },
		{ AT("t"), "a", NULL, "{\"t\": {\"a\": 1, \"b\": 2}}", "{\"t\": {\"b\": 2}}" },
		{ AT("t"), "a", NULL, "{\"t\": {\"a\": 1}}", "{\"t\": {}}" },
		{ AT("l"), NULL, "2", "{\"l\": [1, 2, 3]}", "{\"l\": [1, 3]}" },
		{ AT("l"), NULL, "3", "{\"l\": [1, 2, 3]}", "{\"l\": [1, 2]}" },
		{ AT("l"), NULL, "3", "{\"l\": [1, 2, 3, ]}", "{\"l\": [1, 2, ]}" },
		{ AT("l"), NULL, "1", "{\"l\": [1/* c */,2]}", "{\"l\": [/* c */2]}" },
		{ AT("l"), NULL, "{\"a\":1}", "{\r\n \"l\": [\r\n  {\"a\": 1},\r\n  2,\r\n ],\r\n}",
		  "{\r\n \"l\": [\r\n  2,\r\n ],\r\n}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = buf_of(cases[i].text);
		struct err_text why = { "" };

		if (cases[i].name != NULL)
			assert_int_equal(hujson_edit_remove_member(&b, &cases[i].path, cases[i].name,
			    &why), ERR_OK);
		else
			assert_int_equal(hujson_edit_remove_entry(&b, &cases[i].path, cases[i].value,
			    &why), ERR_OK);
		assert_string_equal(buf_cstr(&b), cases[i].want);
		assert_good(&b);
		buf_fini(&b);
	}
}

static void
test_absent(void **state)
{
	static const struct hujson_path t = AT("t"), deep = AT("t", "u");
	struct buf b = buf_of("{\"t\": {\"a\": 1, \"l\": [1, 2]}}");
	struct err_text why;

	(void)state;
	assert_int_equal(hujson_edit_remove_member(&b, &t, "b", &why), ERR_NOTFOUND);
	assert_int_equal(hujson_edit_remove_member(&b, &deep, "b", &why), ERR_NOTFOUND);
	assert_int_equal(hujson_edit_remove_entry(&b, &deep, "1", &why), ERR_NOTFOUND);
	assert_int_equal(hujson_edit_count(&b, &t), 2);
	assert_int_equal(hujson_edit_count(&b, &deep), 0);
	assert_int_equal(hujson_edit_count(&b, &(struct hujson_path)AT("T", "L")), 2);
	assert_int_equal(hujson_edit_count(&b, &(struct hujson_path)AT("t", "a")), 0);
	buf_fini(&b);
}

/* What was added is removed again, whatever the text looks like, and then it says what it said
 * before. */
static void
test_there_and_back(void **state)
{
	static const char *const texts[] = {
		"", "{}", "{\n}\n", "{ /* x */ }", "{\n\t// policy\n\t\"acls\": [],\n}",
		    "{\"t\": {}, \"l\": []}",
		"{\n\t\"t\": {\"x\": 1, }, // t\n\t\"l\": [ // l\n\t\t1, // one\n\t],\n}\n",
		"\n\n{\"l\":[1,2\n,3],\"t\":{\"a\":{}\n,}}", "{\"t\": null, \"l\": null}",
	};
	static const struct hujson_path t = AT("t"), l = AT("l");

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		struct buf b = buf_of(texts[i]);
		struct err_text why = { "" };

		assert_int_equal(hujson_edit_member(&b, &t, "new", "[\n\t\"n\"\n]", &why), ERR_OK);
		assert_good(&b);
		assert_int_equal(hujson_edit_entry(&b, &l, "{\n\t\"n\": [1]\n}", &why), ERR_OK);
		assert_good(&b);
		assert_int_equal(hujson_edit_member(&b, &t, "new", "1", &why), ERR_EXISTS);
		assert_int_equal(hujson_edit_entry(&b, &l, "{\"n\":[1]}", &why), ERR_EXISTS);
		assert_int_equal(hujson_edit_remove_entry(&b, &l, "{\"n\":[1]}", &why), ERR_OK);
		assert_good(&b);
		assert_int_equal(hujson_edit_remove_member(&b, &t, "new", &why), ERR_OK);
		assert_good(&b);
		assert_int_equal(hujson_edit_remove_member(&b, &t, "new", &why), ERR_NOTFOUND);
		buf_fini(&b);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_entries),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
