/* See policy_naive.h. Every question is answered from the beginning; nothing is kept. */
#include "tests/unit/policy_naive_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "coord/policy_users.h"

/* --- selectors -------------------------------------------------------------------------------- */

static void
add_prefix(struct ipset *out, const char *text)
{
	struct net_prefix prefix;

	if (net_prefix_parse(text, strlen(text), &prefix) == ERR_OK)
		ipset_add_prefix(out, &prefix);
}

void
naive_everything(struct ipset *out)
{
	add_prefix(out, "0.0.0.0/0");
	add_prefix(out, "::/0");
}

void
naive_internet(struct ipset *out)
{
	static const char *const not[] = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
		"169.254.0.0/16" };
	struct ipset all = { 0 }, inside = { 0 };

	add_prefix(&all, "0.0.0.0/0");
	add_prefix(&all, "2000::/3");
	for (size_t i = 0; i < COUNT_OF(not); i++)
		add_prefix(&inside, not[i]);
	ipset_remove_set(&all, &inside);
	ipset_add_set(out, &all);
	ipset_fini(&all);
	ipset_fini(&inside);
}

static bool
is_exit_route(const struct net_prefix *p)
{
	return p->bits == 0;
}

bool
naive_is_exit_node(const struct policy_node *n)
{
	for (unsigned i = 0; i < n->n_routes; i++) {
		if (is_exit_route(&n->routes[i].prefix))
			return true;
	}
	return false;
}

static bool
has_tag(const struct policy_node *n, const char *tag)
{
	for (unsigned i = 0; i < n->n_tags; i++) {
		if (strcmp(n->tags[i], tag) == 0)
			return true;
	}
	return false;
}

static bool
names_user(const struct naive *nv, const struct policy_sel *s, int64_t user_id)
{
	const struct user *u = map_find(nv->users, &user_id);
	const char *at = u == NULL ? NULL : strrchr(u->email, '@');

	if (u == NULL)
		return false;
	if (s->kind == POLICY_SEL_ROLE)
		return (s->roles >> u->role & 1) != 0;
	if (s->kind == POLICY_SEL_DOMAIN)
		return at != NULL && strcasecmp(at + 1, s->tag) == 0;
	for (unsigned i = 0; i < s->n_users; i++) {
		if (policy_user_find(nv->users, s->users[i]) == u)
			return true;
	}
	return false;
}

static bool
names_node(const struct naive *nv, const struct policy_sel *s, const struct policy_node *n)
{
	switch (s->kind) {
	case POLICY_SEL_USER:
	case POLICY_SEL_GROUP:
	case POLICY_SEL_DOMAIN:
	case POLICY_SEL_ROLE:
		return n->n_tags == 0 && names_user(nv, s, n->user_id);
	case POLICY_SEL_MEMBER:
		return n->n_tags == 0;
	case POLICY_SEL_TAGGED:
		return n->n_tags > 0;
	case POLICY_SEL_TAG:
		return has_tag(n, s->tag);
	default:
		return false;
	}
}

void
naive_resolve(const struct naive *nv, uint32_t sel, struct ipset *out)
{
	const struct policy_sel *s = &nv->p->sels[sel];

	if (s->kind <= POLICY_SEL_INTERNET)
		ipset_add_set(out, &s->set);
	for (unsigned i = 0; i < nv->n; i++) {
		if (nv->nodes[i].is_waiting || !names_node(nv, s, &nv->nodes[i]))
			continue;
		ipset_add_ip(out, &nv->nodes[i].ip4);
		ipset_add_ip(out, &nv->nodes[i].ip6);
	}
}

void
naive_subnet_routes(const struct naive *nv, struct ipset *out)
{
	for (unsigned i = 0; i < nv->n; i++) {
		for (unsigned k = 0; k < nv->nodes[i].n_routes && !nv->nodes[i].is_waiting; k++) {
			if (!is_exit_route(&nv->nodes[i].routes[k].prefix))
				ipset_add_prefix(out, &nv->nodes[i].routes[k].prefix);
		}
	}
}

bool
naive_is_kind(const struct naive *nv, uint32_t sel, enum policy_sel_kind kind)
{
	return nv->p->sels[sel].kind == kind;
}

static bool
meets(const struct naive *nv, const struct policy_rule *r, const struct policy_node *n)
{
	return policy_posture_any(nv->p, &r->postures, policy_posture_of_host, (void *)(uintptr_t)n->host);
}

