/* Prefixes that nodes route: what they overlap, who routes them, and who is stale because of
 * that. */
#include <string.h>

#include "coord/policy_world_private.h"

/* Addresses of nodes come from these. */
static bool
covers_nodes(const struct net_prefix *prefix)
{
	static const struct net_prefix v4 = { { .family = 4, .b = { 100, 64 } }, 10 };
	static const struct net_prefix v6 = { { .family = 6, .b = { 0xfd, 0x7a, 0x11, 0x5c, 0xa1,
	    0xe0 } }, 48 };
	const struct net_prefix *nodes = prefix->ip.family == 4 ? &v4 : &v6;

	return net_prefix_has(nodes, &prefix->ip) || net_prefix_has(prefix, &nodes->ip);
}

void
policy_world_stale_add(struct policy_world *w, struct pw_node *node)
{
	struct policy_world_private *p = w->_p;

	if (node->is_queued)
		return;
	node->is_queued = true;
	if (p->n_stale == p->cap_stale) {
		p->cap_stale = p->cap_stale == 0 ? 16 : 2 * p->cap_stale;
		p->stale = obj_realloc(p->stale, p->cap_stale * sizeof(*p->stale));
	}
	p->stale[p->n_stale++] = node->id;
}

static void
routers_stale(struct policy_world *w, const struct pw_prefix *x)
{
	for (uint32_t i = 0; i < x->n_routers; i++)
		policy_world_stale_add(w, x->routers[i]);
}

/* Classes are met again and again: the last one's bits are kept. */
static void
odd_bits(const struct policy_world *w, const struct pw_prefix *x, uint64_t *bits)
{
	size_t words = pw_words(w->_p->n_pairs), cursor = 0;
	const struct policy_class *last = NULL;
	uint8_t family = x->prefix.ip.family;

	for (const struct pw_node *n; (n = map_next(&w->_p->nodes, &cursor)) != NULL; ) {
		const struct net_ip *ip = family == 4 ? &n->as_joined.ip4 : &n->as_joined.ip6;

		if (n->class == last || n->class == NULL || ip->family == 0 || !net_prefix_has(&x->prefix, ip))
			continue;
		last = n->class;
		policy_world_node_bits(w, &pw_private(last)->facts, family, bits, bits + words);
	}
}

void
policy_world_wide_bits(const struct policy_world *w, const struct pw_prefix *x, uint64_t *bits)
{
	const struct policy_world_private *p = w->_p;
	size_t words = pw_words(p->n_pairs);

	if (!x->is_exit) {
		odd_bits(w, x, bits);
		return;
	}
	const uint32_t *counts = p->exit_counts + (x->prefix.ip.family == 4 ? 0 : 2 * (size_t)p->n_pairs);

	for (uint32_t i = 0; i < p->n_pairs; i++) {
		if (counts[i] > 0)
			pw_bit_set(bits, i);
		if (counts[p->n_pairs + i] > 0)
			pw_bit_set(bits + words, i);
	}
}

struct pw_prefix *
policy_world_prefix_get(struct policy_world *w, const struct net_prefix *prefix)
{
	struct policy_world_private *p = w->_p;
	struct pw_prefix *x = map_find(&p->prefixes, prefix);

	if (x != NULL)
		return x;
	struct ipset_range r = policy_world_range_of(prefix);

	x = obj_alloc(sizeof(*x));
	x->prefix = *prefix;
	x->id = ++p->next_prefix_id;
	x->is_exit = prefix->bits == 0;
	x->is_wide = covers_nodes(prefix) && !(x->is_exit && p->is_open);
	policy_world_index_find(p, &r.lo, &r.hi, &x->items);
	pw_list_tidy(&x->items);
	if (x->is_wide) {
		x->bits = obj_alloc((2 * pw_words(p->n_pairs) + 1) * sizeof(*x->bits));
		policy_world_wide_bits(w, x, x->bits);
		TAILQ_INSERT_TAIL(&p->wide, x, link);
	}
	(void)map_put(&p->prefixes, x);
	return x;
}

void
policy_world_prefix_free(struct policy_world *w, struct pw_prefix *x)
{
	if (x->is_wide)
		TAILQ_REMOVE(&w->_p->wide, x, link);
	(void)map_remove(&w->_p->prefixes, &x->prefix);
	pw_list_fini(&x->items);
	free(x->routers);
	free(x->bits);
	free(x);
}

