/*
 * A tailnet for tests of what stands on the policy engine: three users, servers, routers, a cluster,
 * an exit node, one node that waits. Every node has 100.64.0.<id> and fd7a:115c:a1e0::<id>.
 */
#ifndef TESTS_POLICY_RIG_H
#define TESTS_POLICY_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "coord/policy_users.h"
#include "coord/policy_world.h"

#define RIG_URL "https://hq.example.com"
#define RIG_TAGS "\"tagOwners\":{\"tag:web\":[],\"tag:router\":[],\"tag:spare\":[]," \
	"\"tag:exit\":[],\"tag:k3s\":[]},"
#define RIG_ROUTES_MAX 3

struct rig_node {
	int64_t id;
	const char *name;
	int64_t user_id;
	const char *tags[3];
	const char *routes[RIG_ROUTES_MAX];	/* "-" before one: not its primary */
	bool is_waiting;
};

static const struct rig_node rig_nodes[] = {
	{ .id = 1, .name = "alice-laptop", .user_id = 1 },
	{ .id = 2, .name = "alice-phone", .user_id = 1 },
	{ .id = 3, .name = "bob-laptop", .user_id = 2 },
	{ .id = 4, .name = "web-1", .tags = { "tag:web" } },
	{ .id = 5, .name = "web-2", .tags = { "tag:web" } },
	{ .id = 6, .name = "gw-1", .tags = { "tag:router" }, .routes = { "10.20.0.0/16" } },
	{ .id = 7, .name = "gw-2", .tags = { "tag:router", "tag:spare" },
	  .routes = { "-10.20.0.0/16" } },
	{ .id = 8, .name = "exit-1", .tags = { "tag:exit" }, .routes = { "0.0.0.0/0", "::/0" } },
	{ .id = 9, .name = "bob-new", .user_id = 2, .is_waiting = true },
	{ .id = 10, .name = "k3s-1", .tags = { "tag:k3s" }, .routes = { "10.42.0.0/24" } },
	{ .id = 11, .name = "k3s-2", .tags = { "tag:k3s" }, .routes = { "10.42.1.0/24" } },
};

struct rig {
	struct map users;
	struct user user[3];
	struct policy_errors errors;
	struct buf told;		/* errors as text */
};

static inline struct net_ip
rig_ip(const char *text)
{
	struct net_ip ip;

	assert_int_equal(net_ip_parse(text, strlen(text), &ip), ERR_OK);
	return ip;
}

static inline const char *
rig_name(void *arg, int64_t node_id)
{
	(void)arg;
	for (size_t i = 0; i < COUNT_OF(rig_nodes); i++) {
		if (rig_nodes[i].id == node_id)
			return rig_nodes[i].name;
	}
	return NULL;
}

static inline void
rig_init(struct rig *r)
{
	static const char *const emails[] = { "alice@example.com", "bob@example.com",
	    "carol@other.org" };
	static const char *const names[] = { "alice", "bob", "carol" };

	*r = (struct rig){ 0 };
	MAP_INIT(&r->users, struct user, id);
	for (unsigned i = 0; i < COUNT_OF(names); i++) {
		struct user *u = &r->user[i];

		u->magic = USER_MAGIC;
		u->id = i + 1;
		u->role = i == 0 ? USER_OWNER : USER_MEMBER;
		snprintf(u->name, sizeof(u->name), "%s", names[i]);
		snprintf(u->email, sizeof(u->email), "%s", emails[i]);
		map_put(&r->users, u);
	}
}

static inline void
rig_fini(struct rig *r)
{
	map_fini(&r->users);
	policy_errors_fini(&r->errors);
	buf_fini(&r->told);
}

/* The node as the policy sees it; routes holds RIG_ROUTES_MAX. */
static inline struct policy_node
rig_policy_node(const struct rig_node *from, struct node_route *routes)
{
	struct policy_node n = { .id = from->id, .user_id = from->user_id,
	    .is_waiting = from->is_waiting };
	char text[32];

	snprintf(text, sizeof(text), "100.64.0.%d", (int)from->id);
	n.ip4 = rig_ip(text);
	snprintf(text, sizeof(text), "fd7a:115c:a1e0::%x", (unsigned)from->id);
	n.ip6 = rig_ip(text);
	n.tags = (char *const *)(uintptr_t)from->tags;
	while (n.n_tags < COUNT_OF(from->tags) && from->tags[n.n_tags] != NULL)
		n.n_tags++;
	for (; n.n_routes < RIG_ROUTES_MAX && from->routes[n.n_routes] != NULL; n.n_routes++) {
		const char *route = from->routes[n.n_routes];

		routes[n.n_routes].is_primary = *route != '-';
		route += *route == '-';
		assert_int_equal(net_prefix_parse(route, strlen(route), &routes[n.n_routes].prefix),
		    ERR_OK);
	}
	n.routes = routes;
	return n;
}

static inline struct policy *
rig_parse(struct rig *r, const char *text)
{
	struct policy *p = NULL;
	struct buf b = { 0 };

	if (policy_parse(text, strlen(text), &p, &r->errors) != ERR_OK) {
		policy_errors_put(&b, &r->errors);
		fail_msg("%s", buf_cstr(&b));
	}
	return p;
}

/* The world of the policy, with all nodes in it. */
static inline struct policy_world *
rig_world(struct rig *r, const char *text)
{
	struct policy *p = rig_parse(r, text);
	struct policy_world *w = policy_world_new(p, &r->users, RIG_URL);

	policy_drop(p);
	for (size_t i = 0; i < COUNT_OF(rig_nodes); i++) {
		struct node_route routes[RIG_ROUTES_MAX];
		struct policy_node n = rig_policy_node(&rig_nodes[i], routes);

		assert_non_null(policy_world_join(w, &n));
	}
	(void)policy_world_refresh(w);
	return w;
}

#endif
