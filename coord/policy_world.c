/*
 * Policy worlds: nodes in and out of their classes, bundles anew. What is where:
 *
 *   _prepare    the policy's selectors, rules and literals in a form to evaluate
 *   _index      which literal ranges hold an address or overlap a prefix
 *   _facts      what the policy can tell of a node: the key of its class
 *   _prefix     routed prefixes; who is stale because of others
 *   _row, _view who sees whom and which routes
 *   _source     addresses of selectors, texts of sources
 *   _filter, _template, _text   filters
 *   _attr       attributes
 *   _bundle     all that a class is told, made anew when it has to be
 *   _intern     things found by their bytes
 */
#include <string.h>

#include "coord/policy_ssh.h"
#include "coord/policy_world_private.h"

#define POLICY_WORLD_MAGIC	0x0077d001u
#define POLICY_CLASS_MAGIC	0xc1a55002u

struct policy_node
policy_node_of(const struct node *n)
{
	return (struct policy_node){ .id = n->id, .user_id = n->n_tags > 0 ? 0 : n->user_id, .tags = n->tags,
		.n_tags = n->n_tags, .is_waiting = !n->is_authorized, .ip4 = n->ip4, .ip6 = n->ip6,
		.routes = n->routes, .n_routes = n->n_routes, .host = n->host };
}

/* --- life ------------------------------------------------------------------------------------- */

struct policy_world *
policy_world_new(struct policy *policy, const struct map *users, const char *server_url)
{
	struct policy_world *w = obj_alloc(sizeof(*w));
	struct policy_world_private *p = obj_alloc(sizeof(*p));

	w->magic = POLICY_WORLD_MAGIC;
	w->policy = policy_hold(policy);
	w->users = users;
	w->n_rows = POLICY_ROW_WAITING + 1;
	w->_p = p;
	p->server_url = obj_strdup(server_url);
	pw_intern_map(&p->sources_by_key);
	pw_intern_map(&p->classes);
	pw_intern_map(&p->rows);
	pw_intern_map(&p->views);
	pw_intern_map(&p->programs);
	pw_intern_map(&p->program_keys);
	MAP_INIT(&p->nodes, struct pw_node, id);
	MAP_INIT(&p->prefixes, struct pw_prefix, prefix);
	MAP_INIT(&p->users, struct pw_user, id);
	MAP_INIT(&p->addresses, struct pw_address, ip);
	TAILQ_INIT(&p->wide);
	TAILQ_INIT(&p->new_classes);
	TAILQ_INIT(&p->touched_users);
	p->no_caps = shbuf_new("", 0);
	policy_world_prepare(w);
	policy_world_attr_init(w);
	return w;
}

static void
class_free(struct policy_world *w, struct policy_class_private *c)
{
	policy_world_program_leave(w, c);
	pw_intern_remove(&w->_p->classes, &c->intern);
	policy_bundle_drop(c->class.bundle);
	shbuf_drop(c->caps);
	pw_facts_fini(&c->facts);
	free(c->nodes);
	free(c->kind_of);
	free(c->row_kinds);
	c->class.magic = 0;
	free(c);
}

static void
record_free(struct pw_node *n)
{
	free((void *)(uintptr_t)n->as_joined.routes);
	free(n->kinds);
	free(n);
}

static void
rows_free(struct policy_world_private *p, unsigned n_rows)
{
	size_t cursor = 0;

	free(p->pair_views);
	for (struct pw_view *v; (v = map_next(&p->views, &cursor)) != NULL; free(v)) {
		pw_intern_remove(&p->views, &v->intern);
		free(v->view);
	}
	map_fini(&p->views);
	for (unsigned i = POLICY_ROW_WAITING + 1; i < n_rows; i++) {
		pw_intern_remove(&p->rows, &p->row_list[i]->intern);
		free(p->row_list[i]);
	}
	map_fini(&p->rows);
	free(p->row_list);
}

