/* links: relay/derp_frame */
/* Frames against the vectors of tests/data/derp.json (from Tailscale 1.103.0), and the length
 * rules. */
#include "relay/derp_frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/obj.h"
#include "tests/unit/vectors.h"

static int
setup(void **state)
{
	(void)state;
	return doc_open("tests/data/derp.json");
}

/* The vector with this name; returns its length. */
static size_t
vector(const char *name, uint8_t *out, size_t cap)
{
	const json_t *frames = json_object_get(doc, "frames");

	for (size_t i = 0; i < json_array_size(frames); i++) {
		const json_t *v = json_array_get(frames, i);

		if (strcmp(json_string_value(json_object_get(v, "name")), name) == 0)
			return hex(v, "frame", out, cap);
	}
	fail_msg("no vector %s", name);
	return 0;
}

static void
test_headers_of_vectors(void **state)
{
	const json_t *frames = json_object_get(doc, "frames");

	(void)state;
	assert_int_equal(json_array_size(frames), 19);
	for (size_t i = 0; i < json_array_size(frames); i++) {
		const json_t *v = json_array_get(frames, i);
		struct derp_frame_hdr h;
		uint8_t p[256];
		size_t n = hex(v, "frame", p, sizeof p);

		assert_int_equal(derp_frame_parse(p, n, &h), ERR_OK);
		assert_int_equal(h.type,
		    strtol(json_string_value(json_object_get(v, "type")), NULL, 16));
		assert_int_equal(h.len_bytes,
		    json_integer_value(json_object_get(v, "payload_len")));
		assert_int_equal(h.len_bytes, n - DERP_FRAME_HDR_BYTES);
	}
}

static void
test_header_comes_in_parts(void **state)
{
	static const uint8_t p[] = { 0x04, 0xff, 0xfe, 0xfd, 0xfc };
	struct derp_frame_hdr h = { .type = 99 };

	(void)state;
	for (size_t n = 0; n < sizeof p; n++)
		assert_int_equal(derp_frame_parse(p, n, &h), ERR_AGAIN);
	assert_int_equal(h.type, 99);
	assert_int_equal(derp_frame_parse(p, sizeof p, &h), ERR_OK);
	assert_int_equal(h.type, 4);
	assert_int_equal(h.len_bytes, 0xfffefdfcu);
}

