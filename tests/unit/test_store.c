/* links: coord/store coord/store_sql coord/store_stmt coord/store_cred coord/store_policy coord/store_cluster coord/store_join coord/store_load coord/migrate gen/migrations coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_tag coord/policy_owner coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota */
/* The store on a real file: commits in groups, failures of every step, ids, what it refuses to open. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "store_file.h"

/* --- commits ------------------------------------------------------------------------------------ */

/* Adds a user past the checks of the tailnet. */
static void
raw_user(const char *name, int64_t id, struct outcome *o)
{
	struct tailnet_op *op = tailnet_op_new(fake.t, on_outcome, o);
	struct txn *x = tailnet_op_txn(op);
	struct user *u = &txn_add(x, MUTATION_USER_ADD)->u.user;

	u->id = id;
	snprintf(u->name, sizeof(u->name), "%s", name);
	tailnet_op_submit_take(op, x);
}

/* What waits while a commit runs goes into the next, all of it. */
static void
test_group_commit(void **state)
{
	struct outcome o = { 0 };
	int steps;
	struct err_text why;
	char name[16];

	(void)state;
	fake_start();
	store_stop(fake_store);
	store_free(fake_store);
	assert_int_equal(store_open(fake_db_path, fake_mbox, &fake_store, &why), ERR_OK);
	fake.t->deps.store = fake_store;
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "u%d", i);
		raw_user(name, i + 1, &o);
	}
	steps = store_test_steps(fake_store);
	assert_int_equal(store_start(fake_store, &why), ERR_OK);
	while (o.n < 10)
		event_base_loop(fake.base, EVLOOP_ONCE);
	/* begin and commit, and savepoint, insert, release for each */
	assert_int_equal(store_test_steps(fake_store) - steps, 2 + 10 * 3);
	for (int i = 0; i < 10; i++)
		assert_int_equal(o.rc[i], ERR_OK);
	assert_int_equal(fake.t->users.count, 10);
	fake_stop();
}

/* What is under way when the server stops is durable or not; who asked hears that we do not say. */
static void
test_stop_under_way(void **state)
{
	struct outcome o = { 0 };

	(void)state;
	fake_start();
	raw_user("a", 1, &o);
	fake_commit();
	raw_user("b", 2, &o);
	raw_user("c", 3, &o);
	store_stop(fake_store);		/* writes them; the answers are in the mailbox */
	assert_int_equal(o.n, 1);
	mbox_close(fake_mbox);
	assert_int_equal(o.n, 3);
	assert_int_equal(o.rc[1], ERR_CLOSED);
	assert_int_equal(o.rc[2], ERR_CLOSED);
	assert_int_equal(fake.t->users.count, 1);
	raw_user("d", 4, &o);		/* too late */
	assert_int_equal(o.rc[3], ERR_BUSY);
	fake_stop();
	fake_start();
	assert_int_equal(fake.t->users.count, 3);
	fake_stop();
}

static void
test_constraint_isolates(void **state)
{
	struct outcome o = { 0 };

	(void)state;
	fake_start();
	raw_user("a", 1, &o);
	raw_user("a", 2, &o);
	raw_user("b", 1, &o);
	raw_user("c", 3, &o);
	fake_commit();
	assert_int_equal(o.n, 4);
	assert_int_equal(o.rc[0], ERR_OK);
	assert_int_equal(o.rc[1], ERR_EXISTS);
	assert_int_equal(o.rc[2], ERR_EXISTS);
	assert_int_equal(o.rc[3], ERR_OK);
	assert_int_equal(fake.t->users.count, 2);
	assert_reload_equal();
	fake_stop();
}

/* A transaction that fails in its middle leaves nothing of its beginning. */
static void
test_txn_is_whole(void **state)
{
	struct outcome o = { 0 };
	struct tailnet_op *op;
	struct txn *x;

	(void)state;
	fake_start();
	raw_user("a", 1, &o);
	op = tailnet_op_new(fake.t, on_outcome, &o);
	x = tailnet_op_txn(op);
	txn_add(x, MUTATION_USER_DEL)->u.user.id = 1;
	txn_add(x, MUTATION_NODE_DEL)->u.node.id = 99;		/* is not there */
	tailnet_op_submit_take(op, x);
	fake_commit();
	assert_int_equal(o.rc[1], ERR_NOTFOUND);
	assert_int_equal(fake.t->users.count, 1);
	assert_reload_equal();
	fake_stop();
}

