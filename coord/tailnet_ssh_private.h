/* What tailnet_ssh.c and tailnet_ssh_decide.c share; nobody else includes this. Coordinator thread. */
#ifndef COORD_TAILNET_SSH_PRIVATE_H
#define COORD_TAILNET_SSH_PRIVATE_H

#include "coord/tailnet_private.h"
#include "coord/tailnet_ssh.h"

/* A request of a client: where its answer goes. */
struct ssh_stream {
	struct conn_ref conn;
	int32_t stream;
	struct net_addr addr;		/* of the client */
};

/* One that waits. */
struct ssh_waiter {
	struct wait_key wait;		/* key in _waiters */
	struct ssh_stream from;
	struct ssh_check *check;
	TAILQ_ENTRY(ssh_waiter) link;
};

/* Somebody approved it. */
struct ssh_proof {
	struct ssh_who who;		/* key in _proofs */
	int64_t mono_ms, unix_s;	/* then */
	char by[USER_NAME_MAX];		/* who did */
	TAILQ_ENTRY(ssh_proof) link;
};

/* Answers. anew: the destination is to ask as for the first time. retry: the same again a little later. */
void tailnet_ssh_reply(struct tailnet *t, const struct ssh_stream *to, const struct ssh_action *a);
void tailnet_ssh_reply_anew(struct tailnet *t, const struct ssh_stream *to);
void tailnet_ssh_reply_retry(struct tailnet *t, const struct ssh_stream *to);
void tailnet_ssh_reply_rejected(struct tailnet *t, const struct ssh_stream *to, const struct ssh_check *c);

/* In any state, or NULL. */
struct ssh_check *tailnet_ssh_find_any(const struct tailnet *t, const char *id);
/* Who watches is told when it stops to be open. */
void tailnet_ssh_state_set(struct tailnet *t, struct ssh_check *c, enum ssh_check_state state);
/* The first request that waits for it, taken out; false: none. */
bool tailnet_ssh_waiter_take(struct tailnet *t, struct ssh_check *c, struct ssh_stream *out);
/* It has none any more. */
void tailnet_ssh_check_free(struct tailnet *t, struct ssh_check *c);

/* In place of an older one. */
void tailnet_ssh_proof_put(struct tailnet *t, const struct ssh_who *who, const char *by);
/* One that is younger than that, or NULL. */
const struct ssh_proof *tailnet_ssh_proof_find(const struct tailnet *t, const struct ssh_who *who,
	int64_t period_s);
/* Lets a connection through: accepted when its audit record is durable, if the proof is still good then (of
 * period 0: it was good for this one). proof is copied. */
void tailnet_ssh_use(struct tailnet *t, const struct ssh_stream *to, const struct ssh_proof *proof,
	int64_t period_s);

#endif
