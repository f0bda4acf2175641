/* Audit records: their texts. */
#include "coord/audit.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "coord/cluster_overlap.h"
#include "coord/mutation.h"
#include "coord/route.h"
#include "coord/tailnet_login.h"
#include "coord/tailnet_ssh.h"
#include "coord/tag.h"

/* A record about the object that target, a format, names. */
PRINTF_LIKE(4, 5) static struct audit *
record_add(struct txn *x, const struct actor *by, const char *what, const char *target, ...)
{
	struct audit *a = &txn_add(x, MUTATION_AUDIT)->u.audit;
	va_list ap;

	va_start(ap, target);
	vsnprintf(a->target, sizeof(a->target), target, ap);
	va_end(ap);
	snprintf(a->actor, sizeof(a->actor), "%s", by->name);
	if (by->from.ip.family == 0)
		memcpy(a->source, "local", sizeof("local"));
	else
		net_ip_put(&by->from.ip, a->source);
	a->what = what;
	return a;
}

/* A text is one object: what is written between these two. b is empty before and afterwards. */
static void
text_open(struct json_writer *w, struct buf *b)
{
	json_w_init(w, b);
	json_w_obj_open(w, NULL);
}

static char *
text_take(struct json_writer *w, struct buf *b)
{
	char *text;

	json_w_obj_close(w);
	text = obj_strdup(buf_cstr(b));
	buf_fini(b);
	return text;
}

static char *
node_text(const struct node *n, uint32_t groups)
{
	struct buf b = { 0 };
	struct json_writer w;
	struct buf tags = { 0 }, routes = { 0 };
	char text[KEY_TEXT_MAX];

	_Static_assert(KEY_TEXT_MAX >= NET_TEXT_MAX, "one buffer for both");
	if (n == NULL)
		return NULL;
	text_open(&w, &b);
	if (groups == NODE_GROUP_ALL)
		json_w_str(&w, "machineKey", machine_key_put(&n->machine_key, text));
	if (groups & NODE_GROUP_IP) {
		json_w_str(&w, "ip4", net_ip_put(&n->ip4, text));
		json_w_str(&w, "ip6", net_ip_put(&n->ip6, text));
	}
	if (groups & NODE_GROUP_KEY)
		json_w_str(&w, "nodeKey", node_key_put(&n->node_key, text));
	if (groups & NODE_GROUP_NAME) {
		json_w_str(&w, "name", n->name);
		json_w_bool(&w, "isNameGiven", n->is_name_given);
	}
	if (groups & NODE_GROUP_OWNER) {
		json_w_int(&w, "user", n->user_id);
		tag_list_put(&tags, n->tags, n->n_tags);
		json_w_raw(&w, "tags", tags.p, tags.len);
	}
	if (groups & NODE_GROUP_EXPIRY) {
		json_w_time(&w, "keyExpiry", n->key_expiry_unix_s);
		json_w_bool(&w, "isExpiryOff", n->is_expiry_off);
	}
	if (groups & NODE_GROUP_JOIN) {
		json_w_bool(&w, "isEphemeral", n->is_ephemeral);
		json_w_bool(&w, "isAuthorized", n->is_authorized);
		json_w_str(&w, "authKey", n->authkey_id);
	}
	if (groups & NODE_GROUP_ROUTES) {
		route_list_put(&routes, n->approved, n->n_approved);
		json_w_raw(&w, "approvedRoutes", routes.p, routes.len);
	}
	buf_fini(&tags);
	buf_fini(&routes);
	return text_take(&w, &b);
}

void
audit_node(struct txn *x, const struct actor *by, const char *what, const struct node *before,
	const struct node *after, uint32_t groups)
{
	struct audit *a = record_add(x, by, what,
	    "node %lld", (long long)(before != NULL ? before : after)->id);

	a->before = node_text(before, groups);
	a->after = node_text(after, groups);
}

static char *
user_text(const struct user *u)
{
	struct buf b = { 0 };
	struct json_writer w;

	if (u == NULL)
		return NULL;
	text_open(&w, &b);
	json_w_str(&w, "name", u->name);
	json_w_str(&w, "displayName", u->display_name);
	json_w_str(&w, "role", user_role_word(u->role));
	return text_take(&w, &b);
}

void
audit_user(struct txn *x, const struct actor *by, const char *what, const struct user *before,
	const struct user *after)
{
	struct audit *a = record_add(x, by, what,
	    "user %lld", (long long)(before != NULL ? before : after)->id);

	a->before = user_text(before);
	a->after = user_text(after);
}

