/* Key -> connections and admission, in shards with a lock each. */
#include "relay/derp_route.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

#include "base/map.h"
#include "base/metrics.h"
#include "base/obj.h"

/* Many more than workers, so that two seldom meet. Whoever chooses keys to meet in one shard makes
 * locks wait, no more: the tables inside are keyed. */
#define SHARDS		64u
#define ROUTE_MAGIC	0x4f0e7ab1u

struct derp_route_entry {
	struct node_key key;
	bool is_admitted;
	atomic_uint n;			/* connections; written under the lock */
	unsigned cap;
	struct conn_ref active;
	struct conn_ref *refs;		/* n of them, in order of coming */
};

struct shard {
	alignas(64) pthread_mutex_t lock;
	struct map entries;		/* owns them; without connections only while admitted */
};

struct derp_route {
	uint32_t magic;
	struct shard shards[SHARDS];
};

struct derp_route *
derp_route_new(void)
{
	struct derp_route *rt = aligned_alloc(alignof(struct derp_route), sizeof *rt);

	ASSERT(rt != NULL);
	memset(rt, 0, sizeof *rt);
	rt->magic = ROUTE_MAGIC;
	for (unsigned i = 0; i < SHARDS; i++) {
		ASSERT(pthread_mutex_init(&rt->shards[i].lock, NULL) == 0);
		MAP_INIT(&rt->shards[i].entries, struct derp_route_entry, key);
	}
	return rt;
}

static void
entry_free(struct derp_route_entry *e)
{
	free(e->refs);
	free(e);
}

void
derp_route_free(struct derp_route *rt)
{
	if (rt == NULL)
		return;
	OBJ_CHECK(rt, ROUTE_MAGIC);
	for (unsigned i = 0; i < SHARDS; i++) {
		struct derp_route_entry *e;
		size_t cursor = 0;

		while ((e = map_next(&rt->shards[i].entries, &cursor)) != NULL) {
			ASSERT(e->n == 0);
			map_remove(&rt->shards[i].entries, &e->key);
			entry_free(e);
			cursor = 0;
		}
		map_fini(&rt->shards[i].entries);
		pthread_mutex_destroy(&rt->shards[i].lock);
	}
	rt->magic = 0;
	free(rt);
}

/* The key's shard, locked. */
static struct shard *
shard_lock(struct derp_route *rt, const uint8_t key[KEY_BYTES])
{
	struct shard *s = &rt->shards[(key[3] ^ key[17]) % SHARDS];

	pthread_mutex_lock(&s->lock);
	return s;
}

static void
shard_unlock(struct shard *s)
{
	pthread_mutex_unlock(&s->lock);
}

static struct derp_route_entry *
shard_entry(struct shard *s, const struct node_key *key)
{
	struct derp_route_entry *e = map_find(&s->entries, key);

	if (e == NULL) {
		e = obj_alloc(sizeof *e);
		e->key = *key;
		map_put(&s->entries, e);
	}
	return e;
}

static void
shard_release(struct shard *s, struct derp_route_entry *e)
{
	if (e->n > 0 || e->is_admitted)
		return;
	map_remove(&s->entries, &e->key);
	entry_free(e);
}

/* --- admission -------------------------------------------------------------------------------- */

void
derp_route_admit(struct derp_route *rt, const struct node_key *key)
{
	struct shard *s = shard_lock(rt, key->b);

	shard_entry(s, key)->is_admitted = true;
	shard_unlock(s);
}

size_t
derp_route_expel(struct derp_route *rt, const struct node_key *key, struct conn_ref **refs)
{
	struct shard *s = shard_lock(rt, key->b);
	struct derp_route_entry *e = map_find(&s->entries, key);
	size_t n = 0;

	*refs = NULL;
	if (e != NULL) {
		n = e->n;
		if (n > 0) {
			*refs = obj_alloc(n * sizeof **refs);
			memcpy(*refs, e->refs, n * sizeof **refs);
		}
		e->is_admitted = false;
		shard_release(s, e);
	}
	shard_unlock(s);
	return n;
}

bool
derp_route_is_admitted(struct derp_route *rt, const struct node_key *key)
{
	struct shard *s = shard_lock(rt, key->b);
	const struct derp_route_entry *e = map_find(&s->entries, key);
	bool is_admitted = e != NULL && e->is_admitted;

	shard_unlock(s);
	return is_admitted;
}

/* --- connections ------------------------------------------------------------------------------ */

/* How many connections share their key, given that n have it. */
static unsigned
count_dups(unsigned n)
{
	return n > 1 ? n : 0;
}

static void
entry_set_count(struct derp_route_entry *e, unsigned n)
{
	int64_t more = (int64_t)count_dups(n) - (int64_t)count_dups(e->n);

	if (more != 0)
		metric_add(METRIC_DERP_DUP_CONNS, more);
	atomic_store_explicit(&e->n, n, memory_order_release);
}

enum err
derp_route_add(struct derp_route *rt, const struct node_key *key, struct conn_ref ref,
	bool must_be_admitted, struct derp_route_entry **out)
{
	struct shard *s = shard_lock(rt, key->b);
	struct derp_route_entry *e = shard_entry(s, key);
	enum err rc = ERR_DENIED;

	if (must_be_admitted && !e->is_admitted) {
		shard_release(s, e);
		goto out;
	}
	if (e->n == e->cap) {
		e->cap = e->cap == 0 ? 1 : e->cap * 2;
		e->refs = obj_realloc(e->refs, e->cap * sizeof *e->refs);
	}
	e->refs[e->n] = ref;
	e->active = ref;
	entry_set_count(e, e->n + 1);
	*out = e;
	rc = ERR_OK;
out:
	shard_unlock(s);
	return rc;
}

bool
derp_route_remove(struct derp_route *rt, struct derp_route_entry *e, struct conn_ref ref)
{
	struct shard *s = shard_lock(rt, e->key.b);
	unsigned i = 0;
	bool is_last;

	while (i < e->n && !conn_ref_eq(e->refs[i], ref))
		i++;
	ASSERT(i < e->n);
	memmove(e->refs + i, e->refs + i + 1, (e->n - i - 1) * sizeof *e->refs);
	entry_set_count(e, e->n - 1);
	is_last = e->n == 0;
	if (!is_last && conn_ref_eq(e->active, ref))
		e->active = e->refs[e->n - 1];
	if (is_last)
		shard_release(s, e);
	shard_unlock(s);
	return is_last;
}

void
derp_route_note(struct derp_route *rt, struct derp_route_entry *e, struct conn_ref ref)
{
	struct shard *s;

	if (atomic_load_explicit(&e->n, memory_order_acquire) < 2)
		return;
	s = shard_lock(rt, e->key.b);
	e->active = ref;
	shard_unlock(s);
}

bool
derp_route_find(struct derp_route *rt, const uint8_t key[KEY_BYTES], struct conn_ref *out)
{
	struct shard *s = shard_lock(rt, key);
	const struct derp_route_entry *e = map_find(&s->entries, key);
	bool is_there = e != NULL && e->n > 0;

	if (is_there)
		*out = e->active;
	shard_unlock(s);
	return is_there;
}
