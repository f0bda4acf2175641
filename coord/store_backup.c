/* Copying and checking whole databases. */
#include "coord/store_backup.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "coord/migrate.h"

#define STEP_PAGES	256	/* 1 MiB between two looks at *stop */
#define BUSY_MS		2000

/* sqlite3_errmsg of whichever failed. */
static enum err
say_failed(sqlite3 *db, int rc, const char *path, struct err_text *why)
{
	return err_say(why, (rc & 0xff) == SQLITE_FULL ? ERR_FULL : ERR_IO,
	    "the database cannot be copied to %s: %s", path, db != NULL ? sqlite3_errmsg(db) :
	    sqlite3_errstr(rc));
}

/* A read transaction before the first step: without it every commit of the store would make the copy
 * start again. */
static int
source_open(const char *path, sqlite3 **out)
{
	int rc = sqlite3_open_v2(path, out, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(*out, BUSY_MS);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(*out, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
	return rc;
}

static enum err
copy(sqlite3 *from, sqlite3 *to, const char *path, const atomic_bool *stop, struct err_text *why)
{
	sqlite3_backup *b = sqlite3_backup_init(to, "main", from, "main");
	int rc = SQLITE_OK;

	if (b == NULL)
		return say_failed(to, SQLITE_ERROR, path, why);
	while (rc == SQLITE_OK && !atomic_load(stop))
		rc = sqlite3_backup_step(b, STEP_PAGES);
	int end = sqlite3_backup_finish(b);
	if (rc == SQLITE_OK)
		return err_say(why, ERR_CLOSED, "the server is stopping");
	if (rc != SQLITE_DONE || end != SQLITE_OK)
		return say_failed(to, rc != SQLITE_DONE ? rc : end, path, why);
	/* One file: the copied header says WAL, which would leave a -wal beside it. */
	if (sqlite3_exec(to, "PRAGMA journal_mode=DELETE", NULL, NULL, NULL) != SQLITE_OK)
		return say_failed(to, SQLITE_ERROR, path, why);
	return ERR_OK;
}

enum err
store_backup(const char *from, const char *to, const atomic_bool *stop, struct err_text *why)
{
	sqlite3 *source = NULL, *target = NULL;
	enum err rc = ERR_OK;
	int sql, fd = open(to, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_say(why, ERR_IO, "%s cannot be made: %s", to, strerror(errno));
	close(fd);
	if ((sql = source_open(from, &source)) != SQLITE_OK)
		rc = say_failed(source, sql, to, why);
	else if ((sql = sqlite3_open_v2(to, &target, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
	    NULL)) != SQLITE_OK ||
	    /* Nobody reads it before it is whole, and it is synced by whoever keeps it. */
	    (sql = sqlite3_exec(target, "PRAGMA synchronous=OFF", NULL, NULL, NULL)) != SQLITE_OK)
		rc = say_failed(target, sql, to, why);
	else
		rc = copy(source, target, to, stop, why);
	sqlite3_close(target);
	sqlite3_close(source);
	if (rc != ERR_OK)
		unlink(to);
	return rc;
}

/* The text in row 1 of the answer is want? */
static bool
answers(sqlite3 *db, const char *sql, const char *want)
{
	sqlite3_stmt *q = NULL;
	bool is_so = sqlite3_prepare_v2(db, sql, -1, &q, NULL) == SQLITE_OK &&
	    sqlite3_step(q) == SQLITE_ROW && sqlite3_column_text(q, 0) != NULL &&
	    strcmp((const char *)sqlite3_column_text(q, 0), want) == 0;

	sqlite3_finalize(q);
	return is_so;
}

enum err
store_backup_check(const char *path, struct err_text *why)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	char id[16];
	enum err rc = ERR_OK;

	snprintf(id, sizeof(id), "%d", MIGRATE_APPLICATION_ID);
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		rc = err_say(why, ERR_IO, "%s cannot be read: %s", path, sqlite3_errmsg(db));
	else if (!answers(db, "PRAGMA application_id", id))
		rc = err_say(why, ERR_INVAL, "%s is not a fairlead database", path);
	else if (!answers(db, "PRAGMA quick_check(1)", "ok"))
		rc = err_say(why, ERR_INVAL, "%s is damaged", path);
	else if (sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW)
		rc = err_say(why, ERR_IO, "%s cannot be read: %s", path, sqlite3_errmsg(db));
	else if (sqlite3_column_int(q, 0) > (int)migrations_count)
		rc = err_say(why, ERR_UNSUPPORTED, "the database is of a newer fairlead (schema %d, this one"
		    " knows %u): restore it with that version", sqlite3_column_int(q, 0), migrations_count);
	sqlite3_finalize(q);
	sqlite3_close(db);
	return rc;
}
