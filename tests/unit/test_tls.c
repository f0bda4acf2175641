/* links: server/tls server/tls_self */
/* Proves: the door's certificate is made once and kept, bad files are named, what clients check holds, and changed files
 * serve the next connection while a bad pair, or the absence of one, changes nothing. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/tls.h"

#define DAY_S 86400
#define NOW_S 1795000000	/* November 2026 */

struct fixture {
	char dir[64], crt[96], key[96], crt2[96], key2[96];
	struct config cfg;
};

static int
setup(void **state)
{
	struct fixture *f = obj_alloc(sizeof(*f));

	log_set_level(LOG_ERROR);
	clock_test_set(1000, NOW_S);
	strcpy(f->dir, "/tmp/fairlead-test-tls-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->crt, sizeof(f->crt), "%s/selfsigned.crt", f->dir);
	snprintf(f->key, sizeof(f->key), "%s/selfsigned.key", f->dir);
	snprintf(f->crt2, sizeof(f->crt2), "%s/other.crt", f->dir);
	snprintf(f->key2, sizeof(f->key2), "%s/other.key", f->dir);
	f->cfg.data_dir = f->dir;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	clock_test_stop();
	f->cfg.data_dir = f->dir;
	unlink(f->crt);
	unlink(f->key);
	unlink(f->crt2);
	unlink(f->key2);
	rmdir(f->dir);
	free(f);
	return 0;
}

/* The pin of what tls_new makes of this host. */
static void
pin_for(const struct fixture *f, const char *host, char out[128])
{
	struct err_text why = { "" };
	struct tls *t = NULL;

	if (tls_new(&f->cfg, host, &t, &why) != ERR_OK)
		fail_msg("%s", why.s);
	assert_true(tls_is_self_signed(t));
	snprintf(out, 128, "%s", tls_pin(t));
	tls_free(t);
}

static X509 *
read_cert(const char *path)
{
	FILE *file = fopen(path, "re");
	X509 *cert;

	assert_non_null(file);
	cert = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	assert_non_null(cert);
	return cert;
}

static void
self_signed_is_made_and_kept(void **state)
{
	struct fixture *f = *state;
	char first[128], again[128], other[128];
	struct stat st;

	pin_for(f, "relay.example.com", first);
	assert_int_equal(strlen(first), 11 + 64);
	assert_memory_equal(first, "sha256-raw:", 11);
	assert_int_equal(stat(f->key, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	pin_for(f, "relay.example.com", again);
	assert_string_equal(first, again);
	pin_for(f, "203.0.113.9", other);
	assert_string_not_equal(first, other);
	pin_for(f, "203.0.113.9", again);
	assert_string_equal(other, again);
}

static void
self_signed_says_the_right_things(void **state)
{
	static const struct { const char *host; bool is_ip; } hosts[] = {
		{ "relay.example.com", false }, { "203.0.113.9", true }, { "2001:db8::7", true },
		{ "localhost", false }, { "127.0.0.1", true },
		{ "a-name-that-is-much-longer-than-the-sixty-four-bytes-of-a-common-name.example.com",
		    false },
	};
	struct fixture *f = *state;
	char pin[128], hex[65];
	uint8_t digest[32];
	unsigned n;

	for (size_t i = 0; i < COUNT_OF(hosts); i++) {
		pin_for(f, hosts[i].host, pin);
		X509 *cert = read_cert(f->crt);
		time_t late = NOW_S + (time_t)3600 * DAY_S;

		assert_int_equal(X509_digest(cert, EVP_sha256(), digest, &n), 1);
		for (size_t k = 0; k < 32; k++)
			sprintf(hex + 2 * k, "%02x", digest[k]);
		assert_string_equal(pin + 11, hex);
		assert_int_equal(hosts[i].is_ip ? X509_check_ip_asc(cert, hosts[i].host, 0)
						: X509_check_host(cert, hosts[i].host, 0, 0, NULL), 1);
		assert_int_equal(X509_check_ip_asc(cert, "127.0.0.1", 0), 1);
		assert_int_equal(X509_check_ip_asc(cert, "::1", 0), 1);
		assert_int_equal(X509_check_host(cert, "localhost", 0, 0, NULL), 1);
		assert_int_not_equal(X509_check_host(cert, "evil.example.com", 0, 0, NULL), 1);
		assert_true(X509_cmp_time(X509_get0_notAfter(cert), &late) > 0);
		assert_int_equal(X509_verify(cert, X509_get0_pubkey(cert)), 1);
		X509_free(cert);
	}
}

static void
self_signed_is_made_again_when_it_must(void **state)
{
	struct fixture *f = *state;
	char first[128], now[128], before[128];

	pin_for(f, "h", first);
	clock_test_set(1000, NOW_S + (int64_t)(3650 - 31) * DAY_S);
	pin_for(f, "h", now);
	assert_string_equal(first, now);
	clock_test_set(1000, NOW_S + (int64_t)(3650 - 29) * DAY_S);
	pin_for(f, "h", now);
	assert_string_not_equal(first, now);

	/* damaged, lost, or not belonging together */
	strcpy(before, now);
	assert_int_equal(truncate(f->crt, 100), 0);
	pin_for(f, "h", now);
	assert_string_not_equal(before, now);
	strcpy(before, now);
	assert_int_equal(unlink(f->key), 0);
	pin_for(f, "h", now);
	assert_string_not_equal(before, now);
	strcpy(before, now);
	assert_int_equal(rename(f->key, f->key2), 0);
	pin_for(f, "h", now);
	assert_int_equal(rename(f->key2, f->key), 0);
	strcpy(before, now);
	pin_for(f, "h", now);
	assert_string_not_equal(before, now);
}

static void
bad_files_are_named(void **state)
{
	static const struct { const char *cert, *key, *want; enum err rc; } cases[] = {
		{ "other.crt", "other.key", "", ERR_OK },
		{ "other.crt", "selfsigned.key", "does not belong to the certificate", ERR_INVAL },
		{ "other.crt", "", "tls_key_path is not", ERR_INVAL },
		{ "", "other.key", "tls_cert_path is not", ERR_INVAL },
		{ "none.crt", "other.key", "none.crt cannot be read: No such file", ERR_IO },
		{ "other.crt", "none.key", "none.key cannot be read: No such file", ERR_IO },
		{ ".", "other.key", "is not a file", ERR_IO },
		{ "other.key", "other.key", "is not a PEM certificate", ERR_INVAL },
		{ "other.crt", "other.crt", "is not a PEM private key", ERR_INVAL },
	};
	struct fixture *f = *state;
	char pin[128], other_pin[128];

	pin_for(f, "other.example", other_pin);
	assert_int_equal(rename(f->crt, f->crt2), 0);
	assert_int_equal(rename(f->key, f->key2), 0);
	pin_for(f, "h", pin);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char cert[128] = "", key[128] = "";
		struct err_text why = { "" };
		struct tls *t = NULL;

		if (cases[i].cert[0] != '\0')
			snprintf(cert, sizeof(cert), "%s/%s", f->dir, cases[i].cert);
		if (cases[i].key[0] != '\0')
			snprintf(key, sizeof(key), "%s/%s", f->dir, cases[i].key);
		f->cfg.tls.cert_file = cert;
		f->cfg.tls.key_file = key;
		enum err rc = tls_new(&f->cfg, "ignored", &t, &why);
		if (rc != cases[i].rc || strstr(why.s, cases[i].want) == NULL)
			fail_msg("case %zu: %s: %s", i, err_str(rc), why.s);
		if (rc == ERR_OK) {
			assert_false(tls_is_self_signed(t));
			assert_string_equal(tls_pin(t), other_pin);
		}
		tls_free(t);
	}
	f->cfg.tls.cert_file = f->cfg.tls.key_file = NULL;
	f->cfg.data_dir = (char *)(uintptr_t)"/nonexistent/fairlead";
	struct tls *t = NULL;
	struct err_text why = { "" };
	assert_int_equal(tls_new(&f->cfg, "h", &t, &why), ERR_IO);
	assert_non_null(strstr(why.s, "/nonexistent/fairlead/selfsigned.key"));
}

/* A client and our server talk through memory. alpn may be NULL. */
static SSL *
handshake(struct tls *t, int max_version, const char *ciphers13, const char *alpn)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	BIO *client_bio, *server_bio;
	bool is_done = false;

	assert_int_equal(SSL_CTX_set_max_proto_version(ctx, max_version), 1);
	if (ciphers13 != NULL)
		assert_int_equal(SSL_CTX_set_ciphersuites(ctx, ciphers13), 1);
	SSL *client = SSL_new(ctx), *server = tls_accept(t);
	if (alpn != NULL)
		assert_int_equal(SSL_set_alpn_protos(client, (const uint8_t *)alpn,
		    (unsigned)strlen(alpn)), 0);
	assert_int_equal(BIO_new_bio_pair(&client_bio, 65536, &server_bio, 65536), 1);
	SSL_set_bio(client, client_bio, client_bio);
	SSL_set_bio(server, server_bio, server_bio);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int i = 0; i < 10 && !is_done; i++) {
		int c = SSL_do_handshake(client), s = SSL_do_handshake(server);

		is_done = c == 1 && s == 1;
	}
	if (!is_done) {
		SSL_free(client);
		client = NULL;
	}
	SSL_free(server);
	SSL_CTX_free(ctx);
	return client;
}

