/*
 * What a client without a key shows its user: GET /register/{id}, a page without scripts that says
 * which device waits and how it is approved. Whoever knows the id sees it; it decides nothing. Sessions of
 * the console that may decide are sent on to its view of the login.
 */
#ifndef WEB_LOGIN_PAGE_H
#define WEB_LOGIN_PAGE_H

#include "web/http_req.h"

#define LOGIN_PAGE_PATH "/register"

extern const struct http_route login_page_routes[];
extern const size_t login_page_routes_count;

#endif
