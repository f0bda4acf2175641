/*
 * Whose an address is: a node's own, else of the longest route that has it (its primary router,
 * unless a via grant says otherwise), else of an exit node.
 */
#include "coord/policy_explain_private.h"

/* The side of a route: who has it, if it is better than what *best is. */
static void
take_route(struct explain_side *best, const struct policy_class *c, const struct policy_node *n,
    const struct node_route *r)
{
	bool is_better = best->node_id == 0 || r->prefix.bits > best->route.bits;
	bool is_equal = best->node_id != 0 && r->prefix.bits == best->route.bits;

	if (is_equal && (r->is_primary != best->is_primary ? r->is_primary : n->id < best->node_id))
		is_better = true;
	if (!is_better)
		return;
	best->s.kind = r->prefix.bits == 0 ? POLICY_REACH_EXIT : POLICY_REACH_ROUTED;
	best->s.class = c;
	best->node_id = n->id;
	best->route = r->prefix;
	best->is_primary = r->is_primary;
}

typedef bool accepts_fn(const struct explain *x, const struct policy_class *c);

/* Whose the address is. is_dst: exit nodes have what is in the internet; private addresses that
 * nobody routes are nobody's. accepts (NULL: anybody): who may be the router. */
static struct explain_side
find_owner(const struct explain *x, const struct net_ip *ip, bool is_dst, accepts_fn *accepts)
{
	bool has_exit = is_dst && ipset_has(&x->view.internet, ip);
	struct explain_side best = { .s = { POLICY_REACH_FOREIGN, NULL, *ip } };
	size_t cursor = 0;

	for (const struct policy_class *c; (c = policy_world_next(x->w, &cursor)) != NULL; ) {
		struct net_ip ip4, ip6;
		int64_t id = 0;

		while (policy_class_next(x->w, c, &id, &ip4, &ip6)) {
			const struct policy_node *n = policy_world_node(x->w, id);

			if (net_ip_eq(&ip4, ip) || net_ip_eq(&ip6, ip))
				return (struct explain_side){ { POLICY_REACH_OWN, c, *ip }, id,
				    { { 0 }, 0 }, false };
			if (policy_class_user(c) < 0 || n == NULL ||
			    (accepts != NULL && !accepts(x, c)))
				continue;
			for (unsigned i = 0; i < n->n_routes; i++) {
				const struct node_route *r = &n->routes[i];

				if (net_prefix_has(&r->prefix, ip) &&
				    (r->prefix.bits > 0 || has_exit))
					take_route(&best, c, n, r);
			}
		}
	}
	return best;
}

bool
explain_is_ipv4_off(const struct explain_side *s)
{
	const struct policy_bundle *b = s->s.kind == POLICY_REACH_OWN ? s->s.class->bundle : NULL;

	return b != NULL && b->is_ipv4_off;
}

static enum err
resolve_node(struct explain *x, int64_t node_id, uint8_t family, struct explain_side *out,
    struct err_text *why)
{
	const struct policy_node *n = policy_world_node(x->w, node_id);
	const struct policy_class *c = policy_world_class_of(x->w, node_id);

	if (n == NULL || c == NULL)
		return err_say(why, ERR_NOTFOUND, "there is no node %lld", (long long)node_id);
	*out = (struct explain_side){ { POLICY_REACH_OWN, c, n->ip4 }, node_id, { { 0 }, 0 }, false };
	if (n->ip6.family != 0 && (family == 6 || n->ip4.family == 0 || explain_is_ipv4_off(out)))
		out->s.ip = n->ip6;
	return ERR_OK;
}

/* Is the source in a via grant that leads to the destination through nodes of c? With c NULL:
 * through any; in a rule without via that leads there? */
static bool
is_led(const struct explain *x, const struct policy_class *c, bool with_via)
{
	struct policy_reach_side dst = x->dst.s;
	const struct policy *p = x->w->policy;

	dst.class = c;
	for (unsigned i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if ((r->via.n > 0) != with_via || !policy_reach_is_src(&x->view, r, &x->src.s,
		    NULL) ||
		    !policy_reach_meets(&x->view, r, &x->src.s))
			continue;
		for (unsigned d = 0; d < r->n_dst; d++) {
			if (policy_reach_is_dst(&x->view, r, d, &dst))
				return true;
		}
	}
	return false;
}

static bool
is_steered(const struct explain *x, const struct policy_class *c)
{
	return is_led(x, c, true);
}

static bool
is_let_out(const struct explain *x, const struct policy_class *c)
{
	return is_led(x, c, false);
}

/* A via grant chooses another router than the primary, unless a rule without via leads there
 * too. */
static void
choose_router(struct explain *x)
{
	if (x->dst.s.kind != POLICY_REACH_ROUTED && x->dst.s.kind != POLICY_REACH_EXIT)
		return;
	if (x->dst.s.kind == POLICY_REACH_ROUTED && is_led(x, x->dst.s.class, false))
		return;
	struct explain_side other = find_owner(x, &x->dst.s.ip, true, is_steered);

	if (other.node_id == 0 && x->dst.s.kind == POLICY_REACH_EXIT)
		other = find_owner(x, &x->dst.s.ip, true, is_let_out);
	if (other.node_id != 0)
		x->dst = other;
}

enum err
explain_resolve(struct explain *x, struct err_text *why)
{
	const struct policy_explain_ask *ask = x->ask;
	uint8_t family = ask->src_node == 0 ? ask->src_ip.family : 0;
	enum err rc;

	if ((ask->src_node == 0 && ask->src_ip.family == 0) ||
	    (ask->dst_node == 0 && ask->dst_ip.family == 0))
		return err_say(why, ERR_NOTFOUND, "no address is named");
	if (ask->dst_node != 0) {
		if ((rc = resolve_node(x, ask->dst_node, family, &x->dst, why)) != ERR_OK)
			return rc;
	} else {
		x->dst.s.ip = ask->dst_ip;
	}
	if (ask->src_node != 0) {
		if ((rc = resolve_node(x, ask->src_node, x->dst.s.ip.family, &x->src,
		    why)) != ERR_OK)
			return rc;
	} else {
		x->src = find_owner(x, &ask->src_ip, false, NULL);
	}
	if (ask->dst_node == 0) {
		x->dst = find_owner(x, &ask->dst_ip, true, NULL);
		choose_router(x);
	} else if (x->src.s.ip.family != x->dst.s.ip.family) {
		return resolve_node(x, ask->dst_node, x->src.s.ip.family, &x->dst, why);
	}
	return ERR_OK;
}
