/* A tailnet with a real store, ann (owner) and bob (member), and policies saved into it. One test
 * program each. */
#ifndef TESTS_UNIT_SAVED_POLICY_H
#define TESTS_UNIT_SAVED_POLICY_H

#include "coord/tailnet_policy_save.h"
#include "store_file.h"

/* The last outcome. */
static struct {
	enum err rc;
	char why[400];
	bool is_unchanged, is_test_failure;
	int64_t version;
	unsigned n_errors, n_warnings;
	int n;
} got;

static inline void
on_saved(void *arg, const struct policy_outcome *o)
{
	const struct policy_verdict *v = o->verdict;

	(void)arg;
	got.n++;
	got.rc = o->rc;
	got.is_unchanged = o->is_unchanged;
	got.version = o->version;
	got.is_test_failure = v != NULL && v->is_test_failure;
	got.n_errors = v != NULL ? v->errors.n : 0;
	got.n_warnings = v != NULL ? v->warnings.n : 0;
	snprintf(got.why, sizeof(got.why), "%s",
	    got.n_errors > 0 ? v->errors.v[got.n_errors - 1].text : o->why.s);
}

static inline struct policy_wish
wish_of(const char *text)
{
	return (struct policy_wish){ .text = text, .n_bytes = strlen(text), .what = "policy.set",
		.if_version = -1 };
}

static inline void
save(const struct policy_wish *wish)
{
	int n = got.n;

	tailnet_policy_save(fake.t, &fake_actor, wish, on_saved, NULL);
	fake_commit();
	assert_int_equal(got.n, n + 1);
}

/* Saves the text, which is taken. */
static inline void
set(const char *text)
{
	struct policy_wish wish = wish_of(text);

	save(&wish);
	assert_int_equal(got.rc, ERR_OK);
}

static inline int
begin(void **state)
{
	if (set_up(state) != 0)
		return -1;
	memset(&got, 0, sizeof(got));
	fake_start();
	fake_user("ann@example.org", USER_OWNER);
	fake_user("bob@example.org", USER_MEMBER);
	return 0;
}

static inline int
end(void **state)
{
	fake_stop();
	return tear_down(state);
}

#endif
