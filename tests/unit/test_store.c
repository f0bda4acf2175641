/* links: coord/store coord/store_sql coord/store_load coord/migrate gen/migrations coord/tailnet coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/mutation coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register */
/* The store on a real file: what is loaded equals what was, commits in groups, failures of every step. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "coord/ipam.h"

#define FAKE_REAL_STORE
#include "fake_tailnet.h"

static char dir[64];

static int
set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/fairlead-store-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(fake_db_path, sizeof(fake_db_path), "%s/fairlead.db", dir);
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

static int64_t
number(const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	int64_t v;

	assert_int_equal(sqlite3_open(fake_db_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	v = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	sqlite3_close(db);
	return v;
}

static void
execute(const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(fake_db_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* --- state as text ----------------------------------------------------------------------------- */

static void
dump_tags(struct buf *b, char *const *tags, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_printf(b, " %s", tags[i]);
}

static void
dump_node(struct buf *b, const struct node *n)
{
	char text[KEY_TEXT_MAX], ip[NET_TEXT_MAX];

	buf_printf(b, "node %d user %d %s %s", (int)n->id, (int)n->user_id, n->name,
	    n->is_name_given ? "given" : "-");
	buf_printf(b, " %s", machine_key_put(&n->machine_key, text));
	buf_printf(b, " %s", node_key_put(&n->node_key, text));
	buf_printf(b, " %s", disco_key_put(&n->disco_key, text));
	buf_printf(b, " %s", net_ip_put(&n->ip4, ip));
	buf_printf(b, " %s", net_ip_put(&n->ip6, ip));
	buf_printf(b, " %d %d %d%d %s %u %u %d %d", (int)n->created_unix_s, (int)n->key_expiry_unix_s,
	    n->is_ephemeral, n->is_authorized, n->authkey_id, n->home_derp, n->cap_version,
	    (int)n->last_seen_unix_s, n->is_online);
	dump_tags(b, n->tags, n->n_tags);
	for (unsigned i = 0; i < n->n_endpoints; i++)
		buf_printf(b, " %s/%u", net_addr_put(&n->endpoints[i].addr, ip), n->endpoints[i].type);
	buf_byte(b, ' ');
	buf_append(b, n->host->json->bytes, n->host->json->len);
	buf_byte(b, '\n');
}

static void
dump_key(struct buf *b, const struct authkey *k)
{
	char hex[2 * AUTHKEY_HASH_BYTES + 1];

	buf_printf(b, "key %s %s user %d \"%s\" %d%d%d %d %d %d %d uses %u", k->id,
	    key_hex_put(k->secret_hash, AUTHKEY_HASH_BYTES, hex), (int)k->user_id, k->description,
	    k->is_reusable, k->is_ephemeral, k->is_preauthorized, (int)k->created_unix_s,
	    (int)k->expires_unix_s, (int)k->revoked_unix_s, (int)k->last_used_unix_s, k->uses);
	dump_tags(b, k->tags, k->n_tags);
	buf_byte(b, '\n');
}

static int
compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The whole state in sorted lines, and the addresses that would come next; the caller's. */
static char *
dump(void)
{
	struct buf b = { 0 }, out = { 0 };
	char *lines[1000], *text, *save = NULL, ip[NET_TEXT_MAX];
	struct net_ip v4[40], v6[40];
	size_t at, n = 0;
	const struct node *node;
	const struct user *u;
	const struct authkey *k;

	for (at = 0; (node = map_next(&fake.t->nodes, &at)) != NULL; )
		dump_node(&b, node);
	for (at = 0; (k = map_next(&fake.t->authkeys, &at)) != NULL; )
		dump_key(&b, k);
	for (at = 0; (u = map_next(&fake.t->users, &at)) != NULL; )
		buf_printf(&b, "user %d %s \"%s\" %d %d nodes %u keys %u\n", (int)u->id, u->name,
		    u->display_name, u->role, (int)u->created_unix_s, u->n_nodes, u->n_keys);
	text = (char *)(uintptr_t)buf_cstr(&b);
	for (char *l = strtok_r(text, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save))
		lines[n++] = l;
	qsort(lines, n, sizeof(lines[0]), compare_lines);
	for (size_t i = 0; i < n; i++)
		buf_printf(&out, "%s\n", lines[i]);
	for (size_t i = 0; i < COUNT_OF(v4); i++) {
		assert_int_equal(ipam_reserve(fake.t->ipam, fake.now, &v4[i], &v6[i], NULL), ERR_OK);
		buf_printf(&out, "%s ", net_ip_put(&v4[i], ip));
		buf_printf(&out, "%s\n", net_ip_put(&v6[i], ip));
	}
	for (size_t i = 0; i < COUNT_OF(v4); i++) {
		ipam_unreserve(fake.t->ipam, &v4[i]);
		ipam_unreserve(fake.t->ipam, &v6[i]);
	}
	text = obj_strdup(buf_cstr(&out));
	buf_fini(&b);
	buf_fini(&out);
	return text;
}

