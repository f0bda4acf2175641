/* links: coord/dns */
/* Proves: DNSConfig for every combination of base domain, MagicDNS and resolvers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "coord/dns.h"

static void
configs(void **state)
{
	static char *items[] = { "1.1.1.1", "https://dns.example/\"q" };
	static const struct config_list none = { .n = 0 }, two = { .items = items, .n = 2 };
	static const struct {
		struct dns_params p;
		const char *want;
	} cases[] = {
		{ { .base_domain = "t.example", .magic_dns = true, .nameservers = &none },
		    "{\"Proxied\":true,\"Domains\":[\"t.example\"],\"Routes\":{\"t.example\":[]}}" },
		{ { .base_domain = "t.example", .magic_dns = false },
		    "{\"Proxied\":false,\"Domains\":[\"t.example\"]}" },
		{ { .base_domain = "", .magic_dns = true }, "{\"Proxied\":true,\"Domains\":[]}" },
		{ { .base_domain = NULL }, "{\"Proxied\":false,\"Domains\":[]}" },
		{ { .base_domain = "t.example", .magic_dns = true, .nameservers = &two },
		    "{\"Proxied\":true,\"Domains\":[\"t.example\"],\"Resolvers\":[{\"Addr\":\"1.1.1.1\"},"
		    "{\"Addr\":\"https://dns.example/\\\"q\"}],\"Routes\":{\"t.example\":[]}}" },
	};

	(void)state;
	for (unsigned i = 0; i < COUNT_OF(cases); i++) {
		struct buf b = { 0 };

		dns_put(&b, &cases[i].p);
		assert_string_equal(buf_cstr(&b), cases[i].want);
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(configs) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
