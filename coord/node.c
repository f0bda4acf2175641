/* The node record's memory. */
#include "coord/node.h"

#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "coord/tag.h"

struct node *
node_new(void)
{
	struct node *n = obj_alloc(sizeof(*n));

	n->magic = NODE_MAGIC;
	return n;
}

void
node_fini(struct node *n)
{
	tag_list_free(n->tags, n->n_tags);
	free(n->endpoints);
	free(n->approved);
	free(n->routes);
	hostinfo_drop(n->host);
	n->tags = NULL;
	n->n_tags = 0;
	n->endpoints = NULL;
	n->n_endpoints = 0;
	n->approved = NULL;
	n->n_approved = 0;
	n->routes = NULL;
	n->n_routes = 0;
	n->host = NULL;
}

void
node_free(struct node *n)
{
	if (n == NULL)
		return;
	OBJ_CHECK(n, NODE_MAGIC);
	node_fini(n);
	n->magic = 0;
	free(n);
}

void
node_set_tags(struct node *n, const char *const *tags, unsigned n_tags)
{
	char **old = n->tags;
	unsigned n_old = n->n_tags;

	tag_list_copy(tags, n_tags, &n->tags, &n->n_tags);
	tag_list_free(old, n_old);
}

void
node_copy_soft(struct node *to, const struct node *from)
{
	struct hostinfo *old_host = to->host;

	to->host = from->host == NULL ? NULL : hostinfo_hold(from->host);
	hostinfo_drop(old_host);
	free(to->endpoints);
	to->endpoints = NULL;
	to->n_endpoints = from->n_endpoints;
	if (from->n_endpoints > 0) {
		to->endpoints = obj_alloc(from->n_endpoints * sizeof(*to->endpoints));
		memcpy(to->endpoints, from->endpoints, from->n_endpoints * sizeof(*to->endpoints));
	}
	free(to->routes);
	to->routes = NULL;
	to->n_routes = from->n_routes;
	if (from->n_routes > 0) {
		to->routes = obj_alloc(from->n_routes * sizeof(*to->routes));
		memcpy(to->routes, from->routes, from->n_routes * sizeof(*to->routes));
	}
	to->disco_key = from->disco_key;
	to->home_derp = from->home_derp;
	to->cap_version = from->cap_version;
	to->last_seen_unix_s = from->last_seen_unix_s;
	to->is_online = from->is_online;
}

uint64_t
node_kin(char *const *tags, unsigned n_tags)
{
	uint64_t kin = 0;

	for (unsigned i = 0; i < n_tags; i++)
		kin = map_hash(tags[i], strlen(tags[i])) ^ (kin << 1 | kin >> 63);
	return kin;
}
