/* links: coord/policy* coord/hujson coord/ipset coord/tag coord/hostinfo coord/user */
/*
 * Property: what is explained is what is enforced. Random policies; for every pair of addresses,
 * the explanation agrees with the packet filter that the destination's node is sent, read as
 * clients read it.
 */
#include "tests/unit/policy_rig.h"

#include "base/json.h"
#include "coord/policy_explain.h"
#include "coord/policy_reach.h"

static uint64_t seed;

static unsigned
pick(unsigned n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(seed >> 33) % n;
}

#define PICK(array) (array)[pick(COUNT_OF(array))]

static const char *const srcs[] = { "alice@", "bob@", "tag:web", "tag:router", "tag:k3s",
    "autogroup:member",
	"autogroup:tagged", "*", "100.64.0.3", "100.64.0.0/29", "fd7a:115c:a1e0::4", "10.42.0.0/16",
	    "10.42.0.128/25",
	"10.20.5.0/24", "autogroup:danger-all", "192.168.1.1" };
static const char *const dsts[] = { "alice@", "tag:web", "tag:router", "tag:k3s",
    "autogroup:member", "*",
	"autogroup:tagged", "100.64.0.4", "100.64.0.0/29", "10.42.0.0/16", "10.42.1.0/24",
	    "10.42.1.200", "10.0.0.0/8",
	"10.20.0.0/16", "8.8.8.0/24", "autogroup:internet", "fd7a:115c:a1e0::/125" };
static const char *const ports[] = { "22", "80", "80,443", "20-25", "*", "1-65535" };
static const char *const caps[] = { "tcp:22", "udp:53", "443", "*", "icmp:*", "20-25", "sctp:*" };
static const char *const ends[] = { "100.64.0.1", "100.64.0.2", "100.64.0.3", "100.64.0.4",
    "100.64.0.6", "100.64.0.8",
	"100.64.0.10", "100.64.0.11", "fd7a:115c:a1e0::1", "fd7a:115c:a1e0::4", "fd7a:115c:a1e0::a",
	    "10.20.5.9",
	"10.20.6.9", "10.42.0.7", "10.42.0.200", "10.42.1.200", "8.8.8.8", "9.9.9.9",
	    "2001:db8::1" };
static const struct { int proto; uint16_t port; } packets[] = {
	{ 6, 22 }, { 6, 443 }, { 6, 80 }, { 17, 53 }, { 1, 0 }, { 132, 9 },
};

static void
put_random(struct buf *b)
{
	unsigned n = 1 + pick(4);

	buf_str(b, "{" RIG_TAGS "\"acls\":[");
	for (unsigned i = 0; i < n; i++) {
		buf_printf(b, "%s{\"action\":\"accept\",\"src\":[\"%s\",\"%s\"],\"dst\":[\"%s:%s\","
		    "\"%s:%s\"]}",
		    i > 0 ? "," : "", PICK(srcs), PICK(srcs), PICK(dsts), PICK(ports), PICK(dsts),
		    PICK(ports));
	}
	if (pick(3) == 0)
		buf_printf(b, ",{\"action\":\"accept\",\"src\":[\"autogroup:member\"],"
		    "\"dst\":[\"autogroup:self:%s\"]}",
		    PICK(ports));
	n = pick(3);
	buf_str(b, "],\"grants\":[");
	for (unsigned i = 0; i < n; i++) {
		buf_printf(b, "%s{\"src\":[\"%s\"],\"dst\":[\"%s\"],\"ip\":[\"%s\",\"%s\"]",
		    i > 0 ? "," : "",
		    PICK(srcs), PICK(dsts), PICK(caps), PICK(caps));
		if (pick(3) == 0)
			buf_printf(b, ",\"via\":[\"tag:%s\"]", pick(2) == 0 ? "spare" : "exit");
		buf_byte(b, '}');
	}
	buf_str(b, "]}");
}

/* Is ip in "*", an address, a prefix or "lo-hi"? */
static bool
is_in(const char *text, const struct net_ip *ip)
{
	const char *dash = strchr(text, '-');
	struct ipset set = { 0 };
	struct net_prefix p;
	bool is;

	if (strcmp(text, "*") == 0)
		return true;
	if (dash != NULL) {
		struct net_ip lo, hi = rig_ip(dash + 1);

		assert_int_equal(net_ip_parse(text, (size_t)(dash - text), &lo), ERR_OK);
		ipset_add_range(&set, &lo, &hi);
	} else {
		assert_int_equal(net_prefix_parse(text, strlen(text), &p), ERR_OK);
		ipset_add_prefix(&set, &p);
	}
	is = ipset_has(&set, ip);
	ipset_fini(&set);
	return is;
}

static bool
has_proto(const json_t *list, int proto)
{
	if (list == NULL)
		return proto == 6 || proto == 17 || proto == 1 || proto == 58;
	for (size_t i = 0; i < json_array_size(list); i++) {
		if (json_integer_value(json_array_get(list, i)) == proto)
			return true;
	}
	return false;
}

/* Lets a client with this filter the packet in? (wgengine/filter: ICMP by addresses alone.) */
static bool
lets_in(const json_t *filter, const struct net_ip *src, const struct net_ip *dst, int proto,
    uint16_t port)
{
	for (size_t i = 0; i < json_array_size(filter); i++) {
		const json_t *rule = json_array_get(filter, i), *list = json_get(rule, "SrcIPs");
		const json_t *to = json_get(rule, "DstPorts");
		bool is_src = false;

		for (size_t k = 0; k < json_array_size(list) && !is_src; k++)
			is_src = is_in(json_string_value(json_array_get(list, k)), src);
		if (!is_src || (proto != 1 && !has_proto(json_get(rule, "IPProto"), proto)))
			continue;
		for (size_t k = 0; k < json_array_size(to); k++) {
			const json_t *d = json_array_get(to, k), *range = json_get(d, "Ports");

			if (is_in(json_get_str(d, "IP", ""), dst) && (proto == 1 ||
			    (json_get_int(range, "First", 0) <= port && port <= json_get_int(range,
			    "Last", 0))))
				return true;
		}
	}
	return false;
}

