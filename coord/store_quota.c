/* Quotas -> rows. */
#include "coord/store_quota.h"

enum statement { Q_SET, Q_DEL, Q_COUNT };

/* ?1 is the tailnet. */
static const char *const sql_of[] = {
	[Q_SET] = "INSERT INTO quotas (tailnet_id, subject, node_id, user_id, bytes_per_s)"
	    " VALUES (?1, ?2, nullif(?3, 0), nullif(?4, 0), ?5)"
	    " ON CONFLICT (tailnet_id, subject) DO UPDATE SET bytes_per_s = excluded.bytes_per_s",
	[Q_DEL] = "DELETE FROM quotas WHERE tailnet_id = ?1 AND subject = ?2",
};

enum err
store_quota_init(struct store_stmt *s, struct store_conn *conn, struct err_text *why)
{
	return store_stmt_init(s, conn, sql_of, Q_COUNT, why);
}

enum err
store_quota_put(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	const struct quota_rule *r = &m->u.quota;

	store_stmt_use_tailnet(s, m->kind == MUTATION_QUOTA_SET ? Q_SET : Q_DEL);
	store_stmt_text(s, r->subject);
	if (m->kind == MUTATION_QUOTA_SET) {
		store_stmt_int(s, r->kind == QUOTA_RULE_NODE ? r->id : 0);
		store_stmt_int(s, r->kind == QUOTA_RULE_USER ? r->id : 0);
		store_stmt_int(s, r->bytes_per_s);
		return store_stmt_run(s, why);
	}
	return store_stmt_run_one(s, "quota", why);
}
