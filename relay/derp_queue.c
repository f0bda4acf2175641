/* Output queues: chunks, lanes, bounds. What and why in derp_queue.h. */
#include "relay/derp_queue.h"

#include <assert.h>
#include <string.h>

#include "base/key.h"
#include "base/obj.h"
#include "relay/derp_frame.h"

/* Unused chunks kept by a worker: 1 MiB, a turn's worth for 64 receivers. */
#define POOL_KEEP_MAX	64u
/* A chunk takes frames for this part of wait_ms after its first one, so that one time stamp per
 * chunk is exact enough. */
#define SPAN_PART	8

struct derp_chunk {
	struct derp_chunk *next;
	int64_t born_ms;	/* of the first frame */
	uint32_t start, end;	/* frames that were not taken yet: bytes[start, end) */
	uint32_t cap;		/* more than DERP_QUEUE_CHUNK_BYTES: holds one frame, not pooled */
	uint32_t n_packets;	/* in [start, end) */
	uint32_t packet_bytes;
	uint32_t pad;
	uint8_t bytes[];
};

static_assert(sizeof(struct derp_chunk) + DERP_QUEUE_CHUNK_BYTES <= 16384, "a chunk is one TLS record");

/* --- the pool --------------------------------------------------------------------------------- */

void
derp_queue_pool_init(struct derp_queue_pool *pool, const struct derp_queue_limits *limits)
{
	*pool = (struct derp_queue_pool){ .limits = *limits };
}

void
derp_queue_pool_trim(struct derp_queue_pool *pool, uint32_t keep)
{
	while (pool->_n_free > keep) {
		struct derp_chunk *c = pool->_free;

		pool->_free = c->next;
		pool->_n_free--;
		free(c);
	}
}

void
derp_queue_pool_fini(struct derp_queue_pool *pool)
{
	ASSERT(pool->n_used == 0);
	derp_queue_pool_trim(pool, 0);
}

static struct derp_chunk *
chunk_new(struct derp_queue_pool *pool, size_t n_frame, int64_t now_ms)
{
	struct derp_chunk *c = pool->_free;
	size_t cap = n_frame > DERP_QUEUE_CHUNK_BYTES ? n_frame : DERP_QUEUE_CHUNK_BYTES;

	pool->n_used++;
	if (c != NULL && cap == DERP_QUEUE_CHUNK_BYTES) {
		pool->_free = c->next;
		pool->_n_free--;
	} else {
		c = malloc(sizeof *c + cap);	/* obj_alloc would zero all of it */
		ASSERT(c != NULL);
	}
	*c = (struct derp_chunk){ .born_ms = now_ms, .cap = (uint32_t)cap };
	return c;
}

static void
chunk_free(struct derp_queue_pool *pool, struct derp_chunk *c)
{
	pool->n_used--;
	if (c->cap > DERP_QUEUE_CHUNK_BYTES || pool->_n_free >= POOL_KEEP_MAX) {
		free(c);
		return;
	}
	c->next = pool->_free;
	pool->_free = c;
	pool->_n_free++;
}

/* --- frames in chunks ------------------------------------------------------------------------- */

/* Length of the frame at p, which is ours and whole. */
static size_t
frame_len(const uint8_t *p, size_t n)
{
	struct derp_frame_hdr h;
	enum err rc = derp_frame_parse(p, n, &h);

	ASSERT(rc == ERR_OK && h.len_bytes <= n - DERP_FRAME_HDR_BYTES);
	return DERP_FRAME_HDR_BYTES + h.len_bytes;
}

static bool
is_packet(const uint8_t *frame, size_t n)
{
	return frame[0] == DERP_FRAME_RECV_PACKET && n >= DERP_FRAME_HDR_BYTES + KEY_BYTES;
}

static uint32_t
packet_len(size_t n_frame)
{
	return (uint32_t)(n_frame - DERP_FRAME_HDR_BYTES - KEY_BYTES);
}

/* A part of the one frame in it has been sent. */
static bool
chunk_is_begun(const struct derp_chunk *c)
{
	return c->cap > DERP_QUEUE_CHUNK_BYTES && c->start > 0;
}

static void
lane_pop(struct derp_queue *q, struct derp_queue_pool *pool, enum derp_lane lane)
{
	struct derp_chunk *c = q->_lanes[lane].head;

	q->_lanes[lane].bytes -= c->end - c->start;
	q->_lanes[lane].head = c->next;
	if (c->next == NULL)
		q->_lanes[lane].tail = NULL;
	chunk_free(pool, c);
}

/* Drops the oldest frame of the lane; false: there is none that may be dropped. */
static bool
lane_drop_frame(struct derp_queue *q, struct derp_queue_pool *pool, enum derp_lane lane)
{
	struct derp_chunk *c = q->_lanes[lane].head;
	const uint8_t *frame;
	size_t n;

	if (c == NULL || chunk_is_begun(c))
		return false;
	frame = c->bytes + c->start;
	n = frame_len(frame, c->end - c->start);
	if (is_packet(frame, n)) {
		pool->counts.dropped_head++;
		c->n_packets--;
		c->packet_bytes -= packet_len(n);
	}
	c->start += (uint32_t)n;
	q->_lanes[lane].bytes -= (uint32_t)n;
	if (c->start == c->end)
		lane_pop(q, pool, lane);
	return true;
}

