/* What the files of policy-case share. */
#ifndef TESTS_POLICY_CASE_H
#define TESTS_POLICY_CASE_H

#include "base/json.h"
#include "coord/policy_approve.h"
#include "coord/policy_owner.h"
#include "coord/policy_test.h"
#include "coord/policy_users.h"
#include "coord/policy_world.h"
#include "coord/tag.h"

struct case_node {
	int64_t id, user_id;
	const char *name;		/* borrowed of json */
	const json_t *json;		/* borrowed */
	char **tags;			/* owned */
	unsigned n_tags;
	struct net_ip ip4, ip6;
	struct node_route *routes;	/* owned: advertised and approved */
	unsigned n_routes;
};

_Noreturn void case_die(const char *why);
/* Cases about names and about DNS: fill out. */
void case_names(const json_t *c, json_t *out);
void case_dns(const json_t *c, json_t *out);

#endif
