/* Who uses the relay: /api/fairlead/v1/relay/traffic. */
#ifndef WEB_FLAPI_TRAFFIC_H
#define WEB_FLAPI_TRAFFIC_H

#include "relay/relay.h"
#include "web/flapi.h"

/* Adds its table. mbox: the coordinator's. Both are borrowed, until its mailbox was closed. */
void flapi_traffic_attach(struct http *h, struct relay *relay, struct mbox *mbox);

#endif
