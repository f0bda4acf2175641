/* Auth keys: made, revoked, removed. Their use is in tailnet_join.c. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "coord/ipam.h"
#include "coord/store.h"
#include "coord/tag.h"
#include "coord/tailnet_cluster.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_tag.h"

/* What is wrong with it, if anything. */
static enum err
spec_check(struct tailnet *t, const struct tailnet_key_spec *spec, struct err_text *why)
{
	enum err rc;

	if (map_find(&t->users, &spec->user_id) == NULL)
		return err_say(why, ERR_NOTFOUND, "there is no such user");
	if (spec->description != NULL && strlen(spec->description) >= AUTHKEY_DESCRIPTION_MAX)
		return err_say(why, ERR_LIMIT, "a description has at most %d bytes",
		    AUTHKEY_DESCRIPTION_MAX - 1);
	if ((rc = tailnet_tag_list_check(t, spec->tags, spec->n_tags, why)) != ERR_OK)
		return rc;
	if (spec->expires_unix_s != 0 && spec->expires_unix_s <= clock_wall_s())
		return err_say(why, ERR_INVAL, "the key would have expired already");
	if (tailnet_cluster_key_check(t, spec, why) != ERR_OK)
		return ERR_INVAL;
	if (spec->node_name != NULL && (spec->is_reusable || spec->is_ephemeral))
		return err_say(why, ERR_INVAL, "the key of a planned node is for that node alone: neither "
		    "reusable nor ephemeral");
	if (spec->node_name != NULL && !dns_label_is_valid(spec->node_name))
		return err_say(why, ERR_INVAL, "\"%.64s\" is no name: 1-63 characters of a-z 0-9 and "
		    "'-', no '-' at either end", spec->node_name);
	return ERR_OK;
}

static enum err
plan_ip(struct tailnet *t, int family, const struct net_ip *wanted, struct ipam_hold *out,
	struct err_text *why)
{
	if (wanted->family == 0)
		return ipam_reserve_one(t->ipam, family, clock_wall_s(), &out->ip, why);
	if (wanted->family != family)
		return err_say(why, ERR_INVAL, "this is no IPv%d address", family);
	return ipam_reserve_exact(t->ipam, wanted, out, why);
}

/* Promises name and addresses: kept by op until the answer, by the key afterwards. */
static enum err
plan_reserve(struct tailnet_op *op, const struct tailnet_key_spec *spec, struct err_text *why)
{
	char name[DNS_LABEL_MAX] = "";
	enum err rc;

	memcpy(name, spec->node_name, strlen(spec->node_name));
	if (!tailnet_name_hold(op->t, name))
		return err_say(why, ERR_EXISTS, "a node is named %s already, or that name is promised",
		    name);
	memcpy(op->kept_name, name, sizeof(name));
	if ((rc = plan_ip(op->t, 4, &spec->node_ip4, &op->kept4, why)) != ERR_OK)
		return rc;
	return plan_ip(op->t, 6, &spec->node_ip6, &op->kept6, why);
}

/* Adds what op keeps to the transaction that adds the key. */
static void
plan_add(const struct tailnet_op *op, struct txn *x, struct authkey *k)
{
	struct authkey *p;

	if (op->kept_name[0] == '\0')
		return;
	memcpy(k->plan.name, op->kept_name, sizeof(k->plan.name));	/* for the audit record */
	k->plan.ip4 = op->kept4.ip;
	k->plan.ip6 = op->kept6.ip;
	p = &txn_add(x, MUTATION_KEY_PLAN)->u.key;
	memcpy(p->id, k->id, sizeof(p->id));
	p->plan = k->plan;
}

