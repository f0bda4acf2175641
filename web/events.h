/*
 * GET /api/fairlead/v1/events: changes as server-sent events (docs/api.md has the shapes). The last ones are
 * kept for clients that reconnect; who has missed more is told to fetch the lists again. A slow client
 * costs an integer: it pulls from the ring. Coordinator thread.
 */
#ifndef WEB_EVENTS_H
#define WEB_EVENTS_H

#include "web/http.h"

#define EVENTS_RING_MAX		1024
#define EVENTS_RING_BYTES	(2u << 20)
#define EVENTS_STREAMS_MAX	64
#define EVENTS_STREAMS_PER_CRED	8	/* a browser shares one among its tabs */
#define EVENTS_SOFT_MS		250	/* soft changes of a node are put together for so long */
#define EVENTS_ALIVE_S		20	/* a comment, and a look whether the credential is still good */
#define EVENTS_QUIET_S		120	/* without a stream for so long nothing is kept */

/* Adds the route, and watches the tailnet until h ends. */
void events_attach(struct http *h);

#endif
