/*
 * The database, read only and beside a server that runs: whole, of our form, addresses given once, tags
 * and times as they may be. With a server that does not run and has left no -wal it is read as an
 * unchanging
 * file, so that nothing is made beside it.
 */
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/map.h"
#include "coord/ipam.h"
#include "coord/migrate.h"
#include "coord/tag.h"
#include "server/doctor.h"

#define PATH_BYTES	4200
#define CHECK_MS	60000	/* the whole look; a big database on a slow disk is not waited for longer */
#define BUSY_MS		2000
#define PROGRESS_STEPS	100000
#define CLOCK_AHEAD_S	120	/* a record from so far in the future: the clock was set back */
#define NAMES_MAX	5	/* in one finding */

#define TODO_RESTORE "stop the server and restore a backup (fairlead restore --force); keep the damaged" \
	" files: what lies in %s.before-… is older still"

struct look {
	const struct doctor *d;
	struct doctor_report *r;
	sqlite3 *db;
	char path[PATH_BYTES];
	int64_t until_ms;
};

static int
on_progress(void *arg)
{
	const struct look *l = arg;

	return clock_mono_ms() > l->until_ms;
}

static bool
has_wal(const struct look *l)
{
	char path[PATH_BYTES + 8];
	struct stat st;

	snprintf(path, sizeof(path), "%s-wal", l->path);
	return stat(path, &st) == 0 && st.st_size > 0;
}

/* What may stand in a URI as it is. */
static void
put_uri(struct buf *b, const char *path)
{
	for (; *path != 0; path++)
		if (strchr("%?#", *path) != NULL)
			buf_printf(b, "%%%02X", (unsigned char)*path);
		else
			buf_byte(b, (uint8_t)*path);
}

static bool
look_open(struct look *l)
{
	struct buf uri = { .len = 0 };
	struct stat st;
	int rc;

	if (stat(l->path, &st) != 0) {
		doctor_bad(l->r, DOCTOR_FAIL, "database", "%s is not there", l->path);
		doctor_todo(l->r, "restore a backup, or name the right directory with --data-dir; a"
		    " server that starts without it begins anew, with no nodes");
		return false;
	}
	buf_str(&uri, "file:");
	put_uri(&uri, l->path);
	buf_str(&uri, l->d->is_running || has_wal(l) ? "?mode=ro" : "?mode=ro&immutable=1");
	rc = sqlite3_open_v2(buf_cstr(&uri), &l->db,
	    SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX,
	    NULL);
	buf_fini(&uri);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(l->db, BUSY_MS);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(l->db, "PRAGMA trusted_schema=OFF; SELECT count(*) FROM"
		    " sqlite_schema", NULL, NULL,
		    NULL);
	if (rc == SQLITE_OK) {
		sqlite3_progress_handler(l->db, PROGRESS_STEPS, on_progress, l);
		return true;
	}
	doctor_bad(l->r, rc == SQLITE_CANTOPEN ? DOCTOR_WARN : DOCTOR_FAIL, "database", "%s cannot be"
	    " read: %s",
	    l->path, sqlite3_errmsg(l->db));
	if (rc == SQLITE_CANTOPEN)
		doctor_todo(l->r, "run it with sudo, or as the server's user");
	else
		doctor_todo(l->r, TODO_RESTORE, l->path);
	return false;
}

static sqlite3_stmt *
query(const struct look *l, const char *sql)
{
	sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(l->db, sql, -1, &q, NULL) != SQLITE_OK)
		return NULL;
	return q;
}

static const char *
text(sqlite3_stmt *q, int column)
{
	const unsigned char *p = sqlite3_column_text(q, column);

	return p != NULL ? (const char *)p : "";
}

static int64_t
number(const struct look *l, const char *sql)
{
	sqlite3_stmt *q = query(l, sql);
	int64_t v = q != NULL && sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int64(q, 0) : -1;

	sqlite3_finalize(q);
	return v;
}

/* --- whole, and ours ---------------------------------------------------------------------------- */

