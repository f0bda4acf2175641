/* Embedded files as answers. */
#include "web/assets.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "web/http_private.h"

/* Scripts, styles and connections of our own only, nothing inline, no frames. */
#define CSP	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; " \
		"connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; " \
		"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

static const struct asset *
asset_find(const char *path)
{
	for (size_t i = 0; i < assets_count; i++)
		if (strcmp(assets_table[i].path, path) == 0)
			return &assets_table[i];
	return NULL;
}

/* Is it a page of the console? */
static bool
is_page(const char *path)
{
	static const char *const pages[] = {
		"", "login", "machines", "keys", "clusters", "access", "dns", "users", "relay", "audit",
		"settings",
	};
	size_t n = strcspn(path + 1, "/");

	for (size_t i = 0; i < COUNT_OF(pages); i++)
		if (strlen(pages[i]) == n && memcmp(path + 1, pages[i], n) == 0)
			return i > 0 || path[1] == 0;
	return false;
}

static void
add(struct MHD_Response *r, const char *name, const char *value)
{
	(void)MHD_add_response_header(r, name, value);
}

static struct MHD_Response *
from_bytes(const uint8_t *p, const uint8_t *end)
{
	return MHD_create_response_from_buffer((size_t)(end - p), (void *)(uintptr_t)p,
	    MHD_RESPMEM_PERSISTENT);
}

static void
reply_asset(struct http_req *q, const struct asset *a)
{
	const char *accepted = http_field(q, "Accept-Encoding"), *known = http_field(q, "If-None-Match");
	bool is_gz = a->gz != NULL && accepted != NULL && strstr(accepted, "gzip") != NULL;
	bool is_html = strncmp(a->type, "text/html", 9) == 0;
	struct MHD_Response *r;
	char tag[40];
	int status = 200;

	snprintf(tag, sizeof(tag), "\"%s%s\"", a->tag, is_gz ? "-gz" : "");
	if (known != NULL && strstr(known, tag) != NULL) {
		status = 304;
		r = from_bytes(a->bytes, a->bytes);
	} else {
		r = is_gz ? from_bytes(a->gz, a->gz_end) : from_bytes(a->bytes, a->end);
	}
	add(r, "Content-Type", a->type);
	if (is_gz && status == 200)
		add(r, "Content-Encoding", "gzip");
	add(r, "Vary", "Accept-Encoding");
	add(r, "ETag", tag);
	add(r, "Cache-Control",
	    is_html ? "no-store" : a->is_forever ? "public, max-age=31536000, immutable" :
	    "no-cache");
	add(r, "Content-Security-Policy", CSP);
	add(r, "X-Content-Type-Options", "nosniff");
	add(r, "X-Frame-Options", "DENY");
	add(r, "Referrer-Policy", "no-referrer");
	add(r, "Cross-Origin-Opener-Policy", "same-origin");
	add(r, "Cross-Origin-Resource-Policy", "same-origin");
	add(r, "Permissions-Policy", "clipboard-write=(self)");
	http_answer_raw_take(q, status, r);
}

#define HEAD_HTML "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">" \
	"<title>Fairlead</title></head>\n" \
	"<body><h1>Fairlead</h1>\n"

static const char without_console[] = HEAD_HTML
    "<p>This is the control server and relay of a private network for Tailscale clients.</p>\n"
    "<p>It was built without its console (<code>make console all</code> builds it in); the "
    "<code>fairlead</code> command on the server does everything.</p>\n"
    "<p>To join, ask its operator for an auth key and run"
    " <code>sudo tailscale up --login-server=URL --authkey=KEY</code>"
    " with the address of this page as URL.</p>\n</body></html>\n";

static const char too_open[] = HEAD_HTML
    "<p>The console is not shown over plain http to public addresses: everybody on the way could read your "
    "login. Use https, or a private address; <code>fairlead console</code> on the server prints a link that "
    "works.</p>\n"
    "<p>To join, ask the operator for an auth key and run"
    " <code>sudo tailscale up --login-server=URL --authkey=KEY</code>"
    " with the address of this page as URL.</p>\n</body></html>\n";

/* http_other_fn */
static bool
on_other(struct http_req *q, const char *method, const char *path)
{
	const struct asset *a = asset_find(path), *index = asset_find("/index.html");

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return false;
	if (a == NULL && !is_page(path))
		return false;
	if (a == NULL && index == NULL && strcmp(path, "/") != 0)
		return false;
	if (index == NULL)
		http_reply_text(q, 200, "text/html; charset=utf-8", without_console);
	else if ((a == NULL || a == index) && auth_is_too_open(q->peer,
	    q->_http->cfg->api.allow_plain_http))
		http_reply_text(q, 403, "text/html; charset=utf-8", too_open);
	else
		reply_asset(q, a != NULL ? a : index);
	return true;
}

void
assets_attach(struct http *h)
{
	http_on_other(h, on_other);
}
