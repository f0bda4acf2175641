/*
 * Ends and groups. Nodes that are of one class in both worlds are looked at once, family by family.
 * What lies behind a route is cut wherever a literal of either policy begins or ends, so that each
 * piece is in a literal or out of it.
 */
#include <stdlib.h>
#include <string.h>

#include "coord/policy_plan_private.h"

/* An end, in both worlds. */
struct end {
	struct policy_reach_side side[2];	/* class NULL: not there */
	int64_t node_id;
	struct ipset_range range;		/* family 0: the node's own address */
};

struct joint {
	const struct policy_class *class[2];
	struct plan_group *group[2];		/* of its own addresses, by family; or NULL */
	bool is_known[2];
};

static int
compare_ips(const struct net_ip *a, const struct net_ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, sizeof(a->b));
}

static int
compare_cuts(const void *pa, const void *pb)
{
	return compare_ips(pa, pb);
}

/* The next address; false: there is none. */
static bool
step_up(struct net_ip *ip)
{
	for (unsigned i = ip->family == 4 ? 4 : 16; i-- > 0; ) {
		if (++ip->b[i] != 0)
			return true;
	}
	return false;
}

static bool
step_down(struct net_ip *ip)
{
	for (unsigned i = ip->family == 4 ? 4 : 16; i-- > 0; ) {
		if (ip->b[i]-- != 0)
			return true;
	}
	return false;
}

static void
add_cut(struct plan *p, const struct net_ip *ip)
{
	if (p->n_cuts == p->cap_cuts) {
		p->cap_cuts = p->cap_cuts == 0 ? 64 : 2 * p->cap_cuts;
		p->cuts = obj_realloc(p->cuts, p->cap_cuts * sizeof(*p->cuts));
	}
	p->cuts[p->n_cuts++] = *ip;
}

static void
cut_at(struct plan *p, const struct ipset *s)
{
	for (unsigned i = 0; i < s->n; i++) {
		struct net_ip behind = s->v[i].hi;

		add_cut(p, &s->v[i].lo);
		if (step_up(&behind))
			add_cut(p, &behind);
	}
}

static void
find_cuts(struct plan *p)
{
	unsigned n = 0;

	cut_at(p, &p->part[1].view.internet);
	for (unsigned k = 0; k < 2; k++) {
		const struct policy_world *w = p->part[k].view.w;
		const struct policy *pol = w != NULL ? w->policy : NULL;

		for (unsigned i = 0; pol != NULL && i < pol->n_sels; i++) {
			if (pol->sels[i].kind == POLICY_SEL_SET)
				cut_at(p, &pol->sels[i].set);
		}
	}
	qsort(p->cuts, p->n_cuts, sizeof(*p->cuts), compare_cuts);
	for (unsigned i = 0; i < p->n_cuts; i++) {
		if (n == 0 || compare_ips(&p->cuts[n - 1], &p->cuts[i]) != 0)
			p->cuts[n++] = p->cuts[i];
	}
	p->n_cuts = n;
}

/* --- groups ----------------------------------------------------------------------------------- */

static bool
is_src(const struct plan_part *part, unsigned rule, const struct policy_reach_side *s)
{
	const struct policy_rule *r = &part->view.w->policy->rules[rule];

	return s->class != NULL && s->kind != POLICY_REACH_EXIT &&
	    policy_reach_is_src(&part->view, r, s, NULL) && policy_reach_meets(&part->view, r, s);
}

static bool
is_dst(const struct plan_part *part, const struct plan_entry *e, const struct policy_reach_side *s)
{
	return s->class != NULL &&
	    policy_reach_is_dst(&part->view, &part->view.w->policy->rules[e->rule], e->dst, s);
}

