/* Quotas: what is set, and which nodes are charged to what. */
#include "coord/tailnet_quota.h"

#include <stdlib.h>
#include <string.h>

#include "coord/mutation.h"
#include "coord/tailnet_private.h"

/* Of one node: its own, and its tags' or its user's. */
#define CHARGES_MAX	(1 + NODE_TAGS_MAX)

/* A node that is charged to something. */
struct charged {
	int64_t id;			/* first: key of the map */
	int64_t own_bytes_per_s;	/* 0: own is NULL */
	struct quota *own;		/* held */
	unsigned n;
	struct quota *list[CHARGES_MAX];	/* own and borrowed ones, as the relay was told */
};

/* --- look-ups --------------------------------------------------------------------------------- */

static struct tailnet_quota *
rule_find(const struct tailnet *t, const struct quota_rule *like)
{
	return map_find(&t->quotas->rules, like->subject);
}

const struct tailnet_quota *
tailnet_quota_find(const struct tailnet *t, const char *subject)
{
	struct quota_rule r;

	return quota_rule_parse(subject, &r) == ERR_OK ? rule_find(t, &r) : NULL;
}

int64_t
tailnet_quota_default(const struct tailnet *t)
{
	struct quota_rule like = quota_rule_make(QUOTA_RULE_DEFAULT, 0);
	const struct tailnet_quota *d = rule_find(t, &like);

	return d != NULL ? d->r.bytes_per_s : t->quotas->configured_bytes_per_s;
}

/* Of the node alone; 0: no limit. */
static int64_t
own_rate(const struct tailnet *t, const struct node *n)
{
	struct quota_rule like = quota_rule_make(QUOTA_RULE_NODE, n->id);
	const struct tailnet_quota *own = rule_find(t, &like);

	return own != NULL ? own->r.bytes_per_s : tailnet_quota_default(t);
}

static bool
is_charged_to(const struct tailnet *t, const struct node *n, const struct quota_rule *r)
{
	struct quota_rule own = quota_rule_make(QUOTA_RULE_NODE, n->id);

	switch (r->kind) {
	case QUOTA_RULE_DEFAULT:
		return rule_find(t, &own) == NULL;
	case QUOTA_RULE_NODE:
		return n->id == r->id;
	case QUOTA_RULE_TAG:
		return tag_list_has(n->tags, n->n_tags, r->subject);
	default:
		return n->n_tags == 0 && n->user_id == r->id;
	}
}

unsigned
tailnet_quota_nodes(const struct tailnet *t, const struct quota_rule *r)
{
	const struct node *n;
	unsigned count = 0;

	for (size_t at = 0; (n = map_next(&t->nodes, &at)) != NULL;)
		count += is_charged_to(t, n, r);
	return count;
}

/* The user or node of this name; NULL and *id 0: none. */
static void
named_find(struct tailnet *t, const char *name, int64_t *user_id, int64_t *node_id)
{
	const struct user *u = tailnet_user_find(t, name);
	const struct node *n = tailnet_node_find(t, name);

	*user_id = u != NULL ? u->id : 0;
	*node_id = n != NULL ? n->id : 0;
}

enum err
tailnet_quota_resolve(struct tailnet *t, const char *text, struct quota_rule *out, struct err_text *why)
{
	bool is_node = strncmp(text, "node:", 5) == 0, is_user = strncmp(text, "user:", 5) == 0;
	const char *name = is_node || is_user ? text + 5 : text;
	const struct tailnet_quota *set;
	int64_t user_id, node_id;

	named_find(t, name, &user_id, &node_id);
	if (strcmp(text, "default") == 0)
		*out = quota_rule_make(QUOTA_RULE_DEFAULT, 0);
	else if (tag_is_valid(text))
		*out = quota_rule_make_tag(text);
	else if (strncmp(text, "tag:", 4) == 0)
		return err_say(why, ERR_INVAL, "\"%.80s\" is no tag", text);
	else if (!is_node && !is_user && user_id != 0 && node_id != 0)
		return err_say(why, ERR_INVAL, "there are a node and a user called %.80s: say node:%.80s or "
		    "user:%.80s", name, name, name);
	else if (!is_user && node_id != 0)
		*out = quota_rule_make(QUOTA_RULE_NODE, node_id);
	else if (!is_node && user_id != 0)
		*out = quota_rule_make(QUOTA_RULE_USER, user_id);
	else
		return err_say(why, ERR_NOTFOUND, "there is no %s called \"%.80s\"%s",
		    is_node ? "node" : is_user ? "user" : "node or user", name,
		    is_node || is_user ? "" : "; a quota is of a node, a user, a tag (tag:x) or \"default\"");
	set = rule_find(t, out);
	out->bytes_per_s = set != NULL ? set->r.bytes_per_s : 0;
	return ERR_OK;
}

