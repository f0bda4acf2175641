/* links: server/backup_file */
/* Backups as bytes: what is written is read back, and whatever else is done to the bytes is noticed. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/backup_file.h"

#define LONG_NAME "data/acme/a-directory-of-some-authority.example.org/private/" \
	"a-rather-long-name-of-a-host-in-a-rather-long-domain.example.org/key.pem"

static uint8_t big[1500];

static const struct backup_source sources[] = {
	{ .name = "config.yaml", .fd = -1, .p = "a: 1\n", .n_bytes = 5 },
	{ .name = LONG_NAME, .fd = -1, .p = "key", .n_bytes = 3 },
	{ .name = "data/empty", .fd = -1, .p = "", .n_bytes = 0 },
	{ .name = "data/exact", .fd = -1, .p = big, .n_bytes = 512 },
	{ .name = "data/fairlead.db", .fd = -1, .p = big, .n_bytes = sizeof(big) },
};

static char *archive;
static size_t n_archive;

static int
make(void **state)
{
	struct backup_write w = { .sources = sources, .n_sources = COUNT_OF(sources), .version = "1.2",
		.made_unix_s = 1800000000 };
	struct err_text why;

	(void)state;
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (uint8_t)(i * 7 + 1);
	FILE *f = open_memstream(&archive, &n_archive);
	if (backup_file_write(f, &w, &why) != ERR_OK)
		return -1;
	return fclose(f);
}

static int
discard(void **state)
{
	(void)state;
	free(archive);
	return 0;
}

static enum err
read_bytes(const void *p, size_t n, const struct backup_sink *sink, struct backup_list *list,
    struct err_text *why)
{
	FILE *f = fmemopen((void *)(uintptr_t)p, n, "r");

	assert_non_null(f);
	why->s[0] = '\0';
	enum err rc = backup_file_read(f, sink, list, why);
	fclose(f);
	assert_true((rc == ERR_OK) == (why->s[0] == '\0'));
	return rc;
}

/* A sink that compares with the sources. */
struct compare {
	unsigned n, at;
};

static enum err
compare_begin(void *arg, const struct backup_member *m, struct err_text *why)
{
	struct compare *c = arg;

	(void)why;
	assert_string_equal(m->name, sources[c->n].name);
	assert_int_equal(m->n_bytes, sources[c->n].n_bytes);
	c->at = 0;
	return ERR_OK;
}

static enum err
compare_data(void *arg, const uint8_t *p, size_t n, struct err_text *why)
{
	struct compare *c = arg;

	(void)why;
	assert_memory_equal(p, (const uint8_t *)sources[c->n].p + c->at, n);
	c->at += (unsigned)n;
	return ERR_OK;
}

static enum err
compare_end(void *arg, struct err_text *why)
{
	struct compare *c = arg;

	(void)why;
	assert_int_equal(c->at, sources[c->n++].n_bytes);
	return ERR_OK;
}

static void
test_round_trip(void **state)
{
	static struct backup_list list;
	struct compare c = { 0 };
	struct backup_sink sink = { &c, compare_begin, compare_data, compare_end };
	struct err_text why;
	(void)state;

	assert_int_equal(read_bytes(archive, n_archive, &sink, &list, &why), ERR_OK);
	assert_int_equal(c.n, COUNT_OF(sources));
	assert_int_equal(list.n, COUNT_OF(sources));
	assert_string_equal(list.version, "1.2");
	assert_string_equal(list.made, "2027-01-15T08:00:00Z");
}

/* tar itself must see the same. */
static void
test_tar(void **state)
{
	char dir[] = "/tmp/fairlead-tar-XXXXXX", text[512], got[8] = "";
	(void)state;

	assert_non_null(mkdtemp(dir));
	snprintf(text, sizeof(text), "tar -xmf - -C %s", dir);
	FILE *f = popen(text, "w");
	assert_int_equal(fwrite(archive, 1, n_archive, f), n_archive);
	assert_int_equal(pclose(f), 0);
	snprintf(text, sizeof(text), "%s/fairlead-backup/" LONG_NAME, dir);
	f = fopen(text, "re");
	assert_non_null(f);
	assert_non_null(fgets(got, sizeof(got), f));
	fclose(f);
	assert_string_equal(got, "key");
	snprintf(text, sizeof(text), "rm -r %s", dir);
	assert_int_equal(system(text), 0);
}

