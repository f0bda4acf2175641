/* Quotas of the relay: /api/fairlead/v1/quotas. */
#ifndef WEB_FLAPI_QUOTAS_H
#define WEB_FLAPI_QUOTAS_H

#include "web/flapi.h"

/* Adds the table. */
void flapi_quotas_attach(struct http *h);

/* The one of this subject (coord/quota_rule.h), as the list shows it; null when it is unset. */
void flapi_put_quota(struct tailnet *t, const char *subject, const char *name, struct json_writer *w);

#endif
