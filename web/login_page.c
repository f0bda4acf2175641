/* The page of a device that waits. */
#include "web/login_page.h"

#include <stdio.h>

#include "base/clock.h"
#include "web/flapi.h"
#include "web/html.h"

#define CONSOLE_PATH "/machines?login="		/* and the id: the console's view of a login */

static void
put_tags(struct buf *b, const struct hostinfo *host)
{
	struct buf text = { .len = 0 };

	for (unsigned i = 0; i < host->n_request_tags; i++)
		buf_printf(&text, "%s%s", i > 0 ? " " : "", host->request_tags[i]);
	if (text.len > 0)
		html_line(b, "Asks for the tags", buf_cstr(&text), "");
	buf_fini(&text);
}

static void
put_device(struct buf *b, const struct login *l)
{
	const struct hostinfo *host = l->req->host;
	char when[CLOCK_RFC3339_BYTES], text[NET_TEXT_MAX], key[8];

	buf_str(b, "<dl>\n");
	html_line(b, "Device", host->hostname, "");
	html_line(b, "System", host->os, host->os_version);
	html_line(b, "Client", host->client_version, "");
	html_line(b, "Asked from", net_ip_put(&l->from.addr.ip, text), "");
	html_line(b, "Asked at", clock_rfc3339(l->created_unix_s, when), "");
	html_line(b, "Machine key", key_short(l->from.machine.b, key), "");
	put_tags(b, host);
	buf_str(b, "</dl>\n");
}

/* Does a session of the console ask that may decide logins? */
static bool
is_decider(struct http_req *q)
{
	struct auth who;

	return http_who_session(q, &who) && auth_may(&who, SCOPE_DEVICES, true);
}

static void
page_get(struct http_req *q)
{
	const struct login *l = tailnet_login_find(flapi_tailnet(q), q->params[0]);
	char expires[CLOCK_RFC3339_BYTES], to[sizeof(CONSOLE_PATH) + LOGIN_ID_CHARS];
	struct buf b = { .len = 0 };

	if (l == NULL || l->req == NULL) {
		html_open(&b, "No device waits here");
		buf_printf(&b, "<p>This login is approved or rejected already,"
		    " or it is over: each is good for %d minutes."
		    " <code>tailscale up</code> on the device asks again.</p>\n", LOGIN_LIFE_S / 60);
		html_close(&b);
		html_reply_take(q, 404, &b);
		return;
	}
	snprintf(to, sizeof(to), CONSOLE_PATH "%.*s", LOGIN_ID_CHARS, l->id);
	if (html_has_console(q) && is_decider(q)) {
		html_reply_other(q, to);
		return;
	}
	html_open(&b, "A device asks to join");
	put_device(&b, l);
	buf_printf(&b, "<p>An administrator lets it in on the server with</p>\n"
	    "<pre>fairlead auth approve %s --user NAME</pre>\n"
	    "<p>where NAME is the user whose device it is; <code>--tags "
	  "tag:a,tag:b</code> gives it other tags.\n"
	    "It comes online by itself then. Approve only what you know.</p>\n"
	    "<pre>fairlead auth reject %s</pre>\n"
	    "<p>turns it away. Undecided, it is forgotten at %s.</p>\n", l->id, l->id,
	    clock_rfc3339(l->expires_unix_s, expires));
	if (html_has_console(q))
		buf_printf(&b, "<p>Both can be done <a href=\"%s\">in the console</a>, too.</p>\n", to);
	html_close(&b);
	html_reply_take(q, 200, &b);
}

const struct http_route login_page_routes[] = {
	{ "GET", LOGIN_PAGE_PATH "/{id}", HTTP_PUBLIC, false, page_get },
};
const size_t login_page_routes_count = COUNT_OF(login_page_routes);
