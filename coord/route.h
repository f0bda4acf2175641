/* Prefixes that nodes route: sorted lists, their text, and which may be routes at all. Pure. */
#ifndef COORD_ROUTE_H
#define COORD_ROUTE_H

#include "base/buf.h"
#include "base/net.h"

#define ROUTE_LIST_MAX	512	/* of one node: as many as a Hostinfo may advertise */

/* By family, address, length. */
int route_cmp(const struct net_prefix *a, const struct net_prefix *b);
/* 0.0.0.0/0 or ::/0: of an exit node, which advertises both. */
bool route_is_exit(const struct net_prefix *p);
/* May a node route it? ERR_INVAL with *why: it is (within) loopback, multicast, or the range that nodes' own
 * addresses come from; prefixes of "4via6" (fd7a:115c:a1e0:b1a::/64), which lie there too, may be routed. */
enum err route_check(const struct net_prefix *p, struct err_text *why) MUST_USE;

/* A growing list; zeroed is empty. */
struct route_list {
	struct net_prefix *v;		/* owned */
	unsigned n, _cap;
};
void route_list_fini(struct route_list *l);		/* and empty again */
void route_list_add(struct route_list *l, const struct net_prefix *v, unsigned n);
/* Sorts it and drops doubles. */
void route_list_tidy(struct route_list *l);
/* Of sorted prefixes. */
bool route_list_has(const struct net_prefix *v, unsigned n, const struct net_prefix *p);
bool route_list_eq(const struct net_prefix *a, unsigned na, const struct net_prefix *b, unsigned nb);

/* Appends a JSON array of texts. */
void route_list_put(struct buf *b, const struct net_prefix *v, unsigned n);
/* The same back, tidy; what is no prefix is left out. ERR_INVAL: no array; *out is untouched. */
enum err route_list_parse(const char *json, struct route_list *out) MUST_USE;

#endif
