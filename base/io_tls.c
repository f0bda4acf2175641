/*
 * TLS of a stream: the context's settings, the BIO between OpenSSL and base/io, the handshake, and who
 * does the records after it.
 */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/io_priv.h"
#include "base/key.h"
#include "base/obj.h"

#define IO_READ_AHEAD_BYTES	(64u << 10)

/* --- the BIO ---------------------------------------------------------------------------------- */

/* From the feed, so that not a byte behind the handshake gets into OpenSSL. */
static enum err
io_bio_read_feed(struct io *io, char *p, size_t cap, size_t *got)
{
	uint8_t *from;
	size_t n = io_feed_peek(io, &from);

	if (n == 0) {
		enum err rc;

		if (io->fed_bytes >= IO_TLS_FEED_BYTES)
			return ERR_AGAIN;
		if ((rc = io_feed_more(io, IO_READ_AHEAD_BYTES)) != ERR_OK)
			return rc;
		n = io_feed_peek(io, &from);
		io->fed_bytes += (uint32_t)n;
	}
	*got = n < cap ? n : cap;
	memcpy(p, from, *got);
	io_feed_drop(io, *got);
	return ERR_OK;
}

static enum err
io_bio_read_socket(struct io *io, char *p, size_t cap, size_t *got)
{
	enum err rc;

	*got = io_run_take(&io->raw, p, cap);
	if (*got > 0)
		return ERR_OK;
	if (io->fed_bytes >= IO_TLS_FEED_BYTES)
		return ERR_AGAIN;
	rc = io_recv(io, p, cap, got);
	if (rc == ERR_OK)
		io->fed_bytes += (uint32_t)*got;
	return rc;
}

static int
io_bio_read(BIO *bio, char *p, int cap)
{
	struct io *io = BIO_get_data(bio);
	size_t got;

	BIO_clear_retry_flags(bio);
	if (cap <= 0)
		return 0;
	switch (io->is_unsettled ? io_bio_read_feed(io, p, (size_t)cap, &got) :
	    io_bio_read_socket(io, p, (size_t)cap, &got)) {
	case ERR_OK:
		return (int)got;
	case ERR_AGAIN:
		BIO_set_retry_read(bio);
		return -1;
	case ERR_CLOSED:
		return 0;
	default:
		return -1;
	}
}

bool
io_tls_say(struct io *io, const void *p, size_t n)
{
	struct io_stage *s = io->w->stage;

	if (io->is_broken)
		return false;
	if (s->owner == io) {
		if (sizeof s->p - s->len < n)
			return false;
		memcpy(s->p + s->len, p, n);
		s->len += n;
		return true;
	}
	if (io_run_len(&io->out) + n > sizeof s->p + IO_TLS_SLACK_BYTES)
		return false;
	io_run_append(&io->out, p, n);
	return true;
}

static int
io_bio_write(BIO *bio, const char *p, int n)
{
	BIO_clear_retry_flags(bio);
	return n > 0 && io_tls_say(BIO_get_data(bio), p, (size_t)n) ? n : -1;
}

static long
io_bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	const struct io *io = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	switch (cmd) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return io->is_eof;
	default:
		return 0;
	}
}

static BIO_METHOD *io_bio_method;
static pthread_once_t io_bio_once = PTHREAD_ONCE_INIT;

static void
io_bio_setup(void)
{
	io_bio_method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "fairlead io");
	ASSERT(io_bio_method != NULL);
	ASSERT(BIO_meth_set_read(io_bio_method, io_bio_read) == 1);
	ASSERT(BIO_meth_set_write(io_bio_method, io_bio_write) == 1);
	ASSERT(BIO_meth_set_ctrl(io_bio_method, io_bio_ctrl) == 1);
}

/* --- context and handshake -------------------------------------------------------------------- */

static bool
cpu_has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("aes") != 0;
#elif defined(__aarch64__)
	return (getauxval(AT_HWCAP) & (1UL << 3)) != 0;	/* HWCAP_AES */
#else
	return false;
#endif
}

