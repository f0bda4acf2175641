/* Nodes, classes, users and texts with the sequences of their changes. */
#include "coord/map_world.h"

#include <string.h>

#include "coord/map_delta.h"

void
map_world_init(struct map_world *w, const struct map_world_params *p)
{
	*w = (struct map_world){
		.user_records = p->user_records,
		.base_domain = p->base_domain,
		.zstd = map_zstd_new(),
	};
	policy_class_init(&w->classes, p->rules);
	MAP_INIT(&w->users, struct map_user, id);
	TAILQ_INIT(&w->recent);
	TAILQ_INIT(&w->deltas);
	w->comma = map_zstd_frame(w->zstd, ",", 1);
	map_world_note_users(w);
	w->users_seq = w->seq = 0;
}

static void
record_free(struct map_world *w, struct map_node *mn)
{
	TAILQ_REMOVE(&w->recent, mn, recent);
	mn->node->map = NULL;
	mn->magic = 0;
	free(mn->fragment);
	free(mn);
}

void
map_world_fini(struct map_world *w)
{
	struct map_node *mn;
	struct map_user *u;
	size_t cursor = 0;

	map_delta_cache_clear(w);
	while ((mn = TAILQ_FIRST(&w->recent)) != NULL)
		record_free(w, mn);
	for (unsigned i = 0; i < w->n_groups; i++)
		map_chunk_group_free(w->groups[i]);
	free(w->groups);
	while ((u = map_next(&w->users, &cursor)) != NULL)
		free(u);
	map_fini(&w->users);
	policy_class_fini(&w->classes);
	free(w->tombs);
	shbuf_drop(w->derp.json);
	shbuf_drop(w->dns.json);
	shbuf_drop(w->comma);
	buf_fini(&w->scratch);
	map_zstd_free(w->zstd);
}

static struct map_group *
group_of(struct map_world *w, uint32_t row)
{
	if (row >= w->n_groups) {
		w->groups = obj_realloc(w->groups, (row + 1) * sizeof(struct map_group *));
		while (w->n_groups <= row)
			w->groups[w->n_groups++] = NULL;
	}
	if (w->groups[row] == NULL)
		w->groups[row] = map_chunk_group_new(row);
	return w->groups[row];
}

/* The node gets the class and owner that it has now, and is found by them from change seq on. */
static void
place(struct map_world *w, struct map_node *mn, uint64_t seq)
{
	mn->class = policy_class_join(&w->classes, mn->node);
	mn->owner_id = node_owner_id(mn->node);
	map_chunk_add(group_of(w, mn->class->row), mn, seq);
}

static void
unplace(struct map_world *w, struct map_node *mn)
{
	if (mn->chunk == NULL)
		return;
	map_chunk_remove(mn);
	policy_class_leave(&w->classes, mn->class);
	mn->class = NULL;
	map_delta_cache_clear(w);	/* may point to it */
}

void
map_world_add(struct map_world *w, struct node *n, int64_t now_unix_s)
{
	struct map_node *mn = obj_alloc(sizeof(*mn));

	ASSERT(n->map == NULL);
	mn->magic = MAP_NODE_MAGIC;
	mn->node = n;
	mn->is_expired = node_is_expired(n, now_unix_s);
	n->map = mn;
	TAILQ_INSERT_HEAD(&w->recent, mn, recent);
	w->n_nodes++;
	place(w, mn, w->seq + 1);
}

void
map_world_remove(struct map_world *w, struct node *n)
{
	OBJ_CHECK(n->map, MAP_NODE_MAGIC);
	unplace(w, n->map);
	record_free(w, n->map);
	w->n_nodes--;
}

/* Room for one more: doubled up to the limit, then the oldest goes. */
static void
tombs_make_room(struct map_world *w)
{
	if (w->n_tombs < w->cap_tombs)
		return;
	if (w->cap_tombs == MAP_WORLD_TOMBS_MAX) {
		w->tombs_from = w->tombs[w->first_tomb].seq;
		w->first_tomb = (w->first_tomb + 1) % w->cap_tombs;
		w->n_tombs--;
		return;
	}
	unsigned cap = w->cap_tombs == 0 ? MAP_WORLD_TOMBS_MIN : w->cap_tombs * 2;
	struct map_tomb *tombs = obj_alloc(cap * sizeof(*tombs));
	for (unsigned i = 0; i < w->n_tombs; i++)
		tombs[i] = w->tombs[(w->first_tomb + i) % w->cap_tombs];
	free(w->tombs);
	w->tombs = tombs;
	w->cap_tombs = cap;
	w->first_tomb = 0;
}

static void
tomb_put(struct map_world *w, int64_t node_id, uint32_t row, uint64_t seq)
{
	tombs_make_room(w);
	w->tombs[(w->first_tomb + w->n_tombs++) % w->cap_tombs] = (struct map_tomb){
		.seq = seq, .node_id = node_id, .row = row };
}

/* Owner or tags may be others: moves the node. Returns the bits to add; *is_moved: to another
 * row. */
