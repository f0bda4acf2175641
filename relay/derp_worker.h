/*
 * The relay on one worker: what its connections share. All of it belongs to the worker's thread
 * but for struct derp_shared, which is written before the workers start and only read afterwards
 * (its tables have their own locks), and hop_bytes.
 */
#ifndef RELAY_DERP_WORKER_H
#define RELAY_DERP_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/config.h"
#include "base/key.h"
#include "base/list.h"
#include "base/map.h"
#include "base/worker.h"
#include "relay/derp_queue.h"
#include "relay/derp_route.h"
#include "relay/derp_watch.h"

#define DERP_WORKER_MAGIC	0xde49037eu
/* Seconds in the wheel of deadlines; a later deadline is looked at in between, and put off. */
#define DERP_WORKER_WHEEL	128u
/* Boxes opened in one turn, some 0.1 ms each: a reconnect storm must not hold up packets. */
#define DERP_WORKER_HELLOS_MAX	8u

struct derp_conn;
struct derp_hop;
struct derp_link;
struct event;
struct ratelimit;
struct ssl_ctx_st;

struct derp_shared {
	const struct config *cfg;	/* borrowed */
	struct worker_group *group;	/* borrowed */
	struct derp_route *routes;	/* owned by struct relay */
	struct private_key key;
	uint8_t public_key[KEY_BYTES];
	struct derp_worker *workers[WORKER_MAX];
	struct derp_watch_list watchers;	/* has its own lock */
	pthread_mutex_t mesh_lock;		/* of the two below, which relay_mesh_set changes */
	bool has_mesh_key;
	uint8_t mesh_key[KEY_BYTES];
	struct ssl_ctx_st *mesh_tls;		/* of links; NULL: none */
	atomic_bool admits_all;			/* whatever routes say */
	struct derp_memory memory;		/* of all workers */
	atomic_uint n_remote;			/* senders in the remote maps of all workers */
};

/* What happened since the counters were last added to the metrics. */
struct derp_worker_counts {
	int64_t packets_in, disco_in, bytes_in;
	int64_t forwarded_in, forwarded_out;
	struct derp_drops dropped_unknown, dropped_forward, dropped_gone, dropped_hop;
	int64_t pings, pongs, gone_disconnected, gone_not_here, unknown_frames;
};

LIST_HEAD(derp_worker_list, derp_conn);

struct derp_worker {
	uint32_t magic;
	bool is_stopping;
	struct worker *w;			/* borrowed */
	struct derp_shared *shared;		/* borrowed */
	struct derp_queue_pool pool;
	struct derp_worker_counts counts;
	unsigned n_hellos;			/* in this turn */
	struct worker_flush flush;		/* end of the turn: counts, hops */
	struct event *tick;			/* each second */
	int64_t tick_s;				/* the last second that was looked at */
	struct derp_worker_list wheel[DERP_WORKER_WHEEL];	/* every connection is in one */
	struct derp_hop *hops[WORKER_MAX];	/* being filled in this turn; owned */
	struct ratelimit *refusals;		/* logged, per source */
	struct map remote;			/* by key, who got packets of senders that are elsewhere */
	LIST_HEAD(, derp_link) links;		/* owned */
	uint8_t *forward;			/* owned; a frame being made; NULL until there is one */
	atomic_size_t hop_bytes;		/* on their way to this worker; any thread */
};

/* Makes the relay's state of worker w and puts it in w->modules. Main thread, before start. Never
 * NULL. */
struct derp_worker *derp_worker_new(struct derp_shared *shared, struct worker *w) MUST_USE;
/* After the worker stopped; NULL is fine. */
void derp_worker_free(struct derp_worker *dw);

/* Something was counted, or put into a hop: both are dealt with at the end of this turn. */
void derp_worker_touch(struct derp_worker *dw);
/* The connection is looked at (derp_conn_tick) at this time, or up to a second later, instead of
 * when it was to be. It is in the wheel, or new and in no list. */
void derp_worker_arm(struct derp_worker *dw, struct derp_conn *c, int64_t at_ms);
/* Looks at every connection whose time has come. Called each second. */
void derp_worker_tick(struct derp_worker *dw, int64_t now_ms);

/* Frames of one receiver, which may be on another worker. n_packets of them are packets, for the
 * metrics. frames are copied or sent before this returns. */
struct derp_worker_run {
	struct conn_ref to;
	enum derp_lane lane;
	unsigned n_packets;
	const uint8_t *frames;		/* whole frames, n bytes */
	size_t n;
};
/* Counts all of its packets as dropped. */
void derp_worker_run_drop(const struct derp_worker_run *run, struct derp_drops *why);
void derp_worker_send(struct derp_worker *dw, const struct derp_worker_run *run);
/* The same for a receiver on this worker only. */
void derp_worker_deliver(struct derp_worker *dw, const struct derp_worker_run *run);

#endif
