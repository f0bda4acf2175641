/*
 * Quotas of the relay: who is charged to which. A node has a quota of its own (the one set for it, else
 * the default), and shares those of its tags or, without tags, its user's. What an administrator, an owner's
 * change or another node key alters is in force at once, for connected clients too.
 *
 * Nothing is kept for a node that is charged to none. Coordinator thread.
 */
#ifndef COORD_TAILNET_QUOTA_H
#define COORD_TAILNET_QUOTA_H

#include "coord/quota_rule.h"
#include "coord/tailnet.h"

#define TAILNET_QUOTAS_MAGIC	0x4e610003u
#define TAILNET_QUOTAS_MAX	20000	/* set ones */

struct mutation;
struct quota;

/* The relay's side; in struct tailnet_deps, where NULL is a server that limits nobody. */
struct tailnet_quota_ops {
	struct quota *(*make)(int64_t bytes_per_s);	/* one reference */
	void (*drop)(struct quota *q);
	void (*set_rate)(struct quota *q, int64_t bytes_per_s);
	/* The admitted key is charged to these (borrowed) from now on; n 0: to none. */
	void (*charge)(void *arg, const struct node_key *key, struct quota *const *quotas, unsigned n);
};

/* One that is set. */
struct tailnet_quota {
	struct quota_rule r;		/* first: key of the map is its subject */
	struct quota *q;		/* of tags and users, shared by nodes; NULL: none is there */
};

struct tailnet_quotas {
	uint32_t magic;
	struct map rules;		/* struct tailnet_quota, owned */
	struct map charged;		/* of nodes that are charged to one; private */
	int64_t configured_bytes_per_s;	/* derp.node_quota; 0: none */
};

/* Called by tailnet_new, tailnet_start, tailnet_free; for MUTATION_QUOTA_*. */
void tailnet_quota_init(struct tailnet *t);
void tailnet_quota_start(struct tailnet *t);
void tailnet_quota_fini(struct tailnet *t);
void tailnet_quota_apply(struct tailnet *t, struct mutation *m);

/* The relay admits the node's key, from now on or again; its tags or user are others. Nothing before
 * the start. */
void tailnet_quota_admitted(struct tailnet *t, const struct node *n);
void tailnet_quota_follow(struct tailnet *t, const struct node *n);
/* It is removed, and with it what was set for it. */
void tailnet_quota_node_removed(struct tailnet *t, const struct node *n);
void tailnet_quota_user_removed(struct tailnet *t, const struct user *u);

/* The one that is set for the subject, or NULL. */
const struct tailnet_quota *tailnet_quota_find(const struct tailnet *t, const char *subject);
/* What a node without one of its own may send: as set, else as configured. 0: no limit. */
int64_t tailnet_quota_default(const struct tailnet *t);
/* How many nodes are charged to it. */
unsigned tailnet_quota_nodes(const struct tailnet *t, const struct quota_rule *r);
/* "default", "tag:x", a node's name or a user's, if need be as "node:web1", "user:ann". ERR_NOTFOUND,
 * ERR_INVAL (both a node and a user), with *why. The rate is what is set, or 0. */
enum err tailnet_quota_resolve(struct tailnet *t, const char *text, struct quota_rule *out,
	struct err_text *why) MUST_USE;

/* Hard changes; subject and rate. ERR_INVAL (rate), ERR_FULL. */
void tailnet_quota_set(struct tailnet *t, const struct actor *by, const struct quota_rule *r,
	tailnet_done_fn *done, void *arg);
/* ERR_NOTFOUND: none is set. */
void tailnet_quota_unset(struct tailnet *t, const struct actor *by, const struct quota_rule *r,
	tailnet_done_fn *done, void *arg);

#endif
