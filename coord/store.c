/* The store's thread and queue. SQL is in store_sql, loading in store_load. */
#include "coord/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "coord/migrate.h"
#include "coord/store_sql.h"

#define STORE_MAGIC	0x5703e001u
#define BATCH_MAX	1024	/* transactions in one commit: bounds how long the last one waits */
#define BUSY_MS		2000	/* somebody else's lock (a backup, a shell) is waited for so long */

TAILQ_HEAD(txn_queue, txn);

struct store {
	uint32_t magic;
	char *path;
	struct store_sql *sql;		/* owned; the thread's, once it runs; NULL: closed, while paused */
	struct mbox *mbox;		/* borrowed: the coordinator's */
	int64_t last_user_id, last_node_id;	/* coordinator thread */
	pthread_t thread;
	bool is_running;
	pthread_mutex_t mu;		/* guards what follows */
	pthread_cond_t wake;
	struct txn_queue queue;
	unsigned n_queued;
	bool is_stopping;
	bool is_paused;			/* nothing is taken from the queue, but its first n_last */
	unsigned n_last;
	struct mbox_msg *paused_msg;	/* to be posted when the database is closed; NULL: not asked */
};

/* The file, 0600 from its first moment; -wal and -shm take over its mode. */
static enum err
file_make(const char *path, struct err_text *why)
{
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_say(why, ERR_IO, "the database %s cannot be opened: %s", path,
		    strerror(errno));
	close(fd);
	return ERR_OK;
}

static enum err
db_open(const char *path, sqlite3 **out, struct err_text *why)
{
	static const char setup[] =
	    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;"
	    "PRAGMA trusted_schema=OFF;";
	sqlite3 *db = NULL;
	enum err rc = file_make(path, why);

	if (rc != ERR_OK)
		return rc;
	if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
	    SQLITE_OK || sqlite3_busy_timeout(db, BUSY_MS) != SQLITE_OK ||
	    sqlite3_exec(db, setup, NULL, NULL, NULL) != SQLITE_OK)
		rc = err_say(why, ERR_IO, "the database %s cannot be opened: %s", path,
		    sqlite3_errmsg(db));
	else
		rc = migrate_apply(db, path, why);
	if (rc != ERR_OK) {
		sqlite3_close(db);
		return rc;
	}
	*out = db;
	return ERR_OK;
}

/* Highest id that the table ever had. */
static enum err
last_id(sqlite3 *db, const char *table, int64_t *out, struct err_text *why)
{
	sqlite3_stmt *q = NULL;
	enum err rc = ERR_IO;
	int step;

	if (sqlite3_prepare_v2(db, "SELECT seq FROM sqlite_sequence WHERE name = ?", -1, &q,
	    NULL) == SQLITE_OK && sqlite3_bind_text(q, 1, table, -1, SQLITE_STATIC) == SQLITE_OK &&
	    ((step = sqlite3_step(q)) == SQLITE_ROW || step == SQLITE_DONE)) {
		*out = step == SQLITE_ROW ? sqlite3_column_int64(q, 0) : 0;
		rc = ERR_OK;
	} else {
		err_say(why, rc, "the database cannot be read: %s", sqlite3_errmsg(db));
	}
	sqlite3_finalize(q);
	return rc;
}

enum err
store_open(const char *path, struct mbox *mbox, struct store **out, struct err_text *why)
{
	struct store *s = NULL;
	sqlite3 *db = NULL;
	enum err rc = db_open(path, &db, why);

	if (rc != ERR_OK)
		return rc;
	s = obj_alloc(sizeof(*s));
	s->magic = STORE_MAGIC;
	s->path = obj_strdup(path);
	s->mbox = mbox;
	TAILQ_INIT(&s->queue);
	ASSERT(pthread_mutex_init(&s->mu, NULL) == 0);
	ASSERT(pthread_cond_init(&s->wake, NULL) == 0);
	rc = last_id(db, "users", &s->last_user_id, why);
	if (rc == ERR_OK)
		rc = last_id(db, "nodes", &s->last_node_id, why);
	if (rc == ERR_OK)
		rc = store_sql_new(db, &s->sql, why);
	else
		sqlite3_close(db);
	if (rc != ERR_OK) {
		store_free(s);
		return rc;
	}
	*out = s;
	return ERR_OK;
}

void
store_free(struct store *s)
{
	if (s == NULL)
		return;
	OBJ_CHECK(s, STORE_MAGIC);
	ASSERT(!s->is_running && TAILQ_EMPTY(&s->queue));
	store_sql_free(s->sql);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->mu);
	free(s->path);
	s->magic = 0;
	free(s);
}

struct sqlite3 *
store_db(struct store *s)
{
	ASSERT(!s->is_running);
	return store_sql_db(s->sql);
}

int64_t
store_next_user_id(struct store *s)
{
	return ++s->last_user_id;
}

int64_t
store_next_node_id(struct store *s)
{
	return ++s->last_node_id;
}

/* One commit of the batch; the answers are in the transactions afterwards. */
static void
batch_commit(struct store *s, struct txn_queue *batch)
{
	struct err_text why = { "" };
	enum err rc = store_sql_begin(s->sql, &why);
	unsigned n = 0, n_refused = 0;
	struct txn *x;

	TAILQ_FOREACH(x, batch, link) {
		if (rc == ERR_OK)
			rc = store_sql_txn(s->sql, x, &why);
		n++;
	}
	if (rc == ERR_OK)
		rc = store_sql_commit(s->sql, &why);
	if (rc != ERR_OK) {
		store_sql_rollback(s->sql);
		log_error(LOG_STORE, "commit failed", "transactions", LOG_NUM(n), "err", why.s);
	}
	TAILQ_FOREACH(x, batch, link) {
		if (rc != ERR_OK) {
			x->rc = rc;
			x->why = why;
		} else if (x->rc != ERR_OK) {
			log_warn(LOG_STORE, "change refused", "err", x->why.s);
		}
		n_refused += x->rc != ERR_OK;
	}
	metric_add(METRIC_STORE_COMMITS, n - n_refused);
	metric_add(METRIC_STORE_FAILED, n_refused);
}

