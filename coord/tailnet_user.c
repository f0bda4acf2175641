/* Users: made, renamed, removed. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "coord/store.h"
#include "coord/tailnet_private.h"

#define LAST_OWNER "this is the only owner: make another user owner first"
#define NAME_RULE "a user name is 1-127 characters of A-Z a-z 0-9 . _ @ + -"

static void
refuse(tailnet_done_fn *done, void *arg, enum err rc, const char *text, const char *name)
{
	struct err_text why;

	snprintf(why.s, sizeof(why.s), "%s%s", text, name);
	tailnet_op_answer(done, arg, rc, &why, 0);
}

/* The user, or NULL with the refusal answered. */
static struct user *
user_find(struct tailnet *t, int64_t id, tailnet_done_fn *done, void *arg)
{
	struct user *u = map_find(&t->users, &id);

	if (u == NULL)
		refuse(done, arg, ERR_NOTFOUND, "there is no such user", "");
	return u;
}

/* A transaction that changes old: *u is as it is, to be changed. */
static struct txn *
user_txn(struct tailnet_op *op, const struct user *old, enum mutation_kind kind, struct user **u)
{
	struct txn *x = tailnet_op_txn(op);

	op->id = old->id;
	*u = &txn_add(x, kind)->u.user;
	**u = *old;
	return x;
}

/* May the name be given? If not, that is answered. */
static bool
name_is_ok(struct tailnet *t, const char *name, tailnet_done_fn *done, void *arg)
{
	char padded[USER_NAME_MAX] = "";

	if (!user_name_is_valid(name)) {
		refuse(done, arg, ERR_INVAL, NAME_RULE, "");
		return false;
	}
	snprintf(padded, sizeof(padded), "%s", name);
	if (map_find(&t->users_by_name, padded) != NULL) {
		refuse(done, arg, ERR_EXISTS, "there is already a user ", name);
		return false;
	}
	return true;
}

void
tailnet_user_create(struct tailnet *t, const struct actor *by, const struct tailnet_user_spec *spec,
	tailnet_done_fn *done, void *arg)
{
	const char *display = spec->display_name;
	struct tailnet_op *op;
	struct txn *x;
	struct user *u;

	if (!name_is_ok(t, spec->name, done, arg))
		return;
	op = tailnet_op_new(t, done, arg);
	op->exists_text = "there is already a user of that name";
	x = tailnet_op_txn(op);
	u = &txn_add(x, MUTATION_USER_ADD)->u.user;
	op->id = u->id = store_next_user_id(t->deps.store);
	u->role = spec->role;
	snprintf(u->name, sizeof(u->name), "%s", spec->name);
	snprintf(u->display_name, sizeof(u->display_name), "%s",
	    display == NULL || display[0] == '\0' ? spec->name : display);
	u->created_unix_s = clock_wall_s();
	audit_user(x, by, "user.create", NULL, u);
	tailnet_op_submit_take(op, x);
}

void
tailnet_user_rename(struct tailnet *t, const struct actor *by, int64_t user_id, const char *name,
	tailnet_done_fn *done, void *arg)
{
	struct user *old = user_find(t, user_id, done, arg);
	struct tailnet_op *op;
	struct txn *x;
	struct user *u;

	if (old == NULL)
		return;
	if (strcmp(old->name, name) == 0) {
		tailnet_op_answer(done, arg, ERR_OK, NULL, user_id);
		return;
	}
	if (!name_is_ok(t, name, done, arg))
		return;
	op = tailnet_op_new(t, done, arg);
	op->exists_text = "there is already a user of that name";
	x = user_txn(op, old, MUTATION_USER_NAME, &u);
	memset(u->name, 0, sizeof(u->name));
	snprintf(u->name, sizeof(u->name), "%s", name);
	audit_user(x, by, "user.rename", old, u);
	tailnet_op_submit_take(op, x);
}

/* Somebody must be left who can make owners; among several users only. */
static bool
is_last_owner(const struct tailnet *t, const struct user *u)
{
	const struct user *other;

	if (u->role != USER_OWNER || t->users.count == 1)
		return false;
	for (size_t at = 0; (other = map_next(&t->users, &at)) != NULL; ) {
		if (other != u && other->role == USER_OWNER)
			return false;
	}
	return true;
}

void
tailnet_user_set_role(struct tailnet *t, const struct actor *by, int64_t user_id, enum user_role role,
	tailnet_done_fn *done, void *arg)
{
	struct user *old = user_find(t, user_id, done, arg);
	struct tailnet_op *op;
	struct txn *x;
	struct user *u;

	if (old == NULL)
		return;
	if (old->role == role) {
		tailnet_op_answer(done, arg, ERR_OK, NULL, user_id);
		return;
	}
	if (is_last_owner(t, old)) {
		refuse(done, arg, ERR_EXISTS, LAST_OWNER, "");
		return;
	}
	op = tailnet_op_new(t, done, arg);
	x = user_txn(op, old, MUTATION_USER_ROLE, &u);
	u->role = role;
	audit_user(x, by, "user.role", old, u);
	tailnet_op_submit_take(op, x);
}

void
tailnet_user_remove(struct tailnet *t, const struct actor *by, int64_t user_id,
	tailnet_done_fn *done, void *arg)
{
	struct user *u = user_find(t, user_id, done, arg);
	const struct cred *c;
	struct tailnet_op *op;
	struct err_text why;
	struct txn *x;

	if (u == NULL)
		return;
	if (u->n_nodes > 0 || u->n_keys > 0) {
		err_say(&why, ERR_EXISTS, "user %s still has %u nodes and %u auth keys: remove them "
		    "first", u->name, u->n_nodes, u->n_keys);
		tailnet_op_answer(done, arg, ERR_EXISTS, &why, user_id);
		return;
	}
	if (is_last_owner(t, u)) {
		refuse(done, arg, ERR_EXISTS, LAST_OWNER, "");
		return;
	}
	op = tailnet_op_new(t, done, arg);
	op->exists_text = "the user got a node or an auth key just now: remove it first";
	op->id = user_id;
	x = tailnet_op_txn(op);
	for (size_t at = 0; (c = map_next(&t->creds, &at)) != NULL; ) {
		if (c->user_id == user_id)
			memcpy(txn_add(x, MUTATION_CRED_DEL)->u.cred.id, c->id, sizeof(c->id));
	}
	txn_add(x, MUTATION_USER_DEL)->u.user.id = user_id;
	audit_user(x, by, "user.remove", u, NULL);
	tailnet_op_submit_take(op, x);
}
