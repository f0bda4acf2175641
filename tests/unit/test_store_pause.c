/* links: coord/store coord/store_rehearse coord/store_backup coord/store_sql coord/store_stmt coord/store_cred coord/store_policy coord/store_cluster coord/store_join coord/store_load coord/migrate gen/migrations coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_tag coord/policy_owner coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota */
/* The store while another process is to have its database: held, paused, resumed; the rehearsal of a
 * migration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>

#include "coord/migrate.h"
#include "coord/store_rehearse.h"

#include "store_file.h"

static void
add_user(const char *name, struct outcome *o)
{
	struct tailnet_user_spec spec = { .name = name, .display_name = name, .role = USER_MEMBER };
	struct actor by = { .name = "test" };

	tailnet_user_create(fake.t, &by, &spec, on_outcome, o);
}

static bool is_paused;

static void
on_paused(struct mbox_msg *m, void *loop_arg)
{
	(void)m;
	(void)loop_arg;
	is_paused = true;
}

static void
on_discarded(struct mbox_msg *m)
{
	(void)m;
}

static struct mbox_msg paused = { .deliver = on_paused, .discard = on_discarded };

static void
pause_store(void)
{
	is_paused = false;
	store_pause(fake_store, &paused);
	while (!is_paused)
		event_base_loop(fake.base, EVLOOP_ONCE);
}

/* Another process's connection that tolerates no second one. */
static bool
others_can_have_it(void)
{
	sqlite3 *db = NULL;
	bool can = sqlite3_open(fake_db_path, &db) == SQLITE_OK &&
	    sqlite3_exec(db, "PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT", NULL, NULL, NULL) ==
	    SQLITE_OK;

	sqlite3_close(db);
	return can;
}

static void
test_pause_and_resume(void **state)
{
	struct outcome o = { 0 };
	struct err_text why;

	(void)state;
	fake_start();
	add_user("before", &o);		/* queued: written yet */
	store_pause(fake_store, &paused);
	add_user("meanwhile", &o);
	is_paused = false;
	while (!is_paused)
		event_base_loop(fake.base, EVLOOP_ONCE);
	assert_int_equal(o.n, 1);
	assert_int_equal(o.rc[0], ERR_OK);
	assert_true(others_can_have_it());
	assert_int_equal(number("SELECT count(*) FROM users"), 1);
	event_base_loop(fake.base, EVLOOP_NONBLOCK);
	assert_int_equal(o.n, 1);

	assert_int_equal(store_resume(fake_store, &why), ERR_OK);
	while (o.n < 2)
		event_base_loop(fake.base, EVLOOP_ONCE);
	assert_int_equal(o.rc[1], ERR_OK);
	assert_int_equal(number("SELECT count(*) FROM users"), 2);
	pause_store();			/* again */
	assert_int_equal(store_resume(fake_store, &why), ERR_OK);
	assert_reload_equal();
	fake_stop();
}

/* The other one has it for good: what waited is never written, and who asked hears that. */
static void
test_stop_while_paused(void **state)
{
	struct outcome o = { 0 };

	(void)state;
	fake_start();
	pause_store();
	add_user("late", &o);
	assert_int_equal(o.n, 0);
	store_stop(fake_store);
	assert_int_equal(o.n, 1);
	assert_int_equal(o.rc[0], ERR_CLOSED);
	fake_stop();
	assert_int_equal(number("SELECT count(*) FROM users"), 0);
	assert_true(others_can_have_it());
}

/* It came back with another form: no way on, and nothing written. */
static void
test_resume_is_refused(void **state)
{
	struct outcome o = { 0 };
	struct err_text why = { "" };

	(void)state;
	fake_start();
	pause_store();
	add_user("late", &o);
	execute("PRAGMA user_version=999");
	assert_int_equal(store_resume(fake_store, &why), ERR_UNSUPPORTED);
	assert_non_null(strstr(why.s, "newer fairlead"));
	event_base_loop(fake.base, EVLOOP_NONBLOCK);
	assert_int_equal(o.n, 0);
	fake_stop();
	assert_int_equal(o.rc[0], ERR_CLOSED);
	assert_int_equal(number("SELECT count(*) FROM users"), 0);
}

static void
test_held_from_the_start(void **state)
{
	struct outcome o = { 0 };
	struct err_text why;

	(void)state;
	fake_start();
	store_stop(fake_store);
	store_free(fake_store);
	assert_int_equal(store_open(fake_db_path, fake_mbox, &fake_store, &why), ERR_OK);
	fake.t->deps.store = fake_store;
	store_hold(fake_store);
	assert_int_equal(store_start(fake_store, &why), ERR_OK);
	add_user("early", &o);
	/* what the thread would do it has done by the time that it could be paused */
	event_base_loop(fake.base, EVLOOP_NONBLOCK);
	assert_int_equal(o.n, 0);
	assert_int_equal(number("SELECT count(*) FROM users"), 0);
	assert_int_equal(store_resume(fake_store, &why), ERR_OK);
	while (o.n < 1)
		event_base_loop(fake.base, EVLOOP_ONCE);
	assert_int_equal(o.rc[0], ERR_OK);
	fake_stop();
	assert_int_equal(number("SELECT count(*) FROM users"), 1);
}

/* --- the rehearsal ------------------------------------------------------------------------------ */

static unsigned
files(void)
{
	DIR *d = opendir(dir);
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void
make_schema(unsigned n)
{
	sqlite3 *db = NULL;
	struct err_text why;

	assert_int_equal(sqlite3_open(fake_db_path, &db), SQLITE_OK);
	assert_int_equal(migrate_apply_list(db, fake_db_path, migrations, n, &why), ERR_OK);
	sqlite3_close(db);
}

static void
test_rehearse(void **state)
{
	struct err_text why = { "" };

	(void)state;
	assert_int_equal(store_rehearse(fake_db_path, &why), ERR_IO);		/* none there */
	assert_non_null(strstr(why.s, "cannot be read"));
	for (unsigned n = 1; n <= migrations_count; n++) {
		make_schema(n);
		unsigned before = files();
		assert_int_equal(store_rehearse(fake_db_path, &why), ERR_OK);
		assert_int_equal(number("PRAGMA user_version"), n);
		assert_int_equal(files(), before);
	}
	execute("PRAGMA user_version=999");
	assert_int_equal(store_rehearse(fake_db_path, &why), ERR_UNSUPPORTED);
	assert_non_null(strstr(why.s, "newer fairlead"));
}

/* The last migration finds its work done already, and fails: on the copy. */
static void
test_rehearse_fails(void **state)
{
	struct err_text why = { "" };
	char sql[64];

	(void)state;
	make_schema(migrations_count);
	snprintf(sql, sizeof(sql), "PRAGMA user_version=%u", migrations_count - 1);
	execute(sql);
	unsigned before = files();
	assert_int_equal(store_rehearse(fake_db_path, &why), ERR_IO);
	assert_non_null(strstr(why.s, "migration"));
	assert_null(strstr(why.s, "copy from before"));
	assert_int_equal(files(), before);
	assert_int_equal(number("PRAGMA user_version"), migrations_count - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pause_and_resume, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stop_while_paused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_resume_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_held_from_the_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rehearse, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_rehearse_fails, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
