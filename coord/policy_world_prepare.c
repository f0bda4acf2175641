/* A policy, prepared for a world: selectors and their uses, literal ranges, rules, pairs. */
#include <string.h>
#include <strings.h>

#include "coord/policy_parse.h"
#include "coord/policy_world_private.h"

#define CAP_DRIVE "tailscale.com/cap/drive"
#define CAP_RELAY "tailscale.com/cap/relay"

static bool
is_literal(enum policy_sel_kind kind)
{
	return kind == POLICY_SEL_SET || kind == POLICY_SEL_ANY || kind == POLICY_SEL_ALL ||
	    kind == POLICY_SEL_INTERNET;
}

static void
items_make(struct policy_world *w, const struct ipset *internet)
{
	struct policy_world_private *p = w->_p;
	const struct policy *policy = w->policy;

	for (uint32_t i = 0; i < policy->n_sels; i++) {
		p->sels[i].first_item = p->n_items;
		p->sels[i].first_via = PW_NONE;
		p->sels[i].is_nodes = policy->sels[i].kind >= POLICY_SEL_USER &&
		    policy->sels[i].kind <= POLICY_SEL_TAG;
		if (is_literal(policy->sels[i].kind))
			p->sels[i].n_items = policy->sels[i].set.n;
		p->n_items += p->sels[i].n_items;
		if (policy->sels[i].kind == POLICY_SEL_MEMBER)
			p->member = i;
		if (policy->sels[i].kind == POLICY_SEL_TAGGED)
			p->tagged = i;
		if (policy->sels[i].kind == POLICY_SEL_INTERNET)
			p->internet = i;
	}
	p->items = obj_alloc((p->n_items + 1) * sizeof(*p->items));
	for (uint32_t i = 0; i < policy->n_sels; i++) {
		bool is_one = policy->sels[i].kind != POLICY_SEL_SET;
		uint32_t first = p->sels[i].first_item;

		for (uint32_t k = 0; k < p->sels[i].n_items; k++) {
			struct ipset_range *r = &policy->sels[i].set.v[k];
			struct ipset inner = { .v = r, .n = 1 };

			if (k > 0 && p->items[first].lo.family != r->lo.family)
				first = p->sels[i].first_item + k;
			p->items[p->sels[i].first_item + k] = (struct pw_item){ .lo = r->lo, .hi = r->hi,
				.sel = i, .hit = is_one ? first : p->sels[i].first_item + k,
				.is_internet = ipset_covers(internet, &inner) };
		}
	}
	policy_world_index_make(p);
}

static bool
list_has_kind(const struct policy *policy, const struct policy_list *l, enum policy_sel_kind kind)
{
	for (unsigned i = 0; i < l->n; i++) {
		if (policy->sels[l->v[i]].kind == kind)
			return true;
	}
	return false;
}

static bool
dst_has_kind(const struct policy *policy, const struct policy_rule *r, enum policy_sel_kind kind)
{
	for (unsigned i = 0; i < r->n_dst; i++) {
		if (policy->sels[r->dst[i].sel].kind == kind)
			return true;
	}
	return false;
}

static bool
has_ip(const struct policy_rule *r)
{
	return !r->is_grant || r->n_ip > 0;
}

static bool
has_companion(const struct policy_rule *r)
{
	for (unsigned i = 0; i < r->n_app; i++) {
		if (strcmp(r->app[i].name, CAP_DRIVE) == 0 || strcmp(r->app[i].name, CAP_RELAY) == 0)
			return true;
	}
	return false;
}

static unsigned
n_other_dst(const struct policy *policy, const struct policy_rule *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->n_dst; i++)
		n += policy->sels[r->dst[i].sel].kind != POLICY_SEL_SELF;
	return n;
}