/* Two uses of one-off key that memory let through: the database lets only one. */
static void
test_single_use_in_database(void **state)
{
	struct outcome o = { 0 };
	char id[32];

	(void)state;
	fake_start();
	fake_user("a", USER_ADMIN);
	fake_key(1, "", NULL, 0);
	strcpy(id, fake.key_id);
	for (int i = 0; i < 2; i++) {
		struct tailnet_op *op = tailnet_op_new(fake.t, on_outcome, &o);
		struct txn *x = tailnet_op_txn(op);

		memcpy(txn_add(x, MUTATION_KEY_USE)->u.key.id, id, AUTHKEY_ID_CHARS);
		tailnet_op_submit_take(op, x);
	}
	fake_commit();
	assert_int_equal(o.rc[0], ERR_OK);
	assert_int_equal(o.rc[1], ERR_DENIED);
	assert_reload_equal();
	fake_stop();
}

static void
test_queue_is_bounded(void **state)
{
	struct err_text why;
	struct txn *x;
	struct outcome o = { 0 };

	(void)state;
	fake_start();
	store_stop(fake_store);
	x = txn_new(fake.t, NULL, NULL);
	assert_int_equal(store_submit_take(fake_store, &x), ERR_BUSY);	/* stopping */
	assert_non_null(x);
	store_free(fake_store);
	assert_int_equal(store_open(fake_db_path, fake_mbox, &fake_store, &why), ERR_OK);
	fake.t->deps.store = fake_store;
	for (int i = 0; i < STORE_QUEUE_MAX; i++) {
		assert_int_equal(store_submit_take(fake_store, &x), ERR_OK);
		assert_null(x);
		x = txn_new(fake.t, NULL, NULL);
	}
	assert_int_equal(store_submit_take(fake_store, &x), ERR_BUSY);
	txn_free(x);
	raw_user("a", 1, &o);
	assert_int_equal(o.rc[0], ERR_BUSY);		/* answered at once */
	fake_stop();
}

/* --- failures ----------------------------------------------------------------------------------- */

/* Every step of joining and removing fails once, in each way: refused with a status, nothing half done, the
 * next try works, and what is loaded is what was. */
static void
test_every_step_fails(void **state)
{
	static const struct {
		int sqlite_rc, status;
	} ways[] = {
		{ SQLITE_FULL, 503 }, { SQLITE_IOERR_FSYNC, 503 }, { SQLITE_BUSY, 429 },
	};
	char auth[AUTHKEY_TEXT_MAX];
	int key = 1;

	(void)state;
	fake_start();
	fake_user("a", USER_ADMIN);
	strcpy(auth, fake_key(1, "r", NULL, 0));
	for (size_t w = 0; w < COUNT_OF(ways); w++) {
		int n_failed = 0, status;

		for (int n = 1; ; n++) {
			size_t n_nodes = fake.t->nodes.count;

			store_test_fail_step(fake_store, n, ways[w].sqlite_rc, 0);
			status = register_once(++key, auth);
			store_test_fail_step(fake_store, 0, 0, 0);
			if (status == 200)
				break;
			n_failed++;
			assert_int_equal(status, ways[w].status);
			assert_int_equal(fake.t->nodes.count, n_nodes);
			assert_int_equal(fake.t->priv->names_held.count, 0);
			assert_int_equal(register_once(key, auth), 200);
			assert_int_equal(fake.t->nodes.count, n_nodes + 1);
		}
		assert_true(n_failed >= 6);
		assert_reload_equal();
		n_failed = 0;
		for (int n = 1; fake.t->nodes.count > 0; n++) {
			struct node *node = some_node();
			struct outcome o = { 0 };

			store_test_fail_step(fake_store, n, ways[w].sqlite_rc, 0);
			tailnet_node_remove(fake.t, &fake_actor, node->id, on_outcome, &o);
			fake_commit();
			store_test_fail_step(fake_store, 0, 0, 0);
			n_failed += o.rc[0] != ERR_OK;
			if (o.rc[0] != ERR_OK)
				assert_false(node->_is_removing);
		}
		assert_true(n_failed >= 6);
		assert_reload_equal();
	}
	fake_stop();
}

