/*
 * A mesh peer that watches who is connected here (WatchConns). It is told of every key that has a
 * connection, then of every change (Tailscale derp/derpserver: addWatcher).
 *
 * A change marks its key; the watcher's frames are made from the table when there is room for them,
 * so that what waits is bounded by the number of keys, and the last that a watcher hears of a key is
 * true. A new connection of a known key is told again; its end only if it was the last.
 */
#ifndef RELAY_DERP_WATCH_H
#define RELAY_DERP_WATCH_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/key.h"
#include "base/worker.h"

struct derp_conn;
struct derp_shared;
struct derp_watch;

/* Who watches; shared by all workers. */
struct derp_watch_list {
	pthread_mutex_t lock;
	struct conn_ref *refs;		/* owned; n of them */
	unsigned n;
	atomic_uint n_seen;		/* n, read without the lock */
};

/* Main thread, before the workers start. */
void derp_watch_list_init(struct derp_watch_list *l);
/* After they stopped: nobody watches any more. */
void derp_watch_list_fini(struct derp_watch_list *l);

/* On c's worker. Watches from now on; again is nothing. */
void derp_watch_start(struct derp_conn *c);
/* c ends; c->watch is NULL afterwards. Not watching is fine. */
void derp_watch_stop(struct derp_conn *c);
/* Puts frames for c into its queue as far as there is room. */
void derp_watch_fill(struct derp_conn *c);
/* More is to be told to c. */
bool derp_watch_has_more(const struct derp_conn *c);

/* A connection of this key came, or the last one went: after the table was changed. Any thread. */
void derp_watch_changed(struct derp_shared *shared, const struct node_key *key);

#endif
