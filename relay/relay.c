/* The relay's public face: what the door, the coordinator and main call. */
#include "relay/relay.h"

#include <sodium.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/machine.h"
#include "base/metrics.h"
#include "base/obj.h"
#include "relay/derp_conn.h"
#include "relay/derp_mesh.h"
#include "relay/derp_route.h"
#include "relay/derp_worker.h"
#include "relay/stun.h"

#define RELAY_MAGIC 0x4e1a7000u
/* limits.relay_memory_bytes where it is 0: so much, or this part of the machine's or the container's memory. */
#define MEMORY_MAX_BYTES	(256u << 20)
#define MEMORY_PART		4
#define MEMORY_MIN_BYTES	(1u << 20)
/* New clients are turned away when less than this part of it is left. */
#define FULL_PART		6
#define FULL_SAY_MS		10000

struct relay {
	uint32_t magic;
	struct derp_shared shared;
	struct stun *stun;		/* NULL: not listening */
};

static size_t
memory_cap(const struct config *cfg)
{
	size_t part;

	if (cfg->limits.relay_memory_bytes != 0)
		return cfg->limits.relay_memory_bytes > MEMORY_MIN_BYTES ? cfg->limits.relay_memory_bytes :
		    MEMORY_MIN_BYTES;
	part = machine_memory_bytes("") / MEMORY_PART;
	if (part == 0 || part > MEMORY_MAX_BYTES)
		return MEMORY_MAX_BYTES;
	return part > MEMORY_MIN_BYTES ? part : MEMORY_MIN_BYTES;
}

enum err
relay_new(const struct config *cfg, struct worker_group *g, const struct private_key *key,
	struct relay **out)
{
	struct relay *r = obj_alloc(sizeof *r);

	ASSERT(sodium_init() >= 0);
	r->magic = RELAY_MAGIC;
	r->shared.cfg = cfg;
	r->shared.group = g;
	r->shared.key = *key;
	r->shared.routes = derp_route_new();
	derp_watch_list_init(&r->shared.watchers);
	atomic_init(&r->shared.n_remote, 0);
	r->shared.memory.cap_bytes = memory_cap(cfg);
	metric_add(METRIC_DERP_MEMORY_CAP, (int64_t)r->shared.memory.cap_bytes);
	atomic_init(&r->shared.admits_all, false);
	ASSERT(pthread_mutex_init(&r->shared.mesh_lock, NULL) == 0);
	private_key_public(key, r->shared.public_key);
	for (unsigned i = 0; i < worker_group_count(g); i++)
		r->shared.workers[i] = derp_worker_new(&r->shared, worker_group_at(g, i));
	*out = r;
	return ERR_OK;
}

void
relay_free(struct relay *r)
{
	if (r == NULL)
		return;
	relay_stun_close(r);
	derp_mesh_close(&r->shared);
	for (unsigned i = 0; i < WORKER_MAX; i++)
		derp_worker_free(r->shared.workers[i]);
	derp_route_free(r->shared.routes);
	derp_watch_list_fini(&r->shared.watchers);
	metric_add(METRIC_DERP_MEMORY_CAP, -(int64_t)r->shared.memory.cap_bytes);
	sodium_memzero(&r->shared.key, sizeof r->shared.key);
	sodium_memzero(r->shared.mesh_key, sizeof r->shared.mesh_key);
	pthread_mutex_destroy(&r->shared.mesh_lock);
	r->magic = 0;
	free(r);
}

void
relay_public_key(const struct relay *r, uint8_t out[KEY_BYTES])
{
	OBJ_CHECK(r, RELAY_MAGIC);
	memcpy(out, r->shared.public_key, KEY_BYTES);
}

struct worker_group *
relay_workers(struct relay *r)
{
	OBJ_CHECK(r, RELAY_MAGIC);
	return r->shared.group;
}

