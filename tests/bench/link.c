/* One non-blocking TCP connection of a load generator. */
#include "tests/bench/link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/key.h"
#include "tests/bench/bench.h"

#define READ_BYTES	(512u << 10)
#define CARRY_MAX	(SEAL_PLAIN_MAX + 1024)

struct link_shake {
	SSL *ssl;
	uint8_t tx_secret[SEAL_SECRET_BYTES], rx_secret[SEAL_SECRET_BYTES];
	bool has_tx, has_rx, wants_write;
};

/* What was read: room for a carry, then the socket's bytes. */
static uint8_t scratch[CARRY_MAX + READ_BYTES];
static struct {
	uint8_t p[LINK_STAGE_BYTES];
	size_t n;
	struct link *owner;
} stage;

/* A line of the key log: LABEL client_random secret. */
static void
on_key_log(const SSL *ssl, const char *line)
{
	struct link_shake *k = SSL_get_app_data(ssl);
	const char *secret = strrchr(line, ' ');

	if (secret == NULL || strlen(++secret) != (size_t)SEAL_SECRET_BYTES * 2)
		return;
	if (strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0)
		k->has_tx = key_hex_parse(secret, SEAL_SECRET_BYTES * 2, k->tx_secret) == ERR_OK;
	else if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0)
		k->has_rx = key_hex_parse(secret, SEAL_SECRET_BYTES * 2, k->rx_secret) == ERR_OK;
}

static SSL_CTX *
client_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	ASSERT(ctx != NULL);
	ASSERT(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1);
	ASSERT(SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") == 1);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_keylog_callback(ctx, on_key_log);
	return ctx;
}

void
link_target_init(struct link_target *t, const char *address, bool is_tls, const char *sni)
{
	char host[128];
	const char *colon = strrchr(address, ':');
	struct addrinfo *found, want = {
		.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};

	if (colon == NULL || (size_t)(colon - address) >= sizeof host)
		bench_die("\"%s\" is not an address and port such as 127.0.0.1:443", address);
	bool is_v6 = *address == '[' && colon[-1] == ']';
	snprintf(host, sizeof host, "%.*s", (int)(colon - address) - (is_v6 ? 2 : 0), address + is_v6);
	if (getaddrinfo(host, colon + 1, &want, &found) != 0)
		bench_die("\"%s\" is not an address and port such as 127.0.0.1:443", address);
	*t = (struct link_target){ .is_tls = is_tls, .host = address, .sni = sni };
	memcpy(&t->addr, found->ai_addr, found->ai_addrlen);
	t->n_addr = found->ai_addrlen;
	freeaddrinfo(found);
	if (is_tls)
		t->ctx = client_ctx();
}

void
link_target_fini(struct link_target *t)
{
	SSL_CTX_free(t->ctx);
	t->ctx = NULL;
}

enum err
link_connect(struct link *l, const struct link_target *t)
{
	int on = 1;

	*l = (struct link){ .fd = -1, .is_tls = t->is_tls };
	l->fd = socket(t->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return ERR_IO;
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(l->fd, (const struct sockaddr *)&t->addr, t->n_addr) != 0 && errno != EINPROGRESS) {
		close(l->fd);
		return ERR_IO;
	}
	if (t->is_tls) {
		l->shake = obj_alloc(sizeof *l->shake);
		l->shake->ssl = SSL_new(t->ctx);
		ASSERT(l->shake->ssl != NULL && SSL_set_fd(l->shake->ssl, l->fd) == 1);
		SSL_set_app_data(l->shake->ssl, l->shake);
		SSL_set_connect_state(l->shake->ssl);
		if (t->sni != NULL)
			SSL_set_tlsext_host_name(l->shake->ssl, t->sni);
	}
	l->state = LINK_CONNECTING;
	return ERR_OK;
}

/* OpenSSL has read nothing behind the handshake (no read-ahead): record numbers begin at 0 here. */
static enum err
take_over(struct link *l)
{
	struct link_shake *k = l->shake;

	if (!k->has_rx || !k->has_tx)
		return ERR_CRYPTO;
	seal_init(&l->rx, k->rx_secret, false);
	seal_init(&l->tx, k->tx_secret, true);
	SSL_free(k->ssl);
	free(k);
	l->shake = NULL;
	l->state = LINK_OPEN;
	return ERR_OK;
}

enum err
link_handshake(struct link *l)
{
	if (l->state == LINK_OPEN)
		return ERR_OK;
	if (l->state == LINK_CONNECTING) {
		int failed = 0;
		socklen_t n = sizeof failed;

		if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &failed, &n) != 0 || failed != 0)
			return ERR_IO;
		l->state = l->is_tls ? LINK_HANDSHAKE : LINK_OPEN;
		if (!l->is_tls)
			return ERR_OK;
	}
	ERR_clear_error();
	int rc = SSL_do_handshake(l->shake->ssl);
	if (rc == 1)
		return take_over(l);
	int why = SSL_get_error(l->shake->ssl, rc);
	l->shake->wants_write = why == SSL_ERROR_WANT_WRITE;
	if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
		return ERR_AGAIN;
	return why == SSL_ERROR_SSL ? ERR_CRYPTO : ERR_CLOSED;
}

uint32_t
link_wants(const struct link *l)
{
	switch (l->state) {
	case LINK_CONNECTING:
		return EPOLLOUT;
	case LINK_HANDSHAKE:
		return l->shake->wants_write ? EPOLLOUT : EPOLLIN;
	case LINK_OPEN:
		return EPOLLIN | (l->n_out > 0 ? (uint32_t)EPOLLOUT : 0);
	case LINK_CLOSED:
	default:
		return 0;
	}
}

