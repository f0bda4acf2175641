/* Between policy_world_filter.c, which says what goes into a filter, and policy_world_template.c
 * and policy_world_text.c, which make its text. */
#ifndef COORD_POLICY_WORLD_FILTER_H
#define COORD_POLICY_WORLD_FILTER_H

#include "coord/policy_world_private.h"

/* Which sources a group of destinations goes with. */
enum pw_group_kind {
	PW_GROUP_SOURCE,	/* sources[id] */
	PW_GROUP_SELF,		/* the user's nodes that are in sources[id] */
	PW_GROUP_SELF_ALL	/* all nodes of the user */
};

/* A program is an int64_t, the user whose nodes are meant or 0, and groups: this head, then
 * n_bytes of text. */
struct pw_group_head {
	uint32_t kind;		/* enum pw_group_kind */
	uint32_t id;
	int32_t proto;		/* -1: the default set */
	uint32_t is_cap;	/* text is of CapGrant; else of DstPorts; without brackets */
	uint64_t n_bytes;
};

/* Rules that may have something for the class: uses of destinations, or PW_NONE where the rule
 * concerns it otherwise. Sorted, each once; the caller's to free. */
struct pw_use *policy_world_hits(const struct policy_world *w, const struct policy_class_private *c, size_t *n)
	MUST_USE;
/* Fills what a program says of itself out of its bytes; its sources are used from now on. */
void policy_world_program_read(struct policy_world *w, struct pw_program *g);
/* The CapMap object of a rule's capabilities, or of their companions with null values. */
void policy_world_capmap_put(struct buf *b, const struct policy_rule *r, bool is_companion);
bool policy_world_has_companion(const struct policy_rule *r);	/* has it such capabilities? */

/* Makes the text of a program; policy_world_text.c. One reference, and one to *parts or NULL. */
struct shbuf *policy_world_text_make(const struct policy_world *w, const struct pw_program *g,
	struct shbuf **parts) MUST_USE;
/* The group at *at, whose text is returned; *at is behind it. */
const uint8_t *policy_world_group_next(const struct pw_program *g, size_t *at, struct pw_group_head *head);

#endif