/* Numbers of pairs, via rules, rules with autogroup:self; their sources. */
static void
rule_make(struct policy_world *w, uint32_t i)
{
	struct policy_world_private *p = w->_p;
	const struct policy_rule *r = &w->policy->rules[i];
	struct pw_rule *out = &p->rules[i];
	struct pw_list sels = { 0 };
	bool is_via = r->via.n > 0, does_more = has_ip(r) || (r->n_app > 0 && !is_via);

	*out = (struct pw_rule){ PW_NONE, PW_NONE, PW_NONE, PW_NONE, PW_NONE, PW_NONE, false, false };
	if (r->src.n == 0 || r->n_dst == 0)
		return;
	out->is_pair = does_more && (is_via || n_other_dst(w->policy, r) > 0);
	if (out->is_pair || is_via)
		out->pair = p->n_pairs++;
	if (is_via)
		p->via_rules[out->via = p->n_via++] = i;
	else if (dst_has_kind(w->policy, r, POLICY_SEL_SELF) && does_more)
		p->self_rules[out->self = p->n_self++] = i;
	out->has_internet = is_via && dst_has_kind(w->policy, r, POLICY_SEL_INTERNET);
	for (unsigned k = 0; k < r->src.n; k++)
		pw_list_add(&sels, r->src.v[k]);
	out->source = policy_world_source_of(w, &sels, &r->postures);
	if (out->is_pair && !is_via && has_companion(r)) {
		out->reverse_pair = p->n_pairs++;
		sels.n = 0;
		for (unsigned k = 0; k < r->n_dst; k++) {
			if (w->policy->sels[r->dst[k].sel].kind != POLICY_SEL_SELF)
				pw_list_add(&sels, r->dst[k].sel);
		}
		out->reverse = policy_world_source_of(w, &sels, NULL);
	}
	pw_list_fini(&sels);
}

/* Do the literals among the selectors, together, hold a whole family or autogroup:internet? */
static bool
covers_internet(const struct policy *policy, const uint32_t *sels, size_t stride, unsigned n,
    const struct ipset *internet)
{
	struct ipset_range *all = NULL;
	struct ipset set = { 0 };
	size_t n_all = 0;
	struct net_prefix v4 = { { .family = 4 }, 0 }, v6 = { { .family = 6 }, 0 };

	for (unsigned pass = 0; pass < 2; pass++) {
		n_all = 0;
		for (unsigned i = 0; i < n; i++) {
			const struct policy_sel *s = &policy->sels[*(const uint32_t *)(const void *)
			    ((const char *)sels + i * stride)];

			if (s->kind != POLICY_SEL_SET)
				continue;
			if (pass == 1)
				memcpy(all + n_all, s->set.v, s->set.n * sizeof(*all));
			n_all += s->set.n;
		}
		if (n_all == 0)
			return false;
		if (pass == 0)
			all = obj_alloc(n_all * sizeof(*all));
	}
	qsort(all, n_all, sizeof(*all), policy_world_range_compare);
	for (size_t i = 0; i < n_all; i++)
		ipset_add_range(&set, &all[i].lo, &all[i].hi);
	bool is_covered = ipset_covers_prefix(&set, &v4) || ipset_covers_prefix(&set, &v6) ||
	    ipset_covers(&set, internet);
	ipset_fini(&set);
	free(all);
	return is_covered;
}

/* What "*" and wide literals mean for the pairs of a rule. */
static void
pair_make(struct policy_world *w, uint32_t i, const struct ipset *internet)
{
	struct policy_world_private *p = w->_p;
	const struct policy *policy = w->policy;
	const struct policy_rule *r = &policy->rules[i];
	const struct pw_rule *rule = &p->rules[i];
	bool any_src = r->postures.n == 0 && list_has_kind(policy, &r->src, POLICY_SEL_ANY);
	bool any_dst = dst_has_kind(policy, r, POLICY_SEL_ANY);

	if (rule->pair == PW_NONE)
		return;
	if (any_src)
		pw_bit_set(p->any_source_pairs, rule->pair);
	if (rule->via != PW_NONE)
		return;
	pw_bit_set(p->plain_pairs, rule->pair);
	if (any_dst && has_ip(r))
		pw_bit_set(p->any_dest_pairs, rule->pair);
	if ((any_dst && has_ip(r)) || dst_has_kind(policy, r, POLICY_SEL_INTERNET) ||
	    covers_internet(policy, &r->dst[0].sel, sizeof(r->dst[0]), r->n_dst, internet))
		pw_bit_set(p->internet_pairs, rule->pair);
	if (rule->reverse_pair == PW_NONE)
		return;
	pw_bit_set(p->plain_pairs, rule->reverse_pair);
	if (any_dst)
		pw_bit_set(p->any_source_pairs, rule->reverse_pair);
	if (r->postures.n == 0 && (list_has_kind(policy, &r->src, POLICY_SEL_ALL) ||
	    covers_internet(policy, r->src.v, sizeof(r->src.v[0]), r->src.n, internet)))
		pw_bit_set(p->internet_pairs, rule->reverse_pair);
}