/* A transaction of one mutation that memory would have refused, and how it ends. */
static enum err
raw_change(enum mutation_kind kind, uint32_t groups, const char *key_id, const char *name,
	const char *ip4)
{
	struct outcome o = { 0 };
	struct tailnet_op *op = tailnet_op_new(fake.t, on_outcome, &o);
	struct txn *x = tailnet_op_txn(op);
	struct mutation *m = txn_add(x, kind);
	struct net_ip v4, v6;

	m->groups = groups;
	assert_int_equal(net_ip_parse(ip4, strlen(ip4), &v4), ERR_OK);
	assert_int_equal(net_ip_parse("fd7a:115c:a1e0::77", 18, &v6), ERR_OK);
	if (kind == MUTATION_NODE_SET) {
		m->u.node.id = 1;
		snprintf(m->u.node.name, sizeof(m->u.node.name), "%s", name);
		m->u.node.ip4 = v4;
		m->u.node.ip6 = v6;
	} else {
		memcpy(m->u.key.id, key_id, strlen(key_id));
		snprintf(m->u.key.plan.name, sizeof(m->u.key.plan.name), "%s", name);
		m->u.key.plan.ip4 = v4;
		m->u.key.plan.ip6 = v6;
	}
	tailnet_op_submit_take(op, x);
	fake_commit();
	return o.rc[0];
}

/* What is promised to one node is not given to another, even if our code forgets it. */
static void
test_promises_in_database(void **state)
{
	struct tailnet_key_spec spec = { .user_id = 1, .node_name = "edge-7" };
	char auth[AUTHKEY_TEXT_MAX], other[AUTHKEY_ID_CHARS + 4];

	(void)state;
	fake_start();
	fake_user("a", USER_ADMIN);
	strcpy(auth, fake_key(1, "r", NULL, 0));
	strcpy(other, fake.key_id);
	assert_int_equal(register_once(1, auth), 200);		/* edge, 100.64.0.1 */
	assert_int_equal(net_ip_parse("100.64.0.7", 10, &spec.node_ip4), ERR_OK);
	tailnet_key_create(fake.t, &fake_actor, &spec, fake_done, NULL);
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
	assert_int_equal(raw_change(MUTATION_NODE_SET, NODE_GROUP_NAME, NULL, "edge-7", "100.64.0.8"),
	    ERR_EXISTS);
	assert_int_equal(raw_change(MUTATION_NODE_SET, NODE_GROUP_IP, NULL, "", "100.64.0.7"), ERR_EXISTS);
	assert_int_equal(raw_change(MUTATION_KEY_PLAN, 0, other, "edge", "100.64.0.8"), ERR_EXISTS);
	assert_int_equal(raw_change(MUTATION_KEY_PLAN, 0, other, "x", "100.64.0.1"), ERR_EXISTS);
	assert_int_equal(raw_change(MUTATION_KEY_PLAN, 0, other, "edge-7", "100.64.0.8"), ERR_EXISTS);
	assert_int_equal(raw_change(MUTATION_KEY_PLAN, 0, fake.key_id, "y", "100.64.0.8"), ERR_EXISTS);
	assert_int_equal(raw_change(MUTATION_KEY_PLAN_USE, 0, other, "", "100.64.0.8"), ERR_NOTFOUND);
	assert_int_equal(number("SELECT count(*) FROM node_plans"), 1);
	assert_reload_equal();
	fake_stop();
}

/* Every step of planning a node, of its join, and of moving it fails once. */
static void
test_every_step_of_a_plan_fails(void **state)
{
	struct tailnet_key_spec spec = { .user_id = 1, .node_name = "gate" };
	struct net_ip next;
	char auth[AUTHKEY_TEXT_MAX] = "";
	int n_failed[3] = { 0 }, status = 0;

	(void)state;
	fake_start();
	fake_user("a", USER_ADMIN);
	assert_int_equal(net_ip_parse("100.64.0.7", 10, &spec.node_ip4), ERR_OK);
	assert_int_equal(net_ip_parse("100.64.0.9", 10, &next), ERR_OK);
	for (int n = 1; auth[0] == '\0'; n++, n_failed[0]++) {
		store_test_fail_step(fake_store, n, SQLITE_FULL, 0);
		tailnet_key_create(fake.t, &fake_actor, &spec, fake_done, NULL);
		fake_commit();
		strcpy(auth, fake.secret);
		store_test_fail_step(fake_store, 0, 0, 0);
		assert_int_equal(fake.t->priv->names_held.count, auth[0] != '\0');
	}
	for (int n = 1; status != 200; n++, n_failed[1]++) {
		store_test_fail_step(fake_store, n, SQLITE_FULL, 0);
		status = register_once(1, auth);
		store_test_fail_step(fake_store, 0, 0, 0);
		assert_int_equal(fake.t->nodes.count, status == 200);
	}
	assert_string_equal(fake_node(1)->name, "gate");
	fake.res.rc = ERR_FULL;
	for (int n = 1; fake.res.rc != ERR_OK; n++, n_failed[2]++) {
		store_test_fail_step(fake_store, n, SQLITE_FULL, 0);
		tailnet_node_set_ips(fake.t, &fake_actor, fake_node(1)->id, &next, NULL, fake_done, NULL);
		assert_true(n < 100);
		fake_commit();
		store_test_fail_step(fake_store, 0, 0, 0);
	}
	assert_int_equal(fake_node(1)->ip4.b[3], 9);
	for (size_t i = 0; i < COUNT_OF(n_failed); i++)
		assert_true(n_failed[i] >= 6);
	assert_reload_equal();
	fake_stop();
}

