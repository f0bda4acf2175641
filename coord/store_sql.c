/* Mutations -> rows. */
#include "coord/store_sql.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "coord/store_cred.h"
#include "coord/store_join.h"
#include "coord/tag.h"

/* X(name, SQL). ?1 is the tailnet where it is named. */
#define STATEMENT_TABLE(X) \
	X(BEGIN, "BEGIN IMMEDIATE") \
	X(COMMIT, "COMMIT") \
	X(ROLLBACK, "ROLLBACK") \
	X(SAVE, "SAVEPOINT txn") \
	X(SAVE_UNDO, "ROLLBACK TO txn") \
	X(SAVE_END, "RELEASE txn") \
	X(USER_ADD, "INSERT INTO users (tailnet_id, id, name, display_name, role, created_unix_s)" \
	    " VALUES (?, ?, ?, ?, ?, ?)") \
	X(USER_NAME, "UPDATE users SET name = ?3 WHERE tailnet_id = ?1 AND id = ?2") \
	X(USER_ROLE, "UPDATE users SET role = ?3 WHERE tailnet_id = ?1 AND id = ?2") \
	X(USER_DEL, "DELETE FROM users WHERE tailnet_id = ? AND id = ?") \
	X(KEY_ADD, "INSERT INTO auth_keys (tailnet_id, id, user_id, secret_hash, description, tags," \
	    " is_reusable, is_ephemeral, is_preauthorized, created_unix_s, expires_unix_s," \
	    " revoked_unix_s, last_used_unix_s, uses) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)") \
	X(KEY_USE, "UPDATE auth_keys SET uses = uses + 1, last_used_unix_s = ?3" \
	    " WHERE tailnet_id = ?1 AND id = ?2 AND revoked_unix_s = 0" \
	    " AND (is_reusable OR uses = 0)") \
	X(KEY_REVOKE, "UPDATE auth_keys SET revoked_unix_s = ?3 WHERE tailnet_id = ?1 AND id = ?2") \
	X(KEY_DEL, "DELETE FROM auth_keys WHERE tailnet_id = ? AND id = ?") \
	X(NODE_ADD, "INSERT INTO nodes (tailnet_id, id, user_id, machine_key, node_key, name," \
	    " is_name_given, ip4, ip6, tags, created_unix_s, key_expiry_unix_s, is_expiry_off," \
	    " is_ephemeral, is_authorized, authkey_id) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)") \
	X(NODE_SET_KEY, "UPDATE nodes SET node_key = ?3 WHERE tailnet_id = ?1 AND id = ?2") \
	X(NODE_SET_NAME, "UPDATE nodes SET name = ?3, is_name_given = ?4" \
	    " WHERE tailnet_id = ?1 AND id = ?2") \
	X(NODE_SET_OWNER, "UPDATE nodes SET user_id = ?3, tags = ?4" \
	    " WHERE tailnet_id = ?1 AND id = ?2") \
	X(NODE_SET_EXPIRY, "UPDATE nodes SET key_expiry_unix_s = ?3, is_expiry_off = ?4," \
	    " is_expiry_warned = 0 WHERE tailnet_id = ?1 AND id = ?2") \
	X(NODE_SET_WARNED, "UPDATE nodes SET is_expiry_warned = 1 WHERE tailnet_id = ?1 AND id = ?2") \
	X(NODE_SET_JOIN, "UPDATE nodes SET is_ephemeral = ?3, is_authorized = ?4, authkey_id = ?5" \
	    " WHERE tailnet_id = ?1 AND id = ?2") \
	X(NODE_DEL, "DELETE FROM nodes WHERE tailnet_id = ? AND id = ?") \
	X(STATE_ADD, "INSERT INTO node_state (node_id, hostinfo, disco_key, endpoints, home_derp," \
	    " cap_version, last_seen_unix_s, is_online) VALUES (?,?,?,?,?,?,?,?)") \
	X(STATE_SET, "UPDATE node_state SET hostinfo = ?2, disco_key = ?3, endpoints = ?4," \
	    " home_derp = ?5, cap_version = ?6, last_seen_unix_s = ?7, is_online = ?8" \
	    " WHERE node_id = ?1") \
	X(AUDIT, "INSERT INTO audit (tailnet_id, at_unix_s, actor, source, what, target, before," \
	    " after) VALUES (?,?,?,?,?,?,?,?)")

enum statement {
#define X(name, sql) Q_##name,
	STATEMENT_TABLE(X)
#undef X
	Q_COUNT
};

