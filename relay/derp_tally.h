/*
 * What one client sent and got, for people who ask (relay/insight): plain integers of its worker. The
 * packet path counts for the worker only; what a turn or a run added to that is the client's.
 */
#ifndef RELAY_DERP_TALLY_H
#define RELAY_DERP_TALLY_H

#include "relay/derp_queue.h"
#include "relay/derp_worker.h"
#include "relay/insight.h"

/* Adds what the worker counted since before to *t, which is made with the first packet: a client that
 * does nothing owns none. in: read from the client; out: put into its queue, taken from it, or dropped. */
void derp_tally_in(struct relay_tally **t, const struct derp_worker_counts *before,
	const struct derp_worker *dw);
void derp_tally_out(struct relay_tally **t, const struct derp_queue_counts *before,
	const struct derp_worker *dw);
/* It made this relay its home, or took another. */
void derp_tally_move(struct relay_tally **t, const struct derp_worker *dw);

#endif
