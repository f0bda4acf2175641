/* Credentials of the API: made, changed, checked, removed; what has ended is swept away. */
#include "coord/tailnet_cred.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "coord/store.h"
#include "coord/tag.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_tag.h"

#define USE_NOTED_S	60	/* a use is written at most so often */
#define PRUNE_EVERY_S	600

static void
refuse(tailnet_done_fn *done, void *arg, enum err rc, const struct err_text *why)
{
	tailnet_op_answer(done, arg, rc, why, 0);
}

static enum err
spec_check(struct tailnet *t, const struct tailnet_cred_spec *spec, struct err_text *why)
{
	if (spec->user_id != 0 && map_find(&t->users, &spec->user_id) == NULL)
		return err_say(why, ERR_NOTFOUND, "there is no such user");
	if (spec->description != NULL && strlen(spec->description) >= CRED_DESCRIPTION_MAX)
		return err_say(why, ERR_LIMIT, "a description has at most %d bytes",
		    CRED_DESCRIPTION_MAX - 1);
	if (spec->scopes != NULL && strlen(spec->scopes) >= CRED_SCOPES_MAX)
		return err_say(why, ERR_LIMIT, "the scopes are longer than %d bytes",
		    CRED_SCOPES_MAX - 1);
	/* A token has tags of its client. */
	return spec->kind == CRED_TOKEN ? ERR_OK : tailnet_tag_list_check(t, spec->tags, spec->n_tags, why);
}

static void
fill(struct cred *c, const struct tailnet_cred_spec *spec)
{
	snprintf(c->description, sizeof(c->description), "%s",
	    spec->description == NULL ? "" : spec->description);
	free(c->scopes);
	c->scopes = obj_strdup(spec->scopes == NULL ? "" : spec->scopes);
	tag_list_copy(spec->tags, spec->n_tags, &c->tags, &c->n_tags);
}

/* Tokens and sessions come and go by themselves: the audit record has what people decide. */
static bool
is_recorded(enum cred_kind kind)
{
	return kind == CRED_API || kind == CRED_CLIENT;
}

void
tailnet_cred_create(struct tailnet *t, const struct actor *by, const struct tailnet_cred_spec *spec,
	tailnet_done_fn *done, void *arg)
{
	struct err_text why;
	enum err rc = spec_check(t, spec, &why);
	struct tailnet_op *op;
	struct cred *c;
	struct txn *x;

	if (rc == ERR_OK && t->creds.count >= CREDS_MAX)
		rc = err_say(&why, ERR_FULL, "there are %d credentials: too many", CREDS_MAX);
	if (rc != ERR_OK) {
		refuse(done, arg, rc, &why);
		return;
	}
	op = tailnet_op_new(t, done, arg);
	op->exists_text = "what it belongs to was removed just now";
	x = tailnet_op_txn(op);
	if (spec->spends != NULL)
		snprintf(txn_add(x, MUTATION_CRED_DEL)->u.cred.id, CRED_ID_MAX, "%s", spec->spends);
	c = &txn_add(x, MUTATION_CRED_ADD)->u.cred;
	c->kind = spec->kind;
	cred_make(c, op->secret);
	memcpy(op->key_id, c->id, sizeof(op->key_id));
	c->user_id = spec->user_id;
	c->role = spec->role;
	snprintf(c->parent, sizeof(c->parent), "%s", spec->parent == NULL ? "" : spec->parent);
	snprintf(c->name, sizeof(c->name), "%s", spec->name == NULL ? "" : spec->name);
	fill(c, spec);
	c->created_unix_s = c->last_used_unix_s = clock_wall_s();
	if (is_recorded(c->kind))
		c->last_used_unix_s = 0;
	c->expires_unix_s = spec->expires_unix_s;
	if (is_recorded(c->kind) || spec->spends != NULL)
		audit_cred(x, by, is_recorded(c->kind) ? "credential.create" : "session.open", NULL, c);
	tailnet_op_submit_take(op, x);
}

