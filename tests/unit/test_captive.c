/* links: relay/captive */
/* The challenge echo: what is answered, and what is not. */
#include "relay/captive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
test_answers(void **state)
{
	static const struct { const char *v, *want; } cases[] = {
		{ "ts_derp.example.com", "response ts_derp.example.com" },
		{ "ts_192.0.2.7", "response ts_192.0.2.7" },
		{ "a", "response a" },
		{ "AZaz09.-_:", "response AZaz09.-_:" },
		{ "0123456789012345678901234567890123456789012345678901234567890123",
		    "response 0123456789012345678901234567890123456789012345678901234567890123" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char out[CAPTIVE_CHALLENGE_MAX + 16];

		assert_true(captive_response(cases[i].v, strlen(cases[i].v), out));
		assert_string_equal(out, cases[i].want);
	}
}

static void
test_refuses(void **state)
{
	static const struct { const char *v; size_t n; } cases[] = {
		{ "", 0 }, { "a b", 3 }, { "a\r\nSet-Cookie: x", 16 }, { "a\0b", 3 }, { "a/b", 3 },
		{ "\xc3\xa9", 2 }, { "a@b", 3 }, { "[x]", 3 }, { "a`b", 3 }, { "a{b", 3 },
		{ "01234567890123456789012345678901234567890123456789012345678901234", 65 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char out[CAPTIVE_CHALLENGE_MAX + 16] = "untouched";

		assert_false(captive_response(cases[i].v, cases[i].n, out));
		assert_string_equal(out, "untouched");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
