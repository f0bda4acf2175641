/* SSH checks: asked for, waited for, let through by a proof, ended by time or change. */
#include "coord/tailnet_ssh.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rand.h"
#include "base/ratelimit.h"
#include "coord/policy.h"
#include "coord/tailnet_ssh_private.h"

#define ASKING_NODES_MAX 4096	/* remembered by the limit of requests */
#define RETRY_S		 2	/* clients wait by themselves, longer each time */

void
tailnet_ssh_init(struct tailnet *t)
{
	struct tailnet_ssh *s = obj_alloc(sizeof(*s));

	MAP_INIT(&s->checks, struct ssh_check, id);
	MAP_INIT(&s->_waiters, struct ssh_waiter, wait);
	MAP_INIT(&s->_proofs, struct ssh_proof, who);
	TAILQ_INIT(&s->oldest_first);
	TAILQ_INIT(&s->_proofs_oldest_first);
	s->_asks = ratelimit_new(SSH_ASKS_PER_S, SSH_ASKS_BURST, ASKING_NODES_MAX);
	t->ssh = s;
}

/* --- proofs --------------------------------------------------------------------------------------- */

static void
proof_free(struct tailnet_ssh *s, struct ssh_proof *p)
{
	TAILQ_REMOVE(&s->_proofs_oldest_first, p, link);
	map_remove(&s->_proofs, &p->who);
	free(p);
}

void
tailnet_ssh_proof_put(struct tailnet *t, const struct ssh_who *who, const char *by)
{
	struct tailnet_ssh *s = t->ssh;
	struct ssh_proof *p = map_find(&s->_proofs, who);

	if (p != NULL)
		proof_free(s, p);
	if (s->_proofs.count >= SSH_PROOFS_MAX)
		proof_free(s, TAILQ_FIRST(&s->_proofs_oldest_first));
	p = obj_alloc(sizeof(*p));
	p->who = *who;
	p->mono_ms = clock_mono_ms();
	p->unix_s = clock_wall_s();
	snprintf(p->by, sizeof(p->by), "%s", by);
	map_put(&s->_proofs, p);
	TAILQ_INSERT_TAIL(&s->_proofs_oldest_first, p, link);
}

/* By the clock that nobody sets. */
const struct ssh_proof *
tailnet_ssh_proof_find(const struct tailnet *t, const struct ssh_who *who, int64_t period_s)
{
	const struct ssh_proof *p = map_find(&t->ssh->_proofs, who);

	return p != NULL && clock_mono_ms() - p->mono_ms < period_s * 1000 ? p : NULL;
}

/* --- answers -------------------------------------------------------------------------------------- */

void
tailnet_ssh_reply(struct tailnet *t, const struct ssh_stream *to, const struct ssh_action *a)
{
	ts2021_reply(t->deps.control, to->conn, to->stream, 200, 0, msg_ssh_put(a));
}

void
tailnet_ssh_reply_retry(struct tailnet *t, const struct ssh_stream *to)
{
	static const char text[] = "not now: ask again\n";

	ts2021_reply(t->deps.control, to->conn, to->stream, 429, RETRY_S, shbuf_new(text, sizeof(text) - 1));
}

void
tailnet_ssh_reply_anew(struct tailnet *t, const struct ssh_stream *to)
{
	tailnet_ssh_reply(t, to, &(struct ssh_action){ .server_url = t->deps.server_url });
}

static void
reply_reject(struct tailnet *t, const struct ssh_stream *to, const char *message)
{
	metric_add(METRIC_SSH_REFUSED, 1);
	tailnet_ssh_reply(t, to, &(struct ssh_action){ .is_reject = true, .message = message });
}

/* What the person sees, and where the destination waits. */
static void
reply_hold(struct tailnet *t, const struct ssh_stream *to, const struct ssh_check *c)
{
	char text[1400];

	snprintf(text, sizeof(text), "# This SSH login has to be approved:\r\n"
	    "#   %.900s" TAILNET_SSH_PAGE "/%s\r\n# or, on the server: fairlead ssh approve %s\r\n"
	    "# It goes on by itself then.\r\n", t->deps.server_url, c->id, c->id);
	tailnet_ssh_reply(t, to, &(struct ssh_action){ .message = text, .server_url = t->deps.server_url,
	    .check = c->id });
}

/* --- checks --------------------------------------------------------------------------------------- */

static bool
is_open(const struct ssh_check *c)
{
	return c->state == SSH_CHECK_PENDING || c->state == SSH_CHECK_DECIDING;
}

