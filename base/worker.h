/*
 * Workers: N I/O threads, each one libevent loop. A connection is shaken hands with, sniffed,
 * served and freed on one worker; nobody else touches it. Other threads name it by a conn_ref and
 * send messages to its worker's mailbox.
 *
 * One turn of the loop: all ready events run, then what asked for another go (worker_again), then
 * the turn-end hooks (flush what was queued), then limbo (objects freed in this turn, for which an
 * event may still have been queued).
 *
 * To go on in the next turn use worker_again, not event_active: libevent runs what a callback
 * activates before it leaves, so that the turn, and the flush at its end, would wait for it.
 */
#ifndef BASE_WORKER_H
#define BASE_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/mbox.h"

#define WORKER_MAX		64
/* One scratch buffer for all connections of a worker: what is read at once and parsed in place. */
#define WORKER_SCRATCH_BYTES	(128u << 10)

struct event_base;
struct worker;
struct io_stage;

/* A connection, named from another thread: stale ones are misses, never crashes. */
struct conn_ref {
	uint16_t worker;
	uint32_t slot;
	uint32_t generation;	/* 0: names nothing */
};

static inline bool
conn_ref_eq(struct conn_ref a, struct conn_ref b)
{
	return a.worker == b.worker && a.slot == b.slot && a.generation == b.generation;
}

/* Embedded in what is freed at the end of the turn. */
struct worker_limbo {
	TAILQ_ENTRY(worker_limbo) _link;
	void (*free_fn)(struct worker_limbo *l);
};

/* Embedded in what wants a call at the end of this turn, or in the next one (worker_again); it is
 * in one of the two queues at a time. */
struct worker_flush {
	TAILQ_ENTRY(worker_flush) _link;
	bool _is_queued;
	bool _is_again;
	void (*fn)(struct worker_flush *f);
};

struct worker {
	uint32_t magic;
	uint16_t index;			/* 0 .. n-1 */
	struct event_base *base;
	struct mbox *mbox;		/* loop_arg of deliver: this worker */
	uint8_t *scratch;		/* WORKER_SCRATCH_BYTES; valid within one callback */
	struct io_stage *stage;		/* base/io's outgoing staging buffer */
	void *modules[8];		/* per-worker state of a module: see enum worker_module */
	/* Monotonic, read once per turn. Exact where mail is delivered, behind any call of base/io,
	 * and in turn-end hooks; a timer's callback calls worker_now_ms first. */
	int64_t now_ms;
	/* private */
	struct worker_slot *_slots;
	uint32_t _n_slots, _free_slot;
	TAILQ_HEAD(, worker_limbo) _limbo;
	struct worker_hooks { TAILQ_HEAD(, worker_flush) list; size_t n; } _flush, _again;
	struct worker_stop *_stops;
	struct mbox_msg _stop_msg;
	pthread_t _thread;
	uint32_t _turn;			/* number of the turn that runs; 0: none yet */
	bool _is_started;		/* has a thread; changes only while there is none */
	bool _is_now_stale;
	bool _is_stopping;		/* its own thread only */
	_Atomic int32_t _n_conns;
};

enum worker_module { WORKER_DOOR, WORKER_RELAY, WORKER_CONTROL };

#define WORKER_MAGIC 0x3c0a11edu

struct worker_group;

/* Makes n workers (1..WORKER_MAX), not running yet. ERR_IO with *why. Main thread. */
enum err worker_group_new(unsigned n, struct worker_group **out, struct err_text *why) MUST_USE;
/* Starts the threads. Main thread, once. */
enum err worker_group_start(struct worker_group *g, struct err_text *why) MUST_USE;
/* Asks all to stop, runs every module's close hook on its own thread, joins. Workers that never
 * started run the hooks here. Afterwards only worker_group_free; posts are discarded. Main
 * thread. */
void worker_group_stop(struct worker_group *g);
void worker_group_free(struct worker_group *g);	/* stops first if need be; NULL is fine */
unsigned worker_group_count(const struct worker_group *g);
struct worker *worker_group_at(struct worker_group *g, unsigned index);
/* The one with the fewest connections. Any thread. */
struct worker *worker_group_least(struct worker_group *g);

/* All connections that worker_conns_add counted. Any thread. */
unsigned worker_group_conns(const struct worker_group *g);

/* A function that runs on the worker's thread when it stops, before its loop ends: closes all
 * connections of a module. In the order given. Before start. */
void worker_on_stop(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg);

/* Runs fn(w, arg) on the worker's thread; discard(arg), which may be NULL, if it stops before. */
void worker_call(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg,
	void (*discard)(void *arg));

/* Everything below: on the worker's own thread only (any one thread before start). */

/* One turn: waits for events if may_wait and nothing is left to do. The thread's own loop; tests
 * call it on workers that are not started. */
void worker_turn(struct worker *w, bool may_wait);

/* w->now_ms, read anew when this turn has not done so yet. */
int64_t worker_now_ms(struct worker *w);

/* Gives the object a name for other threads. */
struct conn_ref worker_slot_take(struct worker *w, void *object);
/* The name is void from here on. */
void worker_slot_give(struct worker *w, struct conn_ref ref);
/* The object, or NULL when it has gone. */
void *worker_find(struct worker *w, struct conn_ref ref);

/* l->free_fn(l) runs at the end of this turn. */
void worker_limbo_put(struct worker *w, struct worker_limbo *l);
/* f->fn runs once at the end of this turn, however often it is asked; if a hook asks, still in this
 * turn within bounds. */
void worker_flush_ask(struct worker *w, struct worker_flush *f);
/* f->fn runs once in the next turn, which does not wait for events. f is not asked for a flush. */
void worker_again(struct worker *w, struct worker_flush *f);
/* Must be called before the object holding f is put in limbo. */
void worker_flush_cancel(struct worker *w, struct worker_flush *f);
bool worker_flush_is_asked(const struct worker_flush *f);

/* A connection came or went: for worker_group_least. Any thread. */
void worker_conns_add(struct worker *w, int n);

#endif
