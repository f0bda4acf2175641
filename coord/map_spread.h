/*
 * When changes are spread: the pace of rounds. Pure: the caller's clock comes in as microseconds.
 *
 * A change in a quiet tailnet is due at once. While changes keep coming, the next round waits so
 * long after the start of the last one that spreading takes a bounded part of the time:
 * MAP_SPREAD_WINDOW_COSTS times what the last one cost here and on the workers, at most
 * MAP_SPREAD_WINDOW_MAX_US. So the cost of a join storm is bounded by time, not by its square.
 * There is no fixed tick.
 *
 * An urgent change (a new home relay) waits for no window, only until the round before can have
 * left.
 */
#ifndef COORD_MAP_SPREAD_H
#define COORD_MAP_SPREAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/obj.h"

#define MAP_SPREAD_WINDOW_MAX_US	250000
#define MAP_SPREAD_WINDOW_COSTS		3
/* What one small message costs a worker: nghttp2, Noise, write(2). Measured: 7-9 us. */
#define MAP_SPREAD_MESSAGE_US		10

/* All zero is the start. */
struct map_spread {
	int64_t started_us;	/* last round; 0: none yet */
	int64_t cost_us;	/* of the last round, or what is left of a dearer one before */
	bool is_pending;	/* something is to be spread */
	bool is_urgent;
};

/* Something is to be spread. */
void map_spread_note(struct map_spread *s, bool is_urgent);
/* When the next round is due; only while is_pending. May lie in the past. */
int64_t map_spread_due_us(const struct map_spread *s);
/* A round begins: nothing is pending. */
void map_spread_start(struct map_spread *s, int64_t now_us);
/* It ended, having taken spent_us of this thread and sent n_messages. */
void map_spread_done(struct map_spread *s, int64_t spent_us, unsigned n_messages);

#endif
