/*
 * A connection under test and its peer: one end of a socketpair is a struct io, the other a raw
 * descriptor or an OpenSSL client. cmocka is included before.
 */
#ifndef TESTS_UNIT_IO_PAIR_H
#define TESTS_UNIT_IO_PAIR_H

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/obj.h"
#include "base/worker.h"

static SSL_CTX *server_ctx, *client_ctx;

#define TLS1_3_LEFT	(-TLS1_3_VERSION)	/* its records are left to OpenSSL */

static const int versions[] = { 0, TLS1_2_VERSION, TLS1_3_VERSION, TLS1_3_LEFT };	/* 0: plain */

/* One end is the io under test, the other a raw descriptor or an OpenSSL client. */
struct pair {
	struct worker_group *g;
	struct worker *w;
	struct io *io;
	int fd;
	SSL *client;
};

static inline int
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

static inline int
teardown_contexts(void **state)
{
	(void)state;
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	return 0;
}

static inline void
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

static inline void
pair_close(struct pair *p)
{
	io_free(p->io);
	SSL_free(p->client);
	if (p->fd >= 0)
		close(p->fd);
	worker_group_free(p->g);
}

static inline void
client_start(struct pair *p, int version)
{
	p->client = SSL_new(client_ctx);
	assert_int_equal(SSL_set_max_proto_version(p->client, abs(version)), 1);
	assert_int_equal(SSL_set_fd(p->client, p->fd), 1);
	SSL_set_connect_state(p->client);
}

/* Both sides in turns, until both are done. */
static inline void
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

static inline void
pair_open_tls(struct pair *p, int version)
{
	pair_open(p);
	io_tls_ctx_records(server_ctx, version > 0);
	io_tls_start(p->io, SSL_new(server_ctx));
	client_start(p, version);
	shake_hands(p);
}

/* The peer writes all, whether raw or TLS. */
static inline void
peer_write(struct pair *p, const void *bytes, size_t n)
{
	if (p->client != NULL)
		assert_int_equal(SSL_write(p->client, bytes, (int)n), (int)n);
	else
		assert_int_equal(write(p->fd, bytes, n), (ssize_t)n);
}

/* What the peer has right now, up to cap. */
static inline size_t
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

static inline void
assert_reads(struct pair *p, const char *text)
{
	char got[256];
	size_t n = 0;

	assert_int_equal(io_read(p->io, got, sizeof got, &n), ERR_OK);
	assert_int_equal(n, strlen(text));
	assert_memory_equal(got, text, n);
}

static inline void
assert_read_fails(struct pair *p, enum err rc)
{
	char got[16];
	size_t n = 77;

	assert_int_equal(io_read(p->io, got, sizeof got, &n), rc);
	assert_int_equal(n, 77);
}

static inline void
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

#endif
