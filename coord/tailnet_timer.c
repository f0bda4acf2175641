/* What happens to a tailnet by time alone: keys expire, ephemeral nodes go, soft state is
 * written. */
#include <event2/event.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "coord/change.h"
#include "coord/store.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_ssh.h"

#define WARN_BEFORE_S	(7 * 86400)	/* of a key's expiry */
#define JOIN_GRACE_S	600	/* an ephemeral node that never polled is kept at least so long */
#define WARN_MAX	256	/* warnings in one turn of the loop */
#define LOOK_AGAIN_S	60	/* every node is looked at this often, whatever was foreseen */
#define REMOVE_MAX	256	/* ephemeral nodes removed in one turn of the loop */
#define RETRY_MS	1000	/* soft state, after the store took none */
#define NEXT_BATCH_MS	10

static void
event_in_ms(struct event *e, int64_t ms)
{
	struct timeval tv = { .tv_sec = (time_t)(ms / 1000), .tv_usec = (ms % 1000) * 1000 };

	ASSERT(event_add(e, &tv) == 0);
}

void
tailnet_due_note(struct tailnet *t, int64_t unix_s)
{
	struct tailnet_private *p = t->priv;
	int64_t wait_s = unix_s - clock_wall_s();

	if (unix_s == 0 || p->due_timer == NULL || (p->due_unix_s != 0 && p->due_unix_s <= unix_s))
		return;
	p->due_unix_s = unix_s;
	event_in_ms(p->due_timer, wait_s <= 0 ? 0 : wait_s > LOOK_AGAIN_S ? LOOK_AGAIN_S * 1000 :
	    wait_s * 1000);
}

void
tailnet_expiry_note(struct tailnet *t, const struct node *n)
{
	int64_t warn_at = n->key_expiry_unix_s - WARN_BEFORE_S, soon = clock_wall_s() + 1;

	if (n->key_expiry_unix_s == 0)
		return;
	tailnet_due_note(t, n->key_expiry_unix_s);
	if (!n->is_expiry_warned && n->key_expiry_unix_s > soon)
		tailnet_due_note(t, warn_at > soon ? warn_at : soon);	/* one look for many of them */
}

int64_t
tailnet_ephemeral_due(const struct tailnet *t, const struct node *n)
{
	int64_t since = n->last_seen_unix_s;
	int64_t timeout_s = t->deps.cfg->node.ephemeral_timeout_s;

	if (!n->is_ephemeral || n->is_online || n->_is_removing || timeout_s == 0)
		return 0;
	if ((since < n->created_unix_s || since < n->_registered_unix_s) && timeout_s < JOIN_GRACE_S)
		timeout_s = JOIN_GRACE_S;	/* registered, and not here yet */
	if (since < n->created_unix_s)
		since = n->created_unix_s;
	if (since < n->_registered_unix_s)
		since = n->_registered_unix_s;
	if (since < t->priv->started_unix_s)	/* nobody could reconnect while we were down */
		since = t->priv->started_unix_s;
	return since + timeout_s;
}

/* What one look at all nodes finds. */
struct look {
	int64_t next;		/* when something is due */
	int64_t n_expiring, n_unapproved;
	unsigned n_warned;
};

static void
key_expired(struct tailnet *t, struct node *n)
{
	n->_is_expiry_told = true;
	t->deps.expel(t->deps.arg, &n->node_key);
	tailnet_ssh_forget_node(t, n->id);
	change_note(t, n, CHANGE_KEY | CHANGE_SELF);
	log_info(LOG_COORD, "node key expired", "node", LOG_NUM(n->id), "name", n->name);
}

/* txn_done_fn: a warning that is not written comes again after the next start. */
static void
on_warned(void *arg, enum err rc, const struct err_text *why)
{
	(void)arg;
	if (rc != ERR_OK && rc != ERR_NOTFOUND)
		log_warn(LOG_COORD, "key expiry warning not recorded", "err", why->s);
}

/* The one warning before a key expires: log and audit record. */
static void
expiry_warn(struct tailnet *t, struct node *n)
{
	static const struct actor by = { .name = "key expiry" };
	char when[CLOCK_RFC3339_BYTES];
	struct mutation *m;
	struct txn *x = txn_new(t, on_warned, NULL);

	n->is_expiry_warned = true;
	log_warn(LOG_COORD, "node key expires soon", "node", LOG_NUM(n->id), "name", n->name, "expires",
	    clock_rfc3339(n->key_expiry_unix_s, when));
	m = txn_add(x, MUTATION_NODE_SET);
	m->groups = NODE_GROUP_WARNED;
	m->u.node.id = n->id;
	audit_node(x, &by, "node.expiring", NULL, n, NODE_GROUP_EXPIRY);
	if (store_submit_take(t->deps.store, &x) != ERR_OK) {
		txn_free(x);
		n->is_expiry_warned = false;	/* with the next look */
	}
}

static void
gauge_set(int64_t *known, enum metric m, int64_t now)
{
	metric_add(m, now - *known);
	*known = now;
}

/* Does the key of a node expire soon, and has nobody been told? Counts for the metrics. */
static void
expiry_look(struct tailnet *t, struct node *n, int64_t now, struct look *look)
{
	if (n->key_expiry_unix_s == 0 || n->_is_removing)
		return;
	if (!n->_is_expiry_told && n->key_expiry_unix_s <= now)
		key_expired(t, n);
	if (n->key_expiry_unix_s <= now)
		return;
	if (n->key_expiry_unix_s < look->next)
		look->next = n->key_expiry_unix_s;
	if (n->key_expiry_unix_s > now + WARN_BEFORE_S)
		return;
	look->n_expiring++;
	if (!n->is_expiry_warned && look->n_warned++ < WARN_MAX)
		expiry_warn(t, n);
}

