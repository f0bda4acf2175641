/* links: coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_policy_save coord/tailnet_policy_file coord/tailnet_task coord/policies_read coord/tailnet_tag coord/policy coord/policy_* coord/hujson coord/ipset coord/store coord/store_sql coord/store_cluster coord/store_stmt coord/store_cred coord/store_join coord/store_policy coord/store_load coord/migrate gen/migrations coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota */
/* Policies of a tailnet: saved, confirmed, taken back, kept over starts; what is broken harms nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/metrics.h"
#include "coord/policies_read.h"
#include "coord/tailnet_policy_file.h"
#include "saved_policy.h"

#define RULES "{\"acls\": [{\"action\": \"accept\", \"src\": [\"*\"], \"dst\": [\"*:22\"]}]}"
#define CLOSED "{\"acls\": []}"

static void
set_until(const char *text, int64_t within_s)
{
	struct policy_wish wish = wish_of(text);

	wish.confirm_within_s = within_s;
	save(&wish);
	assert_int_equal(got.rc, ERR_OK);
}

/* What is in force, in memory and for those who distribute it. */
static void
in_force(int64_t version, const char *text)
{
	const struct policy *p = fake.t->policy;

	assert_int_equal(fake.t->policies->now.version, version);
	assert_ptr_equal(fake.t->policies->now.policy, p);
	assert_ptr_equal(fake_map.policy, p);
	if (text == NULL) {
		assert_null(p);
		return;
	}
	assert_non_null(p);
	assert_int_equal(p->text_bytes, strlen(text));
	assert_memory_equal(p->text, text, strlen(text));
}

static void
restart(void)
{
	fake_start_at = fake.now;
	fake_stop();
	fake_start();
	fake_start_at = T0;
	fake_commit();
}

static void
test_versions(void **state)
{
	(void)state;
	assert_null(fake.t->policy);
	assert_int_equal(fake.t->policies->now.version, 0);
	assert_int_equal(fake_map.n_policies, 0);
	set(RULES);
	in_force(1, RULES);
	assert_false(got.is_unchanged);
	set(RULES);			/* nothing new */
	assert_true(got.is_unchanged);
	assert_int_equal(number("SELECT count(*) FROM policies"), 1);
	set("// closed\n" CLOSED);	/* bytes are kept as they were sent */
	in_force(2, "// closed\n" CLOSED);
	set("");			/* none any more */
	in_force(3, NULL);
	set(RULES);
	assert_int_equal(number("SELECT count(*) FROM audit WHERE what = 'policy.set' AND target = 'policy'"
	    " AND actor = 'test'"), 4);
	assert_int_equal(number("SELECT count(*) FROM audit WHERE what = 'policy.set' AND before LIKE"
	    " '%\"version\":3%' AND after LIKE '%\"version\":4%'"), 1);
	restart();
	in_force(4, RULES);
	assert_int_equal(fake.t->policies->now.made_unix_s, T0);
	assert_string_equal(fake.t->policies->now.author, "test");
	set("");
	restart();
	in_force(5, NULL);
}

static void
test_refused(void **state)
{
	static const struct { const char *text, *why; bool is_test_failure; } cases[] = {
		{ "{", "end", false },
		{ "{\"acls\": [{\"action\": \"deny\", \"src\": [\"*\"], \"dst\": [\"*:*\"]}]}", "\"deny\"",
		  false },
		{ "{\"acls\": [], \"tagOwners\": {}, \"autoApprovers\": {\"exitNode\": [\"tag:x\"]}}",
		  "tag not found: \"tag:x\"", false },
		{ "{\"acls\": [], \"tests\": [{\"src\": \"100.64.0.1\", \"accept\": [\"100.64.0.2:22\"]}]}",
		  "100.64.0.1 -> 100.64.0.2:22", true },
	};

	(void)state;
	set(RULES);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct policy_wish wish = wish_of(cases[i].text);
		save(&wish);
		if (got.rc != ERR_INVAL || strstr(got.why, cases[i].why) == NULL)
			fail_msg("%s: %d %s", cases[i].text, got.rc, got.why);
		assert_int_equal(got.is_test_failure, cases[i].is_test_failure);
		in_force(1, RULES);
	}
	assert_int_equal(number("SELECT count(*) FROM policies"), 1);
	assert_int_equal(fake_map.n_policies, 1);
}

