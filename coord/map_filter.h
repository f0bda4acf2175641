/*
 * Packet filters in maps. The filter of a class is one text for all its nodes but for their own addresses,
 * and may be long, because sources are listed address by address. What lies between the addresses is
 * compressed once, as frames that all share; a node's own frames are the short texts around its addresses.
 *
 * A long filter (policy_bundle.parts) is told in parts, by MapResponse.PacketFilters' names: then a delta has
 * those that differ. Pure.
 */
#ifndef COORD_MAP_FILTER_H
#define COORD_MAP_FILTER_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"

#define MAP_FILTER_LONG_BYTES	1024u		/* without an address in it: worth a frame of its own */
#define MAP_FILTERS_BYTES	(16u << 20)	/* kept at most, beside the newest */

struct map_segs;
struct map_world;
struct policy_bundle;
struct policy_node;

/* Filters that were taken apart. */
struct map_filters {
	struct map by_template;				/* struct map_filter, owned */
	TAILQ_HEAD(map_filter_queue, map_filter) queue;	/* oldest first */
	size_t n_bytes;
	struct map by_pair;				/* struct map_filter_pair, owned */
	TAILQ_HEAD(, map_filter_pair) pairs;		/* oldest first */
	size_t n_pair_bytes;
};

/* None, in the caller's memory, which must stay where it is. */
void map_filters_init(struct map_filters *f);
void map_filters_fini(struct map_filters *f);

/* Appends the filter of the node (template: of its class, is held) to what is in w->scratch. What is there
 * so far, and parts of the filter, may become frames at the end of out; scratch has the rest then. */
void map_filter_put(struct map_world *w, struct shbuf *template, const struct policy_node *n,
	struct map_segs *out);

/* Forgets what map_filter_named made, which keeps filters that no client has any more. */
void map_filter_round(struct map_filters *f);
/* The value of PacketFilters as a template, without its closing brace. A long filter has one entry for each
 * rule, a short one is "base". had: only what differs from that (both are long); NULL: all. clears: whatever
 * the client has goes first. Borrowed until the next call. */
struct shbuf *map_filter_named(struct map_world *w, const struct policy_bundle *now,
	const struct policy_bundle *had, bool clears);

#endif