/* false: there is no sense in reading on. */
static bool
look_whole(const struct look *l)
{
	sqlite3_stmt *q = query(l, "PRAGMA integrity_check(5)");
	int rc = q != NULL ? sqlite3_step(q) : SQLITE_ERROR;
	bool is_good = rc == SQLITE_ROW && strcmp(text(q, 0), "ok") == 0;

	if (is_good) {
		doctor_ok(l->r, "database", "whole (integrity check)");
	} else if (rc == SQLITE_INTERRUPT) {
		doctor_bad(l->r, DOCTOR_WARN, "database", "the check was given up after %d s",
		    CHECK_MS / 1000);
		doctor_todo(l->r, "the disk is slow or very busy; try `fairlead backup`, which checks"
		    " what it copies");
	} else {
		doctor_bad(l->r, DOCTOR_FAIL, "database", "damaged: %s", rc == SQLITE_ROW ? text(q, 0) :
		    sqlite3_errmsg(l->db));
		doctor_todo(l->r, TODO_RESTORE, l->path);
	}
	sqlite3_finalize(q);
	return is_good;
}

static void
look_references(const struct look *l)
{
	sqlite3_stmt *q = query(l, "PRAGMA foreign_key_check");

	if (q != NULL && sqlite3_step(q) == SQLITE_ROW) {
		doctor_bad(l->r, DOCTOR_FAIL, "references", "a row of %s belongs to one of %s that is"
		    " not there",
		    text(q, 0), text(q, 2));
		doctor_todo(l->r, "somebody wrote into the database by hand: restore a backup");
	} else {
		doctor_ok(l->r, "references", "every row has what it belongs to");
	}
	sqlite3_finalize(q);
}

/* The schema as this version makes it, up to that number. */
static sqlite3 *
model_new(unsigned version)
{
	sqlite3 *db = NULL;
	struct err_text why;

	if (sqlite3_open(":memory:", &db) == SQLITE_OK &&
	    migrate_apply_list(db, ":memory:", migrations, version, &why) == ERR_OK)
		return db;
	sqlite3_close(db);
	return NULL;
}

static bool
schema_has(sqlite3 *db, const char *type, const char *name, const char *sql)
{
	sqlite3_stmt *q = NULL;
	bool has = sqlite3_prepare_v2(db, "SELECT sql FROM sqlite_schema WHERE type = ? AND name = ?",
	    -1, &q, NULL) ==
	    SQLITE_OK && sqlite3_bind_text(q, 1, type, -1, SQLITE_STATIC) == SQLITE_OK &&
	    sqlite3_bind_text(q, 2, name, -1, SQLITE_STATIC) == SQLITE_OK &&
	    sqlite3_step(q) == SQLITE_ROW &&
	    strcmp(text(q, 0), sql) == 0;

	sqlite3_finalize(q);
	return has;
}

/* What is missing or other, into out; false: nothing. What is there besides is nobody's business. */
static bool
schema_differs(const struct look *l, unsigned version, char out[128])
{
	sqlite3 *model = model_new(version);
	sqlite3_stmt *q = NULL;
	bool differs = false;

	if (model != NULL)
		(void)sqlite3_prepare_v2(model, "SELECT type, name, sql FROM sqlite_schema WHERE sql IS"
		    " NOT NULL AND name NOT LIKE 'sqlite_%'", -1, &q, NULL);
	while (q != NULL && !differs && sqlite3_step(q) == SQLITE_ROW) {
		differs = !schema_has(l->db, text(q, 0), text(q, 1), text(q, 2));
		snprintf(out, 128, "%.40s %.80s", text(q, 0), text(q, 1));
	}
	sqlite3_finalize(q);
	sqlite3_close(model);
	return differs;
}

