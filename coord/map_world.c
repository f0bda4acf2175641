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
		.own.base_domain = p->base_domain,
		.zstd = map_zstd_new(),
	};
	w->policy = policy_world_new(p->policy, p->user_records, p->server_url);
	MAP_INIT(&w->users, struct map_user, id);
	MAP_INIT(&w->nodes, struct map_node, id);
	TAILQ_INIT(&w->recent);
	TAILQ_INIT(&w->deltas);
	map_filters_init(&w->filters);
	w->comma = map_zstd_frame(w->zstd, ",", 1);
	map_world_note_users(w);
	w->users_seq = w->seq = 0;
}

static void
record_free(struct map_world *w, struct map_node *mn)
{
	TAILQ_REMOVE(&w->recent, mn, recent);
	map_remove(&w->nodes, &mn->id);
	mn->node->map = NULL;
	mn->magic = 0;
	shbuf_drop(mn->health);
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
	map_fini(&w->nodes);
	policy_world_free(w->policy);
	free(w->tombs);
	shbuf_drop(w->derp.json);
	for (size_t i = 0; i < COUNT_OF(w->dns_texts); i++)
		shbuf_drop(w->dns_texts[i]);
	shbuf_drop(w->comma);
	map_filters_fini(&w->filters);
	shbuf_drop(w->again_frame);
	buf_fini(&w->again_text);
	buf_fini(&w->scratch);
	for (unsigned i = 0; i < COUNT_OF(w->ssh_frames); i++) {
		shbuf_drop(w->ssh_frames[i].text);
		shbuf_drop(w->ssh_frames[i].frame);
	}
	map_zstd_free(w->zstd);
}

struct map_group **
map_world_group_at(struct map_world *w, uint32_t row)
{
	if (row >= w->n_groups) {
		w->groups = obj_realloc(w->groups, (row + 1) * sizeof(struct map_group *));
		while (w->n_groups <= row)
			w->groups[w->n_groups++] = NULL;
	}
	return &w->groups[row];
}

struct map_group *
map_world_group(struct map_world *w, uint32_t row)
{
	struct map_group **g = map_world_group_at(w, row);

	if (*g == NULL)
		*g = map_chunk_group_new(row);
	return *g;
}

/* The node gets the class that it has now. */
static void
class_join(struct map_world *w, struct map_node *mn)
{
	struct policy_node pn = policy_node_of(mn->node);

	mn->class = policy_world_join(w->policy, &pn);
	w->is_refresh_due = true;
	w->has_bare_class |= mn->class->bundle == NULL;
	map_delta_cache_clear(w);	/* may have it where it was */
}

/* The node gets class and owner, and is found by them from change seq on. */
static void
place(struct map_world *w, struct map_node *mn, uint64_t seq)
{
	class_join(w, mn);
	mn->owner_id = node_owner_id(mn->node);
	map_chunk_add(map_world_group(w, mn->class->row), mn, seq);
}

static void
unplace(struct map_world *w, struct map_node *mn)
{
	if (mn->chunk == NULL)
		return;
	map_chunk_remove(mn);
	policy_world_leave(w->policy, mn->node->id);
	w->is_refresh_due = true;
	mn->class = NULL;
	map_delta_cache_clear(w);	/* may point to it */
}

void
map_world_add(struct map_world *w, struct node *n, int64_t now_unix_s)
{
	struct map_node *mn = obj_alloc(sizeof(*mn));

	ASSERT(n->map == NULL);
	mn->magic = MAP_NODE_MAGIC;
	mn->id = n->id;
	mn->node = n;
	mn->is_expired = node_is_expired(n, now_unix_s);
	n->map = mn;
	TAILQ_INSERT_HEAD(&w->recent, mn, recent);
	ASSERT(map_put(&w->nodes, mn) == NULL);
}

void
map_world_place(struct map_world *w, struct node *n)
{
	OBJ_CHECK(n->map, MAP_NODE_MAGIC);
	ASSERT(n->map->chunk == NULL && !n->map->is_removed);
	place(w, n->map, w->seq + 1);
}

