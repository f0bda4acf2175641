/* A tailnet whose owner is ann, with a reusable key of hers. One test program each. */
#ifndef TESTS_UNIT_ANN_FIXTURE_H
#define TESTS_UNIT_ANN_FIXTURE_H

#include "fake_tailnet.h"

static int64_t ann;
static char ann_key[AUTHKEY_TEXT_MAX];

static inline int
set_up(void **state)
{
	(void)state;
	fake_start();
	ann = fake_user("ann@example.org", USER_OWNER);
	strcpy(ann_key, fake_key(ann, "r", NULL, 0));
	return 0;
}

static inline int
tear_down(void **state)
{
	(void)state;
	fake_stop();
	return 0;
}

/* A node with that key byte. */
static inline struct node *
join(int key, const char *auth, const char *hostname)
{
	fake_register(&(struct fake_req){ .machine = key, .key = key, .auth = auth, .hostname = hostname });
	fake_commit();
	assert_non_null(fake_node(key));
	return fake_node(key);
}

#endif
