/*
 * The rules of registration: what a request comes to, and the transaction that it takes. Facts
 * of the clients' side: Tailscale controlclient/direct.go doLogin, tailcfg RegisterRequest.
 *
 * Everything is decided from memory; what a commit will change is reserved (address, name, node
 * key, one use of the auth key), so that two requests cannot be promised the same thing while
 * the disk works.
 */
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "coord/ipam.h"
#include "coord/policy_owner.h"
#include "coord/store.h"
#include "coord/tag.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_tag.h"

#define POOLS_MAX 64	/* of one device; more are not looked at */
#define MAKE_KEY "make one with `fairlead keys create`"

/* What a valid auth key, or an administrator's approval, gives a node. */
struct grant {
	struct authkey *key;	/* NULL: approval */
	struct user *user;
	char *const *tags;	/* borrowed */
	unsigned n_tags;
	char **own_tags;	/* owned: tags, if they were put together here; or NULL */
	bool is_authorized;	/* even where devices need approval */
};

static enum join
logout(struct registration *r, struct node *n, struct txn **x)
{
	struct actor by = { .from = r->from.addr };
	struct mutation *m;

	r->is_logout = true;
	if (n == NULL || n->_is_removing || node_is_expired(n, clock_wall_s()))
		return JOIN_EXPIRED;
	r->node_id = n->id;
	snprintf(by.name, sizeof(by.name), "node %lld", (long long)n->id);
	*x = txn_new(r->t, tailnet_register_done, r);
	m = txn_add(*x, n->is_ephemeral ? MUTATION_NODE_DEL : MUTATION_NODE_SET);
	m->u.node.id = n->id;
	if (n->is_ephemeral) {
		audit_node(*x, &by, "node.logout", n, NULL, NODE_GROUP_ALL);
	} else {
		m->groups = NODE_GROUP_EXPIRY;
		m->u.node.key_expiry_unix_s = m->at_unix_s;	/* not the client's 1970 */
		m->u.node.is_expiry_off = n->is_expiry_off;
		audit_node(*x, &by, "node.logout", n, &m->u.node, m->groups);
	}
	return JOIN_TXN;
}

/* The auth key of the request. The same refusal for an unknown id and a wrong secret. */
static enum err
key_check(struct tailnet *t, const char *text, struct authkey **out, struct err_text *why)
{
	char id[AUTHKEY_ID_CHARS + 4];
	uint8_t hash[AUTHKEY_HASH_BYTES];
	struct authkey *k;
	enum err rc;

	if (authkey_parse(text, strlen(text), id, hash) != ERR_OK)
		return err_say(why, ERR_DENIED, "this is not an auth key of this server, which looks "
		    "like tskey-auth-<12 characters>-<43 characters>: " MAKE_KEY);
	k = map_find(&t->authkeys, id);
	if (k == NULL || CRYPTO_memcmp(hash, k->secret_hash, sizeof(hash)) != 0)
		return err_say(why, ERR_DENIED, "auth key %s is not known here: it was removed, "
		    "mistyped, or is of another server; " MAKE_KEY, id);
	if ((rc = authkey_is_usable(k, clock_wall_s(), why)) == ERR_OK)
		*out = k;
	return rc;
}

void
tailnet_tags_say(char *text, size_t n, char *const *tags, unsigned n_tags)
{
	text[0] = '\0';
	for (unsigned i = 0; i < n_tags; i++) {
		size_t len = strlen(text);

		snprintf(text + len, n - len, "%s%s", i == 0 ? "" : " ", tags[i]);
	}
}

/* Does the key (its tags; without any, its user) give the tag? */
static enum err
tag_is_granted(const struct tailnet *t, const struct grant *g, const char *tag, struct err_text *why)
{
	return g->key->n_tags > 0 ? tailnet_tag_tags_may(t, g->key->tags, g->key->n_tags, tag, why) :
	    tailnet_tag_user_may(t, g->user, tag, why);
}

