/* A node as API v2 shows it, and the filters of the list. */
#ifndef WEB_API_DEVICE_H
#define WEB_API_DEVICE_H

#include "web/api.h"

/* An unnamed object; is_all: with what ?fields=all adds. */
void api_device_put(const struct tailnet *t, const struct node *n, bool is_all, struct json_writer *w);
/* The members advertisedRoutes and enabledRoutes. */
void api_device_put_routes(const struct node *n, struct json_writer *w);

/* The first name of the query that is neither "fields" nor a member to filter by; NULL: none. Borrowed. */
const char *api_device_filter_check(const struct form *f);
/* Values of one name are alternatives, names are all required; compared whole. */
bool api_device_matches(const struct tailnet *t, const struct node *n, const struct form *f);

#endif
