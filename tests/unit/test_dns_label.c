/* links: coord/dns_label */
/* Labels from host names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "coord/dns_label.h"

#define X10 "xxxxxxxxxx"
#define X60 X10 X10 X10 X10 X10 X10

static void
test_from_host(void **state)
{
	static const struct {
		const char *host, *want;
	} cases[] = {
		{ "edge-node-01", "edge-node-01" },
		{ "MacBook", "macbook" },
		{ "Ann's MacBook Pro", "anns-macbook-pro" },
		{ "host.local", "host" },
		{ "host.local.", "host-local" },
		{ "x.lan.local", "x" },
		{ "x.local.lan", "x-local" },
		{ ".host.", "host" },
		{ "host.localdomain", "host" },
		{ "router.lan", "router" },
		{ "a.example.com", "a-example-com" },
		{ "under_score@x", "under-score-x" },
		{ "--lead-and-trail--", "lead-and-trail" },
		{ "...", "node" },
		{ "", "node" },
		{ "\xe6\x97\xa5\xe6\x9c\xac", "node" },
		{ "caf\xc3\xa9-1", "caf-1" },
		{ "x\x01\ny", "xy" },
		{ X60 "abc", X60 "abc" },
		{ X60 "abcd", X60 "abc" },
		{ X60 "a----b", X60 "a" },
		{ "\xc3\xbc" X60 "abcd", X60 "a" },	/* cut to 63 bytes first */
		{ "0", "0" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[DNS_LABEL_MAX];

		memset(out, 'Z', sizeof(out));
		dns_label_from_host(cases[i].host, out);
		assert_string_equal(out, cases[i].want);
		assert_true(dns_label_is_valid(out));
		for (size_t k = strlen(out); k < sizeof(out); k++)
			assert_int_equal(out[k], 0);
	}
}

static void
test_valid(void **state)
{
	static const char *const good[] = { "a", "0", "a-b", "a--b", X60 "abc" };
	static const char *const bad[] = { "", "-a", "a-", "A", "a.b", "a b", "a_b", X60 "abcd",
	    "\xc3\xa9" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(dns_label_is_valid(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(dns_label_is_valid(bad[i]));
}

static void
test_number(void **state)
{
	static const struct {
		const char *base;
		unsigned n;
		const char *want;
	} cases[] = {
		{ "web", 0, "web" }, { "web", 1, "web-1" }, { "web", 999999999u, "web-999999999" },
		{ X60 "abc", 7, X60 "a-7" }, { X60 "abc", 10, X60 "-10" },
		{ X60 "-bc", 7, X60 "-7" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[DNS_LABEL_MAX];

		memset(out, 'Z', sizeof(out));
		dns_label_number(cases[i].base, cases[i].n, out);
		assert_string_equal(out, cases[i].want);
		assert_true(dns_label_is_valid(out));
		assert_true(dns_label_is_of(out, cases[i].base));
		assert_int_equal(out[DNS_LABEL_MAX - 1], 0);
	}
}

static void
test_is_of(void **state)
{
	(void)state;
	assert_true(dns_label_is_of("web", "web"));
	assert_true(dns_label_is_of("web-12", "web"));
	assert_false(dns_label_is_of("web-0", "web"));
	assert_false(dns_label_is_of("web-01", "web"));
	assert_false(dns_label_is_of("web-x", "web"));
	assert_false(dns_label_is_of("web-1-1", "web"));
	assert_false(dns_label_is_of("webs", "web"));
	assert_false(dns_label_is_of("web-1x", "web"));
	assert_false(dns_label_is_of("web-99999999999", "web"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_from_host),
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_number),
		cmocka_unit_test(test_is_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
