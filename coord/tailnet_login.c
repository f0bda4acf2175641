/* Logins: made, waited for, approved, rejected, ended. */
#include "coord/tailnet_login.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/rand.h"
#include "coord/store.h"
#include "coord/tag.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_tag.h"

void
tailnet_logins_init(struct tailnet *t)
{
	MAP_INIT(&t->logins, struct login, id);
	MAP_INIT(&t->priv->login_waiters, struct registration, wait);
	TAILQ_INIT(&t->priv->logins);
}

/* Something happened to it, for those who watch. */
static void
tell(struct tailnet *t, const struct login *l, const char *what)
{
	struct tailnet_event e = { .what = what, .by = "" };
	char target[32];

	snprintf(target, sizeof(target), "login %.24s", l->id);
	e.target = target;
	if (t->watch != NULL)
		t->watch(t->watch_arg, &e);
}

/* The first of those that wait, taken out; NULL: none. */
static struct registration *
waiter_take(struct login *l)
{
	struct registration *r = TAILQ_FIRST(&l->_waiters);

	if (r == NULL)
		return NULL;
	TAILQ_REMOVE(&l->_waiters, r, link);
	l->_n_waiters--;
	map_remove(&r->t->priv->login_waiters, &r->wait);
	r->login = NULL;
	return r;
}

/* They are looked at anew when the machine runs. */
static void
waiters_requeue(struct login *l)
{
	struct registration *r;

	while ((r = waiter_take(l)) != NULL)
		tailnet_register_queue(r);
}

/* Nobody finds it any more. Its waiters must have been taken out. */
static void
login_free(struct tailnet *t, struct login *l)
{
	struct machine *m = tailnet_machine_get(t, &l->from.machine);

	OBJ_CHECK(l, LOGIN_MAGIC);
	ASSERT(m->login == l && l->_n_waiters == 0);
	if (l->state != LOGIN_REJECTED)
		metric_add(METRIC_LOGINS, -1);
	m->login = NULL;
	TAILQ_REMOVE(&t->priv->logins, l, _link);
	map_remove(&t->logins, l->id);
	tailnet_machine_drop(t, m);
	msg_register_free(l->req);
	l->magic = 0;
	free(l);
}

void
tailnet_logins_fini(struct tailnet *t)
{
	struct registration *r;
	struct login *l;

	while ((l = TAILQ_FIRST(&t->priv->logins)) != NULL) {
		while ((r = waiter_take(l)) != NULL)
			tailnet_registration_free(r);
		login_free(t, l);
	}
	map_fini(&t->logins);
	map_fini(&t->priv->login_waiters);
}

/* Room for another: its client, if it waits, comes again later, with an id that nobody knows. */
static void
evict(struct tailnet *t, struct login *l)
{
	struct registration *r;

	log_warn(LOG_COORD, "login dropped: there are too many", "hostname", l->req->host->hostname);
	while ((r = waiter_take(l)) != NULL)
		tailnet_register_put_off_take(r, "too many devices wait to be approved");
	tell(t, l, "login.end");
	login_free(t, l);
}

static void
make_room(struct tailnet *t, const struct net_ip *ip)
{
	struct login *l, *of_source = NULL, *idle = NULL;
	struct net_ip source = net_ip_source(ip);
	unsigned n = 0;

	TAILQ_FOREACH(l, &t->priv->logins, _link) {
		struct net_ip other = net_ip_source(&l->from.addr.ip);

		if (l->state == LOGIN_APPROVING)
			continue;
		if (net_ip_eq(&other, &source)) {
			n++;
			of_source = of_source == NULL ? l : of_source;
		}
		if (idle == NULL && l->_n_waiters == 0)
			idle = l;
	}
	if (n >= LOGINS_PER_SOURCE_MAX)
		evict(t, of_source);
	else if (t->logins.count >= LOGINS_MAX && idle != NULL)
		evict(t, idle);
	else if (t->logins.count >= LOGINS_MAX && TAILQ_FIRST(&t->priv->logins)->state !=
	    LOGIN_APPROVING)
		evict(t, TAILQ_FIRST(&t->priv->logins));
}

/* What a person decides about must not change behind the address that was shown. */
static bool
is_same_device(const struct register_req *a, const struct register_req *b)
{
	return strcmp(a->host->hostname, b->host->hostname) == 0 &&
	    strcmp(a->host->os, b->host->os) == 0 && a->is_ephemeral == b->is_ephemeral &&
	    tag_list_eq(a->host->request_tags, a->host->n_request_tags, b->host->request_tags,
	    b->host->n_request_tags);
}

