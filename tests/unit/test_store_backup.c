/* links: coord/store_backup coord/migrate gen/migrations */
/* Copies of a database that is written to meanwhile: one moment's state, in bounded time. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "coord/migrate.h"
#include "coord/store_backup.h"

static char dir[64], from[96], to[96];
static atomic_bool stop, is_over;
static atomic_int rounds;

static void
sql(sqlite3 *db, const char *text)
{
	char *message = NULL;

	if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s: %s", text, message);
}

static sqlite3 *
open_db(const char *path)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_busy_timeout(db, 5000), SQLITE_OK);
	return db;
}

static int64_t
number(sqlite3 *db, const char *text)
{
	sqlite3_stmt *q = NULL;

	assert_int_equal(sqlite3_prepare_v2(db, text, -1, &q, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	int64_t v = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return v;
}

static int
make(void **state)
{
	struct err_text why;

	(void)state;
	log_set_level(LOG_ERROR);
	snprintf(dir, sizeof(dir), "/tmp/fairlead-backup-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(from, sizeof(from), "%s/fairlead.db", dir);
	snprintf(to, sizeof(to), "%s/copy", dir);
	sqlite3 *db = open_db(from);
	sql(db, "PRAGMA journal_mode=WAL");
	enum err rc = migrate_apply(db, from, &why);
	/* 12 MB, so that a copy takes some steps. */
	sql(db, "CREATE TABLE a (n INTEGER, fill BLOB); CREATE TABLE b (n INTEGER, fill BLOB);"
	    "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000)"
	    "INSERT INTO a SELECT 0, randomblob(2000) FROM c; INSERT INTO b SELECT * FROM a;");
	sqlite3_close(db);
	return rc == ERR_OK ? 0 : -1;
}

static int
discard(void **state)
{
	char text[128];

	(void)state;
	snprintf(text, sizeof(text), "rm -r %s", dir);
	return system(text);
}

/* Changes both tables in each transaction. */
static void *
write_on(void *arg)
{
	sqlite3 *db = open_db(from);

	(void)arg;
	while (!atomic_load(&is_over)) {
		sql(db, "BEGIN IMMEDIATE; UPDATE a SET n = n + 1 WHERE rowid % 100 = 0;"
		    "UPDATE b SET n = n + 1 WHERE rowid % 100 = 0; COMMIT;");
		atomic_fetch_add(&rounds, 1);
	}
	sqlite3_close(db);
	return NULL;
}

static void
test_while_writing(void **state)
{
	struct err_text why = { "" };
	struct stat st;
	pthread_t writer;
	char wal[112];
	(void)state;

	atomic_store(&is_over, false);
	assert_int_equal(pthread_create(&writer, NULL, write_on, NULL), 0);
	while (atomic_load(&rounds) == 0)
		;
	for (unsigned i = 0; i < 3; i++) {
		int before = atomic_load(&rounds);
		assert_int_equal(store_backup(from, to, &stop, &why), ERR_OK);
		int after = atomic_load(&rounds);
		assert_int_equal(stat(to, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
		snprintf(wal, sizeof(wal), "%s-wal", to);
		assert_int_not_equal(access(wal, F_OK), 0);
		assert_int_equal(store_backup_check(to, &why), ERR_OK);
		sqlite3 *db = open_db(to);
		int64_t a = number(db, "SELECT max(n) FROM a"), b = number(db, "SELECT max(n) FROM b");
		assert_int_equal(a, b);
		assert_int_equal(number(db, "SELECT count(DISTINCT n) FROM a WHERE rowid % 100 = 0"), 1);
		assert_in_range(a, before, after + 1);
		sqlite3_close(db);
		unlink(to);
	}
	atomic_store(&is_over, true);
	pthread_join(writer, NULL);
}

static void
test_refusals(void **state)
{
	struct err_text why = { "" };
	char path[128];
	(void)state;

	atomic_store(&stop, true);
	assert_int_equal(store_backup(from, to, &stop, &why), ERR_CLOSED);
	assert_int_not_equal(access(to, F_OK), 0);
	atomic_store(&stop, false);
	snprintf(path, sizeof(path), "%s/none.db", dir);
	assert_int_equal(store_backup(path, to, &stop, &why), ERR_IO);
	assert_int_not_equal(access(to, F_OK), 0);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(store_backup(from, from, &stop, &why), ERR_IO);	/* it is there already */
	assert_int_equal(store_backup(from, "/nonexistent/x", &stop, &why), ERR_IO);
	assert_int_equal(store_backup_check(from, &why), ERR_OK);
	assert_int_equal(store_backup_check(path, &why), ERR_IO);
}

/* Databases that are not ours, damaged, or newer. */
static void
test_check(void **state)
{
	static const struct { const char *sql; enum err want; const char *word; } cases[] = {
		{ "PRAGMA user_version=999", ERR_UNSUPPORTED, "newer" },
		{ "PRAGMA application_id=7", ERR_INVAL, "not a fairlead database" },
	};
	struct err_text why;
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_int_equal(store_backup(from, to, &stop, &why), ERR_OK);
		sqlite3 *db = open_db(to);
		sql(db, cases[i].sql);
		sqlite3_close(db);
		assert_int_equal(store_backup_check(to, &why), cases[i].want);
		assert_non_null(strstr(why.s, cases[i].word));
		unlink(to);
	}
	assert_int_equal(store_backup(from, to, &stop, &why), ERR_OK);
	FILE *f = fopen(to, "r+e");
	assert_non_null(f);
	for (long at = 4096; at < 4096 * 40; at += 64) {
		fseek(f, at, SEEK_SET);
		fputs("damaged damaged", f);
	}
	fclose(f);
	assert_int_equal(store_backup_check(to, &why), ERR_INVAL);
	f = fopen(to, "we");
	fputs("no database at all, but long enough for a header: ...................................", f);
	fclose(f);
	assert_int_equal(store_backup_check(to, &why), ERR_INVAL);
	unlink(to);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_while_writing),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, make, discard);
}
