/* links: coord/cluster coord/cluster_overlap coord/ipset coord/tag */
/* Clusters: what a valid record is, which ranges a new one gets, and which claims overlap:
 * against a check of all pairs, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/cluster_overlap.h"

static struct net_prefix
prefix(const char *text)
{
	struct net_prefix p = { .bits = 0 };

	if (text != NULL && text[0] != '\0')
		assert_int_equal(net_prefix_parse(text, strlen(text), &p), ERR_OK);
	return p;
}

static void
test_names(void **state)
{
	static const char *const good[] = { "a", "edge-a", "7",
	    "a23456789-123456789-123456789-123456789-123456789-12345" };
	static const char *const bad[] = { "", "-a", "a-", "A", "a.b", "a b", "ä",
		"a23456789-123456789-123456789-123456789-123456789-123456" };
	struct err_text why;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(good); i++)
		assert_int_equal(cluster_name_check(good[i], &why), ERR_OK);
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(cluster_name_check(bad[i], &why), ERR_INVAL);
}

static void
test_checks(void **state)
{
	static const struct {
		const char *pod4, *pod6, *service4, *service6, *lan, *why;
	} cases[] = {
		{ "10.42.0.0/16", "", "10.43.0.0/16", "", "", NULL },
		{ "10.42.0.0/16", "2001:cafe:42::/56", "10.43.0.0/16", "2001:cafe:43::/112",
		  "192.168.1.0/24", NULL },
		{ "", "", "10.43.0.0/16", "", "", "a cluster has IPv4 ranges" },
		{ "10.42.0.0/16", "", "", "", "", "a cluster has IPv4 ranges" },
		{ "10.42.0.0/16", "fd00:42::/56", "10.43.0.0/16", "", "", "dual-stack" },
		{ "10.42.0.0/25", "", "10.43.0.0/16", "", "",
		  "10.42.0.0/25 cannot be the pod range: K3s takes IPv4 "
		  "prefixes from /8 to /24" },
		{ "10.0.0.0/7", "", "192.168.0.0/16", "", "", "cannot be the pod range" },
		{ "fd00:42::/56", "", "10.43.0.0/16", "", "", "cannot be the pod range" },
		{ "10.42.0.0/16", "fd00:42::/47", "10.43.0.0/16", "fd01::/112", "", "from /48 to /64" },
		{ "10.42.0.0/16", "fd00:42::/56", "10.43.0.0/16", "fd01::/64", "", "from /108 to /124" },
		{ "127.0.0.0/8", "", "10.43.0.0/16", "", "", "hosts use it for themselves" },
		{ "0.0.0.0/8", "", "10.43.0.0/16", "", "", "hosts use it for themselves" },
		{ "169.254.0.0/16", "", "10.43.0.0/16", "", "", "hosts use it for themselves" },
		{ "10.42.0.0/16", "", "239.1.0.0/16", "", "", "hosts use it for themselves" },
		{ "10.42.0.0/16", "fe80::/48", "10.43.0.0/16", "fd01::/112", "",
		  "hosts use it for themselves" },
		{ "10.42.0.0/15", "", "10.43.0.0/16", "", "",
		  "the service range 10.43.0.0/16 overlaps the cluster's pod "
		  "range 10.42.0.0/15" },
		{ "10.42.0.0/16", "", "10.43.0.0/16", "", "10.0.0.0/8",
		  "overlaps the cluster's own network 10.0.0.0/8" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct cluster c = { .name = "edge", .tag = "tag:k3s-edge", .range = { prefix(cases[i].pod4),
			prefix(cases[i].pod6), prefix(cases[i].service4), prefix(cases[i].service6) },
			.lan = { prefix(cases[i].lan) }, .n_lan = cases[i].lan[0] != '\0' };
		struct err_text why = { "" };
		enum err rc = cluster_check(&c, &why);

		assert_int_equal(rc, cases[i].why == NULL ? ERR_OK : ERR_INVAL);
		if (cases[i].why != NULL && strstr(why.s, cases[i].why) == NULL)
			fail_msg("%zu: %s", i, why.s);
	}
}

static void
take(struct ipset *taken, const char *text)
{
	struct net_prefix p = prefix(text);

	ipset_add_prefix(taken, &p);
}

static const char *
picked(enum cluster_range r, const struct ipset *taken, const char *beside)
{
	static char text[NET_TEXT_MAX];
	struct net_prefix p, b = prefix(beside);
	struct err_text why;

	if (cluster_pick4(r, taken, beside != NULL ? &b : NULL, &p, &why) != ERR_OK)
		return "none";
	return net_prefix_put(&p, text);
}

static void
test_picked(void **state)
{
	struct ipset taken = { .n = 0 };

	(void)state;
	assert_string_equal(picked(CLUSTER_POD4, &taken, NULL), "10.42.0.0/16");
	assert_string_equal(picked(CLUSTER_SERVICE4, &taken, "10.42.0.0/16"), "10.43.0.0/16");
	take(&taken, "10.42.0.0/16");
	take(&taken, "10.43.0.0/16");
	assert_string_equal(picked(CLUSTER_POD4, &taken, NULL), "10.44.0.0/16");
	assert_string_equal(picked(CLUSTER_SERVICE4, &taken, "10.44.0.0/16"), "10.45.0.0/16");
	take(&taken, "10.44.7.0/24");	/* somebody's LAN */
	take(&taken, "10.47.255.255/32");
	assert_string_equal(picked(CLUSTER_POD4, &taken, NULL), "10.46.0.0/16");
	assert_string_equal(picked(CLUSTER_SERVICE4, &taken, "10.46.0.0/16"), "10.45.0.0/16");
	assert_string_equal(picked(CLUSTER_SERVICE4, &taken, "172.16.0.0/16"), "10.45.0.0/16");
	take(&taken, "10.40.0.0/13");
	take(&taken, "10.48.0.0/12");
	take(&taken, "10.64.0.0/10");
	take(&taken, "10.128.0.0/9");
	assert_string_equal(picked(CLUSTER_POD4, &taken, NULL), "10.16.0.0/16");
	assert_string_equal(picked(CLUSTER_SERVICE4, &taken, "10.255.0.0/16"), "10.17.0.0/16");
	take(&taken, "10.0.0.0/8");
	assert_string_equal(picked(CLUSTER_POD4, &taken, NULL), "none");
	ipset_fini(&taken);
}

