/* links: server/tls server/tls_self */
/* Proves: the door's certificate is made once and kept, bad files are named, and what clients check holds. */
#include "tests/unit/tls_fixture.h"

#include <sys/stat.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

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
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
