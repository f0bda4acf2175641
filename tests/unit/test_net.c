/* links: */
/* Addresses and prefixes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "base/net.h"

/* A parser's texts: want is the text form of the result, NULL: refused. */
struct text_case {
	const char *text, *want;
};

static struct net_ip
ip_of(const char *text)
{
	struct net_ip ip;

	assert_int_equal(net_ip_parse(text, strlen(text), &ip), ERR_OK);
	return ip;
}

static void
test_ip(void **state)
{
	static const struct text_case cases[] = {
		{ "1.2.3.4", "1.2.3.4" },
		{ "0.0.0.0", "0.0.0.0" },
		{ "255.255.255.255", "255.255.255.255" },
		{ "fd7a:115c:a1e0::1", "fd7a:115c:a1e0::1" },
		{ "FD7A:0:0:0:0:0:0:1", "fd7a::1" },
		{ "::", "::" },
		{ "::1", "::1" },
		{ "::ffff:1.2.3.4", "1.2.3.4" },
		{ "::ffff:102:304", "1.2.3.4" },
		{ "1111:2222:3333:4444:5555:6666:255.255.255.255",
		  "1111:2222:3333:4444:5555:6666:ffff:ffff" },
		{ "", NULL }, { "1.2.3", NULL }, { "1.2.3.4.5", NULL }, { "1.2.3.256", NULL },
		{ "01.2.3.4", NULL }, { "1.2.3.4 ", NULL }, { " 1.2.3.4", NULL },
		{ "0x7f.1", NULL },
		{ "[::1]", NULL }, { "::1%eth0", NULL }, { ":::", NULL }, { "g::1", NULL },
		{ "1:2:3:4:5:6:7:8:9", NULL }, { "::1::", NULL }, { "localhost", NULL },
		{ "1.2.3.4/32", NULL }, { "1.2.3.4:5", NULL },
		{ "0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000", NULL },
	};
	struct net_ip ip;
	char text[NET_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		enum err rc = net_ip_parse(cases[i].text, strlen(cases[i].text), &ip);

		if ((rc == ERR_OK) != (cases[i].want != NULL))
			fail_msg("%s: %s", cases[i].text, err_str(rc));
		if (rc == ERR_OK)
			assert_string_equal(net_ip_put(&ip, text), cases[i].want);
	}
	/* Only n bytes count, and a NUL among them is no end. */
	assert_int_equal(net_ip_parse("1.2.3.456", 7, &ip), ERR_OK);
	assert_string_equal(net_ip_put(&ip, text), "1.2.3.4");
	assert_int_equal(net_ip_parse("1.2.3.4\0xx", 10, &ip), ERR_INVAL);
	assert_string_equal(net_ip_put(&(struct net_ip){ 0 }, text), "-");
}

static void
test_addr(void **state)
{
	static const struct text_case cases[] = {
		{ "1.2.3.4:5", "1.2.3.4:5" },
		{ "1.2.3.4:0", "1.2.3.4:0" },
		{ "1.2.3.4:65535", "1.2.3.4:65535" },
		{ "[::1]:443", "[::1]:443" },
		{ "[::]:0", "[::]:0" },
		{ "[::ffff:1.2.3.4]:80", "1.2.3.4:80" },
		{ "1.2.3.4", NULL }, { "1.2.3.4:", NULL }, { "1.2.3.4:65536", NULL },
		{ "1.2.3.4:100000", NULL }, { "1.2.3.4:+5", NULL }, { "1.2.3.4:05", NULL },
		{ "1.2.3.4:5 ", NULL }, { "[1.2.3.4]:5", NULL }, { "::1:5", NULL },
		{ "[::1]", NULL },
		{ "[::1]:", NULL }, { "[::1:5", NULL }, { "::1]:5", NULL }, { "[]:5", NULL },
		{ ":5", NULL }, { "[:5", NULL }, { "]:5", NULL }, { "", NULL }, { ":", NULL },
		{ "host:5", NULL }, { "[::1]5:5", NULL },
	};
	struct net_addr a;
	char text[NET_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		enum err rc = net_addr_parse(cases[i].text, strlen(cases[i].text), &a);

		if ((rc == ERR_OK) != (cases[i].want != NULL))
			fail_msg("%s: %s", cases[i].text, err_str(rc));
		if (rc == ERR_OK)
			assert_string_equal(net_addr_put(&a, text), cases[i].want);
	}
	assert_string_equal(net_addr_put(&(struct net_addr){ .port = 5 }, text), "-");
	a = (struct net_addr){ .port = 65535 };
	a.ip.family = 6;
	for (unsigned i = 0; i < 16; i++)
		a.ip.b[i] = 0xf1;
	assert_string_equal(net_addr_put(&a, text),
	    "[f1f1:f1f1:f1f1:f1f1:f1f1:f1f1:f1f1:f1f1]:65535");
}

