/* The store's statements: prepared, bound, run. */
#include "coord/store_stmt.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "base/log.h"
#include "coord/route.h"
#include "coord/tag.h"

enum err
store_stmt_init(struct store_stmt *s, struct store_conn *conn, const char *const *sql, unsigned n,
	struct err_text *why)
{
	s->conn = conn;
	s->n = n;
	s->q = obj_alloc(n * sizeof(struct sqlite3_stmt *));
	for (unsigned i = 0; i < n; i++) {
		if (sqlite3_prepare_v3(conn->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &s->q[i],
		    NULL) != SQLITE_OK)
			return err_say(why, ERR_IO, "the database does not fit: %s",
			    sqlite3_errmsg(conn->db));
	}
	return ERR_OK;
}

void
store_stmt_fini(struct store_stmt *s)
{
	for (unsigned i = 0; i < s->n; i++)
		sqlite3_finalize(s->q[i]);
	free(s->q);
	*s = (struct store_stmt){ .n = 0 };
}

void
store_stmt_use(struct store_stmt *s, unsigned which)
{
	s->at = s->q[which];
	s->arg = 0;
}

void
store_stmt_use_tailnet(struct store_stmt *s, unsigned which)
{
	store_stmt_use(s, which);
	store_stmt_int(s, s->conn->tailnet_id);
}

/* Binding fails only by our own fault: wrong number, or a text beyond SQLite's limit of 1e9
 * bytes. */
void
store_stmt_int(struct store_stmt *s, int64_t v)
{
	ASSERT(sqlite3_bind_int64(s->at, ++s->arg, v) == SQLITE_OK);
}

void
store_stmt_text(struct store_stmt *s, const char *text)
{
	ASSERT(sqlite3_bind_text(s->at, ++s->arg, text, -1, SQLITE_STATIC) == SQLITE_OK);
}

void
store_stmt_text_n(struct store_stmt *s, const void *text, size_t n)
{
	ASSERT(sqlite3_bind_text(s->at, ++s->arg, text, (int)n, SQLITE_STATIC) == SQLITE_OK);
}

void
store_stmt_bytes(struct store_stmt *s, const void *p, size_t n)
{
	ASSERT(sqlite3_bind_blob(s->at, ++s->arg, p, (int)n, SQLITE_STATIC) == SQLITE_OK);
}

void
store_stmt_ip(struct store_stmt *s, const struct net_ip *ip)
{
	char text[NET_TEXT_MAX];

	ASSERT(sqlite3_bind_text(s->at, ++s->arg, net_ip_put(ip, text), -1, SQLITE_TRANSIENT) ==
	    SQLITE_OK);
}

void
store_stmt_tags(struct store_stmt *s, char *const *tags, unsigned n)
{
	struct buf b = { 0 };

	tag_list_put(&b, tags, n);
	ASSERT(sqlite3_bind_text(s->at, ++s->arg, (char *)b.p, (int)b.len, SQLITE_TRANSIENT) ==
	    SQLITE_OK);
	buf_fini(&b);
}

void
store_stmt_prefixes(struct store_stmt *s, const struct net_prefix *v, unsigned n)
{
	struct buf b = { 0 };

	route_list_put(&b, v, n);
	ASSERT(sqlite3_bind_text(s->at, ++s->arg, (char *)b.p, (int)b.len, SQLITE_TRANSIENT) ==
	    SQLITE_OK);
	buf_fini(&b);
}

/* The code to fail this step with, or SQLITE_OK. */
static int
injected_fault(struct store_conn *c)
{
	int step = atomic_fetch_add(&c->steps, 1) + 1;
	int at = atomic_load(&c->fail_at);

	if (at == 0 || step < at || (step > at && !atomic_load(&c->fail_is_lasting)))
		return SQLITE_OK;
	return atomic_load(&c->fail_rc);
}

/* SQLite's codes as ours. A constraint is ERR_EXISTS. Corruption ends the process: memory may be
 * newer than what could be saved, and every further write would make it worse. */
static enum err
sql_err(struct store_conn *c, int sqlite_rc, struct err_text *why)
{
	switch (sqlite_rc & 0xff) {
	case SQLITE_CONSTRAINT:
		return err_say(why, ERR_EXISTS, "the database refuses it: %s",
		    sqlite3_errmsg(c->db));
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
		    sqlite3_errmsg(c->db));
	default:
		return err_say(why, ERR_IO, "the server cannot write its database (%s): nothing "
		    "was changed; look at its disk", sqlite3_errstr(sqlite_rc));
	}
}

enum err
store_stmt_run(struct store_stmt *s, struct err_text *why)
{
	int rc = injected_fault(s->conn);
	enum err e = ERR_OK;

	if (rc == SQLITE_OK)
		rc = sqlite3_step(s->at);
	if (rc != SQLITE_DONE)
		e = sql_err(s->conn, rc, why);
	sqlite3_reset(s->at);
	sqlite3_clear_bindings(s->at);
	return e;
}

enum err
store_stmt_run_one(struct store_stmt *s, const char *noun, struct err_text *why)
{
	enum err rc = store_stmt_run(s, why);

	if (rc == ERR_OK && sqlite3_changes(s->conn->db) != 1)
		rc = err_say(why, ERR_NOTFOUND, "the %s is not there any more", noun);
	return rc;
}
