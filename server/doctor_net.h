/*
 * Connections of `fairlead doctor`, as a client makes them, by libcurl: one address at a time, a
 * deadline
 * for everything, and whatever certificate there is: it is looked at, not trusted. Each thread with
 * structs of its own, after curl_global_init.
 */
#ifndef SERVER_DOCTOR_NET_H
#define SERVER_DOCTOR_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/net.h"

#define DOCTOR_NET_MS	5000	/* for one connection and what is said on it */

struct doctor_target {
	char host[256];			/* name or IP literal, without brackets */
	char name[256];			/* that the certificate is to be for; "": host */
	struct net_ip ip;		/* to go to; family 0: what the resolver says of host */
	uint16_t port;
	bool is_tls;
};

/* The certificate that was shown. */
struct doctor_cert {
	bool is_shown;
	bool is_named;			/* for the target's name */
	bool is_self_signed;
	bool has_derp_key;		/* the relay's meta certificate is behind it:
	    TLS ends at the relay */
	int verify_error;		/* X509_V_…; 0: the chain leads to a root of this machine */
	int64_t from_unix_s, until_unix_s;
	char pin[80];			/* "sha256-raw:<hex>" of it */
	char issuer[128];
	char names[256];		/* what it is for, for people */
};

struct doctor_stream;
/* Connects and shakes hands. ERR_IO with *why. *cert (NULL is fine) is filled as far as it came. */
enum err doctor_net_dial(const struct doctor_target *t, struct doctor_cert *cert,
    struct doctor_stream **out,
	struct err_text *why) MUST_USE;
void doctor_net_close(struct doctor_stream *s);		/* NULL is fine */
/* All of it. ERR_IO, ERR_AGAIN (the time is over). */
enum err doctor_net_write(struct doctor_stream *s, const void *p, size_t n) MUST_USE;
/* Until in has at least n bytes. ERR_CLOSED, ERR_IO, ERR_AGAIN (the time is over): in has what came. */
enum err doctor_net_read(struct doctor_stream *s, struct buf *in, size_t n) MUST_USE;
/* Until the empty line behind an HTTP head is in it, at most 16 KiB; *n_head: its length with that line.
 * ERR_PROTO: it does not begin like HTTP/1; and as doctor_net_read. */
enum err doctor_net_read_head(struct doctor_stream *s, struct buf *in, size_t *n_head) MUST_USE;

/* An answer to GET. Fields that did not come are "". */
struct doctor_answer {
	long status;
	int64_t date_unix_s;		/* 0: none */
	double seconds;
	char server[64], via[64], challenge[128];	/* X-Tailscale-Response */
	struct buf body;		/* the first 64 KiB */
};
/* GET path over HTTP/1.1, with "Name: value" as one more field (NULL: none). ERR_IO with *why. The caller frees
 * the body. */
enum err doctor_net_get(const struct doctor_target *t, const char *path, const char *field,
	struct doctor_answer *out, struct err_text *why) MUST_USE;

/* The addresses of a name or literal, each once, at most max; *n of them. ERR_NOTFOUND, ERR_IO with *why. */
enum err doctor_net_resolve(const char *host, struct net_ip *out, unsigned max, unsigned *n,
	struct err_text *why) MUST_USE;

/* "127.0.0.1:443" for what is said of it. Returns out. */
char *doctor_net_where(const struct doctor_target *t, char out[320]);

#endif
