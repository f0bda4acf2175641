/* links: */
/* Streams whose TLS 1.3 records are our own: the switch behind the handshake, and what is shared among the
 * connections of a worker. The peer is OpenSSL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/io_priv.h"
#include "tests/unit/io_pair.h"

/* What the client would send goes to *mem from here on. */
static BIO *
hold_back(struct pair *p)
{
	BIO *mem = BIO_new(BIO_s_mem());

	assert_non_null(mem);
	SSL_set0_wbio(p->client, mem);
	return mem;
}

/* --- the switch ------------------------------------------------------------------------------- */

/* After the first byte in or out OpenSSL has gone, unless the records are its. */
static void
test_who_has_the_records(void **state)
{
	(void)state;
	for (size_t i = 1; i < COUNT_OF(versions); i++) {
		bool are_own = versions[i] == TLS1_3_VERSION;

		for (unsigned is_write = 0; is_write < 2; is_write++) {
			struct pair p;
			char got[8];

			pair_open_tls(&p, versions[i]);
			assert_non_null(p.io->ssl);
			if (is_write) {
				assert_int_equal(io_write(p.io, "first", 5), ERR_OK);
				assert_int_equal(io_flush(p.io), ERR_OK);
				assert_int_equal(peer_read(&p, got, sizeof got), 5);
			} else {
				peer_write(&p, "first", 5);
				assert_reads(&p, "first");
			}
			assert_int_equal(p.io->ssl == NULL, are_own);
			assert_int_equal(p.io->rec != NULL, are_own);
			assert_true(io_is_tls(p.io));
			assert_string_equal(io_version(p.io), i == 1 ? "TLSv1.2" : "TLSv1.3");
			pair_close(&p);
		}
	}
}

/* A server that gives tickets has sent records that nobody counted: OpenSSL keeps it. */
static void
test_tickets_leave_it_to_openssl(void **state)
{
	struct pair p;
	char got[8];

	(void)state;
	io_tls_ctx_records(server_ctx, true);
	assert_int_equal(SSL_CTX_set_num_tickets(server_ctx, 2), 1);
	SSL_CTX_clear_options(server_ctx, SSL_OP_NO_TICKET);
	pair_open_tls(&p, TLS1_3_VERSION);
	peer_write(&p, "to", 2);
	assert_reads(&p, "to");
	assert_non_null(p.io->ssl);
	assert_null(p.io->rec);
	assert_int_equal(io_write(p.io, "fro", 3), ERR_OK);
	assert_int_equal(io_flush(p.io), ERR_OK);
	assert_int_equal(peer_read(&p, got, sizeof got), 3);
	pair_close(&p);
	assert_int_equal(SSL_CTX_set_num_tickets(server_ctx, 0), 1);
	SSL_CTX_set_options(server_ctx, SSL_OP_NO_TICKET);
}

/* The client's first data comes in one piece with the end of its handshake, cut off anywhere. */
static void
test_data_behind_the_handshake(void **state)
{
	(void)state;
	for (size_t i = 2; i < COUNT_OF(versions); i++)
		for (long held = 0; held < 50; held += 7) {
			struct pair p;
			BIO *mem;
			char *bytes;
			long n;

			pair_open(&p);
			io_tls_ctx_records(server_ctx, versions[i] > 0);
			io_tls_start(p.io, SSL_new(server_ctx));
			client_start(&p, versions[i]);
			assert_int_equal(SSL_do_handshake(p.client), -1);
			assert_int_equal(io_tls_handshake(p.io), ERR_AGAIN);
			mem = hold_back(&p);
			assert_int_equal(SSL_do_handshake(p.client), 1);
			peer_write(&p, "one", 3);
			peer_write(&p, "two", 3);
			n = BIO_get_mem_data(mem, &bytes);
			assert_int_equal(write(p.fd, bytes, (size_t)(n - held)), n - held);
			assert_int_equal(io_tls_handshake(p.io), ERR_OK);
			assert_int_equal(io_has_more(p.io), held < 25 || versions[i] < 0);
			if (held < 25)
				assert_reads(&p, "one");
			if (held == 0)
				assert_reads(&p, "two");
			assert_read_fails(&p, ERR_AGAIN);
			assert_false(io_has_more(p.io));
			worker_turn(p.w, false);
			assert_int_equal(write(p.fd, bytes + n - held, (size_t)held), held);
			if (held >= 25)
				assert_reads(&p, "one");
			if (held > 0)
				assert_reads(&p, "two");
			pair_close(&p);
		}
}

