/* links: */
/* WebSocket frames under a stream: plain and with TLS, pings, the end, back pressure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/ws.h"
#include "tests/unit/io_pair.h"

static void
each_version(void (*test)(struct pair *p))
{
	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		struct pair p;

		open_version(&p, versions[i]);
		test(&p);
		pair_close(&p);
	}
}

/* A frame of a client, with a mask that is not zero. */
static void
client_frame(struct buf *b, uint8_t first, const void *payload, size_t n)
{
	uint8_t hdr[WS_OUT_HDR_MAX_BYTES];
	size_t n_hdr = ws_hdr_put(hdr, WS_BINARY, n);

	hdr[0] = first;
	hdr[1] |= 0x80;
	buf_append(b, hdr, n_hdr);
	buf_append(b, "MASK", 4);
	for (size_t i = 0; i < n; i++)
		buf_byte(b, ((const uint8_t *)payload)[i] ^ (uint8_t)"MASK"[i % 4]);
}

static void
client_says(struct pair *p, uint8_t first, const char *payload)
{
	struct buf b = { .p = NULL };

	client_frame(&b, first, payload, strlen(payload));
	peer_write(p, b.p, b.len);
	buf_fini(&b);
}

static void
assert_client_gets(struct pair *p, const char *want, size_t n)
{
	char got[256];

	assert_true(n < sizeof got);
	assert_int_equal(peer_read(p, got, sizeof got), n);
	assert_memory_equal(got, want, n);
}

static void
talk(struct pair *p)
{
	assert_false(io_is_ws(p->io));
	io_ws_start(p->io);
	assert_true(io_is_ws(p->io));
	assert_read_fails(p, ERR_AGAIN);
	client_says(p, 0x82, "hello");
	assert_reads(p, "hello");
	assert_read_fails(p, ERR_AGAIN);
	client_says(p, 0x02, "two ");
	client_says(p, 0x80, "parts");
	if (p->client == NULL) {
		assert_reads(p, "two parts");
	} else {
		assert_reads(p, "two ");
		assert_reads(p, "parts");
	}
	assert_int_equal(io_write(p->io, "one", 3), ERR_OK);
	assert_int_equal(io_write(p->io, "two", 3), ERR_OK);
	assert_int_equal(io_flush(p->io), ERR_OK);
	assert_client_gets(p, "\x82\x03one\x82\x03two", 10);
	io_unread(p->io, "back", 4);
	assert_true(io_has_more(p->io));
	assert_reads(p, "back");
}

static void
test_talk(void **state)
{
	(void)state;
	each_version(talk);
}

/* What the door read behind the request. */
static void
read_behind(struct pair *p)
{
	struct buf b = { .p = NULL };

	client_frame(&b, 0x82, "early", 5);
	client_frame(&b, 0x82, "late", 4);
	io_unread(p->io, b.p, 13);
	peer_write(p, b.p + 13, b.len - 13);
	io_ws_start(p->io);
	assert_true(io_has_more(p->io));
	assert_reads(p, "early");
	assert_reads(p, "late");
	assert_read_fails(p, ERR_AGAIN);
	buf_fini(&b);
}

static void
test_read_behind(void **state)
{
	(void)state;
	each_version(read_behind);
}

static void
pings(struct pair *p)
{
	io_ws_start(p->io);
	client_says(p, 0x89, "a");
	assert_read_fails(p, ERR_AGAIN);
	assert_client_gets(p, "\x8a\x01""a", 3);
	assert_int_equal(io_write(p->io, "x", 1), ERR_OK);	/* staged, not flushed */
	client_says(p, 0x89, "b");
	client_says(p, 0x82, "data");
	assert_reads(p, "data");
	if (p->client != NULL)
		assert_read_fails(p, ERR_AGAIN);
	assert_int_equal(io_flush(p->io), ERR_OK);
	assert_client_gets(p, "\x82\x01x\x8a\x01""b", 6);
}

