/* links: */
/* Time: injection, and RFC 3339 both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/obj.h"

static void
test_injection(void **state)
{
	(void)state;
	clock_test_set(5000, 1700000000);
	assert_int_equal(clock_mono_ms(), 5000);
	assert_int_equal(clock_mono_us(), 5000000);
	assert_int_equal(clock_wall_s(), 1700000000);
	assert_int_equal(clock_wall_ms(), 1700000000000);
	clock_test_stop();
	assert_true(clock_wall_s() > 1700000000);
	int64_t before = clock_mono_us();
	assert_true(clock_mono_us() >= before);
	assert_true(clock_mono_ms() >= before / 1000);
}

static void
test_put(void **state)
{
	static const struct {
		int64_t unix_s;
		const char *want;
	} cases[] = {
		{ 0, "0001-01-01T00:00:00Z" },
		{ 1, "1970-01-01T00:00:01Z" },
		{ -1, "1969-12-31T23:59:59Z" },
		{ 951782400, "2000-02-29T00:00:00Z" },
		{ 951868799, "2000-02-29T23:59:59Z" },
		{ 951868800, "2000-03-01T00:00:00Z" },
		{ 1795464097, "2026-11-23T20:01:37Z" },
		{ 4107542400, "2100-03-01T00:00:00Z" },
		{ 253402300799, "9999-12-31T23:59:59Z" },
		{ 253402300800, "9999-12-31T23:59:59Z" },
		{ INT64_MAX, "9999-12-31T23:59:59Z" },
		{ INT64_MIN, "0001-01-01T00:00:00Z" },
	};
	char text[CLOCK_RFC3339_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_string_equal(clock_rfc3339(cases[i].unix_s, text), cases[i].want);
}

/* Days and odd seconds over 600 years, against libc. */
static void
test_calendar(void **state)
{
	char text[CLOCK_RFC3339_BYTES], want[CLOCK_RFC3339_BYTES];

	(void)state;
	for (int64_t s = -300LL * 31556952; s < 300LL * 31556952; s += 86399 * 3 + 7) {
		time_t t = (time_t)s;
		struct tm tm;
		int64_t back;

		assert_non_null(gmtime_r(&t, &tm));
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%SZ", &tm);
		assert_string_equal(clock_rfc3339(s, text), want);
		assert_int_equal(clock_rfc3339_parse(text, strlen(text), &back), 0);
		assert_int_equal(back, s);
	}
}

static void
test_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t want;
	} cases[] = {
		{ "2026-11-23T20:01:37Z", 1795464097 },
		{ "2026-11-23t20:01:37z", 1795464097 },
		{ "2026-11-23T20:01:37.123456789Z", 1795464097 },
		{ "2026-11-23T22:01:37+02:00", 1795464097 },
		{ "2026-11-23T16:31:37.5-03:30", 1795464097 },
		{ "2026-11-23T20:01:37-00:00", 1795464097 },
		{ "2016-12-31T23:59:60Z", 1483228800 },
		{ "0001-01-01T00:00:00Z", 0 },
		{ "0000-01-01T00:00:00Z", 0 },
		{ "1970-01-01T00:00:00Z", 0 },
		{ "1969-12-31T23:59:59Z", -1 },
	};
	int64_t got;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const char *text = cases[i].text;

		got = 99;
		assert_int_equal(clock_rfc3339_parse(text, strlen(text), &got), 0);
		assert_int_equal(got, cases[i].want);
	}
}

static void
test_parse_refused(void **state)
{
	static const char *const cases[] = {
		"", "Z", "2026", "2026-11-23", "2026-11-23T20:01:37", "2026-11-23 20:01:37Z",
		"2026-11-23T20:01:37ZZ", "2026-11-23T20:01:37.Z", "2026-11-23T20:01:37+0200",
		"2026-11-23T20:01:37+24:00", "2026-11-23T20:01:37+02:60", "2026-11-23T20:01:37+02",
		"2026-13-23T20:01:37Z", "2026-00-23T20:01:37Z", "2026-11-31T20:01:37Z",
		"2026-11-00T20:01:37Z", "2026-02-29T20:01:37Z", "1900-02-29T00:00:00Z",
		"2026-11-23T24:01:37Z", "2026-11-23T20:60:37Z", "2026-11-23T20:01:61Z",
		"-026-11-23T20:01:37Z", "2026-11-23T20:01:3 Z", "26-11-23T20:01:37Z",
	};
	int64_t got = 99;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		if (clock_rfc3339_parse(cases[i], strlen(cases[i]), &got) != -1)
			fail_msg("accepted: %s", cases[i]);
		assert_int_equal(got, 99);
	}
	/* Only n bytes count. */
	assert_int_equal(clock_rfc3339_parse("2026-11-23T20:01:37Z", 19, &got), -1);
	assert_int_equal(clock_rfc3339_parse("2026-11-23T20:01:37Zxx", 20, &got), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_injection),
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_calendar),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_parse_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
