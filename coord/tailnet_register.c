/* Registrations on their way: one at a time for each machine, answered when they are durable. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rand.h"
#include "coord/session.h"
#include "coord/store.h"
#include "coord/tailnet_login.h"
#include "coord/tailnet_private.h"

#define RETRY_BUSY_S	2	/* and up to RETRY_SPREAD_S more, so that not all come back at once */
#define RETRY_SPREAD_S	6
#define RETRY_REFUSED_S	10	/* after too many refusals */
#define RETRY_FULL_S	30	/* somebody must make room on the disk first */
/* While the oldest has waited so long for the disk, new ones are put off: K3s gives a join 30 s in all,
 * and who waits in vain comes again beside the one of before. */
#define LATE_MS		5000

void
tailnet_registration_free(struct registration *r)
{
	msg_register_free(r->req);
	free(r->approval);
	free(r);
}

static void
reply(const struct registration *r, int status, int retry_after_s, struct shbuf *body)
{
	ts2021_reply(r->t->deps.control, r->from.conn, r->from.stream, status, retry_after_s, body);
}

static void
reply_later(const struct registration *r, int status, int retry_after_s, const char *text)
{
	reply(r, status, retry_after_s, shbuf_new(text, strlen(text)));
}

/* Too many refusals for one source are cheaper than their texts, and are not logged. */
static void
reply_refused(const struct registration *r, const struct err_text *why)
{
	struct register_resp resp = { .error = why->s };
	struct ratelimit *limit = r->t->priv->refusals;
	char ip[NET_TEXT_MAX];

	metric_add(METRIC_REGISTER_REFUSED, 1);
	if (limit != NULL && !ratelimit_take_ip(limit, &r->from.addr.ip, clock_mono_ms())) {
		reply_later(r, 429, RETRY_REFUSED_S, "too many refused registrations from this "
		    "address: wait a little");
		return;
	}
	log_info(LOG_COORD, "registration refused", "ip", net_ip_put(&r->from.addr.ip, ip), "why",
	    why->s);
	reply(r, 200, 0, msg_register_put(&resp));
}

static void
reply_expired(const struct registration *r)
{
	struct register_resp resp = { .node_key_expired = true };

	reply(r, 200, 0, msg_register_put(&resp));
}

/* Success: who the node belongs to, as its client will show it. */
static void
reply_ok(const struct registration *r, struct node *n)
{
	const struct user *u = map_find(&r->t->users, &n->user_id);
	struct register_resp resp = {
		.user_id = node_owner_id(n), .login_id = node_owner_id(n),
		.login_name = USER_TAGGED_LOGIN, .display_name = USER_TAGGED_DISPLAY,
		.machine_authorized = n->is_authorized,
	};

	OBJ_CHECK(u, USER_MAGIC);
	if (n->n_tags == 0) {
		resp.login_name = u->name;
		resp.display_name = u->display_name;
	}
	n->_registered_unix_s = clock_wall_s();
	tailnet_due_note(r->t, tailnet_ephemeral_due(r->t, n));
	metric_add(METRIC_REGISTER_OK, 1);
	reply(r, 200, 0, msg_register_put(&resp));
}

static void
reply_busy(const struct registration *r)
{
	metric_add(METRIC_REGISTER_LATER, 1);
	reply_later(r, 429, RETRY_BUSY_S + (int)rand_below(RETRY_SPREAD_S + 1),
	    "the server is busy: it works again in a moment");
}

static void
reply_failed(const struct registration *r, enum err rc, const struct err_text *why)
{
	if (rc == ERR_DENIED)
		reply_refused(r, why);
	else if (rc == ERR_NOTFOUND || rc == ERR_BUSY)	/* changed under us: look at it anew */
		reply_busy(r);
	else if (rc == ERR_EXISTS)	/* in the database and not in memory: somebody edited it */
		reply_later(r, 503, RETRY_FULL_S, "the server could not store this machine: its log "
		    "says why");
	else
		reply_later(r, 503, RETRY_FULL_S, why->s);
}

static void
reply_login(const struct registration *r)
{
	struct register_resp resp = { 0 };
	char url[1024];

	snprintf(url, sizeof(url), "%.900s/register/%s", r->t->deps.server_url, r->login->id);
	resp.auth_url = url;
	reply(r, 200, 0, msg_register_put(&resp));
}

void
tailnet_register_put_off_take(struct registration *r, const char *text)
{
	reply_later(r, 429, RETRY_FULL_S, text);
	tailnet_registration_free(r);
}

/* ERR_BUSY: *x is still the caller's. */
static enum err
send_off(struct registration *r, struct txn **x)
{
	const struct registration *oldest = TAILQ_FIRST(&r->t->priv->at_store);
	int64_t now_ms = clock_mono_ms();
	enum err rc;

	if (oldest != NULL && now_ms - oldest->at_store_ms >= LATE_MS)
		return ERR_BUSY;
	if ((rc = store_submit_take(r->t->deps.store, x)) != ERR_OK)
		return rc;
	r->at_store_ms = now_ms;
	TAILQ_INSERT_TAIL(&r->t->priv->at_store, r, link);
	return ERR_OK;
}

