/* links: */
/* TLS streams against an OpenSSL client: read-ahead, unread bytes, ends, bad input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>

#include "tests/unit/io_pair.h"

/* --- TLS -------------------------------------------------------------------------------------- */

static void
test_tls_settings(void **state)
{
	struct pair p;

	(void)state;
	for (size_t i = 1; i < COUNT_OF(versions); i++) {
		pair_open_tls(&p, versions[i]);
		assert_true(io_is_tls(p.io));
		assert_string_equal(io_version(p.io), i == 1 ? "TLSv1.2" : "TLSv1.3");
		/* No ticket: nothing but the handshake was sent. */
		assert_int_equal(peer_read(&p, &(char){ 0 }, 1), 0);
		assert_int_equal(SSL_SESSION_has_ticket(SSL_get_session(p.client)), 0);
		pair_close(&p);
	}
}

/* Many records are there after one read of the socket: io_has_more tells, epoll would not. */
static void
test_tls_reads_ahead(void **state)
{
	struct pair p;
	struct pollfd pfd;
	char text[8];

	(void)state;
	pair_open_tls(&p, TLS1_3_VERSION);
	assert_false(io_has_more(p.io));
	for (unsigned i = 0; i < 40; i++) {
		snprintf(text, sizeof text, "rec%02u", i);
		peer_write(&p, text, strlen(text));
	}
	assert_reads(&p, "rec00");
	pfd = (struct pollfd){ .fd = io_fd(p.io), .events = POLLIN };
	assert_int_equal(poll(&pfd, 1, 0), 0);
	for (unsigned i = 1; i < 40; i++) {
		assert_true(io_has_more(p.io));
		snprintf(text, sizeof text, "rec%02u", i);
		assert_reads(&p, text);
	}
	assert_false(io_has_more(p.io));
	assert_read_fails(&p, ERR_AGAIN);
	pair_close(&p);
}

/* A part of a record is not something to go on with. */
static void
test_tls_part_of_a_record(void **state)
{
	(void)state;
	for (size_t i = 2; i < COUNT_OF(versions); i++) {
		struct pair p;
		BIO *mem = BIO_new(BIO_s_mem());
		char *bytes;
		long n;

		pair_open_tls(&p, versions[i]);
		SSL_set0_wbio(p.client, mem);
		peer_write(&p, "whole", 5);
		peer_write(&p, "parted", 6);
		n = BIO_get_mem_data(mem, &bytes);
		assert_int_equal(write(p.fd, bytes, (size_t)n - 4), n - 4);
		assert_reads(&p, "whole");
		assert_read_fails(&p, ERR_AGAIN);
		assert_false(io_has_more(p.io));
		assert_int_equal(write(p.fd, bytes + n - 4, 4), 4);
		assert_reads(&p, "parted");
		pair_close(&p);
	}
}

/* The door looked at the first bytes: TLS gets them first. Put back later: plaintext. */
static void
test_unread_before_and_after_tls(void **state)
{
	static const size_t peeked[] = { 1, 5, 64, 4096 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(peeked); i++) {
		struct pair p;
		char head[4096];
		size_t n = 0;

		pair_open(&p);
		client_start(&p, TLS1_3_VERSION);
		assert_int_equal(SSL_do_handshake(p.client), -1);
		assert_int_equal(io_read(p.io, head, peeked[i], &n), ERR_OK);
		io_unread(p.io, head, n);
		io_tls_start(p.io, SSL_new(server_ctx));
		shake_hands(&p);
		peer_write(&p, "body", 4);
		io_unread(p.io, "head ", 5);
		assert_true(io_has_more(p.io));
		assert_reads(&p, "head ");
		assert_reads(&p, "body");
		pair_close(&p);
	}
}

