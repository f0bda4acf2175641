/* links: */
/* TLS 1.3 records: RFC 8448's, and an OpenSSL peer on either side of every cipher. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/err.h>
#include <stdio.h>

#include "base/key.h"
#include "base/tls_record.h"
#include "tests/unit/io_pair.h"

#define SEALED_MAX	(TLS_RECORD_PLAIN_MAX + TLS_RECORD_SEAL_EXTRA_BYTES)

static const struct { const char *name; uint16_t id; } ciphers[] = {
	{ "TLS_AES_128_GCM_SHA256", 0x1301 }, { "TLS_AES_256_GCM_SHA384", 0x1302 },
	{ "TLS_CHACHA20_POLY1305_SHA256", 0x1303 },
};

static struct tls_record_engine *engine;

/* --- an OpenSSL peer -------------------------------------------------------------------------- */

/* Our side's SSL does the handshake, then r takes over. */
struct rig {
	SSL *peer;
	BIO *in, *out;		/* to and from the peer; the SSL's */
	struct tls_record *r;
	uint8_t *front;		/* what was not opened yet */
	size_t n_front;
};

static void
on_line(const SSL *ssl, const char *line)
{
	struct tls_record *r = SSL_get_app_data(ssl);
	bool is_clients = strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) == 0;
	uint8_t secret[TLS_RECORD_SECRET_MAX];
	const char *hex = strrchr(line, ' ') + 1;

	if (!is_clients && strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) != 0)
		return;
	assert_int_equal(key_hex_parse(hex, strlen(hex), secret), ERR_OK);
	tls_record_secret_put(r, is_clients == (SSL_is_server(ssl) == 1) ? TLS_RECORD_IN : TLS_RECORD_OUT,
	    secret, strlen(hex) / 2);
}

static void
move(BIO *from, BIO *to)
{
	char bytes[4096];
	int n;

	while ((n = BIO_read(from, bytes, sizeof bytes)) > 0)
		assert_int_equal(BIO_write(to, bytes, n), n);
}

/* tickets: of the peer, if that is the server. */
static void
rig_open(struct rig *g, size_t cipher, bool is_client, unsigned tickets)
{
	SSL_CTX *ctx = SSL_CTX_new(is_client ? TLS_client_method() : TLS_server_method());
	SSL_CTX *peer_ctx = SSL_CTX_new(is_client ? TLS_server_method() : TLS_client_method());
	SSL_CTX *server = is_client ? peer_ctx : ctx;
	BIO *a = BIO_new(BIO_s_mem()), *b = BIO_new(BIO_s_mem());
	SSL *ssl;

	assert_int_equal(SSL_CTX_use_certificate(server, SSL_CTX_get0_certificate(server_ctx)), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(server, SSL_CTX_get0_privatekey(server_ctx)), 1);
	assert_int_equal(SSL_CTX_set_num_tickets(server, tickets), 1);
	assert_int_equal(SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION), 1);
	assert_int_equal(SSL_CTX_set_ciphersuites(ctx, ciphers[cipher].name), 1);
	SSL_CTX_set_keylog_callback(ctx, on_line);
	*g = (struct rig){ .peer = SSL_new(peer_ctx), .in = BIO_new(BIO_s_mem()),
		.out = BIO_new(BIO_s_mem()), .r = tls_record_new(engine, is_client) };
	ssl = SSL_new(ctx);
	SSL_set_app_data(ssl, g->r);
	SSL_set_bio(ssl, a, b);
	SSL_set_bio(g->peer, g->in, g->out);
	(is_client ? SSL_set_connect_state : SSL_set_accept_state)(ssl);
	(is_client ? SSL_set_accept_state : SSL_set_connect_state)(g->peer);
	for (unsigned i = 0; i < 6 && !SSL_is_init_finished(ssl); i++) {
		(void)SSL_do_handshake(ssl);
		move(b, g->in);
		(void)SSL_do_handshake(g->peer);
		/* A server's tickets come behind its handshake: they are for r. */
		if (!SSL_is_init_finished(ssl))
			move(g->out, a);
	}
	move(b, g->in);
	assert_int_equal(SSL_do_handshake(g->peer), 1);
	assert_int_equal(SSL_is_init_finished(ssl), 1);
	assert_int_equal(tls_record_start(g->r, ciphers[cipher].id), ERR_OK);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
	SSL_CTX_free(peer_ctx);
	ERR_clear_error();
}

