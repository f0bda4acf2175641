/*
 * For the tests of map distribution: nodes and users out of nothing, messages decoded as the client
 * decodes them (one text from all frames, by libzstd's streaming decoder), and a client that
 * applies messages by the rules of the reference client (control/controlclient/map.go
 * updatePeersStateFromResponse).
 */
#ifndef TESTS_MAP_FIXTURE_H
#define TESTS_MAP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <zstd.h>

#include "coord/map_full.h"
#include "coord/map_world.h"

#define FX_NOW 1800000000	/* unix seconds */

static inline struct shbuf *
fx_shbuf(const char *s)
{
	return shbuf_new(s, strlen(s));
}

static inline struct user *
fx_user(struct map *users, int64_t id, const char *name)
{
	struct user *u = obj_alloc(sizeof(*u));

	u->magic = USER_MAGIC;
	u->id = id;
	snprintf(u->name, sizeof(u->name), "%s", name);
	assert_null(map_put(users, u));
	return u;
}

static inline struct hostinfo *
fx_host(const char *peer_json)
{
	struct hostinfo *h = obj_alloc(sizeof(*h));

	atomic_init(&h->refs, 1);
	snprintf(h->hostname, sizeof(h->hostname), "h");
	h->json = fx_shbuf(peer_json);
	h->peer_json = fx_shbuf(peer_json);
	return h;
}

static inline void
fx_host_free(struct hostinfo *h)
{
	shbuf_drop(h->json);
	shbuf_drop(h->peer_json);
	free(h);
}

static inline void
fx_tags(struct node *n, const char *const *tags, unsigned n_tags)
{
	for (unsigned i = 0; i < n->n_tags; i++)
		free(n->tags[i]);
	free(n->tags);
	n->tags = n_tags > 0 ? obj_alloc(n_tags * sizeof(*n->tags)) : NULL;
	n->n_tags = n_tags;
	for (unsigned i = 0; i < n_tags; i++)
		n->tags[i] = obj_strdup(tags[i]);
}

static inline struct node *
fx_node(int64_t id, int64_t user_id)
{
	struct node *n = obj_alloc(sizeof(*n));

	n->magic = NODE_MAGIC;
	n->id = id;
	n->user_id = user_id;
	snprintf(n->name, sizeof(n->name), "n%lld", (long long)id);
	memset(&n->node_key, 0x11, sizeof(n->node_key));
	memset(&n->machine_key, 0x22, sizeof(n->machine_key));
	memset(&n->disco_key, 0x33, sizeof(n->disco_key));
	for (unsigned i = 0; i < 8; i++) {
		uint8_t b = (uint8_t)((uint64_t)id >> (8 * i));

		n->node_key.b[i] = n->machine_key.b[i] = n->disco_key.b[i] = b;
	}
	n->ip4 = (struct net_ip){ .family = 4, .b = { 100, 64, (uint8_t)(id >> 8), (uint8_t)id } };
	n->ip6 = (struct net_ip){ .family = 6, .b = { 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0 } };
	n->ip6.b[14] = (uint8_t)(id >> 8);
	n->ip6.b[15] = (uint8_t)id;
	n->created_unix_s = FX_NOW - 1000;
	n->is_authorized = true;
	n->cap_version = 145;
	n->host = fx_host("{\"OS\":\"linux\",\"Hostname\":\"h\","
	    "\"Services\":[{\"Proto\":\"peerapi4\",\"Port\":1}]}");
	return n;
}

static inline void
fx_endpoint(struct node *n, uint16_t port)
{
	free(n->endpoints);
	n->endpoints = obj_alloc(sizeof(*n->endpoints));
	n->n_endpoints = 1;
	n->endpoints[0].addr = (struct net_addr){
		.ip = { .family = 4, .b = { 192, 0, 2, 1 } }, .port = port };
}

