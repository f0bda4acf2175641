/* libcurl as a stream (CURLOPT_CONNECT_ONLY) and as an HTTP client; OpenSSL for what certificates say. */
#include "server/doctor_net.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/key.h"

#define BODY_MAX_BYTES	(64u << 10)
#define HEAD_MAX_BYTES	(16u << 10)
#define DERP_META_PREFIX "derpkey"	/* server/tls_self.c */

struct doctor_stream {
	CURL *curl;			/* owned */
	int64_t until_ms;
	char error[CURL_ERROR_SIZE];
};

/* --- certificates ------------------------------------------------------------------------------- */

/* What the verification sees of one connection. */
struct look {
	const struct doctor_target *target;
	struct doctor_cert *cert;
};

static int64_t
asn1_unix_s(const ASN1_TIME *t)
{
	struct tm tm;

	return ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void
common_name(X509 *c, bool is_issuer, char *out, size_t n)
{
	X509_NAME *name = is_issuer ? X509_get_issuer_name(c) : X509_get_subject_name(c);

	if (X509_NAME_get_text_by_NID(name, NID_commonName, out, (int)n) < 0 &&
	    X509_NAME_get_text_by_NID(name, NID_organizationName, out, (int)n) < 0)
		snprintf(out, n, "unnamed");
}

/* The alternative names, as far as there is room. */
static void
put_names(X509 *c, char *out, size_t n)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(c, NID_subject_alt_name, NULL, NULL);
	struct buf b = { .len = 0 };

	for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		const ASN1_STRING *s = g->type == GEN_DNS ? g->d.dNSName : g->type == GEN_IPADD ?
		    g->d.iPAddress :
		    NULL;
		char text[NET_TEXT_MAX];
		struct net_ip ip;

		if (s == NULL)
			continue;
		buf_str(&b, b.len > 0 ? ", " : "");
		if (g->type == GEN_DNS) {
			buf_append(&b, ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s));
		} else if (ASN1_STRING_length(s) == 4 || ASN1_STRING_length(s) == 16) {
			ip = ASN1_STRING_length(s) == 4 ? net_ip_from_v4(ASN1_STRING_get0_data(s)) :
			    net_ip_from_v6(ASN1_STRING_get0_data(s));
			buf_str(&b, net_ip_put(&ip, text));
		}
	}
	if (b.len > 0)
		snprintf(out, n, "%s", buf_cstr(&b));
	else
		common_name(c, false, out, n);
	buf_fini(&b);
	GENERAL_NAMES_free(names);
}

static bool
is_named(X509 *c, const char *name)
{
	struct net_ip ip;

	if (net_ip_parse(name, strlen(name), &ip) == ERR_OK)
		return X509_check_ip(c, ip.b, ip.family == 4 ? 4 : 16, 0) == 1;
	return X509_check_host(c, name, 0, 0, NULL) == 1;
}

static bool
has_derp_key(STACK_OF(X509) *chain)
{
	char cn[128];

	for (int i = 1; i < sk_X509_num(chain); i++) {
		common_name(sk_X509_value(chain, i), false, cn, sizeof(cn));
		if (strncmp(cn, DERP_META_PREFIX, strlen(DERP_META_PREFIX)) == 0)
			return true;
	}
	return false;
}

/* In place of OpenSSL's verification, which it makes and notes; whatever it says, the connection goes on. */
static int
on_certificate(X509_STORE_CTX *ctx, void *arg)
{
	const struct look *l = arg;
	struct doctor_cert *cert = l->cert;
	X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
	uint8_t digest[EVP_MAX_MD_SIZE];
	char hex[2 * EVP_MAX_MD_SIZE + 1];
	unsigned n = 0;

	if (leaf == NULL || cert == NULL)
		return 1;
	if (X509_verify_cert(ctx) != 1)
		cert->verify_error = X509_STORE_CTX_get_error(ctx);
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	cert->is_shown = true;
	cert->is_named = is_named(leaf, l->target->name[0] != 0 ? l->target->name : l->target->host);
	cert->is_self_signed = X509_NAME_cmp(X509_get_subject_name(leaf),
	    X509_get_issuer_name(leaf)) == 0;
	cert->has_derp_key = has_derp_key(X509_STORE_CTX_get0_untrusted(ctx));
	cert->from_unix_s = asn1_unix_s(X509_get0_notBefore(leaf));
	cert->until_unix_s = asn1_unix_s(X509_get0_notAfter(leaf));
	common_name(leaf, true, cert->issuer, sizeof(cert->issuer));
	put_names(leaf, cert->names, sizeof(cert->names));
	if (X509_digest(leaf, EVP_sha256(), digest, &n) == 1)
		snprintf(cert->pin, sizeof(cert->pin), "sha256-raw:%s", key_hex_put(digest, n, hex));
	return 1;
}

