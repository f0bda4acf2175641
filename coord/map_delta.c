/*
 * Deltas. Short ones are one text:
 *
 *   {"PeersRemoved":[…],"UserProfiles":[…],"DERPMap":…,"PeersChanged":[…],"PeersChangedPatch":[…]}
 *
 * or, behind private members, two frames
 *
 *   {"Node":…,"PacketFilters":…,… | ,"PeersRemoved":[…],…}
 *
 * of which the second is shared as well. Long ones are the frames
 *
 *   {…,"PeersChanged":[ | slices | ],"PeersChangedPatch":[ | slices | ]}
 *
 * with frames of one comma between slices.
 */
#include "coord/map_delta.h"

#include <string.h>

/* Kinds that make a whole node of a change, and those that a patch can carry. */
#define BITS_WHOLE	((uint32_t)(CHANGE_WHOLE | CHANGE_JOINED) | MAP_CHANGE_OWNER)
#define BITS_PATCH	((uint32_t)(CHANGE_ENDPOINTS | CHANGE_HOME | CHANGE_DISCO | \
	CHANGE_ONLINE | CHANGE_KEY))

struct map_delta_item {
	struct map_node *mn;		/* borrowed: the cache is cleared when a node goes */
	uint32_t bits;
};

struct map_delta {
	TAILQ_ENTRY(map_delta) link;
	uint64_t from, to;
	uint32_t row;
	struct map_delta_item *items;	/* owned: whole nodes by id, then patched ones by id */
	unsigned n_items, n_whole;
	struct buf head;		/* members that all get, without a comma at the ends */
	struct shbuf *text;		/* a short delta in one frame; NULL: not made yet */
	struct shbuf *tail;		/* the same behind private members */
	struct shbuf **slices;		/* a long one's; NULL where not made yet */
	unsigned n_slices;
};

static unsigned
slices_of(unsigned n)
{
	return (n + MAP_DELTA_SLICE - 1) / MAP_DELTA_SLICE;
}

static void
delta_free(struct map_delta *d)
{
	for (unsigned i = 0; i < d->n_slices; i++)
		shbuf_drop(d->slices[i]);
	free(d->slices);
	shbuf_drop(d->text);
	shbuf_drop(d->tail);
	free(d->items);
	buf_fini(&d->head);
	free(d);
}

void
map_delta_cache_clear(struct map_world *w)
{
	struct map_delta *d;

	while ((d = TAILQ_FIRST(&w->deltas)) != NULL) {
		TAILQ_REMOVE(&w->deltas, d, link);
		delta_free(d);
	}
	w->n_deltas = 0;
}

bool
map_delta_is_overrun(const struct map_world *w, uint64_t from)
{
	return from < w->tombs_from;
}

static int
item_cmp(const void *va, const void *vb)
{
	const struct map_delta_item *a = va, *b = vb;
	bool a_patch = (a->bits & BITS_WHOLE) == 0, b_patch = (b->bits & BITS_WHOLE) == 0;

	if (a_patch != b_patch)
		return a_patch ? 1 : -1;
	return (a->mn->node->id > b->mn->node->id) - (a->mn->node->id < b->mn->node->id);
}

/* Who of the row's peers changed: the tail of the recency list. */
static void
collect(struct map_world *w, struct map_delta *d)
{
	struct map_node *mn;
	unsigned cap = 0;

	TAILQ_FOREACH_REVERSE(mn, &w->recent, map_recent, recent) {
		if (mn->last_seq <= d->from)
			break;
		uint32_t bits = map_world_bits(mn, d->from, d->to) &
		    (BITS_WHOLE | BITS_PATCH);
		if (bits == 0 || mn->chunk == NULL || !map_world_sees(w, d->row, mn->class->row))
			continue;
		if (d->n_items == cap) {
			cap = cap == 0 ? 8 : cap * 2;
			d->items = obj_realloc(d->items, cap * sizeof(*d->items));
		}
		d->items[d->n_items++] = (struct map_delta_item){ .mn = mn, .bits = bits };
		d->n_whole += (bits & BITS_WHOLE) != 0;
	}
	if (d->n_items > 1)
		qsort(d->items, d->n_items, sizeof(*d->items), item_cmp);
}

/* A comma, unless something was just opened, one is there, or the buffer is empty. */
static void
comma(struct buf *b)
{
	if (b->len > 0 && memchr("{[,", b->p[b->len - 1], 3) == NULL)
		buf_byte(b, ',');
}

static void
head_member(struct buf *b, const char *name, const struct shbuf *text)
{
	comma(b);
	buf_printf(b, "\"%s\":", name);
	buf_append(b, text->bytes, text->len);
}