static const char *
chosen_alpn(SSL *ssl, char out[64])
{
	const unsigned char *p;
	unsigned n;

	SSL_get0_alpn_selected(ssl, &p, &n);
	snprintf(out, 64, "%.*s", (int)n, n > 0 ? (const char *)p : "");
	return out;
}

static void
what_clients_are_given(void **state)
{
	static const struct {
		int max_version;
		const char *ciphers13, *alpn, *want_alpn, *want_cipher;
	} cases[] = {
		{ TLS1_3_VERSION, NULL, NULL, "", NULL },
		{ TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256",
		    "\x02h2\x08http/1.1", "http/1.1", "TLS_AES_128_GCM_SHA256" },
		{ TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "\x02h2", "",
		    "TLS_CHACHA20_POLY1305_SHA256" },
		{ TLS1_2_VERSION, NULL, "\x08http/1.1", "http/1.1", NULL },
	};
	struct fixture *f = *state;
	struct err_text why = { "" };
	struct tls *t = NULL;
	char text[64];

	assert_int_equal(tls_new(&f->cfg, "h", &t, &why), ERR_OK);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		SSL *c = handshake(t, cases[i].max_version, cases[i].ciphers13, cases[i].alpn);

		assert_non_null(c);
		assert_int_equal(SSL_version(c), cases[i].max_version);
		assert_string_equal(chosen_alpn(c, text), cases[i].want_alpn);
		if (cases[i].want_cipher != NULL)
			assert_string_equal(SSL_get_cipher_name(c), cases[i].want_cipher);
		assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(c)), 1);
		SSL_free(c);
	}
	assert_null(handshake(t, TLS1_1_VERSION, NULL, NULL));
	tls_free(t);
}