/* The id at the end of <server_url>/register/<id>; false: it is none. */
static bool
followup_id(const char *url, char id[LOGIN_ID_CHARS + 8])
{
	const char *slash = url == NULL ? NULL : strrchr(url, '/');

	if (slash == NULL || strlen(slash + 1) != LOGIN_ID_CHARS)
		return false;
	memset(id, 0, LOGIN_ID_CHARS + 8);
	memcpy(id, slash + 1, LOGIN_ID_CHARS);
	return true;
}

static enum join
login_new(struct registration *r, struct err_text *why)
{
	struct tailnet *t = r->t;
	struct login *l;

	if (r->req->host->json->len > LOGIN_HOST_MAX) {
		err_say(why, ERR_DENIED, "this device says more of itself than is taken without an auth "
		    "key: run tailscale up --authkey=...");
		return JOIN_REFUSED;
	}
	if (t->priv->refusals != NULL && !ratelimit_take_ip(t->priv->refusals, &r->from.addr.ip,
	    clock_mono_ms())) {
		err_say(why, ERR_DENIED, "too many logins from this address: wait a little");
		return JOIN_REFUSED;
	}
	make_room(t, &r->from.addr.ip);
	l = obj_alloc(sizeof(*l));
	l->magic = LOGIN_MAGIC;
	rand_text(l->id, LOGIN_ID_CHARS);
	l->from = r->from;
	l->req = r->req;
	r->req = NULL;
	l->created_unix_s = clock_wall_s();
	l->expires_unix_s = l->created_unix_s + LOGIN_LIFE_S;
	TAILQ_INIT(&l->_waiters);
	TAILQ_INSERT_TAIL(&t->priv->logins, l, _link);
	map_put(&t->logins, l);
	r->machine->login = l;
	r->login = l;
	metric_add(METRIC_LOGINS, 1);
	tailnet_due_note(t, l->expires_unix_s);
	log_info(LOG_COORD, "device asks to join: fairlead auth list shows it", "hostname",
	    l->req->host->hostname, "login", l->id);
	tell(t, l, "login.new");
	return JOIN_LOGIN;
}

/* r waits for l from now on, without a Hostinfo of its own. */
static enum join
wait_for(struct registration *r, struct login *l)
{
	struct registration *old;

	if (l->_n_waiters == LOGIN_WAITERS_MAX && (old = waiter_take(l)) != NULL)
		tailnet_register_put_off_take(old, "another request of this device waits already");
	hostinfo_drop(r->req->host);
	r->req->host = hostinfo_hold(l->req->host);
	if ((old = map_find(&r->t->priv->login_waiters, &r->wait)) != NULL) {
		TAILQ_REMOVE(&old->login->_waiters, old, link);	/* its end is still on the way to us */
		old->login->_n_waiters--;
		map_remove(&r->t->priv->login_waiters, &old->wait);
		tailnet_registration_free(old);
	}
	r->login = l;
	TAILQ_INSERT_TAIL(&l->_waiters, r, link);
	l->_n_waiters++;
	map_put(&r->t->priv->login_waiters, r);
	return JOIN_WAIT;
}

enum join
tailnet_login_decide(struct registration *r, struct err_text *why)
{
	struct login *l = r->machine->login;
	struct registration *old;
	char id[LOGIN_ID_CHARS + 8];

	if (l == NULL)
		return login_new(r, why);
	ASSERT(l->state != LOGIN_APPROVING);	/* the machine has nothing running */
	if (!is_same_device(l->req, r->req)) {
		while ((old = waiter_take(l)) != NULL)
			tailnet_register_put_off_take(old, "this device asked again, as another one");
		tell(r->t, l, "login.end");
		/* The machine is held by r, which is about to take the login's place. */
		r->machine->n_waiting++;
		login_free(r->t, l);
		r->machine->n_waiting--;
		return login_new(r, why);
	}
	if (l->state == LOGIN_REJECTED) {
		err_say(why, ERR_DENIED, "an administrator of this network rejected this device");
		return JOIN_REFUSED;
	}
	l->from = r->from;
	l->req->node_key = r->req->node_key;
	l->req->old_node_key = r->req->old_node_key;
	r->login = l;
	if (!followup_id(r->req->followup, id) || memcmp(id, l->id, sizeof(id)) != 0)
		return JOIN_LOGIN;
	return wait_for(r, l);
}

void
tailnet_login_gone(struct tailnet *t, const struct wait_key *key)
{
	struct registration *r = map_remove(&t->priv->login_waiters, key);

	if (r == NULL)
		return;
	TAILQ_REMOVE(&r->login->_waiters, r, link);
	r->login->_n_waiters--;
	tailnet_registration_free(r);
}