static const char *const sql_of[] = {
#define X(name, sql) [Q_##name] = sql,
	STATEMENT_TABLE(X)
#undef X
};

#define STORE_SQL_MAGIC 0x5a1c0001u

struct store_sql {
	uint32_t magic;
	sqlite3 *db;
	sqlite3_stmt *q[Q_COUNT];
	struct store_cred *cred;	/* owned, both: statements of their own */
	struct store_join *join;
	int64_t tailnet_id;		/* of the transaction being written */
	/* a statement being bound */
	sqlite3_stmt *at;
	int arg;
	/* injected faults */
	atomic_int steps, fail_at, fail_rc, fail_is_lasting;
};

enum err
store_sql_new(sqlite3 *db, struct store_sql **out, struct err_text *why)
{
	struct store_sql *q = obj_alloc(sizeof(*q));

	q->magic = STORE_SQL_MAGIC;
	q->db = db;
	for (int i = 0; i < Q_COUNT; i++) {
		if (sqlite3_prepare_v3(db, sql_of[i], -1, SQLITE_PREPARE_PERSISTENT, &q->q[i],
		    NULL) != SQLITE_OK) {
			err_say(why, ERR_IO, "the database does not fit: %s", sqlite3_errmsg(db));
			store_sql_free(q);
			return ERR_IO;
		}
	}
	if (store_cred_new(db, &q->cred, why) != ERR_OK ||
	    store_join_new(db, &q->join, why) != ERR_OK) {
		store_sql_free(q);
		return ERR_IO;
	}
	*out = q;
	return ERR_OK;
}

void
store_sql_free(struct store_sql *q)
{
	if (q == NULL)
		return;
	OBJ_CHECK(q, STORE_SQL_MAGIC);
	for (int i = 0; i < Q_COUNT; i++)
		sqlite3_finalize(q->q[i]);
	store_cred_free(q->cred);
	store_join_free(q->join);
	ASSERT(sqlite3_close(q->db) == SQLITE_OK);
	q->magic = 0;
	free(q);
}

sqlite3 *
store_sql_db(struct store_sql *q)
{
	return q->db;
}

void
store_sql_test_fail(struct store_sql *q, int n, int sqlite_rc, int is_lasting)
{
	atomic_store(&q->fail_rc, sqlite_rc);
	atomic_store(&q->fail_is_lasting, is_lasting);
	atomic_store(&q->fail_at, n == 0 ? 0 : atomic_load(&q->steps) + n);
}

int
store_sql_test_steps(struct store_sql *q)
{
	return atomic_load(&q->steps);
}

/* The code to fail this step with, or SQLITE_OK. */
static int
injected_fault(struct store_sql *q)
{
	int step = atomic_fetch_add(&q->steps, 1) + 1;
	int at = atomic_load(&q->fail_at);

	if (at == 0 || step < at || (step > at && !atomic_load(&q->fail_is_lasting)))
		return SQLITE_OK;
	return atomic_load(&q->fail_rc);
}

/* SQLite's codes as ours. A constraint is ERR_EXISTS. Corruption ends the process: memory may be
 * newer than what could be saved, and every further write would make it worse. */
static enum err
sql_err(struct store_sql *q, int sqlite_rc, struct err_text *why)
{
	switch (sqlite_rc & 0xff) {
	case SQLITE_CONSTRAINT:
		return err_say(why, ERR_EXISTS, "the database refuses it: %s",
		    sqlite3_errmsg(q->db));
	case SQLITE_FULL:
		return err_say(why, ERR_FULL, "the server's disk is full: nothing was changed; "
		    "free some space there and try again");
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return err_say(why, ERR_BUSY, "the server's database is locked by another "
		    "program: nothing was changed; try again");
	case SQLITE_NOMEM:
		return err_say(why, ERR_NOMEM, "the server has no memory left: nothing was "
		    "changed; try again");
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		log_fatal(LOG_STORE, "the database is damaged: restore a backup",
		    sqlite3_errmsg(q->db));
	default:
		return err_say(why, ERR_IO, "the server cannot write its database (%s): nothing "
		    "was changed", sqlite3_errstr(sqlite_rc));
	}
}

/* Runs the statement q->at. */
static enum err
run(struct store_sql *q, struct err_text *why)
{
	int rc = injected_fault(q);
	enum err e = ERR_OK;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(q->at);
	if (rc != SQLITE_DONE)
		e = sql_err(q, rc, why);
	sqlite3_reset(q->at);
	sqlite3_clear_bindings(q->at);
	return e;
}