static void
meta_certificate_follows(void **state)
{
	struct fixture *f = *state;
	struct err_text why = { "" };
	struct tls *t = NULL;
	uint8_t public[32];
	char want[8 + 64] = "derpkey", name[128], pin[128];

	for (size_t i = 0; i < sizeof(public); i++) {
		public[i] = (uint8_t)(7 * i + 200);
		sprintf(want + 7 + 2 * i, "%02x", public[i]);
	}
	pin_for(f, "h", pin);
	assert_int_equal(tls_new(&f->cfg, "h", &t, &why), ERR_OK);
	assert_int_equal(tls_add_derp_meta(t, public, &why), ERR_OK);
	assert_string_equal(tls_pin(t), pin);
	SSL *c = handshake(t, TLS1_3_VERSION, NULL, NULL);
	assert_non_null(c);
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(c);
	assert_int_equal(sk_X509_num(chain), 2);
	X509 *meta = sk_X509_value(chain, 1);
	assert_true(X509_NAME_get_text_by_NID(X509_get_subject_name(meta), NID_commonName, name,
	    sizeof(name)) > 0);
	assert_string_equal(name, want);
	assert_int_equal(X509_NAME_cmp(X509_get_subject_name(meta), X509_get_issuer_name(meta)), 0);
	assert_int_equal(ASN1_INTEGER_get(X509_get0_serialNumber(meta)), 2);
	assert_int_equal(EVP_PKEY_get_id(X509_get0_pubkey(meta)), EVP_PKEY_ED25519);
	assert_int_equal(X509_verify(meta, X509_get0_pubkey(meta)), 1);
	assert_true((X509_get_extension_flags(meta) & (EXFLAG_BCONS | EXFLAG_CA)) == EXFLAG_BCONS);
	SSL_free(c);
	tls_free(t);
}

