/*
 * One client of the relay: its life, its output and its fate. Its reading is in derp_read. A link
 * to another relay, dialled by derp_mesh, is one too, only that we are the client there.
 *
 * HELLO -> STEADY -> CLOSED, or HELLO -> CLOSED. Closing is done at once, whoever asks; the
 * memory stays until the turn ends, so callers look at the state after anything that may have
 * closed it. Everything on the worker's thread.
 */
#ifndef RELAY_DERP_CONN_H
#define RELAY_DERP_CONN_H

#include <assert.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/key.h"
#include "base/list.h"
#include "base/worker.h"
#include "relay/derp_peers.h"
#include "relay/derp_queue.h"
#include "relay/derp_worker.h"

#define DERP_CONN_MAGIC		0xde49c033u
#define DERP_CONN_HELLO_MS	10000		/* a stranger may hold a place this long */
/* Clients hang up after 120 s of silence. Fixed per connection: 60 s and up to 5 s, so that they do
 * not fall together. */
#define DERP_CONN_KEEPALIVE_MS	60000
#define DERP_CONN_KEEPALIVE_SPREAD_MS 5000

enum derp_conn_state { DERP_CONN_HELLO, DERP_CONN_STEADY, DERP_CONN_CLOSED };

struct derp_conn {
	uint32_t magic;
	uint8_t state;			/* enum derp_conn_state */
	bool is_blocked : 1;		/* the socket takes nothing: EV_WRITE is waited for */
	bool is_home : 1;
	bool is_pong_waiting : 1;	/* in the control lane */
	bool is_in_wheel : 1;
	bool is_mesh : 1;		/* proved the mesh key */
	bool is_not_ideal : 1;		/* its first choice is another relay of the region */
	bool is_paused : 1;		/* ahead of its quota: not read from until paused_until_us */
	uint32_t skip_bytes;		/* of a frame nobody wants, still to come */
	struct conn_ref ref;		/* our name for other workers */
	struct derp_peers peers;	/* who got packets from us */
	struct relay_tally *tally;	/* owned; NULL: nothing was counted yet */
	struct derp_worker *dw;		/* borrowed */
	struct io *io;			/* owned; NULL once closed */
	struct derp_route_entry *entry;	/* our key's place in the table; NULL before STEADY */
	struct derp_watch *watch;	/* owned; NULL: does not watch */
	struct derp_link *link;		/* borrowed; we are the client here; NULL: it is */
	struct node_key key;		/* authenticated; zero before STEADY */
	struct buf carry;		/* start of an incomplete frame; owns memory only then */
	uint32_t held_bytes;		/* counted as memory: carry, what the socket did not take */
	struct derp_queue queue;
	struct quota_set *quotas;	/* held; NULL: none */
	int64_t paused_until_us;
	int64_t due_ms;			/* HELLO: deadline; STEADY: next keep-alive */
	int64_t keepalive_ms;		/* our interval */
	int64_t begun_ms;		/* STEADY since */
	int64_t stalled_ms;		/* is_blocked: when the socket last took something */
	uint64_t stalled_bytes;		/* io_bytes_out at that time */
	int64_t gone_ms;		/* "not here" limiter: when its bucket is full again */
	LIST_ENTRY(derp_conn) wheel;
	struct worker_flush flush;	/* end of this turn: send */
	struct worker_flush again;	/* next turn: read on */
	struct worker_limbo limbo;
	struct event ev;
};

static_assert(sizeof(struct derp_conn) <= 512, "an idle client must stay small");

/* Takes io, whose upgrade request was read, and greets. See relay_attach_take. */
void derp_conn_attach_take(struct derp_worker *dw, struct io *io, unsigned how);
/* Takes io, on which another relay has answered our upgrade request. */
struct derp_conn *derp_conn_link_take(struct derp_worker *dw, struct io *io, struct derp_link *link);
/* Ends it; why is for the log. Not twice. */
void derp_conn_close(struct derp_conn *c, const char *why);

/* Closes n connections, each on its worker; why is static. Any thread. */
void derp_conn_close_all(struct derp_shared *shared, const struct conn_ref *refs, size_t n,
	const char *why);

/* The payload of its ClientInfo came. ERR_AGAIN: too many in this turn, come again with it in
 * the next; any other error: close. */
enum err derp_conn_hello(struct derp_conn *c, const uint8_t *payload, size_t n) MUST_USE;
/* It says whether this relay is its home. */
void derp_conn_note_preferred(struct derp_conn *c, bool is_home);
/* Sends the run to this client: at once if it is long and nothing is before it, else at the end
 * of the turn. May close c. */
void derp_conn_put(struct derp_conn *c, const struct derp_worker_run *run);
/* A frame of our own, ahead of data. */
void derp_conn_put_control(struct derp_conn *c, const uint8_t *frame, size_t n);
/* Its carry has changed: counts it as memory. false: that is full, and it holds too much of it. */
bool derp_conn_account(struct derp_conn *c) MUST_USE;
/* c has bytes pending that io_read put there (TLS): watch the socket for room. */
void derp_conn_check_pending(struct derp_conn *c);
/* n bytes were read from it: if it is ahead of its quota now, it is not read from for a while. */
void derp_conn_charge(struct derp_conn *c, size_t n);
/* Each of them asks for its quota again, on its worker. Any thread. */
void derp_conn_quota_all(struct derp_shared *shared, const struct conn_ref *refs, size_t n);
/* Its deadlines have changed. */
void derp_conn_arm(struct derp_conn *c);
/* Deadlines, keep-alive, stall. Puts c into the wheel again, or closes it. */
void derp_conn_tick(struct derp_conn *c, int64_t now_ms);

#endif
