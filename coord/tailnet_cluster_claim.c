/* Who is of which cluster, what clusters claim, and what they leave free. */
#include "coord/tailnet_cluster_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/wire.h"
#include "coord/policy.h"
#include "coord/tailnet_private.h"

/* K3s's own range, when nobody says what the pods of a cluster have. */
static const struct net_prefix usual_pods = { { 4, { 10, 42 } }, 16 };

/* --- who is of which cluster ------------------------------------------------------------------ */

static struct cluster_tagged *
roll_add(struct cluster_roll *r, const char *tag, const char *name, const struct cluster *record)
{
	struct cluster_tagged *g = arena_alloc(r->arena, sizeof(*g));

	snprintf(g->tag, sizeof(g->tag), "%s", tag);
	g->name = arena_strndup(r->arena, name, strlen(name));
	g->record = record;
	(void)map_put(&r->by_tag, g);
	return g;
}

void
cluster_roll_init(struct cluster_roll *r, const struct tailnet *t)
{
	const struct cluster *c;
	size_t at = 0;

	*r = (struct cluster_roll){ .t = t, .arena = arena_new() };
	MAP_INIT(&r->by_tag, struct cluster_tagged, tag);
	while ((c = map_next(&t->clusters->by_name, &at)) != NULL)
		(void)roll_add(r, c->tag, c->name, c);
}

struct arena *
cluster_roll_fini(struct cluster_roll *r)
{
	map_fini(&r->by_tag);
	return r->arena;
}

static bool
is_cluster_tag(const char *tag)
{
	return strcmp(tag, CLUSTER_TAG) == 0 ||
	    strncmp(tag, CLUSTER_TAG_PREFIX, strlen(CLUSTER_TAG_PREFIX)) == 0;
}

/* Whose node n is; NULL: of none. A recorded cluster goes before one known by its tag,
 * tag:k3s-name before tag:k3s. */
static struct cluster_tagged *
cluster_of(struct cluster_roll *r, const struct node *n)
{
	const char *own = NULL;

	for (unsigned i = 0; i < n->n_tags; i++) {
		char tag[TAG_TEXT_MAX] = "";
		struct cluster_tagged *g;

		snprintf(tag, sizeof(tag), "%s", n->tags[i]);
		if ((g = map_find(&r->by_tag, tag)) != NULL && g->record != NULL)
			return g;
		if (is_cluster_tag(tag))	/* tags are sorted: tag:k3s comes first */
			own = n->tags[i];
	}
	if (own == NULL)
		return NULL;
	char tag[TAG_TEXT_MAX] = "";
	snprintf(tag, sizeof(tag), "%s", own);
	struct cluster_tagged *g = map_find(&r->by_tag, tag);
	return g != NULL ? g : roll_add(r, tag, tag, NULL);
}

/* --- claims ----------------------------------------------------------------------------------- */

static void
claim(struct cluster_claims *to, const struct cluster_claim *c)
{
	if (c->prefix.ip.family == 0)
		return;
	if (to->n == to->cap) {
		to->cap = to->cap == 0 ? 64 : 2 * to->cap;
		to->v = obj_realloc(to->v, to->cap * sizeof(*to->v));
	}
	to->v[to->n++] = *c;
}

/* Appends what the record claims, in that name. */
static void
claim_record(struct cluster_claims *to, const struct cluster *c, const char *name)
{
	static const enum cluster_claim_kind kinds[CLUSTER_RANGES] = {
		[CLUSTER_POD4] = CLUSTER_CLAIM_POD, [CLUSTER_POD6] = CLUSTER_CLAIM_POD,
		[CLUSTER_SERVICE4] = CLUSTER_CLAIM_SERVICE, [CLUSTER_SERVICE6] = CLUSTER_CLAIM_SERVICE,
	};

	for (int r = 0; r < CLUSTER_RANGES; r++)
		claim(to, &(struct cluster_claim){ .prefix = c->range[r], .kind = kinds[r], .cluster = name });
	for (unsigned i = 0; i < c->n_lan; i++)
		claim(to, &(struct cluster_claim){ .prefix = c->lan[i], .kind = CLUSTER_CLAIM_LAN,
		    .cluster = name });
}

/* Is the route that of one node's pods? */
static bool
is_pods(const struct cluster_tagged *g, const struct net_prefix *route)
{
	if (g->record == NULL)
		return route->bits == 24 && cluster_prefix_covers(&usual_pods, route);
	return cluster_prefix_covers(&g->record->range[CLUSTER_POD4], route) ||
	    cluster_prefix_covers(&g->record->range[CLUSTER_POD6], route);
}

static void
claim_routes(struct cluster_claims *to, const struct node *n, const struct cluster_tagged *g)
{
	for (unsigned i = 0; i < n->host->n_routable_ips; i++) {
		const struct net_prefix *p = &n->host->routable_ips[i];

		if (p->bits > 0)	/* an exit node claims nothing */
			claim(to, &(struct cluster_claim){ .prefix = *p, .kind = CLUSTER_CLAIM_ROUTE,
			    .cluster = g->name, .node_id = n->id, .is_online = n->is_online,
			    .is_pods = is_pods(g, p) });
	}
}

