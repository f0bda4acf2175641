/* Regions of the DERP map and relays on other machines: /api/fairlead/v1/regions, /relays; /verify of
 * other relays. */
#ifndef WEB_FLAPI_REGIONS_H
#define WEB_FLAPI_REGIONS_H

#include "web/flapi.h"

/* Adds the tables. */
void flapi_regions_attach(struct http *h);
void flapi_relays_attach(struct http *h);

/* A region by its number, a relay by its name, as the lists show them; null when it has gone. */
void flapi_put_region(struct tailnet *t, const char *id, const char *name, struct json_writer *w);
void flapi_put_relay(struct tailnet *t, const char *id, const char *name, struct json_writer *w);

#endif
