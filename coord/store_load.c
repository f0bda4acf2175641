/* Rows -> mutations -> memory. */
#include "coord/store_load.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "coord/ipam.h"
#include "coord/mutation.h"
#include "coord/route.h"
#include "coord/store_cluster.h"
#include "coord/store.h"
#include "coord/store_region.h"
#include "coord/tag.h"
#include "coord/tailnet.h"

static enum err
read_failed(sqlite3 *db, struct err_text *why)
{
	return err_say(why, ERR_IO, "the database cannot be used: %s", sqlite3_errmsg(db));
}

/* A start writes nothing unless it must: it has to work on a full disk. */
enum err
store_load_tailnet_id(struct store *s, const char *name, int64_t *id, struct err_text *why)
{
	sqlite3 *db = store_db(s);
	sqlite3_stmt *add = NULL, *find = NULL;
	enum err rc = ERR_IO;
	int step;

	if (sqlite3_prepare_v2(db, "INSERT INTO tailnets (name, created_unix_s) VALUES (?, ?)", -1,
	    &add, NULL) != SQLITE_OK ||
	    sqlite3_prepare_v2(db, "SELECT id FROM tailnets WHERE name = ?", -1, &find, NULL) !=
	    SQLITE_OK ||
	    sqlite3_bind_text(add, 1, name, -1, SQLITE_STATIC) != SQLITE_OK ||
	    sqlite3_bind_int64(add, 2, clock_wall_s()) != SQLITE_OK ||
	    sqlite3_bind_text(find, 1, name, -1, SQLITE_STATIC) != SQLITE_OK)
		goto out;
	if ((step = sqlite3_step(find)) == SQLITE_ROW)
		*id = sqlite3_column_int64(find, 0);
	else if (step == SQLITE_DONE && sqlite3_step(add) == SQLITE_DONE)
		*id = sqlite3_last_insert_rowid(db);
	else
		goto out;
	rc = ERR_OK;
out:
	if (rc != ERR_OK)
		read_failed(db, why);
	sqlite3_finalize(add);
	sqlite3_finalize(find);
	return rc;
}

/* Columns of the row, one after the other. */
struct row {
	struct tailnet *t;
	sqlite3_stmt *q;
	int column;
};

static int64_t
next_int(struct row *r)
{
	return sqlite3_column_int64(r->q, r->column++);
}

static const char *
next_text(struct row *r)
{
	const unsigned char *s = sqlite3_column_text(r->q, r->column++);

	return s == NULL ? "" : (const char *)s;
}

static void
next_chars(struct row *r, char *out, size_t n)
{
	memset(out, 0, n);
	snprintf(out, n, "%s", next_text(r));
}

/* 32 bytes, by a CHECK of the schema; anything else would be left zero. */
static void
next_key(struct row *r, uint8_t out[KEY_BYTES])
{
	const void *p = sqlite3_column_blob(r->q, r->column);

	if (sqlite3_column_bytes(r->q, r->column) == KEY_BYTES)
		memcpy(out, p, KEY_BYTES);
	r->column++;
}

static void
next_ip(struct row *r, struct net_ip *out)
{
	const char *s = next_text(r);

	if (net_ip_parse(s, strlen(s), out) != ERR_OK)
		log_warn(LOG_STORE, "stored address is none", "ip", s);
}

static void
next_tags(struct row *r, char ***tags, unsigned *n)
{
	const char *s = next_text(r);

	if (tag_list_parse(s, tags, n) != ERR_OK)
		log_warn(LOG_STORE, "stored tags cannot be read", "tags", s);
}

/* A transaction of one mutation, applied by txn_finish_take: it is committed already. */
static struct mutation *
row_mutation(struct txn **x, struct tailnet *t, enum mutation_kind kind)
{
	*x = txn_new(t, NULL, NULL);
	return txn_add(*x, kind);
}

static void
load_user(struct row *r)
{
	struct txn *x;
	struct user *u = &row_mutation(&x, r->t, MUTATION_USER_ADD)->u.user;
	const char *word;

	u->id = next_int(r);
	next_chars(r, u->name, sizeof(u->name));
	next_chars(r, u->display_name, sizeof(u->display_name));
	word = next_text(r);
	if (!user_role_parse(word, &u->role)) {
		log_warn(LOG_STORE, "stored role is unknown: now a member", "user", u->name,
		    "role", word);
		u->role = USER_MEMBER;
	}
	u->created_unix_s = next_int(r);
	txn_finish_take(x);
}

