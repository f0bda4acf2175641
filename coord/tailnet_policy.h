/*
 * The policy of a tailnet: every version is kept, the newest is in force. A text is checked, with
 * the users and nodes there are, by the jobs thread; saves wait for one another, so that each is
 * checked against what it replaces. Coordinator thread.
 *
 * What is stored never keeps the server from starting: when the newest version is not understood
 * (by an older or newer program), the newest one that is stays in force. If there is none, nobody
 * reaches anybody.
 */
#ifndef COORD_TAILNET_POLICY_H
#define COORD_TAILNET_POLICY_H

#include "base/list.h"
#include "coord/policy.h"
#include "coord/tailnet.h"

#define POLICY_COMMENT_MAX	256	/* bytes, with NUL */
#define POLICY_HASH_CHARS	64
#define POLICY_HASH_DEFAULT	"ts-default"	/* stands for any hash while there is no policy */
#define POLICY_FILE_WHAT	"policy.file"

struct event;
struct mutation;
struct tailnet_op;
struct txn;
struct policy_file;
struct policy_save;

/* One version. */
struct policy_version {
	int64_t version;		/* from 1; 0: none */
	int64_t made_unix_s;
	int64_t confirm_by_unix_s;	/* unless confirmed by then it is taken back; 0: it stays */
	int64_t reverts_to;		/* the version whose text comes back then; 0: none, an empty text */
	char author[128];
	char comment[POLICY_COMMENT_MAX];
	char hash[POLICY_HASH_CHARS + 1];	/* SHA-256 of the text as hex */
	struct policy *policy;		/* held; NULL: the text is empty, everything is allowed */
};
void policy_version_fini(struct policy_version *v);
/* Sets policy (taken) and hash, which is of an empty text for NULL. */
void policy_version_set(struct policy_version *v, struct policy *take);

/* What struct tailnet has as policies. Others read. */
struct tailnet_policy {
	struct policy_version now;	/* in force; now.policy is tailnet.policy */
	int64_t newest;			/* number given out last */
	int64_t unreadable;		/* newest version, if it is not understood; else 0 */
	char *unreadable_why;		/* owned; NULL: none is unreadable */
	char *file_problem;		/* owned; why the file of policy.path is not in force; NULL: it is */
	struct policy_version _before;	/* of which now.reverts_to speaks, while it waits for confirmation */
	bool _is_loaded, _is_busy;	/* busy: another version is under way */
	bool _is_closing;		/* the server stops: no save begins */
	unsigned _n_confirms;		/* of now, being written: it is not taken back meanwhile */
	TAILQ_HEAD(, policy_save) _saves;	/* that wait for it */
	unsigned _n_saves;
	void (*_next)(struct tailnet *t);	/* runs the next of them, unless busy; NULL: there are none */
	struct policy_file *_file;	/* NULL: none */
	struct event *_timer;		/* of the confirmation; NULL before the start */
};

/* Makes and frees it. */
void tailnet_policy_init(struct tailnet *t);
void tailnet_policy_fini(struct tailnet *t);
/* Why what was to be the policy is not: the newest version or the file. NULL: it is. Borrowed. */
const char *tailnet_policy_problem(const struct tailnet *t);
/* A stored version; the newest comes first, made_unix_s and so on are set, policy and hash are
 * not. The text is looked at by text_of only if it is needed. */
struct policy_stored {
	const void *text;
	size_t n;
};
void tailnet_policy_load(struct tailnet *t, const struct policy_version *v,
	struct policy_stored (*text_of)(void *arg), void *arg);
/* Everything is loaded. */
void tailnet_policy_start(struct tailnet *t);
/* What mutation.c's table calls for MUTATION_POLICY_*. */
void tailnet_policy_apply(struct tailnet *t, struct mutation *m);
/* Takes the version in force back, if it waited too long for its confirmation. The timer does;
 * tests. */
void tailnet_policy_due(struct tailnet *t);
/* The version in force stays. ERR_EXISTS: it is another, or it waits for nothing. */
void tailnet_policy_confirm(struct tailnet *t, const struct actor *by, int64_t version, tailnet_done_fn *done,
	void *arg);
/* Has v written as the next version (its number and author are set here) and put in force; takes
 * its policy. For tailnet_policy*.c, which see to _is_busy. */
void tailnet_policy_submit_take(struct tailnet *t, const struct actor *by, const char *what,
	struct policy_version *v, tailnet_done_fn *done, void *arg);
/* Likewise the transaction that does so, to be submitted with op, whose id is set. */
struct txn *tailnet_policy_txn(struct tailnet_op *op, const struct actor *by, const char *what,
	struct policy_version *v) MUST_USE;

#endif
