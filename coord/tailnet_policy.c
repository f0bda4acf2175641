/* The policy in force and its versions: loaded, applied, taken back. Saving is in
 * tailnet_policy_save.c. */
#include "coord/tailnet_policy.h"

#include <event2/event.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/key.h"
#include "base/log.h"
#include "base/metrics.h"
#include "coord/change.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_route.h"
#include "coord/tailnet_ssh.h"

#define CLOSED_TEXT	"{\"acls\": []}"	/* nobody reaches anybody */
#define LOOK_AGAIN_S	60	/* the wall clock may be set */
#define RETRY_S		5	/* after a reversal that could not be written */

void
policy_version_fini(struct policy_version *v)
{
	policy_drop(v->policy);
	*v = (struct policy_version){ .version = 0 };
}

static void
version_move(struct policy_version *to, struct policy_version *from)
{
	policy_version_fini(to);
	*to = *from;
	from->policy = NULL;
	policy_version_fini(from);
}

void
policy_version_set(struct policy_version *v, struct policy *p)
{
	uint8_t hash[32];

	_Static_assert(POLICY_HASH_CHARS == 2 * sizeof(hash), "hex");
	ASSERT(EVP_Digest(p == NULL ? "" : p->text, p == NULL ? 0 : p->text_bytes, hash, NULL, EVP_sha256(),
	    NULL) == 1);
	key_hex_put(hash, sizeof(hash), v->hash);
	v->policy = p;
}

void
tailnet_policy_init(struct tailnet *t)
{
	t->policies = obj_alloc(sizeof(*t->policies));
	TAILQ_INIT(&t->policies->_saves);
	policy_version_set(&t->policies->now, NULL);
}

void
tailnet_policy_fini(struct tailnet *t)
{
	struct tailnet_policy *s = t->policies;

	if (s->_timer != NULL)
		event_free(s->_timer);
	policy_version_fini(&s->now);
	policy_version_fini(&s->_before);
	t->policy = NULL;
	free(s->unreadable_why);
	free(s->file_problem);
	free(s);
	t->policies = NULL;
}

const char *
tailnet_policy_problem(const struct tailnet *t)
{
	const struct tailnet_policy *s = t->policies;

	return s->file_problem != NULL ? s->file_problem : s->unreadable_why;
}

/* --- loading ---------------------------------------------------------------------------------- */

/* What is stored is not understood. */
static void
note_unreadable(struct tailnet *t, const struct policy_version *v, const struct policy_errors *errors)
{
	struct tailnet_policy *s = t->policies;
	struct buf text = { 0 };

	policy_errors_put(&text, errors);
	log_error(LOG_POLICY, "stored policy is not understood, the last good one is used: mend it with"
	    " fairlead policy set", "version", LOG_NUM(v->version), "err", buf_cstr(&text));
	if (s->unreadable == 0) {
		s->unreadable = v->version;
		s->unreadable_why = obj_strdup(buf_cstr(&text));
		metric_set(METRIC_POLICY_INVALID, 1);
	}
	buf_fini(&text);
}

static bool
version_parse(struct tailnet *t, struct policy_version *v, const struct policy_stored *stored)
{
	struct policy_errors errors = { 0 };
	struct policy *p = NULL;
	bool is_ok = stored->n == 0 || policy_parse(stored->text, stored->n, &p, &errors) == ERR_OK;

	if (is_ok)
		policy_version_set(v, p);
	else
		note_unreadable(t, v, &errors);
	policy_errors_fini(&errors);
	return is_ok;
}

void
tailnet_policy_load(struct tailnet *t, const struct policy_version *stored,
	struct policy_stored (*text_of)(void *arg), void *arg)
{
	struct tailnet_policy *s = t->policies;
	struct policy_version v = *stored;