static CURLcode
on_ctx(CURL *curl, void *ctx, void *arg)
{
	(void)curl;
	SSL_CTX_set_default_verify_paths(ctx);	/* what clients have: also $SSL_CERT_FILE */
	SSL_CTX_set_cert_verify_callback(ctx, on_certificate, arg);
	return CURLE_OK;
}

/* --- streams ------------------------------------------------------------------------------------ */

/* "name" or "[literal]" as URLs have it. */
static void
put_host(struct buf *b, const char *host)
{
	buf_printf(b, strchr(host, ':') != NULL ? "[%s]" : "%s", host);
}

char *
doctor_net_where(const struct doctor_target *t, char out[320])
{
	char ip[NET_TEXT_MAX];
	const char *host = t->ip.family != 0 ? net_ip_put(&t->ip, ip) : t->host;

	snprintf(out, 320, strchr(host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, t->port);
	return out;
}

/* A handle for that target; path NULL: a stream. *to is the caller's to free after the handle. */
static CURL *
handle_new(const struct doctor_target *t, const char *path, const struct look *l,
    struct curl_slist **to,
    char *error)
{
	CURL *curl = curl_easy_init();
	struct buf url = { .len = 0 };
	char where[320];

	if (curl == NULL)
		abort();
	buf_printf(&url, "%s://", t->is_tls ? "https" : "http");
	put_host(&url, t->name[0] != 0 ? t->name : t->host);
	buf_printf(&url, ":%u%s", t->port, path != NULL ? path : "/");
	curl_easy_setopt(curl, CURLOPT_URL, buf_cstr(&url));
	/* Wherever the URL points to, this is where to go. */
	buf_clear(&url);
	buf_printf(&url, "::%s", doctor_net_where(t, where));
	*to = curl_slist_append(NULL, buf_cstr(&url));
	curl_easy_setopt(curl, CURLOPT_CONNECT_TO, *to);
	buf_fini(&url);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)DOCTOR_NET_MS);
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
	curl_easy_setopt(curl, CURLOPT_SSL_CTX_FUNCTION, on_ctx);
	curl_easy_setopt(curl, CURLOPT_SSL_CTX_DATA, l);
	return curl;
}

static enum err
say_curl(struct err_text *why, CURLcode rc, const char *error)
{
	if (rc == CURLE_OPERATION_TIMEDOUT)
		return err_say(why, ERR_IO, "no answer within %d seconds", DOCTOR_NET_MS / 1000);
	return err_say(why, ERR_IO, "%s", error[0] != 0 ? error : curl_easy_strerror(rc));
}

enum err
doctor_net_dial(const struct doctor_target *t, struct doctor_cert *cert, struct doctor_stream **out,
    struct err_text *why)
{
	struct doctor_stream *s = obj_alloc(sizeof(*s));
	struct doctor_cert unseen;
	struct look l = { t, cert != NULL ? cert : &unseen };
	struct curl_slist *to = NULL;
	CURLcode rc;

	memset(l.cert, 0, sizeof(*l.cert));
	s->until_ms = clock_mono_ms() + DOCTOR_NET_MS;
	s->curl = handle_new(t, NULL, &l, &to, s->error);
	curl_easy_setopt(s->curl, CURLOPT_CONNECT_ONLY, 1L);
	rc = curl_easy_perform(s->curl);
	curl_easy_setopt(s->curl, CURLOPT_CONNECT_TO, NULL);
	curl_slist_free_all(to);
	if (rc == CURLE_OK) {
		*out = s;
		return ERR_OK;
	}
	say_curl(why, rc, s->error);
	doctor_net_close(s);
	return ERR_IO;
}

