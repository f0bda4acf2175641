/*
 * Filters (tailcfg.FilterRule), as templates of classes:
 *
 *   [{"SrcIPs":["100.64.0.1"],"DstPorts":[{"IP":"\x01","Ports":{"First":22,"Last":22}}],"IPProto":[6]},
 *    {"SrcIPs":["*"],"CapGrant":[{"Dsts":["\x01/32","\x02/128"],"CapMap":{"example.com/cap/x":[1]}}]}]
 *
 * The bytes 1 and 2, which JSON text cannot contain, stand for the node's own IPv4 and IPv6
 * address. IPProto is absent for the default set.
 *
 * A *program* is all of that but the sources: groups of destinations, each with the sources that
 * they go with. Classes whose programs are equal share one, and its text. Rules with the same
 * sources and protocol are one group.
 */
#include <string.h>

#include "coord/policy_world_filter.h"

struct group {
	struct pw_group_head head;
	struct buf text;
	uint32_t next;		/* of the same hash bucket, or PW_NONE */
};

struct maker {
	struct policy_world *w;
	struct policy_class_private *c;
	struct group *groups;		/* owned */
	uint32_t n_groups, cap_groups;
	uint32_t *buckets;		/* owned */
	uint32_t n_buckets;
	struct buf entries;		/* of one destination: JSON strings, each with NUL behind */
};

static uint32_t
bucket_of(const struct maker *m, const struct pw_group_head *h)
{
	return (h->kind * 31u + h->id * 2654435761u + (uint32_t)h->proto * 97u) & (m->n_buckets - 1);
}

static void
rehash(struct maker *m)
{
	m->n_buckets = m->n_buckets == 0 ? 16 : 2 * m->n_buckets;
	m->buckets = obj_realloc(m->buckets, m->n_buckets * sizeof(*m->buckets));
	memset(m->buckets, 0xff, m->n_buckets * sizeof(*m->buckets));
	for (uint32_t i = 0; i < m->n_groups; i++) {
		uint32_t at = bucket_of(m, &m->groups[i].head);

		m->groups[i].next = m->buckets[at];
		m->buckets[at] = i;
	}
}

/* The group of these sources and protocol, or of their capabilities. */
static struct buf *
group_of(struct maker *m, uint32_t kind, uint32_t id, int proto, bool is_cap)
{
	struct pw_group_head head = { .kind = kind, .id = id, .proto = proto, .is_cap = is_cap };

	if (m->n_groups >= m->n_buckets)
		rehash(m);
	uint32_t at = bucket_of(m, &head);

	for (uint32_t i = m->buckets[at]; i != PW_NONE; i = m->groups[i].next) {
		const struct pw_group_head *h = &m->groups[i].head;

		if (h->kind == kind && h->id == id && h->proto == proto && h->is_cap == is_cap)
			return &m->groups[i].text;
	}
	if (m->n_groups == m->cap_groups) {
		m->cap_groups = m->cap_groups == 0 ? 8 : 2 * m->cap_groups;
		m->groups = obj_realloc(m->groups, m->cap_groups * sizeof(*m->groups));
	}
	m->groups[m->n_groups] = (struct group){ .head = head, .next = m->buckets[at] };
	m->buckets[at] = m->n_groups;
	return &m->groups[m->n_groups++].text;
}

/* --- destinations ----------------------------------------------------------------------------- */

/* Adds those of the tidy list that are items of the selector. */
static void
items_of(const struct pw_list *from, const struct pw_sel *s, struct pw_list *out)
{
	uint32_t lo = 0, hi = from->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (from->v[mid] < s->first_item)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < from->n && from->v[lo] < s->first_item + s->n_items; lo++)
		pw_list_add(out, from->v[lo]);
}

