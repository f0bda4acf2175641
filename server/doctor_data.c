/* The data directory: modes, keys, room, whether writes last; and this machine's clock. Leaves all as it
 * is. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/key.h"
#include "server/datadir.h"
#include "server/doctor.h"

#define SPACE_FAIL_BYTES (UINT64_C(16) << 20)
#define SPACE_WARN_BYTES (UINT64_C(256) << 20)
#define WAL_WARN_BYTES	(64 << 20)	/* SQLite starts it anew at 4 MiB */
#define SYNC_WARN_MS	100
#define PATH_BYTES	4200

/* false: nothing below it can be looked at. */
static bool
look_directory(const struct doctor *d, struct doctor_report *r)
{
	struct stat st;
	struct err_text why;
	const char *none = stat(d->data_dir, &st) != 0 ? strerror(errno) : S_ISDIR(st.st_mode) ? NULL :
	    "is no directory";

	if (none != NULL) {
		doctor_bad(r, DOCTOR_FAIL, "data-dir", "%s: %s", d->data_dir, none);
		doctor_todo(r, "name the right one with --data-dir; the server makes it at its first"
		    " start");
		return false;
	}
	if (access(d->data_dir, R_OK | X_OK) != 0) {
		doctor_bad(r, DOCTOR_WARN, "data-dir", "%s: %s", d->data_dir, strerror(errno));
		doctor_todo(r, "run it with sudo, or as the server's user, to have files and database"
		    " looked at");
		return false;
	}
	if (datadir_check(d->data_dir, &why) != ERR_OK) {
		doctor_bad(r, DOCTOR_FAIL, "data-dir", "%s", why.s);
		doctor_todo(r, "run `fairlead restore --force` with the backup again");
	} else if ((st.st_mode & 077) != 0) {
		doctor_bad(r, DOCTOR_WARN, "data-dir", "%s may be entered by others (mode %04o)",
		    d->data_dir,
		    (unsigned)st.st_mode & 07777);
		doctor_todo(r, "chmod 700 %s", d->data_dir);
	} else {
		doctor_ok(r, "data-dir", "%s", d->data_dir);
	}
	return true;
}

/* true: said. */
static bool
key_is_bad(const struct doctor *d, const char *file, uid_t owner, struct doctor_report *r)
{
	struct private_key key;
	struct err_text why;
	char path[PATH_BYTES];
	struct stat st;
	bool is_bad = true;

	snprintf(path, sizeof(path), "%s/%s", d->data_dir, file);
	if (lstat(path, &st) != 0) {
		doctor_bad(r, DOCTOR_FAIL, "keys", "%s: %s", path, strerror(errno));
		doctor_todo(r, "restore it from a backup: with another key no node knows this server"
		    " any more (the server makes a new one at its start)");
	} else if (private_key_file(path, false, &key, &why) != ERR_OK) {
		doctor_bad(r, DOCTOR_FAIL, "keys", "%s", why.s);
		doctor_todo(r, "restore it from a backup");
	} else if ((st.st_mode & 077) != 0) {
		doctor_bad(r, DOCTOR_FAIL, "keys", "%s may be read by others (mode %04o)", path,
		    (unsigned)st.st_mode & 07777);
		doctor_todo(r, "chmod 600 %s", path);
	} else if (st.st_uid != owner) {
		doctor_bad(r, DOCTOR_WARN, "keys", "%s does not belong to the owner of its directory",
		    path);
		doctor_todo(r, "chown --reference=%s %s", d->data_dir, path);
	} else {
		is_bad = false;
	}
	explicit_bzero(&key, sizeof(key));
	return is_bad;
}

static void
look_keys(const struct doctor *d, struct doctor_report *r)
{
	static const char *const files[] = { "noise_private.key", "derp_private.key" };
	struct stat st = { .st_uid = 0 };

	(void)stat(d->data_dir, &st);
	for (size_t i = 0; i < COUNT_OF(files); i++)
		if (key_is_bad(d, files[i], st.st_uid, r))
			return;
	doctor_ok(r, "keys", "both are whole and only the server's user reads them");
}

