/* links: coord/ipam */
/* Addresses: order, reserved ranges, rest, exhaustion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/obj.h"
#include "coord/ipam.h"

#define V6 "fd7a:115c:a1e0::/48"
#define T0 1000000

static struct ipam *
make(const char *v4, const char *v6)
{
	struct ipam *a = NULL;
	struct err_text why = { "" };

	if (ipam_new(v4, v6, &a, &why) != ERR_OK)
		fail_msg("%s", why.s);
	return a;
}

static const char *
next4(struct ipam *a, int64_t now)
{
	static char text[NET_TEXT_MAX];
	struct net_ip ip4, ip6;

	assert_int_equal(ipam_reserve(a, now, &ip4, &ip6, NULL), ERR_OK);
	return net_ip_put(&ip4, text);
}

static struct net_ip
ip_of(const char *text)
{
	struct net_ip ip;

	assert_int_equal(net_ip_parse(text, strlen(text), &ip), ERR_OK);
	return ip;
}

static void
test_prefixes(void **state)
{
	static const struct {
		const char *v4, *v6;
		enum err want;
	} cases[] = {
		{ "100.64.0.0/10", V6, ERR_OK },
		{ "100.80.0.0/16", "fd7a:115c:a1e0:1::/64", ERR_OK },
		{ "100.64.0.0/30", V6, ERR_OK },
		{ "100.64.0.0/31", V6, ERR_INVAL },		/* first and last are not given */
		{ "100.64.0.1/32", V6, ERR_INVAL },
		{ "100.100.100.0/25", V6, ERR_INVAL },		/* reserved as a whole */
		{ "100.115.93.0/24", V6, ERR_INVAL },
		{ "10.0.0.0/8", V6, ERR_INVAL },
		{ "100.0.0.0/8", V6, ERR_INVAL },
		{ "100.64.0.1/10", V6, ERR_INVAL },		/* host bits */
		{ V6, V6, ERR_INVAL },
		{ "", V6, ERR_INVAL },
		{ "100.64.0.0/10", "fd00::/48", ERR_INVAL },
		{ "100.64.0.0/10", "fd7a:115c:a1e0:b1a::/64", ERR_INVAL },
		{ "100.64.0.0/10", "fd7a:115c:a1e0:ab12:4843:cd96:6200:0/112", ERR_INVAL },
		{ "100.64.0.0/10", "fd7a:115c:a1e0::/128", ERR_INVAL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ipam *a = NULL;
		struct err_text why = { "" };
		enum err rc = ipam_new(cases[i].v4, cases[i].v6, &a, &why);

		if (rc != cases[i].want)
			fail_msg("%s %s: %s", cases[i].v4, cases[i].v6, err_str(rc));
		assert_true((rc == ERR_OK) == (why.s[0] == '\0'));
		ipam_free(a);
	}
}

static void
test_sequence(void **state)
{
	struct ipam *a = make("100.64.0.0/10", V6);
	struct net_ip ip4, ip6;
	char text[NET_TEXT_MAX];

	(void)state;
	assert_int_equal(ipam_reserve(a, T0, &ip4, &ip6, NULL), ERR_OK);
	assert_string_equal(net_ip_put(&ip4, text), "100.64.0.1");
	assert_string_equal(net_ip_put(&ip6, text), "fd7a:115c:a1e0::1");
	assert_string_equal(next4(a, T0), "100.64.0.2");
	ipam_unreserve(a, &ip4);
	ipam_unreserve(a, &ip6);
	assert_string_equal(next4(a, T0), "100.64.0.1");	/* came to nothing: free at once */
	ip4 = ip_of("100.64.0.3");
	ipam_use(a, &ip4);
	ipam_use(a, &ip4);
	assert_string_equal(next4(a, T0), "100.64.0.4");
	ip4 = ip_of("10.1.2.3");				/* of another configuration */
	ipam_use(a, &ip4);
	ipam_release(a, &ip4, T0);
	assert_string_equal(next4(a, T0), "100.64.0.5");
	ipam_free(a);
}

