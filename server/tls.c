/*
 * TLS context of the door, and its change while the server runs. A named certificate comes from PEM
 * files; without one, or until an ACME client has written them, the self-signed one serves
 * (tls_self). Versions and ciphers are io_tls_ctx_init's.
 *
 * Workers take the context of the moment by reference under a lock that is held for that only; it
 * lives as long as any connection that was made with it.
 */
#include "server/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/tls_self.h"

#define TLS_MAGIC		0x2b7a60f3u
#define TLS_PIN_PREFIX		"sha256-raw:"
#define TLS_SELF_RETRY_S	3600	/* when the self-signed one could not be made again */

/* What tells one state of the two files from another; all zero for a file that is not there. */
struct stamp {
	struct { uint64_t dev, ino; int64_t bytes, mtime_ns, ctime_ns; } file[2];
};

struct tls {
	uint32_t magic;
	bool is_self_signed;
	bool is_preferred;		/* files may be missing: the self-signed one stands in */
	bool has_meta;
	bool has_own_records;
	uint8_t meta_key[32];
	char *data_dir, *host;		/* owned */
	char *cert_file, *key_file;	/* owned; NULL: none */
	struct stamp loaded;		/* what serves; not of a self-signed one */
	struct stamp tried, seen;	/* at the last attempt to load; at the last look */
	int64_t not_before_unix_s, not_after_unix_s;
	int64_t self_retry_unix_s;
	char pin[sizeof(TLS_PIN_PREFIX) + 2 * SHA256_DIGEST_LENGTH];
	pthread_mutex_t lock;		/* of ctx, which only the main thread changes */
	SSL_CTX *ctx;
};

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
ctx_new(const struct tls *t, SSL_CTX **out, struct err_text *why)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (ctx == NULL)
		return err_say(why, ERR_NOMEM, "TLS cannot start: %s", tls_self_reason());
	io_tls_ctx_init(ctx);
	io_tls_ctx_records(ctx, t->has_own_records);
	SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);	/* nothing is looked up per handshake */
	SSL_CTX_set_default_passwd_cb(ctx, on_passphrase);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
	if (SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1) {
		SSL_CTX_free(ctx);
		return err_say(why, ERR_CRYPTO, "TLS cannot start: %s", tls_self_reason());
	}
	*out = ctx;
	return ERR_OK;
}

static int64_t
unix_s(const ASN1_TIME *at)
{
	struct tm tm;

	return ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* From here on ctx serves (taken). Connections that have the old one keep it. */
static enum err
install(struct tls *t, SSL_CTX *ctx, bool is_self_signed, struct err_text *why)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	unsigned n = 0;
	X509 *leaf = SSL_CTX_get0_certificate(ctx);
	enum err rc = ERR_OK;

	if (leaf == NULL || X509_digest(leaf, EVP_sha256(), digest, &n) != 1 || n != sizeof(digest))
		rc = err_say(why, ERR_CRYPTO, "cannot hash the certificate: %s", tls_self_reason());
	else if (t->has_meta)
		rc = tls_self_add_meta(ctx, t->meta_key, why);
	if (rc != ERR_OK) {
		SSL_CTX_free(ctx);
		return rc;
	}
	char *at = t->pin + sprintf(t->pin, "%s", TLS_PIN_PREFIX);
	for (size_t i = 0; i < sizeof(digest); i++)
		at += sprintf(at, "%02x", digest[i]);
	t->is_self_signed = is_self_signed;
	t->not_before_unix_s = unix_s(X509_get0_notBefore(leaf));
	t->not_after_unix_s = unix_s(X509_get0_notAfter(leaf));
	pthread_mutex_lock(&t->lock);
	SSL_CTX *old = t->ctx;
	t->ctx = ctx;
	pthread_mutex_unlock(&t->lock);
	SSL_CTX_free(old);
	return ERR_OK;
}

/* --- files ------------------------------------------------------------------------------------ */

static struct stamp
stamp_take(const struct tls *t)
{
	const char *const paths[] = { t->cert_file, t->key_file };
	struct stamp s;
	struct stat st;

	memset(&s, 0, sizeof(s));
	for (size_t i = 0; i < COUNT_OF(paths); i++) {
		if (stat(paths[i], &st) != 0)
			continue;
		s.file[i].dev = st.st_dev;
		s.file[i].ino = st.st_ino;
		s.file[i].bytes = st.st_size;
		s.file[i].mtime_ns = st.st_mtim.tv_sec * 1000000000ll + st.st_mtim.tv_nsec;
		s.file[i].ctime_ns = st.st_ctim.tv_sec * 1000000000ll + st.st_ctim.tv_nsec;
	}
	return s;
}

