/*
 * Which clusters claim the same addresses. A claim is a range that a cluster is recorded with,
 * or a route that one of its nodes advertises. Claims of one cluster may overlap, but for the
 * pods of one node: no other has them. Pure.
 */
#ifndef COORD_CLUSTER_OVERLAP_H
#define COORD_CLUSTER_OVERLAP_H

#include <stddef.h>

#include "coord/cluster.h"

#define CLUSTER_CONFLICTS_MAX	100	/* pairs of clusters; looking further would help nobody */
#define CLUSTER_CONFLICT_PREFIXES 8
#define CLUSTER_CONFLICT_NODES	64

enum cluster_claim_kind { CLUSTER_CLAIM_POD, CLUSTER_CLAIM_SERVICE, CLUSTER_CLAIM_LAN, CLUSTER_CLAIM_ROUTE };

struct cluster_claim {
	struct net_prefix prefix;
	enum cluster_claim_kind kind;
	const char *cluster;		/* borrowed; equal names are equal pointers */
	int64_t node_id;		/* ROUTE: of the node that advertises it */
	bool is_online;			/* ROUTE: the node */
	bool is_pods;			/* ROUTE: a node's pods, within the cluster's range */
};

/* Two clusters that claim the same, or (equal) one, of which two nodes do. */
struct cluster_conflict {
	const char *a, *b;		/* borrowed from the claims, in strcmp's order */
	struct net_prefix prefixes[CLUSTER_CONFLICT_PREFIXES];	/* the smaller one of each two that overlap */
	unsigned n_prefixes, n_prefixes_left_off;
	int64_t nodes[CLUSTER_CONFLICT_NODES];	/* whose routes these are; none when only records overlap */
	unsigned n_nodes;
};

struct cluster_conflicts {
	struct cluster_conflict *v;	/* owned */
	unsigned n;
	bool is_cut;			/* there are more than CLUSTER_CONFLICTS_MAX */
};

/* Puts the claims in order, and all conflicts into *out (zeroed by the caller). O(n log n), and
 * for each claim the clusters that claim a range around it. */
void cluster_overlap_find(struct cluster_claim *claims, size_t n, struct cluster_conflicts *out);
void cluster_conflicts_fini(struct cluster_conflicts *c);

#endif
