/* /api/v2/tailnet/{t}/acl: the policy file, as Terraform, gitops-pusher and the Go client use
 * it. */
#ifndef WEB_API_POLICY_H
#define WEB_API_POLICY_H

#include "web/http.h"

/* Adds its table. */
void api_policy_attach(struct http *h);

#endif
