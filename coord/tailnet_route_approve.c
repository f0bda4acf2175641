/* What nodes may route: changed by administrators and by the policy, one change of a node after the other. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "coord/change.h"
#include "coord/policy_approve.h"
#include "coord/tailnet_cluster.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_route_private.h"

#define POLICY_ACTOR "policy"

/* A change asked for. */
struct route_wish {
	TAILQ_ENTRY(route_wish) link;
	struct actor by;
	bool is_whole;
	struct route_list add, remove;	/* tidy, exit routes in pairs */
	tailnet_done_fn *done;
	void *arg;
};

static void
wish_free(struct route_wish *w)
{
	route_list_fini(&w->add);
	route_list_fini(&w->remove);
	free(w);
}

/* The list with the other route of an exit node, if it has one of them. */
static void
list_make(struct route_list *l, const struct net_prefix *v, unsigned n)
{
	static const struct net_prefix both[] = { { .ip.family = 4 }, { .ip.family = 6 } };
	bool has_exit = false;

	route_list_add(l, v, n);
	for (unsigned i = 0; i < n && !has_exit; i++)
		has_exit = route_is_exit(&v[i]);
	if (has_exit)
		route_list_add(l, both, COUNT_OF(both));
	route_list_tidy(l);
}

static struct route_wish *
wish_new(const struct actor *by, const struct tailnet_route_change *c)
{
	struct route_wish *w = obj_alloc(sizeof(*w));

	w->by = *by;
	w->is_whole = c->is_whole;
	list_make(&w->add, c->add, c->n_add);
	list_make(&w->remove, c->remove, c->n_remove);
	return w;
}

/* What n is approved for when the wish is done. */
static struct route_list
wish_outcome(const struct route_wish *w, const struct node *n)
{
	struct route_list all = { .n = 0 }, out = { .n = 0 };

	if (!w->is_whole)
		route_list_add(&all, n->approved, n->n_approved);
	route_list_add(&all, w->add.v, w->add.n);
	route_list_tidy(&all);
	for (unsigned i = 0; i < all.n; i++)
		if (!route_list_has(w->remove.v, w->remove.n, &all.v[i]))
			route_list_add(&out, &all.v[i], 1);
	route_list_fini(&all);
	return out;
}

static void
submit(struct tailnet *t, struct node *n, const struct route_wish *w, struct route_list *approved)
{
	struct tailnet_op *op = tailnet_op_new(t, w->done, w->arg);
	struct txn *x = tailnet_op_txn(op);
	struct mutation *m = txn_add(x, MUTATION_NODE_SET);

	op->id = op->routing_id = n->id;
	n->_is_routing = true;
	m->groups = NODE_GROUP_ROUTES;
	m->u.node.id = n->id;
	m->u.node.approved = approved->v;
	m->u.node.n_approved = approved->n;
	*approved = (struct route_list){ .n = 0 };	/* moved */
	audit_node(x, &w->by, "node.routes", n, &m->u.node, NODE_GROUP_ROUTES);
	tailnet_op_submit_take(op, x);
}

/* None is under way. */
static void
wish_run_take(struct tailnet *t, struct node *n, struct route_wish *w)
{
	struct route_list approved = wish_outcome(w, n);
	struct err_text why;

	if (approved.n > ROUTE_LIST_MAX) {
		err_say(&why, ERR_LIMIT, "a node may have at most %u routes", ROUTE_LIST_MAX);
		tailnet_op_answer(w->done, w->arg, ERR_LIMIT, &why, n->id);
	} else if (route_list_eq(approved.v, approved.n, n->approved, n->n_approved)) {
		tailnet_op_answer(w->done, w->arg, ERR_OK, NULL, n->id);
	} else {
		submit(t, n, w, &approved);
	}
	route_list_fini(&approved);
	wish_free(w);
}

/* What neither an administrator nor the policy may approve. false, with *why. */
static bool
is_allowed(struct tailnet *t, const struct node *n, const struct net_prefix *route, struct err_text *why)
{
	return route_check(route, why) == ERR_OK &&
	    (route_list_has(n->approved, n->n_approved, route) ||
	    tailnet_cluster_allows_route(t, n, route, why));
}

static enum err
change_check(struct tailnet *t, const struct node *n, const struct tailnet_route_change *c,
	struct err_text *why)
{
	enum err rc = ERR_OK;

	if (n == NULL)
		return err_say(why, ERR_NOTFOUND, "there is no such node: `fairlead nodes list` shows them");
	if (c->n_add > ROUTE_LIST_MAX || c->n_remove > ROUTE_LIST_MAX)
		return err_say(why, ERR_LIMIT, "a node may have at most %u routes", ROUTE_LIST_MAX);
	for (unsigned i = 0; i < c->n_add && rc == ERR_OK; i++)
		rc = is_allowed(t, n, &c->add[i], why) ? ERR_OK : ERR_INVAL;
	if (rc == ERR_OK && n->_is_routing && n->_router->n_wishes >= ROUTE_WISHES_MAX)
		rc = err_say(why, ERR_BUSY, "the node gets other routes just now: try again");
	return rc;
}

void
tailnet_node_set_routes(struct tailnet *t, const struct actor *by, int64_t node_id,
	const struct tailnet_route_change *c, tailnet_done_fn *done, void *arg)
{
	struct node *n = map_find(&t->nodes, &node_id);
	struct node_router *r;
	struct route_wish *w;
	struct err_text why;
	enum err rc = change_check(t, n, c, &why);

	if (rc != ERR_OK) {
		tailnet_op_answer(done, arg, rc, &why, node_id);
		return;
	}
	r = tailnet_route_router(n);
	w = wish_new(by, c);
	w->done = done;
	w->arg = arg;
	if (n->_is_routing) {
		TAILQ_INSERT_TAIL(&r->wishes, w, link);
		r->n_wishes++;
		return;
	}
	wish_run_take(t, n, w);
}