/* OpenSSL tells the secrets of a connection in no other way: lines of "LABEL client_random secret". */
static void
on_key_log(const SSL *ssl, const char *line)
{
	static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
	struct io *io = SSL_get_app_data(ssl);
	bool is_clients = strncmp(line, client, sizeof client - 1) == 0;
	const char *hex = strrchr(line, ' ');
	uint8_t secret[TLS_RECORD_SECRET_MAX];
	size_t n = hex != NULL ? strlen(hex + 1) : 0;

	if (io == NULL || io->rec == NULL || n == 0 || n > 2 * sizeof secret ||
	    (!is_clients && strncmp(line, server, sizeof server - 1) != 0))
		return;
	if (key_hex_parse(hex + 1, n, secret) == ERR_OK)
		tls_record_secret_put(io->rec, is_clients == (SSL_is_server(ssl) == 1) ? TLS_RECORD_IN :
		    TLS_RECORD_OUT, secret, n / 2);
	OPENSSL_cleanse(secret, sizeof secret);
}

void
io_tls_ctx_records(SSL_CTX *ctx, bool are_own)
{
	SSL_CTX_set_keylog_callback(ctx, are_own ? on_key_log : NULL);
}

void
io_tls_ctx_init(SSL_CTX *ctx)
{
	bool has_aes = cpu_has_aes();

	ASSERT(SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1);
	ASSERT(SSL_CTX_set_ciphersuites(ctx, has_aes ?
	    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256" :
	    "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384") == 1);
	ASSERT(SSL_CTX_set_cipher_list(ctx, has_aes ?
	    "ECDHE+AES128+AESGCM:ECDHE+AESGCM:ECDHE+CHACHA20" :
	    "ECDHE+CHACHA20:ECDHE+AES128+AESGCM:ECDHE+AESGCM") == 1);
	/* A client without AES names ChaCha20 first and gets it. */
	SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
	    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
	ASSERT(SSL_CTX_set_num_tickets(ctx, 0) == 1);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_clear_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, IO_READ_AHEAD_BYTES);
	io_tls_ctx_records(ctx, true);
}

/* Puts our BIO under ssl, which io owns from here on. */
static void
io_tls_attach(struct io *io, SSL *ssl, bool is_client)
{
	BIO *bio;

	OBJ_CHECK(io, IO_MAGIC);
	ASSERT(!io_has_tls(io) && ssl != NULL);
	ASSERT(io->out.p == NULL && io->w->stage->owner != io);
	ASSERT(pthread_once(&io_bio_once, io_bio_setup) == 0);
	bio = BIO_new(io_bio_method);
	ASSERT(bio != NULL);
	BIO_set_data(bio, io);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	io->ssl = ssl;
	io->raw = io->front;
	io->front = (struct io_run){ .p = NULL };
	io->is_unsettled = SSL_CTX_get_keylog_callback(SSL_get_SSL_CTX(ssl)) == on_key_log;
	if (!io->is_unsettled)
		return;
	if (io->w->stage->engine == NULL)
		io->w->stage->engine = tls_record_engine_new();
	io->rec = tls_record_new(io->w->stage->engine, is_client);
	SSL_set_app_data(ssl, io);
	SSL_set_read_ahead(ssl, 0);
	SSL_set_default_read_buffer_len(ssl, 0);
}

/* The handshake is done and nothing behind it was read or written: from here on the records are ours, or
 * OpenSSL's for good. */
static void
io_tls_settle(struct io *io)
{
	const SSL_CIPHER *cipher = SSL_get_current_cipher(io->ssl);

	ASSERT(io->is_open);
	io->is_unsettled = false;
	/* Tickets would be records of the server's that nobody counts. */
	if (SSL_version(io->ssl) == TLS1_3_VERSION && cipher != NULL &&
	    (SSL_is_server(io->ssl) == 0 || SSL_get_num_tickets(io->ssl) == 0) &&
	    tls_record_start(io->rec, SSL_CIPHER_get_protocol_id(cipher)) == ERR_OK) {
		SSL_free(io->ssl);
		io->ssl = NULL;
		return;
	}
	tls_record_free(io->rec);
	io->rec = NULL;
	io_feed_leave(io);
	SSL_set_read_ahead(io->ssl, 1);
	SSL_set_default_read_buffer_len(io->ssl, IO_READ_AHEAD_BYTES);
}

