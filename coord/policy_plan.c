/* Plans: pairs of groups that changed rules are about, what each gains and loses, and what of that
 * is told together. */
#include "coord/policy_plan.h"

#include <stdlib.h>
#include <string.h>

#include "coord/policy_plan_private.h"

#define LABEL_RANGES_MAX 2

/* What some groups gain and lose at others. */
struct change {
	uint32_t *src, *dst;		/* owned: groups, sorted */
	unsigned n_src, n_dst;
	bool is_same_user;
	uint8_t family;
	char *gains, *loses;		/* owned; NULL: nothing */
	uint64_t n_pairs;
	uint64_t alike_src, alike_dst;	/* equal for the same nodes' own addresses in another family */
};

struct changes {
	struct change *v;		/* owned */
	unsigned n, cap;
};

struct pairs {
	uint64_t *v;			/* owned: source << 32 | destination */
	size_t n, cap;
};

/* --- pairs to look at ------------------------------------------------------------------------- */

static void
add_pair(struct plan *p, struct pairs *pairs, const struct plan_group *s,
    const struct plan_group *d)
{
	if (!plan_step(p, 8))
		return;
	if (pairs->n == pairs->cap) {
		pairs->cap = pairs->cap == 0 ? 256 : 2 * pairs->cap;
		pairs->v = obj_realloc(pairs->v, pairs->cap * sizeof(*pairs->v));
	}
	pairs->v[pairs->n++] = (uint64_t)s->index << 32 | d->index;
}

/* Pairs of nodes that one user has, in s and in d. */
static uint64_t
count_same_user(const struct plan_group *s, const struct plan_group *d)
{
	uint64_t n = 0;

	for (unsigned i = 0, k = 0; i < s->n_users && k < d->n_users; ) {
		int64_t a = s->users[i].user_id, b = d->users[k].user_id;

		if (a == b)
			n += (uint64_t)s->users[i].n * d->users[k].n;
		i += a <= b;
		k += b <= a;
	}
	return n;
}

static uint64_t
count_same_node(const struct plan_group *s, const struct plan_group *d)
{
	uint64_t n = 0;

	for (unsigned i = 0, k = 0; i < s->n_members && k < d->n_members; ) {
		int64_t a = s->members[i].id, b = d->members[k].id;

		n += a == b;
		i += a <= b;
		k += b <= a;
	}
	return n;
}

/* Those that a changed destination of a rule is about. */
static void
add_entry(struct plan *p, struct pairs *pairs, const struct plan_part *part, unsigned e)
{
	const struct plan_entry *entry = &part->entries[e];
	bool is_self = policy_reach_is_self(&part->view, &part->view.w->policy->rules[entry->rule],
	    entry->dst);

	for (unsigned i = 0; i < p->n_groups && plan_step(p, 1); i++) {
		const struct plan_group *s = p->groups[i];

		if (!plan_bit(s->src, part->first_rule + entry->rule))
			continue;
		for (unsigned k = 0; k < p->n_groups && plan_step(p, 1); k++) {
			const struct plan_group *d = p->groups[k];

			if (s->family != d->family)
				continue;
			if (is_self ? plan_step(p, s->n_users + d->n_users) && count_same_user(s, d) > 0
			    : plan_bit(d->dst, part->first_entry + e))
				add_pair(p, pairs, s, d);
		}
	}
}

static int
compare_pairs(const void *pa, const void *pb)
{
	const uint64_t *a = pa, *b = pb;

	return (*a > *b) - (*a < *b);
}

static void
find_pairs(struct plan *p, struct pairs *pairs)
{
	size_t n = 0;

	for (unsigned k = 0; k < 2; k++) {
		for (unsigned e = 0; e < p->part[k].n_entries && plan_step(p, 1); e++) {
			if (p->part[k].is_changed[p->part[k].entries[e].rule])
				add_entry(p, pairs, &p->part[k], e);
		}
	}
	if (pairs->n > 1)
		qsort(pairs->v, pairs->n, sizeof(*pairs->v), compare_pairs);
	for (size_t i = 0; i < pairs->n; i++) {
		if (n == 0 || pairs->v[n - 1] != pairs->v[i])
			pairs->v[n++] = pairs->v[i];
	}
	pairs->n = n;
}

