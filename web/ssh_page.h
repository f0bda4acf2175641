/*
 * What a person is shown whose SSH login must be approved: GET /ssh/check/{id}, a page without scripts that
 * says who wants to get where, and how it is approved. Whoever knows the id sees it. Those who may decide have
 * two buttons: administrators, and the user whose node the login comes from, signed in to the console.
 */
#ifndef WEB_SSH_PAGE_H
#define WEB_SSH_PAGE_H

#include "web/http_req.h"

extern const struct http_route ssh_page_routes[];
extern const size_t ssh_page_routes_count;

#endif
