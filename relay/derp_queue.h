/*
 * What one client is still to be sent, in two lanes: control (disco and small frames of our
 * own), strictly ahead, and data. Pure: no socket, no clock.
 *
 * Frames lie whole and in order in chunks of 16 KiB, so that a chunk is one TLS record; a frame
 * that does not fit into one has a chunk of its own length. Chunks come from the worker's pool
 * and go back when they are empty: an idle client owns none.
 *
 * Bounds: bytes per lane (the oldest frame is dropped for the newest, and the newest if that
 * does not help) and time (a chunk whose first frame has waited too long is dropped). Never
 * dropped is a frame of which a part was taken already.
 */
#ifndef RELAY_DERP_QUEUE_H
#define RELAY_DERP_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct derp_chunk;

enum derp_lane { DERP_LANE_CONTROL, DERP_LANE_DATA, DERP_LANE_COUNT };

/* All zero is an empty queue that owns no memory. */
struct derp_queue {
	struct {
		struct derp_chunk *head, *tail;
		uint32_t bytes;		/* of frames, not of chunks */
	} _lanes[DERP_LANE_COUNT];
};

struct derp_queue_limits {
	uint32_t bytes[DERP_LANE_COUNT];	/* one frame alone may be longer */
	uint32_t wait_ms;
};

/* Packets only: other frames are not counted. The owner reads and zeroes them. */
struct derp_queue_counts {
	uint64_t dropped_head, dropped_tail, dropped_gone;
	uint64_t taken_packets, taken_bytes;	/* bytes without header and key */
};

/* Chunks of all queues of one worker; same thread. */
struct derp_queue_pool {
	struct derp_queue_limits limits;
	struct derp_queue_counts counts;
	struct derp_chunk *_free;
	uint32_t _n_free;
	uint32_t n_used;	/* chunks in queues */
};

/* An empty pool with these limits (copied). */
void derp_queue_pool_init(struct derp_queue_pool *pool, const struct derp_queue_limits *limits);
/* All queues were cleared before. */
void derp_queue_pool_fini(struct derp_queue_pool *pool);
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

/* Most that derp_queue_peek gives of frames that share a chunk. */
#define DERP_QUEUE_CHUNK_BYTES 16344u

#endif