	if (v.version > s->newest)
		s->newest = v.version;
	if (s->_is_loaded && (s->now.confirm_by_unix_s == 0 || v.version != s->now.reverts_to))
		return;
	struct policy_stored text = text_of(arg);
	if (!version_parse(t, &v, &text))
		return;
	if (s->_is_loaded) {
		version_move(&s->_before, &v);
		return;
	}
	s->_is_loaded = true;
	version_move(&s->now, &v);
	t->policy = s->now.policy;
}

/* --- in force --------------------------------------------------------------------------------- */

static void
put_in_force(struct tailnet *t)
{
	struct tailnet_policy *s = t->policies;

	t->policy = s->now.policy;
	if (s->now.version != 0 && (t->policy == NULL || !t->policy->has_rules))
		log_warn(LOG_POLICY, "the policy has no rules: everybody reaches everybody", "version",
		    LOG_NUM(s->now.version));
	change_policy_set(t, t->policy);
	tailnet_ssh_forget_all(t);
	if (t->priv->is_started)
		tailnet_route_note_all(t);
}

/* Looks at the deadline again then, in at least so many seconds. */
static void
timer_arm(struct tailnet *t, int64_t least_s)
{
	struct tailnet_policy *s = t->policies;
	int64_t wait_s = s->now.confirm_by_unix_s - clock_wall_s();
	struct timeval tv = {
		.tv_sec = wait_s < least_s ? least_s : wait_s > LOOK_AGAIN_S ? LOOK_AGAIN_S : wait_s,
	};

	if (s->_timer == NULL)
		return;
	if (s->now.confirm_by_unix_s == 0)
		event_del(s->_timer);
	else
		ASSERT(event_add(s->_timer, &tv) == 0);
}

void
tailnet_policy_apply(struct tailnet *t, struct mutation *m)
{
	struct tailnet_policy *s = t->policies;
	struct policy_version *v = &m->u.policy;

	if (m->kind == MUTATION_POLICY_CONFIRM) {
		if (s->now.version == v->version) {
			s->now.confirm_by_unix_s = 0;
			policy_version_fini(&s->_before);
		}
		timer_arm(t, 0);
		return;
	}
	/* What comes back unless v is confirmed is what was last there for good. */
	if (v->confirm_by_unix_s == 0)
		policy_version_fini(&s->_before);
	else if (s->now.confirm_by_unix_s == 0)
		version_move(&s->_before, &s->now);
	version_move(&s->now, v);
	s->newest = s->now.version;
	s->unreadable = 0;
	free(s->unreadable_why);
	s->unreadable_why = NULL;
	metric_set(METRIC_POLICY_INVALID, s->file_problem != NULL);
	put_in_force(t);
	timer_arm(t, 0);
}

/* --- the deadline ----------------------------------------------------------------------------- */

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct tailnet *t = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(t, TAILNET_MAGIC);
	tailnet_policy_due(t);
	timer_arm(t, RETRY_S);
}

/* tailnet_done_fn */
static void
on_reverted(void *arg, const struct tailnet_result *res)
{
	struct tailnet *t = arg;
	struct tailnet_policy *s = t->policies;

	s->_is_busy = false;
	if (res->rc != ERR_OK)
		log_error(LOG_POLICY, "policy that was not confirmed cannot be taken back yet", "err",
		    res->why.s);
	s->_is_closing |= res->rc == ERR_CLOSED;
	if (s->_next != NULL)
		s->_next(t);
}

static void
revert(struct tailnet *t)
{
	static const struct actor by = { .name = "confirmation" };
	struct tailnet_policy *s = t->policies;
	struct policy_version v = { .made_unix_s = clock_wall_s() };

	snprintf(v.comment, sizeof(v.comment), "version %lld was not confirmed in time",
	    (long long)s->now.version);
	policy_version_set(&v, s->_before.policy == NULL ? NULL : policy_hold(s->_before.policy));
	log_warn(LOG_POLICY, "policy was not confirmed in time: the one before comes back", "version",
	    LOG_NUM(s->now.version), "reverts_to", LOG_NUM(s->now.reverts_to));
	s->_is_busy = true;
	tailnet_policy_submit_take(t, &by, "policy.revert", &v, on_reverted, t);
}