static void
ask_at(struct tailnet *t, struct node_router *r, int64_t mono_ms)
{
	r->is_retry = true;
	r->retry_ms = mono_ms;
	t->routes->has_retries = true;
	tailnet_route_wake(t);
}

/* Something was asked for; runs what waits, one after the other while they change nothing. */
void
tailnet_route_ended(struct tailnet *t, int64_t node_id, enum err rc)
{
	struct node *n = map_find(&t->nodes, &node_id);
	struct node_router *r;
	struct route_wish *w;

	if (n == NULL)
		return;
	n->_is_routing = false;
	r = n->_router;
	if (rc == ERR_CLOSED) {
		tailnet_route_wishes_drop(r);
		return;
	}
	if (rc != ERR_OK && !n->_is_removing)
		ask_at(t, r, clock_mono_ms() + ROUTE_PROBE_MS);
	while (!n->_is_routing && (w = TAILQ_FIRST(&r->wishes)) != NULL) {
		TAILQ_REMOVE(&r->wishes, w, link);
		r->n_wishes--;
		wish_run_take(t, n, w);
	}
	if (!n->_is_routing && r->is_due)
		tailnet_route_ask(t, n);
}

void
tailnet_route_wishes_drop(struct node_router *r)
{
	struct err_text why;
	struct route_wish *w;

	err_say(&why, ERR_CLOSED, "the node was removed, or the server stopped, before it was done");
	while ((w = TAILQ_FIRST(&r->wishes)) != NULL) {
		TAILQ_REMOVE(&r->wishes, w, link);
		tailnet_op_answer(w->done, w->arg, ERR_CLOSED, &why, r->node->id);
		wish_free(w);
	}
	r->n_wishes = 0;
}

/* --- by the policy -------------------------------------------------------------------------------- */

static void
log_approved(const struct node *n, const struct route_list *l)
{
	struct buf b = { 0 };

	route_list_put(&b, l->v, l->n);
	log_info(LOG_POLICY, "routes approved by the policy", "node", LOG_NUM(n->id), "name", n->name, "routes",
	    buf_cstr(&b));
	buf_fini(&b);
}

/* What n advertises, is not approved for, and the policy approves. */
static void
wanted(struct tailnet *t, const struct policy_world *w, const struct node *n, struct route_list *out)
{
	const struct route_list *a = &n->_router->advertised;
	struct policy_node pn = policy_node_of(n);
	struct err_text why;

	for (unsigned i = 0; i < a->n; i++) {
		if (route_list_has(n->approved, n->n_approved, &a->v[i]) || !policy_approves(w, &pn, &a->v[i]))
			continue;
		if (is_allowed(t, n, &a->v[i], &why))
			route_list_add(out, &a->v[i], 1);
		else
			log_info(LOG_POLICY, "route is not approved", "node", LOG_NUM(n->id), "name",
			    n->name, "why", why.s);
	}
}

/* What makes room for so many more: approved, no longer advertised, and approved again when it is. The
 * routes of an exit node go and come together: they are left alone. */
static void
superseded(const struct policy_world *w, const struct node *n, unsigned n_more, struct route_list *out)
{
	const struct route_list *a = &n->_router->advertised;
	struct policy_node pn = policy_node_of(n);

	if (n->n_approved + n_more <= ROUTE_LIST_MAX)
		return;
	for (unsigned i = 0; i < n->n_approved; i++)
		if (!route_is_exit(&n->approved[i]) && !route_list_has(a->v, a->n, &n->approved[i]) &&
		    policy_approves(w, &pn, &n->approved[i]))
			route_list_add(out, &n->approved[i], 1);
}

/* May the policy approve routes of that node now? Else it is asked again when it may. */
static bool
may_approve(struct tailnet *t, struct node_router *r)
{
	int64_t now = clock_mono_ms(), since = now - ROUTE_POLICY_BURST * ROUTE_POLICY_EVERY_MS;

	if (r->policy_ms < since)
		r->policy_ms = since;
	if (r->policy_ms + ROUTE_POLICY_EVERY_MS > now) {
		ask_at(t, r, r->policy_ms + ROUTE_POLICY_EVERY_MS);
		return false;
	}
	r->policy_ms += ROUTE_POLICY_EVERY_MS;
	return true;
}

void
tailnet_route_ask(struct tailnet *t, struct node *n)
{
	static const struct actor by = { .name = POLICY_ACTOR };
	const struct policy_world *world;
	struct node_router *r = n->_router;
	struct route_list l = { .n = 0 }, old = { .n = 0 };

	if (r == NULL || !t->priv->is_started || n->_is_removing || (world = change_policy_world(t)) == NULL)
		return;
	r->is_due = n->_is_routing;
	if (r->is_due)
		return;
	wanted(t, world, n, &l);
	if (l.n > 0 && may_approve(t, r)) {
		superseded(world, n, l.n, &old);
		log_approved(n, &l);
		wish_run_take(t, n, wish_new(&by, &(struct tailnet_route_change){ .add = l.v, .n_add = l.n,
		    .remove = old.v, .n_remove = old.n }));
	}
	route_list_fini(&l);
	route_list_fini(&old);
}