static void
rig_close(struct rig *g)
{
	assert_int_equal(ERR_peek_error(), 0);
	SSL_free(g->peer);
	tls_record_free(g->r);
	free(g->front);
}

/* Takes all that the peer has sent. */
static void
rig_fetch(struct rig *g)
{
	int n = BIO_pending(g->out);

	g->front = obj_realloc(g->front, g->n_front + (size_t)n + 1);
	if (n > 0)
		assert_int_equal(BIO_read(g->out, g->front + g->n_front, n), n);
	g->n_front += (size_t)n;
}

/* Opens the next record of the peer; in place if cap is too small. The bytes stay in a static buffer. */
static enum err
rig_open_next(struct rig *g, size_t cap, struct tls_record_bytes *data)
{
	static uint8_t room[TLS_RECORD_MAX_BYTES], kept[TLS_RECORD_MAX_BYTES];
	struct tls_record_bytes record = { .p = g->front };
	enum err rc;

	rig_fetch(g);
	record.p = g->front;
	assert_int_equal(tls_record_parse(g->front, g->n_front, &record.n), ERR_OK);
	rc = tls_record_open(g->r, &record, &(struct tls_record_bytes){ room, cap }, data);
	if (data->n > 0) {
		assert_int_equal(data->p == room, cap >= record.n);
		memmove(kept, data->p, data->n);
		data->p = kept;
	}
	g->n_front -= record.n;
	memmove(g->front, g->front + record.n, g->n_front);
	return rc;
}

static void
assert_opens(struct rig *g, size_t cap, const void *want, size_t n)
{
	struct tls_record_bytes data = { .n = 0 };

	assert_int_equal(rig_open_next(g, cap, &data), ERR_OK);
	assert_int_equal(data.n, n);
	assert_memory_equal(data.p, want, n);
}

static void
peer_says(struct rig *g, const void *p, size_t n)
{
	assert_int_equal(SSL_write(g->peer, p, (int)n), (int)n);
}

/* We seal, the peer reads. Returns the bytes that it took. */
static size_t
assert_peer_gets(struct rig *g, const void *p, size_t n)
{
	static uint8_t sealed[SEALED_MAX], got[TLS_RECORD_PLAIN_MAX];
	size_t n_sealed = tls_record_seal(g->r, p, n, sealed);

	assert_int_equal(BIO_write(g->in, sealed, (int)n_sealed), (int)n_sealed);
	assert_int_equal(SSL_read(g->peer, got, sizeof got), (int)n);
	assert_memory_equal(got, p, n);
	return n_sealed;
}

/* --- with OpenSSL ----------------------------------------------------------------------------- */

static void
test_every_cipher_and_length(void **state)
{
	static const size_t lengths[] = { 1, 2, 14, 15, 16, 17, 255, 256, 1280, 1411, 16383, 16384 };
	static uint8_t bytes[TLS_RECORD_PLAIN_MAX];
	struct rig g;

	(void)state;
	for (size_t i = 0; i < sizeof bytes; i++)
		bytes[i] = (uint8_t)(i * 31 / 7);
	for (size_t i = 0; i < 2 * COUNT_OF(ciphers); i++) {
		rig_open(&g, i / 2, i % 2 == 1, 0);
		for (size_t k = 0; k < 3 * COUNT_OF(lengths); k++) {
			size_t n = lengths[k % COUNT_OF(lengths)];

			peer_says(&g, bytes, n);
			assert_opens(&g, k % 2 == 0 ? TLS_RECORD_MAX_BYTES : n, bytes, n);
			assert_int_equal(assert_peer_gets(&g, bytes, n), n + TLS_RECORD_EXTRA_BYTES);
		}
		rig_close(&g);
	}
}

static void
test_padding(void **state)
{
	struct rig g;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ciphers); i++) {
		rig_open(&g, i, false, 0);
		assert_int_equal(SSL_set_block_padding(g.peer, 512), 1);
		peer_says(&g, "padded", 6);
		rig_fetch(&g);
		assert_int_equal(g.n_front, 512 + TLS_RECORD_EXTRA_BYTES - 1);
		assert_opens(&g, TLS_RECORD_MAX_BYTES, "padded", 6);
		rig_close(&g);
	}
}