/* --- changes while the server runs -------------------------------------------------------------- */

/* Makes a pair for the host and puts it where other.crt and other.key are; either may be left out. */
static void
replace(struct fixture *f, const char *host, bool with_cert, bool with_key, char pin[128])
{
	char *dir = f->cfg.data_dir, made_dir[] = "/tmp/fairlead-test-tls-XXXXXX";
	char cert[128], key[128];

	assert_non_null(mkdtemp(made_dir));
	f->cfg.data_dir = made_dir;
	pin_for(f, host, pin);
	f->cfg.data_dir = dir;
	snprintf(cert, sizeof(cert), "%s/selfsigned.crt", made_dir);
	snprintf(key, sizeof(key), "%s/selfsigned.key", made_dir);
	assert_int_equal(with_cert ? rename(cert, f->crt2) : unlink(cert), 0);
	assert_int_equal(with_key ? rename(key, f->key2) : unlink(key), 0);
	assert_int_equal(rmdir(made_dir), 0);
}

static struct tls *
open_files(struct fixture *f)
{
	struct err_text why = { "" };
	struct tls *t = NULL;

	f->cfg.tls.cert_file = f->crt2;
	f->cfg.tls.key_file = f->key2;
	if (tls_new(&f->cfg, "h", &t, &why) != ERR_OK)
		fail_msg("%s", why.s);
	f->cfg.tls.cert_file = f->cfg.tls.key_file = NULL;
	return t;
}

/* The pin of the certificate that a new connection is shown; chain: certificates in all. */
static void
expect_shown(struct tls *t, const char *pin, int chain)
{
	SSL *c = handshake(t, TLS1_3_VERSION, NULL, NULL);
	uint8_t digest[32];
	unsigned n;
	char shown[128] = "sha256-raw:";

	assert_non_null(c);
	X509 *leaf = SSL_get1_peer_certificate(c);
	assert_int_equal(X509_digest(leaf, EVP_sha256(), digest, &n), 1);
	for (size_t i = 0; i < n; i++)
		sprintf(shown + 11 + 2 * i, "%02x", digest[i]);
	assert_string_equal(shown, pin);
	assert_string_equal(tls_pin(t), pin);
	assert_int_equal(sk_X509_num(SSL_get_peer_cert_chain(c)), chain);
	X509_free(leaf);
	SSL_free(c);
}

static void
changed_files_serve(void **state)
{
	static const uint8_t key[32] = { 1 };
	struct fixture *f = *state;
	struct err_text why = { "" };
	char first[128], second[128], third[128];

	replace(f, "a.example", true, true, first);
	struct tls *t = open_files(f);
	assert_int_equal(tls_add_derp_meta(t, key, &why), ERR_OK);
	expect_shown(t, first, 2);
	assert_false(tls_check(t, false));
	assert_false(tls_check(t, true));

	replace(f, "b.example", true, true, second);
	assert_false(tls_check(t, false));	/* may be half of a change */
	expect_shown(t, first, 2);
	assert_true(tls_check(t, false));
	expect_shown(t, second, 2);
	assert_false(tls_check(t, false));

	replace(f, "c.example", true, true, third);
	assert_true(tls_check(t, true));	/* asked: at once */
	expect_shown(t, third, 2);
	assert_false(tls_is_self_signed(t));
	tls_free(t);
}