static void
open_find(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;

	for (unsigned i = 0; i < w->policy->n_rules && p->n_via == 0; i++) {
		const struct policy_rule *r = &w->policy->rules[i];

		if (r->postures.n > 0 || !has_ip(r) || !dst_has_kind(w->policy, r, POLICY_SEL_ANY))
			continue;
		for (unsigned k = 0; k < r->src.n; k++) {
			enum policy_sel_kind kind = w->policy->sels[r->src.v[k]].kind;

			if (kind != POLICY_SEL_ANY && kind != POLICY_SEL_ALL)
				continue;
			p->is_open = true;
			p->open_sels[kind == POLICY_SEL_ALL] = r->src.v[k];
		}
	}
}

static void
rules_make(struct policy_world *w, const struct ipset *internet)
{
	struct policy_world_private *p = w->_p;
	const struct policy *policy = w->policy;

	p->rules = obj_alloc((policy->n_rules + 1) * sizeof(*p->rules));
	p->via_rules = obj_alloc((policy->n_rules + 1) * sizeof(*p->via_rules));
	p->self_rules = obj_alloc((policy->n_rules + 1) * sizeof(*p->self_rules));
	for (uint32_t i = 0; i < policy->n_rules; i++)
		rule_make(w, i);
	size_t words = pw_words(p->n_pairs) + 1;

	p->internet_pairs = obj_alloc(words * sizeof(uint64_t));
	p->any_dest_pairs = obj_alloc(words * sizeof(uint64_t));
	p->any_source_pairs = obj_alloc(words * sizeof(uint64_t));
	p->plain_pairs = obj_alloc(words * sizeof(uint64_t));
	p->exit_counts = obj_alloc((4 * (size_t)p->n_pairs + 1) * sizeof(*p->exit_counts));
	for (uint32_t i = 0; i < policy->n_rules; i++)
		pair_make(w, i, internet);
	p->open_sels[0] = p->open_sels[1] = PW_NONE;
	open_find(w);
}

/* fn for every place where a rule that matters names a selector that can hold anything. */
static void
uses_walk(struct policy_world *w, void (*fn)(struct policy_world_private *p, uint32_t sel, struct pw_use u))
{
	struct policy_world_private *p = w->_p;

	for (uint32_t i = 0; i < w->policy->n_rules; i++) {
		const struct policy_rule *r = &w->policy->rules[i];

		if (p->rules[i].pair == PW_NONE && p->rules[i].self == PW_NONE)
			continue;
		for (unsigned k = 0; k < r->src.n; k++)
			fn(p, r->src.v[k], (struct pw_use){ i, PW_NONE });
		for (unsigned k = 0; k < r->n_dst && p->rules[i].via == PW_NONE; k++)
			fn(p, r->dst[k].sel, (struct pw_use){ i, k });
	}
}

static void
use_count(struct policy_world_private *p, uint32_t sel, struct pw_use u)
{
	(void)u;
	p->sels[sel].n_uses++;
}

static void
use_put(struct policy_world_private *p, uint32_t sel, struct pw_use u)
{
	const struct pw_rule *r = &p->rules[u.rule];
	struct pw_sel *s = &p->sels[sel];

	p->uses[s->first_use + s->n_uses++] = u;
	/* As a source only what goes the other way, or to the user's own, is of interest. */
	s->is_hit |= u.dst != PW_NONE || r->reverse != PW_NONE || r->self != PW_NONE;
	s->is_self_hit |= u.dst == PW_NONE && r->self != PW_NONE;
}