void
map_world_remove(struct map_world *w, struct node *n)
{
	OBJ_CHECK(n->map, MAP_NODE_MAGIC);
	unplace(w, n->map);
	record_free(w, n->map);
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

/* The node gets class and owner anew. Returns the bits of the change. */
static uint32_t
replace(struct map_world *w, struct map_node *mn, uint64_t seq)
{
	bool is_other_owner = mn->owner_id != node_owner_id(mn->node);
	uint32_t row = mn->class->row;

	class_join(w, mn);
	if (!is_other_owner && mn->class->row == row)
		return CHANGE_WHOLE;
	map_chunk_remove(mn);
	mn->owner_id = node_owner_id(mn->node);
	map_chunk_add(map_world_group(w, mn->class->row), mn, seq);
	/* Deltas bring it the profile of its new owner only together with its peers. */
	mn->needs_full |= !map_world_sees(w, mn->class->row, mn->class->row);
	if (mn->class->row == row)
		return MAP_CHANGE_OWNER | CHANGE_WHOLE;
	tomb_put(w, mn->id, row, seq);
	mn->needs_full = true;
	return MAP_CHANGE_OWNER | CHANGE_JOINED;
}

static bool
is_current(const struct map_world *w, const struct map_node *mn)
{
	struct policy_node pn = policy_node_of(mn->node);

	return mn->owner_id == node_owner_id(mn->node) && policy_world_is_current(w->policy, &pn);
}

void
map_world_stamp(struct map_world *w, struct map_node *mn, uint32_t bits, uint64_t seq)
{
	for (unsigned k = 0; k < MAP_KIND_COUNT; k++)
		if (bits & (1u << k))
			mn->seq[k] = seq;
	mn->last_seq = seq;
	TAILQ_REMOVE(&w->recent, mn, recent);
	TAILQ_INSERT_TAIL(&w->recent, mn, recent);
	if (bits & ~(uint32_t)CHANGE_SELF)
		map_chunk_touch(mn, seq);
}

static void
note_removed(struct map_world *w, struct map_node *mn)
{
	if (mn->chunk != NULL) {
		tomb_put(w, mn->node->id, mn->class->row, ++w->seq);
		unplace(w, mn);
	}
	mn->is_removed = true;
}

/* What else a change means, by what became of the node. */
static uint32_t
consequences(struct map_node *mn, uint32_t what, int64_t now_unix_s)
{
	if (mn->is_expired != node_is_expired(mn->node, now_unix_s)) {
		mn->is_expired = !mn->is_expired;
		what |= CHANGE_WHOLE;	/* Expired cannot be patched */
	}
	if ((what & CHANGE_HOME) && mn->node->home_derp == 0)
		what |= CHANGE_WHOLE;	/* likewise a home relay of 0 */
	if (what & CHANGE_JOINED)
		what |= MAP_CHANGE_OWNER;
	return what;
}

void
map_world_note(struct map_world *w, struct node *n, uint32_t what, int64_t now_unix_s)
{
	struct map_node *mn = n->map;

	OBJ_CHECK(mn, MAP_NODE_MAGIC);
	if (what & CHANGE_REMOVED)
		note_removed(w, mn);
	if (mn->is_removed || (mn->chunk == NULL && (what & CHANGE_JOINED) == 0))
		return;
	uint64_t seq = ++w->seq;
	what = consequences(mn, what, now_unix_s);
	if (mn->chunk == NULL)
		place(w, mn, seq);
	else if ((what & (CHANGE_WHOLE | CHANGE_JOINED | CHANGE_SELF)) && !is_current(w, mn))
		what |= replace(w, mn, seq);
	map_world_stamp(w, mn, what, seq);
}

static void
user_digests(const struct user *u, uint64_t *names, uint64_t *facts)
{
	struct { char name[USER_NAME_MAX], display_name[USER_NAME_MAX]; } a;
	struct { char name[USER_NAME_MAX], email[USER_NAME_MAX], provider_id[USER_NAME_MAX], role; } b;

	memcpy(a.name, u->name, sizeof(a.name));
	memcpy(a.display_name, u->display_name, sizeof(a.display_name));
	*names = map_hash(&a, sizeof(a));
	memcpy(b.name, u->name, sizeof(b.name));
	memcpy(b.email, u->email, sizeof(b.email));
	memcpy(b.provider_id, u->provider_id, sizeof(b.provider_id));
	b.role = (char)u->role;
	*facts = map_hash(&b, sizeof(b));
}

/* *has_names, *has_facts, *is_known: set where something is another, and that of a user who was there. */
static void
user_note(struct map_world *w, const struct user *u, bool *has_names, bool *has_facts, bool *is_known)
{
	struct map_user *known = map_find(&w->users, &u->id);
	uint64_t names, facts;

	user_digests(u, &names, &facts);
	if (known == NULL) {
		known = obj_alloc(sizeof(*known));
		known->id = u->id;
		known->digest = ~names;
		known->facts = ~facts;
		map_put(&w->users, known);
	} else {
		*is_known |= known->facts != facts;
	}
	if (known->digest != names) {
		known->seq = w->seq + 1;
		*has_names = true;
	}
	*has_facts |= known->facts != facts;
	known->digest = names;
	known->facts = facts;
}

/* Forgets users who are gone. */
static bool
users_prune(struct map_world *w)
{
	struct map_user *known;
	size_t cursor = 0;
	bool is_any = false;

	while (w->users.count > w->user_records->count &&
	    (known = map_next(&w->users, &cursor)) != NULL) {
		if (map_find(w->user_records, &known->id) != NULL)
			continue;
		map_remove(&w->users, &known->id);
		free(known);
		is_any = true;
	}
	return is_any;
}

bool
map_world_note_users(struct map_world *w)
{
	const struct user *u;
	size_t cursor = 0;
	bool has_names = false, has_facts = false, is_known = false;

	while ((u = map_next(w->user_records, &cursor)) != NULL)
		user_note(w, u, &has_names, &has_facts, &is_known);
	has_facts |= users_prune(w);
	if (is_known && w->policy->policy->n_ssh > 0) {
		policy_world_ssh_touch(w->policy);	/* names logins */
		w->is_refresh_due = true;
		w->seq++;
	}
	if (has_names) {
		w->users_seq = ++w->seq;
		for (unsigned i = 0; i < w->n_groups; i++)
			if (w->groups[i] != NULL)
				map_chunk_frame_stale(&w->groups[i]->profiles, w->seq);
	}
	return has_facts;
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

/* Whoever gets an own text finds out by itself whether it changed. */
void
map_world_note_dns(struct map_world *w, const struct dns_params *p)
{
	struct dns_node off = { .caps = "\"" DNS_ATTR_OFF "\":null" };
	struct buf b = { 0 };

	off.n_caps = strlen(off.caps);
	w->dns = p;
	for (unsigned i = 0; i < COUNT_OF(w->dns_texts); i++) {
		buf_clear(&b);
		dns_put(&b, p, i == DNS_OFF ? &off : NULL);
		shbuf_drop(w->dns_texts[i]);
		w->dns_texts[i] = shbuf_new(b.p, b.len);
	}
	buf_fini(&b);
	w->dns_seq = ++w->seq;
}

void
map_world_note_health(struct map_world *w, struct node *n, struct shbuf *json)
{
	struct shbuf *old = n->map->health;

	OBJ_CHECK(n->map, MAP_NODE_MAGIC);
	n->map->health = json;
	if (!shbuf_eq(old, json))
		w->seq++;
	shbuf_drop(old);
}

void
map_world_refresh(struct map_world *w)
{
	int64_t id;

	if (!w->is_refresh_due)
		return;
	while (policy_world_stale(w->policy, &id)) {	/* by what others brought or took */
		struct map_node *mn = map_find(&w->nodes, &id);
		uint64_t seq = ++w->seq;

		OBJ_CHECK(mn, MAP_NODE_MAGIC);
		map_world_stamp(w, mn, replace(w, mn, seq), seq);
	}
	w->is_refresh_due = w->has_bare_class = false;
	/* Which bundles are others the streams see when they look: who came or went has moved w->seq. */
	policy_world_refresh(w->policy);
}

void
map_world_ready(struct map_world *w)
{
	if (w->has_bare_class)
		map_world_refresh(w);
}

void
map_world_publish(struct map_world *w)
{
	map_world_refresh(w);
	w->published = w->seq;
	map_filter_round(&w->filters);
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
	return policy_world_view(w->policy, viewer_row, row) != NULL;
}

struct map_look
map_world_look(const struct map_world *w, uint32_t viewer_row, uint32_t row)
{
	return (struct map_look){ .base_domain = w->base_domain, .policy = w->policy,
		.view = policy_world_view(w->policy, viewer_row, row) };
}

struct shbuf *
map_world_frame(struct map_world *w)
{
	struct shbuf *s = map_zstd_frame(w->zstd, w->scratch.p, w->scratch.len);

	buf_clear(&w->scratch);
	return s;
}

struct shbuf *
map_world_frame_again(struct map_world *w)
{
	struct buf *last = &w->again_text;

	if (w->again_frame == NULL || last->len != w->scratch.len ||
	    memcmp(last->p, w->scratch.p, last->len) != 0) {
		struct buf text = *last;

		*last = w->scratch;	/* they change places */
		w->scratch = text;
		shbuf_drop(w->again_frame);
		w->again_frame = map_zstd_frame(w->zstd, last->p, last->len);
	}
	buf_clear(&w->scratch);
	return shbuf_hold(w->again_frame);
}