static void
bad_files_change_nothing(void **state)
{
	struct fixture *f = *state;
	char first[128], pin[128], other[128];

	replace(f, "a.example", true, true, first);
	struct tls *t = open_files(f);
	for (int what = 0; what < 5; what++) {
		switch (what) {
		case 0:				/* not the certificate's key */
			replace(f, "b.example", true, false, pin);
			break;
		case 1:
			assert_int_equal(unlink(f->key2), 0);
			break;
		case 2:
			assert_int_equal(unlink(f->crt2), 0);
			break;
		case 3:
			assert_int_equal(truncate(f->key, 100), 0);
			assert_int_equal(link(f->key, f->key2), 0);
			assert_int_equal(link(f->crt, f->crt2), 0);
			break;
		case 4:				/* the next one is good, but of a time to come */
			unlink(f->crt2);
			unlink(f->key2);
			clock_test_set(1000, NOW_S + 30 * DAY_S);
			replace(f, "c.example", true, true, pin);
			clock_test_set(1000, NOW_S);
			break;
		}
		if (what == 2)			/* for the next case */
			pin_for(f, "d.example", other);
		for (int i = 0; i < 3; i++)
			assert_false(tls_check(t, false));
		assert_false(tls_check(t, true));
		expect_shown(t, first, 1);
	}
	clock_test_set(1000, NOW_S + 30 * DAY_S);
	assert_false(tls_check(t, false));	/* refused before, and the files are the same */
	assert_true(tls_check(t, true));
	expect_shown(t, pin, 1);
	tls_free(t);
}

/* A connection whose handshake has begun goes on with what it began with. */
static void
connections_keep_theirs(void **state)
{
	struct fixture *f = *state;
	char first[128], second[128], text[8] = "";

	replace(f, "a.example", true, true, first);
	struct tls *t = open_files(f);
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	SSL *client = SSL_new(ctx), *server = tls_accept(t);
	BIO *client_bio, *server_bio;
	assert_int_equal(BIO_new_bio_pair(&client_bio, 65536, &server_bio, 65536), 1);
	SSL_set_bio(client, client_bio, client_bio);
	SSL_set_bio(server, server_bio, server_bio);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	assert_int_equal(SSL_do_handshake(client), -1);
	replace(f, "b.example", true, true, second);
	assert_true(tls_check(t, true));
	assert_int_equal(SSL_do_handshake(server), -1);
	assert_int_equal(SSL_do_handshake(client), 1);
	assert_int_equal(SSL_do_handshake(server), 1);
	tls_free(t);				/* even then */
	assert_int_equal(SSL_write(server, "still", 5), 5);
	assert_int_equal(SSL_read(client, text, sizeof(text)), 5);
	assert_string_equal(text, "still");
	X509 *leaf = SSL_get1_peer_certificate(client);
	assert_int_equal(X509_check_host(leaf, "a.example", 0, 0, NULL), 1);
	X509_free(leaf);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(ctx);
}

struct acceptor {
	struct tls *t;
	atomic_bool is_over;
	atomic_uint n;
};

static void *
accept_main(void *arg)
{
	struct acceptor *a = arg;

	while (!a->is_over) {
		SSL *ssl = tls_accept(a->t);
		SSL_set_accept_state(ssl);
		SSL_free(ssl);
		a->n++;
	}
	return NULL;
}

static void
threads_accept_meanwhile(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[2];
	char pin[128];

	replace(f, "a.example", true, true, pin);
	struct acceptor a = { .t = open_files(f) };
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, accept_main, &a), 0);
	for (int i = 0; i < 20 || a.n < 100; i++) {
		if (i < 20)
			replace(f, i % 2 == 0 ? "b.example" : "a.example", true, true, pin);
		assert_int_equal(tls_check(a.t, true), i < 20);
	}
	a.is_over = true;
	for (size_t i = 0; i < COUNT_OF(threads); i++)
		pthread_join(threads[i], NULL);
	expect_shown(a.t, pin, 1);
	tls_free(a.t);
}

