/*
 * One tailnet's state and its mutations. Only the coordinator thread touches it; it is loaded
 * from the store at start and lives in memory.
 *
 * Hard changes (users, nodes' identity, keys, names, tags, settings) are checked and reserved at
 * once, but become visible in memory, and are answered, only when the store acknowledges the
 * commit: the done function runs then (or before the call returns, when the change is refused).
 * Soft ones (endpoints, disco key, home relay, Hostinfo, online, last seen) are made in memory
 * by whoever learns of them, who then calls tailnet_soft_dirty.
 */
#ifndef COORD_TAILNET_H
#define COORD_TAILNET_H

#include "base/config.h"
#include "base/map.h"
#include "coord/authkey.h"
#include "coord/node.h"
#include "coord/ts2021.h"
#include "coord/user.h"

#define TAILNET_MAGIC	0x7a1107e7u
#define TAILNET_NAME_MAX 64

struct event_base;
struct jobs;
struct store;
struct ipam;
struct map_state;
struct tailnet_dns;
struct dns_params;
struct policy;
struct tailnet_policy;
struct tailnet_ssh;
struct tailnet_clusters;
struct tailnet_routes;
struct tailnet_regions;
struct tailnet_quotas;
struct tailnet_quota_ops;

/* What a tailnet needs from outside; function pointers are never NULL, may be called on the
 * coordinator thread only. */
struct tailnet_deps {
	struct event_base *base;
	const struct config *cfg;
	struct ts2021 *control;
	struct store *store;
	struct jobs *jobs;		/* NULL: long work is done at once (tests) */
	void *arg;
	void (*admit)(void *arg, const struct node_key *key);	/* relay may serve it */
	void (*expel)(void *arg, const struct node_key *key);
	void *relay_arg;		/* of the next two; arg may be somebody's in between */
	bool (*is_relayed)(void *relay_arg, const struct node_key *key);	/* is connected to the relay */
	const struct tailnet_quota_ops *quota_ops;	/* see tailnet_quota.h; NULL: quotas limit nobody */
	const char *derp_host;		/* host or IP literal that clients reach us by */
	const char *derp_pin;		/* "sha256-raw:…", or NULL with a certificate clients trust */
	uint16_t derp_port, stun_port, http_port;	/* 0: none */
	const char *server_url;		/* "https://…", no slash at the end */
};

/* Something has changed, and is in memory already. Valid during the call only. */
struct tailnet_event {
	const char *what;		/* "node.rename", as in the audit record; "node.online",
					 * "node.offline", "node.update" of soft changes */
	const char *target;		/* "node 17", "user 3", "key k12…", "credential c4…" */
	const char *by;			/* the actor's name, "" for soft changes */
};
typedef void tailnet_watch_fn(void *arg, const struct tailnet_event *e);

/* Settings that an administrator changes while the server runs, kept in the database.
 * X(member, least, most, initially, what it says). */
#define TAILNET_SETTINGS(X) \
	X(devices_need_approval, 0, 1, 0, "1: nodes that join neither with a pre-authorized key nor by " \
	    "an administrator's approval see nobody until one approves them") \
	X(key_days, -1, 3650, -1, "keys of untagged nodes expire so many days after a login; 0: never, " \
	    "-1: as configured (node.key_expiry_days)") \
	X(refuse_cluster_overlap, 0, 1, 0, "1: a route that another K3s cluster claims is not approved") \
	X(disable_cgnat_drop_rule, 0, 1, 0, "1: Linux nodes let in packets from 100.64.0.0/10 that do not " \
	    "come through the tailnet")

/* Among the stored settings, but JSON: see tailnet_dns.h. */
#define TAILNET_SETTING_DNS "dns"

struct tailnet_settings {
#define X(member, min, max, initial, text) int64_t member;
	TAILNET_SETTINGS(X)
#undef X
};

