/* links: server/acme_challenge */
/* Proves: the hook accepts HTTP-01 only, writes and removes an answer, and no token names another
 * file. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/obj.h"
#include "server/acme_challenge.h"

#define TOKEN	"evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA"	/* of RFC 8555 section 8.3 */
#define PRINT	"9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI"

static char dir[64];

static int
hook(const char *method, const char *type, const char *token, const char *answer)
{
	char *argv[] = { (char *)(uintptr_t)"fairlead", (char *)(uintptr_t)method,
		(char *)(uintptr_t)type, (char *)(uintptr_t)"vpn.example.com",
		(char *)(uintptr_t)token, (char *)(uintptr_t)answer, NULL };

	return acme_challenge_hook(dir, answer != NULL ? 6 : 5, argv);
}

static int
setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/fairlead-test-acme-XXXXXX");
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(dir);		/* fails if a test leaves a file */
}

static void
tokens_are_file_names(void **state)
{
	static const struct { const char *token; bool is_good; } cases[] = {
		{ TOKEN, true }, { "a", true }, { "-_", true }, { "", false }, { ".", false },
		{ "..", false }, { "../x", false }, { "a/b", false }, { "a.b", false }, { "a b", false },
		{ "a%2e", false }, { "a\n", false }, { "\xc3\xa4", false }, { "a=", false },
	};
	char longest[ACME_CHALLENGE_MAX + 1];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (acme_challenge_token_is_good(cases[i].token, strlen(cases[i].token)) !=
		    cases[i].is_good)
			fail_msg("\"%s\"", cases[i].token);
	assert_false(acme_challenge_token_is_good("a\0b", 3));
	memset(longest, 'x', sizeof(longest));
	assert_true(acme_challenge_token_is_good(longest, ACME_CHALLENGE_MAX));
	assert_false(acme_challenge_token_is_good(longest, ACME_CHALLENGE_MAX + 1));
}

static void
an_answer_comes_and_goes(void **state)
{
	char answer[2 * ACME_CHALLENGE_MAX], path[160];
	struct stat st;
	const size_t n = sizeof(TOKEN) - 1;

	(void)state;
	assert_false(acme_challenge_read(dir, TOKEN, n, answer));
	assert_int_equal(hook("begin", "http-01", TOKEN, TOKEN "." PRINT), 0);
	assert_true(acme_challenge_read(dir, TOKEN, n, answer));
	assert_string_equal(answer, TOKEN "." PRINT);
	snprintf(path, sizeof(path), "%s/%s", dir, TOKEN);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_false(acme_challenge_read(dir, TOKEN, n - 1, answer));
	assert_false(acme_challenge_read(dir, "../etc/passwd", 13, answer));
	assert_int_equal(hook("begin", "http-01", TOKEN, TOKEN ".other"), 0);	/* asked again */
	assert_true(acme_challenge_read(dir, TOKEN, n, answer));
	assert_string_equal(answer, TOKEN ".other");
	assert_int_equal(hook("done", "http-01", TOKEN, TOKEN "." PRINT), 0);
	assert_false(acme_challenge_read(dir, TOKEN, n, answer));
	assert_int_equal(hook("failed", "http-01", TOKEN, TOKEN "." PRINT), 0);	/* gone already */
}

static void
what_is_refused(void **state)
{
	static const struct { const char *method, *type, *token, *answer; } cases[] = {
		{ "begin", "dns-01", TOKEN, TOKEN "." PRINT },
		{ "begin", "tls-alpn-01", TOKEN, TOKEN "." PRINT },
		{ "begin", "http-01", "../" TOKEN, "../" TOKEN "." PRINT },
		{ "done", "http-01", "../x", "../x." PRINT },
		{ "begin", "http-01", TOKEN, "other." PRINT },
		{ "begin", "http-01", TOKEN, TOKEN },
		{ "begin", "http-01", TOKEN, TOKEN "." },
		{ "begin", "http-01", TOKEN, TOKEN ".<script>" },
		{ "begin", "http-01", TOKEN, NULL },
		{ "end", "http-01", TOKEN, TOKEN "." PRINT },
	};

	(void)state;
	int loud = dup(2), quiet = open("/dev/null", O_WRONLY);
	assert_int_equal(dup2(quiet, 2), 2);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (hook(cases[i].method, cases[i].type, cases[i].token, cases[i].answer) != 1)
			fail_msg("case %zu", i);
	char kept[sizeof(dir)];
	memcpy(kept, dir, sizeof(dir));
	strcpy(dir, "/nonexistent/fairlead");
	assert_int_equal(hook("begin", "http-01", TOKEN, TOKEN "." PRINT), 1);
	memcpy(dir, kept, sizeof(dir));
	assert_int_equal(dup2(loud, 2), 2);
	close(loud);
	close(quiet);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(tokens_are_file_names, setup, teardown),
		cmocka_unit_test_setup_teardown(an_answer_comes_and_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_refused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