/* Addresses of nodes in the selector that lie in a wide subnet route of the class. */
static void
odd_set(struct maker *m, uint32_t sel, struct ipset *out)
{
	struct ipset all = { 0 };

	policy_world_resolve(m->w, sel, false, &all);
	for (unsigned i = 0; i < m->c->n_kinds; i++) {
		const struct pw_prefix *x = map_find(&m->w->_p->prefixes, &m->c->kind_of[i]);

		if (x == NULL || !x->is_wide || x->is_exit)
			continue;
		struct ipset_range r = policy_world_range_of(&x->prefix);

		for (unsigned k = 0; k < all.n; k++) {
			const struct net_ip *lo = &all.v[k].lo, *hi = &all.v[k].hi;

			if (policy_world_ip_compare(lo, &r.hi) > 0 || policy_world_ip_compare(hi, &r.lo) < 0)
				continue;
			ipset_add_range(out, policy_world_ip_compare(lo, &r.lo) < 0 ? &r.lo : lo,
			    policy_world_ip_compare(hi, &r.hi) > 0 ? &r.hi : hi);
		}
	}
	ipset_fini(&all);
}

static void
entry_add(struct buf *entries, const char *text)
{
	buf_append(entries, text, strlen(text) + 1);
}

static void
entry_range(struct buf *entries, const struct net_ip *lo, const struct net_ip *hi)
{
	struct ipset_range r = { *lo, *hi };
	struct ipset one = { .v = &r, .n = 1 };

	ipset_put(entries, &one);
	buf_byte(entries, 0);
}

static void
entry_holes(struct maker *m)
{
	if (m->c->facts.has_ip4)
		entry_add(&m->entries, "\"\x01\"");
	if (m->c->facts.has_ip6)
		entry_add(&m->entries, "\"\x02\"");
}

static void
entries_of_nodes(struct maker *m, uint32_t sel)
{
	struct ipset odd = { 0 };

	if (pw_list_has(&m->c->facts.sels, sel))
		entry_holes(m);
	if (!m->c->facts.is_odd)
		return;
	odd_set(m, sel, &odd);
	for (unsigned i = 0; i < odd.n; i++)
		entry_range(&m->entries, &odd.v[i].lo, &odd.v[i].hi);
	ipset_fini(&odd);
}

/* What the class's nodes get of the selector as a destination of ports. */
static void
entries_make(struct maker *m, uint32_t sel)
{
	const struct policy_world_private *p = m->w->_p;
	const struct pw_facts *f = &m->c->facts;
	const struct pw_sel *s = &p->sels[sel];
	struct pw_list items = { 0 };

	buf_clear(&m->entries);
	if (m->w->policy->sels[sel].kind == POLICY_SEL_ANY) {
		entry_add(&m->entries, "\"*\"");
		return;
	}
	if (s->is_nodes) {
		entries_of_nodes(m, sel);
		return;
	}
	items_of(&f->items, s, &items);
	items_of(&f->route_items, s, &items);
	for (uint32_t i = 0; f->has_exit && i < s->n_items; i++) {
		if (p->items[s->first_item + i].is_internet)
			pw_list_add(&items, s->first_item + i);
	}
	pw_list_tidy(&items);
	for (uint32_t i = 0; i < items.n; i++)
		entry_range(&m->entries, &p->items[items.v[i]].lo, &p->items[items.v[i]].hi);
	pw_list_fini(&items);
}

static void
ports_put(struct maker *m, uint32_t kind, uint32_t id, int proto, const struct policy_ports *ports,
    unsigned n_ports)
{
	struct buf *b;

	if (m->entries.len == 0)
		return;
	b = group_of(m, kind, id, proto, false);
	for (const char *e = (const char *)m->entries.p; e < (const char *)m->entries.p + m->entries.len;
	    e += strlen(e) + 1) {
		for (unsigned i = 0; i < n_ports; i++) {
			if (b->len > 0)
				buf_byte(b, ',');
			buf_str(b, "{\"IP\":");
			buf_str(b, e);
			buf_printf(b, ",\"Ports\":{\"First\":%u,\"Last\":%u}}", (unsigned)ports[i].first,
			    (unsigned)ports[i].last);
		}
	}
}

/* The entries on all the ports that the rule says; dst: which of its destinations they are of. */
static void
rule_ports_put(struct maker *m, uint32_t kind, uint32_t rule, uint32_t dst)
{
	const struct policy_rule *r = &m->w->policy->rules[rule];
	uint32_t id = m->w->_p->rules[rule].source;

	if (!r->is_grant) {
		ports_put(m, kind, id, r->proto, r->dst[dst].ports, r->dst[dst].n_ports);
		return;
	}
	for (unsigned i = 0; i < r->n_ip; i++)
		ports_put(m, kind, id, r->ip[i].proto, r->ip[i].ports, r->ip[i].n_ports);
}