static void
keys_look(struct tailnet *t, int64_t now)
{
	struct authkey *k;
	size_t at = 0;

	while ((k = map_next(&t->authkeys, &at)) != NULL) {
		if (k->expires_unix_s != 0 && k->expires_unix_s <= now)
			tailnet_key_plan_expire(t, k);
	}
}

void
tailnet_due_run(struct tailnet *t)
{
	static const struct actor by = { .name = "ephemeral timeout" };
	int64_t now = clock_wall_s(), login_at, ssh_at;
	struct look look = { .next = now + LOOK_AGAIN_S };
	unsigned n_removed = 0;
	size_t at = 0;
	struct node *n;

	t->priv->due_unix_s = 0;
	while ((n = map_next(&t->nodes, &at)) != NULL) {
		int64_t gone_at = n->session == NULL ? tailnet_ephemeral_due(t, n) : 0;

		expiry_look(t, n, now, &look);
		if (n->_is_name_due)
			tailnet_node_hostname(t, n);
		look.n_unapproved += !n->is_authorized;
		if (gone_at == 0)
			continue;
		if (gone_at <= now && n_removed < REMOVE_MAX) {
			n_removed++;
			tailnet_node_remove(t, &by, n->id, NULL, NULL);
		} else if (gone_at < look.next) {
			look.next = gone_at <= now ? now + 1 : gone_at;
		}
	}
	keys_look(t, now);
	gauge_set(&t->priv->n_expiring, METRIC_NODES_EXPIRING, look.n_expiring);
	gauge_set(&t->priv->n_unapproved, METRIC_NODES_UNAPPROVED, look.n_unapproved);
	login_at = tailnet_logins_due(t, now);
	ssh_at = tailnet_ssh_due(t, now);
	tailnet_due_note(t, ssh_at);
	tailnet_due_note(t, login_at != 0 && login_at < look.next ? login_at : look.next);
}

bool
tailnet_soft_run(struct tailnet *t)
{
	struct txn *x;
	struct node *n;
	unsigned count = 0;

	if (TAILQ_EMPTY(&t->priv->dirty))
		return false;
	x = txn_new(t, NULL, NULL);
	TAILQ_FOREACH(n, &t->priv->dirty, _dirty_link) {
		struct mutation *m = txn_add(x, MUTATION_NODE_STATE);

		m->u.node.id = n->id;
		node_copy_soft(&m->u.node, n);
		if (++count == SOFT_FLUSH_NODES)
			break;
	}
	if (store_submit_take(t->deps.store, &x) != ERR_OK) {
		txn_free(x);
		return false;
	}
	for (; count > 0; count--) {
		n = TAILQ_FIRST(&t->priv->dirty);
		TAILQ_REMOVE(&t->priv->dirty, n, _dirty_link);
		n->is_soft_dirty = false;
	}
	return true;
}

void
tailnet_flush_soft(struct tailnet *t)
{
	while (tailnet_soft_run(t)) {
	}
}

void
tailnet_soft_dirty(struct tailnet *t, struct node *n)
{
	OBJ_CHECK(n, NODE_MAGIC);
	tailnet_due_note(t, tailnet_ephemeral_due(t, n));
	if (n->is_soft_dirty)
		return;
	n->is_soft_dirty = true;
	TAILQ_INSERT_TAIL(&t->priv->dirty, n, _dirty_link);
	if (t->priv->soft_timer != NULL && !evtimer_pending(t->priv->soft_timer, NULL))
		event_in_ms(t->priv->soft_timer, SOFT_FLUSH_MS);
}

static void
on_due(evutil_socket_t fd, short what, void *arg)
{
	struct tailnet *t = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(t, TAILNET_MAGIC);
	tailnet_due_run(t);
}

static void
on_soft(evutil_socket_t fd, short what, void *arg)
{
	struct tailnet *t = arg;
	bool is_sent;

	(void)fd;
	(void)what;
	OBJ_CHECK(t, TAILNET_MAGIC);
	is_sent = tailnet_soft_run(t);
	if (!TAILQ_EMPTY(&t->priv->dirty))
		event_in_ms(t->priv->soft_timer, is_sent ? NEXT_BATCH_MS : RETRY_MS);
}

void
tailnet_timers_start(struct tailnet *t)
{
	t->priv->due_timer = evtimer_new(t->deps.base, on_due, t);
	t->priv->soft_timer = evtimer_new(t->deps.base, on_soft, t);
	ASSERT(t->priv->due_timer != NULL && t->priv->soft_timer != NULL);
	tailnet_due_run(t);
	if (!TAILQ_EMPTY(&t->priv->dirty))
		event_in_ms(t->priv->soft_timer, SOFT_FLUSH_MS);
}

void
tailnet_timers_stop(struct tailnet *t)
{
	if (t->priv->due_timer != NULL)
		event_free(t->priv->due_timer);
	if (t->priv->soft_timer != NULL)
		event_free(t->priv->soft_timer);
	t->priv->due_timer = t->priv->soft_timer = NULL;
	gauge_set(&t->priv->n_expiring, METRIC_NODES_EXPIRING, 0);
	gauge_set(&t->priv->n_unapproved, METRIC_NODES_UNAPPROVED, 0);
}
