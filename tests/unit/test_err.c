/* links: */
/* Result codes: every one has a text; reasons are cut, never overrun. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/err.h"

static void
test_texts(void **state)
{
	(void)state;
	for (int rc = 0; rc < ERR_COUNT; rc++) {
		assert_true(strlen(err_str((enum err)rc)) > 1);
		for (int other = 0; other < rc; other++)
			assert_string_not_equal(err_str((enum err)rc), err_str((enum err)other));
	}
	assert_int_equal(ERR_OK, 0);
	assert_string_equal(err_str(ERR_COUNT), "unknown result");
	assert_string_equal(err_str((enum err)-1), "unknown result");
}

static void
test_say(void **state)
{
	struct err_text why;
	char lengthy[1000];

	(void)state;
	assert_int_equal(err_say(&why, ERR_DENIED, "key %s of %d", "k1", 7), ERR_DENIED);
	assert_string_equal(why.s, "key k1 of 7");
	assert_int_equal(err_say(NULL, ERR_LIMIT, "nobody asks %d", 1), ERR_LIMIT);
	memset(lengthy, 'x', sizeof(lengthy) - 1);
	lengthy[sizeof(lengthy) - 1] = '\0';
	assert_int_equal(err_say(&why, ERR_IO, "%s", lengthy), ERR_IO);
	assert_int_equal(strlen(why.s), sizeof(why.s) - 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
