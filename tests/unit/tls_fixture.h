/* A directory for certificates, and handshakes through memory: what the tests of server/tls share. */
#ifndef TESTS_UNIT_TLS_FIXTURE_H
#define TESTS_UNIT_TLS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/ssl.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/tls.h"

#define DAY_S 86400
#define NOW_S 1795000000	/* November 2026 */

struct fixture {
	char dir[64], crt[96], key[96], crt2[96], key2[96];
	struct config cfg;
};

static inline int
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

static inline int
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
static inline void
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

/* A client and our server talk through memory. alpn may be NULL. */
static inline SSL *
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

#endif
