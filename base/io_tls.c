/* TLS of a stream: the context's settings, the BIO between OpenSSL and base/io, the calls. */
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/io_priv.h"
#include "base/obj.h"

#define IO_READ_AHEAD_BYTES	(64u << 10)

/* --- the BIO ---------------------------------------------------------------------------------- */

static int
io_bio_read(BIO *bio, char *p, int cap)
{
	struct io *io = BIO_get_data(bio);
	size_t got;

	BIO_clear_retry_flags(bio);
	if (cap <= 0)
		return 0;
	got = io_run_take(&io->raw, p, (size_t)cap);
	if (got > 0)
		return (int)got;
	if (io->fed_bytes >= IO_TLS_FEED_BYTES) {
		BIO_set_retry_read(bio);
		return -1;
	}
	switch (io_recv(io, p, (size_t)cap, &got)) {
	case ERR_OK:
		io->fed_bytes += (uint32_t)got;
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

static int
io_bio_write(BIO *bio, const char *p, int n)
{
	struct io *io = BIO_get_data(bio);
	struct io_stage *s = io->w->stage;

	BIO_clear_retry_flags(bio);
	if (n <= 0 || io->is_broken)
		return -1;
	if (s->owner == io) {
		if (sizeof s->p - s->len < (size_t)n)
			return -1;
		memcpy(s->p + s->len, p, (size_t)n);
		s->len += (size_t)n;
		return n;
	}
	if (io_run_len(&io->out) + (size_t)n > sizeof s->p + IO_TLS_SLACK_BYTES)
		return -1;
	io_run_append(&io->out, p, (size_t)n);
	return n;
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
}

/* Puts our BIO under ssl, which io owns from here on. */
static void
io_tls_attach(struct io *io, SSL *ssl)
{
	BIO *bio;

	OBJ_CHECK(io, IO_MAGIC);
	ASSERT(io->ssl == NULL && ssl != NULL);
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
}

void
io_tls_start(struct io *io, SSL *ssl)
{
	io_tls_attach(io, ssl);
	SSL_set_accept_state(ssl);
}

void
io_tls_start_client(struct io *io, SSL *ssl)
{
	io_tls_attach(io, ssl);
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

	ERR_clear_error();
	ok = SSL_write_ex(io->ssl, p, n, &sealed);
	ERR_clear_error();
	if (ok == 1 && sealed == n)
		return ERR_OK;
	io_break(io);
	return ERR_IO;
}

void
io_tls_goodbye(struct io *io)
{
	ERR_clear_error();
	(void)SSL_shutdown(io->ssl);
	ERR_clear_error();
}
