/*
 * From one policy to another. Groups are kept as they are, with the frames of their chunks, when each row
 * became one other row: a policy that only opens a port compresses no chunk again.
 */
#include "coord/map_policy.h"

#include <string.h>

#include "coord/map_delta.h"

/* Of a route: its kind in the old world and in the new one. */
struct kinds {
	unsigned before, after;
};

/* Nodes that were in one row and are in one. */
struct joint {
	struct { uint32_t before, after; } row;
	unsigned n_nodes;
	struct kinds *kinds;		/* owned; that its nodes' routes are of */
	unsigned n_kinds;
	bool is_other_family;		/* they get no IPv4 addresses now, or do again */
	bool needs_full;
};

/* A node on its way. */
struct mover {
	struct map_node *mn;
	struct policy_class *after;
	struct joint *joint;
};

struct swap {
	struct map_world *w;
	struct policy_world *before, *after;
	struct mover *movers;		/* owned */
	size_t n_movers;
	struct map joints;		/* struct joint by row, owned */
};

static struct joint *
joint_of(struct swap *s, uint32_t before, uint32_t after)
{
	struct joint probe = { .row = { before, after } };
	struct joint *j = map_find(&s->joints, &probe.row);

	if (j == NULL) {
		j = obj_alloc(sizeof(*j));
		j->row = probe.row;
		map_put(&s->joints, j);
	}
	return j;
}

static void
joint_add_kinds(struct joint *j, struct kinds k)
{
	for (unsigned i = 0; i < j->n_kinds; i++)
		if (j->kinds[i].before == k.before && j->kinds[i].after == k.after)
			return;
	j->kinds = obj_realloc(j->kinds, (j->n_kinds + 1) * sizeof(*j->kinds));
	j->kinds[j->n_kinds++] = k;
}

static void
join(struct swap *s, const struct policy_node *pn)
{
	const struct policy_class *c = policy_world_join(s->after, pn);

	ASSERT(c != NULL);		/* asked for later: it may be another by then */
}

/* Everybody joins the new world. */
static void
gather(struct swap *s)
{
	struct map_node *mn;
	int64_t id;

	s->movers = obj_alloc((s->w->nodes.count + 1) * sizeof(*s->movers));
	TAILQ_FOREACH(mn, &s->w->recent, recent) {
		struct policy_node pn = policy_node_of(mn->node);

		if (mn->chunk == NULL)
			continue;
		s->movers[s->n_movers++].mn = mn;
		join(s, &pn);
	}
	while (policy_world_stale(s->after, &id)) {
		struct policy_node pn;

		mn = map_find(&s->w->nodes, &id);
		pn = policy_node_of(mn->node);
		join(s, &pn);
	}
	policy_world_refresh(s->after);
	for (size_t i = 0; i < s->n_movers; i++) {
		struct mover *m = &s->movers[i];
		struct policy_node pn = policy_node_of(m->mn->node);

		m->after = policy_world_class_of(s->after, pn.id);
		m->joint = joint_of(s, m->mn->class->row, m->after->row);
		m->joint->n_nodes++;
		m->joint->is_other_family |= m->mn->class->bundle->is_ipv4_off != m->after->bundle->is_ipv4_off;
		for (unsigned r = 0; r < pn.n_routes; r++)
			joint_add_kinds(m->joint, (struct kinds){
			    policy_world_kind(s->before, m->mn->class, &pn, r),
			    policy_world_kind(s->after, m->after, &pn, r) });
	}
}

/* Nodes of the one and those of the other, who see each other before and after: does the viewer get the same
 * routes of the seen? */
static bool
is_shown_alike(const struct swap *s, const struct joint *viewer, const struct joint *seen)
{
	if (seen->n_kinds == 0)
		return true;
	const struct policy_view *a = policy_world_view(s->before, viewer->row.before, seen->row.before);
	const struct policy_view *b = policy_world_view(s->after, viewer->row.after, seen->row.after);

	for (unsigned i = 0; i < seen->n_kinds; i++)
		if (a->show[seen->kinds[i].before] != b->show[seen->kinds[i].after])
			return false;
	return true;
}

/* Whether they see each other is the same for both, what they see is not. */
static void
judge_pair(const struct swap *s, struct joint *a, struct joint *b)
{
	bool is_before, is_after;

	if ((a->needs_full && b->needs_full) || (a == b && a->n_nodes == 1))
		return;			/* no node sees itself */
	is_before = policy_world_sees(s->before, a->row.before, b->row.before);
	is_after = policy_world_sees(s->after, a->row.after, b->row.after);
	if (is_before != is_after)
		a->needs_full = b->needs_full = true;
	if (!is_before || !is_after)
		return;
	a->needs_full |= a->is_other_family || !is_shown_alike(s, a, b);
	b->needs_full |= b->is_other_family || !is_shown_alike(s, b, a);
}