/* Who else has the route may be told otherwise when one comes or goes: always with via, else the
 * one that was, or is now, alone. */
static void
others_stale(struct policy_world *w, const struct pw_prefix *x, uint32_t n_fewer)
{
	if (!x->is_exit && (w->_p->n_via > 0 || n_fewer == 1) && !w->_p->is_open)
		routers_stale(w, x);
}

void
policy_world_prefix_join(struct policy_world *w, struct pw_node *node)
{
	struct policy_world_private *p = w->_p;

	for (unsigned i = 0; i < node->as_joined.n_routes && !node->as_joined.is_waiting; i++) {
		struct pw_prefix *x = policy_world_prefix_get(w, &node->as_joined.routes[i].prefix);

		others_stale(w, x, x->n_routers);
		if (x->n_routers == x->cap_routers) {
			x->cap_routers = x->cap_routers == 0 ? 2 : 2 * x->cap_routers;
			x->routers = obj_realloc(x->routers, x->cap_routers * sizeof(*x->routers));
		}
		x->routers[x->n_routers++] = node;
		if (x->n_routers == 1 && !x->is_exit && !p->are_routes_dirty) {
			ipset_add_prefix(&p->routes, &x->prefix);
			p->are_routes_changed = true;
		}
	}
}

void
policy_world_prefix_leave(struct policy_world *w, struct pw_node *node)
{
	for (unsigned i = 0; i < node->as_joined.n_routes && !node->as_joined.is_waiting; i++) {
		struct pw_prefix *x = map_find(&w->_p->prefixes, &node->as_joined.routes[i].prefix);

		ASSERT(x != NULL);
		for (uint32_t k = 0; k < x->n_routers; k++) {
			if (x->routers[k] == node) {
				x->routers[k] = x->routers[--x->n_routers];
				break;
			}
		}
		if (x->n_routers > 0) {
			others_stale(w, x, x->n_routers);
			continue;
		}
		if (!x->is_exit)
			w->_p->are_routes_dirty = w->_p->are_routes_changed = true;
		policy_world_prefix_free(w, x);
	}
}

void
policy_world_prefix_touch(struct policy_world *w, const struct pw_node *node)
{
	struct pw_prefix *x;

	TAILQ_FOREACH(x, &w->_p->wide, link) {
		const struct policy_node *n = &node->as_joined;
		const struct net_ip *ip = x->prefix.ip.family == 4 ? &n->ip4 : &n->ip6;

		if (!x->is_exit && ip->family != 0 && net_prefix_has(&x->prefix, ip))
			x->is_dirty = true;
	}
}

void
policy_world_wide_check(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;
	size_t bytes = 2 * pw_words(p->n_pairs) * sizeof(uint64_t);
	uint64_t *bits = NULL;
	struct pw_prefix *x;

	if (p->is_open)
		return;
	TAILQ_FOREACH(x, &p->wide, link) {
		bool is_v4 = x->prefix.ip.family == 4;

		if (!(x->is_exit ? (is_v4 ? p->is_exit4_dirty : p->is_exit6_dirty) : x->is_dirty))
			continue;
		x->is_dirty = false;
		if (bits == NULL)
			bits = obj_alloc(bytes + 1);
		memset(bits, 0, bytes);
		policy_world_wide_bits(w, x, bits);
		if (memcmp(bits, x->bits, bytes) == 0)
			continue;
		memcpy(x->bits, bits, bytes);
		routers_stale(w, x);
	}
	p->is_exit4_dirty = p->is_exit6_dirty = false;
	free(bits);
}

bool
policy_world_stale(struct policy_world *w, int64_t *node_id)
{
	struct policy_world_private *p = w->_p;

	policy_world_wide_check(w);
	while (p->n_stale > 0) {
		int64_t id = p->stale[--p->n_stale];
		struct pw_node *n = map_find(&p->nodes, &id);

		if (n == NULL || !n->is_queued)
			continue;
		n->is_queued = false;
		if (!policy_world_is_still(w, n)) {
			*node_id = id;
			return true;
		}
	}
	return false;
}