static void
test_picked6(void **state)
{
	static const uint8_t random[5] = { 0x12, 0x34, 0x56, 0x78, 0x9a };
	struct net_prefix pod, service, ula = prefix("fd00::/8"), tailnet = prefix("fd7a:115c:a1e0::/48");
	char text[NET_TEXT_MAX];

	(void)state;
	cluster_pick6(CLUSTER_POD6, random, &pod);
	cluster_pick6(CLUSTER_SERVICE6, random, &service);
	assert_string_equal(net_prefix_put(&pod, text), "fd12:3456:789a:4200::/56");
	assert_string_equal(net_prefix_put(&service, text), "fd12:3456:789a:4300::/112");
	assert_true(cluster_prefix_covers(&ula, &pod));
	assert_false(cluster_prefix_overlaps(&tailnet, &pod));
	assert_false(cluster_prefix_overlaps(&pod, &service));
}

static const struct { const char *outer, *inner; bool covers, overlaps; } pairs[] = {
	{ "10.0.0.0/8", "10.42.0.0/16", true, true }, { "10.42.0.0/16", "10.0.0.0/8", false, true },
	{ "10.42.0.0/16", "10.42.0.0/16", true, true }, { "10.42.0.0/16", "10.43.0.0/16", false, false },
	{ "10.42.0.0/23", "10.42.1.0/24", true, true }, { "10.42.0.0/24", "10.42.1.0/24", false, false },
	{ "::/0", "10.42.0.0/16", false, false }, { "fd00::/8", "fd12::/56", true, true },
};

static void
test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(pairs); i++) {
		struct net_prefix a = prefix(pairs[i].outer), b = prefix(pairs[i].inner), none = { .bits = 0 };

		assert_int_equal(cluster_prefix_covers(&a, &b), pairs[i].covers);
		assert_int_equal(cluster_prefix_overlaps(&a, &b), pairs[i].overlaps);
		assert_false(cluster_prefix_covers(&none, &a));
		assert_false(cluster_prefix_overlaps(&a, &none));
	}
}

