/*
 * The one hash table: objects that carry their own key as a member of fixed length. Open
 * addressing, keyed hash (SipHash with a secret of this process), because strangers choose keys.
 * One thread at a time. Text keys: a zero-padded char array.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_slot;

struct map {
	struct map_slot *_slots;
	size_t count;		/* objects in the table */
	size_t _cap;
	size_t _key_offset;	/* of the key in the object */
	size_t _key_bytes;
};

/* An empty table for objects whose key of so many bytes lies at that offset. */
void map_init(struct map *m, size_t key_offset, size_t key_bytes);
#define MAP_INIT(m, type, member) \
	map_init(m, offsetof(type, member), sizeof(((type *)0)->member))
/* Frees the table, not the objects. */
void map_fini(struct map *m);

/* Borrowed object with this key, or NULL. */
void *map_find(const struct map *m, const void *key);
/* Puts the object in; returns the one with the same key that it replaced, or NULL. */
void *map_put(struct map *m, void *object);
/* Takes the object with this key out and returns it, or NULL. */
void *map_remove(struct map *m, const void *key);
/* Walk in no particular order: start with *cursor = 0; NULL at the end. The object just returned
 * may be removed, nothing else removed or added meanwhile; each object is met once. */
void *map_next(const struct map *m, size_t *cursor);

/* SipHash-2-4 of the bytes under this process's secret key. Any thread. */
uint64_t map_hash(const void *p, size_t n);

#endif
