/* links: coord/ipset */
/* Sets of addresses: tables, and random operations against a bitmap. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "coord/ipset.h"

static struct net_ip
ip_of(const char *text, size_t n)
{
	struct net_ip ip;

	assert_int_equal(net_ip_parse(text, n, &ip), ERR_OK);
	return ip;
}

static struct net_prefix
prefix_of(const char *text)
{
	struct net_prefix p;

	assert_int_equal(net_prefix_parse(text, strlen(text), &p), ERR_OK);
	return p;
}

/* Words "10.0.0.0/8", "1.2.3.4-1.2.3.9"; those after "!" are taken away. */
static void
fill(struct ipset *s, const char *text)
{
	bool is_away = false;

	while (*text != '\0') {
		size_t n = strcspn(text, " ");
		char word[2 * NET_TEXT_MAX];

		memcpy(word, text, n);
		word[n] = '\0';
		text += n + (text[n] == ' ');
		char *dash = strchr(word, '-');
		if (strcmp(word, "!") == 0) {
			is_away = true;
		} else if (dash != NULL) {
			struct net_ip lo = ip_of(word, (size_t)(dash - word));
			struct net_ip hi = ip_of(dash + 1, strlen(dash + 1));

			(is_away ? ipset_remove_range : ipset_add_range)(s, &lo, &hi);
		} else {
			struct net_prefix p = prefix_of(word);
			struct ipset one = { 0 };

			ipset_add_prefix(&one, &p);
			(is_away ? ipset_remove_set : ipset_add_set)(s, &one);
			ipset_fini(&one);
		}
	}
}

static void
assert_set(const struct ipset *s, const char *want, const char *what)
{
	struct buf b = { 0 };

	ipset_put(&b, s);
	if (strcmp(buf_cstr(&b), want) != 0)
		fail_msg("%s: %s, wanted %s", what, buf_cstr(&b), want);
	buf_fini(&b);
}