static char *
key_text(const struct authkey *k)
{
	struct buf b = { 0 }, tags = { 0 };
	struct json_writer w;
	char ip[NET_TEXT_MAX];

	if (k == NULL)
		return NULL;
	text_open(&w, &b);
	json_w_int(&w, "user", k->user_id);
	json_w_str(&w, "description", k->description);
	tag_list_put(&tags, k->tags, k->n_tags);
	json_w_raw(&w, "tags", tags.p, tags.len);
	json_w_bool(&w, "isReusable", k->is_reusable);
	json_w_bool(&w, "isEphemeral", k->is_ephemeral);
	json_w_bool(&w, "isPreauthorized", k->is_preauthorized);
	json_w_time(&w, "expires", k->expires_unix_s);
	json_w_time(&w, "revoked", k->revoked_unix_s);
	json_w_int(&w, "uses", k->uses);
	if (k->plan.name[0] != '\0') {
		json_w_str(&w, "nodeName", k->plan.name);
		json_w_str(&w, "nodeIp4", net_ip_put(&k->plan.ip4, ip));
		json_w_str(&w, "nodeIp6", net_ip_put(&k->plan.ip6, ip));
	}
	buf_fini(&tags);
	return text_take(&w, &b);
}

void
audit_key(struct txn *x, const struct actor *by, const char *what, const struct authkey *before,
	const struct authkey *after)
{
	struct audit *a = record_add(x, by, what, "key %s", (before != NULL ? before : after)->id);

	a->before = key_text(before);
	a->after = key_text(after);
}

static char *
cred_text(const struct cred *c)
{
	struct buf b = { 0 }, tags = { 0 };
	struct json_writer w;

	if (c == NULL)
		return NULL;
	text_open(&w, &b);
	json_w_str(&w, "kind", cred_kind_word(c->kind));
	if (c->user_id != 0)
		json_w_int(&w, "user", c->user_id);
	else
		json_w_str(&w, "role", user_role_word(c->role));
	json_w_str(&w, "description", c->description);
	json_w_str(&w, "scopes", c->scopes);
	tag_list_put(&tags, c->tags, c->n_tags);
	json_w_raw(&w, "tags", tags.p, tags.len);
	json_w_time(&w, "expires", c->expires_unix_s);
	json_w_time(&w, "revoked", c->revoked_unix_s);
	buf_fini(&tags);
	return text_take(&w, &b);
}

void
audit_cred(struct txn *x, const struct actor *by, const char *what, const struct cred *before,
	const struct cred *after)
{
	struct audit *a = record_add(x, by, what,
	    "credential %s", (before != NULL ? before : after)->id);

	a->before = cred_text(before);
	a->after = cred_text(after);
}

void
audit_login(struct txn *x, const struct actor *by, const char *what, const struct login *l)
{
	struct audit *a = record_add(x, by, what, "login %.24s", l->id);
	struct buf b = { 0 };
	struct json_writer w;
	char text[KEY_TEXT_MAX], ip[NET_TEXT_MAX];

	text_open(&w, &b);
	json_w_str(&w, "hostname", l->req->host->hostname);
	json_w_str(&w, "os", l->req->host->os);
	json_w_str(&w, "address", net_ip_put(&l->from.addr.ip, ip));
	json_w_str(&w, "machineKey", machine_key_put(&l->from.machine, text));
	a->before = text_take(&w, &b);
}

/* A node by number and, as long as it is there, by name. */
static void
put_ssh_node(struct json_writer *w, const struct tailnet *t, int64_t id, const char *name)
{
	const struct node *n = map_find(&t->nodes, &id);

	json_w_obj_open(w, name);
	json_w_int(w, "id", id);
	json_w_str(w, "name", n != NULL ? n->name : "");
	json_w_obj_close(w);
}

static char *
ssh_text(const struct audit_ssh *s)
{
	struct buf b = { 0 };
	struct json_writer w;

	text_open(&w, &b);
	put_ssh_node(&w, s->t, s->who->src_id, "source");
	put_ssh_node(&w, s->t, s->who->dst_id, "destination");
	json_w_str(&w, "localUser", s->who->user);
	if (s->approved_by != NULL) {
		json_w_str(&w, "approvedBy", s->approved_by);
		json_w_time(&w, "approved", s->approved_unix_s);
	}
	return text_take(&w, &b);
}

void
audit_ssh_decision(struct txn *x, const struct actor *by, const char *what, const char *check_id,
	const struct audit_ssh *s)
{
	struct audit *a = record_add(x, by, what, "ssh %.24s", check_id);

	a->after = ssh_text(s);
}

void
audit_ssh_use(struct txn *x, const struct actor *by, const struct audit_ssh *s)
{
	struct audit *a = record_add(x, by, "ssh.use", "node %lld", (long long)s->who->dst_id);

	a->after = ssh_text(s);
}

static char *
settings_text(const struct tailnet_settings *s)
{
	struct buf b = { 0 };
	struct json_writer w;

	text_open(&w, &b);
#define X(member, min, max, initial, text) json_w_int(&w, #member, s->member);
	TAILNET_SETTINGS(X)
#undef X
	return text_take(&w, &b);
}

void
audit_settings(struct txn *x, const struct actor *by, const struct tailnet_settings *before,
	const struct tailnet_settings *after)
{
	struct audit *a = record_add(x, by, "settings.change", "settings");

	a->before = settings_text(before);
	a->after = settings_text(after);
}