/* --- what changes between two groups ---------------------------------------------------------- */

static void
reach_of(struct plan *p, unsigned k, const struct plan_group *s, const struct plan_group *d,
    bool is_same_user, struct policy_reach *out)
{
	const struct plan_part *part = &p->part[k];

	policy_reach_clear(out);
	if (!plan_step(p, part->n_entries / (is_same_user ? 1 : 32) + 16))
		return;
	for (unsigned e = 0; e < part->n_entries; e++) {
		unsigned at = part->first_entry + e;

		if (!is_same_user && at % 64 == 0 && d->dst[at / 64] == 0) {
			e += 63;		/* one word without any */
			continue;
		}
		const struct policy_rule *rule =
		    &part->view.w->policy->rules[part->entries[e].rule];
		bool is_hit = plan_bit(d->dst, at) ||
		    (is_same_user && policy_reach_is_self(&part->view, rule, part->entries[e].dst));

		if (is_hit && plan_bit(s->src, part->first_rule + part->entries[e].rule))
			policy_reach_add(out, rule, part->entries[e].dst);
	}
	policy_reach_sort(out);
}

static char *
text_of(const struct policy_reach *r)
{
	struct buf b = { 0 };
	char *text;

	if (r->n == 0 && r->n_apps == 0)
		return NULL;
	policy_reach_put(&b, r);
	text = obj_strdup(buf_cstr(&b));
	buf_fini(&b);
	return text;
}

struct differ {
	struct policy_reach reach[2], diff;
};

static void
differ_fini(struct differ *x)
{
	policy_reach_fini(&x->reach[0]);
	policy_reach_fini(&x->reach[1]);
	policy_reach_fini(&x->diff);
}

static void
find_difference(struct plan *p, struct differ *x, const struct plan_group *s,
    const struct plan_group *d, struct change *c)
{
	for (unsigned k = 0; k < 2; k++)
		reach_of(p, k, s, d, c->is_same_user, &x->reach[k]);
	policy_reach_minus(&x->reach[1], &x->reach[0], &x->diff);
	policy_reach_sort(&x->diff);
	c->gains = text_of(&x->diff);
	policy_reach_minus(&x->reach[0], &x->reach[1], &x->diff);
	policy_reach_sort(&x->diff);
	c->loses = text_of(&x->diff);
}

static void
add_change(struct changes *all, struct change *c, const struct plan_group *s,
    const struct plan_group *d)
{
	if (c->n_pairs == 0 || (c->gains == NULL && c->loses == NULL)) {
		free(c->gains);
		free(c->loses);
		return;
	}
	if (all->n == all->cap) {
		all->cap = all->cap == 0 ? 32 : 2 * all->cap;
		all->v = obj_realloc(all->v, all->cap * sizeof(*all->v));
	}
	c->family = s->family;
	c->src = obj_alloc(sizeof(*c->src));
	c->dst = obj_alloc(sizeof(*c->dst));
	c->src[0] = s->index;
	c->dst[0] = d->index;
	c->n_src = c->n_dst = 1;
	all->v[all->n++] = *c;
}

