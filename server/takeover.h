/*
 * The new server's part of a graceful restart (handover_wire.h has the conversation, handover.h the other
 * part). Waits, with bounds; main thread, before the loop runs.
 *
 *   takeover_begin	the old one's listening sockets are in base/inherit
 *   …			everything that may fail without the database
 *   takeover_database	the old one has closed it; its lock is ours
 *   …			load, write nothing
 *   takeover_serve	the old one leaves, whatever happens
 *   takeover_free	done, or we fail: lock and database have been given up before
 */
#ifndef SERVER_TAKEOVER_H
#define SERVER_TAKEOVER_H

#include "base/err.h"

struct takeover;

/* Tells the server that started this process to take its place why it fails. Nothing to do otherwise. */
void takeover_say_failed(const struct err_text *why);

/* Asks the server of that data directory. When none runs there, *out is NULL and *lock_fd as datadir_open has
 * it: start as usual. ERR_DENIED, ERR_UNSUPPORTED, ERR_BUSY (it does not answer), those of datadir_open (it
 * cannot be asked) with *why. */
enum err takeover_begin(const char *data_dir, struct takeover **out, int *lock_fd, struct err_text *why)
	MUST_USE;
/* *lock_fd as datadir_open. The old one dying meanwhile is as good as its consent. */
enum err takeover_database(struct takeover *t, int *lock_fd, struct err_text *why) MUST_USE;
/* ERR_* with *why: it goes on, so we must not. Afterwards only takeover_free. */
enum err takeover_serve(struct takeover *t, struct err_text *why) MUST_USE;
/* why: of the failure, told to the old one unless takeover_serve was reached; may be NULL. t: NULL is fine. */
void takeover_free(struct takeover *t, const struct err_text *why);

#endif