void
cluster_claims_collect(struct cluster_roll *r, struct cluster_claims *out)
{
	const struct cluster_tagged *g;
	const struct node *n;
	size_t at = 0;

	while ((g = map_next(&r->by_tag, &at)) != NULL)
		claim_record(out, g->record, g->name);
	at = 0;
	while ((n = map_next(&r->t->nodes, &at)) != NULL)
		if (n->n_tags > 0 && n->host != NULL && n->host->n_routable_ips > 0 &&
		    (g = cluster_of(r, n)) != NULL)
			claim_routes(out, n, g);
}

/* --- what is free ----------------------------------------------------------------------------- */

static enum err
refuse(const struct net_prefix *route, const char *cluster, const struct net_prefix *has, struct err_text *why)
{
	char text[NET_TEXT_MAX], other[NET_TEXT_MAX];

	return err_say(why, ERR_DENIED, "%s is not approved: cluster %s has %s (setting "
	    "refuse-cluster-overlap)",
	    net_prefix_put(route, text), cluster, net_prefix_put(has, other));
}

static bool
is_of_record(const struct cluster *c, const struct net_prefix *route)
{
	for (int r = 0; r < CLUSTER_RANGES; r++)
		if (cluster_prefix_covers(&c->range[r], route))
			return true;
	for (unsigned i = 0; i < c->n_lan; i++)
		if (cluster_prefix_covers(&c->lan[i], route))
			return true;
	return false;
}

/* Other clusters' records first: a route of theirs that is there already does not take a
 * cluster's own range. */
static enum err
check_route(struct cluster_roll *r, const struct node *n, const struct net_prefix *route, struct err_text *why)
{
	const struct cluster_tagged *own = cluster_of(r, n), *g;
	struct cluster_claims claims = { .n = 0 };
	const struct node *other;
	enum err rc = ERR_OK;
	size_t at = 0;

	if (own == NULL)
		return ERR_OK;
	while ((g = map_next(&r->by_tag, &at)) != NULL)
		if (g != own && g->record != NULL)
			claim_record(&claims, g->record, g->name);
	for (size_t i = 0; rc == ERR_OK && i < claims.n; i++)
		if (cluster_prefix_overlaps(&claims.v[i].prefix, route))
			rc = refuse(route, claims.v[i].cluster, &claims.v[i].prefix, why);
	free(claims.v);
	if (rc != ERR_OK || (own->record != NULL && is_of_record(own->record, route)))
		return rc;
	at = 0;
	while (rc == ERR_OK && (other = map_next(&r->t->nodes, &at)) != NULL) {
		if (other->n_routes == 0 || other->n_tags == 0 || (g = cluster_of(r,
		    other)) == NULL || g == own)
			continue;
		for (unsigned i = 0; rc == ERR_OK && i < other->n_routes; i++)
			if (other->routes[i].prefix.bits > 0 &&
			    cluster_prefix_overlaps(&other->routes[i].prefix, route))
				rc = refuse(route, g->name, &other->routes[i].prefix, why);
	}
	return rc;
}

bool
tailnet_cluster_allows_route(struct tailnet *t, const struct node *n, const struct net_prefix *route,
	struct err_text *why)
{
	struct cluster_roll r;
	enum err rc;

	if (t->settings.refuse_cluster_overlap == 0 || n->n_tags == 0 || route->bits == 0)
		return true;
	cluster_roll_init(&r, t);
	rc = check_route(&r, n, route, why);
	arena_free(cluster_roll_fini(&r));
	return rc == ERR_OK;
}

static void
take(struct ipset *out, const struct net_prefix *p, unsigned widest)
{
	if (p->bits > 0 && (p->ip.family == 6 || p->bits >= widest))
		ipset_add_prefix(out, p);
}

/* Ranges that the policy names, each as it came out of the text. */
static void
take_policy(const struct policy *p, unsigned widest, struct ipset *out)
{
	for (unsigned i = 0; i < p->n_routes; i++)
		take(out, &p->routes[i].prefix, widest);
	for (unsigned i = 0; i < p->n_sels; i++) {
		const struct ipset *set = &p->sels[i].set;

		for (unsigned k = 0; p->sels[i].kind == POLICY_SEL_SET && k < set->n; k++) {
			unsigned shift = 32 - widest;
			uint32_t n = wire_u32be(set->v[k].hi.b) - wire_u32be(set->v[k].lo.b);

			if (set->v[k].lo.family == 6 || shift >= 32 || n >> shift == 0)
				ipset_add_range(out, &set->v[k].lo, &set->v[k].hi);
		}
	}
}

