/*
 * What the policy can tell of a node, and the key of its class: the bytes of that.
 *
 * A kind of route is: is it an exit route; what it overlaps; for a subnet route the prefix
 * itself if another node has it too, since those who share one are told of it; whether the node
 * is the one that a via rule takes among them.
 */
#include <string.h>

#include "coord/policy_world_private.h"

void
pw_facts_fini(struct pw_facts *f)
{
	pw_list_fini(&f->more_postures);
	pw_list_fini(&f->tags);
	pw_list_fini(&f->items);
	pw_list_fini(&f->sels);
	pw_list_fini(&f->route_items);
}

void
policy_world_key_fini(struct pw_key *key)
{
	buf_fini(&key->bytes);
	free(key->kinds);
	free(key->kind_of);
	*key = (struct pw_key){ 0 };
}

static bool
meets_one(const struct pw_facts *f, uint32_t posture)
{
	return posture < 64 ? (f->postures >> posture & 1) != 0 : pw_list_has(&f->more_postures, posture);
}

bool
pw_facts_meet(const struct pw_facts *f, const struct policy_list *postures)
{
	if (postures == NULL || postures->n == 0)
		return true;
	for (unsigned i = 0; i < postures->n; i++) {
		if (meets_one(f, postures->v[i]))
			return true;
	}
	return false;
}

bool
pw_facts_in_sels(const struct pw_facts *f, const struct pw_source *s)
{
	uint32_t i = 0, k = 0;

	while (i < f->sels.n && k < s->sels.n && f->sels.v[i] != s->sels.v[k]) {
		if (f->sels.v[i] < s->sels.v[k])
			i++;
		else
			k++;
	}
	return i < f->sels.n && k < s->sels.n;
}

bool
pw_facts_in(const struct pw_facts *f, const struct pw_source *s)
{
	return pw_facts_in_sels(f, s) && pw_facts_meet(f, s->postures);
}

static const char *
attribute_of(void *arg, const char *attribute)
{
	const struct policy_node *n = arg;
	/* The getter reads a Hostinfo alone; its argument is not const for others' sake. */
	const char *value = policy_posture_of_host((void *)(uintptr_t)n->host, attribute);

	return value == NULL && n->more != NULL ? n->more(n->more_arg, attribute) : value;
}

static void
add_postures(const struct policy *policy, const struct policy_node *n, struct pw_facts *f)
{
	struct policy_node copy = *n;

	for (uint32_t i = 0; i < policy->n_postures; i++) {
		if (policy_posture_failing(&policy->postures[i], attribute_of, &copy) != NULL)
			continue;
		if (i < 64)
			f->postures |= (uint64_t)1 << i;
		else
			pw_list_add(&f->more_postures, i);
	}
}

static int
compare_tag(const void *key, const void *p)
{
	const struct pw_tag_sel *t = p;

	return strcmp(key, t->tag);
}

static void
add_tags(const struct policy_world_private *p, const struct policy_node *n, struct pw_facts *f)
{
	for (unsigned i = 0; i < n->n_tags && p->n_tag_sels > 0; i++) {
		const struct pw_tag_sel *t = bsearch(n->tags[i], p->tag_sels, p->n_tag_sels,
		    sizeof(*p->tag_sels), compare_tag);

		if (t != NULL)
			pw_list_add(&f->tags, t->sel);
	}
	pw_list_tidy(&f->tags);
}

static void
add_items(const struct policy_world_private *p, const struct policy_node *n, struct pw_facts *f)
{
	if (n->ip4.family != 0)
		policy_world_index_find(p, &n->ip4, &n->ip4, &f->items);
	if (n->ip6.family != 0)
		policy_world_index_find(p, &n->ip6, &n->ip6, &f->items);
	for (uint32_t i = 0; i < f->items.n; i++)
		f->items.v[i] = p->items[f->items.v[i]].hit;
	pw_list_tidy(&f->items);
}

