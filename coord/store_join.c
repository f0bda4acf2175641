/* Settings, plans, addresses -> rows. */
#include "coord/store_join.h"

#include <stdio.h>

#include "coord/ipam.h"
#include "coord/tailnet.h"

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

enum statement { STATEMENT_TABLE(STORE_STMT_ID) Q_COUNT };
static const char *const sql_of[] = { STATEMENT_TABLE(STORE_STMT_SQL) };

enum err
store_join_init(struct store_stmt *s, struct store_conn *conn, struct err_text *why)
{
	return store_stmt_init(s, conn, sql_of, Q_COUNT, why);
}

/* Addresses rest no longer: somebody has them, or will. */
static enum err
wake(struct store_stmt *s, const struct net_ip *ip4, const struct net_ip *ip6, struct err_text *why)
{
	store_stmt_use_tailnet(s, Q_WAKE);
	store_stmt_ip(s, ip4);
	store_stmt_ip(s, ip6);
	return store_stmt_run(s, why);
}

/* The node's addresses, other than those that it will have (NULL: none), rest from now on. */
static enum err
rest(struct store_stmt *s, const struct mutation *m, const struct node *next, struct err_text *why)
{
	enum err rc = ERR_OK;

	for (int i = 0; rc == ERR_OK && i < 2; i++) {
		store_stmt_use_tailnet(s, i == 0 ? Q_REST4 : Q_REST6);
		store_stmt_int(s, m->u.node.id);
		store_stmt_int(s, m->at_unix_s);
		if (next == NULL)
			store_stmt_text(s, "");
		else
			store_stmt_ip(s, i == 0 ? &next->ip4 : &next->ip6);
		rc = store_stmt_run(s, why);
	}
	return rc;
}

static enum err
put_plan(struct store_stmt *s, const struct authkey *k, struct err_text *why)
{
	enum err rc = wake(s, &k->plan.ip4, &k->plan.ip6, why);

	if (rc != ERR_OK)
		return rc;
	store_stmt_use_tailnet(s, Q_PLAN);
	store_stmt_text(s, k->id);
	store_stmt_text(s, k->plan.name);
	store_stmt_ip(s, &k->plan.ip4);
	store_stmt_ip(s, &k->plan.ip6);
	return store_stmt_run(s, why);
}

static enum err
put_plan_end(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	enum err rc;

	store_stmt_use_tailnet(s, Q_PLAN_END);
	store_stmt_text(s, m->u.key.id);
	if (m->kind == MUTATION_KEY_PLAN_END)
		return store_stmt_run(s, why);	/* used or ended already: no matter */
	if ((rc = store_stmt_run_one(s, "plan", why)) == ERR_NOTFOUND)
		rc = err_say(why, ERR_NOTFOUND, "what was planned for auth key %s is not there any more",
		    m->u.key.id);
	return rc;
}

static enum err
put_node_ip(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	const struct node *n = &m->u.node;
	enum err rc = wake(s, &n->ip4, &n->ip6, why);

	if (rc == ERR_OK)
		rc = rest(s, m, n, why);
	if (rc != ERR_OK)
		return rc;
	store_stmt_use_tailnet(s, Q_NODE_IP);
	store_stmt_int(s, n->id);
	store_stmt_ip(s, &n->ip4);
	store_stmt_ip(s, &n->ip6);
	return store_stmt_run_one(s, "node", why);
}

enum err
store_join_wake(struct store_stmt *s, const struct node *n, struct err_text *why)
{
	return wake(s, &n->ip4, &n->ip6, why);
}

enum err
store_join_rest(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	enum err rc;

	store_stmt_use_tailnet(s, Q_PRUNE);
	store_stmt_int(s, m->at_unix_s - IPAM_REST_S);
	rc = store_stmt_run(s, why);
	return rc == ERR_OK ? rest(s, m, NULL, why) : rc;
}

static enum err
put_setting(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	char value[24];

	snprintf(value, sizeof(value), "%lld", (long long)m->u.setting.value);
	store_stmt_use_tailnet(s, Q_SETTING);
	store_stmt_text(s, m->u.setting.name);
	store_stmt_text(s, value);
	return store_stmt_run(s, why);
}

static enum err
put_dns(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	store_stmt_use_tailnet(s, Q_SETTING);
	store_stmt_text(s, TAILNET_SETTING_DNS);
	store_stmt_text(s, m->u.dns.json);
	return store_stmt_run(s, why);
}

enum err
store_join_put(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	switch (m->kind) {
	case MUTATION_KEY_PLAN:
		return put_plan(s, &m->u.key, why);
	case MUTATION_KEY_PLAN_USE:
	case MUTATION_KEY_PLAN_END:
		return put_plan_end(s, m, why);
	case MUTATION_SETTING:
		return put_setting(s, m, why);
	case MUTATION_DNS:
		return put_dns(s, m, why);
	default:
		return put_node_ip(s, m, why);
	}
}
