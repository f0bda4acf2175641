/* Transactions' memory, and the one place that changes a tailnet's hard state. */
#include "coord/mutation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/metrics.h"
#include "coord/change.h"
#include "coord/ipam.h"
#include "coord/session.h"
#include "coord/tag.h"
#include "coord/tailnet.h"
#include "coord/tailnet_cluster.h"
#include "coord/tailnet_dns.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_quota.h"
#include "coord/tailnet_region.h"
#include "coord/tailnet_route.h"
#include "coord/tailnet_ssh.h"

static struct user *
user_at(struct tailnet *t, int64_t id)
{
	struct user *u = map_find(&t->users, &id);

	OBJ_CHECK(u, USER_MAGIC);
	return u;
}

static void
user_add(struct tailnet *t, struct mutation *m)
{
	struct user *u = obj_alloc(sizeof(*u));

	*u = m->u.user;
	u->magic = USER_MAGIC;
	u->n_nodes = u->n_keys = 0;
	ASSERT(map_put(&t->users, u) == NULL);
	ASSERT(map_put(&t->users_by_name, u) == NULL);
}

static void
user_name(struct tailnet *t, struct mutation *m)
{
	const struct user *from = &m->u.user;
	struct user *u = user_at(t, from->id);

	map_remove(&t->users_by_name, u->name);
	memcpy(u->name, from->name, sizeof(u->name));
	ASSERT(map_put(&t->users_by_name, u) == NULL);
	if (t->priv->is_started)
		change_note_all(t, CHANGE_ALL_USERS);
	tailnet_route_note_all(t);
}

static void
user_set_role(struct tailnet *t, struct mutation *m)
{
	user_at(t, m->u.user.id)->role = m->u.user.role;
	if (t->priv->is_started)
		change_note_all(t, CHANGE_ALL_USERS);
	tailnet_route_note_all(t);
}

static void
user_del(struct tailnet *t, struct mutation *m)
{
	struct user *u = user_at(t, m->u.user.id);

	ASSERT(u->n_nodes == 0 && u->n_keys == 0);
	tailnet_quota_user_removed(t, u);
	map_remove(&t->users_by_name, u->name);
	map_remove(&t->users, &u->id);
	u->magic = 0;
	free(u);
}

static void
key_add(struct tailnet *t, struct mutation *m)
{
	struct authkey *from = &m->u.key;
	struct authkey *k = authkey_new();

	*k = *from;
	k->magic = AUTHKEY_MAGIC;
	k->uses_pending = 0;
	from->tags = NULL;	/* moved */
	from->n_tags = 0;
	ASSERT(map_put(&t->authkeys, k) == NULL);
	user_at(t, k->user_id)->n_keys++;
}

static struct authkey *
key_at(struct tailnet *t, const char *id)
{
	struct authkey *k = map_find(&t->authkeys, id);

	OBJ_CHECK(k, AUTHKEY_MAGIC);
	return k;
}

static void
key_use(struct tailnet *t, struct mutation *m)
{
	struct authkey *k = key_at(t, m->u.key.id);

	k->uses++;
	k->last_used_unix_s = m->at_unix_s;
}

static void
key_revoke(struct tailnet *t, struct mutation *m)
{
	key_at(t, m->u.key.id)->revoked_unix_s = m->at_unix_s;
}

/* Loaded: promised from now on. Made here: the promise was kept from its beginning. */
static void
key_plan(struct tailnet *t, struct mutation *m)
{
	struct authkey *k = key_at(t, m->u.key.id);

	k->plan = m->u.key.plan;
	(void)tailnet_name_hold(t, k->plan.name);
	ipam_use(t->ipam, &k->plan.ip4);
	ipam_use(t->ipam, &k->plan.ip6);
}

/* is_used: the addresses are a node's now. */
static void
plan_end(struct tailnet *t, struct authkey *k, bool is_used)
{
	k->_is_plan_ending = false;
	if (k->plan.name[0] == '\0')
		return;
	tailnet_name_give(t, k->plan.name);
	if (!is_used) {
		ipam_unreserve(t->ipam, &k->plan.ip4);
		ipam_unreserve(t->ipam, &k->plan.ip6);
	}
	k->plan = (struct authkey_plan){ .name = "" };
}

