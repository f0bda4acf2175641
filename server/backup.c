/*
 * The thread of a backup: copies the database, reads the small files, writes the archive into a file that is
 * unlinked from its first moment, and posts it to the coordinator, which has it sent.
 */
#include "server/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "coord/store_backup.h"
#include "coord/store_rehearse.h"
#include "server/backup_file.h"
#include "server/config_dump.h"
#include "server/datadir.h"
#include "server/restore.h"
#include "web/flapi.h"

#define BACKUP_MAGIC		0xbac40001u
#define DATABASE		"fairlead.db"
#define COPY			"backup.part"	/* of the database, while a backup is made */
#define SMALL_MAX_BYTES		(1u << 20)	/* keys and certificates are far below */
#define PATH_BYTES		4400

struct backup {
	uint32_t magic;
	const struct config *cfg;	/* borrowed */
	struct mbox *mbox;		/* borrowed */
	bool is_running;
	pthread_t thread;		/* while is_running */
	atomic_bool stop;
};

/* One backup. The thread's until it is posted. */
struct job {
	struct mbox_msg msg;
	struct backup *backup;
	struct http_req *req;		/* waits for its answer; not touched by the thread */
	int64_t began_ms;
	enum err rc;
	struct err_text why;
	int out;			/* the archive; -1: none */
	uint64_t n_bytes;
	int copy;			/* of the database; -1: none */
	struct buf config;
	unsigned n;
	struct backup_source sources[BACKUP_FILES_MAX];
	struct buf bytes[BACKUP_FILES_MAX];	/* of sources without a descriptor */
};

/* Files that are not for a backup, or go into it by another way. */
static bool
is_left_out(const char *name)
{
	static const char *const whole[] = { "lock", COPY, DATABASE "-wal", DATABASE "-shm", DATABASE,
		DATADIR_RESTORE, RESTORE_CONFIG };
	static const char *const starts[] = { DATABASE ".before-", DATABASE STORE_REHEARSE_SUFFIX,
		DATADIR_BEFORE, COPY "-" };

	for (size_t i = 0; i < COUNT_OF(whole); i++)
		if (strcmp(name, whole[i]) == 0)
			return true;
	for (size_t i = 0; i < COUNT_OF(starts); i++)
		if (strncmp(name, starts[i], strlen(starts[i])) == 0)
			return true;
	return false;
}

static enum err
read_small(const char *path, struct buf *out, struct err_text *why)
{
	enum err rc = ERR_OK;
	ssize_t n = 1;
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_say(why, ERR_IO, "%s cannot be read: %s", path, strerror(errno));
	while (n > 0 && out->len <= SMALL_MAX_BYTES) {
		n = read(fd, buf_reserve(out, 4096), 4096);
		if (n > 0)
			out->len += (size_t)n;
	}
	if (n < 0)
		rc = err_say(why, ERR_IO, "%s cannot be read: %s", path, strerror(errno));
	close(fd);
	return rc;
}

/* A file of the data directory; name: below it. What is no small plain file of ours is said and left out. */
static enum err
add_file(struct job *j, const char *path, const char *name)
{
	struct backup_source *s = &j->sources[j->n];
	struct buf *b = &j->bytes[j->n];
	enum err rc;

	if (j->n == BACKUP_FILES_MAX)
		return err_say(&j->why, ERR_LIMIT, "there are more than %d files in the data directory",
		    BACKUP_FILES_MAX);
	int n = snprintf(s->name, sizeof(s->name), BACKUP_DATA "%s", name);
	if (n >= (int)sizeof(s->name) || !backup_name_is_good(s->name)) {
		log_warn(LOG_SERVER, "not in the backup: a name that fits no backup", "path", path);
		return ERR_OK;
	}
	if ((rc = read_small(path, b, &j->why)) != ERR_OK)
		return rc;
	if (b->len > SMALL_MAX_BYTES) {
		log_warn(LOG_SERVER, "not in the backup: larger than any file of ours", "path", path);
		buf_fini(b);
		return ERR_OK;
	}
	s->fd = -1;
	s->p = b->p;
	s->n_bytes = b->len;
	j->n++;
	return ERR_OK;
}