static json_t *
filter_of(struct policy_world *w, int64_t node_id)
{
	struct err_text why;
	struct buf b = { 0 };
	json_t *root = NULL;

	policy_filter_put(&b, policy_world_class_of(w, node_id)->bundle->filter,
	    policy_world_node(w, node_id));
	assert_int_equal(json_parse(b.p, b.len, &root, &why), ERR_OK);
	buf_fini(&b);
	return root;
}

static unsigned
check_pair(struct policy_world *w, const char *text, const char *src, const char *dst)
{
	const struct policy_explain_facts facts = { 0 };
	unsigned n_allowed = 0;

	for (size_t i = 0; i < COUNT_OF(packets); i++) {
		struct policy_explain_ask ask = { .src_ip = rig_ip(src), .dst_ip = rig_ip(dst),
		    .proto = packets[i].proto, .port = packets[i].port };
		struct policy_explain *e = NULL;
		struct err_text why;

		assert_int_equal(policy_explain_new(w, &ask, &facts, &e, &why), ERR_OK);
		n_allowed += e->is_allowed;
		if (e->owner_id == 0) {
			assert_false(e->is_allowed);
		} else if (ask.src_ip.family == ask.dst_ip.family) {
			json_t *filter = filter_of(w, e->owner_id);

			if (lets_in(filter, &ask.src_ip, &ask.dst_ip, ask.proto,
			    ask.port) != e->is_allowed)
				fail_msg("%s -> %s, %d:%u: explained as %s by %s", src, dst,
				    ask.proto, ask.port,
				    e->is_allowed ? "allowed" : "denied", text);
			json_decref(filter);
		}
		policy_explain_free(e);
	}
	return n_allowed;
}

static void
test_explained_is_enforced(void **state)
{
	unsigned n_allowed = 0, n_denied = 0;

	(void)state;
	for (seed = 1; seed < 60; seed++) {
		uint64_t number = seed;
		struct buf text = { 0 };
		struct rig r;

		rig_init(&r);
		put_random(&text);
		struct policy_world *w = rig_world(&r, buf_cstr(&text));

		for (size_t i = 0; i < COUNT_OF(ends); i++) {
			for (size_t k = 0; k < COUNT_OF(ends); k++) {
				unsigned n = i == k ? 0 : check_pair(w, buf_cstr(&text), ends[i],
				    ends[k]);

				n_allowed += n;
				n_denied += (unsigned)COUNT_OF(packets) - n;
			}
		}
		policy_world_free(w);
		buf_fini(&text);
		rig_fini(&r);
		seed = number;
	}
	/* Neither is rare. */
	assert_true(n_allowed > 5000 && n_denied > 5000);
}

static void
add(struct policy_reach *r, int proto, uint16_t first, uint16_t last)
{
	struct policy_ports range = { first, last };
	struct policy_cap cap = { .proto = proto, .ports = &range, .n_ports = 1 };
	struct policy_rule rule = { .is_grant = true, .ip = &cap, .n_ip = 1 };

	policy_reach_add(r, &rule, 0);
}

static void
test_sets(void **state)
{
	static const struct { struct { int proto; uint16_t first, last; } a[4],
	    b[4]; const char *want_a, *want_left; } cases[] = {
		{ { { -1, 22, 22 } }, { { 0 } }, "22", "22" },
		{ { { -1, 0, 65535 } }, { { -1, 22, 22 } }, "*",
		  "tcp:0-21, tcp:23-65535, udp:0-21, udp:23-65535" },
		{ { { 6, 1, 10 }, { 6, 11, 20 }, { 6, 5, 12 } }, { { 6, 20, 20 } }, "tcp:1-20",
		  "tcp:1-19" },
		{ { { 6, 65535, 65535 }, { 6, 1, 1 } }, { { 6, 0, 65535 } }, "tcp:1, tcp:65535",
		  "nothing" },
		{ { { 47, 0, 65535 }, { 17, 53, 53 } }, { { 6, 53, 53 } }, "udp:53, gre:*",
		  "udp:53, gre:*" },
		{ { { 6, 10, 30 } }, { { 6, 1, 11 }, { 6, 20, 21 }, { 6, 30, 40 } }, "tcp:10-30",
		  "tcp:12-19, tcp:22-29" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct policy_reach a = { 0 }, b = { 0 }, left = { 0 };
		struct buf text = { 0 };

		for (size_t k = 0; k < 4; k++) {
			if (cases[i].a[k].proto != 0)
				add(&a, cases[i].a[k].proto, cases[i].a[k].first,
				    cases[i].a[k].last);
			if (cases[i].b[k].proto != 0)
				add(&b, cases[i].b[k].proto, cases[i].b[k].first,
				    cases[i].b[k].last);
		}
		policy_reach_sort(&a);
		policy_reach_sort(&b);
		policy_reach_put(&text, &a);
		assert_string_equal(buf_cstr(&text), cases[i].want_a);
		policy_reach_minus(&a, &b, &left);
		policy_reach_sort(&left);
		buf_clear(&text);
		policy_reach_put(&text, &left);
		assert_string_equal(buf_cstr(&text), cases[i].want_left);
		policy_reach_fini(&a);
		policy_reach_fini(&b);
		policy_reach_fini(&left);
		buf_fini(&text);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_explained_is_enforced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