/* "10.0.0.0/8" is approved and advertised, "10.0.0.0/8!" is so with another node as its primary. */
static inline void
fx_routes(struct node *n, const char *const *routes, unsigned n_routes)
{
	free(n->routes);
	n->routes = n_routes > 0 ? obj_alloc(n_routes * sizeof(*n->routes)) : NULL;
	n->n_routes = n_routes;
	for (unsigned i = 0; i < n_routes; i++) {
		size_t len = strcspn(routes[i], "!");

		n->routes[i].is_primary = routes[i][len] == 0;
		assert_int_equal(net_prefix_parse(routes[i], len, &n->routes[i].prefix), ERR_OK);
	}
}

static inline void
fx_node_free(struct node *n)
{
	fx_tags(n, NULL, 0);
	free(n->routes);
	free(n->endpoints);
	fx_host_free(n->host);
	free(n);
}

/* All frames as one text. */
static inline void
fx_text(struct shbuf *const *segs, unsigned n, struct buf *out)
{
	ZSTD_DStream *z = ZSTD_createDStream();

	for (unsigned i = 0; i < n; i++) {
		ZSTD_inBuffer in = { segs[i]->bytes, segs[i]->len, 0 };
		size_t left = 1;

		while (in.pos < in.size || left > 0) {
			ZSTD_outBuffer to = { buf_reserve(out, 1 << 17), 1 << 17, 0 };

			left = ZSTD_decompressStream(z, &to, &in);
			assert_false(ZSTD_isError(left));
			out->len += to.pos;
			if (left == 0 && in.pos == in.size)
				break;
			assert_true(to.pos > 0 || in.pos < in.size);
		}
	}
	ZSTD_freeDStream(z);
}

/* The message in the frames; they stay the caller's. */
static inline json_t *
fx_json(struct shbuf *const *segs, unsigned n)
{
	struct buf text = { 0 };
	json_error_t e;

	fx_text(segs, n, &text);
	json_t *v = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, &e);
	if (v == NULL)
		fail_msg("not JSON: %s at %d: %.*s", e.text, e.position, (int)text.len,
		    (const char *)text.p);
	buf_fini(&text);
	return v;
}

/* The same, and drops the frames. NULL: there are none. */
static inline json_t *
fx_json_take(struct map_segs *s)
{
	json_t *v = s->n > 0 ? fx_json(s->v, s->n) : NULL;

	map_full_segs_fini(s);
	return v;
}

/*
 * A client: what it knows after the messages so far. Before anything else it makes patches of whole nodes that
 * it has already (patchifyPeersChanged), so that a node which is removed and changed in one message is lost.
 */
struct fx_client {
	json_t *peers;		/* id as text -> Node */
	json_t *profiles;	/* id as text -> UserProfile */
	json_t *rest;		/* Node, DERPMap, DNSConfig, Domain, PacketFilters, SSHPolicy, Health */
};

static inline const char *
fx_id(const json_t *v)
{
	static char text[32];

	snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(v));
	return text;
}

static inline void
fx_client_init(struct fx_client *c)
{
	c->peers = json_object();
	c->profiles = json_object();
	c->rest = json_object();
}

static inline void
fx_client_fini(struct fx_client *c)
{
	json_decref(c->peers);
	json_decref(c->profiles);
	json_decref(c->rest);
}

static inline void
fx_client_patch(json_t *peer, const json_t *patch)
{
	static const struct { const char *from, *to; } names[] = {
		{ "DERPRegion", "HomeDERP" }, { "Endpoints", "Endpoints" }, { "Key", "Key" },
		{ "DiscoKey", "DiscoKey" }, { "Online", "Online" }, { "LastSeen", "LastSeen" },
		{ "KeyExpiry", "KeyExpiry" },
	};
	unsigned n_known = 1;

	if (peer == NULL)
		return;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		json_t *v = json_object_get(patch, names[i].from);

		if (v != NULL && ++n_known)
			json_object_set(peer, names[i].to, v);
	}
	assert_int_equal(n_known, json_object_size(patch));
}

/* Filters by name, as clients keep them (control/controlclient/map.go): "*" first, then null deletes and others
 * replace. */