void
audit_dns(struct txn *x, const struct actor *by, char *before_taken, char *after_taken)
{
	struct audit *a = record_add(x, by, "dns.change", "dns");

	a->before = before_taken;
	a->after = after_taken;
}

static char *
cluster_text(const struct cluster *c)
{
	struct buf b = { 0 };
	struct json_writer w;

	if (c == NULL)
		return NULL;
	text_open(&w, &b);
	json_w_str(&w, "tag", c->tag);
	json_w_prefixes(&w, "ranges", c->range, CLUSTER_RANGES);
	json_w_prefixes(&w, "lan", c->lan, c->n_lan);
	json_w_str(&w, "authKey", c->key_id);
	return text_take(&w, &b);
}

void
audit_cluster(struct txn *x, const struct actor *by, const char *what, const struct cluster *before,
	const struct cluster *after)
{
	struct audit *a = record_add(x, by, what,
	    "cluster %s", (before != NULL ? before : after)->name);

	a->before = cluster_text(before);
	a->after = cluster_text(after);
}

static char *
conflict_text(const struct cluster_conflict *c)
{
	struct buf b = { 0 };
	struct json_writer w;

	if (c == NULL)
		return NULL;
	text_open(&w, &b);
	json_w_arr_open(&w, "clusters");
	json_w_str(&w, NULL, c->a);
	json_w_str(&w, NULL, c->b);
	json_w_arr_close(&w);
	json_w_prefixes(&w, "prefixes", c->prefixes, c->n_prefixes);
	json_w_arr_open(&w, "nodes");
	for (unsigned i = 0; i < c->n_nodes; i++)
		json_w_int(&w, NULL, c->nodes[i]);
	json_w_arr_close(&w);
	return text_take(&w, &b);
}

void
audit_conflict(struct txn *x, const struct actor *by, const struct cluster_conflict *before,
	const struct cluster_conflict *after)
{
	struct audit *a = record_add(x, by, after != NULL ? "cluster.conflict" : "cluster.conflict_end",
	    "cluster %s", (before != NULL ? before : after)->a);

	a->before = conflict_text(before);
	a->after = conflict_text(after);
}

static char *
region_text(const struct region *r)
{
	struct buf b = { 0 };
	struct json_writer w;

	if (r == NULL)
		return NULL;
	text_open(&w, &b);
	json_w_str(&w, "code", r->code);
	json_w_str(&w, "name", r->name);
	region_nodes_put(r, "nodes", &w);
	return text_take(&w, &b);
}

void
audit_region(struct txn *x, const struct actor *by, const char *what, const struct region *before,
	const struct region *after)
{
	struct audit *a = record_add(x, by, what,
	    "region %u", (before != NULL ? before : after)->id);

	a->before = region_text(before);
	a->after = region_text(after);
}

static char *
quota_text(const struct quota_rule *r)
{
	struct buf b = { 0 };
	struct json_writer w;

	if (r == NULL)
		return NULL;
	text_open(&w, &b);
	json_w_int(&w, "bytesPerSecond", r->bytes_per_s);
	return text_take(&w, &b);
}

void
audit_quota(struct txn *x, const struct actor *by, const char *what, const struct quota_rule *before,
	const struct quota_rule *after)
{
	struct audit *a = record_add(x, by, what,
	    "quota %s", (before != NULL ? before : after)->subject);

	a->before = quota_text(before);
	a->after = quota_text(after);
}

static char *
relay_text(const struct region_relay *r)
{
	struct buf b = { 0 };
	struct json_writer w;

	if (r == NULL)
		return NULL;
	text_open(&w, &b);
	json_w_int(&w, "region", r->region_id);
	json_w_str(&w, "credential", r->id);
	json_w_bool(&w, "announced", r->is_announced);
	if (r->node.host[0] != '\0')
		region_node_put(&r->node, "node", &w);
	return text_take(&w, &b);
}

void
audit_relay(struct txn *x, const struct actor *by, const char *what, const struct region_relay *before,
	const struct region_relay *after)
{
	struct audit *a = record_add(x, by, what,
	    "relay %s", (before != NULL ? before : after)->name);

	a->before = relay_text(before);
	a->after = relay_text(after);
}

static char *
policy_text(const struct policy_version *v)
{
	struct buf b = { 0 };
	struct json_writer w;

	if (v->version == 0)
		return NULL;
	text_open(&w, &b);
	json_w_int(&w, "version", v->version);
	json_w_str(&w, "comment", v->comment);
	json_w_str(&w, "sha256", v->hash);
	if (v->confirm_by_unix_s != 0)
		json_w_time(&w, "confirmBy", v->confirm_by_unix_s);
	return text_take(&w, &b);
}

void
audit_policy(struct txn *x, const struct actor *by, const char *what, const struct policy_version *before,
	const struct policy_version *after)
{
	struct audit *a = record_add(x, by, what, "policy");

	a->before = policy_text(before);
	a->after = policy_text(after);
}
