/*
 * TLS context of the door. A named certificate comes from PEM files; without one the door has a
 * self-signed ECDSA P-256 certificate of its own in the data directory, which clients of the relay
 * know by its SHA-256 (tlsdial.SetConfigExpectedCertHash of the reference client: exactly one
 * certificate besides the meta certificate, within its dates, valid for the host name).
 * Versions and ciphers are io_tls_ctx_init's.
 */
#include "server/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"

#define TLS_MAGIC		0x2b7a60f3u
#define TLS_PATH_BYTES		1024
#define TLS_DAY_S		86400
#define TLS_SELF_DAYS		3650
#define TLS_RENEW_DAYS		30	/* made again when it ends within this */
#define TLS_META_DAYS		3650	/* clients do not check it; a process may live long */
#define TLS_META_SERIAL		2	/* the DERP protocol version */
#define TLS_CN_MAX		64	/* ub-common-name, RFC 5280 */
#define TLS_PIN_PREFIX		"sha256-raw:"

struct tls {
	uint32_t magic;
	bool is_self_signed;
	SSL_CTX *ctx;
	char pin[sizeof(TLS_PIN_PREFIX) + 2 * SHA256_DIGEST_LENGTH];
};

/* The oldest error of OpenSSL's queue in words; empties the queue. */
static const char *
ssl_reason(void)
{
	unsigned long e = ERR_get_error();
	const char *text = e != 0 ? ERR_reason_error_string(e) : NULL;

	ERR_clear_error();
	return text != NULL ? text : "unknown reason";
}

/* --- the context ------------------------------------------------------------------------------ */

/* Only http/1.1: an upgrade has no place in HTTP/2 (RFC 9113 section 8.6). */
static int
on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
	unsigned in_n, void *arg)
{
	static const unsigned char wanted[] = "\x08http/1.1";
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_n, wanted, sizeof(wanted) - 1, in, in_n) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_NOACK;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

/* A key with a passphrase is an error, not a question on the terminal. */
static int
on_passphrase(char *out, int n, int is_writing, void *arg)
{
	(void)out;
	(void)n;
	(void)is_writing;
	(void)arg;
	return -1;
}

static enum err
ctx_new(SSL_CTX **out, struct err_text *why)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		return err_say(why, ERR_NOMEM, "TLS cannot start: %s", ssl_reason());
	io_tls_ctx_init(ctx);
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);	/* nothing is looked up per handshake */
	SSL_CTX_set_default_passwd_cb(ctx, on_passphrase);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	if (SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1) {
		SSL_CTX_free(ctx);
		return err_say(why, ERR_CRYPTO, "TLS cannot start: %s", ssl_reason());
	}
	*out = ctx;
	return ERR_OK;
}

/* Notes the fingerprint of the leaf. */
static enum err
pin_make(struct tls *t, struct err_text *why)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	unsigned n = 0;
	X509 *leaf = SSL_CTX_get0_certificate(t->ctx);

	if (leaf == NULL || X509_digest(leaf, EVP_sha256(), digest, &n) != 1 || n != sizeof(digest))
		return err_say(why, ERR_CRYPTO, "cannot hash the certificate: %s", ssl_reason());
	char *at = t->pin + sprintf(t->pin, "%s", TLS_PIN_PREFIX);
	for (size_t i = 0; i < sizeof(digest); i++)
		at += sprintf(at, "%02x", digest[i]);
	return ERR_OK;
}

/* --- named files ------------------------------------------------------------------------------ */

/* OpenSSL's own texts for files are hard to read: the common causes are told first. */
static enum err
check_readable(const char *what, const char *path, struct err_text *why)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return err_say(why, ERR_IO, "%s %s cannot be read: %s", what, path,
		    strerror(errno));
	int rc = fstat(fd, &st);
	close(fd);
	if (rc != 0 || !S_ISREG(st.st_mode))
		return err_say(why, ERR_IO, "%s %s is not a file", what, path);
	return ERR_OK;
}

static void
warn_of_dates(const char *path, const X509 *leaf)
{
	time_t now = (time_t)clock_wall_s();

	if (X509_cmp_time(X509_get0_notAfter(leaf), &now) < 0)
		log_warn(LOG_TLS, "certificate has expired", "file", path);
	else if (X509_cmp_time(X509_get0_notBefore(leaf), &now) > 0)
		log_warn(LOG_TLS, "certificate is not valid yet", "file", path);
}

