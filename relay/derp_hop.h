/*
 * From worker to worker: everything that one turn has for the receivers of another worker goes
 * in one message, so that a turn costs one wake-up. What is on its way to a worker is bounded in
 * bytes; beyond that packets are dropped and counted, nobody waits.
 */
#ifndef RELAY_DERP_HOP_H
#define RELAY_DERP_HOP_H

#include "relay/derp_worker.h"

/* Copies the run into this turn's message to run->to.worker. */
void derp_hop_put(struct derp_worker *dw, const struct derp_worker_run *run);
/* Posts the messages of this turn. */
void derp_hop_post(struct derp_worker *dw);
/* Frees messages that were not posted. */
void derp_hop_discard(struct derp_worker *dw);

#endif
