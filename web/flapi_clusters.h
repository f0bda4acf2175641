/* /api/fairlead/v1/clusters, and what the lists of others show of clusters. Coordinator thread. */
#ifndef WEB_FLAPI_CLUSTERS_H
#define WEB_FLAPI_CLUSTERS_H

#include "web/http_req.h"

/* Adds the table. */
void flapi_clusters_attach(struct http *h);
/* The recorded cluster as an object, named; null when it has gone. */
void flapi_put_cluster(struct tailnet *t, const char *id, const char *name, struct json_writer *w);
/* Conflicts as an array, named. */
void flapi_put_conflicts(struct tailnet *t, const char *name, struct json_writer *w);

#endif