/* The peer changes its keys, and asks for ours. */
static void
test_key_updates_of_the_peer(void **state)
{
	struct tls_record_bytes data;
	struct rig g;

	(void)state;
	for (size_t i = 0; i < 2 * COUNT_OF(ciphers); i++) {
		rig_open(&g, i / 2, i % 2 == 1, 0);
		for (unsigned k = 0; k < 40; k++) {
			bool is_asking = k % 3 == 0;

			assert_int_equal(SSL_key_update(g.peer, is_asking ? SSL_KEY_UPDATE_REQUESTED :
			    SSL_KEY_UPDATE_NOT_REQUESTED), 1);
			peer_says(&g, "new keys", 8);
			assert_int_equal(rig_open_next(&g, 0, &data), ERR_OK);
			assert_int_equal(data.n, 0);
			assert_opens(&g, 4096, "new keys", 8);
			assert_int_equal(assert_peer_gets(&g, "ours", 4), 4 + TLS_RECORD_EXTRA_BYTES +
			    (is_asking ? 5 + TLS_RECORD_EXTRA_BYTES : 0));
		}
		rig_close(&g);
	}
}

/* Asked ten times before we had anything to say, we answer once. */
static void
test_one_answer_for_many_updates(void **state)
{
	struct tls_record_bytes data;
	struct rig g;

	(void)state;
	rig_open(&g, 0, false, 0);
	for (unsigned k = 0; k < 10; k++) {
		assert_int_equal(SSL_key_update(g.peer, SSL_KEY_UPDATE_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(g.peer), 1);
		assert_int_equal(rig_open_next(&g, 0, &data), ERR_OK);
	}
	assert_int_equal(assert_peer_gets(&g, "x", 1), 1 + 5 + 2 * TLS_RECORD_EXTRA_BYTES);
	assert_int_equal(assert_peer_gets(&g, "x", 1), 1 + TLS_RECORD_EXTRA_BYTES);
	rig_close(&g);
}

/* We change ours after so many records, and ask for the peer's when it has sent so many. */
static void
test_own_key_updates(void **state)
{
	struct tls_record_bytes data;
	struct rig g;
	unsigned n_updates = 0, n_answers = 0;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ciphers); i++) {
		rig_open(&g, i, false, 0);
		tls_record_key_max_set(g.r, 10);
		for (unsigned k = 0; k < 200; k++) {
			n_updates += assert_peer_gets(&g, "we", 2) > 2 + TLS_RECORD_EXTRA_BYTES;
			peer_says(&g, "they", 4);
			assert_int_equal(rig_open_next(&g, 64, &data), ERR_OK);
			if (data.n == 0) {	/* the peer's answer goes ahead of its data */
				n_answers++;
				assert_int_equal(rig_open_next(&g, 64, &data), ERR_OK);
			}
			assert_int_equal(data.n, 4);
		}
		rig_close(&g);
	}
	assert_int_equal(n_updates, 3 * 19);
	assert_int_equal(n_answers, 3 * 19);
}

static void
test_tickets(void **state)
{
	struct tls_record_bytes data;
	struct rig g;

	(void)state;
	rig_open(&g, 1, true, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(rig_open_next(&g, 0, &data), ERR_OK);
		assert_int_equal(data.n, 0);
	}
	peer_says(&g, "data", 4);
	assert_opens(&g, 64, "data", 4);
	assert_peer_gets(&g, "answer", 6);
	rig_close(&g);
}

static void
test_ends(void **state)
{
	uint8_t record[TLS_RECORD_ALERT_BYTES];
	struct tls_record_bytes data;
	struct rig g;
	char c;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(ciphers); i++) {
		rig_open(&g, i, false, 0);
		assert_int_equal(SSL_shutdown(g.peer), 0);
		assert_int_equal(rig_open_next(&g, 64, &data), ERR_CLOSED);
		assert_int_equal(tls_record_fault(g.r), -1);
		/* Our direction is open. */
		assert_peer_gets(&g, "still", 5);
		tls_record_alert_seal(g.r, TLS_RECORD_CLOSE_NOTIFY, record);
		assert_int_equal(BIO_write(g.in, record, sizeof record), sizeof record);
		assert_int_equal(SSL_get_error(g.peer, SSL_read(g.peer, &c, 1)), SSL_ERROR_ZERO_RETURN);
		rig_close(&g);
	}
	rig_open(&g, 0, false, 0);
	tls_record_alert_seal(g.r, TLS_RECORD_OVERFLOW, record);
	assert_int_equal(BIO_write(g.in, record, sizeof record), sizeof record);
	assert_true(SSL_read(g.peer, &c, 1) <= 0);
	assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_TLSV1_ALERT_RECORD_OVERFLOW);
	ERR_clear_error();
	rig_close(&g);
}

