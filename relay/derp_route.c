/* Key -> connections, links and admission, in shards with a lock each. */
#include "relay/derp_route.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/metrics.h"
#include "base/obj.h"
#include "relay/derp_frame.h"

/* Many more than workers, so that two seldom meet. Whoever chooses keys to meet in one shard makes
 * locks wait, no more: the tables inside are keyed. */
#define SHARDS		64u
#define ROUTE_MAGIC	0x4f0e7ab1u

struct member {
	struct conn_ref ref;
	struct net_addr addr;
	uint8_t flags;
};

struct derp_route_entry {
	struct node_key key;
	bool is_admitted;
	atomic_uint n;			/* connections; written under the lock */
	unsigned cap;
	unsigned active;		/* index of the member, if n > 0 */
	unsigned n_links;
	struct member *members;		/* n of them, in order of coming */
	struct conn_ref *links;		/* n_links of them, in order of knowing the key */
	struct quota_set *quotas;	/* held; NULL: none */
};

struct shard {
	alignas(64) pthread_mutex_t lock;
	struct map entries;		/* owns them; without connections only while admitted or linked */
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
	quota_set_drop(e->quotas);
	free(e->members);
	free(e->links);
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
			ASSERT(e->n == 0 && e->n_links == 0);
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
	if (e->n > 0 || e->n_links > 0 || e->is_admitted)
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

/* A copy of the entry's connections; e may be NULL. */
static size_t
entry_conns(const struct derp_route_entry *e, struct conn_ref **refs)
{
	size_t n = e != NULL ? e->n : 0;

	*refs = n > 0 ? obj_alloc(n * sizeof **refs) : NULL;
	for (size_t i = 0; i < n; i++)
		(*refs)[i] = e->members[i].ref;
	return n;
}

size_t
derp_route_quota_take(struct derp_route *rt, const struct node_key *key, struct quota_set *quotas,
	struct conn_ref **refs)
{
	struct shard *s = shard_lock(rt, key->b);
	struct derp_route_entry *e = map_find(&s->entries, key);
	size_t n = entry_conns(e, refs);