/* --- overlaps --------------------------------------------------------------------------------- */

struct claim_text {
	const char *prefix, *cluster;
	int64_t node_id;		/* 0: recorded; negative: offline */
	bool is_pods;
};

static void
claims_of(const struct claim_text *t, size_t n, struct cluster_claim *out)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (struct cluster_claim){ .prefix = prefix(t[i].prefix), .cluster = t[i].cluster,
			.kind = t[i].node_id != 0 ? CLUSTER_CLAIM_ROUTE : CLUSTER_CLAIM_POD,
			.node_id = llabs(t[i].node_id), .is_online = t[i].node_id > 0, .is_pods =
			    t[i].is_pods };
}

/* "a b: 10.42.7.0/24 (1 2); …" */
static void
say(const struct cluster_conflicts *c, struct buf *out)
{
	char text[NET_TEXT_MAX];

	buf_clear(out);
	for (unsigned i = 0; i < c->n; i++) {
		buf_printf(out, "%s%s %s:", i > 0 ? "; " : "", c->v[i].a, c->v[i].b);
		for (unsigned k = 0; k < c->v[i].n_prefixes; k++)
			buf_printf(out, " %s", net_prefix_put(&c->v[i].prefixes[k], text));
		buf_str(out, " (");
		for (unsigned k = 0; k < c->v[i].n_nodes; k++)
			buf_printf(out, "%s%lld", k > 0 ? " " : "", (long long)c->v[i].nodes[k]);
		buf_str(out, ")");
	}
}

#define REC(p, c)	{ p, c, 0, false }
#define ROUTE(p, c, n)	{ p, c, n, false }
#define PODS(p, c, n)	{ p, c, n, true }

static const char a[] = "a", b[] = "b", c3[] = "c";

static void
test_overlaps(void **state)
{
	static const struct { struct claim_text claims[6]; size_t n; const char *want; } cases[] = {
		{ .n = 0, .want = "" },
		{ { REC("10.42.0.0/16", a), REC("10.44.0.0/16", b) }, 2, "" },
		{ { REC("10.42.0.0/16", a), REC("10.42.0.0/16", b) }, 2, "a b: 10.42.0.0/16 ()" },
		{ { REC("10.42.0.0/16", b), REC("10.0.0.0/8", a) }, 2, "a b: 10.42.0.0/16 ()" },
		/* own routes are no conflict, but for pods that two nodes have */
		{ { REC("10.42.0.0/16", a), PODS("10.42.1.0/24", a, 1), ROUTE("192.168.1.0/24", a, 1),
		    ROUTE("192.168.1.0/24", a, 2) }, 4, "" },
		{ { PODS("10.42.1.0/24", a, 1), PODS("10.42.1.0/24", a, 2) }, 2, "a a: 10.42.1.0/24 (1 2)" },
		{ { PODS("10.42.1.0/24", a, 1), PODS("10.42.1.0/24", a, -2) }, 2, "" },
		/* a route into the range of another cluster */
		{ { REC("10.42.0.0/16", a), REC("10.44.0.0/16", b), ROUTE("10.42.7.0/24", b, 3) }, 3,
		  "a b: 10.42.7.0/24 (3)" },
		{ { REC("10.42.0.0/16", a), PODS("10.42.7.0/24", a, 1), ROUTE("10.42.7.0/24", b, -3) }, 3,
		  "a b: 10.42.7.0/24 (3 1)" },
		/* routes around routes */
		{ { ROUTE("10.42.7.0/24", a, 1), ROUTE("10.0.0.0/8", b, 2), ROUTE("10.42.7.128/25", c3, 3) }, 3,
		  "a b: 10.42.7.0/24 (2 1); a c: 10.42.7.128/25 (1 3); b c: 10.42.7.128/25 (2 3)" },
		/* families are apart */
		{ { ROUTE("::/0", a, 1), REC("10.42.0.0/16", b) }, 2, "" },
		{ { REC("fd00:42::/56", a), ROUTE("fd00:42:0:7::/64", b, 5) }, 2, "a b: fd00:42:0:7::/64 (5)" },
	};
	struct buf said = { .len = 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct cluster_claim claims[6];
		struct cluster_conflicts found = { .n = 0 };

		claims_of(cases[i].claims, cases[i].n, claims);
		cluster_overlap_find(claims, cases[i].n, &found);
		say(&found, &said);
		assert_string_equal(buf_cstr(&said), cases[i].want);
		cluster_conflicts_fini(&found);
	}
	buf_fini(&said);
}

