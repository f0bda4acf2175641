/* Groups of nodes and their chunks: an array of sorted leaves. */
#include "coord/map_chunk.h"

#include <string.h>

struct map_group *
map_chunk_group_new(uint32_t row)
{
	struct map_group *g = obj_alloc(sizeof(*g));

	g->row = row;
	MAP_INIT(&g->owners, struct map_owner, user_id);
	return g;
}

static void
frame_drop(struct map_frame *f)
{
	shbuf_drop(f->frame);
	*f = (struct map_frame){ .frame = NULL };
}

void
map_chunk_views_drop(struct map_chunk *c)
{
	for (unsigned i = 0; i < c->n_views; i++)
		shbuf_drop(c->views[i].f.frame);
	free(c->views);
	c->views = NULL;
	c->n_views = 0;
}

static void
frames_drop(struct map_chunk *c)
{
	frame_drop(&c->f);
	map_chunk_views_drop(c);
}

static void
chunk_free(struct map_chunk *c)
{
	frames_drop(c);
	free(c);
}

void
map_chunk_group_free(struct map_group *g)
{
	struct map_owner *o;
	size_t cursor = 0;

	if (g == NULL)
		return;
	for (unsigned i = 0; i < g->n_chunks; i++)
		chunk_free(g->chunks[i]);
	free(g->chunks);
	while ((o = map_next(&g->owners, &cursor)) != NULL)
		free(o);
	map_fini(&g->owners);
	shbuf_drop(g->profiles.frame);
	free(g);
}

void
map_chunk_frame_stale(struct map_frame *f, uint64_t seq)
{
	if (f->frame == NULL || f->is_stale)
		return;
	f->is_stale = true;
	f->stale_seq = seq;
}

static void
frames_stale(struct map_chunk *c, uint64_t seq)
{
	map_chunk_frame_stale(&c->f, seq);
	for (unsigned i = 0; i < c->n_views; i++)
		map_chunk_frame_stale(&c->views[i].f, seq);
}

struct map_frame *
map_chunk_frame(struct map_chunk *c, uint32_t view_id)
{
	if (view_id == 0)
		return &c->f;
	for (unsigned i = 0; i < c->n_views; i++)
		if (c->views[i].view_id == view_id)
			return &c->views[i].f;
	if (c->n_views == MAP_CHUNK_VIEWS)
		map_chunk_views_drop(c);
	c->views = obj_realloc(c->views, (c->n_views + 1) * sizeof(*c->views));
	c->views[c->n_views] = (struct map_view_frame){ .view_id = view_id };
	return &c->views[c->n_views++].f;
}

bool
map_chunk_frame_usable(const struct map_frame *f, int64_t now_ms, uint64_t *from_seq)
{
	if (f->frame == NULL)
		return false;
	if (!f->is_stale)
		return true;
	if (now_ms - f->made_ms >= MAP_CHUNK_STALE_MS)
		return false;
	if (f->stale_seq - 1 < *from_seq)
		*from_seq = f->stale_seq - 1;
	return true;
}

/* Index of the chunk that id belongs in: the last one that begins at or below it. The group is
 * not empty. */
