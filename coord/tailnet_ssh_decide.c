/* SSH checks: approved, rejected, used. Nobody is let in before the audit record of it is durable. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "coord/policy.h"
#include "coord/tailnet_ssh_private.h"

/* --- through without asking ----------------------------------------------------------------------- */

struct use {
	struct tailnet *t;
	struct ssh_stream to;
	struct ssh_who who;
	int64_t period_s;
};

/* tailnet_done_fn */
static void
on_used(void *arg, const struct tailnet_result *res)
{
	struct use *u = arg;

	if (res->rc != ERR_OK) {
		tailnet_ssh_reply_retry(u->t, &u->to);
	} else if (u->period_s > 0 && tailnet_ssh_proof_find(u->t, &u->who, u->period_s) == NULL) {
		tailnet_ssh_reply_anew(u->t, &u->to);	/* forgotten meanwhile */
	} else {
		metric_add(METRIC_SSH_USED, 1);
		tailnet_ssh_reply(u->t, &u->to, &(struct ssh_action){ .is_accept = true });
	}
	free(u);
}

void
tailnet_ssh_use(struct tailnet *t, const struct ssh_stream *to, const struct ssh_proof *proof, int64_t period_s)
{
	struct actor by = { .from = to->addr };
	struct use *u = obj_alloc(sizeof(*u));
	struct tailnet_op *op = tailnet_op_new(t, on_used, u);
	struct txn *x = tailnet_op_txn(op);

	*u = (struct use){ .t = t, .to = *to, .who = proof->who, .period_s = period_s };
	snprintf(by.name, sizeof(by.name), "node %lld", (long long)proof->who.src_id);
	audit_ssh_use(x, &by, &(struct audit_ssh){ .t = t, .who = &proof->who, .approved_by = proof->by,
	    .approved_unix_s = proof->unix_s });
	tailnet_op_submit_take(op, x);
}

/* --- decided by people ---------------------------------------------------------------------------- */

struct decision {
	struct tailnet *t;
	char id[SSH_CHECK_ID_CHARS + 8];
	char by[USER_NAME_MAX];
	bool is_approval;
	tailnet_done_fn *done;
	void *arg;
};

void
tailnet_ssh_reply_rejected(struct tailnet *t, const struct ssh_stream *to, const struct ssh_check *c)
{
	char text[64 + USER_NAME_MAX];

	snprintf(text, sizeof(text), "# This SSH login was rejected by %s.\r\n", c->_by);
	tailnet_ssh_reply(t, to, &(struct ssh_action){ .is_reject = true, .message = text });
}

static void
approved(struct tailnet *t, struct ssh_check *c)
{
	char text[64 + USER_NAME_MAX];
	struct ssh_stream to;
	bool is_taken = c->period_s > 0;

	metric_add(METRIC_SSH_APPROVED, 1);
	if (c->period_s > 0)
		tailnet_ssh_proof_put(t, &c->who, c->_by);
	snprintf(text, sizeof(text), "# Approved by %s.\r\n", c->_by);
	while (tailnet_ssh_waiter_take(t, c, &to)) {
		tailnet_ssh_reply(t, &to, &(struct ssh_action){ .is_accept = true, .message = text });
		is_taken = true;
	}
	if (is_taken)
		tailnet_ssh_check_free(t, c);
	else
		tailnet_ssh_state_set(t, c, SSH_CHECK_APPROVED);
}

static void
rejected(struct tailnet *t, struct ssh_check *c)
{
	struct ssh_stream to;

	metric_add(METRIC_SSH_REJECTED, 1);
	while (tailnet_ssh_waiter_take(t, c, &to))
		tailnet_ssh_reply_rejected(t, &to, c);
	tailnet_ssh_state_set(t, c, SSH_CHECK_REJECTED);
}