static enum err
add_tree(struct job *j)
{
	char *const roots[] = { j->backup->cfg->data_dir, NULL };
	size_t n_root = strlen(j->backup->cfg->data_dir) + 1;
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	enum err rc = ERR_OK;
	FTSENT *e;

	if (tree == NULL)
		return err_say(&j->why, ERR_IO, "the data directory cannot be read: %s", strerror(errno));
	while (rc == ERR_OK && (e = fts_read(tree)) != NULL) {
		if (e->fts_level == 1 && is_left_out(e->fts_name))
			(void)fts_set(tree, e, FTS_SKIP);
		else if (e->fts_info == FTS_F)
			rc = add_file(j, e->fts_accpath, e->fts_path + n_root);
		else if (e->fts_info == FTS_DNR || e->fts_info == FTS_ERR || e->fts_info == FTS_NS)
			rc = e->fts_errno == ENOENT ? ERR_OK : err_say(&j->why, ERR_IO,
			    "%s cannot be read: %s", e->fts_path, strerror(e->fts_errno));
	}
	fts_close(tree);
	return rc;
}

static enum err
add_database(struct job *j)
{
	const struct backup *b = j->backup;
	char from[PATH_BYTES], to[PATH_BYTES];
	struct stat st;

	snprintf(from, sizeof(from), "%s/" DATABASE, b->cfg->data_dir);
	snprintf(to, sizeof(to), "%s/" COPY, b->cfg->data_dir);
	unlink(to);	/* of a server that was killed: the directory is locked, so nobody else's */
	enum err rc = store_backup(from, to, &b->stop, &j->why);
	if (rc != ERR_OK)
		return rc;
	j->copy = open(to, O_RDONLY | O_CLOEXEC);
	unlink(to);
	if (j->copy < 0 || fstat(j->copy, &st) != 0)
		return err_say(&j->why, ERR_IO, "%s cannot be read: %s", to, strerror(errno));
	j->sources[j->n++] = (struct backup_source){
		.name = BACKUP_DATA DATABASE, .fd = j->copy, .n_bytes = (uint64_t)st.st_size,
	};
	return ERR_OK;
}

