/*
 * What relays on other machines are told, as signed records (base/admit): one state for all of them,
 * whoever may use them, and a stream to each. Coordinator thread.
 *
 * A stream begins with the relay's CONFIG and a SNAPSHOT; DELTAs follow as nodes come and go, at once,
 * but not more often than every RELAY_DELTA_MS, and a TICK at least every RELAY_TICK_S.
 */
#ifndef COORD_RELAY_FEED_H
#define COORD_RELAY_FEED_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/admit.h"

#define RELAY_TICK_S		10
#define RELAY_DELTA_MS		20
#define RELAY_FEED_MAX_BYTES	(32u << 20)	/* waiting for a relay; beyond: its stream ends */

struct event_base;
struct relay_hub;
struct relay_feed;

/* valid_s: for how long relays go by what they were told last. Never NULL. */
struct relay_hub *relay_hub_new(struct event_base *base, const struct private_key *noise, uint32_t valid_s)
	MUST_USE;
/* Streams that are left have ended, and are freed with relay_feed_gone as ever. NULL is fine. */
void relay_hub_free(struct relay_hub *hub);
/* The key that records are signed with. */
const uint8_t *relay_hub_public(const struct relay_hub *hub);
/* The key may use relays, or may not any more. */
void relay_hub_note(struct relay_hub *hub, const struct node_key *key, bool is_admitted);
size_t relay_hub_count(const struct relay_hub *hub);

/* A stream, with this CONFIG (JSON text). gone(owner) runs in relay_feed_gone, unless it was let go
 * of. Never NULL. */
struct relay_feed *relay_feed_new(struct relay_hub *hub, const char *config, void (*gone)(void *owner),
	void *owner) MUST_USE;
/* Another CONFIG; the same as before is not sent again. */
void relay_feed_config(struct relay_feed *f, const char *config);
/* It ends when it is read next, and its owner does not hear of it any more. */
void relay_feed_end(struct relay_feed *f);

/* wake(arg): there is something to read, or the end; until relay_feed_gone. */
void relay_feed_on_wake(struct relay_feed *f, void (*wake)(void *arg), void *arg);
/* At most max bytes; 0: nothing now; -1: the end. */
ssize_t relay_feed_read(struct relay_feed *f, void *to, size_t max);
/* Nobody reads it any more: f is freed. */
void relay_feed_gone(struct relay_feed *f);

#endif
