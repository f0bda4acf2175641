/*
 * The change log: what happened to which node, by sequence number. Sessions pull from it: a slow
 * one costs an integer. Coordinator thread.
 */
#ifndef COORD_CHANGE_H
#define COORD_CHANGE_H

#include <stdint.h>

struct tailnet;
struct node;
struct policy;
struct policy_world;

/* What peers or the node itself must be told. */
enum change_what {
	CHANGE_ENDPOINTS = 1 << 0,	/* patch to peers */
	CHANGE_HOME = 1 << 1,		/* patch; never waits for a window */
	CHANGE_DISCO = 1 << 2,		/* patch */
	CHANGE_ONLINE = 1 << 3,		/* patch with LastSeen */
	CHANGE_KEY = 1 << 4,		/* node key or its expiry: patch to peers, Node to itself */
	CHANGE_WHOLE = 1 << 5,		/* name, tags, Hostinfo, addresses, routes: whole node to peers */
	CHANGE_SELF = 1 << 6,		/* Node to itself */
	CHANGE_JOINED = 1 << 7,		/* new: whole node and its profile to peers, who are told when its
					 * first stream opens, or soon after if none does */
	CHANGE_REMOVED = 1 << 8		/* node is about to be freed: PeersRemoved */
};

/* A change of node n, already made in memory (CHANGE_REMOVED: n is still there, freed by the
 * caller right after). Distribution is scheduled: at once when the system is quiet, within at
 * most 250 ms in a storm. */
void change_note(struct tailnet *t, struct node *n, uint32_t what);
/* A change that every node is told of: users, DNS, DERP map. what: CHANGE_ALL_*. */
enum change_all {
	CHANGE_ALL_DNS = 1, CHANGE_ALL_DERP = 2, CHANGE_ALL_USERS = 4,
	CHANGE_ALL_ATTRS = 8		/* settings that nodes have as attributes */
};
void change_note_all(struct tailnet *t, uint32_t what);

/* Another policy (held; NULL: everything is allowed) is in force from now on, on every connected
 * node within one round. It is only obeyed here: that it is a good one the caller has seen to. */
void change_policy_set(struct tailnet *t, struct policy *p);
/* The nodes as the policy in force sees them. Borrowed until the next change of policy or users;
 * nodes that joined a moment ago may not be in it yet. */
struct policy_world *change_policy_world(struct tailnet *t);

/* What the node's client is to show its user as a warning; NULL: nothing (any more). */
void change_health_set(struct tailnet *t, struct node *n, const char *text);

#endif
