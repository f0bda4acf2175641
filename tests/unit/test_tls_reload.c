/* links: server/tls server/tls_self */
/* Proves: changed files serve the next connection, a bad pair or none changes nothing, a connection
 * keeps what it began with, and the self-signed certificate is renewed or stands in. */
#include "tests/unit/tls_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include <openssl/x509v3.h>

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
		cmocka_unit_test_setup_teardown(changed_files_serve, setup, teardown),
		cmocka_unit_test_setup_teardown(bad_files_change_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(connections_keep_theirs, setup, teardown),
		cmocka_unit_test_setup_teardown(threads_accept_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(self_signed_is_renewed, setup, teardown),
		cmocka_unit_test_setup_teardown(preferred_files_serve_while_they_can, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