static void
uses_make(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;
	uint32_t n = 0;

	uses_walk(w, use_count);
	for (uint32_t i = 0; i < w->policy->n_sels; i++) {
		p->sels[i].first_use = n;
		n += p->sels[i].n_uses;
		p->sels[i].n_uses = 0;
	}
	p->uses = obj_alloc((n + 1) * sizeof(*p->uses));
	uses_walk(w, use_put);
	for (unsigned i = 0; i < w->policy->n_ssh; i++) {
		for (unsigned k = 0; k < w->policy->ssh[i].src.n; k++)
			p->sels[w->policy->ssh[i].src.v[k]].is_ssh = true;
	}
}

static bool
sel_has_internet(const struct policy_world_private *p, uint32_t sel)
{
	for (uint32_t i = 0; i < p->sels[sel].n_items; i++) {
		if (p->items[p->sels[sel].first_item + i].is_internet)
			return true;
	}
	return false;
}

static void
use_add(struct pw_use **v, size_t *n, struct pw_use u)
{
	if ((*n & (*n - 1)) == 0)
		*v = obj_realloc(*v, (*n == 0 ? 1 : 2 * *n) * sizeof(**v));
	(*v)[(*n)++] = u;
}

/* Destinations that nodes get for other reasons than an address or subnet route of theirs. */
static void
dests_make(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;

	for (uint32_t i = 0; i < w->policy->n_rules; i++) {
		const struct policy_rule *r = &w->policy->rules[i];

		if (!p->rules[i].is_pair || p->rules[i].via != PW_NONE || !has_ip(r))
			continue;
		for (uint32_t k = 0; k < r->n_dst; k++) {
			struct pw_use u = { i, k };

			if (w->policy->sels[r->dst[k].sel].kind == POLICY_SEL_ANY)
				use_add(&p->any_dests, &p->n_any_dests, u);
			else if (sel_has_internet(p, r->dst[k].sel))
				use_add(&p->internet_dests, &p->n_internet_dests, u);
		}
	}
}

static void
via_items_make(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;

	for (uint32_t v = 0; v < p->n_via; v++) {
		const struct policy_rule *r = &w->policy->rules[p->via_rules[v]];

		for (unsigned k = 0; k < r->n_dst; k++) {
			enum policy_sel_kind kind = w->policy->sels[r->dst[k].sel].kind;
			struct pw_sel *s = &p->sels[r->dst[k].sel];

			if ((kind != POLICY_SEL_SET && kind != POLICY_SEL_INTERNET) || s->first_via != PW_NONE)
				continue;
			s->first_via = p->n_via_items;
			p->n_via_items += s->n_items;
		}
	}
}

/* --- who is named ----------------------------------------------------------------------------- */

static void
user_sel_add(struct policy_world_private *p, int64_t user_id, uint32_t sel)
{
	if ((p->n_user_sels & (p->n_user_sels - 1)) == 0)
		p->user_sels = obj_realloc(p->user_sels,
		    (p->n_user_sels == 0 ? 1 : 2 * p->n_user_sels) * sizeof(*p->user_sels));
	p->user_sels[p->n_user_sels++] = (struct pw_user_sel){ user_id, sel };
}

static int
compare_user_sels(const void *pa, const void *pb)
{
	const struct pw_user_sel *a = pa, *b = pb;

	if (a->user_id != b->user_id)
		return a->user_id < b->user_id ? -1 : 1;
	return (a->sel > b->sel) - (a->sel < b->sel);
}

static int
compare_domains(const void *pa, const void *pb)
{
	const struct pw_tag_sel *a = pa, *b = pb;

	return strcasecmp(a->tag, b->tag);
}

static int
compare_tags(const void *pa, const void *pb)
{
	const struct pw_tag_sel *a = pa, *b = pb;

	return strcmp(a->tag, b->tag);
}

/* By e-mail domain: those of v that the user is in. */
static void
domains_add(struct policy_world_private *p, const struct user *u, const struct pw_tag_sel *v, size_t n)
{
	const char *email = u->email[0] != '\0' ? u->email : u->name, *at = strrchr(email, '@');
	size_t lo = 0, hi = n;

	if (at == NULL)
		return;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcasecmp(v[mid].tag, at + 1) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < n && strcasecmp(v[lo].tag, at + 1) == 0; lo++)
		user_sel_add(p, u->id, v[lo].sel);
}

