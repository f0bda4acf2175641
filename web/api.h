/*
 * /api/v2: the Tailscale API, as its clients call it (the official Go client, Terraform's provider, the
 * Kubernetes operator). One noun per file, each a const table of routes. Every success is 200, every error
 * JSON; members that are not known are ignored; lists are never null.
 */
#ifndef WEB_API_H
#define WEB_API_H

#include "web/flapi.h"

#define API2 "/api/v2"

/* Adds every table of api_*.c. */
void api_attach(struct http *h);

extern const struct http_route api_token_routes[], api_devices_routes[], api_keys_routes[];
extern const size_t api_token_routes_count, api_devices_routes_count, api_keys_routes_count;

/* The tailnet of the first path element: "-", its name, its base domain. NULL: answered 404. */
struct tailnet *api_tailnet(struct http_req *q);
/* A member of the body of that type, if it is there and not null. false: of another type, answered 400. */
bool api_member_is(struct http_req *q, const json_t *object, const char *name, enum flapi_type type);
/* As flapi_texts, of any object. */
bool api_texts(struct http_req *q, const json_t *object, const char *name, struct flapi_texts *out);

#endif
