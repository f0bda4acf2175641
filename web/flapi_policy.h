/* /api/fairlead/v1/policy: versions, checks, plans and explanations; what API v2 lacks. */
#ifndef WEB_FLAPI_POLICY_H
#define WEB_FLAPI_POLICY_H

#include "web/http.h"

/* Adds its table. */
void flapi_policy_attach(struct http *h);

#endif
