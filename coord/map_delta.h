/*
 * Deltas: everything that happened between two sequences and that one row of classes sees, as one
 * message. Pure but for the cache in the world.
 *
 * A delta is made once for all viewers of the row who are at the same sequence, and compressed
 * once. What concerns a viewer alone (map_private) goes before it in a frame of its own. A viewer who is
 * itself among the changed nodes gets its own delta, without itself. Long deltas are cut in slices of
 * MAP_DELTA_SLICE nodes, each a frame, of which only the one with the viewer is made for it alone.
 *
 * Per node the last value wins, a whole node swallows patches, a removal swallows everything. No node is
 * removed and changed in one message: clients make a patch of a node that they have before they apply the
 * removals (control/controlclient/map.go patchifyPeersChanged), and would lose it.
 */
#ifndef COORD_MAP_DELTA_H
#define COORD_MAP_DELTA_H

#include "coord/map_full.h"

#define MAP_DELTA_SLICE		64
#define MAP_DELTA_CACHE_MAX	32	/* deltas kept until the next round */

/* A stream at sequence from cannot go on by deltas: removals that it lacks are forgotten. */
bool map_delta_is_overrun(const struct map_world *w, uint64_t from);

/* Appends to out the frames of the delta from..w->published for viewer (n->map is set), whose client was
 * sent a full map before; nothing when there is no news for it. */
void map_delta_put(struct map_world *w, const struct node *viewer, uint64_t from, struct map_sent *sent,
	struct map_segs *out);

void map_delta_cache_clear(struct map_world *w);	/* called by map_world */

#endif