/* Is the node told of as a whole? Those items come first, by id. */
static bool
is_whole_item(const struct map_delta *d, int64_t node_id)
{
	unsigned lo = 0, hi = d->n_whole;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;
		int64_t id = d->items[mid].mn->node->id;

		if (id == node_id)
			return true;
		if (id < node_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return false;
}

static void
head_removed(struct map_world *w, struct map_delta *d)
{
	struct buf *b = &d->head;
	bool is_open = false;

	for (unsigned i = w->n_tombs; i > 0; i--) {
		const struct map_tomb *t = &w->tombs[(w->first_tomb + i - 1) % w->cap_tombs];

		if (t->seq <= d->from)
			break;
		if (t->seq > d->to || is_whole_item(d, t->node_id) ||
		    (t->row != MAP_ROW_ANY && !map_world_sees(w, d->row, t->row)))
			continue;
		if (!is_open)
			buf_str(b, "\"PeersRemoved\":[");
		is_open = true;
		comma(b);
		buf_printf(b, "%lld", (long long)t->node_id);
	}
	if (is_open)
		buf_byte(b, ']');
}

static int
id_cmp(const void *va, const void *vb)
{
	const int64_t *a = va, *b = vb;

	return (*a > *b) - (*a < *b);
}

static bool
owner_is_seen(const struct map_world *w, uint32_t row, int64_t user_id)
{
	for (unsigned i = 0; i < w->n_groups; i++)
		if (w->groups[i] != NULL && map_find(&w->groups[i]->owners, &user_id) != NULL &&
		    map_world_sees(w, row, i))
			return true;
	return false;
}

/* Profiles of owners who came with a node, and of those whose names changed. */
static void
head_profiles(struct map_world *w, struct map_delta *d)
{
	size_t room = d->n_items + (w->users_seq > d->from ? w->users.count : 0), n = 0, cursor = 0;
	const struct map_user *u;
	struct json_writer jw;

	if (room == 0)
		return;
	int64_t *ids = obj_alloc(room * sizeof(*ids));
	for (unsigned i = 0; i < d->n_items; i++)
		if (d->items[i].bits & (MAP_CHANGE_OWNER | CHANGE_JOINED))
			ids[n++] = d->items[i].mn->owner_id;
	while (w->users_seq > d->from && (u = map_next(&w->users, &cursor)) != NULL)
		if (u->seq > d->from && u->seq <= d->to && owner_is_seen(w, d->row, u->id))
			ids[n++] = u->id;
	qsort(ids, n, sizeof(*ids), id_cmp);
	if (n > 0) {
		comma(&d->head);
		buf_str(&d->head, "\"UserProfiles\":");
		json_w_init(&jw, &d->head);
		json_w_arr_open(&jw, NULL);
		for (size_t i = 0; i < n; i++)
			if (i == 0 || ids[i] != ids[i - 1])
				map_peer_profile_put(&jw, ids[i],
				    map_find(w->user_records, &ids[i]));
		json_w_arr_close(&jw);
	}
	free(ids);
}

static void
head_make(struct map_world *w, struct map_delta *d)
{
	head_removed(w, d);
	head_profiles(w, d);
	if (w->derp.json != NULL && w->derp.seq > d->from && w->derp.seq <= d->to)
		head_member(&d->head, "DERPMap", w->derp.json);
}

static struct map_delta *
delta_find(struct map_world *w, uint32_t row, uint64_t from)
{
	struct map_delta *d;

	TAILQ_FOREACH(d, &w->deltas, link)
		if (d->row == row && d->from == from && d->to == w->published)
			return d;
	if (w->n_deltas == MAP_DELTA_CACHE_MAX) {
		d = TAILQ_FIRST(&w->deltas);
		TAILQ_REMOVE(&w->deltas, d, link);
		delta_free(d);
		w->n_deltas--;
	}
	d = obj_alloc(sizeof(*d));
	d->row = row;
	d->from = from;
	d->to = w->published;
	collect(w, d);
	head_make(w, d);
	d->n_slices = d->n_items > MAP_DELTA_SLICE ?
	    slices_of(d->n_whole) + slices_of(d->n_items - d->n_whole) : 0;
	if (d->n_slices > 0)
		d->slices = obj_alloc(d->n_slices * sizeof(struct shbuf *));
	TAILQ_INSERT_TAIL(&w->deltas, d, link);
	w->n_deltas++;
	return d;
}

/* Items [first, end) of the delta with commas between, without one node. */
static void
put_items(struct map_world *w, const struct map_delta *d, const struct map_delta_item *first,
	const struct map_delta_item *end, const struct map_node *without)
{
	struct buf *b = &w->scratch;

	for (const struct map_delta_item *i = first; i < end; i++) {
		if (i->mn == without)
			continue;
		if (i->bits & BITS_WHOLE) {
			struct map_look look = map_world_look(w, d->row, i->mn->class->row);

			comma(b);
			map_peer_seen_put(b, i->mn, &look);
		} else if (i->bits & BITS_PATCH) {
			struct json_writer jw;

			comma(b);
			json_w_init(&jw, b);
			map_peer_patch_put(&jw, i->mn->node, i->bits);
		}
	}
}

static void
put_list(struct map_world *w, const struct map_delta *d, bool is_whole, const struct map_node *without)
{
	const struct map_delta_item *first = is_whole ? d->items : d->items + d->n_whole;
	const struct map_delta_item *end = is_whole ? d->items + d->n_whole : d->items + d->n_items;

	if (first == end || (end - first == 1 && first->mn == without))
		return;
	comma(&w->scratch);
	buf_str(&w->scratch, is_whole ? "\"PeersChanged\":[" : "\"PeersChangedPatch\":[");
	put_items(w, d, first, end, without);
	buf_byte(&w->scratch, ']');
}

static void
put_shared_head(struct map_world *w, const struct map_delta *d)
{
	if (d->head.len == 0)
		return;
	comma(&w->scratch);
	buf_append(&w->scratch, d->head.p, d->head.len);
}

/* What all get of a short delta, behind what is in scratch, as one frame. without: the viewer if it is among
 * the items. */
static struct shbuf *
text_make(struct map_world *w, const struct map_delta *d, const struct map_node *without)
{
	put_shared_head(w, d);
	put_list(w, d, true, without);
	put_list(w, d, false, without);
	buf_byte(&w->scratch, '}');
	return map_world_frame(w);
}

static void
push_slice(struct map_segs *out, struct map_world *w, struct shbuf *take, bool *is_first)
{
	if (!*is_first)
		map_full_segs_add(out, shbuf_hold(w->comma));
	*is_first = false;
	map_full_segs_add(out, take);
}

static bool
has_item(const struct map_delta_item *first, const struct map_delta_item *end,
	const struct map_node *mn)
{
	for (const struct map_delta_item *i = first; i < end; i++)
		if (i->mn == mn)
			return true;
	return false;
}

/* The slices of items [at, end); slices: where their frames are kept. */
static void
push_slices(struct map_world *w, struct map_delta *d, unsigned at, unsigned end,
	struct shbuf **slices, const struct map_node *without, struct map_segs *out)
{
	bool is_first = true;

	for (; at < end; at += MAP_DELTA_SLICE, slices++) {
		unsigned stop = at + MAP_DELTA_SLICE < end ? at + MAP_DELTA_SLICE : end;
		const struct map_delta_item *a = d->items + at, *z = d->items + stop;

		if (without != NULL && has_item(a, z, without)) {
			put_items(w, d, a, z, without);
			if (w->scratch.len > 0)
				push_slice(out, w, map_world_frame(w), &is_first);
			continue;
		}
		if (*slices == NULL) {
			put_items(w, d, a, z, NULL);
			*slices = map_world_frame(w);
		}
		push_slice(out, w, shbuf_hold(*slices), &is_first);
	}
}

/* Scratch has the opening. */
static void
push_long(struct map_world *w, struct map_delta *d, const struct map_node *without,
	struct map_segs *out)
{
	struct buf *b = &w->scratch;

	put_shared_head(w, d);
	comma(b);
	buf_str(b, "\"PeersChanged\":[");
	map_full_segs_add(out, map_world_frame(w));
	push_slices(w, d, 0, d->n_whole, d->slices, without, out);
	buf_str(b, "],\"PeersChangedPatch\":[");
	map_full_segs_add(out, map_world_frame(w));
	push_slices(w, d, d->n_whole, d->n_items, d->slices + slices_of(d->n_whole), without, out);
	buf_str(b, "]}");
	map_full_segs_add(out, map_world_frame(w));
}

/* A short delta for who is not among its items. Scratch has the opening, with private members or without. */
static void
push_shared(struct map_world *w, struct map_delta *d, bool has_private, struct map_segs *out)
{
	if (!has_private) {
		if (d->text == NULL)
			d->text = text_make(w, d, NULL);
		buf_clear(&w->scratch);
		map_full_segs_add(out, shbuf_hold(d->text));
		return;
	}
	if (d->head.len == 0 && d->n_items == 0) {
		buf_byte(&w->scratch, '}');
		map_full_segs_add(out, map_world_frame_again(w));
		return;
	}
	map_full_segs_add(out, map_world_frame_again(w));
	if (d->tail == NULL) {
		buf_byte(&w->scratch, ',');
		d->tail = text_make(w, d, NULL);
	}
	map_full_segs_add(out, shbuf_hold(d->tail));
}

void
map_delta_put(struct map_world *w, const struct node *viewer, uint64_t from, struct map_sent *sent,
	struct map_segs *out)
{
	struct map_node *mn = viewer->map;
	struct json_writer jw;

	OBJ_CHECK(mn, MAP_NODE_MAGIC);
	ASSERT(mn->class != NULL && w->scratch.len == 0);
	uint32_t own = map_world_bits(mn, from, w->published);
	json_w_init(&jw, &w->scratch);
	json_w_obj_open(&jw, NULL);
	unsigned n_before = out->n;
	map_private_delta_put(w, &jw, viewer, from, own, sent, out);
	bool has_private = w->scratch.len > 1 || out->n > n_before;
	struct map_delta *d = delta_find(w, mn->class->row, from);
	bool is_item = mn->last_seq > from && has_item(d->items, d->items + d->n_items, mn);
	bool has_shared = d->head.len > 0 || d->n_items > (is_item ? 1u : 0u);

	if (!has_private && !has_shared)
		buf_clear(&w->scratch);
	else if (d->n_slices > 0)
		push_long(w, d, is_item ? mn : NULL, out);
	else if (is_item)
		map_full_segs_add(out, text_make(w, d, mn));
	else
		push_shared(w, d, has_private, out);
}
