/* A client's input: bytes from its io to frames, in place, to their receivers. */
#ifndef RELAY_DERP_READ_H
#define RELAY_DERP_READ_H

#include "relay/derp_conn.h"

/* Reads what c has, at most about 64 KiB, and deals with every whole frame. May close c. On its
 * worker's thread. */
void derp_read_run(struct derp_conn *c);

#endif
