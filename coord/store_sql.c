/* Mutations -> rows. */
#include "coord/store_sql.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "coord/route.h"
#include "coord/store_cluster.h"
#include "coord/store_cred.h"
#include "coord/store_join.h"
#include "coord/store_policy.h"
#include "coord/store_quota.h"
#include "coord/store_region.h"

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
	    " is_ephemeral, is_authorized, authkey_id, approved_routes)" \
	    " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)") \
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
	X(NODE_SET_ROUTES, "UPDATE nodes SET approved_routes = ?3 WHERE tailnet_id = ?1 AND id = ?2") \
	X(NODE_DEL, "DELETE FROM nodes WHERE tailnet_id = ? AND id = ?") \
	X(STATE_ADD, "INSERT INTO node_state (node_id, hostinfo, disco_key, endpoints, home_derp," \
	    " cap_version, last_seen_unix_s, is_online, primary_routes) VALUES (?,?,?,?,?,?,?,?,?)") \
	X(STATE_SET, "UPDATE node_state SET hostinfo = ?2, disco_key = ?3, endpoints = ?4," \
	    " home_derp = ?5, cap_version = ?6, last_seen_unix_s = ?7, is_online = ?8," \
	    " primary_routes = ?9 WHERE node_id = ?1") \
	X(AUDIT, "INSERT INTO audit (tailnet_id, at_unix_s, actor, source, what, target, before," \
	    " after) VALUES (?,?,?,?,?,?,?,?)")

enum statement { STATEMENT_TABLE(STORE_STMT_ID) Q_COUNT };
static const char *const sql_of[] = { STATEMENT_TABLE(STORE_STMT_SQL) };

#define STORE_SQL_MAGIC 0x5a1c0001u

struct store_sql {
	uint32_t magic;
	struct store_conn conn;
	struct store_stmt stmt, cred, join, policy, cluster, region, quota;
};

