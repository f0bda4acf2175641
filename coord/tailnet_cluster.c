/* Records of clusters, and the conflicts of what they and their nodes claim. */
#include "coord/tailnet_cluster_private.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/log.h"
#include "base/metrics.h"
#include "coord/change.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_route.h"

#define LOOK_MS		100	/* nodes change in crowds */

/* --- conflicts -------------------------------------------------------------------------------- */

void
tailnet_cluster_say(const struct cluster_conflict *c, struct buf *out)
{
	char text[NET_TEXT_MAX];

	if (strcmp(c->a, c->b) == 0)
		buf_printf(out, "nodes of cluster %s both claim", c->a);
	else
		buf_printf(out, "clusters %s and %s both claim", c->a, c->b);
	for (unsigned i = 0; i < c->n_prefixes && i < 3; i++)
		buf_printf(out, "%s %s", i > 0 ? "," : "", net_prefix_put(&c->prefixes[i], text));
	if (c->n_prefixes + c->n_prefixes_left_off > 3)
		buf_printf(out, " and %u more", c->n_prefixes + c->n_prefixes_left_off - 3);
}

static const struct cluster_conflict *
conflict_find(const struct cluster_conflicts *list, const struct cluster_conflict *like)
{
	for (unsigned i = 0; i < list->n; i++)
		if (strcmp(list->v[i].a, like->a) == 0 && strcmp(list->v[i].b, like->b) == 0)
			return &list->v[i];
	return NULL;
}

/* tells in the audit record. A record that the disk does not take is lost; the log has it. */
static void
record(struct tailnet *t, const struct cluster_conflict *before, const struct cluster_conflict *after)
{
	static const struct actor by = { .name = "overlap check" };
	struct tailnet_op *op = tailnet_op_new(t, NULL, NULL);
	struct txn *x = tailnet_op_txn(op);

	audit_conflict(x, &by, before, after);
	tailnet_op_submit_take(op, x);
}

static void
tell(struct tailnet *t, const struct cluster_conflict *c, bool is_begin)
{
	struct buf text = { .len = 0 };

	tailnet_cluster_say(c, &text);
	if (is_begin)
		log_warn(LOG_COORD, "clusters claim the same addresses: give one of them another range",
		    "which",
		    buf_cstr(&text));
	else
		log_info(LOG_COORD, "clusters no longer claim the same addresses", "which", buf_cstr(&text));
	buf_fini(&text);
	record(t, is_begin ? NULL : c, is_begin ? c : NULL);
}

static bool
is_told(const struct tailnet_clusters *s, unsigned n, int64_t id)
{
	for (unsigned i = 0; i < n; i++)
		if (s->_told[i] == id)
			return true;
	return false;
}

/* The clients of the nodes concerned say so, and those that were no longer do not. */
static void
tell_nodes(struct tailnet *t)
{
	struct tailnet_clusters *s = t->clusters;
	int64_t *before = s->_told;
	unsigned n_before = s->_n_told, n = 0;
	struct node *node;

	for (unsigned i = 0; i < s->conflicts.n; i++)
		n += s->conflicts.v[i].n_nodes;
	s->_told = obj_alloc((n + 1) * sizeof(*s->_told));
	s->_n_told = 0;
	for (unsigned i = 0; i < s->conflicts.n; i++) {
		const struct cluster_conflict *c = &s->conflicts.v[i];
		struct buf text = { .len = 0 };

		tailnet_cluster_say(c, &text);
		buf_str(&text, ": traffic for these addresses may reach the wrong one. Give one another range");
		for (unsigned k = 0; k < c->n_nodes; k++) {
			if (is_told(s, s->_n_told, c->nodes[k]) ||
			    (node = map_find(&t->nodes, &c->nodes[k])) == NULL)
				continue;
			s->_told[s->_n_told++] = node->id;
			change_health_set(t, node, buf_cstr(&text));
		}
		buf_fini(&text);
	}
	for (unsigned i = 0; i < n_before; i++)
		if (!is_told(s, s->_n_told, before[i]) && (node = map_find(&t->nodes, &before[i])) != NULL)
			change_health_set(t, node, NULL);
	free(before);
}

