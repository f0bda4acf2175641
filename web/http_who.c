/* From the fields of a request to who asks; guessing is limited by source address. */
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "web/http_private.h"

#define FORWARDED_MAX	16		/* X-Forwarded-For fields looked at, the last ones */
#define WRONG_PER_S	(10 / 60.0)	/* wrong credentials of one source; the right ones always pass */
#define WRONG_BURST	30.0
#define WRONG_SOURCES	4096

struct lists {
	const char *v[FORWARDED_MAX];
	unsigned n;
};

static enum MHD_Result
take_list(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	struct lists *l = cls;

	(void)kind;
	if (value == NULL || strcasecmp(name, "X-Forwarded-For") != 0)
		return MHD_YES;
	if (l->n == FORWARDED_MAX)
		memmove(l->v, l->v + 1, --l->n * sizeof(l->v[0]));
	l->v[l->n++] = value;
	return MHD_YES;
}

void
http_who_peer(struct http_req *q, const struct http_peer *peer)
{
	const struct http *h = q->_http;
	struct lists lists = { .n = 0 };

	q->_peer = *peer;
	q->peer = &q->_peer;
	if (h->trusted.n == 0 || peer->origin != HTTP_FROM_DOOR)
		return;
	(void)MHD_get_connection_values(q->_conn, MHD_HEADER_KIND, take_list, &lists);
	auth_forwarded(&q->_peer, &(struct auth_forwarded){
		.trusted = &h->trusted, .lists = lists.v, .n_lists = lists.n,
		.proto = http_field(q, "X-Forwarded-Proto"),
	});
}

bool
http_who_may_be_wrong(struct http_req *q)
{
	return ratelimit_take_ip(q->_http->wrong, &q->peer->addr.ip, clock_mono_ms());
}

/* With this status, unless the source had enough wrong ones. */
static void
refuse_wrong(struct http_req *q, int status, const char *message)
{
	if (http_who_may_be_wrong(q)) {
		http_reply_error(q, status, "%s", message);
		return;
	}
	http_add_field(q, "Retry-After", "60");
	http_reply_error(q, 429, "too many wrong credentials from your address: wait a minute");
}

void
http_who_wrong(struct http_req *q, const char *message)
{
	refuse_wrong(q, 401, message);
}

enum err
http_who(struct http_req *q, const char *method)
{
	struct http *h = q->_http;
	struct err_text why = { "" };
	int status = 403;
	struct auth_request r = {
		.peer = q->peer,
		.method = method,
		.authorization = http_field(q, "Authorization"),
		.cookie = http_field(q, "Cookie"),
		.fetch_site = http_field(q, "Sec-Fetch-Site"),
		.origin = http_field(q, "Origin"),
		.host = http_field(q, "Host"),
		.csrf = http_field(q, "X-Fairlead-CSRF"),
		.content_type = http_field(q, "Content-Type"),
		.has_body = http_has_body(q),
		.allows_plain = h->cfg->api.allow_plain_http,
	};

	if (auth_check(h->tailnet, &r, q->route->access, &q->who, &status, &why) == ERR_OK)
		return ERR_OK;
	if (q->who.was_wrong)
		refuse_wrong(q, status, why.s);
	else
		http_reply_error(q, status, "%s", why.s);
	return ERR_DENIED;
}

bool
http_who_session(const struct http_req *q, struct auth *out)
{
	struct auth_request r = {
		.peer = q->peer, .method = "GET", .cookie = http_field(q, "Cookie"),
		.allows_plain = q->_http->cfg->api.allow_plain_http,
	};
	struct err_text why;
	int status;

	return r.cookie != NULL && auth_check(q->_http->tailnet, &r, HTTP_KNOWN, out, &status,
	    &why) == ERR_OK && out->kind == AUTH_SESSION;
}

enum err
http_who_init(struct http *h, struct err_text *why)
{
	const struct config_list *proxies = &h->cfg->trusted_proxies;

	h->wrong = ratelimit_new(WRONG_PER_S, WRONG_BURST, WRONG_SOURCES);
	return net_prefixes_parse("trusted_proxies", proxies->items, proxies->n, &h->trusted, why);
}
