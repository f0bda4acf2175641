/* links: */
/* Strict UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/obj.h"
#include "base/utf8.h"

static const struct {
	const char *bytes;
	size_t n, want;
} cases[] = {
	{ "a", 1, 1 },
	{ "\0", 1, 1 },
	{ "\x7f", 1, 1 },
	{ "\xc3\xa4", 2, 2 },
	{ "\xc3\xa4xx", 4, 2 },
	{ "\xe2\x82\xac", 3, 3 },
	{ "\xed\x9f\xbf", 3, 3 },		/* U+D7FF */
	{ "\xee\x80\x80", 3, 3 },		/* U+E000 */
	{ "\xef\xbf\xbf", 3, 3 },
	{ "\xf0\x9f\x98\x80", 4, 4 },
	{ "\xf4\x8f\xbf\xbf", 4, 4 },		/* U+10FFFF */
	{ "\x80", 1, 0 },			/* a tail alone */
	{ "\xc3", 1, 0 },			/* cut */
	{ "\xe2\x82", 2, 0 },
	{ "\xf0\x9f\x98", 3, 0 },
	{ "\xc0\x80", 2, 0 },			/* overlong */
	{ "\xc1\xbf", 2, 0 },
	{ "\xe0\x9f\xbf", 3, 0 },
	{ "\xf0\x8f\xbf\xbf", 4, 0 },
	{ "\xed\xa0\x80", 3, 0 },		/* surrogates */
	{ "\xed\xbf\xbf", 3, 0 },
	{ "\xf4\x90\x80\x80", 4, 0 },		/* beyond U+10FFFF */
	{ "\xf5\x80\x80\x80", 4, 0 },
	{ "\xff", 1, 0 },
	{ "\xc3(", 2, 0 },			/* no tail behind */
	{ "\xe2(\xa1", 3, 0 },
	{ "\xe2\x82(", 3, 0 },
	{ "\xf0(\x8c\xbc", 4, 0 },
	{ "\xf0\x90(\xbc", 4, 0 },
	{ "\xf0\x90\x8c(", 4, 0 },
};

static void
test_char_len(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t got = utf8_char_len((const uint8_t *)cases[i].bytes, cases[i].n);

		if (got != cases[i].want)
			fail_msg("case %zu: got %zu, want %zu", i, got, cases[i].want);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_char_len),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