static enum err
load_files(SSL_CTX *ctx, const char *cert, const char *key, struct err_text *why)
{
	enum err rc;

	ERR_clear_error();
	if ((rc = check_readable("tls_cert_path", cert, why)) != ERR_OK ||
	    (rc = check_readable("tls_key_path", key, why)) != ERR_OK)
		return rc;
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return err_say(why, ERR_INVAL, "tls_cert_path %s is not a PEM certificate: %s",
		    cert, ssl_reason());
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		unsigned long e = ERR_peek_last_error();

		if (ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH ||
		    ERR_GET_REASON(e) == X509_R_KEY_VALUES_MISMATCH)
			return err_say(why, ERR_INVAL, "tls_key_path %s does not belong to the "
			    "certificate in %s", key, cert);
		return err_say(why, ERR_INVAL, "tls_key_path %s is not a PEM private key without "
		    "passphrase: %s", key, ssl_reason());
	}
	if (SSL_CTX_check_private_key(ctx) != 1)
		return err_say(why, ERR_INVAL, "tls_key_path %s does not belong to the certificate "
		    "in %s", key, cert);
	warn_of_dates(cert, SSL_CTX_get0_certificate(ctx));
	return ERR_OK;
}

/* --- self-signed ------------------------------------------------------------------------------ */

static bool
add_san(GENERAL_NAMES *names, const char *host)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(host);
	ASN1_IA5STRING *dns = NULL;

	if (name == NULL)
		goto fail;
	if (ip != NULL) {
		GENERAL_NAME_set0_value(name, GEN_IPADD, ip);
		ip = NULL;
	} else {
		ERR_clear_error();
		dns = ASN1_IA5STRING_new();
		if (dns == NULL || ASN1_STRING_set(dns, host, -1) != 1)
			goto fail;
		GENERAL_NAME_set0_value(name, GEN_DNS, dns);
		dns = NULL;
	}
	if (sk_GENERAL_NAME_push(names, name) > 0)
		return true;
fail:
	ASN1_OCTET_STRING_free(ip);
	ASN1_IA5STRING_free(dns);
	GENERAL_NAME_free(name);
	return false;
}

static bool
add_sans(X509 *cert, const char *host)
{
	static const char *const always[] = { "localhost", "127.0.0.1", "::1" };
	GENERAL_NAMES *names = GENERAL_NAMES_new();
	bool ok = names != NULL && add_san(names, host);

	for (size_t i = 0; ok && i < COUNT_OF(always); i++)
		if (strcmp(host, always[i]) != 0)
			ok = add_san(names, always[i]);
	ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

static bool
add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;

	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	bool ok = ext != NULL && X509_add_ext(cert, ext, -1) == 1;

	X509_EXTENSION_free(ext);
	return ok;
}

/* A certificate whose subject and issuer are CN=name, without extensions but the basic constraints.
 * NULL on failure. A name longer than 64 goes around OpenSSL's check, as the relay's must. */
static X509 *
cert_new(const char *name, EVP_PKEY *key, int days_before, int days_after)
{
	X509 *cert = X509_new();
	X509_NAME *subject = X509_NAME_new();
	X509_NAME_ENTRY *cn = X509_NAME_ENTRY_create_by_NID(NULL, NID_commonName, V_ASN1_UTF8STRING,
	    (const unsigned char *)name, (int)strlen(name));
	time_t now = (time_t)clock_wall_s();

	if (cert == NULL || subject == NULL || cn == NULL ||
	    X509_set_version(cert, X509_VERSION_3) != 1 ||
	    X509_NAME_add_entry(subject, cn, -1, 0) != 1 ||
	    X509_set_subject_name(cert, subject) != 1 || X509_set_issuer_name(cert, subject) != 1 ||
	    X509_time_adj_ex(X509_getm_notBefore(cert), -days_before, 0, &now) == NULL ||
	    X509_time_adj_ex(X509_getm_notAfter(cert), days_after, 0, &now) == NULL ||
	    X509_set_pubkey(cert, key) != 1 ||
	    !add_extension(cert, NID_basic_constraints, "critical,CA:FALSE")) {
		X509_free(cert);
		cert = NULL;
	}
	X509_NAME_ENTRY_free(cn);
	X509_NAME_free(subject);
	return cert;
}

static bool
set_random_serial(X509 *cert)
{
	uint8_t bytes[16];
	BIGNUM *bn;

	rand_bytes(bytes, sizeof(bytes));
	bytes[0] = (uint8_t)((bytes[0] & 0x7f) | 0x40);
	bn = BN_bin2bn(bytes, sizeof(bytes), NULL);
	bool ok = bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;
	BN_free(bn);
	return ok;
}

