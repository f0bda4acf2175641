/* Settings, plans, addresses -> rows. */
#include "coord/store_join.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "coord/ipam.h"
#include "coord/store_sql.h"

/* X(name, SQL). ?1 is the tailnet. */
#define STATEMENT_TABLE(X) \
	X(SETTING, "INSERT INTO settings (tailnet_id, name, value) VALUES (?1, ?2, ?3)" \
	    " ON CONFLICT (tailnet_id, name) DO UPDATE SET value = ?3") \
	X(PLAN, "INSERT INTO node_plans (tailnet_id, key_id, name, ip4, ip6) VALUES (?,?,?,?,?)") \
	X(PLAN_END, "DELETE FROM node_plans WHERE tailnet_id = ?1 AND key_id = ?2") \
	X(WAKE, "DELETE FROM address_history WHERE tailnet_id = ?1 AND ip IN (?2, ?3)") \
	X(PRUNE, "DELETE FROM address_history WHERE tailnet_id = ?1 AND released_unix_s <= ?2") \
	X(REST4, "INSERT INTO address_history (tailnet_id, ip, released_unix_s)" \
	    " SELECT tailnet_id, ip4, ?3 FROM nodes WHERE tailnet_id = ?1 AND id = ?2 AND ip4 <> ?4") \
	X(REST6, "INSERT INTO address_history (tailnet_id, ip, released_unix_s)" \
	    " SELECT tailnet_id, ip6, ?3 FROM nodes WHERE tailnet_id = ?1 AND id = ?2 AND ip6 <> ?4") \
	X(NODE_IP, "UPDATE nodes SET ip4 = ?3, ip6 = ?4 WHERE tailnet_id = ?1 AND id = ?2")

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

struct store_join {
	sqlite3 *db;			/* borrowed */
	struct store_sql *sql;		/* borrowed, during a put */
	sqlite3_stmt *q[Q_COUNT];
	sqlite3_stmt *at;		/* being bound */
	int arg;
};

enum err
store_join_new(sqlite3 *db, struct store_join **out, struct err_text *why)
{
	struct store_join *j = obj_alloc(sizeof(*j));

	j->db = db;
	for (int i = 0; i < Q_COUNT; i++) {
		if (sqlite3_prepare_v3(db, sql_of[i], -1, SQLITE_PREPARE_PERSISTENT, &j->q[i],
		    NULL) != SQLITE_OK) {
			err_say(why, ERR_IO, "the database does not fit: %s", sqlite3_errmsg(db));
			store_join_free(j);
			return ERR_IO;
		}
	}
	*out = j;
	return ERR_OK;
}

void
store_join_free(struct store_join *j)
{
	if (j == NULL)
		return;
	for (int i = 0; i < Q_COUNT; i++)
		sqlite3_finalize(j->q[i]);
	free(j);
}

static void
use(struct store_join *j, enum statement s, int64_t tailnet_id)
{
	j->at = j->q[s];
	j->arg = 1;
	ASSERT(sqlite3_bind_int64(j->at, 1, tailnet_id) == SQLITE_OK);
}

static void
bind_int(struct store_join *j, int64_t v)
{
	ASSERT(sqlite3_bind_int64(j->at, ++j->arg, v) == SQLITE_OK);
}

static void
bind_text(struct store_join *j, const char *s)
{
	ASSERT(sqlite3_bind_text(j->at, ++j->arg, s, -1, SQLITE_TRANSIENT) == SQLITE_OK);
}

static void
bind_ip(struct store_join *j, const struct net_ip *ip)
{
	char text[NET_TEXT_MAX];

	bind_text(j, net_ip_put(ip, text));
}

static enum err
run(struct store_join *j, struct err_text *why)
{
	return store_sql_run(j->sql, j->at, why);
}

/* Addresses rest no longer: somebody has them, or will. */
static enum err
wake(struct store_join *j, int64_t tailnet_id, const struct net_ip *ip4, const struct net_ip *ip6,
	struct err_text *why)
{
	use(j, Q_WAKE, tailnet_id);
	bind_ip(j, ip4);
	bind_ip(j, ip6);
	return run(j, why);
}

