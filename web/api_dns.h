/* /api/v2/tailnet/{t}/dns and /api/fairlead/v1/dns: the same state in the forms of both. */
#ifndef WEB_API_DNS_H
#define WEB_API_DNS_H

#include "web/http_req.h"

struct tailnet;

/* Adds their tables. */
void api_dns_attach(struct http *h);
void flapi_dns_attach(struct http *h);
/* What GET of the second answers, as a member. */
void flapi_put_dns(struct tailnet *t, const char *name, struct json_writer *w);

#endif