static void
key_plan_end(struct tailnet *t, struct mutation *m)
{
	plan_end(t, key_at(t, m->u.key.id), m->kind == MUTATION_KEY_PLAN_USE);
}

static void
key_del(struct tailnet *t, struct mutation *m)
{
	struct authkey *k = key_at(t, m->u.key.id);

	plan_end(t, k, false);
	user_at(t, k->user_id)->n_keys--;
	map_remove(&t->authkeys, k->id);
	authkey_free(k);
}

/* The relay serves a node that is approved as long as its key is valid. */
static void
admission_follow(struct tailnet *t, const struct node *n)
{
	if (!t->priv->is_started)
		return;		/* tailnet_start admits everybody */
	if (n->is_authorized && !node_is_expired(n, clock_wall_s())) {
		t->deps.admit(t->deps.arg, &n->node_key);
		tailnet_quota_admitted(t, n);
		return;
	}
	t->deps.expel(t->deps.arg, &n->node_key);
	tailnet_ssh_forget_node(t, n->id);
}

static void
machine_unlink(struct tailnet *t, struct node *n)
{
	struct machine *m = tailnet_machine_get(t, &n->machine_key);
	struct node **at = &m->first;

	while (*at != n) {
		ASSERT(*at != NULL);
		at = &(*at)->_machine_next;
	}
	*at = n->_machine_next;
	tailnet_machine_drop(t, m);
}

static void
node_add(struct tailnet *t, struct mutation *m)
{
	struct node *from = &m->u.node;
	struct node *n = node_new();
	struct machine *machine;

	*n = *from;
	n->magic = NODE_MAGIC;
	*from = (struct node){ .id = n->id };	/* what it owned is n's */
	n->_registered_unix_s = t->priv->is_started ? clock_wall_s() : 0;
	n->_is_expiry_told = node_is_expired(n, clock_wall_s());
	ASSERT(map_put(&t->nodes, n) == NULL);
	ASSERT(map_put(&t->nodes_by_key, n) == NULL);
	ASSERT(map_put(&t->nodes_by_name, n) == NULL);
	machine = tailnet_machine_get(t, &n->machine_key);
	n->_machine_next = machine->first;
	machine->first = n;
	ipam_use(t->ipam, &n->ip4);
	ipam_use(t->ipam, &n->ip6);
	ipam_note_kin(t->ipam, node_kin(n->tags, n->n_tags), &n->ip4, &n->ip6);
	user_at(t, n->user_id)->n_nodes++;
	metric_add(METRIC_NODES, 1);
	admission_follow(t, n);
	tailnet_expiry_note(t, n);
	tailnet_due_note(t, tailnet_ephemeral_due(t, n));
	if (!t->priv->is_started)
		tailnet_route_load(t, n);
	session_node_added(t, n);
	if (t->priv->is_started) {
		change_note(t, n, CHANGE_JOINED);
		tailnet_route_note(t, n);
	}
	tailnet_dns_nodes_changed(t);
}

/* NODE_GROUP_OWNER. Takes the tags. */
static uint32_t
node_set_owner(struct tailnet *t, struct node *n, struct node *from)
{
	int64_t old_owner = node_owner_id(n);

	if (n->user_id != from->user_id || !tag_list_eq(n->tags, n->n_tags, from->tags, from->n_tags))
		tailnet_ssh_forget_node(t, n->id);
	user_at(t, n->user_id)->n_nodes--;
	user_at(t, from->user_id)->n_nodes++;
	n->user_id = from->user_id;
	tag_list_free(n->tags, n->n_tags);
	n->tags = from->tags;
	n->n_tags = from->n_tags;
	from->tags = NULL;
	from->n_tags = 0;
	tailnet_quota_follow(t, n);
	if (t->priv->is_started && node_owner_id(n) != old_owner)
		change_note_all(t, CHANGE_ALL_USERS);
	return CHANGE_WHOLE | CHANGE_SELF;
}

