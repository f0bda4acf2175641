/* links: */
/* Secrets: what is made is read again, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/secret.h"

static void
test_made_is_read(void **state)
{
	char id[SECRET_ID_MAX], again[SECRET_ID_MAX], text[SECRET_TEXT_MAX], other[SECRET_TEXT_MAX];
	uint8_t hash[SECRET_HASH_BYTES], hash_again[SECRET_HASH_BYTES];

	(void)state;
	secret_make("p-", id, hash, other);
	secret_make("p-", id, hash, text);
	assert_string_not_equal(text, other);
	assert_int_equal(strlen(text), 2 + SECRET_ID_CHARS + 1 + SECRET_CHARS);
	assert_int_equal(secret_parse("p-", text, strlen(text), again, hash_again), ERR_OK);
	assert_memory_equal(again, id, sizeof id);
	assert_memory_equal(hash_again, hash, sizeof hash);
	text[strlen(text) - 1] = text[strlen(text) - 1] == 'a' ? 'b' : 'a';
	assert_int_equal(secret_parse("p-", text, strlen(text), again, hash_again), ERR_OK);
	assert_memory_not_equal(hash_again, hash, sizeof hash);
}

static void
test_nothing_else_is(void **state)
{
	char id[SECRET_ID_MAX] = "untouched", text[SECRET_TEXT_MAX], spoilt[SECRET_TEXT_MAX];
	uint8_t hash[SECRET_HASH_BYTES] = { 7 }, made[SECRET_HASH_BYTES];
	char made_id[SECRET_ID_MAX];
	size_t n;

	(void)state;
	secret_make("p-", made_id, made, text);
	n = strlen(text);
	assert_int_equal(secret_parse("q-", text, n, id, hash), ERR_INVAL);
	assert_int_equal(secret_parse("p-x", text, n, id, hash), ERR_INVAL);
	for (size_t k = 0; k < n; k++)
		assert_int_equal(secret_parse("p-", text, k, id, hash), ERR_INVAL);
	assert_int_equal(secret_parse("p-", text, n + 1, id, hash), ERR_INVAL);
	for (size_t i = 0; i < n; i++) {
		memcpy(spoilt, text, sizeof text);
		spoilt[i] = '_';
		assert_int_equal(secret_parse("p-", spoilt, n, id, hash), ERR_INVAL);
	}
	assert_string_equal(id, "untouched");
	assert_int_equal(hash[0], 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_made_is_read),
		cmocka_unit_test(test_nothing_else_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
