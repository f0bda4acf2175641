/* Routes of nodes: what is in effect, who shares a prefix, who is primary. */
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "coord/change.h"
#include "coord/policy_approve.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_route_private.h"

struct node_router *
tailnet_route_router(struct node *n)
{
	if (n->_router == NULL) {
		n->_router = obj_alloc(sizeof(*n->_router));
		n->_router->node = n;
		TAILQ_INIT(&n->_router->wishes);
	}
	return n->_router;
}

struct route_prefix *
tailnet_route_find(const struct tailnet *t, const struct net_prefix *p)
{
	return map_find(&t->routes->prefixes, p);
}

static struct node_route *
route_of(const struct node *n, const struct net_prefix *p)
{
	for (unsigned i = 0; i < n->n_routes; i++)
		if (route_cmp(&n->routes[i].prefix, p) == 0)
			return &n->routes[i];
	return NULL;
}

/* --- elections ------------------------------------------------------------------------------------ */

/* Peers are told, and it is written down who is primary. */
static void
tell(struct tailnet *t, struct node *n)
{
	if (!t->priv->is_started)
		return;
	change_note(t, n, CHANGE_WHOLE | CHANGE_SELF);
	tailnet_soft_dirty(t, n);
}

static void
primary_set(struct tailnet *t, struct route_prefix *p, struct node *next)
{
	struct node *last = p->primary;
	char text[NET_TEXT_MAX];

	p->primary = next;
	route_of(next, &p->prefix)->is_primary = true;
	tell(t, next);
	if (last == NULL)
		return;
	route_of(last, &p->prefix)->is_primary = false;
	tell(t, last);
	metric_add(METRIC_ROUTE_FAILOVERS, 1);
	log_warn(LOG_COORD, "route moved to another router", "route", net_prefix_put(&p->prefix, text),
	    "node", LOG_NUM(next->id), "name", next->name, "from", last->name);
}

/* One is primary afterwards. */
static void
elect(struct tailnet *t, struct route_prefix *p)
{
	int64_t now = clock_mono_ms();
	struct node *next = NULL;

	if (p->primary != NULL && tailnet_route_is_up(p->primary, now))
		return;
	for (unsigned i = 0; i < p->n && next == NULL; i++)
		if (tailnet_route_is_up(p->routers[i], now))
			next = p->routers[i];
	if (next == NULL)
		next = p->primary != NULL ? p->primary : p->routers[0];
	if (next != p->primary)
		primary_set(t, p, next);
}

void
tailnet_route_elect(struct tailnet *t, const struct node *n)
{
	for (unsigned i = 0; i < n->n_routes; i++) {
		struct route_prefix *p = tailnet_route_find(t, &n->routes[i].prefix);

		if (p != NULL && p->n > 1)
			elect(t, p);
	}
}

/* --- who shares what ------------------------------------------------------------------------------ */

static void
shared_add(struct tailnet *t, struct node *n)
{
	struct node_router *r = n->_router;

	if (r->n_shared++ > 0)
		return;
	TAILQ_INSERT_TAIL(&t->routes->shared, r, link);
	r->was_up = true;
	r->had_stream = n->session != NULL;
	r->gone_ms = 0;
	r->is_silent = r->is_asked = false;
	tailnet_route_wake(t);
}

static void
shared_remove(struct tailnet *t, struct node *n)
{
	if (--n->_router->n_shared == 0)
		TAILQ_REMOVE(&t->routes->shared, n->_router, link);
}

static void
prefix_join(struct tailnet *t, const struct net_prefix *prefix, struct node *n)
{
	struct route_prefix *p = tailnet_route_find(t, prefix);
	unsigned at = 0;

	if (p == NULL) {
		p = obj_alloc(sizeof(*p));
		p->prefix = *prefix;
		map_put(&t->routes->prefixes, p);
		metric_add(METRIC_ROUTES_CARRIED, 1);
	}
	if (p->n == p->_cap) {
		p->_cap = p->_cap == 0 ? 1 : 2 * p->_cap;
		p->routers = obj_realloc(p->routers, p->_cap * sizeof(struct node *));
	}
	while (at < p->n && p->routers[at]->id < n->id)
		at++;
	memmove(p->routers + at + 1, p->routers + at, (p->n - at) * sizeof(struct node *));
	p->routers[at] = n;
	p->n++;
	if (p->n == 2)
		shared_add(t, p->routers[1 - at]);
	if (p->n >= 2)
		shared_add(t, n);
	if (t->priv->is_started)
		elect(t, p);
}