void
tailnet_key_create(struct tailnet *t, const struct actor *by, const struct tailnet_key_spec *spec,
	tailnet_done_fn *done, void *arg)
{
	struct err_text why;
	enum err rc = spec_check(t, spec, &why);
	struct tailnet_op *op;
	struct authkey *k;
	struct txn *x;

	if (rc != ERR_OK) {
		tailnet_op_answer(done, arg, rc, &why, 0);
		return;
	}
	op = tailnet_op_new(t, done, arg);
	op->exists_text = "the key's user was removed just now";
	if (spec->node_name != NULL) {
		op->exists_text = "name or address was given away just now";
		if ((rc = plan_reserve(op, spec, &why)) != ERR_OK) {
			tailnet_op_refuse_take(op, rc, &why);
			return;
		}
	}
	x = tailnet_op_txn(op);
	k = &txn_add(x, MUTATION_KEY_ADD)->u.key;
	authkey_make(k, op->secret);
	memcpy(op->key_id, k->id, sizeof(op->key_id));
	k->user_id = spec->user_id;
	snprintf(k->description, sizeof(k->description), "%s",
	    spec->description == NULL ? "" : spec->description);
	tag_list_copy(spec->tags, spec->n_tags, &k->tags, &k->n_tags);
	k->is_reusable = spec->is_reusable;
	k->is_ephemeral = spec->is_ephemeral;
	k->is_preauthorized = spec->is_preauthorized;
	k->created_unix_s = clock_wall_s();
	k->expires_unix_s = spec->expires_unix_s;
	plan_add(op, x, k);
	audit_key(x, by, "key.create", NULL, k);
	tailnet_op_submit_take(op, x);
}

/* The key of that text id, or NULL with the refusal answered. */
static struct authkey *
key_find(struct tailnet *t, const char *key_id, tailnet_done_fn *done, void *arg)
{
	char id[AUTHKEY_ID_CHARS + 4] = "";
	struct authkey *k = NULL;
	struct err_text why;

	if (strlen(key_id) == AUTHKEY_ID_CHARS) {
		memcpy(id, key_id, AUTHKEY_ID_CHARS);
		k = map_find(&t->authkeys, id);
	}
	if (k == NULL) {
		err_say(&why, ERR_NOTFOUND, "there is no such auth key: `fairlead keys list` shows "
		    "them");
		tailnet_op_answer(done, arg, ERR_NOTFOUND, &why, 0);
	}
	return k;
}

void
tailnet_key_revoke(struct tailnet *t, const struct actor *by, const char *key_id,
	tailnet_done_fn *done, void *arg)
{
	struct authkey *k = key_find(t, key_id, done, arg);
	struct authkey after;
	struct tailnet_op *op;
	struct mutation *m;
	struct txn *x;

	if (k == NULL)
		return;
	if (k->revoked_unix_s != 0) {
		tailnet_op_answer(done, arg, ERR_OK, NULL, 0);
		return;
	}
	op = tailnet_op_new(t, done, arg);
	memcpy(op->key_id, k->id, sizeof(op->key_id));
	x = tailnet_op_txn(op);
	m = txn_add(x, MUTATION_KEY_REVOKE);
	memcpy(m->u.key.id, k->id, sizeof(k->id));
	after = *k;
	after.revoked_unix_s = m->at_unix_s;
	if (k->plan.name[0] != '\0') {
		memcpy(txn_add(x, MUTATION_KEY_PLAN_END)->u.key.id, k->id, sizeof(k->id));
		after.plan = (struct authkey_plan){ .name = "" };
	}
	audit_key(x, by, "key.revoke", k, &after);
	tailnet_op_submit_take(op, x);
}

void
tailnet_key_remove(struct tailnet *t, const struct actor *by, const char *key_id,
	tailnet_done_fn *done, void *arg)
{
	struct authkey *k = key_find(t, key_id, done, arg);
	struct tailnet_op *op;
	struct txn *x;

	if (k == NULL)
		return;
	op = tailnet_op_new(t, done, arg);
	memcpy(op->key_id, k->id, sizeof(op->key_id));
	x = tailnet_op_txn(op);
	memcpy(txn_add(x, MUTATION_KEY_DEL)->u.key.id, k->id, sizeof(k->id));
	audit_key(x, by, "key.remove", k, NULL);
	tailnet_op_submit_take(op, x);
}

void
tailnet_key_plan_expire(struct tailnet *t, struct authkey *k)
{
	static const struct actor by = { .name = "key expiry" };
	struct tailnet_op *op;
	struct authkey after = *k;
	struct txn *x;

	if (k->plan.name[0] == '\0' || k->_is_plan_ending || k->uses_pending > 0)
		return;
	k->_is_plan_ending = true;
	op = tailnet_op_new(t, NULL, NULL);
	memcpy(op->key_id, k->id, sizeof(op->key_id));
	op->is_plan_end = true;
	x = tailnet_op_txn(op);
	memcpy(txn_add(x, MUTATION_KEY_PLAN_END)->u.key.id, k->id, sizeof(k->id));
	after.plan = (struct authkey_plan){ .name = "" };
	audit_key(x, &by, "key.plan_end", k, &after);
	tailnet_op_submit_take(op, x);
}