static void
test_put(void **state)
{
	static const struct { const char *in, *want; } cases[] = {
		{ "", "" },
		{ "1.2.3.4", "\"1.2.3.4\"" },
		{ "10.0.0.0/8", "\"10.0.0.0/8\"" },
		{ "0.0.0.0/0", "\"0.0.0.0/0\"" },
		{ "::/0 0.0.0.0/0", "\"0.0.0.0/0\",\"::/0\"" },
		{ "1.2.3.4 1.2.3.5", "\"1.2.3.4/31\"" },
		{ "1.2.3.5 1.2.3.4", "\"1.2.3.4/31\"" },
		{ "1.2.3.5 1.2.3.6", "\"1.2.3.5-1.2.3.6\"" },
		{ "1.2.3.7 1.2.3.5", "\"1.2.3.5\",\"1.2.3.7\"" },
		{ "1.2.3.7 1.2.3.5 1.2.3.6", "\"1.2.3.5-1.2.3.7\"" },
		{ "1.0.0.0/24 1.0.2.0/24 1.0.4.0/24 1.0.1.0-1.0.3.255", "\"1.0.0.0-1.0.4.255\"" },
		{ "10.1.0.0/16 10.3.0.0/16 10.0.0.0/8", "\"10.0.0.0/8\"" },
		{ "10.0.0.0/8 10.3.0.0/16", "\"10.0.0.0/8\"" },
		{ "255.255.255.255 ::", "\"255.255.255.255\",\"::\"" },
		{ ":: 255.255.255.255 0.0.0.0", "\"0.0.0.0\",\"255.255.255.255\",\"::\"" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 1.1.1.1 ffff::",
		  "\"1.1.1.1\",\"ffff::\",\"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\"" },
		{ "fd7a:115c:a1e0::/48 100.64.0.0/10", "\"100.64.0.0/10\",\"fd7a:115c:a1e0::/48\"" },
		{ "100.64.0.0/10 ! 100.115.92.0/23",
		  "\"100.64.0.0-100.115.91.255\",\"100.115.94.0-100.127.255.255\"" },
		{ "10.0.0.0/8 ! 10.0.0.0/9", "\"10.128.0.0/9\"" },
		{ "10.0.0.0/8 ! 10.128.0.0/9", "\"10.0.0.0/9\"" },
		{ "10.0.0.0/8 ! 10.0.0.0/8", "" },
		{ "10.0.0.0/8 ! 0.0.0.0/0", "" },
		{ "10.0.0.0/8 ! ::/0", "\"10.0.0.0/8\"" },
		{ "1.0.0.0 1.0.0.2 1.0.0.4 1.0.0.6 ! 1.0.0.1-1.0.0.5", "\"1.0.0.0\",\"1.0.0.6\"" },
		{ "0.0.0.0/0 ! 0.0.0.0 255.255.255.255", "\"0.0.0.1-255.255.255.254\"" },
		{ "1.2.3.9-1.2.3.4", "" },
		{ "1.2.3.4-::5", "" },
		{ "1.1.1.1 ! 1.2.3.9-1.2.3.4", "\"1.1.1.1\"" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ipset s = { 0 };

		fill(&s, cases[i].in);
		assert_set(&s, cases[i].want, cases[i].in);
		ipset_fini(&s);
	}
}

static void
test_nothing(void **state)
{
	struct ipset s = { 0 };

	(void)state;
	ipset_add_ip(&s, &(struct net_ip){ 0 });
	ipset_add_prefix(&s, &(struct net_prefix){ 0 });
	assert_int_equal(s.n, 0);
	assert_false(ipset_has(&s, &(struct net_ip){ 4, { 1 } }));
	assert_false(ipset_has(&s, &(struct net_ip){ 0 }));
	fill(&s, "0.0.0.0/0 ::/0");
	assert_false(ipset_has(&s, &(struct net_ip){ 0 }));
	assert_false(ipset_overlaps_prefix(&s, &(struct net_prefix){ 0 }));
	assert_false(ipset_covers_prefix(&s, &(struct net_prefix){ 0 }));
	ipset_add_set(&s, &s);
	assert_set(&s, "\"0.0.0.0/0\",\"::/0\"", "itself");
	ipset_remove_set(&s, &s);
	assert_int_equal(s.n, 0);
	ipset_fini(&s);
}

static void
test_relations(void **state)
{
	static const struct {
		const char *a, *b;
		bool overlaps, covers, is_eq;
	} cases[] = {
		{ "", "", false, true, true },
		{ "10.0.0.0/8", "", false, true, false },
		{ "", "10.0.0.0/8", false, false, false },
		{ "10.0.0.0/8", "10.1.2.3", true, true, false },
		{ "10.1.2.3", "10.0.0.0/8", true, false, false },
		{ "10.0.0.0/8", "10.0.0.0/9 10.128.0.0/9", true, true, true },
		{ "10.0.0.0/8", "11.0.0.0/8", false, false, false },
		{ "10.0.0.0/8 12.0.0.0/8", "11.0.0.0/8", false, false, false },
		{ "10.0.0.0/8 12.0.0.0/8", "10.0.0.0-12.0.0.5", true, false, false },
		{ "10.0.0.0/8 12.0.0.0/8", "12.0.0.0 10.0.0.0", true, true, false },
		{ "::/0", "10.0.0.0/8", false, false, false },
		{ "1.1.1.1", "1.1.1.2", false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ipset a = { 0 }, b = { 0 };

		fill(&a, cases[i].a);
		fill(&b, cases[i].b);
		if (ipset_overlaps(&a, &b) != cases[i].overlaps ||
		    ipset_overlaps(&b, &a) != cases[i].overlaps ||
		    ipset_covers(&a, &b) != cases[i].covers || ipset_eq(&a, &b) != cases[i].is_eq)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
		ipset_fini(&a);
		ipset_fini(&b);
	}
}

static void
test_prefixes(void **state)
{
	static const struct { const char *prefix; bool overlaps, covers; } cases[] = {
		{ "10.0.0.0/24", true, true }, { "10.0.0.0/23", true, false },
		{ "10.0.0.255", true, true }, { "10.0.1.0", false, false },
		{ "0.0.0.0/0", true, false }, { "::/0", true, false }, { "fd00::/64", true, true },
		{ "fd00::5/128", true, true }, { "fd01::/64", false, false },
	};
	struct ipset s = { 0 };

	(void)state;
	fill(&s, "10.0.0.0/24 fd00::/48");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct net_prefix p = prefix_of(cases[i].prefix);

		if (ipset_overlaps_prefix(&s, &p) != cases[i].overlaps ||
		    ipset_covers_prefix(&s, &p) != cases[i].covers)
			fail_msg("%s", cases[i].prefix);
	}
	ipset_fini(&s);
}

/* The last 128 addresses of IPv4 and the first 128 of IPv6: no range may join the two. */
static struct net_ip
nth(unsigned i)
{
	return i < 128 ? (struct net_ip){ 4, { 255, 255, 255, (uint8_t)(i + 128) } } :
	    (struct net_ip){ 6, { [15] = (uint8_t)(i - 128) } };
}

static void
random_set(struct ipset *s, bool bits[256], uint32_t *seed)
{
	for (unsigned k = 0; k < 6; k++) {
		*seed = *seed * 1664525 + 1013904223;
		unsigned lo = *seed >> 24, hi = lo + ((*seed >> 16) & 15);

		if (hi > 255 || (lo < 128) != (hi < 128))
			hi = lo;
		struct net_ip a = nth(lo), b = nth(hi);
		bool is_away = (*seed >> 12 & 3) == 0;
		(is_away ? ipset_remove_range : ipset_add_range)(s, &a, &b);
		for (unsigned i = lo; i <= hi; i++)
			bits[i] = !is_away;
	}
}

static void
assert_bits(const struct ipset *s, const bool bits[256], uint32_t seed)
{
	unsigned n_ranges = 0;

	for (unsigned i = 0; i < 256; i++) {
		struct net_ip ip = nth(i);

		if (ipset_has(s, &ip) != bits[i])
			fail_msg("address %u, seed %u", i, seed);
		n_ranges += bits[i] && (i == 0 || i == 128 || !bits[i - 1]);
	}
	assert_int_equal(s->n, n_ranges);
}

static void
test_random(void **state)
{
	uint32_t seed = 1;

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		struct ipset a = { 0 }, b = { 0 };
		bool in_a[256] = { 0 }, in_b[256] = { 0 }, overlaps = false, covers = true, is_eq = true;

		random_set(&a, in_a, &seed);
		random_set(&b, in_b, &seed);
		assert_bits(&a, in_a, seed);
		for (unsigned i = 0; i < 256; i++) {
			overlaps |= in_a[i] && in_b[i];
			covers &= in_a[i] || !in_b[i];
			is_eq &= in_a[i] == in_b[i];
			in_a[i] = round % 2 == 0 ? in_a[i] || in_b[i] : in_a[i] && !in_b[i];
		}
		assert_int_equal(ipset_overlaps(&a, &b), overlaps);
		assert_int_equal(ipset_covers(&a, &b), covers);
		assert_int_equal(ipset_eq(&a, &b), is_eq);
		(round % 2 == 0 ? ipset_add_set : ipset_remove_set)(&a, &b);
		assert_bits(&a, in_a, seed);
		ipset_fini(&a);
		ipset_fini(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_relations),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