	if (e != NULL && e->is_admitted) {
		quota_set_drop(e->quotas);
		e->quotas = quotas;
	} else {
		quota_set_drop(quotas);
	}
	shard_unlock(s);
	return n;
}

struct quota_set *
derp_route_quota(struct derp_route *rt, struct derp_route_entry *e)
{
	struct shard *s = shard_lock(rt, e->key.b);
	struct quota_set *q = quota_set_hold(e->quotas);

	shard_unlock(s);
	return q;
}

size_t
derp_route_expel(struct derp_route *rt, const struct node_key *key, struct conn_ref **refs)
{
	struct shard *s = shard_lock(rt, key->b);
	struct derp_route_entry *e = map_find(&s->entries, key);
	size_t n = entry_conns(e, refs);

	if (e != NULL) {
		e->is_admitted = false;
		quota_set_drop(e->quotas);
		e->quotas = NULL;
		shard_release(s, e);
	}
	shard_unlock(s);
	return n;
}

size_t
derp_route_conns(struct derp_route *rt, const struct node_key *key, struct conn_ref **refs)
{
	struct shard *s = shard_lock(rt, key->b);
	size_t n = entry_conns(map_find(&s->entries, key), refs);

	shard_unlock(s);
	return n;
}

size_t
derp_route_strangers(struct derp_route *rt, struct conn_ref **refs)
{
	struct buf found = { .len = 0 };
	size_t n;

	for (unsigned i = 0; i < SHARDS; i++) {
		struct derp_route_entry *e;
		size_t cursor = 0;

		pthread_mutex_lock(&rt->shards[i].lock);
		while ((e = map_next(&rt->shards[i].entries, &cursor)) != NULL)
			for (unsigned k = 0; !e->is_admitted && k < e->n; k++)
				if ((e->members[k].flags & DERP_FRAME_PRESENT_MESH) == 0)
					buf_append(&found, &e->members[k].ref, sizeof e->members[k].ref);
		pthread_mutex_unlock(&rt->shards[i].lock);
	}
	n = found.len / sizeof **refs;
	*refs = (struct conn_ref *)(void *)found.p;
	return n;
}

/* --- counts ----------------------------------------------------------------------------------- */

/* Changes the numbers of connections and links, and the metrics made of them. */
static void
entry_set(struct derp_route_entry *e, unsigned n, unsigned n_links)
{
	const struct {
		enum metric m;
		int64_t before, after;
	} counts[] = {
		{ METRIC_DERP_CLIENTS_LOCAL, e->n > 0, n > 0 },
		{ METRIC_DERP_CLIENTS_REMOTE, e->n == 0 && e->n_links > 0, n == 0 && n_links > 0 },
		{ METRIC_DERP_CLIENTS_TOTAL, e->n + e->n_links > 0, n + n_links > 0 },
		{ METRIC_DERP_DUP_KEYS, e->n > 1, n > 1 },
		{ METRIC_DERP_DUP_CONNS, e->n > 1 ? e->n : 0, n > 1 ? n : 0 },
		{ METRIC_DERP_DUP_TOTAL, 0, n > e->n && n > 1 },
		{ METRIC_DERP_MULTI_CREATED, 0, e->n_links == 1 && n_links == 2 },
		{ METRIC_DERP_MULTI_DELETED, 0, e->n_links == 2 && n_links == 1 },
	};

	for (size_t i = 0; i < COUNT_OF(counts); i++) {
		if (counts[i].after != counts[i].before)
			metric_add(counts[i].m, counts[i].after - counts[i].before);
	}
	atomic_store_explicit(&e->n, n, memory_order_release);
	e->n_links = n_links;
}

static enum derp_route_left
entry_left(const struct derp_route_entry *e)
{
	if (e->n > 0)
		return DERP_ROUTE_HERE;
	return e->n_links > 0 ? DERP_ROUTE_ELSEWHERE : DERP_ROUTE_NOWHERE;
}

/* --- connections ------------------------------------------------------------------------------ */

enum err
derp_route_add(struct derp_route *rt, const struct derp_route_join *join,
	struct derp_route_entry **out)
{
	struct shard *s = shard_lock(rt, join->key.b);
	struct derp_route_entry *e = shard_entry(s, &join->key);
	enum err rc = ERR_DENIED;

