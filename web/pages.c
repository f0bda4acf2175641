/* What robots and monitors ask for. The door answers /health too, without this. */
#include "web/pages.h"

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
	{ "GET", "/robots.txt", HTTP_PUBLIC, false, robots },
	{ "GET", "/health", HTTP_PUBLIC, false, health },
};
const size_t pages_routes_count = COUNT_OF(pages_routes);