void
doctor_net_close(struct doctor_stream *s)
{
	if (s == NULL)
		return;
	curl_easy_cleanup(s->curl);
	free(s);
}

/* ERR_AGAIN: the time is over. */
static enum err
stream_wait(struct doctor_stream *s, short events)
{
	curl_socket_t fd = CURL_SOCKET_BAD;
	int64_t left_ms = s->until_ms - clock_mono_ms();
	struct pollfd p = { .events = events };

	if (left_ms <= 0)
		return ERR_AGAIN;
	if (curl_easy_getinfo(s->curl, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD)
		return ERR_CLOSED;
	p.fd = fd;
	int n = poll(&p, 1, (int)left_ms);
	return n > 0 || (n < 0 && errno == EINTR) ? ERR_OK : n == 0 ? ERR_AGAIN : ERR_IO;
}

enum err
doctor_net_write(struct doctor_stream *s, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;

	while (n > 0) {
		size_t sent = 0;
		CURLcode rc = curl_easy_send(s->curl, p, n, &sent);

		p += sent;
		n -= sent;
		if (rc != CURLE_OK && rc != CURLE_AGAIN)
			return ERR_IO;
		if (rc == CURLE_AGAIN) {
			enum err wait = stream_wait(s, POLLOUT);
			if (wait != ERR_OK)
				return wait;
		}
	}
	return ERR_OK;
}

/* Some bytes. */
static enum err
stream_read(struct doctor_stream *s, struct buf *in)
{
	for (;;) {
		size_t got = 0;
		CURLcode rc = curl_easy_recv(s->curl, buf_reserve(in, 4096), 4096, &got);

		if (rc == CURLE_OK && got == 0)
			return ERR_CLOSED;
		in->len += got;
		if (rc == CURLE_OK)
			return ERR_OK;
		if (rc != CURLE_AGAIN)
			return ERR_IO;
		enum err wait = stream_wait(s, POLLIN);
		if (wait != ERR_OK)
			return wait;
	}
}

enum err
doctor_net_read(struct doctor_stream *s, struct buf *in, size_t n)
{
	enum err rc = ERR_OK;

	while (rc == ERR_OK && in->len < n)
		rc = stream_read(s, in);
	return rc;
}

enum err
doctor_net_read_head(struct doctor_stream *s, struct buf *in, size_t *n_head)
{
	static const char begin[] = "HTTP/1.";
	enum err rc = ERR_OK;

	for (;;) {
		size_t n = in->len < sizeof(begin) - 1 ? in->len : sizeof(begin) - 1;
		const uint8_t *end = in->len > 0 ? memmem(in->p, in->len, "\r\n\r\n", 4) : NULL;

		if (n > 0 && memcmp(in->p, begin, n) != 0)
			return ERR_PROTO;
		if (end != NULL) {
			*n_head = (size_t)(end - in->p) + 4;
			return ERR_OK;
		}
		if (rc != ERR_OK)
			return rc;
		if (in->len > HEAD_MAX_BYTES)
			return ERR_PROTO;
		rc = stream_read(s, in);
	}
}

/* --- requests ----------------------------------------------------------------------------------- */

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct buf *b = arg;
	size_t room = BODY_MAX_BYTES - b->len;

	buf_append(b, p, size * n < room ? size * n : room);
	return size * n;
}

/* Copies the field's value if the line is that field. */
static void
take_field(const char *line, size_t n, const char *name, char *out, size_t cap)
{
	size_t n_name = strlen(name);

	if (n <= n_name || strncasecmp(line, name, n_name) != 0 || line[n_name] != ':')
		return;
	line += n_name + 1;
	n -= n_name + 1;
	while (n > 0 && *line == ' ') {
		line++;
		n--;
	}
	while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == '\n'))
		n--;
	snprintf(out, cap, "%.*s", (int)n, line);
}