static inline void
fx_filters_apply(json_t *named, json_t *filters)
{
	const char *name;
	json_t *v;

	if (json_object_get(filters, "*") != NULL) {
		assert_true(json_is_null(json_object_get(filters, "*")));
		json_object_clear(named);
	}
	json_object_foreach(filters, name, v) {
		if (json_is_null(v))
			json_object_del(named, name);
		else
			json_object_set(named, name, v);
	}
}


static inline int
fx_text_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The rules in a text that does not depend on their order. */
static inline void
fx_rules_put(struct buf *b, json_t *rules)
{
	size_t n = json_array_size(rules), i;
	char **texts = obj_alloc((n + 1) * sizeof(*texts));
	json_t *v;

	json_array_foreach(rules, i, v)
		texts[i] = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS);
	qsort(texts, n, sizeof(*texts), fx_text_cmp);
	for (i = 0; i < n; i++) {
		buf_str(b, texts[i]);
		buf_byte(b, '\n');
		free(texts[i]);
	}
	free(texts);
}

/* Do the filters of these names have the rules of want? */
static inline void
fx_filters_check(json_t *named, json_t *want)
{
	struct buf a = { 0 }, b = { 0 };
	json_t *all = json_array(), *v;
	const char *name;

	json_object_foreach(named, name, v)
		if (!json_is_null(v))
			json_array_extend(all, v);
	fx_rules_put(&a, all);
	fx_rules_put(&b, want);
	assert_string_equal(buf_cstr(&a), buf_cstr(&b));
	json_decref(all);
	buf_fini(&a);
	buf_fini(&b);
}


/* Takes msg. */
static inline void
fx_client_apply(struct fx_client *c, json_t *msg)
{
	static const char *const plain[] = { "Node", "DERPMap", "DNSConfig", "Domain",
		"SSHPolicy", "Health" };
	json_t *peers = json_object_get(msg, "Peers"), *v;
	size_t i;

	for (i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if ((v = json_object_get(msg, plain[i])) != NULL)
			json_object_set(c->rest, plain[i], v);
	if (json_object_get(c->rest, "PacketFilters") == NULL)
		json_object_set_new(c->rest, "PacketFilters", json_object());
	fx_filters_apply(json_object_get(c->rest, "PacketFilters"), json_object_get(msg, "PacketFilters"));
	json_array_foreach(json_object_get(msg, "UserProfiles"), i, v)
		json_object_set(c->profiles, fx_id(json_object_get(v, "ID")), v);
	if (json_array_size(peers) > 0) {
		json_object_clear(c->peers);
		json_array_foreach(peers, i, v)
			json_object_set(c->peers, fx_id(json_object_get(v, "ID")), v);
		goto out;
	}
	json_array_foreach(json_object_get(msg, "PeersRemoved"), i, v) {
		json_t *changed;
		size_t k;

		json_array_foreach(json_object_get(msg, "PeersChanged"), k, changed)
			assert_false(json_equal(json_object_get(changed, "ID"), v));
		json_object_del(c->peers, fx_id(v));
	}
	json_array_foreach(json_object_get(msg, "PeersChanged"), i, v)
		json_object_set(c->peers, fx_id(json_object_get(v, "ID")), v);
	json_array_foreach(json_object_get(msg, "PeersChangedPatch"), i, v)
		fx_client_patch(json_object_get(c->peers, fx_id(json_object_get(v, "NodeID"))), v);
out:
	json_decref(msg);
}

/* What absent and zero members mean alike. */
static inline void
fx_client_normalise(struct fx_client *c)
{
	const char *id, *zero = "0001-01-01T00:00:00Z";
	json_t *peer;

	json_object_foreach(c->peers, id, peer) {
		const char *expiry = json_string_value(json_object_get(peer, "KeyExpiry"));

		if (expiry != NULL && strcmp(expiry, zero) == 0)
			json_object_del(peer, "KeyExpiry");
		if (json_is_true(json_object_get(peer, "Online")))
			json_object_del(peer, "LastSeen");
		if (json_array_size(json_object_get(peer, "Endpoints")) == 0)
			json_object_del(peer, "Endpoints");
	}
}

#endif