/* tailnet_done_fn: the record of it is durable. */
static void
on_decided(void *arg, const struct tailnet_result *res)
{
	struct decision *d = arg;
	struct ssh_check *c = tailnet_ssh_find_any(d->t, d->id);
	struct tailnet_result out = *res;

	if (c == NULL && res->rc == ERR_OK) {
		log_warn(LOG_COORD, "SSH check ended while it was decided", "by", d->by);
		out.rc = err_say(&out.why, ERR_NOTFOUND, "the policy, or one of the nodes, changed in this "
		    "very moment: it has to be asked anew");
	} else if (c != NULL && res->rc != ERR_OK) {
		c->state = SSH_CHECK_PENDING;
	} else if (c != NULL) {
		out.id = c->who.dst_id;
		memcpy(c->_by, d->by, sizeof(c->_by));
		c->_decided_unix_s = clock_wall_s();
		log_info(LOG_COORD, d->is_approval ? "SSH login approved" : "SSH login rejected", "from",
		    LOG_NUM(c->who.src_id), "node", LOG_NUM(c->who.dst_id), "user", c->who.user, "by", d->by);
		if (d->is_approval)
			approved(d->t, c);
		else
			rejected(d->t, c);
	}
	if (d->done != NULL)
		d->done(d->arg, &out);
	free(d);
}

/* The check to be decided now, or NULL with the refusal answered. */
static struct ssh_check *
find_pending(struct tailnet *t, const char *id, tailnet_done_fn *done, void *arg)
{
	struct ssh_check *c = tailnet_ssh_find(t, id);
	struct err_text why;
	enum err rc = ERR_OK;

	if (c == NULL)
		rc = err_say(&why, ERR_NOTFOUND, "no such SSH login waits: it is decided, or over after %d "
		    "minutes, or the policy changed; `fairlead ssh list` shows those that wait",
		    SSH_CHECK_LIFE_S / 60);
	else if (c->state == SSH_CHECK_DECIDING)
		rc = err_say(&why, ERR_BUSY, "it is just being decided: look again in a second");
	if (rc == ERR_OK)
		return c;
	tailnet_op_answer(done, arg, rc, &why, 0);
	return NULL;
}

static void
decide(struct ssh_check *c, const struct actor *by, struct decision *d)
{
	struct tailnet_op *op = tailnet_op_new(d->t, on_decided, d);
	struct txn *x = tailnet_op_txn(op);

	memcpy(d->id, c->id, sizeof(d->id));
	snprintf(d->by, sizeof(d->by), "%s", by->name);
	c->state = SSH_CHECK_DECIDING;
	audit_ssh_decision(x, by, d->is_approval ? "ssh.approve" : "ssh.reject", c->id,
	    &(struct audit_ssh){ .t = d->t, .who = &c->who });
	tailnet_op_submit_take(op, x);
}

void
tailnet_ssh_approve(struct tailnet *t, const struct actor *by, const char *id, tailnet_done_fn *done, void *arg)
{
	struct ssh_check *c = find_pending(t, id, done, arg);
	const struct policy_ssh *rule;
	struct decision *d;
	struct err_text why;

	if (c == NULL)
		return;
	/* Postures of nodes change without a word of the policy. */
	if (tailnet_ssh_rule(t, &c->who, &rule) != ERR_OK || rule->check_period_s != c->period_s) {
		err_say(&why, ERR_DENIED, "the policy does not allow this any more, or otherwise: who wants in "
		    "has to ask anew");
		tailnet_op_answer(done, arg, ERR_DENIED, &why, 0);
		return;
	}
	d = obj_alloc(sizeof(*d));
	*d = (struct decision){ .t = t, .is_approval = true, .done = done, .arg = arg };
	decide(c, by, d);
}

void
tailnet_ssh_reject(struct tailnet *t, const struct actor *by, const char *id, tailnet_done_fn *done, void *arg)
{
	struct ssh_check *c = find_pending(t, id, done, arg);
	struct decision *d;

	if (c == NULL)
		return;
	d = obj_alloc(sizeof(*d));
	*d = (struct decision){ .t = t, .done = done, .arg = arg };
	decide(c, by, d);
}
