/*
 * Would the server start with this database? A copy is migrated and loaded as the server does it, in a
 * child
 * process that may die over it. For a server that does not run; one that runs has shown it.
 */
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "coord/coord.h"
#include "coord/store.h"
#include "coord/tailnet_policy.h"
#include "server/doctor.h"

#define LOAD_MAX_S	120
#define POLICY_FILE_MS	1000	/* policy.path is read and checked beside the loop */
#define DIR_BYTES	512

/* What the child says, as one write. */
struct verdict {
	enum err rc;
	struct err_text why;		/* rc != ERR_OK */
	struct err_text problem;	/* of the policy; "": none */
	uint64_t n_users, n_nodes;
	int64_t policy_version;
};

static void
on_key(void *arg, const struct node_key *key)
{
	(void)arg;
	(void)key;
}

static bool
is_relayed(void *arg, const struct node_key *key)
{
	(void)arg;
	(void)key;
	return false;
}

static void
read_state(struct coord *c, struct verdict *v)
{
	struct tailnet *t = coord_tailnet(c, "default");
	const char *problem = tailnet_policy_problem(t);

	v->n_users = t->users.count;
	v->n_nodes = t->nodes.count;
	v->policy_version = t->policies->now.version;
	if (problem != NULL)
		snprintf(v->problem.s, sizeof(v->problem.s), "%s", problem);
}

/* Loads the copy in dir as serve does. Its own process: what it has is freed by its end. */
static void
load(const struct config *cfg, char *dir, struct verdict *v)
{
	struct config own = *cfg;
	struct private_key key;
	struct coord *c = NULL;
	struct coord_params p = { .base = event_base_new(), .cfg = &own, .noise_key = &key };
	int64_t until_ms = clock_mono_ms() + (cfg->policy.path[0] != 0 ? POLICY_FILE_MS : 0);

	own.data_dir = dir;
	private_key_new(&key);
	p.tailnet = (struct tailnet_deps){ .admit = on_key, .expel = on_key, .is_relayed = is_relayed,
		.derp_host = "127.0.0.1", .server_url = "http://127.0.0.1" };
	if (p.base == NULL || (p.mbox = mbox_new(p.base, NULL, STORE_QUEUE_MAX)) == NULL) {
		v->rc = err_say(&v->why, ERR_IO, "no file descriptor is left");
		return;
	}
	if ((v->rc = worker_group_new(1, &p.workers, &v->why)) != ERR_OK ||
	    (v->rc = coord_new(&p, &c, &v->why)) != ERR_OK)
		return;
	do
		(void)event_base_loop(p.base, EVLOOP_NONBLOCK);
	while (clock_mono_ms() < until_ms && usleep(10000) == 0);
	read_state(c, v);
	coord_stop(c);
}

static void
child(const struct config *cfg, char *dir, int out)
{
	struct verdict v = { .rc = ERR_OK };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	alarm(LOAD_MAX_S);
	if (null >= 0)
		dup2(null, STDERR_FILENO);
	load(cfg, dir, &v);
	_exit(write(out, &v, sizeof(v)) == (ssize_t)sizeof(v) ? 0 : 1);
}

/* false: the child died of it. */
static bool
load_apart(const struct config *cfg, char *dir, struct verdict *v)
{
	int ends[2], status = 0;
	pid_t pid = -1;
	ssize_t n = 0;

	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	fflush(NULL);
	if ((pid = fork()) == 0)
		child(cfg, dir, ends[1]);
	close(ends[1]);
	if (pid > 0) {
		n = read(ends[0], v, sizeof(*v));
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
	}
	close(ends[0]);
	return n == (ssize_t)sizeof(*v);
}

static void
remove_dir(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;
	char path[DIR_BYTES + 300];

	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		(void)unlink(path);
	}
	if (d != NULL)
		closedir(d);
	(void)rmdir(dir);
}