/* NODE_GROUP_KEY and NODE_GROUP_EXPIRY. */
static uint32_t
node_set_key(struct tailnet *t, struct node *n, const struct mutation *m)
{
	const struct node *from = &m->u.node;

	if ((m->groups & NODE_GROUP_KEY) && !node_key_eq(&n->node_key, &from->node_key)) {
		if (t->priv->is_started)
			t->deps.expel(t->deps.arg, &n->node_key);
		map_remove(&t->nodes_by_key, &n->node_key);
		n->node_key = from->node_key;
		ASSERT(map_put(&t->nodes_by_key, n) == NULL);
	}
	if (m->groups & NODE_GROUP_EXPIRY) {
		n->key_expiry_unix_s = from->key_expiry_unix_s;
		n->is_expiry_off = from->is_expiry_off;
		n->is_expiry_warned = false;
		n->_is_expiry_told = node_is_expired(n, clock_wall_s());
		tailnet_expiry_note(t, n);
	}
	admission_follow(t, n);
	return CHANGE_KEY | CHANGE_SELF;
}

/* NODE_GROUP_IP: the new addresses are reserved already. */
static uint32_t
node_set_ip(struct tailnet *t, struct node *n, const struct mutation *m)
{
	struct net_ip *own[] = { &n->ip4, &n->ip6 };
	const struct net_ip *next[] = { &m->u.node.ip4, &m->u.node.ip6 };

	for (size_t i = 0; i < COUNT_OF(own); i++) {
		if (net_ip_eq(own[i], next[i]))
			continue;
		ipam_release(t->ipam, own[i], m->at_unix_s);
		ipam_use(t->ipam, next[i]);
		*own[i] = *next[i];
	}
	return CHANGE_WHOLE | CHANGE_SELF;
}

/* NODE_GROUP_ROUTES. Takes the list. */
static void
node_set_approved(struct node *n, struct node *from)
{
	free(n->approved);
	n->approved = from->approved;
	n->n_approved = from->n_approved;
	from->approved = NULL;
	from->n_approved = 0;
}

static void
node_set(struct tailnet *t, struct mutation *m)
{
	struct node *from = &m->u.node;
	struct node *n = map_find(&t->nodes, &from->id);
	uint32_t what = 0;

	OBJ_CHECK(n, NODE_MAGIC);
	if (m->groups & (NODE_GROUP_KEY | NODE_GROUP_EXPIRY))
		what |= node_set_key(t, n, m);
	if (m->groups & NODE_GROUP_NAME) {
		map_remove(&t->nodes_by_name, n->name);
		memcpy(n->name, from->name, sizeof(n->name));
		n->is_name_given = from->is_name_given;
		ASSERT(map_put(&t->nodes_by_name, n) == NULL);
		what |= CHANGE_WHOLE | CHANGE_SELF;
	}
	if (m->groups & NODE_GROUP_OWNER)
		what |= node_set_owner(t, n, from);
	if (m->groups & NODE_GROUP_JOIN) {
		n->is_ephemeral = from->is_ephemeral;
		n->is_authorized = from->is_authorized;
		memcpy(n->authkey_id, from->authkey_id, sizeof(n->authkey_id));
		tailnet_due_note(t, tailnet_ephemeral_due(t, n));
		admission_follow(t, n);
		what |= CHANGE_SELF;	/* others are told when approval makes it another class */
	}
	if (m->groups & NODE_GROUP_IP)
		what |= node_set_ip(t, n, m);
	if (m->groups & NODE_GROUP_WARNED)
		n->is_expiry_warned = true;
	if (m->groups & NODE_GROUP_ROUTES)
		node_set_approved(n, from);
	if (t->priv->is_started)
		change_note(t, n, what);
	if (m->groups & NODE_GROUP_ROUTES)
		tailnet_route_approved(t, n);
	if (m->groups & (NODE_GROUP_OWNER | NODE_GROUP_JOIN | NODE_GROUP_IP))
		tailnet_route_note(t, n);
	if (m->groups & (NODE_GROUP_NAME | NODE_GROUP_IP))
		tailnet_dns_nodes_changed(t);
}

static void
node_del(struct tailnet *t, struct mutation *m)
{
	struct node *n = map_find(&t->nodes, &m->u.node.id);

	OBJ_CHECK(n, NODE_MAGIC);
	if (t->priv->is_started) {
		session_end_node(t, n);
		change_note(t, n, CHANGE_REMOVED);
		t->deps.expel(t->deps.arg, &n->node_key);
	}
	tailnet_ssh_forget_node(t, n->id);
	tailnet_route_remove(t, n);
	tailnet_quota_node_removed(t, n);
	session_node_removed(t, n);
	if (n->is_soft_dirty)
		TAILQ_REMOVE(&t->priv->dirty, n, _dirty_link);
	map_remove(&t->nodes, &n->id);
	map_remove(&t->nodes_by_key, &n->node_key);
	map_remove(&t->nodes_by_name, n->name);
	machine_unlink(t, n);
	ipam_release(t->ipam, &n->ip4, m->at_unix_s);
	ipam_release(t->ipam, &n->ip6, m->at_unix_s);
	user_at(t, n->user_id)->n_nodes--;
	metric_add(METRIC_NODES, -1);
	node_free(n);
	tailnet_dns_nodes_changed(t);
}