static void
test_tls_clean_end_both_ways(void **state)
{
	struct pair p;
	char c;

	(void)state;
	for (size_t i = 1; i < COUNT_OF(versions); i++) {
		pair_open_tls(&p, versions[i]);
		peer_write(&p, "bye", 3);
		SSL_shutdown(p.client);
		assert_reads(&p, "bye");
		assert_read_fails(&p, ERR_CLOSED);
		/* The other direction is still open. */
		assert_int_equal(io_write(p.io, "k", 1), ERR_OK);
		io_free(p.io);	/* flushes, then close_notify */
		p.io = NULL;
		ERR_clear_error();
		assert_int_equal(SSL_read(p.client, &c, 1), 1);
		assert_int_equal(c, 'k');
		assert_int_equal(SSL_get_error(p.client, SSL_read(p.client, &c, 1)),
		    SSL_ERROR_ZERO_RETURN);
		pair_close(&p);
	}
}

static void
test_tls_end_without_close_notify(void **state)
{
	struct pair p;

	(void)state;
	pair_open_tls(&p, TLS1_3_VERSION);
	close(p.fd);
	p.fd = -1;
	assert_read_fails(&p, ERR_CLOSED);
	assert_read_fails(&p, ERR_IO);
	pair_close(&p);
}

static void
test_garbage_instead_of_tls(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		bool then_ends;
		enum err want;
	} cases[] = {
		{ "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, false, ERR_CRYPTO },
		{ "\x16\x03\x01\x00\x05hello", 10, false, ERR_CRYPTO },
		{ "\x16\x03\x01\xff\xff", 5, false, ERR_CRYPTO },
		{ "\x17\x03\x03\x00\x02xx", 7, false, ERR_CRYPTO },
		{ "\x16\x03\x01", 3, false, ERR_AGAIN },
		{ "\x16\x03\x01", 3, true, ERR_CLOSED },
		{ "", 0, true, ERR_CLOSED },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct pair p;
		enum err rc;

		pair_open(&p);
		io_tls_start(p.io, SSL_new(server_ctx));
		assert_int_equal(write(p.fd, cases[i].bytes, cases[i].n), (ssize_t)cases[i].n);
		if (cases[i].then_ends)
			shutdown(p.fd, SHUT_WR);
		rc = io_tls_handshake(p.io);
		assert_int_equal(rc, cases[i].want);
		if (rc == ERR_CRYPTO)	/* for good */
			assert_int_equal(io_tls_handshake(p.io), ERR_IO);
		assert_int_equal(ERR_peek_error(), 0);
		pair_close(&p);
	}
}

static void
test_garbage_after_the_handshake(void **state)
{
	struct pair p, other;

	(void)state;
	pair_open_tls(&p, TLS1_3_VERSION);
	pair_open_tls(&other, TLS1_3_VERSION);
	assert_int_equal(write(p.fd, "\x17\x03\x03\x00\x14xxxxxxxxxxxxxxxxxxxx", 25), 25);
	assert_read_fails(&p, ERR_IO);
	assert_int_equal(io_write(p.io, "x", 1), ERR_IO);
	/* One connection's error is not left for the next one to find. */
	peer_write(&other, "fine", 4);
	assert_reads(&other, "fine");
	pair_close(&p);
	pair_close(&other);
}

static void
test_handshake_with_nothing_in_common(void **state)
{
	struct pair p;

	(void)state;
	pair_open(&p);
	io_tls_start(p.io, SSL_new(server_ctx));
	client_start(&p, TLS1_2_VERSION);
	assert_int_equal(SSL_set_cipher_list(p.client, "ECDHE-ECDSA-AES128-SHA"), 1);
	assert_int_equal(SSL_do_handshake(p.client), -1);
	assert_int_equal(io_tls_handshake(p.io), ERR_CRYPTO);
	/* The client is told why. */
	ERR_clear_error();
	assert_int_equal(SSL_do_handshake(p.client), -1);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE);
	ERR_clear_error();
	pair_close(&p);
}

/* Answers to key updates leave by themselves, or in order behind what is staged. */
static void
test_key_update(void **state)
{
	char got[16];

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		bool is_staged = i % 2 == 1;
		struct pair p;

		pair_open_tls(&p, i < 2 ? TLS1_3_VERSION : TLS1_3_LEFT);
		if (is_staged)
			assert_int_equal(io_write(p.io, "before ", 7), ERR_OK);
		assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
		peer_write(&p, "new keys", 8);
		assert_reads(&p, "new keys");
		assert_int_equal(io_pending_bytes(p.io), 0);
		assert_int_equal(io_write(p.io, "after", 5), ERR_OK);
		assert_int_equal(io_flush(p.io), ERR_OK);
		assert_int_equal(peer_read(&p, got, sizeof got), is_staged ? 12 : 5);
		assert_memory_equal(got, is_staged ? "before after" : "after", is_staged ? 12 : 5);
		pair_close(&p);
	}
}