enum err
store_sql_run(struct store_sql *q, sqlite3_stmt *stmt, struct err_text *why)
{
	q->at = stmt;
	return run(q, why);
}

static void
use(struct store_sql *q, enum statement s)
{
	q->at = q->q[s];
	q->arg = 0;
}

/* Binding fails only by our own fault: wrong number, or a text beyond SQLite's limit of 1e9
 * bytes. */
static void
bind_int(struct store_sql *q, int64_t v)
{
	ASSERT(sqlite3_bind_int64(q->at, ++q->arg, v) == SQLITE_OK);
}

static void
bind_text(struct store_sql *q, const char *s)	/* NULL: NULL. Lives until run. */
{
	ASSERT(sqlite3_bind_text(q->at, ++q->arg, s, -1, SQLITE_STATIC) == SQLITE_OK);
}

static void
bind_bytes(struct store_sql *q, const void *p, size_t n)
{
	ASSERT(sqlite3_bind_blob(q->at, ++q->arg, p, (int)n, SQLITE_STATIC) == SQLITE_OK);
}

static void
bind_ip(struct store_sql *q, const struct net_ip *ip)
{
	char text[NET_TEXT_MAX];

	ASSERT(sqlite3_bind_text(q->at, ++q->arg, net_ip_put(ip, text), -1, SQLITE_TRANSIENT) ==
	    SQLITE_OK);
}

static void
bind_tags(struct store_sql *q, char *const *tags, unsigned n)
{
	struct buf b = { 0 };

	tag_list_put(&b, tags, n);
	ASSERT(sqlite3_bind_text(q->at, ++q->arg, (char *)b.p, (int)b.len, SQLITE_TRANSIENT) ==
	    SQLITE_OK);
	buf_fini(&b);
}

static enum err
simple(struct store_sql *q, enum statement s, struct err_text *why)
{
	use(q, s);
	return run(q, why);
}

/* A change of one row, which must be there. */
static enum err
run_on_one(struct store_sql *q, const char *noun, struct err_text *why)
{
	enum err rc = run(q, why);

	if (rc == ERR_OK && sqlite3_changes(q->db) != 1)
		rc = err_say(why, ERR_NOTFOUND, "the %s is not there any more", noun);
	return rc;
}

static enum err
put_user_add(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	const struct user *u = &m->u.user;

	use(q, Q_USER_ADD);
	bind_int(q, q->tailnet_id);
	bind_int(q, u->id);
	bind_text(q, u->name);
	bind_text(q, u->display_name);
	bind_text(q, user_role_word(u->role));
	bind_int(q, u->created_unix_s);
	return run(q, why);
}

static enum err
put_user(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	use(q, m->kind == MUTATION_USER_NAME ? Q_USER_NAME : m->kind == MUTATION_USER_ROLE ?
	    Q_USER_ROLE : Q_USER_DEL);
	bind_int(q, q->tailnet_id);
	bind_int(q, m->u.user.id);
	if (m->kind == MUTATION_USER_NAME)
		bind_text(q, m->u.user.name);
	else if (m->kind == MUTATION_USER_ROLE)
		bind_text(q, user_role_word(m->u.user.role));
	return run_on_one(q, "user", why);
}

static enum err
put_key_add(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	const struct authkey *k = &m->u.key;

	use(q, Q_KEY_ADD);
	bind_int(q, q->tailnet_id);
	bind_text(q, k->id);
	bind_int(q, k->user_id);
	bind_bytes(q, k->secret_hash, sizeof(k->secret_hash));
	bind_text(q, k->description);
	bind_tags(q, k->tags, k->n_tags);
	bind_int(q, k->is_reusable);
	bind_int(q, k->is_ephemeral);
	bind_int(q, k->is_preauthorized);
	bind_int(q, k->created_unix_s);
	bind_int(q, k->expires_unix_s);
	bind_int(q, k->revoked_unix_s);
	bind_int(q, k->last_used_unix_s);
	bind_int(q, k->uses);
	return run(q, why);
}

static enum err
put_key(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	enum err rc;

	use(q, m->kind == MUTATION_KEY_USE ? Q_KEY_USE : m->kind == MUTATION_KEY_REVOKE ?
	    Q_KEY_REVOKE : Q_KEY_DEL);
	bind_int(q, q->tailnet_id);
	bind_text(q, m->u.key.id);
	if (m->kind != MUTATION_KEY_DEL)
		bind_int(q, m->at_unix_s);
	rc = run_on_one(q, "auth key", why);
	if (rc == ERR_NOTFOUND && m->kind == MUTATION_KEY_USE)
		rc = err_say(why, ERR_DENIED, "auth key %s was used up, revoked or removed just now: "
		    "make a new one with `fairlead keys create`", m->u.key.id);
	return rc;
}

