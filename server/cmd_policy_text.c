/* Files, editors and differences for fairlead policy. */
#include "server/cmd_policy_text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "server/cli.h"

#define READ_MAX_BYTES	(16u << 20)	/* the server says what is too long for it */

int
cmd_policy_read(const char *path, struct buf *out)
{
	int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = 1;

	if (fd < 0)
		return cli_fail("%s cannot be read: %s", path, strerror(errno));
	while (n > 0 && out->len <= READ_MAX_BYTES) {
		n = read(fd, buf_reserve(out, 1u << 16), 1u << 16);
		if (n > 0)
			out->len += (size_t)n;
	}
	if (n < 0)
		cli_fail("%s cannot be read: %s", path, strerror(errno));
	close(fd);
	return n < 0 ? 1 : 0;
}

/* Runs it and waits. Returns the exit status; 127: there is no such program. */
static int
run(char *const *argv)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 127;
	return WEXITSTATUS(status);
}

/* A file in memory that a child can open: its path goes to path. -1: none can be had. */
static int
memory_file(const json_t *version, char path[64])
{
	const json_t *text = json_object_get(version, "text");
	int fd = memfd_create("policy", 0);

	if (fd < 0)
		return -1;
	if (write(fd, json_string_value(text), json_string_length(text)) !=
	    (ssize_t)json_string_length(text)) {
		close(fd);
		return -1;
	}
	snprintf(path, 64, "/proc/self/fd/%d", fd);
	return fd;
}

static void
print_both(const json_t *a, const json_t *b)
{
	const json_t *both[] = { a, b };

	for (size_t i = 0; i < COUNT_OF(both); i++)
		printf("%s version %" PRId64 "\n%s\n", i == 0 ? "---" : "+++",
		    json_get_int(both[i], "version", 0), json_get_str(both[i], "text", ""));
}

int
cmd_policy_diff(const json_t *a, const json_t *b)
{
	char path_a[64], path_b[64], label_a[48], label_b[48];
	int fd_a = memory_file(a, path_a), fd_b = memory_file(b, path_b), code = 127;
	char program[] = "diff", unified[] = "-u", label[] = "--label";
	char *const argv[] = { program, unified, label, label_a, label, label_b, path_a, path_b, NULL };

	snprintf(label_a, sizeof(label_a), "version %" PRId64, json_get_int(a, "version", 0));
	snprintf(label_b, sizeof(label_b), "version %" PRId64, json_get_int(b, "version", 0));
	fflush(stdout);
	if (fd_a >= 0 && fd_b >= 0)
		code = run(argv);
	if (code > 1)		/* 0: alike, 1: not */
		print_both(a, b);
	if (fd_a >= 0)
		close(fd_a);
	if (fd_b >= 0)
		close(fd_b);
	return 0;
}

static const char *
editor(void)
{
	const char *const names[] = { getenv("VISUAL"), getenv("EDITOR") };

	for (size_t i = 0; i < COUNT_OF(names); i++)
		if (names[i] != NULL && *names[i] != '\0')
			return names[i];
	return "vi";
}

/* The words of $EDITOR are the shell's to take apart. */
static int
edit(const char *path)
{
	char shell[] = "sh", flag[] = "-c", name[] = "fairlead", *command = NULL, *copy = obj_strdup(path);
	int code;

	if (asprintf(&command, "%s \"$1\"", editor()) < 0)
		abort();
	char *const argv[] = { shell, flag, command, name, copy, NULL };
	code = run(argv);
	if (code != 0)
		cli_fail("the editor (%s) ended with status %d: nothing was set; your text is in %s", editor(),
		    code, path);
	free(command);
	free(copy);
	return code;
}

int
cmd_policy_edit(char *path, const char *text, size_t n)
{
	struct buf after = { .len = 0 };
	int fd = mkstemp(path), is_different;

	if (fd < 0 || write(fd, text, n) != (ssize_t)n) {
		cli_fail("%s cannot be written: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	if (edit(path) != 0 || cmd_policy_read(path, &after) != 0) {
		buf_fini(&after);
		return -1;
	}
	is_different = after.len != n || memcmp(after.p, text, n) != 0;
	buf_fini(&after);
	return is_different;
}
