/* links: coord/msg_map coord/hostinfo coord/tag */
/* Map messages: the bodies that real clients send (tests/data/control_bodies.json, from Tailscale
 * 1.103.0), everything that is none, and the frame of the keep-alive. */
#include "coord/msg_map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include <cmocka.h>

#include "base/json.h"
#include "tests/unit/vectors.h"

#define K1 "\"NodeKey\":\"nodekey:34e7a0ddc4452b1078cd339eb15e2c9200b0e6bf87da18b66a6b032773f29910\""
#define ZERO "0000000000000000000000000000000000000000000000000000000000000000"

static int
setup(void **state)
{
	(void)state;
	return doc_open("tests/data/control_bodies.json");
}

static void
real_bodies(void **state)
{
	static const struct {
		const char *name;
		bool is_stream, omits_peers, has_endpoints;
		uint32_t derp;
	} cases[] = {
		{ "lite_first", false, true, false, 0 },
		{ "stream", true, false, false, 0 },
		{ "lite_endpoints", false, true, true, 0 },
		{ "lite_netinfo", false, true, true, 900 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct err_text why = { "" };
		struct map_req *r = NULL;
		struct buf b = { 0 };
		char text[NET_TEXT_MAX];

		json_dump_to(&b, json_object_get(json_object_get(doc, "map_request"), cases[i].name));
		if (msg_map_parse(b.p, b.len, &r, &why) != ERR_OK)
			fail_msg("%s: %s", cases[i].name, why.s);
		assert_int_equal(r->version, 145);
		assert_false(node_key_is_zero(&r->node_key));
		assert_true(r->has_disco_key && r->wants_zstd && !r->is_read_only);
		assert_int_equal(r->is_stream, cases[i].is_stream);
		assert_int_equal(r->omits_peers, cases[i].omits_peers);
		assert_int_equal(r->has_endpoints, cases[i].has_endpoints);
		assert_int_equal(r->n_endpoints, cases[i].has_endpoints ? 1 : 0);
		if (r->n_endpoints > 0) {
			assert_string_equal(net_addr_put(&r->endpoints[0].addr, text),
			    "198.51.100.7:44604");
			assert_int_equal(r->endpoints[0].type, 2);
		}
		assert_int_equal(r->host->preferred_derp, cases[i].derp);
		msg_map_free(r);
		buf_fini(&b);
	}
	msg_map_free(NULL);
}

static void
endpoints(void **state)
{
	static const struct { const char *text; bool has; unsigned n; const char *types; } cases[] = {
		{ "{" K1 "}", false, 0, "" },
		{ "{" K1 ",\"Endpoints\":null}", false, 0, "" },
		{ "{" K1 ",\"Endpoints\":[]}", true, 0, "" },
		{ "{" K1 ",\"Endpoints\":[\"1.2.3.4:5\",\"[::1]:6\"],\"EndpointTypes\":[1,2]}", true, 2, "12" },
		{ "{" K1 ",\"Endpoints\":[\"1.2.3.4:5\",\"[::1]:6\"],\"EndpointTypes\":[5]}", true, 2, "50" },
		{ "{" K1 ",\"Endpoints\":[\"1.2.3.4:5\"]}", true, 1, "0" },
		{ "{" K1 ",\"Endpoints\":[\"1.2.3.4:5\"],\"EndpointTypes\":5}", true, 1, "0" },
		{ "{" K1 ",\"Endpoints\":[\"1.2.3.4:5\"],\"EndpointTypes\":[256]}", true, 1, "0" },
		{ "{" K1 ",\"Endpoints\":[\"\",\"host:1\",\"1.2.3.4\",\"1.2.3.4:5\"],"
		  "\"EndpointTypes\":[1,2,3,4]}", true, 1, "4" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct err_text why = { "" };
		struct map_req *r = NULL;

		if (msg_map_parse(cases[i].text, strlen(cases[i].text), &r, &why) != ERR_OK)
			fail_msg("%s: %s", cases[i].text, why.s);
		assert_int_equal(r->has_endpoints, cases[i].has);
		assert_int_equal(r->n_endpoints, cases[i].n);
		for (unsigned k = 0; k < r->n_endpoints; k++)
			assert_int_equal(r->endpoints[k].type, cases[i].types[k] - '0');
		assert_false(r->has_disco_key);
		assert_null(r->host);
		msg_map_free(r);
	}
}

static void
endpoints_are_bounded(void **state)
{
	struct err_text why = { "" };
	struct map_req *r = NULL;
	struct buf b = { 0 };

	(void)state;
	buf_str(&b, "{" K1 ",\"Endpoints\":[\"bad\"");
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, ",\"10.0.0.1:%d\"", i + 1);
	buf_str(&b, "]}");
	assert_int_equal(msg_map_parse(b.p, b.len, &r, &why), ERR_OK);
	assert_int_equal(r->n_endpoints, MAP_ENDPOINTS_MAX);
	assert_int_equal(r->endpoints[MAP_ENDPOINTS_MAX - 1].addr.port, MAP_ENDPOINTS_MAX);
	msg_map_free(r);
	buf_fini(&b);
}

static void
zero_disco_key(void **state)
{
	static const char text[] = "{" K1 ",\"DiscoKey\":\"discokey:" ZERO "\"}";
	struct err_text why = { "" };
	struct map_req *r = NULL;

	(void)state;
	assert_int_equal(msg_map_parse(text, sizeof text - 1, &r, &why), ERR_OK);
	assert_false(r->has_disco_key);
	msg_map_free(r);
}

static void
refused(void **state)
{
	static const struct { const char *text, *names; } cases[] = {
		{ "", "line" },
		{ "{" K1, "line" },
		{ "[]", "object" },
		{ "{}", "NodeKey" },
		{ "{\"NodeKey\":\"nodekey:" ZERO "\"}", "NodeKey" },
		{ "{\"NodeKey\":7}", "NodeKey" },
		{ "{" K1 ",\"Version\":\"1\"}", "Version" },
		{ "{" K1 ",\"Version\":-1}", "Version" },
		{ "{" K1 ",\"Version\":65536}", "Version" },
		{ "{" K1 ",\"DiscoKey\":\"\"}", "DiscoKey" },
		{ "{" K1 ",\"DiscoKey\":1}", "DiscoKey" },
		{ "{" K1 ",\"Stream\":1}", "Stream" },
		{ "{" K1 ",\"OmitPeers\":\"\"}", "OmitPeers" },
		{ "{" K1 ",\"ReadOnly\":[]}", "ReadOnly" },
		{ "{" K1 ",\"Endpoints\":{}}", "Endpoints" },
		{ "{" K1 ",\"Endpoints\":[5]}", "Endpoints" },
		{ "{" K1 ",\"Hostinfo\":5}", "Hostinfo" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct err_text why = { "" };
		struct map_req *r = NULL;

		assert_int_equal(msg_map_parse(cases[i].text, strlen(cases[i].text), &r, &why),
		    ERR_INVAL);
		assert_null(r);
		if (strstr(why.s, cases[i].names) == NULL)
			fail_msg("%s: \"%s\"", cases[i].text, why.s);
	}
}

static void
keepalive(void **state)
{
	static const char want[] = "{\"KeepAlive\":true}";
	uint8_t length[MSG_MAP_LENGTH_BYTES];
	char text[64];
	size_t n, got;
	const uint8_t *p = msg_map_keepalive(&n);

	(void)state;
	got = ZSTD_decompress(text, sizeof text, p, n);
	assert_false(ZSTD_isError(got));
	assert_int_equal(got, sizeof want - 1);
	assert_memory_equal(text, want, got);
	assert_int_equal(ZSTD_findFrameCompressedSize(p, n), n);
	msg_map_put_length(length, 0x01020304);
	assert_memory_equal(length, "\x04\x03\x02\x01", sizeof length);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_bodies),
		cmocka_unit_test(endpoints),
		cmocka_unit_test(endpoints_are_bounded),
		cmocka_unit_test(zero_disco_key),
		cmocka_unit_test(refused),
		cmocka_unit_test(keepalive),
	};

	return cmocka_run_group_tests(tests, setup, doc_close);
}