static bool
stamp_eq(const struct stamp *a, const struct stamp *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

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

/* What the file is called in a complaint: by its setting, if an operator gave it. */
static const char *
name_of(const struct tls *t, bool is_key)
{
	if (t->is_preferred)
		return is_key ? "key" : "certificate";
	return is_key ? "tls_key_path" : "tls_cert_path";
}

static enum err
put_files(const struct tls *t, SSL_CTX *ctx, struct err_text *why)
{
	const char *cert = t->cert_file, *key = t->key_file;
	enum err rc;

	ERR_clear_error();
	if ((rc = check_readable(name_of(t, false), cert, why)) != ERR_OK ||
	    (rc = check_readable(name_of(t, true), key, why)) != ERR_OK)
		return rc;
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return err_say(why, ERR_INVAL, "%s %s is not a PEM certificate: %s",
		    name_of(t, false), cert, tls_self_reason());
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		unsigned long e = ERR_peek_last_error();

		if (ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH ||
		    ERR_GET_REASON(e) == X509_R_KEY_VALUES_MISMATCH)
			return err_say(why, ERR_INVAL, "%s %s does not belong to the certificate in"
			    " %s", name_of(t, true), key, cert);
		return err_say(why, ERR_INVAL, "%s %s is not a PEM private key without passphrase:"
		    " %s", name_of(t, true), key, tls_self_reason());
	}
	if (SSL_CTX_check_private_key(ctx) != 1)
		return err_say(why, ERR_INVAL, "%s %s does not belong to the certificate in %s",
		    name_of(t, true), key, cert);
	return ERR_OK;
}

/* At the start an operator's files are taken whatever their dates are; they do not replace a
 * certificate that is better. */
static enum err
check_leaf(const struct tls *t, SSL_CTX *ctx, struct err_text *why)
{
	X509 *leaf = SSL_CTX_get0_certificate(ctx);
	int64_t now = clock_wall_s();
	const char *wrong = NULL;

	if (unix_s(X509_get0_notAfter(leaf)) <= now)
		wrong = "has expired";
	else if (unix_s(X509_get0_notBefore(leaf)) > now)
		wrong = "is not valid yet";
	else if (t->is_preferred && X509_check_host(leaf, t->host, 0, 0, NULL) != 1)
		wrong = "is made for another name";
	if (wrong == NULL)
		return ERR_OK;
	if (t->is_preferred || (t->ctx != NULL && t->not_after_unix_s > now))
		return err_say(why, ERR_INVAL, "%s %s %s", name_of(t, false), t->cert_file, wrong);
	log_warn(LOG_TLS, "the certificate cannot serve", "file", t->cert_file, "reason", wrong);
	return ERR_OK;
}

static enum err
load_files(struct tls *t, struct err_text *why)
{
	SSL_CTX *ctx = NULL;
	struct stamp now = stamp_take(t);
	enum err rc = ctx_new(t, &ctx, why);

	t->tried = t->seen = now;
	if (rc == ERR_OK)
		rc = put_files(t, ctx, why);
	if (rc == ERR_OK)
		rc = check_leaf(t, ctx, why);
	if (rc != ERR_OK) {
		SSL_CTX_free(ctx);
		return rc;
	}
	if ((rc = install(t, ctx, false, why)) == ERR_OK)
		t->loaded = now;
	return rc;
}

static enum err
load_self(struct tls *t, struct err_text *why)
{
	SSL_CTX *ctx = NULL;
	enum err rc = ctx_new(t, &ctx, why);

	if (rc == ERR_OK)
		rc = tls_self_load_or_make(ctx, t->data_dir, t->host, why);
	if (rc != ERR_OK) {
		SSL_CTX_free(ctx);
		return rc;
	}
	return install(t, ctx, true, why);
}

/* --- changes ---------------------------------------------------------------------------------- */

static void
say_loaded(const struct tls *t)
{
	char expires[CLOCK_RFC3339_BYTES];

	log_info(LOG_TLS, "certificate loaded", "file", t->cert_file, "expires",
	    clock_rfc3339(t->not_after_unix_s, expires));
}

/* Are there other files than those that serve, and is it time to try them? Two files cannot be
 * replaced at once: by the timer they are taken when they have rested from one look to the next. */