static void
self_signed_is_renewed(void **state)
{
	struct fixture *f = *state;
	struct err_text why = { "" };
	struct tls *t = NULL;
	char first[128];
	int64_t from, until;

	assert_int_equal(tls_new(&f->cfg, "h", &t, &why), ERR_OK);
	snprintf(first, sizeof(first), "%s", tls_pin(t));
	tls_dates(t, &from, &until);
	assert_int_equal(from, NOW_S - DAY_S);
	assert_int_equal(until, NOW_S + (int64_t)3650 * DAY_S);
	clock_test_set(1000, until - 31 * DAY_S);
	assert_false(tls_check(t, false));
	clock_test_set(1000, until - 30 * DAY_S);
	assert_true(tls_check(t, false));
	assert_string_not_equal(tls_pin(t), first);
	expect_shown(t, tls_pin(t), 1);
	tls_dates(t, &from, &until);
	assert_false(tls_check(t, false));

	/* It cannot be written: the old one stays, and the next attempt is not at once. */
	snprintf(first, sizeof(first), "%s", tls_pin(t));
	unlink(f->crt);
	unlink(f->key);
	assert_int_equal(rmdir(f->dir), 0);
	clock_test_set(1000, until - 10 * DAY_S);
	assert_false(tls_check(t, false));
	assert_int_equal(mkdir(f->dir, 0700), 0);
	assert_false(tls_check(t, false));
	assert_string_equal(tls_pin(t), first);
	clock_test_set(1000, until - 10 * DAY_S + 3600);
	assert_true(tls_check(t, false));
	tls_free(t);
}

static void
preferred_files_serve_while_they_can(void **state)
{
	struct fixture *f = *state;
	struct err_text why = { "" };
	struct tls *t = NULL;
	char self[128], issued[128], other[128];
	int64_t from, until;

	assert_int_equal(tls_new(&f->cfg, "h", &t, &why), ERR_OK);
	snprintf(self, sizeof(self), "%s", tls_pin(t));
	tls_prefer(t, f->crt2, f->key2);
	for (int i = 0; i < 3; i++)
		assert_false(tls_check(t, i == 2));
	replace(f, "elsewhere.example", true, true, other);
	assert_false(tls_check(t, true));	/* not our name */
	expect_shown(t, self, 1);
	replace(f, "h", true, true, issued);
	assert_true(tls_check(t, true));
	assert_false(tls_is_self_signed(t));
	expect_shown(t, issued, 1);
	tls_free(t);

	assert_int_equal(tls_new(&f->cfg, "h", &t, &why), ERR_OK);
	tls_prefer(t, f->crt2, f->key2);	/* there from the start */
	expect_shown(t, issued, 1);
	tls_dates(t, &from, &until);
	clock_test_set(1000, until - 1);
	assert_false(tls_check(t, false));
	clock_test_set(1000, until);
	assert_true(tls_check(t, false));
	assert_true(tls_is_self_signed(t));
	assert_false(tls_check(t, false));
	assert_false(tls_check(t, false));
	replace(f, "h", true, true, issued);
	assert_true(tls_check(t, true));
	expect_shown(t, issued, 1);
	tls_free(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(self_signed_is_made_and_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(self_signed_says_the_right_things, setup, teardown),
		cmocka_unit_test_setup_teardown(self_signed_is_made_again_when_it_must, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_files_are_named, setup, teardown),
		cmocka_unit_test_setup_teardown(what_clients_are_given, setup, teardown),
		cmocka_unit_test_setup_teardown(meta_certificate_follows, setup, teardown),
		cmocka_unit_test_setup_teardown(changed_files_serve, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_files_change_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(connections_keep_theirs, setup, teardown),
		cmocka_unit_test_setup_teardown(threads_accept_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(self_signed_is_renewed, setup, teardown),
		cmocka_unit_test_setup_teardown(preferred_files_serve_while_they_can, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