/* false: of another program or version: its tables cannot be read as ours. */
static bool
look_schema(const struct look *l)
{
	int64_t id = number(l, "PRAGMA application_id"), version = number(l, "PRAGMA user_version");
	char other[128];

	if (id != MIGRATE_APPLICATION_ID || version < 1) {
		doctor_bad(l->r, DOCTOR_FAIL, "schema", "%s is no database of fairlead", l->path);
		doctor_todo(l->r, "restore a backup, or name the right directory with --data-dir");
		return false;
	}
	if (version > (int64_t)migrations_count) {
		doctor_bad(l->r, DOCTOR_FAIL, "schema", "of a newer fairlead (form %" PRId64 "; this"
		    " one knows %u)",
		    version, migrations_count);
		doctor_todo(l->r, "use that version, or go back to the copy from before it:"
		    " %s.before-…", l->path);
		return false;
	}
	if (schema_differs(l, (unsigned)version, other)) {
		doctor_bad(l->r, DOCTOR_FAIL, "schema", "%s is missing or was changed by hand", other);
		doctor_todo(l->r, "restore a backup: what the database guards (addresses given once)"
		    " may be guarded no longer");
	} else if (version < (int64_t)migrations_count) {
		doctor_ok(l->r, "schema", "form %" PRId64 "; the next start brings it to %u", version,
		    migrations_count);
	} else {
		doctor_ok(l->r, "schema", "form %" PRId64, version);
	}
	return true;
}

/* --- addresses ---------------------------------------------------------------------------------- */

/* An address, and whose it is. */
struct owned_ip {
	struct net_ip ip;
	char name[64];
};

struct addresses {
	struct owned_ip *v;
	size_t n;
	struct net_prefix prefixes[2];	/* v4, v6; family 0: not known */
	char bad[256];			/* the first that is none */
	char outside[256];
	size_t n_outside;
};

static void
addresses_take(struct addresses *a, sqlite3_stmt *q, int column)
{
	const char *ip = text(q, column);
	const struct net_prefix *p = &a->prefixes[column - 1];
	struct owned_ip *one;

	if ((a->n & (a->n + 1)) == 0)
		a->v = obj_realloc(a->v, (2 * a->n + 2) * sizeof(*a->v));
	one = &a->v[a->n];
	snprintf(one->name, sizeof(one->name), "%s", text(q, 0));
	if (net_ip_parse(ip, strlen(ip), &one->ip) != ERR_OK ||
	    one->ip.family != (column == 1 ? 4 : 6)) {
		if (a->bad[0] == 0)
			snprintf(a->bad, sizeof(a->bad), "%s has \"%.60s\"", one->name, ip);
		return;
	}
	a->n++;
	if (p->ip.family != 0 && !net_prefix_has(p, &one->ip) && a->n_outside++ == 0)
		snprintf(a->outside, sizeof(a->outside), "%s has %.60s", one->name, ip);
}

static int
by_ip(const void *x, const void *y)
{
	return memcmp(&((const struct owned_ip *)x)->ip, &((const struct owned_ip *)y)->ip,
	    sizeof(struct net_ip));
}

/* Addresses are compared as such: two spellings of one are two texts for the database. */
static void
look_addresses(const struct look *l)
{
	struct addresses a = { .n = 0 };
	sqlite3_stmt *q = query(l, "SELECT name, ip4, ip6 FROM nodes UNION ALL SELECT name, ip4, ip6"
	    " FROM node_plans");
	struct owned_ip *twice = NULL;
	char ip[NET_TEXT_MAX];

	if (l->d->cfg != NULL && (net_prefix_parse(l->d->cfg->prefixes.v4,
	    strlen(l->d->cfg->prefixes.v4),
	    &a.prefixes[0]) != ERR_OK || net_prefix_parse(l->d->cfg->prefixes.v6,
	    strlen(l->d->cfg->prefixes.v6), &a.prefixes[1]) != ERR_OK))
		memset(a.prefixes, 0, sizeof(a.prefixes));
	while (q != NULL && sqlite3_step(q) == SQLITE_ROW)
		for (int column = 1; column <= 2; column++)
			if (text(q, column)[0] != 0)
				addresses_take(&a, q, column);
	sqlite3_finalize(q);
	if (a.n > 0)
		qsort(a.v, a.n, sizeof(*a.v), by_ip);
	for (size_t i = 1; i < a.n && twice == NULL; i++)
		if (net_ip_eq(&a.v[i].ip, &a.v[i - 1].ip))
			twice = &a.v[i];
	if (twice != NULL) {
		doctor_bad(l->r, DOCTOR_FAIL, "addresses", "%s is given to %s and to %s",
		    net_ip_put(&twice->ip, ip),
		    twice[-1].name, twice->name);
		doctor_todo(l->r, "give one of them another: fairlead nodes ip %s; and look for who"
		    " wrote into the database by hand", twice->name);
	} else if (a.bad[0] != 0) {
		doctor_bad(l->r, DOCTOR_FAIL, "addresses", "%s, which is no address", a.bad);
		doctor_todo(l->r, "restore a backup, or remove that node");
	} else if (a.n_outside > 0) {
		doctor_bad(l->r, DOCTOR_WARN, "addresses", "%zu lie outside of prefixes: %s",
		    a.n_outside, a.outside);
		doctor_todo(l->r, "the prefixes were changed; nodes keep what they have until they are"
		    " given another (fairlead nodes ip)");
	} else {
		doctor_ok(l->r, "addresses", "%zu, each given once", a.n);
	}
	free(a.v);
}