static void
tokens_add(struct policy_world *w)
{
	struct policy_users *index = policy_users_new(w->users);

	for (uint32_t i = 0; i < w->policy->n_sels; i++) {
		const struct policy_sel *s = &w->policy->sels[i];

		if (s->kind != POLICY_SEL_USER && s->kind != POLICY_SEL_GROUP)
			continue;
		for (unsigned k = 0; k < s->n_users; k++) {
			const struct user *u = policy_users_find(index, s->users[k]);

			if (u != NULL)
				user_sel_add(w->_p, u->id, i);
		}
	}
	policy_users_free(index);
}

static void
people_make(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;
	const struct policy *policy = w->policy;
	struct pw_tag_sel *domains = obj_alloc((policy->n_sels + 1) * sizeof(*domains));
	struct pw_list roles = { 0 };
	size_t n_domains = 0, cursor = 0, n = 0;

	p->tag_sels = obj_alloc((policy->n_sels + 1) * sizeof(*p->tag_sels));
	tokens_add(w);
	for (uint32_t i = 0; i < policy->n_sels; i++) {
		if (policy->sels[i].kind == POLICY_SEL_TAG)
			p->tag_sels[p->n_tag_sels++] = (struct pw_tag_sel){ policy->sels[i].tag, i };
		else if (policy->sels[i].kind == POLICY_SEL_DOMAIN)
			domains[n_domains++] = (struct pw_tag_sel){ policy->sels[i].tag, i };
		else if (policy->sels[i].kind == POLICY_SEL_ROLE)
			pw_list_add(&roles, i);
	}
	qsort(p->tag_sels, p->n_tag_sels, sizeof(*p->tag_sels), compare_tags);
	qsort(domains, n_domains, sizeof(*domains), compare_domains);
	for (const struct user *u; (u = map_next(w->users, &cursor)) != NULL; ) {
		domains_add(p, u, domains, n_domains);
		for (uint32_t i = 0; i < roles.n; i++) {
			if ((policy->sels[roles.v[i]].roles >> u->role & 1) != 0)
				user_sel_add(p, u->id, roles.v[i]);
		}
	}
	if (p->n_user_sels > 0)
		qsort(p->user_sels, p->n_user_sels, sizeof(*p->user_sels), compare_user_sels);
	for (size_t i = 0; i < p->n_user_sels; i++) {
		if (n == 0 || compare_user_sels(&p->user_sels[n - 1], &p->user_sels[i]) != 0)
			p->user_sels[n++] = p->user_sels[i];
	}
	p->n_user_sels = n;
	pw_list_fini(&roles);
	free(domains);
}

void
policy_world_prepare(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;
	struct ipset internet = { 0 };

	p->member = p->tagged = p->internet = PW_NONE;
	p->sels = obj_alloc((w->policy->n_sels + 1) * sizeof(*p->sels));
	policy_parse_internet(&internet);	/* whether or not the policy names it */
	items_make(w, &internet);
	rules_make(w, &internet);
	uses_make(w);
	dests_make(w);
	via_items_make(w);
	people_make(w);
	policy_world_layout_make(p);
	ipset_fini(&internet);
}

void
policy_world_unprepare(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;

	for (uint32_t i = 0; i < w->policy->n_sels; i++) {
		ipset_fini(&p->sels[i].set);
		shbuf_drop(p->sels[i].text);
	}
	free(p->sels);
	free(p->items);
	free(p->by_lo);
	free(p->max_hi);
	free(p->uses);
	free(p->rules);
	free(p->user_sels);
	free(p->tag_sels);
	free(p->via_rules);
	free(p->self_rules);
	free(p->internet_pairs);
	free(p->any_dest_pairs);
	free(p->any_source_pairs);
	free(p->plain_pairs);
	free(p->any_dests);
	free(p->internet_dests);
	free(p->exit_counts);
}
