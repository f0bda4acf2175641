/* links: */
/* Streams over socketpairs: plain and TLS against an OpenSSL client, back pressure, bad input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/io_run.h"
#include "base/obj.h"
#include "base/worker.h"

#define BULK_BYTES	(1u << 20)

static SSL_CTX *server_ctx, *client_ctx;

/* One end is the io under test, the other a raw descriptor or an OpenSSL client. */
struct pair {
	struct worker_group *g;
	struct worker *w;
	struct io *io;
	int fd;
	SSL *client;
};

/* --- fixtures --------------------------------------------------------------------------------- */

static int
setup_contexts(void **state)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *crt = X509_new();

	(void)state;
	assert_non_null(key);
	assert_non_null(crt);
	ASN1_INTEGER_set(X509_get_serialNumber(crt), 1);
	X509_gmtime_adj(X509_getm_notBefore(crt), -60);
	X509_gmtime_adj(X509_getm_notAfter(crt), 3600);
	X509_set_pubkey(crt, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(crt), "CN", MBSTRING_ASC,
	    (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(crt, X509_get_subject_name(crt));
	assert_true(X509_sign(crt, key, EVP_sha256()) > 0);
	server_ctx = SSL_CTX_new(TLS_server_method());
	client_ctx = SSL_CTX_new(TLS_client_method());
	io_tls_ctx_init(server_ctx);
	assert_int_equal(SSL_CTX_use_certificate(server_ctx, crt), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server_ctx, key), 1);
	X509_free(crt);
	EVP_PKEY_free(key);
	return 0;
}

static int
teardown_contexts(void **state)
{
	(void)state;
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	return 0;
}

static void
pair_open(struct pair *p)
{
	struct net_addr peer = { .ip = { .family = 4, .b = { 192, 0, 2, 7 } }, .port = 99 };
	struct err_text why;
	int fds[2];

	*p = (struct pair){ .fd = -1 };
	assert_int_equal(worker_group_new(1, &p->g, &why), ERR_OK);
	p->w = worker_group_at(p->g, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	p->io = io_new(p->w, fds[0], &peer);
	p->fd = fds[1];
	assert_int_equal(io_fd(p->io), fds[0]);
}

static void
pair_close(struct pair *p)
{
	io_free(p->io);
	SSL_free(p->client);
	if (p->fd >= 0)
		close(p->fd);
	worker_group_free(p->g);
}

static void
client_start(struct pair *p, int version)
{
	p->client = SSL_new(client_ctx);
	assert_int_equal(SSL_set_max_proto_version(p->client, version), 1);
	assert_int_equal(SSL_set_fd(p->client, p->fd), 1);
	SSL_set_connect_state(p->client);
}

/* Both sides in turns, until both are done. */
static void
shake_hands(struct pair *p)
{
	enum err rc = ERR_AGAIN;
	int ok = 0;

	for (unsigned i = 0; i < 20 && (rc != ERR_OK || ok != 1); i++) {
		ok = SSL_do_handshake(p->client);
		if (ok != 1)
			assert_int_equal(SSL_get_error(p->client, ok), SSL_ERROR_WANT_READ);
		if (rc != ERR_OK)
			rc = io_tls_handshake(p->io);
		if (rc != ERR_OK)
			assert_int_equal(rc, ERR_AGAIN);
	}
	assert_int_equal(rc, ERR_OK);
	assert_int_equal(ok, 1);
	assert_int_equal(io_pending_bytes(p->io), 0);
}

static void
pair_open_tls(struct pair *p, int version)
{
	pair_open(p);
	io_tls_start(p->io, SSL_new(server_ctx));
	client_start(p, version);
	shake_hands(p);
}

/* The peer writes all, whether raw or TLS. */
static void
peer_write(struct pair *p, const void *bytes, size_t n)
{
	if (p->client != NULL)
		assert_int_equal(SSL_write(p->client, bytes, (int)n), (int)n);
	else
		assert_int_equal(write(p->fd, bytes, n), (ssize_t)n);
}

/* What the peer has right now, up to cap. */
static size_t
peer_read(struct pair *p, void *bytes, size_t cap)
{
	size_t n = 0;

	while (n < cap) {
		ssize_t k;

		ERR_clear_error();
		if (p->client != NULL)
			k = SSL_read(p->client, (char *)bytes + n, (int)(cap - n));
		else
			k = read(p->fd, (char *)bytes + n, cap - n);
		if (k <= 0)
			break;
		n += (size_t)k;
	}
	return n;
}

static void
assert_reads(struct pair *p, const char *text)
{
	char got[256];
	size_t n = 0;

	assert_int_equal(io_read(p->io, got, sizeof got, &n), ERR_OK);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, n);
}

static void
assert_read_fails(struct pair *p, enum err rc)
{
	char got[16];
	size_t n = 77;

	assert_int_equal(io_read(p->io, got, sizeof got, &n), rc);
	assert_int_equal(n, 77);
}

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

static void
test_take_fd_gives_the_rest(void **state)
{
	struct buf rest = { .p = NULL };
	struct pair p;
	int fd;

	(void)state;
	pair_open(&p);
	io_unread(p.io, "rest", 4);
	fd = io_take_fd(p.io, &rest);
	p.io = NULL;
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(rest.len, 4);
	assert_memory_equal(rest.p, "rest", 4);
	buf_fini(&rest);
	close(fd);
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

static const int versions[] = { 0, TLS1_2_VERSION, TLS1_3_VERSION };	/* 0: plain */

static void
open_version(struct pair *p, int version)
{
	if (version == 0)
		pair_open(p);
	else
		pair_open_tls(p, version);
	if (p->client != NULL)
		SSL_set_mode(p->client, SSL_MODE_ENABLE_PARTIAL_WRITE |
		    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
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
	struct pair p;
	BIO *mem = BIO_new(BIO_s_mem());
	char *bytes;
	long n;

	(void)state;
	pair_open_tls(&p, TLS1_3_VERSION);
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
	for (unsigned is_staged = 0; is_staged < 2; is_staged++) {
		struct pair p;

		pair_open_tls(&p, TLS1_3_VERSION);
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

/* Who asks for new keys for ever and reads nothing is closed; what it costs us is bounded. */
static void
test_key_update_flood(void **state)
{
	enum err rc = ERR_AGAIN;
	struct pair p;
	size_t n, most = 0;
	char got[16];

	(void)state;
	pair_open_tls(&p, TLS1_3_VERSION);
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
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_plain_reads_and_writes),
		cmocka_unit_test(test_unread_comes_first),
		cmocka_unit_test(test_take_fd_gives_the_rest),
		cmocka_unit_test(test_short_read_means_empty_within_a_turn),
		cmocka_unit_test(test_peer_gone_fails_writes_for_good),
		cmocka_unit_test(test_back_pressure),
		cmocka_unit_test(test_bulk_is_intact),
		cmocka_unit_test(test_stage_is_bounded),
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
		cmocka_unit_test(test_renegotiation_is_refused),
	};

	return cmocka_run_group_tests(tests, setup_contexts, teardown_contexts);
}
