/* What a stream has to send: shared segments, each with a few bytes of its own in front. Pure. */
#ifndef COORD_H2_QUEUE_H
#define COORD_H2_QUEUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define H2_QUEUE_PREFIX_MAX 8

struct h2_seg;

/* All zeros is empty, and owns nothing. */
struct h2_queue {
	struct h2_seg *_segs;		/* owned */
	unsigned _n, _at;
	size_t _off;			/* in segment _at */
};

/* Puts prefix (at most H2_QUEUE_PREFIX_MAX bytes, copied) and bytes (the reference is taken; may be
 * NULL) behind the rest. */
void h2_queue_add(struct h2_queue *q, const uint8_t *prefix, size_t n_prefix, struct shbuf *bytes);
/* Bytes in it, counted until there are more than max. */
size_t h2_queue_bytes(const struct h2_queue *q, size_t max);
/* Takes n bytes to p; there are so many. */
void h2_queue_take(struct h2_queue *q, uint8_t *p, size_t n);
/* Empties it. */
void h2_queue_drop(struct h2_queue *q);

static inline int
h2_queue_is_empty(const struct h2_queue *q)
{
	return q->_n == 0;
}

#endif