static uint32_t
replace(struct map_world *w, struct map_node *mn, uint64_t seq, bool *is_moved)
{
	bool is_other_owner = mn->owner_id != node_owner_id(mn->node);
	uint32_t row = mn->class->row;

	if (!is_other_owner && policy_class_has(mn->class, mn->node))
		return 0;
	unplace(w, mn);
	place(w, mn, seq);
	if (mn->class->row != row) {
		tomb_put(w, mn->node->id, row, seq);
		*is_moved = true;
		return MAP_CHANGE_OWNER | CHANGE_JOINED;
	}
	return is_other_owner ? MAP_CHANGE_OWNER | CHANGE_WHOLE : CHANGE_WHOLE;
}

static void
stamp(struct map_world *w, struct map_node *mn, uint32_t bits, uint64_t seq)
{
	for (unsigned k = 0; k < MAP_KIND_COUNT; k++)
		if (bits & (1u << k))
			mn->seq[k] = seq;
	mn->last_seq = seq;
	TAILQ_REMOVE(&w->recent, mn, recent);
	TAILQ_INSERT_TAIL(&w->recent, mn, recent);
}

bool
map_world_note(struct map_world *w, struct node *n, uint32_t what, int64_t now_unix_s)
{
	struct map_node *mn = n->map;
	bool is_moved = false;

	OBJ_CHECK(mn, MAP_NODE_MAGIC);
	uint64_t seq = ++w->seq;
	if (what & CHANGE_REMOVED) {
		if (mn->chunk != NULL) {
			tomb_put(w, n->id, mn->class->row, seq);
			unplace(w, mn);
		}
		return false;
	}
	if (mn->chunk == NULL)		/* removed, and not yet freed */
		return false;
	if (mn->is_expired != node_is_expired(n, now_unix_s)) {
		mn->is_expired = !mn->is_expired;
		what |= CHANGE_WHOLE;	/* Expired cannot be patched */
	}
	if ((what & CHANGE_HOME) && n->home_derp == 0)
		what |= CHANGE_WHOLE;	/* likewise a home relay of 0 */
	if (what & CHANGE_JOINED)
		what |= MAP_CHANGE_OWNER;
	if (what & (CHANGE_WHOLE | CHANGE_JOINED | CHANGE_SELF))
		what |= replace(w, mn, seq, &is_moved);
	stamp(w, mn, what, seq);
	if (what & ~(uint32_t)CHANGE_SELF)
		map_chunk_touch(mn, seq);
	return is_moved;
}

static uint64_t
user_digest(const struct user *u)
{
	struct { char name[USER_NAME_MAX], display_name[USER_NAME_MAX]; } names;

	memcpy(names.name, u->name, sizeof(names.name));
	memcpy(names.display_name, u->display_name, sizeof(names.display_name));
	return map_hash(&names, sizeof(names));
}

static bool
user_note(struct map_world *w, const struct user *u, uint64_t seq)
{
	struct map_user *known = map_find(&w->users, &u->id);
	uint64_t digest = user_digest(u);

	if (known != NULL && known->digest == digest)
		return false;
	if (known == NULL) {
		known = obj_alloc(sizeof(*known));
		known->id = u->id;
		map_put(&w->users, known);
	}
	known->digest = digest;
	known->seq = seq;
	return true;
}

void
map_world_note_users(struct map_world *w)
{
	const struct user *u;
	uint64_t seq = w->seq + 1;
	size_t cursor = 0;
	bool is_news = false;

	while ((u = map_next(w->user_records, &cursor)) != NULL)
		is_news |= user_note(w, u, seq);
	if (!is_news)
		return;
	w->seq = w->users_seq = seq;
	for (unsigned i = 0; i < w->n_groups; i++)
		if (w->groups[i] != NULL)
			map_chunk_frame_stale(&w->groups[i]->profiles, seq);
}

void
map_world_note_text(struct map_world *w, struct map_text *which, struct shbuf *json)
{
	struct shbuf *old = which->json;

	if (shbuf_eq(old, json)) {
		shbuf_drop(json);
		return;
	}
	which->json = json;
	which->seq = ++w->seq;
	shbuf_drop(old);
}

void
map_world_note_filters(struct map_world *w)
{
	policy_class_refilter(&w->classes);
	w->seq++;
}

void
map_world_publish(struct map_world *w)
{
	w->published = w->seq;
	map_delta_cache_clear(w);
}

uint32_t
map_world_bits(const struct map_node *mn, uint64_t from, uint64_t to)
{
	uint32_t bits = 0;

	if (mn->last_seq <= from)
		return 0;
	for (unsigned k = 0; k < MAP_KIND_COUNT; k++)
		if (mn->seq[k] > from && mn->seq[k] <= to)
			bits |= 1u << k;
	return bits;
}

bool
map_world_sees(const struct map_world *w, uint32_t viewer_row, uint32_t row)
{
	return policy_class_sees(&w->classes, viewer_row, row);
}

struct shbuf *
map_world_frame(struct map_world *w)
{
	struct shbuf *s = map_zstd_frame(w->zstd, w->scratch.p, w->scratch.len);

	buf_clear(&w->scratch);
	return s;
}