	if (join->must_be_admitted && !e->is_admitted) {
		shard_release(s, e);
		goto out;
	}
	if (e->n == e->cap) {
		e->cap = e->cap == 0 ? 1 : e->cap * 2;
		e->members = obj_realloc(e->members, e->cap * sizeof *e->members);
	}
	e->active = e->n;
	e->members[e->n] = (struct member){
		.ref = join->ref, .addr = join->addr, .flags = join->flags,
	};
	entry_set(e, e->n + 1, e->n_links);
	*out = e;
	rc = ERR_OK;
out:
	shard_unlock(s);
	return rc;
}

/* The member's place; e->n: it is none. */
static unsigned
entry_index(const struct derp_route_entry *e, struct conn_ref ref)
{
	unsigned i = 0;

	while (i < e->n && !conn_ref_eq(e->members[i].ref, ref))
		i++;
	return i;
}

enum derp_route_left
derp_route_remove(struct derp_route *rt, struct derp_route_entry *e, struct conn_ref ref)
{
	struct shard *s = shard_lock(rt, e->key.b);
	unsigned i = entry_index(e, ref);
	enum derp_route_left left;

	ASSERT(i < e->n);
	memmove(e->members + i, e->members + i + 1, (e->n - i - 1) * sizeof *e->members);
	entry_set(e, e->n - 1, e->n_links);
	if (e->active > i)
		e->active--;
	else if (e->active == i && e->n > 0)
		e->active = e->n - 1;
	left = entry_left(e);
	shard_release(s, e);
	shard_unlock(s);
	return left;
}

void
derp_route_note(struct derp_route *rt, struct derp_route_entry *e, struct conn_ref ref)
{
	struct shard *s;
	unsigned i;

	if (atomic_load_explicit(&e->n, memory_order_acquire) < 2)
		return;
	s = shard_lock(rt, e->key.b);
	if ((i = entry_index(e, ref)) < e->n)
		e->active = i;
	shard_unlock(s);
}

bool
derp_route_way(struct derp_route *rt, const uint8_t key[KEY_BYTES], struct conn_ref *out,
	bool *is_link)
{
	struct shard *s = shard_lock(rt, key);
	const struct derp_route_entry *e = map_find(&s->entries, key);
	enum derp_route_left left = e != NULL ? entry_left(e) : DERP_ROUTE_NOWHERE;

	*is_link = left == DERP_ROUTE_ELSEWHERE;
	if (left == DERP_ROUTE_HERE)
		*out = e->members[e->active].ref;
	else if (left == DERP_ROUTE_ELSEWHERE)
		*out = e->links[0];
	shard_unlock(s);
	return left != DERP_ROUTE_NOWHERE;
}

bool
derp_route_find(struct derp_route *rt, const uint8_t key[KEY_BYTES], struct conn_ref *out)
{
	struct conn_ref ref;
	bool is_link, is_there = derp_route_way(rt, key, &ref, &is_link) && !is_link;

	if (is_there)
		*out = ref;
	return is_there;
}

bool
derp_route_present(struct derp_route *rt, const struct node_key *key, struct net_addr *addr,
	uint8_t *flags)
{
	struct shard *s = shard_lock(rt, key->b);
	const struct derp_route_entry *e = map_find(&s->entries, key);
	bool is_there = e != NULL && e->n > 0;

	if (is_there) {
		*addr = e->members[e->active].addr;
		*flags = e->members[e->active].flags;
	}
	shard_unlock(s);
	return is_there;
}

void
derp_route_each(struct derp_route *rt, void (*fn)(void *arg, const struct node_key *key), void *arg)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		struct shard *s = &rt->shards[i];
		const struct derp_route_entry *e;
		size_t cursor = 0;

		pthread_mutex_lock(&s->lock);
		while ((e = map_next(&s->entries, &cursor)) != NULL) {
			if (e->n > 0)
				fn(arg, &e->key);
		}
		shard_unlock(s);
	}
}

/* --- links ------------------------------------------------------------------------------------ */

static unsigned
entry_link(const struct derp_route_entry *e, struct conn_ref link)
{
	unsigned i = 0;

	while (i < e->n_links && !conn_ref_eq(e->links[i], link))
		i++;
	return i;
}

void
derp_route_link_add(struct derp_route *rt, const struct node_key *key, struct conn_ref link)
{
	struct shard *s = shard_lock(rt, key->b);
	struct derp_route_entry *e = shard_entry(s, key);

	if (entry_link(e, link) == e->n_links) {
		e->links = obj_realloc(e->links, (e->n_links + 1) * sizeof *e->links);
		e->links[e->n_links] = link;
		entry_set(e, e->n, e->n_links + 1);
	}
	shard_unlock(s);
}

enum derp_route_left
derp_route_link_remove(struct derp_route *rt, const struct node_key *key, struct conn_ref link)
{
	struct shard *s = shard_lock(rt, key->b);
	struct derp_route_entry *e = map_find(&s->entries, key);
	enum derp_route_left left = DERP_ROUTE_HERE;
	unsigned i;

	if (e != NULL && (i = entry_link(e, link)) < e->n_links) {
		memmove(e->links + i, e->links + i + 1, (e->n_links - i - 1) * sizeof *e->links);
		entry_set(e, e->n, e->n_links - 1);
		left = entry_left(e);
		shard_release(s, e);
	}
	shard_unlock(s);
	return left;
}

bool
derp_route_has_link(struct derp_route *rt, const uint8_t key[KEY_BYTES])
{
	struct shard *s = shard_lock(rt, key);
	const struct derp_route_entry *e = map_find(&s->entries, key);
	bool has_link = e != NULL && e->n_links > 0;

	shard_unlock(s);
	return has_link;
}
