/*
 * The text of a program: its groups, with their sources. It can be long (the addresses of
 * thousands of nodes, for each group), so it is written once, into place.
 *
 * Sources of several selectors are told together as long as the text is short. A long one is
 * told selector by selector, if that is shorter: each selector's addresses come once for a
 * protocol, and hundreds of rules over a few dozen tags cost no more than the tags.
 */
#include <stdio.h>
#include <string.h>

#include "coord/policy_world_filter.h"

#define TAKEN_BACK_BYTES	64		/* of a rule that comes out empty */
#define SHORT_BYTES	(32u << 10)

enum unit_kind {
	UNIT_SEL,	/* one selector */
	UNIT_SOURCE,	/* sources that are not told apart */
	UNIT_OWN	/* nodes of the program's user: kind and id of the group's head */
};

/* Destinations that go with some sources. */
struct part {
	enum unit_kind unit;
	uint32_t id;			/* selector, or source */
	struct pw_group_head head;
	const uint8_t *text;		/* borrowed of the program */
};

struct parts {
	struct part *v;			/* owned */
	size_t n, cap;
};

struct writer {
	const struct policy_world *w;
	const struct pw_program *g;
	uint8_t *at;		/* NULL: only count */
	size_t n;
	struct buf *parts;	/* NULL: nobody wants them */
};

static void
write_bytes(struct writer *o, const void *p, size_t n)
{
	if (o->at != NULL && n > 0)
		memcpy(o->at + o->n, p, n);
	o->n += n;
}

static void
write_text(struct writer *o, const char *s)
{
	write_bytes(o, s, strlen(s));
}

/* With a comma before it unless it is the first since begin. */
static void
write_list(struct writer *o, const struct shbuf *text, size_t begin)
{
	if (text == NULL || text->len == 0)
		return;
	if (o->n > begin)
		write_bytes(o, ",", 1);
	write_bytes(o, text->bytes, text->len);
}

static void
write_sel(struct writer *o, uint32_t sel, size_t begin)
{
	write_list(o, o->w->_p->sels[sel].text, begin);
	if (o->w->policy->sels[sel].kind == POLICY_SEL_ANY)
		write_list(o, o->w->_p->routes_text, begin);
}

static void
write_source(struct writer *o, uint32_t id)
{
	const struct pw_source *s = o->w->_p->sources[id];
	size_t begin = o->n;

	if (s->postures != NULL) {
		write_list(o, s->text, begin);
		return;
	}
	if (s->has_all) {
		write_text(o, "\"*\"");
		return;
	}
	for (uint32_t i = 0; i < s->sels.n; i++)
		write_sel(o, s->sels.v[i], begin);
}

static void
write_own(struct writer *o, const struct pw_group_head *head)
{
	struct ipset own = { 0 };
	struct buf b = { 0 };

	policy_world_source_of_user(o->w, o->g->user_id, head->kind == PW_GROUP_SELF ?
	    o->w->_p->sources[head->id] : NULL, &own);
	ipset_put(&b, &own);
	write_bytes(o, b.p, b.len);
	buf_fini(&b);
	ipset_fini(&own);
}

static void
write_unit(struct writer *o, const struct part *p)
{
	if (p->unit == UNIT_SEL)
		write_sel(o, p->id, o->n);
	else if (p->unit == UNIT_SOURCE)
		write_source(o, p->id);
	else
		write_own(o, &p->head);
}

static bool
goes_with(const struct part *a, const struct part *b)
{
	return a->unit == b->unit && a->id == b->id && a->head.kind == b->head.kind &&
	    a->head.is_cap == b->head.is_cap && a->head.proto == b->head.proto;
}

/* In the order of compare_parts. */
static uint64_t
name_of(const struct part *p)
{
	return (uint64_t)p->unit << 60 | (uint64_t)p->id << 16 | (uint64_t)(p->head.kind & 3) << 14 |
	    (uint64_t)(p->head.is_cap & 1) << 13 | (uint64_t)((p->head.proto + 1) & 0x1ff);
}

static void
part_note(struct writer *o, const struct part *p, size_t begin)
{
	struct policy_filter_part part = { name_of(p), (uint32_t)begin + (begin > 1), (uint32_t)o->n };

	if (o->parts != NULL)
		buf_append(o->parts, &part, sizeof(part));
}

/* The first n parts, which go with the same sources: one FilterRule. */
static void
write_rule(struct writer *o, const struct part *p, size_t n)
{
	size_t begin = o->n, sources;
	char proto[32];

	write_text(o, begin > 1 ? ",{\"SrcIPs\":[" : "{\"SrcIPs\":[");
	sources = o->n;
	write_unit(o, p);
	/* Capabilities are told even where nobody has them, as the service does. */
	if (o->n == sources && !(p->head.is_cap && p->unit == UNIT_SOURCE)) {
		o->n = begin;
		return;
	}
	write_text(o, p->head.is_cap ? "],\"CapGrant\":[" : "],\"DstPorts\":[");
	for (size_t i = 0; i < n; i++) {
		write_bytes(o, ",", i > 0);
		write_bytes(o, p[i].text, (size_t)p[i].head.n_bytes);
	}
	write_text(o, "]");
	if (p->head.proto >= 0) {
		snprintf(proto, sizeof(proto), ",\"IPProto\":[%d]", (int)p->head.proto);
		write_text(o, proto);
	}
	write_text(o, "}");
	part_note(o, p, begin);
}

