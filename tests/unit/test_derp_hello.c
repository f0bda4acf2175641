/* links: relay/derp_hello relay/derp_frame */
/* The greeting against the vectors of tests/data/derp.json (from Tailscale 1.103.0: real client
 * and server with fixed keys and nonces), and every way to spoil it. */
#include "relay/derp_hello.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/obj.h"
#include "base/rand.h"
#include "relay/derp_frame.h"
#include "tests/unit/vectors.h"

static struct private_key server;
static uint8_t server_nonce[24];

static int
setup(void **state)
{
	(void)state;
	if (sodium_init() < 0)
		return -1;
	if (doc_open("tests/data/derp.json") != 0)
		return -1;
	hex(doc, "server_private", server.b, KEY_BYTES);
	return 0;
}

static void
test_server_key(void **state)
{
	uint8_t want[64], got[DERP_HELLO_KEY_BYTES], pub[KEY_BYTES];

	(void)state;
	private_key_public(&server, pub);
	assert_int_equal(hex(doc, "server_key_frame", want, sizeof want), sizeof got);
	derp_hello_key_put(pub, got);
	assert_memory_equal(got, want, sizeof got);
}

static void
test_client_infos(void **state)
{
	const json_t *cases = json_object_get(doc, "client_info");
	uint8_t client[KEY_BYTES];

	(void)state;
	hex(doc, "client_public", client, sizeof client);
	assert_int_equal(json_array_size(cases), 4);
	for (size_t i = 0; i < 4; i++) {
		struct derp_hello_info info;
		uint8_t p[512];
		size_t n = hex(json_array_get(cases, i), "frame", p, sizeof p);

		assert_int_equal(derp_hello_open(p + DERP_FRAME_HDR_BYTES, n - DERP_FRAME_HDR_BYTES,
		    &server, &info), ERR_OK);
		assert_memory_equal(info.key.b, client, KEY_BYTES);
		assert_int_equal(info.version, 2);
		assert_int_equal(info.can_ack_pings, i == 0 || i == 3);
		assert_int_equal(info.is_prober, i == 3);
		assert_int_equal(info.has_mesh_key, i == 2);
		if (i == 2) {
			assert_int_equal(info.mesh_key[0], 0x01);
			assert_int_equal(info.mesh_key[31], 0xef);
		}
	}
}

/* Every byte of the payload matters. */
static void
test_spoilt_infos(void **state)
{
	const json_t *v = json_array_get(json_object_get(doc, "client_info"), 0);
	struct derp_hello_info info = { .version = 77 };
	uint8_t p[512];
	size_t n = hex(v, "frame", p, sizeof p) - DERP_FRAME_HDR_BYTES;
	uint8_t *payload = p + DERP_FRAME_HDR_BYTES;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		payload[i] ^= 1;
		assert_int_equal(derp_hello_open(payload, n, &server, &info), ERR_CRYPTO);
		payload[i] ^= 1;
	}
	for (size_t k = 0; k < DERP_FRAME_INFO_MIN_BYTES; k++)
		assert_int_equal(derp_hello_open(payload, k, &server, &info), ERR_LIMIT);
	for (size_t k = DERP_FRAME_INFO_MIN_BYTES; k < n; k++)
		assert_int_equal(derp_hello_open(payload, k, &server, &info), ERR_CRYPTO);
	assert_int_equal(derp_hello_open(payload, DERP_FRAME_INFO_MAX_BYTES + 1, &server, &info),
	    ERR_LIMIT);
	memset(payload, 0, KEY_BYTES);	/* the all-zero point */
	assert_int_equal(derp_hello_open(payload, n, &server, &info), ERR_CRYPTO);
	assert_int_equal(info.version, 77);
}

static void
test_json(void **state)
{
	static const struct {
		const char *text;
		enum err want;
		int64_t version;
		bool can_ack, is_prober, has_mesh;
	} cases[] = {
		{ "{}", ERR_OK, 0, false, false, false },
		{ "{\"version\":2,\"CanAckPings\":true}", ERR_OK, 2, true, false, false },
		{ "{\"VERSION\":3,\"canackpings\":true,\"isPROBER\":true}", ERR_OK, 3, true, true, false },
		{ "{\"new\":{\"a\":[1,null]},\"version\":2}", ERR_OK, 2, false, false, false },
		{ "{\"version\":null,\"meshKey\":null}", ERR_OK, 0, false, false, false },
		{ "{\"MeshKey\":\"00000000000000000000000000000000000000000000000000000000000000ff\"}",
		    ERR_OK, 0, false, false, true },
		{ "{\"meshKey\":\"00\"}", ERR_PROTO, 0, false, false, false },
		{ "{\"meshKey\":\"zz000000000000000000000000000000000000000000000000000000000000ff\"}",
		    ERR_PROTO, 0, false, false, false },
		{ "{\"meshKey\":1}", ERR_PROTO, 0, false, false, false },
		{ "{\"version\":\"2\"}", ERR_PROTO, 0, false, false, false },
		{ "{\"CanAckPings\":1}", ERR_PROTO, 0, false, false, false },
		{ "{\"IsProber\":\"yes\"}", ERR_PROTO, 0, false, false, false },
		{ "[]", ERR_PROTO, 0, false, false, false },
		{ "2", ERR_PROTO, 0, false, false, false },
		{ "", ERR_PROTO, 0, false, false, false },
		{ "{\"version\":2", ERR_PROTO, 0, false, false, false },
		{ "{\"version\":2}x", ERR_PROTO, 0, false, false, false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct derp_hello_info info = { .version = -1 };

		assert_int_equal(derp_hello_parse((const uint8_t *)cases[i].text,
		    strlen(cases[i].text), &info), cases[i].want);
		if (cases[i].want != ERR_OK) {
			assert_int_equal(info.version, -1);
			continue;
		}
		assert_int_equal(info.version, cases[i].version);
		assert_int_equal(info.can_ack_pings, cases[i].can_ack);
		assert_int_equal(info.is_prober, cases[i].is_prober);
		assert_int_equal(info.has_mesh_key, cases[i].has_mesh);
	}
}

static void
fill_nonce(void *p, size_t n)
{
	assert_int_equal(n, sizeof server_nonce);
	memcpy(p, server_nonce, n);
}

static void
test_server_info(void **state)
{
	const json_t *v = json_array_get(json_object_get(doc, "server_info"), 0);
	uint8_t want[128], got[DERP_HELLO_INFO_BYTES];
	struct node_key client;

	(void)state;
	hex(doc, "client_public", client.b, KEY_BYTES);
	hex(v, "nonce", server_nonce, sizeof server_nonce);
	assert_int_equal(hex(v, "frame", want, sizeof want), sizeof got);
	rand_test_source(fill_nonce);
	assert_int_equal(derp_hello_info_put(&client, &server, got), ERR_OK);
	rand_test_source(NULL);
	assert_memory_equal(got, want, sizeof got);
	memset(&client, 0, sizeof client);
	assert_int_equal(derp_hello_info_put(&client, &server, got), ERR_CRYPTO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_server_key),
		cmocka_unit_test(test_client_infos),
		cmocka_unit_test(test_spoilt_infos),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_server_info),
	};

	return cmocka_run_group_tests(tests, setup, doc_close);
}