struct cred *
tailnet_cred_find(const struct tailnet *t, const char *id)
{
	char key[CRED_ID_MAX] = "";

	if (strlen(id) != CRED_ID_CHARS)
		return NULL;
	memcpy(key, id, CRED_ID_CHARS);
	return map_find(&t->creds, key);
}

static struct cred *
find_or_refuse(struct tailnet *t, const char *id, tailnet_done_fn *done, void *arg)
{
	struct cred *c = tailnet_cred_find(t, id);
	struct err_text why;

	if (c == NULL)
		refuse(done, arg, err_say(&why, ERR_NOTFOUND, "there is no such credential"), &why);
	return c;
}

/* An operation on one credential, and its mutation. */
static struct txn *
cred_txn(struct tailnet_op *op, const struct cred *c, enum mutation_kind kind, struct mutation **m)
{
	struct txn *x = tailnet_op_txn(op);

	memcpy(op->key_id, c->id, sizeof(op->key_id));
	*m = txn_add(x, kind);
	(*m)->u.cred.kind = c->kind;
	memcpy((*m)->u.cred.id, c->id, sizeof(c->id));
	return x;
}

void
tailnet_cred_set(struct tailnet *t, const struct actor *by, const char *id,
	const struct tailnet_cred_spec *spec, tailnet_done_fn *done, void *arg)
{
	struct cred *c = find_or_refuse(t, id, done, arg);
	struct tailnet_op *op;
	struct err_text why;
	struct mutation *m;
	struct txn *x;
	enum err rc;

	if (c == NULL)
		return;
	if ((rc = spec_check(t, spec, &why)) != ERR_OK) {
		refuse(done, arg, rc, &why);
		return;
	}
	op = tailnet_op_new(t, done, arg);
	x = cred_txn(op, c, MUTATION_CRED_SET, &m);
	fill(&m->u.cred, spec);
	m->u.cred.user_id = c->user_id;
	m->u.cred.expires_unix_s = c->expires_unix_s;
	audit_cred(x, by, "credential.set", c, &m->u.cred);
	tailnet_op_submit_take(op, x);
}

void
tailnet_cred_revoke(struct tailnet *t, const struct actor *by, const char *id, tailnet_done_fn *done,
	void *arg)
{
	struct cred *c = find_or_refuse(t, id, done, arg);
	struct tailnet_op *op;
	struct cred after;
	struct mutation *m;
	struct txn *x;

	if (c == NULL)
		return;
	if (c->revoked_unix_s != 0) {
		tailnet_op_answer(done, arg, ERR_OK, NULL, 0);
		return;
	}
	op = tailnet_op_new(t, done, arg);
	x = cred_txn(op, c, MUTATION_CRED_REVOKE, &m);
	after = *c;
	after.revoked_unix_s = m->at_unix_s;
	audit_cred(x, by, "credential.revoke", c, &after);
	tailnet_op_submit_take(op, x);
}

void
tailnet_cred_remove(struct tailnet *t, const struct actor *by, const char *id, tailnet_done_fn *done,
	void *arg)
{
	struct cred *c = find_or_refuse(t, id, done, arg);
	struct tailnet_op *op;
	struct mutation *m;
	struct txn *x;

	if (c == NULL)
		return;
	op = tailnet_op_new(t, done, arg);
	x = cred_txn(op, c, MUTATION_CRED_DEL, &m);
	if (is_recorded(c->kind))
		audit_cred(x, by, "credential.remove", c, NULL);
	tailnet_op_submit_take(op, x);
}

/* --- use ------------------------------------------------------------------------------------------ */

static void
on_use_written(void *arg, enum err rc, const struct err_text *why)
{
	(void)arg;
	(void)rc;	/* the next use says it again */
	(void)why;
}