enum err
store_sql_new(sqlite3 *db, struct store_sql **out, struct err_text *why)
{
	struct store_sql *q = obj_alloc(sizeof(*q));

	q->magic = STORE_SQL_MAGIC;
	q->conn.db = db;
	if (store_stmt_init(&q->stmt, &q->conn, sql_of, Q_COUNT, why) != ERR_OK ||
	    store_cred_init(&q->cred, &q->conn, why) != ERR_OK ||
	    store_join_init(&q->join, &q->conn, why) != ERR_OK ||
	    store_policy_init(&q->policy, &q->conn, why) != ERR_OK ||
	    store_cluster_init(&q->cluster, &q->conn, why) != ERR_OK ||
	    store_region_init(&q->region, &q->conn, why) != ERR_OK ||
	    store_quota_init(&q->quota, &q->conn, why) != ERR_OK) {
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
	store_stmt_fini(&q->stmt);
	store_stmt_fini(&q->cred);
	store_stmt_fini(&q->join);
	store_stmt_fini(&q->policy);
	store_stmt_fini(&q->cluster);
	store_stmt_fini(&q->region);
	store_stmt_fini(&q->quota);
	ASSERT(sqlite3_close(q->conn.db) == SQLITE_OK);
	q->magic = 0;
	free(q);
}

sqlite3 *
store_sql_db(struct store_sql *q)
{
	return q->conn.db;
}

void
store_sql_test_fail(struct store_sql *q, int n, int sqlite_rc, int is_lasting)
{
	atomic_store(&q->conn.fail_rc, sqlite_rc);
	atomic_store(&q->conn.fail_is_lasting, is_lasting);
	atomic_store(&q->conn.fail_at, n == 0 ? 0 : atomic_load(&q->conn.steps) + n);
}

int
store_sql_test_steps(struct store_sql *q)
{
	return atomic_load(&q->conn.steps);
}

static enum err
simple(struct store_sql *q, enum statement s, struct err_text *why)
{
	store_stmt_use(&q->stmt, s);
	return store_stmt_run(&q->stmt, why);
}

static enum err
put_user_add(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	const struct user *u = &m->u.user;
	struct store_stmt *s = &q->stmt;

	store_stmt_use_tailnet(s, Q_USER_ADD);
	store_stmt_int(s, u->id);
	store_stmt_text(s, u->name);
	store_stmt_text(s, u->display_name);
	store_stmt_text(s, user_role_word(u->role));
	store_stmt_int(s, u->created_unix_s);
	return store_stmt_run(s, why);
}

/* A change of one user: value is ?3, NULL where there is none. */
static enum err
put_user(struct store_sql *q, enum statement which, int64_t id, const char *value,
	struct err_text *why)
{
	store_stmt_use_tailnet(&q->stmt, which);
	store_stmt_int(&q->stmt, id);
	if (value != NULL)
		store_stmt_text(&q->stmt, value);
	return store_stmt_run_one(&q->stmt, "user", why);
}

static enum err
put_user_name(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return put_user(q, Q_USER_NAME, m->u.user.id, m->u.user.name, why);
}

static enum err
put_user_role(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return put_user(q, Q_USER_ROLE, m->u.user.id, user_role_word(m->u.user.role), why);
}

static enum err
put_user_del(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return put_user(q, Q_USER_DEL, m->u.user.id, NULL, why);
}

static enum err
put_key_add(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	const struct authkey *k = &m->u.key;
	struct store_stmt *s = &q->stmt;

	store_stmt_use_tailnet(s, Q_KEY_ADD);
	store_stmt_text(s, k->id);
	store_stmt_int(s, k->user_id);
	store_stmt_bytes(s, k->secret_hash, sizeof(k->secret_hash));
	store_stmt_text(s, k->description);
	store_stmt_tags(s, k->tags, k->n_tags);
	store_stmt_int(s, k->is_reusable);
	store_stmt_int(s, k->is_ephemeral);
	store_stmt_int(s, k->is_preauthorized);
	store_stmt_int(s, k->created_unix_s);
	store_stmt_int(s, k->expires_unix_s);
	store_stmt_int(s, k->revoked_unix_s);
	store_stmt_int(s, k->last_used_unix_s);
	store_stmt_int(s, k->uses);
	return store_stmt_run(s, why);
}

/* A change of one auth key, at_unix_s is ?3 if the statement has one. */
static enum err
put_key(struct store_sql *q, enum statement which, const struct mutation *m, struct err_text *why)
{
	store_stmt_use_tailnet(&q->stmt, which);
	store_stmt_text(&q->stmt, m->u.key.id);
	if (which != Q_KEY_DEL)
		store_stmt_int(&q->stmt, m->at_unix_s);
	return store_stmt_run_one(&q->stmt, "auth key", why);
}

static enum err
put_key_use(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	enum err rc = put_key(q, Q_KEY_USE, m, why);

	if (rc == ERR_NOTFOUND)
		rc = err_say(why, ERR_DENIED, "auth key %s was used up, revoked or removed just now: "
		    "make a new one with `fairlead keys create`", m->u.key.id);
	return rc;
}

static enum err
put_key_revoke(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return put_key(q, Q_KEY_REVOKE, m, why);
}

static enum err
put_key_del(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return put_key(q, Q_KEY_DEL, m, why);
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

/* Subnet routes that it carries; those of an exit node are known without. */
static void
bind_primaries(struct store_stmt *s, const struct node *n)
{
	struct route_list l = { .n = 0 };

	for (unsigned i = 0; i < n->n_routes; i++)
		if (n->routes[i].is_primary && !route_is_exit(&n->routes[i].prefix))
			route_list_add(&l, &n->routes[i].prefix, 1);
	store_stmt_prefixes(s, l.v, l.n);
	route_list_fini(&l);
}

static enum err
put_state(struct store_sql *q, enum statement which, const struct node *n, struct err_text *why)
{
	struct store_stmt *s = &q->stmt;
	struct buf endpoints = { 0 };
	enum err rc;

	endpoints_put(&endpoints, n);
	store_stmt_use(s, which);
	store_stmt_int(s, n->id);
	store_stmt_text_n(s, n->host->json->bytes, n->host->json->len);
	store_stmt_bytes(s, n->disco_key.b, KEY_BYTES);
	store_stmt_text(s, buf_cstr(&endpoints));
	store_stmt_int(s, n->home_derp);
	store_stmt_int(s, n->cap_version);
	store_stmt_int(s, n->last_seen_unix_s);
	store_stmt_int(s, n->is_online);
	bind_primaries(s, n);
	rc = store_stmt_run(s, why);	/* of a node that has gone: no row, no matter */
	buf_fini(&endpoints);
	return rc;
}

static enum err
put_node_add(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	const struct node *n = &m->u.node;
	struct store_stmt *s = &q->stmt;
	enum err rc;

	if ((rc = store_join_wake(&q->join, n, why)) != ERR_OK)
		return rc;
	store_stmt_use_tailnet(s, Q_NODE_ADD);
	store_stmt_int(s, n->id);
	store_stmt_int(s, n->user_id);
	store_stmt_bytes(s, n->machine_key.b, KEY_BYTES);
	store_stmt_bytes(s, n->node_key.b, KEY_BYTES);
	store_stmt_text(s, n->name);
	store_stmt_int(s, n->is_name_given);
	store_stmt_ip(s, &n->ip4);
	store_stmt_ip(s, &n->ip6);
	store_stmt_tags(s, n->tags, n->n_tags);
	store_stmt_int(s, n->created_unix_s);
	store_stmt_int(s, n->key_expiry_unix_s);
	store_stmt_int(s, n->is_expiry_off);
	store_stmt_int(s, n->is_ephemeral);
	store_stmt_int(s, n->is_authorized);
	store_stmt_text(s, n->authkey_id);
	store_stmt_prefixes(s, n->approved, n->n_approved);
	if ((rc = store_stmt_run(s, why)) != ERR_OK)
		return rc;
	return put_state(q, Q_STATE_ADD, n, why);
}

static void
bind_key(struct store_stmt *s, const struct node *n)
{
	store_stmt_bytes(s, n->node_key.b, KEY_BYTES);
}

static void
bind_name(struct store_stmt *s, const struct node *n)
{
	store_stmt_text(s, n->name);
	store_stmt_int(s, n->is_name_given);
}

static void
bind_owner(struct store_stmt *s, const struct node *n)
{
	store_stmt_int(s, n->user_id);
	store_stmt_tags(s, n->tags, n->n_tags);
}

static void
bind_expiry(struct store_stmt *s, const struct node *n)
{
	store_stmt_int(s, n->key_expiry_unix_s);
	store_stmt_int(s, n->is_expiry_off);
}

static void
bind_join(struct store_stmt *s, const struct node *n)
{
	store_stmt_int(s, n->is_ephemeral);
	store_stmt_int(s, n->is_authorized);
	store_stmt_text(s, n->authkey_id);
}

static void
bind_routes(struct store_stmt *s, const struct node *n)
{
	store_stmt_prefixes(s, n->approved, n->n_approved);
}

/* How a group of fields is written; NODE_GROUP_IP takes several statements. */
static const struct {
	enum node_group group;
	enum statement statement;
	void (*bind)(struct store_stmt *s, const struct node *n);	/* from ?3 on; NULL: nothing */
} node_groups[] = {
	{ NODE_GROUP_KEY, Q_NODE_SET_KEY, bind_key },
	{ NODE_GROUP_NAME, Q_NODE_SET_NAME, bind_name },
	{ NODE_GROUP_OWNER, Q_NODE_SET_OWNER, bind_owner },
	{ NODE_GROUP_EXPIRY, Q_NODE_SET_EXPIRY, bind_expiry },
	{ NODE_GROUP_JOIN, Q_NODE_SET_JOIN, bind_join },
	{ NODE_GROUP_WARNED, Q_NODE_SET_WARNED, NULL },
	{ NODE_GROUP_ROUTES, Q_NODE_SET_ROUTES, bind_routes },
};

static enum err
put_node_set(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	enum err rc = ERR_OK;

	for (size_t i = 0; rc == ERR_OK && i < COUNT_OF(node_groups); i++) {
		if (!(m->groups & node_groups[i].group))
			continue;
		store_stmt_use_tailnet(&q->stmt, node_groups[i].statement);
		store_stmt_int(&q->stmt, m->u.node.id);
		if (node_groups[i].bind != NULL)
			node_groups[i].bind(&q->stmt, &m->u.node);
		rc = store_stmt_run_one(&q->stmt, "node", why);
	}
	if (rc == ERR_OK && (m->groups & NODE_GROUP_IP))
		rc = store_join_put(&q->join, m, why);
	return rc;
}

static enum err
put_node_del(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	struct store_stmt *s = &q->stmt;
	enum err rc = store_join_rest(&q->join, m, why);

	if (rc != ERR_OK)
		return rc;
	store_stmt_use_tailnet(s, Q_NODE_DEL);
	store_stmt_int(s, m->u.node.id);
	return store_stmt_run_one(s, "node", why);
}

static enum err
put_node_state(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return put_state(q, Q_STATE_SET, &m->u.node, why);
}

static enum err
put_cred(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return store_cred_put(&q->cred, m, why);
}

static enum err
put_join(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return store_join_put(&q->join, m, why);
}

static enum err
put_policy(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return store_policy_put(&q->policy, m, why);
}

static enum err
put_cluster(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return store_cluster_put(&q->cluster, m, why);
}

static enum err
put_region(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return store_region_put(&q->region, m, why);
}

static enum err
put_quota(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	return store_quota_put(&q->quota, m, why);
}

static enum err
put_audit(struct store_sql *q, const struct mutation *m, struct err_text *why)
{
	const struct audit *a = &m->u.audit;
	struct store_stmt *s = &q->stmt;

	store_stmt_use_tailnet(s, Q_AUDIT);
	store_stmt_int(s, m->at_unix_s);
	store_stmt_text(s, a->actor);
	store_stmt_text(s, a->source);
	store_stmt_text(s, a->what);
	store_stmt_text(s, a->target);
	store_stmt_text(s, a->before);
	store_stmt_text(s, a->after);
	return store_stmt_run(s, why);
}

typedef enum err put_fn(struct store_sql *q, const struct mutation *m, struct err_text *why);

static put_fn *const put[MUTATION_COUNT] = {
	[MUTATION_USER_ADD] = put_user_add,
	[MUTATION_USER_NAME] = put_user_name,
	[MUTATION_USER_ROLE] = put_user_role,
	[MUTATION_USER_DEL] = put_user_del,
	[MUTATION_KEY_ADD] = put_key_add,
	[MUTATION_KEY_USE] = put_key_use,
	[MUTATION_KEY_REVOKE] = put_key_revoke,
	[MUTATION_KEY_DEL] = put_key_del,
	[MUTATION_KEY_PLAN] = put_join,
	[MUTATION_KEY_PLAN_USE] = put_join,
	[MUTATION_KEY_PLAN_END] = put_join,
	[MUTATION_SETTING] = put_join,
	[MUTATION_DNS] = put_join,
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
	[MUTATION_POLICY_ADD] = put_policy,
	[MUTATION_POLICY_CONFIRM] = put_policy,
	[MUTATION_CLUSTER_ADD] = put_cluster,
	[MUTATION_CLUSTER_SET] = put_cluster,
	[MUTATION_CLUSTER_DEL] = put_cluster,
	[MUTATION_REGION_ADD] = put_region,
	[MUTATION_REGION_SET] = put_region,
	[MUTATION_REGION_DEL] = put_region,
	[MUTATION_RELAY_ADD] = put_region,
	[MUTATION_RELAY_SET] = put_region,
	[MUTATION_RELAY_DEL] = put_region,
	[MUTATION_QUOTA_SET] = put_quota,
	[MUTATION_QUOTA_DEL] = put_quota,
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
	if (sqlite3_get_autocommit(q->conn.db))
		return;		/* SQLite did it itself, as it does after some errors */
	sqlite3_step(q->stmt.q[Q_ROLLBACK]);
	sqlite3_reset(q->stmt.q[Q_ROLLBACK]);
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

	q->conn.tailnet_id = x->tailnet_id;
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
