/* Output queues: chunks, lanes, bounds. What and why in derp_queue.h. */
#include "relay/derp_queue.h"

#include <assert.h>
#include <string.h>

#include "base/key.h"
#include "base/obj.h"
#include "base/wire.h"
#include "relay/derp_frame.h"

/* Unused chunks kept by a worker: 1 MiB, a turn's worth for 64 receivers. */
#define POOL_KEEP_MAX	64u
/* A chunk takes frames for this part of wait_ms after its first one, so that one time stamp per
 * chunk is exact enough. */
#define SPAN_PART	8
#define FLOWS		8u
/* Of the memory, for receivers for whom nothing waits yet. */
#define RESERVE_PART	8

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

struct derp_flow {
	struct derp_fifo f;
	int64_t credit_bytes;	/* what it may still send in its turn */
};

/* Exists while one of the flows holds something. */
struct derp_flows {
	uint64_t salt;
	uint32_t bytes;
	uint8_t n_busy;		/* flows that are not empty */
	uint8_t at;		/* the one to send from: not empty */
	struct derp_flow flow[FLOWS];
};

static_assert(sizeof(struct derp_chunk) + DERP_QUEUE_CHUNK_BYTES <= 16384, "a chunk is one TLS record");

/* --- the pool --------------------------------------------------------------------------------- */

void
derp_queue_pool_init(struct derp_queue_pool *pool, const struct derp_queue_limits *limits)
{
	*pool = (struct derp_queue_pool){ .limits = *limits };
}

void
derp_queue_pool_hold(struct derp_queue_pool *pool, int64_t n)
{
	if (pool->memory == NULL)
		return;
	atomic_fetch_add_explicit(&pool->memory->used_bytes, (size_t)n, memory_order_relaxed);
	pool->counts.memory_bytes += n;
}

bool
derp_queue_pool_is_scarce(const struct derp_queue_pool *pool)
{
	return pool->memory != NULL && derp_memory_left(pool->memory) < pool->memory->cap_bytes / 2;
}

bool
derp_queue_pool_is_full(const struct derp_queue_pool *pool)
{
	return derp_memory_left(pool->memory) < sizeof(struct derp_chunk) + DERP_QUEUE_CHUNK_BYTES;
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
	derp_queue_pool_hold(pool, (int64_t)(sizeof *c + cap));
	return c;
}