/* The key's tags and those asked for, into *tags: the caller's. */
static void
tags_join(const struct authkey *k, const struct hostinfo *host, char ***tags, unsigned *n)
{
	unsigned n_all = k->n_tags + host->n_request_tags;
	const char **all = obj_alloc((n_all + 1) * sizeof(*all));

	for (unsigned i = 0; i < n_all; i++)
		all[i] = i < k->n_tags ? k->tags[i] : host->request_tags[i - k->n_tags];
	tag_list_copy(all, n_all, tags, n);
	free(all);
}

/* Tags of the node: the key's and those asked for, all of which must be permitted. */
static enum err
tags_decide(const struct tailnet *t, const struct hostinfo *host, struct grant *g,
	struct err_text *why)
{
	struct err_text first = { "" }, ignored;
	char bad[100] = "";

	for (unsigned i = 0; i < host->n_request_tags; i++) {
		size_t len = strlen(bad);

		if (tag_is_granted(t, g, host->request_tags[i], len == 0 ? &first : &ignored) != ERR_OK)
			snprintf(bad + len, sizeof(bad) - len, "%s%s", len == 0 ? "" : " ",
			    host->request_tags[i]);
	}
	if (bad[0] != '\0')
		return err_say(why, ERR_DENIED, "requested tags [%s] are invalid or not permitted: %.190s", bad,
		    first.s);
	tags_join(g->key, host, &g->own_tags, &g->n_tags);
	g->tags = g->own_tags;
	return g->n_tags <= NODE_TAGS_MAX ? ERR_OK :
	    err_say(why, ERR_DENIED, "too many tags: at most %d", NODE_TAGS_MAX);
}

/* How well node n of the same machine answers to the grant; 0: not at all. */
static int
fitness(const struct node *n, const struct grant *g, int64_t now)
{
	bool is_same_user = n->user_id == g->user->id;

	if (n->_is_removing)
		return 0;
	if (g->n_tags > 0 && tag_list_eq(n->tags, n->n_tags, g->tags, g->n_tags))
		return 2;
	if (g->n_tags == 0 && n->n_tags == 0 && is_same_user)
		return 2;
	return is_same_user && node_is_expired(n, now) ? 1 : 0;
}

/* The node that this registration continues: the one whose key it replaces, or the machine's
 * node of the same owner or tags, or one of the user that was logged out. NULL: a new one. */
static struct node *
node_continued(struct registration *r, const struct grant *g)
{
	struct node *n = map_find(&r->t->nodes_by_key, &r->req->old_node_key);
	struct node *best = NULL;
	int64_t now = clock_wall_s();
	int best_fit = 0;

	if (n != NULL && machine_key_eq(&n->machine_key, &r->from.machine) && !n->_is_removing &&
	    n->user_id == g->user->id)
		return n;
	for (n = r->machine->first; n != NULL; n = n->_machine_next) {
		int fit = fitness(n, g, now);

		if (fit > best_fit || (fit > 0 && fit == best_fit && n->id > best->id)) {
			best = n;
			best_fit = fit;
		}
	}
	return best;
}

/* Name and addresses that are promised to who joins with this key, or NULL. */
static const struct authkey_plan *
plan_of(const struct grant *g)
{
	return g->key != NULL && g->key->plan.name[0] != '\0' ? &g->key->plan : NULL;
}

/* Reserves what both kinds of registration use, and starts their transaction with the use of the
 * auth key. */
static struct txn *
txn_begin(struct registration *r, const struct grant *g)
{
	struct txn *x = txn_new(r->t, r->done, r);

	r->node_key = r->req->node_key;
	map_put(&r->t->priv->node_keys_held, r);
	r->is_key_held = true;
	if (g->key == NULL)
		return x;
	memcpy(r->authkey_id, g->key->id, sizeof(r->authkey_id));
	g->key->uses_pending++;
	memcpy(txn_add(x, MUTATION_KEY_USE)->u.key.id, g->key->id, sizeof(g->key->id));
	if (plan_of(g) != NULL)
		memcpy(txn_add(x, MUTATION_KEY_PLAN_USE)->u.key.id, g->key->id, sizeof(g->key->id));
	return x;
}

