/*
 * Who sees whom, and which routes: rows against rows, by their bits.
 *
 * With via rules there are pairs of one node alone: a node with the rule's tag has the rule's
 * sources and those of its destinations that overlap one of its subnet routes, and
 * autogroup:internet if it is an exit node. Such a pair counts for that node and whoever it is
 * compared with; for routes, for the viewer.
 */
#include <string.h>

#include "coord/policy_world_private.h"

/* Some bit of a and b (NULL: all) among n from first on. */
static bool
range_meets(const uint64_t *a, const uint64_t *b, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++) {
		if (pw_bit(a, i) && (b == NULL || pw_bit(b, i)))
			return true;
	}
	return false;
}

struct sight {
	const struct policy_world *w;
	const struct policy_world_private *p;
	const struct pw_layout *l;
	const uint64_t *a, *b;		/* viewer and other */
};

static const struct policy_rule *
via_rule(const struct policy_world *w, uint32_t via)
{
	return &w->policy->rules[w->_p->via_rules[via]];
}

/* Calls for each literal destination of the via rule; those of autogroup:internet apart. */
static bool
via_dests_meet(const struct policy_world *w, uint32_t via, const uint64_t *a, const uint64_t *b)
{
	const struct policy_rule *r = via_rule(w, via);

	for (unsigned i = 0; i < r->n_dst; i++) {
		const struct pw_sel *s = &w->_p->sels[r->dst[i].sel];

		if (w->policy->sels[r->dst[i].sel].kind == POLICY_SEL_SET &&
		    range_meets(a, b, s->first_via, s->n_items))
			return true;
	}
	return false;
}

static bool
internet_meets(const struct policy_world_private *p, const uint64_t *items)
{
	const struct pw_sel *s = &p->sels[p->internet];

	return range_meets(items, NULL, s->first_via, s->n_items);
}

/* Do the via rule's destinations at node n, put together, cover a whole family or the internet? */
static bool
via_covers_internet(const struct policy_world *w, uint32_t via, const uint64_t *n)
{
	static const struct net_prefix v4 = { { .family = 4 }, 0 }, v6 = { { .family = 6 }, 0 };
	const struct policy_rule *r = via_rule(w, via);
	const uint64_t *routes = n + w->_p->layout.via_route;
	struct ipset set = { 0 };

	for (unsigned i = 0; i < r->n_dst; i++) {
		const struct policy_sel *sel = &w->policy->sels[r->dst[i].sel];
		const struct pw_sel *s = &w->_p->sels[r->dst[i].sel];

		for (unsigned k = 0; sel->kind == POLICY_SEL_SET && k < sel->set.n; k++) {
			if (pw_bit(routes, s->first_via + k))
				ipset_add_range(&set, &sel->set.v[k].lo, &sel->set.v[k].hi);
		}
	}
	bool is_covered = ipset_covers_prefix(&set, &v4) || ipset_covers_prefix(&set, &v6);

	ipset_fini(&set);
	return is_covered;
}

struct via_dest {
	bool has_items, has_internet;
};

/* What node n has of the via rule's destinations. */
static struct via_dest
via_dest_of(const struct policy_world *w, uint32_t via, const uint64_t *n)
{
	const struct policy_world_private *p = w->_p;
	const struct pw_rule *r = &p->rules[p->via_rules[via]];
	struct via_dest d = { false, false };

	if (!r->is_pair || !pw_bit(n + p->layout.tagged, via))
		return d;
	d.has_items = via_dests_meet(w, via, n + p->layout.via_route, NULL);
	d.has_internet = r->has_internet && (n[PW_ROW_FLAGS] & PW_ROW_EXIT) != 0;
	return d;
}

/* By the pairs of node n: does it reach o, or o it? */
static bool
via_sees(const struct policy_world *w, const uint64_t *n, const uint64_t *o)
{
	const struct policy_world_private *p = w->_p;
	const struct pw_layout *l = &p->layout;

	for (uint32_t v = 0; v < p->n_via; v++) {
		struct via_dest d = via_dest_of(w, v, n);
		uint32_t pair = p->rules[p->via_rules[v]].pair;
		bool is_exit = (o[PW_ROW_FLAGS] & PW_ROW_EXIT) != 0;

		if (!d.has_items && !d.has_internet)
			continue;
		if (pw_bit(o + l->source, pair))
			return true;
		if (!pw_bit(n + l->source, pair))
			continue;
		if (d.has_items && (via_dests_meet(w, v, n + l->via_route, o + l->via_address) ||
		    via_dests_meet(w, v, n + l->via_route, o + l->via_route) ||
		    (is_exit && via_covers_internet(w, v, n))))
			return true;
		if (d.has_internet && (is_exit || internet_meets(p, o + l->via_address) ||
		    internet_meets(p, o + l->via_route)))
			return true;
	}
	return false;
}

