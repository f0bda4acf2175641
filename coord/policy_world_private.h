/*
 * What a policy world is made of. For policy_world*.c only; pw_ is short for policy_world_.
 *
 * Facts of a node are its owner, tags, postures, the literal ranges ("items") that hold its
 * addresses, and its routes; their bytes are the key of its class. A *pair* is a rule's sources
 * and destinations, ports apart; a class, and a kind of route, have one bit per pair for each
 * side. Rows are made of such bits, so that "A can reach B" is S(A) & D(B).
 *
 * A prefix is *wide* if it covers tailnet addresses: an exit node's, or a subnet route inside
 * 100.64.0.0/10 or fd7a:115c:a1e0::/48. Only those overlap selectors that stand for nodes, so
 * their bits depend on who is there; what changes in them makes their routers stale.
 * autogroup:self goes by nodes' own addresses and by exit routes: other wide prefixes do not
 * matter to it.
 */
#ifndef COORD_POLICY_WORLD_PRIVATE_H
#define COORD_POLICY_WORLD_PRIVATE_H

#include "base/list.h"
#include "coord/policy_users.h"
#include "coord/policy_world.h"

#define PW_NONE UINT32_MAX

/* --- sets of bits ----------------------------------------------------------------------------- */

static inline size_t
pw_words(size_t n_bits)
{
	return (n_bits + 63) / 64;
}

static inline bool
pw_bit(const uint64_t *set, size_t i)
{
	return (set[i / 64] >> (i % 64) & 1) != 0;
}

static inline void
pw_bit_set(uint64_t *set, size_t i)
{
	set[i / 64] |= (uint64_t)1 << (i % 64);
}

static inline void
pw_or(uint64_t *to, const uint64_t *from, size_t n_words)
{
	for (size_t i = 0; i < n_words; i++)
		to[i] |= from[i];
}

static inline bool
pw_meet(const uint64_t *a, const uint64_t *b, size_t n_words)
{
	for (size_t i = 0; i < n_words; i++) {
		if ((a[i] & b[i]) != 0)
			return true;
	}
	return false;
}

/* --- lists of numbers ------------------------------------------------------------------------- */

struct pw_list {
	uint32_t *v;		/* owned */
	uint32_t n, cap;
};
/* All zero is empty. */
void pw_list_fini(struct pw_list *l);
void pw_list_add(struct pw_list *l, uint32_t x);
/* Sorts and drops doubles. */
void pw_list_tidy(struct pw_list *l);
/* Of a tidy one. */
bool pw_list_has(const struct pw_list *l, uint32_t x);

/* --- things found by their bytes -------------------------------------------------------------- */

/* First member of what is interned. */
struct pw_intern {
	struct { uint64_t hash, salt; } id;
	uint8_t *bytes;		/* owned */
	size_t n_bytes;
};
void pw_intern_map(struct map *m);
struct pw_intern *pw_intern_find(const struct map *m, const void *p, size_t n);
/* Puts it in with a copy of the bytes, which are not in there. */
void pw_intern_put(struct map *m, struct pw_intern *object, const void *p, size_t n);
void pw_intern_remove(struct map *m, struct pw_intern *object);	/* frees the bytes, not the object */

/* --- the policy, prepared --------------------------------------------------------------------- */

/* A range of a literal selector. */
struct pw_item {
	struct net_ip lo, hi;
	uint32_t sel;
	uint32_t hit;		/* what an address in it is told as: itself, or the first of "*" */
	bool is_internet;	/* all of it is in autogroup:internet */
};

/* Where a selector is used: rule, and which destination; PW_NONE: as a source. */
struct pw_use {
	uint32_t rule, dst;
};

struct pw_sel {
	uint32_t first_item, n_items;
	uint32_t first_use, n_uses;
	bool is_nodes;		/* user, group, tag, …: */
	bool is_hit;		/* some use has something for the filters of who is in it */
	bool is_self_hit;	/* and names the user */
	uint32_t n_sources;	/* sources in use that name it */
	bool is_ssh;		/* a source of an ssh rule */
	uint32_t first_via;	/* of its items as via rules name them, in a row; or PW_NONE */
	bool is_touched;	/* somebody in it came or went since the last refresh */
	bool is_built;		/* set is right */
	bool is_changed;	/* text is another since the last refresh */
	unsigned n_changes;	/* of set, since the last refresh */
	struct ipset set;
	struct shbuf *text;	/* of set; NULL: not made yet */
};

