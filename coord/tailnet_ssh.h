/*
 * SSH checks: people who log in at a node by a policy's check rule wait until somebody approves it. A
 * check is of one source node, destination node and local user there; it lives in memory only, for
 * SSH_CHECK_LIFE_S.
 *
 *   ssh -> the destination asks (coord/msg_ssh) -> a check is made; the person is shown its address
 *   approved: the connection goes on, and so do later ones, without asking, for the rule's period
 *   rejected, or over: it ends, and says so
 *   the policy, or one of the nodes, is another meanwhile: the destination asks anew
 *
 * What lets later ones in is a *proof*: forgotten when the policy changes, a node goes, expires, loses its
 * approval or gets another owner, or the server restarts. With a period of 0 there is none: each connection
 * has a check of its own.
 *
 * Only the policy in force says who may ask to get where, and for how long a proof is good: the destination
 * is known by its machine key, and what it says of source and user is held against the policy. It is the
 * one that lets people in, so it is believed in which of them it has before it. The rule is the first check
 * rule for this source, destination and local user, the same that its client took.
 *
 * What a node can make the server keep is bounded: checks by their number (SSH_CHECKS_*: one makes room, an own
 * one first), requests that wait likewise, requests at all by SSH_ASKS_*; beyond that clients come again
 * later. Coordinator thread.
 */
#ifndef COORD_TAILNET_SSH_H
#define COORD_TAILNET_SSH_H

#include "base/list.h"
#include "base/map.h"
#include "coord/msg_ssh.h"
#include "coord/tailnet.h"

#define TAILNET_SSH_PAGE	"/ssh/check"	/* and the id: the page that the person is shown */
#define SSH_CHECK_MAGIC		0x55c4ec01u
#define SSH_CHECK_LIFE_S	900
#define SSH_CHECKS_MAX		1000
#define SSH_CHECKS_PER_SOURCE_MAX 8
#define SSH_CHECKS_PER_NODE_MAX	32	/* of one destination; as many of its requests may wait, of the 100
					 * streams that its connection has */
#define SSH_PROOFS_MAX		10000	/* then the oldest is forgotten */
#define SSH_PROOF_LIFE_S	(168 * 3600)	/* the longest checkPeriod */
#define SSH_ASKS_PER_S		2.0	/* of one destination for one source */
#define SSH_ASKS_BURST		60.0

struct policy_ssh;
struct ratelimit;
struct ssh_waiter;

enum ssh_check_state {
	SSH_CHECK_PENDING,
	SSH_CHECK_DECIDING,	/* its record is on the way to the disk */
	SSH_CHECK_APPROVED,	/* period 0: for one connection, whose request was not there just then */
	SSH_CHECK_REJECTED
};

struct ssh_check {
	uint32_t magic;
	enum ssh_check_state state;
	char id[SSH_CHECK_ID_CHARS + 8];	/* zero-padded */
	struct ssh_who who;
	int64_t period_s;		/* as the policy has it; 0: each time */
	int64_t created_unix_s, expires_unix_s;
	unsigned n_waiters;		/* requests of the destination that wait now */
	TAILQ_ENTRY(ssh_check) link;	/* in oldest_first */
	/* private */
	char _by[USER_NAME_MAX];	/* who decided, and when */
	int64_t _decided_unix_s;
	TAILQ_HEAD(, ssh_waiter) _waiters;
};

/* What struct tailnet has as ssh. */
struct tailnet_ssh {
	struct map checks;		/* struct ssh_check by id, owned; in any state */
	TAILQ_HEAD(, ssh_check) oldest_first;	/* the same */
	struct map _waiters;		/* struct ssh_waiter by its stream */
	struct map _proofs;		/* struct ssh_proof by who, owned */
	TAILQ_HEAD(, ssh_proof) _proofs_oldest_first;
	struct ratelimit *_asks;
};

/* Makes and frees it; requests that wait are not answered. */
void tailnet_ssh_init(struct tailnet *t);
void tailnet_ssh_fini(struct tailnet *t);

/* A request of a client; answered with ts2021_reply, at once or when it is decided. gone: its stream ended
 * before that. */
void tailnet_ssh_ask(struct tailnet *t, const struct ctl_peer *from, const struct ssh_req *req);
void tailnet_ssh_gone(struct tailnet *t, struct conn_ref conn, int32_t stream);

/* Forgets proofs, and ends checks, of one node or (policy) of all; who waits asks anew. */
void tailnet_ssh_forget_node(struct tailnet *t, int64_t node_id);
void tailnet_ssh_forget_all(struct tailnet *t);
/* Ends those whose time is over; returns when the next one's is (unix s), 0: none. */
int64_t tailnet_ssh_due(struct tailnet *t, int64_t now_unix_s);

/* The check of that id that waits for a decision, or NULL: unknown, over, or decided. Borrowed. */
struct ssh_check *tailnet_ssh_find(const struct tailnet *t, const char *id);
/* done gets the destination's id. ERR_NOTFOUND: no such check waits; ERR_BUSY: somebody is just deciding it;
 * ERR_DENIED: the policy does not allow it any more; errors of the store. */
void tailnet_ssh_approve(struct tailnet *t, const struct actor *by, const char *id, tailnet_done_fn *done,
	void *arg);
void tailnet_ssh_reject(struct tailnet *t, const struct actor *by, const char *id, tailnet_done_fn *done,
	void *arg);

/* The policy's check rule for that, by the world in force (tailnet_ssh_rule.c). ERR_AGAIN: the world does
 * not know one of the nodes yet; ERR_DENIED: there is no such rule. */
enum err tailnet_ssh_rule(struct tailnet *t, const struct ssh_who *who, const struct policy_ssh **out)
	MUST_USE;

#endif
