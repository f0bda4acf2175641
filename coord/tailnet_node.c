/* Nodes: renamed, tagged, expired, removed by an administrator; names that follow the host's. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "coord/ipam.h"
#include "coord/tag.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_tag.h"

/* The node, or NULL with the refusal answered. */
static struct node *
node_find(struct tailnet *t, int64_t id, tailnet_done_fn *done, void *arg)
{
	struct node *n = map_find(&t->nodes, &id);
	struct err_text why;

	if (n == NULL) {
		err_say(&why, ERR_NOTFOUND, "there is no such node: `fairlead nodes list` shows them");
		tailnet_op_answer(done, arg, ERR_NOTFOUND, &why, id);
	}
	return n;
}

/* A transaction that changes the groups of n: *m is to be filled. */
static struct txn *
node_txn(struct tailnet_op *op, const struct node *n, uint32_t groups, struct mutation **m)
{
	struct txn *x = tailnet_op_txn(op);

	op->id = n->id;
	*m = txn_add(x, MUTATION_NODE_SET);
	(*m)->groups = groups;
	(*m)->u.node.id = n->id;
	return x;
}

/* Gives n the held name. */
static void
rename_submit(struct tailnet_op *op, const struct actor *by, struct node *n, bool is_given)
{
	struct mutation *m;
	struct txn *x = node_txn(op, n, NODE_GROUP_NAME, &m);

	op->renaming_id = n->id;
	n->_n_renaming++;
	memcpy(m->u.node.name, op->held_name, sizeof(op->held_name));
	m->u.node.is_name_given = is_given;
	audit_node(x, by, "node.rename", n, &m->u.node, NODE_GROUP_NAME);
	tailnet_op_submit_take(op, x);
}

static void
name_automatically(struct tailnet *t, const struct actor *by, struct node *n,
	tailnet_done_fn *done, void *arg)
{
	char base[DNS_LABEL_MAX];
	struct tailnet_op *op = tailnet_op_new(t, done, arg);

	dns_label_from_host(n->host->hostname, base);
	tailnet_name_take(t, base, op->held_name);
	rename_submit(op, by, n, false);
}

void
tailnet_node_rename(struct tailnet *t, const struct actor *by, int64_t node_id, const char *name,
	tailnet_done_fn *done, void *arg)
{
	struct node *n = node_find(t, node_id, done, arg);
	char label[DNS_LABEL_MAX] = "";
	struct tailnet_op *op;
	struct err_text why;
	enum err rc = ERR_OK;

	if (n == NULL)
		return;
	if (name[0] == '\0') {
		name_automatically(t, by, n, done, arg);
		return;
	}
	if (!dns_label_is_valid(name))
		rc = err_say(&why, ERR_INVAL, "\"%.64s\" is no name: 1-63 characters of a-z 0-9 and "
		    "'-', no '-' at either end", name);
	if (rc == ERR_OK)
		memcpy(label, name, strlen(name));
	if (rc == ERR_OK && memcmp(label, n->name, sizeof(label)) == 0 && n->is_name_given) {
		tailnet_op_answer(done, arg, ERR_OK, NULL, n->id);
		return;
	}
	op = tailnet_op_new(t, done, arg);
	if (rc == ERR_OK && memcmp(label, n->name, sizeof(label)) != 0 &&
	    !tailnet_name_hold(t, label))
		rc = err_say(&why, ERR_EXISTS, "another node is named %s already", label);
	if (rc != ERR_OK) {
		free(op);
		tailnet_op_answer(done, arg, rc, &why, n->id);
		return;
	}
	memcpy(op->held_name, label, sizeof(label));
	rename_submit(op, by, n, true);
}

/* A name of its own costs a commit and an audit record: a node gets only so many. */
static bool
may_take_name(struct tailnet *t, struct node *n)
{
	int64_t now = clock_wall_s();

	if (now >= n->_names_since_unix_s + TAILNET_OWN_NAMES_S || now < n->_names_since_unix_s) {
		n->_names_since_unix_s = now;
		n->_n_names = 0;
	}
	n->_is_name_due = n->_n_names == TAILNET_OWN_NAMES_MAX;
	if (n->_is_name_due)
		tailnet_due_note(t, n->_names_since_unix_s + TAILNET_OWN_NAMES_S);
	else
		n->_n_names++;
	return !n->_is_name_due;
}