/* Sources as several rules have them. */
struct pw_source {
	struct pw_intern intern;
	struct pw_list sels;
	const struct policy_list *postures;	/* borrowed of a rule; NULL: none asked */
	uint32_t index;
	uint32_t n_programs;	/* that name them; 0: text and those of selectors are not kept */
	bool has_any, has_all, is_dirty;
	struct shbuf *text;	/* with postures: of SrcIPs, without brackets */
};

struct pw_rule {
	uint32_t source;	/* index into sources */
	uint32_t reverse;	/* the same of its destinations, for companions; or PW_NONE */
	uint32_t pair;		/* of a via rule: for the sources only */
	uint32_t reverse_pair;	/* or PW_NONE */
	uint32_t via;		/* number among via rules, or PW_NONE */
	uint32_t self;		/* number among rules with autogroup:self, or PW_NONE */
	bool has_internet;	/* via rules: autogroup:internet is a destination */
	bool is_pair;		/* has sources, and (via apart) destinations other than autogroup:self */
};

struct pw_user_sel {
	int64_t user_id;
	uint32_t sel;
};

struct pw_tag_sel {
	const char *tag;	/* borrowed */
	uint32_t sel;
};

/* --- nodes ------------------------------------------------------------------------------------ */

struct pw_node {
	int64_t id;
	struct policy_node as_joined;	/* routes owned; tags and host not kept */
	struct policy_class *class;
	uint16_t *kinds;		/* owned: of each route, of the class's */
	bool is_queued;			/* in stale */
};

struct pw_address {
	struct net_ip ip;
	uint32_t n_nodes;
};

struct pw_prefix {
	struct net_prefix prefix;
	uint32_t id;			/* never used again */
	bool is_exit, is_wide;
	struct pw_list items;		/* that it overlaps */
	struct pw_node **routers;	/* owned array */
	uint32_t n_routers, cap_routers;
	uint64_t *bits;			/* wide: source, then destination bits by nodes, as routers were told */
	bool is_dirty;			/* wide: bits may be others by now */
	TAILQ_ENTRY(pw_prefix) link;	/* wide */
};

/* Facts of a node; of a class those of each of its nodes. */
struct pw_facts {
	int64_t user_id;		/* 0: tagged, -1: waiting */
	bool has_ip4, has_ip6, has_subnet, has_exit, is_odd;	/* odd: a subnet route is wide */
	bool self_exit4, self_exit6;	/* exit routes are seen by autogroup:self */
	uint64_t postures;		/* bits; of those beyond 64 more_postures */
	struct pw_list more_postures;
	struct pw_list tags;		/* TAG selectors */
	struct pw_list items;		/* that hold an address */
	struct pw_list sels;		/* that hold an address */
	struct pw_list route_items;	/* that overlap a subnet route */
};
/* Frees the lists. */
void pw_facts_fini(struct pw_facts *f);

struct pw_program;

struct policy_class_private {
	struct pw_intern intern;	/* by the key of its facts */
	struct policy_class class;
	struct pw_facts facts;
	struct pw_node **nodes;		/* owned array, by id */
	unsigned cap_nodes;
	struct net_prefix *kind_of;	/* owned: a prefix of each kind */
	uint16_t *row_kinds;		/* owned: of the row's, by the class's kinds */
	unsigned n_kinds;
	struct pw_program *program;
	TAILQ_ENTRY(policy_class_private) program_link, user_link, new_link;
	bool is_new;			/* has no bundle yet */
	struct shbuf *caps;
	uint64_t ssh;
	bool is_ipv4_off, is_exit_suggested;
	bool is_ssh_wanted;		/* an ssh rule concerns it */
	bool is_self_source;		/* of a rule with autogroup:self */
};
TAILQ_HEAD(pw_class_list, policy_class_private);

/* Those of one user that is not tagged. */
struct pw_user {
	int64_t id;
	struct pw_class_list classes;
	unsigned n_classes[2], n_sources[2];	/* with IPv4, with IPv6 addresses; that are is_self_source */
	bool is_touched;		/* in touched_users */
	TAILQ_ENTRY(pw_user) touched_link;
};

