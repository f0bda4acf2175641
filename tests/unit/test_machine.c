/* links: */
/* The memory a process may use, under the control groups of machines, units and containers. */
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

#include "base/machine.h"
#include "base/obj.h"

#define MIB (1u << 20)
#define V1 "sys/fs/cgroup/memory/"

static char root[64];

static void
put(const char *path, const char *text)
{
	char full[512];
	FILE *f;

	assert_true((size_t)snprintf(full, sizeof(full), "%s/%s", root, path) < sizeof(full));
	for (char *p = full + strlen(root) + 1; (p = strchr(p, '/')) != NULL; *p++ = '/') {
		*p = '\0';
		(void)mkdir(full, 0700);
	}
	assert_non_null(f = fopen(full, "w"));
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int
setup(void **state)
{
	(void)state;
	strcpy(root, "/tmp/fairlead-test-machine-XXXXXX");
	return mkdtemp(root) != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	char line[128];

	(void)state;
	(void)snprintf(line, sizeof(line), "rm -r -- %s", root);
	return system(line);
}

static size_t
physical(void)
{
	return (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
}

static void
test_without_groups(void **state)
{
	(void)state;
	assert_int_equal(machine_memory_bytes(root), physical());
	put("proc/self/cgroup", "0::/\n");
	assert_int_equal(machine_memory_bytes(root), physical());
	assert_true(machine_memory_bytes("") > 0 && machine_memory_bytes("") <= physical());
}

static void
test_limits(void **state)
{
	static const struct { const char *self, *file, *text; size_t bytes; } cases[] = {
		/* v2: a container's own group, a unit's, the slice around it */
		{ "0::/\n", "sys/fs/cgroup/memory.max", "67108864\n", 64 * MIB },
		{ "0::/system.slice/fairlead.service\n",
		  "sys/fs/cgroup/system.slice/fairlead.service/memory.max", "33554432\n", 32 * MIB },
		{ "0::/system.slice/fairlead.service\n", "sys/fs/cgroup/system.slice/memory.max", "33554432\n",
		  32 * MIB },
		/* v1: the host's path is shown, the container's group is the mount */
		{ "11:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n", V1 "memory.limit_in_bytes",
		  "16777216\n", 16 * MIB },
		{ "4:memory:/a/b\n0::/\n", V1 "a/b/memory.limit_in_bytes", "16777216\n", 16 * MIB },
		{ "4:hugetlb,memory:/a\n", V1 "a/memory.limit_in_bytes", "16777216", 16 * MIB },
		/* no limit */
		{ "0::/\n", "sys/fs/cgroup/memory.max", "max\n", 0 },
		{ "0::/\n", "sys/fs/cgroup/memory.max", "", 0 },
		{ "0::/\n", "sys/fs/cgroup/memory.max", "-1\n", 0 },
		{ "4:memory:/\n", V1 "memory.limit_in_bytes", "9223372036854771712\n", 0 },
		{ "4:memoryless:/\n", V1 "memory.limit_in_bytes", "16777216\n", 0 },
		/* not what the kernel writes */
		{ "0::/../../..\n", "sys/fs/cgroup/memory.max", "16777216\n", 0 },
		{ "nonsense\n::\n0:\n", "sys/fs/cgroup/memory.max", "16777216\n", 0 },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		size_t want = cases[i].bytes != 0 ? cases[i].bytes : physical(), got;

		put("proc/self/cgroup", cases[i].self);
		put(cases[i].file, cases[i].text);
		got = machine_memory_bytes(root);
		if (got != want)
			fail_msg("case %zu: %zu bytes, wanted %zu", i, got, want);
		put(cases[i].file, "max\n");
	}
}

/* The lowest of all around a process holds. */
static void
test_lowest(void **state)
{
	(void)state;
	put("proc/self/cgroup", "0::/a/b/c\n");
	put("sys/fs/cgroup/a/b/c/memory.max", "50331648\n");
	put("sys/fs/cgroup/a/b/memory.max", "max\n");
	put("sys/fs/cgroup/a/memory.max", "33554432\n");
	assert_int_equal(machine_memory_bytes(root), 32 * MIB);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_without_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_lowest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
