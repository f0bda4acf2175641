/* Saves, from wish to outcome. */
#include "coord/tailnet_policy_save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_task.h"

#define COMPILE_MAX_MS 1000	/* of this machine's time */

struct policy_save {
	struct tailnet_task task;	/* first */
	struct actor by;
	char *text;			/* owned */
	size_t n_bytes;
	char comment[POLICY_COMMENT_MAX];
	const char *what;
	int64_t if_version;
	char if_hash[POLICY_HASH_CHARS + 1];
	int64_t confirm_within_s;
	policy_also_fn *also;
	policy_save_fn *done;
	void *arg;
	struct policy_verdict verdict;
	int64_t took_ms;		/* the check */
	TAILQ_ENTRY(policy_save) link;	/* while it waits */
};

static void
answer(struct policy_save *s, const struct policy_outcome *o)
{
	s->done(s->arg, o);
	policy_verdict_fini(&s->verdict);
	free(s->text);
	free(s);
}

static void
refuse(struct policy_save *s, enum err rc, const struct err_text *why)
{
	struct policy_outcome o = { .rc = rc, .why = *why, .version = s->task.t->policies->now.version };

	answer(s, &o);
}

/* It is over, and others may begin. */
static void
end(struct policy_save *s, const struct policy_outcome *o)
{
	struct tailnet *t = s->task.t;

	t->policies->_is_busy = false;
	t->policies->_is_closing |= o->rc == ERR_CLOSED;
	answer(s, o);
	t->policies->_next(t);
}

/* --- one save --------------------------------------------------------------------------------- */

/* tailnet_done_fn */
static void
on_committed(void *arg, const struct tailnet_result *res)
{
	struct policy_save *s = arg;
	struct policy_outcome o = { .rc = res->rc, .why = res->why, .verdict = &s->verdict,
		.version = s->task.t->policies->now.version };

	if (res->rc == ERR_OK)
		log_info(LOG_POLICY, "policy saved", "version", LOG_NUM(o.version), "by", s->by.name, "bytes",
		    LOG_NUM(s->n_bytes), "check_ms", LOG_NUM(s->took_ms));
	end(s, &o);
}

/* Is the text in force, for good? */
static bool
is_unchanged(const struct policy_save *s)
{
	const struct tailnet_policy *p = s->task.t->policies;
	const struct policy *now = p->now.policy;

	if (p->now.confirm_by_unix_s != 0 || s->confirm_within_s != 0 || p->unreadable != 0 ||
	    (now == NULL) != (s->n_bytes == 0))
		return false;
	return now == NULL || (now->text_bytes == s->n_bytes && memcmp(now->text, s->text, s->n_bytes) == 0);
}

static void
commit(struct policy_save *s)
{
	struct tailnet *t = s->task.t;
	const struct policy_version *now = &t->policies->now;
	struct policy_version v = { .made_unix_s = clock_wall_s() };

	memcpy(v.comment, s->comment, sizeof(v.comment));
	if (s->confirm_within_s != 0) {
		v.confirm_by_unix_s = v.made_unix_s + s->confirm_within_s;
		v.reverts_to = now->confirm_by_unix_s != 0 && t->policies->_n_confirms == 0 ? now->reverts_to :
		    now->version;
	}
	policy_version_set(&v, s->verdict.policy != NULL ? policy_hold(s->verdict.policy) : NULL);
	struct tailnet_op *op = tailnet_op_new(t, on_committed, s);
	struct txn *x = tailnet_policy_txn(op, &s->by, s->what, &v);
	if (s->also != NULL)
		s->also(s->arg, x);
	tailnet_op_submit_take(op, x);
}

static int64_t
thread_cpu_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The coordinator will do this in one turn, whenever the policy or its users change. */
static void
try_cost(struct policy_save *s, const struct policy_snapshot *snapshot)
{
	int64_t ms = thread_cpu_ms();

	policy_world_free(policy_snapshot_world(snapshot, s->verdict.policy));
	ms = thread_cpu_ms() - ms;
	if (ms <= COMPILE_MAX_MS)
		return;
	s->verdict.rc = ERR_INVAL;
	policy_errors_add(&s->verdict.errors, 0, 0, "the policy takes %lld ms to work out with the devices "
	    "there are, which would hold up everybody: at most %d ms are allowed; have fewer or simpler rules",
	    (long long)ms, COMPILE_MAX_MS);
}

static void
work(struct tailnet_task *k)
{
	struct policy_save *s = CONTAINER_OF(k, struct policy_save, task);
	int64_t began_ms = clock_mono_ms();

	policy_check(s->text, s->n_bytes, k->snapshot, &s->verdict);
	if (s->verdict.rc == ERR_OK && s->verdict.policy != NULL && s->what != NULL)
		try_cost(s, k->snapshot);
	s->took_ms = clock_mono_ms() - began_ms;
}

static void
on_checked(struct tailnet_task *k, enum err rc)
{
	struct policy_save *s = CONTAINER_OF(k, struct policy_save, task);
	struct policy_outcome o = { .rc = rc, .verdict = &s->verdict,
		.version = k->t->policies->now.version };

	if (rc != ERR_OK)
		err_say(&o.why, rc, rc == ERR_BUSY ?
		    "the server checks other policies: try again in a few seconds" : "the server is stopping");
	else if (s->verdict.rc != ERR_OK)
		o.rc = err_say(&o.why, s->verdict.rc, "%.300s", s->verdict.errors.v[0].text);
	else if (s->what != NULL && is_unchanged(s))
		o.is_unchanged = true;
	else if (s->what != NULL) {
		commit(s);
		return;
	}
	if (s->what != NULL)
		end(s, &o);
	else
		answer(s, &o);
}

