/*
 * A mailbox: many senders, one loop, one eventfd. The receiver detaches the whole list under the
 * lock and runs it outside; a burst costs one wake-up.
 */
#ifndef BASE_MBOX_H
#define BASE_MBOX_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct event_base;
struct mbox;

/*
 * First member of every message. Exactly one of the two functions is called, once, and owns the
 * message from then on: deliver on the receiver's thread (loop_arg is what mbox_new got), or
 * discard (receiver's or poster's thread) when the mailbox is closed.
 */
struct mbox_msg {
	struct mbox_msg *_next;
	void (*deliver)(struct mbox_msg *m, void *loop_arg);
	void (*discard)(struct mbox_msg *m);
};

/* On the receiver's thread (or before it runs). limit: how many messages may wait before mbox_post
 * answers ERR_BUSY. NULL: no descriptor is left. */
struct mbox *mbox_new(struct event_base *base, void *loop_arg, size_t limit) MUST_USE;
/* fn(loop_arg) runs before every batch of deliveries. Before anybody posts. */
void mbox_on_batch(struct mbox *mb, void (*fn)(void *loop_arg));
/* Discards what is queued; later posts are discarded too. After this only mbox_free is allowed on
 * the receiver's side; other threads may still post until mbox_free. */
void mbox_close(struct mbox *mb);
void mbox_free(struct mbox *mb);	/* closed before; NULL is fine; no thread posts any more */

/* Takes m and queues it. ERR_BUSY: the mailbox is full and m is still the caller's: answer 429 or
 * 503. Any thread, never waits. */
enum err mbox_post(struct mbox *mb, struct mbox_msg *m) MUST_USE;
/* The same without a limit, for answers and ends whose number is bounded by what was asked. */
void mbox_post_always(struct mbox *mb, struct mbox_msg *m);

#endif
