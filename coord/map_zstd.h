/*
 * Zstandard frames for map messages. Pure.
 *
 * A message may be several frames one after another; the client decodes them as one text
 * (util/zstdframe AppendDecode of the reference client: checked). Each frame here is complete in
 * itself, states its content size and has no checksum.
 *
 * One compression context (about 550 KiB) serves everybody who calls map_zstd_new on a thread:
 * never one per node.
 */
#ifndef COORD_MAP_ZSTD_H
#define COORD_MAP_ZSTD_H

#include <stddef.h>

#include "base/buf.h"

/* Shorter texts are put in a raw block: compressing would not shrink them (keys are random). */
#define MAP_ZSTD_RAW_MAX_BYTES	200
#define MAP_ZSTD_LEVEL		1	/* 3 is slower and, for maps, larger */

struct map_zstd;

/* The calling thread's shared context, made at the first call. Release it with map_zstd_free. */
struct map_zstd *map_zstd_new(void) MUST_USE;
void map_zstd_free(struct map_zstd *z);		/* NULL is fine; same thread */

/* The text as one frame; one reference, the caller's. n may be 0. The context's thread. */
struct shbuf *map_zstd_frame(struct map_zstd *z, const void *p, size_t n) MUST_USE;

#endif
