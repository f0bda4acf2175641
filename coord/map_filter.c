/* Packet filters in frames; the template's holes are as policy_filter_put has them: bytes 1 and 2. */
#include "coord/map_filter.h"

#include <stdio.h>
#include <string.h>

#include "coord/map_full.h"

#define HOLE_MAX 2

struct piece {
	bool is_frame;
	struct shbuf *bytes;	/* owned reference: a shared frame, or a template of its own */
};

struct map_filter {
	struct shbuf *template;	/* owned reference; the key is where it lies */
	struct piece *pieces;	/* owned */
	unsigned n_pieces, cap_pieces;
	size_t n_bytes;
	TAILQ_ENTRY(map_filter) link;
};

/* What is told to a client that has the one when the other is its filter. */
struct map_filter_pair {
	struct { struct shbuf *now, *had; uint64_t clears; } key;	/* owned references; had may be NULL */
	struct shbuf *text;	/* owned reference */
	TAILQ_ENTRY(map_filter_pair) link;
};

static void
filter_free(struct map_filter *f)
{
	for (unsigned i = 0; i < f->n_pieces; i++)
		shbuf_drop(f->pieces[i].bytes);
	free(f->pieces);
	shbuf_drop(f->template);
	free(f);
}

void
map_filters_init(struct map_filters *f)
{
	MAP_INIT(&f->by_template, struct map_filter, template);
	TAILQ_INIT(&f->queue);
	f->n_bytes = 0;
	MAP_INIT(&f->by_pair, struct map_filter_pair, key);
	TAILQ_INIT(&f->pairs);
	f->n_pair_bytes = 0;
}

static void
pairs_pop(struct map_filters *f)
{
	struct map_filter_pair *old = TAILQ_FIRST(&f->pairs);

	TAILQ_REMOVE(&f->pairs, old, link);
	map_remove(&f->by_pair, &old->key);
	f->n_pair_bytes -= old->text->len;
	shbuf_drop(old->key.now);
	shbuf_drop(old->key.had);
	shbuf_drop(old->text);
	free(old);
}

static void
filters_pop(struct map_filters *f)
{
	struct map_filter *old = TAILQ_FIRST(&f->queue);

	TAILQ_REMOVE(&f->queue, old, link);
	map_remove(&f->by_template, &old->template);
	f->n_bytes -= old->n_bytes;
	filter_free(old);
}

void
map_filter_round(struct map_filters *f)
{
	while (!TAILQ_EMPTY(&f->pairs))
		pairs_pop(f);
}

void
map_filters_fini(struct map_filters *f)
{
	while (!TAILQ_EMPTY(&f->queue))
		filters_pop(f);
	map_fini(&f->by_template);
	map_filter_round(f);
	map_fini(&f->by_pair);
}

static void
piece_add(struct map_filter *f, bool is_frame, struct shbuf *take)
{
	if (f->n_pieces == f->cap_pieces) {
		f->cap_pieces = f->cap_pieces == 0 ? 8 : f->cap_pieces * 2;
		f->pieces = obj_realloc(f->pieces, f->cap_pieces * sizeof(*f->pieces));
	}
	f->pieces[f->n_pieces++] = (struct piece){ is_frame, take };
	f->n_bytes += take->len;
}

/* The first hole in [at, end), or end. */
static const uint8_t *
hole_find(const uint8_t *at, const uint8_t *end)
{
	while (at < end && (*at == 0 || *at > HOLE_MAX))
		at++;
	return at;
}

static struct map_filter *
filter_new(struct map_world *w, struct shbuf *template)
{
	const uint8_t *end = template->bytes + template->len, *kept = template->bytes, *at, *hole;
	struct map_filter *f = obj_alloc(sizeof(*f));

	f->template = shbuf_hold(template);
	f->n_bytes = template->len;
	for (at = template->bytes; at < end; at = hole + 1) {
		hole = hole_find(at, end);
		if ((size_t)(hole - at) < MAP_FILTER_LONG_BYTES)
			continue;
		if (at > kept)
			piece_add(f, false, shbuf_new(kept, (size_t)(at - kept)));
		piece_add(f, true, map_zstd_frame(w->zstd, at, (size_t)(hole - at)));
		kept = hole;
	}
	if (end > kept)
		piece_add(f, false, shbuf_new(kept, (size_t)(end - kept)));
	return f;
}

