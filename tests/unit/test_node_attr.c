/* links: coord/node_attr */
/* Self capabilities without a policy: by the kind of node and the tailnet's settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "coord/node_attr.h"

static bool
has(const struct node *n, const struct node_attr_params *p, const char *name)
{
	const char *names[NODE_ATTR_MAX];
	unsigned count = node_attr_defaults(n, p, names);
	bool is_found = false;

	assert_true(count <= NODE_ATTR_MAX);
	for (unsigned i = 0; i < count; i++)
		is_found |= strcmp(names[i], name) == 0;
	return is_found;
}

static void
test_defaults(void **state)
{
	static char tag[] = "tag:k3s";
	char *tags[] = { tag };
	struct node server = { .tags = tags, .n_tags = 1 }, laptop = { .n_tags = 0 };
	struct node_attr_params off = { false }, on = { true };

	(void)state;
	assert_true(has(&server, &off, "cache-network-maps"));
	assert_false(has(&laptop, &off, "cache-network-maps"));
	assert_true(has(&laptop, &off, "https://tailscale.com/cap/file-sharing"));
	assert_false(has(&laptop, &off, "disable-linux-cgnat-drop-rule"));
	assert_true(has(&laptop, &on, "disable-linux-cgnat-drop-rule"));
	assert_true(has(&server, &on, "disable-linux-cgnat-drop-rule"));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
