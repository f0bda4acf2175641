/*
 * Full maps.
 *
 * Commas: no chunk's text begins or ends with one, so that any may be left out; between two
 * frames that follow each other the comma is part of the private text before, or a frame of its own
 * (10 bytes).
 *
 * Peers are in the order of their ids within a group; clients keep them in a table by id.
 */
#include "coord/map_full.h"

#include <string.h>

/* Groups with more owners have a shared frame with their profiles. */
#define PROFILES_INLINE_MAX 16

/* What clients use themselves as the expiry of a logout: past for every clock. */
#define EXPIRY_PAST_UNIX_S 123

void
map_full_segs_add(struct map_segs *s, struct shbuf *take)
{
	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 16 : s->cap * 2;
		s->v = obj_realloc(s->v, s->cap * sizeof(struct shbuf *));
	}
	s->v[s->n++] = take;
}

void
map_full_segs_taken(struct map_segs *s)
{
	s->n = 0;
}

void
map_full_segs_fini(struct map_segs *s)
{
	for (unsigned i = 0; i < s->n; i++)
		shbuf_drop(s->v[i]);
	free(s->v);
	*s = (struct map_segs){ .v = NULL };
}

struct shbuf *
map_full_end(struct map_world *w, const struct node *n)
{
	struct json_writer jw;

	json_w_init(&jw, &w->scratch);
	json_w_obj_open(&jw, NULL);
	map_peer_self_put(&jw, "Node", n->map, &w->own, EXPIRY_PAST_UNIX_S);
	json_w_obj_close(&jw);
	return map_world_frame(w);
}

static void
put_profile(struct map_world *w, struct json_writer *jw, int64_t user_id)
{
	map_peer_profile_put(jw, user_id, map_find(w->user_records, &user_id));
}

static void
put_group_profiles(struct map_world *w, struct json_writer *jw, const struct map_group *g)
{
	const struct map_owner *o;
	size_t cursor = 0;

	while ((o = map_next(&g->owners, &cursor)) != NULL)
		put_profile(w, jw, o->user_id);
}

/* Members up to the open array UserProfiles, with the profiles of the viewer and of small
 * groups. */
static void
put_head(struct map_world *w, struct json_writer *jw, const struct node *n, const struct map_full_ask *ask,
	struct map_segs *out)
{
	json_w_obj_open(jw, NULL);
	map_private_full_put(w, jw, n, ask->sent, out);
	uint32_t row = n->map->class->row;
	if (w->derp.json != NULL)
		json_w_raw(jw, "DERPMap", w->derp.json->bytes, w->derp.json->len);
	json_w_str(jw, "Domain", w->base_domain);
	json_w_bool(jw, "CollectServices", false);
	json_w_obj_open(jw, "Debug");
	json_w_bool(jw, "DisableLogTail", true);
	json_w_obj_close(jw);
	json_w_time(jw, "ControlTime", ask->unix_s);
	json_w_arr_open(jw, "UserProfiles");
	put_profile(w, jw, n->map->owner_id);
	for (unsigned i = 0; i < w->n_groups; i++) {
		const struct map_group *g = w->groups[i];

		if (g != NULL && g->owners.count <= PROFILES_INLINE_MAX &&
		    map_world_sees(w, row, i))
			put_group_profiles(w, jw, g);
	}
}

/* Behind what is in scratch, or as a frame of its own. */
static void
push_comma(struct map_world *w, struct map_segs *out)
{
	if (w->scratch.len > 0)
		buf_byte(&w->scratch, ',');
	else
		map_full_segs_add(out, shbuf_hold(w->comma));
}

/* What is in scratch goes out as a private frame, then the shared one. */
static void
push_shared(struct map_world *w, struct map_segs *out, struct shbuf *frame)
{
	if (w->scratch.len > 0)
		map_full_segs_add(out, map_world_frame(w));
	map_full_segs_add(out, shbuf_hold(frame));
}

static void
frame_make(struct map_world *w, struct map_frame *f, const struct buf *text, int64_t now_ms)
{
	shbuf_drop(f->frame);
	*f = (struct map_frame){
		.frame = map_zstd_frame(w->zstd, text->p, text->len),
		.made_ms = now_ms,
	};
	w->chunks_made++;
}

static void
push_profiles(struct map_world *w, struct map_group *g, int64_t now_ms, struct map_segs *out,
	uint64_t *from)
{
	if (!map_chunk_frame_usable(&g->profiles, now_ms, from)) {
		struct buf text = { 0 };
		struct json_writer jw;

		json_w_init(&jw, &text);
		put_group_profiles(w, &jw, g);
		frame_make(w, &g->profiles, &text, now_ms);
		buf_fini(&text);
	}
	push_comma(w, out);
	push_shared(w, out, g->profiles.frame);
}

static void
chunk_make(struct map_world *w, struct map_chunk *c, const struct map_look *look, int64_t now_ms)
{
	struct buf text = { 0 };

	map_chunk_put(&text, c, NULL, look);
	frame_make(w, map_chunk_frame(c, look->view->id), &text, now_ms);
	buf_fini(&text);
}

