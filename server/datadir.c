/* The data directory and its lock (flock: released by the kernel whatever happens to us). */
#include "server/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err
make_with_parents(const char *dir, struct err_text *why)
{
	char path[4096];
	size_t n = strlen(dir);

	if (n == 0 || n >= sizeof(path))
		return err_say(why, ERR_INVAL, "data_dir is empty or too long");
	memcpy(path, dir, n + 1);
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		path[i] = '\0';
		if (mkdir(path, i == n ? 0700 : 0755) != 0 && errno != EEXIST)
			return err_say(why, ERR_IO, "cannot make the data directory %s: %s",
			    path, strerror(errno));
		if (i < n)
			path[i] = '/';
	}
	return ERR_OK;
}

/* Who holds the lock, for the message; the file holds the pid. */
static void
holder(int fd, char out[16])
{
	ssize_t n = pread(fd, out, 15, 0);

	out[n > 0 ? n : 0] = '\0';
	out[strspn(out, "0123456789")] = '\0';
}

enum err
datadir_open(const char *dir, int *lock_fd, struct err_text *why)
{
	char path[4200], pid[16];
	enum err rc = make_with_parents(dir, why);

	if (rc != ERR_OK)
		return rc;
	snprintf(path, sizeof(path), "%s/lock", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_say(why, ERR_IO, "the data directory %s cannot be written: %s", dir,
		    strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
		rc = errno == EWOULDBLOCK ? ERR_EXISTS : ERR_IO;
		holder(fd, pid);
		if (rc == ERR_EXISTS)
			err_say(why, rc, "the data directory %s is in use by another fairlead"
			    " (process %s)", dir, pid[0] != '\0' ? pid : "unknown");
		else
			err_say(why, rc, "cannot lock %s: %s", path, strerror(errno));
		close(fd);
		return rc;
	}
	int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
	if (ftruncate(fd, 0) != 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
		rc = err_say(why, ERR_IO, "the data directory %s cannot be written: %s", dir,
		    strerror(errno));
		close(fd);
		return rc;
	}
	*lock_fd = fd;
	return ERR_OK;
}

void
datadir_close(int *lock_fd)
{
	if (*lock_fd < 0)
		return;
	(void)flock(*lock_fd, LOCK_UN);	/* a child between fork and exec may have it open too */
	close(*lock_fd);
	*lock_fd = -1;
}

enum err
datadir_check(const char *dir, struct err_text *why)
{
	char path[4200];

	snprintf(path, sizeof(path), "%s/" DATADIR_RESTORE, dir);
	if (access(path, F_OK) != 0)
		return ERR_OK;
	return err_say(why, ERR_INVAL, "a restore into %s did not come to its end: run it again, with"
	    " --force", dir);
}