/* Stops, starts again on the same file, and compares. */
static void
assert_reload_equal(void)
{
	int64_t now = fake.now;
	char *before, *after;

	fake_commit();
	before = dump();
	fake_stop();
	fake_start();
	fake_clock(now);
	after = dump();
	assert_string_equal(before, after);
	free(before);
	free(after);
}

/* --- changes by chance --------------------------------------------------------------------------- */

static unsigned seed;

static int
chance(int n)
{
	return rand_r(&seed) % n;
}

static struct node *
some_node(void)
{
	struct node *n = NULL, *at_last = NULL;
	size_t at = 0;
	int skip = fake.t->nodes.count == 0 ? 0 : chance((int)fake.t->nodes.count);

	while (skip-- >= 0 && (n = map_next(&fake.t->nodes, &at)) != NULL)
		at_last = n;
	return at_last;
}

static void
change_soft(struct node *n)
{
	char host[128];

	snprintf(host, sizeof(host), "{\"Hostname\":\"h%d\",\"OS\":\"linux\",\"X\":[%d]}", chance(9),
	    chance(99));
	hostinfo_drop(n->host);
	assert_int_equal(hostinfo_parse(host, strlen(host), &n->host, NULL), ERR_OK);
	memset(n->disco_key.b, chance(255), KEY_BYTES);
	free(n->endpoints);
	n->n_endpoints = (unsigned)chance(4);
	n->endpoints = obj_alloc(4 * sizeof(*n->endpoints));
	for (unsigned i = 0; i < n->n_endpoints; i++) {
		assert_int_equal(net_addr_parse(i == 1 ? "[2001:db8::1]:7" : "192.0.2.1:41641",
		    strlen(i == 1 ? "[2001:db8::1]:7" : "192.0.2.1:41641"), &n->endpoints[i].addr), ERR_OK);
		n->endpoints[i].type = (uint8_t)i;
	}
	n->home_derp = (uint32_t)chance(1000);
	n->is_online = chance(2) != 0;
	n->last_seen_unix_s = fake.now;
	tailnet_soft_dirty(fake.t, n);
	tailnet_node_hostname(fake.t, n);
}

static void
change_something(char key_text[3][AUTHKEY_TEXT_MAX])
{
	static const char *const tags[] = { "tag:b", "tag:a", "tag:c" };
	struct node *n = some_node();
	char name[32];
	int k = chance(60) + 1;

	switch (chance(12)) {
	case 0: case 1: case 2: case 3:
		fake_register(&(struct fake_req){ .machine = k % 40 + 1, .key = k + chance(100),
		    .auth = key_text[chance(3)], .old = chance(2) ? chance(160) : 0 });
		break;
	case 4:
		if (n != NULL)
			tailnet_node_tag(fake.t, &fake_actor, n->id, tags, (unsigned)chance(4), NULL, NULL);
		break;
	case 5:
		snprintf(name, sizeof(name), "n%d", chance(20));
		if (n != NULL)
			tailnet_node_rename(fake.t, &fake_actor, n->id, chance(4) ? name : "", NULL, NULL);
		break;
	case 6:
		if (n != NULL)
			tailnet_node_expire(fake.t, &fake_actor, n->id, NULL, NULL);
		break;
	case 7:
		if (n != NULL)
			tailnet_node_remove(fake.t, &fake_actor, n->id, NULL, NULL);
		break;
	case 8: case 9:
		if (n != NULL)
			change_soft(n);
		break;
	case 10:
		snprintf(name, sizeof(name), "user%d", chance(5));
		tailnet_user_rename(fake.t, &fake_actor, 1 + chance(3), name, NULL, NULL);
		break;
	case 11:
		fake_clock(fake.now + chance(2 * DAY_S));
		break;
	}
}

