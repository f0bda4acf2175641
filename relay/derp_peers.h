/*
 * Who got packets from a client: those are told when its key leaves the region, so that they
 * drop their way back (Tailscale derp/derpserver: peerGoneWatchers). Bounded; on the worker's
 * thread.
 */
#ifndef RELAY_DERP_PEERS_H
#define RELAY_DERP_PEERS_H

#include <stdint.h>

#include "base/key.h"
#include "relay/derp_worker.h"

/* Receivers remembered for one connection; the oldest is forgotten first. */
#define DERP_PEERS_MAX 256

/* All zero is empty and owns no memory. */
struct derp_peers {
	struct conn_ref *refs;		/* owned */
	uint16_t n, cap, next;
};

/* Frees; *p is empty again. */
void derp_peers_fini(struct derp_peers *p);
/* Remembers ref, once. */
void derp_peers_add(struct derp_peers *p, struct conn_ref ref);
/* A connection of this key has gone, after derp_route_remove; is_last as that said. Tells its
 * peers, or hands them to the key's other connection, wherever that is. *p is empty afterwards. */
void derp_peers_leave_take(struct derp_peers *p, struct derp_worker *dw, const struct node_key *key,
	bool is_last);

#endif