/* Who asks for new keys for ever and reads nothing is closed; what it costs us is bounded. (Of records of our
 * own tests/unit/test_tls_record has the same.) */
static void
test_key_update_flood(void **state)
{
	enum err rc = ERR_AGAIN;
	struct pair p;
	size_t n, most = 0;
	char got[16];

	(void)state;
	pair_open_tls(&p, TLS1_3_LEFT);
	for (unsigned i = 0; i < 200000 && rc == ERR_AGAIN; i++) {
		assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(p.client), 1);
		rc = io_read(p.io, got, sizeof got, &n);
		most = io_pending_bytes(p.io) > most ? io_pending_bytes(p.io) : most;
	}
	assert_int_equal(rc, ERR_IO);
	assert_in_range(most, 1, IO_STAGE_BYTES * 2);
	pair_close(&p);
}

/* Records without a byte for us, as many as the client likes: one call ends all the same, so that the
 * others of this loop get their turn. */
static void
test_empty_talk_ends_a_read(void **state)
{
	const unsigned n_updates = 20000;
	struct pair p;
	BIO *mem = BIO_new(BIO_s_mem());
	char got[16], *bytes;
	size_t n, before, sent = 0;
	ssize_t n_bytes;
	unsigned calls = 0;

	(void)state;
	pair_open_tls(&p, TLS1_3_LEFT);
	SSL_set0_wbio(p.client, mem);
	for (unsigned i = 0; i < n_updates; i++) {
		assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(p.client), 1);
	}
	peer_write(&p, "at last", 7);
	n_bytes = BIO_get_mem_data(mem, &bytes);
	for (;;) {
		ssize_t k = write(p.fd, bytes + sent, (size_t)n_bytes - sent);

		if (k > 0)
			sent += (size_t)k;
		before = io_bytes_in(p.io);
		if (io_read(p.io, got, sizeof got, &n) == ERR_OK)
			break;
		assert_in_range(io_bytes_in(p.io) - before, 0, 128 << 10);
		assert_in_range(++calls, 1, 1000);
		worker_turn(p.w, false);
	}
	assert_int_equal(n, 7);
	pair_close(&p);
}

/* TLS 1.2 clients may ask to negotiate anew: refused. */
static void
test_renegotiation_is_refused(void **state)
{
	struct pair p;
	char got[16];
	size_t n;

	(void)state;
	pair_open_tls(&p, TLS1_2_VERSION);
	assert_int_equal(SSL_renegotiate(p.client), 1);
	assert_int_not_equal(SSL_do_handshake(p.client), 1);
	assert_int_not_equal(io_read(p.io, got, sizeof got, &n), ERR_OK);
	ERR_clear_error();
	assert_int_not_equal(SSL_do_handshake(p.client), 1);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
	ERR_clear_error();
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tls_settings),
		cmocka_unit_test(test_tls_reads_ahead),
		cmocka_unit_test(test_tls_part_of_a_record),
		cmocka_unit_test(test_unread_before_and_after_tls),
		cmocka_unit_test(test_tls_clean_end_both_ways),
		cmocka_unit_test(test_tls_end_without_close_notify),
		cmocka_unit_test(test_garbage_instead_of_tls),
		cmocka_unit_test(test_garbage_after_the_handshake),
		cmocka_unit_test(test_handshake_with_nothing_in_common),
		cmocka_unit_test(test_key_update),
		cmocka_unit_test(test_key_update_flood),
		cmocka_unit_test(test_empty_talk_ends_a_read),
		cmocka_unit_test(test_renegotiation_is_refused),
	};

	return cmocka_run_group_tests(tests, setup_contexts, teardown_contexts);
}
