/* Versions of the policy -> rows. */
#include "coord/store_policy.h"

/* X(name, SQL). ?1 is the tailnet. */
#define STATEMENT_TABLE(X) \
	X(ADD, "INSERT INTO policies (tailnet_id, version, made_unix_s, author, comment, confirm_by_unix_s," \
	    " reverts_to, text) VALUES (?,?,?,?,?,?,?,?)") \
	X(CONFIRM, "UPDATE policies SET confirm_by_unix_s = 0 WHERE tailnet_id = ?1 AND version = ?2")

enum statement { STATEMENT_TABLE(STORE_STMT_ID) Q_COUNT };
static const char *const sql_of[] = { STATEMENT_TABLE(STORE_STMT_SQL) };

enum err
store_policy_init(struct store_stmt *s, struct store_conn *conn, struct err_text *why)
{
	return store_stmt_init(s, conn, sql_of, Q_COUNT, why);
}

static enum err
put_add(struct store_stmt *s, const struct policy_version *v, struct err_text *why)
{
	store_stmt_use_tailnet(s, Q_ADD);
	store_stmt_int(s, v->version);
	store_stmt_int(s, v->made_unix_s);
	store_stmt_text(s, v->author);
	store_stmt_text(s, v->comment);
	store_stmt_int(s, v->confirm_by_unix_s);
	store_stmt_int(s, v->reverts_to);
	if (v->policy != NULL)
		store_stmt_bytes(s, v->policy->text, v->policy->text_bytes);
	else
		store_stmt_bytes(s, "", 0);
	return store_stmt_run(s, why);
}

enum err
store_policy_put(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	if (m->kind == MUTATION_POLICY_ADD)
		return put_add(s, &m->u.policy, why);
	store_stmt_use_tailnet(s, Q_CONFIRM);
	store_stmt_int(s, m->u.policy.version);
	return store_stmt_run_one(s, "version of the policy", why);
}