/* Two users with one name: the policy cannot mean both. One who is not there yet is only a warning. */
static void
test_users(void **state)
{
	struct policy_wish wish = wish_of("{\"acls\": [{\"action\": \"accept\", \"src\": [\"zoe@example.org\"],"
	    " \"dst\": [\"*:*\"]}]}");
	struct user *bob = tailnet_user_find(fake.t, "bob@example.org");

	(void)state;
	save(&wish);
	assert_int_equal(got.rc, ERR_OK);
	assert_int_equal(got.n_warnings, 1);
	snprintf(bob->email, sizeof(bob->email), "ann@example.org");
	wish = wish_of("{\"acls\": [{\"action\": \"accept\", \"src\": [\"ann@example.org\"],"
	    " \"dst\": [\"*:*\"]}]}");
	save(&wish);
	assert_int_equal(got.rc, ERR_INVAL);
	assert_non_null(strstr(got.why, "multiple users"));
}

static void
test_checked_only(void **state)
{
	struct policy_wish wish = wish_of("{}");

	(void)state;
	wish.what = NULL;
	tailnet_policy_save(fake.t, &fake_actor, &wish, on_saved, NULL);
	assert_int_equal(got.n, 1);
	assert_int_equal(got.rc, ERR_OK);
	assert_int_equal(got.n_warnings, 1);	/* everybody reaches everybody */
	assert_null(fake.t->policy);
	assert_int_equal(number("SELECT count(*) FROM policies"), 0);
}

static void
test_expectations(void **state)
{
	struct policy_wish wish = wish_of(CLOSED);
	char hash[POLICY_HASH_CHARS + 1];

	(void)state;
	wish.if_hash = POLICY_HASH_DEFAULT;
	save(&wish);
	assert_int_equal(got.rc, ERR_OK);
	wish.text = RULES;
	wish.n_bytes = strlen(RULES);
	save(&wish);			/* it is no longer so */
	assert_int_equal(got.rc, ERR_EXISTS);
	wish.if_hash = "0000";
	save(&wish);
	assert_int_equal(got.rc, ERR_EXISTS);
	memcpy(hash, fake.t->policies->now.hash, sizeof(hash));
	wish.if_hash = hash;
	save(&wish);
	assert_int_equal(got.rc, ERR_OK);
	in_force(2, RULES);
	wish = wish_of(CLOSED);
	wish.if_version = 1;
	save(&wish);
	assert_int_equal(got.rc, ERR_EXISTS);
	assert_non_null(strstr(got.why, "version 2 is in force, not 1"));
	in_force(2, RULES);
}

/* Two people save at once, each on top of the same version: the second is told. */
static void
test_at_once(void **state)
{
	struct policy_wish a = wish_of(RULES), b = wish_of(CLOSED);

	(void)state;
	a.if_version = b.if_version = 0;
	tailnet_policy_save(fake.t, &fake_actor, &a, on_saved, NULL);
	tailnet_policy_save(fake.t, &fake_actor, &b, on_saved, NULL);
	assert_int_equal(got.n, 0);	/* the first is at the store, the second behind it */
	fake_commit();
	assert_int_equal(got.n, 2);
	assert_int_equal(got.rc, ERR_EXISTS);
	in_force(1, RULES);
	for (int i = 0; i <= POLICY_SAVES_MAX; i++) {
		struct policy_wish w = wish_of(i % 2 == 0 ? CLOSED : RULES);
		tailnet_policy_save(fake.t, &fake_actor, &w, on_saved, NULL);
	}
	assert_int_equal(got.n, 2);
	tailnet_policy_save(fake.t, &fake_actor, &a, on_saved, NULL);
	assert_int_equal(got.rc, ERR_BUSY);
	while (got.n < 3 + POLICY_SAVES_MAX + 1)
		fake_commit();
	assert_int_equal(fake.t->policies->now.version, 2 + POLICY_SAVES_MAX);
}