/* No reserved address ever comes out, and none twice. */
static void
test_reserved(void **state)
{
	static const char *const reserved[] = { "100.100.100.0/24", "100.115.92.0/23" };
	static const char *const ranges[] = { "100.100.64.0/18", "100.115.80.0/20" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ranges); i++) {
		struct ipam *a = make(ranges[i], V6);
		struct net_prefix r;
		struct net_ip ip4, ip6, last = ip_of("100.64.0.0"), service;
		size_t n = ipam_free_count(a, 4), given = 0;

		service = ip_of("fd7a:115c:a1e0::53");
		assert_int_equal(net_prefix_parse(reserved[i], strlen(reserved[i]), &r), ERR_OK);
		while (ipam_reserve(a, T0, &ip4, &ip6, NULL) == ERR_OK) {
			assert_false(net_prefix_has(&r, &ip4));
			assert_false(net_ip_eq(&ip6, &service));
			assert_true(memcmp(ip4.b, last.b, 4) > 0);
			last = ip4;
			given++;
		}
		assert_int_equal(given, n);
		assert_int_equal(n, i == 0 ? 16384 - 2 - 256 : 4096 - 2 - 512);
		ipam_free(a);
	}
}

static void
test_rest(void **state)
{
	struct ipam *a = make("100.64.0.0/29", V6);	/* .1 to .6 */
	struct net_ip ip = ip_of("100.64.0.1"), ip6 = ip_of("fd7a:115c:a1e0::1");

	(void)state;
	assert_string_equal(next4(a, T0), "100.64.0.1");
	assert_string_equal(next4(a, T0), "100.64.0.2");
	ipam_release(a, &ip, T0);
	ipam_release(a, &ip6, T0);
	assert_string_equal(next4(a, T0), "100.64.0.3");	/* not at once */
	assert_string_equal(next4(a, T0 + IPAM_REST_S - 1), "100.64.0.4");
	assert_string_equal(next4(a, T0 + IPAM_REST_S), "100.64.0.1");
	ipam_free(a);
}

static void
test_exhausted(void **state)
{
	struct ipam *a = make("100.64.0.0/29", V6);
	struct net_ip ip4, ip6, two = ip_of("100.64.0.2"), five = ip_of("100.64.0.5");
	struct err_text why = { "" };

	(void)state;
	for (int i = 0; i < 6; i++)
		next4(a, T0);
	assert_int_equal(ipam_free_count(a, 4), 0);
	assert_int_equal(ipam_reserve(a, T0, &ip4, &ip6, &why), ERR_FULL);
	assert_non_null(strstr(why.s, "IPv4"));
	ipam_release(a, &five, T0 + 1);
	ipam_release(a, &two, T0 + 2);
	assert_string_equal(next4(a, T0 + 3), "100.64.0.5");	/* rested longest */
	assert_string_equal(next4(a, T0 + 3), "100.64.0.2");
	assert_int_equal(ipam_reserve(a, T0 + 3, &ip4, &ip6, &why), ERR_FULL);
	ipam_free(a);
}

/* Many releases and reservations: the queue of resting ones keeps its order, nothing is given
 * twice. */
static void
test_churn(void **state)
{
	enum { N = 500, ROUNDS = 20000 };
	struct ipam *a = make("100.64.0.0/20", V6);
	static struct net_ip v4[N], v6[N];
	static uint8_t used[4096];
	unsigned seed = 7;
	int64_t now = T0;

	(void)state;
	memset(used, 0, sizeof(used));
	memset(v4, 0, sizeof(v4));
	for (int i = 0; i < ROUNDS; i++) {
		unsigned k = (unsigned)rand_r(&seed) % N;

		now += rand_r(&seed) % 7200;
		if (v4[k].family != 0) {
			used[(v4[k].b[2] & 15) * 256 + v4[k].b[3]] = 0;
			ipam_release(a, &v4[k], now);
			ipam_release(a, &v6[k], now);
			v4[k].family = 0;
		} else {
			assert_int_equal(ipam_reserve(a, now, &v4[k], &v6[k], NULL), ERR_OK);
			assert_false(used[(v4[k].b[2] & 15) * 256 + v4[k].b[3]]++);
		}
	}
	ipam_free(a);
}

