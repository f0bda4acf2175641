/* What tailnet_route*.c share; nobody else includes this. Coordinator thread. */
#ifndef COORD_TAILNET_ROUTE_PRIVATE_H
#define COORD_TAILNET_ROUTE_PRIVATE_H

#include "base/list.h"
#include "coord/tailnet_route.h"

#define ROUTE_WISHES_MAX	64	/* changes that wait for one node's earlier ones */
#define ROUTE_POLICY_EVERY_MS	2000	/* the policy approves routes of a node so often, */
#define ROUTE_POLICY_BURST	16	/* after so many at once: each is a commit and an audit record */

struct event;
struct route_wish;

/* Who routes a prefix, exit nodes apart. */
struct route_prefix {
	struct net_prefix prefix;
	struct node *primary;		/* one of routers; NULL: before the start, or being looked for */
	struct node **routers;		/* owned; by id */
	unsigned n, _cap;
};

/* A node that advertises routes, or is approved for some. */
struct node_router {
	struct node *node;
	struct route_list advertised;	/* sorted */
	unsigned n_counted;		/* of its routes, in the metrics */
	unsigned n_shared;		/* prefixes that it shares with others; > 0: in tailnet_routes.shared */
	TAILQ_ENTRY(node_router) link;
	/* changes of what is approved */
	TAILQ_HEAD(, route_wish) wishes;	/* that wait for the one under way */
	unsigned n_wishes;
	bool is_due;			/* the policy is to be asked when there is none under way */
	bool is_retry;			/* or then: that one failed, or there were too many */
	int64_t retry_ms;
	int64_t policy_ms;		/* what the policy approved so far is paid for by then */
	/* is it there? */
	bool was_up;			/* at the last look */
	bool had_stream;		/* since the start */
	int64_t gone_ms;		/* its stream had ended by then; 0: it has one */
	bool is_silent;			/* did not answer */
	bool is_asked;			/* a probe is under way */
	uint64_t ping_id;		/* of the last probe; 0: none yet */
	int64_t asked_ms, left_ms;	/* probe made; written (0: not yet) */
};

struct tailnet_routes {
	struct map prefixes;		/* struct route_prefix by prefix, owned */
	TAILQ_HEAD(, node_router) shared;
	struct event *timer;		/* NULL before the start */
	bool has_retries;
	int64_t run_ms;			/* of the last turn; 0: the timer was idle */
};

/* tailnet_route.c */
/* n's, made if it has none. */
struct node_router *tailnet_route_router(struct node *n) MUST_USE;
/* Elects anew for all that n routes. */
void tailnet_route_elect(struct tailnet *t, const struct node *n);
struct route_prefix *tailnet_route_find(const struct tailnet *t, const struct net_prefix *p);

/* tailnet_route_approve.c */
/* Asks the policy about what n advertises and is not approved for. */
void tailnet_route_ask(struct tailnet *t, struct node *n);
/* Answers what waits with ERR_CLOSED. */
void tailnet_route_wishes_drop(struct node_router *r);

/* tailnet_route_probe.c */
/* Is it there, as far as is known, and its key good? */
bool tailnet_route_is_up(const struct node *n, int64_t now_ms);
/* A turn is due within ROUTE_POLL_MS. */
void tailnet_route_wake(struct tailnet *t);

#endif