void
tailnet_policy_due(struct tailnet *t)
{
	struct tailnet_policy *s = t->policies;

	if (!s->_is_busy && s->_n_confirms == 0 && s->now.confirm_by_unix_s != 0 &&
	    s->now.confirm_by_unix_s <= clock_wall_s())
		revert(t);
}

struct txn *
tailnet_policy_txn(struct tailnet_op *op, const struct actor *by, const char *what, struct policy_version *v)
{
	struct tailnet_policy *s = op->t->policies;
	struct txn *x = tailnet_op_txn(op);
	struct policy_version *to = &txn_add(x, MUTATION_POLICY_ADD)->u.policy;

	v->version = s->newest + 1;
	op->id = v->version;
	snprintf(v->author, sizeof(v->author), "%s", by->name);
	*to = *v;
	v->policy = NULL;		/* moved */
	audit_policy(x, by, what, &s->now, to);
	return x;
}

void
tailnet_policy_submit_take(struct tailnet *t, const struct actor *by, const char *what,
	struct policy_version *v, tailnet_done_fn *done, void *arg)
{
	struct tailnet_op *op = tailnet_op_new(t, done, arg);

	tailnet_op_submit_take(op, tailnet_policy_txn(op, by, what, v));
}

/* A confirmation on its way to the store. */
struct confirmation {
	struct tailnet *t;
	tailnet_done_fn *done;
	void *arg;
};

/* tailnet_done_fn. If it could not be written, the deadline counts again. */
static void
on_confirmed(void *arg, const struct tailnet_result *res)
{
	struct confirmation *c = arg;

	c->t->policies->_n_confirms--;
	if (res->rc != ERR_CLOSED)
		timer_arm(c->t, 0);
	c->done(c->arg, res);
	free(c);
}

void
tailnet_policy_confirm(struct tailnet *t, const struct actor *by, int64_t version, tailnet_done_fn *done,
	void *arg)
{
	struct tailnet_policy *s = t->policies;
	struct policy_version after = s->now;
	struct tailnet_op *op;
	struct err_text why;
	struct txn *x;

	if (s->now.version != version || s->now.confirm_by_unix_s == 0 || s->_is_busy) {
		err_say(&why, ERR_EXISTS, s->now.version == version ? "version %lld of the policy waits for no "
		    "confirmation" : "version %lld of the policy is not in force (any more)",
		    (long long)version);
		tailnet_op_answer(done, arg, ERR_EXISTS, &why, version);
		return;
	}
	struct confirmation *c = obj_alloc(sizeof(*c));

	*c = (struct confirmation){ t, done, arg };
	s->_n_confirms++;		/* it came in time, however long the write takes */
	op = tailnet_op_new(t, on_confirmed, c);
	x = tailnet_op_txn(op);
	op->id = version;
	txn_add(x, MUTATION_POLICY_CONFIRM)->u.policy.version = version;
	after.confirm_by_unix_s = 0;
	audit_policy(x, by, "policy.confirm", &s->now, &after);
	tailnet_op_submit_take(op, x);
}

void
tailnet_policy_start(struct tailnet *t)
{
	struct tailnet_policy *s = t->policies;
	struct policy_errors none = { 0 };
	struct policy *closed;

	if (!s->_is_loaded && s->newest > 0) {
		log_error(LOG_POLICY, "no stored policy is understood: nobody reaches anybody until one is set",
		    "version", LOG_NUM(s->newest));
		ASSERT(policy_parse(CLOSED_TEXT, strlen(CLOSED_TEXT), &closed, &none) == ERR_OK);
		policy_version_set(&s->now, closed);
	}
	if (s->newest > 0)
		put_in_force(t);
	s->_timer = evtimer_new(t->deps.base, on_timer, t);
	ASSERT(s->_timer != NULL);
	timer_arm(t, 0);
}
