/* What the tailnet*.c and mutation.c share; nobody else includes this. Coordinator thread. */
#ifndef COORD_TAILNET_PRIVATE_H
#define COORD_TAILNET_PRIVATE_H

#include "base/list.h"
#include "base/ratelimit.h"
#include "coord/dns_label.h"
#include "coord/ipam.h"
#include "coord/mutation.h"
#include "coord/tailnet.h"

#define SOFT_FLUSH_MS		5000	/* soft state is written this long after its first change */
#define SOFT_FLUSH_NODES	256	/* in one transaction, and in one turn of the loop */
#define TAILNET_OWN_NAMES_MAX	16	/* names that a node takes by itself in so many seconds: */
#define TAILNET_OWN_NAMES_S	60
#define MACHINE_WAITING_MAX	8	/* registrations of one machine behind the one under way */

struct event;
struct login;
struct registration;

/* One machine key: its nodes, and its registrations, which run one after the other. */
struct machine {
	struct machine_key key;
	struct node *first;			/* linked by _machine_next */
	struct registration *running;		/* its transaction is at the store, or NULL */
	TAILQ_HEAD(, registration) waiting;
	unsigned n_waiting;
	struct login *login;			/* that waits for an administrator, or NULL */
};

/* A label promised to a change under way. */
struct name_hold {
	char name[DNS_LABEL_MAX];
};

struct tailnet_private {
	struct map machines;			/* struct machine by key */
	struct map names_held;			/* struct name_hold */
	struct map node_keys_held;		/* struct registration by node_key */
	struct map waiting;		/* struct registration by wait: in a queue of its machine */
	TAILQ_HEAD(, registration) at_store;	/* requests whose transactions are under way, oldest first */
	struct ratelimit *refusals;		/* refused registrations by source address; NULL: any number */
	struct event *due_timer, *soft_timer;	/* NULL before start */
	int64_t due_unix_s;			/* when due_timer fires; 0: not armed */
	TAILQ_HEAD(, node) dirty;		/* is_soft_dirty */
	int64_t started_unix_s;
	bool is_started;
	TAILQ_HEAD(, login) logins;		/* oldest first */
	struct map login_waiters;		/* struct registration by wait */
	int64_t n_expiring, n_unapproved;	/* as the metrics have them */
};

/* A hard change asked for by the API: answers done when its transaction is. */
struct tailnet_op {
	struct tailnet *t;
	tailnet_done_fn *done;			/* NULL: nobody asks */
	void *arg;
	int64_t id;				/* reported */
	char key_id[AUTHKEY_ID_CHARS + 4];	/* reported, unless "" */
	char secret[AUTHKEY_TEXT_MAX];		/* reported, unless ""; wiped */
	char held_name[DNS_LABEL_MAX];		/* given back at the end, unless "" */
	int64_t removing_id;			/* node whose removal mark goes on failure, or 0 */
	char kept_name[DNS_LABEL_MAX];		/* given back on failure, unless "" */
	struct ipam_hold kept4, kept6;		/* likewise, unless zero */
	int64_t moving_id;			/* node whose mark of other addresses goes at the end, or 0 */
	int64_t routing_id;			/* node whose mark of other routes goes at the end, or 0 */
	int64_t renaming_id;			/* node whose renaming mark goes at the end, or 0 */
	bool is_plan_end;			/* of key_id: its mark goes on failure */
	const char *exists_text;		/* said for a violated constraint; static, or NULL */
};

/* With the caller's done and arg; freed when it is answered. */
struct tailnet_op *tailnet_op_new(struct tailnet *t, tailnet_done_fn *done, void *arg) MUST_USE;
/* Sends the transaction off; ERR_BUSY is answered at once. Consumes both. */
void tailnet_op_submit_take(struct tailnet_op *op, struct txn *x);
/* Answers that it is refused, without a transaction. */
void tailnet_op_refuse_take(struct tailnet_op *op, enum err rc, const struct err_text *why);
/* The key expired unused: what was promised to its node is free again. Nothing if nothing is. */
void tailnet_key_plan_expire(struct tailnet *t, struct authkey *k);
/* A transaction that answers op at its end. */
struct txn *tailnet_op_txn(struct tailnet_op *op) MUST_USE;
/* Answers without a transaction: refused, or nothing to do (ERR_OK). */
void tailnet_op_answer(tailnet_done_fn *done, void *arg, enum err rc, const struct err_text *why,
	int64_t id);

/* Names. */
bool tailnet_name_is_free(const struct tailnet *t, const char name[DNS_LABEL_MAX]);
/* base, or the first free base-1, base-2, …; held until tailnet_name_give. */
void tailnet_name_take(struct tailnet *t, const char *base, char out[DNS_LABEL_MAX]);
/* false: taken already. */
bool tailnet_name_hold(struct tailnet *t, const char name[DNS_LABEL_MAX]);
void tailnet_name_give(struct tailnet *t, const char name[DNS_LABEL_MAX]);

/* Machines. get makes it; drop frees it when nothing hangs on it any more. */
struct machine *tailnet_machine_get(struct tailnet *t, const struct machine_key *key) MUST_USE;
void tailnet_machine_drop(struct tailnet *t, struct machine *m);

/* Key expiry of a node registered now: 0 for tagged ones, else by configuration; asked_unix_s
 * (0: nothing) may only shorten it. */
int64_t tailnet_expiry_of_new(const struct tailnet *t, bool is_tagged, int64_t now_unix_s,
	int64_t asked_unix_s);

