/*
 * What a policy says of the nodes there are: classes, rows, filters, views. Pure: users and
 * nodes come in as plain records, so that the server, tests of a policy before it is saved, and
 * tools share it.
 *
 * A *class* is nodes that are alike to the policy: same owner or tags, and the same relation of
 * addresses, subnet routes, posture and exit-node state to every literal that the policy names.
 * A rule is evaluated class by class, never node by node; a literal prefix is never enumerated.
 * Who else is there matters in few places: a route that several nodes have, and routes that cover
 * tailnet addresses (those of exit nodes do). What it means for a node is part of its class; when it
 * becomes another, the node is stale (policy_world_stale).
 *
 * A *row* is classes that see, and are seen by, the same classes, and whose routes are seen
 * alike. A row has *kinds* of routes (what each relates to in the policy); a *view* says which
 * kinds of row B's routes nodes of row A get. Ten thousand nodes are usually a few dozen classes
 * and a handful of rows.
 *
 * Filters name a node's own addresses; a class has one template with holes for them.
 *
 * Nodes that wait for approval never come before the policy: row POLICY_ROW_WAITING sees nobody.
 */
#ifndef COORD_POLICY_WORLD_H
#define COORD_POLICY_WORLD_H

#include "base/map.h"
#include "coord/node.h"
#include "coord/policy.h"
#include "coord/policy_posture.h"

#define POLICY_ROW_WAITING 0

/* A node as the policy sees it. All borrowed for the call. */
struct policy_node {
	int64_t id;
	int64_t user_id;		/* 0: tagged */
	char *const *tags;		/* sorted */
	unsigned n_tags;
	bool is_waiting;		/* not authorized */
	struct net_ip ip4, ip6;		/* family 0: none */
	/* advertised and approved, sorted, with those of an exit node */
	const struct node_route *routes;
	unsigned n_routes;
	const struct hostinfo *host;	/* for postures; NULL: nothing known */
	policy_posture_get_fn *more;	/* attributes that are not of the host ("custom:tier"); NULL: none */
	void *more_arg;
};
/* The node's record as the policy sees it. */
struct policy_node policy_node_of(const struct node *n);

/* One FilterRule of a long filter, so that what differs can be told alone. Sorted by name, of which no two are
 * equal. A policy gives a name to the same sources always, another policy may give it to others. */
struct policy_filter_part {
	uint64_t name;
	uint32_t begin, end;		/* in the text */
};
#define POLICY_FILTER_PARTS_MIN_BYTES 4096

/* What nodes of a class are told. Immutable, counted; texts compare by shbuf_eq. */
struct policy_bundle {
	unsigned refs;
	struct shbuf *filter;		/* FilterRules: JSON array with holes, see policy_filter_put */
	struct shbuf *parts;		/* struct policy_filter_part of a long filter; NULL: it is short */
	uint64_t ssh;			/* digest of their SSHPolicy, which policy_ssh_maker_put makes */
	/* members of the self view's CapMap, "\"a\":null,\"b\":[…]"; may be empty */
	struct shbuf *caps;
	bool is_ipv4_off;		/* attribute disable-ipv4 */
	bool is_exit_suggested;		/* attribute suggest-exit-node, at exit nodes: peers are told */
};
struct policy_bundle *policy_bundle_hold(struct policy_bundle *b);
void policy_bundle_drop(struct policy_bundle *b);	/* NULL is fine */

struct policy_class {
	uint32_t magic;
	uint32_t row;
	unsigned n_nodes;
	struct policy_bundle *bundle;	/* of the last refresh; never NULL after it */
	struct policy_class_private *_p;	/* policy_world*.c only */
};

/* How much of a node's routes is seen. */
enum policy_show {
	POLICY_SHOW_NOT,
	POLICY_SHOW_PRIMARY,		/* if the node is the route's primary */
	POLICY_SHOW_ALWAYS		/* whoever is primary */
};
struct policy_view {
	uint32_t id;			/* equal views have equal ids, 0: POLICY_SHOW_PRIMARY of all kinds */
	bool is_ipv4_hidden;		/* the viewer gets no IPv4 addresses of nodes */
	unsigned n_kinds;
	uint8_t show[];			/* enum policy_show by kind */
};

struct policy_ssh_maker;

struct policy_world {
	uint32_t magic;
	struct policy *policy;		/* held */
	const struct map *users;	/* struct user by id; borrowed */
	unsigned n_rows;
	struct policy_world_private *_p;	/* likewise */
};