static size_t
on_field(char *line, size_t size, size_t n, void *arg)
{
	struct doctor_answer *a = arg;
	char date[64] = "";

	take_field(line, size * n, "Server", a->server, sizeof(a->server));
	take_field(line, size * n, "Via", a->via, sizeof(a->via));
	take_field(line, size * n, "X-Tailscale-Response", a->challenge, sizeof(a->challenge));
	take_field(line, size * n, "Date", date, sizeof(date));
	if (date[0] != 0) {
		time_t at = curl_getdate(date, NULL);
		a->date_unix_s = at > 0 ? (int64_t)at : 0;
	}
	return size * n;
}

enum err
doctor_net_get(const struct doctor_target *t, const char *path, const char *field,
    struct doctor_answer *out, struct err_text *why)
{
	char error[CURL_ERROR_SIZE] = "";
	struct doctor_cert unseen;
	struct look l = { t, &unseen };
	struct curl_slist *to = NULL, *fields = NULL;
	CURL *curl = handle_new(t, path, &l, &to, error);
	CURLcode rc;

	memset(out, 0, sizeof(*out));
	memset(&unseen, 0, sizeof(unseen));
	if (field != NULL)
		fields = curl_slist_append(NULL, field);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, fields);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &out->body);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_field);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, out);
	if ((rc = curl_easy_perform(curl)) == CURLE_OK) {
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
		curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &out->seconds);
	}
	curl_easy_cleanup(curl);
	curl_slist_free_all(to);
	curl_slist_free_all(fields);
	if (rc == CURLE_OK)
		return ERR_OK;
	buf_fini(&out->body);
	return say_curl(why, rc, error);
}

/* --- names -------------------------------------------------------------------------------------- */

/* getaddrinfo with a deadline; it frees *req's answer when that comes too late. */
static int
lookup(const char *host, struct addrinfo **out)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct gaicb *req = obj_alloc(sizeof(*req));
	const struct timespec most = { .tv_sec = DOCTOR_NET_MS / 1000 };
	int rc;

	*req = (struct gaicb){ .ar_name = host, .ar_request = &hints };
	if ((rc = getaddrinfo_a(GAI_NOWAIT, (struct gaicb *[]){ req }, 1, NULL)) != 0) {
		free(req);
		return rc;
	}
	(void)gai_suspend((const struct gaicb *const[]){ req }, 1, &most);
	rc = gai_error(req);
	if (rc == EAI_INPROGRESS && gai_cancel(req) != EAI_CANCELED)
		rc = gai_error(req);
	*out = req->ar_result;
	/* One that can be cancelled no more belongs to the resolver's thread until this process ends. */
	if (rc != EAI_INPROGRESS)
		free(req);
	return rc;
}

enum err
doctor_net_resolve(const char *host, struct net_ip *out, unsigned max, unsigned *n,
    struct err_text *why)
{
	struct addrinfo *list = NULL;
	struct net_addr a;
	int rc;

	*n = 0;
	if (net_ip_parse(host, strlen(host), &out[0]) == ERR_OK) {
		*n = 1;
		return ERR_OK;
	}
	if ((rc = lookup(host, &list)) == EAI_INPROGRESS)
		return err_say(why, ERR_IO, "the resolver does not answer within %d seconds",
		    DOCTOR_NET_MS / 1000);
	if (rc != 0)
		return err_say(why, rc == EAI_NONAME || rc == EAI_NODATA ? ERR_NOTFOUND : ERR_IO, "%s",
		    gai_strerror(rc));
	for (const struct addrinfo *i = list; i != NULL && *n < max; i = i->ai_next) {
		bool is_known = false;

		net_addr_from_sockaddr(i->ai_addr, &a);
		for (unsigned k = 0; k < *n; k++)
			is_known = is_known || net_ip_eq(&out[k], &a.ip);
		if (!is_known && a.ip.family != 0)
			out[(*n)++] = a.ip;
	}
	freeaddrinfo(list);
	return *n > 0 ? ERR_OK : err_say(why, ERR_NOTFOUND, "it has no address");
}
