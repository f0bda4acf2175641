/* The store's SQL for quotas. On whichever thread owns the store. */
#ifndef COORD_STORE_QUOTA_H
#define COORD_STORE_QUOTA_H

#include "coord/mutation.h"
#include "coord/store_stmt.h"

/* As store_stmt_init. */
enum err store_quota_init(struct store_stmt *s, struct store_conn *conn, struct err_text *why) MUST_USE;
/* Writes MUTATION_QUOTA_*. Errors as store_stmt_run_one. */
enum err store_quota_put(struct store_stmt *s, const struct mutation *m, struct err_text *why) MUST_USE;

#endif
