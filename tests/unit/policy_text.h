/* For tests of the policy parser: a policy from a text that is fine, and refusals. */
#ifndef TESTS_POLICY_TEXT_H
#define TESTS_POLICY_TEXT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "coord/policy.h"

static inline struct policy *
policy_of(const char *text)
{
	struct policy *p = NULL;
	struct policy_errors errors = { 0 };

	if (policy_parse(text, strlen(text), &p, &errors) != ERR_OK)
		fail_msg("%s: line %u, column %u: %s", text, errors.v[0].line, errors.v[0].column,
		    errors.v[0].text);
	policy_errors_fini(&errors);
	return p;
}

/* Told about the text, which is refused. */
static inline void
assert_refused(const char *text, size_t n, const char *want)
{
	struct policy *p = NULL;
	struct policy_errors errors = { 0 };
	struct buf b = { 0 };

	assert_int_equal(policy_parse(text, n, &p, &errors), ERR_INVAL);
	policy_errors_put(&b, &errors);
	if (strstr(buf_cstr(&b), want) == NULL)
		fail_msg("told %s, wanted %s", buf_cstr(&b), want);
	buf_fini(&b);
	policy_errors_fini(&errors);
}

#endif
