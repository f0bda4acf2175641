/* Staging, checking, putting in place. */
#include "server/restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "coord/store_backup.h"
#include "server/datadir.h"

#define PATH_BYTES	4700
#define DATABASE	BACKUP_DATA "fairlead.db"

struct restore {
	const char *dir;
	char stage[PATH_BYTES];
	int fd;			/* of the file that is being written, -1: none */
	char path[PATH_BYTES + BACKUP_NAME_BYTES];	/* its path */
	bool has_database;
};

static enum err
say_io(struct err_text *why, const char *path)
{
	return err_say(why, errno == ENOSPC ? ERR_FULL : ERR_IO, "cannot write %s: %s", path,
	    strerror(errno));
}

/* Name below the data directory. */
static const char *
place(const struct backup_member *m)
{
	return strcmp(m->name, BACKUP_CONFIG) == 0 ? RESTORE_CONFIG : m->name + strlen(BACKUP_DATA);
}

/* The directories that path needs below r->stage. */
static enum err
make_parents(const struct restore *r, char *path, struct err_text *why)
{
	for (char *p = path + strlen(r->stage) + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		int rc = mkdir(path, 0700);
		if (rc != 0 && errno != EEXIST)
			return say_io(why, path);
		*p = '/';
	}
	return ERR_OK;
}

static enum err
member_begin(void *arg, const struct backup_member *m, struct err_text *why)
{
	struct restore *r = arg;
	const char *name = place(m);

	if (strncmp(name, DATADIR_RESTORE, strlen(DATADIR_RESTORE)) == 0 || strcmp(name, "lock") == 0)
		return err_say(why, ERR_INVAL, "the backup holds %s, which is no file of a server", name);
	snprintf(r->path, sizeof(r->path), "%s/%s", r->stage, name);
	enum err rc = make_parents(r, r->path, why);
	if (rc != ERR_OK)
		return rc;
	r->fd = open(r->path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (strcmp(m->name, DATABASE) == 0)
		r->has_database = true;
	return r->fd >= 0 ? ERR_OK : say_io(why, r->path);
}

static enum err
member_data(void *arg, const uint8_t *p, size_t n, struct err_text *why)
{
	struct restore *r = arg;

	while (n > 0) {
		ssize_t wrote = write(r->fd, p, n);
		if (wrote < 0)
			return say_io(why, r->path);
		p += wrote;
		n -= (size_t)wrote;
	}
	return ERR_OK;
}

static enum err
member_end(void *arg, struct err_text *why)
{
	struct restore *r = arg;
	int fd = r->fd;

	r->fd = -1;
	if (fsync(fd) == 0)
		return close(fd) == 0 ? ERR_OK : say_io(why, r->path);
	say_io(why, r->path);
	close(fd);
	return ERR_IO;
}

/* Every entry of the data directory but the lock, and what is being restored. */
static bool
is_ours(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lock") == 0 ||
	    strcmp(name, "lost+found") == 0 || strcmp(name, DATADIR_RESTORE) == 0 ||
	    strncmp(name, DATADIR_BEFORE, strlen(DATADIR_BEFORE)) == 0;
}

static bool
is_empty(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	bool is_so = d != NULL;

	while (is_so && (e = readdir(d)) != NULL)
		is_so = is_ours(e->d_name);
	if (d != NULL)
		closedir(d);
	return is_so;
}

/* Deletes a tree; what cannot be deleted stays. */
static void
remove_tree(char *path)
{
	char *const roots[] = { path, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT | FTS_XDEV, NULL);
	const FTSENT *e;

	while (tree != NULL && (e = fts_read(tree)) != NULL)
		if (e->fts_info == FTS_DP)
			(void)rmdir(e->fts_accpath);
		else if (e->fts_info != FTS_D)
			(void)unlink(e->fts_accpath);
	if (tree != NULL)
		fts_close(tree);
}

static void
sync_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)fsync(fd);	/* not every file system can */
	close(fd);
}

/* All entries of from become entries of to. */
static enum err
move_all(const char *from, const char *to, bool (*is_left)(const char *name), struct err_text *why)
{
	DIR *d = opendir(from);
	const struct dirent *e;
	enum err rc = ERR_OK;

	if (d == NULL)
		return err_say(why, ERR_IO, "cannot read %s: %s", from, strerror(errno));
	while (rc == ERR_OK && (e = readdir(d)) != NULL) {
		char a[PATH_BYTES + 300], b[PATH_BYTES + 300];
		if (is_left(e->d_name))
			continue;
		snprintf(a, sizeof(a), "%s/%s", from, e->d_name);
		snprintf(b, sizeof(b), "%s/%s", to, e->d_name);
		if (rename(a, b) != 0)
			rc = err_say(why, ERR_IO, "cannot move %s to %s: %s", a, b, strerror(errno));
	}
	closedir(d);
	sync_dir(from);
	sync_dir(to);
	return rc;
}

