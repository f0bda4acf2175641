/*
 * A library for LD_PRELOAD that makes memory, SQL steps and disks fail, for tests of the server.
 *
 * FAULT_CONTROL names a file that is mapped and shared with the test, which arms faults in it and reads
 * what happened while the server runs: struct control, all 64-bit words in the machine's byte order.
 * FAULT_IMAGE names a directory that gets what would be left of the directory FAULT_DATA if power failed:
 *
 *   I<inode>.<birth>   what a file held when it was last synced
 *   names              "<inode>.<birth> name" of each file, as of the directory's last sync
 *
 * A name that was not synced with its directory and bytes that were not synced with their file are not
 * there. The rest of the world sees files as ever, so that nothing in the server notices. What is there
 * when the process begins counts as synced. Only regular files are looked at, and no subdirectories.
 * With FAULT_TRACE set, the callers of a call that fails are printed.
 */
#include <assert.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#define CONTROL_BYTES	(64u << 10)
#define SEEN_MAX	8000
#define DEPTH_MAX	16
#define MODULES_MAX	96

enum { NONE, ALLOCATION, WRITE, STEP };

struct control {
	_Atomic int64_t kind;		/* what is counted and fails; 0: nothing */
	_Atomic int64_t n;		/* the n-th from now on; 0: the first at a new place */
	_Atomic int64_t error;		/* errno of a write that fails, result code of a step, or -SIGKILL */
	_Atomic int64_t gate;		/* counts only once an SQL step was made, unless 0 */
	_Atomic int64_t depth;		/* callers that make a place; at most DEPTH_MAX - 3 */
	_Atomic int64_t lasting;	/* errno of every change of a file; 0: they work */
	_Atomic int64_t sync_ms;	/* how much longer a sync takes */
	_Atomic int64_t count, fired;	/* calls counted; how many of them failed */
	_Atomic int64_t busy;		/* calls that are being judged */
	_Atomic int64_t n_seen;
	_Atomic uint64_t seen[SEEN_MAX];	/* places where an allocation failed */
};

static_assert(sizeof(struct control) <= CONTROL_BYTES, "the mapping holds it");

struct module {
	uintptr_t begin, end;
};

static struct control *control;
static char data_dir[4096], image_dir[4096];
static pthread_mutex_t image_mu = PTHREAD_MUTEX_INITIALIZER;
static struct module modules[MODULES_MAX];
static int n_modules;
static bool is_traced;
static _Thread_local bool is_inside;	/* our own calls do not count */
static _Thread_local bool is_nested;	/* nor do steps that SQLite makes for itself */

/* glibc's own, behind the names that this library takes. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

/* Through a union, since an object pointer is no function pointer in C. */
static void (*real(const char *name))(void)
{
	union {
		void *object;
		void (*fn)(void);
	} u = { .object = dlsym(RTLD_NEXT, name) };

	if (u.object == NULL)
		abort();
	return u.fn;
}

#define REAL(name) ((__typeof__(&name))real(#name))

/* --- which call fails ------------------------------------------------------------------------------ */

/* Where the caller is, the same in each run of the same program. */
static uint64_t
place(void)
{
	void *at[DEPTH_MAX];
	int n = backtrace(at, (int)atomic_load(&control->depth) + 3);
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (int i = 3; i < n; i++) {
		uintptr_t a = (uintptr_t)at[i];
		for (int m = 0; m < n_modules; m++)
			if (a >= modules[m].begin && a < modules[m].end)
				a = a - modules[m].begin + ((uintptr_t)m << 48);
		h = (h ^ a) * UINT64_C(0x100000001b3);
	}
	return h;
}

static bool
is_new_place(uint64_t h)
{
	int64_t n = atomic_load(&control->n_seen);

	for (int64_t i = 0; i < n; i++)
		if (atomic_load(&control->seen[i]) == h)
			return false;
	if (n == SEEN_MAX)
		return false;
	atomic_store(&control->seen[n], h);
	atomic_store(&control->n_seen, n + 1);
	return true;
}

/* Who is hit, on stderr: addresses for addr2line. */
static void
trace(void)
{
	void *at[32];

	backtrace_symbols_fd(at, backtrace(at, 32), STDERR_FILENO);
}

/* Is this call the one that fails? */
static bool
fails(int kind)
{
	bool is_it = false;

	if (control == NULL || is_inside || atomic_load(&control->kind) != kind ||
	    atomic_load(&control->gate) != 0)
		return false;
	is_inside = true;
	atomic_fetch_add(&control->busy, 1);
	int64_t count = atomic_fetch_add(&control->count, 1) + 1;
	if (atomic_load(&control->kind) != kind) {
		;	/* disarmed meanwhile: who sees that nobody is busy knows all that has failed */
	} else if (atomic_load(&control->n) != 0) {
		is_it = count == atomic_load(&control->n);
	} else if (atomic_load(&control->fired) == 0) {
		pthread_mutex_lock(&image_mu);
		is_it = atomic_load(&control->fired) == 0 && is_new_place(place());
		pthread_mutex_unlock(&image_mu);
	}
	if (is_it) {
		atomic_fetch_add(&control->fired, 1);
		if (atomic_load(&control->error) == -SIGKILL)
			raise(SIGKILL);
		if (is_traced)
			trace();
	}
	atomic_fetch_sub(&control->busy, 1);
	is_inside = false;
	return is_it;
}

