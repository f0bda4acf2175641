/*
 * Addresses that selectors stand for, and the texts of SrcIPs made of them.
 *
 * A selector that stands for nodes keeps its set while single nodes come and go; after many
 * changes at once it is gathered anew. Sources are told as the texts of their selectors, one
 * behind the other: doubles do no harm.
 */
#include <string.h>

#include "coord/policy_world_private.h"

#define CHANGES_MAX 64		/* one by one; more are cheaper together */

/* Addresses gathered in any order, then made a set. */
struct gather {
	struct net_ip *v;	/* owned */
	size_t n, cap;
};

/* family 0: nothing */
static void
gather_add(struct gather *g, const struct net_ip *ip)
{
	if (ip->family == 0)
		return;
	if (g->n == g->cap) {
		g->cap = g->cap == 0 ? 16 : 2 * g->cap;
		g->v = obj_realloc(g->v, g->cap * sizeof(*g->v));
	}
	g->v[g->n++] = *ip;
}

static void
gather_class(struct gather *g, const struct policy_class_private *c)
{
	for (unsigned i = 0; i < c->class.n_nodes; i++) {
		gather_add(g, &c->nodes[i]->as_joined.ip4);
		gather_add(g, &c->nodes[i]->as_joined.ip6);
	}
}

static int
compare_ips(const void *a, const void *b)
{
	return policy_world_ip_compare(a, b);
}

/* Adds all to out; g is empty again. */
static void
gather_take(struct gather *g, struct ipset *out)
{
	if (g->n > 1)
		qsort(g->v, g->n, sizeof(*g->v), compare_ips);
	for (size_t i = 0; i < g->n; i++)
		ipset_add_ip(out, &g->v[i]);
	free(g->v);
	*g = (struct gather){ 0 };
}

uint32_t
policy_world_source_of(struct policy_world *w, const struct pw_list *sels, const struct policy_list *postures)
{
	struct policy_world_private *p = w->_p;
	struct pw_list tidy = { 0 };
	struct buf key = { 0 };
	struct pw_source *s;

	for (uint32_t i = 0; i < sels->n; i++)
		pw_list_add(&tidy, sels->v[i]);
	pw_list_tidy(&tidy);
	buf_append(&key, tidy.v, tidy.n * sizeof(*tidy.v));
	if (postures != NULL && postures->n > 0) {
		buf_append(&key, &(uint32_t){ PW_NONE }, sizeof(uint32_t));
		buf_append(&key, postures->v, postures->n * sizeof(*postures->v));
	}
	s = (struct pw_source *)(void *)pw_intern_find(&p->sources_by_key, key.p, key.len);
	if (s == NULL) {
		s = obj_alloc(sizeof(*s));
		pw_intern_put(&p->sources_by_key, &s->intern, key.p, key.len);
		s->sels = tidy;
		tidy = (struct pw_list){ 0 };
		s->postures = postures != NULL && postures->n > 0 ? postures : NULL;
		for (uint32_t i = 0; i < s->sels.n; i++) {
			enum policy_sel_kind kind = w->policy->sels[s->sels.v[i]].kind;

			s->has_any = s->has_any || kind == POLICY_SEL_ANY;
			s->has_all = s->has_all || kind == POLICY_SEL_ALL;
		}
		if (p->n_sources == p->cap_sources) {
			p->cap_sources = p->cap_sources == 0 ? 16 : 2 * p->cap_sources;
			p->sources = obj_realloc(p->sources, p->cap_sources * sizeof(struct pw_source *));
		}
		s->index = p->n_sources;
		p->sources[p->n_sources++] = s;
	}
	pw_list_fini(&tidy);
	buf_fini(&key);
	return s->index;
}

void
policy_world_source_fini(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;
	size_t cursor = 0;

	for (uint32_t i = 0; i < p->n_sources; i++) {
		struct pw_source *s = p->sources[i];

		pw_intern_remove(&p->sources_by_key, &s->intern);
		pw_list_fini(&s->sels);
		shbuf_drop(s->text);
		free(s);
	}
	free(p->sources);
	map_fini(&p->sources_by_key);
	for (struct pw_address *a; (a = map_next(&p->addresses, &cursor)) != NULL; free(a))
		(void)map_remove(&p->addresses, &a->ip);
	map_fini(&p->addresses);
	pw_list_fini(&p->touched);
	ipset_fini(&p->routes);
	shbuf_drop(p->routes_text);
}

/* Whether the text is another now. */
static bool
text_make(struct shbuf **text, const struct ipset *set)
{
	struct buf b = { 0 };
	struct shbuf *old = *text;

	ipset_put(&b, set);
	if (old != NULL && old->len == b.len && (b.len == 0 || memcmp(old->bytes, b.p, b.len) == 0)) {
		buf_fini(&b);
		return false;
	}
	*text = shbuf_new(b.p, b.len);
	shbuf_drop(old);
	buf_fini(&b);
	return true;
}

/* --- who comes and goes ----------------------------------------------------------------------- */

