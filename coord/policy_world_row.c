/*
 * Rows: what the policy says of a class, as words.
 *
 *   flags, user, number of kinds
 *   source    pairs whose sources hold an address of its nodes, or overlap a subnet route of theirs
 *   dest      pairs whose destinations do; at exit nodes also those that cover the internet
 *   address   as source, by addresses alone		(these four if the policy has via)
 *   tagged    via rules whose tags they have
 *   via items that hold an address; via items that overlap a subnet route
 *   self      rules with autogroup:self whose sources they are
 *   and for each kind of their routes:
 *     flags, id of the prefix if others have it too
 *     source, dest    pairs whose sources, destinations overlap it
 *     other           via rules that take another node for it	(these two if the policy has via)
 *     items           via items that it overlaps
 *
 * user is that of untagged nodes if autogroup:self may concern it, else 0. A class that may
 * reach everybody, without via rules, has a row without all that.
 */
#include <string.h>

#include "coord/policy_world_private.h"

void
policy_world_layout_make(struct policy_world_private *p)
{
	struct pw_layout *l = &p->layout;
	size_t address_words;

	l->pair_words = pw_words(p->n_pairs);
	l->via_words = pw_words(p->n_via);
	l->item_words = p->n_via > 0 ? pw_words(p->n_via_items) : 0;
	l->self_words = pw_words(p->n_self);
	address_words = p->n_via > 0 ? l->pair_words : 0;
	l->source = PW_ROW_HEAD;
	l->dest = l->source + l->pair_words;
	l->address = l->dest + l->pair_words;
	l->tagged = l->address + address_words;
	l->via_address = l->tagged + l->via_words;
	l->via_route = l->via_address + l->item_words;
	l->self = l->via_route + l->item_words;
	l->kinds = l->self + l->self_words;
	l->kind_source = PW_KIND_HEAD;
	l->kind_dest = l->kind_source + l->pair_words;
	l->kind_other = l->kind_dest + l->pair_words;
	l->kind_items = l->kind_other + l->via_words;
	l->kind_words = l->kind_items + l->item_words;
}

struct sides {
	uint64_t *source, *dest, *address;	/* address may be NULL */
};

static void
set_pair(uint64_t *set, uint32_t pair)
{
	if (set != NULL && pair != PW_NONE)
		pw_bit_set(set, pair);
}

/* The selector holds an address of nodes with these facts; f NULL: it overlaps a route. */
static void
add_sel(const struct policy_world *w, uint32_t sel, const struct pw_facts *f, const struct sides *to)
{
	const struct policy_world_private *p = w->_p;
	const struct pw_sel *s = &p->sels[sel];

	for (uint32_t i = 0; i < s->n_uses; i++) {
		const struct pw_use *u = &p->uses[s->first_use + i];
		const struct pw_rule *r = &p->rules[u->rule];
		const struct policy_list *postures = &w->policy->rules[u->rule].postures;

		if (u->dst == PW_NONE) {
			if (f == NULL ? postures->n > 0 : !pw_facts_meet(f, postures))
				continue;
			set_pair(to->source, r->pair);
			set_pair(to->address, r->pair);
			set_pair(to->dest, r->reverse_pair);
		} else {
			set_pair(to->dest, r->pair);
			set_pair(to->source, r->reverse_pair);
			set_pair(to->address, r->reverse_pair);
		}
	}
}

/* Selectors that the items are of. */
static void
add_items(const struct policy_world *w, const struct pw_list *items, const struct sides *to)
{
	struct pw_list sels = { 0 };

	for (uint32_t i = 0; i < items->n; i++)
		pw_list_add(&sels, w->_p->items[items->v[i]].sel);
	pw_list_tidy(&sels);
	for (uint32_t i = 0; i < sels.n; i++)
		add_sel(w, sels.v[i], NULL, to);
	pw_list_fini(&sels);
}

static void
add_via_items(const struct policy_world_private *p, const struct pw_list *items, uint64_t *set)
{
	for (uint32_t i = 0; i < items->n && p->n_via > 0; i++) {
		const struct pw_sel *s = &p->sels[p->items[items->v[i]].sel];

		if (s->first_via != PW_NONE)
			pw_bit_set(set, s->first_via + (items->v[i] - s->first_item));
	}
}