static void
load_key(struct row *r)
{
	struct txn *x;
	struct authkey *k = &row_mutation(&x, r->t, MUTATION_KEY_ADD)->u.key;

	next_chars(r, k->id, sizeof(k->id));
	k->user_id = next_int(r);
	next_key(r, k->secret_hash);
	next_chars(r, k->description, sizeof(k->description));
	next_tags(r, &k->tags, &k->n_tags);
	k->is_reusable = next_int(r) != 0;
	k->is_ephemeral = next_int(r) != 0;
	k->is_preauthorized = next_int(r) != 0;
	k->created_unix_s = next_int(r);
	k->expires_unix_s = next_int(r);
	k->revoked_unix_s = next_int(r);
	k->last_used_unix_s = next_int(r);
	k->uses = (unsigned)next_int(r);
	txn_finish_take(x);
}

/* One of ["192.0.2.1:41641/2", …]. */
static bool
endpoint_parse(const char *text, struct map_endpoint *out)
{
	const char *slash = strrchr(text, '/');

	if (slash == NULL || net_addr_parse(text, (size_t)(slash - text), &out->addr) != ERR_OK)
		return false;
	out->type = (uint8_t)strtoul(slash + 1, NULL, 10);
	return true;
}

static void
next_endpoints(struct row *r, struct node *n)
{
	const char *s = next_text(r);
	json_t *root = NULL, *v;
	size_t i;

	if (json_parse(s, strlen(s), &root, NULL) == ERR_OK && json_array_size(root) > 0) {
		n->endpoints = obj_alloc(json_array_size(root) * sizeof(*n->endpoints));
		json_array_foreach(root, i, v) {
			if (json_is_string(v) &&
			    endpoint_parse(json_string_value(v), &n->endpoints[n->n_endpoints]))
				n->n_endpoints++;
		}
	}
	json_decref(root);
}

static void
next_hostinfo(struct row *r, struct node *n)
{
	const char *s = next_text(r);
	struct err_text why = { "" };

	if (hostinfo_parse(s, strlen(s), &n->host, &why) == ERR_OK)
		return;
	log_warn(LOG_STORE, "stored Hostinfo cannot be read: left out until the client sends it",
	    "node", n->name, "err", why.s);
	ASSERT(hostinfo_parse("{}", 2, &n->host, NULL) == ERR_OK);
}

static void
next_routes(struct row *r, const struct node *n, struct route_list *out)
{
	const char *s = next_text(r);

	if (s[0] != '\0' && route_list_parse(s, out) != ERR_OK)
		log_warn(LOG_STORE, "stored routes cannot be read", "node", n->name, "routes", s);
}

static void
next_approved(struct row *r, struct node *n)
{
	struct route_list l = { .n = 0 };

	next_routes(r, n, &l);
	n->approved = l.v;
	n->n_approved = l.n;
}

/* That it was primary for, in routes: tailnet_route_load looks at them. */
static void
next_primaries(struct row *r, struct node *n)
{
	struct route_list l = { .n = 0 };

	next_routes(r, n, &l);
	if (l.n > 0)
		n->routes = obj_alloc(l.n * sizeof(*n->routes));
	for (unsigned i = 0; i < l.n; i++)
		n->routes[i] = (struct node_route){ .prefix = l.v[i], .is_primary = true };
	n->n_routes = l.n;
	route_list_fini(&l);
}

static void
load_node(struct row *r)
{
	struct txn *x;
	struct node *n = &row_mutation(&x, r->t, MUTATION_NODE_ADD)->u.node;

	n->id = next_int(r);
	n->user_id = next_int(r);
	next_key(r, n->machine_key.b);
	next_key(r, n->node_key.b);
	next_chars(r, n->name, sizeof(n->name));
	n->is_name_given = next_int(r) != 0;
	next_ip(r, &n->ip4);
	next_ip(r, &n->ip6);
	next_tags(r, &n->tags, &n->n_tags);
	n->created_unix_s = next_int(r);
	n->key_expiry_unix_s = next_int(r);
	n->is_ephemeral = next_int(r) != 0;
	n->is_authorized = next_int(r) != 0;
	next_chars(r, n->authkey_id, sizeof(n->authkey_id));
	n->is_expiry_off = next_int(r) != 0;
	n->is_expiry_warned = next_int(r) != 0;
	next_approved(r, n);
	next_hostinfo(r, n);
	next_key(r, n->disco_key.b);
	next_endpoints(r, n);
	n->home_derp = (uint32_t)next_int(r);
	n->cap_version = (uint32_t)next_int(r);
	n->last_seen_unix_s = next_int(r);
	n->is_online = next_int(r) != 0;
	next_primaries(r, n);
	txn_finish_take(x);
}

