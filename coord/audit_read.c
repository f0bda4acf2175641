/* Audit rows -> records. */
#include "coord/audit_read.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>

#define COLUMNS "SELECT id, at_unix_s, actor, source, what, target, before, after FROM audit "
#define NEWEST	" AND id < ?2 ORDER BY id DESC LIMIT ?3"

enum { BY_NOTHING, BY_ACTOR, BY_OBJECT, BY_BOTH, N_QUERIES };

/* Each by its index. */
static const char *const sql_of[N_QUERIES] = {
	[BY_NOTHING] = COLUMNS "INDEXED BY audit_newest WHERE tailnet_id = ?1" NEWEST,
	[BY_ACTOR] = COLUMNS "INDEXED BY audit_actor WHERE tailnet_id = ?1 AND actor = ?4" NEWEST,
	[BY_OBJECT] = COLUMNS "INDEXED BY audit_target WHERE tailnet_id = ?1 AND target = ?5" NEWEST,
	/* An object has few records. */
	[BY_BOTH] = COLUMNS "INDEXED BY audit_target WHERE tailnet_id = ?1 AND actor = ?4 AND target = ?5"
	    NEWEST,
};

struct audit_reader {
	sqlite3 *db;
	int64_t tailnet_id;
	sqlite3_stmt *q[N_QUERIES];
};

enum err
audit_reader_new(const char *path, int64_t tailnet_id, struct audit_reader **out, struct err_text *why)
{
	struct audit_reader *r = obj_alloc(sizeof(*r));
	bool is_ok = sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) ==
	    SQLITE_OK;

	r->tailnet_id = tailnet_id;
	for (int i = 0; i < N_QUERIES && is_ok; i++)
		is_ok = sqlite3_prepare_v3(r->db, sql_of[i], -1, SQLITE_PREPARE_PERSISTENT, &r->q[i],
		    NULL) == SQLITE_OK;
	if (!is_ok) {
		err_say(why, ERR_IO, "the audit record cannot be read: %s", sqlite3_errmsg(r->db));
		audit_reader_free(r);
		return ERR_IO;
	}
	*out = r;
	return ERR_OK;
}

void
audit_reader_free(struct audit_reader *r)
{
	if (r == NULL)
		return;
	for (int i = 0; i < N_QUERIES; i++)
		sqlite3_finalize(r->q[i]);
	sqlite3_close(r->db);
	free(r);
}

static const char *
text_at(sqlite3_stmt *q, int column)
{
	return (const char *)sqlite3_column_text(q, column);
}

static enum err
walk(struct audit_reader *r, sqlite3_stmt *q, audit_record_fn *fn, void *arg, struct err_text *why)
{
	int step;

	while ((step = sqlite3_step(q)) == SQLITE_ROW) {
		struct audit_record record = {
			.id = sqlite3_column_int64(q, 0), .at_unix_s = sqlite3_column_int64(q, 1),
			.actor = text_at(q, 2), .source = text_at(q, 3), .what = text_at(q, 4),
			.object = text_at(q, 5), .before = text_at(q, 6), .after = text_at(q, 7),
		};
		fn(arg, &record);
	}
	return step == SQLITE_DONE ? ERR_OK :
	    err_say(why, ERR_IO, "the audit record cannot be read: %s", sqlite3_errmsg(r->db));
}

enum err
audit_read(struct audit_reader *r, const struct audit_query *query, audit_record_fn *fn, void *arg,
	struct err_text *why)
{
	int which = (query->actor != NULL ? BY_ACTOR : 0) | (query->object != NULL ? BY_OBJECT : 0);
	sqlite3_stmt *q = r->q[which];
	unsigned limit = query->limit < AUDIT_READ_MAX ? query->limit : AUDIT_READ_MAX;
	enum err rc;

	ASSERT(sqlite3_bind_int64(q, 1, r->tailnet_id) == SQLITE_OK &&
	    sqlite3_bind_int64(q, 2, query->before > 0 ? query->before : INT64_MAX) == SQLITE_OK &&
	    sqlite3_bind_int64(q, 3, limit) == SQLITE_OK);
	if (query->actor != NULL)
		ASSERT(sqlite3_bind_text(q, 4, query->actor, -1, SQLITE_STATIC) == SQLITE_OK);
	if (query->object != NULL)
		ASSERT(sqlite3_bind_text(q, 5, query->object, -1, SQLITE_STATIC) == SQLITE_OK);
	rc = walk(r, q, fn, arg, why);
	sqlite3_reset(q);
	sqlite3_clear_bindings(q);
	return rc;
}