struct tailnet {
	uint32_t magic;
	int64_t id;
	char name[TAILNET_NAME_MAX];
	struct tailnet_deps deps;
	struct map users;		/* struct user by id */
	struct map users_by_name;
	struct map nodes;		/* struct node by id */
	struct map nodes_by_key;	/* by node_key */
	struct map nodes_by_name;
	struct map authkeys;		/* struct authkey by id */
	struct map creds;		/* struct cred by id; see tailnet_cred.h */
	struct map logins;		/* struct login by id; see tailnet_login.h */
	struct tailnet_settings settings;
	struct tailnet_dns *dns_live;	/* see tailnet_dns.h */
	const struct dns_params *dns;	/* in effect; NULL before tailnet_start: as configured */
	struct policy *policy;		/* in force; held; NULL: none, everything is allowed */
	struct tailnet_policy *policies;	/* its version and history; see tailnet_policy.h */
	struct tailnet_ssh *ssh;	/* logins that wait for approval; see tailnet_ssh.h */
	struct tailnet_clusters *clusters;	/* see tailnet_cluster.h */
	struct tailnet_routes *routes;	/* who routes what; see tailnet_route.h */
	struct tailnet_regions *regions;	/* relays beside our own; see tailnet_region.h */
	struct tailnet_quotas *quotas;	/* of the relay; see tailnet_quota.h */
	struct ipam *ipam;
	struct map_state *map;		/* distribution: session, change, map_* */
	struct tailnet_private *priv;	/* reservations, pending registrations, timers: tailnet*.c only */
	tailnet_watch_fn *watch;	/* NULL: nobody */
	void *watch_arg;
	struct event *prune_timer;	/* tailnet_cred.c; NULL before its start */
	unsigned audit_days;
};

/* Who does it, for the audit record. */
struct actor {
	char name[USER_NAME_MAX];	/* "ann@example.org", "uid 0", "key k…", "node 17" */
	struct net_addr from;		/* family 0: local */
};

/* How a hard change ended. Valid during the done function only. */
struct tailnet_result {
	enum err rc;
	struct err_text why;		/* for people, when rc != ERR_OK */
	int64_t id;			/* of the user or node */
	const char *key_id;		/* of the auth key */
	const char *secret;		/* whole auth key text, once */
};
typedef void tailnet_done_fn(void *arg, const struct tailnet_result *res);

/* Makes an empty tailnet (the store's loader fills it); NULL never. */
struct tailnet *tailnet_new(int64_t id, const char *name, const struct tailnet_deps *deps) MUST_USE;
void tailnet_free(struct tailnet *t);

/* Everything is loaded: admits nodes to the relay, starts timers (expiry, soft writes,
 * ephemeral). */
void tailnet_start(struct tailnet *t);
/* Writes soft state that is still dirty (last call before the store stops). */
void tailnet_flush_soft(struct tailnet *t);

/* A registration (req is taken); answers with ts2021_reply when it is durable. The rules are
 * control.md 5.3 and 5.4. */
void tailnet_register(struct tailnet *t, const struct ctl_peer *from, struct register_req *req);
/* The register stream has gone: a waiting follow-up is forgotten. */
void tailnet_register_gone(struct tailnet *t, struct conn_ref conn, int32_t stream);

/* Users. name: 1-127 characters of [A-Za-z0-9._@+-]. ERR_EXISTS, ERR_INVAL; remove:
 * ERR_NOTFOUND, ERR_EXISTS while it has nodes or keys; its credentials of the API go with it.
 * The last owner stays owner: ERR_EXISTS. */
struct tailnet_user_spec {
	const char *name, *display_name;
	enum user_role role;
};
void tailnet_user_create(struct tailnet *t, const struct actor *by,
	const struct tailnet_user_spec *spec, tailnet_done_fn *done, void *arg);
void tailnet_user_rename(struct tailnet *t, const struct actor *by, int64_t user_id,
	const char *name, tailnet_done_fn *done, void *arg);
void tailnet_user_set_role(struct tailnet *t, const struct actor *by, int64_t user_id,
	enum user_role role, tailnet_done_fn *done, void *arg);
void tailnet_user_remove(struct tailnet *t, const struct actor *by, int64_t user_id,
	tailnet_done_fn *done, void *arg);
struct user *tailnet_user_find(struct tailnet *t, const char *name_or_id);