static const struct map_filter *
filter_of(struct map_world *w, struct shbuf *template)
{
	struct map_filters *all = &w->filters;
	struct map_filter *f = map_find(&all->by_template, &template);

	if (f != NULL)
		return f;
	f = filter_new(w, template);
	map_put(&all->by_template, f);
	TAILQ_INSERT_TAIL(&all->queue, f, link);
	all->n_bytes += f->n_bytes;
	while (all->n_bytes > MAP_FILTERS_BYTES && TAILQ_FIRST(&all->queue) != f)
		filters_pop(all);
	return f;
}

void
map_filter_put(struct map_world *w, struct shbuf *template, const struct policy_node *n,
	struct map_segs *out)
{
	if (template->len < MAP_FILTER_LONG_BYTES) {
		policy_filter_put(&w->scratch, template, n);
		return;
	}
	const struct map_filter *f = filter_of(w, template);
	for (unsigned i = 0; i < f->n_pieces; i++) {
		const struct piece *p = &f->pieces[i];

		if (!p->is_frame) {
			policy_filter_put(&w->scratch, p->bytes, n);
			continue;
		}
		if (w->scratch.len > 0)
			map_full_segs_add(out, map_world_frame(w));
		map_full_segs_add(out, shbuf_hold(p->bytes));
	}
}

/* --- in parts --------------------------------------------------------------------------------- */

static void
name_put(struct buf *b, const struct policy_filter_part *part)
{
	if (b->len > 1)
		buf_byte(b, ',');
	buf_printf(b, "\"%llx\":", (unsigned long long)part->name);
}

static void
part_put(struct buf *b, const struct policy_bundle *bundle, const struct policy_filter_part *part)
{
	name_put(b, part);
	buf_byte(b, '[');
	buf_append(b, bundle->filter->bytes + part->begin, part->end - part->begin);
	buf_byte(b, ']');
}

static bool
part_eq(const struct policy_bundle *a, const struct policy_filter_part *pa, const struct policy_bundle *b,
	const struct policy_filter_part *pb)
{
	uint32_t n = pa->end - pa->begin;

	return n == pb->end - pb->begin &&
	    memcmp(a->filter->bytes + pa->begin, b->filter->bytes + pb->begin, n) == 0;
}

static void
difference_put(struct buf *b, const struct policy_bundle *now, const struct policy_bundle *had)
{
	const struct policy_filter_part *new, *old;
	size_t n_new = policy_filter_parts(now, &new), n_old = policy_filter_parts(had, &old);

	for (size_t i = 0, k = 0; i < n_new || k < n_old; ) {
		if (i == n_new || (k < n_old && old[k].name < new[i].name)) {
			name_put(b, &old[k++]);
			buf_str(b, "null");	/* it goes */
			continue;
		}
		bool is_there = k < n_old && old[k].name == new[i].name;

		if (!is_there || !part_eq(now, &new[i], had, &old[k]))
			part_put(b, now, &new[i]);
		i++;
		k += is_there;
	}
}

static void
whole_put(struct buf *b, const struct policy_bundle *now, bool clears)
{
	const struct policy_filter_part *v;
	size_t n = policy_filter_parts(now, &v);

	if (clears)
		buf_str(b, "\"*\":null");
	for (size_t i = 0; i < n; i++)
		part_put(b, now, &v[i]);
	if (n > 0)
		return;
	buf_str(b, clears ? ",\"base\":" : "\"base\":");
	buf_append(b, now->filter->bytes, now->filter->len);
}

struct shbuf *
map_filter_named(struct map_world *w, const struct policy_bundle *now,
	const struct policy_bundle *had, bool clears)
{
	struct map_filters *all = &w->filters;
	struct map_filter_pair *p, probe = { .key = { now->filter, had == NULL ? NULL : had->filter, clears } };
	struct buf b = { 0 };

	if ((p = map_find(&all->by_pair, &probe.key)) != NULL)
		return p->text;
	buf_byte(&b, '{');
	if (had != NULL)
		difference_put(&b, now, had);
	else
		whole_put(&b, now, clears);
	p = obj_alloc(sizeof(*p));
	p->key.now = shbuf_hold(now->filter);
	p->key.had = had == NULL ? NULL : shbuf_hold(had->filter);
	p->key.clears = clears;
	p->text = shbuf_new(b.p, b.len);
	buf_fini(&b);
	map_put(&all->by_pair, p);
	TAILQ_INSERT_TAIL(&all->pairs, p, link);
	all->n_pair_bytes += p->text->len;
	while (all->n_pair_bytes > MAP_FILTERS_BYTES && TAILQ_FIRST(&all->pairs) != p)
		pairs_pop(all);
	return p->text;
}
