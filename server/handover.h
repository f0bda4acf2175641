/*
 * The old server's part of a graceful restart: gives listening sockets, lock and database to a new server
 * process, and takes them back if that fails (handover_wire.h has the conversation). Asked for by
 * `fairlead restart` (POST /api/fairlead/v1/restart on the Unix socket: starts this program again, as it lies
 * on disk now), or by a server that somebody starts with --takeover on the same data directory, as
 * the same user or root. Coordinator thread.
 */
#ifndef SERVER_HANDOVER_H
#define SERVER_HANDOVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct handover;
struct event_base;
struct http;

struct handover_hooks {
	void *arg;
	/* The listening sockets, at most max; borrowed. */
	unsigned (*sockets)(void *arg, int *out, unsigned max);
	/* false: what connects waits in the kernel's queue until true. */
	void (*accept)(void *arg, bool does);
	/* Write everything, close the database, then call handover_paused. */
	void (*pause)(void *arg);
	/* Open the database again and go on. ERR_* with *why. */
	enum err (*resume)(void *arg, struct err_text *why);
	/* The new one serves (is_ok), or there is no way back (*why says it): end. */
	void (*leave)(void *arg, bool is_ok);
};

/* How long the other side is waited for. */
struct handover_times {
	int64_t hello_ms;	/* a process starts, and reads its configuration */
	int64_t begin_ms;	/* it tries a migration on a copy */
	int64_t pause_ms;	/* our own last commit */
	int64_t load_ms;	/* it migrates and loads; longer, and it is killed */
	int64_t reclaim_ms;	/* the kernel frees the lock of a process that ends */
};

struct handover_params {
	struct event_base *base;	/* borrowed, as all of these */
	struct http *http;		/* gets the route; NULL: none */
	const char *data_dir;
	int *lock_fd;			/* of datadir_open; -1 while the other one has it */
	const struct handover_hooks *hooks;
	const struct handover_times *times;	/* NULL: those of real life */
	bool has_manager;		/* only what this process started may take over */
};

/* Listens in the data directory, which is locked. ERR_IO with *why. */
enum err handover_new(const struct handover_params *p, struct handover **out, struct err_text *why) MUST_USE;
/* Everything of pause is done. */
void handover_paused(struct handover *h);
/* Ends what is under way: the new one is told that it failed. NULL is fine. Before http_free. */
void handover_free(struct handover *h);

#endif
