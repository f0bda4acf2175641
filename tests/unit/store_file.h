/* The real store on a file in a directory of its own, and a tailnet's whole state as text. One
 * test program each. */
#ifndef TESTS_UNIT_STORE_FILE_H
#define TESTS_UNIT_STORE_FILE_H

#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

#include "coord/ipam.h"
#include "coord/tailnet_cluster.h"

#define FAKE_REAL_STORE
#include "coord/tailnet_route.h"
#include "fake_tailnet.h"

static char dir[64];

/* How changes ended, in that order. */
struct outcome {
	int n;
	enum err rc[16];
};

static inline void
on_outcome(void *arg, const struct tailnet_result *res)
{
	struct outcome *o = arg;

	o->rc[o->n++] = res->rc;
}

static inline int
set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/fairlead-store-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(fake_db_path, sizeof(fake_db_path), "%s/fairlead.db", dir);
	return 0;
}

static inline int
tear_down(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static inline int64_t
number(const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *q = NULL;
	int64_t v;

	assert_int_equal(sqlite3_open(fake_db_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(q), SQLITE_ROW);
	v = sqlite3_column_int64(q, 0);
	sqlite3_finalize(q);
	sqlite3_close(db);
	return v;
}

static inline void
execute(const char *sql)
{
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(fake_db_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* --- state as text ----------------------------------------------------------------------------- */

static inline void
dump_tags(struct buf *b, char *const *tags, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_printf(b, " %s", tags[i]);
}

static inline void
dump_node(struct buf *b, const struct node *n)
{
	char text[KEY_TEXT_MAX], ip[NET_TEXT_MAX];

	buf_printf(b, "node %d user %d %s %s", (int)n->id, (int)n->user_id, n->name,
	    n->is_name_given ? "given" : "-");
	buf_printf(b, " %s", machine_key_put(&n->machine_key, text));
	buf_printf(b, " %s", node_key_put(&n->node_key, text));
	buf_printf(b, " %s", disco_key_put(&n->disco_key, text));
	buf_printf(b, " %s", net_ip_put(&n->ip4, ip));
	buf_printf(b, " %s", net_ip_put(&n->ip6, ip));
	buf_printf(b, " %d %d %d%d %s %u %u %d %d", (int)n->created_unix_s, (int)n->key_expiry_unix_s,
	    n->is_ephemeral, n->is_authorized, n->authkey_id, n->home_derp, n->cap_version,
	    (int)n->last_seen_unix_s, n->is_online);
	buf_printf(b, " expiry %d%d", n->is_expiry_off, n->is_expiry_warned);
	dump_tags(b, n->tags, n->n_tags);
	for (unsigned i = 0; i < n->n_endpoints; i++)
		buf_printf(b, " %s/%u", net_addr_put(&n->endpoints[i].addr, ip), n->endpoints[i].type);
	buf_byte(b, ' ');
	route_list_put(b, n->approved, n->n_approved);
	for (unsigned i = 0; i < n->n_routes; i++)
		buf_printf(b, " %s%s", net_prefix_put(&n->routes[i].prefix, ip),
		    n->routes[i].is_primary ? "*" : "");
	buf_byte(b, ' ');
	buf_append(b, n->host->json->bytes, n->host->json->len);
	buf_byte(b, '\n');
}

static inline void
dump_key(struct buf *b, const struct authkey *k)
{
	char hex[2 * AUTHKEY_HASH_BYTES + 1], ip[NET_TEXT_MAX];

	buf_printf(b, "key %s %s user %d \"%s\" %d%d%d %d %d %d %d uses %u", k->id,
	    key_hex_put(k->secret_hash, AUTHKEY_HASH_BYTES, hex), (int)k->user_id, k->description,
	    k->is_reusable, k->is_ephemeral, k->is_preauthorized, (int)k->created_unix_s,
	    (int)k->expires_unix_s, (int)k->revoked_unix_s, (int)k->last_used_unix_s, k->uses);
	dump_tags(b, k->tags, k->n_tags);
	if (k->plan.name[0] != '\0') {
		buf_printf(b, " plan %s %s", k->plan.name, net_ip_put(&k->plan.ip4, ip));
		buf_printf(b, " %s", net_ip_put(&k->plan.ip6, ip));
	}
	buf_byte(b, '\n');
}

static inline void
dump_cred(struct buf *b, const struct cred *c)
{
	char hex[2 * CRED_HASH_BYTES + 1];

	buf_printf(b, "cred %s %s %s user %d role %d parent %s \"%s\" \"%s\" \"%s\" %d %d %d %d", c->id,
	    cred_kind_word(c->kind), key_hex_put(c->secret_hash, CRED_HASH_BYTES, hex), (int)c->user_id,
	    c->role, c->parent, c->name, c->description, c->scopes, (int)c->created_unix_s,
	    (int)c->expires_unix_s, (int)c->revoked_unix_s, (int)c->last_used_unix_s);
	dump_tags(b, c->tags, c->n_tags);
	buf_byte(b, '\n');
}

static inline void
dump_cluster(struct buf *b, const struct cluster *c)
{
	const struct net_prefix *all[CLUSTER_RANGES + CLUSTER_LAN_MAX];

	for (unsigned i = 0; i < CLUSTER_RANGES; i++)
		all[i] = &c->range[i];
	for (unsigned i = 0; i < c->n_lan; i++)
		all[CLUSTER_RANGES + i] = &c->lan[i];
	buf_printf(b, "cluster %s %s %s %d ", c->name, c->tag, c->key_id, (int)c->created_unix_s);
	cluster_prefixes_put(b, all, CLUSTER_RANGES + c->n_lan);
	buf_byte(b, '\n');
}

static inline int
compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The whole state in sorted lines, and the addresses that would come next; the caller's. */
static inline char *
dump(void)
{
	struct buf b = { 0 }, out = { 0 };
	char *lines[1000], *text, *save = NULL, ip[NET_TEXT_MAX];
	struct net_ip v4[40], v6[40];
	size_t at, n = 0;
	const struct node *node;
	const struct user *u;
	const struct authkey *k;
	const struct cred *c;
	const struct cluster *cluster;

	buf_printf(&b, "settings %d %d names held %zu\n", (int)fake.t->settings.devices_need_approval,
	    (int)fake.t->settings.key_days, fake.t->priv->names_held.count);
	for (at = 0; (c = map_next(&fake.t->creds, &at)) != NULL; )
		dump_cred(&b, c);
	for (at = 0; (cluster = map_next(&fake.t->clusters->by_name, &at)) != NULL; )
		dump_cluster(&b, cluster);
	for (at = 0; (node = map_next(&fake.t->nodes, &at)) != NULL; )
		dump_node(&b, node);
	for (at = 0; (k = map_next(&fake.t->authkeys, &at)) != NULL; )
		dump_key(&b, k);
	for (at = 0; (u = map_next(&fake.t->users, &at)) != NULL; )
		buf_printf(&b, "user %d %s \"%s\" %d %d nodes %u keys %u\n", (int)u->id, u->name,
		    u->display_name, u->role, (int)u->created_unix_s, u->n_nodes, u->n_keys);
	text = (char *)(uintptr_t)buf_cstr(&b);
	for (char *l = strtok_r(text, "\n", &save); l != NULL; l = strtok_r(NULL, "\n", &save))
		lines[n++] = l;
	qsort(lines, n, sizeof(lines[0]), compare_lines);
	for (size_t i = 0; i < n; i++)
		buf_printf(&out, "%s\n", lines[i]);
	for (size_t i = 0; i < COUNT_OF(v4); i++) {
		assert_int_equal(ipam_reserve(fake.t->ipam, fake.now, &v4[i], &v6[i], NULL), ERR_OK);
		buf_printf(&out, "%s ", net_ip_put(&v4[i], ip));
		buf_printf(&out, "%s\n", net_ip_put(&v6[i], ip));
	}
	for (size_t i = 0; i < COUNT_OF(v4); i++) {
		ipam_unreserve(fake.t->ipam, &v4[i]);
		ipam_unreserve(fake.t->ipam, &v6[i]);
	}
	text = obj_strdup(buf_cstr(&out));
	buf_fini(&b);
	buf_fini(&out);
	return text;
}

static inline bool
is_routing(void)
{
	struct node *n;
	size_t at = 0;

	while ((n = map_next(&fake.t->nodes, &at)) != NULL)
		if (n->_is_routing)
			return true;
	return false;
}

/* Stops, starts again on the same file, and compares. */
static inline void
assert_reload_equal(void)
{
	int64_t now = fake.now;
	char *before, *after;

	fake_commit();
	tailnet_due_run(fake.t);	/* as a start does */
	do
		fake_commit();
	while (is_routing());		/* changes of routes wait for one another */
	before = dump();
	fake_stop();
	fake_start_at = now;
	fake_start();
	fake_start_at = T0;
	after = dump();
	assert_string_equal(before, after);
	free(before);
	free(after);
}

static unsigned seed;

static inline int
chance(int n)
{
	return rand_r(&seed) % n;
}

static inline struct node *
some_node(void)
{
	struct node *n = NULL, *at_last = NULL;
	size_t at = 0;
	int skip = fake.t->nodes.count == 0 ? 0 : chance((int)fake.t->nodes.count);

	while (skip-- >= 0 && (n = map_next(&fake.t->nodes, &at)) != NULL)
		at_last = n;
	return at_last;
}

static inline void
change_soft(struct node *n)
{
	char host[256];

	snprintf(host, sizeof(host), "{\"Hostname\":\"h%d\",\"OS\":\"linux\",\"X\":[%d],\"RoutableIPs\":"
	    "[\"10.%d.0.0/16\",\"10.%d.0.0/16\"%s]}", chance(9), chance(99), chance(4), chance(4),
	    chance(4) == 0 ? ",\"0.0.0.0/0\",\"::/0\"" : "");
	hostinfo_drop(n->host);
	assert_int_equal(hostinfo_parse(host, strlen(host), &n->host, NULL), ERR_OK);
	memset(n->disco_key.b, chance(255), KEY_BYTES);
	free(n->endpoints);
	n->n_endpoints = (unsigned)chance(4);
	n->endpoints = obj_alloc(4 * sizeof(*n->endpoints));
	for (unsigned i = 0; i < n->n_endpoints; i++) {
		assert_int_equal(net_addr_parse(i == 1 ? "[2001:db8::1]:7" : "192.0.2.1:41641",
		    strlen(i == 1 ? "[2001:db8::1]:7" : "192.0.2.1:41641"), &n->endpoints[i].addr), ERR_OK);
		n->endpoints[i].type = (uint8_t)i;
	}
	n->home_derp = (uint32_t)chance(1000);
	n->is_online = chance(2) != 0;
	n->last_seen_unix_s = fake.now;
	tailnet_soft_dirty(fake.t, n);
	tailnet_route_advertised(fake.t, n);
	tailnet_node_hostname(fake.t, n);
}

/* One registration, waited for; the status of its answer. */
static inline int
register_once(int key, const char *auth)
{
	fake_register(&(struct fake_req){ .machine = key, .key = key, .auth = auth });
	fake_commit();
	return fake_reply()->status;
}

#endif
