/* Texts of filters: which rules concern a class, sources put before destinations, holes filled. */
#include <string.h>

#include "base/json.h"
#include "coord/policy_world_filter.h"

/* Capabilities that bring another one, for the other side. */
static const struct companion {
	const char *name, *companion;
} companions[] = {
	{ "tailscale.com/cap/drive", "tailscale.com/cap/drive-sharer" },
	{ "tailscale.com/cap/relay", "tailscale.com/cap/relay-target" },
};

static const char *
companion_of(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(companions); i++) {
		if (strcmp(companions[i].name, name) == 0)
			return companions[i].companion;
	}
	return NULL;
}

bool
policy_world_has_companion(const struct policy_rule *r)
{
	for (unsigned i = 0; i < r->n_app; i++) {
		if (companion_of(r->app[i].name) != NULL)
			return true;
	}
	return false;
}

void
policy_world_capmap_put(struct buf *b, const struct policy_rule *r, bool is_companion)
{
	struct json_writer j;

	json_w_init(&j, b);
	json_w_obj_open(&j, NULL);
	for (unsigned i = 0; i < r->n_app; i++) {
		const struct policy_app *a = &r->app[i];

		if (!is_companion)
			json_w_raw(&j, a->name, a->values, strlen(a->values));
		else if (companion_of(a->name) != NULL)
			json_w_null(&j, companion_of(a->name));
	}
	json_w_obj_close(&j);
}

/* --- which rules ------------------------------------------------------------------------------ */

struct hits {
	struct pw_use *v;
	size_t n, cap;
};

static void
hit_add(struct hits *h, struct pw_use u)
{
	if (h->n == h->cap) {
		h->cap = h->cap == 0 ? 16 : 2 * h->cap;
		h->v = obj_realloc(h->v, h->cap * sizeof(*h->v));
	}
	h->v[h->n++] = u;
}

static void
sel_hits(const struct policy_world_private *p, uint32_t sel, struct hits *h)
{
	for (uint32_t i = 0; p->sels[sel].is_hit && i < p->sels[sel].n_uses; i++) {
		const struct pw_use *u = &p->uses[p->sels[sel].first_use + i];
		const struct pw_rule *r = &p->rules[u->rule];

		if (u->dst != PW_NONE || r->reverse != PW_NONE || r->self != PW_NONE)
			hit_add(h, *u);
	}
}

static int
compare_hits(const void *pa, const void *pb)
{
	const struct pw_use *a = pa, *b = pb;

	if (a->rule != b->rule)
		return a->rule < b->rule ? -1 : 1;
	return (a->dst > b->dst) - (a->dst < b->dst);
}

struct pw_use *
policy_world_hits(const struct policy_world *w, const struct policy_class_private *c, size_t *n)
{
	const struct policy_world_private *p = w->_p;
	const struct pw_facts *f = &c->facts;
	struct hits h = { 0 };
	size_t n_out = 0;

	for (uint32_t i = 0; i < f->sels.n; i++)
		sel_hits(p, f->sels.v[i], &h);
	for (uint32_t i = 0; i < f->route_items.n; i++) {
		uint32_t sel = p->items[f->route_items.v[i]].sel;

		if (i == 0 || p->items[f->route_items.v[i - 1]].sel != sel)
			sel_hits(p, sel, &h);
	}
	for (uint32_t i = 0; f->is_odd && i < w->policy->n_sels; i++) {
		if (p->sels[i].is_nodes)
			sel_hits(p, i, &h);
	}
	for (size_t i = 0; i < p->n_any_dests; i++)
		hit_add(&h, p->any_dests[i]);
	for (size_t i = 0; f->has_exit && i < p->n_internet_dests; i++)
		hit_add(&h, p->internet_dests[i]);
	for (uint32_t v = 0; v < p->n_via && f->tags.n > 0; v++)
		hit_add(&h, (struct pw_use){ p->via_rules[v], PW_NONE });
	if (h.n > 1)
		qsort(h.v, h.n, sizeof(*h.v), compare_hits);
	for (size_t i = 0; i < h.n; i++) {
		if (n_out == 0 || compare_hits(&h.v[n_out - 1], &h.v[i]) != 0)
			h.v[n_out++] = h.v[i];
	}
	*n = n_out;
	return h.v;
}

/* --- texts ------------------------------------------------------------------------------------ */

const uint8_t *
policy_world_group_next(const struct pw_program *g, size_t *at, struct pw_group_head *head)
{
	memcpy(head, g->intern.bytes + *at, sizeof(*head));
	const uint8_t *text = g->intern.bytes + *at + sizeof(*head);

	*at += sizeof(*head) + (size_t)head->n_bytes;
	return text;
}

void
policy_world_program_read(struct policy_world *w, struct pw_program *g)
{
	struct pw_group_head head;

	if (g->intern.n_bytes == 0)
		return;
	memcpy(&g->user_id, g->intern.bytes, sizeof(g->user_id));
	for (size_t at = sizeof(g->user_id); at < g->intern.n_bytes; ) {
		(void)policy_world_group_next(g, &at, &head);
		if (head.kind == PW_GROUP_SOURCE)
			pw_list_add(&g->sources, head.id);
	}
	pw_list_tidy(&g->sources);
	for (uint32_t i = 0; i < g->sources.n; i++)
		policy_world_source_use(w, g->sources.v[i], 1);
}

static bool
is_due(const struct policy_world *w, const struct pw_program *g)
{
	const struct pw_user *u = g->user_id > 0 ? map_find(&w->_p->users, &g->user_id) : NULL;

	if (g->text == NULL || (u != NULL && u->is_touched))
		return true;
	for (uint32_t i = 0; i < g->sources.n; i++) {
		if (w->_p->sources[g->sources.v[i]]->is_dirty)
			return true;
	}
	return false;
}

bool
policy_world_program_refresh(struct policy_world *w, struct pw_program *g)
{
	struct shbuf *old = g->text, *text, *parts;

	if (!is_due(w, g))
		return false;
	text = policy_world_text_make(w, g, &parts);
	if (shbuf_eq(old, text)) {
		shbuf_drop(text);
		shbuf_drop(parts);
		return false;
	}
	g->text = text;
	shbuf_drop(old);
	shbuf_drop(g->parts);
	g->parts = parts;
	return true;
}

void
policy_filter_put(struct buf *b, const struct shbuf *template, const struct policy_node *n)
{
	const uint8_t *at = template->bytes, *end = at + template->len;
	const uint8_t *next[2] = { at, at };
	char text[2][NET_TEXT_MAX];

	net_ip_put(&n->ip4, text[0]);
	net_ip_put(&n->ip6, text[1]);
	for (;;) {
		for (int i = 0; i < 2; i++) {
			if (next[i] != NULL && next[i] <= at)
				next[i] = memchr(at, i + 1, (size_t)(end - at));
		}
		bool is_v6 = next[0] == NULL || (next[1] != NULL && next[1] < next[0]);
		const uint8_t *hole = next[is_v6];

		buf_append(b, at, (size_t)((hole == NULL ? end : hole) - at));
		if (hole == NULL)
			return;
		buf_str(b, text[is_v6]);
		at = hole + 1;
	}
}

size_t
policy_filter_parts(const struct policy_bundle *b, const struct policy_filter_part **v)
{
	*v = b->parts == NULL ? NULL : (const void *)b->parts->bytes;
	return b->parts == NULL ? 0 : b->parts->len / sizeof(**v);
}
