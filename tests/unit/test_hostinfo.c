/* links: coord/hostinfo coord/tag */
/* Hostinfo: what is used, what is kept, what peers are shown, and that no client can make a text
 * that its peers cannot read. */
#include "coord/hostinfo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"

#define ROUTE "\"10.0.0.0/8\""

static struct hostinfo *
parse(const char *text)
{
	struct hostinfo *h = NULL;
	struct err_text why = { "" };

	if (hostinfo_parse(text, strlen(text), &h, &why) != ERR_OK)
		fail_msg("%s: %s", text, why.s);
	assert_non_null(h);
	return h;
}

static void
assert_text(const struct shbuf *s, const char *want)
{
	if (s->len != strlen(want) || memcmp(s->bytes, want, s->len) != 0)
		fail_msg("got  %.*s\nwant %s", (int)s->len, (const char *)s->bytes, want);
}

static void
peers_see(void **state)
{
	static const struct { const char *in, *want; } cases[] = {
		{ "{}", "{}" },
		{ "{\"OS\":\"linux\",\"Hostname\":\"a\",\"BackendLogID\":\"00\",\"FrontendLogID\":\"1\"}",
		  "{\"OS\":\"linux\",\"Hostname\":\"a\"}" },
		{ "{\"NetInfo\":{\"PreferredDERP\":1},\"RequestTags\":[\"tag:a\"],\"WoLMACs\":[\"x\"],"
		  "\"PushDeviceToken\":\"x\",\"ShareeNode\":true,\"TPM\":{},\"OSVersion\":\"1\"}", "{}" },
		{ "{\"ShieldsUp\":true,\"PeerRelay\":true,\"AppConnector\":false,\"App\":\"k8s\"}",
		  "{\"App\":\"k8s\",\"ShieldsUp\":true,\"AppConnector\":false,\"PeerRelay\":true}" },
		{ "{\"RoutableIPs\":[\"10.0.0.0/8\",\"::/0\"]}",
		  "{\"RoutableIPs\":[\"10.0.0.0/8\",\"::/0\"]}" },
		{ "{\"sshHostKeys\":[\"ssh-ed25519 A\"]}", "{\"sshHostKeys\":[\"ssh-ed25519 A\"]}" },
		{ "{\"Services\":[{\"Proto\":\"peerapi4\",\"Port\":1,\"Description\":\"d\"},"
		  "{\"Proto\":\"tcp\",\"Port\":22},{\"Proto\":\"peerapi-dns-proxy\",\"Port\":1}]}",
		  "{\"Services\":[{\"Proto\":\"peerapi4\",\"Port\":1,\"Description\":\"d\"},"
		  "{\"Proto\":\"peerapi-dns-proxy\",\"Port\":1}]}" },
		{ "{\"Location\":{\"Country\":\"X\",\"Latitude\":1.5,\"Priority\":3,\"Other\":[1]}}",
		  "{\"Location\":{\"Country\":\"X\",\"Latitude\":1.5,\"Priority\":3}}" },
		/* newer members pass */
		{ "{\"Brand\":{\"New\":[1,null]},\"OS\":\"x\"}",
		  "{\"OS\":\"x\",\"Brand\":{\"New\":[1,null]}}" },
		/* types that a peer's decoder would refuse do not */
		{ "{\"ShieldsUp\":\"yes\",\"App\":5,\"sshHostKeys\":[1,\"k\"],\"Location\":[],"
		  "\"AppConnector\":0,\"Services\":{}}", "{\"sshHostKeys\":[\"k\"]}" },
		{ "{\"Services\":[{\"Proto\":5,\"Port\":1},{\"Proto\":\"peerapi4\",\"Port\":\"1\"},"
		  "{\"Proto\":\"peerapi4\",\"Port\":65536},{\"Proto\":\"peerapi4\",\"Port\":-1},7,null,"
		  "{\"Proto\":\"peerapi4\",\"Port\":65535,\"Description\":5}]}",
		  "{\"Services\":[{\"Proto\":\"peerapi4\",\"Port\":65535}]}" },
		{ "{\"Location\":{\"Country\":5,\"Latitude\":\"1\",\"Priority\":1.5}}", "{\"Location\":{}}" },
		/* nor the same in another case, which Go would match */
		{ "{\"shieldsup\":\"yes\",\"os\":5,\"SSHHOSTKEYS\":1,\"netinfo\":5,\"backendlogid\":1}", "{}" },
		{ "{\"O\xc5\xbf\":5,\"New\\u0001\":1}", "{}" },
		{ "{\"New\":null}", "{}" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct hostinfo *h = parse(cases[i].in);

		assert_text(h->peer_json, cases[i].want);
		hostinfo_drop(h);
	}
}

static void
real_one(void **state)
{
	json_t *doc = json_load_file("tests/data/control_bodies.json", 0, NULL);
	json_t *req = json_object_get(json_object_get(doc, "map_request"), "lite_netinfo");
	json_t *v = json_object_get(req, "Hostinfo"), *back = NULL;
	struct hostinfo *h = NULL, *again = NULL;
	struct err_text why;

	(void)state;
	assert_non_null(v);
	assert_int_equal(hostinfo_from_json(v, &h, &why), ERR_OK);
	assert_string_equal(h->hostname, "node-a");
	assert_string_equal(h->os, "linux");
	assert_string_equal(h->os_version, "6.1.0");
	assert_string_equal(h->client_version, "1.103.0");
	assert_int_equal(h->n_request_tags, 2);
	assert_string_equal(h->request_tags[0], "tag:edge");
	assert_string_equal(h->request_tags[1], "tag:k3s");
	assert_int_equal(h->n_routable_ips, 1);
	assert_int_equal(h->routable_ips[0].bits, 24);
	assert_true(h->has_netinfo);
	assert_int_equal(h->preferred_derp, 900);
	assert_true(h->peer_json->len < h->json->len / 2);
	/* whole, and read again the same */
	assert_int_equal(json_parse(h->json->bytes, h->json->len, &back, &why), ERR_OK);
	assert_true(json_equal(back, v));
	assert_int_equal(hostinfo_parse(h->json->bytes, h->json->len, &again, &why), ERR_OK);
	assert_true(hostinfo_peer_eq(h, again));
	assert_int_equal(h->json->len, again->json->len);
	hostinfo_drop(h);
	hostinfo_drop(again);
	json_decref(back);
	json_decref(doc);
}

static void
refused(void **state)
{
	static const struct { const char *in; enum err rc; const char *names; } cases[] = {
		{ "[]", ERR_INVAL, "Hostinfo" },
		{ "5", ERR_INVAL, "Hostinfo" },
		{ "{\"Hostname\":5}", ERR_INVAL, "Hostname" },
		{ "{\"OS\":[]}", ERR_INVAL, "OS" },
		{ "{\"IPNVersion\":1}", ERR_INVAL, "IPNVersion" },
		{ "{\"RequestTags\":\"tag:a\"}", ERR_INVAL, "RequestTags" },
		{ "{\"RequestTags\":[5]}", ERR_INVAL, "RequestTags" },
		{ "{\"RequestTags\":[\"a\"]}", ERR_INVAL, "RequestTags" },
		{ "{\"RoutableIPs\":{}}", ERR_INVAL, "RoutableIPs" },
		{ "{\"RoutableIPs\":[" ROUTE ",\"x\"]}", ERR_INVAL, "RoutableIPs" },
		{ "{\"RoutableIPs\":[\"10.1.0.0/8\"]}", ERR_INVAL, "10.1.0.0/8" },
		{ "{\"NetInfo\":[]}", ERR_INVAL, "NetInfo" },
		{ "{\"NetInfo\":{\"PreferredDERP\":\"1\"}}", ERR_INVAL, "PreferredDERP" },
		{ "{\"NetInfo\":{\"PreferredDERP\":-1}}", ERR_INVAL, "PreferredDERP" },
		{ "{\"Hostname\":\"\\u0000\"}", ERR_INVAL, "" },
		{ "", ERR_INVAL, "" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct err_text why = { "" };
		struct hostinfo *h = (void *)&why;

		assert_int_equal(hostinfo_parse(cases[i].in, strlen(cases[i].in), &h, &why),
		    cases[i].rc);
		assert_ptr_equal(h, &why);
		assert_true(why.s[0] != '\0');
		assert_non_null(strstr(why.s, cases[i].names));
	}
}

/* head, item n times with commas (# is the number), tail. */
static void
repeated(struct buf *b, const char *head, const char *item, size_t n, const char *tail)
{
	buf_clear(b);
	buf_str(b, head);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_byte(b, ',');
		for (const char *c = item; *c != '\0'; c++)
			if (*c == '#')
				buf_printf(b, "%zu", i);
			else
				buf_byte(b, (uint8_t)*c);
	}
	buf_str(b, tail);
}

static void
bounds(void **state)
{
	static const struct {
		const char *head, *item;
		size_t n;
		const char *tail;
		enum err rc;
	} cases[] = {
		{ "{\"RequestTags\":[", "\"tag:t#\"", HOSTINFO_TAGS_MAX, "]}", ERR_OK },
		{ "{\"RequestTags\":[", "\"tag:t#\"", HOSTINFO_TAGS_MAX + 1, "]}", ERR_LIMIT },
		{ "{\"New\":[", "#", 12000, "]}", ERR_OK },
		{ "{\"New\":[", "#", 14000, "]}", ERR_LIMIT },
	};
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct err_text why = { "" };
		struct hostinfo *h = NULL;

		repeated(&b, cases[i].head, cases[i].item, cases[i].n, cases[i].tail);
		assert_int_equal(hostinfo_parse(b.p, b.len, &h, &why), cases[i].rc);
		hostinfo_drop(h);
	}
	for (unsigned more = 0; more < 3; more++) {
		repeated(&b, "{\"RoutableIPs\":[", "\"10.0.0.0/24\"", HOSTINFO_ROUTES_MAX + more, "]}");
		struct hostinfo *routes = parse(buf_cstr(&b));

		assert_int_equal(routes->n_routable_ips, HOSTINFO_ROUTES_MAX);
		assert_int_equal(routes->n_left_out, more);
		hostinfo_drop(routes);
	}
	/* what peers are shown is bounded by itself */
	repeated(&b, "{", "\"New#\":1", 40, "}");
	struct hostinfo *h = parse(buf_cstr(&b));
	assert_text(h->peer_json, "{\"New0\":1,\"New1\":1,\"New2\":1,\"New3\":1,\"New4\":1,\"New5\":1,"
	    "\"New6\":1,\"New7\":1,\"New8\":1,\"New9\":1,\"New10\":1,\"New11\":1,\"New12\":1,"
	    "\"New13\":1,\"New14\":1,\"New15\":1}");
	hostinfo_drop(h);
	repeated(&b, "{\"Services\":[", "{\"Proto\":\"peerapi#\",\"Port\":1}", 40, "]}");
	h = parse(buf_cstr(&b));
	assert_true(h->peer_json->len < 700);
	hostinfo_drop(h);
	repeated(&b, "{\"New\":[", "#", 2000, "]}");
	h = parse(buf_cstr(&b));
	assert_text(h->peer_json, "{}");
	hostinfo_drop(h);
	buf_fini(&b);
}

