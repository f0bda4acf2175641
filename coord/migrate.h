/* Applies the embedded migrations/NNNN_*.sql, each in one transaction, a backup of the database
 * taken before. */
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

/* PRAGMA application_id of our databases: "FLED". */
#define MIGRATE_APPLICATION_ID 0x464c4544

/* Brings db (file at path) to the newest version; one that holds something is first copied to
 * <path>.before-NNNN, NNNN the first migration applied. ERR_UNSUPPORTED with *why: made by a
 * newer fairlead; ERR_INVAL: not a fairlead database; ERR_IO: which migration failed and where
 * the backup lies; the database is then as it was before that migration. */
enum err migrate_apply(struct sqlite3 *db, const char *path, struct err_text *why) MUST_USE;
/* The same with a list of one's own (tests). */
enum err migrate_apply_list(struct sqlite3 *db, const char *path, const struct migration *list,
	unsigned n, struct err_text *why) MUST_USE;

#endif
