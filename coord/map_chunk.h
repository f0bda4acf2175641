/*
 * Chunks: nodes with the same visibility (one row), 64 together, compressed as one zstd frame that
 * everybody's full map shares. Pure.
 *
 * A group holds the nodes of one row, in the order of their ids, in chunks of at most
 * MAP_CHUNK_NODES. Ids only grow, so chunks fill up one after the other; neighbours that emptied
 * are joined. Bound on what a full map is made of: at most (visible nodes / (MAP_CHUNK_JOIN / 2)) +
 * visible rows frames, however many classes there are.
 *
 * Most viewers see a chunk alike: in view 0. For each other view that asks (the policy shows it other
 * routes, or no IPv4) the chunk keeps one more frame, at most MAP_CHUNK_VIEWS, which are dropped together.
 *
 * A frame may be used while it is younger than MAP_CHUNK_STALE_MS although members have changed:
 * the map made of it then begins at the sequence before the first change that it lacks, and the
 * delta follows. So a chunk is compressed at most once per window, whatever happens. Who leaves a
 * chunk takes its frame away at once.
 */
#ifndef COORD_MAP_CHUNK_H
#define COORD_MAP_CHUNK_H

#include "base/map.h"
#include "coord/map_peer.h"
#include "coord/map_zstd.h"

#define MAP_CHUNK_NODES		64
#define MAP_CHUNK_JOIN		48	/* neighbours with no more than this together become one */
#define MAP_CHUNK_STALE_MS	250	/* the widest coalescing window */
#define MAP_CHUNK_VIEWS		8	/* frames of views other than 0, kept with a chunk */

/* A frame made of parts that change. */
struct map_frame {
	struct shbuf *frame;		/* owned reference; NULL: to be made */
	bool is_stale;
	uint64_t stale_seq;		/* of the first change it lacks */
	int64_t made_ms;		/* monotonic */
};

/* A chunk as a view shows it. */
struct map_view_frame {
	uint32_t view_id;
	struct map_frame f;
};

struct map_chunk {
	struct map_group *group;
	unsigned n;
	struct map_frame f;		/* in view 0 */
	struct map_view_frame *views;	/* owned; NULL: none */
	unsigned n_views;
	struct map_node *nodes[MAP_CHUNK_NODES];	/* borrowed, by id */
};

/* A user who owns nodes of a group. */
struct map_owner {
	int64_t user_id;
	unsigned n_nodes;
};

struct map_group {
	uint32_t row;
	struct map_chunk **chunks;	/* owned, by id of the first node; none is empty */
	unsigned n_chunks, cap_chunks;
	size_t n_nodes;
	struct map owners;		/* struct map_owner, owned */
	struct map_frame profiles;	/* their UserProfiles, with commas between */
};

struct map_group *map_chunk_group_new(uint32_t row) MUST_USE;
void map_chunk_group_free(struct map_group *g);		/* NULL is fine; nodes stay */

/* The node (mn->node, mn->owner_id) comes in; from change seq on it is there. */
void map_chunk_add(struct map_group *g, struct map_node *mn, uint64_t seq);
/* The node goes: the frame that showed it is dropped. */
void map_chunk_remove(struct map_node *mn);
/* Something that the fragment shows changed: the fragment is dropped, the frame is stale from
 * seq on. */
void map_chunk_touch(struct map_node *mn, uint64_t seq);

/* Where the chunk's frame for a view is kept: one that was made, or an empty one. Valid until the next call
 * for this chunk. */
struct map_frame *map_chunk_frame(struct map_chunk *c, uint32_t view_id);
/* Drops those of all views but 0: their numbers mean others now. */
void map_chunk_views_drop(struct map_chunk *c);

/* Marks a frame as lacking change seq. */
void map_chunk_frame_stale(struct map_frame *f, uint64_t seq);
/* May it be used at now_ms as it is? If so lowers *from_seq to the sequence that it shows. */
bool map_chunk_frame_usable(const struct map_frame *f, int64_t now_ms, uint64_t *from_seq);

/* Appends the members as the look shows them, with commas between, without `without` (NULL: all). Returns how
 * many. */
unsigned map_chunk_put(struct buf *b, const struct map_chunk *c, const struct map_node *without,
	const struct map_look *look);

#endif
