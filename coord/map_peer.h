/*
 * A node as clients see it: the JSON that its peers get, its own Node, patches, user profiles.
 * Pure. Source: Tailscale tailcfg/tailcfg.go Node, PeerChange, UserProfile.
 */
#ifndef COORD_MAP_PEER_H
#define COORD_MAP_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/list.h"
#include "coord/change.h"
#include "coord/node.h"
#include "coord/node_attr.h"
#include "coord/user.h"

#define MAP_NODE_MAGIC	0x0a90de01u
#define MAP_FQDN_MAX	320
#define MAP_NAME_TAGGED	"tagged-devices"

struct map_chunk;
struct policy_class;
struct policy_view;
struct policy_world;

/* Positions of the kinds of change in map_node.seq: the bits of enum change_what, and one of our
 * own. */
enum map_kind {
	MAP_KIND_ENDPOINTS, MAP_KIND_HOME, MAP_KIND_DISCO, MAP_KIND_ONLINE, MAP_KIND_KEY,
	MAP_KIND_WHOLE, MAP_KIND_SELF, MAP_KIND_JOINED,
	MAP_KIND_REMOVED,	/* never set: a removed node leaves a map_tomb */
	MAP_KIND_OWNER,		/* its owner is another, or new to the viewers: profile to peers */
	MAP_KIND_COUNT
};
#define MAP_CHANGE_OWNER	(1u << MAP_KIND_OWNER)

/* What the distribution keeps with a node. Owned by struct map_world. */
struct map_node {
	uint32_t magic;
	uint32_t fragment_bytes;
	int64_t id;			/* of the node */
	struct node *node;		/* borrowed */
	char *fragment;			/* owned: the node as view 0 shows it; NULL: to be made */
	struct policy_class *class;	/* borrowed; NULL: not announced yet, or removed */
	struct map_chunk *chunk;	/* that it is in; borrowed; NULL: likewise */
	struct shbuf *health;		/* owned reference: JSON array of warnings for its user; NULL: none */
	int64_t owner_id;		/* as counted in its group */
	TAILQ_ENTRY(map_node) recent;	/* in the order of last_seq */
	uint64_t last_seq;		/* newest of seq[] */
	uint64_t seq[MAP_KIND_COUNT];	/* of the last change of each kind; 0: none since start */
	bool is_expired;		/* as the fragment says */
	bool is_removed;		/* noted, and not yet freed */
	bool needs_full;		/* what it sees became another since its last full map */
	/* the session's part */
	bool is_in_grace, is_unseen;	/* in one of these queues, or none */
	TAILQ_ENTRY(map_node) wait;	/* there */
	int64_t wait_due_ms;		/* monotonic: when it goes offline, or is announced at last */
	int64_t gone_unix_s;		/* when its stream ended */
};

/* How a node is looked at. All borrowed. */
struct map_look {
	const char *base_domain;
	const struct policy_world *policy;	/* view is of; may be NULL without one */
	const struct policy_view *view;		/* NULL: as view 0 */
};

/* "name.base_domain." into out; returns out. */
char *map_peer_fqdn(const struct node *n, const char *base_domain, char out[MAP_FQDN_MAX]);

/* Appends the Node object as peers see it, without the machine key. */
void map_peer_put(struct buf *b, const struct map_node *mn, const struct map_look *look);
/* Like map_peer_put, from the fragment where that says the same. */
void map_peer_seen_put(struct buf *b, struct map_node *mn, const struct map_look *look);

/* Do fragments say the same of nodes of either class? */
bool map_peer_is_alike(const struct policy_class *a, const struct policy_class *b);

/* Writes the Node object for the node itself as member name, with its own routes and what the policy gives
 * its class. key_expiry_unix_s stands for the node's own. */
struct map_own {
	const char *base_domain;	/* borrowed */
	struct node_attr_params attrs;
};
void map_peer_self_put(struct json_writer *w, const char *name, const struct map_node *mn,
	const struct map_own *own, int64_t key_expiry_unix_s);

/* Writes the PeerChange with the members that the bits of enum change_what name: ENDPOINTS,
 * HOME, DISCO, ONLINE, KEY; two of them where clients would drop a single one. A home relay of 0
 * cannot be patched. */
void map_peer_patch_put(struct json_writer *w, const struct node *n, uint32_t what);

/* Writes the UserProfile of user_id. u: its record; NULL for that of tagged nodes, and for a
 * user who is gone. */
void map_peer_profile_put(struct json_writer *w, int64_t user_id, const struct user *u);

#endif
