/* Copies of users and nodes, most of it in one arena. */
#include "coord/policy_snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/decimal.h"

static void
node_copy(struct policy_snapshot *s, struct policy_snapshot_node *to, const struct node *from)
{
	struct policy_node *n = &to->n;
	char **tags;
	struct node_route *routes;

	memcpy(to->name, from->name, sizeof(to->name));
	to->key_expiry_unix_s = from->key_expiry_unix_s;
	*n = policy_node_of(from);
	n->more = NULL;
	n->more_arg = NULL;
	tags = arena_alloc(s->_arena, n->n_tags * sizeof(*tags));
	for (unsigned i = 0; i < n->n_tags; i++)
		tags[i] = arena_strndup(s->_arena, n->tags[i], strlen(n->tags[i]));
	n->tags = tags;
	routes = arena_alloc(s->_arena, n->n_routes * sizeof(*routes));
	if (n->n_routes > 0)
		memcpy(routes, n->routes, n->n_routes * sizeof(*routes));
	n->routes = routes;
	n->host = hostinfo_hold(from->host);
}

static int
node_order(const void *a, const void *b)
{
	const struct policy_snapshot_node *x = a, *y = b;

	return (x->n.id > y->n.id) - (x->n.id < y->n.id);
}

struct policy_snapshot *
policy_snapshot_new(const struct map *users, const struct map *nodes, const char *server_url,
	int64_t now_unix_s)
{
	struct policy_snapshot *s = obj_alloc(sizeof(*s));
	const struct user *u;
	const struct node *n;
	size_t at = 0;

	s->_arena = arena_new();
	s->at_unix_s = now_unix_s;
	s->server_url = arena_strndup(s->_arena, server_url, strlen(server_url));
	MAP_INIT(&s->users, struct user, id);
	while ((u = map_next(users, &at)) != NULL) {
		struct user *copy = arena_alloc(s->_arena, sizeof(*copy));
		*copy = *u;
		(void)map_put(&s->users, copy);
	}
	s->nodes = obj_alloc((nodes->count + 1) * sizeof(*s->nodes));
	for (at = 0; (n = map_next(nodes, &at)) != NULL;)
		node_copy(s, &s->nodes[s->n_nodes++], n);
	qsort(s->nodes, s->n_nodes, sizeof(*s->nodes), node_order);
	return s;
}

void
policy_snapshot_free(struct policy_snapshot *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < s->n_nodes; i++)
		hostinfo_drop((struct hostinfo *)(uintptr_t)s->nodes[i].n.host);
	map_fini(&s->users);
	free(s->nodes);
	arena_free(s->_arena);
	free(s);
}

static void
join(struct policy_world *w, const struct policy_snapshot_node *n)
{
	ASSERT(policy_world_join(w, &n->n) != NULL);
}

static const struct policy_snapshot_node *
find(const struct policy_snapshot *s, int64_t node_id)
{
	struct policy_snapshot_node probe = { .n = { .id = node_id } };

	return bsearch(&probe, s->nodes, s->n_nodes, sizeof(*s->nodes), node_order);
}

struct policy_world *
policy_snapshot_world(const struct policy_snapshot *s, struct policy *p)
{
	struct policy_world *w = policy_world_new(p, &s->users, s->server_url);
	int64_t id;

	for (size_t i = 0; i < s->n_nodes; i++)
		join(w, &s->nodes[i]);
	while (policy_world_stale(w, &id)) {
		policy_world_leave(w, id);
		join(w, find(s, id));
	}
	(void)policy_world_refresh(w);
	return w;
}

const struct policy_snapshot_node *
policy_snapshot_named(const struct policy_snapshot *s, const char *which)
{
	size_t label = strcspn(which, ".");
	struct net_ip ip = { .family = 0 };

	if (net_ip_parse(which, strlen(which), &ip) != ERR_OK)
		ip.family = 0;
	for (size_t i = 0; i < s->n_nodes; i++) {
		const struct policy_snapshot_node *n = &s->nodes[i];

		if (ip.family != 0 ? net_ip_eq(&n->n.ip4, &ip) || net_ip_eq(&n->n.ip6, &ip) :
		    strlen(n->name) == label && strncasecmp(n->name, which, label) == 0)
			return n;
	}
	return find(s, decimal_parse(which));
}

const char *
policy_snapshot_name(void *arg, int64_t node_id)
{
	const struct policy_snapshot_node *n = find(arg, node_id);

	return n != NULL ? n->name : NULL;
}

static bool
is_expired(void *arg, int64_t node_id)
{
	const struct policy_snapshot *s = arg;
	const struct policy_snapshot_node *n = find(s, node_id);

	return n != NULL && n->key_expiry_unix_s != 0 && n->key_expiry_unix_s <= s->at_unix_s;
}

static const struct hostinfo *
host_of(void *arg, int64_t node_id)
{
	const struct policy_snapshot_node *n = find(arg, node_id);

	return n != NULL ? n->n.host : NULL;
}

static bool
is_same(const struct net_prefix *a, const struct net_prefix *b)
{
	return a->bits == b->bits && net_ip_eq(&a->ip, &b->ip);
}

static bool
is_approved(const struct policy_node *n, const struct net_prefix *route)
{
	for (unsigned i = 0; i < n->n_routes; i++)
		if (is_same(&n->routes[i].prefix, route))
			return true;
	return false;
}

static int64_t
advertiser(void *arg, const struct net_ip *ip, struct net_prefix *route)
{
	const struct policy_snapshot *s = arg;

	for (size_t i = 0; i < s->n_nodes; i++) {
		const struct policy_node *n = &s->nodes[i].n;

		for (unsigned k = 0; n->host != NULL && k < n->host->n_routable_ips; k++) {
			const struct net_prefix *r = &n->host->routable_ips[k];

			if (net_prefix_has(r, ip) && !is_approved(n, r)) {
				*route = *r;
				return n->id;
			}
		}
	}
	return 0;
}

struct policy_explain_facts
policy_snapshot_facts(const struct policy_snapshot *s)
{
	return (struct policy_explain_facts){
		.arg = (void *)(uintptr_t)s, .name = policy_snapshot_name, .is_expired = is_expired,
		.host = host_of, .advertiser = advertiser,
	};
}