/* --- as a client ------------------------------------------------------------------------------ */

/* The io is the client: tickets come, keys are changed by the server, and the certificate is there until
 * the first byte. */
static void
test_client_gets_tickets(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method()), *peer_ctx = SSL_CTX_new(TLS_server_method());
	enum err rc = ERR_AGAIN;
	struct pair p;
	int ok = 0;
	X509 *crt;

	(void)state;
	io_tls_ctx_init(ctx);
	assert_int_equal(SSL_CTX_use_certificate(peer_ctx, SSL_CTX_get0_certificate(server_ctx)), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(peer_ctx, SSL_CTX_get0_privatekey(server_ctx)), 1);
	pair_open(&p);
	io_tls_start_client(p.io, SSL_new(ctx));
	p.client = SSL_new(peer_ctx);
	assert_int_equal(SSL_set_fd(p.client, p.fd), 1);
	SSL_set_accept_state(p.client);
	for (unsigned i = 0; i < 20 && (rc != ERR_OK || ok != 1); i++) {
		if (rc != ERR_OK)
			rc = io_tls_handshake(p.io);
		ok = SSL_do_handshake(p.client);
	}
	assert_int_equal(rc, ERR_OK);
	assert_int_equal(ok, 1);
	crt = io_tls_peer_certificate(p.io);
	assert_non_null(crt);
	X509_free(crt);
	assert_read_fails(&p, ERR_AGAIN);	/* two tickets */
	assert_null(p.io->ssl);
	assert_true(io_bytes_in(p.io) > 0);
	assert_null(io_tls_peer_certificate(p.io));
	worker_turn(p.w, false);
	assert_int_equal(SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED), 1);
	peer_write(&p, "hello", 5);
	assert_int_equal(SSL_new_session_ticket(p.client), 1);
	peer_write(&p, "again", 5);
	assert_reads(&p, "hello");
	assert_reads(&p, "again");
	assert_int_equal(io_write(p.io, "back", 4), ERR_OK);
	assert_int_equal(io_flush(p.io), ERR_OK);
	assert_int_equal(peer_read(&p, (char[8]){ 0 }, 8), 4);
	pair_close(&p);
	SSL_CTX_free(ctx);
	SSL_CTX_free(peer_ctx);
}

/* --- one feed for all ------------------------------------------------------------------------- */

/* Three connections of one worker whose records come a few bytes at a time, in turns. */
static void
test_connections_share_the_feed(void **state)
{
	struct pair p[3];
	BIO *mem[3];
	char *bytes[3], text[32], got[32];
	long n[3], at[3] = { 0 };
	unsigned n_read[3] = { 0 }, n_all = 0;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		int fds[2];

		pair_open_tls(&p[i], TLS1_3_VERSION);
		if (i == 0)
			continue;
		/* All on the first one's worker. */
		io_free(p[i].io);
		SSL_free(p[i].client);
		close(p[i].fd);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
		p[i].io = io_new(p[0].w, fds[0], NULL);
		p[i].fd = fds[1];
		io_tls_start(p[i].io, SSL_new(server_ctx));
		client_start(&p[i], TLS1_3_VERSION);
		shake_hands(&p[i]);
	}
	for (unsigned i = 0; i < 3; i++) {
		mem[i] = hold_back(&p[i]);
		for (unsigned k = 0; k < 20; k++) {
			snprintf(text, sizeof text, "%u says %u", i, k);
			peer_write(&p[i], text, strlen(text));
		}
		n[i] = BIO_get_mem_data(mem[i], &bytes[i]);
	}
	for (unsigned round = 0; n_all < 60; round++) {
		unsigned i = round % 3;
		long k = 1 + (long)(round * 7) % 50;
		size_t n_got;

		assert_in_range(round, 0, 1000);
		k = k < n[i] - at[i] ? k : n[i] - at[i];
		assert_int_equal(write(p[i].fd, bytes[i] + at[i], (size_t)k), k);
		at[i] += k;
		while (io_read(p[i].io, got, sizeof got, &n_got) == ERR_OK) {
			snprintf(text, sizeof text, "%u says %u", i, n_read[i]++);
			assert_int_equal(n_got, strlen(text));
			assert_memory_equal(got, text, n_got);
			n_all++;
		}
		worker_turn(p[0].w, false);
	}
	for (unsigned i = 3; i-- > 0;)
		pair_close(&p[i]);
}