/* A long text is cut at a character. */
static void
long_names(void **state)
{
	struct buf b = { 0 };
	struct hostinfo *h;

	(void)state;
	buf_str(&b, "{\"OS\":\"");
	for (int i = 0; i < 30; i++)
		buf_byte(&b, 'x');
	buf_str(&b, "\xc3\xa4\xc3\xa4\",\"Hostname\":\"");
	for (int i = 0; i < 300; i++)
		buf_byte(&b, 'h');
	buf_str(&b, "\"}");
	h = parse(buf_cstr(&b));
	assert_int_equal(strlen(h->os), 30);
	assert_int_equal(strlen(h->hostname), sizeof h->hostname - 1);
	hostinfo_drop(h);
	buf_fini(&b);
}

static void
tags_are_a_set(void **state)
{
	struct hostinfo *h = parse("{\"RequestTags\":[\"tag:b\",\"tag:a\",\"tag:b\"]}");

	(void)state;
	assert_int_equal(h->n_request_tags, 2);
	assert_string_equal(h->request_tags[0], "tag:a");
	assert_string_equal(h->request_tags[1], "tag:b");
	hostinfo_drop(h);
}

static void
merges(void **state)
{
	static const struct { const char *next, *old, *want; uint32_t derp; } cases[] = {
		{ "{\"OS\":\"b\"}", "{\"NetInfo\":{\"PreferredDERP\":7,\"x\":{}},\"OS\":\"a\"}",
		  "{\"OS\":\"b\",\"NetInfo\":{\"PreferredDERP\":7,\"x\":{}}}", 7 },
		{ "{}", "{\"NetInfo\":{\"PreferredDERP\":7}}", "{\"NetInfo\":{\"PreferredDERP\":7}}", 7 },
		{ "{\"NetInfo\":{}}", "{\"NetInfo\":{\"PreferredDERP\":7}}", "{\"NetInfo\":{}}", 0 },
		{ "{\"NetInfo\":null}", "{\"NetInfo\":{\"PreferredDERP\":7}}",
		  "{\"NetInfo\":{\"PreferredDERP\":7}}", 7 },
		{ "{\"OS\":\"b\"}", "{\"OS\":\"a\"}", "{\"OS\":\"b\"}", 0 },
		{ "{\"OS\":\"b\"}", NULL, "{\"OS\":\"b\"}", 0 },
		{ "{\"RoutableIPs\":[" ROUTE "],\"RequestTags\":[\"tag:x\"]}", "{\"NetInfo\":{}}",
		  "{\"RoutableIPs\":[" ROUTE "],\"RequestTags\":[\"tag:x\"],\"NetInfo\":{}}", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct hostinfo *next = parse(cases[i].next);
		struct hostinfo *old = cases[i].old != NULL ? parse(cases[i].old) : NULL;
		struct hostinfo *before = hostinfo_hold(next), *h, *again;

		h = hostinfo_merge_take(next, old);
		assert_text(h->json, cases[i].want);
		assert_int_equal(h->preferred_derp, cases[i].derp);
		assert_true(hostinfo_peer_eq(h, before));
		assert_int_equal(h->n_routable_ips, before->n_routable_ips);
		assert_int_equal(h->n_request_tags, before->n_request_tags);
		/* and what came out can be handed on again */
		again = hostinfo_merge_take(parse("{\"OS\":\"c\"}"), h);
		assert_int_equal(again->has_netinfo, h->has_netinfo);
		assert_int_equal(again->preferred_derp, h->preferred_derp);
		hostinfo_drop(again);
		hostinfo_drop(h);
		hostinfo_drop(before);
		hostinfo_drop(old);
	}
}

static void
comparisons(void **state)
{
	struct hostinfo *a = parse("{\"OS\":\"a\",\"OSVersion\":\"1\"}");
	struct hostinfo *b = parse("{\"OS\":\"a\",\"OSVersion\":\"2\"}");
	struct hostinfo *c = parse("{\"OS\":\"c\"}");

	(void)state;
	assert_true(hostinfo_peer_eq(a, b));
	assert_false(hostinfo_peer_eq(a, c));
	assert_false(hostinfo_peer_eq(a, NULL));
	assert_true(hostinfo_peer_eq(NULL, NULL));
	hostinfo_drop(a);
	hostinfo_drop(b);
	hostinfo_drop(c);
	hostinfo_drop(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_see),
		cmocka_unit_test(real_one),
		cmocka_unit_test(refused),
		cmocka_unit_test(bounds),
		cmocka_unit_test(long_names),
		cmocka_unit_test(tags_are_a_set),
		cmocka_unit_test(merges),
		cmocka_unit_test(comparisons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
