/*
 * The K3s clusters of a tailnet: records of those that were made here, and, by the tag of their
 * nodes, of others. What they claim, by record or by routes that their nodes advertise, is
 * looked at whenever it changes: claims that overlap are logged and recorded once, counted,
 * shown, and the clients of the nodes concerned say so, until it ends.
 *
 * A cluster's nodes are those with its tag. Nodes with tag:k3s-name (or tag:k3s) of which there
 * is no record are a cluster too, named by that tag. Coordinator thread.
 */
#ifndef COORD_TAILNET_CLUSTER_H
#define COORD_TAILNET_CLUSTER_H

#include "coord/cluster_overlap.h"
#include "coord/tailnet.h"

#define TAILNET_CLUSTERS_MAGIC	0xc105e001u

struct arena;
struct cluster_change;
struct event;
struct mutation;

/* What struct tailnet has as clusters. Others read. */
struct tailnet_clusters {
	uint32_t magic;
	struct map by_name;		/* struct cluster, owned */
	struct cluster_conflicts conflicts;	/* as last looked at */
	TAILQ_HEAD(, cluster_change) _under_way;	/* tailnet_cluster_save.c */
	struct arena *_names;		/* of the conflicts; NULL: none yet */
	struct event *_timer;		/* NULL before the start */
	int64_t *_told;			/* owned: nodes whose clients show a message */
	unsigned _n_told;
};

/* Called by tailnet_new, tailnet_start, tailnet_free; for MUTATION_CLUSTER_*. */
void tailnet_cluster_init(struct tailnet *t);
void tailnet_cluster_start(struct tailnet *t);
void tailnet_cluster_fini(struct tailnet *t);
void tailnet_cluster_apply(struct tailnet *t, struct mutation *m);
/* The node came, goes, or is different: claims are looked at again in a moment if it can have
 * any. */
void tailnet_cluster_note(struct tailnet *t, const struct node *n);
/* Looks at them now. The timer does; tests. */
void tailnet_cluster_look(struct tailnet *t);

/* The record; NULL: there is none of that name. Borrowed until the next change. */
const struct cluster *tailnet_cluster_find(const struct tailnet *t, const char *name);
/* The same by the tag of its nodes. */
const struct cluster *tailnet_cluster_tagged(const struct tailnet *t, const char *tag);
/* May n have the route? Always, unless the setting refuse_cluster_overlap is on, n is of a
 * cluster, and another one claims an address of it: by its record, unless it is within n's own
 * record, or by a route that is approved. false, with *why. O(nodes). */
bool tailnet_cluster_allows_route(struct tailnet *t, const struct node *n, const struct net_prefix *route,
	struct err_text *why);
/* Does the prefix overlap addresses of the tailnet itself? */
bool tailnet_cluster_is_own(const struct tailnet *t, const struct net_prefix *p);
/* Adds what nodes advertise or may have as routes, but for nodes with that tag (NULL: none).
 * Routes of IPv4 wider than widest bits are left out. */
void tailnet_cluster_routes(const struct tailnet *t, const char *but_tag, unsigned widest, struct ipset *out);
/* Adds that, the tailnet's own, what records claim, and what the policy names: what a new
 * cluster had better not overlap. */
void tailnet_cluster_taken(const struct tailnet *t, unsigned widest, struct ipset *out);

/* "clusters edge-a and edge-b both claim 10.42.7.0/24", appended. */
void tailnet_cluster_say(const struct cluster_conflict *c, struct buf *out);

/* An ephemeral key with the tag of a cluster is refused: its nodes would be deleted, and get
 * other addresses, whenever K3s is stopped for a while, because that takes their clients down.
 * ERR_INVAL with *why. */
enum err tailnet_cluster_key_check(const struct tailnet *t, const struct tailnet_key_spec *spec,
	struct err_text *why) MUST_USE;

#define CLUSTER_ROUTES_SHOWN 256
/* A cluster as lists show it. */
struct cluster_view {
	char name[TAG_TEXT_MAX];	/* or the tag, when there is no record */
	const struct cluster *record;	/* borrowed; NULL: none */
	char tag[TAG_TEXT_MAX];
	unsigned n_nodes, n_online;
	struct net_prefix *routes;	/* owned, sorted: advertised by its nodes */
	unsigned n_routes, n_routes_left_off;
};
/* In the order of their names; *n of them. cluster_views_free. */
struct cluster_view *tailnet_cluster_views(struct tailnet *t, size_t *n) MUST_USE;
void cluster_views_free(struct cluster_view *v, size_t n);

#endif
