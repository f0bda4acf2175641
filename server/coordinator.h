/*
 * The coordinator thread (the main thread): its loop, its mailbox, signals. Owner of nothing
 * else: coord and http are driven from this loop.
 */
#ifndef SERVER_COORDINATOR_H
#define SERVER_COORDINATOR_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mbox.h"

struct coordinator;
struct event_base;

/* Main thread. Blocks SIGINT, SIGTERM, SIGHUP and SIGPIPE for threads made later; SIGINT and
 * SIGTERM end coordinator_run. ERR_IO with *why. */
enum err coordinator_new(struct coordinator **out, struct err_text *why) MUST_USE;
void coordinator_free(struct coordinator *c);		/* NULL is fine */
struct event_base *coordinator_base(struct coordinator *c);
struct mbox *coordinator_mbox(struct coordinator *c);
/* Runs fn(arg) on each SIGHUP. */
void coordinator_on_hup(struct coordinator *c, void (*fn)(void *arg), void *arg);
/* Ends coordinator_run after so long, as a signal would; what is under way goes on until then. */
void coordinator_end(struct coordinator *c, unsigned ms);
/* Runs the loop until a signal. */
void coordinator_run(struct coordinator *c);
/* Runs the loop until *is_done (set by an event) or a signal. For changes made during start. */
void coordinator_run_until(struct coordinator *c, const bool *is_done);

#endif