/* --- filters ---------------------------------------------------------------------------------- */

/* What a program is made of, so that it is made once for classes that differ elsewhere. */
struct pw_program_key {
	struct pw_intern intern;
	struct pw_program *program;
	TAILQ_ENTRY(pw_program_key) link;
};

/* The filter of classes: see policy_world_filter.c. */
struct pw_program {
	struct pw_intern intern;
	struct pw_class_list classes;
	struct shbuf *text;		/* NULL: not made yet */
	struct shbuf *parts;		/* see policy_bundle */
	struct pw_list sources;		/* that it names */
	int64_t user_id;		/* whose own nodes it names, or 0 */
	TAILQ_HEAD(, pw_program_key) keys;
	uint64_t refreshed;		/* in which refresh */
};

/* --- rows ------------------------------------------------------------------------------------- */

/* Where things are in the words of a row and of a kind: see policy_world_row.c. */
struct pw_layout {
	size_t pair_words, via_words, item_words, self_words;
	size_t source, dest, address, tagged, via_address, via_route, self, kinds;
	size_t kind_source, kind_dest, kind_other, kind_items, kind_words;
};

struct pw_row {
	struct pw_intern intern;
	uint32_t index;
	const uint64_t *w;		/* the bytes */
};

struct pw_view {
	struct pw_intern intern;
	struct policy_view *view;	/* owned */
};

#define PW_PAIR_VIEWS (1u << 16)	/* kept; pairs of rows can be a hundred million */

/* What policy_world_view said; viewer POLICY_ROW_WAITING: of nothing. */
struct pw_pair_view {
	uint32_t viewer, row;
	const struct policy_view *view;
};

struct policy_world_private {
	char *server_url;
	struct pw_sel *sels;
	struct pw_item *items;
	uint32_t n_items, n_via_items;
	uint32_t *by_lo;		/* items by their lo */
	struct net_ip *max_hi;		/* of the middle's subtree, see policy_world_index.c */
	struct pw_use *uses;
	struct pw_rule *rules;
	struct pw_source **sources;
	uint32_t n_sources, cap_sources;
	struct map sources_by_key;
	struct pw_user_sel *user_sels;
	size_t n_user_sels;
	struct pw_tag_sel *tag_sels;
	uint32_t n_tag_sels;
	uint32_t member, tagged, internet;	/* selectors, or PW_NONE */
	uint32_t n_pairs, n_via, n_self;
	uint32_t *via_rules, *self_rules;	/* by number */
	uint64_t *internet_pairs;	/* their destinations cover the internet */
	uint64_t *any_dest_pairs, *any_source_pairs;	/* those of "*" */
	uint64_t *plain_pairs;		/* not of via rules */
	struct pw_use *any_dests, *internet_dests;	/* "*" by port; such that exit nodes get */
	size_t n_any_dests, n_internet_dests;
	bool is_open;			/* everybody may reach everybody, and no via: */
	uint32_t open_sels[2];		/* whoever is in one of these, or PW_NONE */
	struct pw_layout layout;

	struct map nodes, prefixes, classes, users, rows, views, programs, program_keys, caps;
	struct pw_pair_view *pair_views;	/* owned; the latest by a hash of the pair; NULL: none yet */
	uint64_t n_refreshes;
	struct pw_use *attr_uses;	/* owned, sorted: rule is the selector, dst the entry of nodeAttrs */
	size_t n_attr_uses;
	struct pw_row **row_list;
	uint32_t cap_rows, next_prefix_id, next_view_id;
	TAILQ_HEAD(, pw_prefix) wide;
	uint32_t *exit_counts;		/* IPv4 source, IPv4 destination, IPv6 source, IPv6 destination */
	bool is_exit4_dirty, is_exit6_dirty;
	struct pw_class_list new_classes;
	struct map addresses;		/* struct pw_address: how many nodes have it */
	struct pw_list touched;		/* selectors */
	TAILQ_HEAD(, pw_user) touched_users;
	struct ipset routes;		/* of all nodes */
	struct shbuf *routes_text;
	bool are_routes_dirty, are_routes_changed;
	bool is_touched, is_ssh_touched;
	int64_t *stale;			/* queue of node ids that may be */
	size_t n_stale, cap_stale;
	struct shbuf *no_caps, *no_filter;
	struct policy_ssh_maker *ssh;	/* owned; NULL: nodes came or went since the last */
};