static enum err
self_make(const char *host, EVP_PKEY **out_key, X509 **out_cert, struct err_text *why)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = NULL;
	const char *name = strlen(host) <= TLS_CN_MAX ? host : "Fairlead";

	if (key != NULL)
		cert = cert_new(name, key, 1, TLS_SELF_DAYS);
	if (cert == NULL || !set_random_serial(cert) || !add_sans(cert, host) ||
	    !add_extension(cert, NID_key_usage, "critical,digitalSignature") ||
	    !add_extension(cert, NID_ext_key_usage, "serverAuth") ||
	    X509_sign(cert, key, EVP_sha256()) == 0) {
		X509_free(cert);
		EVP_PKEY_free(key);
		return err_say(why, ERR_CRYPTO, "cannot make a certificate for %s: %s", host,
		    ssl_reason());
	}
	*out_key = key;
	*out_cert = cert;
	return ERR_OK;
}

/* The file appears whole or not at all, readable by its owner alone. */
static enum err
write_file(const char *path, BIO *pem, struct err_text *why)
{
	char tmp[TLS_PATH_BYTES + 8];
	char *bytes;
	long n = BIO_get_mem_data(pem, &bytes);

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_say(why, ERR_IO, "%s cannot be written: %s", tmp, strerror(errno));
	bool ok = fchmod(fd, 0600) == 0 && write(fd, bytes, (size_t)n) == n && fsync(fd) == 0;
	int e = errno;
	close(fd);
	if (ok && rename(tmp, path) == 0)
		return ERR_OK;
	if (ok)
		e = errno;
	unlink(tmp);
	return err_say(why, ERR_IO, "%s cannot be written: %s", path, strerror(e));
}

static enum err
self_write(const char *cert_path, const char *key_path, EVP_PKEY *key, X509 *cert,
	struct err_text *why)
{
	BIO *key_pem = BIO_new(BIO_s_secmem()), *cert_pem = BIO_new(BIO_s_mem());
	enum err rc = ERR_NOMEM;

	if (key_pem == NULL || cert_pem == NULL ||
	    PEM_write_bio_PKCS8PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1 ||
	    PEM_write_bio_X509(cert_pem, cert) != 1) {
		rc = err_say(why, ERR_NOMEM, "cannot encode the certificate: %s", ssl_reason());
		goto out;
	}
	if ((rc = write_file(key_path, key_pem, why)) == ERR_OK)
		rc = write_file(cert_path, cert_pem, why);
out:
	BIO_free(key_pem);
	BIO_free(cert_pem);
	return rc;
}

/* Is the kept certificate still the one to use? If not, *reason says why in a word or two. */
static bool
self_is_good(const X509 *cert, const char *host, const char **reason)
{
	X509 *c = (X509 *)(uintptr_t)cert;	/* OpenSSL's checks are not const */
	time_t soon = (time_t)clock_wall_s() + TLS_RENEW_DAYS * TLS_DAY_S;
	time_t now = (time_t)clock_wall_s();

	if (X509_check_ip_asc(c, host, 0) != 1 && X509_check_host(c, host, 0, 0, NULL) != 1)
		*reason = "made for another host";
	else if (X509_cmp_time(X509_get0_notAfter(c), &soon) <= 0)
		*reason = "its end is near";
	else if (X509_cmp_time(X509_get0_notBefore(c), &now) > 0)
		*reason = "not valid yet";
	else
		return true;
	return false;
}

/* ERR_NOTFOUND: none is kept, or it cannot serve any more. */
static enum err
self_load(SSL_CTX *ctx, const char *cert_path, const char *key_path, const char *host,
	struct err_text *why)
{
	const char *reason = "unreadable";
	const char *const paths[] = { cert_path, key_path };

	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		if (access(paths[i], R_OK) == 0)
			continue;
		if (errno == ENOENT)
			return ERR_NOTFOUND;
		return err_say(why, ERR_IO, "%s cannot be read: %s", paths[i], strerror(errno));
	}
	if (SSL_CTX_use_certificate_file(ctx, cert_path, SSL_FILETYPE_PEM) == 1 &&
	    SSL_CTX_use_PrivateKey_file(ctx, key_path, SSL_FILETYPE_PEM) == 1 &&
	    SSL_CTX_check_private_key(ctx) == 1 &&
	    self_is_good(SSL_CTX_get0_certificate(ctx), host, &reason))
		return ERR_OK;
	ERR_clear_error();
	log_warn(LOG_TLS, "self-signed certificate is made again", "reason", reason, "file",
	    cert_path);
	return ERR_NOTFOUND;
}

