/*
 * The tests that a policy brings along (tests, sshTests), run against the users and nodes there
 * are. Pure.
 */
#ifndef COORD_POLICY_TEST_H
#define COORD_POLICY_TEST_H

#include "coord/policy_world.h"

/* Steps that all tests together may take: rules looked at, and ranges compared for them. About two
 * seconds. Beyond it the policy is refused: hostile ones cost no more. */
#define POLICY_TEST_STEPS_MAX (100u << 20)

/* Runs them all. ERR_INVAL: at least one failed; *errors (the caller's) begins with "test(s)
 * failed", then each failed assertion with its line, source and destination. Rules with via, and
 * autogroup:self, have no part in tests. */
enum err policy_test_run(struct policy_world *w, struct policy_errors *errors) MUST_USE;

#endif