/* --- who is charged to what ------------------------------------------------------------------- */

/* The shared one of a tag or user, made when the first node needs it. NULL: none is set. */
static struct quota *
shared_quota(struct tailnet *t, const struct quota_rule *like)
{
	struct tailnet_quota *set = rule_find(t, like);

	if (set == NULL)
		return NULL;
	if (set->q == NULL)
		set->q = t->deps.quota_ops->make(set->r.bytes_per_s);
	return set->q;
}

static unsigned
shared_list(struct tailnet *t, const struct node *n, struct quota *out[CHARGES_MAX - 1])
{
	struct quota_rule like = quota_rule_make(QUOTA_RULE_USER, n->user_id);
	unsigned count = 0;

	if (n->n_tags == 0) {
		out[0] = shared_quota(t, &like);
		return out[0] != NULL;
	}
	for (unsigned i = 0; i < n->n_tags && count < CHARGES_MAX - 1; i++) {
		like = quota_rule_make_tag(n->tags[i]);
		if ((out[count] = shared_quota(t, &like)) != NULL)
			count++;
	}
	return count;
}

static void
charged_free(struct tailnet *t, struct charged *c)
{
	map_remove(&t->quotas->charged, &c->id);
	if (c->own != NULL)
		t->deps.quota_ops->drop(c->own);
	free(c);
}

/* false: its own is as it was, but for the rate. */
static bool
own_follow(struct tailnet *t, struct charged *c, int64_t bytes_per_s)
{
	const struct tailnet_quota_ops *ops = t->deps.quota_ops;

	if (c->own_bytes_per_s == bytes_per_s)
		return false;
	c->own_bytes_per_s = bytes_per_s;
	if (c->own != NULL && bytes_per_s != 0) {
		ops->set_rate(c->own, bytes_per_s);
		return false;
	}
	if (c->own != NULL)
		ops->drop(c->own);
	c->own = bytes_per_s != 0 ? ops->make(bytes_per_s) : NULL;
	return true;
}

/* is_forced: the relay does not know what it was told. */
static void
follow(struct tailnet *t, const struct node *n, bool is_forced)
{
	struct charged *c = map_find(&t->quotas->charged, &n->id);
	struct quota *list[CHARGES_MAX];
	int64_t own = own_rate(t, n);
	unsigned count = shared_list(t, n, list), n_before;
	bool is_other;

	if (c == NULL && count == 0 && own == 0)
		return;
	if (c == NULL) {
		c = obj_alloc(sizeof(*c));
		c->id = n->id;
		map_put(&t->quotas->charged, c);
	}
	n_before = c->n;
	is_other = own_follow(t, c, own);
	if (c->own != NULL)
		list[count++] = c->own;
	is_other |= count != n_before || memcmp(list, c->list, count * sizeof(*list)) != 0;
	memcpy(c->list, list, count * sizeof(*list));
	c->n = count;
	if (is_other || is_forced)
		t->deps.quota_ops->charge(t->deps.relay_arg, &n->node_key, list, count);
	if (count == 0)
		charged_free(t, c);
}

static bool
is_idle(const struct tailnet *t)
{
	return t->deps.quota_ops == NULL || !t->priv->is_started;
}

void
tailnet_quota_admitted(struct tailnet *t, const struct node *n)
{
	if (!is_idle(t))
		follow(t, n, true);
}

void
tailnet_quota_follow(struct tailnet *t, const struct node *n)
{
	if (!is_idle(t))
		follow(t, n, false);
}

static void
follow_all(struct tailnet *t)
{
	const struct node *n;

	if (is_idle(t))
		return;
	for (size_t at = 0; (n = map_next(&t->nodes, &at)) != NULL;)
		follow(t, n, false);
}

/* --- life ------------------------------------------------------------------------------------- */

void
tailnet_quota_init(struct tailnet *t)
{
	struct tailnet_quotas *s = obj_alloc(sizeof(*s));
	const char *configured = t->deps.cfg->derp.node_quota;

	/* The configuration was checked; a text that is wrong all the same limits nobody. */
	if (configured != NULL && quota_rule_rate_parse(configured, &s->configured_bytes_per_s, NULL) != ERR_OK)
		s->configured_bytes_per_s = 0;
	s->magic = TAILNET_QUOTAS_MAGIC;
	MAP_INIT(&s->rules, struct tailnet_quota, r.subject);
	MAP_INIT(&s->charged, struct charged, id);
	t->quotas = s;
}

void
tailnet_quota_start(struct tailnet *t)
{
	if (t->quotas->rules.count > 0 || tailnet_quota_default(t) != 0)
		follow_all(t);
}