static bool
is_equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static void
look_at_pair(struct plan *p, struct differ *x, const struct plan_group *s,
    const struct plan_group *d, struct changes *all)
{
	uint64_t n_same_node = count_same_node(s, d), n_same_user = 0;
	struct change others = { 0 }, own = { .is_same_user = true };

	if (!plan_step(p, (s->n_members + d->n_members) / 8))
		return;
	find_difference(p, x, s, d, &others);
	others.n_pairs = (uint64_t)s->n_members * d->n_members - n_same_node;
	if (p->part[0].has_self || p->part[1].has_self)
		n_same_user = count_same_user(s, d);
	if (n_same_user > 0) {
		find_difference(p, x, s, d, &own);
		/* A node is its own user's; tagged ones have none. */
		for (unsigned i = 0, k = 0; i < s->n_members && k < d->n_members; ) {
			int64_t a = s->members[i].id, b = d->members[k].id;

			n_same_user -= a == b && s->members[i].user_id > 0;
			i += a <= b;
			k += b <= a;
		}
		own.n_pairs = n_same_user;
		if (is_equal(own.gains, others.gains) && is_equal(own.loses, others.loses))
			own.n_pairs = 0;
		else
			others.n_pairs -= n_same_user;
	}
	add_change(all, &own, s, d);
	add_change(all, &others, s, d);
}

/* --- what is told together -------------------------------------------------------------------- */

static int
compare_texts(const struct change *a, const struct change *b)
{
	int order;

	if (a->is_same_user != b->is_same_user)
		return a->is_same_user ? 1 : -1;
	order = strcmp(a->gains != NULL ? a->gains : "", b->gains != NULL ? b->gains : "");
	return order != 0 ? order
	    : strcmp(a->loses != NULL ? a->loses : "", b->loses != NULL ? b->loses : "");
}

static int
compare_lists(const uint32_t *a, unsigned n_a, const uint32_t *b, unsigned n_b)
{
	for (unsigned i = 0; i < n_a && i < n_b; i++) {
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	}
	return (n_a > n_b) - (n_a < n_b);
}

static int
compare_by_dst(const void *pa, const void *pb)
{
	const struct change *a = pa, *b = pb;
	int order = compare_texts(a, b);

	if (order == 0)
		order = compare_lists(a->dst, a->n_dst, b->dst, b->n_dst);
	return order != 0 ? order : compare_lists(a->src, a->n_src, b->src, b->n_src);
}

static int
compare_by_src(const void *pa, const void *pb)
{
	const struct change *a = pa, *b = pb;
	int order = compare_texts(a, b);

	if (order == 0)
		order = compare_lists(a->src, a->n_src, b->src, b->n_src);
	return order != 0 ? order : compare_lists(a->dst, a->n_dst, b->dst, b->n_dst);
}

static void
change_fini(struct change *c)
{
	free(c->src);
	free(c->dst);
	free(c->gains);
	free(c->loses);
}

/* Sorted: runs that differ on one side only become one. */
static void
merge(struct changes *all, bool is_src)
{
	unsigned n = 0;

	for (unsigned i = 0; i < all->n; i++) {
		struct change *c = &all->v[i], *to = n > 0 ? &all->v[n - 1] : NULL;

		if (to == NULL || compare_texts(to, c) != 0 ||
		    (is_src ? compare_lists(to->dst, to->n_dst, c->dst, c->n_dst)
		    : compare_lists(to->src, to->n_src, c->src, c->n_src)) != 0) {
			if (n != i)
				all->v[n] = *c;
			n++;
			continue;
		}
		uint32_t **list = is_src ? &to->src : &to->dst;
		unsigned *n_list = is_src ? &to->n_src : &to->n_dst;

		/* Capacity is the next power of two: doubled whenever the length is one. */
		if ((*n_list & (*n_list - 1)) == 0)
			*list = obj_realloc(*list, 2 * (size_t)*n_list * sizeof(**list));
		(*list)[(*n_list)++] = is_src ? c->src[0] : c->dst[0];
		to->n_pairs += c->n_pairs;
		change_fini(c);
	}
	all->n = n;
}


/* Routes are of one family: each list with one is like no other. */
static uint64_t
alike(const struct plan *p, const uint32_t *list, unsigned n)
{
	uint64_t sum = n;

	for (unsigned i = 0; i < n; i++) {
		const struct plan_group *g = p->groups[list[i]];

		sum += g->kind == POLICY_REACH_OWN ? g->alike : g->alike + g->family;
	}
	return sum;
}