/* errno of a change of a file, or 0. */
static int
write_error(void)
{
	int e = control == NULL || is_inside ? 0 : (int)atomic_load(&control->lasting);

	return e == 0 && fails(WRITE) ? (int)atomic_load(&control->error) : e;
}

static bool
is_file(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Sets errno; true: the call fails. */
static bool
refuses(int fd)
{
	int e;

	if (control == NULL || is_inside || !is_file(fd) || (e = write_error()) == 0)
		return false;
	errno = e;
	return true;
}

static bool
refuses_path(const char *path)
{
	size_t n = strlen(data_dir);

	if (control == NULL || is_inside || n == 0 || strncmp(path, data_dir, n) != 0 ||
	    atomic_load(&control->lasting) == 0)
		return false;
	errno = (int)atomic_load(&control->lasting);
	return true;
}

/* --- what power cuts leave ------------------------------------------------------------------------- */

static bool
identity(int fd, char out[64])
{
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_BTIME, &x) != 0)
		return false;
	snprintf(out, 64, "%llu.%lld%09u", (unsigned long long)x.stx_ino, (long long)x.stx_btime.tv_sec,
	    x.stx_btime.tv_nsec);
	return true;
}

/* Overwrites in place, as a disk does: who is killed in the middle leaves old and new bytes. */
static void
copy_file(int from, const char *to)
{
	static char block[64 << 10];
	int fd = open(to, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	off_t at = 0;
	ssize_t n;

	if (fd < 0)
		abort();
	for (; (n = pread(from, block, sizeof(block), at)) > 0; at += n)
		if (pwrite(fd, block, (size_t)n, at) != n)
			abort();
	if (n < 0 || ftruncate(fd, at) != 0)
		abort();
	close(fd);
}

/* fd may be open for writing only. */
static void
image_file(int fd)
{
	char own[64], path[4200], id[64];
	int in;

	snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
	if ((in = open(own, O_RDONLY | O_CLOEXEC)) < 0)
		return;
	if (identity(in, id)) {
		snprintf(path, sizeof(path), "%s/I%s", image_dir, id);
		copy_file(in, path);
	}
	close(in);
}

static void
image_names(bool with_content)
{
	char part[4200], path[4200], id[64];
	DIR *d = opendir(data_dir);
	struct dirent *e;
	FILE *f;

	if (d == NULL)
		return;
	snprintf(part, sizeof(part), "%s/names.part", image_dir);
	if ((f = fopen(part, "we")) == NULL)
		abort();
	while ((e = readdir(d)) != NULL) {
		int fd = e->d_type != DT_REG ? -1 : openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && identity(fd, id)) {
			fprintf(f, "%s %s\n", id, e->d_name);
			if (with_content)
				image_file(fd);
		}
		if (fd >= 0)
			close(fd);
	}
	closedir(d);
	snprintf(path, sizeof(path), "%s/names", image_dir);
	if (fclose(f) != 0 || rename(part, path) != 0)
		abort();
}

/* Is fd data_dir itself (0), a file in it (1), or neither (-1)? */
static int
whose(int fd)
{
	char own[64], path[4200];
	size_t n_dir = strlen(data_dir);
	ssize_t n;

	snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
	if ((n = readlink(own, path, sizeof(path) - 1)) <= 0)
		return -1;
	path[n] = '\0';
	if (strncmp(path, data_dir, n_dir) != 0)
		return -1;
	if (path[n_dir] == '\0')
		return 0;
	return path[n_dir] == '/' && strchr(path + n_dir + 1, '/') == NULL ? 1 : -1;
}

static void
image_sync(int fd)
{
	int saved = errno;

	if (image_dir[0] == '\0' || is_inside)
		return;
	is_inside = true;
	pthread_mutex_lock(&image_mu);
	switch (whose(fd)) {
	case 0:
		image_names(false);
		break;
	case 1:
		image_file(fd);
		break;
	default:
		break;
	}
	pthread_mutex_unlock(&image_mu);
	is_inside = false;
	errno = saved;
}

/* --- beginning ------------------------------------------------------------------------------------- */

static int
on_module(struct dl_phdr_info *info, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	for (int i = 0; i < info->dlpi_phnum && n_modules < MODULES_MAX; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		if (p->p_type == PT_LOAD && (p->p_flags & PF_X) != 0) {
			modules[n_modules].begin = info->dlpi_addr + p->p_vaddr;
			modules[n_modules].end = info->dlpi_addr + p->p_vaddr + p->p_memsz;
			n_modules++;
		}
	}
	return 0;
}