/* Endpoints as JSON: ["192.0.2.1:41641/2"], the number is the type. */
static void
endpoints_put(struct buf *b, const struct node *n)
{
	struct json_writer w;
	char addr[NET_TEXT_MAX], text[NET_TEXT_MAX + 8];

	json_w_init(&w, b);
	json_w_arr_open(&w, NULL);
	for (unsigned i = 0; i < n->n_endpoints; i++) {
		snprintf(text, sizeof(text), "%s/%u", net_addr_put(&n->endpoints[i].addr, addr),
		    n->endpoints[i].type);
		json_w_str(&w, NULL, text);
	}
	json_w_arr_close(&w);
}

static enum err
put_state(struct store_sql *q, enum statement s, const struct node *n, struct err_text *why)
{
	struct buf endpoints = { 0 };
	enum err rc;

	endpoints_put(&endpoints, n);
	use(q, s);
	bind_int(q, n->id);
	ASSERT(sqlite3_bind_text(q->at, ++q->arg, (const char *)n->host->json->bytes,
	    (int)n->host->json->len, SQLITE_STATIC) == SQLITE_OK);
	bind_bytes(q, n->disco_key.b, KEY_BYTES);
	bind_text(q, buf_cstr(&endpoints));
	bind_int(q, n->home_derp);
	bind_int(q, n->cap_version);
	bind_int(q, n->last_seen_unix_s);
	bind_int(q, n->is_online);
	rc = run(q, why);	/* of a node that has gone: no row, no matter */
	buf_fini(&endpoints);
	return rc;
}

static enum err
put_node_add(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	const struct node *n = &m->u.node;
	enum err rc;

	if ((rc = store_join_wake(q->join, q, q->tailnet_id, n, why)) != ERR_OK)
		return rc;
	use(q, Q_NODE_ADD);
	bind_int(q, q->tailnet_id);
	bind_int(q, n->id);
	bind_int(q, n->user_id);
	bind_bytes(q, n->machine_key.b, KEY_BYTES);
	bind_bytes(q, n->node_key.b, KEY_BYTES);
	bind_text(q, n->name);
	bind_int(q, n->is_name_given);
	bind_ip(q, &n->ip4);
	bind_ip(q, &n->ip6);
	bind_tags(q, n->tags, n->n_tags);
	bind_int(q, n->created_unix_s);
	bind_int(q, n->key_expiry_unix_s);
	bind_int(q, n->is_expiry_off);
	bind_int(q, n->is_ephemeral);
	bind_int(q, n->is_authorized);
	bind_text(q, n->authkey_id);
	if ((rc = run(q, why)) != ERR_OK)
		return rc;
	return put_state(q, Q_STATE_ADD, n, why);
}

/* One group of fields. */
static enum err
put_node_group(struct store_sql *q, enum node_group group, const struct node *n,
	struct err_text *why)
{
	use(q, group == NODE_GROUP_KEY ? Q_NODE_SET_KEY : group == NODE_GROUP_NAME ?
	    Q_NODE_SET_NAME : group == NODE_GROUP_OWNER ? Q_NODE_SET_OWNER :
	    group == NODE_GROUP_EXPIRY ? Q_NODE_SET_EXPIRY : group == NODE_GROUP_WARNED ?
	    Q_NODE_SET_WARNED : Q_NODE_SET_JOIN);
	bind_int(q, q->tailnet_id);
	bind_int(q, n->id);
	switch (group) {
	case NODE_GROUP_KEY:
		bind_bytes(q, n->node_key.b, KEY_BYTES);
		break;
	case NODE_GROUP_NAME:
		bind_text(q, n->name);
		bind_int(q, n->is_name_given);
		break;
	case NODE_GROUP_OWNER:
		bind_int(q, n->user_id);
		bind_tags(q, n->tags, n->n_tags);
		break;
	case NODE_GROUP_EXPIRY:
		bind_int(q, n->key_expiry_unix_s);
		bind_int(q, n->is_expiry_off);
		break;
	case NODE_GROUP_IP:
	case NODE_GROUP_WARNED:
		break;
	case NODE_GROUP_JOIN:
	case NODE_GROUP_ALL:
		bind_int(q, n->is_ephemeral);
		bind_int(q, n->is_authorized);
		bind_text(q, n->authkey_id);
		break;
	}
	return run_on_one(q, "node", why);
}

