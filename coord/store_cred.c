/* Credentials -> rows; what has ended -> nothing. */
#include "coord/store_cred.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "coord/cred.h"
#include "coord/store_sql.h"
#include "coord/tag.h"

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

struct store_cred {
	sqlite3 *db;			/* borrowed */
	sqlite3_stmt *q[Q_COUNT];
	sqlite3_stmt *at;		/* being bound */
	int arg;
};

enum err
store_cred_new(sqlite3 *db, struct store_cred **out, struct err_text *why)
{
	struct store_cred *c = obj_alloc(sizeof(*c));

	c->db = db;
	for (int i = 0; i < Q_COUNT; i++) {
		if (sqlite3_prepare_v3(db, sql_of[i], -1, SQLITE_PREPARE_PERSISTENT, &c->q[i],
		    NULL) != SQLITE_OK) {
			err_say(why, ERR_IO, "the database does not fit: %s", sqlite3_errmsg(db));
			store_cred_free(c);
			return ERR_IO;
		}
	}
	*out = c;
	return ERR_OK;
}

void
store_cred_free(struct store_cred *c)
{
	if (c == NULL)
		return;
	for (int i = 0; i < Q_COUNT; i++)
		sqlite3_finalize(c->q[i]);
	free(c);
}

static void
use(struct store_cred *c, enum statement s, int64_t tailnet_id)
{
	c->at = c->q[s];
	c->arg = 1;
	ASSERT(sqlite3_bind_int64(c->at, 1, tailnet_id) == SQLITE_OK);
}

static void
bind_int(struct store_cred *c, int64_t v)
{
	ASSERT(sqlite3_bind_int64(c->at, ++c->arg, v) == SQLITE_OK);
}

static void
bind_text(struct store_cred *c, const char *s)	/* lives until the step */
{
	ASSERT(sqlite3_bind_text(c->at, ++c->arg, s, -1, SQLITE_STATIC) == SQLITE_OK);
}

static void
bind_tags(struct store_cred *c, char *const *tags, unsigned n)
{
	struct buf b = { 0 };

	tag_list_put(&b, tags, n);
	ASSERT(sqlite3_bind_text(c->at, ++c->arg, (char *)b.p, (int)b.len, SQLITE_TRANSIENT) ==
	    SQLITE_OK);
	buf_fini(&b);
}

static void
bind_add(struct store_cred *c, const struct cred *k)
{
	bind_text(c, k->id);
	bind_text(c, cred_kind_word(k->kind));
	bind_int(c, k->user_id);
	bind_text(c, user_role_word(k->role));
	bind_text(c, k->parent);
	ASSERT(sqlite3_bind_blob(c->at, ++c->arg, k->secret_hash, CRED_HASH_BYTES, SQLITE_STATIC) ==
	    SQLITE_OK);
	bind_text(c, k->name);
	bind_text(c, k->description);
	bind_text(c, k->scopes);
	bind_tags(c, k->tags, k->n_tags);
	bind_int(c, k->created_unix_s);
	bind_int(c, k->expires_unix_s);
	bind_int(c, k->revoked_unix_s);
	bind_int(c, k->last_used_unix_s);
}

static enum err
put_prune(struct store_cred *c, struct store_sql *q, int64_t tailnet_id, const struct mutation *m,
	struct err_text *why)
{
	enum err rc;

	use(c, Q_PRUNE, tailnet_id);
	bind_int(c, m->at_unix_s);
	if ((rc = store_sql_run(q, c->at, why)) != ERR_OK)
		return rc;
	use(c, Q_PRUNE_AUDIT, tailnet_id);
	bind_int(c, m->u.prune.audit_before_unix_s);
	return store_sql_run(q, c->at, why);
}

enum err
store_cred_put(struct store_cred *c, struct store_sql *q, int64_t tailnet_id, const struct mutation *m,
	struct err_text *why)
{
	const struct cred *k = &m->u.cred;
	enum err rc;

	switch (m->kind) {
	case MUTATION_CRED_ADD:
		use(c, Q_ADD, tailnet_id);
		bind_add(c, k);
		return store_sql_run(q, c->at, why);
	case MUTATION_CRED_SET:
		use(c, Q_SET, tailnet_id);
		bind_text(c, k->id);
		bind_text(c, k->description);
		bind_text(c, k->scopes);
		bind_tags(c, k->tags, k->n_tags);
		break;
	case MUTATION_CRED_USE:
	case MUTATION_CRED_REVOKE:
		use(c, m->kind == MUTATION_CRED_USE ? Q_USE : Q_REVOKE, tailnet_id);
		bind_text(c, k->id);
		bind_int(c, m->at_unix_s);
		break;
	case MUTATION_CRED_DEL:
		use(c, Q_DEL, tailnet_id);
		bind_text(c, k->id);
		break;
	default:
		return put_prune(c, q, tailnet_id, m, why);
	}
	rc = store_sql_run(q, c->at, why);
	if (rc == ERR_OK && m->kind != MUTATION_CRED_USE && sqlite3_changes(c->db) != 1)
		rc = err_say(why, ERR_NOTFOUND, "the credential is not there any more");
	return rc;
}