/* Addresses that are the tailnet's own: nodes', and what clients take for such. */
static void
take_own(const struct tailnet *t, struct ipset *out)
{
	const char *const own[] = { "100.64.0.0/10", "fd7a:115c:a1e0::/48", t->deps.cfg->prefixes.v4,
		t->deps.cfg->prefixes.v6 };
	struct net_prefix p;

	for (unsigned i = 0; i < COUNT_OF(own); i++)
		if (own[i] != NULL && net_prefix_parse(own[i], strlen(own[i]), &p) == ERR_OK)
			ipset_add_prefix(out, &p);
}

bool
tailnet_cluster_is_own(const struct tailnet *t, const struct net_prefix *p)
{
	struct ipset own = { .n = 0 };
	bool is_own;

	take_own(t, &own);
	is_own = ipset_overlaps_prefix(&own, p);
	ipset_fini(&own);
	return is_own;
}

void
tailnet_cluster_routes(const struct tailnet *t, const char *but_tag, unsigned widest, struct ipset *out)
{
	const struct node *n;
	size_t at = 0;

	while ((n = map_next(&t->nodes, &at)) != NULL) {
		if (but_tag != NULL && tag_list_has(n->tags, n->n_tags, but_tag))
			continue;
		for (unsigned i = 0; n->host != NULL && i < n->host->n_routable_ips; i++)
			take(out, &n->host->routable_ips[i], widest);
		for (unsigned i = 0; i < n->n_approved; i++)
			take(out, &n->approved[i], widest);
	}
}

void
tailnet_cluster_taken(const struct tailnet *t, unsigned widest, struct ipset *out)
{
	struct cluster_claims claims = { .n = 0 };
	const struct cluster *c;
	size_t at = 0;

	while ((c = map_next(&t->clusters->by_name, &at)) != NULL)
		claim_record(&claims, c, c->name);
	for (size_t i = 0; i < claims.n; i++)
		ipset_add_prefix(out, &claims.v[i].prefix);
	free(claims.v);
	take_own(t, out);
	tailnet_cluster_routes(t, NULL, widest, out);
	if (t->policy != NULL)
		take_policy(t->policy, widest, out);
}

/* --- views ------------------------------------------------------------------------------------ */

static int
prefix_order(const void *a, const void *b)
{
	const struct net_prefix *x = a, *y = b;
	int d;

	if (x->ip.family != y->ip.family)
		return x->ip.family - y->ip.family;
	d = memcmp(x->ip.b, y->ip.b, sizeof(x->ip.b));
	return d != 0 ? d : x->bits - y->bits;
}

static int
view_order(const void *a, const void *b)
{
	const struct cluster_view *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void
view_add_route(struct cluster_view *v, const struct net_prefix *p)
{
	struct net_prefix *at = v->routes == NULL ? NULL :
	    bsearch(p, v->routes, v->n_routes, sizeof(*p), prefix_order);

	if (at != NULL || p->bits == 0)
		return;
	if (v->n_routes == CLUSTER_ROUTES_SHOWN) {
		v->n_routes_left_off++;
		return;
	}
	v->routes = obj_realloc(v->routes, (v->n_routes + 1) * sizeof(*v->routes));
	v->routes[v->n_routes++] = *p;
	qsort(v->routes, v->n_routes, sizeof(*v->routes), prefix_order);
}

static struct cluster_view *
view_add(struct cluster_view **list, size_t *n, struct cluster_tagged *g)
{
	struct cluster_view *v;

	if (g->view > 0)
		return &(*list)[g->view - 1];
	*list = obj_realloc(*list, (*n + 1) * sizeof(**list));
	v = &(*list)[(*n)++];
	g->view = *n;
	*v = (struct cluster_view){ .record = g->record };
	snprintf(v->name, sizeof(v->name), "%s", g->name);
	snprintf(v->tag, sizeof(v->tag), "%s", g->tag);
	return v;
}

struct cluster_view *
tailnet_cluster_views(struct tailnet *t, size_t *n_out)
{
	struct cluster_view *list = NULL;
	struct cluster_tagged *g;
	const struct node *n;
	struct cluster_roll r;
	size_t at = 0;

	*n_out = 0;
	cluster_roll_init(&r, t);
	while ((g = map_next(&r.by_tag, &at)) != NULL)
		(void)view_add(&list, n_out, g);
	at = 0;
	while ((n = map_next(&t->nodes, &at)) != NULL) {
		if (n->n_tags == 0 || (g = cluster_of(&r, n)) == NULL)
			continue;
		struct cluster_view *v = view_add(&list, n_out, g);
		v->n_nodes++;
		v->n_online += n->is_online;
		for (unsigned i = 0; n->host != NULL && i < n->host->n_routable_ips; i++)
			view_add_route(v, &n->host->routable_ips[i]);
	}
	arena_free(cluster_roll_fini(&r));
	if (*n_out > 1)
		qsort(list, *n_out, sizeof(*list), view_order);
	return list;
}

void
cluster_views_free(struct cluster_view *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(v[i].routes);
	free(v);
}
