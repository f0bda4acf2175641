/*
 * Changes as values: one encoding for the store and for memory. A mutation carries whole records
 * for additions and groups of fields for changes, so that two changes under way to one node
 * cannot lose one another. A txn is what is committed together; its mutations are applied to
 * memory, in order, when the store has acknowledged it. Loading at start goes through
 * txn_finish_take too.
 */
#ifndef COORD_MUTATION_H
#define COORD_MUTATION_H

#include <stdint.h>

#include "base/list.h"
#include "base/mbox.h"
#include "coord/audit.h"
#include "coord/authkey.h"
#include "coord/cluster.h"
#include "coord/cred.h"
#include "coord/node.h"
#include "coord/quota_rule.h"
#include "coord/region.h"
#include "coord/tailnet_policy.h"
#include "coord/user.h"

struct tailnet;

/* X(name, member of the union that is filled). mutation.c has a table of what each does. */
#define MUTATION_TABLE(X) \
	X(USER_ADD, user)	/* whole */ \
	X(USER_NAME, user)	/* id, name */ \
	X(USER_ROLE, user)	/* id, role */ \
	X(USER_DEL, user)	/* id */ \
	X(KEY_ADD, key)		/* whole */ \
	X(KEY_USE, key)		/* id; uses + 1, last used at at_unix_s */ \
	X(KEY_REVOKE, key)	/* id; at at_unix_s */ \
	X(KEY_DEL, key)		/* id */ \
	X(KEY_PLAN, key)	/* id, plan */ \
	X(KEY_PLAN_USE, key)	/* id; its node follows in the same transaction */ \
	X(KEY_PLAN_END, key)	/* id; what was promised is free again */ \
	X(NODE_ADD, node)	/* whole, with its soft state */ \
	X(NODE_SET, node)	/* id and the fields of groups */ \
	X(NODE_DEL, node)	/* id; its addresses rest from at_unix_s on */ \
	X(NODE_STATE, node)	/* id and soft state, which memory has already */ \
	X(CRED_ADD, cred)	/* whole */ \
	X(CRED_SET, cred)	/* id, description, scopes, tags */ \
	X(CRED_USE, cred)	/* id; at at_unix_s, which memory has already */ \
	X(CRED_REVOKE, cred)	/* id; at at_unix_s */ \
	X(CRED_DEL, cred)	/* id; and its tokens */ \
	X(PRUNE, prune)		/* credentials ended by at_unix_s, and old audit records */ \
	X(SETTING, setting)	/* whole */ \
	X(DNS, dns)		/* whole */ \
	X(POLICY_ADD, policy)	/* whole */ \
	X(POLICY_CONFIRM, policy) /* version: it stays */ \
	X(CLUSTER_ADD, cluster)	/* whole */ \
	X(CLUSTER_SET, cluster)	/* whole; found by its name */ \
	X(CLUSTER_DEL, cluster)	/* name */ \
	X(REGION_ADD, region)	/* whole */ \
	X(REGION_SET, region)	/* whole; found by its id */ \
	X(REGION_DEL, region)	/* id */ \
	X(RELAY_ADD, relay)	/* whole */ \
	X(RELAY_SET, relay)	/* whole; found by its name */ \
	X(RELAY_DEL, relay)	/* name */ \
	X(QUOTA_SET, quota)	/* whole; new, or found by its subject */ \
	X(QUOTA_DEL, quota)	/* subject */ \
	X(AUDIT, audit)		/* whole; kept in the database only */

enum mutation_kind {
#define X(name, member) MUTATION_##name,
	MUTATION_TABLE(X)
#undef X
	MUTATION_COUNT
};

/* Fields of a node that change together. */
enum node_group {
	NODE_GROUP_KEY = 1 << 0,	/* node_key */
	NODE_GROUP_NAME = 1 << 1,	/* name, is_name_given */
	NODE_GROUP_OWNER = 1 << 2,	/* user_id, tags */
	NODE_GROUP_EXPIRY = 1 << 3,	/* key_expiry_unix_s, is_expiry_off; is_expiry_warned is false */
	NODE_GROUP_JOIN = 1 << 4,	/* is_ephemeral, is_authorized, authkey_id */
	NODE_GROUP_IP = 1 << 5,		/* ip4, ip6; the old ones rest */
	NODE_GROUP_WARNED = 1 << 6,	/* is_expiry_warned is true */
	NODE_GROUP_ROUTES = 1 << 7,	/* approved */
	NODE_GROUP_ALL = (1 << 8) - 1
};

struct mutation {
	enum mutation_kind kind;
	uint32_t groups;		/* NODE_SET: enum node_group */
	int64_t at_unix_s;
	union {
		struct user user;
		struct authkey key;
		struct node node;
		struct cred cred;
		struct { int64_t audit_before_unix_s; } prune;
		struct { const char *name; int64_t value; } setting;	/* name is static */
		struct { char *json; } dns;	/* owned; as coord/dns_spec.h has it */
		struct policy_version policy;
		struct cluster cluster;
		struct region *region;		/* owned */
		struct region_relay *relay;	/* owned */
		struct quota_rule quota;
		struct audit audit;
	} u;				/* owns what its records own */
};

/* Ran on the coordinator thread after the commit was applied to memory, or refused. */
typedef void txn_done_fn(void *arg, enum err rc, const struct err_text *why);

#define TXN_MAGIC 0x7a4c0001u

struct txn {
	struct mbox_msg msg;		/* first: the way back to the coordinator */
	uint32_t magic;
	unsigned n, _cap;
	struct mutation **list;		/* owned */
	struct tailnet *tailnet;	/* the coordinator's; the store only hands it back */
	int64_t tailnet_id;
	txn_done_fn *done;		/* NULL: soft, nobody waits */
	void *arg;
	enum err rc;			/* the store's answer */
	struct err_text why;
	TAILQ_ENTRY(txn) link;		/* the store's queue */
};

struct txn *txn_new(struct tailnet *t, txn_done_fn *done, void *arg) MUST_USE;
/* Another mutation, zeroed, at the current time; it lives as long as the txn. */
struct mutation *txn_add(struct txn *x, enum mutation_kind kind);
void txn_free(struct txn *x);		/* NULL is fine */
/* The store is done with it (x->rc): applies it on success, runs done, frees. Coordinator
 * thread. */
void txn_finish_take(struct txn *x);
/* The server stops with x under way, committed or not: nothing is applied, done hears ERR_CLOSED, so
 * that what waits for it is freed. Coordinator thread. */
void txn_abandon_take(struct txn *x);

#endif
