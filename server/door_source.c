/*
 * Counts by source address, in shards so that workers rarely meet. An entry lives as long as its
 * count is not zero, so the table is bounded by the number of connections.
 */
#include "server/door_source.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "base/map.h"
#include "base/obj.h"

#define SOURCE_SHARDS		16
#define SOURCE_MAGIC		0x50c7ab1eu

struct source_entry {
	struct net_ip ip;
	unsigned count;
};

struct source_shard {
	pthread_mutex_t lock;
	struct map entries;		/* struct source_entry by ip, owned */
};

struct door_source {
	uint32_t magic;
	struct source_shard shards[SOURCE_SHARDS];
};

struct door_source *
door_source_new(void)
{
	struct door_source *s = obj_alloc(sizeof(*s));

	s->magic = SOURCE_MAGIC;
	for (size_t i = 0; i < SOURCE_SHARDS; i++) {
		ASSERT(pthread_mutex_init(&s->shards[i].lock, NULL) == 0);
		MAP_INIT(&s->shards[i].entries, struct source_entry, ip);
	}
	return s;
}

void
door_source_free(struct door_source *s)
{
	if (s == NULL)
		return;
	OBJ_CHECK(s, SOURCE_MAGIC);
	for (size_t i = 0; i < SOURCE_SHARDS; i++) {
		struct source_entry *e;

		for (size_t at = 0; (e = map_next(&s->shards[i].entries, &at)) != NULL;)
			free(e);
		map_fini(&s->shards[i].entries);
		pthread_mutex_destroy(&s->shards[i].lock);
	}
	s->magic = 0;
	free(s);
}

static struct source_shard *
source_shard(struct door_source *s, const struct net_ip *key)
{
	OBJ_CHECK(s, SOURCE_MAGIC);
	return &s->shards[map_hash(key, sizeof(*key)) % SOURCE_SHARDS];
}

bool
door_source_add(struct door_source *s, const struct net_ip *ip, unsigned limit)
{
	struct net_ip key = net_ip_source(ip);
	struct source_shard *shard = source_shard(s, &key);
	bool is_taken = false;

	pthread_mutex_lock(&shard->lock);
	struct source_entry *e = map_find(&shard->entries, &key);
	if (e == NULL && limit > 0) {
		e = obj_alloc(sizeof(*e));
		e->ip = key;
		(void)map_put(&shard->entries, e);
	}
	if (e != NULL && e->count < limit) {
		e->count++;
		is_taken = true;
	}
	pthread_mutex_unlock(&shard->lock);
	return is_taken;
}

void
door_source_drop(struct door_source *s, const struct net_ip *ip)
{
	struct net_ip key = net_ip_source(ip);
	struct source_shard *shard = source_shard(s, &key);

	pthread_mutex_lock(&shard->lock);
	struct source_entry *e = map_find(&shard->entries, &key);
	ASSERT(e != NULL && e->count > 0);
	if (--e->count == 0) {
		(void)map_remove(&shard->entries, &key);
		free(e);
	}
	pthread_mutex_unlock(&shard->lock);
}