bool
naive_holds_ip(const struct ipset *s, const struct net_ip *ip)
{
	return ip->family != 0 && ipset_has(s, ip);
}

bool
naive_holds_node(const struct ipset *s, const struct policy_node *n)
{
	return naive_holds_ip(s, &n->ip4) || naive_holds_ip(s, &n->ip6);
}

/* What is in the set of nodes that meet the rule's postures, if it asks for some. */
void
naive_postured(const struct naive *nv, const struct policy_rule *r, struct ipset *set)
{
	struct ipset all = *set;

	if (r->postures.n == 0)
		return;
	*set = (struct ipset){ 0 };
	for (unsigned i = 0; i < nv->n; i++) {
		const struct policy_node *n = &nv->nodes[i];

		if (n->is_waiting || !meets(nv, r, n))
			continue;
		if (naive_holds_ip(&all, &n->ip4))
			ipset_add_ip(set, &n->ip4);
		if (naive_holds_ip(&all, &n->ip6))
			ipset_add_ip(set, &n->ip6);
	}
	ipset_fini(&all);
}

/* Sources of a rule: those that are written, with_routes: "*" with all subnet routes. */
void
naive_sources(const struct naive *nv, const struct policy_rule *r, bool with_routes, struct ipset *out)
{
	for (unsigned i = 0; i < r->src.n; i++)
		naive_resolve(nv, r->src.v[i], out);
	for (unsigned i = 0; i < r->src.n && with_routes && r->postures.n == 0; i++) {
		if (naive_is_kind(nv, r->src.v[i], POLICY_SEL_ANY))
			naive_subnet_routes(nv, out);
	}
	naive_postured(nv, r, out);
}

bool
naive_overlaps_subnet(const struct ipset *s, const struct policy_node *n)
{
	for (unsigned i = 0; i < n->n_routes; i++) {
		if (!is_exit_route(&n->routes[i].prefix) && ipset_overlaps_prefix(s, &n->routes[i].prefix))
			return true;
	}
	return false;
}

static bool
covers_internet(const struct ipset *s)
{
	static const struct net_prefix v4 = { { .family = 4 }, 0 }, v6 = { { .family = 6 }, 0 };
	struct ipset all = { 0 };
	bool covers;

	naive_internet(&all);
	covers = ipset_covers_prefix(s, &v4) || ipset_covers_prefix(s, &v6) || ipset_covers(s, &all);
	ipset_fini(&all);
	return covers;
}

static bool
has_ip_part(const struct policy_rule *r)
{
	return !r->is_grant || r->n_ip > 0;
}

const char *
naive_companion(const char *name)
{
	if (strcmp(name, "tailscale.com/cap/drive") == 0)
		return "tailscale.com/cap/drive-sharer";
	return strcmp(name, "tailscale.com/cap/relay") == 0 ? "tailscale.com/cap/relay-target" : NULL;
}

static bool
has_companion(const struct policy_rule *r)
{
	for (unsigned i = 0; i < r->n_app; i++) {
		if (naive_companion(r->app[i].name) != NULL)
			return true;
	}
	return false;
}

/* --- pairs ------------------------------------------------------------------------------------ */

struct pair {
	struct ipset src, dst;
	bool is_via, is_self;
};

struct pairs {
	struct pair v[64];
	unsigned n;
};

static void
pairs_fini(struct pairs *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		ipset_fini(&p->v[i].src);
		ipset_fini(&p->v[i].dst);
	}
	p->n = 0;
}

static struct pair *
pair_new(struct pairs *p)
{
	ASSERT(p->n < COUNT_OF(p->v));
	p->v[p->n] = (struct pair){ .is_via = false };
	return &p->v[p->n++];
}

static bool
is_users(const struct policy_node *n, int64_t user_id)
{
	return !n->is_waiting && n->n_tags == 0 && n->user_id == user_id;
}

/* autogroup:self at a node: sources, and all of its user's. */
void
naive_self_sets(const struct naive *nv, const struct policy_rule *r, const struct policy_node *n,
    struct ipset *src,
    struct ipset *all)
{
	struct ipset s = { 0 };

