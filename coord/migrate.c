/* Migrations: version check, backup, one transaction each. */
#include "coord/migrate.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#define PATH_BYTES 4096

static enum err
query_int(sqlite3 *db, const char *sql, int64_t *out, struct err_text *why)
{
	sqlite3_stmt *q = NULL;
	enum err rc = ERR_OK;

	if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW)
		rc = err_say(why, ERR_IO, "the database cannot be read: %s", sqlite3_errmsg(db));
	else
		*out = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return rc;
}

/* Is there a row that breaks a foreign key? */
static bool
has_dangling_rows(sqlite3 *db)
{
	sqlite3_stmt *q = NULL;
	bool found = true;

	if (sqlite3_prepare_v2(db, "PRAGMA foreign_key_check", -1, &q, NULL) == SQLITE_OK)
		found = sqlite3_step(q) != SQLITE_DONE;
	sqlite3_finalize(q);
	return found;
}

/* Whole copy of db at path, 0600, written beside and renamed into place. */
static enum err
backup(sqlite3 *db, const char *path, struct err_text *why)
{
	char part[PATH_BYTES + 8];
	sqlite3 *copy = NULL;
	sqlite3_backup *b = NULL;
	enum err rc = ERR_IO;
	int fd;

	snprintf(part, sizeof(part), "%s.part", path);
	unlink(part);
	if ((fd = open(part, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600)) < 0)
		return err_say(why, ERR_IO, "the backup %s cannot be made: %s", part,
		    strerror(errno));
	close(fd);
	if (sqlite3_open_v2(part, &copy, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
	    (b = sqlite3_backup_init(copy, "main", db, "main")) == NULL ||
	    sqlite3_backup_step(b, -1) != SQLITE_DONE) {
		err_say(why, ERR_IO, "the backup %s cannot be written: %s", part,
		    sqlite3_errmsg(copy));
		goto out;
	}
	rc = ERR_OK;
out:
	sqlite3_backup_finish(b);
	sqlite3_close(copy);
	if (rc == ERR_OK && rename(part, path) != 0)
		rc = err_say(why, ERR_IO, "the backup %s cannot be put in place: %s", path,
		    strerror(errno));
	if (rc != ERR_OK)
		unlink(part);
	return rc;
}

static enum err
apply_one(sqlite3 *db, const struct migration *m, const char *backup_path, struct err_text *why)
{
	char pragma[64];

	snprintf(pragma, sizeof(pragma), "PRAGMA user_version=%d", m->number);
	if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, m->sql, NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_exec(db, pragma, NULL, NULL, NULL) == SQLITE_OK &&
	    !has_dangling_rows(db) &&
	    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK) {
		log_info(LOG_STORE, "migrated", "migration", m->name);
		return ERR_OK;
	}
	err_say(why, ERR_IO, "migration %s failed and was undone (%s)%s%s", m->name,
	    sqlite3_errmsg(db), backup_path[0] == '\0' ? "" : "; a copy from before is ",
	    backup_path);
	sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return ERR_IO;
}

/* Ours, new, or neither? *version is what was applied so far. */
static enum err
identify(sqlite3 *db, const char *path, unsigned n, int64_t *version, struct err_text *why)
{
	int64_t id = 0, n_objects = 0;
	enum err rc = query_int(db, "PRAGMA application_id", &id, why);

	if (rc == ERR_OK)
		rc = query_int(db, "PRAGMA user_version", version, why);
	if (rc == ERR_OK)
		rc = query_int(db, "SELECT count(*) FROM sqlite_schema", &n_objects, why);
	if (rc != ERR_OK)
		return rc;
	if (id != MIGRATE_APPLICATION_ID && (id != 0 || *version != 0 || n_objects != 0))
		return err_say(why, ERR_INVAL, "%s is not a fairlead database: name another data "
		    "directory", path);
	if (*version > (int64_t)n)
		return err_say(why, ERR_UNSUPPORTED, "%s was written by a newer fairlead (schema "
		    "%d, this one knows %u): run that version, or restore the copy %s.before-%04d",
		    path, (int)*version, n, path, (int)n + 1);
	return ERR_OK;
}

enum err
migrate_apply_list(sqlite3 *db, const char *path, const struct migration *list, unsigned n,
	struct err_text *why)
{
	char copy[PATH_BYTES] = "", pragma[64];
	int64_t version = 0;
	enum err rc = identify(db, path, n, &version, why);

	if (rc != ERR_OK || version == (int64_t)n)
		return rc;
	if (version > 0) {
		snprintf(copy, sizeof(copy), "%s.before-%04d", path, (int)version + 1);
		if ((rc = backup(db, copy, why)) != ERR_OK)
			return rc;
		log_info(LOG_STORE, "database copied before migration", "path", copy);
	}
	/* Off while tables are rebuilt (SQLite, ALTER TABLE section 7); apply_one checks
	 * instead. */
	snprintf(pragma, sizeof(pragma), "PRAGMA application_id=%d", MIGRATE_APPLICATION_ID);
	if (sqlite3_exec(db, "PRAGMA foreign_keys=OFF", NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, pragma, NULL, NULL, NULL) != SQLITE_OK)
		return err_say(why, ERR_IO, "%s cannot be written: %s", path, sqlite3_errmsg(db));
	for (unsigned i = (unsigned)version; rc == ERR_OK && i < n; i++) {
		ASSERT(list[i].number == (int)i + 1);
		rc = apply_one(db, &list[i], copy, why);
	}
	if (sqlite3_exec(db, "PRAGMA foreign_keys=ON", NULL, NULL, NULL) != SQLITE_OK && rc == ERR_OK)
		rc = err_say(why, ERR_IO, "%s: %s", path, sqlite3_errmsg(db));
	return rc;
}

enum err
migrate_apply(sqlite3 *db, const char *path, struct err_text *why)
{
	return migrate_apply_list(db, path, migrations, migrations_count, why);
}
