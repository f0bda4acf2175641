/*
 * Prefixes are one inside the other or apart. In the order of their first address, wider ones
 * first, a stack holds what is around the one looked at. Claims of one prefix by one cluster are
 * looked at together.
 */
#include "coord/cluster_overlap.h"

#include <stdlib.h>
#include <string.h>

/* Claims of one prefix by one cluster. */
struct run {
	const struct cluster_claim *first;
	size_t n;
};

struct sweep {
	struct run *stack;		/* owned; each is inside the one before, or equal to it */
	size_t n_stack;
	struct cluster_conflicts *out;
};

static int
claim_order(const void *a, const void *b)
{
	const struct cluster_claim *x = a, *y = b;
	int d;

	if (x->prefix.ip.family != y->prefix.ip.family)
		return x->prefix.ip.family < y->prefix.ip.family ? -1 : 1;
	if ((d = memcmp(x->prefix.ip.b, y->prefix.ip.b, sizeof(x->prefix.ip.b))) != 0)
		return d;
	if (x->prefix.bits != y->prefix.bits)
		return x->prefix.bits < y->prefix.bits ? -1 : 1;
	if (x->cluster != y->cluster && (d = strcmp(x->cluster, y->cluster)) != 0)
		return d;
	if (x->node_id != y->node_id)
		return x->node_id < y->node_id ? -1 : 1;
	return (int)x->kind - (int)y->kind;
}

static struct cluster_conflict *
conflict_of(struct cluster_conflicts *out, const char *a, const char *b)
{
	struct cluster_conflict *c;

	if (strcmp(a, b) > 0) {
		const char *swap = a;

		a = b;
		b = swap;
	}
	for (unsigned i = 0; i < out->n; i++)
		if (out->v[i].a == a && out->v[i].b == b)
			return &out->v[i];
	if (out->n == CLUSTER_CONFLICTS_MAX) {
		out->is_cut = true;
		return NULL;
	}
	out->v = obj_realloc(out->v, (out->n + 1) * sizeof(*out->v));
	c = &out->v[out->n++];
	*c = (struct cluster_conflict){ .a = a, .b = b };
	return c;
}

static void
add_prefix(struct cluster_conflict *c, const struct net_prefix *p)
{
	for (unsigned i = 0; i < c->n_prefixes; i++)
		if (net_ip_eq(&c->prefixes[i].ip, &p->ip) && c->prefixes[i].bits == p->bits)
			return;
	if (c->n_prefixes == CLUSTER_CONFLICT_PREFIXES)
		c->n_prefixes_left_off++;
	else
		c->prefixes[c->n_prefixes++] = *p;
}

static void
add_nodes(struct cluster_conflict *c, const struct run *r)
{
	for (size_t i = 0; i < r->n; i++) {
		unsigned k = 0;

		while (k < c->n_nodes && c->nodes[k] != r->first[i].node_id)
			k++;
		if (r->first[i].node_id != 0 && k == c->n_nodes && k < CLUSTER_CONFLICT_NODES)
			c->nodes[c->n_nodes++] = r->first[i].node_id;
	}
}

/* Two nodes of the cluster that are there and say that the same pods are theirs. */
static bool
is_doubled(const struct run *r)
{
	int64_t id = 0;

	for (size_t i = 0; i < r->n; i++) {
		const struct cluster_claim *c = &r->first[i];

		if (!c->is_pods || !c->is_online)
			continue;
		if (id != 0 && c->node_id != id)
			return true;
		id = c->node_id;
	}
	return false;
}

static void
look_at(struct sweep *s, const struct run *r)
{
	const struct net_prefix *p = &r->first->prefix;
	struct cluster_conflict *c;

	while (s->n_stack > 0 && !cluster_prefix_covers(&s->stack[s->n_stack - 1].first->prefix, p))
		s->n_stack--;
	for (size_t i = 0; i < s->n_stack && !s->out->is_cut; i++) {
		const struct run *around = &s->stack[i];

		if (around->first->cluster == r->first->cluster ||
		    (c = conflict_of(s->out, around->first->cluster, r->first->cluster)) == NULL)
			continue;
		add_prefix(c, p);
		add_nodes(c, around);
		add_nodes(c, r);
	}
	if (is_doubled(r) && (c = conflict_of(s->out, r->first->cluster, r->first->cluster)) != NULL) {
		add_prefix(c, p);
		add_nodes(c, r);
	}
	s->stack[s->n_stack++] = *r;
}

static bool
is_same_run(const struct cluster_claim *a, const struct cluster_claim *b)
{
	return a->cluster == b->cluster && a->prefix.bits == b->prefix.bits &&
	    net_ip_eq(&a->prefix.ip, &b->prefix.ip);
}

static int
conflict_order(const void *a, const void *b)
{
	const struct cluster_conflict *x = a, *y = b;
	int d = strcmp(x->a, y->a);

	return d != 0 ? d : strcmp(x->b, y->b);
}

void
cluster_overlap_find(struct cluster_claim *claims, size_t n, struct cluster_conflicts *out)
{
	struct sweep s = { .out = out };

	if (n == 0)
		return;
	s.stack = obj_alloc(n * sizeof(*s.stack));
	qsort(claims, n, sizeof(*claims), claim_order);
	for (size_t at = 0, end; at < n && !out->is_cut; at = end) {
		for (end = at + 1; end < n && is_same_run(&claims[at], &claims[end]); end++)
			;
		look_at(&s, &(struct run){ &claims[at], end - at });
	}
	if (out->n > 1)
		qsort(out->v, out->n, sizeof(*out->v), conflict_order);
	free(s.stack);
}

void
cluster_conflicts_fini(struct cluster_conflicts *c)
{
	free(c->v);
	*c = (struct cluster_conflicts){ .n = 0 };
}