/* Counts the address; whether others have it, too. */
static bool
address_count(struct policy_world_private *p, const struct net_ip *ip, int by)
{
	struct pw_address *a = map_find(&p->addresses, ip);

	if (ip->family == 0)
		return false;
	if (a == NULL) {
		a = obj_alloc(sizeof(*a));
		a->ip = *ip;
		(void)map_put(&p->addresses, a);
	}
	a->n_nodes += (uint32_t)by;
	if (a->n_nodes > 0)
		return by < 0 || a->n_nodes > 1;
	(void)map_remove(&p->addresses, ip);
	free(a);
	return false;
}

static void
set_change(struct ipset *set, const struct net_ip *ip, int by)
{
	if (ip->family == 0)
		return;
	if (by > 0)
		ipset_add_ip(set, ip);
	else
		ipset_remove_range(set, ip, ip);
}

static void
sel_touch(struct policy_world_private *p, uint32_t sel)
{
	if (!p->sels[sel].is_touched)
		pw_list_add(&p->touched, sel);
	p->sels[sel].is_touched = true;
}

void
policy_world_source_use(struct policy_world *w, uint32_t source, int by)
{
	struct policy_world_private *p = w->_p;
	struct pw_source *s = p->sources[source];
	bool was_used = s->n_programs > 0;

	s->n_programs += (uint32_t)by;
	for (uint32_t i = 0; i < s->sels.n && was_used != (s->n_programs > 0); i++) {
		struct pw_sel *sel = &p->sels[s->sels.v[i]];

		/* Nobody keeps the set of one that is not used. */
		if (by > 0 && sel->n_sources == 0) {
			sel->is_built = false;
			sel_touch(p, s->sels.v[i]);
			if (sel->n_items > 0 && sel->text == NULL)
				(void)text_make(&sel->text, &w->policy->sels[s->sels.v[i]].set);
		}
		sel->n_sources += (uint32_t)by;
	}
	if (s->n_programs == 0) {
		shbuf_drop(s->text);
		s->text = NULL;
	}
}

void
policy_world_source_touch(struct policy_world *w, const struct policy_class_private *c,
    const struct policy_node *n,
    int by)
{
	struct policy_world_private *p = w->_p;
	bool is_double = address_count(p, &n->ip4, by);

	is_double = address_count(p, &n->ip6, by) || is_double;
	p->is_touched = true;
	for (uint32_t i = 0; i < c->facts.sels.n; i++) {
		struct pw_sel *s = &p->sels[c->facts.sels.v[i]];

		if (s->is_ssh)
			policy_world_ssh_touch(w);
		if (s->n_sources == 0)
			continue;
		sel_touch(p, c->facts.sels.v[i]);
		if (!s->is_built || !s->is_nodes)
			continue;
		if (is_double || ++s->n_changes > CHANGES_MAX) {
			s->is_built = false;
			continue;
		}
		set_change(&s->set, &n->ip4, by);
		set_change(&s->set, &n->ip6, by);
	}
}

/* --- texts ------------------------------------------------------------------------------------ */

static bool
routes_refresh(struct policy_world_private *p)
{
	size_t cursor = 0, n = 0;

	if (p->are_routes_dirty) {
		/* Sorted first: a set takes what comes in order in constant time. */
		struct ipset_range *v = obj_alloc((p->prefixes.count + 1) * sizeof(*v));

		for (const struct pw_prefix *x; (x = map_next(&p->prefixes, &cursor)) != NULL; ) {
			if (!x->is_exit)
				v[n++] = policy_world_range_of(&x->prefix);
		}
		qsort(v, n, sizeof(*v), policy_world_range_compare);
		ipset_fini(&p->routes);
		for (size_t i = 0; i < n; i++)
			ipset_add_range(&p->routes, &v[i].lo, &v[i].hi);
		free(v);
	}
	bool was_changed = p->are_routes_changed;

	p->are_routes_dirty = p->are_routes_changed = false;
	return was_changed && text_make(&p->routes_text, &p->routes);
}

/* Sets of all touched selectors that have none, in one walk over the classes. */
static void
sets_build(struct policy_world_private *p)
{
	struct gather *gathers = NULL;
	struct pw_list want = { 0 };
	size_t cursor = 0;

	pw_list_tidy(&p->touched);
	for (uint32_t i = 0; i < p->touched.n; i++) {
		const struct pw_sel *s = &p->sels[p->touched.v[i]];

		if (s->is_nodes && s->n_sources > 0 && !s->is_built)
			pw_list_add(&want, p->touched.v[i]);
	}
	if (want.n == 0)
		return;
	gathers = obj_alloc(want.n * sizeof(*gathers));
	for (const struct policy_class_private *c; (c = map_next(&p->classes, &cursor)) != NULL; ) {
		for (uint32_t i = 0, k = 0; i < c->facts.sels.n && k < want.n; ) {
			uint32_t sel = c->facts.sels.v[i];

			if (sel == want.v[k])
				gather_class(&gathers[k], c);
			i += sel <= want.v[k];
			k += sel >= want.v[k];
		}
	}
	for (uint32_t k = 0; k < want.n; k++) {
		struct pw_sel *s = &p->sels[want.v[k]];

		ipset_fini(&s->set);
		gather_take(&gathers[k], &s->set);
		s->is_built = true;
	}
	free(gathers);
	pw_list_fini(&want);
}

