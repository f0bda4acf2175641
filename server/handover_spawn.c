/* fork twice: the middle process ends at once, so the new one belongs to init or the service manager. */
#include "server/handover_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "server/handover_wire.h"

#define ARGS_MAX	512

static char program[4200];

void
handover_spawn_remember(void)
{
	const char *as = (const char *)getauxval(AT_EXECFN);	/* NOLINT: that is its form */
	char cwd[4096];

	program[0] = '\0';
	if (as != NULL && as[0] == '/')
		snprintf(program, sizeof(program), "%s", as);
	else if (as != NULL && getcwd(cwd, sizeof(cwd)) != NULL)
		snprintf(program, sizeof(program), "%s/%s", cwd, as);
}

/* The words that we were started with, as the kernel keeps them: argv has been reordered. */
static enum err
read_words(struct buf *out, struct err_text *why)
{
	ssize_t n = 1;
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_say(why, ERR_IO, "/proc/self/cmdline cannot be read: %s", strerror(errno));
	while (n > 0) {
		n = read(fd, buf_reserve(out, 4096), 4096);
		if (n > 0)
			out->len += (size_t)n;
	}
	close(fd);
	buf_append(out, "", 1);
	return n == 0 ? ERR_OK : err_say(why, ERR_IO, "/proc/self/cmdline cannot be read");
}

/* What is for the first start, and what is added here. */
static bool
is_left_out(const char *word)
{
	return strcmp(word, "--new-key") == 0 || strcmp(word, "--takeover") == 0;
}

static enum err
make_argv(struct buf *words, char *argv[ARGS_MAX + 2], struct err_text *why)
{
	static char takeover[] = "--takeover";
	size_t at = 0;
	unsigned n = 0;

	/* the last NUL is ours */
	while (at + 1 < words->len) {
		char *word = (char *)words->p + at;

		at += strlen(word) + 1;
		if (n == ARGS_MAX)
			return err_say(why, ERR_LIMIT, "the command line is too long");
		if (!is_left_out(word))
			argv[n++] = word;
	}
	if (n < 2)
		return err_say(why, ERR_IO, "/proc/self/cmdline has no command line");
	argv[n++] = takeover;
	argv[n] = NULL;
	return ERR_OK;
}

/* Async-signal-safe only: other threads of ours may have held any lock. */
_Noreturn static void
become(char *const *argv, char *const *env, int fd, int parent_fd)
{
	static const char failed[] = "Fthe new program cannot be started";
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	close(parent_fd);
	if (fcntl(fd, F_SETFD, 0) == 0)
		execve(program, argv, env);
	(void)send(fd, failed, sizeof(failed) - 1, MSG_NOSIGNAL);
	_exit(1);
}

static enum err
start(char *const *argv, char *const *env, int fds[2], struct err_text *why)
{
	pid_t middle = fork();
	int status = 0;

	if (middle == 0) {
		pid_t pid = fork();
		if (pid == 0)
			become(argv, env, fds[1], fds[0]);
		_exit(pid < 0);
	}
	if (middle < 0)
		return err_say(why, ERR_IO, "no process can be started: %s", strerror(errno));
	while (waitpid(middle, &status, 0) < 0 && errno == EINTR) {
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return err_say(why, ERR_IO, "no process can be started");
	return ERR_OK;
}

enum err
handover_spawn(int *fd, struct err_text *why)
{
	struct buf words = { .p = NULL };
	char *argv[ARGS_MAX + 2], given[64];
	size_t n_env = 0, n = 0;
	int fds[2] = { -1, -1 };
	enum err rc;

	while (environ[n_env] != NULL)
		n_env++;
	char **env = obj_alloc((n_env + 2) * sizeof(*env));
	for (size_t i = 0; i < n_env; i++)
		if (strncmp(environ[i], HANDOVER_ENV "=", sizeof(HANDOVER_ENV)) != 0)
			env[n++] = environ[i];
	env[n] = given;
	if (access(program, X_OK) != 0) {
		rc = err_say(why, ERR_NOTFOUND, "%s cannot be run: %s", program, strerror(errno));
		goto out;
	}
	if ((rc = read_words(&words, why)) != ERR_OK || (rc = make_argv(&words, argv, why)) != ERR_OK)
		goto out;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) {
		rc = err_say(why, ERR_IO, "no socket can be made: %s", strerror(errno));
		goto out;
	}
	snprintf(given, sizeof(given), HANDOVER_ENV "=%d", fds[1]);
	if ((rc = start(argv, env, fds, why)) == ERR_OK) {
		*fd = fds[0];
		fds[0] = -1;
	}
out:
	if (fds[0] >= 0)
		close(fds[0]);
	if (fds[1] >= 0)
		close(fds[1]);
	buf_fini(&words);
	free(env);
	return rc;
}
