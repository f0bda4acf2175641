/* links: */
/* Streams over socketpairs: plain reads and writes; back pressure and bulk, also with TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <event2/event.h>

#include "base/io_run.h"
#include "tests/unit/io_pair.h"

#define BULK_BYTES	(1u << 20)

static uint8_t *
bulk_new(void)
{
	uint8_t *bulk = obj_alloc(BULK_BYTES);
	uint32_t x = 1;

	for (size_t i = 0; i < BULK_BYTES; i++) {
		x = x * 1664525u + 1013904223u;
		bulk[i] = (uint8_t)(x >> 24);
	}
	return bulk;
}

/* --- runs ------------------------------------------------------------------------------------- */

static void
test_run(void **state)
{
	struct io_run r = { .p = NULL };
	char got[16];

	(void)state;
	io_run_append(&r, "cdef", 4);
	io_run_prepend(&r, "ab", 2);
	assert_int_equal(io_run_len(&r), 6);
	assert_int_equal(io_run_take(&r, got, 3), 3);
	assert_memory_equal(got, "abc", 3);
	io_run_prepend(&r, "c", 1);	/* fits where it was */
	io_run_append(&r, "gh", 2);
	io_run_drop(&r, 1);
	assert_int_equal(io_run_take(&r, got, sizeof got), 5);
	assert_memory_equal(got, "defgh", 5);
	assert_null(r.p);
	io_run_append(&r, "", 0);
	io_run_prepend(&r, "", 0);
	assert_int_equal(io_run_take(&r, got, sizeof got), 0);
	assert_null(r.p);
}

/* --- plain ------------------------------------------------------------------------------------ */

static void
test_plain_reads_and_writes(void **state)
{
	struct pair p;
	char got[64];

	(void)state;
	pair_open(&p);
	assert_false(io_is_tls(p.io));
	assert_string_equal(io_version(p.io), "plain");
	assert_ptr_equal(io_worker(p.io), p.w);
	assert_int_equal(io_peer(p.io)->port, 99);
	assert_read_fails(&p, ERR_AGAIN);
	peer_write(&p, "hello", 5);
	assert_reads(&p, "hello");
	assert_int_equal(io_write(p.io, "one ", 4), ERR_OK);
	assert_int_equal(io_write(p.io, "two", 3), ERR_OK);
	assert_int_equal(peer_read(&p, got, sizeof got), 0);	/* staged only */
	assert_int_equal(io_flush(p.io), ERR_OK);
	assert_int_equal(peer_read(&p, got, sizeof got), 7);
	assert_memory_equal(got, "one two", 7);
	assert_int_equal(io_flush(p.io), ERR_OK);	/* nothing to do */
	assert_int_equal(io_bytes_in(p.io), 5);
	assert_int_equal(io_bytes_out(p.io), 7);
	close(p.fd);
	p.fd = -1;
	assert_read_fails(&p, ERR_CLOSED);
	pair_close(&p);
}

static void
test_unread_comes_first(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	peer_write(&p, "world", 5);
	io_unread(p.io, "lo ", 3);
	io_unread(p.io, "hel", 3);
	assert_true(io_has_more(p.io));
	assert_reads(&p, "hello ");
	assert_false(io_has_more(p.io));
	assert_reads(&p, "world");
	pair_close(&p);
}

/* A read that emptied the socket says so without asking it again; the next turn sees what came. */
static void
test_short_read_means_empty_within_a_turn(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	worker_turn(p.w, false);
	peer_write(&p, "a", 1);
	assert_reads(&p, "a");
	peer_write(&p, "b", 1);
	assert_read_fails(&p, ERR_AGAIN);
	worker_turn(p.w, false);
	assert_reads(&p, "b");
	peer_write(&p, "c", 1);
	worker_turn(p.w, false);
	assert_reads(&p, "c");
	pair_close(&p);
}

static void
test_peer_gone_fails_writes_for_good(void **state)
{
	struct pair p;
	enum err rc;

	(void)state;
	pair_open(&p);
	close(p.fd);
	p.fd = -1;
	assert_int_equal(io_write(p.io, "x", 1), ERR_OK);
	assert_int_equal(io_flush(p.io), ERR_CLOSED);
	rc = io_write(p.io, "x", 1);
	assert_int_equal(rc, ERR_IO);
	assert_int_equal(io_flush(p.io), ERR_IO);
	assert_int_equal(io_write_room(p.io), 0);
	pair_close(&p);
}

/* --- back pressure and bulk, plain and TLS ---------------------------------------------------- */