/* Its clients hear what they ask for again: with the login gone, that is a new one, or success. */
static void
login_end(struct tailnet *t, struct login *l)
{
	struct machine *m = tailnet_machine_get(t, &l->from.machine);

	waiters_requeue(l);
	tell(t, l, "login.end");
	m->n_waiting++;		/* keeps m until it has run */
	login_free(t, l);
	m->n_waiting--;
	tailnet_machine_run(t, m);
}

int64_t
tailnet_logins_due(struct tailnet *t, int64_t now_unix_s)
{
	struct login *l;

	while ((l = TAILQ_FIRST(&t->priv->logins)) != NULL && l->expires_unix_s <= now_unix_s) {
		if (l->state == LOGIN_APPROVING)
			return now_unix_s + 1;
		login_end(t, l);
	}
	return l == NULL ? 0 : l->expires_unix_s;
}

/* --- decided by people ------------------------------------------------------------------------- */

static struct login *
find_any(const struct tailnet *t, const char *id)
{
	char key[LOGIN_ID_CHARS + 8] = "";

	if (strlen(id) != LOGIN_ID_CHARS)
		return NULL;
	memcpy(key, id, LOGIN_ID_CHARS);
	return map_find(&t->logins, key);
}

struct login *
tailnet_login_find(const struct tailnet *t, const char *id)
{
	struct login *l = find_any(t, id);

	return l == NULL || l->state == LOGIN_REJECTED || l->expires_unix_s <= clock_wall_s() ?
	    NULL : l;
}

const struct node *
tailnet_login_node(const struct tailnet *t, const struct login *l)
{
	const struct machine *m = map_find(&t->priv->machines, &l->from.machine);
	const struct node *best = NULL;

	for (const struct node *n = m == NULL ? NULL : m->first; n != NULL; n = n->_machine_next) {
		if (best == NULL || n->id > best->id)
			best = n;
	}
	return best;
}

/* The login to be decided now, or NULL with the refusal answered. */
static struct login *
find_pending(struct tailnet *t, const char *id, tailnet_done_fn *done, void *arg)
{
	struct login *l = tailnet_login_find(t, id);
	struct err_text why;
	enum err rc = ERR_OK;

	if (l == NULL)
		rc = err_say(&why, ERR_NOTFOUND, "there is no such login: it is decided, or over after "
		    "%d minutes; `fairlead auth list` shows those that wait", LOGIN_LIFE_S / 60);
	else if (l->state == LOGIN_APPROVING ||
	    tailnet_machine_get(t, &l->from.machine)->running != NULL)
		rc = err_say(&why, ERR_BUSY, "the device is just joining: look again in a second");
	if (rc == ERR_OK)
		return l;
	tailnet_op_answer(done, arg, rc, &why, 0);
	return NULL;
}

/* An approval on its way to the disk. */
struct approval {
	struct login *login;
	tailnet_done_fn *done;
	void *arg;
};

/* Answers it. The request goes back to the login, which is over if that succeeded. */
static void
approval_end_take(struct registration *r, enum err rc, const struct err_text *why)
{
	struct tailnet_result res = { .rc = rc, .id = r->node_id };
	struct approval *a = r->approval;
	struct login *l = a->login;

	l->req = r->req;
	r->req = NULL;
	l->state = LOGIN_PENDING;
	if (rc == ERR_OK)
		login_end(r->t, l);
	else
		res.why = *why;
	if (a->done != NULL)
		a->done(a->arg, &res);
	tailnet_registration_free(r);
}

/* txn_done_fn */
static void
on_approved(void *arg, enum err rc, const struct err_text *why)
{
	struct registration *r = arg;
	struct tailnet *t = r->t;
	struct machine *m = r->machine;
	struct err_text text = { "" };
	char ip[NET_TEXT_MAX];
	struct node *n;

	ASSERT(m->running == r);
	m->running = NULL;
	tailnet_join_release(r, rc == ERR_OK);
	if (rc == ERR_OK) {
		n = map_find(&t->nodes, &r->node_id);
		OBJ_CHECK(n, NODE_MAGIC);
		log_info(LOG_COORD, "node registered by approval", "node", LOG_NUM(n->id), "name", n->name,
		    "ip", net_ip_put(&n->ip4, ip));
	} else {
		text = *why;
	}
	m->n_waiting++;		/* keeps m */
	approval_end_take(r, rc, &text);
	m->n_waiting--;
	tailnet_machine_run(t, m);
}