static bool
is_visible(const struct sight *s)
{
	const struct pw_layout *l = s->l;

	if (((s->a[PW_ROW_FLAGS] | s->b[PW_ROW_FLAGS]) & PW_ROW_OPEN) != 0)
		return true;
	if (pw_meet(s->a + l->source, s->b + l->dest, l->pair_words) ||
	    pw_meet(s->b + l->source, s->a + l->dest, l->pair_words))
		return true;
	if (s->a[PW_ROW_USER] != 0 && s->a[PW_ROW_USER] == s->b[PW_ROW_USER]) {
		for (size_t i = 0; i < l->self_words; i++) {
			if ((s->a[l->self + i] | s->b[l->self + i]) != 0)
				return true;
		}
	}
	return s->p->n_via > 0 && (via_sees(s->w, s->a, s->b) || via_sees(s->w, s->b, s->a));
}

/* --- routes ----------------------------------------------------------------------------------- */

static bool
is_exit_kind(const uint64_t *k)
{
	return k[PW_KIND_FLAGS] != 0;
}

/* By the via pairs of the viewer. */
static bool
via_allows(const struct sight *s, const uint64_t *k)
{
	const struct pw_layout *l = s->l;

	for (uint32_t v = 0; v < s->p->n_via; v++) {
		struct via_dest d = via_dest_of(s->w, v, s->a);
		uint32_t pair = s->p->rules[s->p->via_rules[v]].pair;

		if (!d.has_items && !d.has_internet)
			continue;
		if (pw_bit(k + l->kind_source, pair))
			return true;
		if (!pw_bit(s->a + l->source, pair))
			continue;
		if (d.has_items && via_dests_meet(s->w, v, s->a + l->via_route, k + l->kind_items))
			return true;
		if (d.has_internet && (is_exit_kind(k) || internet_meets(s->p, k + l->kind_items)))
			return true;
	}
	return false;
}

static bool
is_allowed(const struct sight *s, const uint64_t *k)
{
	const struct pw_layout *l = s->l;
	uint64_t flags = s->a[PW_ROW_FLAGS];

	if (pw_meet(s->a + l->source, k + l->kind_dest, l->pair_words) ||
	    pw_meet(k + l->kind_source, s->a + l->dest, l->pair_words))
		return true;
	if ((k[PW_KIND_FLAGS] == PW_KIND_EXIT4 && (flags & PW_ROW_SELF_EXIT4) != 0) ||
	    (k[PW_KIND_FLAGS] == PW_KIND_EXIT6 && (flags & PW_ROW_SELF_EXIT6) != 0))
		return true;
	return s->p->n_via > 0 && via_allows(s, k);
}

/* A rule without via from the viewer covers the route. Of exit routes only one that covers the
 * internet does. */
static bool
is_covered(const struct sight *s, const uint64_t *k)
{
	const struct pw_layout *l = s->l;

	for (size_t i = 0; i < l->pair_words; i++) {
		uint64_t bits = s->a[l->address + i] & k[l->kind_dest + i] & s->p->plain_pairs[i];

		if ((is_exit_kind(k) ? bits & s->p->internet_pairs[i] : bits) != 0)
			return true;
	}
	return false;
}

/* With via rules: is the route taken through this node, or kept from the viewer? */
static enum policy_show
steer(const struct sight *s, const uint64_t *k)
{
	const struct pw_layout *l = s->l;
	bool is_in = false, is_out = false, is_lost = false;

	for (uint32_t v = 0; v < s->p->n_via; v++) {
		const struct pw_rule *r = &s->p->rules[s->p->via_rules[v]];

		if (!pw_bit(s->a + l->address, r->pair) ||
		    !(is_exit_kind(k) ? r->has_internet : via_dests_meet(s->w, v, k + l->kind_items, NULL)))
			continue;
		if (pw_bit(s->b + l->tagged, v))
			is_in = true;
		else
			is_out = true;
		is_lost = is_lost || pw_bit(k + l->kind_other, v);
	}
	if (is_in && is_lost) {
		is_in = false;
		is_out = true;
	}
	bool covered = (is_in || is_out) && is_covered(s, k);

	if (is_in && !covered)
		return POLICY_SHOW_ALWAYS;
	if (is_in)
		return POLICY_SHOW_PRIMARY;
	if (is_out && !covered)
		return POLICY_SHOW_NOT;
	return is_allowed(s, k) ? POLICY_SHOW_PRIMARY : POLICY_SHOW_NOT;
}