static void
setting_set(struct tailnet *t, struct mutation *m)
{
	tailnet_setting_apply(t, m->u.setting.name, m->u.setting.value);
}

/* Memory was first, or has nothing of it. */
static void
stay(struct tailnet *t, struct mutation *m)
{
	(void)t;
	(void)m;
}

static void
fini_none(struct mutation *m)
{
	(void)m;
}

static void
fini_key(struct mutation *m)
{
	tag_list_free(m->u.key.tags, m->u.key.n_tags);
}

static void
fini_node(struct mutation *m)
{
	node_fini(&m->u.node);
}

static void
fini_cred(struct mutation *m)
{
	cred_fini(&m->u.cred);
}

static void
fini_dns(struct mutation *m)
{
	free(m->u.dns.json);
}

static void
fini_policy(struct mutation *m)
{
	policy_version_fini(&m->u.policy);
}

static void
fini_audit(struct mutation *m)
{
	free(m->u.audit.before);
	free(m->u.audit.after);
}

/* apply makes the change in memory: tables, indexes, addresses, and, once the tailnet is started,
 * what follows from it for relay admission and map distribution. It moves out what it keeps of the
 * records; what the store accepted cannot fail here. fini frees what is left of them. */
static const struct {
	void (*apply)(struct tailnet *t, struct mutation *m);
	void (*fini)(struct mutation *m);
} kinds[MUTATION_COUNT] = {
	[MUTATION_USER_ADD] = { user_add, fini_none },
	[MUTATION_USER_NAME] = { user_name, fini_none },
	[MUTATION_USER_ROLE] = { user_set_role, fini_none },
	[MUTATION_USER_DEL] = { user_del, fini_none },
	[MUTATION_KEY_ADD] = { key_add, fini_key },
	[MUTATION_KEY_USE] = { key_use, fini_key },
	[MUTATION_KEY_REVOKE] = { key_revoke, fini_key },
	[MUTATION_KEY_DEL] = { key_del, fini_key },
	[MUTATION_KEY_PLAN] = { key_plan, fini_key },
	[MUTATION_KEY_PLAN_USE] = { key_plan_end, fini_key },
	[MUTATION_KEY_PLAN_END] = { key_plan_end, fini_key },
	[MUTATION_NODE_ADD] = { node_add, fini_node },
	[MUTATION_NODE_SET] = { node_set, fini_node },
	[MUTATION_NODE_DEL] = { node_del, fini_node },
	[MUTATION_NODE_STATE] = { stay, fini_node },
	[MUTATION_CRED_ADD] = { tailnet_cred_apply, fini_cred },
	[MUTATION_CRED_SET] = { tailnet_cred_apply, fini_cred },
	[MUTATION_CRED_USE] = { stay, fini_cred },
	[MUTATION_CRED_REVOKE] = { tailnet_cred_apply, fini_cred },
	[MUTATION_CRED_DEL] = { tailnet_cred_apply, fini_cred },
	[MUTATION_PRUNE] = { tailnet_cred_apply, fini_none },
	[MUTATION_SETTING] = { setting_set, fini_none },
	[MUTATION_DNS] = { tailnet_dns_apply, fini_dns },
	[MUTATION_POLICY_ADD] = { tailnet_policy_apply, fini_policy },
	[MUTATION_POLICY_CONFIRM] = { tailnet_policy_apply, fini_policy },
	[MUTATION_CLUSTER_ADD] = { tailnet_cluster_apply, fini_none },
	[MUTATION_CLUSTER_SET] = { tailnet_cluster_apply, fini_none },
	[MUTATION_CLUSTER_DEL] = { tailnet_cluster_apply, fini_none },
	[MUTATION_REGION_ADD] = { tailnet_region_apply, tailnet_region_mutation_fini },
	[MUTATION_REGION_SET] = { tailnet_region_apply, tailnet_region_mutation_fini },
	[MUTATION_REGION_DEL] = { tailnet_region_apply, tailnet_region_mutation_fini },
	[MUTATION_RELAY_ADD] = { tailnet_region_apply, tailnet_region_mutation_fini },
	[MUTATION_RELAY_SET] = { tailnet_region_apply, tailnet_region_mutation_fini },
	[MUTATION_RELAY_DEL] = { tailnet_region_apply, tailnet_region_mutation_fini },
	[MUTATION_QUOTA_SET] = { tailnet_quota_apply, fini_none },
	[MUTATION_QUOTA_DEL] = { tailnet_quota_apply, fini_none },
	[MUTATION_AUDIT] = { stay, fini_audit },
};

