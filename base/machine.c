/*
 * /proc/self/cgroup has a line for each hierarchy, "0::PATH" for v2 and "N:CONTROLLERS:PATH" for v1. Limits of
 * all groups from PATH up to the mount hold. In a container PATH may be the host's and lie nowhere here:
 * the mount itself is then the container's group.
 */
#include "base/machine.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/decimal.h"

#define V2_DIR	"/sys/fs/cgroup"
#define V1_DIR	"/sys/fs/cgroup/memory"

/* The first line of a file without its end. */
static bool
read_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool is_read = f != NULL && fgets(line, (int)size, f) != NULL;

	if (f != NULL)
		fclose(f);
	if (is_read)
		line[strcspn(line, "\n")] = '\0';
	return is_read;
}

/* "max" is no number; nor is v1's "no limit", the largest one rounded down to pages, for it is too long. */
static void
lower_to_file(size_t *bytes, const char *root, const char *dir, const char *group, const char *name)
{
	char path[PATH_MAX], line[64];
	int64_t limit;

	if ((size_t)snprintf(path, sizeof(path), "%s%s%s/%s", root, dir, group, name) >= sizeof(path) ||
	    !read_line(path, line, sizeof(line)))
		return;
	limit = decimal_parse(line);
	if (limit > 0 && (*bytes == 0 || (size_t)limit < *bytes))
		*bytes = (size_t)limit;
}

/* The limits of a group and of those around it. */
static void
lower_to_group(size_t *bytes, const char *root, const char *dir, char *group, const char *name)
{
	char *slash;

	while ((slash = strrchr(group, '/')) != NULL) {
		lower_to_file(bytes, root, dir, strcmp(group, "/") == 0 ? "" : group, name);
		*slash = '\0';
	}
	lower_to_file(bytes, root, dir, "", name);
}

static bool
has_memory(const char *controllers)
{
	for (const char *p = controllers; (p = strstr(p, "memory")) != NULL; p += 6) {
		if ((p == controllers || p[-1] == ',') && (p[6] == '\0' || p[6] == ','))
			return true;
	}
	return false;
}

size_t
machine_memory_bytes(const char *root)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	size_t bytes = pages > 0 && page > 0 ? (size_t)pages * (size_t)page : 0;
	char path[PATH_MAX], line[PATH_MAX];
	FILE *f;

	if ((size_t)snprintf(path, sizeof(path), "%s/proc/self/cgroup", root) >= sizeof(path) ||
	    (f = fopen(path, "re")) == NULL)
		return bytes;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *group = line, *number, *controllers;

		line[strcspn(line, "\n")] = '\0';
		number = strsep(&group, ":");
		controllers = strsep(&group, ":");
		if (group == NULL || group[0] != '/' || strstr(group, "/..") != NULL)
			continue;
		if (strcmp(number, "0") == 0 && controllers[0] == '\0')
			lower_to_group(&bytes, root, V2_DIR, group, "memory.max");
		else if (has_memory(controllers))
			lower_to_group(&bytes, root, V1_DIR, group, "memory.limit_in_bytes");
	}
	fclose(f);
	return bytes;
}