	naive_sources(nv, r, true, &s);
	for (unsigned i = 0; i < nv->n; i++) {
		const struct policy_node *o = &nv->nodes[i];

		if (n->n_tags > 0 || !is_users(o, n->user_id))
			continue;
		ipset_add_ip(all, &o->ip4);
		ipset_add_ip(all, &o->ip6);
		if (!naive_holds_node(&s, o))
			continue;
		ipset_add_ip(src, &o->ip4);
		ipset_add_ip(src, &o->ip6);
	}
	ipset_fini(&s);
}

bool
naive_is_via_node(const struct naive *nv, const struct policy_rule *r, const struct policy_node *n)
{
	for (unsigned i = 0; i < r->via.n; i++) {
		if (has_tag(n, nv->p->sels[r->via.v[i]].tag))
			return true;
	}
	return false;
}

/* Destinations of a via rule at a node. */
void
naive_via_dests(const struct naive *nv, const struct policy_rule *r, const struct policy_node *n,
    struct ipset *out)
{
	for (unsigned k = 0; k < r->n_dst; k++) {
		const struct policy_sel *s = &nv->p->sels[r->dst[k].sel];

		if (s->kind == POLICY_SEL_INTERNET && naive_is_exit_node(n))
			naive_internet(out);
		for (unsigned i = 0; s->kind == POLICY_SEL_SET && i < s->set.n; i++) {
			struct ipset one = { .v = &s->set.v[i], .n = 1 };

			if (naive_overlaps_subnet(&one, n))
				ipset_add_set(out, &one);
		}
	}
}

static void
rule_pairs(const struct naive *nv, const struct policy_rule *r, const struct policy_node *n, struct pairs *out)
{
	bool has_other = false, has_self = false, has_any = false;
	struct pair *p;

	for (unsigned k = 0; k < r->n_dst; k++) {
		has_self = has_self || naive_is_kind(nv, r->dst[k].sel, POLICY_SEL_SELF);
		has_other = has_other || !naive_is_kind(nv, r->dst[k].sel, POLICY_SEL_SELF);
		has_any = has_any || naive_is_kind(nv, r->dst[k].sel, POLICY_SEL_ANY);
	}
	if (r->src.n == 0)
		return;
	if (r->via.n > 0) {
		if (r->n_ip > 0 && naive_is_via_node(nv, r, n)) {
			p = pair_new(out);
			p->is_via = true;
			naive_sources(nv, r, true, &p->src);
			naive_via_dests(nv, r, n, &p->dst);
		}
		return;
	}
	if (has_other) {
		p = pair_new(out);
		naive_sources(nv, r, true, &p->src);
		for (unsigned k = 0; k < r->n_dst; k++)
			naive_resolve(nv, r->dst[k].sel, &p->dst);
		if (has_any && has_ip_part(r))
			naive_everything(&p->dst);
	}
	if (has_other && has_companion(r)) {
		p = pair_new(out);
		naive_sources(nv, r, false, &p->dst);
		for (unsigned k = 0; k < r->n_dst; k++)
			naive_resolve(nv, r->dst[k].sel, &p->src);
		if (has_any)
			naive_subnet_routes(nv, &p->src);
	}
	if (has_self && n->n_tags == 0) {
		p = pair_new(out);
		p->is_self = true;
		naive_self_sets(nv, r, n, &p->src, &p->dst);
	}
}

static void
pairs_of(const struct naive *nv, const struct policy_node *n, struct pairs *out)
{
	for (unsigned i = 0; i < nv->p->n_rules; i++)
		rule_pairs(nv, &nv->p->rules[i], n, out);
}

/* --- who sees whom ---------------------------------------------------------------------------- */

static bool
is_source(const struct pair *p, const struct policy_node *n)
{
	return naive_holds_node(&p->src, n) || naive_overlaps_subnet(&p->src, n);
}

static bool
is_dest(const struct pair *p, const struct policy_node *n)
{
	return naive_holds_node(&p->dst, n) || naive_overlaps_subnet(&p->dst, n) ||
	    (naive_is_exit_node(n) && covers_internet(&p->dst));
}

bool
naive_sees(const struct naive *nv, unsigned a, unsigned b)
{
	const struct policy_node *na = &nv->nodes[a], *nb = &nv->nodes[b];
	struct pairs p = { .n = 0 };
	bool sees = false;

	if (a == b || na->is_waiting || nb->is_waiting)
		return false;
	pairs_of(nv, na, &p);
	pairs_of(nv, nb, &p);
	for (unsigned i = 0; i < p.n && !sees; i++)
		sees = (is_source(&p.v[i], na) && is_dest(&p.v[i], nb)) ||
		    (is_source(&p.v[i], nb) && is_dest(&p.v[i], na));
	pairs_fini(&p);
	return sees;
}