/* --- kinds ------------------------------------------------------------------------------------ */

static void
kind_make(const struct policy_world *w, const struct pw_prefix *x, const struct pw_facts *f,
    const struct policy_node *n, uint64_t *out)
{
	const struct policy_world_private *p = w->_p;
	const struct pw_layout *l = &p->layout;
	struct sides to = { .source = out + l->kind_source, .dest = out + l->kind_dest };

	if (x->is_exit)
		out[PW_KIND_FLAGS] = x->prefix.ip.family == 4 ? PW_KIND_EXIT4 : PW_KIND_EXIT6;
	out[PW_KIND_SHARED] = policy_world_shared(w, x, n->id);
	add_items(w, &x->items, &to);
	pw_or(to.source, p->any_source_pairs, l->pair_words);
	pw_or(to.dest, p->any_dest_pairs, l->pair_words);
	if (x->is_wide && l->pair_words > 0) {
		uint64_t *bits = obj_alloc(2 * l->pair_words * sizeof(*bits));

		policy_world_wide_bits_with(w, x, n, f, bits);
		pw_or(to.source, bits, l->pair_words);
		pw_or(to.dest, bits + l->pair_words, l->pair_words);
		free(bits);
	}
	for (uint32_t v = 0; v < p->n_via && !x->is_exit && policy_world_has_via_tag(w, f); v++) {
		if (policy_world_via_winner(w, x, v, n->id, f) == 2)
			pw_bit_set(out + l->kind_other, v);
	}
	add_via_items(p, &x->items, out + l->kind_items);
}

struct made_kind {
	uint64_t *words;
	unsigned of;	/* the class's number */
	size_t n_bytes;
};

static int
compare_kinds(const void *pa, const void *pb)
{
	const struct made_kind *a = pa, *b = pb;

	return memcmp(a->words, b->words, a->n_bytes);
}

/* Appends the kinds, each once, to the row's words; numbers those of the class. */
static unsigned
kinds_put(const struct policy_world *w, struct policy_class_private *c,
    const struct policy_node *n, struct buf *b)
{
	const struct pw_layout *l = &w->_p->layout;
	struct made_kind *kinds = obj_alloc((c->n_kinds + 1) * sizeof(*kinds));
	size_t n_bytes = l->kind_words * sizeof(uint64_t);
	unsigned n_put = 0;

	for (unsigned i = 0; i < c->n_kinds; i++) {
		const struct pw_prefix *x = map_find(&w->_p->prefixes, &c->kind_of[i]);

		ASSERT(x != NULL);
		kinds[i] = (struct made_kind){ obj_alloc(n_bytes), i, n_bytes };
		kind_make(w, x, &c->facts, n, kinds[i].words);
	}
	qsort(kinds, c->n_kinds, sizeof(*kinds), compare_kinds);
	for (unsigned i = 0; i < c->n_kinds; i++) {
		if (i == 0 || compare_kinds(&kinds[i - 1], &kinds[i]) != 0) {
			buf_append(b, kinds[i].words, n_bytes);
			n_put++;
		}
		c->row_kinds[kinds[i].of] = (uint16_t)(n_put - 1);
	}
	for (unsigned i = 0; i < c->n_kinds; i++)
		free(kinds[i].words);
	free(kinds);
	return n_put;
}

/* --- rows ------------------------------------------------------------------------------------- */

static bool
is_open(const struct policy_world_private *p, const struct pw_facts *f)
{
	return p->is_open && (pw_list_has(&f->sels, p->open_sels[0]) || pw_list_has(&f->sels, p->open_sels[1]));
}

static void
add_self(const struct policy_world_private *p, const struct pw_facts *f, uint64_t *out)
{
	for (uint32_t i = 0; i < p->n_self && f->user_id > 0; i++) {
		const struct pw_source *s = p->sources[p->rules[p->self_rules[i]].source];

		if (!pw_facts_in_sels(f, s))
			continue;
		out[PW_ROW_USER] = (uint64_t)f->user_id;
		if (pw_facts_meet(f, s->postures))
			pw_bit_set(out + p->layout.self, i);
	}
	out[PW_ROW_FLAGS] |= (f->self_exit4 ? PW_ROW_SELF_EXIT4 : 0) | (f->self_exit6 ? PW_ROW_SELF_EXIT6 : 0);
}