static void
test_reload(void **state)
{
	char key_text[3][AUTHKEY_TEXT_MAX];

	(void)state;
	fake_start();
	for (int i = 0; i < 3; i++) {
		char name[16];

		snprintf(name, sizeof(name), "u%d", i);
		fake_user(name, i == 2 ? USER_MEMBER : USER_ADMIN);
		strcpy(key_text[i], fake_key(i + 1, i == 1 ? "re" : "r", i == 1 ? "tag:a" : NULL, 0));
		fake_key(i + 1, "", NULL, T0 + 1000);
		tailnet_key_revoke(fake.t, &fake_actor, fake.key_id, NULL, NULL);
	}
	fake_user("removed", USER_AUDITOR);
	tailnet_user_remove(fake.t, &fake_actor, fake.res.id, NULL, NULL);
	for (int round = 0; round < 12; round++) {
		seed = (unsigned)round + 1;
		for (int i = 0; i < 60; i++) {
			change_something(key_text);
			if (chance(5) == 0)
				fake_commit();
		}
		tailnet_flush_soft(fake.t);
		assert_reload_equal();
		assert_int_equal(fake.t->nodes.count, number("SELECT count(*) FROM nodes"));
	}
	assert_true(fake.t->nodes.count > 5);
	assert_true(number("SELECT count(*) FROM address_history") > 5);
	assert_true(number("SELECT count(*) FROM audit WHERE before IS NOT NULL AND after IS NOT NULL"
	    " AND json_valid(before) AND json_valid(after) AND what = 'node.rename'") > 5);
	fake_stop();
}

/* --- commits ------------------------------------------------------------------------------------ */

struct outcome {
	int n;
	enum err rc[16];
};

static void
on_outcome(void *arg, const struct tailnet_result *res)
{
	struct outcome *o = arg;

	o->rc[o->n++] = res->rc;
}

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

/* One registration, waited for; the status of its answer. */
static int
register_once(int key, const char *auth)
{
	fake_register(&(struct fake_req){ .machine = key, .key = key, .auth = auth });
	fake_commit();
	return fake_reply()->status;
}

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

/* Rows that somebody spoilt keep nobody else from starting. */
static void
test_spoilt_rows(void **state)
{
	char auth[AUTHKEY_TEXT_MAX];

	(void)state;
	fake_start();
	fake_user("a", USER_ADMIN);
	strcpy(auth, fake_key(1, "r", NULL, 0));
	for (int i = 1; i <= 5; i++)
		register_once(i, auth);
	fake_stop();
	execute("UPDATE node_state SET hostinfo = '{' WHERE node_id = 1;"
	    "DELETE FROM node_state WHERE node_id = 2;"
	    "UPDATE node_state SET endpoints = '[1,\"x\",\"192.0.2.1:1/3\"]', disco_key = x'00'"
	    " WHERE node_id = 3;"
	    "UPDATE nodes SET tags = 'none' WHERE id = 4;"
	    "UPDATE nodes SET ip4 = 'x' WHERE id = 5;"
	    "UPDATE users SET role = 'king'");
	fake_start();
	assert_int_equal(fake.t->nodes.count, 5);
	assert_string_equal(fake_node(1)->host->hostname, "");
	assert_non_null(fake_node(2)->host);
	assert_int_equal(fake_node(3)->n_endpoints, 1);
	assert_int_equal(fake_node(3)->endpoints[0].type, 3);
	assert_true(disco_key_is_zero(&fake_node(3)->disco_key));
	assert_int_equal(fake_node(4)->n_tags, 0);
	assert_int_equal(tailnet_user_find(fake.t, "a")->role, USER_MEMBER);
	assert_int_equal(register_once(6, auth), 200);
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
		TEST(test_reload), TEST(test_group_commit), TEST(test_constraint_isolates),
		TEST(test_txn_is_whole), TEST(test_single_use_in_database),
		TEST(test_queue_is_bounded), TEST(test_every_step_fails),
		TEST(test_disk_full_for_a_while), TEST(test_ids_are_not_reused),
		TEST(test_spoilt_rows), TEST(test_open_refuses), TEST(test_stop_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