void
policy_world_free(struct policy_world *w)
{
	struct policy_world_private *p;
	size_t cursor = 0;

	if (w == NULL)
		return;
	OBJ_CHECK(w, POLICY_WORLD_MAGIC);
	p = w->_p;
	policy_ssh_maker_free(p->ssh);
	for (struct policy_class_private *c; (c = map_next(&p->classes, &cursor)) != NULL; )
		class_free(w, c);
	map_fini(&p->classes);
	map_fini(&p->programs);
	map_fini(&p->program_keys);
	cursor = 0;
	for (struct pw_node *n; (n = map_next(&p->nodes, &cursor)) != NULL; record_free(n))
		(void)map_remove(&p->nodes, &n->id);
	map_fini(&p->nodes);
	cursor = 0;
	for (struct pw_prefix *x; (x = map_next(&p->prefixes, &cursor)) != NULL; )
		policy_world_prefix_free(w, x);
	map_fini(&p->prefixes);
	cursor = 0;
	for (struct pw_user *u; (u = map_next(&p->users, &cursor)) != NULL; free(u))
		(void)map_remove(&p->users, &u->id);
	map_fini(&p->users);
	rows_free(p, w->n_rows);
	policy_world_attr_fini(w);
	policy_world_source_fini(w);
	policy_world_unprepare(w);
	shbuf_drop(p->no_caps);
	free(p->stale);
	free(p->server_url);
	free(p);
	policy_drop(w->policy);
	w->magic = 0;
	free(w);
}

/* --- classes ---------------------------------------------------------------------------------- */

/* Counts c (by 1 or -1). true: whether there is one of that sort at all is another now. Then exit routes may be
 * seen by autogroup:self where they were not at others of its user, or no longer. */
static bool
user_count(struct pw_user *u, const struct policy_class_private *c, int by)
{
	bool has_ip[] = { c->facts.has_ip4, c->facts.has_ip6 }, is_other = false;

	for (unsigned i = 0; i < COUNT_OF(has_ip); i++) {
		unsigned before = u->n_classes[i] > 0, before_source = u->n_sources[i] > 0;

		u->n_classes[i] += has_ip[i] ? (unsigned)by : 0;
		u->n_sources[i] += has_ip[i] && c->is_self_source ? (unsigned)by : 0;
		is_other = is_other || before != (u->n_classes[i] > 0) ||
		    before_source != (u->n_sources[i] > 0);
	}
	return is_other;
}

static void
user_stale(struct policy_world *w, struct pw_user *u, const struct policy_class_private *c, int by)
{
	const struct policy_class_private *other;

	if (!user_count(u, c, by))
		return;
	TAILQ_FOREACH(other, &u->classes, user_link) {
		for (unsigned i = 0; other != c && i < other->class.n_nodes; i++)
			policy_world_stale_add(w, other->nodes[i]);
	}
}

static void
user_join(struct policy_world *w, struct policy_class_private *c)
{
	struct policy_world_private *p = w->_p;
	struct pw_user *u;

	if (c->facts.user_id <= 0)
		return;
	if ((u = map_find(&p->users, &c->facts.user_id)) == NULL) {
		u = obj_alloc(sizeof(*u));
		u->id = c->facts.user_id;
		TAILQ_INIT(&u->classes);
		(void)map_put(&p->users, u);
	}
	TAILQ_INSERT_TAIL(&u->classes, c, user_link);
	if (p->n_self > 0 && !p->is_open)
		user_stale(w, u, c, 1);
}

static void
user_leave(struct policy_world *w, struct policy_class_private *c)
{
	struct policy_world_private *p = w->_p;
	struct pw_user *u = map_find(&p->users, &c->facts.user_id);

	if (c->facts.user_id <= 0)
		return;
	if (p->n_self > 0 && !p->is_open)
		user_stale(w, u, c, -1);
	TAILQ_REMOVE(&u->classes, c, user_link);
	if (!TAILQ_EMPTY(&u->classes))
		return;
	if (u->is_touched)
		TAILQ_REMOVE(&p->touched_users, u, touched_link);
	(void)map_remove(&p->users, &u->id);
	free(u);
}

/* Takes what f and key own. */
static struct policy_class_private *
class_new_take(struct policy_world *w, const struct policy_node *n, struct pw_facts *f, struct pw_key *key)
{
	struct policy_class_private *c = obj_alloc(sizeof(*c));

	c->class.magic = POLICY_CLASS_MAGIC;
	c->class._p = c;
	policy_world_facts_sels(w->_p, f);
	c->facts = *f;
	*f = (struct pw_facts){ 0 };
	c->kind_of = key->kind_of;
	c->n_kinds = key->n_kinds;
	key->kind_of = NULL;
	c->row_kinds = obj_alloc((c->n_kinds + 1) * sizeof(*c->row_kinds));
	pw_intern_put(&w->_p->classes, &c->intern, key->bytes.p, key->bytes.len);
	policy_world_attr_set(w, c);
	c->class.row = c->facts.user_id < 0 ? POLICY_ROW_WAITING : policy_world_row_of(w, c, n);
	policy_world_program_join(w, c);
	policy_world_count(w, &c->facts, 1);
	c->is_self_source = policy_world_is_self_source(w->_p, &c->facts);
	user_join(w, c);
	c->is_ssh_wanted = policy_world_wants_ssh(w, c);
	c->is_new = true;
	TAILQ_INSERT_TAIL(&w->_p->new_classes, c, new_link);
	return c;
}