/* --- capabilities ----------------------------------------------------------------------------- */

struct dsts {
	struct buf b;
	bool is_begun, has_hole4, has_hole6;
};

static void
dsts_hole(struct dsts *d, bool is_v6)
{
	bool *has = is_v6 ? &d->has_hole6 : &d->has_hole4;

	if (*has)
		return;
	*has = true;
	if (d->is_begun)
		buf_byte(&d->b, ',');
	d->is_begun = true;
	buf_str(&d->b, is_v6 ? "\"\x02/128\"" : "\"\x01/32\"");
}

/* is_plain: prefixes that overlap a subnet route count too, whole. */
static void
dsts_add(struct maker *m, struct dsts *d, uint32_t sel, bool is_plain)
{
	const struct policy_world_private *p = m->w->_p;
	const struct pw_facts *f = &m->c->facts;
	const struct pw_sel *s = &p->sels[sel];
	struct pw_list items = { 0 };
	struct ipset odd = { 0 };

	if (s->is_nodes) {
		if (pw_list_has(&f->sels, sel) && f->has_ip4)
			dsts_hole(d, false);
		if (pw_list_has(&f->sels, sel) && f->has_ip6)
			dsts_hole(d, true);
		if (f->is_odd && is_plain)
			odd_set(m, sel, &odd);
		for (unsigned i = 0; i < odd.n; i++) {
			bool is_first = !d->is_begun;

			policy_world_prefixes_put(&d->b, &odd.v[i], &is_first);
			d->is_begun = true;
		}
		ipset_fini(&odd);
		return;
	}
	items_of(&f->items, s, &items);
	for (uint32_t i = 0; i < items.n; i++)
		dsts_hole(d, p->items[items.v[i]].lo.family == 6);
	items.n = 0;
	if (is_plain)
		items_of(&f->route_items, s, &items);
	for (uint32_t i = 0; i < items.n; i++) {
		struct ipset_range r = { p->items[items.v[i]].lo, p->items[items.v[i]].hi };
		bool is_first = !d->is_begun;

		policy_world_prefixes_put(&d->b, &r, &is_first);
		d->is_begun = true;
	}
	pw_list_fini(&items);
}

static void
dsts_holes(struct maker *m, struct dsts *d)
{
	if (m->c->facts.has_ip4)
		dsts_hole(d, false);
	if (m->c->facts.has_ip6)
		dsts_hole(d, true);
}

/* A CapGrant of these destinations, if there are any, with the rule's capabilities or their
 * companions. */
static void
caps_take(struct maker *m, struct dsts *d, uint32_t kind, uint32_t id, uint32_t rule, bool is_companion)
{
	if (d->is_begun) {
		struct buf *b = group_of(m, kind, id, -1, true);

		buf_str(b, b->len > 0 ? ",{\"Dsts\":[" : "{\"Dsts\":[");
		buf_append(b, d->b.p, d->b.len);
		buf_str(b, "],\"CapMap\":");
		policy_world_capmap_put(b, &m->w->policy->rules[rule], is_companion);
		buf_byte(b, '}');
	}
	buf_fini(&d->b);
	*d = (struct dsts){ .is_begun = false };
}

/* --- rules ------------------------------------------------------------------------------------ */

static void
via_put(struct maker *m, uint32_t rule)
{
	const struct policy_rule *r = &m->w->policy->rules[rule];
	const struct policy_world_private *p = m->w->_p;
	const struct pw_facts *f = &m->c->facts;
	struct pw_list items = { 0 };
	bool is_tagged = false;

	for (unsigned i = 0; i < r->via.n; i++)
		is_tagged = is_tagged || pw_list_has(&f->tags, r->via.v[i]);
	for (uint32_t k = 0; k < r->n_dst && is_tagged && p->rules[rule].is_pair; k++) {
		const struct pw_sel *s = &p->sels[r->dst[k].sel];
		enum policy_sel_kind kind = m->w->policy->sels[r->dst[k].sel].kind;

		items.n = 0;
		buf_clear(&m->entries);
		if (kind == POLICY_SEL_SET)
			items_of(&f->route_items, s, &items);
		for (uint32_t i = 0; kind == POLICY_SEL_INTERNET && f->has_exit && i < s->n_items; i++)
			pw_list_add(&items, s->first_item + i);
		for (uint32_t i = 0; i < items.n; i++)
			entry_range(&m->entries, &p->items[items.v[i]].lo, &p->items[items.v[i]].hi);
		rule_ports_put(m, PW_GROUP_SOURCE, rule, k);
	}
	pw_list_fini(&items);
}