static struct actor
actor_of(const struct registration *r, const struct grant *g)
{
	struct actor by = { .from = r->from.addr };

	if (g->key == NULL)
		return *r->by;
	snprintf(by.name, sizeof(by.name), "key %s", g->key->id);
	return by;
}

/* Name and addresses for a new node that has no plan. */
static enum err
reserve(struct registration *r, const struct grant *g, int64_t now, struct err_text *why)
{
	char base[DNS_LABEL_MAX];
	struct net_prefix pools[POOLS_MAX];
	unsigned n = r->t->policy == NULL ? 0 : policy_pools(r->t->policy, &r->t->users,
	    g->n_tags > 0 ? NULL : g->user, g->tags, g->n_tags, pools, POOLS_MAX);
	uint64_t kin = node_kin(g->tags, g->n_tags);
	enum err rc = n == 0 ? ipam_reserve_kin(r->t->ipam, kin, now, &r->ip4, &r->ip6, why) :
	    ipam_reserve_within(r->t->ipam, pools, n, now, &r->ip4, &r->ip6, why);

	if (rc != ERR_OK)
		return rc;
	dns_label_from_host(r->req->host->hostname, base);
	tailnet_name_take(r->t, base, r->name);
	return ERR_OK;
}

static void
fill_plan(struct node *n, const struct authkey_plan *plan)
{
	memcpy(n->name, plan->name, sizeof(n->name));
	n->is_name_given = true;
	n->ip4 = plan->ip4;
	n->ip6 = plan->ip6;
}

static enum err
node_new_txn(struct registration *r, const struct grant *g, struct txn **x, struct err_text *why)
{
	const struct authkey_plan *plan = plan_of(g);
	int64_t now = clock_wall_s();
	struct actor by = actor_of(r, g);
	struct node *n;
	enum err rc = plan == NULL ? reserve(r, g, now, why) : ERR_OK;

	if (rc != ERR_OK)
		return rc;
	*x = txn_begin(r, g);
	n = &txn_add(*x, MUTATION_NODE_ADD)->u.node;
	r->node_id = n->id = store_next_node_id(r->t->deps.store);
	n->user_id = g->user->id;
	n->machine_key = r->from.machine;
	n->node_key = r->req->node_key;
	memcpy(n->name, r->name, sizeof(n->name));
	n->ip4 = r->ip4;
	n->ip6 = r->ip6;
	if (plan != NULL)
		fill_plan(n, plan);
	node_set_tags(n, (const char *const *)g->tags, g->n_tags);
	n->created_unix_s = now;
	n->key_expiry_unix_s = tailnet_expiry_of_new(r->t, g->n_tags > 0, now,
	    r->req->expiry_unix_s);
	n->is_ephemeral = (g->key != NULL && g->key->is_ephemeral) || r->req->is_ephemeral;
	n->is_authorized = g->is_authorized || !r->t->settings.devices_need_approval;
	memcpy(n->authkey_id, r->authkey_id, sizeof(n->authkey_id));
	n->host = hostinfo_hold(r->req->host);
	n->cap_version = r->from.noise_version;
	audit_node(*x, &by, "node.register", NULL, n, NODE_GROUP_ALL);
	return ERR_OK;
}

/* A plan's name and addresses for a node that is there already. */
static void
set_plan(struct registration *r, struct mutation *m, const struct authkey_plan *plan,
	struct node *old)
{
	fill_plan(&m->u.node, plan);
	m->groups |= NODE_GROUP_NAME | NODE_GROUP_IP;
	old->_is_moving = true;
	r->moving_id = old->id;
}

