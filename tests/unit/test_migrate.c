/* links: coord/migrate gen/migrations */
/* Migrations: order, backup, failure leaves everything as it was, newer and foreign databases
 * are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "coord/migrate.h"

static char dir[64], path[96];

static int
set_up(void **state)
{
	(void)state;
	log_set_level(LOG_ERROR);
	strcpy(dir, "/tmp/fairlead-migrate-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/t.db", dir);
	return 0;
}

static int
tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static sqlite3 *
db_open(const char *at)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(at, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA foreign_keys=ON", NULL, NULL, NULL), SQLITE_OK);
	return db;
}

static int64_t
number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *q = NULL;
	int64_t v;

	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	v = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	return v;
}

static const struct migration list[] = {
	{ 1, "0001_a", "CREATE TABLE a (id INTEGER PRIMARY KEY); INSERT INTO a VALUES (7);"
	    "CREATE TABLE b (a_id INTEGER REFERENCES a (id)); INSERT INTO b VALUES (7);" },
	{ 2, "0002_b", "ALTER TABLE a ADD COLUMN x INTEGER; UPDATE a SET x = 1;" },
	{ 3, "0003_rebuild", "CREATE TABLE a2 (id INTEGER PRIMARY KEY); INSERT INTO a2 SELECT id FROM a;"
	    "DROP TABLE a; ALTER TABLE a2 RENAME TO a;" },
};

static void
test_fresh(void **state)
{
	sqlite3 *db = db_open(path);
	struct err_text why = { "" };

	(void)state;
	assert_int_equal(migrate_apply(db, path, &why), ERR_OK);
	assert_int_equal(number(db, "PRAGMA user_version"), migrations_count);
	assert_int_equal(number(db, "PRAGMA application_id"), MIGRATE_APPLICATION_ID);
	assert_int_equal(number(db, "SELECT count(*) FROM nodes"), 0);
	assert_int_equal(number(db, "PRAGMA foreign_keys"), 1);
	assert_int_equal(migrate_apply(db, path, &why), ERR_OK);	/* again: nothing to do */
	sqlite3_close(db);
}

static void
test_stepwise_with_backup(void **state)
{
	sqlite3 *db = db_open(path), *copy;
	char name[128];
	struct stat st;
	struct err_text why = { "" };

	(void)state;
	assert_int_equal(migrate_apply_list(db, path, list, 1, &why), ERR_OK);
	snprintf(name, sizeof(name), "%s.before-0001", path);
	assert_int_not_equal(access(name, F_OK), 0);	/* there was nothing to copy */
	assert_int_equal(migrate_apply_list(db, path, list, 3, &why), ERR_OK);
	assert_int_equal(number(db, "PRAGMA user_version"), 3);
	assert_int_equal(number(db, "SELECT count(*) FROM b JOIN a ON a.id = a_id"), 1);
	assert_int_equal(number(db, "PRAGMA foreign_keys"), 1);
	sqlite3_close(db);
	snprintf(name, sizeof(name), "%s.before-0002", path);
	assert_int_equal(stat(name, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	copy = db_open(name);
	assert_int_equal(number(copy, "PRAGMA user_version"), 1);
	assert_int_equal(number(copy, "PRAGMA application_id"), MIGRATE_APPLICATION_ID);
	assert_int_equal(number(copy, "SELECT id FROM a"), 7);
	sqlite3_close(copy);
}

/* A migration that fails, by its SQL or by rows left dangling, is undone whole; earlier ones
 * stay. */
static void
test_failure(void **state)
{
	static const char *const bad[] = {
		"CREATE TABLE c (x); INSERT INTO c VALUES (1); INSERT INTO nowhere VALUES (1);",
		"CREATE TABLE c (x); DELETE FROM a;",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct migration two[] = { list[0], { 2, "0002_bad", bad[i] } };
		struct err_text why = { "" };
		sqlite3 *db = db_open(path);

		assert_int_equal(migrate_apply_list(db, path, two, 1, &why), ERR_OK);
		assert_int_equal(migrate_apply_list(db, path, two, 2, &why), ERR_IO);
		assert_non_null(strstr(why.s, "0002_bad"));
		assert_non_null(strstr(why.s, ".before-0002"));
		assert_int_equal(number(db, "PRAGMA user_version"), 1);
		assert_int_equal(number(db, "SELECT count(*) FROM a"), 1);
		assert_int_equal(number(db, "SELECT count(*) FROM sqlite_schema WHERE name = 'c'"), 0);
		assert_int_equal(number(db, "PRAGMA foreign_keys"), 1);
		two[1] = list[1];		/* the next version repaired it */
		assert_int_equal(migrate_apply_list(db, path, two, 2, &why), ERR_OK);
		sqlite3_close(db);
		unlink(path);
	}
}

static void
test_newer(void **state)
{
	sqlite3 *db = db_open(path);
	struct err_text why = { "" };

	(void)state;
	assert_int_equal(migrate_apply_list(db, path, list, 3, &why), ERR_OK);
	assert_int_equal(migrate_apply_list(db, path, list, 2, &why), ERR_UNSUPPORTED);
	assert_non_null(strstr(why.s, "newer fairlead"));
	assert_non_null(strstr(why.s, "before-0003"));
	assert_int_equal(number(db, "PRAGMA user_version"), 3);
	sqlite3_close(db);
}

static void
test_foreign(void **state)
{
	static const char *const made_by_others[] = {
		"CREATE TABLE x (y)", "PRAGMA user_version=3", "PRAGMA application_id=77",
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(made_by_others); i++) {
		sqlite3 *db = db_open(path);
		struct err_text why = { "" };

		assert_int_equal(sqlite3_exec(db, made_by_others[i], NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(migrate_apply_list(db, path, list, 3, &why), ERR_INVAL);
		assert_non_null(strstr(why.s, "not a fairlead database"));
		sqlite3_close(db);
		unlink(path);
	}
}

static void
test_backup_impossible(void **state)
{
	sqlite3 *db = db_open(path);
	struct err_text why = { "" };
	char nowhere[160];

	(void)state;
	snprintf(nowhere, sizeof(nowhere), "%s/none/t.db", dir);
	assert_int_equal(migrate_apply_list(db, path, list, 1, &why), ERR_OK);
	assert_int_equal(migrate_apply_list(db, nowhere, list, 2, &why), ERR_IO);
	assert_non_null(strstr(why.s, "backup"));
	assert_int_equal(number(db, "PRAGMA user_version"), 1);	/* not without a copy */
	sqlite3_close(db);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fresh, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stepwise_with_backup, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_failure, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_newer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_foreign, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_backup_impossible, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
