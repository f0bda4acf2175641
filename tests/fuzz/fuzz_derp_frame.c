/* links: relay/derp_frame relay/derp_queue */
/* A client's byte stream, walked as the relay walks it; every packet passes through an output
 * queue, which must give back the bytes it took, whole and in order. */
#include <stdint.h>
#include <string.h>

#include "base/obj.h"
#include "relay/derp_frame.h"
#include "relay/derp_queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t
drain(struct derp_queue *q, struct derp_queue_pool *pool)
{
	const uint8_t *p;
	size_t n, sum = 0;

	while (derp_queue_peek(q, &p, &n)) {
		struct derp_frame_hdr h;

		if (n > 16384)
			n = 16384;
		else
			ASSERT(derp_frame_parse(p, n, &h) == ERR_OK || sum > 16384);
		sum += n;
		derp_queue_take(q, pool, n);
	}
	ASSERT(pool->n_used == 0);
	return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t source[KEY_BYTES] = { 1, 2, 3 };
	struct derp_queue_pool pool;
	struct derp_queue q = { 0 };
	size_t at = 0, put = 0;
	uint8_t *bytes;

	if (size == 0)
		return 0;
	bytes = obj_alloc(size);
	memcpy(bytes, data, size);
	derp_queue_pool_init(&pool, &(struct derp_queue_limits){
		.bytes = { 4096, 70000 }, .wait_ms = 1000 });
	while (at < size) {
		struct derp_frame_hdr h;
		size_t n;

		if (derp_frame_parse(bytes + at, size - at, &h) != ERR_OK)
			break;
		ASSERT(derp_frame_check_hello(&h) != ERR_OK || h.len_bytes <= DERP_FRAME_INFO_MAX_BYTES);
		enum err rc = derp_frame_check_client(&h);
		if (rc != ERR_OK && rc != ERR_UNSUPPORTED)
			break;
		n = DERP_FRAME_HDR_BYTES + (size_t)h.len_bytes;
		if (n > size - at)
			break;
		if (h.type == DERP_FRAME_SEND_PACKET) {
			size_t head = DERP_FRAME_HDR_BYTES + KEY_BYTES;
			bool is_disco = derp_frame_is_disco(bytes + at + head, n - head);

			derp_frame_readdress(bytes + at, source);
			derp_queue_put(&q, &pool, is_disco ? DERP_LANE_CONTROL : DERP_LANE_DATA,
			    bytes + at, n, (int64_t)at);
			put += n;
		}
		at += n;
	}
	ASSERT(drain(&q, &pool) <= put);
	derp_queue_pool_fini(&pool);
	free(bytes);
	return 0;
}