static void
keep_carry(struct link *l, const uint8_t *p, size_t n)
{
	free(l->carry);
	l->carry = NULL;
	l->n_carry = n;
	if (n > 0) {
		l->carry = obj_alloc(n);
		memcpy(l->carry, p, n);
	}
}

static enum err
open_records(struct link *l, uint8_t *p, size_t n, link_data_fn fn, void *arg)
{
	enum err rc;
	size_t n_record, n_plain;

	while ((rc = seal_record_bytes(p, n, &n_record)) == ERR_OK) {
		if ((rc = seal_open(&l->rx, p, n_record, &n_plain)) != ERR_OK)
			return rc;
		if (n_plain > 0 && (rc = fn(arg, p + SEAL_HEAD_BYTES, n_plain)) != ERR_OK)
			return rc;
		p += n_record;
		n -= n_record;
	}
	if (rc != ERR_AGAIN)
		return rc;
	keep_carry(l, p, n);
	return ERR_OK;
}

enum err
link_read(struct link *l, link_data_fn fn, void *arg)
{
	ssize_t got = recv(l->fd, scratch + CARRY_MAX, READ_BYTES, 0);

	if (got <= 0) {
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return ERR_OK;
		return got == 0 ? ERR_CLOSED : ERR_IO;
	}
	l->bytes_in += (uint64_t)got;
	if (!l->is_tls)
		return fn(arg, scratch + CARRY_MAX, (size_t)got);
	ASSERT(l->n_carry <= CARRY_MAX);
	uint8_t *p = scratch + CARRY_MAX - l->n_carry;
	if (l->n_carry > 0)
		memcpy(p, l->carry, l->n_carry);
	return open_records(l, p, l->n_carry + (size_t)got, fn, arg);
}

bool
link_is_blocked(const struct link *l)
{
	return l->n_out > 0 || stage.n + SEAL_PLAIN_MAX + SEAL_EXTRA_BYTES > sizeof stage.p;
}

void
link_put(struct link *l, uint8_t *p, size_t n)
{
	ASSERT(stage.owner == NULL || stage.owner == l);
	stage.owner = l;
	if (l->is_tls) {
		seal_put(&l->tx, p, n, stage.p + stage.n);
		stage.n += n + SEAL_EXTRA_BYTES;
	} else {
		memcpy(stage.p + stage.n, p, n);
		stage.n += n;
	}
}

/* What the socket did not take, behind what it did not take before. */
static void
keep_out(struct link *l, const uint8_t *p, size_t n)
{
	uint8_t *both = obj_alloc(l->n_out + n);

	if (l->n_out > 0)
		memcpy(both, l->out + l->out_at, l->n_out);
	memcpy(both + l->n_out, p, n);
	free(l->out);
	l->out = both;
	l->n_out += n;
	l->out_at = 0;
}

void
link_write(struct link *l, const void *p, size_t n)
{
	uint8_t piece[SEAL_PLAIN_MAX + 1];
	const uint8_t *from = p;

	while (n > 0) {
		size_t n_piece = n < SEAL_PLAIN_MAX ? n : SEAL_PLAIN_MAX;

		if (stage.n + SEAL_PLAIN_MAX + SEAL_EXTRA_BYTES > sizeof stage.p) {
			ASSERT(stage.owner == l);
			keep_out(l, stage.p, stage.n);
			stage.n = 0;
		}
		memcpy(piece, from, n_piece);
		link_put(l, piece, n_piece);
		from += n_piece;
		n -= n_piece;
	}
}

/* ERR_AGAIN: *done of n bytes were taken. */
static enum err
send_some(struct link *l, const uint8_t *p, size_t n, size_t *done)
{
	*done = 0;
	while (*done < n) {
		ssize_t sent = send(l->fd, p + *done, n - *done, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? ERR_AGAIN : ERR_CLOSED;
		*done += (size_t)sent;
		l->bytes_out += (uint64_t)sent;
	}
	return ERR_OK;
}

static enum err
send_kept(struct link *l)
{
	size_t done;

	if (l->n_out == 0)
		return ERR_OK;
	enum err rc = send_some(l, l->out + l->out_at, l->n_out, &done);
	l->out_at += done;
	l->n_out -= done;
	if (l->n_out == 0) {
		free(l->out);
		l->out = NULL;
		l->out_at = 0;
	}
	return rc;
}

enum err
link_flush(struct link *l)
{
	size_t done = 0;

	ASSERT(stage.owner == NULL || stage.owner == l);
	enum err rc = send_kept(l);
	if (rc == ERR_OK && stage.n > 0)
		rc = send_some(l, stage.p, stage.n, &done);
	if (rc == ERR_AGAIN && done < stage.n)
		keep_out(l, stage.p + done, stage.n - done);
	stage.n = 0;
	stage.owner = NULL;
	return rc == ERR_AGAIN ? ERR_OK : rc;
}

void
link_close(struct link *l)
{
	if (l->state == LINK_CLOSED)
		return;
	if (stage.owner == l) {
		stage.owner = NULL;
		stage.n = 0;
	}
	if (l->shake != NULL) {
		SSL_free(l->shake->ssl);
		free(l->shake);
	}
	if (l->is_tls && l->state == LINK_OPEN) {
		seal_fini(&l->rx);
		seal_fini(&l->tx);
	}
	close(l->fd);
	free(l->carry);
	free(l->out);
	*l = (struct link){ .state = LINK_CLOSED, .fd = -1 };
}
