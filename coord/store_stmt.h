/*
 * Prepared statements of the store: a set is prepared at once, one of it is bound value by value and
 * run. On whichever thread owns the store: the main one until store_start, then the store's; the
 * faults may be set from any.
 */
#ifndef COORD_STORE_STMT_H
#define COORD_STORE_STMT_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "base/net.h"

struct sqlite3;
struct sqlite3_stmt;

/* One connection, shared by the sets. */
struct store_conn {
	struct sqlite3 *db;		/* owned by store_sql */
	int64_t tailnet_id;		/* of the transaction being written */
	/* injected faults: see store_test_fail_step */
	atomic_int steps, fail_at, fail_rc, fail_is_lasting;
};

struct store_stmt {
	struct store_conn *conn;	/* borrowed */
	struct sqlite3_stmt **q;	/* owned, n of them */
	unsigned n;
	struct sqlite3_stmt *at;	/* being bound */
	int arg;			/* bound last */
};

/* A set is a table of X(name, SQL): its enum, and its array for store_stmt_init. */
#define STORE_STMT_ID(name, sql)	Q_##name,
#define STORE_STMT_SQL(name, sql)	[Q_##name] = sql,

/* ERR_IO with *why: the database is of another form. _fini in any case. */
enum err store_stmt_init(struct store_stmt *s, struct store_conn *conn, const char *const *sql,
	unsigned n, struct err_text *why) MUST_USE;
void store_stmt_fini(struct store_stmt *s);	/* zeroed is fine */

/* What follows binds and runs this one; with _tailnet its ?1 is the transaction's tailnet. */
void store_stmt_use(struct store_stmt *s, unsigned which);
void store_stmt_use_tailnet(struct store_stmt *s, unsigned which);
/* The next argument. Texts and bytes live until the statement has run; NULL is NULL. */
void store_stmt_int(struct store_stmt *s, int64_t v);
void store_stmt_text(struct store_stmt *s, const char *text);
void store_stmt_text_n(struct store_stmt *s, const void *text, size_t n);
void store_stmt_bytes(struct store_stmt *s, const void *p, size_t n);
void store_stmt_ip(struct store_stmt *s, const struct net_ip *ip);
void store_stmt_tags(struct store_stmt *s, char *const *tags, unsigned n);
void store_stmt_prefixes(struct store_stmt *s, const struct net_prefix *v, unsigned n);

/* Runs the statement, which answers no row. ERR_EXISTS: a constraint; ERR_FULL, ERR_BUSY, ERR_NOMEM,
 * ERR_IO: the whole commit cannot be. *why is for people. */
enum err store_stmt_run(struct store_stmt *s, struct err_text *why) MUST_USE;
/* The same for a change of one row, which must be there: else ERR_NOTFOUND, "the <noun> is…". */
enum err store_stmt_run_one(struct store_stmt *s, const char *noun, struct err_text *why) MUST_USE;

#endif