/* Writes until the socket takes no more; what was sealed arrives whole and in order later. */
static void
check_back_pressure(struct pair *p)
{
	uint8_t *bulk = bulk_new(), *got = obj_alloc(BULK_BYTES);
	size_t n_sent = 0, n_got = 0;
	enum err rc = ERR_OK;

	while (rc == ERR_OK) {
		assert_true(io_write_room(p->io) >= 100000);
		assert_int_equal(io_write(p->io, bulk + n_sent, 100000), ERR_OK);
		n_sent += 100000;
		assert_true(n_sent + 100000 <= BULK_BYTES);
		rc = io_flush(p->io);
	}
	assert_int_equal(rc, ERR_AGAIN);
	assert_true(io_pending_bytes(p->io) > 0);
	assert_int_equal(io_write_room(p->io), 0);
	assert_int_equal(io_wants(p->io), EV_READ | EV_WRITE);
	assert_int_equal(io_write(p->io, "x", 1), ERR_AGAIN);
	assert_int_equal(io_flush(p->io), ERR_AGAIN);
	while (n_got < n_sent) {
		size_t k = peer_read(p, got + n_got, BULK_BYTES - n_got);

		assert_true(k > 0);
		n_got += k;
		rc = io_flush(p->io);
		assert_true(rc == ERR_OK || rc == ERR_AGAIN);
	}
	assert_int_equal(n_got, n_sent);
	assert_memory_equal(got, bulk, n_got);
	assert_int_equal(io_pending_bytes(p->io), 0);
	assert_int_equal(io_wants(p->io), EV_READ);
	assert_int_equal(io_write(p->io, "x", 1), ERR_OK);
	assert_int_equal(io_flush(p->io), ERR_OK);
	assert_int_equal(peer_read(p, got, 10), 1);
	free(bulk);
	free(got);
}

/* 1 MiB to the peer and 1 MiB back at the same time, as fast as the sockets take it. */
static void
check_bulk(struct pair *p, size_t chunk)
{
	uint8_t *bulk = bulk_new(), *there = obj_alloc(BULK_BYTES), *back = obj_alloc(BULK_BYTES);
	size_t n_out = 0, n_there = 0, n_echoed = 0, n_back = 0, n;
	enum err rc;

	while (n_back < BULK_BYTES) {
		n = chunk < BULK_BYTES - n_out ? chunk : BULK_BYTES - n_out;
		if (n > 0 && io_write(p->io, bulk + n_out, n) == ERR_OK)
			n_out += n;
		rc = io_flush(p->io);
		assert_true(rc == ERR_OK || rc == ERR_AGAIN);
		n_there += peer_read(p, there + n_there, BULK_BYTES - n_there);
		while (n_echoed < n_there) {
			int k = p->client != NULL ?
			    SSL_write(p->client, there + n_echoed, (int)(n_there - n_echoed)) :
			    (int)write(p->fd, there + n_echoed, n_there - n_echoed);

			if (k <= 0)
				break;
			n_echoed += (size_t)k;
		}
		while ((rc = io_read(p->io, back + n_back, BULK_BYTES - n_back, &n)) == ERR_OK) {
			n_back += n;
			if (n_back == BULK_BYTES)
				break;
		}
		assert_true(rc == ERR_OK || rc == ERR_AGAIN);
	}
	assert_memory_equal(back, bulk, BULK_BYTES);
	free(bulk);
	free(there);
	free(back);
}

static void
test_back_pressure(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		struct pair p;

		open_version(&p, versions[i]);
		check_back_pressure(&p);
		pair_close(&p);
	}
}

static void
test_bulk_is_intact(void **state)
{
	static const size_t chunks[] = { 999, IO_RECORD_BYTES, IO_STAGE_BYTES / 2 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(versions); i++)
		for (size_t k = 0; k < COUNT_OF(chunks); k++) {
			struct pair p;

			open_version(&p, versions[i]);
			check_bulk(&p, chunks[k]);
			pair_close(&p);
		}
}

/* However it is filled, the stage refuses rather than overflows, and what it took arrives. */
static void
test_stage_is_bounded(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		uint8_t *bulk = bulk_new(), *got = obj_alloc(BULK_BYTES);
		size_t n_taken = 0, n_got = 0, room;
		struct pair p;

		open_version(&p, versions[i]);
		while (io_write(p.io, bulk + n_taken, 1300) == ERR_OK)
			n_taken += 1300;
		assert_in_range(n_taken, IO_STAGE_BYTES * 9 / 10, IO_STAGE_BYTES);
		while ((room = io_write_room(p.io)) > 0) {
			assert_int_equal(io_write(p.io, bulk + n_taken, room), ERR_OK);
			n_taken += room;
		}
		while (n_got < n_taken) {
			enum err rc = io_flush(p.io);

			assert_true(rc == ERR_OK || rc == ERR_AGAIN);
			n_got += peer_read(&p, got + n_got, BULK_BYTES - n_got);
		}
		assert_int_equal(n_got, n_taken);
		assert_memory_equal(got, bulk, n_got);
		free(bulk);
		free(got);
		pair_close(&p);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_plain_reads_and_writes),
		cmocka_unit_test(test_unread_comes_first),
		cmocka_unit_test(test_short_read_means_empty_within_a_turn),
		cmocka_unit_test(test_peer_gone_fails_writes_for_good),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_bulk_is_intact),
		cmocka_unit_test(test_stage_is_bounded),
	};

	return cmocka_run_group_tests(tests, setup_contexts, teardown_contexts);
}