static void
add_tagged(const struct policy_world *w, const struct pw_facts *f, uint64_t *set)
{
	for (uint32_t v = 0; v < w->_p->n_via; v++) {
		const struct policy_list *tags = &w->policy->rules[w->_p->via_rules[v]].via;

		for (unsigned i = 0; i < tags->n; i++) {
			if (pw_list_has(&f->tags, tags->v[i]))
				pw_bit_set(set, v);
		}
	}
}

/* What wide subnet routes overlap counts for those who route them. */
static void
add_odd(const struct policy_world *w, const struct policy_class_private *c, const struct policy_node *n,
    uint64_t *out)
{
	const struct pw_layout *l = &w->_p->layout;
	uint64_t *bits = obj_alloc((2 * l->pair_words + 1) * sizeof(*bits));

	for (unsigned i = 0; i < c->n_kinds; i++) {
		const struct pw_prefix *x = map_find(&w->_p->prefixes, &c->kind_of[i]);

		if (x->is_wide && !x->is_exit)
			policy_world_wide_bits_with(w, x, n, &c->facts, bits);
	}
	pw_or(out + l->source, bits, l->pair_words);
	pw_or(out + l->dest, bits + l->pair_words, l->pair_words);
	free(bits);
}

static void
row_make(const struct policy_world *w, const struct policy_class_private *c, const struct policy_node *n,
    uint64_t *out)
{
	const struct policy_world_private *p = w->_p;
	const struct pw_layout *l = &p->layout;
	const struct pw_facts *f = &c->facts;
	struct sides to = { out + l->source, out + l->dest, p->n_via > 0 ? out + l->address : NULL };

	for (uint32_t i = 0; i < f->sels.n; i++)
		add_sel(w, f->sels.v[i], f, &to);
	to.address = NULL;
	add_items(w, &f->route_items, &to);
	if (f->has_subnet)
		pw_or(to.source, p->any_source_pairs, l->pair_words);
	if (f->is_odd)
		add_odd(w, c, n, out);
	pw_or(to.dest, p->any_dest_pairs, l->pair_words);
	if (f->has_exit) {
		pw_or(to.dest, p->internet_pairs, l->pair_words);
		out[PW_ROW_FLAGS] |= PW_ROW_EXIT;
	}
	if (p->n_via > 0) {
		add_tagged(w, f, out + l->tagged);
		add_via_items(p, &f->items, out + l->via_address);
		add_via_items(p, &f->route_items, out + l->via_route);
	}
	add_self(p, f, out);
}

uint32_t
policy_world_row_of(struct policy_world *w, struct policy_class_private *c, const struct policy_node *n)
{
	struct policy_world_private *p = w->_p;
	uint64_t head[PW_ROW_HEAD] = { 0 }, *words = head;
	struct buf b = { 0 };
	struct pw_row *row;

	if (is_open(p, &c->facts)) {
		words[PW_ROW_FLAGS] = PW_ROW_OPEN;
	} else {
		words = obj_alloc(p->layout.kinds * sizeof(*words));
		row_make(w, c, n, words);
	}
	words[PW_ROW_FLAGS] |= c->is_ipv4_off ? PW_ROW_IPV4_OFF : 0;
	buf_append(&b, words, (words == head ? PW_ROW_HEAD : p->layout.kinds) * sizeof(*words));
	if (words != head) {
		uint64_t n_kinds = kinds_put(w, c, n, &b);

		memcpy(b.p + PW_ROW_N_KINDS * sizeof(n_kinds), &n_kinds, sizeof(n_kinds));
		free(words);
	}
	if ((row = (struct pw_row *)(void *)pw_intern_find(&p->rows, b.p, b.len)) == NULL) {
		row = obj_alloc(sizeof(*row));
		pw_intern_put(&p->rows, &row->intern, b.p, b.len);
		row->index = w->n_rows++;
		row->w = (const uint64_t *)(const void *)row->intern.bytes;
		if (row->index >= p->cap_rows) {
			p->cap_rows = 2 * row->index + 8;
			p->row_list = obj_realloc(p->row_list, p->cap_rows * sizeof(struct pw_row *));
		}
		p->row_list[row->index] = row;
	}
	buf_fini(&b);
	return row->index;
}
