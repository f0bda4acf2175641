/*
 * A K3s cluster on the tailnet: its record, what a valid one is, and which ranges of addresses a
 * new one gets. Pure. No cluster shares a range with another: node to pod traffic goes by routes
 * that all nodes see.
 */
#ifndef COORD_CLUSTER_H
#define COORD_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/net.h"
#include "coord/ipset.h"
#include "coord/tag.h"

#define CLUSTER_TAG		"tag:k3s"	/* of nodes of a cluster without a record; or -name */
#define CLUSTER_TAG_PREFIX	CLUSTER_TAG "-"
#define CLUSTER_NAME_MAX	56		/* with NUL; behind CLUSTER_TAG_PREFIX it is a tag */
#define CLUSTER_LAN_MAX		16
#define CLUSTERS_MAX		1000

enum cluster_range { CLUSTER_POD4, CLUSTER_POD6, CLUSTER_SERVICE4, CLUSTER_SERVICE6, CLUSTER_RANGES };

struct cluster {
	char name[CLUSTER_NAME_MAX];		/* [a-z0-9-], zero-padded */
	char tag[TAG_TEXT_MAX];			/* of its nodes, and of no other cluster's */
	struct net_prefix range[CLUSTER_RANGES];	/* family 0: none */
	struct net_prefix lan[CLUSTER_LAN_MAX];	/* networks that its nodes stand in or lead to */
	unsigned n_lan;
	char key_id[16];			/* the auth key made last for it; "": none */
	int64_t created_unix_s;
};

/* Does the name do? ERR_INVAL with *why. */
enum err cluster_name_check(const char *name, struct err_text *why) MUST_USE;
/* Of the ranges that there are: is each of its family, of a size that K3s takes and none that hosts use
 * themselves, and do none of them overlap? ERR_INVAL with *why. */
enum err cluster_ranges_check(const struct cluster *c, struct err_text *why) MUST_USE;
/* The same, and are there as many as a cluster needs, a name and a tag? ERR_INVAL with *why. */
enum err cluster_check(const struct cluster *c, struct err_text *why) MUST_USE;

/* A range for pods or services that overlaps nothing of taken: 10.42.0.0/16 and 10.43.0.0/16 if
 * they are free, then every other one. beside: the pods' range, whose neighbour is tried first
 * for services; or NULL. Of IPv6 one from the unique local network (fd…/48) of these random
 * bits, which is new each time. ERR_FULL with *why. */
enum err cluster_pick4(enum cluster_range r, const struct ipset *taken, const struct net_prefix *beside,
	struct net_prefix *out, struct err_text *why) MUST_USE;
void cluster_pick6(enum cluster_range r, const uint8_t random[5], struct net_prefix *out);

/* Texts separated by commas without blanks, "10.42.0.0/16,fd00::/56"; "" for none. */
void cluster_prefixes_put(struct buf *b, const struct net_prefix *const *v, unsigned n);

/* Do they have an address in common? Is every address of inner in outer? Of family 0: no. */
bool cluster_prefix_overlaps(const struct net_prefix *a, const struct net_prefix *b);
bool cluster_prefix_covers(const struct net_prefix *outer, const struct net_prefix *inner);

#endif
