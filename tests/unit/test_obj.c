/* links: */
/* Objects: zeroed memory, and assertions that end the process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/obj.h"

#define THING_MAGIC 0x7417u

struct thing {
	uint32_t magic;
	int value;
};

/* How a child that runs fn ends: its signal, or 0; its standard error in text. */
static int
signal_of(void (*fn)(void), char *text, size_t n_text)
{
	int pipe_fd[2], status;

	assert_int_equal(pipe(pipe_fd), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(pipe_fd[1], STDERR_FILENO);
		fn();
		_exit(0);
	}
	close(pipe_fd[1]);
	ssize_t n = read(pipe_fd[0], text, n_text - 1);
	text[n > 0 ? n : 0] = '\0';
	close(pipe_fd[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void
check_good(void)
{
	struct thing t = { THING_MAGIC, 1 };

	OBJ_CHECK(&t, THING_MAGIC);
}

static void
check_null(void)
{
	struct thing *volatile t = NULL;

	OBJ_CHECK(t, THING_MAGIC);
}

static void
check_foreign(void)
{
	struct thing t = { 7, 1 };

	OBJ_CHECK(&t, THING_MAGIC);
}

static void
test_check(void **state)
{
	char text[256];

	(void)state;
	assert_int_equal(signal_of(check_good, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	assert_int_equal(signal_of(check_null, text, sizeof(text)), SIGABRT);
	assert_non_null(strstr(text, "assertion failed: "));
	assert_non_null(strstr(text, "test_obj.c:"));
	assert_int_equal(signal_of(check_foreign, text, sizeof(text)), SIGABRT);
	assert_non_null(strstr(text, "(0x7417u)"));
}

static void
check_no_memory(void)
{
	errno = ENOMEM;
	OBJ_CHECK((struct thing *)NULL, THING_MAGIC);
}

static void
test_no_memory(void **state)
{
	char text[512];

	(void)state;
	assert_int_equal(signal_of(check_no_memory, text, sizeof(text)), SIGABRT);
	assert_non_null(strstr(text, "fairlead: no memory is left"));
	assert_non_null(strstr(text, "more memory"));
	assert_non_null(strstr(text, "test_obj.c:"));
}

static void
test_memory(void **state)
{
	uint8_t zero[100] = { 0 };
	uint8_t *p = obj_alloc(sizeof(zero));

	(void)state;
	assert_memory_equal(p, zero, sizeof(zero));
	p[99] = 5;
	p = obj_realloc(p, 10000);
	assert_int_equal(p[99], 5);
	free(p);
	p = obj_alloc(0);
	assert_non_null(p);
	free(p);
	char *s = obj_strdup("text");
	assert_string_equal(s, "text");
	free(s);
}

static void
test_container_of(void **state)
{
	struct thing t = { THING_MAGIC, 3 };

	(void)state;
	assert_ptr_equal(CONTAINER_OF(&t.value, struct thing, value), &t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check), cmocka_unit_test(test_no_memory),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_container_of),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