/* One bit anywhere: nothing is given out, and it stays so. */
static void
test_tampering(void **state)
{
	static const uint8_t zeros[64];
	uint8_t sealed[64], room[64];
	struct rig g;

	(void)state;
	for (size_t at = 0; at < 4 + TLS_RECORD_EXTRA_BYTES; at++) {
		struct tls_record_bytes record = { .p = sealed }, data;
		enum err rc;

		rig_open(&g, at % COUNT_OF(ciphers), false, 0);
		peer_says(&g, "true", 4);
		rig_fetch(&g);
		record.n = g.n_front;
		assert_int_equal(record.n, 4 + TLS_RECORD_EXTRA_BYTES);
		memcpy(sealed, g.front, record.n);
		sealed[at] ^= (uint8_t)(1 << at % 8);
		memset(room, 0, sizeof room);
		rc = tls_record_open(g.r, &record, &(struct tls_record_bytes){ room, sizeof room },
		    &data);
		assert_int_equal(rc, at == 0 ? ERR_PROTO : ERR_CRYPTO);
		assert_int_equal(tls_record_fault(g.r), at == 0 ? TLS_RECORD_UNEXPECTED : TLS_RECORD_BAD_MAC);
		assert_int_equal(data.n, 0);
		assert_memory_equal(room, zeros, sizeof room);
		/* The right one comes too late. */
		record.p = g.front;
		assert_int_equal(tls_record_open(g.r, &record, &(struct tls_record_bytes){ NULL, 0 },
		    &data), rc);
		rig_close(&g);
	}
}

/* One record twice, or one left out. */
static void
test_order(void **state)
{
	struct tls_record_bytes data;
	struct rig g;

	(void)state;
	for (unsigned is_twice = 0; is_twice < 2; is_twice++) {
		rig_open(&g, 0, false, 0);
		peer_says(&g, "a", 1);
		peer_says(&g, "b", 1);
		rig_fetch(&g);
		if (is_twice)
			memcpy(g.front + g.n_front / 2, g.front, g.n_front / 2);
		else
			memcpy(g.front, g.front + g.n_front / 2, g.n_front / 2);
		if (is_twice)
			assert_opens(&g, 64, "a", 1);
		assert_int_equal(rig_open_next(&g, 64, &data), ERR_CRYPTO);
		rig_close(&g);
	}
}

static void
test_suites_and_secrets_must_fit(void **state)
{
	static const struct { uint16_t suite; size_t n_in, n_out; enum err want; } cases[] = {
		{ 0x1301, 32, 32, ERR_OK }, { 0x1302, 48, 48, ERR_OK }, { 0x1303, 32, 32, ERR_OK },
		{ 0x1302, 32, 32, ERR_UNSUPPORTED }, { 0x1301, 48, 48, ERR_UNSUPPORTED },
		{ 0x1301, 32, 0, ERR_UNSUPPORTED }, { 0x1301, 0, 32, ERR_UNSUPPORTED },
		{ 0x1304, 32, 32, ERR_UNSUPPORTED }, { 0xc02f, 32, 32, ERR_UNSUPPORTED },
	};
	uint8_t secret[48] = { 7 };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct tls_record *r = tls_record_new(engine, false);

		if (cases[i].n_in > 0)
			tls_record_secret_put(r, TLS_RECORD_IN, secret, cases[i].n_in);
		if (cases[i].n_out > 0)
			tls_record_secret_put(r, TLS_RECORD_OUT, secret, cases[i].n_out);
		assert_int_equal(tls_record_start(r, cases[i].suite), cases[i].want);
		tls_record_free(r);
	}
	tls_record_free(NULL);
}