/* Something happened to it, for those who watch. */
static void
tell(struct tailnet *t, const char *id, const char *what)
{
	struct tailnet_event e = { .what = what, .by = "" };
	char target[32];

	snprintf(target, sizeof(target), "ssh %.24s", id);
	e.target = target;
	if (t->watch != NULL)
		t->watch(t->watch_arg, &e);
}

static struct ssh_check *
find_any(const struct tailnet *t, const char *id)
{
	char key[SSH_CHECK_ID_CHARS + 8] = "";

	if (strlen(id) != SSH_CHECK_ID_CHARS)
		return NULL;
	memcpy(key, id, SSH_CHECK_ID_CHARS);
	return map_find(&t->ssh->checks, key);
}

struct ssh_check *
tailnet_ssh_find_any(const struct tailnet *t, const char *id)
{
	return find_any(t, id);
}

struct ssh_check *
tailnet_ssh_find(const struct tailnet *t, const char *id)
{
	struct ssh_check *c = find_any(t, id);

	return c != NULL && is_open(c) && c->expires_unix_s > clock_wall_s() ? c : NULL;
}

static void
waiter_free(struct tailnet *t, struct ssh_waiter *w)
{
	TAILQ_REMOVE(&w->check->_waiters, w, link);
	w->check->n_waiters--;
	map_remove(&t->ssh->_waiters, &w->wait);
	free(w);
}

bool
tailnet_ssh_waiter_take(struct tailnet *t, struct ssh_check *c, struct ssh_stream *out)
{
	struct ssh_waiter *w = TAILQ_FIRST(&c->_waiters);

	if (w == NULL)
		return false;
	*out = w->from;
	waiter_free(t, w);
	return true;
}

void
tailnet_ssh_state_set(struct tailnet *t, struct ssh_check *c, enum ssh_check_state state)
{
	bool was_open = is_open(c);

	c->state = state;
	if (!was_open || is_open(c))
		return;
	metric_add(METRIC_SSH_PENDING, -1);
	tell(t, c->id, "ssh.end");
}

/* It has no waiters any more. */
void
tailnet_ssh_check_free(struct tailnet *t, struct ssh_check *c)
{
	OBJ_CHECK(c, SSH_CHECK_MAGIC);
	ASSERT(c->n_waiters == 0);
	tailnet_ssh_state_set(t, c, SSH_CHECK_REJECTED);
	TAILQ_REMOVE(&t->ssh->oldest_first, c, link);
	map_remove(&t->ssh->checks, c->id);
	c->magic = 0;
	free(c);
}

/* text NULL: who waits asks anew. */
static void
check_end(struct tailnet *t, struct ssh_check *c, const char *text)
{
	struct ssh_stream to;

	while (tailnet_ssh_waiter_take(t, c, &to)) {
		if (text != NULL)
			reply_reject(t, &to, text);
		else
			tailnet_ssh_reply_anew(t, &to);
	}
	tailnet_ssh_check_free(t, c);
}

void
tailnet_ssh_fini(struct tailnet *t)
{
	struct tailnet_ssh *s = t->ssh;
	struct ssh_stream to;
	struct ssh_check *c;

	t->watch = NULL;
	while ((c = TAILQ_FIRST(&s->oldest_first)) != NULL) {
		while (tailnet_ssh_waiter_take(t, c, &to))
			;
		tailnet_ssh_check_free(t, c);
	}
	while (!TAILQ_EMPTY(&s->_proofs_oldest_first))
		proof_free(s, TAILQ_FIRST(&s->_proofs_oldest_first));
	map_fini(&s->checks);
	map_fini(&s->_waiters);
	map_fini(&s->_proofs);
	ratelimit_free(s->_asks);
	free(s);
	t->ssh = NULL;
}

/* Some checks, and which of them goes first: one that nobody waits for, else the oldest. */
struct crowd {
	struct ssh_check *first;	/* NULL: none can go */
	unsigned n;
};

static void
crowd_add(struct crowd *d, struct ssh_check *c)
{
	d->n++;
	if (c->state != SSH_CHECK_DECIDING &&
	    (d->first == NULL || (d->first->n_waiters > 0 && c->n_waiters == 0)))
		d->first = c;
}

/* Room for another one: who asks for many loses their own first. */
static void
make_room(struct tailnet *t, const struct ssh_who *who)
{
	struct crowd src = { .n = 0 }, dst = { .n = 0 }, all = { .n = 0 };
	struct ssh_check *c;

	TAILQ_FOREACH(c, &t->ssh->oldest_first, link) {
		crowd_add(&all, c);
		if (c->who.src_id == who->src_id)
			crowd_add(&src, c);
		if (c->who.dst_id == who->dst_id)
			crowd_add(&dst, c);
	}
	c = src.n >= SSH_CHECKS_PER_SOURCE_MAX ? src.first : dst.n >= SSH_CHECKS_PER_NODE_MAX ?
	    dst.first : all.n >= SSH_CHECKS_MAX ? all.first : NULL;
	if (c == NULL)
		return;
	log_warn(LOG_COORD, "SSH check dropped: there are too many", "node", LOG_NUM(c->who.dst_id));
	check_end(t, c, "# Too many SSH logins wait for approval: try again later.\r\n");
}

