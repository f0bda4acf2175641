/*
 * Routes: what nodes advertise, what of it is approved, and who carries it. Coordinator thread.
 *
 * A node's routes (node.routes) are what it advertises and is approved for, as long as it is authorized
 * itself. Approval is by an administrator, or by the policy (autoApprovers), which is asked whenever the
 * advertised routes, owner, tags, addresses, approval of the node, users or the policy change, and at the
 * start. It is remembered: advertising less or another policy takes nothing back. The routes of an exit node
 * go together.
 *
 * Of several routers of one prefix one is primary: the same as long as it is there and answers, then the one
 * with the lowest id that does; when none does, the last one stays. It is gone when its stream has been for
 * ROUTE_FAILOVER_MS, or it does not answer a probe: a PingRequest, which its client answers with a HEAD
 * request. Only routers with an alternative are probed. Exit nodes are all in use.
 */
#ifndef COORD_TAILNET_ROUTE_H
#define COORD_TAILNET_ROUTE_H

#include "coord/route.h"
#include "coord/tailnet.h"

#define ROUTE_POLL_MS		500	/* routers with an alternative are looked at */
#define ROUTE_FAILOVER_MS	3000	/* after a stream ended without another */
#define ROUTE_PROBE_MS		5000	/* from one probe to the next */
#define ROUTE_ANSWER_MS		4000	/* after the probe was written: the client hangs, or its network does */
#define ROUTE_STUCK_MS		10000	/* the probe could not be written: what goes before it is not taken */

/* A change of what a node is approved for. 0.0.0.0/0 and ::/0 stand for both. */
struct tailnet_route_change {
	bool is_whole;			/* add is the new list; else it is added to the old one */
	const struct net_prefix *add, *remove;
	unsigned n_add, n_remove;
};
/* ERR_NOTFOUND, ERR_INVAL (see route_check and tailnet_cluster_allows_route), ERR_LIMIT (more than
 * ROUTE_LIST_MAX), ERR_BUSY. Changes of one node are made one after the other. Routes need not be advertised
 * yet. */
void tailnet_node_set_routes(struct tailnet *t, const struct actor *by, int64_t node_id,
	const struct tailnet_route_change *c, tailnet_done_fn *done, void *arg);

/* One of a node, advertised or approved. */
struct tailnet_route {
	struct net_prefix prefix;
	bool is_advertised, is_approved;
	bool is_primary;		/* it carries it, or is ready to if nobody uses it */
	bool is_by_policy;		/* the policy in force would approve it */
};
/* All of n, sorted; the caller frees *out (NULL: none). Returns how many. */
unsigned tailnet_route_list(struct tailnet *t, const struct node *n, struct tailnet_route **out);
/* Did it answer the last probe, if there was one? */
bool tailnet_route_answers(const struct node *n);

/* A client has answered the probe of that number. */
void tailnet_route_pong(struct tailnet *t, const struct machine_key *from, uint64_t id);

/* What else happens, told by tailnet*.c, mutation.c and session_apply.c after it is in memory. */
void tailnet_route_init(struct tailnet *t);
void tailnet_route_fini(struct tailnet *t);		/* while nodes are still there */
void tailnet_route_start(struct tailnet *t);		/* everything is loaded, the policy is in force */
void tailnet_route_load(struct tailnet *t, struct node *n);	/* before the start: n is in the tables */
void tailnet_route_advertised(struct tailnet *t, struct node *n);	/* another Hostinfo */
void tailnet_route_approved(struct tailnet *t, struct node *n);	/* other approved routes */
void tailnet_route_note(struct tailnet *t, struct node *n);	/* joined; owner, tags, addresses, approval */
void tailnet_route_note_all(struct tailnet *t);		/* policy, users */
void tailnet_route_remove(struct tailnet *t, struct node *n);	/* is about to be freed */
/* The transaction of tailnet_node_set_routes ended. */
void tailnet_route_ended(struct tailnet *t, int64_t node_id, enum err rc);
/* What the timer does every ROUTE_POLL_MS. For tests. */
void tailnet_route_run(struct tailnet *t);

#endif