/* RFC 8448 section 3: the client's application data, and its close_notify. */
static void
test_rfc8448(void **state)
{
	static const char secret_hex[] =
	    "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
	static const char records_hex[] =
	    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e"
	    "2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4"
	    "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3";
	uint8_t secret[32], want[96], plain[50], got[128], room[96];
	struct tls_record *client = tls_record_new(engine, true), *server = tls_record_new(engine, false);
	struct tls_record_bytes data;
	size_t n;

	(void)state;
	assert_int_equal(key_hex_parse(secret_hex, 64, secret), ERR_OK);
	assert_int_equal(key_hex_parse(records_hex, sizeof records_hex - 1, want), ERR_OK);
	tls_record_secret_put(client, TLS_RECORD_OUT, secret, sizeof secret);
	tls_record_secret_put(client, TLS_RECORD_IN, secret, sizeof secret);
	tls_record_secret_put(server, TLS_RECORD_OUT, secret, sizeof secret);
	tls_record_secret_put(server, TLS_RECORD_IN, secret, sizeof secret);
	assert_int_equal(tls_record_start(client, 0x1301), ERR_OK);
	assert_int_equal(tls_record_start(server, 0x1301), ERR_OK);
	for (uint8_t i = 0; i < sizeof plain; i++)
		plain[i] = i;
	assert_int_equal(tls_record_seal(client, plain, sizeof plain, got), 72);
	tls_record_alert_seal(client, TLS_RECORD_CLOSE_NOTIFY, got + 72);
	assert_memory_equal(got, want, 96);
	assert_int_equal(tls_record_parse(want, sizeof want, &n), ERR_OK);
	assert_int_equal(tls_record_open(server, &(struct tls_record_bytes){ want, n },
	    &(struct tls_record_bytes){ room, sizeof room }, &data), ERR_OK);
	assert_int_equal(data.n, sizeof plain);
	assert_memory_equal(data.p, plain, sizeof plain);
	assert_int_equal(tls_record_open(server, &(struct tls_record_bytes){ want + n, sizeof want - n },
	    &(struct tls_record_bytes){ room, sizeof room }, &data), ERR_CLOSED);
	tls_record_free(client);
	tls_record_free(server);
}

/* More connections than ciphers are kept ready, of every suite, in turns. */
static void
test_many_share_an_engine(void **state)
{
	static struct tls_record *from[50], *to[50];
	uint8_t sealed[2][64 + TLS_RECORD_SEAL_EXTRA_BYTES], room[128];
	struct tls_record_bytes data;
	char text[64];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(from); i++) {
		size_t n = i % 3 == 1 ? 48 : 32;
		uint8_t secret[48] = { (uint8_t)i, 1 };

		from[i] = tls_record_new(engine, true);
		to[i] = tls_record_new(engine, false);
		for (unsigned k = 0; k < 2; k++) {
			struct tls_record *r = k == 0 ? from[i] : to[i];

			tls_record_secret_put(r, TLS_RECORD_IN, secret, n);
			tls_record_secret_put(r, TLS_RECORD_OUT, secret, n);
			assert_int_equal(tls_record_start(r, ciphers[i % 3].id), ERR_OK);
		}
	}
	for (size_t round = 0; round < 10 * COUNT_OF(from); round++) {
		size_t i = round * 7 % COUNT_OF(from);

		/* Two at once: the second time its cipher is ready. */
		for (unsigned k = 0; k < 2; k++) {
			struct tls_record_bytes record = { .p = sealed[k] };

			snprintf(text, sizeof text, "%zu.%u", round, k);
			record.n = tls_record_seal(from[i], (uint8_t *)text, strlen(text), sealed[k]);
			assert_int_equal(tls_record_open(to[i], &record,
			    &(struct tls_record_bytes){ room, sizeof room }, &data), ERR_OK);
			assert_int_equal(data.n, strlen(text));
			assert_memory_equal(data.p, text, data.n);
		}
	}
	for (size_t i = 0; i < COUNT_OF(from); i++) {
		tls_record_free(from[i]);
		tls_record_free(to[i]);
	}
}

static int
setup(void **state)
{
	engine = tls_record_engine_new();
	return setup_contexts(state);
}

static int
teardown(void **state)
{
	tls_record_engine_free(engine);
	tls_record_engine_free(NULL);
	return teardown_contexts(state);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc8448),
		cmocka_unit_test(test_suites_and_secrets_must_fit),
		cmocka_unit_test(test_every_cipher_and_length),
		cmocka_unit_test(test_padding),
		cmocka_unit_test(test_key_updates_of_the_peer),
		cmocka_unit_test(test_one_answer_for_many_updates),
		cmocka_unit_test(test_own_key_updates),
		cmocka_unit_test(test_tickets),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_tampering),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_many_share_an_engine),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