void
io_tls_start(struct io *io, SSL *ssl)
{
	io_tls_attach(io, ssl, false);
	SSL_set_accept_state(ssl);
}

void
io_tls_start_client(struct io *io, SSL *ssl)
{
	io_tls_attach(io, ssl, true);
	SSL_set_connect_state(ssl);
}

X509 *
io_tls_peer_certificate(const struct io *io)
{
	OBJ_CHECK(io, IO_MAGIC);
	return io->ssl != NULL ? SSL_get1_peer_certificate(io->ssl) : NULL;
}

/* What a failed SSL call means; tls_fault: the peer's records are bad. */
static enum err
io_tls_failed(struct io *io, int rc, enum err tls_fault)
{
	int e = SSL_get_error(io->ssl, rc);

	ERR_clear_error();
	if (e == SSL_ERROR_WANT_READ) {
		io->is_drained = true;
		return ERR_AGAIN;
	}
	if (e == SSL_ERROR_ZERO_RETURN)
		return ERR_CLOSED;
	if (io->is_broken)
		return ERR_IO;
	/* OpenSSL may have left an alert for the peer; after it nothing may be said. */
	(void)io_send_out(io);
	io_break(io);
	return io->is_eof ? ERR_CLOSED : tls_fault;
}

enum err
io_tls_handshake(struct io *io)
{
	enum err sent;
	int rc;

	OBJ_CHECK(io, IO_MAGIC);
	ASSERT(io->ssl != NULL);
	if (io->is_broken)
		return ERR_IO;
	ERR_clear_error();
	io->fed_bytes = 0;
	rc = SSL_do_handshake(io->ssl);
	if (rc != 1) {
		enum err failed = io_tls_failed(io, rc, ERR_CRYPTO);

		if (failed != ERR_AGAIN)
			return failed;
	}
	sent = io_send_out(io);
	if (sent != ERR_OK && sent != ERR_AGAIN)
		return sent;
	if (rc != 1)
		return ERR_AGAIN;
	io->is_open = true;
	io->is_drained = false;
	return ERR_OK;
}

/* --- reading and sealing ---------------------------------------------------------------------- */

enum err
io_tls_read(struct io *io, void *p, size_t cap, size_t *got)
{
	bool had_out = io_run_len(&io->out) > 0;
	enum err rc = ERR_OK;
	int ok;

	ASSERT(io->is_open);
	if (io->is_broken)
		return ERR_IO;
	if (io->is_unsettled)
		io_tls_settle(io);
	if (io->ssl == NULL)
		return io_record_read(io, p, cap, got);
	ERR_clear_error();
	io->fed_bytes = 0;
	ok = SSL_read_ex(io->ssl, p, cap, got);
	if (ok == 1)
		io->is_drained = false;
	else
		rc = io_tls_failed(io, ok, ERR_IO);
	/* A key update's answer. A failure breaks io and shows in the next call: what was read
	 * counts first. */
	if (!had_out)
		(void)io_send_out(io);
	return rc;
}

enum err
io_tls_seal(struct io *io, const void *p, size_t n)
{
	size_t sealed;
	int ok;

	if (io->is_unsettled)
		io_tls_settle(io);
	if (io->ssl == NULL)
		return io_record_seal(io, p, n);
	ERR_clear_error();
	ok = SSL_write_ex(io->ssl, p, n, &sealed);
	ERR_clear_error();
	if (ok == 1 && sealed == n)
		return ERR_OK;
	io_break(io);
	return ERR_IO;
}

bool
io_tls_has_more(const struct io *io)
{
	if (io->ssl == NULL)
		return io_record_has_more(io);
	if (io->is_unsettled && io_record_has_more(io))
		return true;
	return !io->is_drained && (io_run_len(&io->raw) > 0 || SSL_has_pending(io->ssl) == 1);
}

void
io_tls_goodbye(struct io *io)
{
	if (io->ssl == NULL) {
		io_record_goodbye(io);
		return;
	}
	ERR_clear_error();
	(void)SSL_shutdown(io->ssl);
	ERR_clear_error();
}
