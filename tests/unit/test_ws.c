/* links: */
/* WebSocket frames: headers by table, a client's stream cut anywhere, the handshake's key. */
#include "base/ws.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/obj.h"

/* --- headers ---------------------------------------------------------------------------------- */

static void
test_headers(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		enum err rc;
		uint8_t opcode;
		bool is_last;
		uint64_t len;
	} cases[] = {
		{ "", 0, ERR_AGAIN, 0, false, 0 },
		{ "\x82", 1, ERR_AGAIN, 0, false, 0 },
		{ "\x82\x85ke", 4, ERR_AGAIN, 0, false, 0 },
		{ "\x82\x85keyk", 6, ERR_OK, WS_BINARY, true, 5 },
		{ "\x02\x80keyk", 6, ERR_OK, WS_BINARY, false, 0 },
		{ "\x80\xfdkeyk", 6, ERR_OK, WS_CONTINUATION, true, 125 },
		{ "\x82\xfe\x00\x7ekeyk", 8, ERR_OK, WS_BINARY, true, 126 },
		{ "\x82\xfe\xff\xffkeyk", 8, ERR_OK, WS_BINARY, true, 65535 },
		{ "\x82\xfe\xff\xffkey", 7, ERR_AGAIN, 0, false, 0 },
		{ "\x82\xff\0\0\0\0\0\x01\0\0keyk", 14, ERR_OK, WS_BINARY, true, 65536 },
		{ "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffkeyk", 14, ERR_OK, WS_BINARY, true, INT64_MAX },
		{ "\x89\x84keyk", 6, ERR_OK, WS_PING, true, 4 },
		{ "\x88\x80keyk", 6, ERR_OK, WS_CLOSE, true, 0 },
		/* broken */
		{ "\x82\x05keyk", 6, ERR_PROTO, 0, false, 0 },			/* not masked */
		{ "\xc2\x85keyk", 6, ERR_PROTO, 0, false, 0 },			/* RSV1: compressed */
		{ "\x92\x85keyk", 6, ERR_PROTO, 0, false, 0 },			/* RSV3 */
		{ "\x83\x85keyk", 6, ERR_PROTO, 0, false, 0 },			/* reserved opcodes */
		{ "\x8b\x85keyk", 6, ERR_PROTO, 0, false, 0 },
		{ "\x09\x84keyk", 6, ERR_PROTO, 0, false, 0 },			/* fragmented ping */
		{ "\x89\xfe\x00\x7ekeyk", 8, ERR_PROTO, 0, false, 0 },		/* long ping */
		{ "\x82\xfe\x00\x7dkeyk", 8, ERR_PROTO, 0, false, 0 },		/* fits a shorter form */
		{ "\x82\xff\0\0\0\0\0\0\xff\xffkeyk", 14, ERR_PROTO, 0, false, 0 },
		{ "\x82\xff\x80\0\0\0\0\0\0\0keyk", 14, ERR_PROTO, 0, false, 0 },	/* negative */
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ws_hdr h = { .opcode = 0x77 };

		assert_int_equal(ws_hdr_parse((const uint8_t *)cases[i].bytes, cases[i].n, &h),
		    cases[i].rc);
		if (cases[i].rc != ERR_OK) {
			assert_int_equal(h.opcode, 0x77);	/* untouched */
			continue;
		}
		assert_int_equal(h.opcode, cases[i].opcode);
		assert_int_equal(h.is_last, cases[i].is_last);
		assert_true(h.len_bytes == cases[i].len);
		assert_int_equal(h.hdr_bytes, cases[i].n);
		assert_memory_equal(h.mask, "keyk", 4);
	}
}

static void
test_our_headers(void **state)
{
	static const struct {
		size_t len;
		const char *want;
		size_t n;
	} cases[] = {
		{ 0, "\x82\x00", 2 }, { 125, "\x82\x7d", 2 }, { 126, "\x82\x7e\x00\x7e", 4 },
		{ 65535, "\x82\x7e\xff\xff", 4 }, { 65536, "\x82\x7f\0\0\0\0\0\x01\0\0", 10 },
	};
	uint8_t got[WS_OUT_HDR_MAX_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(ws_hdr_put(got, WS_BINARY, cases[i].len), cases[i].n);
		assert_memory_equal(got, cases[i].want, cases[i].n);
	}
	assert_int_equal(ws_hdr_put(got, WS_PONG, 3), 2);
	assert_memory_equal(got, "\x8a\x03", 2);
}

/* --- streams ---------------------------------------------------------------------------------- */

/* A client's frame. */
static void
frame_put(struct buf *b, uint8_t first, const void *payload, size_t n)
{
	static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
	uint8_t hdr[WS_OUT_HDR_MAX_BYTES];
	size_t n_hdr = ws_hdr_put(hdr, WS_BINARY, n);

	hdr[0] = first;
	hdr[1] |= 0x80;
	buf_append(b, hdr, n_hdr);
	buf_append(b, mask, sizeof mask);
	for (size_t i = 0; i < n; i++)
		buf_byte(b, ((const uint8_t *)payload)[i] ^ mask[i % 4]);
}

