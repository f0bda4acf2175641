/* links: */
/* Which texts are numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/decimal.h"

static void
test_parse(void **state)
{
	static const struct { const char *text; int64_t want; } cases[] = {
		{ "0", 0 }, { "7", 7 }, { "0042", 42 }, { "999999999999999999", 999999999999999999 },
		{ "", -1 }, { "1000000000000000000", -1 }, { "-1", -1 }, { "+1", -1 }, { " 1", -1 },
		{ "1 ", -1 }, { "1x", -1 }, { "0x1", -1 }, { "1.0", -1 }, { "\xd9\xa1", -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (decimal_parse(cases[i].text) != cases[i].want)
			fail_msg("\"%s\" is %lld", cases[i].text, (long long)decimal_parse(cases[i].text));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_parse) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