/* ERR_EXISTS with *why: another policy is in force than the one that was to be replaced. */
static enum err
is_expected(const struct policy_save *s, struct err_text *why)
{
	const struct policy_version *now = &s->task.t->policies->now;

	if (s->if_version >= 0 && s->if_version != now->version)
		return err_say(why, ERR_EXISTS, "version %lld is in force, not %lld: somebody changed the "
		    "policy meanwhile", (long long)now->version, (long long)s->if_version);
	if (s->if_hash[0] == '\0' || strcmp(s->if_hash, now->hash) == 0 ||
	    (now->policy == NULL && strcmp(s->if_hash, POLICY_HASH_DEFAULT) == 0))
		return ERR_OK;
	return err_say(why, ERR_EXISTS, "precondition failed, invalid old hash");
}

static void
save_begin(struct policy_save *s)
{
	struct err_text why;
	enum err rc = is_expected(s, &why);

	s->task.t->policies->_is_busy = true;
	if (rc != ERR_OK) {
		struct policy_outcome o = { .rc = rc, .why = why,
			.version = s->task.t->policies->now.version };
		end(s, &o);
		return;
	}
	tailnet_task_start(&s->task);
}

/* The next one that waits begins, if nothing is under way; when the server stops, none does. */
static void
next(struct tailnet *t)
{
	struct tailnet_policy *p = t->policies;
	struct policy_save *s;
	struct err_text why;

	while (!p->_is_busy && (s = TAILQ_FIRST(&p->_saves)) != NULL) {
		TAILQ_REMOVE(&p->_saves, s, link);
		p->_n_saves--;
		if (p->_is_closing)
			refuse(s, err_say(&why, ERR_CLOSED, "the server is stopping"), &why);
		else
			save_begin(s);
	}
}

static struct policy_save *
save_new(struct tailnet *t, const struct actor *by, const struct policy_wish *wish)
{
	struct policy_save *s = obj_alloc(sizeof(*s));

	s->task.t = t;
	s->task.work = work;
	s->task.done = on_checked;
	s->by = *by;
	s->text = obj_alloc(wish->n_bytes + 1);
	if (wish->n_bytes > 0)
		memcpy(s->text, wish->text, wish->n_bytes);
	s->n_bytes = wish->n_bytes;
	snprintf(s->comment, sizeof(s->comment), "%s", wish->comment != NULL ? wish->comment : "");
	s->what = wish->what;
	s->if_version = wish->if_version;
	snprintf(s->if_hash, sizeof(s->if_hash), "%s", wish->if_hash != NULL ? wish->if_hash : "");
	s->confirm_within_s = wish->confirm_within_s;
	s->also = wish->also;
	return s;
}

/* Without looking at the policy. */
static enum err
wish_check(const struct tailnet *t, const struct policy_save *s, struct err_text *why)
{
	const char *path = t->deps.cfg->policy.path;

	if (s->what != NULL && path != NULL && path[0] != '\0' && strcmp(s->what, POLICY_FILE_WHAT) != 0)
		return err_say(why, ERR_DENIED, "the policy comes from the file %.200s (policy.path): change "
		    "it there", path);
	if (s->confirm_within_s != 0 && (s->confirm_within_s < POLICY_CONFIRM_MIN_S ||
	    s->confirm_within_s > POLICY_CONFIRM_MAX_S))
		return err_say(why, ERR_INVAL, "a confirmation is waited for from %d seconds to %d hours",
		    POLICY_CONFIRM_MIN_S, POLICY_CONFIRM_MAX_S / 3600);
	if (t->policies->_n_saves >= POLICY_SAVES_MAX)
		return err_say(why, ERR_BUSY, "too many policies are being saved: try again in a few seconds");
	return ERR_OK;
}

void
tailnet_policy_save(struct tailnet *t, const struct actor *by, const struct policy_wish *wish,
	policy_save_fn *done, void *arg)
{
	struct policy_save *s = save_new(t, by, wish);
	struct err_text why;
	enum err rc = wish_check(t, s, &why);

	s->done = done;
	s->arg = arg;
	t->policies->_next = next;
	if (rc != ERR_OK) {
		refuse(s, rc, &why);
	} else if (s->what == NULL) {
		tailnet_task_start(&s->task);
	} else {
		TAILQ_INSERT_TAIL(&t->policies->_saves, s, link);
		t->policies->_n_saves++;
		next(t);
	}
}

/* policy_save_fn */
static void
on_rechecked(void *arg, const struct policy_outcome *o)
{
	struct buf text = { 0 };

	(void)arg;
	if (o->rc == ERR_INVAL) {
		policy_errors_put(&text, &o->verdict->errors);
		log_warn(LOG_POLICY, "the policy in force would be refused today", "version",
		    LOG_NUM(o->version), "err", buf_cstr(&text));
	}
	buf_fini(&text);
}

void
tailnet_policy_recheck(struct tailnet *t)
{
	static const struct actor by = { .name = "start" };
	struct policy_wish wish = { .if_version = -1 };

	if (t->policy == NULL)
		return;
	wish.text = t->policy->text;
	wish.n_bytes = t->policy->text_bytes;
	tailnet_policy_save(t, &by, &wish, on_rechecked, NULL);
}
