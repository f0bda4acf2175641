/*
 * What a map request says of its node: soft state, published at once. A request that says nothing
 * new causes no change and no write; lite and streaming requests of one client arrive in any order,
 * and what is absent in one leaves the state as it is.
 */
#include <string.h>

#include "coord/session_state.h"
#include "coord/tailnet_route.h"

static bool
endpoints_eq(const struct node *n, const struct map_req *req)
{
	if (n->n_endpoints != req->n_endpoints)
		return false;
	for (unsigned i = 0; i < n->n_endpoints; i++) {
		const struct map_endpoint *a = &n->endpoints[i], *b = &req->endpoints[i];

		if (a->type != b->type || a->addr.port != b->addr.port ||
		    !net_ip_eq(&a->addr.ip, &b->addr.ip))
			return false;
	}
	return true;
}

/* *is_news: to be written, even if no peer is told. */
static uint32_t
apply_host(struct tailnet *t, struct node *n, struct map_req *req, bool *is_news)
{
	struct hostinfo *old = n->host, *host;
	uint32_t what = 0;

	if (req->host == NULL)
		return 0;
	host = hostinfo_merge_take(req->host, old);
	req->host = NULL;
	if (old != NULL && shbuf_eq(host->json, old->json)) {
		hostinfo_drop(host);
		return 0;
	}
	*is_news = true;
	if (!hostinfo_peer_eq(host, old))
		what |= CHANGE_WHOLE;
	/* 0 is "none found now": the last one known is where its peers best look for it. */
	if (host->has_netinfo && host->preferred_derp != 0 &&
	    host->preferred_derp != n->home_derp) {
		n->home_derp = host->preferred_derp;
		what |= CHANGE_HOME;
	}
	n->host = host;
	tailnet_route_advertised(t, n);
	if (old == NULL || strcmp(host->hostname, old->hostname) != 0)
		tailnet_node_hostname(t, n);
	hostinfo_drop(old);
	return what;
}

uint32_t
session_apply(struct tailnet *t, struct node *n, struct map_req *req)
{
	bool is_news = false;
	uint32_t what = apply_host(t, n, req, &is_news);

	if (req->has_endpoints && !endpoints_eq(n, req)) {
		free(n->endpoints);
		n->endpoints = req->endpoints;
		n->n_endpoints = req->n_endpoints;
		req->endpoints = NULL;
		req->n_endpoints = 0;
		what |= CHANGE_ENDPOINTS;
	}
	if (req->has_disco_key && !disco_key_is_zero(&req->disco_key) &&
	    !disco_key_eq(&req->disco_key, &n->disco_key)) {
		n->disco_key = req->disco_key;
		what |= CHANGE_DISCO;
	}
	if (req->version != n->cap_version) {
		n->cap_version = req->version;
		what |= CHANGE_WHOLE;
	}
	if (what != 0 || is_news)
		tailnet_soft_dirty(t, n);
	return what;
}