static bool
files_are_new(struct tls *t, bool is_now)
{
	static const struct stamp none;
	struct stamp now = stamp_take(t);
	bool has_rested = stamp_eq(&now, &t->seen);

	t->seen = now;
	if (t->is_preferred && now.file[0].ino == none.file[0].ino)
		return false;		/* not issued yet */
	if (is_now)
		return t->is_self_signed || !stamp_eq(&now, &t->loaded);
	return has_rested && !stamp_eq(&now, &t->tried);
}

static bool
check_files(struct tls *t, bool is_now)
{
	struct err_text why = { "" };

	if (t->cert_file == NULL || !files_are_new(t, is_now))
		return false;
	if (load_files(t, &why) != ERR_OK) {
		log_error(LOG_TLS, "certificate files cannot be used, the certificate in use stays", "err",
		    why.s);
		return false;
	}
	say_loaded(t);
	return true;
}

/* The self-signed certificate before its end, or in place of an ACME one that has ended. */
static bool
check_self(struct tls *t)
{
	int64_t now = clock_wall_s(), left = t->not_after_unix_s - now;
	struct err_text why = { "" };

	if (!t->is_self_signed && !t->is_preferred)
		return false;
	if (left > (t->is_self_signed ? TLS_SELF_RENEW_DAYS * 86400 : 0) || now < t->self_retry_unix_s)
		return false;
	if (!t->is_self_signed)
		log_error(LOG_TLS, "the certificate has expired, the self-signed one serves", "file",
		    t->cert_file);
	if (load_self(t, &why) == ERR_OK)
		return true;
	t->self_retry_unix_s = now + TLS_SELF_RETRY_S;
	log_error(LOG_TLS, "the self-signed certificate cannot be renewed", "err", why.s);
	return false;
}

bool
tls_check(struct tls *t, bool is_now)
{
	OBJ_CHECK(t, TLS_MAGIC);
	bool is_changed = check_files(t, is_now);

	return check_self(t) || is_changed;
}

void
tls_prefer(struct tls *t, const char *cert_file, const char *key_file)
{
	OBJ_CHECK(t, TLS_MAGIC);
	ASSERT(t->cert_file == NULL);
	t->is_preferred = true;
	t->cert_file = obj_strdup(cert_file);
	t->key_file = obj_strdup(key_file);
	(void)check_files(t, true);
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
	ASSERT(pthread_mutex_init(&t->lock, NULL) == 0);
	t->data_dir = obj_strdup(cfg->data_dir);
	t->host = obj_strdup(host);
	t->has_own_records = cfg->tls.has_own_records;
	if (is_given(cfg->tls.cert_file))
		t->cert_file = obj_strdup(cfg->tls.cert_file);
	if (is_given(cfg->tls.key_file))
		t->key_file = obj_strdup(cfg->tls.key_file);
	if (t->cert_file != NULL && t->key_file == NULL)
		rc = err_say(why, ERR_INVAL, "tls_cert_path is given but tls_key_path is not");
	else if (t->key_file != NULL && t->cert_file == NULL)
		rc = err_say(why, ERR_INVAL, "tls_key_path is given but tls_cert_path is not");
	else
		rc = t->cert_file != NULL ? load_files(t, why) : load_self(t, why);
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
	pthread_mutex_destroy(&t->lock);
	free(t->data_dir);
	free(t->host);
	free(t->cert_file);
	free(t->key_file);
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

void
tls_dates(const struct tls *t, int64_t *not_before_unix_s, int64_t *not_after_unix_s)
{
	OBJ_CHECK(t, TLS_MAGIC);
	*not_before_unix_s = t->not_before_unix_s;
	*not_after_unix_s = t->not_after_unix_s;
}

SSL *
tls_accept(struct tls *t)
{
	OBJ_CHECK(t, TLS_MAGIC);
	pthread_mutex_lock(&t->lock);
	SSL_CTX *ctx = t->ctx;
	ASSERT(SSL_CTX_up_ref(ctx) == 1);
	pthread_mutex_unlock(&t->lock);
	SSL *ssl = SSL_new(ctx);

	SSL_CTX_free(ctx);
	ASSERT(ssl != NULL);	/* only without memory */
	return ssl;
}

enum err
tls_add_derp_meta(struct tls *t, const uint8_t derp_public[32], struct err_text *why)
{
	OBJ_CHECK(t, TLS_MAGIC);
	memcpy(t->meta_key, derp_public, sizeof(t->meta_key));
	t->has_meta = true;
	return tls_self_add_meta(t->ctx, derp_public, why);
}