static void
load_cred(struct row *r)
{
	struct txn *x;
	struct cred *c = &row_mutation(&x, r->t, MUTATION_CRED_ADD)->u.cred;
	const char *word;

	next_chars(r, c->id, sizeof(c->id));
	word = next_text(r);
	if (!cred_kind_parse(word, &c->kind)) {
		log_warn(LOG_STORE, "stored credential is of an unknown kind: left out", "kind", word);
		txn_free(x);
		return;
	}
	c->user_id = next_int(r);
	word = next_text(r);
	if (!user_role_parse(word, &c->role))
		c->role = USER_MEMBER;
	next_chars(r, c->parent, sizeof(c->parent));
	next_key(r, c->secret_hash);
	next_chars(r, c->name, sizeof(c->name));
	next_chars(r, c->description, sizeof(c->description));
	c->scopes = obj_strdup(next_text(r));
	next_tags(r, &c->tags, &c->n_tags);
	c->created_unix_s = next_int(r);
	c->expires_unix_s = next_int(r);
	c->revoked_unix_s = next_int(r);
	c->last_used_unix_s = next_int(r);
	txn_finish_take(x);
}

static void
load_address(struct row *r)
{
	struct net_ip ip = { 0 };

	next_ip(r, &ip);
	if (ip.family != 0)
		ipam_release(r->t->ipam, &ip, next_int(r));
}

static void
load_plan(struct row *r)
{
	struct txn *x;
	struct authkey *k = &row_mutation(&x, r->t, MUTATION_KEY_PLAN)->u.key;

	next_chars(r, k->id, sizeof(k->id));
	next_chars(r, k->plan.name, sizeof(k->plan.name));
	next_ip(r, &k->plan.ip4);
	next_ip(r, &k->plan.ip6);
	txn_finish_take(x);
}

static void
load_dns(struct row *r)
{
	struct txn *x;
	struct mutation *m = row_mutation(&x, r->t, MUTATION_DNS);

	m->u.dns.json = obj_strdup(next_text(r));
	txn_finish_take(x);
}

static void
load_setting(struct row *r)
{
	struct txn *x;
	struct mutation *m = row_mutation(&x, r->t, MUTATION_SETTING);
	const char *name = next_text(r), *value;

	m->u.setting.name = tailnet_setting_name(name);
	value = next_text(r);
	m->u.setting.value = strtoll(value, NULL, 10);
	if (m->u.setting.name != NULL) {
		txn_finish_take(x);
	} else {
		log_warn(LOG_STORE, "stored setting is unknown: left out", "setting", name);
		txn_free(x);
	}
}

static void
next_prefix(struct row *r, struct net_prefix *out)
{
	const char *s = next_text(r);

	if (s[0] != '\0' && net_prefix_parse(s, strlen(s), out) != ERR_OK)
		log_warn(LOG_STORE, "stored prefix is none", "prefix", s);
}

static void
load_cluster(struct row *r)
{
	struct txn *x;
	struct cluster *c = &row_mutation(&x, r->t, MUTATION_CLUSTER_ADD)->u.cluster;

	next_chars(r, c->name, sizeof(c->name));
	next_chars(r, c->tag, sizeof(c->tag));
	for (int i = 0; i < CLUSTER_RANGES; i++)
		next_prefix(r, &c->range[i]);
	store_cluster_lan_parse(next_text(r), c);
	next_chars(r, c->key_id, sizeof(c->key_id));
	c->created_unix_s = next_int(r);
	txn_finish_take(x);
}

static void
load_region(struct row *row)
{
	struct txn *x;
	struct region *r = row_mutation(&x, row->t, MUTATION_REGION_ADD)->u.region = obj_alloc(sizeof(*r));

	r->id = (unsigned)next_int(row);
	next_chars(row, r->code, sizeof(r->code));
	next_chars(row, r->name, sizeof(r->name));
	next_key(row, r->mesh_key);
	store_region_nodes_parse(next_text(row), r);
	r->created_unix_s = next_int(row);
	txn_finish_take(x);
}

static void
load_relay(struct row *row)
{
	struct txn *x;
	struct region_relay *r = row_mutation(&x, row->t, MUTATION_RELAY_ADD)->u.relay = obj_alloc(sizeof(*r));

	_Static_assert(SECRET_HASH_BYTES == KEY_BYTES, "next_key reads both");
	next_chars(row, r->name, sizeof(r->name));
	next_chars(row, r->id, sizeof(r->id));
	next_key(row, r->secret_hash);
	r->region_id = (unsigned)next_int(row);
	store_region_node_parse(next_text(row), r);
	r->is_announced = next_int(row) != 0 && r->node.host[0] != '\0';
	next_chars(row, r->version, sizeof(r->version));
	r->created_unix_s = next_int(row);
	r->last_seen_unix_s = next_int(row);
	txn_finish_take(x);
}