/* is_first: of this run, so what was there before is not news. */
static void
look(struct tailnet *t, bool is_first)
{
	struct tailnet_clusters *s = t->clusters;
	struct cluster_conflicts before = s->conflicts;
	struct arena *old_names = s->_names;
	struct cluster_claims claims = { .n = 0 };
	struct cluster_roll r;

	cluster_roll_init(&r, t);
	cluster_claims_collect(&r, &claims);
	s->conflicts = (struct cluster_conflicts){ .n = 0 };
	cluster_overlap_find(claims.v, claims.n, &s->conflicts);
	s->_names = cluster_roll_fini(&r);
	metric_set(METRIC_CLUSTER_CONFLICTS, s->conflicts.n);
	for (unsigned i = 0; i < s->conflicts.n; i++)
		if (conflict_find(&before, &s->conflicts.v[i]) == NULL) {
			if (is_first)
				log_warn(LOG_COORD, "clusters claim the same addresses", "one",
				    s->conflicts.v[i].a, "other", s->conflicts.v[i].b);
			else
				tell(t, &s->conflicts.v[i], true);
		}
	for (unsigned i = 0; i < before.n; i++)
		if (conflict_find(&s->conflicts, &before.v[i]) == NULL)
			tell(t, &before.v[i], false);
	tell_nodes(t);
	if (!is_first && t->settings.refuse_cluster_overlap != 0 && before.n > 0)
		tailnet_route_note_all(t);	/* what was refused may be right now */
	cluster_conflicts_fini(&before);
	arena_free(old_names);
	free(claims.v);
}

void
tailnet_cluster_look(struct tailnet *t)
{
	look(t, false);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct tailnet *t = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(t, TAILNET_MAGIC);
	tailnet_cluster_look(t);
}

static void
look_soon(struct tailnet *t)
{
	struct timeval tv = { .tv_usec = LOOK_MS * 1000 };

	if (t->clusters->_timer != NULL && !event_pending(t->clusters->_timer, EV_TIMEOUT, NULL))
		event_add(t->clusters->_timer, &tv);
}

/* A node without tags may have had some a moment ago, but then it is in a conflict or does not
 * matter. */
void
tailnet_cluster_note(struct tailnet *t, const struct node *n)
{
	bool may_claim = n->n_tags > 0 && n->host != NULL && n->host->n_routable_ips > 0;

	if (may_claim || t->clusters->conflicts.n > 0)
		look_soon(t);
}

/* --- life and records ------------------------------------------------------------------------- */

void
tailnet_cluster_init(struct tailnet *t)
{
	struct tailnet_clusters *s = obj_alloc(sizeof(*s));

	s->magic = TAILNET_CLUSTERS_MAGIC;
	MAP_INIT(&s->by_name, struct cluster, name);
	TAILQ_INIT(&s->_under_way);
	t->clusters = s;
}

void
tailnet_cluster_start(struct tailnet *t)
{
	t->clusters->_timer = evtimer_new(t->deps.base, on_timer, t);
	ASSERT(t->clusters->_timer != NULL);
	look(t, true);
}

void
tailnet_cluster_fini(struct tailnet *t)
{
	struct tailnet_clusters *s = t->clusters;
	struct cluster *c;
	size_t at = 0;

	OBJ_CHECK(s, TAILNET_CLUSTERS_MAGIC);
	if (s->_timer != NULL)
		event_free(s->_timer);
	while ((c = map_next(&s->by_name, &at)) != NULL)
		free(c);
	map_fini(&s->by_name);
	cluster_conflicts_fini(&s->conflicts);
	arena_free(s->_names);
	free(s->_told);
	s->magic = 0;
	free(s);
	t->clusters = NULL;
}

void
tailnet_cluster_apply(struct tailnet *t, struct mutation *m)
{
	struct map *all = &t->clusters->by_name;
	struct cluster *c = map_find(all, m->u.cluster.name);

	if (m->kind == MUTATION_CLUSTER_ADD) {
		ASSERT(c == NULL);
		c = obj_alloc(sizeof(*c));
		*c = m->u.cluster;
		ASSERT(map_put(all, c) == NULL);
	} else if (m->kind == MUTATION_CLUSTER_SET) {
		ASSERT(c != NULL);
		*c = m->u.cluster;
	} else {
		ASSERT(c != NULL);
		free(map_remove(all, m->u.cluster.name));
	}
	look_soon(t);
}

const struct cluster *
tailnet_cluster_find(const struct tailnet *t, const char *name)
{
	char key[CLUSTER_NAME_MAX] = "";

	if (strlen(name) >= sizeof(key))
		return NULL;
	memcpy(key, name, strlen(name));
	return map_find(&t->clusters->by_name, key);
}

enum err
tailnet_cluster_key_check(const struct tailnet *t, const struct tailnet_key_spec *spec, struct err_text *why)
{
	const struct cluster *c;

	for (unsigned i = 0; spec->is_ephemeral && i < spec->n_tags; i++)
		if ((c = tailnet_cluster_tagged(t, spec->tags[i])) != NULL)
			return err_say(why, ERR_INVAL, "%s is the tag of cluster %s: with an ephemeral "
			    "key its nodes would "
			    "be deleted, and come back with other addresses, whenever K3s is stopped "
			    "for a while",
			    spec->tags[i], c->name);
	return ERR_OK;
}

const struct cluster *
tailnet_cluster_tagged(const struct tailnet *t, const char *tag)
{
	const struct cluster *c;
	size_t at = 0;

	while ((c = map_next(&t->clusters->by_name, &at)) != NULL)
		if (strcmp(c->tag, tag) == 0)
			return c;
	return NULL;
}