/* server_url goes into SSH check actions. users must outlive the world; when one is added,
 * renamed, gets another role or goes, make a new world (users of nodes matter by id only). */
struct policy_world *policy_world_new(struct policy *p, const struct map *users, const char *server_url)
	MUST_USE;
void policy_world_free(struct policy_world *w);		/* NULL is fine; nodes stay */

/* The node comes in, or is placed anew: the world keeps what it needs of n. Its class, made if
 * it is new. */
struct policy_class *policy_world_join(struct policy_world *w, const struct policy_node *n) MUST_USE;
/* It goes; a class is freed with its last node. */
void policy_world_leave(struct policy_world *w, int64_t node_id);
/* Would n, joined now, be told the same of as when it joined: same class, addresses, routes? For
 * changes of its own: those that others bring are told by policy_world_stale. */
bool policy_world_is_current(const struct policy_world *w, const struct policy_node *n);
/* A node that is no longer told what it would be if it joined now, because of what others
 * brought or took since (the same route, the first address of a selector that an exit node's
 * routes are held against): *node_id is to leave and join anew. Ask between joins or leaves and
 * the refresh until it is false; it ends by itself, and is constant time when there is nothing. */
bool policy_world_stale(struct policy_world *w, int64_t *node_id);
/* Joins and leaves change what others' filters name as sources: remakes the bundles concerned.
 * Returns whether any differs. Must be called between the last join or leave and the first use
 * of a bundle. */
bool policy_world_refresh(struct policy_world *w);

/* What nodes of viewer_row get of those of row; NULL: they do not see them. Symmetric in that.
 * Valid until the world goes. */
const struct policy_view *policy_world_view(struct policy_world *w, uint32_t viewer_row, uint32_t row);
/* Is there such a view? For who asks about many pairs: remembers nothing. */
bool policy_world_sees(const struct policy_world *w, uint32_t row_a, uint32_t row_b);
/* Kind of the node's i-th route, an index into view.show. */
unsigned policy_world_kind(const struct policy_world *w, const struct policy_class *c,
	const struct policy_node *n, unsigned i);
/* Appends the filter of the node: the template with its addresses in the holes. */
void policy_filter_put(struct buf *b, const struct shbuf *template, const struct policy_node *n);
/* How many parts there are: *v, borrowed. */
size_t policy_filter_parts(const struct policy_bundle *b, const struct policy_filter_part **v);

/* Makes SSH policies as of now; coord/policy_ssh. Borrowed until somebody joins or leaves. */
struct policy_ssh_maker *policy_world_ssh(struct policy_world *w) MUST_USE;
/* What SSH rules ask of users (login, e-mail) may be something else. The refresh is due. */
void policy_world_ssh_touch(struct policy_world *w);

/* For those who evaluate further (ssh, tests, approval). Walk over the classes in no order,
 * start with *cursor 0. */
struct policy_class *policy_world_next(const struct policy_world *w, size_t *cursor);
/* Owner of its nodes; 0: they are tagged; -1: they wait. */
int64_t policy_class_user(const struct policy_class *c);
/* Does the selector hold an address of the class's nodes (all or none of them have one in it)? */
bool policy_class_in(const struct policy_world *w, const struct policy_class *c, uint32_t sel);
/* Its nodes by id: walk with *after 0 at first; false at the end. */
bool policy_class_next(const struct policy_world *w, const struct policy_class *c, int64_t *after,
	struct net_ip *ip4, struct net_ip *ip6);
/* The class of the node, or NULL. */
struct policy_class *policy_world_class_of(const struct policy_world *w, int64_t node_id);
/* What the world keeps of the node since it joined: id, user_id, is_waiting, addresses, routes;
 * tags and host may be missing. Borrowed until it leaves or joins anew. NULL: it did not join. */
const struct policy_node *policy_world_node(const struct policy_world *w, int64_t node_id);
/* Do its nodes meet one of the postures? An empty list asks nothing: true. */
bool policy_class_meets(const struct policy_world *w, const struct policy_class *c,
	const struct policy_list *postures);
/* As given to policy_world_new. */
const char *policy_world_server_url(const struct policy_world *w);

/* All addresses that a selector stands for with the nodes that have joined, as a source (is_source:
 * "*" has subnet routes too). Adds to out. */
void policy_world_resolve(struct policy_world *w, uint32_t sel, bool is_source, struct ipset *out);
/* Is an address of the node in one of the list's selectors? */
bool policy_world_any_has(const struct policy_world *w, const struct policy_list *list,
	const struct policy_node *n);

#endif