static void
test_pings(void **state)
{
	(void)state;
	each_version(pings);
}

static void
client_closes(struct pair *p)
{
	io_ws_start(p->io);
	client_says(p, 0x82, "bye");
	client_says(p, 0x88, "\x03\xe9");
	assert_reads(p, "bye");
	assert_read_fails(p, ERR_CLOSED);
	assert_read_fails(p, ERR_CLOSED);
	assert_client_gets(p, "\x88\x02\x03\xe8", 4);
}

static void
test_client_closes(void **state)
{
	(void)state;
	each_version(client_closes);
}

static void
broken(struct pair *p)
{
	io_ws_start(p->io);
	client_says(p, 0x82, "ok");
	peer_write(p, "\x82\x02no", 4);		/* not masked */
	assert_reads(p, "ok");
	assert_read_fails(p, ERR_PROTO);
	assert_client_gets(p, "\x88\x02\x03\xea", 4);
}

static void
test_broken(void **state)
{
	(void)state;
	each_version(broken);
}

static void
test_we_close(void **state)
{
	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		struct pair p;

		open_version(&p, versions[i]);
		io_ws_start(p.io);
		io_free(p.io);
		p.io = NULL;
		assert_client_gets(&p, "\x88\x02\x03\xe8", 4);
		pair_close(&p);
	}
	(void)state;
}

/* A megabyte out against a reader that takes it in pieces: nothing is lost, frames are whole. */
static void
bulk_out(struct pair *p)
{
	static uint8_t data[1 << 20], wire[(1 << 20) + 4096];
	size_t sent = 0, n_wire = 0, at = 0, n_data = 0;

	for (size_t i = 0; i < sizeof data; i++)
		data[i] = (uint8_t)(i * 31 + i / 997);
	io_ws_start(p->io);
	for (unsigned turns = 0; n_data < sizeof data; turns++) {
		size_t room = io_write_room(p->io), n = sizeof data - sent;

		assert_true(turns < 10000);
		if (n > room)
			n = room;
		if (n > 0)
			assert_int_equal(io_write(p->io, data + sent, n), ERR_OK);
		sent += n;
		(void)!io_flush(p->io);
		n_wire += peer_read(p, wire + n_wire, sizeof wire - n_wire);
		while (n_wire - at >= 4) {
			size_t n_hdr = 2, len = wire[at + 1];

			assert_int_equal(wire[at], 0x82);
			if (len == 126) {
				len = (size_t)(wire[at + 2] << 8 | wire[at + 3]);
				n_hdr = 4;
			}
			assert_true(len <= IO_RECORD_BYTES);
			if (n_wire - at < n_hdr + len)
				break;
			assert_memory_equal(wire + at + n_hdr, data + n_data, len);
			n_data += len;
			at += n_hdr + len;
		}
	}
	assert_int_equal(at, n_wire);
}

static void
test_bulk_out(void **state)
{
	(void)state;
	each_version(bulk_out);
}

/* Who sends nothing but empty frames does not keep a turn busy for ever. */
static void
test_empty_frames(void **state)
{
	struct buf b = { .p = NULL };
	struct pair p;

	(void)state;
	pair_open(&p);
	while (b.len < 200000)
		client_frame(&b, 0x82, "", 0);
	io_unread(p.io, b.p, b.len);
	io_ws_start(p.io);
	assert_read_fails(&p, ERR_PROTO);
	buf_fini(&b);
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_talk), cmocka_unit_test(test_read_behind),
		cmocka_unit_test(test_pings), cmocka_unit_test(test_client_closes),
		cmocka_unit_test(test_broken), cmocka_unit_test(test_we_close),
		cmocka_unit_test(test_bulk_out), cmocka_unit_test(test_empty_frames),
	};

	return cmocka_run_group_tests(tests, setup_contexts, teardown_contexts);
}