static enum err
put_node_set(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	enum err rc = ERR_OK;

	for (uint32_t g = 1; rc == ERR_OK && g < NODE_GROUP_ALL; g <<= 1) {
		if (m->groups & g & NODE_GROUP_IP)
			rc = store_join_put(q->join, q, q->tailnet_id, m, why);
		else if (m->groups & g)
			rc = put_node_group(q, (enum node_group)g, &m->u.node, why);
	}
	return rc;
}

static enum err
put_node_del(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	enum err rc = store_join_rest(q->join, q, q->tailnet_id, m, why);

	if (rc != ERR_OK)
		return rc;
	use(q, Q_NODE_DEL);
	bind_int(q, q->tailnet_id);
	bind_int(q, m->u.node.id);
	return run_on_one(q, "node", why);
}

static enum err
put_node_state(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return put_state(q, Q_STATE_SET, &m->u.node, why);
}

static enum err
put_cred(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return store_cred_put(q->cred, q, q->tailnet_id, m, why);
}

static enum err
put_join(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return store_join_put(q->join, q, q->tailnet_id, m, why);
}

static enum err
put_audit(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	const struct audit *a = &m->u.audit;

	use(q, Q_AUDIT);
	bind_int(q, q->tailnet_id);
	bind_int(q, m->at_unix_s);
	bind_text(q, a->actor);
	bind_text(q, a->source);
	bind_text(q, a->what);
	bind_text(q, a->target);
	bind_text(q, a->before);
	bind_text(q, a->after);
	return run(q, why);
}

typedef enum err put_fn(struct store_sql *q, const struct mutation *m, struct err_text *why);

static put_fn *const put[MUTATION_COUNT] = {
	[MUTATION_USER_ADD] = put_user_add,
	[MUTATION_USER_NAME] = put_user,
	[MUTATION_USER_ROLE] = put_user,
	[MUTATION_USER_DEL] = put_user,
	[MUTATION_KEY_ADD] = put_key_add,
	[MUTATION_KEY_USE] = put_key,
	[MUTATION_KEY_REVOKE] = put_key,
	[MUTATION_KEY_DEL] = put_key,
	[MUTATION_KEY_PLAN] = put_join,
	[MUTATION_KEY_PLAN_USE] = put_join,
	[MUTATION_KEY_PLAN_END] = put_join,
	[MUTATION_SETTING] = put_join,
	[MUTATION_NODE_ADD] = put_node_add,
	[MUTATION_NODE_SET] = put_node_set,
	[MUTATION_NODE_DEL] = put_node_del,
	[MUTATION_NODE_STATE] = put_node_state,
	[MUTATION_CRED_ADD] = put_cred,
	[MUTATION_CRED_SET] = put_cred,
	[MUTATION_CRED_USE] = put_cred,
	[MUTATION_CRED_REVOKE] = put_cred,
	[MUTATION_CRED_DEL] = put_cred,
	[MUTATION_PRUNE] = put_cred,
	[MUTATION_AUDIT] = put_audit,
};

enum err
store_sql_begin(struct store_sql *q, struct err_text *why)
{
	return simple(q, Q_BEGIN, why);
}

enum err
store_sql_commit(struct store_sql *q, struct err_text *why)
{
	return simple(q, Q_COMMIT, why);
}

void
store_sql_rollback(struct store_sql *q)
{
	if (sqlite3_get_autocommit(q->db))
		return;		/* SQLite did it itself, as it does after some errors */
	sqlite3_step(q->q[Q_ROLLBACK]);
	sqlite3_reset(q->q[Q_ROLLBACK]);
}

static bool
is_of_one_txn(enum err rc)
{
	return rc == ERR_EXISTS || rc == ERR_NOTFOUND || rc == ERR_DENIED;
}

enum err
store_sql_txn(struct store_sql *q, struct txn *x, struct err_text *why)
{
	enum err rc = simple(q, Q_SAVE, why);

	q->tailnet_id = x->tailnet_id;
	x->rc = ERR_OK;
	for (unsigned i = 0; rc == ERR_OK && i < x->n; i++)
		rc = put[x->list[i]->kind](q, x->list[i], why);
	if (is_of_one_txn(rc)) {
		x->rc = rc;
		x->why = *why;
		rc = simple(q, Q_SAVE_UNDO, why);
	}
	if (rc == ERR_OK)
		rc = simple(q, Q_SAVE_END, why);
	return rc;
}
