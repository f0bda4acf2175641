/*
 * How much somebody may send into the relay: bytes per second, shared by all who are charged to the same
 * quota (one node, all nodes of a user, all that bear a tag). Nobody is dropped for it: who is ahead of its
 * quota is not read from until it has been paid for, so that its own TCP slows down.
 *
 * A generic cell rate algorithm on one atomic: no lock, any thread. With many senders on one quota each
 * waits for its own bytes, so they take turns.
 */
#ifndef RELAY_QUOTA_H
#define RELAY_QUOTA_H

#include <stdint.h>
#include <stddef.h>

#include "base/err.h"

/* What was not used of so long may be used at once. */
#define QUOTA_BURST_US	100000
/* However many share it, nobody is left alone for longer, and no debt is older than that. */
#define QUOTA_DEBT_MAX_US 10000000
#define QUOTA_SET_MAX	48		/* of one node: its own, its user's, its tags' */

struct quota;

/* One reference. bytes_per_s: 0 is no limit. */
struct quota *quota_new(int64_t bytes_per_s) MUST_USE;
struct quota *quota_hold(struct quota *q);	/* NULL gives NULL */
void quota_drop(struct quota *q);		/* NULL is fine */
/* From now on, for all who share it. */
void quota_set_rate(struct quota *q, int64_t bytes_per_s);
int64_t quota_rate(const struct quota *q);
/* Charges n bytes that were read. How long the payer is to be left alone, 0: not at all. */
int64_t quota_take_us(struct quota *q, size_t n, int64_t now_us);

/* The quotas of one node; immutable, counted. */
struct quota_set;
/* Holds each of the n <= QUOTA_SET_MAX quotas. NULL: n is 0. */
struct quota_set *quota_set_new(struct quota *const *quotas, unsigned n) MUST_USE;
struct quota_set *quota_set_hold(struct quota_set *s);	/* NULL gives NULL */
void quota_set_drop(struct quota_set *s);		/* NULL is fine */
/* Charges each of them; the longest of their times. */
int64_t quota_set_take_us(struct quota_set *s, size_t n, int64_t now_us);
/* How much to read at once, so that those who share a small quota take short turns: 2 KiB to max. */
size_t quota_set_turn_bytes(const struct quota_set *s, size_t max);

#endif
