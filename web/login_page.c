/* The page of a device that waits. Everything that the device says of itself is text, never markup. */
#include "web/login_page.h"

#include <microhttpd.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "web/assets.h"
#include "web/flapi.h"
#include "web/http_private.h"

#define CSP "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; " \
	"frame-ancestors 'none'"
#define STYLE_PATH LOGIN_PAGE_PATH "/page.css"
#define CONSOLE_PATH "/machines?login="		/* and the id: the console's view of a login */

static const char style[] =
	"body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;"
	"color:#1b1f24;background:#fff}\n"
	"h1{font-size:1.5rem}\n"
	"dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1.5rem}\n"
	"a{color:#1d5bb8}\n"
	"dt{color:#57606a}\n"
	"dd{margin:0;overflow-wrap:anywhere}\n"
	"pre{background:#f3f4f6;padding:.75rem 1rem;border-radius:6px;white-space:pre-wrap;"
	"overflow-wrap:anywhere}\n"
	"@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}dt{color:#8d96a0}"
	"a{color:#82b1ff}"
	"pre{background:#161b22}}\n";

/* Appends text as HTML shows it: markup and control characters cannot come through. */
static void
put_text(struct buf *b, const char *text)
{
	for (; *text != 0; text++) {
		switch (*text) {
		case '&':
			buf_str(b, "&amp;");
			break;
		case '<':
			buf_str(b, "&lt;");
			break;
		case '>':
			buf_str(b, "&gt;");
			break;
		case '"':
			buf_str(b, "&quot;");
			break;
		case '\'':
			buf_str(b, "&#39;");
			break;
		default:
			buf_byte(b, (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : (uint8_t)*text);
		}
	}
}

/* bdi: text that runs the other way stays within its line. */
static void
put_line(struct buf *b, const char *head, const char *text, const char *more)
{
	if (text[0] == 0)
		text = "unknown";
	buf_printf(b, "<dt>%s</dt><dd><bdi>", head);
	put_text(b, text);
	if (more[0] != 0) {
		buf_byte(b, ' ');
		put_text(b, more);
	}
	buf_str(b, "</bdi></dd>\n");
}

static void
put_tags(struct buf *b, const struct hostinfo *host)
{
	struct buf text = { .len = 0 };

	for (unsigned i = 0; i < host->n_request_tags; i++)
		buf_printf(&text, "%s%s", i > 0 ? " " : "", host->request_tags[i]);
	if (text.len > 0)
		put_line(b, "Asks for the tags", buf_cstr(&text), "");
	buf_fini(&text);
}

static void
put_open(struct buf *b, const char *title)
{
	buf_printf(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
	    "<meta name=\"robots\" content=\"noindex\"><title>%s</title>"
	    "<link rel=\"stylesheet\" href=\"" STYLE_PATH "\"></head>\n<body><main><h1>%s</h1>\n",
	    title, title);
}

static void
put_device(struct buf *b, const struct login *l)
{
	const struct hostinfo *host = l->req->host;
	char when[CLOCK_RFC3339_BYTES], text[NET_TEXT_MAX], key[8];

	buf_str(b, "<dl>\n");
	put_line(b, "Device", host->hostname, "");
	put_line(b, "System", host->os, host->os_version);
	put_line(b, "Client", host->client_version, "");
	put_line(b, "Asked from", net_ip_put(&l->from.addr.ip, text), "");
	put_line(b, "Asked at", clock_rfc3339(l->created_unix_s, when), "");
	put_line(b, "Machine key", key_short(l->from.machine.b, key), "");
	put_tags(b, host);
	buf_str(b, "</dl>\n");
}

/* to: where the browser goes on, or NULL. */
static void
reply_take(struct http_req *q, int status, const char *type, const char *to, struct buf *body)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(body->len, body->p,
	    MHD_RESPMEM_MUST_FREE);
	static const char *const fields[][2] = {
		{ "X-Content-Type-Options", "nosniff" }, { "Cache-Control", "no-store" },
		{ "Referrer-Policy", "no-referrer" }, { "X-Frame-Options", "DENY" },
		{ "Content-Security-Policy", CSP }, { "Cross-Origin-Opener-Policy", "same-origin" },
		{ "Cross-Origin-Resource-Policy", "same-origin" },
	};

	*body = (struct buf){ .len = 0 };
	for (size_t i = 0; i < COUNT_OF(fields); i++)
		(void)MHD_add_response_header(r, fields[i][0], fields[i][1]);
	(void)MHD_add_response_header(r, "Content-Type", type);
	if (to != NULL)
		(void)MHD_add_response_header(r, "Location", to);
	http_answer_raw_take(q, status, r);
}