static enum err
spec_check(struct tailnet *t, const struct tailnet_login_spec *spec, const struct login *l,
	struct err_text *why)
{
	const struct hostinfo *host = l->req->host;

	if (map_find(&t->users, &spec->user_id) == NULL)
		return err_say(why, ERR_NOTFOUND, "there is no such user");
	if (spec->has_tags)
		return tailnet_tag_list_check(t, spec->tags, spec->n_tags, why);
	return tailnet_tag_list_check(t, (const char *const *)host->request_tags, host->n_request_tags, why);
}

/* The registration that approval of the login comes to; the request is moved to it. */
static struct registration *
approval_new(struct tailnet *t, struct login *l, tailnet_done_fn *done, void *arg)
{
	struct registration *r = obj_alloc(sizeof(*r));

	r->t = t;
	r->from = l->from;
	r->req = l->req;
	l->req = NULL;
	l->state = LOGIN_APPROVING;
	r->machine = tailnet_machine_get(t, &l->from.machine);
	r->done = on_approved;
	r->approval = obj_alloc(sizeof(*r->approval));
	*r->approval = (struct approval){ .login = l, .done = done, .arg = arg };
	return r;
}

/* Submits it, or ends it at once. */
static void
approval_run(struct registration *r, const struct join_approval *a)
{
	struct err_text why = { "" };
	struct txn *x = NULL;

	switch (tailnet_join_approve(r, a, &x, &why)) {
	case JOIN_TXN:
		r->machine->running = r;
		if (store_submit_take(r->t->deps.store, &x) == ERR_OK)
			return;
		txn_free(x);
		r->machine->running = NULL;
		tailnet_join_release(r, false);
		break;
	case JOIN_KNOWN:
		approval_end_take(r, ERR_OK, NULL);
		return;
	case JOIN_REFUSED:
		approval_end_take(r, ERR_DENIED, &why);
		return;
	default:
		break;
	}
	err_say(&why, ERR_BUSY, "the server is busy: try again in a few seconds");
	approval_end_take(r, ERR_BUSY, &why);
}

void
tailnet_login_approve(struct tailnet *t, const struct actor *by, const char *id,
	const struct tailnet_login_spec *spec, tailnet_done_fn *done, void *arg)
{
	struct login *l = find_pending(t, id, done, arg);
	struct join_approval a = { .is_authorized = spec->is_authorized };
	struct registration *r;
	struct err_text why;
	char **tags = NULL;
	enum err rc;

	if (l == NULL)
		return;
	if ((rc = spec_check(t, spec, l, &why)) != ERR_OK) {
		tailnet_op_answer(done, arg, rc, &why, 0);
		return;
	}
	a.user = map_find(&t->users, &spec->user_id);
	if (spec->has_tags)
		tag_list_copy(spec->tags, spec->n_tags, &tags, &a.n_tags);
	else
		a.n_tags = l->req->host->n_request_tags;
	r = approval_new(t, l, done, arg);
	r->by = by;
	a.tags = spec->has_tags ? tags : r->req->host->request_tags;
	approval_run(r, &a);
	if (spec->has_tags)
		tag_list_free(tags, a.n_tags);
}

struct rejection {
	struct tailnet *t;
	char id[LOGIN_ID_CHARS + 8];
	tailnet_done_fn *done;
	void *arg;
};

/* tailnet_done_fn: the record of it is durable. */
static void
on_rejected(void *arg, const struct tailnet_result *res)
{
	struct rejection *j = arg;
	struct login *l = find_any(j->t, j->id);

	if (res->rc == ERR_OK && l != NULL && l->state == LOGIN_PENDING) {
		struct machine *m = tailnet_machine_get(j->t, &l->from.machine);

		l->state = LOGIN_REJECTED;
		metric_add(METRIC_LOGINS, -1);
		tell(j->t, l, "login.end");
		waiters_requeue(l);
		tailnet_machine_run(j->t, m);
	}
	if (j->done != NULL)
		j->done(j->arg, res);
	free(j);
}

void
tailnet_login_reject(struct tailnet *t, const struct actor *by, const char *id,
	tailnet_done_fn *done, void *arg)
{
	struct login *l = find_pending(t, id, done, arg);
	struct rejection *j;
	struct tailnet_op *op;
	struct txn *x;

	if (l == NULL)
		return;
	j = obj_alloc(sizeof(*j));
	*j = (struct rejection){ .t = t, .done = done, .arg = arg };
	memcpy(j->id, l->id, sizeof(j->id));
	op = tailnet_op_new(t, on_rejected, j);
	x = tailnet_op_txn(op);
	audit_login(x, by, "login.reject", l);
	tailnet_op_submit_take(op, x);
}