static void
use_note(struct tailnet *t, struct cred *c, int64_t now)
{
	struct mutation *m;
	struct txn *x;

	c->last_used_unix_s = now;
	if (now - c->_used_written_unix_s < USE_NOTED_S)
		return;
	c->_used_written_unix_s = now;
	x = txn_new(t, on_use_written, NULL);
	m = txn_add(x, MUTATION_CRED_USE);
	memcpy(m->u.cred.id, c->id, sizeof(c->id));
	if (store_submit_take(t->deps.store, &x) != ERR_OK)
		txn_free(x);
}

/* ERR_OK, or why it is no good any more. */
static enum err
usable(const struct tailnet *t, const struct cred *c, int64_t now, struct err_text *why)
{
	const struct cred *client;
	char when[CLOCK_RFC3339_BYTES];

	if (c->revoked_unix_s != 0)
		return err_say(why, ERR_DENIED, "credential %s was revoked on %.10s", c->id,
		    clock_rfc3339(c->revoked_unix_s, when));
	if (c->expires_unix_s != 0 && c->expires_unix_s <= now)
		return err_say(why, ERR_DENIED, "credential %s expired at %s", c->id,
		    clock_rfc3339(c->expires_unix_s, when));
	if (c->kind == CRED_SESSION && c->last_used_unix_s + CRED_IDLE_S <= now)
		return err_say(why, ERR_DENIED, "the session has ended: it was unused for %d hours",
		    CRED_IDLE_S / 3600);
	if (c->user_id != 0 && map_find(&t->users, &c->user_id) == NULL)
		return err_say(why, ERR_DENIED, "the user of credential %s was removed", c->id);
	if (c->kind == CRED_TOKEN && ((client = tailnet_cred_find(t, c->parent)) == NULL ||
	    client->revoked_unix_s != 0))
		return err_say(why, ERR_DENIED, "the client of this access token was revoked");
	return ERR_OK;
}

const struct cred *
tailnet_cred_check(struct tailnet *t, const char *text, size_t n, unsigned kinds, struct err_text *why)
{
	static const char unknown[] = "the credential is not known here";
	static const uint8_t nothing[CRED_HASH_BYTES];
	uint8_t hash[CRED_HASH_BYTES];
	char id[CRED_ID_MAX];
	enum cred_kind kind;
	struct cred *c;

	if (cred_parse(text, n, &kind, id, hash) != ERR_OK) {
		err_say(why, ERR_DENIED, "%s", unknown);
		return NULL;
	}
	c = map_find(&t->creds, id);
	bool is_right = cred_hash_eq(hash, c != NULL ? c->secret_hash : nothing);
	if (c == NULL || !is_right || c->kind != kind) {
		err_say(why, ERR_DENIED, "%s", unknown);
		return NULL;
	}
	if ((kinds & (1u << kind)) == 0) {
		err_say(why, ERR_DENIED, "this kind of credential is not for this");
		return NULL;
	}
	int64_t now = clock_wall_s();
	if (usable(t, c, now, why) != ERR_OK)
		return NULL;
	if (c->kind != CRED_LINK)
		use_note(t, c, now);
	return c;
}

enum user_role
tailnet_cred_role(const struct tailnet *t, const struct cred *c)
{
	const struct user *u = c->user_id != 0 ? map_find(&t->users, &c->user_id) : NULL;

	return u != NULL ? u->role : c->user_id != 0 ? USER_MEMBER : c->role;
}

/* --- sweeping --------------------------------------------------------------------------------------- */

void
tailnet_prune_run(struct tailnet *t)
{
	struct txn *x = txn_new(t, on_use_written, NULL);
	struct mutation *m = txn_add(x, MUTATION_PRUNE);

	m->u.prune.audit_before_unix_s = m->at_unix_s - (int64_t)t->audit_days * 86400;
	if (store_submit_take(t->deps.store, &x) != ERR_OK)
		txn_free(x);
}