/* One wanted address: not twice, not outside, not reserved; a resting one may be had. */
static void
test_exact(void **state)
{
	static const struct { const char *ip; enum err want; } cases[] = {
		{ "100.64.0.9", ERR_OK }, { "100.64.0.9", ERR_EXISTS }, { "100.64.0.0", ERR_INVAL },
		{ "100.64.15.255", ERR_INVAL }, { "100.64.16.1", ERR_INVAL }, { "192.0.2.1", ERR_INVAL },
		{ "fd7a:115c:a1e0::9", ERR_OK }, { "fd7a:115c:a1e0::9", ERR_EXISTS },
		{ "fd7a:115c:a1e0::53", ERR_INVAL }, { "fd7a:115c:a1e0::", ERR_INVAL },
		{ "fd7a:115c:a1e0:b1a::9", ERR_INVAL }, { "2001:db8::1", ERR_INVAL },
	};
	struct ipam *a = make("100.64.0.0/20", V6);
	struct net_ip ip, out;
	struct ipam_hold hold;
	struct err_text why;
	size_t n_free = ipam_free_count(a, 4);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		ip = ip_of(cases[i].ip);
		if (ipam_reserve_exact(a, &ip, &hold, &why) != cases[i].want)
			fail_msg("%s", cases[i].ip);
		if (cases[i].want != ERR_OK)
			assert_non_null(strstr(why.s, cases[i].ip));
	}
	assert_int_equal(ipam_free_count(a, 4), n_free - 1);
	for (int i = 1; i <= 9; i++)
		assert_int_equal(ipam_reserve_one(a, 4, T0, &out, NULL), ERR_OK);
	assert_int_equal(out.b[3], 10);			/* 9 is left out */
	for (int i = 1; i <= 3; i++) {
		ip = ip_of("100.64.0.1");
		ip.b[3] = (uint8_t)i;
		ipam_release(a, &ip, T0 + i);
	}
	ip = ip_of("100.64.0.2");
	assert_int_equal(ipam_reserve_exact(a, &ip, &hold, NULL), ERR_OK);
	ipam_give_back(a, &hold);			/* rests on, in its place */
	assert_int_equal(ipam_reserve_exact(a, &ip, &hold, NULL), ERR_OK);
	assert_int_equal(hold.rested_unix_s, T0 + 2);
	assert_int_equal(ipam_reserve_exact(a, &ip, &hold, NULL), ERR_EXISTS);
	assert_string_equal(next4(a, T0 + IPAM_REST_S + 10), "100.64.0.1");	/* rested */
	assert_string_equal(next4(a, T0 + IPAM_REST_S + 10), "100.64.0.3");
	ipam_unreserve(a, &ip);
	assert_string_equal(next4(a, T0 + IPAM_REST_S + 10), "100.64.0.2");
	ipam_free(a);
	a = make("100.64.0.0/30", V6);
	assert_int_equal(ipam_reserve_one(a, 4, T0, &out, NULL), ERR_OK);
	assert_int_equal(ipam_reserve_one(a, 4, T0, &out, NULL), ERR_OK);
	assert_int_equal(ipam_reserve_one(a, 4, T0, &out, &why), ERR_FULL);
	assert_int_equal(ipam_reserve_one(a, 6, T0, &out, NULL), ERR_OK);
	ipam_free(a);
}

static const char *
within(struct ipam *a, const char *first, const char *second)
{
	static char text[NET_TEXT_MAX];
	struct net_prefix p[2];
	struct net_ip ip4, ip6;
	struct err_text why;
	unsigned n = second != NULL ? 2 : 1;

	assert_int_equal(net_prefix_parse(first, strlen(first), &p[0]), ERR_OK);
	if (n == 2)
		assert_int_equal(net_prefix_parse(second, strlen(second), &p[1]), ERR_OK);
	if (ipam_reserve_within(a, p, n, T0, &ip4, &ip6, &why) == ERR_OK)
		return net_ip_put(&ip4, text);
	assert_non_null(strstr(why.s, first));
	return "full";
}