static void
test_length_rules(void **state)
{
	static const struct {
		uint8_t type;
		uint32_t len;
		enum err want;
	} cases[] = {
		{ DERP_FRAME_SEND_PACKET, 31, ERR_LIMIT },
		{ DERP_FRAME_SEND_PACKET, 32, ERR_OK },
		{ DERP_FRAME_SEND_PACKET, 32 + 65536, ERR_OK },
		{ DERP_FRAME_SEND_PACKET, 32 + 65537, ERR_LIMIT },
		{ DERP_FRAME_SEND_PACKET, UINT32_MAX, ERR_LIMIT },
		{ DERP_FRAME_NOTE_PREFERRED, 0, ERR_LIMIT },
		{ DERP_FRAME_NOTE_PREFERRED, 1, ERR_OK },
		{ DERP_FRAME_NOTE_PREFERRED, 2, ERR_LIMIT },
		{ DERP_FRAME_PING, 7, ERR_LIMIT },
		{ DERP_FRAME_PING, 8, ERR_OK },
		{ DERP_FRAME_PING, 1000, ERR_OK },
		{ DERP_FRAME_PING, 1001, ERR_LIMIT },
		{ DERP_FRAME_FORWARD_PACKET, 64, ERR_DENIED },
		{ DERP_FRAME_WATCH_CONNS, 0, ERR_DENIED },
		{ DERP_FRAME_CLOSE_PEER, 32, ERR_DENIED },
		{ DERP_FRAME_PONG, 8, ERR_UNSUPPORTED },
		{ DERP_FRAME_RECV_PACKET, 40, ERR_UNSUPPORTED },
		{ DERP_FRAME_CLIENT_INFO, 100, ERR_UNSUPPORTED },
		{ 0x00, 0, ERR_UNSUPPORTED },
		{ 0xee, UINT32_MAX, ERR_UNSUPPORTED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(derp_frame_check_client(&(struct derp_frame_hdr){
			.type = cases[i].type, .len_bytes = cases[i].len }), cases[i].want);
}

static void
test_first_frame(void **state)
{
	static const struct {
		uint8_t type;
		uint32_t len;
		enum err want;
	} cases[] = {
		{ DERP_FRAME_CLIENT_INFO, 55, ERR_LIMIT },
		{ DERP_FRAME_CLIENT_INFO, 56, ERR_OK },
		{ DERP_FRAME_CLIENT_INFO, DERP_FRAME_INFO_MAX_BYTES, ERR_OK },
		{ DERP_FRAME_CLIENT_INFO, DERP_FRAME_INFO_MAX_BYTES + 1, ERR_LIMIT },
		{ DERP_FRAME_CLIENT_INFO, UINT32_MAX, ERR_LIMIT },
		{ DERP_FRAME_SEND_PACKET, 100, ERR_PROTO },
		{ DERP_FRAME_PING, 8, ERR_PROTO },
		{ 0xee, 100, ERR_PROTO },
		{ 'G', 0x4554202f, ERR_PROTO },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(derp_frame_check_hello(&(struct derp_frame_hdr){
			.type = cases[i].type, .len_bytes = cases[i].len }), cases[i].want);
}

static void
test_writers_make_the_vectors(void **state)
{
	uint8_t want[256], got[256], peer[KEY_BYTES];
	size_t n;

	(void)state;
	hex(doc, "peer_public", peer, sizeof peer);
	n = vector("KeepAlive", want, sizeof want);
	assert_int_equal(derp_frame_put_keepalive(got), n);
	assert_memory_equal(got, want, n);
	n = vector("Pong", want, sizeof want);
	assert_int_equal(derp_frame_put_pong(got, want + DERP_FRAME_HDR_BYTES), n);
	assert_memory_equal(got, want, n);
	n = vector("PeerGone disconnected", want, sizeof want);
	assert_int_equal(n, DERP_FRAME_GONE_BYTES);
	assert_int_equal(derp_frame_put_gone(got, peer, DERP_FRAME_GONE_DISCONNECTED), n);
	assert_memory_equal(got, want, n);
	n = vector("PeerGone not here", want, sizeof want);
	assert_int_equal(derp_frame_put_gone(got, peer, DERP_FRAME_GONE_NOT_HERE), n);
	assert_memory_equal(got, want, n);
}

static void
test_sent_becomes_received(void **state)
{
	uint8_t sent[256], want[256], client[KEY_BYTES];
	size_t n = vector("SendPacket", sent, sizeof sent);

	(void)state;
	assert_int_equal(vector("RecvPacket", want, sizeof want), n);
	hex(doc, "client_public", client, sizeof client);
	derp_frame_readdress(sent, client);
	assert_memory_equal(sent, want, n);
}

static void
test_presence(void **state)
{
	static const struct { const char *name; struct net_addr addr; uint8_t flags; } cases[] = {
		{ "PeerPresent v4 regular", { { 4, { 203, 0, 113, 7 } }, 41641 }, DERP_FRAME_PRESENT_REGULAR },
		{ "PeerPresent v6 mesh", { { 6, { 0x20, 0x01, 0x0d, 0xb8, [15] = 7 } }, 443 },
		    DERP_FRAME_PRESENT_MESH },
	};
	uint8_t want[256], got[256], peer[KEY_BYTES];

	(void)state;
	hex(doc, "peer_public", peer, sizeof peer);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t n = vector(cases[i].name, want, sizeof want);

		assert_int_equal(n, DERP_FRAME_PRESENT_BYTES);
		assert_int_equal(derp_frame_put_present(got, peer, &cases[i].addr, cases[i].flags), n);
		assert_memory_equal(got, want, n);
	}
}

/* SendPacket to ForwardPacket at one relay, and that to RecvPacket at the other. */
static void
test_forwarding(void **state)
{
	uint8_t forward[256], got[256], sent[256], peer[KEY_BYTES], client[KEY_BYTES], *received;
	size_t n = vector("ForwardPacket", forward, sizeof forward), n_sent;

	(void)state;
	hex(doc, "peer_public", peer, sizeof peer);
	hex(doc, "client_public", client, sizeof client);
	n_sent = derp_frame_put_hdr(sent, DERP_FRAME_SEND_PACKET, KEY_BYTES + 12);
	memcpy(sent + n_sent, peer, KEY_BYTES);
	memcpy(sent + n_sent + KEY_BYTES, forward + n - 12, 12);
	assert_int_equal(derp_frame_put_forward(got, client, sent, n_sent + KEY_BYTES + 12), n);
	assert_memory_equal(got, forward, n);
	received = derp_frame_unforward(forward, n);
	assert_ptr_equal(received, forward + KEY_BYTES);
	derp_frame_readdress(sent, client);
	assert_memory_equal(received, sent, n - KEY_BYTES);
}

static void
test_length_rules_of_relays(void **state)
{
	static const struct { uint8_t type; uint32_t len; enum err mesh, server; } cases[] = {
		{ DERP_FRAME_FORWARD_PACKET, 63, ERR_LIMIT, ERR_UNSUPPORTED },
		{ DERP_FRAME_FORWARD_PACKET, 64, ERR_OK, ERR_UNSUPPORTED },
		{ DERP_FRAME_FORWARD_PACKET, 64 + 65536, ERR_OK, ERR_UNSUPPORTED },
		{ DERP_FRAME_FORWARD_PACKET, 65 + 65536, ERR_LIMIT, ERR_UNSUPPORTED },
		{ DERP_FRAME_WATCH_CONNS, 0, ERR_OK, ERR_UNSUPPORTED },
		{ DERP_FRAME_WATCH_CONNS, 1, ERR_LIMIT, ERR_UNSUPPORTED },
		{ DERP_FRAME_CLOSE_PEER, 32, ERR_OK, ERR_UNSUPPORTED },
		{ DERP_FRAME_CLOSE_PEER, 33, ERR_LIMIT, ERR_UNSUPPORTED },
		{ DERP_FRAME_SEND_PACKET, 31, ERR_LIMIT, ERR_UNSUPPORTED },
		{ DERP_FRAME_PEER_PRESENT, 31, ERR_UNSUPPORTED, ERR_LIMIT },
		{ DERP_FRAME_PEER_PRESENT, 32, ERR_UNSUPPORTED, ERR_OK },
		{ DERP_FRAME_PEER_PRESENT, 51, ERR_UNSUPPORTED, ERR_OK },
		{ DERP_FRAME_PEER_PRESENT, 1001, ERR_UNSUPPORTED, ERR_LIMIT },
		{ DERP_FRAME_PEER_GONE, 0, ERR_UNSUPPORTED, ERR_LIMIT },
		{ DERP_FRAME_PEER_GONE, 33, ERR_UNSUPPORTED, ERR_OK },
		{ DERP_FRAME_PING, 7, ERR_LIMIT, ERR_LIMIT },
		{ DERP_FRAME_PING, 8, ERR_OK, ERR_OK },
		{ DERP_FRAME_RECV_PACKET, 1 << 20, ERR_UNSUPPORTED, ERR_UNSUPPORTED },
		{ DERP_FRAME_RECV_PACKET, (1 << 20) + 1, ERR_UNSUPPORTED, ERR_LIMIT },
		{ 0xee, UINT32_MAX, ERR_UNSUPPORTED, ERR_LIMIT },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct derp_frame_hdr h = { .type = cases[i].type, .len_bytes = cases[i].len };

		assert_int_equal(derp_frame_check_mesh(&h), cases[i].mesh);
		assert_int_equal(derp_frame_check_server(&h), cases[i].server);
		assert_int_equal(derp_frame_check_server_key(&h), ERR_PROTO);
	}
	for (uint32_t len = 0; len < 1100; len++)
		assert_int_equal(derp_frame_check_server_key(&(struct derp_frame_hdr){
			.type = DERP_FRAME_SERVER_KEY, .len_bytes = len }),
		    len >= 40 && len <= 1024 ? ERR_OK : ERR_LIMIT);
}

static void
test_disco(void **state)
{
	const json_t *cases = json_object_get(doc, "disco_detection");

	(void)state;
	assert_true(json_array_size(cases) >= 4);
	for (size_t i = 0; i < json_array_size(cases); i++) {
		const json_t *v = json_array_get(cases, i);
		uint8_t p[256];
		size_t n = hex(v, "packet", p, sizeof p);

		assert_int_equal(derp_frame_is_disco(p, n),
		    json_is_true(json_object_get(v, "is_disco")));
	}
	assert_false(derp_frame_is_disco(NULL, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers_of_vectors),
		cmocka_unit_test(test_header_comes_in_parts),
		cmocka_unit_test(test_length_rules),
		cmocka_unit_test(test_first_frame),
		cmocka_unit_test(test_writers_make_the_vectors),
		cmocka_unit_test(test_sent_becomes_received),
		cmocka_unit_test(test_presence),
		cmocka_unit_test(test_forwarding),
		cmocka_unit_test(test_length_rules_of_relays),
		cmocka_unit_test(test_disco),
	};

	return cmocka_run_group_tests(tests, setup, doc_close);
}