/* First of the user's entries. */
static size_t
user_sels_at(const struct policy_world_private *p, int64_t user_id)
{
	size_t lo = 0, hi = p->n_user_sels;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->user_sels[mid].user_id < user_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void
policy_world_facts_sels(const struct policy_world_private *p, struct pw_facts *f)
{
	if (f->user_id < 0 || f->sels.n > 0)
		return;
	for (uint32_t i = 0; i < f->items.n; i++)
		pw_list_add(&f->sels, p->items[f->items.v[i]].sel);
	if (f->has_ip4 || f->has_ip6) {
		uint32_t all = f->user_id == 0 ? p->tagged : p->member;

		if (all != PW_NONE)
			pw_list_add(&f->sels, all);
		for (uint32_t i = 0; i < f->tags.n; i++)
			pw_list_add(&f->sels, f->tags.v[i]);
		for (size_t i = user_sels_at(p, f->user_id); f->user_id > 0 && i < p->n_user_sels &&
		    p->user_sels[i].user_id == f->user_id; i++)
			pw_list_add(&f->sels, p->user_sels[i].sel);
	}
	pw_list_tidy(&f->sels);
}

bool
policy_world_is_self_source(const struct policy_world_private *p, const struct pw_facts *f)
{
	for (uint32_t i = 0; i < p->n_self; i++) {
		if (pw_facts_in(f, p->sources[p->rules[p->self_rules[i]].source]))
			return true;
	}
	return false;
}

/* --- autogroup:self and exit routes ----------------------------------------------------------- */

/*
 * The pair of a rule with autogroup:self, for a user: those of the user's nodes that are
 * sources, and all of them. An exit route overlaps either if it has an address of that family; a
 * node of the user is in the second, and in the first if it is a source. Of other nodes it matters only
 * whether there are such: struct pw_user counts them.
 */
static void
add_self_exit(const struct policy_world *w, struct pw_facts *f)
{
	const struct pw_user *u = map_find(&w->_p->users, &f->user_id);
	bool is_source;

	f->self_exit4 = u != NULL && u->n_sources[0] > 0;
	f->self_exit6 = u != NULL && u->n_sources[1] > 0;
	if (f->self_exit4 && f->self_exit6)
		return;
	is_source = policy_world_is_self_source(w->_p, f);
	f->self_exit4 |= is_source && (f->has_ip4 || (u != NULL && u->n_classes[0] > 0));
	f->self_exit6 |= is_source && (f->has_ip6 || (u != NULL && u->n_classes[1] > 0));
}

/* --- what wide prefixes overlap --------------------------------------------------------------- */

/* Families of the node's addresses that are in the selector. */
static unsigned
families_in(const struct policy_world_private *p, const struct pw_facts *f, uint32_t sel)
{
	unsigned families = 0;

	if (p->sels[sel].is_nodes)
		return (f->has_ip4 ? 1u : 0u) | (f->has_ip6 ? 2u : 0u);
	for (uint32_t i = 0; i < f->items.n; i++) {
		if (p->items[f->items.v[i]].sel == sel)
			families |= p->items[f->items.v[i]].lo.family == 4 ? 1u : 2u;
	}
	return families;
}

void
policy_world_node_bits(const struct policy_world *w, const struct pw_facts *f, uint8_t family, uint64_t *source,
    uint64_t *dest)
{
	const struct policy_world_private *p = w->_p;

	for (uint32_t i = 0; i < f->sels.n; i++) {
		const struct pw_sel *s = &p->sels[f->sels.v[i]];

		if ((families_in(p, f, f->sels.v[i]) & (family == 4 ? 1u : 2u)) == 0)
			continue;
		for (uint32_t k = 0; k < s->n_uses; k++) {
			const struct pw_use *u = &p->uses[s->first_use + k];
			const struct pw_rule *r = &p->rules[u->rule];
			const struct policy_list *postures = &w->policy->rules[u->rule].postures;

			if (u->dst == PW_NONE ? !(s->is_nodes || postures->n > 0) ||
			    !pw_facts_meet(f, postures) : !s->is_nodes)
				continue;
			if (r->pair != PW_NONE)
				pw_bit_set(u->dst == PW_NONE ? source : dest, r->pair);
			if (r->reverse_pair != PW_NONE)
				pw_bit_set(u->dst == PW_NONE ? dest : source, r->reverse_pair);
		}
	}
}

/* counts: sources, then destinations. Whether one began or ceased to be there. */
static bool
count_bits(uint32_t *counts, const uint64_t *bits, uint32_t n, int by)
{
	bool is_changed = false;

	for (uint32_t i = 0; i < n; i++) {
		if (bits[i / 64] == 0) {
			i |= 63;
			continue;
		}
		if (!pw_bit(bits, i))
			continue;
		is_changed = is_changed || counts[i] == (by > 0 ? 0 : 1);
		counts[i] += (uint32_t)by;
	}
	return is_changed;
}

void
policy_world_count(struct policy_world *w, const struct pw_facts *f, int by)
{
	struct policy_world_private *p = w->_p;
	size_t words = pw_words(p->n_pairs);

	if (p->is_open || p->n_pairs == 0 || f->user_id < 0)
		return;
	uint64_t *bits = obj_alloc(2 * words * sizeof(*bits));

	for (unsigned is_v6 = 0; is_v6 < 2; is_v6++) {
		uint32_t *counts = p->exit_counts + 2 * (size_t)is_v6 * p->n_pairs;

		if (!(is_v6 ? f->has_ip6 : f->has_ip4))
			continue;
		memset(bits, 0, 2 * words * sizeof(*bits));
		policy_world_node_bits(w, f, is_v6 ? 6 : 4, bits, bits + words);
		bool is_changed = count_bits(counts, bits, p->n_pairs, by);

		is_changed = count_bits(counts + p->n_pairs, bits + words, p->n_pairs, by) || is_changed;
		if (is_changed && is_v6)
			p->is_exit6_dirty = true;
		else if (is_changed)
			p->is_exit4_dirty = true;
	}
	free(bits);
}

/* --- the key ---------------------------------------------------------------------------------- */

static void
put_list(struct buf *b, const struct pw_list *l)
{
	buf_append(b, &l->n, sizeof(l->n));
	if (l->n > 0)
		buf_append(b, l->v, l->n * sizeof(*l->v));
}

static bool
is_tagged(const struct pw_facts *f, const struct policy_list *tags)
{
	for (unsigned i = 0; i < tags->n; i++) {
		if (pw_list_has(&f->tags, tags->v[i]))
			return true;
	}
	return false;
}

uint8_t
policy_world_via_winner(const struct policy_world *w, const struct pw_prefix *x, uint32_t via, int64_t node_id,
    const struct pw_facts *f)
{
	const struct policy_list *tags = &w->policy->rules[w->_p->via_rules[via]].via;
	int64_t best = is_tagged(f, tags) ? node_id : 0;

	for (uint32_t i = 0; i < x->n_routers; i++) {
		const struct pw_node *other = x->routers[i];

		if (other->id != node_id && (best == 0 || other->id < best) &&
		    is_tagged(&pw_private(other->class)->facts, tags))
			best = other->id;
	}
	return best == 0 ? 0 : best == node_id ? 1 : 2;
}

uint32_t
policy_world_shared(const struct policy_world *w, const struct pw_prefix *x, int64_t node_id)
{
	for (uint32_t i = 0; !x->is_exit && !w->_p->is_open && i < x->n_routers; i++) {
		if (x->routers[i]->id != node_id)
			return x->id;
	}
	return 0;
}

bool
policy_world_has_via_tag(const struct policy_world *w, const struct pw_facts *f)
{
	const struct policy_world_private *p = w->_p;

	for (uint32_t v = 0; v < p->n_via; v++) {
		if (is_tagged(f, &w->policy->rules[p->via_rules[v]].via))
			return true;
	}
	return false;
}

static void
put_via(const struct policy_world *w, const struct policy_node *n, const struct pw_facts *f,
    const struct pw_prefix *x, struct buf *b)
{
	const struct policy_world_private *p = w->_p;

	for (uint32_t v = 0; v < p->n_via; v++) {
		uint8_t code = policy_world_via_winner(w, x, v, n->id, f);

		if (code == 0)
			continue;
		buf_append(b, &v, sizeof(v));
		buf_byte(b, code);
	}
}

void
policy_world_wide_bits_with(const struct policy_world *w, const struct pw_prefix *x,
    const struct policy_node *n,
    const struct pw_facts *f, uint64_t *bits)
{
	uint8_t family = x->prefix.ip.family;
	const struct net_ip *own = family == 4 ? &n->ip4 : &n->ip6;

	policy_world_wide_bits(w, x, bits);
	if (own->family != 0 && net_prefix_has(&x->prefix, own))
		policy_world_node_bits(w, f, family, bits, bits + pw_words(w->_p->n_pairs));
}

static void
put_wide(const struct policy_world *w, const struct policy_node *n, const struct pw_facts *f,
    const struct pw_prefix *x, struct buf *b)
{
	size_t words = pw_words(w->_p->n_pairs);
	uint64_t *bits = obj_alloc((2 * words + 1) * sizeof(*bits));

	policy_world_wide_bits_with(w, x, n, f, bits);
	buf_append(b, bits, 2 * words * sizeof(*bits));
	free(bits);
}

static void
put_kind(const struct policy_world *w, const struct policy_node *n, const struct pw_facts *f,
    const struct pw_prefix *x, struct buf *b)
{
	bool is_exit = x->is_exit, is_open = w->_p->is_open;
	uint32_t shared = policy_world_shared(w, x, n->id);

	buf_byte(b, !is_exit ? 0 : x->prefix.ip.family == 4 ? PW_KIND_EXIT4 : PW_KIND_EXIT6);
	buf_append(b, &shared, sizeof(shared));
	put_list(b, &x->items);
	/* A filter names the addresses in it. */
	if (x->is_wide && !is_exit)
		buf_append(b, &x->id, sizeof(x->id));
	if (is_open)
		return;
	if (!is_exit && w->_p->n_via > 0 && policy_world_has_via_tag(w, f))
		put_via(w, n, f, x, b);
	buf_byte(b, 0xff);
	if (x->is_wide)
		put_wide(w, n, f, x, b);
}

struct span {
	size_t at, len;
	unsigned route;
};

static int
compare_spans(const void *pa, const void *pb, void *arg)
{
	const struct span *a = pa, *b = pb;
	const uint8_t *bytes = arg;
	size_t n = a->len < b->len ? a->len : b->len;
	int order = n == 0 ? 0 : memcmp(bytes + a->at, bytes + b->at, n);

	return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static void
put_kinds(const struct policy_world *w, const struct policy_node *n, const struct pw_facts *f,
    struct pw_prefix *const *prefixes, struct pw_key *key)
{
	struct span *spans = obj_alloc((n->n_routes + 1) * sizeof(*spans));
	struct buf kinds = { 0 };

	key->kinds = obj_alloc((n->n_routes + 1) * sizeof(*key->kinds));
	key->kind_of = obj_alloc((n->n_routes + 1) * sizeof(*key->kind_of));
	for (unsigned i = 0; i < n->n_routes; i++) {
		spans[i] = (struct span){ .at = kinds.len, .route = i };
		put_kind(w, n, f, prefixes[i], &kinds);
		spans[i].len = kinds.len - spans[i].at;
	}
	qsort_r(spans, n->n_routes, sizeof(*spans), compare_spans, kinds.p);
	for (unsigned i = 0; i < n->n_routes; i++) {
		if (i == 0 || compare_spans(&spans[i - 1], &spans[i], kinds.p) != 0) {
			key->kind_of[key->n_kinds++] = n->routes[spans[i].route].prefix;
			buf_append(&key->bytes, &spans[i].len, sizeof(spans[i].len));
			buf_append(&key->bytes, kinds.p + spans[i].at, spans[i].len);
		}
		key->kinds[spans[i].route] = (uint16_t)(key->n_kinds - 1);
	}
	buf_fini(&kinds);
	free(spans);
}

static void
add_routes(const struct policy_world_private *p, const struct policy_node *n, struct pw_facts *f,
    struct pw_prefix **prefixes)
{
	for (unsigned i = 0; i < n->n_routes; i++) {
		const struct pw_prefix *x = prefixes[i] = map_find(&p->prefixes, &n->routes[i].prefix);

		ASSERT(x != NULL);
		f->has_exit = f->has_exit || x->is_exit;
		f->has_subnet = f->has_subnet || !x->is_exit;
		f->is_odd = f->is_odd || (x->is_wide && !x->is_exit);
		for (uint32_t k = 0; !x->is_exit && k < x->items.n; k++)
			pw_list_add(&f->route_items, x->items.v[k]);
	}
	pw_list_tidy(&f->route_items);
}

void
policy_world_facts(const struct policy_world *w, const struct policy_node *n, struct pw_facts *f)
{
	if (n->is_waiting) {
		f->user_id = -1;
		return;
	}
	f->user_id = n->n_tags > 0 ? 0 : n->user_id;
	f->has_ip4 = n->ip4.family != 0;
	f->has_ip6 = n->ip6.family != 0;
	add_postures(w->policy, n, f);
	add_tags(w->_p, n, f);
	add_items(w->_p, n, f);
}

void
policy_world_key_make(const struct policy_world *w, const struct policy_node *n, struct pw_facts *f,
    struct pw_key *key)
{
	const struct policy_world_private *p = w->_p;
	struct pw_prefix *few[4], **prefixes = few;
	struct buf *b = &key->bytes;

	if (f->user_id < 0) {
		key->kinds = obj_alloc((n->n_routes + 1) * sizeof(*key->kinds));
		return;
	}
	if (n->n_routes > COUNT_OF(few))
		prefixes = obj_alloc(n->n_routes * sizeof(struct pw_prefix *));
	add_routes(p, n, f, prefixes);
	if (!p->is_open && ((p->n_self > 0 && f->user_id > 0) || f->has_exit || f->is_odd)) {
		policy_world_facts_sels(p, f);
		if (p->n_self > 0 && f->user_id > 0)
			add_self_exit(w, f);
	}
	buf_byte(b, (uint8_t)((f->has_ip4 ? 1 : 0) | (f->has_ip6 ? 2 : 0) | (f->self_exit4 ? 4 : 0) |
	    (f->self_exit6 ? 8 : 0)));
	buf_append(b, &f->user_id, sizeof(f->user_id));
	buf_append(b, &f->postures, sizeof(f->postures));
	put_list(b, &f->more_postures);
	put_list(b, &f->tags);
	put_list(b, &f->items);
	put_kinds(w, n, f, prefixes, key);
	if (prefixes != few)
		free(prefixes);
}

bool
policy_world_is_still(const struct policy_world *w, const struct pw_node *node)
{
	const struct policy_class_private *c = pw_private(node->class);
	struct pw_facts f = c->facts;	/* its lists are borrowed */
	struct pw_key key = { 0 };

	f.route_items = (struct pw_list){ 0 };
	f.self_exit4 = f.self_exit6 = false;
	policy_world_key_make(w, &node->as_joined, &f, &key);
	bool is_still = key.bytes.len == c->intern.n_bytes &&
	    (key.bytes.len == 0 || memcmp(key.bytes.p, c->intern.bytes, key.bytes.len) == 0);

	pw_list_fini(&f.route_items);
	policy_world_key_fini(&key);
	return is_still;
}
