/* The store's SQL for credentials and for sweeping. On the thread that owns the store. */
#ifndef COORD_STORE_CRED_H
#define COORD_STORE_CRED_H

#include "base/err.h"
#include "coord/mutation.h"

struct sqlite3;
struct sqlite3_stmt;
struct store_sql;
struct store_cred;

/* Prepares the statements. ERR_IO with *why. */
enum err store_cred_new(struct sqlite3 *db, struct store_cred **out, struct err_text *why) MUST_USE;
void store_cred_free(struct store_cred *c);	/* NULL is fine */
/* Writes one mutation of these kinds. As the functions of store_sql: ERR_EXISTS (a constraint),
 * ERR_NOTFOUND, or what ends the commit. */
enum err store_cred_put(struct store_cred *c, struct store_sql *q, int64_t tailnet_id,
	const struct mutation *m, struct err_text *why) MUST_USE;

#endif