static int
compare_by_alike(const void *pa, const void *pb)
{
	const struct change *a = pa, *b = pb;
	int order = compare_texts(a, b);

	if (order != 0)
		return order;
	if (a->alike_src != b->alike_src)
		return a->alike_src < b->alike_src ? -1 : 1;
	if (a->alike_dst != b->alike_dst)
		return a->alike_dst < b->alike_dst ? -1 : 1;
	return (int)a->family - (int)b->family;
}

/* The same between the same nodes over IPv4 and IPv6 is told once. */
static void
fold_families(const struct plan *p, struct changes *all)
{
	unsigned n = 0;

	for (unsigned i = 0; i < all->n; i++) {
		struct change *c = &all->v[i];

		c->alike_src = alike(p, c->src, c->n_src);
		c->alike_dst = alike(p, c->dst, c->n_dst);
	}
	qsort(all->v, all->n, sizeof(*all->v), compare_by_alike);
	for (unsigned i = 0; i < all->n; i++) {
		struct change *c = &all->v[i], *to = n > 0 ? &all->v[n - 1] : NULL;

		if (to != NULL && compare_texts(to, c) == 0 && to->alike_src == c->alike_src &&
		    to->alike_dst == c->alike_dst && to->family != c->family) {
			to->family = 0;
			change_fini(c);
		} else if (n++ != i) {
			all->v[n - 1] = *c;
		}
	}
	all->n = n;
}

static int
compare_size(const void *pa, const void *pb)
{
	const struct change *a = pa, *b = pb;

	if (a->n_pairs != b->n_pairs)
		return a->n_pairs > b->n_pairs ? -1 : 1;
	return compare_by_src(a, b);
}

static void
gather(struct plan *p, struct changes *all)
{
	struct differ x = { 0 };
	struct pairs pairs = { 0 };

	find_pairs(p, &pairs);
	for (size_t i = 0; i < pairs.n && plan_step(p, 1); i++)
		look_at_pair(p, &x, p->groups[pairs.v[i] >> 32], p->groups[pairs.v[i] & UINT32_MAX],
		    all);
	differ_fini(&x);
	free(pairs.v);
	if (all->n < 2)
		return;
	qsort(all->v, all->n, sizeof(*all->v), compare_by_dst);
	merge(all, true);
	qsort(all->v, all->n, sizeof(*all->v), compare_by_src);
	merge(all, false);
	fold_families(p, all);
	qsort(all->v, all->n, sizeof(*all->v), compare_size);
}

/* --- names ------------------------------------------------------------------------------------ */

static void
put_ranges(struct buf *b, const struct plan *p, const struct plan_group *g, const struct ipset *s)
{
	struct net_prefix all = { { .family = g->family }, 0 };
	struct ipset internet = { 0 }, whole = { 0 };

	ipset_add_prefix(&whole, &all);
	ipset_add_set(&internet, &p->part[1].view.internet);
	ipset_add_set(&internet, s);
	/* Of this family: what of the internet s does not have. */
	ipset_remove_set(&internet, s);
	if (g->kind == POLICY_REACH_EXIT && !ipset_overlaps(&internet, &whole)) {
		buf_str(b, "the internet");
	} else {
		struct ipset some = *s;
		size_t at = b->len;

		if (some.n > LABEL_RANGES_MAX)
			some.n = LABEL_RANGES_MAX;
		ipset_put(b, &some);
		for (size_t i = at; i < b->len; i++) {
			if (b->p[i] != '"')
				b->p[at++] = b->p[i];
		}
		b->len = at;
		if (s->n > some.n)
			buf_printf(b, " and %u more", s->n - some.n);
	}
	ipset_fini(&internet);
	ipset_fini(&whole);
}

struct namer {
	const struct plan *p;
	policy_plan_name_fn *name;
	void *arg;
};