/* Settings. All of them; ERR_INVAL: out of range, with *why in the result. */
void tailnet_settings_set(struct tailnet *t, const struct actor *by,
	const struct tailnet_settings *s, tailnet_done_fn *done, void *arg);
/* Days after which keys of untagged nodes expire, from setting and configuration; 0: never. */
int64_t tailnet_key_days(const struct tailnet *t);
/* The member's name as a text that stays, or NULL: there is no such setting. */
const char *tailnet_setting_name(const char *name);

/* Auth keys. node_name: only the node of that name will join with it, once, and gets exactly this
 * name and these addresses (family 0: the next free ones), which are promised from now on until the
 * key is used, revoked, removed or expired. ERR_NOTFOUND (user), ERR_INVAL, ERR_LIMIT, ERR_FULL,
 * ERR_EXISTS (name or address). */
struct tailnet_key_spec {
	int64_t user_id;
	const char *description;
	const char *const *tags;
	unsigned n_tags;
	bool is_reusable, is_ephemeral, is_preauthorized;
	int64_t expires_unix_s;		/* 0: never */
	const char *node_name;		/* NULL: any node */
	struct net_ip node_ip4, node_ip6;
};
void tailnet_key_create(struct tailnet *t, const struct actor *by,
	const struct tailnet_key_spec *spec, tailnet_done_fn *done, void *arg);
void tailnet_key_revoke(struct tailnet *t, const struct actor *by, const char *key_id,
	tailnet_done_fn *done, void *arg);
void tailnet_key_remove(struct tailnet *t, const struct actor *by, const char *key_id,
	tailnet_done_fn *done, void *arg);

/* Nodes. find: decimal id, name, name.base_domain, or an address. */
struct node *tailnet_node_find(struct tailnet *t, const char *which);
void tailnet_node_rename(struct tailnet *t, const struct actor *by, int64_t node_id,
	const char *name, tailnet_done_fn *done, void *arg);
void tailnet_node_tag(struct tailnet *t, const struct actor *by, int64_t node_id,
	const char *const *tags, unsigned n, tailnet_done_fn *done, void *arg);
void tailnet_node_expire(struct tailnet *t, const struct actor *by, int64_t node_id,
	tailnet_done_fn *done, void *arg);
/* The key expires at that time; 0: never, and that stays so when the node logs in again. An expired
 * one is good again. ERR_INVAL: the time is past (that is tailnet_node_expire). */
void tailnet_node_set_expiry(struct tailnet *t, const struct actor *by, int64_t node_id,
	int64_t expires_unix_s, tailnet_done_fn *done, void *arg);
/* The same: never, or, false, after the configured time from now, unless it expires already. */
void tailnet_node_set_no_expiry(struct tailnet *t, const struct actor *by, int64_t node_id,
	bool is_disabled, tailnet_done_fn *done, void *arg);
/* Other addresses (family 0: stays as it is); the old ones rest. ERR_INVAL: of the wrong family, out
 * of range, reserved; ERR_EXISTS: somebody has it, or it is promised. */
void tailnet_node_set_ips(struct tailnet *t, const struct actor *by, int64_t node_id,
	const struct net_ip *ip4, const struct net_ip *ip6, tailnet_done_fn *done, void *arg);
/* Approves it, or takes that back: then it sees nobody, and nobody sees it. */
void tailnet_node_set_authorized(struct tailnet *t, const struct actor *by, int64_t node_id,
	bool is_authorized, tailnet_done_fn *done, void *arg);
void tailnet_node_remove(struct tailnet *t, const struct actor *by, int64_t node_id,
	tailnet_done_fn *done, void *arg);
/* The client's hostname changed (soft state already updated): a name not given by an
 * administrator follows, TAILNET_OWN_NAMES_MAX times a minute at most. */
void tailnet_node_hostname(struct tailnet *t, struct node *n);

/* Soft state of n changed: written within seconds. */
void tailnet_soft_dirty(struct tailnet *t, struct node *n);

/* MagicDNS name with trailing dot: "name.base_domain." into out of 320 bytes; returns out. */
char *tailnet_node_fqdn(const struct tailnet *t, const struct node *n, char out[320]);

#endif