/* --- tags, time --------------------------------------------------------------------------------- */

/* false: not a list of tags. */
static bool
tags_are_good(const char *json)
{
	json_t *v = json_loads(json, JSON_REJECT_DUPLICATES, NULL);
	bool is_good = json_is_array(v);

	for (size_t i = 0; is_good && i < json_array_size(v); i++) {
		const char *tag = json_string_value(json_array_get(v, i));
		is_good = tag != NULL && tag_is_valid(tag);
	}
	json_decref(v);
	return is_good;
}

static void
look_tags(const struct look *l)
{
	sqlite3_stmt *q = query(l, "SELECT 'node ' || name, tags FROM nodes UNION ALL SELECT 'key ' ||"
	    " id, tags FROM auth_keys");
	size_t n_bad = 0;
	char first[256] = "";

	while (q != NULL && sqlite3_step(q) == SQLITE_ROW)
		if (!tags_are_good(text(q, 1)) && n_bad++ == 0)
			snprintf(first, sizeof(first), "%.80s has %.100s", text(q, 0), text(q, 1));
	sqlite3_finalize(q);
	if (n_bad > 0) {
		doctor_bad(l->r, DOCTOR_FAIL, "tags", "%zu lists of tags are not understood: %s", n_bad,
		    first);
		doctor_todo(l->r, "set them anew: fairlead nodes tag; until then those tags are as if"
		    " they were not there");
	} else {
		doctor_ok(l->r, "tags", "all are well formed");
	}
}

static void
look_newest(const struct look *l)
{
	int64_t newest = number(l, "SELECT max((SELECT coalesce(max(at_unix_s), 0) FROM audit), (SELECT"
	    " coalesce(max(last_seen_unix_s), 0) FROM node_state), (SELECT"
	    " coalesce(max(created_unix_s), 0) FROM nodes), (SELECT coalesce(max(created_unix_s), 0)"
	    " FROM tailnets))");
	int64_t ahead = newest - clock_wall_s();

	if (ahead > CLOCK_AHEAD_S) {
		doctor_bad(l->r, DOCTOR_FAIL, "clock/newest", "the newest record is from %" PRId64 " s"
		    " in the future",
		    ahead);
		doctor_todo(l->r, "the clock is behind, or was ahead when that was written: set it by"
		    " NTP (timedatectl set-ntp true) before the server starts");
	} else {
		doctor_ok(l->r, "clock/newest", "no record is from the future");
	}
}

void
doctor_database(const struct doctor *d, struct doctor_report *r)
{
	struct look l = { .d = d, .r = r, .until_ms = clock_mono_ms() + CHECK_MS };

	if (d->data_dir == NULL || access(d->data_dir, X_OK) != 0)
		return;
	snprintf(l.path, sizeof(l.path), "%s/fairlead.db", d->data_dir);
	if (look_open(&l) && look_whole(&l) && look_schema(&l)) {
		look_references(&l);
		look_addresses(&l);
		look_tags(&l);
		look_newest(&l);
	}
	sqlite3_close(l.db);
}
