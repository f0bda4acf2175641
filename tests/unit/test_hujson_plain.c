/* links: coord/hujson_plain */
/* HuJSON without comments and commas at the end, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coord/hujson_plain.h"

static void
test_table(void **state)
{
	static const struct { const char *text, *plain; } cases[] = {
		{ "", "" },
		{ "{\"a\": 1}", "{\"a\": 1}" },
		{ "{\"a\": 1,}", "{\"a\": 1 }" },
		{ "[1, 2, ]", "[1, 2  ]" },
		{ "[[1,],\n]", "[[1 ] \n]" },
		{ "{} // end", "{}       " },
		{ "// x\n{}", "    \n{}" },
		{ "[1,/* , */2,// y\n]", "[1,       2     \n]" },
		{ "[/*\n\n*/]", "[  \n\n  ]" },
		{ "[\"// no, /* no */\",]", "[\"// no, /* no */\" ]" },
		{ "[\"\\\"//\",]", "[\"\\\"//\" ]" },
		{ "[\"\\\\\",//c\n]", "[\"\\\\\"    \n]" },
		{ "[\",]\"]", "[\",]\"]" },
		/* What is no HuJSON does no harm. */
		{ "\"open", "\"open" }, { "\"open\\", "\"open\\" }, { "[/* open", "[       " }, { "/", "/" },
		{ "[,]", "[ ]" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 };

		buf_str(&b, "before");
		hujson_plain_put(&b, cases[i].text, strlen(cases[i].text));
		if (strcmp(buf_cstr(&b) + 6, cases[i].plain) != 0)
			fail_msg("%s: %s", cases[i].text, buf_cstr(&b) + 6);
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_table) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
