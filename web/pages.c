/* What a browser or a monitor asks for at the root. The door answers /health too, without this. */
#include "web/pages.h"

static void
root(struct http_req *q)
{
	http_reply_text(q, 200, "text/html; charset=utf-8",
	    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Fairlead</title></head>\n"
	    "<body><h1>Fairlead</h1>\n"
	    "<p>This is the control server and relay of a private network for Tailscale clients.</p>\n"
	    "<p>To join, ask its operator for an auth key and run"
	    " <code>sudo tailscale up --login-server=URL --authkey=KEY</code>"
	    " with the address of this page as URL.</p>\n"
	    "</body></html>\n");
}

static void
robots(struct http_req *q)
{
	http_reply_text(q, 200, "text/plain; charset=utf-8", "User-agent: *\nDisallow: /\n");
}

static void
health(struct http_req *q)
{
	http_reply_text(q, 200, "application/health+json", "{\"status\":\"pass\"}\n");
}

const struct http_route pages_routes[] = {
	{ "GET", "/", HTTP_PUBLIC, false, root },
	{ "GET", "/robots.txt", HTTP_PUBLIC, false, robots },
	{ "GET", "/health", HTTP_PUBLIC, false, health },
};
const size_t pages_routes_count = COUNT_OF(pages_routes);