/* autogroup:self: the class's user's own. */
static void
self_put(struct maker *m, uint32_t rule)
{
	const struct policy_rule *r = &m->w->policy->rules[rule];
	uint32_t source = m->w->_p->rules[rule].source;
	bool is_cap_put = false;
	struct dsts d = { .is_begun = false };

	if (!pw_facts_in_sels(&m->c->facts, m->w->_p->sources[source]))
		return;
	for (uint32_t k = 0; k < r->n_dst; k++) {
		if (m->w->policy->sels[r->dst[k].sel].kind != POLICY_SEL_SELF)
			continue;
		buf_clear(&m->entries);
		entry_holes(m);
		rule_ports_put(m, PW_GROUP_SELF, rule, k);
		if (r->n_app == 0 || is_cap_put)
			continue;
		is_cap_put = true;
		dsts_holes(m, &d);
		caps_take(m, &d, PW_GROUP_SELF, source, rule, false);
		if (!policy_world_has_companion(r) ||
		    !pw_facts_in(&m->c->facts, m->w->_p->sources[source]))
			continue;
		dsts_holes(m, &d);
		caps_take(m, &d, PW_GROUP_SELF_ALL, source, rule, true);
	}
}

/* hits: destinations of the rule that may concern the class. */
static void
rule_put(struct maker *m, uint32_t rule, const struct pw_use *hits, size_t n_hits)
{
	const struct policy_rule *r = &m->w->policy->rules[rule];
	const struct pw_rule *pr = &m->w->_p->rules[rule];
	struct dsts d = { .is_begun = false };

	if (pr->via != PW_NONE) {
		via_put(m, rule);
		return;
	}
	if (pr->self != PW_NONE && m->c->facts.user_id > 0)
		self_put(m, rule);
	if (!pr->is_pair)
		return;
	for (size_t i = 0; i < n_hits; i++) {
		if (hits[i].dst == PW_NONE)
			continue;
		if (!r->is_grant || r->n_ip > 0) {
			entries_make(m, r->dst[hits[i].dst].sel);
			rule_ports_put(m, PW_GROUP_SOURCE, rule, hits[i].dst);
		}
		if (r->n_app > 0)
			dsts_add(m, &d, r->dst[hits[i].dst].sel, true);
	}
	caps_take(m, &d, PW_GROUP_SOURCE, pr->source, rule, false);
	if (pr->reverse == PW_NONE || !pw_facts_meet(&m->c->facts, &r->postures))
		return;
	for (unsigned i = 0; i < r->src.n; i++)
		dsts_add(m, &d, r->src.v[i], r->postures.n == 0);
	caps_take(m, &d, PW_GROUP_SOURCE, pr->reverse, rule, true);
}

/* --- programs --------------------------------------------------------------------------------- */

static void
program_build(struct policy_world *w, struct policy_class_private *c, struct buf *out)
{
	struct maker m = { .w = w, .c = c };
	size_t n_hits = 0;
	struct pw_use *hits = policy_world_hits(w, c, &n_hits);
	int64_t user_id = 0;

	for (size_t i = 0, end; i < n_hits; i = end) {
		for (end = i + 1; end < n_hits && hits[end].rule == hits[i].rule; end++)
			;
		rule_put(&m, hits[i].rule, hits + i, end - i);
	}
	for (uint32_t i = 0; i < m.n_groups; i++) {
		if (m.groups[i].head.kind != PW_GROUP_SOURCE)
			user_id = c->facts.user_id;
	}
	buf_append(out, &user_id, sizeof(user_id));
	for (uint32_t i = 0; i < m.n_groups; i++) {
		m.groups[i].head.n_bytes = m.groups[i].text.len;
		buf_append(out, &m.groups[i].head, sizeof(m.groups[i].head));
		buf_append(out, m.groups[i].text.p, m.groups[i].text.len);
		buf_fini(&m.groups[i].text);
	}
	buf_fini(&m.entries);
	free(m.groups);
	free(m.buckets);
	free(hits);
}