/* The newest comes first. */
static void
load_quota(struct row *row)
{
	struct txn *x;
	struct quota_rule r;
	struct mutation *m = row_mutation(&x, row->t, MUTATION_QUOTA_SET);
	const char *subject = next_text(row);

	if (quota_rule_parse(subject, &r) != ERR_OK) {
		log_warn(LOG_STORE, "a stored quota cannot be read: left out", "quota", subject);
		txn_free(x);
		return;
	}
	m->u.quota = r;
	m->u.quota.bytes_per_s = next_int(row);
	txn_finish_take(x);
}

static struct policy_stored
policy_text(void *arg)
{
	struct row *r = arg;
	const void *p = sqlite3_column_blob(r->q, r->column);

	return (struct policy_stored){ p, (size_t)sqlite3_column_bytes(r->q, r->column) };
}

static void
load_policy(struct row *r)
{
	struct policy_version v = { .version = next_int(r) };

	v.made_unix_s = next_int(r);
	next_chars(r, v.author, sizeof(v.author));
	next_chars(r, v.comment, sizeof(v.comment));
	v.confirm_by_unix_s = next_int(r);
	v.reverts_to = next_int(r);
	tailnet_policy_load(r->t, &v, policy_text, r);
}

/* In this order: later rows name earlier ones. */
static const struct {
	void (*load)(struct row *r);
	const char *sql;
} tables[] = {
	{ load_setting, "SELECT name, value FROM settings WHERE tailnet_id = ? AND name <> '"
	    TAILNET_SETTING_DNS "'" },
	{ load_dns, "SELECT value FROM settings WHERE tailnet_id = ? AND name = '" TAILNET_SETTING_DNS
	    "'" },
	{ load_user, "SELECT id, name, display_name, role, created_unix_s FROM users"
	    " WHERE tailnet_id = ? ORDER BY id" },
	{ load_key, "SELECT id, user_id, secret_hash, description, tags, is_reusable, is_ephemeral,"
	    " is_preauthorized, created_unix_s, expires_unix_s, revoked_unix_s, last_used_unix_s,"
	    " uses FROM auth_keys WHERE tailnet_id = ?" },
	{ load_plan, "SELECT key_id, name, ip4, ip6 FROM node_plans WHERE tailnet_id = ?" },
	{ load_node, "SELECT id, user_id, machine_key, node_key, name, is_name_given, ip4, ip6,"
	    " tags, created_unix_s, key_expiry_unix_s, is_ephemeral, is_authorized, authkey_id,"
	    " is_expiry_off, is_expiry_warned, approved_routes, hostinfo, disco_key, endpoints, home_derp,"
	    " cap_version, last_seen_unix_s, is_online, primary_routes"
	    " FROM nodes LEFT JOIN node_state ON node_id = id WHERE tailnet_id = ? ORDER BY id" },
	{ load_policy, "SELECT version, made_unix_s, author, comment, confirm_by_unix_s, reverts_to, text"
	    " FROM policies WHERE tailnet_id = ? ORDER BY version DESC" },
	{ load_cluster, "SELECT name, tag, pod4, pod6, service4, service6, lan, key_id, created_unix_s "
	  "FROM clusters"
	    " WHERE tailnet_id = ?" },
	{ load_region, "SELECT id, code, name, mesh_key, nodes, created_unix_s FROM regions"
	    " WHERE tailnet_id = ?" },
	{ load_relay, "SELECT name, id, secret_hash, region_id, node, is_announced, version, created_unix_s,"
	    " last_seen_unix_s FROM relays WHERE tailnet_id = ?" },
	{ load_quota, "SELECT subject, bytes_per_s FROM quotas WHERE tailnet_id = ?" },
	{ load_cred, "SELECT id, kind, user_id, role, parent, secret_hash, name, description, scopes,"
	    " tags, created_unix_s, expires_unix_s, revoked_unix_s, last_used_unix_s FROM credentials"
	    " WHERE tailnet_id = ?" },
	{ load_address, "SELECT ip, released_unix_s FROM address_history WHERE tailnet_id = ?"
	    " ORDER BY id" },
};

enum err
store_load_tailnet(struct store *s, struct tailnet *t, struct err_text *why)
{
	sqlite3 *db = store_db(s);
	enum err rc = ERR_OK;

	for (size_t i = 0; rc == ERR_OK && i < COUNT_OF(tables); i++) {
		sqlite3_stmt *q = NULL;
		int step = SQLITE_ERROR;

		if (sqlite3_prepare_v2(db, tables[i].sql, -1, &q, NULL) == SQLITE_OK &&
		    sqlite3_bind_int64(q, 1, t->id) == SQLITE_OK) {
			while ((step = sqlite3_step(q)) == SQLITE_ROW)
				tables[i].load(&(struct row){ .t = t, .q = q });
		}
		if (step != SQLITE_DONE)
			rc = read_failed(db, why);
		sqlite3_finalize(q);
	}
	return rc;
}
