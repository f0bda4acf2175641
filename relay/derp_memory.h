/* What a relay holds for its clients, and may hold: one count for all workers. Pure, any thread. */
#ifndef RELAY_DERP_MEMORY_H
#define RELAY_DERP_MEMORY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct derp_memory {
	size_t cap_bytes;		/* 0: no limit */
	atomic_size_t used_bytes;
	_Atomic int64_t said_ms;	/* that it is full */
};

/* What is left of it; NULL: as much as one likes. */
static inline size_t
derp_memory_left(const struct derp_memory *m)
{
	size_t used;

	if (m == NULL || m->cap_bytes == 0)
		return SIZE_MAX;
	used = atomic_load_explicit(&m->used_bytes, memory_order_relaxed);
	return used < m->cap_bytes ? m->cap_bytes - used : 0;
}

#endif