/* A record is longer than what the caller asks for. */
static void
test_small_reads_of_a_long_record(void **state)
{
	static uint8_t sent[16384], got[16384];
	static const size_t caps[] = { 1, 7, 100, 5000, 16383, 16384 };

	(void)state;
	for (size_t i = 0; i < sizeof sent; i++)
		sent[i] = (uint8_t)(i * 7 / 3);
	for (size_t i = 0; i < COUNT_OF(caps); i++) {
		struct pair p;
		size_t at = 0, n;

		pair_open_tls(&p, TLS1_3_VERSION);
		peer_write(&p, sent, sizeof sent);
		peer_write(&p, "next", 4);
		while (at < sizeof got) {
			size_t cap = caps[i] < sizeof got - at ? caps[i] : sizeof got - at;

			assert_int_equal(io_read(p.io, got + at, cap, &n), ERR_OK);
			assert_in_range(n, 1, cap);
			at += n;
		}
		assert_memory_equal(got, sent, sizeof sent);
		assert_reads(&p, "next");
		pair_close(&p);
	}
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Who breaks a record is told why, behind what was staged for it. */
static void
test_broken_record_is_answered(void **state)
{
	(void)state;
	for (unsigned is_staged = 0; is_staged < 2; is_staged++) {
		struct pair p;
		char *bytes, got[8];
		BIO *mem;
		long n;

		pair_open_tls(&p, TLS1_3_VERSION);
		mem = hold_back(&p);
		peer_write(&p, "whole", 5);
		n = BIO_get_mem_data(mem, &bytes);
		bytes[n - 1] ^= 1;
		assert_int_equal(write(p.fd, bytes, (size_t)n), n);
		if (is_staged)
			assert_int_equal(io_write(p.io, "said", 4), ERR_OK);
		assert_read_fails(&p, ERR_IO);
		assert_read_fails(&p, ERR_IO);
		assert_int_equal(io_write(p.io, "x", 1), ERR_IO);
		assert_int_equal(io_flush(p.io), ERR_IO);
		assert_false(io_has_more(p.io));
		assert_int_equal(peer_read(&p, got, sizeof got), is_staged ? 4 : 0);
		assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
		ERR_clear_error();
		pair_close(&p);
	}
}

/* Longer than a record may be. */
static void
test_long_record_is_refused(void **state)
{
	struct pair p;

	(void)state;
	pair_open_tls(&p, TLS1_3_VERSION);
	assert_int_equal(write(p.fd, "\x17\x03\x03\x41\x01", 5), 5);
	assert_read_fails(&p, ERR_IO);
	assert_int_equal(peer_read(&p, (char[8]){ 0 }, 8), 0);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_RECORD_OVERFLOW);
	ERR_clear_error();
	pair_close(&p);
}

/* Whose end comes in the middle of a record. */
static void
test_stream_is_cut(void **state)
{
	struct pair p;
	char *bytes;
	BIO *mem;
	long n;

	(void)state;
	pair_open_tls(&p, TLS1_3_VERSION);
	mem = hold_back(&p);
	peer_write(&p, "whole", 5);
	peer_write(&p, "cut", 3);
	n = BIO_get_mem_data(mem, &bytes);
	assert_int_equal(write(p.fd, bytes, (size_t)n - 1), n - 1);
	shutdown(p.fd, SHUT_WR);
	assert_reads(&p, "whole");
	worker_turn(p.w, false);
	assert_read_fails(&p, ERR_CLOSED);
	assert_read_fails(&p, ERR_IO);
	pair_close(&p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_who_has_the_records),
		cmocka_unit_test(test_tickets_leave_it_to_openssl),
		cmocka_unit_test(test_data_behind_the_handshake),
		cmocka_unit_test(test_client_gets_tickets),
		cmocka_unit_test(test_connections_share_the_feed),
		cmocka_unit_test(test_small_reads_of_a_long_record),
		cmocka_unit_test(test_broken_record_is_answered),
		cmocka_unit_test(test_long_record_is_refused),
		cmocka_unit_test(test_stream_is_cut),
	};

	return cmocka_run_group_tests(tests, setup_contexts, teardown_contexts);
}