static inline struct policy_class_private *
pw_private(const struct policy_class *c)
{
	return c->_p;
}

/* --- policy_world_prepare.c ------------------------------------------------------------------- */

/* Fills what depends on the policy and users alone. */
void policy_world_prepare(struct policy_world *w);
void policy_world_unprepare(struct policy_world *w);

/* --- policy_world_index.c --------------------------------------------------------------------- */

/* Of p->items. */
void policy_world_index_make(struct policy_world_private *p);
/* Adds the items that overlap the range, in no order. */
void policy_world_index_find(const struct policy_world_private *p, const struct net_ip *lo,
	const struct net_ip *hi, struct pw_list *out);
/* Orders addresses, IPv4 first. */
int policy_world_ip_compare(const struct net_ip *a, const struct net_ip *b);
/* Orders struct ipset_range by their begin. */
int policy_world_range_compare(const void *a, const void *b);
struct ipset_range policy_world_range_of(const struct net_prefix *p);
/* Appends the prefixes that make up the range as JSON strings; comma before each but the first
 * of all. */
void policy_world_prefixes_put(struct buf *b, const struct ipset_range *r, bool *is_first);

/* --- policy_world_facts.c --------------------------------------------------------------------- */

/* Identity of n: f is zeroed by the caller. */
void policy_world_facts(const struct policy_world *w, const struct policy_node *n, struct pw_facts *f);
/* The rest of f, by the routes of n, whose prefixes exist, and by who else is there; and the
 * key. */
struct pw_key {
	struct buf bytes;
	uint16_t *kinds;		/* of each route */
	struct net_prefix *kind_of;	/* a prefix of each kind */
	unsigned n_kinds;
};
void policy_world_key_make(const struct policy_world *w, const struct policy_node *n, struct pw_facts *f,
	struct pw_key *key);
void policy_world_key_fini(struct pw_key *key);
/* Fills f->sels out of the rest. */
void policy_world_facts_sels(const struct policy_world_private *p, struct pw_facts *f);
/* Is it among the sources of a rule with autogroup:self? f->sels is filled. */
bool policy_world_is_self_source(const struct policy_world_private *p, const struct pw_facts *f);
/* The first node of a new class came, or the last one went: what wide prefixes overlap may
 * change. */
void policy_world_count(struct policy_world *w, const struct pw_facts *f, int by);
/* Bits by nodes alone (selectors that stand for nodes, postures), of addresses of that family. */
void policy_world_node_bits(const struct policy_world *w, const struct pw_facts *f, uint8_t family,
	uint64_t *source, uint64_t *dest);
/* Id of the prefix if another node has it too, else 0. */
uint32_t policy_world_shared(const struct policy_world *w, const struct pw_prefix *x, int64_t node_id);
/* Whom a via rule takes among the nodes with this subnet route, the lowest id of those with its
 * tags: 0 nobody, 1 this node, 2 another. */
uint8_t policy_world_via_winner(const struct policy_world *w, const struct pw_prefix *x, uint32_t via,
	int64_t node_id, const struct pw_facts *f);
/* Has it a tag that some via rule names? Only then it matters whom one takes. */
bool policy_world_has_via_tag(const struct policy_world *w, const struct pw_facts *f);
/* Bits of a wide prefix that n routes, itself included: pair words twice. */
void policy_world_wide_bits_with(const struct policy_world *w, const struct pw_prefix *x,
	const struct policy_node *n, const struct pw_facts *f, uint64_t *bits);
/* One of the postures; NULL or an empty list asks nothing. */
bool pw_facts_meet(const struct pw_facts *f, const struct policy_list *postures);
/* Is an address of the node in the sources, postures considered (or not)? */
bool pw_facts_in(const struct pw_facts *f, const struct pw_source *s);
bool pw_facts_in_sels(const struct pw_facts *f, const struct pw_source *s);

/* --- policy_world_prefix.c -------------------------------------------------------------------- */

