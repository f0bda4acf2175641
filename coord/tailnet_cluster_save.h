/*
 * Clusters made, changed, removed. Ranges are reserved at once. What the policy needs is changed
 * in its text on the jobs thread and checked as every policy is; record, auth key and policy are
 * one transaction, so that none is there without the others. Coordinator thread.
 */
#ifndef COORD_TAILNET_CLUSTER_SAVE_H
#define COORD_TAILNET_CLUSTER_SAVE_H

#include "coord/tailnet_cluster.h"

/* What is asked for; all is copied. */
struct tailnet_cluster_spec {
	const char *name;
	const char *tag;		/* NULL: tag:k3s-name; create only */
	/* family 0: create chooses IPv4, set leaves it as it is */
	struct net_prefix range[CLUSTER_RANGES];
	const struct net_prefix *lan;	/* NULL: create has none, set leaves them as they are */
	unsigned n_lan;
	int64_t user_id;		/* owner of the auth key */
	int64_t key_expires_unix_s;	/* 0: never */
	bool is_dual_stack;		/* create chooses IPv6 as well */
	bool is_isolated;		/* see cluster_policy_how */
	/* create, set: though others claim the same; remove: though nodes have the tag */
	bool is_forced;
	bool leaves_policy;		/* the policy's text is not touched */
};

/* done hears the auth key (key_id, secret) of create and key. ERR_INVAL: name, range, or the
 * policy cannot be changed so; ERR_EXISTS: name, tag or range is taken, or nodes have the tag,
 * or the policy is changed all the time; ERR_DENIED: forced in spite of refuse_cluster_overlap,
 * or the policy comes from a file; ERR_NOTFOUND; ERR_BUSY: the cluster is being changed;
 * ERR_FULL: no range is free, too many clusters. */
void tailnet_cluster_create(struct tailnet *t, const struct actor *by, const struct tailnet_cluster_spec *spec,
	tailnet_done_fn *done, void *arg);
void tailnet_cluster_set(struct tailnet *t, const struct actor *by, const struct tailnet_cluster_spec *spec,
	tailnet_done_fn *done, void *arg);
/* Auth keys that bear the tag are revoked. */
void tailnet_cluster_remove(struct tailnet *t, const struct actor *by, const struct tailnet_cluster_spec *spec,
	tailnet_done_fn *done, void *arg);
/* One more auth key for its nodes; those there are stay valid. */
void tailnet_cluster_key(struct tailnet *t, const struct actor *by, const struct tailnet_cluster_spec *spec,
	tailnet_done_fn *done, void *arg);

#endif
