/* The store's SQL for what decides how nodes join: settings, plans of auth keys; and for a node's
 * addresses. On the thread that owns the store. */
#ifndef COORD_STORE_JOIN_H
#define COORD_STORE_JOIN_H

#include "base/err.h"
#include "coord/mutation.h"
#include "coord/store_stmt.h"

/* Prepares the statements; conn is borrowed. ERR_IO with *why; store_stmt_fini in any case. */
enum err store_join_init(struct store_stmt *s, struct store_conn *conn, struct err_text *why) MUST_USE;
/* Writes one mutation of these kinds, or NODE_GROUP_IP of a NODE_SET. As the functions of store_stmt:
 * ERR_EXISTS (a constraint), ERR_NOTFOUND, or what ends the commit. */
enum err store_join_put(struct store_stmt *s, const struct mutation *m, struct err_text *why) MUST_USE;

/* The addresses of a node that is added rest no longer. Errors as above. */
enum err store_join_wake(struct store_stmt *s, const struct node *n, struct err_text *why) MUST_USE;
/* Those of a node that is about to be removed (NODE_DEL) rest from now on; long rested ones are
 * forgotten. Errors as above. */
enum err store_join_rest(struct store_stmt *s, const struct mutation *m, struct err_text *why) MUST_USE;

#endif
