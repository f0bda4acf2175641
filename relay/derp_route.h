/*
 * The table that all workers share: which node keys may use the relay, and which connections
 * each key has. Sharded; a lock is held for one table operation only.
 *
 * A key may be connected more than once (a client that changed networks, a cloned state
 * directory). All of its connections stay open and are read; packets go to the active one: the
 * latest to connect or, after that, the one that sent any frame last (Tailscale derp/derpserver:
 * "last writer is active").
 */
#ifndef RELAY_DERP_ROUTE_H
#define RELAY_DERP_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/key.h"
#include "base/worker.h"

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
/* No longer admitted. *refs: its connections, n of them, the caller's to close; the caller frees
 * the array (NULL when n is 0). */
size_t derp_route_expel(struct derp_route *rt, const struct node_key *key, struct conn_ref **refs);
/* Was it admitted, and not expelled since? */
bool derp_route_is_admitted(struct derp_route *rt, const struct node_key *key);

/* A connection with this key came; it is the active one. ERR_DENIED: must_be_admitted and it is
 * not. */
enum err derp_route_add(struct derp_route *rt, const struct node_key *key, struct conn_ref ref,
	bool must_be_admitted, struct derp_route_entry **out) MUST_USE;
/* A connection went. true: it was the last one of its key. */
bool derp_route_remove(struct derp_route *rt, struct derp_route_entry *e, struct conn_ref ref);
/* This connection sent something. Takes no lock as long as its key has no other. */
void derp_route_note(struct derp_route *rt, struct derp_route_entry *e, struct conn_ref ref);

/* The active connection of the key. false: there is none. */
bool derp_route_find(struct derp_route *rt, const uint8_t key[KEY_BYTES], struct conn_ref *out);

#endif