/* Runs it: answered here, or its transaction is under way afterwards (machine->running). */
static void
run_take(struct registration *r)
{
	struct err_text why = { "" };
	struct txn *x = NULL;
	struct node *n;

	switch (tailnet_join_decide(r, &x, &why)) {
	case JOIN_TXN:
		r->machine->running = r;
		if (send_off(r, &x) == ERR_OK)
			return;
		txn_free(x);
		r->machine->running = NULL;
		tailnet_join_release(r, false);
		reply_failed(r, ERR_BUSY, &why);
		break;
	case JOIN_KNOWN:
		n = map_find(&r->t->nodes, &r->node_id);
		OBJ_CHECK(n, NODE_MAGIC);
		reply_ok(r, n);
		break;
	case JOIN_EXPIRED:
		reply_expired(r);
		break;
	case JOIN_BUSY:
		reply_failed(r, ERR_BUSY, &why);
		break;
	case JOIN_REFUSED:
		reply_refused(r, &why);
		break;
	case JOIN_LOGIN:
		reply_login(r);
		break;
	case JOIN_WAIT:
		return;
	}
	tailnet_registration_free(r);
}

static void
dequeue(struct registration *r)
{
	map_remove(&r->t->priv->waiting, &r->wait);
	TAILQ_REMOVE(&r->machine->waiting, r, link);
	r->machine->n_waiting--;
}

void
tailnet_machine_run(struct tailnet *t, struct machine *m)
{
	struct registration *r;

	while (m->running == NULL && (r = TAILQ_FIRST(&m->waiting)) != NULL) {
		dequeue(r);
		run_take(r);
	}
	tailnet_machine_drop(t, m);
}

struct wait_key
tailnet_wait_key(struct conn_ref conn, int32_t stream)
{
	return (struct wait_key){ conn.worker, conn.slot, conn.generation, (uint32_t)stream };
}

void
tailnet_register_queue(struct registration *r)
{
	struct registration *old = map_find(&r->t->priv->waiting, &r->wait);

	if (old != NULL) {		/* its end is still on the way to us */
		dequeue(old);
		tailnet_registration_free(old);
	}
	TAILQ_INSERT_TAIL(&r->machine->waiting, r, link);
	map_put(&r->t->priv->waiting, r);
	r->machine->n_waiting++;
}

void
tailnet_register(struct tailnet *t, const struct ctl_peer *from, struct register_req *req)
{
	struct registration *r = obj_alloc(sizeof(*r));
	struct machine *m = tailnet_machine_get(t, &from->machine);

	OBJ_CHECK(t, TAILNET_MAGIC);
	r->t = t;
	r->from = *from;
	r->wait = tailnet_wait_key(from->conn, from->stream);
	r->req = req;
	r->machine = m;
	r->done = tailnet_register_done;
	if (m->n_waiting == MACHINE_WAITING_MAX) {
		reply_failed(r, ERR_BUSY, NULL);
		tailnet_registration_free(r);
		return;
	}
	tailnet_register_queue(r);
	tailnet_machine_run(t, m);
}

/* The relay was told of the node when the transaction was applied, before this. */
void
tailnet_register_done(void *arg, enum err rc, const struct err_text *why)
{
	struct registration *r = arg;
	struct tailnet *t = r->t;
	struct machine *m = r->machine;
	struct node *n = map_find(&t->nodes, &r->node_id);

	OBJ_CHECK(t, TAILNET_MAGIC);
	ASSERT(m->running == r);
	m->running = NULL;
	TAILQ_REMOVE(&t->priv->at_store, r, link);
	tailnet_join_release(r, rc == ERR_OK);
	if (rc != ERR_OK) {
		reply_failed(r, rc, why);
	} else if (r->is_logout) {
		log_info(LOG_COORD, "node logged out", "node", LOG_NUM(r->node_id));
		if (n != NULL)
			session_end_node(t, n);
		reply_expired(r);
	} else {
		char ip[NET_TEXT_MAX];

		OBJ_CHECK(n, NODE_MAGIC);
		log_info(LOG_COORD, "node registered", "node", LOG_NUM(n->id), "name", n->name, "ip",
		    net_ip_put(&n->ip4, ip));
		reply_ok(r, n);
	}
	tailnet_registration_free(r);
	tailnet_machine_run(t, m);
}

void
tailnet_register_gone(struct tailnet *t, struct conn_ref conn, int32_t stream)
{
	struct wait_key key = tailnet_wait_key(conn, stream);
	struct registration *r = map_find(&t->priv->waiting, &key);

	if (r == NULL) {
		tailnet_login_gone(t, &key);
		return;
	}
	dequeue(r);
	tailnet_registration_free(r);	/* another one of this machine is running: it stays */
}

void
tailnet_register_fini(struct tailnet *t)
{
	struct registration *r;
	struct machine *m;
	size_t at = 0;

	while ((r = map_next(&t->priv->waiting, &at)) != NULL)
		tailnet_registration_free(r);
	at = 0;
	while ((m = map_next(&t->priv->machines, &at)) != NULL) {
		if (m->running != NULL) {
			tailnet_join_release(m->running, false);
			tailnet_registration_free(m->running);
		}
	}
}
