/*
 * The table that all workers share: which node keys may use the relay, which connections each key
 * has, and which links to other relays of the region lead to it. Sharded; a lock is held for one
 * table operation only.
 *
 * A key may be connected more than once (a client that changed networks, a cloned state
 * directory). All of its connections stay open and are read; packets go to the active one: the
 * latest to connect or, after that, the one that sent any frame last (Tailscale derp/derpserver:
 * "last writer is active"). Only a key without a connection here is reached over a link: over the one
 * that has known it longest.
 */
#ifndef RELAY_DERP_ROUTE_H
#define RELAY_DERP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/key.h"
#include "base/net.h"
#include "base/worker.h"
#include "relay/quota.h"

struct derp_route;
/* A key's place in the table: valid from derp_route_add to the derp_route_remove of the same
 * ref. */
struct derp_route_entry;

/* Main thread. Never NULL. */
struct derp_route *derp_route_new(void) MUST_USE;
void derp_route_free(struct derp_route *rt);	/* no connection is left; NULL is fine */

/* Everything below: any thread. */

/* The key may use the relay from here on. */
void derp_route_admit(struct derp_route *rt, const struct node_key *key);
/* What the key may send, from here on (one reference is taken over; NULL: as much as it likes). *refs: its
 * connections, n of them, which are to ask for it again; the caller frees the array. Only of admitted
 * keys: of another one nothing is kept. */
size_t derp_route_quota_take(struct derp_route *rt, const struct node_key *key, struct quota_set *quotas,
	struct conn_ref **refs);
/* A reference of it, or NULL. The entry is one that derp_route_add gave. */
struct quota_set *derp_route_quota(struct derp_route *rt, struct derp_route_entry *e);
/* No longer admitted, and without a quota. *refs: its connections, n of them, the caller's to close; the
 * caller frees the array (NULL when n is 0). */
size_t derp_route_expel(struct derp_route *rt, const struct node_key *key, struct conn_ref **refs);

/* The connections of keys that are not admitted, mesh peers' left out; as derp_route_expel gives
 * them. */
size_t derp_route_strangers(struct derp_route *rt, struct conn_ref **refs);

/* A connection that comes. */
struct derp_route_join {
	struct node_key key;
	struct conn_ref ref;
	bool must_be_admitted;
	uint8_t flags;			/* enum derp_frame_present */
	struct net_addr addr;		/* of the client, for watchers */
};

/* Where a key is reached once a connection or link has left it. */
enum derp_route_left { DERP_ROUTE_HERE, DERP_ROUTE_ELSEWHERE, DERP_ROUTE_NOWHERE };

/* A connection with this key came; it is the active one. ERR_DENIED: must_be_admitted and it is
 * not. */
enum err derp_route_add(struct derp_route *rt, const struct derp_route_join *join,
	struct derp_route_entry **out) MUST_USE;
/* A connection went. Unless it answers DERP_ROUTE_HERE it was the last one of its key. */
enum derp_route_left derp_route_remove(struct derp_route *rt, struct derp_route_entry *e,
	struct conn_ref ref);
/* This connection sent something. Takes no lock as long as its key has no other. */
void derp_route_note(struct derp_route *rt, struct derp_route_entry *e, struct conn_ref ref);

/* The active connection of the key. false: there is none. */
bool derp_route_find(struct derp_route *rt, const uint8_t key[KEY_BYTES], struct conn_ref *out);
/* The same, or else the link to it (*is_link). */
bool derp_route_way(struct derp_route *rt, const uint8_t key[KEY_BYTES], struct conn_ref *out,
	bool *is_link);
/* Address and flags of the key's active connection. false: there is none. */
bool derp_route_present(struct derp_route *rt, const struct node_key *key, struct net_addr *addr,
	uint8_t *flags);
/* All connections of the key, as derp_route_expel gives them. */
size_t derp_route_conns(struct derp_route *rt, const struct node_key *key, struct conn_ref **refs);
/* Calls fn for every key that has a connection. fn runs under a lock of the table and must not use
 * it. */
void derp_route_each(struct derp_route *rt, void (*fn)(void *arg, const struct node_key *key),
	void *arg);

/* The relay at the other end of the link has the key, or has it no more. Adding it again changes
 * nothing, nor does removing what is not there (DERP_ROUTE_HERE). */
void derp_route_link_add(struct derp_route *rt, const struct node_key *key, struct conn_ref link);
enum derp_route_left derp_route_link_remove(struct derp_route *rt, const struct node_key *key,
	struct conn_ref link);
/* Does any link lead to the key? */
bool derp_route_has_link(struct derp_route *rt, const uint8_t key[KEY_BYTES]);

#endif