static void
prefix_leave(struct tailnet *t, const struct net_prefix *prefix, struct node *n)
{
	struct route_prefix *p = tailnet_route_find(t, prefix);
	unsigned at = 0;

	while (p->routers[at] != n)
		ASSERT(++at < p->n);
	p->n--;
	memmove(p->routers + at, p->routers + at + 1, (p->n - at) * sizeof(struct node *));
	if (p->primary == n)
		p->primary = NULL;
	if (p->n >= 1)
		shared_remove(t, n);
	if (p->n == 1)
		shared_remove(t, p->routers[0]);
	if (p->n > 0) {
		if (t->priv->is_started)
			elect(t, p);
		return;
	}
	map_remove(&t->routes->prefixes, prefix);
	free(p->routers);
	free(p);
	metric_add(METRIC_ROUTES_CARRIED, -1);
}

/* --- what is in effect ---------------------------------------------------------------------------- */

/* Advertised and approved. */
static void
effective(const struct node *n, struct route_list *out)
{
	const struct route_list *a = &n->_router->advertised;

	for (unsigned i = 0; i < a->n && n->is_authorized; i++)
		if (route_list_has(n->approved, n->n_approved, &a->v[i]))
			route_list_add(out, &a->v[i], 1);
}

static bool
is_same(const struct node *n, const struct route_list *l)
{
	unsigned i = 0;

	if (n->n_routes != l->n)
		return false;
	while (i < l->n && route_cmp(&n->routes[i].prefix, &l->v[i]) == 0)
		i++;
	return i == l->n;
}

/* n's routes are those of the list. */
static void
routes_set(struct tailnet *t, struct node *n, const struct route_list *l)
{
	struct node_route *old = n->routes, *next = NULL;
	unsigned n_old = n->n_routes;

	if (l->n > 0)
		next = obj_alloc(l->n * sizeof(*next));
	for (unsigned i = 0; i < l->n; i++) {
		const struct node_route *had = route_of(n, &l->v[i]);

		next[i].prefix = l->v[i];
		next[i].is_primary = route_is_exit(&l->v[i]) || (had != NULL && had->is_primary);
	}
	n->routes = next;
	n->n_routes = l->n;
	for (unsigned i = 0; i < n_old; i++)
		if (!route_is_exit(&old[i].prefix) && route_of(n, &old[i].prefix) == NULL)
			prefix_leave(t, &old[i].prefix, n);
	for (unsigned i = 0; i < l->n; i++) {
		bool is_new = true;

		for (unsigned k = 0; k < n_old && is_new; k++)
			is_new = route_cmp(&old[k].prefix, &l->v[i]) != 0;
		if (is_new && !route_is_exit(&l->v[i]))
			prefix_join(t, &l->v[i], n);
	}
	free(old);
}

static void
count(struct node_router *r)
{
	metric_add(METRIC_ROUTES_APPROVED, (int64_t)r->node->n_routes - (int64_t)r->n_counted);
	r->n_counted = r->node->n_routes;
}

/* Brings n->routes up to date; tells peers of a difference. */
static void
refresh(struct tailnet *t, struct node *n)
{
	struct route_list l = { .n = 0 };

	if (n->_router == NULL)
		return;
	effective(n, &l);
	if (!is_same(n, &l)) {
		routes_set(t, n, &l);
		count(n->_router);
		tell(t, n);
	}
	route_list_fini(&l);
}

/* What its Hostinfo says. Returns whether that is news. */
static bool
advertised_take(struct node *n)
{
	struct route_list l = { .n = 0 };
	struct node_router *r = n->_router;
	bool is_news;

	if (n->host != NULL)
		route_list_add(&l, n->host->routable_ips, n->host->n_routable_ips);
	route_list_tidy(&l);
	if (r == NULL && (l.n > 0 || n->n_approved > 0))
		r = tailnet_route_router(n);
	is_news = r != NULL && !route_list_eq(r->advertised.v, r->advertised.n, l.v, l.n);
	if (is_news) {
		metric_add(METRIC_ROUTES_ADVERTISED, (int64_t)l.n - (int64_t)r->advertised.n);
		route_list_fini(&r->advertised);
		r->advertised = l;
		if (n->host != NULL && n->host->n_left_out > 0)
			log_warn(LOG_COORD, "routes left out: a node may have at most 512",
			    "node", LOG_NUM(n->id), "name", n->name, "left_out", LOG_NUM(n->host->n_left_out));
	} else {
		route_list_fini(&l);
	}
	return is_news;
}

/* --- what happens --------------------------------------------------------------------------------- */

void
tailnet_route_advertised(struct tailnet *t, struct node *n)
{
	if (!advertised_take(n))
		return;
	refresh(t, n);
	tailnet_route_ask(t, n);
}