/* Everything that was to be written is: lets go of the database. Holds s->mu. */
static void
pause_now(struct store *s)
{
	struct mbox_msg *m = s->paused_msg;

	store_sql_free(s->sql);
	s->sql = NULL;
	s->paused_msg = NULL;
	mbox_post_always(s->mbox, m);
}

/* Moves the front of the queue to batch; waits for something to do. False: stopping, and nothing
 * is left that may be written. */
static bool
batch_wait(struct store *s, struct txn_queue *batch)
{
	struct txn *x;

	pthread_mutex_lock(&s->mu);
	for (;;) {
		if (s->is_paused && s->n_last == 0 && s->paused_msg != NULL)
			pause_now(s);
		if (s->is_stopping || (s->is_paused ? s->n_last : s->n_queued) > 0)
			break;
		pthread_cond_wait(&s->wake, &s->mu);
	}
	for (unsigned n = 0; n < BATCH_MAX && (!s->is_paused || s->n_last > 0) &&
	    (x = TAILQ_FIRST(&s->queue)) != NULL; n++) {
		TAILQ_REMOVE(&s->queue, x, link);
		TAILQ_INSERT_TAIL(batch, x, link);
		s->n_queued--;
		s->n_last -= s->is_paused;
	}
	pthread_mutex_unlock(&s->mu);
	return !TAILQ_EMPTY(batch);
}

static void *
store_main(void *arg)
{
	struct store *s = arg;
	struct txn_queue batch = TAILQ_HEAD_INITIALIZER(batch);
	struct txn *x;

	OBJ_CHECK(s, STORE_MAGIC);
	while (batch_wait(s, &batch)) {
		batch_commit(s, &batch);
		while ((x = TAILQ_FIRST(&batch)) != NULL) {
			TAILQ_REMOVE(&batch, x, link);
			mbox_post_always(s->mbox, &x->msg);
		}
	}
	return NULL;
}

enum err
store_start(struct store *s, struct err_text *why)
{
	int rc;

	OBJ_CHECK(s, STORE_MAGIC);
	s->is_running = true;
	if ((rc = pthread_create(&s->thread, NULL, store_main, s)) != 0) {
		s->is_running = false;
		return err_say(why, ERR_IO, "the store's thread cannot be started: %s",
		    strerror(rc));
	}
	pthread_setname_np(s->thread, "store");
	return ERR_OK;
}

void
store_hold(struct store *s)
{
	OBJ_CHECK(s, STORE_MAGIC);
	ASSERT(!s->is_running);
	s->is_paused = true;
}

void
store_pause(struct store *s, struct mbox_msg *m)
{
	OBJ_CHECK(s, STORE_MAGIC);
	ASSERT(s->is_running && !s->is_paused);
	pthread_mutex_lock(&s->mu);
	s->is_paused = true;
	s->n_last = s->n_queued;
	s->paused_msg = m;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->mu);
}

enum err
store_resume(struct store *s, struct err_text *why)
{
	sqlite3 *db = NULL;
	enum err rc = ERR_OK;

	OBJ_CHECK(s, STORE_MAGIC);
	pthread_mutex_lock(&s->mu);
	ASSERT(s->is_paused && s->paused_msg == NULL);
	if (s->sql == NULL && (rc = db_open(s->path, &db, why)) == ERR_OK)
		rc = store_sql_new(db, &s->sql, why);
	if (rc == ERR_OK) {
		s->is_paused = false;
		pthread_cond_signal(&s->wake);
	}
	pthread_mutex_unlock(&s->mu);
	return rc;
}

void
store_stop(struct store *s)
{
	struct txn *x;

	OBJ_CHECK(s, STORE_MAGIC);
	pthread_mutex_lock(&s->mu);
	s->is_stopping = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->mu);
	if (s->is_running)
		pthread_join(s->thread, NULL);
	s->is_running = false;
	if (s->paused_msg != NULL)
		s->paused_msg->discard(s->paused_msg);
	s->paused_msg = NULL;
	while ((x = TAILQ_FIRST(&s->queue)) != NULL) {	/* never started, or paused */
		TAILQ_REMOVE(&s->queue, x, link);
		txn_abandon_take(x);
	}
}

enum err
store_submit_take(struct store *s, struct txn **x)
{
	enum err rc = ERR_BUSY;

	OBJ_CHECK(*x, TXN_MAGIC);
	pthread_mutex_lock(&s->mu);
	if (s->n_queued < STORE_QUEUE_MAX && !s->is_stopping) {
		TAILQ_INSERT_TAIL(&s->queue, *x, link);
		if (s->n_queued++ == 0)
			pthread_cond_signal(&s->wake);
		*x = NULL;
		rc = ERR_OK;
	}
	pthread_mutex_unlock(&s->mu);
	return rc;
}

void
store_test_fail_step(struct store *s, int n, int sqlite_rc, int is_lasting)
{
	store_sql_test_fail(s->sql, n, sqlite_rc, is_lasting);
}

int
store_test_steps(struct store *s)
{
	return store_sql_test_steps(s->sql);
}
