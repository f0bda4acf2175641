/*
 * One long-poll: the sequence number it has, and whether it can be written to. Map requests come in
 * here. Coordinator thread.
 */
#ifndef COORD_SESSION_H
#define COORD_SESSION_H

#include "coord/msg_map.h"
#include "coord/ts2021.h"

struct tailnet;
struct node;

/* A map request (req is taken): applies what it says of the node (soft state), then answers: 404
 * for an unknown node key, 401 when the machine key does not own it, empty 200 for a lite
 * update, or a stream that begins with a full map. A newer stream of the same node ends the
 * older one. */
void session_on_map(struct tailnet *t, const struct ctl_peer *from, struct map_req *req);
void session_on_drained(struct tailnet *t, struct conn_ref conn, int32_t stream);
/* The stream ended: the node goes offline after the grace of config.node.offline_grace_s, last seen when its
 * client was last heard of, silent_ms ago. */
void session_on_gone(struct tailnet *t, struct conn_ref conn, int32_t stream, unsigned silent_ms);

/* The node is about to be removed or its machine logged out: tells its client (a last Node with
 * KeyExpiry in the past) and ends its stream. Before change_note(…, CHANGE_REMOVED). */
void session_end_node(struct tailnet *t, struct node *n);

/* Sends a message (JSON of a MapResponse that says nothing of the map) on n's stream as soon as it can be
 * written to; it takes the place of one that still waits. false: there is no stream. */
bool session_ping(struct tailnet *t, struct node *n, const char *json);
/* What became of the last one on the stream that there is. */
enum session_ping_state {
	SESSION_PING_NONE,		/* no stream, or none was sent on it */
	SESSION_PING_WAITS,		/* for what is being written */
	SESSION_PING_LEFT
};
enum session_ping_state session_ping_state(const struct node *n);

/* State of the distribution: made by tailnet_new, freed with it. */
struct map_state;
struct map_state *session_state_new(struct tailnet *t) MUST_USE;
void session_state_free(struct map_state *m);
/* All nodes are loaded: those stored as online get the grace to come back. */
void session_state_loaded(struct tailnet *t);
/* A node was added to the tailnet's tables / is about to be freed: its map_node is made / freed. */
void session_node_added(struct tailnet *t, struct node *n);
void session_node_removed(struct tailnet *t, struct node *n);

#endif