static void
push_chunk(struct map_world *w, struct map_chunk *c, const struct map_look *look, int64_t now_ms,
	struct map_segs *out, struct map_full_result *res)
{
	struct map_frame *f = map_chunk_frame(c, look->view->id);

	if (!map_chunk_frame_usable(f, now_ms, &res->from))
		chunk_make(w, c, look, now_ms);
	if (res->has_peers)
		push_comma(w, out);
	push_shared(w, out, f->frame);
	res->has_peers = true;
}

/* The viewer's own chunk, into the private text. */
static void
put_own_chunk(struct map_world *w, const struct map_node *viewer, const struct map_look *look,
	struct map_segs *out, struct map_full_result *res)
{
	if (viewer->chunk->n == 1)
		return;
	if (res->has_peers)
		push_comma(w, out);
	map_chunk_put(&w->scratch, viewer->chunk, viewer, look);
	res->has_peers = true;
}

static void
push_peers(struct map_world *w, const struct map_node *viewer, int64_t now_ms,
	struct map_segs *out, struct map_full_result *res)
{
	for (unsigned i = 0; i < w->n_groups; i++) {
		struct map_group *g = w->groups[i];
		struct map_look look = map_world_look(w, viewer->class->row, i);

		if (g == NULL || look.view == NULL)
			continue;
		res->n_groups++;
		for (unsigned k = 0; k < g->n_chunks; k++) {
			if (g->chunks[k] == viewer->chunk)
				put_own_chunk(w, viewer, &look, out, res);
			else
				push_chunk(w, g->chunks[k], &look, now_ms, out, res);
		}
	}
}

/* Whoever a client may still have that was told of changes up to seq: all there are, and all who went since. */
static void
put_everybody_removed(struct map_world *w, uint64_t seq)
{
	const struct map_node *mn;
	struct json_writer jw;

	buf_byte(&w->scratch, ',');
	json_w_init(&jw, &w->scratch);
	json_w_arr_open(&jw, "PeersRemoved");
	TAILQ_FOREACH(mn, &w->recent, recent)
		if (mn->chunk != NULL)
			json_w_int(&jw, NULL, mn->node->id);
	for (unsigned i = 0; i < w->n_tombs; i++) {
		const struct map_tomb *t = &w->tombs[(w->first_tomb + i) % w->cap_tombs];

		if (t->seq > seq)
			json_w_int(&jw, NULL, t->node_id);
	}
	json_w_arr_close(&jw);
}

/* Makes what is not there of a group. false: that were more than *left. */
static bool
prepare_group(struct map_world *w, const struct map_node *viewer, const struct map_group *g, int64_t mono_ms,
	unsigned *left)
{
	struct map_look look = map_world_look(w, viewer->class->row, g->row);
	uint64_t from = 0;

	for (unsigned k = 0; look.view != NULL && k < g->n_chunks; k++) {
		struct map_chunk *c = g->chunks[k];

		if (c == viewer->chunk ||
		    map_chunk_frame_usable(map_chunk_frame(c, look.view->id), mono_ms, &from))
			continue;
		if (*left == 0)
			return false;
		(*left)--;
		chunk_make(w, c, &look, mono_ms);
	}
	return true;
}

bool
map_full_prepare(struct map_world *w, const struct node *viewer, int64_t mono_ms,
	unsigned max_chunks)
{
	OBJ_CHECK(viewer->map, MAP_NODE_MAGIC);
	map_world_ready(w);
	for (unsigned i = 0; i < w->n_groups; i++)
		if (w->groups[i] != NULL &&
		    !prepare_group(w, viewer->map, w->groups[i], mono_ms, &max_chunks))
			return false;
	return true;
}

void
map_full_put(struct map_world *w, const struct node *viewer, const struct map_full_ask *ask,
	struct map_segs *out, struct map_full_result *res)
{
	struct map_node *mn = viewer->map;
	struct json_writer jw;

	OBJ_CHECK(mn, MAP_NODE_MAGIC);
	ASSERT(mn->class != NULL && w->scratch.len == 0);
	*res = (struct map_full_result){ .from = w->published };
	mn->needs_full = false;
	json_w_init(&jw, &w->scratch);
	put_head(w, &jw, viewer, ask, out);
	for (unsigned i = 0; i < w->n_groups; i++) {
		struct map_group *g = w->groups[i];

		if (g != NULL && g->owners.count > PROFILES_INLINE_MAX &&
		    map_world_sees(w, mn->class->row, i))
			push_profiles(w, g, ask->mono_ms, out, &res->from);
	}
	buf_str(&w->scratch, "],\"Peers\":[");
	push_peers(w, mn, ask->mono_ms, out, res);
	buf_byte(&w->scratch, ']');
	if (ask->is_again && !res->has_peers)
		put_everybody_removed(w, ask->seq);
	buf_byte(&w->scratch, '}');
	map_full_segs_add(out, map_world_frame(w));
}
