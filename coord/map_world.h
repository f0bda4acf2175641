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

#include "coord/dns.h"
#include "coord/map_chunk.h"
#include "coord/map_filter.h"
#include "coord/map_zstd.h"
#include "coord/policy_world.h"

#define MAP_WORLD_TOMBS_MIN	256
#define MAP_WORLD_TOMBS_MAX	16384	/* 384 KiB */
#define MAP_WORLD_SSH_FRAMES	8
#define MAP_ROW_ANY		UINT32_MAX	/* of a tomb: its row is not known any more, all are told */

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
	uint64_t facts;			/* likewise, of what policies ask of users */
	uint64_t seq;			/* of the last change of names */
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
	struct policy_world *policy;	/* owned; its users are user_records */
	bool is_refresh_due;		/* nodes came or went since its last refresh */
	bool has_bare_class;		/* a class has no bundle yet */
	struct map_group **groups;	/* owned, by row; NULL where a row has no node yet */
	unsigned n_groups;
	uint64_t seq;			/* newest change */
	uint64_t published;		/* newest change that deltas tell of; <= seq */
	TAILQ_HEAD(map_recent, map_node) recent;	/* by last_seq, newest last */
	struct map nodes;		/* struct map_node by id, owned */
	struct map_tomb *tombs;		/* ring by seq */
	unsigned n_tombs, cap_tombs, first_tomb;
	uint64_t tombs_from;		/* who is before this sequence lacks a removal */
	struct map users;		/* struct map_user, owned */
	uint64_t users_seq;		/* newest of them */
	struct map_text derp;
	const struct dns_params *dns;	/* borrowed; NULL: none yet */
	struct shbuf *dns_texts[DNS_OWN];	/* owned references; by enum dns_variant; NULL: none yet */
	uint64_t dns_seq;		/* of the last change */
	struct map_own own;		/* what nodes are told of themselves */
	/* Frames of long texts of SSH policies, the latest */
	struct { struct shbuf *text, *frame; } ssh_frames[MAP_WORLD_SSH_FRAMES];	/* owned references */
	unsigned next_ssh_frame;
	TAILQ_HEAD(, map_delta) deltas;	/* cache of map_delta, until a round or a removal */
	unsigned n_deltas;
	struct map_filters filters;
	struct buf scratch;		/* text that is to become a frame */
	struct buf again_text;		/* of the last map_world_frame_again */
	struct shbuf *again_frame;	/* owned reference: what it became; NULL: none */
	uint64_t chunks_made;		/* compressed, since start */
};

struct map_world_params {
	struct policy *policy;		/* held */
	const char *server_url;		/* copied */
	const struct map *user_records;	/* borrowed, outlives the world */
	const char *base_domain;	/* likewise */
};

/* An empty world in the caller's memory, which must stay where it is. */
void map_world_init(struct map_world *w, const struct map_world_params *p);
/* Frees the map_node of every node that is left (node->map becomes NULL). */
void map_world_fini(struct map_world *w);

/* n->map is made. Nobody sees the node, nor does the policy know it, before map_world_place or
 * map_world_note(…, CHANGE_JOINED). */
void map_world_add(struct map_world *w, struct node *n, int64_t now_unix_s);
/* The node is there from now on; streams that are open are not told. For loading. */
void map_world_place(struct map_world *w, struct node *n);
/* Frees n->map. Peers must have been told by map_world_note(…, CHANGE_REMOVED) before. */
void map_world_remove(struct map_world *w, struct node *n);

/* A change of n, already made: bits of enum change_what. Of a node that did not join yet nobody is told;
 * after CHANGE_REMOVED nobody sees n any more. When it is in another row afterwards, what it sees changed:
 * sets n->map->needs_full. */
void map_world_note(struct map_world *w, struct node *n, uint32_t what, int64_t now_unix_s);
/* Users may have changed: finds out whose names, for their profiles. Returns whether there is anything that
 * a policy may ask of users. */
bool map_world_note_users(struct map_world *w);
/* Another text for all; the same bytes as before are no change. json is taken. */
void map_world_note_text(struct map_world *w, struct map_text *which, struct shbuf *json);
/* Other settings of name resolution; borrowed until the next ones. */
void map_world_note_dns(struct map_world *w, const struct dns_params *p);
/* What n is to show its user, a JSON array of texts; taken, NULL: nothing. */
void map_world_note_health(struct map_world *w, struct node *n, struct shbuf *json);

/* From here on deltas end at the newest change. */
void map_world_publish(struct map_world *w);
/* Every class has a bundle afterwards. Called before one is used. */
void map_world_ready(struct map_world *w);
/* The same, and they are of now. */
void map_world_refresh(struct map_world *w);

/* Bits (1 << enum map_kind) of what happened to the node after from, up to and with to. */
uint32_t map_world_bits(const struct map_node *mn, uint64_t from, uint64_t to);
/* Does the class with this row see nodes of that row? */
bool map_world_sees(const struct map_world *w, uint32_t viewer_row, uint32_t row);
/* How it sees them; it does. */
struct map_look map_world_look(const struct map_world *w, uint32_t viewer_row, uint32_t row);

/* The text in w->scratch as a frame; scratch is empty again. One reference, the caller's. */
struct shbuf *map_world_frame(struct map_world *w) MUST_USE;
/* The same; a text that is equal to the last one here is not compressed again. */
struct shbuf *map_world_frame_again(struct map_world *w) MUST_USE;

/* For map_policy.c. The place of a row's group; the group there, made if it is new; the node has changed so,
 * seq being new. */
struct map_group **map_world_group_at(struct map_world *w, uint32_t row);
struct map_group *map_world_group(struct map_world *w, uint32_t row);
void map_world_stamp(struct map_world *w, struct map_node *mn, uint32_t bits, uint64_t seq);

#endif