/* Is a changed rule about it? Others cannot be part of a change. */
static bool
is_concerned(struct plan *p, const struct end *end)
{
	for (unsigned k = 0; k < 2; k++) {
		const struct plan_part *part = &p->part[k];
		const struct policy_reach_side *s = &end->side[k];
		const struct policy *pol = part->view.w != NULL ? part->view.w->policy : NULL;

		for (unsigned e = 0; e < part->n_entries; e++) {
			if (!part->is_changed[part->entries[e].rule])
				continue;
			if (!plan_step(p, 2))
				return false;
			if (is_src(part, part->entries[e].rule, s) ||
			    is_dst(part, &part->entries[e], s) ||
			    policy_reach_is_self(&part->view, &pol->rules[part->entries[e].rule],
			    part->entries[e].dst))
				return true;
		}
	}
	return false;
}

static void
fill_bits(struct plan *p, const struct end *end, uint64_t *src, uint64_t *dst)
{
	for (unsigned k = 0; k < 2; k++) {
		const struct plan_part *part = &p->part[k];

		if (!plan_step(p, part->n_rules + part->n_entries))
			return;
		for (unsigned i = 0; i < part->n_rules; i++) {
			unsigned at = part->first_rule + i;

			if (is_src(part, i, &end->side[k]))
				src[at / 64] |= (uint64_t)1 << (at % 64);
		}
		for (unsigned i = 0; i < part->n_entries; i++) {
			unsigned at = part->first_entry + i;

			if (is_dst(part, &part->entries[i], &end->side[k]))
				dst[at / 64] |= (uint64_t)1 << (at % 64);
		}
	}
}

static struct plan_group *
add_group(struct plan *p, uint64_t hash, uint64_t kind_and_family)
{
	struct plan_group *g = obj_alloc(sizeof(*g));

	if (p->n_groups == p->cap_groups) {
		p->cap_groups = p->cap_groups == 0 ? 64 : 2 * p->cap_groups;
		p->groups = obj_realloc(p->groups, p->cap_groups * sizeof(struct plan_group *));
	}
	g->key.hash = hash;
	g->key.kind = kind_and_family;
	g->index = p->n_groups;
	p->groups[p->n_groups++] = g;
	map_put(&p->by_key, g);
	return g;
}

/* The group of the end, or NULL: no changed rule is about it. */
static struct plan_group *
find_group(struct plan *p, const struct end *end)
{
	const struct policy_reach_side *s = &end->side[end->side[1].class != NULL];
	size_t n_src = p->n_rules / 64 + 1, n_dst = p->n_entries / 64 + 1;
	struct plan_group key = { 0 }, *g;

	if (!is_concerned(p, end) || !plan_step(p, n_src + n_dst))
		return NULL;
	uint64_t *bits = obj_alloc((n_src + n_dst) * sizeof(*bits));

	fill_bits(p, end, bits, bits + n_src);
	key.key.hash = map_hash(bits, (n_src + n_dst) * sizeof(*bits));
	key.key.kind = (uint64_t)s->kind << 8 | s->ip.family;
	if ((g = map_find(&p->by_key, &key.key)) != NULL) {
		free(bits);
		return g;
	}
	g = add_group(p, key.key.hash, key.key.kind);
	g->kind = s->kind;
	g->family = s->ip.family;
	g->src = bits;
	g->dst = bits + n_src;
	return g;
}

static void
add_member(struct plan_group *g, const struct end *end)
{
	const struct policy_class *c = end->side[end->side[1].class != NULL].class;
	struct plan_member *m = g->n_members > 0 ? &g->members[g->n_members - 1] : NULL;

	if (m == NULL || m->id != end->node_id) {
		if (g->n_members == g->cap_members) {
			g->cap_members = g->cap_members == 0 ? 8 : 2 * g->cap_members;
			g->members = obj_realloc(g->members, g->cap_members * sizeof(*g->members));
		}
		m = &g->members[g->n_members++];
		*m = (struct plan_member){ .id = end->node_id, .user_id = policy_class_user(c) };
	}
	if (end->range.lo.family != 0)
		ipset_add_range(&m->ranges, &end->range.lo, &end->range.hi);
}

/* --- ends ------------------------------------------------------------------------------------- */

static void
add_own(struct plan *p, struct joint *j, int64_t id, const struct net_ip *ip)
{
	unsigned f = ip->family == 6;
	struct end end = { .node_id = id };

	if (ip->family == 0)
		return;
	for (unsigned k = 0; k < 2; k++)
		end.side[k] = (struct policy_reach_side){ POLICY_REACH_OWN, j->class[k], *ip };
	if (!j->is_known[f])
		j->group[f] = find_group(p, &end);
	j->is_known[f] = true;
	if (j->group[f] != NULL)
		add_member(j->group[f], &end);
}

