/* Who a client is: its ClientInfo, admission, and the answer. */
#include <sodium.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/obj.h"
#include "base/rand.h"
#include "base/ratelimit.h"
#include "relay/derp_conn.h"
#include "relay/derp_frame.h"
#include "relay/derp_hello.h"
#include "relay/derp_mesh.h"
#include "relay/derp_watch.h"

static void
derp_conn_refused(struct derp_conn *c, const struct node_key *key, const char *why)
{
	const struct net_addr *peer = io_peer(c->io);
	char ip[NET_TEXT_MAX], node[8];

	metric_add(METRIC_DERP_REFUSED, 1);
	if (ratelimit_take_ip(c->dw->refusals, &peer->ip, worker_now_ms(c->dw->w)))
		log_info(LOG_RELAY, "client refused", "ip", net_addr_put(peer, ip),
		    "node", key_short(key->b, node), "why", why);
}

/* Has it proved the mesh key? */
static bool
derp_conn_is_mesh(struct derp_shared *shared, const struct derp_hello_info *info)
{
	uint8_t key[KEY_BYTES];
	bool is_mesh = info->has_mesh_key && derp_mesh_key(shared, key) &&
	    sodium_memcmp(key, info->mesh_key, KEY_BYTES) == 0;

	sodium_memzero(key, sizeof key);
	return is_mesh;
}

/* Into the table of routes; mesh peers need no admission. */
static enum err
derp_conn_join(struct derp_conn *c, const struct derp_hello_info *info)
{
	struct derp_shared *shared = c->dw->shared;
	struct derp_route_join join = {
		.key = info->key, .ref = c->ref, .addr = *io_peer(c->io),
		.must_be_admitted = shared->cfg->derp.verify_clients && !atomic_load(&shared->admits_all),
	};

	if (derp_conn_is_mesh(shared, info)) {
		c->is_mesh = true;
		join.must_be_admitted = false;
		join.flags |= DERP_FRAME_PRESENT_MESH;
	}
	if (info->is_prober)
		join.flags |= DERP_FRAME_PRESENT_PROBER;
	if (c->is_not_ideal)
		join.flags |= DERP_FRAME_PRESENT_NOT_IDEAL;
	if (join.flags == 0)
		join.flags = DERP_FRAME_PRESENT_REGULAR;
	return derp_route_add(shared->routes, &join, &c->entry);
}

enum err
derp_conn_hello(struct derp_conn *c, const uint8_t *payload, size_t n)
{
	struct derp_shared *shared = c->dw->shared;
	struct derp_hello_info info;
	uint8_t frame[DERP_HELLO_INFO_BYTES];
	char node[8], ip[NET_TEXT_MAX];
	enum err rc;

	derp_worker_touch(c->dw);
	if (c->dw->n_hellos >= DERP_WORKER_HELLOS_MAX)
		return ERR_AGAIN;
	c->dw->n_hellos++;
	if ((rc = derp_hello_open(payload, n, &shared->key, &info)) != ERR_OK)
		return rc;
	if (node_key_is_zero(&info.key)) {
		derp_conn_refused(c, &info.key, "its node key is zero");
		return ERR_DENIED;
	}
	if ((rc = derp_hello_info_put(&info.key, &shared->key, frame)) != ERR_OK)
		return rc;
	rc = derp_conn_join(c, &info);
	sodium_memzero(info.mesh_key, sizeof info.mesh_key);
	if (rc != ERR_OK) {
		derp_conn_refused(c, &info.key, "no node of ours has this key");
		return rc;
	}
	io_known(c->io);
	c->key = info.key;
	if (!c->is_mesh)
		c->quotas = derp_route_quota(shared->routes, c->entry);
	c->state = DERP_CONN_STEADY;
	c->begun_ms = worker_now_ms(c->dw->w);
	c->keepalive_ms = DERP_CONN_KEEPALIVE_MS +
	    (int64_t)rand_below(DERP_CONN_KEEPALIVE_SPREAD_MS + 1);
	c->due_ms = worker_now_ms(c->dw->w) + c->keepalive_ms;
	derp_conn_arm(c);
	metric_add(METRIC_DERP_ACCEPTS, 1);
	metric_add(METRIC_DERP_CONNS, 1);
	if (c->is_not_ideal)
		metric_add(METRIC_DERP_NOT_IDEAL, 1);
	log_debug(LOG_RELAY, "client up", "node", key_short(c->key.b, node),
	    "ip", net_addr_put(io_peer(c->io), ip), "tls", io_version(c->io));
	derp_conn_put_control(c, frame, sizeof frame);
	derp_watch_changed(shared, &c->key);
	return ERR_OK;
}