static struct txn *
node_again_txn(struct registration *r, const struct grant *g, struct node *old)
{
	int64_t now = clock_wall_s();
	struct txn *x = txn_begin(r, g);
	struct mutation *m = txn_add(x, MUTATION_NODE_SET);
	struct node *n = &m->u.node;
	struct actor by = actor_of(r, g);

	r->node_id = n->id = old->id;
	m->groups = NODE_GROUP_EXPIRY;
	n->key_expiry_unix_s = tailnet_expiry_again(r->t, old, g->n_tags > 0, now,
	    r->req->expiry_unix_s);
	n->is_expiry_off = old->is_expiry_off;
	n->node_key = r->req->node_key;
	if (!node_key_eq(&n->node_key, &old->node_key))
		m->groups |= NODE_GROUP_KEY;
	n->user_id = g->user->id;
	node_set_tags(n, (const char *const *)g->tags, g->n_tags);
	if (n->user_id != old->user_id || !tag_list_eq(n->tags, n->n_tags, old->tags, old->n_tags))
		m->groups |= NODE_GROUP_OWNER;
	n->is_ephemeral = (g->key != NULL && g->key->is_ephemeral) || r->req->is_ephemeral;
	n->is_authorized = old->is_authorized || g->is_authorized;
	memcpy(n->authkey_id, r->authkey_id, sizeof(n->authkey_id));
	m->groups |= NODE_GROUP_JOIN;
	if (plan_of(g) != NULL)
		set_plan(r, m, plan_of(g), old);
	audit_node(x, &by, "node.reregister", old, n, m->groups);
	return x;
}

/* Would a valid key change a node that is registered already? Only what its owner asks for in so
 * many words. */
static bool
wants_other_tags(const struct node *n, const struct hostinfo *host, const struct authkey *k)
{
	char **tags = NULL;
	unsigned n_tags;
	bool is_other;

	if (host->n_request_tags == 0 || k->user_id != n->user_id)
		return false;
	tags_join(k, host, &tags, &n_tags);
	is_other = !tag_list_eq(n->tags, n->n_tags, tags, n_tags);
	tag_list_free(tags, n_tags);
	return is_other;
}

/* n: the node that it continues, or NULL. */
static enum join
join_txn(struct registration *r, struct node *n, const struct grant *g, struct txn **x,
	struct err_text *why)
{
	if (n != NULL && n->_is_moving && plan_of(g) != NULL)
		return JOIN_BUSY;
	if (n != NULL)
		*x = node_again_txn(r, g, n);
	else if (node_new_txn(r, g, x, why) != ERR_OK)
		return JOIN_REFUSED;
	return JOIN_TXN;
}

/* With an auth key. n: the node that has this node key already, of this machine, or NULL. */
static enum join
join_by_key(struct registration *r, struct node *n, struct txn **x, struct err_text *why)
{
	bool is_valid = n != NULL && !node_is_expired(n, clock_wall_s());
	struct grant g = { 0 };
	enum err rc = key_check(r->t, r->req->auth_key, &g.key, why);

	/* A container that restarts shows its old key again: used or not, the node is known. */
	if (is_valid && (rc != ERR_OK || !wants_other_tags(n, r->req->host, g.key)))
		return JOIN_KNOWN;
	if (rc != ERR_OK)
		return rc == ERR_BUSY ? JOIN_BUSY : JOIN_REFUSED;
	if (n != NULL && n->user_id != g.key->user_id)
		return JOIN_EXPIRED;	/* another user: with another node key it is another node */
	if (map_find(&r->t->priv->node_keys_held, &r->req->node_key) != NULL) {
		err_say(why, ERR_DENIED, "this node key belongs to another machine");
		return JOIN_REFUSED;
	}
	g.user = map_find(&r->t->users, &g.key->user_id);
	OBJ_CHECK(g.user, USER_MAGIC);
	enum join j = JOIN_REFUSED;
	if (tags_decide(r->t, r->req->host, &g, why) == ERR_OK) {
		g.is_authorized = g.key->is_preauthorized;
		j = join_txn(r, n != NULL ? n : node_continued(r, &g), &g, x, why);
	}
	tag_list_free(g.own_tags, g.own_tags != NULL ? g.n_tags : 0);
	return j;
}