static void
test_bounds(void **state)
{
	enum { N = 2000 };
	static char names[N][16];
	struct cluster_claim *claims = obj_alloc(N * sizeof(*claims));
	struct cluster_conflicts found = { .n = 0 };

	(void)state;
	for (int i = 0; i < N; i++) {		/* each claims the same */
		snprintf(names[i], sizeof(names[i]), "c%d", i);
		claims[i] = (struct cluster_claim){ .prefix = prefix("10.42.0.0/16"), .cluster = names[i] };
	}
	cluster_overlap_find(claims, N, &found);
	assert_int_equal(found.n, CLUSTER_CONFLICTS_MAX);
	assert_true(found.is_cut);
	cluster_conflicts_fini(&found);
	for (int i = 0; i < N; i++)		/* two, by many nodes */
		claims[i] = (struct cluster_claim){ .prefix = { { 4, { 10, 42, (uint8_t)(i / 2), 0 } }, 24 },
			.kind = CLUSTER_CLAIM_ROUTE, .cluster = i % 2 == 0 ? a : b, .node_id = i + 1,
			    .is_online = true };
	cluster_overlap_find(claims, N, &found);
	assert_int_equal(found.n, 1);
	assert_false(found.is_cut);
	assert_int_equal(found.v[0].n_prefixes, CLUSTER_CONFLICT_PREFIXES);
	assert_int_equal(found.v[0].n_prefixes_left_off, 256 - CLUSTER_CONFLICT_PREFIXES);
	assert_int_equal(found.v[0].n_nodes, CLUSTER_CONFLICT_NODES);
	cluster_conflicts_fini(&found);
	free(claims);
}

/* Every pair of clusters with overlapping claims is found, and no other. */
static void
test_property(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d", "e" };
	uint32_t seed = 1;

	(void)state;
	for (int round = 0; round < 2000; round++) {
		struct cluster_claim claims[24];
		struct cluster_conflicts found = { .n = 0 };
		bool want[5][5] = { { false } };
		unsigned n_want = 0;

		for (size_t i = 0; i < COUNT_OF(claims); i++) {
			seed = seed * 1664525 + 1013904223;
			unsigned bits = 12 + (seed >> 28), r = seed >> 8;
			uint32_t ip = (10u << 24 | (r & 0xff) << 16) & (0xffffffffu << (32 - bits));

			claims[i] = (struct cluster_claim){ .cluster = names[(seed >> 16) % 5],
			    .node_id = (int64_t)i + 1,
				.kind = CLUSTER_CLAIM_ROUTE, .prefix = { { 4, { (uint8_t)(ip >> 24),
				    (uint8_t)(ip >> 16),
				(uint8_t)(ip >> 8), (uint8_t)ip } }, (uint8_t)bits } };
		}
		for (size_t i = 0; i < COUNT_OF(claims); i++)
			for (size_t k = 0; k < COUNT_OF(claims); k++)
				if (claims[i].cluster[0] < claims[k].cluster[0] &&
				    cluster_prefix_overlaps(&claims[i].prefix, &claims[k].prefix))
					want[claims[i].cluster[0] - 'a'][claims[k].cluster[0] - 'a'] = true;
		cluster_overlap_find(claims, COUNT_OF(claims), &found);
		for (unsigned i = 0; i < found.n; i++)
			assert_true(want[found.v[i].a[0] - 'a'][found.v[i].b[0] - 'a']);
		for (int i = 0; i < 25; i++)
			n_want += want[i / 5][i % 5];
		assert_int_equal(found.n, n_want);
		cluster_conflicts_fini(&found);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_checks),
		cmocka_unit_test(test_picked),
		cmocka_unit_test(test_picked6),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_overlaps),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_property),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