/* The node's addresses, other than those that it will have (NULL: none), rest from now on. */
static enum err
rest(struct store_join *j, int64_t tailnet_id, const struct mutation *m, const struct node *next,
	struct err_text *why)
{
	enum err rc = ERR_OK;

	for (int i = 0; rc == ERR_OK && i < 2; i++) {
		use(j, i == 0 ? Q_REST4 : Q_REST6, tailnet_id);
		bind_int(j, m->u.node.id);
		bind_int(j, m->at_unix_s);
		if (next == NULL)
			bind_text(j, "");
		else
			bind_ip(j, i == 0 ? &next->ip4 : &next->ip6);
		rc = run(j, why);
	}
	return rc;
}

static enum err
put_plan(struct store_join *j, int64_t tailnet_id, const struct authkey *k, struct err_text *why)
{
	enum err rc = wake(j, tailnet_id, &k->plan.ip4, &k->plan.ip6, why);

	if (rc != ERR_OK)
		return rc;
	use(j, Q_PLAN, tailnet_id);
	bind_text(j, k->id);
	bind_text(j, k->plan.name);
	bind_ip(j, &k->plan.ip4);
	bind_ip(j, &k->plan.ip6);
	return run(j, why);
}

static enum err
put_plan_end(struct store_join *j, int64_t tailnet_id, const struct mutation *m, struct err_text *why)
{
	enum err rc;

	use(j, Q_PLAN_END, tailnet_id);
	bind_text(j, m->u.key.id);
	rc = run(j, why);
	if (rc == ERR_OK && m->kind == MUTATION_KEY_PLAN_USE && sqlite3_changes(j->db) != 1)
		rc = err_say(why, ERR_NOTFOUND, "what was planned for auth key %s is not there any more",
		    m->u.key.id);
	return rc;
}

static enum err
put_node_ip(struct store_join *j, int64_t tailnet_id, const struct mutation *m, struct err_text *why)
{
	const struct node *n = &m->u.node;
	enum err rc = wake(j, tailnet_id, &n->ip4, &n->ip6, why);

	if (rc == ERR_OK)
		rc = rest(j, tailnet_id, m, n, why);
	if (rc != ERR_OK)
		return rc;
	use(j, Q_NODE_IP, tailnet_id);
	bind_int(j, n->id);
	bind_ip(j, &n->ip4);
	bind_ip(j, &n->ip6);
	rc = run(j, why);
	if (rc == ERR_OK && sqlite3_changes(j->db) != 1)
		rc = err_say(why, ERR_NOTFOUND, "the node is not there any more");
	return rc;
}

enum err
store_join_wake(struct store_join *j, struct store_sql *q, int64_t tailnet_id, const struct node *n,
	struct err_text *why)
{
	j->sql = q;
	return wake(j, tailnet_id, &n->ip4, &n->ip6, why);
}

enum err
store_join_rest(struct store_join *j, struct store_sql *q, int64_t tailnet_id,
	const struct mutation *m, struct err_text *why)
{
	enum err rc;

	j->sql = q;
	use(j, Q_PRUNE, tailnet_id);
	bind_int(j, m->at_unix_s - IPAM_REST_S);
	rc = run(j, why);
	return rc == ERR_OK ? rest(j, tailnet_id, m, NULL, why) : rc;
}

static enum err
put_setting(struct store_join *j, int64_t tailnet_id, const struct mutation *m, struct err_text *why)
{
	char value[24];

	snprintf(value, sizeof(value), "%lld", (long long)m->u.setting.value);
	use(j, Q_SETTING, tailnet_id);
	bind_text(j, m->u.setting.name);
	bind_text(j, value);
	return run(j, why);
}

enum err
store_join_put(struct store_join *j, struct store_sql *q, int64_t tailnet_id,
	const struct mutation *m, struct err_text *why)
{
	j->sql = q;
	switch (m->kind) {
	case MUTATION_KEY_PLAN:
		return put_plan(j, tailnet_id, &m->u.key, why);
	case MUTATION_KEY_PLAN_USE:
	case MUTATION_KEY_PLAN_END:
		return put_plan_end(j, tailnet_id, m, why);
	case MUTATION_SETTING:
		return put_setting(j, tailnet_id, m, why);
	default:
		return put_node_ip(j, tailnet_id, m, why);
	}
}