/* The chunk where a frame of n bytes goes. */
static struct derp_chunk *
lane_room(struct derp_queue *q, struct derp_queue_pool *pool, enum derp_lane lane, size_t n,
	int64_t now_ms)
{
	struct derp_chunk *c = q->_lanes[lane].tail;

	if (c != NULL && c->cap - c->end >= n &&
	    now_ms - c->born_ms <= pool->limits.wait_ms / SPAN_PART)
		return c;
	c = chunk_new(pool, n, now_ms);
	if (q->_lanes[lane].tail == NULL)
		q->_lanes[lane].head = c;
	else
		q->_lanes[lane].tail->next = c;
	q->_lanes[lane].tail = c;
	return c;
}

static void
lane_put(struct derp_queue *q, struct derp_queue_pool *pool, enum derp_lane lane,
	const uint8_t *frame, size_t n, int64_t now_ms)
{
	uint32_t limit = pool->limits.bytes[lane];
	struct derp_chunk *c;

	while (q->_lanes[lane].bytes > 0 && q->_lanes[lane].bytes + n > limit) {
		if (!lane_drop_frame(q, pool, lane)) {
			if (is_packet(frame, n))
				pool->counts.dropped_tail++;
			return;
		}
	}
	c = lane_room(q, pool, lane, n, now_ms);
	memcpy(c->bytes + c->end, frame, n);
	c->end += (uint32_t)n;
	q->_lanes[lane].bytes += (uint32_t)n;
	if (is_packet(frame, n)) {
		c->n_packets++;
		c->packet_bytes += packet_len(n);
	}
}

void
derp_queue_put(struct derp_queue *q, struct derp_queue_pool *pool, enum derp_lane lane,
	const uint8_t *frames, size_t n, int64_t now_ms)
{
	size_t n_frame;

	for (; n > 0; frames += n_frame, n -= n_frame) {
		n_frame = frame_len(frames, n);
		ASSERT(n_frame <= DERP_FRAME_MAX_BYTES);
		lane_put(q, pool, lane, frames, n_frame, now_ms);
	}
}

void
derp_queue_expire(struct derp_queue *q, struct derp_queue_pool *pool, int64_t now_ms)
{
	for (unsigned lane = 0; lane < DERP_LANE_COUNT; lane++) {
		struct derp_chunk *c;

		while ((c = q->_lanes[lane].head) != NULL && !chunk_is_begun(c) &&
		    now_ms - c->born_ms > pool->limits.wait_ms) {
			pool->counts.dropped_head += c->n_packets;
			lane_pop(q, pool, lane);
		}
	}
}

/* --- taking out ------------------------------------------------------------------------------- */

/* The lane to send from: the one with a begun frame, else control, else data. */
static enum derp_lane
queue_next_lane(const struct derp_queue *q)
{
	const struct derp_chunk *data = q->_lanes[DERP_LANE_DATA].head;
	const struct derp_chunk *control = q->_lanes[DERP_LANE_CONTROL].head;

	if (control == NULL || (data != NULL && chunk_is_begun(data) && !chunk_is_begun(control)))
		return DERP_LANE_DATA;
	return DERP_LANE_CONTROL;
}

bool
derp_queue_peek(const struct derp_queue *q, const uint8_t **p, size_t *n)
{
	const struct derp_chunk *c = q->_lanes[queue_next_lane(q)].head;

	if (c == NULL)
		return false;
	*p = c->bytes + c->start;
	*n = c->end - c->start;
	return true;
}

void
derp_queue_take(struct derp_queue *q, struct derp_queue_pool *pool, size_t n)
{
	enum derp_lane lane = queue_next_lane(q);
	struct derp_chunk *c = q->_lanes[lane].head;

	ASSERT(c != NULL && n <= c->end - c->start);
	if (n < c->end - c->start) {
		ASSERT(c->cap > DERP_QUEUE_CHUNK_BYTES);
		c->start += (uint32_t)n;
		q->_lanes[lane].bytes -= (uint32_t)n;
		return;
	}
	pool->counts.taken_packets += c->n_packets;
	pool->counts.taken_bytes += c->packet_bytes;
	lane_pop(q, pool, lane);
}

void
derp_queue_clear(struct derp_queue *q, struct derp_queue_pool *pool)
{
	for (unsigned lane = 0; lane < DERP_LANE_COUNT; lane++) {
		while (q->_lanes[lane].head != NULL) {
			pool->counts.dropped_gone += q->_lanes[lane].head->n_packets;
			lane_pop(q, pool, lane);
		}
	}
}

bool
derp_queue_is_empty(const struct derp_queue *q)
{
	return q->_lanes[DERP_LANE_CONTROL].head == NULL && q->_lanes[DERP_LANE_DATA].head == NULL;
}

size_t
derp_queue_bytes(const struct derp_queue *q, enum derp_lane lane)
{
	return q->_lanes[lane].bytes;
}
