/* Routes by method and path elements. */
#include "web/router.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/percent.h"

static enum err
element_decode(const char *p, size_t n, char out[ROUTER_PARAM_BYTES])
{
	const char *end = p + n;
	size_t len = 0;

	while (p < end) {
		uint8_t c;

		if (percent_take(&p, end, &c) != ERR_OK)
			return ERR_INVAL;
		if (c < 0x20 || c == 0x7f || len + 1 >= ROUTER_PARAM_BYTES)
			return ERR_INVAL;
		out[len++] = (char)c;
	}
	out[len] = 0;
	return ERR_OK;
}

/* ERR_NOTFOUND: another path. */
static enum err
pattern_match(const char *pattern, const char *path, char params[][ROUTER_PARAM_BYTES])
{
	unsigned n_params = 0;

	while (*pattern == '/' && *path == '/') {
		size_t np = strcspn(++pattern, "/"), n = strcspn(++path, "/");
		if (*pattern == '{') {
			enum err rc = n == 0 || n_params == ROUTER_PARAMS_MAX ? ERR_NOTFOUND :
			    element_decode(path, n, params[n_params++]);
			if (rc != ERR_OK)
				return rc;
		} else if (np != n || memcmp(pattern, path, n) != 0) {
			return ERR_NOTFOUND;
		}
		pattern += np;
		path += n;
	}
	return *pattern == 0 && *path == 0 ? ERR_OK : ERR_NOTFOUND;
}

static void
allow_add(struct router_match *m, const char *method)
{
	size_t n = strlen(m->allow);

	snprintf(m->allow + n, sizeof(m->allow) - n, "%s%s", n > 0 ? ", " : "", method);
}

enum err
router_find(const struct http_route *table, size_t n_table, const char *method, const char *path,
    struct router_match *m)
{
	const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

	for (size_t i = 0; i < n_table && m->route == NULL; i++) {
		char params[ROUTER_PARAMS_MAX][ROUTER_PARAM_BYTES] = { "" };
		enum err rc = pattern_match(table[i].path, path, params);
		if (rc == ERR_INVAL)
			return rc;
		if (rc != ERR_OK)
			continue;
		m->has_path = true;
		allow_add(m, table[i].method);
		if (strcmp(table[i].method, wanted) == 0) {
			m->route = &table[i];
			memcpy(m->params, params, sizeof(params));
		}
	}
	return ERR_OK;
}

char *
router_path(const char *target)
{
	const char *p = target;

	if (strncasecmp(p, "http://", 7) == 0 || strncasecmp(p, "https://", 8) == 0) {
		p = strchr(p, ':') + 3;
		p += strcspn(p, "/?");
	}
	while (p[0] == '/' && p[1] == '/')
		p++;
	char *path = obj_strdup(*p == '/' ? p : "/");
	path[strcspn(path, "?")] = 0;
	return path;
}
