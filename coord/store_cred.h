/* The store's SQL for credentials and for sweeping. On the thread that owns the store. */
#ifndef COORD_STORE_CRED_H
#define COORD_STORE_CRED_H

#include "base/err.h"
#include "coord/mutation.h"
#include "coord/store_stmt.h"

/* Prepares the statements; conn is borrowed. ERR_IO with *why; store_stmt_fini in any case. */
enum err store_cred_init(struct store_stmt *s, struct store_conn *conn, struct err_text *why) MUST_USE;
/* Writes one mutation of these kinds. As the functions of store_stmt: ERR_EXISTS (a constraint),
 * ERR_NOTFOUND, or what ends the commit. */
enum err store_cred_put(struct store_stmt *s, const struct mutation *m, struct err_text *why) MUST_USE;

#endif
