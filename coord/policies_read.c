/* Rows -> versions of the policy. */
#include "coord/policies_read.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>

struct policies_reader {
	sqlite3 *db;
	int64_t tailnet_id;
	sqlite3_stmt *list, *text;
};

enum err
policies_reader_new(const char *path, int64_t tailnet_id, struct policies_reader **out, struct err_text *why)
{
	static const char list[] = "SELECT version, made_unix_s, author, comment, confirm_by_unix_s,"
	    " reverts_to, length(text) FROM policies WHERE tailnet_id = ?1 AND version < ?2"
	    " ORDER BY version DESC LIMIT ?3";
	static const char text[] = "SELECT text FROM policies WHERE tailnet_id = ?1 AND version = ?2";
	struct policies_reader *r = obj_alloc(sizeof(*r));

	r->tailnet_id = tailnet_id;
	if (sqlite3_open_v2(path, &r->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v3(r->db, list, -1, SQLITE_PREPARE_PERSISTENT, &r->list, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v3(r->db, text, -1, SQLITE_PREPARE_PERSISTENT, &r->text, NULL) != SQLITE_OK) {
		err_say(why, ERR_IO, "the policy's versions cannot be read: %s", sqlite3_errmsg(r->db));
		policies_reader_free(r);
		return ERR_IO;
	}
	*out = r;
	return ERR_OK;
}

void
policies_reader_free(struct policies_reader *r)
{
	if (r == NULL)
		return;
	sqlite3_finalize(r->list);
	sqlite3_finalize(r->text);
	sqlite3_close(r->db);
	free(r);
}

static enum err
failed(struct policies_reader *r, struct err_text *why)
{
	return err_say(why, ERR_IO, "the policy's versions cannot be read: %s", sqlite3_errmsg(r->db));
}

enum err
policies_read(struct policies_reader *r, int64_t before, unsigned limit, policies_record_fn *fn, void *arg,
	struct err_text *why)
{
	sqlite3_stmt *q = r->list;
	enum err rc = ERR_OK;
	int step;

	ASSERT(sqlite3_bind_int64(q, 1, r->tailnet_id) == SQLITE_OK &&
	    sqlite3_bind_int64(q, 2, before > 0 ? before : INT64_MAX) == SQLITE_OK &&
	    sqlite3_bind_int64(q, 3, limit < POLICIES_READ_MAX ? limit : POLICIES_READ_MAX) == SQLITE_OK);
	while ((step = sqlite3_step(q)) == SQLITE_ROW) {
		struct policies_record v = {
			.version = sqlite3_column_int64(q, 0), .made_unix_s = sqlite3_column_int64(q, 1),
			.author = (const char *)sqlite3_column_text(q, 2),
			.comment = (const char *)sqlite3_column_text(q, 3),
			.confirm_by_unix_s = sqlite3_column_int64(q, 4),
			.reverts_to = sqlite3_column_int64(q, 5),
			.n_bytes = (size_t)sqlite3_column_int64(q, 6),
		};
		fn(arg, &v);
	}
	if (step != SQLITE_DONE)
		rc = failed(r, why);
	sqlite3_reset(q);
	return rc;
}

enum err
policies_read_text(struct policies_reader *r, int64_t version, struct buf *out, struct err_text *why)
{
	sqlite3_stmt *q = r->text;
	enum err rc = ERR_OK;
	int step;

	if (version == 0)
		return ERR_OK;
	ASSERT(sqlite3_bind_int64(q, 1, r->tailnet_id) == SQLITE_OK &&
	    sqlite3_bind_int64(q, 2, version) == SQLITE_OK);
	step = sqlite3_step(q);
	if (step == SQLITE_ROW)
		buf_append(out, sqlite3_column_blob(q, 0), (size_t)sqlite3_column_bytes(q, 0));
	else if (step == SQLITE_DONE)
		rc = err_say(why, ERR_NOTFOUND, "there is no version %lld of the policy: `fairlead policy "
		    "history` lists them", (long long)version);
	else
		rc = failed(r, why);
	sqlite3_reset(q);
	return rc;
}