static void
txn_deliver(struct mbox_msg *m, void *loop_arg)
{
	(void)loop_arg;
	txn_finish_take(CONTAINER_OF(m, struct txn, msg));
}

static void
txn_discard(struct mbox_msg *m)
{
	txn_abandon_take(CONTAINER_OF(m, struct txn, msg));
}

struct txn *
txn_new(struct tailnet *t, txn_done_fn *done, void *arg)
{
	struct txn *x = obj_alloc(sizeof(*x));

	x->magic = TXN_MAGIC;
	x->msg.deliver = txn_deliver;
	x->msg.discard = txn_discard;
	x->tailnet = t;
	x->tailnet_id = t->id;
	x->done = done;
	x->arg = arg;
	return x;
}

struct mutation *
txn_add(struct txn *x, enum mutation_kind kind)
{
	struct mutation *m = obj_alloc(sizeof(*m));

	m->kind = kind;
	m->at_unix_s = clock_wall_s();
	if (x->n == x->_cap) {
		x->_cap = x->_cap == 0 ? 4 : 2 * x->_cap;
		x->list = obj_realloc(x->list, x->_cap * sizeof(struct mutation *));
	}
	x->list[x->n++] = m;
	return m;
}

void
txn_free(struct txn *x)
{
	if (x == NULL)
		return;
	OBJ_CHECK(x, TXN_MAGIC);
	x->magic = 0;
	for (unsigned i = 0; i < x->n; i++) {
		kinds[x->list[i]->kind].fini(x->list[i]);
		free(x->list[i]);
	}
	free(x->list);
	free(x);
}

/* Lazily written state that did not reach the disk stays to be written. */
static void
soft_failed(struct txn *x)
{
	for (unsigned i = 0; i < x->n; i++) {
		struct node *n = map_find(&x->tailnet->nodes, &x->list[i]->u.node.id);

		if (n != NULL)
			tailnet_soft_dirty(x->tailnet, n);
	}
}

/* What the event stream is told: every audit record, and uses of keys, which have none. */
static void
watch_tell(struct tailnet *t, const struct mutation *m)
{
	struct tailnet_event e = { .by = "" };
	char target[32];

	if (t->watch == NULL)
		return;
	if (m->kind == MUTATION_AUDIT) {
		e.what = m->u.audit.what;
		e.target = m->u.audit.target;
		e.by = m->u.audit.actor;
	} else if (m->kind == MUTATION_KEY_USE) {
		snprintf(target, sizeof(target), "key %s", m->u.key.id);
		e.what = "key.use";
		e.target = target;
	} else {
		return;
	}
	t->watch(t->watch_arg, &e);
}

void
txn_finish_take(struct txn *x)
{
	OBJ_CHECK(x, TXN_MAGIC);
	if (x->rc == ERR_OK) {
		for (unsigned i = 0; i < x->n; i++)
			kinds[x->list[i]->kind].apply(x->tailnet, x->list[i]);
		for (unsigned i = 0; i < x->n; i++)
			watch_tell(x->tailnet, x->list[i]);
	} else if (x->done == NULL) {
		soft_failed(x);
	}
	if (x->done != NULL)
		x->done(x->arg, x->rc, &x->why);
	txn_free(x);
}

void
txn_abandon_take(struct txn *x)
{
	struct err_text why;

	OBJ_CHECK(x, TXN_MAGIC);
	err_say(&why, ERR_CLOSED, "the server stopped before it could say whether this was done: look "
	    "when it is back");
	if (x->done != NULL)
		x->done(x->arg, ERR_CLOSED, &why);
	txn_free(x);
}
