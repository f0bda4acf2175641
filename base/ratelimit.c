/* Token buckets: a hash table of them, and a queue by last use. A bucket is named by the keyed
 * 64-bit hash of its key; nobody outside can make two keys meet. */
#include "base/ratelimit.h"

#include "base/list.h"
#include "base/map.h"
#include "base/obj.h"

#define RATELIMIT_MAGIC 0x7a7e11u

struct bucket {
	TAILQ_ENTRY(bucket) link;
	uint64_t hash;		/* of the key: this is the map's key */
	double tokens;		/* at time at_ms */
	int64_t at_ms;
};

struct ratelimit {
	uint32_t magic;
	double per_ms;
	double burst;
	size_t n_max;
	struct map by_hash;		/* owns the buckets */
	TAILQ_HEAD(bucket_list, bucket) by_use;	/* least recently used first */
};

struct ratelimit *
ratelimit_new(double per_s, double burst, size_t n_max)
{
	struct ratelimit *r = obj_alloc(sizeof(*r));

	ASSERT(per_s >= 0 && burst >= 0 && n_max > 0);
	r->magic = RATELIMIT_MAGIC;
	r->per_ms = per_s / 1000;
	r->burst = burst;
	r->n_max = n_max;
	MAP_INIT(&r->by_hash, struct bucket, hash);
	TAILQ_INIT(&r->by_use);
	return r;
}

void
ratelimit_free(struct ratelimit *r)
{
	struct bucket *b;

	if (r == NULL)
		return;
	OBJ_CHECK(r, RATELIMIT_MAGIC);
	while ((b = TAILQ_FIRST(&r->by_use)) != NULL) {
		TAILQ_REMOVE(&r->by_use, b, link);
		free(b);
	}
	map_fini(&r->by_hash);
	r->magic = 0;
	free(r);
}

static double
tokens_at(const struct ratelimit *r, const struct bucket *b, int64_t now_ms)
{
	double tokens = b->tokens;

	if (now_ms > b->at_ms)
		tokens += (double)(now_ms - b->at_ms) * r->per_ms;
	return tokens < r->burst ? tokens : r->burst;
}

/* A full bucket, in no list: a new one, or the one that nobody used for the longest time. */
static struct bucket *
bucket_new(struct ratelimit *r, uint64_t hash, int64_t now_ms)
{
	struct bucket *b;

	if (r->by_hash.count < r->n_max) {
		b = obj_alloc(sizeof(*b));
	} else {
		b = TAILQ_FIRST(&r->by_use);
		TAILQ_REMOVE(&r->by_use, b, link);
		map_remove(&r->by_hash, &b->hash);
	}
	b->hash = hash;
	b->tokens = r->burst;
	b->at_ms = now_ms;
	map_put(&r->by_hash, b);
	return b;
}

bool
ratelimit_take(struct ratelimit *r, const void *key, size_t n, int64_t now_ms)
{
	OBJ_CHECK(r, RATELIMIT_MAGIC);
	uint64_t hash = map_hash(key, n);
	struct bucket *b = map_find(&r->by_hash, &hash);

	if (b == NULL)
		b = bucket_new(r, hash, now_ms);
	else
		TAILQ_REMOVE(&r->by_use, b, link);
	TAILQ_INSERT_TAIL(&r->by_use, b, link);
	b->tokens = tokens_at(r, b, now_ms);
	if (now_ms > b->at_ms)
		b->at_ms = now_ms;
	if (b->tokens < 1)
		return false;
	b->tokens -= 1;
	return true;
}

bool
ratelimit_take_ip(struct ratelimit *r, const struct net_ip *ip, int64_t now_ms)
{
	struct net_ip source = net_ip_source(ip);

	return ratelimit_take(r, &source, sizeof(source), now_ms);
}