static bool
has_console(const struct http_req *q)
{
	return assets_count > 0 && !auth_is_too_open(q->peer, q->_http->cfg->api.allow_plain_http);
}

/* Does a session of the console ask that may decide logins? */
static bool
is_decider(const struct http_req *q)
{
	struct auth_request r = {
		.peer = q->peer, .method = "GET", .cookie = http_field(q, "Cookie"),
		.allows_plain = q->_http->cfg->api.allow_plain_http,
	};
	struct err_text why;
	struct auth who;
	int status;

	return r.cookie != NULL && auth_check(flapi_tailnet(q), &r, HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES),
	    &who, &status, &why) == ERR_OK && who.kind == AUTH_SESSION;
}

static void
page_get(struct http_req *q)
{
	const struct login *l = tailnet_login_find(flapi_tailnet(q), q->params[0]);
	char expires[CLOCK_RFC3339_BYTES], to[sizeof(CONSOLE_PATH) + LOGIN_ID_CHARS];
	struct buf b = { .len = 0 };

	if (l == NULL || l->req == NULL) {
		put_open(&b, "No device waits here");
		buf_printf(&b, "<p>This login is approved or rejected already,"
		    " or it is over: each is good for %d minutes."
		    " <code>tailscale up</code> on the device asks again.</p>\n</main></body></html>\n",
		    LOGIN_LIFE_S / 60);
		reply_take(q, 404, "text/html; charset=utf-8", NULL, &b);
		return;
	}
	snprintf(to, sizeof(to), CONSOLE_PATH "%.*s", LOGIN_ID_CHARS, l->id);
	if (has_console(q) && is_decider(q)) {
		buf_str(&b, "The console has it.\n");
		reply_take(q, 303, "text/plain; charset=utf-8", to, &b);
		return;
	}
	put_open(&b, "A device asks to join");
	put_device(&b, l);
	buf_printf(&b, "<p>An administrator lets it in on the server with</p>\n"
	    "<pre>fairlead auth approve %s --user NAME</pre>\n"
	    "<p>where NAME is the user whose device it is; <code>--tags "
	  "tag:a,tag:b</code> gives it other tags.\n"
	    "It comes online by itself then. Approve only what you know.</p>\n"
	    "<pre>fairlead auth reject %s</pre>\n"
	    "<p>turns it away. Undecided, it is forgotten at %s.</p>\n", l->id, l->id,
	    clock_rfc3339(l->expires_unix_s, expires));
	if (has_console(q))
		buf_printf(&b, "<p>Both can be done <a href=\"%s\">in the console</a>, too.</p>\n", to);
	buf_str(&b, "</main></body></html>\n");
	reply_take(q, 200, "text/html; charset=utf-8", NULL, &b);
}

static void
style_get(struct http_req *q)
{
	struct buf b = { .len = 0 };

	buf_str(&b, style);
	reply_take(q, 200, "text/css; charset=utf-8", NULL, &b);
}

const struct http_route login_page_routes[] = {
	{ "GET", STYLE_PATH, HTTP_PUBLIC, false, style_get },
	{ "GET", LOGIN_PAGE_PATH "/{id}", HTTP_PUBLIC, false, page_get },
};
const size_t login_page_routes_count = COUNT_OF(login_page_routes);