static void
write_all(struct writer *o, const struct parts *parts)
{
	write_text(o, "[");
	for (size_t i = 0, end; i < parts->n; i = end) {
		for (end = i + 1; end < parts->n && goes_with(&parts->v[i], &parts->v[end]); end++)
			;
		write_rule(o, &parts->v[i], end - i);
	}
	write_text(o, "]");
}

/* --- parts ------------------------------------------------------------------------------------ */

static void
part_add(struct parts *parts, struct part p)
{
	if (parts->n == parts->cap) {
		parts->cap = parts->cap == 0 ? 16 : 2 * parts->cap;
		parts->v = obj_realloc(parts->v, parts->cap * sizeof(*parts->v));
	}
	parts->v[parts->n++] = p;
}

static void
parts_whole(const struct pw_program *g, struct parts *out)
{
	struct part p;

	for (size_t at = sizeof(g->user_id); at < g->intern.n_bytes; ) {
		p.text = policy_world_group_next(g, &at, &p.head);
		p.unit = p.head.kind == PW_GROUP_SOURCE ? UNIT_SOURCE : UNIT_OWN;
		p.id = p.head.id;
		part_add(out, p);
	}
}

static int
compare_parts(const void *pa, const void *pb)
{
	const struct part *a = pa, *b = pb;

	if (a->unit != b->unit)
		return a->unit < b->unit ? -1 : 1;
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	if (a->head.kind != b->head.kind)
		return a->head.kind < b->head.kind ? -1 : 1;
	if (a->head.is_cap != b->head.is_cap)
		return a->head.is_cap < b->head.is_cap ? -1 : 1;
	if (a->head.proto != b->head.proto)
		return a->head.proto < b->head.proto ? -1 : 1;
	return (a->text > b->text) - (a->text < b->text);	/* in the order of the program */
}

static void
parts_by_sel(const struct policy_world *w, const struct parts *whole, struct parts *out)
{
	for (size_t i = 0; i < whole->n; i++) {
		struct part p = whole->v[i];
		const struct pw_source *s = w->_p->sources[p.id];

		if (p.unit != UNIT_SOURCE || s->postures != NULL || s->has_all) {
			part_add(out, p);
			continue;
		}
		p.unit = UNIT_SEL;
		for (uint32_t k = 0; k < s->sels.n; k++) {
			p.id = s->sels.v[k];
			part_add(out, p);
		}
	}
	if (out->n > 1)
		qsort(out->v, out->n, sizeof(*out->v), compare_parts);
}

static size_t
count(const struct policy_world *w, const struct pw_program *g, const struct parts *parts)
{
	struct writer o = { .w = w, .g = g };

	write_all(&o, parts);
	return o.n;
}

static int
compare_names(const void *pa, const void *pb)
{
	const struct policy_filter_part *a = pa, *b = pb;

	return (a->name > b->name) - (a->name < b->name);
}

/* Those in b, by name; NULL: a name is there twice. */
static struct shbuf *
parts_sorted(struct buf *b)
{
	size_t n = b->len / sizeof(struct policy_filter_part);
	struct shbuf *out = shbuf_new(b->p, b->len);
	struct policy_filter_part *v = (void *)out->bytes;

	if (n > 1)
		qsort(v, n, sizeof(*v), compare_names);
	for (size_t i = 1; i < n; i++) {
		if (v[i].name == v[i - 1].name) {
			shbuf_drop(out);
			return NULL;
		}
	}
	return out;
}

struct shbuf *
policy_world_text_make(const struct policy_world *w, const struct pw_program *g, struct shbuf **parts)
{
	struct buf noted = { 0 };
	struct parts whole = { 0 }, by_sel = { 0 }, *best = &whole;
	size_t n, n_by_sel;

	parts_whole(g, &whole);
	n = count(w, g, &whole);
	if (n > SHORT_BYTES) {
		parts_by_sel(w, &whole, &by_sel);
		n_by_sel = count(w, g, &by_sel);
		if (n_by_sel < n) {
			best = &by_sel;
			n = n_by_sel;
		}
	}
	/* What comes out empty is taken back, but for a few bytes that were written. */
	struct shbuf *out = shbuf_alloc(n + TAKEN_BACK_BYTES);
	struct writer o = { .w = w, .g = g, .at = out->bytes, .parts = &noted };

	write_all(&o, best);
	out->len = o.n;
	*parts = o.n < POLICY_FILTER_PARTS_MIN_BYTES ? NULL : parts_sorted(&noted);
	buf_fini(&noted);
	free(whole.v);
	free(by_sel.v);
	return out;
}