static void
say(const struct doctor *d, const struct verdict *v, bool is_alive, struct doctor_report *r)
{
	if (!is_alive || v->rc != ERR_OK) {
		doctor_bad(r, DOCTOR_FAIL, "load", "a server would not start with this database%s%s",
		    is_alive ? ": " : "", is_alive ? v->why.s : "");
		doctor_todo(r, "restore a backup into %s; the copies fairlead.db.before-… there are"
		    " from before upgrades",
		    d->data_dir);
		return;
	}
	doctor_ok(r, "load", "a server starts with it; users: %llu, nodes: %llu",
	    (unsigned long long)v->n_users,
	    (unsigned long long)v->n_nodes);
	if (v->problem.s[0] != 0) {
		doctor_bad(r, DOCTOR_FAIL, "policy", "%s", v->problem.s);
		doctor_todo(r, "the last good policy stays in force, or nobody reaches anybody: correct"
		    " it with `fairlead policy set FILE`");
	} else {
		doctor_ok(r, "policy", v->policy_version > 0 ? "version %lld is understood" : "none:"
		    " everything is allowed",
		    (long long)v->policy_version);
	}
}

/* ERR_NOTFOUND: there is no such file; ERR_IO with *why. */
static enum err
copy(const char *from, const char *to, struct err_text *why)
{
	int in = open(from, O_RDONLY | O_CLOEXEC), out = -1;
	struct stat st;
	ssize_t n = -1;

	if (in < 0)
		return errno == ENOENT ? ERR_NOTFOUND : err_say(why, ERR_IO, "%s: %s", from,
		    strerror(errno));
	if (fstat(in, &st) == 0 && (out = open(to, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600)) >= 0)
		for (off_t left = st.st_size; (n = left) > 0; left -= n)
			if ((n = sendfile(out, in, NULL, (size_t)left)) <= 0)
				break;
	enum err rc = n == 0 ? ERR_OK : err_say(why, ERR_IO, "cannot copy %s to %s: %s", from, to,
	    strerror(errno));
	close(in);
	if (out >= 0)
		close(out);
	return rc;
}

/* Database and write-ahead log: nobody writes to them now. */
static enum err
copy_database(const struct doctor *d, const char *dir, struct err_text *why)
{
	static const char *const files[] = { "fairlead.db", "fairlead.db-wal" };
	enum err rc = ERR_OK;

	for (size_t i = 0; i < COUNT_OF(files) && rc == ERR_OK; i++) {
		char from[4200], to[DIR_BYTES + 32];

		snprintf(from, sizeof(from), "%s/%s", d->data_dir, files[i]);
		snprintf(to, sizeof(to), "%s/%s", dir, files[i]);
		rc = copy(from, to, why);
		if (i > 0 && rc == ERR_NOTFOUND)
			rc = ERR_OK;
	}
	return rc;
}

void
doctor_load(const struct doctor *d, struct doctor_report *r)
{
	const char *tmp = getenv("TMPDIR");
	char dir[DIR_BYTES], path[4200];
	struct verdict v = { .rc = ERR_OK };
	struct err_text why = { "" };

	if (d->data_dir == NULL || d->cfg == NULL || d->is_running)
		return;
	snprintf(path, sizeof(path), "%s/fairlead.db", d->data_dir);
	if (access(path, R_OK) != 0)
		return;		/* see database */
	snprintf(dir, sizeof(dir), "%s/fairlead-doctor-XXXXXX", tmp != NULL &&
	    strlen(tmp) < 200 ? tmp : "/tmp");
	if (mkdtemp(dir) == NULL) {
		doctor_bad(r, DOCTOR_WARN, "load", "not tried: %s: %s", dir, strerror(errno));
		doctor_todo(r, "set TMPDIR to a directory with room for a copy of the database");
		return;
	}
	if (copy_database(d, dir, &why) != ERR_OK) {
		doctor_bad(r, DOCTOR_WARN, "load", "not tried: %s", why.s);
		doctor_todo(r, "set TMPDIR to a directory with room for a copy of the database");
	} else {
		bool is_alive = load_apart(d->cfg, dir, &v);
		say(d, &v, is_alive, r);
	}
	remove_dir(dir);
}
