/* links: web/router */
/* Method and request target of a stranger against a table with parameters: "METHOD target". */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "web/router.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const struct http_route table[] = {
	{ .method = "GET", .path = "/" },
	{ .method = "GET", .path = "/a/{x}" },
	{ .method = "POST", .path = "/a/{x}/b/{y}" },
	{ .method = "DELETE", .path = "/a/{x}" },
};

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	char *text = obj_alloc(n + 1), *target;
	struct router_match m = { .route = NULL };

	memcpy(text, p, n);
	if ((target = strchr(text, ' ')) == NULL)
		target = text + strlen(text);
	else
		*target++ = 0;
	char *path = router_path(target);
	ASSERT(*path == '/' && strchr(path, '?') == NULL);
	if (router_find(table, COUNT_OF(table), text, path, &m) == ERR_OK && m.route != NULL)
		ASSERT(m.has_path && strlen(m.params[0]) < ROUTER_PARAM_BYTES);
	free(path);
	free(text);
	return 0;
}