static void
judge(struct swap *s)
{
	size_t n = s->joints.count, cursor = 0;
	struct joint **all = obj_alloc((n + 1) * sizeof(*all));

	for (size_t i = 0; i < n; i++) {
		all[i] = map_next(&s->joints, &cursor);
		all[i]->needs_full = n > MAP_POLICY_JOINTS_MAX;
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = i; k < n; k++)
			judge_pair(s, all[i], all[k]);
	free(all);
}

/* Each row became one other row? */
static bool
is_renumbering(const struct swap *s)
{
	uint32_t n_before = s->before->n_rows, n_after = s->after->n_rows;
	bool *before = obj_alloc(n_before + 1), *after = obj_alloc(n_after + 1);
	const struct joint *j;
	size_t cursor = 0;
	bool is_one = true;

	while (is_one && (j = map_next(&s->joints, &cursor)) != NULL) {
		is_one = !before[j->row.before] && !after[j->row.after];
		before[j->row.before] = after[j->row.after] = true;
	}
	free(before);
	free(after);
	return is_one;
}

/* Groups of the new rows, in the place of the old ones. */
static void
groups_renumber(struct swap *s)
{
	struct map_world *w = s->w;
	struct map_group **old = w->groups;
	unsigned n_old = w->n_groups;
	const struct joint *j;
	size_t cursor = 0;

	w->groups = NULL;
	w->n_groups = 0;
	while ((j = map_next(&s->joints, &cursor)) != NULL) {
		struct map_group **at = map_world_group_at(w, j->row.after), *g = old[j->row.before];

		old[j->row.before] = NULL;
		*at = g;
		g->row = j->row.after;
		for (unsigned i = 0; i < g->n_chunks; i++)
			map_chunk_views_drop(g->chunks[i]);
	}
	for (unsigned i = 0; i < n_old; i++)
		map_chunk_group_free(old[i]);
	free(old);
}

static void
groups_remake(struct swap *s, uint64_t seq)
{
	struct map_world *w = s->w;

	for (unsigned i = 0; i < w->n_groups; i++)
		map_chunk_group_free(w->groups[i]);
	free(w->groups);
	w->groups = NULL;
	w->n_groups = 0;
	for (size_t i = 0; i < s->n_movers; i++) {
		struct map_node *mn = s->movers[i].mn;

		mn->chunk = NULL;
		map_chunk_add(map_world_group(w, s->movers[i].after->row), mn, seq);
	}
}

/* The new world is in the place of the old one. */
static void
carry_out(struct swap *s)
{
	struct map_world *w = s->w;
	uint64_t seq = ++w->seq;

	map_delta_cache_clear(w);
	if (is_renumbering(s))
		groups_renumber(s);
	else
		groups_remake(s, seq);
	for (size_t i = 0; i < s->n_movers; i++) {
		struct mover *m = &s->movers[i];
		bool is_same = map_peer_is_alike(m->mn->class, m->after);

		m->mn->class = m->after;
		m->mn->needs_full |= m->joint->needs_full;
		if (!is_same)
			map_world_stamp(w, m->mn, CHANGE_WHOLE, seq);
	}
	/* Streams that lag behind learn from these who went; what rows those were in nobody knows now. */
	for (unsigned i = 0; i < w->n_tombs; i++)
		w->tombs[(w->first_tomb + i) % w->cap_tombs].row = MAP_ROW_ANY;
	w->policy = s->after;
	w->is_refresh_due = w->has_bare_class = false;
	policy_world_free(s->before);
}

void
map_policy_set(struct map_world *w, struct policy *p)
{
	struct swap s = { .w = w, .before = w->policy };
	struct joint *j;
	size_t cursor = 0;

	map_world_refresh(w);		/* what was told of the old one is complete */
	s.after = policy_world_new(p, w->user_records, policy_world_server_url(w->policy));
	MAP_INIT(&s.joints, struct joint, row);
	gather(&s);
	judge(&s);
	carry_out(&s);
	while ((j = map_next(&s.joints, &cursor)) != NULL) {
		free(j->kinds);
		free(j);
	}
	map_fini(&s.joints);
	free(s.movers);
}

bool
map_policy_names_users(const struct policy *p)
{
	for (unsigned i = 0; i < p->n_sels; i++)
		switch (p->sels[i].kind) {
		case POLICY_SEL_USER:
		case POLICY_SEL_GROUP:
		case POLICY_SEL_DOMAIN:
		case POLICY_SEL_ROLE:
			return true;
		default:
			break;
		}
	return false;
}