/* Index of the first node with that id or a higher one. */
static unsigned
node_at(const struct policy_class_private *c, int64_t id)
{
	unsigned lo = 0, hi = c->class.n_nodes;

	if (hi > 0 && c->nodes[hi - 1]->id < id)
		return hi;
	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (c->nodes[mid]->id < id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void
class_add(struct policy_class_private *c, struct pw_node *n)
{
	unsigned at = node_at(c, n->id);

	if (c->class.n_nodes == c->cap_nodes) {
		c->cap_nodes = c->cap_nodes == 0 ? 4 : 2 * c->cap_nodes;
		c->nodes = obj_realloc(c->nodes, c->cap_nodes * sizeof(struct pw_node *));
	}
	memmove(&c->nodes[at + 1], &c->nodes[at], (c->class.n_nodes - at) * sizeof(struct pw_node *));
	c->nodes[at] = n;
	c->class.n_nodes++;
	n->class = &c->class;
}

static void
touch(struct policy_world *w, struct policy_class_private *c, const struct pw_node *n, int by)
{
	struct policy_world_private *p = w->_p;
	struct pw_user *u = c->facts.user_id > 0 ? map_find(&p->users, &c->facts.user_id) : NULL;

	if (c->facts.user_id < 0)
		return;
	policy_world_source_touch(w, c, &n->as_joined, by);
	policy_world_prefix_touch(w, n);
	if (u != NULL && !u->is_touched && p->n_self > 0) {
		u->is_touched = true;
		TAILQ_INSERT_TAIL(&p->touched_users, u, touched_link);
	}
}

struct policy_class *
policy_world_join(struct policy_world *w, const struct policy_node *n)
{
	struct policy_world_private *p = w->_p;
	struct policy_class_private *c;
	struct pw_facts f = { 0 };
	struct pw_key key = { 0 };
	struct pw_node *node;

	if (map_find(&p->nodes, &n->id) != NULL)
		policy_world_leave(w, n->id);
	for (unsigned i = 0; i < n->n_routes && !n->is_waiting; i++)
		(void)policy_world_prefix_get(w, &n->routes[i].prefix);
	if (n->n_routes > 0)
		policy_world_wide_check(w);
	policy_world_facts(w, n, &f);
	policy_world_key_make(w, n, &f, &key);
	c = (struct policy_class_private *)(void *)pw_intern_find(&p->classes, key.bytes.p, key.bytes.len);
	if (c == NULL)
		c = class_new_take(w, n, &f, &key);
	pw_facts_fini(&f);
	node = obj_alloc(sizeof(*node));
	node->id = n->id;
	node->as_joined = *n;
	node->as_joined.user_id = n->n_tags > 0 ? 0 : n->user_id;
	node->as_joined.tags = NULL;
	node->as_joined.n_tags = 0;
	node->as_joined.host = NULL;
	node->as_joined.more = NULL;
	node->as_joined.more_arg = NULL;
	node->as_joined.routes = NULL;
	if (n->n_routes > 0) {
		struct node_route *routes = obj_alloc(n->n_routes * sizeof(*routes));

		memcpy(routes, n->routes, n->n_routes * sizeof(*routes));
		node->as_joined.routes = routes;
		node->kinds = key.kinds;
		key.kinds = NULL;
	}
	(void)map_put(&p->nodes, node);
	class_add(c, node);
	policy_world_prefix_join(w, node);
	touch(w, c, node, 1);
	policy_world_key_fini(&key);
	return &c->class;
}

void
policy_world_leave(struct policy_world *w, int64_t node_id)
{
	struct policy_world_private *p = w->_p;
	struct pw_node *n = map_remove(&p->nodes, &node_id);

	if (n == NULL)
		return;
	struct policy_class_private *c = pw_private(n->class);
	unsigned at = node_at(c, node_id);

	ASSERT(at < c->class.n_nodes && c->nodes[at] == n);
	c->class.n_nodes--;
	memmove(&c->nodes[at], &c->nodes[at + 1], (c->class.n_nodes - at) * sizeof(struct pw_node *));
	touch(w, c, n, -1);
	policy_world_prefix_leave(w, n);
	if (c->class.n_nodes == 0) {
		policy_world_count(w, &c->facts, -1);
		user_leave(w, c);
		if (c->is_new)
			TAILQ_REMOVE(&p->new_classes, c, new_link);
		class_free(w, c);
	}
	record_free(n);
}

static bool
routes_eq(const struct policy_node *a, const struct policy_node *b)
{
	if (a->n_routes != b->n_routes)
		return false;
	for (unsigned i = 0; i < a->n_routes; i++) {
		if (memcmp(&a->routes[i].prefix, &b->routes[i].prefix, sizeof(a->routes[i].prefix)) != 0)
			return false;
	}
	return true;
}

bool
policy_world_is_current(const struct policy_world *w, const struct policy_node *n)
{
	const struct pw_node *node = map_find(&w->_p->nodes, &n->id);
	struct pw_facts f = { 0 };
	struct pw_key key = { 0 };

	if (node == NULL || !net_ip_eq(&n->ip4, &node->as_joined.ip4) ||
	    !net_ip_eq(&n->ip6, &node->as_joined.ip6) || !routes_eq(n, &node->as_joined) ||
	    n->is_waiting != node->as_joined.is_waiting)
		return false;
	const struct pw_intern *intern = &pw_private(node->class)->intern;

	policy_world_facts(w, n, &f);
	policy_world_key_make(w, n, &f, &key);
	bool is_current = key.bytes.len == intern->n_bytes &&
	    (key.bytes.len == 0 || memcmp(key.bytes.p, intern->bytes, key.bytes.len) == 0);

	pw_facts_fini(&f);
	policy_world_key_fini(&key);
	return is_current;
}

/* --- for others ------------------------------------------------------------------------------- */

unsigned
policy_world_kind(const struct policy_world *w, const struct policy_class *c, const struct policy_node *n,
    unsigned i)
{
	const struct pw_node *node = map_find(&w->_p->nodes, &n->id);
	unsigned k = i;

	if (node == NULL || node->kinds == NULL)
		return 0;
	if (k >= node->as_joined.n_routes || memcmp(&node->as_joined.routes[k].prefix, &n->routes[i].prefix,
	    sizeof(n->routes[i].prefix)) != 0) {
		for (k = 0; k < node->as_joined.n_routes; k++) {
			if (memcmp(&node->as_joined.routes[k].prefix, &n->routes[i].prefix,
			    sizeof(n->routes[i].prefix)) == 0)
				break;
		}
	}
	return k < node->as_joined.n_routes ? pw_private(c)->row_kinds[node->kinds[k]] : 0;
}

struct policy_class *
policy_world_next(const struct policy_world *w, size_t *cursor)
{
	struct policy_class_private *c = map_next(&w->_p->classes, cursor);

	return c == NULL ? NULL : &c->class;
}

int64_t
policy_class_user(const struct policy_class *c)
{
	return pw_private(c)->facts.user_id;
}

bool
policy_class_in(const struct policy_world *w, const struct policy_class *c, uint32_t sel)
{
	(void)w;
	return pw_list_has(&pw_private(c)->facts.sels, sel);
}

bool
policy_class_meets(const struct policy_world *w, const struct policy_class *c,
    const struct policy_list *postures)
{
	(void)w;
	return pw_facts_meet(&pw_private(c)->facts, postures);
}

bool
policy_class_next(const struct policy_world *w, const struct policy_class *c, int64_t *after,
    struct net_ip *ip4,
    struct net_ip *ip6)
{
	const struct policy_class_private *cp = pw_private(c);
	unsigned at = node_at(cp, *after + 1);

	(void)w;
	if (at == c->n_nodes)
		return false;
	*after = cp->nodes[at]->id;
	*ip4 = cp->nodes[at]->as_joined.ip4;
	*ip6 = cp->nodes[at]->as_joined.ip6;
	return true;
}

struct policy_class *
policy_world_class_of(const struct policy_world *w, int64_t node_id)
{
	const struct pw_node *n = map_find(&w->_p->nodes, &node_id);

	return n == NULL ? NULL : n->class;
}

const struct policy_node *
policy_world_node(const struct policy_world *w, int64_t node_id)
{
	const struct pw_node *n = map_find(&w->_p->nodes, &node_id);

	return n == NULL ? NULL : &n->as_joined;
}

const char *
policy_world_server_url(const struct policy_world *w)
{
	return w->_p->server_url;
}

bool
policy_world_any_has(const struct policy_world *w, const struct policy_list *list, const struct policy_node *n)
{
	struct pw_facts f = { 0 };
	bool has = false;

	policy_world_facts(w, n, &f);
	policy_world_facts_sels(w->_p, &f);
	for (unsigned i = 0; i < list->n && !has; i++)
		has = pw_list_has(&f.sels, list->v[i]);
	pw_facts_fini(&f);
	return has;
}