static void
test_cut(void **state)
{
	static struct backup_list list;
	struct err_text why;
	(void)state;

	for (size_t n = 1; n < n_archive; n++) {
		enum err rc = read_bytes(archive, n, NULL, &list, &why);
		assert_int_equal(rc, n < 512 ? ERR_INVAL : ERR_PROTO);
		if (n >= 512)
			assert_non_null(strstr(why.s, "cut off"));
	}
	char *more = obj_alloc(n_archive + 1);
	memcpy(more, archive, n_archive);
	assert_int_equal(read_bytes(more, n_archive + 1, NULL, &list, &why), ERR_PROTO);
	free(more);
}

/* Owner, mode and time of a member, and its header's checksum of them: the only bytes that nothing hangs on. */
static bool
is_idle(size_t at)
{
	static const size_t heads[] = { 0, 1, 2, 3, 4, 5 };
	size_t block = 0;

	for (size_t i = 0; i < COUNT_OF(heads); i++) {
		if (at >= block && at < block + 512) {
			at -= block;
			return (at >= 100 && at < 124) || (at >= 136 && at < 156);
		}
		size_t n = i == 0 ? strtoul(archive + 124, NULL, 8) : sources[i - 1].n_bytes;
		block += 512 + (n + 511) / 512 * 512;
	}
	return false;
}

static void
test_flipped(void **state)
{
	static struct backup_list list;
	struct err_text why;
	(void)state;

	for (size_t at = 0; at < n_archive; at++) {
		archive[at] ^= 0x10;
		enum err rc = read_bytes(archive, n_archive, NULL, &list, &why);
		if (rc == ERR_OK && !is_idle(at))
			fail_msg("a change of byte %zu went unnoticed", at);
		archive[at] ^= 0x10;
	}
	assert_int_equal(read_bytes(archive, n_archive, NULL, &list, &why), ERR_OK);
}

static void
test_names(void **state)
{
	static const struct { const char *name; bool is_good; } cases[] = {
		{ "config.yaml", true }, { "data/x", true }, { "data/a/b.c-d_e", true }, { "data/.x", true },
		{ "data/a..b", true }, { "data/...", true }, { LONG_NAME, true },
		{ "", false }, { "x", false }, { "data", false }, { "data/", false }, { "/data/x", false },
		{ "data/../x", false }, { "data/..", false }, { "data/.", false }, { "data//x", false },
		{ "data/x/", false }, { "data/a b", false }, { "data/a\n", false }, { "config.yml", false },
		{ "data/x/../../y", false }, { "data/\xc3\xbc", false },
	};
	char text[BACKUP_NAME_BYTES + 8];
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		if (backup_name_is_good(cases[i].name) != cases[i].is_good)
			fail_msg("\"%s\"", cases[i].name);
	memset(text, 'a', sizeof(text));
	memcpy(text, "data/", 5);
	text[BACKUP_NAME_BYTES] = '\0';
	assert_false(backup_name_is_good(text));
}

static void
test_too_much(void **state)
{
	static struct backup_source many[BACKUP_FILES_MAX + 1];
	struct backup_source s = { .name = "data/", .fd = -1, .p = "", .n_bytes = 0 };
	struct backup_write w = { .sources = many, .n_sources = COUNT_OF(many), .version = "" };
	atomic_bool stop = true;
	struct err_text why;
	FILE *f = fopen("/dev/null", "w");
	(void)state;

	assert_int_equal(backup_file_write(f, &w, &why), ERR_LIMIT);
	memset(s.name + 5, 'a', 150);	/* no slash where it would have to be cut */
	w = (struct backup_write){ .sources = &s, .n_sources = 1, .version = "" };
	assert_int_equal(backup_file_write(f, &w, &why), ERR_LIMIT);
	w = (struct backup_write){ .sources = sources, .n_sources = 1, .version = "", .stop = &stop };
	assert_int_equal(backup_file_write(f, &w, &why), ERR_CLOSED);
	fclose(f);
	w.stop = NULL;
	f = fopen("/dev/full", "w");
	assert_int_equal(backup_file_write(f, &w, &why), ERR_IO);
	assert_non_null(strstr(why.s, "No space left"));
	fclose(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_tar),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_flipped),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_too_much),
	};

	return cmocka_run_group_tests(tests, make, discard);
}
