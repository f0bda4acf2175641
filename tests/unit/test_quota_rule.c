/* links: coord/quota_rule coord/tag */
/* Proves: rates mean what people write, subjects come back as they were stored, and bounds hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/obj.h"
#include "coord/quota_rule.h"

static void
test_rates(void **state)
{
	static const struct {
		const char *text;
		int64_t want;		/* -1: refused */
		const char *shown;	/* NULL: as text */
	} cases[] = {
		{ "none", 0, NULL }, { "unlimited", 0, "none" }, { "0", 0, "none" }, { "None", 0, "none" },
		{ "1000000", 1000000, "1 MB/s" }, { "10MB/s", 10000000, "10 MB/s" },
		{ "10 MB/s", 10000000, NULL }, { "10mB/s", 10000000, "10 MB/s" },
		{ "800kbit/s", 100000, "100 kB/s" }, { "800 kb/s", 100000, "100 kB/s" },
		{ "80Mbps", 10000000, "10 MB/s" }, { "80MBps", 80000000, "80 MB/s" },
		{ "1.5 MiB/s", 1572864, "1.572864 MB/s" }, { "2KiB", 2048, "2.048 kB/s" },
		{ "1gbit", 125000000, "125 MB/s" }, { "8 bits/s", 1, "1 B/s" }, { "5bytes", 5, "5 B/s" },
		{ "1TB/s", 1000000000000, "1000 GB/s" },
		{ "999 B/s", 999, NULL }, { "0.5kB/s", 500, "500 B/s" },
		{ "", -1, NULL }, { "MB/s", -1, NULL }, { "10M", -1, NULL }, { "10 MB / s", -1, NULL },
		{ "1.2.3MB/s", -1, NULL }, { "-1", -1, NULL }, { "1e6", -1, NULL }, { "10MB/h", -1, NULL },
		{ ".5MB/s", -1, NULL }, { "99999999999999999999", -1, NULL },
		{ "9000TB/s", 9000000000000000, "9000000 GB/s" },
		{ "123456789012345678901234567890", -1, NULL },
		{ "10 mibit/sx", -1, NULL }, { "nonesuch", -1, NULL },
	};
	char shown[QUOTA_RULE_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct err_text why = { "" };
		int64_t v = -1;
		enum err rc = quota_rule_rate_parse(cases[i].text, &v, &why);

		if (v != cases[i].want || (rc == ERR_OK) != (v >= 0))
			fail_msg("\"%s\": %lld, %s", cases[i].text, (long long)v, why.s);
		if (rc == ERR_OK)
			assert_string_equal(quota_rule_rate_put(v, shown),
			    cases[i].shown != NULL ? cases[i].shown : cases[i].text);
		else
			assert_non_null(strstr(why.s, "such as 10MB/s"));
	}
}

static void
test_subjects(void **state)
{
	static const struct {
		const char *text;
		int kind;		/* -1: none */
		int64_t id;
	} cases[] = {
		{ "default", QUOTA_RULE_DEFAULT, 0 }, { "node 17", QUOTA_RULE_NODE, 17 },
		{ "user 3", QUOTA_RULE_USER, 3 }, { "tag:k3s", QUOTA_RULE_TAG, 0 },
		{ "node 9223372036854775807", QUOTA_RULE_NODE, INT64_MAX },
		{ "", -1, 0 }, { "node", -1, 0 }, { "node 0", -1, 0 },
		{ "node 017", -1, 0 }, { "node -1", -1, 0 },
		{ "user 3x", -1, 0 }, { "default 1", -1, 0 }, { "tag 3", -1, 0 }, { "tag:", -1, 0 },
		{ "node 9223372036854775808", -1, 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct quota_rule r;
		enum err rc = quota_rule_parse(cases[i].text, &r);

		if ((rc == ERR_OK) != (cases[i].kind >= 0))
			fail_msg("\"%s\": %s", cases[i].text, err_str(rc));
		if (rc != ERR_OK)
			continue;
		assert_int_equal(r.kind, cases[i].kind);
		assert_int_equal(r.id, cases[i].id);
		assert_string_equal(r.subject, cases[i].text);
	}
}

static void
test_bounds(void **state)
{
	static const struct {
		enum quota_rule_kind kind;
		int64_t bytes_per_s;
		bool is_good;
	} cases[] = {
		{ QUOTA_RULE_DEFAULT, 0, true }, { QUOTA_RULE_NODE, 0, true }, { QUOTA_RULE_TAG, 0, false },
		{ QUOTA_RULE_USER, 0, false }, { QUOTA_RULE_TAG, 1000, true }, { QUOTA_RULE_NODE, 999, false },
		{ QUOTA_RULE_USER, 100000000000, true }, { QUOTA_RULE_DEFAULT, 100000000001, false },
		{ QUOTA_RULE_DEFAULT, -1, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct quota_rule r = { .kind = cases[i].kind, .bytes_per_s = cases[i].bytes_per_s };
		struct err_text why = { "" };

		if ((quota_rule_check(&r, &why) == ERR_OK) != cases[i].is_good)
			fail_msg("case %zu: %s", i, why.s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates), cmocka_unit_test(test_subjects), cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