static void
test_prefix(void **state)
{
	static const struct text_case cases[] = {
		{ "10.0.0.0/8", "10.0.0.0/8" },
		{ "10.1.2.3", "10.1.2.3/32" },
		{ "0.0.0.0/0", "0.0.0.0/0" },
		{ "100.64.0.0/10", "100.64.0.0/10" },
		{ "1.2.3.4/32", "1.2.3.4/32" },
		{ "1.2.3.4/31", "1.2.3.4/31" },
		{ "::/0", "::/0" },
		{ "::1", "::1/128" },
		{ "fd7a:115c:a1e0::/48", "fd7a:115c:a1e0::/48" },
		{ "fe80::/10", "fe80::/10" },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8" },
		{ "::ffff:10.0.0.1", "10.0.0.1/32" },
		{ "::ffff:0.0.0.0/96", "0.0.0.0/0" },
		{ "::ffff:0.0.0.0/95", NULL }, { "::ffff:10.0.0.1/104", NULL },
		{ "10.0.0.1/8", NULL }, { "1.2.3.5/31", NULL }, { "100.65.0.0/10", NULL },
		{ "10.0.0.0/33", NULL }, { "::/129", NULL }, { "10.0.0.0/", NULL }, { "/8", NULL },
		{ "10.0.0.0/-1", NULL }, { "10.0.0.0/08", NULL }, { "10.0.0.0/8/8", NULL },
		{ "10.0.0.0/256", NULL }, { "10.0.0.0/4294967304", NULL }, { "10/8", NULL },
		{ "", NULL }, { "/", NULL }, { "fe80::1/10", NULL },
		{ "fd7a:115c:a1e0:1::/48", NULL },
		{ "10.0.0.0 /8", NULL },
	};
	struct net_prefix p;
	char text[NET_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		enum err rc = net_prefix_parse(cases[i].text, strlen(cases[i].text), &p);

		if ((rc == ERR_OK) != (cases[i].want != NULL))
			fail_msg("%s: %s", cases[i].text, err_str(rc));
		if (rc == ERR_OK)
			assert_string_equal(net_prefix_put(&p, text), cases[i].want);
	}
	assert_string_equal(net_prefix_put(&(struct net_prefix){ .bits = 8 }, text), "-");
}

