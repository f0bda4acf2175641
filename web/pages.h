/* What a browser, a crawler or a monitor asks for outside the API: /, /robots.txt, /health. */
#ifndef WEB_PAGES_H
#define WEB_PAGES_H

#include "web/http_req.h"

extern const struct http_route pages_routes[];
extern const size_t pages_routes_count;

#endif
