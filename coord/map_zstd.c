/*
 * Zstandard frames for map messages: compressed at level 1, or a raw block when short.
 *
 * Raw form (RFC 8878 section 3.1.1), n <= 255 bytes:
 *
 *   0  4  magic 28 b5 2f fd
 *   4  1  descriptor 0x20: single segment, content size in 1 byte, no checksum, no dictionary
 *   5  1  content size
 *   6  3  block header, little-endian: size << 3 | type 0 (raw) << 1 | last 1
 *   9  n  the text
 */
#include "coord/map_zstd.h"

#include <assert.h>
#include <string.h>
#include <zstd.h>

#define RAW_HEAD_BYTES 9

static_assert(MAP_ZSTD_RAW_MAX_BYTES <= 255, "content size is one byte");

struct map_zstd {
	unsigned users;
	ZSTD_CCtx *cctx;	/* owned */
	struct buf out;		/* compressed bytes before their size is known */
};

static _Thread_local struct map_zstd *shared;

struct map_zstd *
map_zstd_new(void)
{
	if (shared == NULL) {
		struct map_zstd *z = obj_alloc(sizeof(*z));
		z->cctx = ZSTD_createCCtx();
		ASSERT(z->cctx != NULL);
		shared = z;
	}
	shared->users++;
	return shared;
}

void
map_zstd_free(struct map_zstd *z)
{
	if (z == NULL)
		return;
	ASSERT(z == shared && z->users > 0);
	if (--z->users > 0)
		return;
	shared = NULL;
	ZSTD_freeCCtx(z->cctx);
	buf_fini(&z->out);
	free(z);
}

static struct shbuf *
raw_frame(const void *p, size_t n)
{
	struct shbuf *s = shbuf_alloc(RAW_HEAD_BYTES + n);
	uint32_t head = (uint32_t)n << 3 | 1;

	memcpy(s->bytes, "\x28\xb5\x2f\xfd\x20", 5);
	s->bytes[5] = (uint8_t)n;
	s->bytes[6] = (uint8_t)head;
	s->bytes[7] = (uint8_t)(head >> 8);
	s->bytes[8] = (uint8_t)(head >> 16);
	if (n > 0)
		memcpy(s->bytes + RAW_HEAD_BYTES, p, n);
	return s;
}

struct shbuf *
map_zstd_frame(struct map_zstd *z, const void *p, size_t n)
{
	if (n < MAP_ZSTD_RAW_MAX_BYTES)
		return raw_frame(p, n);
	buf_clear(&z->out);
	uint8_t *to = buf_reserve(&z->out, ZSTD_compressBound(n));
	size_t got = ZSTD_compressCCtx(z->cctx, to, ZSTD_compressBound(n), p, n, MAP_ZSTD_LEVEL);
	/* Can only fail for want of memory: the room is sufficient by ZSTD_compressBound. */
	ASSERT(!ZSTD_isError(got));
	return shbuf_new(to, got);
}
