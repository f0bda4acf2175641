/* Credentials -> rows; what has ended -> nothing. */
#include "coord/store_cred.h"

#include "coord/cred.h"

/* X(name, SQL). ?1 is the tailnet. Sweeping is bounded: the store's other work waits for it. */
#define STATEMENT_TABLE(X) \
	X(ADD, "INSERT INTO credentials (tailnet_id, id, kind, user_id, role, parent, secret_hash," \
	    " name, description, scopes, tags, created_unix_s, expires_unix_s, revoked_unix_s," \
	    " last_used_unix_s) VALUES (?,?,?,nullif(?,0),?,nullif(?,''),?,?,?,?,?,?,?,?,?)") \
	X(SET, "UPDATE credentials SET description = ?3, scopes = ?4, tags = ?5" \
	    " WHERE tailnet_id = ?1 AND id = ?2") \
	X(USE, "UPDATE credentials SET last_used_unix_s = ?3 WHERE tailnet_id = ?1 AND id = ?2") \
	X(REVOKE, "UPDATE credentials SET revoked_unix_s = ?3 WHERE tailnet_id = ?1 AND id = ?2") \
	X(DEL, "DELETE FROM credentials WHERE tailnet_id = ?1 AND id = ?2") \
	X(PRUNE, "DELETE FROM credentials WHERE tailnet_id = ?1 AND kind NOT IN ('api', 'client')" \
	    " AND expires_unix_s <> 0 AND expires_unix_s <= ?2") \
	X(PRUNE_AUDIT, "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE tailnet_id = ?1" \
	    " AND at_unix_s < ?2 ORDER BY at_unix_s LIMIT 2000)")

enum statement { STATEMENT_TABLE(STORE_STMT_ID) Q_COUNT };
static const char *const sql_of[] = { STATEMENT_TABLE(STORE_STMT_SQL) };

enum err
store_cred_init(struct store_stmt *s, struct store_conn *conn, struct err_text *why)
{
	return store_stmt_init(s, conn, sql_of, Q_COUNT, why);
}

static void
bind_add(struct store_stmt *s, const struct cred *k)
{
	store_stmt_text(s, k->id);
	store_stmt_text(s, cred_kind_word(k->kind));
	store_stmt_int(s, k->user_id);
	store_stmt_text(s, user_role_word(k->role));
	store_stmt_text(s, k->parent);
	store_stmt_bytes(s, k->secret_hash, CRED_HASH_BYTES);
	store_stmt_text(s, k->name);
	store_stmt_text(s, k->description);
	store_stmt_text(s, k->scopes);
	store_stmt_tags(s, k->tags, k->n_tags);
	store_stmt_int(s, k->created_unix_s);
	store_stmt_int(s, k->expires_unix_s);
	store_stmt_int(s, k->revoked_unix_s);
	store_stmt_int(s, k->last_used_unix_s);
}

static enum err
put_prune(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	enum err rc;

	store_stmt_use_tailnet(s, Q_PRUNE);
	store_stmt_int(s, m->at_unix_s);
	if ((rc = store_stmt_run(s, why)) != ERR_OK)
		return rc;
	store_stmt_use_tailnet(s, Q_PRUNE_AUDIT);
	store_stmt_int(s, m->u.prune.audit_before_unix_s);
	return store_stmt_run(s, why);
}

enum err
store_cred_put(struct store_stmt *s, const struct mutation *m, struct err_text *why)
{
	const struct cred *k = &m->u.cred;

	switch (m->kind) {
	case MUTATION_CRED_ADD:
		store_stmt_use_tailnet(s, Q_ADD);
		bind_add(s, k);
		return store_stmt_run(s, why);
	case MUTATION_CRED_SET:
		store_stmt_use_tailnet(s, Q_SET);
		store_stmt_text(s, k->id);
		store_stmt_text(s, k->description);
		store_stmt_text(s, k->scopes);
		store_stmt_tags(s, k->tags, k->n_tags);
		break;
	case MUTATION_CRED_USE:
		store_stmt_use_tailnet(s, Q_USE);
		store_stmt_text(s, k->id);
		store_stmt_int(s, m->at_unix_s);
		return store_stmt_run(s, why);	/* of one that has gone: no matter */
	case MUTATION_CRED_REVOKE:
		store_stmt_use_tailnet(s, Q_REVOKE);
		store_stmt_text(s, k->id);
		store_stmt_int(s, m->at_unix_s);
		break;
	case MUTATION_CRED_DEL:
		store_stmt_use_tailnet(s, Q_DEL);
		store_stmt_text(s, k->id);
		break;
	default:
		return put_prune(s, m, why);
	}
	return store_stmt_run_one(s, "credential", why);
}
