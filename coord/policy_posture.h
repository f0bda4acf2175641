/*
 * Device postures: does what is known of a device meet the conditions of a policy? Pure.
 *
 * A device has attributes (node:os, node:osVersion, node:tsVersion, node:tsReleaseTrack,
 * node:tsAutoUpdate, node:tsStateEncrypted from its Hostinfo; others as somebody sets them). A
 * condition on an attribute that is not set fails, but for NOT SET. Versions are compared number by
 * number, other values as numbers when both are, else as text.
 */
#ifndef COORD_POLICY_POSTURE_H
#define COORD_POLICY_POSTURE_H

#include "coord/hostinfo.h"
#include "coord/policy.h"

/* Value of the attribute as text, valid until the next call; NULL: not set. */
typedef const char *policy_posture_get_fn(void *arg, const char *attribute);

/* Of a client's Hostinfo: arg is a struct hostinfo * (NULL: nothing is set). */
const char *policy_posture_of_host(void *arg, const char *attribute);
/* Of facts of a test: arg is a struct policy_posture_facts *. */
struct policy_posture_facts {
	const struct policy_fact *v;	/* borrowed */
	unsigned n;
};
const char *policy_posture_of_facts(void *arg, const char *attribute);

/* The first condition that is not met, or NULL: the posture holds. */
const struct policy_posture_test *policy_posture_failing(const struct policy_posture *posture,
	policy_posture_get_fn *get, void *arg);
/* Does one of the postures (indexes into p->postures) hold? An empty list asks nothing: true. */
bool policy_posture_any(const struct policy *p, const struct policy_list *postures,
	policy_posture_get_fn *get, void *arg);
/* Appends the condition as one writes it: node:os IN ['linux', 'macos']. */
void policy_posture_put(struct buf *b, const struct policy_posture_test *t);

#endif
