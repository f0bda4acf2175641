/*
 * Another policy: checked on the jobs thread, committed, in force. Saves run one after the other,
 * so that each is checked against what it replaces. Coordinator thread.
 */
#ifndef COORD_TAILNET_POLICY_SAVE_H
#define COORD_TAILNET_POLICY_SAVE_H

#include "coord/policy_check.h"
#include "coord/tailnet_policy.h"

#define POLICY_SAVES_MAX	16	/* waiting; beyond: ERR_BUSY */
#define POLICY_CONFIRM_MIN_S	5
#define POLICY_CONFIRM_MAX_S	(24 * 3600)

struct txn;
/* Adds to the transaction that makes the policy another one, so that what belongs to it is done or
 * not done with it. arg is the done function's. Not called when there is none: refused, or in force already. */
typedef void policy_also_fn(void *arg, struct txn *x);

/* What is asked for. All is copied. */
struct policy_wish {
	const char *text;		/* empty: no policy any more, everything is allowed */
	size_t n_bytes;
	const char *comment;		/* at most POLICY_COMMENT_MAX - 1 bytes are kept; NULL: none */
	const char *what;		/* static, for the audit record: "policy.set"; NULL: checked only */
	int64_t if_version;		/* only if this one is in force; -1: any */
	const char *if_hash;		/* the same by hash; "ts-default": none was set; NULL: any */
	int64_t confirm_within_s;	/* taken back unless confirmed by then; 0: it stays */
	policy_also_fn *also;		/* NULL: nothing more */
};

/* Valid during the done function only. */
struct policy_outcome {
	enum err rc;			/* ERR_INVAL: the verdict has why; ERR_EXISTS: if_version, if_hash;
					 * ERR_DENIED: the policy comes from a file; others as of any hard
					 * change */
	struct err_text why;
	const struct policy_verdict *verdict;	/* NULL: it was not looked at */
	int64_t version;		/* now in force */
	bool is_unchanged;		/* the text was in force already */
};
typedef void policy_save_fn(void *arg, const struct policy_outcome *o);

/* done may be called before it returns. */
void tailnet_policy_save(struct tailnet *t, const struct actor *by, const struct policy_wish *wish,
	policy_save_fn *done, void *arg);
/* Looks at the policy in force with the users and nodes of now, and logs what would be refused today: at the
 * start. It stays in force. */
void tailnet_policy_recheck(struct tailnet *t);

#endif
