/* Sets of addresses as sorted ranges; look-ups by bisection, unions and differences in one pass. */
#include "coord/ipset.h"

#include <stdlib.h>
#include <string.h>

static unsigned
width_bytes(const struct net_ip *ip)
{
	return ip->family == 4 ? 4 : 16;
}

/* IPv4 before IPv6. */
static int
compare(const struct net_ip *a, const struct net_ip *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->b, b->b, width_bytes(a));
}

/* The next address, or the one before. false: there is none, *ip untouched. */
static bool
step(struct net_ip *ip, bool is_up)
{
	struct net_ip out = *ip;
	uint8_t wraps = is_up ? 0xff : 0;

	for (unsigned i = width_bytes(ip); i-- > 0;) {
		bool is_last = out.b[i] != wraps;

		out.b[i] = (uint8_t)(is_up ? out.b[i] + 1 : out.b[i] - 1);
		if (is_last) {
			*ip = out;
			return true;
		}
	}
	return false;
}

/* Is there an address between the two? a is before b. */
static bool
has_gap(const struct net_ip *a, const struct net_ip *b)
{
	struct net_ip next = *a;

	return compare(a, b) < 0 && (!step(&next, true) || compare(&next, b) != 0);
}

static bool
range_is_valid(const struct net_ip *lo, const struct net_ip *hi)
{
	return (lo->family == 4 || lo->family == 6) && lo->family == hi->family &&
	    compare(lo, hi) <= 0;
}

static struct ipset_range
prefix_range(const struct net_prefix *p)
{
	struct ipset_range r = { p->ip, p->ip };

	for (unsigned i = p->bits / 8; i < width_bytes(&p->ip); i++)
		r.hi.b[i] |= (uint8_t)(i == p->bits / 8 ? 0xffu >> (p->bits % 8) : 0xffu);
	return r;
}

