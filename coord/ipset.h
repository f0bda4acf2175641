/*
 * Sets of addresses: sorted, disjoint ranges, IPv4 before IPv6. A prefix is one range, however wide.
 * Pure. All zero is the empty set; ipset_fini frees.
 */
#ifndef COORD_IPSET_H
#define COORD_IPSET_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/net.h"

struct ipset_range {
	struct net_ip lo, hi;		/* of one family, both inside */
};

struct ipset {
	struct ipset_range *v;		/* owned; sorted, neither overlapping nor adjacent */
	unsigned n, _cap;
};

void ipset_fini(struct ipset *s);
/* Adds; at the end of the set in constant time, elsewhere in the number of ranges. */
void ipset_add_range(struct ipset *s, const struct net_ip *lo, const struct net_ip *hi);
void ipset_add_ip(struct ipset *s, const struct net_ip *ip);	/* family 0: nothing */
void ipset_add_prefix(struct ipset *s, const struct net_prefix *p);
void ipset_add_set(struct ipset *s, const struct ipset *other);
void ipset_remove_range(struct ipset *s, const struct net_ip *lo, const struct net_ip *hi);
void ipset_remove_set(struct ipset *s, const struct ipset *other);

/* Of no address (family 0) all is false. An empty set is covered by any. */
bool ipset_has(const struct ipset *s, const struct net_ip *ip);
bool ipset_overlaps_prefix(const struct ipset *s, const struct net_prefix *p);
bool ipset_overlaps(const struct ipset *a, const struct ipset *b);
/* Is every address of the prefix in s? */
bool ipset_covers_prefix(const struct ipset *s, const struct net_prefix *p);
bool ipset_covers(const struct ipset *s, const struct ipset *inner);
bool ipset_eq(const struct ipset *a, const struct ipset *b);

/* Appends JSON strings with commas between, no brackets: "1.2.3.4", "10.0.0.0/8", or "lo-hi" where a
 * range is no prefix: all forms that tailcfg.FilterRule.SrcIPs takes. */
void ipset_put(struct buf *b, const struct ipset *s);

#endif
