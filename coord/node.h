/* A node: its record, and what the map distribution keeps with it. Coordinator thread. */
#ifndef COORD_NODE_H
#define COORD_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/key.h"
#include "base/list.h"
#include "base/net.h"
#include "coord/hostinfo.h"
#include "coord/msg_map.h"
#include "coord/user.h"

#define NODE_MAGIC	0x0de00001u
#define NODE_NAME_MAX	64	/* DNS label of at most 63 characters, zero-padded */
#define NODE_TAGS_MAX	32

struct session;
struct map_node;
struct node_router;

/* A subnet route, or one of an exit node (0.0.0.0/0, ::/0), that the node advertises and an administrator or
 * the policy approved. */
struct node_route {
	struct net_prefix prefix;
	bool is_primary;		/* elected among the nodes with this route; exit routes always */
};

struct node {
	uint32_t magic;
	/* hard: changed by mutations only (coord/tailnet) */
	int64_t id;			/* > 0, < 2^53, never reused; StableID is its decimal text */
	int64_t user_id;		/* owner; for tagged nodes who registered it */
	struct machine_key machine_key;
	struct node_key node_key;
	char name[NODE_NAME_MAX];	/* MagicDNS label, unique in the tailnet */
	bool is_name_given;		/* by an administrator: does not follow the hostname */
	struct net_ip ip4, ip6;
	char **tags;			/* owned, sorted "tag:x" */
	unsigned n_tags;
	int64_t created_unix_s;
	int64_t key_expiry_unix_s;	/* 0: never */
	bool is_expiry_off;		/* its key never expires, whatever is configured */
	bool is_expiry_warned;		/* of this expiry */
	bool is_ephemeral, is_authorized;
	char authkey_id[16];		/* that it joined with; "" */
	struct net_prefix *approved;	/* owned, sorted: routes that it may have, advertised or not */
	unsigned n_approved;
	/* soft: published at once, written lazily */
	struct hostinfo *host;		/* owned reference; never NULL */
	struct disco_key disco_key;
	struct map_endpoint *endpoints;	/* owned */
	unsigned n_endpoints;
	uint32_t home_derp;
	uint32_t cap_version;
	int64_t last_seen_unix_s;
	bool is_online;			/* as peers are told */
	bool is_soft_dirty;		/* to be written */
	/* kept by tailnet_route.c: what is advertised and approved, sorted */
	struct node_route *routes;	/* owned */
	unsigned n_routes;
	/* kept by the map distribution (map_*, session, change) */
	struct session *session;	/* its long-poll, or NULL */
	struct map_node *map;		/* fragment, chunk, class */
	/* private to tailnet */
	bool _is_expiry_told;
	bool _is_removing;		/* its removal is under way */
	bool _is_moving;		/* other addresses are under way */
	bool _is_routing;		/* other approved routes are under way */
	unsigned _n_renaming;		/* new names under way */
	unsigned _n_names;		/* that it took by itself since then */
	int64_t _names_since_unix_s;
	bool _is_name_due;		/* it is called otherwise, and has to wait for the name */
	int64_t _registered_unix_s;	/* last registration answered in this run */
	struct node *_machine_next;	/* of the same machine key */
	struct node_router *_router;	/* tailnet_route*.c; NULL: nothing advertised or approved */
	TAILQ_ENTRY(node) _dirty_link;
};

struct node *node_new(void) MUST_USE;		/* heap, zeroed, with its magic */
void node_free(struct node *n);			/* and all it owns; NULL is fine */
/* What a node record owns (tags, endpoints, host, routes); the struct itself is the caller's. */
void node_fini(struct node *n);
void node_set_tags(struct node *n, const char *const *tags, unsigned n_tags);
/* The soft fields of from, endpoints and routes copied, host held. */
void node_copy_soft(struct node *to, const struct node *from);

/* A number that nodes of the same tags have in common, in this process; 0 without tags. */
uint64_t node_kin(char *const *tags, unsigned n_tags);

/* User towards clients: the tagged-devices user for tagged nodes. Inline: the pure modules link
 * nothing of the node's memory. */
static inline int64_t
node_owner_id(const struct node *n)
{
	return n->n_tags > 0 ? USER_TAGGED_ID : n->user_id;
}

/* Has the node's key expired at this time? */
static inline bool
node_is_expired(const struct node *n, int64_t now_unix_s)
{
	return n->key_expiry_unix_s != 0 && n->key_expiry_unix_s <= now_unix_s;
}

#endif