static void
confirm(int64_t version, enum err rc)
{
	tailnet_policy_confirm(fake.t, &fake_actor, version, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, rc);
}

static void
due(void)
{
	tailnet_policy_due(fake.t);
	fake_commit();
}

static void
test_confirm(void **state)
{
	(void)state;
	set(RULES);
	confirm(1, ERR_EXISTS);		/* waits for nothing */
	set_until(CLOSED, 300);
	in_force(2, CLOSED);
	confirm(1, ERR_EXISTS);
	confirm(2, ERR_OK);
	fake_clock(T0 + 400);
	due();
	in_force(2, CLOSED);
	restart();
	in_force(2, CLOSED);
	assert_int_equal(fake.t->policies->now.confirm_by_unix_s, 0);
}

/* What comes in time counts, though the deadline falls while it is written. */
static void
test_confirm_slow(void **state)
{
	(void)state;
	set(RULES);
	set_until(CLOSED, 300);
	fake_clock(T0 + 299);
	tailnet_policy_confirm(fake.t, &fake_actor, 2, fake_done, NULL);
	fake_clock(T0 + 301);
	tailnet_policy_due(fake.t);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	due();
	in_force(2, CLOSED);
	assert_int_equal(number("SELECT count(*) FROM audit WHERE what = 'policy.revert'"), 0);
	restart();
	in_force(2, CLOSED);
	/* The next one that waits goes back to what was confirmed. */
	set_until(RULES, 300);
	tailnet_policy_confirm(fake.t, &fake_actor, 3, fake_done, NULL);
	set_until("{\"grants\": []}", 300);
	assert_int_equal(fake.t->policies->now.reverts_to, 3);
	fake_clock(T0 + 1000);
	due();
	in_force(5, RULES);
}

static void
test_revert(void **state)
{
	(void)state;
	set(RULES);
	set_until(CLOSED, 300);
	fake_clock(T0 + 299);
	due();
	in_force(2, CLOSED);
	fake_clock(T0 + 300);
	due();
	in_force(3, RULES);
	assert_string_equal(fake.t->policies->now.author, "confirmation");
	assert_int_equal(number("SELECT count(*) FROM audit WHERE what = 'policy.revert'"), 1);
	/* Two of them: what comes back is what was last there for good. */
	set_until(CLOSED, 300);
	set_until("{\"grants\": []}", 300);
	fake_clock(T0 + 700);
	due();
	in_force(6, RULES);
	due();
	in_force(6, RULES);
	/* A save for good in between ends the waiting; the same text, too. */
	set_until(CLOSED, 300);
	set(CLOSED);
	fake_clock(T0 + 2000);
	due();
	in_force(8, CLOSED);
	/* Back to none. */
	set("");
	set_until(RULES, 10);
	fake_clock(T0 + 3000);
	due();
	in_force(11, NULL);
}

/* The deadline is kept over starts, and looked at there. */
static void
test_revert_restart(void **state)
{
	(void)state;
	set(RULES);
	set_until(CLOSED, 300);
	restart();
	in_force(2, CLOSED);
	fake_clock(T0 + 100);
	due();
	in_force(2, CLOSED);
	fake_clock(T0 + 300);
	restart();
	due();				/* a start looks by its timer, at once */
	in_force(3, RULES);
	restart();
	in_force(3, RULES);
}