static char *
label_of(const struct namer *x, const struct plan_group *g, const struct plan_member *m)
{
	const char *name = x->name != NULL ? x->name(x->arg, m->id) : NULL;
	struct buf b = { 0 };
	char *text;

	if (m->ranges.n > 0) {
		put_ranges(&b, x->p, g, &m->ranges);
		buf_str(&b, " (");
	}
	if (name != NULL)
		buf_str(&b, name);
	else
		buf_printf(&b, "node %lld", (long long)m->id);
	if (m->ranges.n > 0)
		buf_byte(&b, ')');
	text = obj_strdup(buf_cstr(&b));
	buf_fini(&b);
	return text;
}

struct pick {
	const struct plan_group *group;
	const struct plan_member *member;
};

/* Members are sorted in each group: of each, the first few are enough. */
static void
fill_side(const struct namer *x, const uint32_t *list, unsigned n, struct policy_plan_side *out)
{
	struct pick best[POLICY_PLAN_NAMES_MAX];

	for (unsigned i = 0; i < n; i++) {
		const struct plan_group *g = x->p->groups[list[i]];

		out->n += g->n_members;
		for (unsigned k = 0; k < g->n_members && k < POLICY_PLAN_NAMES_MAX; k++) {
			unsigned at = out->n_names;

			while (at > 0 && best[at - 1].member->id > g->members[k].id)
				at--;
			if (at == POLICY_PLAN_NAMES_MAX)
				break;
			if (out->n_names < POLICY_PLAN_NAMES_MAX)
				out->n_names++;
			memmove(&best[at + 1], &best[at], (out->n_names - at - 1) * sizeof(*best));
			best[at] = (struct pick){ g, &g->members[k] };
		}
	}
	for (unsigned i = 0; i < out->n_names; i++)
		out->names[i] = label_of(x, best[i].group, best[i].member);
}

static void
fill_plan(const struct namer *x, struct changes *all, struct policy_plan *out)
{
	out->n = all->n < POLICY_PLAN_CHANGES_MAX ? all->n : POLICY_PLAN_CHANGES_MAX;
	out->n_more = all->n - out->n;
	out->v = obj_alloc((out->n + 1) * sizeof(*out->v));
	for (unsigned i = 0; i < all->n; i++) {
		struct change *c = &all->v[i];

		out->n_gaining += c->gains != NULL ? c->n_pairs : 0;
		out->n_losing += c->loses != NULL ? c->n_pairs : 0;
		if (i < out->n) {
			struct policy_plan_change *to = &out->v[i];

			fill_side(x, c->src, c->n_src, &to->src);
			fill_side(x, c->dst, c->n_dst, &to->dst);
			to->is_same_user = c->is_same_user;
			to->family = c->family;
			to->n_pairs = c->n_pairs;
			to->gains = c->gains;
			to->loses = c->loses;
			c->gains = c->loses = NULL;
		}
		change_fini(c);
	}
	free(all->v);
}

struct policy_plan *
policy_plan_new(const struct policy_world *old, const struct policy_world *new,
    policy_plan_name_fn *name, void *arg)
{
	struct policy_plan *out = obj_alloc(sizeof(*out));
	struct changes all = { 0 };
	struct plan p;
	struct namer x = { &p, name, arg };

	plan_init(&p, old, new);
	gather(&p, &all);
	fill_plan(&x, &all, out);
	out->is_cut = p.is_cut;
	plan_fini(&p);
	return out;
}

static void
side_fini(struct policy_plan_side *s)
{
	for (unsigned i = 0; i < s->n_names; i++)
		free(s->names[i]);
}

void
policy_plan_free(struct policy_plan *p)
{
	if (p == NULL)
		return;
	for (unsigned i = 0; i < p->n; i++) {
		side_fini(&p->v[i].src);
		side_fini(&p->v[i].dst);
		free(p->v[i].gains);
		free(p->v[i].loses);
	}
	free(p->v);
	free(p);
}
