/*
 * Addresses of one tailnet's nodes: the lowest free one of the IPv4 and of the IPv6 range.
 * Reserved ranges are left out, and an address that was given back rests for IPAM_REST_S before
 * it is given out again, unless nothing else is left: then the longest rested one. The
 * database's unique constraints are the last line.
 *
 * Reserved (Tailscale net/tsaddr, reference client): first and last of the IPv4 range,
 * 100.100.100.0/24 (service and DNS), 100.115.92.0/23 (ChromeOS), and in fd7a:115c:a1e0::/48 the
 * first, ::53 (service), b1a::/64 (4via6), ab12:4843:cd96:6200::/104 and efe3::/64.
 *
 * Packet filters list the addresses of all nodes that a tag stands for. So nodes of the same tags
 * get addresses side by side once there are more than IPAM_KIN_FEW of them: blocks of 64 from the end of
 * the range, which filters then tell as a range each.
 *
 * A bitmap of 2^22 bits at most for each family; a reservation costs a scan from the lowest free
 * one.
 */
#ifndef COORD_IPAM_H
#define COORD_IPAM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/net.h"

#define IPAM_REST_S	(30 * 86400)
#define IPAM_KIN_FEW	16	/* nodes alike whose addresses may lie anywhere */

struct ipam;

/* v4: a prefix within 100.64.0.0/10, v6: within fd7a:115c:a1e0::/48. ERR_INVAL with *why. */
enum err ipam_new(const char *v4, const char *v6, struct ipam **out, struct err_text *why)
	MUST_USE;
void ipam_free(struct ipam *a);		/* NULL is fine */

/* One address of each family, taken from now on. ERR_FULL with *why: a range is used up. */
enum err ipam_reserve(struct ipam *a, int64_t now_unix_s, struct net_ip *ip4, struct net_ip *ip6,
	struct err_text *why) MUST_USE;
/* The same for a node of that kin, a number that nodes alike have in common; beside the newest of them. 0:
 * it has none. */
enum err ipam_reserve_kin(struct ipam *a, uint64_t kin, int64_t now_unix_s, struct net_ip *ip4,
	struct net_ip *ip6, struct err_text *why) MUST_USE;
/* A node of that kin (not 0) has these addresses: it came, or is loaded, in the order in which they came. */
void ipam_note_kin(struct ipam *a, uint64_t kin, const struct net_ip *ip4, const struct net_ip *ip6);
/* The next free one of a family (4 or 6) alone. ERR_FULL with *why. */
enum err ipam_reserve_one(struct ipam *a, int family, int64_t now_unix_s, struct net_ip *out,
	struct err_text *why) MUST_USE;
/* The same, but the IPv4 address from one of the prefixes, in their order. ERR_FULL with *why: nothing
 * that is given out here is left in any of them. */
enum err ipam_reserve_within(struct ipam *a, const struct net_prefix *v4, unsigned n,
	int64_t now_unix_s, struct net_ip *ip4, struct net_ip *ip6, struct err_text *why) MUST_USE;
/* An address that was wanted, and what it was before. All zero: none. */
struct ipam_hold {
	struct net_ip ip;
	int64_t rested_unix_s;		/* it rested since then; 0: it was free */
};
/* This very address, even if it rests. ERR_INVAL: outside of what is given out, or reserved;
 * ERR_EXISTS: a node has it, or it is promised; with *why. */
enum err ipam_reserve_exact(struct ipam *a, const struct net_ip *ip, struct ipam_hold *out,
	struct err_text *why) MUST_USE;
/* That came to nothing: free, or resting, as before. */
void ipam_give_back(struct ipam *a, const struct ipam_hold *h);
/* A reservation came to nothing: free at once. */
void ipam_unreserve(struct ipam *a, const struct net_ip *ip);
/* A node has it (reserved before, or loaded). An address outside the ranges, which were changed,
 * is left alone. */
void ipam_use(struct ipam *a, const struct net_ip *ip);
/* No node has it since then; rests. Calls come mostly in order of time. */
void ipam_release(struct ipam *a, const struct net_ip *ip, int64_t released_unix_s);

/* Free, rested or resting addresses of the family (4 or 6). */
size_t ipam_free_count(const struct ipam *a, int family);

#endif
