/*
 * What a map tells a node that concerns it alone: its own Node, packet filter, SSH policy, resolver settings,
 * health. Pure.
 *
 * All but Node are of its class, or of many classes, but may name the node; so a stream keeps what its
 * client was sent last, by reference, and a delta tells what differs.
 */
#ifndef COORD_MAP_PRIVATE_H
#define COORD_MAP_PRIVATE_H

#include "coord/map_world.h"

struct map_segs;

/* What the client has. All zero: nothing. */
struct map_sent {
	struct policy_bundle *bundle;	/* owned reference */
	struct shbuf *dns;		/* owned reference; NULL: none */
	struct shbuf *health;		/* owned reference; NULL: nothing to show */
	uint64_t addresses;		/* digest of the node's own, with which the filter was filled */
};
void map_private_sent_fini(struct map_sent *s);

/* Writes them all as members of the message, into w->scratch; what many nodes get alike goes to out, with what
 * was in there before. The client has them then. */
void map_private_full_put(struct map_world *w, struct json_writer *jw, const struct node *viewer,
	struct map_sent *sent, struct map_segs *out);
/* Writes those that are others than what was sent, of the changes after from; Node also when the bits of own
 * (enum change_what, of the viewer) tell so. */
void map_private_delta_put(struct map_world *w, struct json_writer *jw, const struct node *viewer,
	uint64_t from, uint32_t own, struct map_sent *sent, struct map_segs *out);

#endif