/* The same for one that logs in again: never, if an administrator decided so. */
int64_t tailnet_expiry_again(const struct tailnet *t, const struct node *old, bool is_tagged,
	int64_t now_unix_s, int64_t asked_unix_s);

/* Settings (tailnet_setting.c). A value out of range, from the database, is left alone. */
void tailnet_settings_init(struct tailnet_settings *s);
void tailnet_setting_apply(struct tailnet *t, const char *name, int64_t value);

/* Timers. Something is to be looked at then; nothing before tailnet_start. */
void tailnet_due_note(struct tailnet *t, int64_t unix_s);
/* The node's key expires, of which is to be warned before: within a second if that is due. */
void tailnet_expiry_note(struct tailnet *t, const struct node *n);
/* When an ephemeral node that stays offline is removed; 0: not by itself. */
int64_t tailnet_ephemeral_due(const struct tailnet *t, const struct node *n);
void tailnet_timers_start(struct tailnet *t);
void tailnet_timers_stop(struct tailnet *t);
/* What the timers do: tells of expired keys, removes ephemeral nodes; one batch of soft state
 * (false: none was dirty, or the store took none). Tests call them. */
void tailnet_due_run(struct tailnet *t);
bool tailnet_soft_run(struct tailnet *t);

/* Credentials (tailnet_cred.c): the table, and what the table in mutation.c calls for their kinds. */
void tailnet_creds_init(struct tailnet *t);
void tailnet_creds_fini(struct tailnet *t);
void tailnet_cred_apply(struct tailnet *t, struct mutation *m);

/* One request to register, from its arrival to its answer. */
struct registration {
	struct node_key node_key;		/* key in node_keys_held */
	struct tailnet *t;
	struct ctl_peer from;
	struct register_req *req;		/* owned */
	struct machine *machine;
	TAILQ_ENTRY(registration) link;		/* while it waits: of its machine, or of its login; at_store */
	int64_t at_store_ms;			/* since when it is in at_store */
	/* its stream: the key in waiting, login_waiters */
	struct wait_key { uint32_t worker, slot, generation, stream; } wait;
	struct login *login;			/* that it waits for, or whose approval it is; or NULL */
	struct approval *approval;		/* owned: tailnet_login.c's; NULL: the client asks */
	txn_done_fn *done;			/* of its transaction */
	const struct actor *by;			/* who approves; borrowed; NULL: nobody */
	int64_t node_id;			/* that it is about */
	bool is_logout;
	/* reserved while the transaction is under way */
	bool is_key_held;			/* node_key */
	int64_t moving_id;			/* node that gets other addresses, or 0 */
	char authkey_id[AUTHKEY_ID_CHARS + 4];	/* a use of it, unless "" */
	char name[DNS_LABEL_MAX];		/* unless "" */
	struct net_ip ip4, ip6;			/* unless family 0 */
};

enum join {
	JOIN_KNOWN,	/* registered already: success, nothing changes; node_id is set */
	JOIN_EXPIRED,	/* NodeKeyExpired: the client comes again with a new node key */
	JOIN_REFUSED,	/* *why is for the person at the client */
	JOIN_BUSY,	/* again in a second: something about it is not decided yet */
	JOIN_LOGIN,	/* somebody must approve: r->login has the address to go to */
	JOIN_WAIT,	/* r was taken; it is answered when r->login is decided */
	JOIN_TXN	/* *x is to be committed; reservations are noted in r */
};

/* The rules: what this request comes to (coord/tailnet_join). */
enum join tailnet_join_decide(struct registration *r, struct txn **x, struct err_text *why) MUST_USE;
/* What an administrator's approval of r->req comes to: KNOWN, REFUSED, BUSY or TXN. */
struct join_approval {
	struct user *user;
	char *const *tags;
	unsigned n_tags;
	bool is_authorized;
};
enum join tailnet_join_approve(struct registration *r, const struct join_approval *a, struct txn **x,
	struct err_text *why) MUST_USE;
/* Appends " tag:x" to text of n bytes, for each until it is full. */
void tailnet_tags_say(char *text, size_t n, char *const *tags, unsigned n_tags);
/* The transaction is decided: gives back what decide reserved; a committed node keeps its
 * addresses. */
void tailnet_join_release(struct registration *r, bool is_committed);
/* A transaction's done function: answers, then lets the machine's next one run. */
void tailnet_register_done(void *arg, enum err rc, const struct err_text *why);
/* Runs the machine's registrations that wait, until one has a transaction under way. The machine may
 * be gone afterwards. */
void tailnet_machine_run(struct tailnet *t, struct machine *m);
struct wait_key tailnet_wait_key(struct conn_ref conn, int32_t stream);
/* Puts r, which is in no queue, behind those that wait. */
void tailnet_register_queue(struct registration *r);
/* Answers that r should come again later, and frees it. */
void tailnet_register_put_off_take(struct registration *r, const char *text);
void tailnet_registration_free(struct registration *r);
/* Frees registrations that are running or waiting; their requests are not answered. */
void tailnet_register_fini(struct tailnet *t);

/* Logins (tailnet_login.c). decide: a request without a key from a node that is not known: LOGIN, WAIT
 * or REFUSED. gone: the stream of a registration that waits for a login, if there is one. due:
 * ends those whose time is over; returns when the next one's is, 0: none. */
void tailnet_logins_init(struct tailnet *t);
void tailnet_logins_fini(struct tailnet *t);
enum join tailnet_login_decide(struct registration *r, struct err_text *why) MUST_USE;
void tailnet_login_gone(struct tailnet *t, const struct wait_key *key);
int64_t tailnet_logins_due(struct tailnet *t, int64_t now_unix_s);

#endif
