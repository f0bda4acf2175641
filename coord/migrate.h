/* Applies the embedded migrations/NNNN_*.sql, each in one transaction, a backup of the database taken before. */
#ifndef COORD_MIGRATE_H
#define COORD_MIGRATE_H

#include "base/err.h"

struct sqlite3;

struct migration {
	int number;		/* 1, 2, … without gaps; PRAGMA user_version after it */
	const char *name;	/* "0001_first" */
	const char *sql;
};
extern const struct migration migrations[];	/* generated from migrations/ by make */
extern const unsigned migrations_count;

/* Brings db (file at path) to the newest version. ERR_UNSUPPORTED with *why: made by a newer fairlead; ERR_IO with
 * *why: which migration failed and where the backup lies; the database is then as it was. */
enum err migrate_apply(struct sqlite3 *db, const char *path, struct err_text *why) MUST_USE;

#endif
