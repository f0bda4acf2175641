/* Hard changes asked for by the API: from transaction to answer. */
#include <string.h>

#include "coord/ipam.h"
#include "coord/store.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_route.h"

struct tailnet_op *
tailnet_op_new(struct tailnet *t, tailnet_done_fn *done, void *arg)
{
	struct tailnet_op *op = obj_alloc(sizeof(*op));

	op->t = t;
	op->done = done;
	op->arg = arg;
	return op;
}

void
tailnet_op_answer(tailnet_done_fn *done, void *arg, enum err rc, const struct err_text *why,
	int64_t id)
{
	struct tailnet_result res = { .rc = rc, .id = id };

	if (why != NULL)
		res.why = *why;
	if (done != NULL)
		done(arg, &res);
}

/* txn_done_fn */
static void
on_txn(void *arg, enum err rc, const struct err_text *why)
{
	struct tailnet_op *op = arg;
	struct tailnet_result res = { .rc = rc, .id = op->id };
	struct authkey *k;
	struct node *n;

	if (rc != ERR_OK)
		res.why = *why;
	if (rc == ERR_EXISTS && op->exists_text != NULL)
		err_say(&res.why, rc, "%s", op->exists_text);
	if (rc == ERR_OK && op->key_id[0] != '\0')
		res.key_id = op->key_id;
	if (rc == ERR_OK && op->secret[0] != '\0')
		res.secret = op->secret;
	if (op->held_name[0] != '\0')
		tailnet_name_give(op->t, op->held_name);
	if (rc != ERR_OK && op->kept_name[0] != '\0')
		tailnet_name_give(op->t, op->kept_name);
	if (rc != ERR_OK) {
		ipam_give_back(op->t->ipam, &op->kept4);
		ipam_give_back(op->t->ipam, &op->kept6);
	}
	if (op->removing_id != 0 && (n = map_find(&op->t->nodes, &op->removing_id)) != NULL)
		n->_is_removing = false;
	if (rc != ERR_OK && op->is_plan_end &&
	    (k = map_find(&op->t->authkeys, op->key_id)) != NULL)
		k->_is_plan_ending = false;
	if (op->moving_id != 0 && (n = map_find(&op->t->nodes, &op->moving_id)) != NULL)
		n->_is_moving = false;
	if (op->renaming_id != 0 && (n = map_find(&op->t->nodes, &op->renaming_id)) != NULL) {
		n->_n_renaming--;
		if (rc == ERR_OK)
			tailnet_node_hostname(op->t, n);	/* may have changed meanwhile */
	}
	if (op->done != NULL)
		op->done(op->arg, &res);
	if (op->routing_id != 0)
		tailnet_route_ended(op->t, op->routing_id, rc);
	explicit_bzero(op->secret, sizeof(op->secret));
	free(op);
}

struct txn *
tailnet_op_txn(struct tailnet_op *op)
{
	return txn_new(op->t, on_txn, op);
}

void
tailnet_op_submit_take(struct tailnet_op *op, struct txn *x)
{
	struct err_text why;
	enum err rc = store_submit_take(op->t->deps.store, &x);

	if (rc == ERR_OK)
		return;
	txn_free(x);
	err_say(&why, rc, "the server has more changes to write than it can: try again in a few "
	    "seconds");
	on_txn(op, rc, &why);
}

void
tailnet_op_refuse_take(struct tailnet_op *op, enum err rc, const struct err_text *why)
{
	op->exists_text = NULL;		/* why says it */
	on_txn(op, rc, why);
}