static unsigned
chunk_index(const struct map_group *g, int64_t id)
{
	unsigned lo = 0, hi = g->n_chunks;

	while (hi - lo > 1) {
		unsigned mid = lo + (hi - lo) / 2;

		if (g->chunks[mid]->nodes[0]->node->id <= id)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* Index in the chunk of the first node whose id is not below id. */
static unsigned
node_index(const struct map_chunk *c, int64_t id)
{
	unsigned i = c->n;

	while (i > 0 && c->nodes[i - 1]->node->id >= id)
		i--;
	return i;
}

static struct map_chunk *
chunk_insert(struct map_group *g, unsigned at)
{
	struct map_chunk *c = obj_alloc(sizeof(*c));

	c->group = g;
	if (g->n_chunks == g->cap_chunks) {
		g->cap_chunks = g->cap_chunks == 0 ? 4 : g->cap_chunks * 2;
		g->chunks = obj_realloc(g->chunks, g->cap_chunks * sizeof(*g->chunks));
	}
	memmove(g->chunks + at + 1, g->chunks + at, (g->n_chunks - at) * sizeof(*g->chunks));
	g->chunks[at] = c;
	g->n_chunks++;
	return c;
}

static void
chunk_delete(struct map_group *g, unsigned at)
{
	chunk_free(g->chunks[at]);
	g->n_chunks--;
	memmove(g->chunks + at, g->chunks + at + 1, (g->n_chunks - at) * sizeof(*g->chunks));
}

/* The upper half of a full chunk moves into a new one behind it. */
static void
chunk_split(struct map_group *g, unsigned at)
{
	struct map_chunk *from = g->chunks[at], *to = chunk_insert(g, at + 1);
	unsigned half = from->n / 2;

	to->n = from->n - half;
	memcpy(to->nodes, from->nodes + half, to->n * sizeof(to->nodes[0]));
	from->n = half;
	for (unsigned i = 0; i < to->n; i++)
		to->nodes[i]->chunk = to;
	frames_drop(from);
}

/* Chunk at + 1 is appended to chunk at. */
static void
chunk_join(struct map_group *g, unsigned at)
{
	struct map_chunk *to = g->chunks[at], *from = g->chunks[at + 1];

	memcpy(to->nodes + to->n, from->nodes, from->n * sizeof(to->nodes[0]));
	for (unsigned i = 0; i < from->n; i++)
		from->nodes[i]->chunk = to;
	to->n += from->n;
	frames_drop(to);
	chunk_delete(g, at + 1);
}

static void
owner_add(struct map_group *g, int64_t user_id, uint64_t seq)
{
	struct map_owner *o = map_find(&g->owners, &user_id);

	if (o == NULL) {
		o = obj_alloc(sizeof(*o));
		o->user_id = user_id;
		map_put(&g->owners, o);
		map_chunk_frame_stale(&g->profiles, seq);
	}
	o->n_nodes++;
}

static void
owner_remove(struct map_group *g, int64_t user_id)
{
	struct map_owner *o = map_find(&g->owners, &user_id);

	ASSERT(o != NULL && o->n_nodes > 0);
	if (--o->n_nodes > 0)
		return;
	map_remove(&g->owners, &user_id);
	free(o);
	frame_drop(&g->profiles);
}

void
map_chunk_add(struct map_group *g, struct map_node *mn, uint64_t seq)
{
	int64_t id = mn->node->id;
	unsigned at = 0, i;
	struct map_chunk *c;

	ASSERT(mn->chunk == NULL);
	if (g->n_chunks == 0)
		chunk_insert(g, 0);
	else
		at = chunk_index(g, id);
	c = g->chunks[at];
	if (c->n == MAP_CHUNK_NODES && id > c->nodes[c->n - 1]->node->id && at + 1 == g->n_chunks) {
		c = chunk_insert(g, ++at);	/* at the end: the one before stays full */
	} else if (c->n == MAP_CHUNK_NODES) {
		chunk_split(g, at);
		at = chunk_index(g, id);
		c = g->chunks[at];
	}
	i = node_index(c, id);
	memmove(c->nodes + i + 1, c->nodes + i, (c->n - i) * sizeof(c->nodes[0]));
	c->nodes[i] = mn;
	c->n++;
	mn->chunk = c;
	g->n_nodes++;
	frames_stale(c, seq);
	owner_add(g, mn->owner_id, seq);
}

void
map_chunk_remove(struct map_node *mn)
{
	struct map_chunk *c = mn->chunk;
	struct map_group *g = c->group;
	unsigned at = chunk_index(g, mn->node->id), i = node_index(c, mn->node->id);

	ASSERT(g->chunks[at] == c && i < c->n && c->nodes[i] == mn);
	c->n--;
	memmove(c->nodes + i, c->nodes + i + 1, (c->n - i) * sizeof(c->nodes[0]));
	mn->chunk = NULL;
	g->n_nodes--;
	frames_drop(c);
	owner_remove(g, mn->owner_id);
	if (c->n == 0)
		chunk_delete(g, at);
	else if (at + 1 < g->n_chunks && c->n + g->chunks[at + 1]->n <= MAP_CHUNK_JOIN)
		chunk_join(g, at);
	else if (at > 0 && c->n + g->chunks[at - 1]->n <= MAP_CHUNK_JOIN)
		chunk_join(g, at - 1);
}

void
map_chunk_touch(struct map_node *mn, uint64_t seq)
{
	free(mn->fragment);
	mn->fragment = NULL;
	mn->fragment_bytes = 0;
	if (mn->chunk != NULL)
		frames_stale(mn->chunk, seq);
}

unsigned
map_chunk_put(struct buf *b, const struct map_chunk *c, const struct map_node *without,
	const struct map_look *look)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n; i++) {
		struct map_node *mn = c->nodes[i];

		if (mn == without)
			continue;
		if (n++ > 0)
			buf_byte(b, ',');
		map_peer_seen_put(b, mn, look);
	}
	return n;
}
