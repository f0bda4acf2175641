/*
 * The world that maps are made of: nodes with what changed when, classes, groups of chunks, and the
 * parts that all share. Pure: time comes in as a number. map_full and map_delta read it.
 *
 * The change log is kept by node, not by event: every node knows the sequence of its last change of
 * each kind and stands in a list by the newest of them. What happened after a sequence is the tail
 * of that list, already merged (the last value wins because values are taken from the node), and it
 * cannot overrun. Only removals are kept apart, in a bounded ring: who is behind its oldest entry
 * needs a full map.
 *
 * Sequence numbers are published in rounds: deltas always end at `published`, so that streams are
 * at few different sequences and share their deltas.
 */
#ifndef COORD_MAP_WORLD_H
#define COORD_MAP_WORLD_H

#include "coord/map_chunk.h"
#include "coord/map_zstd.h"
#include "coord/policy_class.h"

#define MAP_WORLD_TOMBS_MIN	256
#define MAP_WORLD_TOMBS_MAX	16384	/* 384 KiB */

struct map_delta;

/* A node that went, or that moved out of a row. */
struct map_tomb {
	uint64_t seq;
	int64_t node_id;
	uint32_t row;			/* who saw it there */
};

/* What was told of a user. */
struct map_user {
	int64_t id;
	uint64_t digest;		/* of names, as last told */
	uint64_t seq;			/* of its last change */
};

/* A text that all nodes get, and when it changed. */
struct map_text {
	struct shbuf *json;		/* owned reference; NULL: none */
	uint64_t seq;
};

struct map_world {
	const struct map *user_records;	/* struct user by id; borrowed */
	const char *base_domain;	/* borrowed */
	struct map_zstd *zstd;
	struct shbuf *comma;		/* a frame with nothing but a comma */
	struct policy_class_table classes;
	struct map_group **groups;	/* owned, by row; NULL where a row has no node yet */
	unsigned n_groups;
	uint64_t seq;			/* newest change */
	uint64_t published;		/* newest change that deltas tell of; <= seq */
	TAILQ_HEAD(map_recent, map_node) recent;	/* by last_seq, newest last */
	size_t n_nodes;
	struct map_tomb *tombs;		/* ring by seq */
	unsigned n_tombs, cap_tombs, first_tomb;
	uint64_t tombs_from;		/* who is before this sequence lacks a removal */
	struct map users;		/* struct map_user, owned */
	uint64_t users_seq;		/* newest of them */
	struct map_text derp, dns;
	TAILQ_HEAD(, map_delta) deltas;	/* cache of map_delta, until a round or a removal */
	unsigned n_deltas;
	struct buf scratch;		/* text that is to become a frame */
	uint64_t chunks_made;		/* compressed, since start */
};

struct map_world_params {
	const struct policy_class_rules *rules;
	const struct map *user_records;	/* borrowed, outlives the world */
	const char *base_domain;	/* likewise */
};

/* An empty world in the caller's memory, which must stay where it is. */
void map_world_init(struct map_world *w, const struct map_world_params *p);
/* Frees the map_node of every node that is left (node->map becomes NULL). */
void map_world_fini(struct map_world *w);

/* The node is in: n->map is made. Peers learn of it by map_world_note(…, CHANGE_JOINED). */
void map_world_add(struct map_world *w, struct node *n, int64_t now_unix_s);
/* Frees n->map. Peers must have been told by map_world_note(…, CHANGE_REMOVED) before. */
void map_world_remove(struct map_world *w, struct node *n);

/* A change of n, already made: bits of enum change_what. After CHANGE_REMOVED nobody sees n any
 * more. Returns true when what n itself may see changed (another row): it needs a full map. */
bool map_world_note(struct map_world *w, struct node *n, uint32_t what, int64_t now_unix_s);
/* Users' names may have changed: finds out whose. */
void map_world_note_users(struct map_world *w);
/* Another text for all; the same bytes as before are no change. json is taken. */
void map_world_note_text(struct map_world *w, struct map_text *which, struct shbuf *json);
/* The policy gave some classes other filters: takes them anew from the rules. */
void map_world_note_filters(struct map_world *w);

/* From here on deltas end at the newest change. */
void map_world_publish(struct map_world *w);

/* Bits (1 << enum map_kind) of what happened to the node after from, up to and with to. */
uint32_t map_world_bits(const struct map_node *mn, uint64_t from, uint64_t to);
/* Does the class with this row see nodes of that row? */
bool map_world_sees(const struct map_world *w, uint32_t viewer_row, uint32_t row);

/* The text in w->scratch as a frame; scratch is empty again. One reference, the caller's. */
struct shbuf *map_world_frame(struct map_world *w) MUST_USE;

#endif
