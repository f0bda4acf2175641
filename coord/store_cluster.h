/* The store's SQL for clusters. On whichever thread owns the store. */
#ifndef COORD_STORE_CLUSTER_H
#define COORD_STORE_CLUSTER_H

#include "coord/mutation.h"
#include "coord/store_stmt.h"

/* As store_stmt_init. */
enum err store_cluster_init(struct store_stmt *s, struct store_conn *conn, struct err_text *why) MUST_USE;
/* Writes MUTATION_CLUSTER_*. Errors as store_stmt_run_one. */
enum err store_cluster_put(struct store_stmt *s, const struct mutation *m, struct err_text *why) MUST_USE;
/* The stored text of c->lan, into it; prefixes that are none are left out. */
void store_cluster_lan_parse(const char *text, struct cluster *c);

#endif
