/*
 * Full maps: a private frame (everything that concerns the viewer alone, and the opening of Peers),
 * the shared frames of the chunks that it sees, its own chunk without itself, and the end. Together
 * the frames are one JSON text. Pure.
 */
#ifndef COORD_MAP_FULL_H
#define COORD_MAP_FULL_H

#include "coord/map_private.h"

/* References to frames that make one message, in order. All zero is empty. */
struct map_segs {
	struct shbuf **v;	/* owned array of owned references */
	unsigned n, cap;
};

/* One more at the end; the reference is taken. */
void map_full_segs_add(struct map_segs *s, struct shbuf *take);
/* The references were given away. */
void map_full_segs_taken(struct map_segs *s);
/* Drops what is in it and frees the array. */
void map_full_segs_fini(struct map_segs *s);

struct map_full_result {
	uint64_t from;		/* the stream goes on with the delta after this */
	unsigned n_groups;	/* of nodes that the viewer sees */
	bool has_peers;		/* false: Peers is empty, which clients take for "no change" */
};

struct map_full_ask {
	int64_t mono_ms, unix_s;
	struct map_sent *sent;		/* what the client has; of a new stream nothing */
	bool is_again;			/* it has peers, as of sequence seq: if it sees none any more, their
					 * removal is told, since an empty list means "no change" */
	uint64_t seq;
};

/* Makes at most max_chunks of the shared frames that a full map of viewer needs. true: all of them
 * are there. A caller with other things to do calls it until then before map_full_put. */
bool map_full_prepare(struct map_world *w, const struct node *viewer, int64_t mono_ms,
	unsigned max_chunks);
/* Appends the full map of viewer (n->map is set) to out. */
void map_full_put(struct map_world *w, const struct node *viewer, const struct map_full_ask *ask,
	struct map_segs *out, struct map_full_result *res);

/* A message whose Node has a KeyExpiry long past, which logs its client out; one reference. */
struct shbuf *map_full_end(struct map_world *w, const struct node *n) MUST_USE;

#endif
