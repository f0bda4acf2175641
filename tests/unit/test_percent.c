/* links: */
/* Percent-encoding: bytes as they are, as %XX, and what is neither. */
#include "base/percent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
test_take(void **state)
{
	static const struct { const char *text, *want; } cases[] = {	/* want NULL: refused */
		{ "", "" }, { "a b+c", "a b+c" }, { "%41%2f%2F", "A//" }, { "%e2%82%ac", "\xe2\x82\xac" },
		{ "\xff", "\xff" },
		{ "%%", NULL }, { "%", NULL }, { "x%4", NULL }, { "%4g", NULL }, { "%-1", NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *p = cases[i].text, *end = p + strlen(p);
		char got[32] = "";
		enum err rc = ERR_OK;

		for (size_t n = 0; p < end && (rc = percent_take(&p, end, (uint8_t *)&got[n])) == ERR_OK; n++)
			;
		assert_int_equal(rc, cases[i].want != NULL ? ERR_OK : ERR_INVAL);
		if (cases[i].want != NULL)
			assert_string_equal(got, cases[i].want);
	}
}

/* What is behind the end is not looked at. */
static void
test_end(void **state)
{
	const char *p = "%41";
	uint8_t byte;

	(void)state;
	assert_int_equal(percent_take(&p, p + 2, &byte), ERR_INVAL);
	assert_string_equal(p, "%41");
	assert_int_equal(percent_take(&p, p + 3, &byte), ERR_OK);
	assert_int_equal(byte, 'A');
	assert_string_equal(p, "");
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_take), cmocka_unit_test(test_end) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
