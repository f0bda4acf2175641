/* links: coord/route */
/* Lists of routes and their text; what may be a route. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coord/route.h"

static struct net_prefix
prefix(const char *text)
{
	struct net_prefix p;

	assert_int_equal(net_prefix_parse(text, strlen(text), &p), ERR_OK);
	return p;
}

static void
check(void **state)
{
	static const struct {
		const char *prefix;
		bool is_route, is_exit;
	} cases[] = {
		{ "10.0.0.0/8", true, false },
		{ "0.0.0.0/0", true, true },
		{ "::/0", true, true },
		{ "0.0.0.0/1", true, false },
		{ "100.0.0.0/8", true, false },		/* wider than the nodes' range */
		{ "100.64.0.0/10", false, false },
		{ "100.100.7.0/24", false, false },
		{ "100.127.255.255/32", false, false },
		{ "100.128.0.0/10", true, false },
		{ "fd7a:115c:a1e0::/48", false, false },
		{ "fd7a:115c:a1e0:1::/64", false, false },
		{ "fd7a:115c:a1e0:b1a::/64", true, false },
		{ "fd7a:115c:a1e0:b1a:0:7:a00:0/104", true, false },
		{ "fd7a:115c:a1e0:b00::/56", false, false },
		{ "fd7a::/16", true, false },
		{ "2001:cafe:42::/56", true, false },
		{ "127.0.0.0/8", false, false },
		{ "127.0.0.1/32", false, false },
		{ "::1/128", false, false },
		{ "224.0.0.0/4", false, false },
		{ "ff02::/16", false, false },
		{ "169.254.169.254/32", true, false },	/* a cloud's metadata */
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct net_prefix p = prefix(cases[i].prefix);
		struct err_text why = { "" };

		assert_int_equal(route_check(&p, &why), cases[i].is_route ? ERR_OK : ERR_INVAL);
		assert_int_equal(why.s[0] != '\0', !cases[i].is_route);
		assert_int_equal(route_is_exit(&p), cases[i].is_exit);
	}
}

static void
lists(void **state)
{
	static const struct {
		const char *in, *out;		/* out NULL: refused */
	} cases[] = {
		{ "[]", "[]" },
		{ "[\"10.1.0.0/16\",\"10.0.0.0/8\",\"10.1.0.0/16\",\"::/0\",\"10.0.0.0/16\"]",
		  "[\"10.0.0.0/8\",\"10.0.0.0/16\",\"10.1.0.0/16\",\"::/0\"]" },
		{ "[7,\"x\",\"10.0.0.1/8\",\"10.0.0.1/32\"]", "[\"10.0.0.1/32\"]" },
		{ "{}", NULL },
		{ "[", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct route_list l = { .n = 0 };
		struct buf b = { 0 };

		assert_int_equal(route_list_parse(cases[i].in, &l),
		    cases[i].out == NULL ? ERR_INVAL : ERR_OK);
		if (cases[i].out != NULL) {
			route_list_put(&b, l.v, l.n);
			assert_string_equal(buf_cstr(&b), cases[i].out);
		}
		for (unsigned k = 0; k < l.n; k++)
			assert_true(route_list_has(l.v, l.n, &l.v[k]));
		struct net_prefix other = prefix("172.16.0.0/12");
		assert_false(route_list_has(l.v, l.n, &other));
		assert_true(route_list_eq(l.v, l.n, l.v, l.n));
		assert_false(l.n > 0 && route_list_eq(l.v, l.n, l.v, l.n - 1));
		route_list_fini(&l);
		buf_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(check), cmocka_unit_test(lists) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
