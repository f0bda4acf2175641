/*
 * Hash table: power-of-two slots, linear probing, at most 3/4 full, backward-shift deletion (so
 * there are no tombstones). The hash is kept beside the pointer: objects are touched only when it
 * is equal. The table never shrinks.
 */
#include "base/map.h"

#include <pthread.h>
#include <sodium.h>
#include <string.h>

#include "base/obj.h"

#define MAP_MIN_SLOTS 8

struct map_slot {
	uint64_t hash;
	void *object;		/* NULL: free */
};

static pthread_once_t secret_once = PTHREAD_ONCE_INIT;
static uint8_t secret[crypto_shorthash_KEYBYTES];

static void
secret_make(void)
{
	/* Not from base/rand: a test's source must not be drawn on at a surprising moment. */
	ASSERT(sodium_init() >= 0);
	crypto_shorthash_keygen(secret);
}

uint64_t
map_hash(const void *p, size_t n)
{
	uint64_t h;

	_Static_assert(sizeof(h) == crypto_shorthash_BYTES, "64-bit hash");
	pthread_once(&secret_once, secret_make);
	crypto_shorthash((uint8_t *)&h, p, n, secret);
	return h;
}

void
map_init(struct map *m, size_t key_offset, size_t key_bytes)
{
	ASSERT(key_bytes > 0);
	*m = (struct map){ ._key_offset = key_offset, ._key_bytes = key_bytes };
}

void
map_fini(struct map *m)
{
	free(m->_slots);
	m->_slots = NULL;
	m->_cap = 0;
	m->count = 0;
}

static const void *
key_of(const struct map *m, const void *object)
{
	return (const char *)object + m->_key_offset;
}

/* Slot of the key, or the free one where it belongs. The table has slots, one of them free. */
static size_t
slot_find(const struct map *m, uint64_t hash, const void *key)
{
	size_t mask = m->_cap - 1;
	size_t i = (size_t)hash & mask;

	for (; m->_slots[i].object != NULL; i = (i + 1) & mask) {
		if (m->_slots[i].hash == hash &&
		    memcmp(key_of(m, m->_slots[i].object), key, m->_key_bytes) == 0)
			break;
	}
	return i;
}

static void
grow(struct map *m)
{
	struct map_slot *old = m->_slots;
	size_t old_cap = m->_cap;
	size_t cap = old_cap > 0 ? old_cap * 2 : MAP_MIN_SLOTS;
	size_t mask = cap - 1;

	ASSERT(cap <= SIZE_MAX / 2 / sizeof(struct map_slot));
	m->_slots = obj_alloc(cap * sizeof(struct map_slot));
	m->_cap = cap;
	for (size_t k = 0; k < old_cap; k++) {
		if (old[k].object == NULL)
			continue;
		size_t i = (size_t)old[k].hash & mask;
		while (m->_slots[i].object != NULL)
			i = (i + 1) & mask;
		m->_slots[i] = old[k];
	}
	free(old);
}

void *
map_find(const struct map *m, const void *key)
{
	if (m->count == 0)
		return NULL;
	return m->_slots[slot_find(m, map_hash(key, m->_key_bytes), key)].object;
}

void *
map_put(struct map *m, void *object)
{
	ASSERT(object != NULL);
	const void *key = key_of(m, object);
	uint64_t hash = map_hash(key, m->_key_bytes);

	if (m->count + 1 > m->_cap / 4 * 3)
		grow(m);
	struct map_slot *s = &m->_slots[slot_find(m, hash, key)];
	void *old = s->object;
	*s = (struct map_slot){ .hash = hash, .object = object };
	if (old == NULL)
		m->count++;
	return old;
}

void *
map_remove(struct map *m, const void *key)
{
	if (m->count == 0)
		return NULL;
	size_t mask = m->_cap - 1;
	size_t hole = slot_find(m, map_hash(key, m->_key_bytes), key);
	void *object = m->_slots[hole].object;

	if (object == NULL)
		return NULL;
	/* What could have stood in the hole moves back into it, until a free slot ends the run. */
	for (size_t i = (hole + 1) & mask; m->_slots[i].object != NULL; i = (i + 1) & mask) {
		size_t from_home = (i - (size_t)m->_slots[i].hash) & mask;
		size_t from_hole = (i - hole) & mask;

		if (from_home >= from_hole) {
			m->_slots[hole] = m->_slots[i];
			hole = i;
		}
	}
	m->_slots[hole].object = NULL;
	m->count--;
	return object;
}

/*
 * Downwards from the last free slot f: f-1 .. 0, then cap-1 .. f+1. A removal moves only objects
 * that come behind the removed one in its run, and those have been met already; a run never reaches
 * over f. So each object is met once. *cursor: 0 start; 1+i: i was looked at last on the way to 0;
 * 1+cap+i: i was looked at last on the way from cap-1.
 */
void *
map_next(const struct map *m, size_t *cursor)
{
	size_t i;

	if (m->_cap == 0)
		return NULL;
	if (*cursor == 0) {
		for (i = m->_cap - 1; m->_slots[i].object != NULL; i--)
			;
		*cursor = 1 + i;
	}
	if (*cursor <= m->_cap) {
		for (i = *cursor - 1; i > 0; i--) {
			if (m->_slots[i - 1].object != NULL) {
				*cursor = i;
				return m->_slots[i - 1].object;
			}
		}
		*cursor = 1 + 2 * m->_cap;
	}
	i = *cursor - 1 - m->_cap;
	if (i == 0 || m->_slots[i - 1].object == NULL)
		return NULL;		/* f is reached; what was freed above it lies behind us */
	*cursor -= 1;
	return m->_slots[i - 1].object;
}