enum join
tailnet_join_approve(struct registration *r, const struct join_approval *a, struct txn **x,
	struct err_text *why)
{
	struct grant g = { .user = a->user, .tags = a->tags, .n_tags = a->n_tags,
		.is_authorized = a->is_authorized };
	struct node *n = map_find(&r->t->nodes_by_key, &r->req->node_key);

	if (n != NULL && !machine_key_eq(&n->machine_key, &r->from.machine)) {
		err_say(why, ERR_DENIED, "the device's key belongs to another machine by now");
		return JOIN_REFUSED;
	}
	if ((n != NULL && n->_is_removing) ||
	    map_find(&r->t->priv->node_keys_held, &r->req->node_key) != NULL)
		return JOIN_BUSY;
	if (n != NULL && !node_is_expired(n, clock_wall_s())) {
		r->node_id = n->id;
		return JOIN_KNOWN;
	}
	if (n != NULL && n->user_id != g.user->id) {
		err_say(why, ERR_DENIED, "the device is node %s of another user: approve it for that "
		    "user, or delete the node first", n->name);
		return JOIN_REFUSED;
	}
	if (n == NULL)
		n = node_continued(r, &g);
	return join_txn(r, n, &g, x, why);
}

enum join
tailnet_join_decide(struct registration *r, struct txn **x, struct err_text *why)
{
	const struct register_req *req = r->req;
	struct node *n = map_find(&r->t->nodes_by_key, &req->node_key);

	if (node_key_is_zero(&req->node_key)) {
		err_say(why, ERR_DENIED, "the node key is all zeros: restart tailscaled and try again");
		return JOIN_REFUSED;
	}
	if (n != NULL && !machine_key_eq(&n->machine_key, &r->from.machine)) {
		err_say(why, ERR_DENIED, "this node key belongs to another machine: run `tailscale "
		    "logout`, then `tailscale up` again; do not copy tailscaled's state");
		return JOIN_REFUSED;
	}
	if (req->has_expiry && req->expiry_unix_s <= clock_wall_s())
		return logout(r, n, x);
	if (n != NULL && n->_is_removing)
		return JOIN_BUSY;
	if (n != NULL)
		r->node_id = n->id;
	if (req->auth_key != NULL && req->auth_key[0] != '\0')
		return join_by_key(r, n, x, why);
	if (n != NULL)
		return node_is_expired(n, clock_wall_s()) ? JOIN_EXPIRED : JOIN_KNOWN;
	return tailnet_login_decide(r, why);
}

void
tailnet_join_release(struct registration *r, bool is_committed)
{
	struct authkey *k;
	struct node *n;

	if (r->moving_id != 0 && (n = map_find(&r->t->nodes, &r->moving_id)) != NULL)
		n->_is_moving = false;
	if (r->is_key_held)
		map_remove(&r->t->priv->node_keys_held, &r->node_key);
	if (r->authkey_id[0] != '\0' && (k = map_find(&r->t->authkeys, r->authkey_id)) != NULL)
		k->uses_pending--;
	if (r->name[0] != '\0')
		tailnet_name_give(r->t, r->name);
	if (!is_committed && r->ip4.family != 0) {
		ipam_unreserve(r->t->ipam, &r->ip4);
		ipam_unreserve(r->t->ipam, &r->ip6);
	}
	r->is_key_held = false;
	r->moving_id = 0;
	r->authkey_id[0] = r->name[0] = '\0';
}
