/*
 * Certificates that the door makes itself. The self-signed one (ECDSA P-256) is kept in the data
 * directory; clients of the relay know it by its SHA-256 (tlsdial.SetConfigExpectedCertHash of the
 * reference client: exactly one certificate besides the meta certificate, within its dates, valid
 * for the host name). The meta certificate carries the relay's key (derpserver initMetacert).
 */
#include "server/tls_self.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"

#define TLS_PATH_BYTES		1024
#define TLS_DAY_S		86400
#define TLS_SELF_DAYS		3650
#define TLS_META_DAYS		3650	/* clients do not check it; a process may live long */
#define TLS_META_SERIAL		2	/* the DERP protocol version */
#define TLS_CN_MAX		64	/* ub-common-name, RFC 5280 */

const char *
tls_self_reason(void)
{
	unsigned long e = ERR_get_error();
	const char *text = e != 0 ? ERR_reason_error_string(e) : NULL;

	ERR_clear_error();
	return text != NULL ? text : "unknown reason";
}

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
		    tls_self_reason());
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
		rc = err_say(why, ERR_NOMEM, "cannot encode the certificate: %s", tls_self_reason());
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
	time_t soon = (time_t)clock_wall_s() + TLS_SELF_RENEW_DAYS * TLS_DAY_S;
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

enum err
tls_self_load_or_make(SSL_CTX *ctx, const char *dir, const char *host, struct err_text *why)
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
		rc = err_say(why, ERR_CRYPTO, "%s cannot be used: %s", cert_path, tls_self_reason());
	else
		log_info(LOG_TLS, "self-signed certificate made", "host", host, "file", cert_path);
out:
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

enum err
tls_self_add_meta(SSL_CTX *ctx, const uint8_t derp_public[32], struct err_text *why)
{
	char name[8 + 64] = "derpkey";
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	X509 *cert = NULL;
	enum err rc = ERR_OK;

	for (size_t i = 0; i < 32; i++)
		sprintf(name + 7 + 2 * i, "%02x", derp_public[i]);
	if (key != NULL)
		cert = cert_new(name, key, TLS_SELF_RENEW_DAYS, TLS_META_DAYS);
	if (cert == NULL || ASN1_INTEGER_set(X509_get_serialNumber(cert), TLS_META_SERIAL) != 1 ||
	    X509_sign(cert, key, NULL) == 0 || SSL_CTX_add1_chain_cert(ctx, cert) != 1)
		rc = err_say(why, ERR_CRYPTO, "cannot make the relay's meta certificate: %s",
		    tls_self_reason());
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}
