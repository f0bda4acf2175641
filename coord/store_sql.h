/*
 * The store's SQL: one connection, one function per kind of mutation.
 * On whichever thread owns the store: the main one until store_start, then the store's.
 */
#ifndef COORD_STORE_SQL_H
#define COORD_STORE_SQL_H

#include "base/err.h"
#include "coord/mutation.h"

struct sqlite3;
struct store_sql;

/* Takes db (open, migrated): closed by _free, and here on failure. ERR_IO with *why. */
enum err store_sql_new(struct sqlite3 *db, struct store_sql **out, struct err_text *why) MUST_USE;
void store_sql_free(struct store_sql *q);	/* NULL is fine */
struct sqlite3 *store_sql_db(struct store_sql *q);

/* The commit of everything. ERR_FULL, ERR_IO, ERR_BUSY, ERR_NOMEM with *why for people. */
enum err store_sql_begin(struct store_sql *q, struct err_text *why) MUST_USE;
enum err store_sql_commit(struct store_sql *q, struct err_text *why) MUST_USE;
void store_sql_rollback(struct store_sql *q);

/* Writes one transaction in a savepoint; x->rc and x->why are set. Returns ERR_OK also when that
 * transaction alone was refused and undone (ERR_EXISTS: constraint, ERR_NOTFOUND: a row has
 * gone, ERR_DENIED: the auth key's use), else the error that ends the whole commit. */
enum err store_sql_txn(struct store_sql *q, struct txn *x, struct err_text *why) MUST_USE;

/* See store_test_fail_step. */
void store_sql_test_fail(struct store_sql *q, int n, int sqlite_rc, int is_lasting);
int store_sql_test_steps(struct store_sql *q);

#endif