static void
chunk_free(struct derp_queue_pool *pool, struct derp_chunk *c)
{
	pool->n_used--;
	derp_queue_pool_hold(pool, -(int64_t)(sizeof *c + c->cap));
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
fifo_pop(struct derp_fifo *f, struct derp_queue_pool *pool)
{
	struct derp_chunk *c = f->head;

	f->bytes -= c->end - c->start;
	f->head = c->next;
	if (c->next == NULL)
		f->tail = NULL;
	chunk_free(pool, c);
}

static bool
fifo_may_drop(const struct derp_fifo *f)
{
	return f->head != NULL && !chunk_is_begun(f->head);
}

/* Drops the oldest frame; false: there is none that may be dropped. */
static bool
fifo_drop_frame(struct derp_fifo *f, struct derp_queue_pool *pool, enum derp_lane lane)
{
	struct derp_chunk *c = f->head;
	const uint8_t *frame;
	size_t n;

	if (!fifo_may_drop(f))
		return false;
	frame = c->bytes + c->start;
	n = frame_len(frame, c->end - c->start);
	if (is_packet(frame, n)) {
		derp_drops_add(&pool->counts.dropped_head, lane, 1, packet_len(n));
		c->n_packets--;
		c->packet_bytes -= packet_len(n);
	}
	c->start += (uint32_t)n;
	f->bytes -= (uint32_t)n;
	if (c->start == c->end)
		fifo_pop(f, pool);
	return true;
}

/* The last chunk takes a frame of n bytes. */
static bool
fifo_fits(const struct derp_fifo *f, const struct derp_queue_pool *pool, size_t n, int64_t now_ms)
{
	const struct derp_chunk *c = f->tail;

	return c != NULL && c->cap - c->end >= n &&
	    now_ms - c->born_ms <= pool->limits.wait_ms / SPAN_PART;
}

/* The chunk where a frame of n bytes goes. */
static struct derp_chunk *
fifo_room(struct derp_fifo *f, struct derp_queue_pool *pool, size_t n, int64_t now_ms)
{
	struct derp_chunk *c = f->tail;

	if (fifo_fits(f, pool, n, now_ms))
		return c;
	c = chunk_new(pool, n, now_ms);
	if (f->tail == NULL)
		f->head = c;
	else
		f->tail->next = c;
	f->tail = c;
	return c;
}

static void
fifo_put(struct derp_fifo *f, struct derp_queue_pool *pool, const uint8_t *frame, size_t n,
	int64_t now_ms)
{
	struct derp_chunk *c = fifo_room(f, pool, n, now_ms);

	memcpy(c->bytes + c->end, frame, n);
	c->end += (uint32_t)n;
	f->bytes += (uint32_t)n;
	if (is_packet(frame, n)) {
		c->n_packets++;
		c->packet_bytes += packet_len(n);
	}
}

static void
fifo_expire(struct derp_fifo *f, struct derp_queue_pool *pool, enum derp_lane lane, int64_t now_ms)
{
	while (fifo_may_drop(f) && now_ms - f->head->born_ms > pool->limits.wait_ms) {
		derp_drops_add(&pool->counts.dropped_head, lane, f->head->n_packets, f->head->packet_bytes);
		fifo_pop(f, pool);
	}
}

static void
fifo_clear(struct derp_fifo *f, struct derp_queue_pool *pool, enum derp_lane lane)
{
	while (f->head != NULL) {
		derp_drops_add(&pool->counts.dropped_gone, lane, f->head->n_packets, f->head->packet_bytes);
		fifo_pop(f, pool);
	}
}

/* --- flows ------------------------------------------------------------------------------------ */

static struct derp_flows *
flows_new(struct derp_queue_pool *pool)
{
	struct derp_flows *fl = obj_alloc(sizeof *fl);

	/* Another spread each time, so that nobody shares a flow with the same sender for long. */
	pool->salt = pool->salt * 6364136223846793005u + 1442695040888963407u;
	fl->salt = pool->salt;
	return fl;
}

/* The flow of the frame's sender. */
static unsigned
flows_find(const struct derp_flows *fl, const uint8_t *frame, size_t n)
{
	uint64_t h = fl->salt;

	if (n >= DERP_FRAME_HDR_BYTES + KEY_BYTES)
		h ^= wire_u64be(frame + DERP_FRAME_HDR_BYTES);
	h *= 0x9e3779b97f4a7c15u;
	return (unsigned)(h >> 32) % FLOWS;
}

/* The next one that holds something and has not sent more than its share. */
static void
flows_advance(struct derp_flows *fl)
{
	struct derp_flow *flow;

	do {
		fl->at = (uint8_t)((fl->at + 1) % FLOWS);
		flow = &fl->flow[fl->at];
		if (flow->f.head != NULL)
			flow->credit_bytes += DERP_QUEUE_CHUNK_BYTES;
	} while (flow->f.head == NULL || flow->credit_bytes <= 0);
}

/* Flow i held n_before bytes until something was taken out of it. Frees all if that was the last. */
static void
flows_shrunk(struct derp_queue *q, unsigned i, uint32_t n_before)
{
	struct derp_flows *fl = q->_flows;
	struct derp_flow *flow = &fl->flow[i];

	fl->bytes -= n_before - flow->f.bytes;
	if (flow->f.head != NULL || n_before == 0)
		return;
	if (flow->credit_bytes > 0)
		flow->credit_bytes = 0;		/* a share is not saved up */
	if (--fl->n_busy == 0) {
		q->_flows = NULL;
		free(fl);
	} else if (fl->at == i) {
		flows_advance(fl);
	}
}

static void
flows_put(struct derp_queue *q, struct derp_queue_pool *pool, const uint8_t *frame, size_t n,
	int64_t now_ms)
{
	struct derp_flows *fl = q->_flows;
	struct derp_flow *flow;
	unsigned i;

	if (fl == NULL)
		fl = q->_flows = flows_new(pool);
	i = flows_find(fl, frame, n);
	flow = &fl->flow[i];
	if (flow->f.head == NULL && fl->n_busy++ == 0) {
		fl->at = (uint8_t)i;
		flow->credit_bytes = DERP_QUEUE_CHUNK_BYTES;
	}
	fifo_put(&flow->f, pool, frame, n, now_ms);
	fl->bytes += (uint32_t)n;
}

/* The longest flow that a frame may be dropped from; FLOWS: none. */
static unsigned
flows_longest(const struct derp_flows *fl)
{
	unsigned longest = FLOWS;

	for (unsigned i = 0; i < FLOWS; i++) {
		const struct derp_fifo *f = &fl->flow[i].f;

		if (fifo_may_drop(f) && (longest == FLOWS || f->bytes > fl->flow[longest].f.bytes))
			longest = i;
	}
	return longest;
}

/* --- putting in and dropping ------------------------------------------------------------------ */

/* Drops one frame of data: of the longest flow, or simply the oldest where all are of one flow. */
static bool
data_drop_frame(struct derp_queue *q, struct derp_queue_pool *pool)
{
	unsigned longest = FLOWS;
	uint32_t n_before;

	if (q->_flows == NULL || (q->_flows->n_busy == 1 && fifo_may_drop(&q->_data)))
		return fifo_drop_frame(&q->_data, pool, DERP_LANE_DATA);
	longest = flows_longest(q->_flows);
	if (longest == FLOWS)
		return fifo_drop_frame(&q->_data, pool, DERP_LANE_DATA);
	n_before = q->_flows->flow[longest].f.bytes;
	(void)!fifo_drop_frame(&q->_flows->flow[longest].f, pool, DERP_LANE_DATA);
	flows_shrunk(q, longest, n_before);
	return true;
}

static uint32_t
data_bytes(const struct derp_queue *q)
{
	return q->_data.bytes + (q->_flows != NULL ? q->_flows->bytes : 0);
}

/* How long a lane of data may be. */
static uint32_t
data_limit(const struct derp_queue_pool *pool)
{
	uint32_t limit = pool->limits.bytes[DERP_LANE_DATA];
	size_t left = derp_memory_left(pool->memory);

	if (left < DERP_QUEUE_CHUNK_BYTES)
		left = DERP_QUEUE_CHUNK_BYTES;
	return left < limit ? (uint32_t)left : limit;
}

/* There is no memory for a packet that does not fit into the last chunk of f (NULL: there is none). The last
 * part of it is for lanes that are empty. */
static bool
is_too_much(struct derp_queue_pool *pool, const struct derp_fifo *f, bool is_empty, size_t n, int64_t now_ms)
{
	size_t reserve = is_empty || pool->memory == NULL ? 0 : pool->memory->cap_bytes / RESERVE_PART;

	if ((f != NULL && fifo_fits(f, pool, n, now_ms)) ||
	    derp_memory_left(pool->memory) >= reserve + sizeof(struct derp_chunk) + DERP_QUEUE_CHUNK_BYTES)
		return false;
	return true;
}

static void
drop_unqueued(struct derp_drops *why, enum derp_lane lane, const uint8_t *frame, size_t n)
{
	if (is_packet(frame, n))
		derp_drops_add(why, lane, 1, packet_len(n));
}

static void
data_put(struct derp_queue *q, struct derp_queue_pool *pool, const uint8_t *frame, size_t n,
	int64_t now_ms)
{
	const struct derp_fifo *f = NULL;
	uint32_t waiting;

	while ((waiting = data_bytes(q)) > 0 && waiting + n > data_limit(pool)) {
		if (!data_drop_frame(q, pool)) {
			drop_unqueued(&pool->counts.dropped_tail, DERP_LANE_DATA, frame, n);
			return;
		}
	}
	if (q->_flows == NULL && (waiting == 0 || waiting + n <= DERP_QUEUE_SHARED_BYTES))
		f = &q->_data;
	else if (q->_flows != NULL)
		f = &q->_flows->flow[flows_find(q->_flows, frame, n)].f;
	if (is_packet(frame, n) && is_too_much(pool, f, waiting == 0, n, now_ms))
		drop_unqueued(&pool->counts.dropped_memory, DERP_LANE_DATA, frame, n);
	else if (f == &q->_data)
		fifo_put(&q->_data, pool, frame, n, now_ms);
	else
		flows_put(q, pool, frame, n, now_ms);
}

static void
control_put(struct derp_queue *q, struct derp_queue_pool *pool, const uint8_t *frame, size_t n,
	int64_t now_ms)
{
	struct derp_fifo *f = &q->_control;

	while (f->bytes > 0 && f->bytes + n > pool->limits.bytes[DERP_LANE_CONTROL]) {
		if (!fifo_drop_frame(f, pool, DERP_LANE_CONTROL)) {
			drop_unqueued(&pool->counts.dropped_tail, DERP_LANE_CONTROL, frame, n);
			return;
		}
	}
	if (is_packet(frame, n) && is_too_much(pool, f, f->bytes == 0, n, now_ms))
		drop_unqueued(&pool->counts.dropped_memory, DERP_LANE_CONTROL, frame, n);
	else
		fifo_put(f, pool, frame, n, now_ms);
}

void
derp_queue_put(struct derp_queue *q, struct derp_queue_pool *pool, enum derp_lane lane,
	const uint8_t *frames, size_t n, int64_t now_ms)
{
	size_t n_frame;

	pool->_now_ms = now_ms;
	for (; n > 0; frames += n_frame, n -= n_frame) {
		n_frame = frame_len(frames, n);
		ASSERT(n_frame <= DERP_FRAME_MAX_BYTES);
		if (lane == DERP_LANE_DATA)
			data_put(q, pool, frames, n_frame, now_ms);
		else
			control_put(q, pool, frames, n_frame, now_ms);
	}
}

void
derp_queue_expire(struct derp_queue *q, struct derp_queue_pool *pool, int64_t now_ms)
{
	pool->_now_ms = now_ms;
	fifo_expire(&q->_control, pool, DERP_LANE_CONTROL, now_ms);
	fifo_expire(&q->_data, pool, DERP_LANE_DATA, now_ms);
	for (unsigned i = 0; i < FLOWS && q->_flows != NULL; i++) {
		uint32_t n_before = q->_flows->flow[i].f.bytes;

		fifo_expire(&q->_flows->flow[i].f, pool, DERP_LANE_DATA, now_ms);
		flows_shrunk(q, i, n_before);
	}
}

/* --- taking out ------------------------------------------------------------------------------- */

/* Where to send from: a begun frame, else control, else data, else the flow whose turn it is. NULL:
 * all is empty. */
static const struct derp_fifo *
queue_next(const struct derp_queue *q)
{
	const struct derp_fifo *data = &q->_data;

	if (data->head == NULL && q->_flows != NULL)
		data = &q->_flows->flow[q->_flows->at].f;
	if (data->head != NULL && (q->_control.head == NULL || chunk_is_begun(data->head)))
		return data;
	return q->_control.head != NULL ? &q->_control : NULL;
}

bool
derp_queue_peek(const struct derp_queue *q, const uint8_t **p, size_t *n)
{
	const struct derp_fifo *f = queue_next(q);

	if (f == NULL)
		return false;
	*p = f->head->bytes + f->head->start;
	*n = f->head->end - f->head->start;
	return true;
}

/* The packets of a chunk leave, whose first one waited so long. */
static void
pool_count_delay(struct derp_queue_pool *pool, int64_t wait_ms, uint32_t n_packets)
{
	unsigned i = 0;

	pool->delays.waited_ms += (uint64_t)wait_ms * n_packets;
	if (wait_ms <= 1)
		return;
	while (i < DERP_QUEUE_DELAYS - 1 && wait_ms > 2ll << i)
		i++;
	pool->delays.by_time[i] += n_packets;
	pool->delays.packets += n_packets;
}

/* The first n bytes of f were sent. */
static void
fifo_take(struct derp_fifo *f, struct derp_queue_pool *pool, size_t n)
{
	struct derp_chunk *c = f->head;

	ASSERT(c != NULL && n <= c->end - c->start);
	if (n < c->end - c->start) {
		ASSERT(c->cap > DERP_QUEUE_CHUNK_BYTES);
		c->start += (uint32_t)n;
		f->bytes -= (uint32_t)n;
		return;
	}
	pool->counts.taken_packets += c->n_packets;
	pool->counts.taken_bytes += c->packet_bytes;
	if (pool->_now_ms > c->born_ms)
		pool_count_delay(pool, pool->_now_ms - c->born_ms, c->n_packets);
	fifo_pop(f, pool);
}

static void
flows_take(struct derp_queue *q, struct derp_queue_pool *pool, size_t n)
{
	unsigned i = q->_flows->at;
	struct derp_flow *flow = &q->_flows->flow[i];
	uint32_t n_before = flow->f.bytes;

	fifo_take(&flow->f, pool, n);
	flow->credit_bytes -= (int64_t)n;
	if (flow->f.head != NULL && !chunk_is_begun(flow->f.head) && flow->credit_bytes <= 0)
		flows_advance(q->_flows);
	flows_shrunk(q, i, n_before);
}

void
derp_queue_take(struct derp_queue *q, struct derp_queue_pool *pool, size_t n)
{
	const struct derp_fifo *f = queue_next(q);

	if (f == &q->_control)
		fifo_take(&q->_control, pool, n);
	else if (f == &q->_data || f == NULL)
		fifo_take(&q->_data, pool, n);
	else
		flows_take(q, pool, n);
}

void
derp_queue_clear(struct derp_queue *q, struct derp_queue_pool *pool)
{
	fifo_clear(&q->_control, pool, DERP_LANE_CONTROL);
	fifo_clear(&q->_data, pool, DERP_LANE_DATA);
	for (unsigned i = 0; i < FLOWS && q->_flows != NULL; i++)
		fifo_clear(&q->_flows->flow[i].f, pool, DERP_LANE_DATA);
	free(q->_flows);
	q->_flows = NULL;
}

bool
derp_queue_is_empty(const struct derp_queue *q)
{
	return q->_control.head == NULL && q->_data.head == NULL && q->_flows == NULL;
}

size_t
derp_queue_bytes(const struct derp_queue *q, enum derp_lane lane)
{
	return lane == DERP_LANE_CONTROL ? q->_control.bytes : data_bytes(q);
}