/* The viewer has the route, too. */
static bool
is_shared(const struct sight *s, const uint64_t *k)
{
	const struct pw_layout *l = s->l;

	for (uint64_t i = 0; k[PW_KIND_SHARED] != 0 && i < s->a[PW_ROW_N_KINDS]; i++) {
		if (s->a[l->kinds + i * l->kind_words + PW_KIND_SHARED] == k[PW_KIND_SHARED])
			return true;
	}
	return false;
}

static enum policy_show
show_of(const struct sight *s, const uint64_t *k)
{
	enum policy_show show;

	if ((s->a[PW_ROW_FLAGS] & PW_ROW_OPEN) != 0)
		return POLICY_SHOW_PRIMARY;
	if (s->p->n_via > 0)
		show = steer(s, k);
	else
		show = is_allowed(s, k) ? POLICY_SHOW_PRIMARY : POLICY_SHOW_NOT;
	return show == POLICY_SHOW_NOT && is_shared(s, k) ? POLICY_SHOW_PRIMARY : show;
}

/* --- views ------------------------------------------------------------------------------------ */

static const struct policy_view *
view_of(struct policy_world *w, bool is_hidden, const uint8_t *show, unsigned n_kinds)
{
	struct policy_world_private *p = w->_p;
	struct buf key = { 0 };
	bool is_plain = !is_hidden;
	struct pw_view *v;

	buf_byte(&key, is_hidden);
	buf_append(&key, show, n_kinds);
	if ((v = (struct pw_view *)(void *)pw_intern_find(&p->views, key.p, key.len)) == NULL) {
		for (unsigned i = 0; i < n_kinds; i++)
			is_plain = is_plain && show[i] == POLICY_SHOW_PRIMARY;
		v = obj_alloc(sizeof(*v));
		v->view = obj_alloc(sizeof(*v->view) + n_kinds + 1);
		v->view->id = is_plain ? 0 : ++p->next_view_id;
		v->view->is_ipv4_hidden = is_hidden;
		v->view->n_kinds = n_kinds;
		if (n_kinds > 0)
			memcpy(v->view->show, show, n_kinds);
		pw_intern_put(&p->views, &v->intern, key.p, key.len);
	}
	buf_fini(&key);
	return v->view;
}

static const struct policy_view *
view_make(struct policy_world *w, const struct sight *s)
{
	static const uint8_t plain = POLICY_SHOW_PRIMARY;
	bool is_hidden = (s->a[PW_ROW_FLAGS] & PW_ROW_IPV4_OFF) != 0;
	unsigned n = (unsigned)s->b[PW_ROW_N_KINDS];

	if ((s->b[PW_ROW_FLAGS] & PW_ROW_OPEN) != 0)
		return view_of(w, is_hidden, &plain, 1);
	uint8_t *show = obj_alloc(n + 1);

	for (unsigned i = 0; i < n; i++)
		show[i] = (uint8_t)show_of(s, s->b + s->l->kinds + i * s->l->kind_words);
	const struct policy_view *v = view_of(w, is_hidden, show, n);

	free(show);
	return v;
}

bool
policy_world_sees(const struct policy_world *w, uint32_t row_a, uint32_t row_b)
{
	const struct policy_world_private *p = w->_p;

	if (row_a == POLICY_ROW_WAITING || row_b == POLICY_ROW_WAITING)
		return false;
	ASSERT(row_a < w->n_rows && row_b < w->n_rows);
	struct sight s = { w, p, &p->layout, p->row_list[row_a]->w, p->row_list[row_b]->w };

	return is_visible(&s);
}

const struct policy_view *
policy_world_view(struct policy_world *w, uint32_t viewer_row, uint32_t row)
{
	struct policy_world_private *p = w->_p;

	if (viewer_row == POLICY_ROW_WAITING || row == POLICY_ROW_WAITING)
		return NULL;
	ASSERT(viewer_row < w->n_rows && row < w->n_rows);
	if (p->pair_views == NULL)
		p->pair_views = obj_alloc(PW_PAIR_VIEWS * sizeof(*p->pair_views));
	struct pw_pair_view *known = &p->pair_views[(viewer_row * 40503u + row) % PW_PAIR_VIEWS];
	if (known->viewer == viewer_row && known->row == row)
		return known->view;
	struct sight s = { w, p, &p->layout, p->row_list[viewer_row]->w, p->row_list[row]->w };

	*known = (struct pw_pair_view){ viewer_row, row, is_visible(&s) ? view_make(w, &s) : NULL };
	return known->view;
}