static void
test_within(void **state)
{
	struct ipam *a = make("100.64.0.0/16", V6);
	size_t n4 = ipam_free_count(a, 4), n6 = ipam_free_count(a, 6);
	struct net_ip ip;

	(void)state;
	assert_string_equal(within(a, "100.64.9.0/30", NULL), "100.64.9.0");
	assert_string_equal(within(a, "100.64.9.0/30", "100.64.200.7/32"), "100.64.9.1");
	assert_string_equal(within(a, "100.64.9.2/31", NULL), "100.64.9.2");
	assert_string_equal(within(a, "100.64.9.0/30", "100.64.200.7/32"), "100.64.9.3");
	assert_string_equal(within(a, "100.64.9.0/30", "100.64.200.7/32"), "100.64.200.7");
	assert_string_equal(within(a, "100.64.9.0/30", "100.64.200.7/32"), "full");
	assert_string_equal(within(a, "100.65.0.0/24", NULL), "full");		/* not given out here */
	assert_string_equal(within(a, "100.64.0.0/10", NULL), "100.64.0.1");	/* wider than what is */
	assert_string_equal(within(a, "100.64.255.254/31", NULL), "100.64.255.254");
	assert_string_equal(within(a, "100.64.255.254/31", NULL), "full");	/* the last is reserved */
	assert_int_equal(ipam_free_count(a, 4), n4 - 7);
	assert_int_equal(ipam_free_count(a, 6), n6 - 7);
	for (int i = 1; i >= 0; i--) {
		ip = ip_of("100.64.9.0");
		ip.b[3] = (uint8_t)i;
		ipam_release(a, &ip, T0 - i - 1);
	}
	assert_string_equal(within(a, "100.64.9.0/30", NULL), "100.64.9.1");	/* rested longest */
	assert_string_equal(within(a, "100.64.9.0/30", NULL), "100.64.9.0");
	assert_string_equal(within(a, "100.64.9.0/30", NULL), "full");
	ipam_free(a);
}

static struct net_ip
next_of_kin(struct ipam *a, uint64_t kin)
{
	struct net_ip ip4, ip6;

	assert_int_equal(ipam_reserve_kin(a, kin, T0, &ip4, &ip6, NULL), ERR_OK);
	ipam_note_kin(a, kin, &ip4, &ip6);
	return ip4;
}

static uint32_t
number(const struct net_ip *ip)
{
	return (uint32_t)ip->b[0] << 24 | (uint32_t)ip->b[1] << 16 | (uint32_t)ip->b[2] << 8 | ip->b[3];
}

/* Nodes of two kins and others by turns: the first few one after another, then each kin in its blocks. */
static void
test_kin(void **state)
{
	struct ipam *a = make("100.64.0.0/16", V6), *again = make("100.64.0.0/16", V6);
	unsigned n_ranges[3] = { 0 }, n = 600;
	uint32_t last[3] = { 0 };

	(void)state;
	for (unsigned i = 0; i < n; i++) {
		struct net_ip ip = next_of_kin(a, i % 3), want6 = ip_of("fd7a:115c:a1e0::1");

		if (i < 3 * IPAM_KIN_FEW)
			assert_int_equal(number(&ip) & 0xffff, i + 1);
		n_ranges[i % 3] += number(&ip) != last[i % 3] + 1;
		last[i % 3] = number(&ip);
		ipam_use(again, &ip);
		ipam_note_kin(again, i % 3, &ip, &want6);
	}
	assert_true(n_ranges[1] <= IPAM_KIN_FEW + n / 3 / 64 + 1);
	assert_true(n_ranges[2] <= IPAM_KIN_FEW + n / 3 / 64 + 1);
	assert_string_equal(next4(a, T0), "100.64.0.233");	/* 2 * 16 and 200 are below */
	/* The same after a restart, which knows the addresses only. */
	struct net_ip ip = next_of_kin(again, 1);
	assert_int_equal(number(&ip), last[1] + 1);
	ipam_free(a);
	ipam_free(again);
}

/* However small the range: every address once, then it is full. */
static void
test_kin_full(void **state)
{
	static const char *const ranges[] = {
		"100.64.0.0/28", "100.64.0.0/26", "100.64.0.0/24", "100.64.0.0/22",
	};

	(void)state;
	for (size_t k = 0; k < COUNT_OF(ranges); k++) {
		struct ipam *a = make(ranges[k], V6);
		size_t n = ipam_free_count(a, 4);
		bool *seen = obj_alloc(1024);
		struct net_ip ip, ip6;

		for (size_t i = 0; i < n; i++) {
			ip = next_of_kin(a, i % 5);
			assert_false(seen[number(&ip) & 1023]);
			seen[number(&ip) & 1023] = true;
		}
		assert_int_equal(ipam_free_count(a, 4), 0);
		assert_int_equal(ipam_reserve_kin(a, 1, T0, &ip, &ip6, NULL), ERR_FULL);
		free(seen);
		ipam_free(a);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_sequence),
		cmocka_unit_test(test_reserved),
		cmocka_unit_test(test_rest),
		cmocka_unit_test(test_exhausted),
		cmocka_unit_test(test_churn),
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_within),
		cmocka_unit_test(test_kin),
		cmocka_unit_test(test_kin_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