/* A full disk keeps the old policy in force, and the reversal is tried again. */
static void
test_disk_full(void **state)
{
	struct policy_wish wish = wish_of(CLOSED);

	(void)state;
	set(RULES);
	store_test_fail_step(fake_store, 1, SQLITE_FULL, true);
	save(&wish);
	assert_int_equal(got.rc, ERR_FULL);
	in_force(1, RULES);
	store_test_fail_step(fake_store, 0, 0, false);
	set_until(CLOSED, 10);
	fake_clock(T0 + 20);
	store_test_fail_step(fake_store, 1, SQLITE_FULL, true);
	due();
	in_force(2, CLOSED);
	store_test_fail_step(fake_store, 0, 0, false);
	due();
	in_force(3, RULES);
	/* So does a confirmation that cannot be written. */
	set_until(CLOSED, 10);
	store_test_fail_step(fake_store, 1, SQLITE_FULL, true);
	confirm(4, ERR_FULL);
	store_test_fail_step(fake_store, 0, 0, false);
	fake_clock(T0 + 40);
	due();
	in_force(5, RULES);
}

static void
store_text(int version, const char *text)
{
	char sql[300];

	snprintf(sql, sizeof(sql), "INSERT INTO policies (tailnet_id, version, made_unix_s, author, comment,"
	    " confirm_by_unix_s, reverts_to, text) VALUES (1, %d, 1, 'x', '', 0, 0, CAST('%s' AS BLOB))",
	    version, text);
	execute(sql);
}

static void
test_broken_newest(void **state)
{
	(void)state;
	set(RULES);
	fake_stop();
	store_text(2, "{\"unheard\": 1}");
	store_text(3, "{");
	fake_start();
	in_force(1, RULES);
	assert_int_equal(fake.t->policies->unreadable, 3);
	assert_non_null(tailnet_policy_problem(fake.t));
	assert_int_equal(metric_get(METRIC_POLICY_INVALID), 1);
	set(RULES);			/* mends it: a new version, although the text is in force */
	in_force(4, RULES);
	assert_null(tailnet_policy_problem(fake.t));
	assert_int_equal(metric_get(METRIC_POLICY_INVALID), 0);
	restart();
	in_force(4, RULES);
	assert_null(tailnet_policy_problem(fake.t));
}

/* Nothing that is stored is understood: closed is safe, open is not. */
static void
test_broken_all(void **state)
{
	(void)state;
	fake_stop();
	store_text(1, "nonsense");
	fake_start();
	assert_non_null(fake.t->policy);
	assert_true(fake.t->policy->has_rules);
	assert_int_equal(fake.t->policy->n_rules, 0);
	assert_ptr_equal(fake_map.policy, fake.t->policy);
	assert_non_null(tailnet_policy_problem(fake.t));
	set(RULES);
	in_force(2, RULES);
	assert_null(tailnet_policy_problem(fake.t));
}

/* Tests that fail by now do not count at the start. */
static void
test_failing_tests_stored(void **state)
{
	static const char text[] = "{\"acls\": [], \"tests\": [{\"src\": \"100.64.0.1\","
	    " \"accept\": [\"100.64.0.2:22\"]}]}";

	(void)state;
	fake_stop();
	store_text(1, text);
	fake_start();
	in_force(1, text);
	assert_null(tailnet_policy_problem(fake.t));
	tailnet_policy_recheck(fake.t);	/* says so in the log, no more */
	in_force(1, text);
}

/* --- the history ---------------------------------------------------------------------------------- */

static void
on_record(void *arg, const struct policies_record *r)
{
	struct buf *b = arg;

	buf_printf(b, "%d %s %zu;", (int)r->version, r->comment, r->n_bytes);
}