static struct ssh_check *
check_new(struct tailnet *t, const struct ssh_who *who, int64_t period_s)
{
	struct ssh_check *c;

	make_room(t, who);
	c = obj_alloc(sizeof(*c));
	c->magic = SSH_CHECK_MAGIC;
	rand_text(c->id, SSH_CHECK_ID_CHARS);
	c->who = *who;
	c->period_s = period_s;
	c->created_unix_s = clock_wall_s();
	c->expires_unix_s = c->created_unix_s + SSH_CHECK_LIFE_S;
	TAILQ_INIT(&c->_waiters);
	TAILQ_INSERT_TAIL(&t->ssh->oldest_first, c, link);
	map_put(&t->ssh->checks, c);
	metric_add(METRIC_SSH_PENDING, 1);
	tailnet_due_note(t, c->expires_unix_s);
	log_info(LOG_COORD, "SSH login waits for approval: fairlead ssh list shows it", "check", c->id,
	    "from", LOG_NUM(who->src_id), "node", LOG_NUM(who->dst_id), "user", who->user);
	tell(t, c->id, "ssh.new");
	return c;
}

/* The open check of that, with such a period: a person who tries again need not be asked again. */
static struct ssh_check *
check_of(const struct tailnet *t, const struct ssh_who *who, int64_t period_s)
{
	struct ssh_check *c;

	TAILQ_FOREACH(c, &t->ssh->oldest_first, link) {
		if (is_open(c) && c->period_s == period_s && memcmp(&c->who, who, sizeof(*who)) == 0 &&
		    c->expires_unix_s > clock_wall_s())
			return c;
	}
	return NULL;
}

/* --- requests ------------------------------------------------------------------------------------- */

/* May they ask at all? What a machine that is not the destination hears does not depend on what there is. */
static const char *
complaint(const struct tailnet *t, const struct ctl_peer *from, const struct ssh_who *who)
{
	const struct node *dst = map_find(&t->nodes, &who->dst_id);
	const struct node *src = map_find(&t->nodes, &who->src_id);
	int64_t now = clock_wall_s();

	if (dst == NULL || !machine_key_eq(&dst->machine_key, &from->machine) || !dst->is_authorized ||
	    node_is_expired(dst, now))
		return "# Only a node of this network may ask whom to let in at itself.\r\n";
	if (src == NULL || !src->is_authorized || node_is_expired(src, now))
		return "# The node that you come from is not (any more) in this network.\r\n";
	return NULL;
}

static unsigned
n_waiting_at(const struct tailnet *t, int64_t dst_id)
{
	const struct ssh_check *c;
	unsigned n = 0;

	TAILQ_FOREACH(c, &t->ssh->oldest_first, link)
		n += c->who.dst_id == dst_id ? c->n_waiters : 0;
	return n;
}

static void
wait_for(struct tailnet *t, struct ssh_check *c, const struct ssh_stream *from)
{
	struct wait_key key = tailnet_wait_key(from->conn, from->stream);
	struct ssh_waiter *w = map_find(&t->ssh->_waiters, &key);
	struct ssh_stream old;

	if (w != NULL)			/* its end is still on the way to us */
		waiter_free(t, w);
	/* One approval is for one connection then: the request is its newer one. */
	if (c->period_s == 0 && tailnet_ssh_waiter_take(t, c, &old))
		tailnet_ssh_reply_retry(t, &old);
	if (n_waiting_at(t, c->who.dst_id) >= SSH_CHECKS_PER_NODE_MAX) {
		tailnet_ssh_reply_retry(t, from);
		return;
	}
	w = obj_alloc(sizeof(*w));
	w->wait = key;
	w->from = *from;
	w->check = c;
	TAILQ_INSERT_TAIL(&c->_waiters, w, link);
	c->n_waiters++;
	map_put(&t->ssh->_waiters, w);
}

/* The check that the request names, if it is one of its own, by the rule in force. */
static struct ssh_check *
named(const struct tailnet *t, const struct ssh_req *req, int64_t period_s)
{
	struct ssh_check *c = find_any(t, req->check);

	return c != NULL && memcmp(&c->who, &req->who, sizeof(c->who)) == 0 && c->period_s == period_s &&
	    c->expires_unix_s > clock_wall_s() ? c : NULL;
}