static void
test_has(void **state)
{
	static const struct {
		const char *prefix, *ip;
		bool want;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.0.1", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "100.64.0.0/10", "100.127.255.255", true },
		{ "100.64.0.0/10", "100.128.0.0", false },
		{ "0.0.0.0/0", "9.9.9.9", true },
		{ "0.0.0.0/0", "::1", false },
		{ "::/0", "9.9.9.9", false },
		{ "::/0", "ff::1", true },
		{ "1.2.3.4/32", "1.2.3.4", true },
		{ "1.2.3.4/32", "1.2.3.5", false },
		{ "fd7a:115c:a1e0::/48", "fd7a:115c:a1e0:ffff::", true },
		{ "fd7a:115c:a1e0::/48", "fd7a:115c:a1e1::", false },
		{ "::1/128", "::1", true },
		{ "::1/128", "::2", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct net_ip ip = ip_of(cases[i].ip);
		struct net_prefix p;

		assert_int_equal(net_prefix_parse(cases[i].prefix, strlen(cases[i].prefix), &p), 0);
		if (net_prefix_has(&p, &ip) != cases[i].want)
			fail_msg("%s has %s", cases[i].prefix, cases[i].ip);
	}
	assert_false(net_prefix_has(&(struct net_prefix){ 0 }, &(struct net_ip){ 0 }));
}

static void
test_kinds(void **state)
{
	static const struct {
		const char *ip;
		bool is_loopback, is_private;
	} cases[] = {
		{ "127.0.0.1", true, true }, { "127.255.0.1", true, true }, { "::1", true, true },
		{ "::ffff:127.0.0.1", true, true }, { "10.0.0.1", false, true },
		{ "172.16.0.1", false, true }, { "172.31.255.255", false, true },
		{ "172.32.0.0", false, false }, { "172.15.0.0", false, false },
		{ "192.168.1.1", false, true }, { "192.169.0.0", false, false },
		{ "169.254.1.1", false, true }, { "100.64.0.1", false, true },
		{ "100.128.0.0", false, false }, { "100.63.0.0", false, false },
		{ "fe80::1", false, true }, { "febf::1", false, true }, { "fec0::1", false, false },
		{ "fc00::1", false, true }, { "fd7a::1", false, true }, { "fe00::1", false, false },
		{ "::2", false, false }, { "2001:db8::1", false, false },
		{ "8.8.8.8", false, false },
		{ "0.0.0.0", false, false }, { "::", false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct net_ip ip = ip_of(cases[i].ip);

		if (net_ip_is_loopback(&ip) != cases[i].is_loopback ||
		    net_ip_is_private(&ip) != cases[i].is_private)
			fail_msg("%s", cases[i].ip);
	}
	assert_false(net_ip_is_private(&(struct net_ip){ 0 }));
}

static void
test_prefixes(void **state)
{
	static char ten[] = "10.0.0.0/8", six[] = "2001:db8::1", wrong[] = "10.0.0.1/8";
	char *good[] = { ten, six }, *bad[] = { ten, wrong }, *many[NET_PREFIXES_MAX + 1];
	struct net_ip in = ip_of("10.1.2.3"), one = ip_of("2001:db8::1"), out = ip_of("11.0.0.1");
	struct net_prefixes p;
	struct err_text why;

	(void)state;
	assert_int_equal(net_prefixes_parse("x", good, 2, &p, NULL), ERR_OK);
	assert_true(net_prefixes_have(&p, &in) && net_prefixes_have(&p, &one));
	assert_false(net_prefixes_have(&p, &out));
	assert_int_equal(net_prefixes_parse("x", bad, 2, &p, &why), ERR_INVAL);
	assert_string_equal(why.s, "x: \"10.0.0.1/8\" is not an address or a prefix like 10.0.0.0/8");
	assert_false(net_prefixes_have(&p, &in));
	for (size_t i = 0; i < COUNT_OF(many); i++)
		many[i] = ten;
	assert_int_equal(net_prefixes_parse("x", many, NET_PREFIXES_MAX, &p, NULL), ERR_OK);
	assert_int_equal(net_prefixes_parse("x", many, NET_PREFIXES_MAX + 1, &p, NULL), ERR_LIMIT);
}

static void
test_source(void **state)
{
	static const struct { const char *ip, *source; } cases[] = {
		{ "192.0.2.1", "192.0.2.1" }, { "::ffff:192.0.2.1", "192.0.2.1" },
		{ "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::" }, { "fe80::1", "fe80::" }, { "::1", "::" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct net_ip ip = ip_of(cases[i].ip), source = net_ip_source(&ip);
		char text[NET_TEXT_MAX];

		assert_string_equal(net_ip_put(&source, text), cases[i].source);
	}
	assert_int_equal(net_ip_source(&(struct net_ip){ 0 }).family, 0);
}

static void
test_eq(void **state)
{
	struct net_ip a = ip_of("1.2.3.4"), b = ip_of("::ffff:1.2.3.4"), c = ip_of("1.2.3.5");
	struct net_ip six = ip_of("102:304::");

	(void)state;
	assert_true(net_ip_eq(&a, &b));
	assert_false(net_ip_eq(&a, &c));
	assert_false(net_ip_eq(&a, &six));
	assert_true(net_ip_eq(&(struct net_ip){ 0 }, &(struct net_ip){ 0 }));
	assert_false(net_ip_eq(&a, &(struct net_ip){ 0 }));
}

static void
test_sockaddr(void **state)
{
	static const char *const texts[] = { "1.2.3.4:80", "[fd7a::1]:65535" };
	struct sockaddr_storage ss;
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(7) };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct net_addr a, b;
	char text[NET_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		assert_int_equal(net_addr_parse(texts[i], strlen(texts[i]), &a), ERR_OK);
		socklen_t n = net_addr_to_sockaddr(&a, &ss);
		assert_int_equal(n, i == 0 ? sizeof(struct sockaddr_in) : sizeof(in6));
		assert_int_equal(ss.ss_family, i == 0 ? AF_INET : AF_INET6);
		net_addr_from_sockaddr((struct sockaddr *)&ss, &b);
		assert_string_equal(net_addr_put(&b, text), texts[i]);
	}
	/* What an IPv6 socket says of an IPv4 client. */
	assert_int_equal(inet_pton(AF_INET6, "::ffff:9.8.7.6", &in6.sin6_addr), 1);
	net_addr_from_sockaddr((struct sockaddr *)&in6, &b);
	assert_string_equal(net_addr_put(&b, text), "9.8.7.6:7");
	net_addr_from_sockaddr((struct sockaddr *)&un, &b);
	assert_int_equal(b.ip.family, 0);
	assert_true(net_addr_to_sockaddr(&b, &ss) > 0);
	assert_int_equal(ss.ss_family, AF_UNSPEC);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ip),
		cmocka_unit_test(test_addr),
		cmocka_unit_test(test_prefix),
		cmocka_unit_test(test_has),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_prefixes), cmocka_unit_test(test_source), cmocka_unit_test(test_eq),
		cmocka_unit_test(test_sockaddr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
