/*
 * What session*.c and change.c share; nobody else includes this. Coordinator thread.
 *
 * A stream is in one of these states:
 *
 *   FRESH    writable, needs a full map                        queue m->fresh
 *   BEHIND   writable, at a sequence before the published one  queue m->behind
 *   CURRENT  writable, has everything that is published        queue m->current
 *   BUSY     an answer is under way                            in no queue
 *   ENDING   busy, and `last` follows as the end               in no queue
 *
 * A round publishes the newest sequence and makes every CURRENT stream BEHIND. Streams are served
 * in slices of SESSION_SLICE_US, between which the loop does other things.
 */
#ifndef COORD_SESSION_STATE_H
#define COORD_SESSION_STATE_H

#include <assert.h>

#include "base/list.h"
#include "coord/map_delta.h"
#include "coord/map_full.h"
#include "coord/map_policy.h"
#include "coord/map_spread.h"
#include "coord/map_world.h"
#include "coord/session.h"
#include "coord/tailnet.h"

#define SESSION_MAGIC		0x5e551001u
#define MAP_STATE_MAGIC		0x3a957a7eu
#define SESSION_SLICE_US	1000	/* the coordinator's turn is short */
#define SESSION_UNSEEN_MS	2000	/* a node that joined is announced with its first stream, or so late */

struct event;

enum session_state { SESSION_FRESH, SESSION_BEHIND, SESSION_CURRENT, SESSION_BUSY, SESSION_ENDING };

struct session {
	uint32_t magic;
	enum session_state state;
	struct { uint32_t worker, slot, generation, stream; } key;
	bool had_full;			/* its client has peers from us */
	bool needs_full;
	uint8_t ping_state;		/* enum session_ping_state */
	uint8_t n_steps;		/* taken to make chunks for its full map: bounded, so that it ends */
	struct node *node;		/* borrowed; NULL while ENDING */
	uint64_t seq;			/* that its client has */
	struct map_sent sent;		/* likewise, of what concerns it alone */
	struct shbuf *last;		/* owned reference: ENDING, to be sent */
	struct shbuf *ping;		/* owned reference: to be sent when it is writable; NULL: none */
	TAILQ_ENTRY(session) link;	/* in the queue of its state */
};
static_assert(sizeof(struct session) <= 128, "of the budget of a stream, docs/scaling.md");
static_assert(sizeof(struct node) + sizeof(struct hostinfo) + sizeof(struct map_node) <= 1280,
    "of the budget of a node, docs/scaling.md");

TAILQ_HEAD(session_queue, session);

struct map_state {
	uint32_t magic;
	bool is_loaded;
	struct tailnet *t;		/* borrowed */
	struct map_world w;
	struct map_spread spread;
	struct map sessions;		/* struct session by key, owned */
	struct session_queue fresh, behind, current;
	TAILQ_HEAD(map_wait, map_node) grace, unseen;	/* stream ended; joined, none yet: by wait_due_ms */
	struct event *run_timer, *grace_timer, *unseen_timer;
	int64_t armed_us;		/* when run_timer fires; INT64_MAX: not armed */
	bool is_round;			/* streams of the last round are still being served */
	int64_t round_spent_us;
	unsigned round_messages;
	struct dns_params dns;		/* owned: as configured, while the tailnet has no other */
	struct map_segs segs;		/* scratch */
	struct ratelimit *thefts;	/* to the log: requests with the node key of another machine */
};

/* session.c. What holds without a policy: everybody may reach everybody. One reference, the caller's. */
struct policy *session_state_policy(void) MUST_USE;

/* session_send.c: serving streams. */
/* Something may be to be done: arms the timer. */
void session_send_arm(struct map_state *m);
/* Begins a round if one is due, serves streams for a slice. The timer calls it. */
void session_send_run(struct map_state *m);
/* Puts the stream in the queue of that state, out of that of its old one. */
void session_send_queue(struct map_state *m, struct session *s, enum session_state state);
/* Sends the last message, or notes it for when the stream can be written to. Detaches it from
 * its node. */
void session_send_end_take(struct map_state *m, struct session *s, struct shbuf *last);
/* An ENDING stream can be written to: sends its last message and forgets it. */
void session_send_last(struct map_state *m, struct session *s);
/* A stream that can be written to, and has a ping to be sent: sends it. */
void session_send_ping(struct map_state *m, struct session *s);
/* Ends a stream at once, and forgets it. */
void session_send_close(struct map_state *m, struct session *s);
/* Forgets a stream; nothing is said to its client. Its node, if any, has none afterwards. */
void session_send_forget(struct map_state *m, struct session *s);

/* session_apply.c: takes over what the request says of the node (members are moved out of req).
 * Returns bits of enum change_what, which the caller notes. */
uint32_t session_apply(struct tailnet *t, struct node *n, struct map_req *req);

/* session_presence.c: online and offline. */
/* A stream is there. */
void session_presence_up(struct map_state *m, struct node *n);
/* The stream ended, its client was last heard of silent_ms ago: offline after the grace. */
void session_presence_gone(struct map_state *m, struct node *n, unsigned silent_ms);
/* Offline now, if it was online. */
void session_presence_down(struct map_state *m, struct node *n);
/* Stored as online at start: gets the grace. */
void session_presence_load(struct map_state *m, struct node *n);
/* The node goes: nothing is pending for it. */
void session_presence_forget(struct map_state *m, struct node *n);
/* It joined and has no stream yet: its peers are told when it has one, or after SESSION_UNSEEN_MS. So they
 * hear of it once, online and with what it said until then. */
void session_presence_expect(struct map_state *m, struct node *n);
/* Takes those offline whose grace is over. The timer calls it. */
void session_presence_run(struct map_state *m);
/* Announces those that were expected long enough. The timer calls it. */
void session_presence_run_unseen(struct map_state *m);

#endif
