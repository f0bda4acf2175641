/* The store's SQL for regions and relays. On whichever thread owns the store. */
#ifndef COORD_STORE_REGION_H
#define COORD_STORE_REGION_H

#include "coord/mutation.h"
#include "coord/store_stmt.h"

/* As store_stmt_init. */
enum err store_region_init(struct store_stmt *s, struct store_conn *conn, struct err_text *why) MUST_USE;
/* Writes MUTATION_REGION_* and MUTATION_RELAY_*. Errors as store_stmt_run_one. */
enum err store_region_put(struct store_stmt *s, const struct mutation *m, struct err_text *why) MUST_USE;
/* The stored text of a region's nodes, or of a relay's; what cannot be read is left out, and logged. */
void store_region_nodes_parse(const char *text, struct region *r);
void store_region_node_parse(const char *text, struct region_relay *r);

#endif