static void
look_space(const struct doctor *d, struct doctor_report *r)
{
	struct statvfs v;

	if (statvfs(d->data_dir, &v) != 0)
		return;
	uint64_t left = (uint64_t)v.f_bavail * v.f_frsize, mib = left >> 20;
	bool is_out_of_files = v.f_files > 0 && v.f_favail < 64;

	if ((v.f_flag & ST_RDONLY) != 0) {
		doctor_bad(r, DOCTOR_FAIL, "disk-space", "the file system is read-only");
		doctor_todo(r, "mount it for writing; the kernel's log (dmesg) says why it is not");
	} else if (left < SPACE_FAIL_BYTES || is_out_of_files) {
		doctor_bad(r, DOCTOR_FAIL, "disk-space", is_out_of_files ? "no file can be made any"
		    " more (inodes)" :
		    "%" PRIu64 " MiB are left", mib);
		doctor_todo(r, "free some: on a full disk nodes cannot join and nothing can be"
		    " changed");
	} else if (left < SPACE_WARN_BYTES) {
		doctor_bad(r, DOCTOR_WARN, "disk-space", "%" PRIu64 " MiB are left", mib);
		doctor_todo(r, "free some before the disk is full: then nodes cannot join and nothing"
		    " can be changed");
	} else {
		doctor_ok(r, "disk-space", "%" PRIu64 " MiB are left", mib);
	}
}

/* A file without a name in that directory: it is gone with this process, whatever happens. */
static int
file_make(const char *dir)
{
	char path[PATH_BYTES];
	int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return fd;
	snprintf(path, sizeof(path), "%s/doctor.XXXXXX", dir);
	if ((fd = mkostemp(path, O_CLOEXEC)) >= 0)
		(void)unlink(path);
	return fd;
}

static void
look_write(const struct doctor *d, struct doctor_report *r)
{
	static const uint8_t page[4096] = { 1 };
	int64_t begin_ms = clock_mono_ms();
	int fd = file_make(d->data_dir);
	bool is_good = fd >= 0 && write(fd, page, sizeof(page)) == (ssize_t)sizeof(page) &&
	    fsync(fd) == 0;
	int failure = errno;
	int64_t took_ms = clock_mono_ms() - begin_ms;

	if (fd >= 0)
		close(fd);
	if (!is_good && failure == EACCES) {
		doctor_bad(r, DOCTOR_WARN, "disk-write", "not tried: %s", strerror(failure));
		doctor_todo(r, "run it with sudo, or as the server's user");
	} else if (!is_good) {
		doctor_bad(r, DOCTOR_FAIL, "disk-write", "%s cannot be written: %s", d->data_dir,
		    strerror(failure));
		doctor_todo(r, "%s", failure == ENOSPC || failure == EDQUOT ? "free some space" :
		    "look at the disk and how it is mounted (dmesg, mount)");
	} else if (took_ms > SYNC_WARN_MS) {
		doctor_bad(r, DOCTOR_WARN, "disk-write", "4 KiB take %" PRId64 " ms to be on disk",
		    took_ms);
		doctor_todo(r, "a slow or busy disk delays joins and changes by so much: put the data"
		    " directory on a better one");
	} else {
		doctor_ok(r, "disk-write", "4 KiB are on disk in %" PRId64 " ms", took_ms);
	}
}

static void
look_wal(const struct doctor *d, struct doctor_report *r)
{
	char path[PATH_BYTES];
	struct stat st;

	snprintf(path, sizeof(path), "%s/fairlead.db-wal", d->data_dir);
	if (stat(path, &st) != 0 || st.st_size <= WAL_WARN_BYTES) {
		doctor_ok(r, "wal", "the write-ahead log is small");
		return;
	}
	doctor_bad(r, DOCTOR_WARN, "wal", "the write-ahead log has %" PRId64 " MiB",
	    (int64_t)st.st_size >> 20);
	doctor_todo(r, "another program keeps the database open for reading (a copy, a shell): end it;"
	    " a restart of the server empties the log");
}

void
doctor_data(const struct doctor *d, struct doctor_report *r)
{
	if (d->data_dir == NULL || !look_directory(d, r))
		return;
	look_keys(d, r);
	look_space(d, r);
	look_write(d, r);
	look_wal(d, r);
}

void
doctor_clock(const struct doctor *d, struct doctor_report *r)
{
	struct timex t = { .modes = 0 };
	int state = adjtimex(&t);

	(void)d;
	if (state < 0)
		return;		/* a container that forbids it */
	if (state == TIME_ERROR || (t.status & STA_UNSYNC) != 0) {
		doctor_bad(r, DOCTOR_WARN, "clock/ntp", "nothing keeps this machine's clock right");
		doctor_todo(r, "timedatectl set-ntp true, or install chrony: certificates, keys and"
		    " logins are good or not by the clock");
	} else {
		doctor_ok(r, "clock/ntp", "the clock is kept right by NTP");
	}
}