static enum err
write_archive(struct job *j)
{
	struct backup_write w = {
		.sources = j->sources, .n_sources = j->n, .version = FAIRLEAD_VERSION,
		.made_unix_s = clock_wall_s(), .stop = &j->backup->stop,
	};
	struct stat st;
	FILE *f = NULL;

	j->out = open(j->backup->cfg->data_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int again = j->out >= 0 ? fcntl(j->out, F_DUPFD_CLOEXEC, 0) : -1;
	if (again < 0 || (f = fdopen(again, "w")) == NULL) {
		err_say(&j->why, ERR_IO, "the backup cannot be made in the data directory: %s",
		    strerror(errno));
		if (again >= 0)
			close(again);
		return ERR_IO;
	}
	enum err rc = backup_file_write(f, &w, &j->why);
	if (fclose(f) != 0 && rc == ERR_OK)
		rc = err_say(&j->why, ERR_IO, "the backup cannot be written: %s", strerror(errno));
	if (rc == ERR_OK && fstat(j->out, &st) != 0)
		rc = err_say(&j->why, ERR_IO, "the backup cannot be read: %s", strerror(errno));
	j->n_bytes = rc == ERR_OK ? (uint64_t)st.st_size : 0;
	return rc;
}

static void *
job_main(void *arg)
{
	struct job *j = arg;

	j->sources[j->n++] = (struct backup_source){
		.name = BACKUP_CONFIG, .fd = -1, .p = j->config.p, .n_bytes = j->config.len,
	};
	/* Files before the database: a certificate is not younger than what is known of it. */
	if ((j->rc = add_tree(j)) == ERR_OK && (j->rc = add_database(j)) == ERR_OK)
		j->rc = write_archive(j);
	mbox_post_always(j->backup->mbox, &j->msg);
	return NULL;
}

static void
job_free(struct job *j)
{
	for (unsigned i = 0; i < BACKUP_FILES_MAX; i++) {
		if (j->bytes[i].p != NULL)	/* keys */
			explicit_bzero(j->bytes[i].p, j->bytes[i].len);
		buf_fini(&j->bytes[i]);
	}
	buf_fini(&j->config);
	if (j->copy >= 0)
		close(j->copy);
	if (j->out >= 0)
		close(j->out);
	free(j);
}

static void
join(struct backup *b)
{
	if (b->is_running)
		ASSERT(pthread_join(b->thread, NULL) == 0);
	b->is_running = false;
}

static void
job_deliver(struct mbox_msg *m, void *loop_arg)
{
	struct job *j = CONTAINER_OF(m, struct job, msg);

	(void)loop_arg;
	OBJ_CHECK(j->backup, BACKUP_MAGIC);
	join(j->backup);
	if (j->rc == ERR_OK) {
		log_info(LOG_SERVER, "backup made", "bytes", LOG_NUM(j->n_bytes), "files", LOG_NUM(j->n),
		    "ms", LOG_NUM(clock_mono_ms() - j->began_ms));
		http_reply_file_take(j->req, "application/x-tar", j->out, j->n_bytes);
		j->out = -1;
	} else {
		log_error(LOG_SERVER, "backup failed", "err", j->why.s);
		http_reply_err(j->req, j->rc, &j->why);
	}
	job_free(j);
}

/* The server ends: nobody waits for the answer any more, which frees the request. */
static void
job_discard(struct mbox_msg *m)
{
	struct job *j = CONTAINER_OF(m, struct job, msg);

	http_reply_error(j->req, 503, "the server is stopping");
	job_free(j);
}

static void
backup_get(struct http_req *q)
{
	struct backup *b = q->arg;
	struct job *j;

	OBJ_CHECK(b, BACKUP_MAGIC);
	if (q->peer == NULL || q->peer->origin != HTTP_FROM_UNIX) {
		http_reply_error(q, 403, "a backup holds every key of this server: make it on the server"
		    " itself, with fairlead backup FILE");
		return;
	}
	if (b->is_running) {
		http_reply_error(q, 503, "another backup is being made: try again when it is done");
		return;
	}
	j = obj_alloc(sizeof(*j));
	*j = (struct job){ .msg = { .deliver = job_deliver, .discard = job_discard }, .backup = b, .req = q,
		.began_ms = clock_mono_ms(), .out = -1, .copy = -1 };
	config_dump(b->cfg, &j->config);
	if (pthread_create(&b->thread, NULL, job_main, j) != 0) {
		http_reply_error(q, 503, "no thread is left for the backup");
		job_free(j);
		return;
	}
	b->is_running = true;
	pthread_setname_np(b->thread, "backup");
}

static const struct http_route routes[] = {
	{ "GET", FLAPI "/backup", HTTP_WRITE, false, backup_get },
};

struct backup *
backup_new(const struct config *cfg, struct mbox *mbox, struct http *http)
{
	struct backup *b = obj_alloc(sizeof(*b));

	b->magic = BACKUP_MAGIC;
	b->cfg = cfg;
	b->mbox = mbox;
	http_routes_for(http, routes, COUNT_OF(routes), b);
	return b;
}

void
backup_stop(struct backup *b)
{
	if (b == NULL)
		return;
	OBJ_CHECK(b, BACKUP_MAGIC);
	atomic_store(&b->stop, true);
	join(b);
}

void
backup_free(struct backup *b)
{
	if (b == NULL)
		return;
	OBJ_CHECK(b, BACKUP_MAGIC);
	ASSERT(!b->is_running);
	b->magic = 0;
	free(b);
}