bool
relay_is_full(struct relay *r)
{
	struct derp_memory *m = &r->shared.memory;
	size_t used = atomic_load_explicit(&m->used_bytes, memory_order_relaxed);
	int64_t now_ms = clock_mono_ms(), said_ms = atomic_load(&m->said_ms);

	OBJ_CHECK(r, RELAY_MAGIC);
	if (used < m->cap_bytes - m->cap_bytes / FULL_PART)
		return false;
	metric_add(METRIC_DERP_FULL, 1);
	if ((said_ms == 0 || now_ms - said_ms >= FULL_SAY_MS) &&
	    atomic_compare_exchange_strong(&m->said_ms, &said_ms, now_ms))
		log_warn(LOG_RELAY, "the relay's memory is full: packets are dropped, new clients turned away",
		    "bytes", LOG_NUM(used), "limit", "limits.relay_memory_bytes");
	return true;
}

void
relay_attach_take(struct relay *r, struct io *io, unsigned how)
{
	OBJ_CHECK(r, RELAY_MAGIC);
	derp_conn_attach_take(r->shared.workers[io_worker(io)->index], io, how);
}

enum err
relay_mesh_open(struct relay *r, struct err_text *why)
{
	OBJ_CHECK(r, RELAY_MAGIC);
	return derp_mesh_open(&r->shared, why);
}

/* --- admission -------------------------------------------------------------------------------- */

void
relay_admit(struct relay *r, const struct node_key *key)
{
	OBJ_CHECK(r, RELAY_MAGIC);
	derp_route_admit(r->shared.routes, key);
}

bool
relay_has(struct relay *r, const struct node_key *key)
{
	struct conn_ref ref;
	bool is_link;

	OBJ_CHECK(r, RELAY_MAGIC);
	return derp_route_way(r->shared.routes, key->b, &ref, &is_link);
}

void
relay_expel(struct relay *r, const struct node_key *key)
{
	struct conn_ref *refs;
	size_t n;

	OBJ_CHECK(r, RELAY_MAGIC);
	n = derp_route_expel(r->shared.routes, key, &refs);
	derp_conn_close_all(&r->shared, refs, n, "its node was removed");
	free(refs);
}

void
relay_quota_take(struct relay *r, const struct node_key *key, struct quota_set *quotas)
{
	struct conn_ref *refs;
	size_t n;

	OBJ_CHECK(r, RELAY_MAGIC);
	n = derp_route_quota_take(r->shared.routes, key, quotas, &refs);
	derp_conn_quota_all(&r->shared, refs, n);
	free(refs);
}

void
relay_retire(struct relay *r, const struct node_key *key)
{
	struct conn_ref *refs;

	OBJ_CHECK(r, RELAY_MAGIC);
	(void)derp_route_expel(r->shared.routes, key, &refs);
	free(refs);
}

void
relay_admit_all(struct relay *r, bool is_on)
{
	OBJ_CHECK(r, RELAY_MAGIC);
	atomic_store(&r->shared.admits_all, is_on);
}

void
relay_expel_strangers(struct relay *r)
{
	struct conn_ref *refs;
	size_t n;

	OBJ_CHECK(r, RELAY_MAGIC);
	n = derp_route_strangers(r->shared.routes, &refs);
	derp_conn_close_all(&r->shared, refs, n, "its node is not known");
	free(refs);
}

void
relay_mesh_set(struct relay *r, const uint8_t key[KEY_BYTES], const char *const *targets, unsigned n)
{
	OBJ_CHECK(r, RELAY_MAGIC);
	derp_mesh_set(&r->shared, key, targets, n);
}

/* --- STUN ------------------------------------------------------------------------------------- */

enum err
relay_stun_listen(struct relay *r, struct err_text *why)
{
	OBJ_CHECK(r, RELAY_MAGIC);
	return stun_listen(&r->shared.cfg->listen_stun, worker_group_at(r->shared.group, 0),
	    &r->stun, why);
}

uint16_t
relay_stun_port(const struct relay *r)
{
	OBJ_CHECK(r, RELAY_MAGIC);
	return stun_port(r->stun);
}

unsigned
relay_stun_sockets(const struct relay *r, int *out, unsigned max)
{
	OBJ_CHECK(r, RELAY_MAGIC);
	return stun_sockets(r->stun, out, max);
}

void
relay_stun_close(struct relay *r)
{
	OBJ_CHECK(r, RELAY_MAGIC);
	/* Nothing to do as a rule; but where boot failed before the workers started, their hooks are
	 * still to be run, and we are what they hook. */
	worker_group_stop(r->shared.group);
	stun_close(r->stun);
	r->stun = NULL;
}
