/* links: */
/* Log lines, as they arrive on standard error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define HEAD "time=2026-11-23T20:01:37.000Z level=info part=relay event="

static char text[8192];
static int saved_fd, read_fd;

static void
capture_start(void)
{
	int fds[2];

	assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
	saved_fd = dup(STDERR_FILENO);
	assert_int_equal(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
	close(fds[1]);
	read_fd = fds[0];
}

/* What was written since capture_start. */
static const char *
capture_end(void)
{
	ssize_t n = read(read_fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	dup2(saved_fd, STDERR_FILENO);
	close(saved_fd);
	close(read_fd);
	return text;
}

static void
test_line(void **state)
{
	(void)state;
	capture_start();
	errno = EPIPE;
	log_info(LOG_RELAY, "client up", "node", "n1", "count", LOG_NUM(-3), "ip", (char *)NULL,
	    "empty", "");
	assert_int_equal(errno, EPIPE);
	log_warn(LOG_DOOR, "plain");
	assert_string_equal(capture_end(),
	    HEAD "\"client up\" node=n1 count=-3 ip=- empty=\"\"\n"
	    "time=2026-11-23T20:01:37.000Z level=warn part=door event=plain\n");
}

static void
test_values(void **state)
{
	static const struct {
		const char *value, *want;
	} cases[] = {
		{ "a.b/c:[x]_-,;'", "a.b/c:[x]_-,;'" },
		{ "two words", "\"two words\"" },
		{ "a=b", "\"a=b\"" },
		{ "say \"x\"", "\"say \\\"x\\\"\"" },
		{ "a\\b", "a\\b" },
		{ "a \\ b", "\"a \\\\ b\"" },
		{ "line\nlevel=error", "\"line\\x0alevel=error\"" },
		{ "\x1b[31m", "\"\\x1b[31m\"" },
		{ "\x7f", "\"\\x7f\"" },
		{ "\xc3\xa4", "\"\xc3\xa4\"" },
		{ "\xc2\x9b" "31m", "\"\\xc2\\x9b31m\"" },		/* C1 control */
		{ "\xff\xc3", "\"\\xff\\xc3\"" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		capture_start();
		log_info(LOG_RELAY, "e", "v", cases[i].value);
		capture_end();
		const char *value = strstr(text, " v=");
		assert_non_null(value);
		size_t n = strlen(value);
		assert_int_equal(value[n - 1], '\n');
		text[strlen(text) - 1] = '\0';
		assert_string_equal(value + 3, cases[i].want);
	}
}

static void
test_levels(void **state)
{
	enum log_level level = LOG_ERROR;

	(void)state;
	assert_true(log_level_parse("debug", &level));
	assert_int_equal(level, LOG_DEBUG);
	assert_true(log_level_parse("warn", &level));
	assert_int_equal(level, LOG_WARN);
	assert_false(log_level_parse("loud", &level));
	assert_false(log_level_parse("", &level));
	assert_int_equal(level, LOG_WARN);
	capture_start();
	log_debug(LOG_MAP, "no");			/* info is the least at the start */
	log_set_level(LOG_ERROR);
	log_warn(LOG_MAP, "no");
	log_error(LOG_MAP, "yes");
	log_set_level(LOG_DEBUG);
	log_debug(LOG_POLICY, "yes");
	log_set_level(LOG_INFO);
	assert_string_equal(capture_end(),
	    "time=2026-11-23T20:01:37.000Z level=error part=map event=yes\n"
	    "time=2026-11-23T20:01:37.000Z level=debug part=policy event=yes\n");
}

/* Values of every length around the limit, plain and quoted: one line, whole, never too long. */
static void
test_cut(void **state)
{
	static char value[3000];

	(void)state;
	for (size_t n = 1900; n < 2100; n++) {
		for (int is_quoted = 0; is_quoted < 2; is_quoted++) {
			memset(value, 'x', n);
			value[n] = '\0';
			if (is_quoted)
				value[0] = ' ';
			capture_start();
			log_info(LOG_RELAY, "e", "v", value, "more", "\n");
			capture_end();
			size_t len = strlen(text);
			assert_true(len <= 2048);
			assert_int_equal(text[len - 1], '\n');
			assert_ptr_equal(strchr(text, '\n'), text + len - 1);
			bool is_whole = strstr(text, " more=\"\\x0a\"\n") != NULL;
			bool is_marked = strstr(text, " cut=true\n") != NULL;
			assert_true(is_whole != is_marked);
			assert_true(n < 1950 ? is_whole : true);
			assert_true(n > 2000 ? is_marked : true);
			if (is_quoted && n > 2040)	/* the quotes are closed */
				assert_non_null(strstr(text, "x\" cut=true\n"));
		}
	}
	memset(value, '\n', 2999);
	capture_start();
	log_info(LOG_RELAY, value, value, value);
	assert_true(strlen(capture_end()) <= 2048);
	assert_non_null(strstr(text, "\\x0a\" cut=true\n"));
}

static void
test_fatal(void **state)
{
	int status;

	(void)state;
	capture_start();
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		log_fatal(LOG_STORE, "cannot open", "no such file");
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_string_equal(capture_end(), "time=2026-11-23T20:01:37.000Z level=error part=store "
	    "event=\"cannot open\" err=\"no such file\"\n");
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 1);
}

static void
test_milliseconds(void **state)
{
	(void)state;
	clock_test_stop();
	capture_start();
	log_info(LOG_TLS, "now");
	capture_end();
	clock_test_set(0, 1795464097);
	/* time=2026-11-23T20:01:37.123Z */
	assert_int_equal(strcspn(text, " "), 5 + 24);
	assert_int_equal(text[5 + 19], '.');
	assert_int_equal(text[5 + 23], 'Z');
}

static int
setup(void **state)
{
	(void)state;
	clock_test_set(0, 1795464097);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_fatal),
		cmocka_unit_test(test_milliseconds),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