static void
test_history(void **state)
{
	struct policies_reader *r = NULL;
	struct buf list = { 0 }, text = { 0 };
	struct err_text why;
	struct policy_wish wish = wish_of(RULES);

	(void)state;
	wish.comment = "first";
	save(&wish);
	set(CLOSED);
	set("");
	assert_int_equal(policies_reader_new(fake_db_path, fake.t->id, &r, &why), ERR_OK);
	assert_int_equal(policies_read(r, 0, 10, on_record, &list, &why), ERR_OK);
	assert_string_equal(buf_cstr(&list), "3  0;2  12;1 first 63;");
	buf_clear(&list);
	assert_int_equal(policies_read(r, 3, 1, on_record, &list, &why), ERR_OK);
	assert_string_equal(buf_cstr(&list), "2  12;");
	assert_int_equal(policies_read_text(r, 1, &text, &why), ERR_OK);
	assert_string_equal(buf_cstr(&text), RULES);
	buf_clear(&text);
	assert_int_equal(policies_read_text(r, 0, &text, &why), ERR_OK);
	assert_int_equal(policies_read_text(r, 3, &text, &why), ERR_OK);
	assert_int_equal(text.len, 0);
	assert_int_equal(policies_read_text(r, 4, &text, &why), ERR_NOTFOUND);
	policies_reader_free(r);
	buf_fini(&list);
	buf_fini(&text);
}

/* --- the file ------------------------------------------------------------------------------------- */

static char file_path[160];

static void
write_file(const char *text)
{
	FILE *f = fopen(file_path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
look(void)
{
	tailnet_policy_file_look(fake.t);
	fake_commit();
}

static void
test_file(void **state)
{
	struct policy_wish wish = wish_of(CLOSED);

	(void)state;
	snprintf(file_path, sizeof(file_path), "%s/policy.hujson", dir);
	fake.cfg.policy.path = file_path;
	tailnet_policy_file_start(fake.t);
	assert_non_null(strstr(tailnet_policy_problem(fake.t), "cannot be read"));
	assert_int_equal(metric_get(METRIC_POLICY_INVALID), 1);
	write_file(RULES);
	look();
	in_force(1, RULES);
	assert_null(tailnet_policy_problem(fake.t));
	assert_int_equal(metric_get(METRIC_POLICY_INVALID), 0);
	look();
	in_force(1, RULES);
	save(&wish);			/* by the API: no */
	assert_int_equal(got.rc, ERR_DENIED);
	assert_non_null(strstr(got.why, file_path));
	write_file("{\"acls\": nonsense}");
	look();
	in_force(1, RULES);
	assert_non_null(strstr(tailnet_policy_problem(fake.t), "line 1, column"));
	write_file(CLOSED);
	look();
	in_force(2, CLOSED);
	assert_string_equal(fake.t->policies->now.author, "policy file");
	assert_null(tailnet_policy_problem(fake.t));
	tailnet_policy_file_stop(fake.t);
	fake.cfg.policy.path = NULL;
}

/* --- the end -------------------------------------------------------------------------------------- */

/* The server stops with one save at the store and others behind it: each hears of it, once. */
static void
test_stop(void **state)
{
	struct policy_wish wish = wish_of(RULES);
	int n = 0;

	(void)state;
	for (int i = 0; i < 4; i++)
		tailnet_policy_save(fake.t, &fake_actor, &wish, on_saved, NULL);
	n = got.n;
	mbox_close(fake_mbox);		/* nothing is delivered any more */
	store_stop(fake_store);
	assert_int_equal(n, 0);
	assert_int_equal(got.n, 4);
	assert_int_equal(got.rc, ERR_CLOSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_versions), TEST(test_refused), TEST(test_users), TEST(test_checked_only),
		TEST(test_expectations), TEST(test_at_once), TEST(test_confirm), TEST(test_revert),
		TEST(test_confirm_slow),
		TEST(test_revert_restart), TEST(test_disk_full), TEST(test_broken_newest),
		TEST(test_broken_all), TEST(test_failing_tests_stored), TEST(test_history), TEST(test_file),
		TEST(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