/* All of the class that program_build looks at; false: addresses of others, too. */
static bool
program_key_put(const struct policy_world *w, const struct policy_class_private *c, struct buf *out)
{
	const struct policy_world_private *p = w->_p;
	const struct pw_facts *f = &c->facts;
	const struct pw_list *lists[] = { &f->items, &f->route_items, &f->tags, &f->more_postures };
	int64_t user_id = 0;

	if (f->is_odd || f->user_id < 0)
		return false;
	for (uint32_t i = 0; i < f->sels.n; i++) {
		const struct pw_sel *s = &p->sels[f->sels.v[i]];

		if (s->is_hit)
			buf_append(out, &f->sels.v[i], sizeof(f->sels.v[i]));
		if (s->is_self_hit)
			user_id = f->user_id;
	}
	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		uint32_t n = i == 2 && p->n_via == 0 ? 0 : lists[i]->n;	/* tags: of via rules */

		buf_append(out, &(uint32_t){ PW_NONE }, sizeof(uint32_t));
		if (n > 0)
			buf_append(out, lists[i]->v, n * sizeof(*lists[i]->v));
	}
	buf_append(out, &f->postures, sizeof(f->postures));
	buf_append(out, &user_id, sizeof(user_id));
	buf_byte(out, (uint8_t)((f->has_ip4 ? 1 : 0) | (f->has_ip6 ? 2 : 0) | (f->has_exit ? 4 : 0) |
	    (f->user_id > 0 ? 8 : 0)));
	return true;
}

static struct pw_program *
program_make(struct policy_world *w, struct policy_class_private *c)
{
	struct policy_world_private *p = w->_p;
	struct buf b = { 0 };

	if (c->facts.user_id >= 0)
		program_build(w, c, &b);
	struct pw_program *g = (struct pw_program *)(void *)pw_intern_find(&p->programs, b.p, b.len);
	if (g == NULL) {
		g = obj_alloc(sizeof(*g));
		TAILQ_INIT(&g->classes);
		TAILQ_INIT(&g->keys);
		pw_intern_put(&p->programs, &g->intern, b.p, b.len);
		policy_world_program_read(w, g);
	}
	buf_fini(&b);
	return g;
}

void
policy_world_program_join(struct policy_world *w, struct policy_class_private *c)
{
	struct map *keys = &w->_p->program_keys;
	struct pw_program_key *key = NULL;
	struct buf b = { 0 };
	bool has_key = program_key_put(w, c, &b);

	if (has_key)
		key = (struct pw_program_key *)(void *)pw_intern_find(keys, b.p, b.len);
	c->program = key != NULL ? key->program : program_make(w, c);
	if (has_key && key == NULL) {
		key = obj_alloc(sizeof(*key));
		key->program = c->program;
		pw_intern_put(keys, &key->intern, b.p, b.len);
		TAILQ_INSERT_TAIL(&c->program->keys, key, link);
	}
	TAILQ_INSERT_TAIL(&c->program->classes, c, program_link);
	buf_fini(&b);
}

static void
drop_if_unused(struct policy_world *w, struct pw_program *g)
{
	struct pw_program_key *key;

	if (!TAILQ_EMPTY(&g->classes))
		return;
	while ((key = TAILQ_FIRST(&g->keys)) != NULL) {
		TAILQ_REMOVE(&g->keys, key, link);
		pw_intern_remove(&w->_p->program_keys, &key->intern);
		free(key);
	}
	for (uint32_t i = 0; i < g->sources.n; i++)
		policy_world_source_use(w, g->sources.v[i], -1);
	pw_intern_remove(&w->_p->programs, &g->intern);
	shbuf_drop(g->text);
	shbuf_drop(g->parts);
	pw_list_fini(&g->sources);
	free(g);
}

void
policy_world_program_leave(struct policy_world *w, struct policy_class_private *c)
{
	TAILQ_REMOVE(&c->program->classes, c, program_link);
	drop_if_unused(w, c->program);
	c->program = NULL;
}

bool
policy_world_program_again(struct policy_world *w, struct policy_class_private *c)
{
	struct pw_program *old = c->program;

	TAILQ_REMOVE(&old->classes, c, program_link);
	policy_world_program_join(w, c);
	if (c->program == old)
		return false;
	drop_if_unused(w, old);
	return true;
}
