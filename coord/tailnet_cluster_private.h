/* What the tailnet_cluster*.c share; nobody else includes this. Coordinator thread. */
#ifndef COORD_TAILNET_CLUSTER_PRIVATE_H
#define COORD_TAILNET_CLUSTER_PRIVATE_H

#include "coord/tailnet_cluster.h"

/* A cluster by the tag of its nodes. */
struct cluster_tagged {
	char tag[TAG_TEXT_MAX];		/* zero-padded */
	const char *name;		/* in the arena; the tag when there is no record */
	const struct cluster *record;	/* NULL: none */
	size_t view;			/* 1 + its place among the views; 0: it has none */
};

/* Clusters while nodes are looked at: records first, others as their nodes come. */
struct cluster_roll {
	const struct tailnet *t;
	struct arena *arena;
	struct map by_tag;		/* struct cluster_tagged, in the arena */
};

/* fini: the names stay with the arena, which is the caller's then. */
void cluster_roll_init(struct cluster_roll *r, const struct tailnet *t);
struct arena *cluster_roll_fini(struct cluster_roll *r) MUST_USE;

struct cluster_claims {
	struct cluster_claim *v;	/* owned: free() */
	size_t n, cap;
};
/* Appends what all records and nodes claim. */
void cluster_claims_collect(struct cluster_roll *r, struct cluster_claims *out);

#endif