static void
add_piece(struct plan *p, const struct joint *j, int64_t id, bool is_exit,
    const struct ipset_range *range)
{
	enum policy_reach_kind kind = is_exit ? POLICY_REACH_EXIT : POLICY_REACH_ROUTED;
	struct end end = { .node_id = id, .range = *range };
	struct plan_group *g;

	if (is_exit && !ipset_has(&p->part[1].view.internet, &range->lo))
		return;
	for (unsigned k = 0; k < 2; k++)
		end.side[k] = (struct policy_reach_side){ kind, j->class[k], range->lo };
	if ((g = find_group(p, &end)) != NULL)
		add_member(g, &end);
}

/* Index of the first cut behind ip. */
static unsigned
first_cut(const struct plan *p, const struct net_ip *ip)
{
	unsigned lo = 0, hi = p->n_cuts;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (compare_ips(&p->cuts[mid], ip) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void
add_route(struct plan *p, const struct joint *j, int64_t id, const struct net_prefix *prefix)
{
	struct ipset set = { 0 };
	struct ipset_range piece;

	ipset_add_prefix(&set, prefix);
	piece = set.v[0];
	for (unsigned i = first_cut(p, &piece.lo); i < p->n_cuts && plan_step(p, 1); i++) {
		if (compare_ips(&p->cuts[i], &set.v[0].hi) > 0)
			break;
		piece.hi = p->cuts[i];
		(void)step_down(&piece.hi);
		add_piece(p, j, id, prefix->bits == 0, &piece);
		piece.lo = p->cuts[i];
	}
	piece.hi = set.v[0].hi;
	add_piece(p, j, id, prefix->bits == 0, &piece);
	ipset_fini(&set);
}

struct pair_joint {
	struct {
		const struct policy_class *class[2];
	} key;
	struct joint joint;
};

static struct joint *
find_joint(struct map *joints, const struct policy_class *old, const struct policy_class *new)
{
	struct pair_joint key = { .key.class = { old, new } }, *j;

	if ((j = map_find(joints, &key.key)) == NULL) {
		j = obj_alloc(sizeof(*j));
		j->key = key.key;
		j->joint.class[0] = old;
		j->joint.class[1] = new;
		map_put(joints, j);
	}
	return &j->joint;
}

static void
add_node(struct plan *p, struct map *joints, int64_t id)
{
	const struct policy_class *c[2] = { NULL, NULL };
	const struct policy_node *n = NULL;

	for (unsigned k = 0; k < 2; k++) {
		const struct policy_world *w = p->part[k].view.w;

		c[k] = w != NULL ? policy_world_class_of(w, id) : NULL;
		if (c[k] != NULL)
			n = policy_world_node(w, id);
		if (c[k] != NULL && policy_class_user(c[k]) < 0)
			c[k] = NULL;
	}
	if (n == NULL || (c[0] == NULL && c[1] == NULL))
		return;
	struct joint *j = find_joint(joints, c[0], c[1]);

	add_own(p, j, id, &n->ip4);
	add_own(p, j, id, &n->ip6);
	for (unsigned i = 0; i < n->n_routes && plan_step(p, 1); i++)
		add_route(p, j, id, &n->routes[i].prefix);
}

/* Nodes that the new world has, then those that only the old one has. */
static void
add_nodes(struct plan *p)
{
	size_t cursor = 0;
	struct map joints;
	struct pair_joint *j;

	map_init(&joints, offsetof(struct pair_joint, key), sizeof(j->key));
	for (unsigned k = 2; k-- > 0; ) {
		const struct policy_world *w = p->part[k].view.w;

		if (w == NULL)
			continue;
		cursor = 0;
		for (const struct policy_class *c; (c = policy_world_next(w, &cursor)) != NULL; ) {
			struct net_ip ip4, ip6;
			int64_t id = 0;

			while (policy_class_next(w, c, &id, &ip4, &ip6) && plan_step(p, 1)) {
				if (k == 1 || policy_world_class_of(p->part[1].view.w, id) == NULL)
					add_node(p, &joints, id);
			}
		}
	}
	cursor = 0;
	while ((j = map_next(&joints, &cursor)) != NULL) {
		map_remove(&joints, &j->key);
		free(j);
	}
	map_fini(&joints);
}

static int
compare_members(const void *pa, const void *pb)
{
	const struct plan_member *a = pa, *b = pb;

	return (a->id > b->id) - (a->id < b->id);
}

static int
compare_users(const void *pa, const void *pb)
{
	const struct plan_user *a = pa, *b = pb;

	return (a->user_id > b->user_id) - (a->user_id < b->user_id);
}

static void
finish_group(struct plan_group *g)
{
	uint64_t hash = (uint64_t)g->kind;
	unsigned n = 0;

	qsort(g->members, g->n_members, sizeof(*g->members), compare_members);
	g->users = obj_alloc((g->n_members + 1) * sizeof(*g->users));
	for (unsigned i = 0; i < g->n_members; i++) {
		uint64_t both[2] = { hash, (uint64_t)g->members[i].id };

		hash = map_hash(both, sizeof(both));
		if (g->kind == POLICY_REACH_OWN && g->members[i].user_id > 0)
			g->users[n++] = (struct plan_user){ g->members[i].user_id, 1 };
	}
	g->alike = hash;
	qsort(g->users, n, sizeof(*g->users), compare_users);
	for (unsigned i = 0; i < n; i++) {
		struct plan_user *last = g->n_users > 0 ? &g->users[g->n_users - 1] : NULL;

		if (last != NULL && last->user_id == g->users[i].user_id)
			last->n++;
		else
			g->users[g->n_users++] = g->users[i];
	}
}

static void
init_part(struct plan *p, unsigned k, const struct policy_world *w)
{
	struct plan_part *part = &p->part[k];
	const struct policy *pol = w != NULL ? w->policy : NULL;

	policy_reach_view_init(&part->view, w);
	part->first_rule = p->n_rules;
	part->first_entry = p->n_entries;
	part->n_rules = pol != NULL ? pol->n_rules : 0;
	part->is_changed = obj_alloc(part->n_rules + 1);
	for (unsigned i = 0; i < part->n_rules; i++)
		part->n_entries += pol->rules[i].n_dst;
	part->entries = obj_alloc((part->n_entries + 1) * sizeof(*part->entries));
	for (unsigned i = 0, n = 0; i < part->n_rules; i++) {
		for (unsigned d = 0; d < pol->rules[i].n_dst; d++) {
			part->entries[n++] = (struct plan_entry){ i, d };
			part->has_self = part->has_self ||
			    policy_reach_is_self(&part->view, &pol->rules[i], d);
		}
	}
	p->n_rules += part->n_rules;
	p->n_entries += part->n_entries;
}

void
plan_init(struct plan *p, const struct policy_world *old, const struct policy_world *new)
{
	*p = (struct plan){ 0 };
	MAP_INIT(&p->by_key, struct plan_group, key);
	init_part(p, 0, old);
	init_part(p, 1, new);
	plan_mark_changed(&p->part[0], &p->part[1]);
	find_cuts(p);
	add_nodes(p);
	for (unsigned i = 0; i < p->n_groups; i++)
		finish_group(p->groups[i]);
}

void
plan_fini(struct plan *p)
{
	map_fini(&p->by_key);
	for (unsigned i = 0; i < p->n_groups; i++) {
		struct plan_group *g = p->groups[i];

		for (unsigned k = 0; k < g->n_members; k++)
			ipset_fini(&g->members[k].ranges);
		free(g->members);
		free(g->users);
		free(g->src);		/* dst is its second half */
		free(g);
	}
	free(p->groups);
	free(p->cuts);
	for (unsigned k = 0; k < 2; k++) {
		policy_reach_view_fini(&p->part[k].view);
		free(p->part[k].entries);
		free(p->part[k].is_changed);
	}
}
