/* links: */
/* Keys: the reference client's text forms (tests/data/keys.json), and key files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/key.h"
#include "base/rand.h"

static json_t *vectors;

static const char *
member(const json_t *obj, const char *name)
{
	const char *s = json_string_value(json_object_get(obj, name));

	if (s == NULL)
		fail_msg("tests/data/keys.json has no %s", name);
	return s;
}

/* Text of one kind -> the raw bytes, and back. */
#define CHECK_TEXT(kind, text, raw) do { \
	struct kind k, other = { { 1 } }; \
	char again[KEY_TEXT_MAX]; \
	assert_int_equal(kind##_parse(text, strlen(text), &k), ERR_OK); \
	assert_memory_equal(k.b, raw, KEY_BYTES); \
	assert_string_equal(kind##_put(&k, again), text); \
	assert_true(kind##_eq(&k, &k)); \
	assert_false(kind##_eq(&k, &other)); \
	assert_false(kind##_is_zero(&k)); \
	assert_int_equal(kind##_parse(text, strlen(text) - 1, &other), ERR_INVAL); \
	assert_int_equal(kind##_parse(text, strlen(text) + 1, &other), ERR_INVAL); \
	assert_int_equal(kind##_parse((text) + 1, strlen(text) - 1, &other), ERR_INVAL); \
	assert_int_equal(other.b[0], 1); \
} while (0)

static uint8_t seed[KEY_BYTES];

static void
fill_seed(void *p, size_t n)
{
	assert_int_equal(n, sizeof(seed));
	memcpy(p, seed, n);
}

static void
test_vectors(void **state)
{
	const json_t *v;
	size_t i;

	(void)state;
	assert_true(json_array_size(json_object_get(vectors, "keys")) >= 3);
	json_array_foreach(json_object_get(vectors, "keys"), i, v) {
		uint8_t pub[KEY_BYTES], priv[KEY_BYTES], derived[KEY_BYTES];
		struct private_key made;
		char shorter[8];

		assert_int_equal(key_hex_parse(member(v, "public_raw"), 64, pub), ERR_OK);
		assert_int_equal(key_hex_parse(member(v, "private_raw"), 64, priv), ERR_OK);
		CHECK_TEXT(machine_key, member(v, "machine_public_text"), pub);
		CHECK_TEXT(node_key, member(v, "node_public_text"), pub);
		CHECK_TEXT(disco_key, member(v, "disco_public_text"), pub);
		CHECK_TEXT(challenge_key, member(v, "challenge_public_text"), pub);
		CHECK_TEXT(private_key, member(v, "machine_private_text"), priv);
		assert_string_equal(key_short(pub, shorter), member(v, "machine_short"));
		assert_int_equal(key_hex_parse(member(v, "unclamped_seed"), 64, seed), ERR_OK);
		rand_test_source(fill_seed);
		private_key_new(&made);
		rand_test_source(NULL);
		assert_memory_equal(made.b, priv, KEY_BYTES);
		private_key_public(&made, derived);
		assert_memory_equal(derived, pub, KEY_BYTES);
	}
}

static void
test_parse_list(void **state)
{
	const json_t *v;
	size_t i;

	(void)state;
	assert_true(json_array_size(json_object_get(vectors, "parse_as_node_public")) > 5);
	json_array_foreach(json_object_get(vectors, "parse_as_node_public"), i, v) {
		const char *text = member(v, "text");
		bool is_ok = json_is_true(json_object_get(v, "ok"));
		struct node_key k;

		if ((node_key_parse(text, strlen(text), &k) == ERR_OK) != is_ok)
			fail_msg("%s: the reference says otherwise", text);
		if (is_ok)
			assert_int_equal(node_key_is_zero(&k),
			    json_is_true(json_object_get(v, "is_zero")));
	}
}

static void
test_zero(void **state)
{
	const json_t *zero = json_object_get(vectors, "zero");
	struct machine_key m = { { 0 } };
	struct node_key n = { { 0 } };
	struct disco_key d = { { 0 } };
	char text[KEY_TEXT_MAX];

	(void)state;
	assert_true(machine_key_is_zero(&m) && node_key_is_zero(&n) && disco_key_is_zero(&d));
	assert_string_equal(machine_key_put(&m, text), member(zero, "machine"));
	assert_string_equal(node_key_put(&n, text), member(zero, "node"));
	assert_string_equal(disco_key_put(&d, text), member(zero, "disco"));
	n.b[31] = 1;
	assert_false(node_key_is_zero(&n));
}

static void
test_hex(void **state)
{
	uint8_t b[4] = { 9, 9, 9, 9 };
	char text[9];

	(void)state;
	assert_int_equal(key_hex_parse("00fFA5", 6, b), ERR_OK);
	assert_memory_equal(b, "\x00\xff\xa5\x09", 4);
	assert_int_equal(key_hex_parse("", 0, b), ERR_OK);
	assert_int_equal(key_hex_parse("123", 3, b), ERR_INVAL);
	assert_int_equal(key_hex_parse("12g4", 4, b), ERR_INVAL);
	assert_int_equal(key_hex_parse("12:4", 4, b), ERR_INVAL);
	assert_int_equal(key_hex_parse(" 234", 4, b), ERR_INVAL);
	assert_memory_equal(b, "\x00\xff\xa5\x09", 4);
	assert_string_equal(key_hex_put(b, 4, text), "00ffa509");
	assert_string_equal(key_hex_put(b, 0, text), "");
}

/* --- files ---------------------------------------------------------------------------------- */

static char folder[] = "/tmp/fairlead-key-XXXXXX";
static char path[64];

static void
file_write(const char *text)
{
	FILE *f = fopen(path, "we");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
test_file_made(void **state)
{
	struct private_key k, again;
	struct err_text why;
	struct stat st;

	(void)state;
	unlink(path);
	assert_int_equal(private_key_file(path, false, &k, &why), ERR_IO);
	assert_non_null(strstr(why.s, path));
	assert_int_equal(private_key_file(path, true, &k, &why), ERR_OK);
	assert_int_equal(k.b[0] & 7, 0);
	assert_int_equal(k.b[31] & 0xc0, 0x40);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 8 + 64 + 1);
	assert_int_equal(private_key_file(path, true, &again, &why), ERR_OK);
	assert_true(private_key_eq(&k, &again));
	assert_int_equal(private_key_file(path, false, &again, NULL), ERR_OK);
	unlink(path);
	assert_int_equal(rmdir(folder), 0);		/* nothing is left behind */
	assert_int_equal(private_key_file(path, true, &k, &why), ERR_IO);
	assert_int_equal(mkdir(folder, 0700), 0);
}

#define HEX64 "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcde8"
#define ZERO64 "0000000000000000000000000000000000000000000000000000000000000000"

static void
test_file_texts(void **state)
{
	static const struct {
		const char *text;
		enum err want;
	} cases[] = {
		{ "privkey:" HEX64, ERR_OK },
		{ "privkey:" HEX64 "\n", ERR_OK },
		{ " \t\r\nprivkey:" HEX64 "\r\n\n ", ERR_OK },
		{ "", ERR_INVAL },
		{ "\n", ERR_INVAL },
		{ HEX64, ERR_INVAL },
		{ "privkey:" HEX64 "0", ERR_INVAL },
		{ "privkey: " HEX64, ERR_INVAL },
		{ "nodekey:" HEX64, ERR_INVAL },
		{ "privkey:" ZERO64, ERR_INVAL },
		{ "privkey:" HEX64 "\nprivkey:" HEX64, ERR_INVAL },
		{ "privkey:" HEX64 HEX64 HEX64 HEX64 HEX64, ERR_INVAL },
	};
	struct private_key k;
	struct err_text why;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		memset(&k, 7, sizeof(k));
		why.s[0] = '\0';
		file_write(cases[i].text);
		/* A bad file is never replaced by a new key. */
		if (private_key_file(path, true, &k, &why) != cases[i].want)
			fail_msg("case %zu: %s", i, why.s);
		if (cases[i].want == ERR_OK) {
			assert_int_equal(k.b[31], 0xe8);
		} else {
			assert_int_equal(k.b[31], 7);
			assert_non_null(strstr(why.s, path));
			assert_null(strstr(why.s, "abcdef"));	/* nothing of the key is said */
		}
	}
	unlink(path);
	assert_int_equal(private_key_file(folder, true, &k, &why), ERR_IO);
}

static int
setup(void **state)
{
	json_error_t e;

	(void)state;
	vectors = json_load_file("tests/data/keys.json", 0, &e);
	if (vectors == NULL || mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/noise.key", folder);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	json_decref(vectors);
	unlink(path);
	return rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_parse_list),
		cmocka_unit_test(test_zero),
		cmocka_unit_test(test_hex),
		cmocka_unit_test(test_file_made),
		cmocka_unit_test(test_file_texts),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