static void
on_prune(evutil_socket_t fd, short what, void *arg)
{
	struct tailnet *t = arg;

	(void)fd;
	(void)what;
	OBJ_CHECK(t, TAILNET_MAGIC);
	tailnet_prune_run(t);
}

void
tailnet_prune_start(struct tailnet *t, unsigned audit_days)
{
	struct timeval every = { .tv_sec = PRUNE_EVERY_S };

	t->audit_days = audit_days;
	t->prune_timer = event_new(t->deps.base, -1, EV_PERSIST, on_prune, t);
	ASSERT(t->prune_timer != NULL && event_add(t->prune_timer, &every) == 0);
}

void
tailnet_creds_init(struct tailnet *t)
{
	MAP_INIT(&t->creds, struct cred, id);
}

void
tailnet_creds_fini(struct tailnet *t)
{
	struct cred *c;

	if (t->prune_timer != NULL)
		event_free(t->prune_timer);
	for (size_t at = 0; (c = map_next(&t->creds, &at)) != NULL; )
		cred_free(c);
	map_fini(&t->creds);
}

/* --- mutations -------------------------------------------------------------------------------------- */

static void
remove_where(struct tailnet *t, bool (*is_it)(const struct cred *c, const struct mutation *m),
	const struct mutation *m)
{
	struct cred *c;

	for (size_t at = 0; (c = map_next(&t->creds, &at)) != NULL; ) {
		if (is_it(c, m)) {
			map_remove(&t->creds, c->id);
			cred_free(c);
		}
	}
}

static bool
is_child(const struct cred *c, const struct mutation *m)
{
	return memcmp(c->parent, m->u.cred.id, sizeof(c->parent)) == 0;
}

/* The same rows as in store_cred. */
static bool
is_ended(const struct cred *c, const struct mutation *m)
{
	return c->kind != CRED_API && c->kind != CRED_CLIENT && c->expires_unix_s != 0 &&
	    c->expires_unix_s <= m->at_unix_s;
}

static void
add(struct tailnet *t, struct cred *from)
{
	struct cred *c = cred_new();
	char *scopes = c->scopes;

	*c = *from;
	c->magic = CRED_MAGIC;
	if (c->scopes == NULL)
		c->scopes = scopes;
	else
		free(scopes);
	from->scopes = NULL;	/* moved, with the tags */
	from->tags = NULL;
	from->n_tags = 0;
	c->_used_written_unix_s = c->last_used_unix_s;
	ASSERT(map_put(&t->creds, c) == NULL);
}

static void
set(struct cred *c, struct cred *from)
{
	cred_fini(c);
	memcpy(c->description, from->description, sizeof(c->description));
	c->scopes = from->scopes;
	c->tags = from->tags;
	c->n_tags = from->n_tags;
	from->scopes = NULL;
	from->tags = NULL;
	from->n_tags = 0;
}

void
tailnet_cred_apply(struct tailnet *t, struct mutation *m)
{
	struct cred *c = m->kind == MUTATION_PRUNE ? NULL : map_find(&t->creds, m->u.cred.id);

	switch (m->kind) {
	case MUTATION_CRED_ADD:
		add(t, &m->u.cred);
		break;
	case MUTATION_CRED_SET:
		set(c, &m->u.cred);
		break;
	case MUTATION_CRED_REVOKE:
		OBJ_CHECK(c, CRED_MAGIC);
		c->revoked_unix_s = m->at_unix_s;
		break;
	case MUTATION_CRED_DEL:
		OBJ_CHECK(c, CRED_MAGIC);
		if (c->kind == CRED_CLIENT)
			remove_where(t, is_child, m);
		map_remove(&t->creds, m->u.cred.id);
		cred_free(c);
		break;
	case MUTATION_PRUNE:
		remove_where(t, is_ended, m);
		break;
	default:		/* CRED_USE: memory was first */
		break;
	}
}
