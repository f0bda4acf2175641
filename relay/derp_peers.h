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
	struct derp_pair *pairs;	/* owned; as many as refs; NULL until something is counted */
	uint16_t n, cap, next;
};

/* What went to one of them. */
struct derp_pair {
	uint64_t packets, bytes;	/* bytes without header and key */
	int64_t used_ms;
};

/* Frees; *p is empty again. */
void derp_peers_fini(struct derp_peers *p);
/* Remembers ref, once. Returns its place, which is right until the next ref. */
unsigned derp_peers_add(struct derp_peers *p, struct conn_ref ref);
/* n_packets packets in a run of n bytes of frames go to the one at that place. */
void derp_peers_count(struct derp_peers *p, unsigned place, unsigned n_packets, size_t n,
	int64_t now_ms);
/* A connection of this key has gone, after derp_route_remove; left as that said. Tells its peers, or
 * hands them to the key's other connection, wherever that is, or keeps them until the key has left the
 * other relays too. *p is empty afterwards. */
void derp_peers_leave_take(struct derp_peers *p, struct derp_worker *dw, const struct node_key *key,
	enum derp_route_left left);

/*
 * Senders at other relays of the region, whose packets come over mesh peers: remembered on the worker
 * that the packets came to, and told of when no link leads to the key any more. Only keys that a link
 * of ours leads to: of others we would never hear that they have gone.
 */
#define DERP_PEERS_REMOTE_MAX 4096	/* senders, per worker */

/* With the worker: nobody is remembered yet. */
void derp_peers_remote_init(struct derp_worker *dw);
/* Forgets all, tells nobody. */
void derp_peers_remote_fini(struct derp_worker *dw);
/* The receiver got a packet of this sender. */
void derp_peers_remote_add(struct derp_worker *dw, const uint8_t key[KEY_BYTES], struct conn_ref ref);
/* The key is nowhere in the region any more: its receivers, on all workers, are told. Any thread. */
void derp_peers_remote_gone(struct derp_shared *shared, const struct node_key *key);

#endif
