/* A copy, migrated and opened as the store does it. */
#include "coord/store_rehearse.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "coord/migrate.h"
#include "coord/store.h"
#include "coord/store_backup.h"

#define PATH_BYTES	4400
#define BUSY_MS		2000

/* The copy, what SQLite puts beside it, and the migration's own copy of it. */
static void
remove_all(const char *copy, int schema)
{
	static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };
	char path[PATH_BYTES + 32];

	for (size_t i = 0; i < COUNT_OF(suffixes); i++) {
		snprintf(path, sizeof(path), "%s%s", copy, suffixes[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s.before-%04d", copy, schema + 1);
	unlink(path);
}

static enum err
schema_of(const char *path, int *out, struct err_text *why)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	enum err rc = ERR_OK;

	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
	    sqlite3_busy_timeout(db, BUSY_MS) != SQLITE_OK ||
	    sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &q, NULL) != SQLITE_OK ||
	    sqlite3_step(q) != SQLITE_ROW)
		rc = err_say(why, ERR_IO, "the database %s cannot be read: %s", path, sqlite3_errmsg(db));
	else
		*out = sqlite3_column_int(q, 0);
	sqlite3_finalize(q);
	sqlite3_close(db);
	return rc;
}

enum err
store_rehearse(const char *path, struct err_text *why)
{
	char copy[PATH_BYTES];
	atomic_bool stop = false;
	struct store *s = NULL;
	int schema = 0;
	enum err rc = schema_of(path, &schema, why);

	if (rc != ERR_OK || schema == (int)migrations_count)
		return rc;
	if (schema > (int)migrations_count)
		return err_say(why, ERR_UNSUPPORTED, "%s was written by a newer fairlead (schema %d, this one"
		    " knows %u)", path, schema, migrations_count);
	if (snprintf(copy, sizeof(copy), "%s" STORE_REHEARSE_SUFFIX, path) >= (int)sizeof(copy))
		return err_say(why, ERR_INVAL, "the path %s is too long", path);
	log_info(LOG_STORE, "trying the migration on a copy", "schema", LOG_NUM(schema), "to",
	    LOG_NUM(migrations_count));
	remove_all(copy, schema);
	if ((rc = store_backup(path, copy, &stop, why)) == ERR_OK)
		rc = store_open(copy, NULL, &s, why);
	store_free(s);
	remove_all(copy, schema);
	/* What is said of copies is about copies of the copy. */
	char *said = rc != ERR_OK && why != NULL ? strstr(why->s, "; a copy from before") : NULL;
	if (said != NULL)
		*said = '\0';
	return rc;
}