/* Addresses of nodes alone: those that are in the sources and meet a posture. */
static void
postured_set(const struct policy_world *w, const struct pw_source *s, struct ipset *out)
{
	const struct policy_world_private *p = w->_p;
	struct gather g = { 0 };
	struct ipset literals = { 0 };
	size_t cursor = 0;

	for (uint32_t i = 0; i < s->sels.n; i++) {
		if (!p->sels[s->sels.v[i]].is_nodes)
			ipset_add_set(&literals, &w->policy->sels[s->sels.v[i]].set);
	}
	for (const struct policy_class_private *c; (c = map_next(&p->classes, &cursor)) != NULL; ) {
		bool is_all = false;

		if (!pw_facts_in(&c->facts, s))
			continue;
		for (uint32_t i = 0; i < s->sels.n && !is_all; i++)
			is_all = p->sels[s->sels.v[i]].is_nodes && pw_list_has(&c->facts.sels, s->sels.v[i]);
		for (unsigned i = 0; i < c->class.n_nodes; i++) {
			const struct policy_node *n = &c->nodes[i]->as_joined;

			if (is_all || (n->ip4.family != 0 && ipset_has(&literals, &n->ip4)))
				gather_add(&g, &n->ip4);
			if (is_all || (n->ip6.family != 0 && ipset_has(&literals, &n->ip6)))
				gather_add(&g, &n->ip6);
		}
	}
	gather_take(&g, out);
	ipset_fini(&literals);
}

/* Makes the text of sources with postures: whether it is another. Others are put together of
 * their selectors' where they are used. */
static bool
postured_make(struct policy_world *w, struct pw_source *s)
{
	struct ipset set = { 0 };
	bool is_changed;

	postured_set(w, s, &set);
	is_changed = text_make(&s->text, &set);
	ipset_fini(&set);
	return is_changed;
}

static bool
is_source_changed(struct policy_world *w, struct pw_source *s, bool is_routes)
{
	bool is_touched = s->postures != NULL && s->text == NULL;

	if (s->postures == NULL && s->has_any && is_routes)
		return true;
	for (uint32_t i = 0; i < s->sels.n && !is_touched; i++) {
		const struct pw_sel *sel = &w->_p->sels[s->sels.v[i]];

		if (s->postures == NULL && sel->is_changed)
			return true;
		is_touched = s->postures != NULL && sel->is_touched;
	}
	return is_touched && postured_make(w, s);
}

bool
policy_world_source_refresh(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;
	bool is_routes = routes_refresh(p), is_any_dirty = false;

	sets_build(p);
	for (uint32_t i = 0; i < p->touched.n; i++) {
		struct pw_sel *s = &p->sels[p->touched.v[i]];

		s->is_changed = s->is_nodes && s->n_sources > 0 && text_make(&s->text, &s->set);
	}
	for (uint32_t i = 0; i < p->n_sources; i++) {
		struct pw_source *s = p->sources[i];

		s->is_dirty = s->n_programs > 0 && is_source_changed(w, s, is_routes);
		is_any_dirty = is_any_dirty || s->is_dirty;
	}
	for (uint32_t i = 0; i < p->touched.n; i++) {
		struct pw_sel *s = &p->sels[p->touched.v[i]];

		s->is_touched = s->is_changed = false;
		s->n_changes = 0;
	}
	p->touched.n = 0;
	return is_any_dirty;
}

void
policy_world_source_of_user(const struct policy_world *w, int64_t user_id, const struct pw_source *s,
    struct ipset *out)
{
	const struct pw_user *u = map_find(&w->_p->users, &user_id);
	const struct policy_class_private *c;
	struct gather g = { 0 };

	if (u == NULL)
		return;
	TAILQ_FOREACH(c, &u->classes, user_link) {
		if (s == NULL || pw_facts_in(&c->facts, s))
			gather_class(&g, c);
	}
	gather_take(&g, out);
}

void
policy_world_resolve(struct policy_world *w, uint32_t sel, bool is_source, struct ipset *out)
{
	struct policy_world_private *p = w->_p;
	const struct policy_class_private *c;
	struct gather g = { 0 };
	size_t cursor = 0;

	if (!p->sels[sel].is_nodes) {
		ipset_add_set(out, &w->policy->sels[sel].set);
		if (is_source && w->policy->sels[sel].kind == POLICY_SEL_ANY) {
			for (const struct pw_prefix *x; (x = map_next(&p->prefixes, &cursor)) != NULL; ) {
				if (!x->is_exit)
					ipset_add_prefix(out, &x->prefix);
			}
		}
		return;
	}
	while ((c = map_next(&p->classes, &cursor)) != NULL) {
		if (pw_list_has(&c->facts.sels, sel))
			gather_class(&g, c);
	}
	gather_take(&g, out);
}