static bool
allows_route(const struct pair *p, const struct policy_node *v, const struct net_prefix *route)
{
	bool src_overlaps = ipset_overlaps_prefix(&p->src, route);
	bool dst_overlaps = ipset_overlaps_prefix(&p->dst, route);

	if (naive_holds_node(&p->src, v) && dst_overlaps)
		return true;
	if (src_overlaps && naive_holds_node(&p->dst, v))
		return true;
	if (naive_overlaps_subnet(&p->src, v) && dst_overlaps)
		return true;
	if (src_overlaps && naive_overlaps_subnet(&p->dst, v))
		return true;
	return src_overlaps && naive_is_exit_node(v) && covers_internet(&p->dst);
}

static bool
routes_it(const struct policy_node *n, const struct net_prefix *route)
{
	for (unsigned i = 0; i < n->n_routes && !n->is_waiting; i++) {
		if (memcmp(&n->routes[i].prefix, route, sizeof(*route)) == 0)
			return true;
	}
	return false;
}

/* Who is taken for the route among those that the rule names. */
static int64_t
via_taken(const struct naive *nv, const struct policy_rule *r, const struct net_prefix *route)
{
	int64_t best = 0;

	for (unsigned i = 0; i < nv->n; i++) {
		const struct policy_node *n = &nv->nodes[i];

		if (naive_is_via_node(nv, r, n) && routes_it(n, route) && (best == 0 || n->id < best))
			best = n->id;
	}
	return best;
}

struct steering {
	bool is_in, is_out;
};

static struct steering
steer(const struct naive *nv, const struct policy_node *v, const struct policy_node *peer,
    const struct net_prefix *route)
{
	struct steering s = { false, false };
	bool is_lost = false;

	for (unsigned i = 0; i < nv->p->n_rules; i++) {
		const struct policy_rule *r = &nv->p->rules[i];
		struct ipset src = { 0 };
		bool is_viewer, covers = false;

		if (r->via.n == 0)
			continue;
		naive_sources(nv, r, true, &src);
		is_viewer = naive_holds_node(&src, v);
		ipset_fini(&src);
		for (unsigned k = 0; k < r->n_dst; k++) {
			const struct policy_sel *sel = &nv->p->sels[r->dst[k].sel];

			covers = covers || (is_exit_route(route) ? sel->kind == POLICY_SEL_INTERNET :
			    sel->kind == POLICY_SEL_SET && ipset_overlaps_prefix(&sel->set, route));
		}
		if (!is_viewer || !covers)
			continue;
		if (naive_is_via_node(nv, r, peer))
			s.is_in = true;
		else
			s.is_out = true;
		int64_t taken = is_exit_route(route) ? 0 : via_taken(nv, r, route);

		is_lost = is_lost || (taken != 0 && taken != peer->id);
	}
	if (s.is_in && is_lost)
		s = (struct steering){ false, true };
	return s;
}

bool
naive_shows(const struct naive *nv, unsigned viewer, unsigned peer, unsigned i)
{
	const struct policy_node *v = &nv->nodes[viewer], *n = &nv->nodes[peer];
	const struct node_route *route = &n->routes[i];
	struct steering s = steer(nv, v, n, &route->prefix);
	struct pairs p = { .n = 0 };
	bool is_allowed = false, is_covered = false;

	pairs_of(nv, v, &p);
	for (unsigned k = 0; k < p.n; k++) {
		is_allowed = is_allowed || allows_route(&p.v[k], v, &route->prefix);
		if (p.v[k].is_via || p.v[k].is_self || !naive_holds_node(&p.v[k].src, v))
			continue;
		is_covered = is_covered || (is_exit_route(&route->prefix) ? covers_internet(&p.v[k].dst) :
		    ipset_overlaps_prefix(&p.v[k].dst, &route->prefix));
	}
	pairs_fini(&p);
	if (s.is_in && !is_covered)
		return true;
	if (!route->is_primary)
		return false;
	if (s.is_in || (!is_exit_route(&route->prefix) && routes_it(v, &route->prefix)))
		return true;
	return is_allowed && (!s.is_out || is_covered);
}