static void
test_disk_full_for_a_while(void **state)
{
	char auth[AUTHKEY_TEXT_MAX];

	(void)state;
	fake_start();
	fake_user("a", USER_ADMIN);
	strcpy(auth, fake_key(1, "r", NULL, 0));
	assert_int_equal(register_once(1, auth), 200);
	store_test_fail_step(fake_store, 1, SQLITE_FULL, 1);
	for (int i = 2; i < 6; i++)
		assert_int_equal(register_once(i, auth), 503);
	assert_non_null(strstr(fake_reply()->body, "disk is full"));
	change_soft(fake_node(1));
	assert_true(tailnet_soft_run(fake.t));
	fake_commit();
	assert_true(fake_node(1)->is_soft_dirty);	/* kept for later */
	store_test_fail_step(fake_store, 0, 0, 0);
	assert_int_equal(register_once(2, auth), 200);
	tailnet_flush_soft(fake.t);
	assert_reload_equal();
	fake_stop();
}

/* --- start --------------------------------------------------------------------------------------- */

static void
test_ids_are_not_reused(void **state)
{
	struct stat st;
	int64_t id;

	(void)state;
	fake_start();
	id = fake_user("a", USER_ADMIN);
	tailnet_user_remove(fake.t, &fake_actor, id, NULL, NULL);
	assert_reload_equal();
	assert_int_equal(fake_user("b", USER_ADMIN), id + 1);
	assert_int_equal(stat(fake_db_path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(number("SELECT count(*) FROM audit WHERE what = 'user.create'"), 2);
	fake_stop();
}

static void
test_open_refuses(void **state)
{
	struct store *s = NULL;
	struct err_text why = { "" };
	FILE *f;

	(void)state;
	assert_int_equal(store_open("/nonexistent/dir/x.db", NULL, &s, &why), ERR_IO);
	assert_non_null(strstr(why.s, "/nonexistent/dir/x.db"));
	f = fopen(fake_db_path, "w");
	fputs("this is not a database, and long enough to be told apart from an empty one", f);
	for (int i = 0; i < 100; i++)
		fputs("................", f);
	fclose(f);
	assert_int_equal(store_open(fake_db_path, NULL, &s, &why), ERR_IO);
	unlink(fake_db_path);
	execute("CREATE TABLE other (x)");
	assert_int_equal(store_open(fake_db_path, NULL, &s, &why), ERR_INVAL);
	assert_null(s);
}

/* Answers that nobody fetched before the mailbox closed are durable all the same. */
static void
test_stop_at_once(void **state)
{
	struct outcome o = { 0 };

	(void)state;
	fake_start();
	for (int i = 1; i <= 10; i++) {
		char name[16];

		snprintf(name, sizeof(name), "u%d", i);
		raw_user(name, i, &o);
	}
	fake_stop();
	assert_int_equal(o.n, 10);
	fake_start();
	assert_int_equal(fake.t->users.count, 10);
	fake_stop();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_group_commit), TEST(test_stop_under_way), TEST(test_constraint_isolates),
		TEST(test_txn_is_whole), TEST(test_single_use_in_database),
		TEST(test_promises_in_database), TEST(test_every_step_of_a_plan_fails),
		TEST(test_queue_is_bounded), TEST(test_every_step_fails),
		TEST(test_disk_full_for_a_while), TEST(test_ids_are_not_reused),
		TEST(test_open_refuses), TEST(test_stop_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
