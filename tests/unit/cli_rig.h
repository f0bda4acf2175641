/* The command, run in a child, and us as its server on a Unix socket. One test program each. */
#ifndef TESTS_UNIT_CLI_RIG_H
#define TESTS_UNIT_CLI_RIG_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/cmd.h"

#define NOW	1800000000
#define ARGS_MAX 12

static int
serve_run(int argc, char **argv)
{
	(void)argv;
	return 40 + argc;
}

static void
serve_usage(FILE *f)
{
	fputs("serve's help\n", f);
}

const struct cmd cmd_serve = {
	.name = "serve", .summary = "runs the server", .run = serve_run, .usage = serve_usage,
};

/* These two are whole programs, too. */
const struct cmd cmd_relay = {
	.name = "relay", .summary = "run a relay on another machine", .run = serve_run, .usage = serve_usage,
};
const struct cmd cmd_doctor = {
	.name = "doctor", .summary = "what is wrong, and what to do", .run = serve_run, .usage = serve_usage,
};

struct exchange {
	const char *request;		/* "METHOD path body" that must come */
	const char *status, *answer;
};

struct run_case {
	const char *args[ARGS_MAX];
	struct exchange exchanges[2];
	int code;
	const char *out, *err;		/* whole stdout; NULL: not looked at. stderr */
};

static char dir[64], sock[96];
static int listener;

static int
server_make(void **state)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/fairlead-test-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(sock, sizeof(sock), "%s/x.sock", dir);
	memcpy(sa.sun_path, sock, sizeof(sock));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setenv("FAIRLEAD_SOCKET", sock, 1);
	unsetenv("FAIRLEAD_CONFIG");
	return bind(listener, (struct sockaddr *)&sa, sizeof(sa)) != 0 || listen(listener, 4) != 0 ? -1 : 0;
}

static int
server_remove(void **state)
{
	(void)state;
	close(listener);
	unlink(sock);
	return rmdir(dir);
}

/* Reads one request: "METHOD path body". */
static void
request_read(int fd, char *out, size_t n_out)
{
	char text[8192];
	size_t len = 0, need = SIZE_MAX;

	while (len < need) {
		ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);
		assert_true(n > 0);
		len += (size_t)n;
		text[len] = 0;
		char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
		if (end != NULL)
			need = (size_t)(end - text) + 4 + (length != NULL ? strtoul(length + 16, NULL, 10) : 0);
	}
	char *body = strstr(text, "\r\n\r\n") + 4, *version = strstr(text, " HTTP/1.1");
	snprintf(out, n_out, "%.*s%s%s", (int)(version - text), text, *body != 0 ? " " : "", body);
}

static void
exchange(const struct exchange *e)
{
	struct pollfd p = { .fd = listener, .events = POLLIN };
	char request[4096];

	assert_int_equal(poll(&p, 1, 10000), 1);
	int fd = accept(listener, NULL, NULL);
	request_read(fd, request, sizeof(request));
	assert_string_equal(request, e->request);
	dprintf(fd,
	    "HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\n"
	    "Content-Length: %zu\r\n\r\n%s",
	    e->status, strlen(e->answer), e->answer);
	close(fd);
}

static void
read_all(int fd, char *out, size_t n_out)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, out + len, n_out - 1 - len)) > 0)
		len += (size_t)n;
	out[len] = 0;
	close(fd);
}

/* The command runs in a child, because flags live in static variables; we are its server. */
static void
run_case(const struct run_case *c)
{
	int out[2], err[2], status, argc = 1;
	char *argv[ARGS_MAX + 2] = { (char[]){ "fairlead" } }, text[16384];

	while (c->args[argc - 1] != NULL) {
		argv[argc] = (char *)(uintptr_t)c->args[argc - 1];
		argc++;
	}
	assert_int_equal(pipe(out) | pipe(err), 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		clock_test_set(0, NOW);
		dup2(out[1], 1);
		dup2(err[1], 2);
		int code = cmd_main(argc, argv);
		fflush(NULL);
		_exit(code);
	}
	close(out[1]);
	close(err[1]);
	for (unsigned i = 0; i < 2 && c->exchanges[i].request != NULL; i++)
		exchange(&c->exchanges[i]);
	read_all(out[0], text, sizeof(text));
	if (c->out != NULL)
		assert_string_equal(text, c->out);
	read_all(err[0], text, sizeof(text));
	assert_string_equal(text, c->err != NULL ? c->err : "");
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), c->code);
}

#endif