void
tailnet_route_approved(struct tailnet *t, struct node *n)
{
	(void)advertised_take(n);
	refresh(t, n);
}

void
tailnet_route_note(struct tailnet *t, struct node *n)
{
	tailnet_route_approved(t, n);
	tailnet_route_ask(t, n);
}

void
tailnet_route_note_all(struct tailnet *t)
{
	struct node *n;
	size_t at = 0;

	if (!t->priv->is_started)
		return;
	while ((n = map_next(&t->nodes, &at)) != NULL)
		tailnet_route_ask(t, n);
}

/* What the database says of primaries stands in n->routes. */
void
tailnet_route_load(struct tailnet *t, struct node *n)
{
	struct node_route *stored = n->routes;
	unsigned n_stored = n->n_routes;

	n->routes = NULL;
	n->n_routes = 0;
	tailnet_route_approved(t, n);
	for (unsigned i = 0; i < n_stored; i++) {
		struct node_route *r = route_of(n, &stored[i].prefix);

		if (r != NULL)
			r->is_primary = true;
	}
	free(stored);
}

/* Who was primary when the server ended stays it, so that a restart moves nothing. */
static void
first_election(struct tailnet *t, struct route_prefix *p)
{
	for (unsigned i = 0; i < p->n; i++) {
		struct node_route *r = route_of(p->routers[i], &p->prefix);

		if (r->is_primary && p->primary == NULL)
			p->primary = p->routers[i];
		else
			r->is_primary = false;
	}
	if (p->primary == NULL)
		elect(t, p);
}

void
tailnet_route_start(struct tailnet *t)
{
	struct route_prefix *p;
	size_t at = 0;

	while ((p = map_next(&t->routes->prefixes, &at)) != NULL)
		first_election(t, p);
	tailnet_route_note_all(t);
	tailnet_route_wake(t);
}

void
tailnet_route_remove(struct tailnet *t, struct node *n)
{
	struct node_router *r = n->_router;
	struct route_list none = { .n = 0 };

	if (r == NULL)
		return;
	routes_set(t, n, &none);
	count(r);
	metric_add(METRIC_ROUTES_ADVERTISED, -(int64_t)r->advertised.n);
	tailnet_route_wishes_drop(r);
	route_list_fini(&r->advertised);
	n->_router = NULL;
	free(r);
}

void
tailnet_route_fini(struct tailnet *t)
{
	struct node *n;
	size_t at = 0;

	t->priv->is_started = false;	/* nobody is elected, or told, any more */
	while ((n = map_next(&t->nodes, &at)) != NULL)
		tailnet_route_remove(t, n);
	map_fini(&t->routes->prefixes);
	if (t->routes->timer != NULL)
		event_free(t->routes->timer);
	free(t->routes);
	t->routes = NULL;
}

void
tailnet_route_init(struct tailnet *t)
{
	t->routes = obj_alloc(sizeof(*t->routes));
	MAP_INIT(&t->routes->prefixes, struct route_prefix, prefix);
	TAILQ_INIT(&t->routes->shared);
}

/* --- for people ----------------------------------------------------------------------------------- */

unsigned
tailnet_route_list(struct tailnet *t, const struct node *n, struct tailnet_route **out)
{
	const struct policy_world *w = change_policy_world(t);
	struct policy_node pn = policy_node_of(n);
	struct route_list l = { .n = 0 };

	if (n->host != NULL)
		route_list_add(&l, n->host->routable_ips, n->host->n_routable_ips);
	route_list_tidy(&l);
	unsigned n_advertised = l.n;
	struct net_prefix *advertised = l.v;
	l = (struct route_list){ .n = 0 };
	route_list_add(&l, advertised, n_advertised);
	route_list_add(&l, n->approved, n->n_approved);
	route_list_tidy(&l);
	*out = l.n == 0 ? NULL : obj_alloc(l.n * sizeof(**out));
	for (unsigned i = 0; i < l.n; i++) {
		const struct node_route *r = route_of(n, &l.v[i]);

		(*out)[i] = (struct tailnet_route){
			.prefix = l.v[i],
			.is_advertised = route_list_has(advertised, n_advertised, &l.v[i]),
			.is_approved = route_list_has(n->approved, n->n_approved, &l.v[i]),
			.is_primary = r != NULL && r->is_primary,
			.is_by_policy = w != NULL && route_check(&l.v[i], NULL) == ERR_OK &&
			    policy_approves(w, &pn, &l.v[i]),
		};
	}
	unsigned n_all = l.n;
	route_list_fini(&l);
	free(advertised);
	return n_all;
}

bool
tailnet_route_answers(const struct node *n)
{
	return n->_router == NULL || !n->_router->is_silent;
}
