/*
 * A child process. Its end is noticed by the end of its output, which needs no signal handler; every
 * process that it starts is in its process group and shares the pipe, so that nothing stays behind.
 */
#include "server/child.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/obj.h"

#define CHILD_MAGIC	0xc411d001u
#define CHILD_REAP_MS	20	/* between the end of its output and its own */
#define CHILD_OWN_ENV	"FAIRLEAD_"

struct child {
	uint32_t magic;
	struct child_spec spec;		/* argv and env are not kept */
	pid_t pid;			/* and its process group */
	int fd;				/* its output; -1: at the end */
	bool is_timed_out;
	struct event *ev_read, *ev_reap, *ev_late;
	unsigned n_lines;
	size_t n;
	char line[CHILD_LINE_MAX];
};

static void
put_line(struct child *c)
{
	if (c->n > 0 && c->n_lines++ < CHILD_LINES_MAX) {
		c->line[c->n] = '\0';
		c->spec.line(c->spec.arg, c->line);
	}
	c->n = 0;
}

static void
put_bytes(struct child *c, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] == '\n')
			put_line(c);
		else if (c->n + 1 < sizeof(c->line) && (unsigned char)p[i] >= ' ' && p[i] != 0x7f)
			c->line[c->n++] = p[i];
	}
}

static void
release(struct child *c)
{
	struct event *const events[] = { c->ev_read, c->ev_reap, c->ev_late };

	for (size_t i = 0; i < COUNT_OF(events); i++)
		if (events[i] != NULL)
			event_free(events[i]);
	if (c->fd >= 0)
		close(c->fd);
	c->magic = 0;
	free(c);
}

static void
reap(struct child *c)
{
	const struct timeval soon = { .tv_usec = CHILD_REAP_MS * 1000 };
	struct child_end end = { .is_timed_out = c->is_timed_out, .code = -1 };
	int status = 0;
	pid_t pid = waitpid(c->pid, &status, WNOHANG);

	if (pid == 0 || (pid < 0 && errno == EINTR)) {
		ASSERT(event_add(c->ev_reap, &soon) == 0);
		return;
	}
	if (pid == c->pid && WIFEXITED(status))
		end.code = WEXITSTATUS(status);
	void (*done)(void *arg, const struct child_end *end) = c->spec.done;
	void *arg = c->spec.arg;
	release(c);
	done(arg, &end);
}

static void
on_reap(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(c, CHILD_MAGIC);
	reap(c);
}

static void
on_read(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	char bytes[4096];

	(void)what;
	OBJ_CHECK(c, CHILD_MAGIC);
	ssize_t n = read(fd, bytes, sizeof(bytes));
	if (n > 0)
		put_bytes(c, bytes, (size_t)n);
	if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
		return;
	put_line(c);
	event_del(c->ev_read);
	close(c->fd);
	c->fd = -1;
	reap(c);
}

static void
on_late(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(c, CHILD_MAGIC);
	c->is_timed_out = true;
	kill(-c->pid, SIGKILL);
}

/* Ours without our own variables, then the given ones. The list is the caller's, the texts are not. */
static const char **
make_env(const char *const *more)
{
	size_t n = 0, n_more = 0, k = 0;

	while (environ[n] != NULL)
		n++;
	while (more != NULL && more[n_more] != NULL)
		n_more++;
	const char **env = obj_alloc((n + n_more + 1) * sizeof(*env));
	for (size_t i = 0; i < n; i++)
		if (strncmp(environ[i], CHILD_OWN_ENV, sizeof(CHILD_OWN_ENV) - 1) != 0)
			env[k++] = environ[i];
	for (size_t i = 0; i < n_more; i++)
		env[k++] = more[i];
	return env;
}

/* 0, or what errno would be. out: the write end of the pipe. */
static int
spawn(const struct child_spec *spec, int out, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none, all;
	const char **env = make_env(spec->env);

	sigemptyset(&none);
	sigfillset(&all);
	ASSERT(posix_spawn_file_actions_init(&files) == 0 && posix_spawnattr_init(&attr) == 0);
	int e = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
	if (e == 0)
		e = posix_spawn_file_actions_adddup2(&files, out, 1);
	if (e == 0)
		e = posix_spawn_file_actions_adddup2(&files, out, 2);
	if (e == 0)
		e = posix_spawn_file_actions_addclosefrom_np(&files, 3);
	if (e == 0)
		e = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
		    POSIX_SPAWN_SETSIGDEF);
	if (e == 0)
		e = posix_spawnattr_setsigmask(&attr, &none);
	if (e == 0)
		e = posix_spawnattr_setsigdefault(&attr, &all);	/* SIGPIPE is ignored by us */
	if (e == 0)
		e = posix_spawnp(pid, spec->argv[0], &files, &attr,
		    (char *const *)(uintptr_t)spec->argv, (char *const *)(uintptr_t)env);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	free(env);
	return e;
}

enum err
child_start(struct event_base *base, const struct child_spec *spec, struct child **out,
    struct err_text *why)
{
	const struct timeval late = { spec->timeout_ms / 1000, spec->timeout_ms % 1000 * 1000 };
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return err_say(why, ERR_IO, "cannot start %s: %s", spec->argv[0], strerror(errno));
	int e = spawn(spec, fds[1], &pid);
	close(fds[1]);
	if (e != 0) {
		close(fds[0]);
		return err_say(why, e == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot start %s: %s",
		    spec->argv[0], strerror(e));
	}
	struct child *c = obj_alloc(sizeof(*c));
	c->magic = CHILD_MAGIC;
	c->spec = *spec;
	c->spec.argv = c->spec.env = NULL;
	c->pid = pid;
	c->fd = fds[0];
	(void)evutil_make_socket_nonblocking(c->fd);
	c->ev_read = event_new(base, c->fd, EV_READ | EV_PERSIST, on_read, c);
	c->ev_reap = evtimer_new(base, on_reap, c);
	c->ev_late = evtimer_new(base, on_late, c);
	ASSERT(c->ev_read != NULL && c->ev_reap != NULL && c->ev_late != NULL);
	ASSERT(event_add(c->ev_read, NULL) == 0);
	ASSERT(event_add(c->ev_late, &late) == 0);
	*out = c;
	return ERR_OK;
}

void
child_free(struct child *c)
{
	if (c == NULL)
		return;
	OBJ_CHECK(c, CHILD_MAGIC);
	kill(-c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	release(c);
}
