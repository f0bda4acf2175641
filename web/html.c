/* Pages without scripts: text, frame, style, security fields. */
#include "web/html.h"

#include <microhttpd.h>
#include <stdio.h>

#include "web/assets.h"
#include "web/http_private.h"

#define CSP "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'self'; " \
	"frame-ancestors 'none'"
#define STYLE_PATH "/register/page.css"

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
	"form{display:inline-block;margin:0 .75rem .75rem 0}\n"
	"button{font:inherit;padding:.5rem 1.25rem;border:1px solid #57606a;border-radius:6px;"
	"color:inherit;background:none;cursor:pointer}\n"
	"button.primary{color:#fff;background:#1d5bb8;border-color:#1d5bb8}\n"
	"@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}dt{color:#8d96a0}"
	"a{color:#82b1ff}"
	"pre{background:#161b22}}\n";

void
html_text(struct buf *b, const char *text)
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

void
html_line(struct buf *b, const char *head, const char *text, const char *more)
{
	if (text[0] == 0)
		text = "unknown";
	buf_printf(b, "<dt>%s</dt><dd><bdi>", head);
	html_text(b, text);
	if (more[0] != 0) {
		buf_byte(b, ' ');
		html_text(b, more);
	}
	buf_str(b, "</bdi></dd>\n");
}

void
html_open(struct buf *b, const char *title)
{
	buf_printf(b, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	    "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
	    "<meta name=\"robots\" content=\"noindex\"><title>%s</title>"
	    "<link rel=\"stylesheet\" href=\"" STYLE_PATH "\"></head>\n<body><main><h1>%s</h1>\n",
	    title, title);
}

void
html_close(struct buf *b)
{
	buf_str(b, "</main></body></html>\n");
}

/* to: where the browser goes on, or NULL. The referrer stays within the site: a form's request must be able
 * to say where it comes from. */
static void
reply_take(struct http_req *q, int status, const char *type, const char *to, struct buf *body)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(body->len, body->p,
	    MHD_RESPMEM_MUST_FREE);
	static const char *const fields[][2] = {
		{ "X-Content-Type-Options", "nosniff" }, { "Cache-Control", "no-store" },
		{ "Referrer-Policy", "same-origin" }, { "X-Frame-Options", "DENY" },
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

void
html_reply_take(struct http_req *q, int status, struct buf *body)
{
	reply_take(q, status, "text/html; charset=utf-8", NULL, body);
}

void
html_reply_other(struct http_req *q, const char *path)
{
	struct buf b = { .len = 0 };

	buf_str(&b, "The console has it.\n");
	reply_take(q, 303, "text/plain; charset=utf-8", path, &b);
}

bool
html_has_console(const struct http_req *q)
{
	return assets_count > 0 && !auth_is_too_open(q->peer, q->_http->cfg->api.allow_plain_http);
}

static void
style_get(struct http_req *q)
{
	struct buf b = { .len = 0 };

	buf_str(&b, style);
	reply_take(q, 200, "text/css; charset=utf-8", NULL, &b);
}

const struct http_route html_routes[] = {
	{ "GET", STYLE_PATH, HTTP_PUBLIC, false, style_get },
};
const size_t html_routes_count = COUNT_OF(html_routes);