static void
rule_free(struct tailnet *t, struct tailnet_quota *set)
{
	map_remove(&t->quotas->rules, set->r.subject);
	if (set->q != NULL)
		t->deps.quota_ops->drop(set->q);
	free(set);
}

void
tailnet_quota_fini(struct tailnet *t)
{
	struct tailnet_quotas *s = t->quotas;
	struct tailnet_quota *set;
	struct charged *c;

	OBJ_CHECK(s, TAILNET_QUOTAS_MAGIC);
	for (size_t at = 0; (c = map_next(&s->charged, &at)) != NULL; at = 0)
		charged_free(t, c);
	for (size_t at = 0; (set = map_next(&s->rules, &at)) != NULL; at = 0)
		rule_free(t, set);
	map_fini(&s->charged);
	map_fini(&s->rules);
	s->magic = 0;
	free(s);
	t->quotas = NULL;
}

void
tailnet_quota_apply(struct tailnet *t, struct mutation *m)
{
	struct tailnet_quota *set = rule_find(t, &m->u.quota);
	bool is_new = set == NULL;
	struct quota *q;

	if (m->kind == MUTATION_QUOTA_DEL) {
		ASSERT(set != NULL);
		map_remove(&t->quotas->rules, set->r.subject);
		q = set->q;
		free(set);
		follow_all(t);
		if (q != NULL)
			t->deps.quota_ops->drop(q);	/* now that no list has it */
		return;
	}
	if (is_new) {
		set = obj_alloc(sizeof(*set));
		set->r = m->u.quota;
		map_put(&t->quotas->rules, set);
	}
	set->r.bytes_per_s = m->u.quota.bytes_per_s;
	if (set->q != NULL)
		t->deps.quota_ops->set_rate(set->q, set->r.bytes_per_s);
	else
		follow_all(t);
}

void
tailnet_quota_node_removed(struct tailnet *t, const struct node *n)
{
	struct quota_rule like = quota_rule_make(QUOTA_RULE_NODE, n->id);
	struct tailnet_quota *set = rule_find(t, &like);
	struct charged *c = map_find(&t->quotas->charged, &n->id);

	if (set != NULL)
		rule_free(t, set);
	if (c != NULL)
		charged_free(t, c);
}

void
tailnet_quota_user_removed(struct tailnet *t, const struct user *u)
{
	struct quota_rule like = quota_rule_make(QUOTA_RULE_USER, u->id);
	struct tailnet_quota *set = rule_find(t, &like);

	if (set != NULL)
		rule_free(t, set);
}

/* --- changes ---------------------------------------------------------------------------------- */

static void
submit(struct tailnet *t, const struct actor *by, enum mutation_kind kind, const struct quota_rule *r,
	struct tailnet_op *op)
{
	const struct tailnet_quota *before = rule_find(t, r);
	struct txn *x = tailnet_op_txn(op);

	txn_add(x, kind)->u.quota = *r;
	op->exists_text = "the node or user was removed just now";
	audit_quota(x, by, kind == MUTATION_QUOTA_SET ? "quota.set" : "quota.unset",
	    before != NULL ? &before->r : NULL, kind == MUTATION_QUOTA_SET ? r : NULL);
	tailnet_op_submit_take(op, x);
}

void
tailnet_quota_set(struct tailnet *t, const struct actor *by, const struct quota_rule *r,
	tailnet_done_fn *done, void *arg)
{
	const struct tailnet_quota *before = rule_find(t, r);
	struct err_text why;
	enum err rc = quota_rule_check(r, &why);

	if (rc == ERR_OK && before == NULL && t->quotas->rules.count >= TAILNET_QUOTAS_MAX)
		rc = err_say(&why, ERR_FULL, "there are %d quotas: too many", TAILNET_QUOTAS_MAX);
	if (rc != ERR_OK)
		tailnet_op_answer(done, arg, rc, &why, 0);
	else if (before != NULL && before->r.bytes_per_s == r->bytes_per_s)
		tailnet_op_answer(done, arg, ERR_OK, NULL, 0);
	else
		submit(t, by, MUTATION_QUOTA_SET, r, tailnet_op_new(t, done, arg));
}

void
tailnet_quota_unset(struct tailnet *t, const struct actor *by, const struct quota_rule *r,
	tailnet_done_fn *done, void *arg)
{
	struct err_text why;

	if (rule_find(t, r) != NULL)
		submit(t, by, MUTATION_QUOTA_DEL, r, tailnet_op_new(t, done, arg));
	else
		tailnet_op_answer(done, arg, err_say(&why, ERR_NOTFOUND, "no quota is set for it"), &why, 0);
}
