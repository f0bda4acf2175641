/*
 * Logins: devices that asked to join without a key and wait until somebody approves them. They live
 * in memory only, for LOGIN_LIFE_S; a machine has at most one. Its client shows
 * <server_url>/register/<id>, and holds a request open that is answered when the login is decided.
 *
 *   tailscale up -> a login is made, AuthURL -> the same request with Followup: waits
 *   approved: the node is committed, then the client hears it      rejected: the client hears that
 *   over, or unknown (after a restart): the client gets a new AuthURL
 *
 * Who can make the server keep one: anybody. So a source address has at most LOGINS_PER_SOURCE_MAX
 * and all together LOGINS_MAX (the oldest goes, first those whose client does not wait), each of
 * LOGIN_HOST_MAX bytes; new ones cost a token of the refused registrations' limit. Coordinator thread.
 */
#ifndef COORD_TAILNET_LOGIN_H
#define COORD_TAILNET_LOGIN_H

#include "base/list.h"
#include "coord/tailnet.h"

#define LOGIN_MAGIC		0x10910001u
#define LOGIN_ID_CHARS		24	/* of 62: 142 bits */
#define LOGIN_LIFE_S		900
#define LOGIN_HOST_MAX		(16u << 10)	/* bytes of its Hostinfo; clients send 1-2 KiB */
#define LOGIN_WAITERS_MAX	4	/* requests of one client; it has one at a time */
#define LOGINS_MAX		1000
#define LOGINS_PER_SOURCE_MAX	100

struct registration;

enum login_state { LOGIN_PENDING, LOGIN_APPROVING, LOGIN_REJECTED };

struct login {
	uint32_t magic;
	enum login_state state;
	char id[LOGIN_ID_CHARS + 8];	/* zero-padded */
	struct ctl_peer from;		/* of its last request */
	struct register_req *req;	/* owned; without a key, its host is what a person decides about */
	int64_t created_unix_s, expires_unix_s;
	/* private */
	TAILQ_HEAD(, registration) _waiters;
	unsigned _n_waiters;
	TAILQ_ENTRY(login) _link;
};

/* The login of that id, or NULL: unknown, over, or rejected. Borrowed. */
struct login *tailnet_login_find(const struct tailnet *t, const char *id);
/* The node that this machine has already, by which approval would continue, or NULL. If it is one of
 * several users' the newest. */
const struct node *tailnet_login_node(const struct tailnet *t, const struct login *l);

/* The device joins as one of the user's. tags: instead of those that it asked for (has_tags); approval
 * permits either. is_authorized: it also counts as approved where devices need that. done gets the
 * node's id. ERR_NOTFOUND (login, user), ERR_INVAL (tags), ERR_DENIED, ERR_BUSY, ERR_FULL. */
struct tailnet_login_spec {
	int64_t user_id;
	const char *const *tags;
	unsigned n_tags;
	bool has_tags, is_authorized;
};
void tailnet_login_approve(struct tailnet *t, const struct actor *by, const char *id,
	const struct tailnet_login_spec *spec, tailnet_done_fn *done, void *arg);
/* Its client is told so, for the rest of the login's life. ERR_NOTFOUND, ERR_BUSY. */
void tailnet_login_reject(struct tailnet *t, const struct actor *by, const char *id,
	tailnet_done_fn *done, void *arg);

#endif
