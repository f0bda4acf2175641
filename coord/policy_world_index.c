/*
 * Which literal ranges of a policy overlap a range (an address is one, too): items sorted by
 * their begin are a balanced tree whose nodes are the middles of halves; each knows the highest
 * end below itself.
 */
#include <string.h>

#include "coord/policy_world_private.h"

int
policy_world_ip_compare(const struct net_ip *a, const struct net_ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, sizeof(a->b));
}

int
policy_world_range_compare(const void *pa, const void *pb)
{
	const struct ipset_range *a = pa, *b = pb;

	return policy_world_ip_compare(&a->lo, &b->lo);
}

static int
compare_items(const void *pa, const void *pb, void *arg)
{
	const struct policy_world_private *p = arg;
	const uint32_t *a = pa, *b = pb;
	int order = policy_world_ip_compare(&p->items[*a].lo, &p->items[*b].lo);

	return order != 0 ? order : (*a > *b) - (*a < *b);
}

static struct net_ip
fill_max(struct policy_world_private *p, size_t lo, size_t hi)
{
	size_t mid = lo + (hi - lo) / 2;
	struct net_ip max = p->items[p->by_lo[mid]].hi, below;

	if (lo < mid) {
		below = fill_max(p, lo, mid);
		if (policy_world_ip_compare(&below, &max) > 0)
			max = below;
	}
	if (mid + 1 < hi) {
		below = fill_max(p, mid + 1, hi);
		if (policy_world_ip_compare(&below, &max) > 0)
			max = below;
	}
	return p->max_hi[mid] = max;
}

void
policy_world_index_make(struct policy_world_private *p)
{
	p->by_lo = obj_alloc((p->n_items + 1) * sizeof(*p->by_lo));
	p->max_hi = obj_alloc((p->n_items + 1) * sizeof(*p->max_hi));
	for (uint32_t i = 0; i < p->n_items; i++)
		p->by_lo[i] = i;
	if (p->n_items == 0)
		return;
	qsort_r(p->by_lo, p->n_items, sizeof(*p->by_lo), compare_items, p);
	(void)fill_max(p, 0, p->n_items);
}

struct query {
	const struct policy_world_private *p;
	const struct net_ip *lo, *hi;
	struct pw_list *out;
};

static void
visit(const struct query *q, size_t lo, size_t hi)
{
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct pw_item *item = &q->p->items[q->p->by_lo[mid]];

		if (policy_world_ip_compare(&q->p->max_hi[mid], q->lo) < 0)
			return;
		visit(q, lo, mid);
		if (policy_world_ip_compare(&item->lo, q->hi) > 0)
			return;
		if (policy_world_ip_compare(&item->hi, q->lo) >= 0)
			pw_list_add(q->out, q->p->by_lo[mid]);
		lo = mid + 1;
	}
}

void
policy_world_index_find(const struct policy_world_private *p, const struct net_ip *lo,
    const struct net_ip *hi, struct pw_list *out)
{
	struct query q = { p, lo, hi, out };

	visit(&q, 0, p->n_items);
}

struct ipset_range
policy_world_range_of(const struct net_prefix *p)
{
	struct ipset_range r = { p->ip, p->ip };
	unsigned width = p->ip.family == 4 ? 4 : 16;

	for (unsigned i = p->bits / 8u; i < width; i++)
		r.hi.b[i] |= (uint8_t)(i == p->bits / 8u ? 0xffu >> (p->bits % 8u) : 0xffu);
	return r;
}

/* Bit i of the address, from the lowest. */
static bool
bit_of(const struct net_ip *ip, unsigned width, unsigned i)
{
	return (ip->b[width / 8 - 1 - i / 8] >> (i % 8) & 1) != 0;
}

/* The address with its lowest n bits set. */
static struct net_ip
filled(const struct net_ip *ip, unsigned width, unsigned n)
{
	struct net_ip out = *ip;

	for (unsigned i = 0; i < n; i++)
		out.b[width / 8 - 1 - i / 8] |= (uint8_t)(1u << (i % 8));
	return out;
}

void
policy_world_prefixes_put(struct buf *b, const struct ipset_range *r, bool *is_first)
{
	unsigned width = r->lo.family == 4 ? 32 : 128;
	struct net_ip at = r->lo;
	char text[NET_TEXT_MAX];

	for (;;) {
		unsigned n = 0;

		/* The largest block that begins here and does not go beyond the end. */
		while (n < width && !bit_of(&at, width, n)) {
			struct net_ip end = filled(&at, width, n + 1);

			if (policy_world_ip_compare(&end, &r->hi) > 0)
				break;
			n++;
		}
		struct net_prefix p = { at, (uint8_t)(width - n) };

		if (!*is_first)
			buf_byte(b, ',');
		*is_first = false;
		buf_byte(b, '"');
		net_ip_put(&p.ip, text);
		buf_printf(b, "%s/%u\"", text, p.bits);
		at = filled(&at, width, n);
		if (policy_world_ip_compare(&at, &r->hi) >= 0)
			return;
		for (unsigned i = width / 8; i-- > 0; ) {
			if (++at.b[i] != 0)
				break;
		}
	}
}