/* Found or made. The node becomes, or no longer is, one of the routers of all that it routes. */
struct pw_prefix *policy_world_prefix_get(struct policy_world *w, const struct net_prefix *prefix);
void policy_world_prefix_join(struct policy_world *w, struct pw_node *node);
void policy_world_prefix_leave(struct policy_world *w, struct pw_node *node);
/* Frees those that nobody routes. */
void policy_world_prefix_free(struct policy_world *w, struct pw_prefix *x);
/* An address came or went. */
void policy_world_prefix_touch(struct policy_world *w, const struct pw_node *node);
/* Queues the routers of wide prefixes that overlap others than they were told. Must be called
 * before another one joins them, so that all of them were told the same. */
void policy_world_wide_check(struct policy_world *w);
/* Would it still be in its class, whatever others are there by now? */
bool policy_world_is_still(const struct policy_world *w, const struct pw_node *node);
/* It may be stale: policy_world_stale is to look at it. */
void policy_world_stale_add(struct policy_world *w, struct pw_node *node);
/* Source and destination bits of a wide prefix by who is there, as of now: pair words twice. */
void policy_world_wide_bits(const struct policy_world *w, const struct pw_prefix *x, uint64_t *bits);

/* --- policy_world_row.c, policy_world_view.c -------------------------------------------------- */

/* Once pairs, via rules and such are numbered. */
void policy_world_layout_make(struct policy_world_private *p);
/* The row of the class, whose first node is n; fills its row_kinds. */
uint32_t policy_world_row_of(struct policy_world *w, struct policy_class_private *c,
	const struct policy_node *n);

#define PW_ROW_OPEN		1u
#define PW_ROW_IPV4_OFF		2u
#define PW_ROW_EXIT		4u
#define PW_ROW_SELF_EXIT4	8u
#define PW_ROW_SELF_EXIT6	16u
#define PW_ROW_FLAGS		0	/* first words of a row */
#define PW_ROW_USER		1
#define PW_ROW_N_KINDS		2
#define PW_ROW_HEAD		3

#define PW_KIND_EXIT4		1u
#define PW_KIND_EXIT6		2u
#define PW_KIND_FLAGS		0
#define PW_KIND_SHARED		1
#define PW_KIND_HEAD		2

/* --- policy_world_bundle.c -------------------------------------------------------------------- */

/* Does an ssh rule concern nodes of the class, as sources or destinations? */
bool policy_world_wants_ssh(const struct policy_world *w, const struct policy_class_private *c);

/* --- policy_world_filter.c, policy_world_source.c, policy_world_attr.c ------------------------ */

/* The program of the class, made or found: it joins its list. */
void policy_world_program_join(struct policy_world *w, struct policy_class_private *c);
void policy_world_program_leave(struct policy_world *w, struct policy_class_private *c);
/* Builds its program anew: true if it is another one. */
bool policy_world_program_again(struct policy_world *w, struct policy_class_private *c);
/* Makes the text anew if it has to be: true if it is another then. */
bool policy_world_program_refresh(struct policy_world *w, struct pw_program *g);

/* An address of the class came (by 1) or went (-1). */
void policy_world_source_touch(struct policy_world *w, const struct policy_class_private *c,
	const struct policy_node *n, int by);
/* A program that names the sources comes (by 1) or goes (-1). */
void policy_world_source_use(struct policy_world *w, uint32_t source, int by);
/* Makes texts of used sources anew; is_dirty of a source says that it has changed. Whether any
 * has. */
bool policy_world_source_refresh(struct policy_world *w);
void policy_world_source_fini(struct policy_world *w);
/* Index of these sources, made if need be. */
uint32_t policy_world_source_of(struct policy_world *w, const struct pw_list *sels,
	const struct policy_list *postures);
/* Adds the addresses of the user's nodes that are in the sources (NULL: of all). */
void policy_world_source_of_user(const struct policy_world *w, int64_t user_id, const struct pw_source *s,
	struct ipset *out);

/* What attributes the class has: caps, is_ipv4_off, is_exit_suggested. */
void policy_world_attr_set(struct policy_world *w, struct policy_class_private *c);
void policy_world_attr_init(struct policy_world *w);
void policy_world_attr_fini(struct policy_world *w);

#endif