static uint8_t *
noise_new(size_t n)
{
	uint8_t *p = obj_alloc(n);

	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(i * 7 + i / 251);
	return p;
}

/* The same stream in pieces of every size gives the same bytes. */
static void
test_stream_cut_anywhere(void **state)
{
	struct buf in = { .p = NULL }, want = { .p = NULL };
	uint8_t *noise = noise_new(70000);

	(void)state;
	frame_put(&in, 0x82, noise, 10);
	frame_put(&in, 0x02, noise + 10, 1000);		/* begins a message in fragments */
	frame_put(&in, 0x89, "are you there", 13);	/* between them */
	frame_put(&in, 0x00, noise + 1010, 0);
	frame_put(&in, 0x00, noise + 1010, 500);
	frame_put(&in, 0x8a, "", 0);
	frame_put(&in, 0x80, noise + 1510, 70000 - 1510);
	frame_put(&in, 0x82, "", 0);
	frame_put(&in, 0x89, "last", 4);
	frame_put(&in, 0x82, noise, 3);
	buf_append(&want, noise, 70000);
	buf_append(&want, noise, 3);
	for (size_t piece = 1; piece <= in.len; piece += piece < 40 ? 1 : 1771) {
		struct ws_reader r = { 0 };
		struct buf got = { .p = NULL };
		uint8_t *bytes = obj_alloc(in.len);
		size_t n_data;

		memcpy(bytes, in.p, in.len);
		for (size_t at = 0; at < in.len; at += piece) {
			size_t n = in.len - at < piece ? in.len - at : piece;

			assert_int_equal(ws_read(&r, bytes + at, n, &n_data), ERR_OK);
			assert_true(n_data <= n);
			buf_append(&got, bytes + at, n_data);
		}
		assert_int_equal(got.len, want.len);
		assert_memory_equal(got.p, want.p, want.len);
		assert_true(r.has_ping);
		assert_int_equal(r.n_ping, 4);
		assert_memory_equal(r.ping, "last", 4);
		buf_fini(&got);
		free(bytes);
	}
	buf_fini(&in);
	buf_fini(&want);
	free(noise);
}

static void
test_ends(void **state)
{
	static const struct {
		uint8_t first[3];	/* of up to three frames; 0xff ends them */
		size_t n_payload;
		enum err rc;
		size_t n_data;
	} cases[] = {
		{ { 0x82, 0x88, 0x82 }, 2, ERR_CLOSED, 2 },	/* nothing counts behind a close */
		{ { 0x88, 0xff, 0xff }, 0, ERR_CLOSED, 0 },
		{ { 0x88, 0xff, 0xff }, 1, ERR_PROTO, 0 },	/* half a code */
		{ { 0x81, 0xff, 0xff }, 2, ERR_PROTO, 0 },	/* text */
		{ { 0x80, 0xff, 0xff }, 2, ERR_PROTO, 0 },	/* goes on with nothing */
		{ { 0x02, 0x82, 0xff }, 2, ERR_PROTO, 2 },	/* begins inside a message */
		{ { 0x02, 0x80, 0x80 }, 2, ERR_PROTO, 4 },
		{ { 0x02, 0x88, 0xff }, 2, ERR_CLOSED, 2 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct ws_reader r = { 0 };
		struct buf in = { .p = NULL };
		size_t n_data = 99;

		for (size_t k = 0; k < 3 && cases[i].first[k] != 0xff; k++)
			frame_put(&in, cases[i].first[k], "xy", cases[i].n_payload);
		assert_int_equal(ws_read(&r, in.p, in.len, &n_data), cases[i].rc);
		assert_int_equal(n_data, cases[i].n_data);
		buf_fini(&in);
	}
}

/* --- the handshake ---------------------------------------------------------------------------- */

static void
test_accept_key(void **state)
{
	char got[WS_ACCEPT_BYTES];

	(void)state;
	/* the example of RFC 6455 1.3 */
	assert_int_equal(ws_accept_put("dGhlIHNhbXBsZSBub25jZQ==", 24, got), ERR_OK);
	assert_string_equal(got, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	assert_int_equal(ws_accept_put("dGhlIHNhbXBsZSBub25jZQ=", 23, got), ERR_INVAL);
	assert_int_equal(ws_accept_put("dGhlIHNhbXBsZSBub25jZQ=x", 24, got), ERR_INVAL);
	assert_int_equal(ws_accept_put("dGhlIHNhbXBsZSBub25\rZQ==", 24, got), ERR_INVAL);
	assert_int_equal(ws_accept_put("", 0, got), ERR_INVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_our_headers),
		cmocka_unit_test(test_stream_cut_anywhere),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_accept_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
