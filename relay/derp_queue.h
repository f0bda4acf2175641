/*
 * What one client is still to be sent, in two lanes: control (disco and small frames of our
 * own), strictly ahead, and data. Pure: no socket, no clock.
 *
 * Frames lie whole and in order in chunks of 16 KiB, so that a chunk is one TLS record; a frame
 * that does not fit into one has a chunk of its own length. Chunks come from the worker's pool
 * and go back when they are empty: an idle client owns none.
 *
 * Fairness: while little waits (DERP_QUEUE_SHARED_BYTES), all senders share the chunks of the data
 * lane, in the order of coming. What comes on top of that is kept by sender, in a few flows that
 * senders are spread over by a salted hash; they are served in turns of a chunk's length (deficit
 * round robin), and the longest flow pays for a full lane. So one who floods a receiver takes its own
 * share only. Packets of one sender stay in order.
 *
 * Bounds: bytes per lane (the oldest frame is dropped for the newest, and the newest if that
 * does not help) and time (a chunk whose first frame has waited too long is dropped). Never
 * dropped is a frame of which a part was taken already.
 *
 * Memory: the queues of all workers share a budget. A lane of data may be as long as what is left of it
 * (dynamic thresholds), so that the longest queues pay and a short one always finds room; when
 * nothing is left, packets are dropped.
 */
#ifndef RELAY_DERP_QUEUE_H
#define RELAY_DERP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "relay/derp_memory.h"

struct derp_chunk;
struct derp_flows;

enum derp_lane { DERP_LANE_CONTROL, DERP_LANE_DATA, DERP_LANE_COUNT };

struct derp_fifo {
	struct derp_chunk *head, *tail;
	uint32_t bytes;		/* of frames, not of chunks */
};

/* All zero is an empty queue that owns no memory. */
struct derp_queue {
	struct derp_fifo _control;
	struct derp_fifo _data;		/* of all senders */
	struct derp_flows *_flows;	/* behind _data, by sender; NULL: empty */
};

struct derp_queue_limits {
	uint32_t bytes[DERP_LANE_COUNT];	/* one frame alone may be longer */
	uint32_t wait_ms;
};

/* Packets that were dropped for one reason, and their bytes without header and keys, by lane: disco goes
 * ahead with control. */
struct derp_drops {
	uint64_t packets[DERP_LANE_COUNT], bytes[DERP_LANE_COUNT];
};

static inline void
derp_drops_add(struct derp_drops *d, enum derp_lane lane, uint64_t packets, uint64_t bytes)
{
	d->packets[lane] += packets;
	d->bytes[lane] += bytes;
}

/* Packets of both lanes. */
static inline uint64_t
derp_drops_packets(const struct derp_drops *d)
{
	return d->packets[DERP_LANE_CONTROL] + d->packets[DERP_LANE_DATA];
}

/* Packets only: other frames are not counted. The owner reads and zeroes them. */
struct derp_queue_counts {
	struct derp_drops dropped_head, dropped_tail, dropped_gone, dropped_memory;
	uint64_t taken_packets, taken_bytes;	/* bytes without header and key */
	int64_t memory_bytes;		/* more, or less, than before */
};

/* Packets by the time that the first one of their chunk had waited: up to 2, 4, … 1,024 ms, and longer.
 * Who waited 1 ms or less is in none. The owner reads and zeroes them. */
#define DERP_QUEUE_DELAYS 11u
struct derp_queue_delays {
	uint64_t packets;			/* in all of them */
	uint64_t by_time[DERP_QUEUE_DELAYS];
	uint64_t waited_ms;			/* of all packets together */
};

/* Chunks of all queues of one worker; same thread. */
struct derp_queue_pool {
	struct derp_queue_limits limits;
	struct derp_queue_counts counts;
	struct derp_queue_delays delays;
	struct derp_chunk *_free;
	int64_t _now_ms;	/* of the last put or expire */
	uint32_t _n_free;
	uint32_t n_used;	/* chunks in queues */
	struct derp_memory *memory;	/* borrowed, the owner sets it; NULL: no limit */
	uint64_t salt;		/* of the senders' hash; the owner may set it to something random */
};

/* An empty pool with these limits (copied). */
void derp_queue_pool_init(struct derp_queue_pool *pool, const struct derp_queue_limits *limits);
/* All queues were cleared before. */
void derp_queue_pool_fini(struct derp_queue_pool *pool);
/* n bytes more (or less) are held for clients, outside of queues. */
void derp_queue_pool_hold(struct derp_queue_pool *pool, int64_t n);
/* Less than half of the budget is left; nothing is. */
bool derp_queue_pool_is_scarce(const struct derp_queue_pool *pool);
bool derp_queue_pool_is_full(const struct derp_queue_pool *pool);
/* Frees unused chunks down to keep. */
void derp_queue_pool_trim(struct derp_queue_pool *pool, uint32_t keep);

/* Copies n bytes of whole frames, none longer than DERP_FRAME_MAX_BYTES. */
void derp_queue_put(struct derp_queue *q, struct derp_queue_pool *pool, enum derp_lane lane,
	const uint8_t *frames, size_t n, int64_t now_ms);
/* Drops what has waited too long. */
void derp_queue_expire(struct derp_queue *q, struct derp_queue_pool *pool, int64_t now_ms);
/* Next bytes to send: valid until the next call. false: empty. */
bool derp_queue_peek(const struct derp_queue *q, const uint8_t **p, size_t *n);
/* n bytes of what derp_queue_peek gave were sent: all of them, or any part if it was longer than
 * a chunk. */
void derp_queue_take(struct derp_queue *q, struct derp_queue_pool *pool, size_t n);
/* Drops everything: the client has gone. */
void derp_queue_clear(struct derp_queue *q, struct derp_queue_pool *pool);

/* Nothing waits in either lane. */
bool derp_queue_is_empty(const struct derp_queue *q);
/* Of frames that wait in this lane. */
size_t derp_queue_bytes(const struct derp_queue *q, enum derp_lane lane);

/* Of data, before it is kept by sender: some milliseconds on a line of any use. */
#define DERP_QUEUE_SHARED_BYTES (32u << 10)
/* Most that derp_queue_peek gives of frames that share a chunk. */
#define DERP_QUEUE_CHUNK_BYTES 16344u

#endif