static bool
is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* A server that runs as the directory's owner can read what root has restored. */
static enum err
give_to_owner(const struct restore *r, struct err_text *why)
{
	char root[PATH_BYTES], lock[PATH_BYTES];
	char *const roots[] = { root, lock, NULL };
	const FTSENT *e;
	struct stat st;
	bool ok = true;

	if (geteuid() != 0 || stat(r->dir, &st) != 0 || st.st_uid == 0)
		return ERR_OK;
	snprintf(root, sizeof(root), "%s", r->stage);
	snprintf(lock, sizeof(lock), "%s/lock", r->dir);
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_NOSTAT, NULL);
	while (tree != NULL && ok && (e = fts_read(tree)) != NULL)
		if (e->fts_info != FTS_DP)
			ok = lchown(e->fts_accpath, st.st_uid, st.st_gid) == 0;
	int failure = errno;
	if (tree != NULL)
		fts_close(tree);
	if (tree != NULL && ok)
		return ERR_OK;
	return err_say(why, ERR_IO, "cannot give the files to the owner of %s: %s", r->dir,
	    strerror(failure));
}

/* The backup below r->stage, whole and good. */
static enum err
stage(struct restore *r, FILE *f, struct backup_list *list, struct err_text *why)
{
	struct backup_sink sink = { r, member_begin, member_data, member_end };
	char database[PATH_BYTES + 32];
	enum err rc;

	if (mkdir(r->stage, 0700) != 0)
		return say_io(why, r->stage);
	rc = backup_file_read(f, &sink, list, why);
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	if (rc != ERR_OK)
		return rc;
	if (!r->has_database)
		return err_say(why, ERR_INVAL, "the backup holds no database");
	snprintf(database, sizeof(database), "%s/fairlead.db", r->stage);
	if ((rc = store_backup_check(database, why)) != ERR_OK)
		return rc;
	sync_dir(r->stage);
	return give_to_owner(r, why);
}

/* After a failure here the stage stays: the next restore is told to begin anew, a server not to start. */
static enum err
put_in_place(const struct restore *r, struct restore_report *out, struct err_text *why)
{
	char before[PATH_BYTES];
	struct stat st;
	enum err rc;

	if (!is_empty(r->dir)) {
		snprintf(out->moved_to, sizeof(out->moved_to), DATADIR_BEFORE "%" PRId64, clock_wall_s());
		snprintf(before, sizeof(before), "%s/%s", r->dir, out->moved_to);
		if (mkdir(before, 0700) != 0)
			return say_io(why, before);
		if (geteuid() == 0 && stat(r->dir, &st) == 0 && lchown(before, st.st_uid, st.st_gid) != 0)
			return say_io(why, before);
		if ((rc = move_all(r->dir, before, is_ours, why)) != ERR_OK)
			return rc;
	}
	if ((rc = move_all(r->stage, r->dir, is_dots, why)) != ERR_OK)
		return rc;
	if (rmdir(r->stage) != 0)
		return say_io(why, r->stage);
	sync_dir(r->dir);
	return ERR_OK;
}

enum err
restore_run(FILE *f, const char *dir, bool is_forced, struct restore_report *out, struct err_text *why)
{
	struct restore r = { .dir = dir, .fd = -1 };
	struct stat st;
	bool was_there = stat(dir, &st) == 0;
	int lock = -1;
	enum err rc = datadir_open(dir, &lock, why);

	memset(out, 0, sizeof(*out));
	if (rc != ERR_OK)
		return rc;
	snprintf(r.stage, sizeof(r.stage), "%s/" DATADIR_RESTORE, dir);
	if (!is_forced && (!is_empty(dir) || access(r.stage, F_OK) == 0)) {
		rc = err_say(why, ERR_EXISTS, "%s is not empty: name another directory, or give --force to"
		    " move what is there into " DATADIR_BEFORE "…", dir);
		goto out;
	}
	remove_tree(r.stage);		/* of a restore that was interrupted */
	if ((rc = stage(&r, f, &out->list, why)) != ERR_OK)
		remove_tree(r.stage);
	else
		rc = put_in_place(&r, out, why);
out:
	if (rc != ERR_OK && !was_there) {
		char path[PATH_BYTES];
		snprintf(path, sizeof(path), "%s/lock", dir);
		(void)unlink(path);
		(void)rmdir(dir);	/* only when it is empty again */
	}
	close(lock);
	return rc;
}
