/*
 * Audit records: who changed what, before and after. Written in the transaction of the change
 * itself; never kept in memory. before and after are JSON objects of what changed, with no
 * secret in them.
 */
#ifndef COORD_AUDIT_H
#define COORD_AUDIT_H

#include <stdint.h>

#include "base/net.h"

struct actor;
struct authkey;
struct cluster;
struct cluster_conflict;
struct cred;
struct login;
struct node;
struct policy_version;
struct quota_rule;
struct region;
struct region_relay;
struct ssh_who;
struct tailnet;
struct txn;
struct tailnet_settings;
struct user;

struct audit {
	char actor[128];	/* "ann@example.org", "node 17", … */
	char source[NET_TEXT_MAX];	/* address, or "local" */
	const char *what;	/* "node.rename"; static */
	char target[80];	/* "node 17", "user 3", "key k12…" */
	char *before, *after;	/* owned JSON text; NULL: there was or is nothing */
};

/* Each adds the record to the transaction. before or after is NULL for what is added or removed;
 * what is a static text. groups (enum node_group): fields that are written down; those of before
 * are read before the change is applied, so call it while the old state is in memory. */
void audit_node(struct txn *x, const struct actor *by, const char *what, const struct node *before,
	const struct node *after, uint32_t groups);
void audit_user(struct txn *x, const struct actor *by, const char *what, const struct user *before,
	const struct user *after);
void audit_key(struct txn *x, const struct actor *by, const char *what,
	const struct authkey *before, const struct authkey *after);
void audit_cred(struct txn *x, const struct actor *by, const char *what, const struct cred *before,
	const struct cred *after);
/* What a rejected device said of itself. */
void audit_login(struct txn *x, const struct actor *by, const char *what, const struct login *l);
/* An SSH check approved or rejected, and a connection that an earlier approval let through; whose, and when,
 * that was. */
struct audit_ssh {
	const struct tailnet *t;
	const struct ssh_who *who;
	const char *approved_by;
	int64_t approved_unix_s;
};
void audit_ssh_decision(struct txn *x, const struct actor *by, const char *what, const char *check_id,
	const struct audit_ssh *s);
void audit_ssh_use(struct txn *x, const struct actor *by, const struct audit_ssh *s);
void audit_cluster(struct txn *x, const struct actor *by, const char *what, const struct cluster *before,
	const struct cluster *after);
/* Two clusters began (before is NULL) or ended to claim the same addresses. */
void audit_conflict(struct txn *x, const struct actor *by, const struct cluster_conflict *before,
	const struct cluster_conflict *after);
void audit_region(struct txn *x, const struct actor *by, const char *what, const struct region *before,
	const struct region *after);
void audit_quota(struct txn *x, const struct actor *by, const char *what, const struct quota_rule *before,
	const struct quota_rule *after);
void audit_relay(struct txn *x, const struct actor *by, const char *what, const struct region_relay *before,
	const struct region_relay *after);
/* Numbers, not texts. */
void audit_policy(struct txn *x, const struct actor *by, const char *what,
	const struct policy_version *before, const struct policy_version *after);
void audit_settings(struct txn *x, const struct actor *by, const struct tailnet_settings *before,
	const struct tailnet_settings *after);
/* Members of the DNS settings that are different (records: those that are); both texts are taken. */
void audit_dns(struct txn *x, const struct actor *by, char *before_taken, char *after_taken);

#endif
