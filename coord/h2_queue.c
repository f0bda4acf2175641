/* Segments to be sent. */
#include "coord/h2_queue.h"

#include <string.h>

#include "base/obj.h"

struct h2_seg {
	struct shbuf *bytes;		/* one reference; NULL: prefix only */
	uint8_t prefix[H2_QUEUE_PREFIX_MAX];
	uint8_t n_prefix;
};

static size_t
seg_bytes(const struct h2_seg *g)
{
	return g->n_prefix + (g->bytes != NULL ? g->bytes->len : 0);
}

void
h2_queue_add(struct h2_queue *q, const uint8_t *prefix, size_t n_prefix, struct shbuf *bytes)
{
	struct h2_seg *g;

	ASSERT(n_prefix <= sizeof g->prefix);
	q->_segs = obj_realloc(q->_segs, (q->_n + 1) * sizeof *q->_segs);
	g = &q->_segs[q->_n++];
	*g = (struct h2_seg){ .bytes = bytes, .n_prefix = (uint8_t)n_prefix };
	if (n_prefix > 0)
		memcpy(g->prefix, prefix, n_prefix);
}

size_t
h2_queue_bytes(const struct h2_queue *q, size_t max)
{
	size_t n = 0;

	for (unsigned i = q->_at; i < q->_n && n <= max; i++)
		n += seg_bytes(&q->_segs[i]) - (i == q->_at ? q->_off : 0);
	return n;
}

/* Up to n bytes of the first segment to p; returns how many. */
static size_t
seg_take(struct h2_queue *q, uint8_t *p, size_t n)
{
	struct h2_seg *g = &q->_segs[q->_at];
	size_t left;
	const uint8_t *from;

	if (q->_off < g->n_prefix) {
		left = g->n_prefix - q->_off;
		from = g->prefix + q->_off;
	} else {
		left = seg_bytes(g) - q->_off;
		from = left > 0 ? g->bytes->bytes + (q->_off - g->n_prefix) : NULL;
	}
	if (left < n)
		n = left;
	if (n > 0)
		memcpy(p, from, n);
	q->_off += n;
	if (q->_off == seg_bytes(g)) {
		shbuf_drop(g->bytes);
		q->_at++;
		q->_off = 0;
	}
	return n;
}

void
h2_queue_take(struct h2_queue *q, uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t part;

		ASSERT(q->_at < q->_n);
		part = seg_take(q, p, n);
		p += part;
		n -= part;
	}
	if (q->_at == q->_n)
		h2_queue_drop(q);
}

void
h2_queue_drop(struct h2_queue *q)
{
	for (unsigned i = q->_at; i < q->_n; i++)
		shbuf_drop(q->_segs[i].bytes);
	free(q->_segs);
	*q = (struct h2_queue){ 0 };
}