void
tailnet_node_hostname(struct tailnet *t, struct node *n)
{
	struct actor by = { .name = "" };
	char base[DNS_LABEL_MAX];

	OBJ_CHECK(n, NODE_MAGIC);
	dns_label_from_host(n->host->hostname, base);
	if (n->is_name_given || n->_n_renaming > 0 || n->_is_removing || strcmp(n->name, base) == 0)
		return;
	if (dns_label_is_of(n->name, base) && !tailnet_name_is_free(t, base))
		return;		/* numbered because another has the name: stays as it is */
	if (!may_take_name(t, n))
		return;
	snprintf(by.name, sizeof(by.name), "node %lld", (long long)n->id);
	name_automatically(t, &by, n, NULL, NULL);
}

void
tailnet_node_tag(struct tailnet *t, const struct actor *by, int64_t node_id,
	const char *const *tags, unsigned n_tags, tailnet_done_fn *done, void *arg)
{
	struct node *n = node_find(t, node_id, done, arg);
	int64_t now = clock_wall_s();
	uint32_t groups = NODE_GROUP_OWNER;
	struct tailnet_op *op;
	struct mutation *m;
	struct err_text why;
	struct txn *x;
	enum err rc;

	if (n == NULL)
		return;
	if ((rc = tailnet_tag_list_check(t, tags, n_tags, &why)) != ERR_OK) {
		tailnet_op_answer(done, arg, rc, &why, node_id);
		return;
	}
	/* Tagged nodes' keys do not expire, users' do; an expired one stays expired. */
	if (!node_is_expired(n, now) && (n->n_tags > 0) != (n_tags > 0))
		groups |= NODE_GROUP_EXPIRY;
	op = tailnet_op_new(t, done, arg);
	x = node_txn(op, n, groups, &m);
	m->u.node.user_id = n->user_id;
	node_set_tags(&m->u.node, tags, n_tags);
	m->u.node.key_expiry_unix_s = tailnet_expiry_again(t, n, n_tags > 0, now, 0);
	m->u.node.is_expiry_off = n->is_expiry_off;
	audit_node(x, by, "node.tag", n, &m->u.node, groups);
	tailnet_op_submit_take(op, x);
}

/* A change of fields that own nothing. */
struct change {
	const struct node *n;
	const char *what;	/* in the audit record; static */
	uint32_t groups;
	bool is_so;		/* already: nothing is to be done */
	struct node next;	/* has them */
};

static void
change(struct tailnet *t, const struct actor *by, const struct change *c, tailnet_done_fn *done,
	void *arg)
{
	struct tailnet_op *op;
	struct mutation *m;
	struct txn *x;

	if (c->is_so) {
		tailnet_op_answer(done, arg, ERR_OK, NULL, c->n->id);
		return;
	}
	op = tailnet_op_new(t, done, arg);
	x = node_txn(op, c->n, c->groups, &m);
	m->u.node = c->next;
	m->u.node.id = c->n->id;
	audit_node(x, by, c->what, c->n, &m->u.node, c->groups);
	tailnet_op_submit_take(op, x);
}

void
tailnet_node_expire(struct tailnet *t, const struct actor *by, int64_t node_id,
	tailnet_done_fn *done, void *arg)
{
	struct node *n = node_find(t, node_id, done, arg);
	int64_t now = clock_wall_s();

	if (n == NULL)
		return;
	change(t, by, &(struct change){
		.n = n, .what = "node.expire", .groups = NODE_GROUP_EXPIRY,
		.is_so = node_is_expired(n, now),
		.next = { .key_expiry_unix_s = now, .is_expiry_off = n->is_expiry_off },
	}, done, arg);
}

void
tailnet_node_set_expiry(struct tailnet *t, const struct actor *by, int64_t node_id,
	int64_t expires_unix_s, tailnet_done_fn *done, void *arg)
{
	struct node *n = node_find(t, node_id, done, arg);
	struct err_text why;

	if (n == NULL)
		return;
	if (expires_unix_s != 0 && expires_unix_s <= clock_wall_s()) {
		err_say(&why, ERR_INVAL, "this time is past: `fairlead nodes expire` makes a key expire now");
		tailnet_op_answer(done, arg, ERR_INVAL, &why, node_id);
		return;
	}
	change(t, by, &(struct change){
		.n = n, .what = "node.expiry", .groups = NODE_GROUP_EXPIRY,
		.next = { .key_expiry_unix_s = expires_unix_s, .is_expiry_off = expires_unix_s == 0 },
	}, done, arg);
}