static void __attribute__((constructor))
begin(void)
{
	const char *path = getenv("FAULT_CONTROL"), *data = getenv("FAULT_DATA");
	const char *image = getenv("FAULT_IMAGE");
	void *at[4];
	int fd;

	unsetenv("LD_PRELOAD");		/* not for children */
	if (path == NULL || (fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
		return;
	is_inside = true;
	(void)backtrace(at, 4);		/* loads what it needs */
	dl_iterate_phdr(on_module, NULL);
	is_traced = getenv("FAULT_TRACE") != NULL;
	if (data != NULL)
		snprintf(data_dir, sizeof(data_dir), "%s", data);
	if (image != NULL) {
		snprintf(image_dir, sizeof(image_dir), "%s", image);
		image_names(true);
	}
	void *p = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		abort();
	is_inside = false;
	control = p;
}

/* --- the names that are taken ---------------------------------------------------------------------- */

void *
malloc(size_t n)
{
	if (fails(ALLOCATION)) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	if (fails(ALLOCATION)) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	if (fails(ALLOCATION)) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_realloc(p, n);
}

int
sqlite3_step(sqlite3_stmt *q)
{
	if (control != NULL && !is_inside)
		atomic_store(&control->gate, 0);
	if (!is_nested && fails(STEP))
		return (int)atomic_load(&control->error);
	return REAL(sqlite3_step)(q);
}

/* SQLite's own takes the result of sqlite3_finalize for that of a step, so a step that was never made
 * would go unnoticed. With a callback it is SQLite that calls. */
int
sqlite3_exec(sqlite3 *db, const char *sql, int (*fn)(void *, int, char **, char **), void *arg, char **text)
{
	sqlite3_stmt *q;
	int rc = SQLITE_OK;

	if (fn != NULL || text != NULL) {
		is_nested = true;
		rc = REAL(sqlite3_exec)(db, sql, fn, arg, text);
		is_nested = false;
		return rc;
	}
	while (rc == SQLITE_OK && *sql != '\0') {
		if ((rc = sqlite3_prepare_v2(db, sql, -1, &q, &sql)) != SQLITE_OK || q == NULL)
			continue;
		while ((rc = sqlite3_step(q)) == SQLITE_ROW)
			;
		rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
		sqlite3_finalize(q);
	}
	return rc;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	return refuses(fd) ? -1 : REAL(write)(fd, p, n);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return refuses(fd) ? -1 : REAL(pwrite)(fd, p, n, at);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	return refuses(fd) ? -1 : REAL(pwrite64)(fd, p, n, at);
}

int
ftruncate(int fd, off_t n)
{
	return refuses(fd) ? -1 : REAL(ftruncate)(fd, n);
}

int
ftruncate64(int fd, off64_t n)
{
	return refuses(fd) ? -1 : REAL(ftruncate64)(fd, n);
}

int
posix_fallocate(int fd, off_t at, off_t n)
{
	return refuses(fd) ? errno : REAL(posix_fallocate)(fd, at, n);
}

static int
sync_with(int fd, int (*fn)(int fd))
{
	if (control != NULL && !is_inside && atomic_load(&control->sync_ms) > 0) {
		int64_t ms = atomic_load(&control->sync_ms);
		struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
		(void)nanosleep(&t, NULL);
	}
	if (refuses(fd))
		return -1;
	int rc = fn(fd);
	if (rc == 0)
		image_sync(fd);
	return rc;
}

int
fsync(int fd)
{
	return sync_with(fd, REAL(fsync));
}

int
fdatasync(int fd)
{
	return sync_with(fd, REAL(fdatasync));
}

/* A full disk still opens what is there; a read-only one does not, for writing. */
static bool
refuses_open(const char *path, int flags)
{
	if ((flags & O_ACCMODE) == O_RDONLY && (flags & O_CREAT) == 0)
		return false;
	if (control != NULL && atomic_load(&control->lasting) != EROFS &&
	    ((flags & O_CREAT) == 0 || access(path, F_OK) == 0))
		return false;
	return refuses_path(path);
}

/* The mode is there only with O_CREAT. */
#define OPEN_MODE(flags, last) \
	mode_t mode = 0; \
	if (((flags) & O_CREAT) != 0) { \
		va_list ap; \
		va_start(ap, last); \
		mode = va_arg(ap, mode_t); \
		va_end(ap); \
	}

int
open(const char *path, int flags, ...)
{
	OPEN_MODE(flags, flags)
	return refuses_open(path, flags) ? -1 : REAL(open)(path, flags, mode);
}

int
open64(const char *path, int flags, ...)
{
	OPEN_MODE(flags, flags)
	return refuses_open(path, flags) ? -1 : REAL(open64)(path, flags, mode);
}

int
mkdir(const char *path, mode_t mode)
{
	return access(path, F_OK) != 0 && refuses_path(path) ? -1 : REAL(mkdir)(path, mode);
}

/* Names can be given up and exchanged on a full disk. */
static bool
is_read_only(const char *path)
{
	return control != NULL && atomic_load(&control->lasting) == EROFS && refuses_path(path);
}

int
rename(const char *from, const char *to)
{
	return is_read_only(from) ? -1 : REAL(rename)(from, to);
}

int
unlink(const char *path)
{
	return is_read_only(path) ? -1 : REAL(unlink)(path);
}