static enum err
self_load_or_make(SSL_CTX *ctx, const char *dir, const char *host, struct err_text *why)
{
	char cert_path[TLS_PATH_BYTES], key_path[TLS_PATH_BYTES];
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	enum err rc;

	if (strlen(dir) > TLS_PATH_BYTES - 32)
		return err_say(why, ERR_INVAL, "data_dir is too long a path");
	snprintf(cert_path, sizeof(cert_path), "%s/selfsigned.crt", dir);
	snprintf(key_path, sizeof(key_path), "%s/selfsigned.key", dir);
	if ((rc = self_load(ctx, cert_path, key_path, host, why)) != ERR_NOTFOUND)
		return rc;
	if ((rc = self_make(host, &key, &cert, why)) != ERR_OK ||
	    (rc = self_write(cert_path, key_path, key, cert, why)) != ERR_OK)
		goto out;
	if (SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1)
		rc = err_say(why, ERR_CRYPTO, "%s cannot be used: %s", cert_path, ssl_reason());
	else
		log_info(LOG_TLS, "self-signed certificate made", "host", host, "file", cert_path);
out:
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

/* --- public ----------------------------------------------------------------------------------- */

static bool
is_given(const char *s)
{
	return s != NULL && s[0] != '\0';
}

enum err
tls_new(const struct config *cfg, const char *host, struct tls **out, struct err_text *why)
{
	struct tls *t = obj_alloc(sizeof(*t));
	enum err rc;

	t->magic = TLS_MAGIC;
	t->is_self_signed = !is_given(cfg->tls.cert_file) && !is_given(cfg->tls.key_file);
	if (!t->is_self_signed && !is_given(cfg->tls.key_file))
		rc = err_say(why, ERR_INVAL, "tls_cert_path is given but tls_key_path is not");
	else if (!t->is_self_signed && !is_given(cfg->tls.cert_file))
		rc = err_say(why, ERR_INVAL, "tls_key_path is given but tls_cert_path is not");
	else
		rc = ctx_new(&t->ctx, why);
	if (rc == ERR_OK && t->is_self_signed)
		rc = self_load_or_make(t->ctx, cfg->data_dir, host, why);
	else if (rc == ERR_OK)
		rc = load_files(t->ctx, cfg->tls.cert_file, cfg->tls.key_file, why);
	if (rc == ERR_OK)
		rc = pin_make(t, why);
	if (rc != ERR_OK) {
		tls_free(t);
		return rc;
	}
	*out = t;
	return ERR_OK;
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	OBJ_CHECK(t, TLS_MAGIC);
	SSL_CTX_free(t->ctx);
	t->magic = 0;
	free(t);
}

bool
tls_is_self_signed(const struct tls *t)
{
	OBJ_CHECK(t, TLS_MAGIC);
	return t->is_self_signed;
}

const char *
tls_pin(const struct tls *t)
{
	OBJ_CHECK(t, TLS_MAGIC);
	return t->pin;
}

SSL *
tls_accept(struct tls *t)
{
	OBJ_CHECK(t, TLS_MAGIC);
	SSL *ssl = SSL_new(t->ctx);

	ASSERT(ssl != NULL);	/* only without memory */
	return ssl;
}

enum err
tls_add_derp_meta(struct tls *t, const uint8_t derp_public[32], struct err_text *why)
{
	char name[8 + 64] = "derpkey";
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *cert = NULL;
	enum err rc = ERR_OK;

	OBJ_CHECK(t, TLS_MAGIC);
	for (size_t i = 0; i < 32; i++)
		sprintf(name + 7 + 2 * i, "%02x", derp_public[i]);
	if (key != NULL)
		cert = cert_new(name, key, TLS_RENEW_DAYS, TLS_META_DAYS);
	if (cert == NULL || ASN1_INTEGER_set(X509_get_serialNumber(cert), TLS_META_SERIAL) != 1 ||
	    X509_sign(cert, key, NULL) == 0 || SSL_CTX_add1_chain_cert(t->ctx, cert) != 1)
		rc = err_say(why, ERR_CRYPTO, "cannot make the relay's meta certificate: %s",
		    ssl_reason());
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}