/* Index of the first range that ends at ip or behind it; s->n: none does. */
static unsigned
find(const struct ipset *s, const struct net_ip *ip)
{
	unsigned lo = 0, hi = s->n;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (compare(&s->v[mid].hi, ip) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void
reserve(struct ipset *s, unsigned n_more)
{
	if (n_more <= s->_cap - s->n)
		return;
	s->_cap = s->n + n_more + s->n / 2 + 3;
	s->v = obj_realloc(s->v, s->_cap * sizeof(*s->v));
}

/* r begins at or behind the begin of every range there is: joins the last one or becomes it. */
static void
append(struct ipset *s, const struct ipset_range *r)
{
	if (s->n > 0 && !has_gap(&s->v[s->n - 1].hi, &r->lo)) {
		if (compare(&s->v[s->n - 1].hi, &r->hi) < 0)
			s->v[s->n - 1].hi = r->hi;
		return;
	}
	reserve(s, 1);
	s->v[s->n++] = *r;
}

void
ipset_fini(struct ipset *s)
{
	free(s->v);
	*s = (struct ipset){ 0 };
}

void
ipset_add_range(struct ipset *s, const struct net_ip *lo, const struct net_ip *hi)
{
	struct ipset_range r = { *lo, *hi };

	if (!range_is_valid(lo, hi))
		return;
	if (s->n == 0 || compare(&s->v[s->n - 1].lo, lo) <= 0) {
		append(s, &r);
		return;
	}
	/* Those that touch join too. At the ends of a family there is nothing beyond. */
	struct net_ip below = *lo, above = *hi;
	(void)step(&below, false);
	(void)step(&above, true);
	unsigned first = find(s, &below), last = first;
	while (last < s->n && compare(&s->v[last].lo, &above) <= 0)
		last++;
	if (last > first) {
		if (compare(&s->v[first].lo, &r.lo) < 0)
			r.lo = s->v[first].lo;
		if (compare(&s->v[last - 1].hi, &r.hi) > 0)
			r.hi = s->v[last - 1].hi;
	}
	reserve(s, 1);
	memmove(&s->v[first + 1], &s->v[last], (s->n - last) * sizeof(*s->v));
	s->v[first] = r;
	s->n = s->n + 1 - (last - first);
}

void
ipset_add_ip(struct ipset *s, const struct net_ip *ip)
{
	ipset_add_range(s, ip, ip);
}

void
ipset_add_prefix(struct ipset *s, const struct net_prefix *p)
{
	if (p->ip.family == 0)
		return;
	struct ipset_range r = prefix_range(p);
	ipset_add_range(s, &r.lo, &r.hi);
}

void
ipset_add_set(struct ipset *s, const struct ipset *other)
{
	struct ipset out = { 0 };
	unsigned i = 0, j = 0;

	if (s == other)
		return;
	if (other->n <= 1 || s->n == 0 || compare(&s->v[s->n - 1].lo, &other->v[0].lo) <= 0) {
		reserve(s, other->n);
		for (j = 0; j < other->n; j++)
			ipset_add_range(s, &other->v[j].lo, &other->v[j].hi);
		return;
	}
	reserve(&out, s->n + other->n);
	while (i < s->n || j < other->n) {
		bool takes_ours = j == other->n ||
		    (i < s->n && compare(&s->v[i].lo, &other->v[j].lo) <= 0);

		append(&out, takes_ours ? &s->v[i++] : &other->v[j++]);
	}
	ipset_fini(s);
	*s = out;
}

void
ipset_remove_range(struct ipset *s, const struct net_ip *lo, const struct net_ip *hi)
{
	struct ipset_range range = { *lo, *hi };
	struct ipset one = { .v = &range, .n = 1 };

	if (range_is_valid(lo, hi))
		ipset_remove_set(s, &one);
}

void
ipset_remove_set(struct ipset *s, const struct ipset *other)
{
	struct ipset out = { 0 };
	unsigned j = 0;

	if (s == other) {
		s->n = 0;
		return;
	}
	if (s->n == 0 || other->n == 0)
		return;
	reserve(&out, s->n + other->n);
	for (unsigned i = 0; i < s->n; i++) {
		struct ipset_range left = s->v[i];
		bool has_left = true;

		while (j < other->n && compare(&other->v[j].hi, &left.lo) < 0)
			j++;
		/* What is taken may reach into our next range: j stays where it ends behind this one. */
		for (; has_left && j < other->n && compare(&other->v[j].lo, &left.hi) <= 0; j++) {
			if (compare(&left.lo, &other->v[j].lo) < 0) {
				struct ipset_range head = { left.lo, other->v[j].lo };

				(void)step(&head.hi, false);
				append(&out, &head);
			}
			if (compare(&other->v[j].hi, &left.hi) >= 0) {
				has_left = false;
				break;
			}
			left.lo = other->v[j].hi;
			(void)step(&left.lo, true);
		}
		if (has_left)
			append(&out, &left);
	}
	ipset_fini(s);
	*s = out;
}

bool
ipset_has(const struct ipset *s, const struct net_ip *ip)
{
	unsigned i = find(s, ip);

	return i < s->n && compare(&s->v[i].lo, ip) <= 0;
}

static bool
overlaps_range(const struct ipset *s, const struct ipset_range *r)
{
	unsigned i = find(s, &r->lo);

	return i < s->n && compare(&s->v[i].lo, &r->hi) <= 0;
}

static bool
covers_range(const struct ipset *s, const struct ipset_range *r)
{
	unsigned i = find(s, &r->lo);

	return i < s->n && compare(&s->v[i].lo, &r->lo) <= 0 && compare(&r->hi, &s->v[i].hi) <= 0;
}

bool
ipset_overlaps_prefix(const struct ipset *s, const struct net_prefix *p)
{
	struct ipset_range r = prefix_range(p);

	return p->ip.family != 0 && overlaps_range(s, &r);
}

bool
ipset_overlaps(const struct ipset *a, const struct ipset *b)
{
	const struct ipset *few = a->n <= b->n ? a : b, *many = few == a ? b : a;

	for (unsigned i = 0; i < few->n; i++) {
		if (overlaps_range(many, &few->v[i]))
			return true;
	}
	return false;
}

bool
ipset_covers_prefix(const struct ipset *s, const struct net_prefix *p)
{
	struct ipset_range r = prefix_range(p);

	return p->ip.family != 0 && covers_range(s, &r);
}

bool
ipset_covers(const struct ipset *s, const struct ipset *inner)
{
	for (unsigned i = 0; i < inner->n; i++) {
		if (!covers_range(s, &inner->v[i]))
			return false;
	}
	return true;
}

bool
ipset_eq(const struct ipset *a, const struct ipset *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++) {
		if (compare(&a->v[i].lo, &b->v[i].lo) != 0 || compare(&a->v[i].hi, &b->v[i].hi) != 0)
			return false;
	}
	return true;
}

/* Is the range a prefix? Then its length into *bits. */
static bool
range_is_prefix(const struct ipset_range *r, unsigned *bits)
{
	unsigned width = width_bytes(&r->lo) * 8, n = 0;

	while (n < width && ((r->lo.b[n / 8] ^ r->hi.b[n / 8]) & (0x80u >> (n % 8))) == 0)
		n++;
	struct ipset_range whole = prefix_range(&(struct net_prefix){ r->lo, (uint8_t)n });
	for (unsigned i = n; i < width; i++) {
		if ((r->lo.b[i / 8] & (0x80u >> (i % 8))) != 0)
			return false;
	}
	*bits = n;
	return compare(&whole.hi, &r->hi) == 0;
}

void
ipset_put(struct buf *b, const struct ipset *s)
{
	char lo[NET_TEXT_MAX], hi[NET_TEXT_MAX];

	for (unsigned i = 0; i < s->n; i++) {
		const struct ipset_range *r = &s->v[i];
		unsigned bits;

		net_ip_put(&r->lo, lo);
		buf_printf(b, "%s\"%s", i > 0 ? "," : "", lo);
		if (!range_is_prefix(r, &bits))
			buf_printf(b, "-%s", net_ip_put(&r->hi, hi));
		else if (compare(&r->lo, &r->hi) != 0)
			buf_printf(b, "/%u", bits);
		buf_byte(b, '"');
	}
}