/* The rule asks for a check. */
static void
decide(struct tailnet *t, const struct ssh_stream *from, const struct ssh_req *req, int64_t period_s)
{
	struct ssh_check *c = named(t, req, period_s);
	const struct ssh_proof *proof;

	if (c != NULL && c->state == SSH_CHECK_REJECTED) {
		tailnet_ssh_reply_rejected(t, from, c);
	} else if (c != NULL && c->state == SSH_CHECK_APPROVED) {
		struct ssh_proof once = { .who = c->who, .unix_s = c->_decided_unix_s };

		memcpy(once.by, c->_by, sizeof(once.by));
		tailnet_ssh_check_free(t, c);
		tailnet_ssh_use(t, from, &once, 0);
	} else if (c != NULL) {
		wait_for(t, c, from);
	} else if ((proof = tailnet_ssh_proof_find(t, &req->who, period_s)) != NULL) {
		tailnet_ssh_use(t, from, proof, period_s);
	} else {
		if (period_s == 0 || (c = check_of(t, &req->who, period_s)) == NULL)
			c = check_new(t, &req->who, period_s);
		reply_hold(t, from, c);
	}
}

void
tailnet_ssh_ask(struct tailnet *t, const struct ctl_peer *from, const struct ssh_req *req)
{
	struct ssh_stream to = { .conn = from->conn, .stream = from->stream, .addr = from->addr };
	struct { struct machine_key machine; int64_t src_id; } key = { from->machine, req->who.src_id };
	const struct policy_ssh *rule;
	const char *text;

	_Static_assert(sizeof(key) == KEY_BYTES + sizeof(int64_t), "no padding");
	if (!ratelimit_take(t->ssh->_asks, &key, sizeof(key), clock_mono_ms())) {
		tailnet_ssh_reply_retry(t, &to);
		return;
	}
	if ((text = complaint(t, from, &req->who)) != NULL) {
		reply_reject(t, &to, text);
		return;
	}
	switch (tailnet_ssh_rule(t, &req->who, &rule)) {
	case ERR_OK:
		decide(t, &to, req, rule->check_period_s);
		break;
	case ERR_AGAIN:
		tailnet_ssh_reply_retry(t, &to);
		break;
	default:
		reply_reject(t, &to, "# The policy of this network does not let you in by a check (any more):"
		    " connect again.\r\n");
	}
}

void
tailnet_ssh_gone(struct tailnet *t, struct conn_ref conn, int32_t stream)
{
	struct wait_key key = tailnet_wait_key(conn, stream);
	struct ssh_waiter *w = map_find(&t->ssh->_waiters, &key);

	if (w != NULL)
		waiter_free(t, w);
}

/* --- ended by time or change ---------------------------------------------------------------------- */

/* node_id 0: of all. */
static void
forget(struct tailnet *t, int64_t node_id)
{
	struct tailnet_ssh *s = t->ssh;
	struct ssh_proof *p, *p_next;
	struct ssh_check *c, *c_next;

	TAILQ_FOREACH_SAFE(p, &s->_proofs_oldest_first, link, p_next) {
		if (node_id == 0 || p->who.src_id == node_id || p->who.dst_id == node_id)
			proof_free(s, p);
	}
	TAILQ_FOREACH_SAFE(c, &s->oldest_first, link, c_next) {
		if (node_id == 0 || c->who.src_id == node_id || c->who.dst_id == node_id)
			check_end(t, c, NULL);
	}
}

void
tailnet_ssh_forget_node(struct tailnet *t, int64_t node_id)
{
	forget(t, node_id);
}

void
tailnet_ssh_forget_all(struct tailnet *t)
{
	forget(t, 0);
}

int64_t
tailnet_ssh_due(struct tailnet *t, int64_t now_unix_s)
{
	struct tailnet_ssh *s = t->ssh;
	struct ssh_proof *p;
	struct ssh_check *c;

	while ((p = TAILQ_FIRST(&s->_proofs_oldest_first)) != NULL &&
	    clock_mono_ms() - p->mono_ms >= SSH_PROOF_LIFE_S * INT64_C(1000))
		proof_free(s, p);
	while ((c = TAILQ_FIRST(&s->oldest_first)) != NULL && c->expires_unix_s <= now_unix_s) {
		if (c->state == SSH_CHECK_DECIDING)
			return now_unix_s + 1;
		check_end(t, c, "# Nobody approved this SSH login in time.\r\n");
	}
	return c == NULL ? 0 : c->expires_unix_s;
}
