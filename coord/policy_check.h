/*
 * May this text be the policy? Parsed, its users looked up, its tests run, with the users and nodes
 * of a snapshot. Pure; takes as long as the policy is large, within the bounds of its parts.
 */
#ifndef COORD_POLICY_CHECK_H
#define COORD_POLICY_CHECK_H

#include "coord/policy_snapshot.h"

struct policy_verdict {
	enum err rc;			/* ERR_OK, or ERR_INVAL: errors says why */
	bool is_test_failure;		/* nothing but tests failed: then errors begins with "test(s) failed" */
	struct policy *policy;		/* held; NULL: the text is empty, or not understood */
	struct policy_errors errors, warnings;
};

/* Empty text: no policy, everything is allowed. Fills *out, which the caller frees. */
void policy_check(const char *text, size_t n, const struct policy_snapshot *s, struct policy_verdict *out);
/* The tests of a text [{"src": …}, …] run under the policy, instead of its own. */
void policy_check_tests(struct policy *p, const char *tests, size_t n, const struct policy_snapshot *s,
	struct policy_verdict *out);
/* Frees what it owns; zeroed afterwards. */
void policy_verdict_fini(struct policy_verdict *v);

#endif