/* is_disabled: never, also after the next login. */
void
tailnet_node_set_no_expiry(struct tailnet *t, const struct actor *by, int64_t node_id,
	bool is_disabled, tailnet_done_fn *done, void *arg)
{
	struct node *n = node_find(t, node_id, done, arg);
	int64_t expiry = is_disabled ? 0 : tailnet_expiry_of_new(t, false, clock_wall_s(), 0);

	if (n == NULL)
		return;
	change(t, by, &(struct change){
		.n = n, .what = "node.expiry", .groups = NODE_GROUP_EXPIRY,
		.is_so = is_disabled ? n->is_expiry_off : n->key_expiry_unix_s != 0,
		.next = { .key_expiry_unix_s = expiry, .is_expiry_off = is_disabled },
	}, done, arg);
}

void
tailnet_node_set_authorized(struct tailnet *t, const struct actor *by, int64_t node_id,
	bool is_authorized, tailnet_done_fn *done, void *arg)
{
	struct node *n = node_find(t, node_id, done, arg);
	struct change c = {
		.n = n, .what = is_authorized ? "node.authorize" : "node.deauthorize",
		.groups = NODE_GROUP_JOIN,
		.next = { .is_authorized = is_authorized },
	};

	if (n == NULL)
		return;
	c.is_so = n->is_authorized == is_authorized;
	c.next.is_ephemeral = n->is_ephemeral;
	memcpy(c.next.authkey_id, n->authkey_id, sizeof(n->authkey_id));
	change(t, by, &c, done, arg);
}

/* wanted (NULL or family 0: none) is promised to op, unless it is own anyway. */
static enum err
ip_reserve(struct tailnet_op *op, int family, const struct net_ip *own, const struct net_ip *wanted,
	struct err_text *why)
{
	if (wanted == NULL || wanted->family == 0 || net_ip_eq(own, wanted))
		return ERR_OK;
	if (wanted->family != family)
		return err_say(why, ERR_INVAL, "this is no IPv%d address", family);
	return ipam_reserve_exact(op->t->ipam, wanted, family == 4 ? &op->kept4 : &op->kept6, why);
}

void
tailnet_node_set_ips(struct tailnet *t, const struct actor *by, int64_t node_id,
	const struct net_ip *ip4, const struct net_ip *ip6, tailnet_done_fn *done, void *arg)
{
	struct node *n = node_find(t, node_id, done, arg);
	struct tailnet_op *op;
	struct mutation *m;
	struct err_text why;
	struct txn *x;
	enum err rc;

	if (n == NULL)
		return;
	op = tailnet_op_new(t, done, arg);
	op->id = node_id;
	if ((rc = ip_reserve(op, 4, &n->ip4, ip4, &why)) == ERR_OK)
		rc = ip_reserve(op, 6, &n->ip6, ip6, &why);
	if (rc == ERR_OK && n->_is_moving)
		rc = err_say(&why, ERR_BUSY, "the node gets other addresses just now: try again");
	if (rc != ERR_OK || (op->kept4.ip.family == 0 && op->kept6.ip.family == 0)) {
		tailnet_op_refuse_take(op, rc, &why);
		return;
	}
	op->exists_text = "the address was given away just now";
	op->moving_id = n->id;
	n->_is_moving = true;
	x = node_txn(op, n, NODE_GROUP_IP, &m);
	m->u.node.ip4 = op->kept4.ip.family != 0 ? op->kept4.ip : n->ip4;
	m->u.node.ip6 = op->kept6.ip.family != 0 ? op->kept6.ip : n->ip6;
	audit_node(x, by, "node.ip", n, &m->u.node, NODE_GROUP_IP);
	tailnet_op_submit_take(op, x);
}

void
tailnet_node_remove(struct tailnet *t, const struct actor *by, int64_t node_id,
	tailnet_done_fn *done, void *arg)
{
	struct node *n = node_find(t, node_id, done, arg);
	struct tailnet_op *op;
	struct mutation *m;
	struct txn *x;

	if (n == NULL)
		return;
	op = tailnet_op_new(t, done, arg);
	op->id = op->removing_id = node_id;
	n->_is_removing = true;
	x = tailnet_op_txn(op);
	m = txn_add(x, MUTATION_NODE_DEL);
	m->u.node.id = node_id;
	audit_node(x, by, "node.remove", n, NULL, NODE_GROUP_ALL);
	log_info(LOG_COORD, "node is being removed", "node", LOG_NUM(node_id), "name", n->name, "by",
	    by->name);
	tailnet_op_submit_take(op, x);
}
