/*
 * The store: one thread, the only writer of the database. Transactions come in through a bounded
 * queue; whatever queued while the last commit ran is one commit (group commit), each
 * transaction in a savepoint of its own, so that a refused one fails alone. Results go back in
 * order to the coordinator's mailbox, where txn_finish applies them to memory.
 *
 * What fails: constraint or vanished row: that transaction. Disk full, I/O error, lock: every
 * transaction of that commit, with a text; the server goes on and later ones are tried again.
 * Corruption: log_fatal.
 *
 * Order of calls of the one who wires it: coord/store_load.h.
 */
#ifndef COORD_STORE_H
#define COORD_STORE_H

#include "base/err.h"
#include "base/mbox.h"
#include "coord/mutation.h"

#define STORE_QUEUE_MAX 4096	/* transactions waiting; beyond: ERR_BUSY */

struct store;
struct sqlite3;

/* Opens (makes, mode 0600) and migrates the database at path. Results will be posted to mbox
 * (borrowed; until store_stop returned). ERR_IO, ERR_INVAL (not ours), ERR_UNSUPPORTED (a newer
 * fairlead's) with *why. Main thread. */
enum err store_open(const char *path, struct mbox *mbox, struct store **out, struct err_text *why)
	MUST_USE;
/* Starts the thread; before it only store_load_* may be used. ERR_IO with *why. Main thread. */
enum err store_start(struct store *s, struct err_text *why) MUST_USE;

/* Before store_start: nothing is written until store_resume; what is submitted waits. */
void store_hold(struct store *s);
/* Commits what is queued now, closes the database, then posts *m to the mailbox (taken): from then on
 * another process may have the database. What is submitted meanwhile waits. Started, not paused.
 * Coordinator thread, as are the next two. */
void store_pause(struct store *s, struct mbox_msg *m);
/* Opens the database again if it was closed, and goes on. ERR_IO, ERR_UNSUPPORTED (a newer fairlead has
 * migrated it) with *why: still paused. */
enum err store_resume(struct store *s, struct err_text *why) MUST_USE;

/* Commits what is queued, unless it is paused, then ends the thread (if started). The results are in
 * the mailbox afterwards: run the loop once to have them delivered, or close the mailbox to have them
 * discarded. Main thread. */
void store_stop(struct store *s);
/* After store_stop; NULL is fine. Closes the database. */
void store_free(struct store *s);

/* Queues *x and sets it to NULL. ERR_BUSY: the queue is full or the store is stopping; *x is
 * still the caller's. Never waits for the disk. Coordinator thread. */
enum err store_submit_take(struct store *s, struct txn **x) MUST_USE;

/* A new id, never given out before, not even to something that is gone by now. Coordinator
 * thread. */
int64_t store_next_user_id(struct store *s);
int64_t store_next_node_id(struct store *s);

/* For store_load, before store_start. */
struct sqlite3 *store_db(struct store *s);

/* Tests only: the n-th SQL step from now on fails with this SQLite result code (and, when
 * is_lasting, all after it). n = 0: none does. Any thread. */
void store_test_fail_step(struct store *s, int n, int sqlite_rc, int is_lasting);
/* Tests only: steps made so far. */
int store_test_steps(struct store *s);

#endif
