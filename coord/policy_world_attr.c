/* Attributes of classes (nodeAttrs): members of the self view's CapMap, made once for each set
 * of entries. */
#include <string.h>

#include "base/json.h"
#include "coord/policy_world_private.h"

#define ATTR_RANDOM_PORT	"randomize-client-port"
#define ATTR_IPV4_OFF		"disable-ipv4"
#define ATTR_EXIT_SUGGESTED	"suggest-exit-node"
#define ATTR_ONE_CGNAT		"one-cgnat?v=true"	/* tailcfg/nodecap/nodecap.go */
#define ATTR_MANY_CGNAT		"one-cgnat?v=false"

struct caps {
	struct pw_intern intern;
	struct shbuf *text;		/* owned reference */
	bool is_ipv4_off, is_exit_suggested;
};

struct member {
	const char *name;	/* borrowed */
	const char *values;	/* JSON array; NULL: none */
};

struct members {
	struct member *v;	/* owned */
	size_t n, cap;
};

static void
member_add(struct members *m, const char *name, const char *values)
{
	if (m->n == m->cap) {
		m->cap = m->cap == 0 ? 8 : 2 * m->cap;
		m->v = obj_realloc(m->v, m->cap * sizeof(*m->v));
	}
	m->v[m->n++] = (struct member){ name, values };
}

/* By name, then in the order given (of addresses in policy texts no order is known). */
static int
compare_members(const void *pa, const void *pb)
{
	const struct member *a = pa, *b = pb;
	int order = strcmp(a->name, b->name);

	if (order != 0 || a->values == b->values)
		return order;
	if (a->values == NULL || b->values == NULL)
		return a->values == NULL ? -1 : 1;
	return strcmp(a->values, b->values);
}

/* Values of several entries with one name are one list; doubles go. */
static void
members_put(struct buf *b, const struct members *m)
{
	struct json_writer j;

	json_w_init(&j, b);
	for (size_t i = 0; i < m->n; ) {
		const char *name = m->v[i].name;
		struct buf values = { 0 };

		for (; i < m->n && strcmp(m->v[i].name, name) == 0; i++) {
			const char *v = m->v[i].values;

			if (v == NULL || strlen(v) <= 2 || (i > 0 && compare_members(&m->v[i - 1],
			    &m->v[i]) == 0))
				continue;
			if (values.len > 0)
				buf_byte(&values, ',');
			buf_append(&values, v + 1, strlen(v) - 2);
		}
		if (values.len == 0) {
			json_w_null(&j, name);
		} else {
			json_w_arr_open(&j, name);
			json_w_raw(&j, NULL, values.p, values.len);
			json_w_arr_close(&j);
		}
		buf_fini(&values);
	}
}

static struct caps *
caps_make(const struct policy *policy, const struct pw_list *entries)
{
	struct caps *caps = obj_alloc(sizeof(*caps));
	struct members m = { 0 };
	struct buf b = { 0 };

	if (policy->randomize_client_port)
		member_add(&m, ATTR_RANDOM_PORT, NULL);
	if (policy->disable_ipv4)
		member_add(&m, ATTR_IPV4_OFF, NULL);
	if (policy->one_cgnat_route != POLICY_CGNAT_DEFAULT)
		member_add(&m, policy->one_cgnat_route == POLICY_CGNAT_MAC_ALWAYS ? ATTR_ONE_CGNAT :
		    ATTR_MANY_CGNAT, NULL);
	for (uint32_t i = 0; i < entries->n; i++) {
		const struct policy_attr *a = &policy->attrs[entries->v[i]];

		for (unsigned k = 0; k < a->n_attrs; k++)
			member_add(&m, a->attrs[k], NULL);
		for (unsigned k = 0; k < a->n_app; k++)
			member_add(&m, a->app[k].name, a->app[k].values);
	}
	if (m.n > 1)
		qsort(m.v, m.n, sizeof(*m.v), compare_members);
	for (size_t i = 0; i < m.n; i++) {
		caps->is_ipv4_off = caps->is_ipv4_off || strcmp(m.v[i].name, ATTR_IPV4_OFF) == 0;
		caps->is_exit_suggested = caps->is_exit_suggested || strcmp(m.v[i].name,
		    ATTR_EXIT_SUGGESTED) == 0;
	}
	members_put(&b, &m);
	caps->text = shbuf_new(b.p, b.len);
	buf_fini(&b);
	free(m.v);
	return caps;
}

static int
compare_uses(const void *pa, const void *pb)
{
	const struct pw_use *a = pa, *b = pb;

	if (a->rule != b->rule)
		return a->rule < b->rule ? -1 : 1;
	return (a->dst > b->dst) - (a->dst < b->dst);
}

void
policy_world_attr_init(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;
	size_t n = 0;

	for (unsigned i = 0; i < w->policy->n_attrs; i++)
		n += w->policy->attrs[i].target.n;
	p->attr_uses = obj_alloc((n + 1) * sizeof(*p->attr_uses));
	for (unsigned i = 0; i < w->policy->n_attrs; i++) {
		const struct policy_list *l = &w->policy->attrs[i].target;

		for (unsigned k = 0; k < l->n; k++)
			p->attr_uses[p->n_attr_uses++] = (struct pw_use){ l->v[k], i };
	}
	qsort(p->attr_uses, p->n_attr_uses, sizeof(*p->attr_uses), compare_uses);
	pw_intern_map(&p->caps);
}

void
policy_world_attr_fini(struct policy_world *w)
{
	struct policy_world_private *p = w->_p;
	size_t cursor = 0;

	for (struct caps *c; (c = map_next(&p->caps, &cursor)) != NULL; free(c)) {
		pw_intern_remove(&p->caps, &c->intern);
		shbuf_drop(c->text);
	}
	map_fini(&p->caps);
	free(p->attr_uses);
}

/* Entries that name the selector. */
static void
entries_add(const struct policy_world_private *p, uint32_t sel, struct pw_list *out)
{
	size_t lo = 0, hi = p->n_attr_uses;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (p->attr_uses[mid].rule < sel)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < p->n_attr_uses && p->attr_uses[lo].rule == sel; lo++)
		pw_list_add(out, p->attr_uses[lo].dst);
}

void
policy_world_attr_set(struct policy_world *w, struct policy_class_private *c)
{
	struct policy_world_private *p = w->_p;
	struct pw_list entries = { 0 };
	struct caps *caps;

	if (c->facts.user_id < 0) {
		c->caps = shbuf_hold(p->no_caps);
		return;
	}
	for (uint32_t i = 0; i < c->facts.sels.n && p->n_attr_uses > 0; i++)
		entries_add(p, c->facts.sels.v[i], &entries);
	pw_list_tidy(&entries);
	caps = (struct caps *)(void *)pw_intern_find(&p->caps, entries.v, entries.n * sizeof(*entries.v));
	if (caps == NULL) {
		caps = caps_make(w->policy, &entries);
		pw_intern_put(&p->caps, &caps->intern, entries.v, entries.n * sizeof(*entries.v));
	}
	c->caps = shbuf_hold(caps->text);
	c->is_ipv4_off = caps->is_ipv4_off;
	c->is_exit_suggested = caps->is_exit_suggested && c->facts.has_exit;
	pw_list_fini(&entries);
}
