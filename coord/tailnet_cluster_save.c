/* Changes of clusters, from wish to answer. */
#include "coord/tailnet_cluster_save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "coord/cluster_policy.h"
#include "coord/tailnet_policy_save.h"
#include "coord/tailnet_private.h"
#include "coord/tailnet_task.h"

#define TAGS_MAX	512	/* that get an owner; a tailnet without a policy has few */
#define TRIES		3	/* when others change the policy meanwhile */
#define WIDEST_AVOIDED	12	/* a new range cannot lie beside 10.0.0.0/8 in somebody's rule, but within */

enum change_kind { CHANGE_CREATE, CHANGE_SET, CHANGE_REMOVE, CHANGE_KEY };

struct cluster_change {
	struct tailnet_task task;	/* first */
	enum change_kind kind;
	struct actor by;
	struct cluster before, after;
	struct cluster_policy_how how;
	bool leaves_policy;
	struct authkey key;		/* CREATE, KEY: tags are unused */
	char secret[AUTHKEY_TEXT_MAX];	/* wiped */
	int64_t version;		/* of the policy whose text is changed */
	unsigned n_tries;
	struct buf text;		/* of the next policy */
	enum err rc;			/* of the change of the text */
	struct err_text why;
	tailnet_done_fn *done;
	void *arg;
	TAILQ_ENTRY(cluster_change) link;	/* among those under way: reserves name and ranges */
};

/* --- the end ---------------------------------------------------------------------------------- */

static void
answer(struct cluster_change *c, enum err rc, const struct err_text *why)
{
	struct tailnet_result res = { .rc = rc };

	if (why != NULL)
		res.why = *why;
	if (rc == ERR_OK && c->secret[0] != '\0') {
		res.key_id = c->key.id;
		res.secret = c->secret;
	}
	TAILQ_REMOVE(&c->task.t->clusters->_under_way, c, link);
	if (c->done != NULL)
		c->done(c->arg, &res);
	explicit_bzero(c->secret, sizeof(c->secret));
	tag_list_free((char **)(uintptr_t)c->how.tags, c->how.n_tags);
	buf_fini(&c->text);
	free(c);
}

/* --- the transaction -------------------------------------------------------------------------- */

static void
add_key(const struct cluster_change *c, struct txn *x)
{
	const char *tags[] = { c->after.tag };
	struct authkey *k = &txn_add(x, MUTATION_KEY_ADD)->u.key;

	*k = c->key;
	tag_list_copy(tags, 1, &k->tags, &k->n_tags);
	audit_key(x, &c->by, "key.create", NULL, k);
}

/* Those that nodes could still join the cluster with. */
static void
revoke_keys(const struct cluster_change *c, struct txn *x)
{
	const struct authkey *k;
	struct authkey after;
	size_t at = 0;

	while ((k = map_next(&c->task.t->authkeys, &at)) != NULL) {
		if (k->revoked_unix_s != 0 || !tag_list_has(k->tags, k->n_tags, c->before.tag))
			continue;
		struct mutation *m = txn_add(x, MUTATION_KEY_REVOKE);
		memcpy(m->u.key.id, k->id, sizeof(k->id));
		after = *k;
		after.revoked_unix_s = m->at_unix_s;
		audit_key(x, &c->by, "key.revoke", k, &after);
	}
}

/* policy_also_fn */
static void
put_mutations(void *arg, struct txn *x)
{
	const struct cluster_change *c = arg;

	if (c->kind == CHANGE_CREATE || c->kind == CHANGE_KEY)
		add_key(c, x);
	if (c->kind == CHANGE_REMOVE) {
		memcpy(txn_add(x, MUTATION_CLUSTER_DEL)->u.cluster.name, c->before.name,
		    sizeof(c->before.name));
		audit_cluster(x, &c->by, "cluster.remove", &c->before, NULL);
		revoke_keys(c, x);
		return;
	}
	txn_add(x, c->kind == CHANGE_CREATE ? MUTATION_CLUSTER_ADD : MUTATION_CLUSTER_SET)->u.cluster =
	    c->after;
	if (c->kind == CHANGE_CREATE)
		audit_cluster(x, &c->by, "cluster.create", NULL, &c->after);
	else
		audit_cluster(x, &c->by, "cluster.change", &c->before, &c->after);
}

/* tailnet_done_fn */
static void
on_committed(void *arg, const struct tailnet_result *res)
{
	answer(arg, res->rc, &res->why);
}

/* Without the policy. */
static void
submit(struct cluster_change *c)
{
	struct tailnet_op *op = tailnet_op_new(c->task.t, on_committed, c);
	struct txn *x = tailnet_op_txn(op);

	op->exists_text = "the key's user was removed just now";
	put_mutations(c, x);
	tailnet_op_submit_take(op, x);
}

/* --- the policy ------------------------------------------------------------------------------- */

static void begin(struct cluster_change *c);

/* policy_save_fn */
static void
on_saved(void *arg, const struct policy_outcome *o)
{
	struct cluster_change *c = arg;
	struct err_text why;

	if (o->rc == ERR_OK && o->is_unchanged)
		submit(c);
	else if (o->rc == ERR_EXISTS && o->verdict == NULL && ++c->n_tries < TRIES)
		begin(c);
	else if (o->rc == ERR_INVAL)
		answer(c, err_say(&why, ERR_INVAL, "the policy would not be valid with it: %.200s",
		    o->why.s), &why);
	else if (o->rc == ERR_DENIED)
		answer(c, err_say(&why, ERR_DENIED, "%.200s; --keep-policy makes the cluster without",
		    o->why.s),
		    &why);
	else
		answer(c, o->rc, &o->why);
}

/* On the jobs thread. */
static void
work(struct tailnet_task *k)
{
	struct cluster_change *c = CONTAINER_OF(k, struct cluster_change, task);

	buf_clear(&c->text);
	if (k->policy != NULL)
		buf_append(&c->text, k->policy->text, k->policy->text_bytes);
	c->how.has_rules = k->policy != NULL && k->policy->has_rules;
	c->rc = ERR_OK;
	if (c->kind != CHANGE_CREATE)
		c->rc = cluster_policy_remove(&c->text, &c->before, &c->why);
	if (c->rc == ERR_OK && c->kind != CHANGE_REMOVE)
		c->rc = cluster_policy_add(&c->text, &c->after, &c->how, &c->why);
}

/* Is the text that of the policy in force? */
static bool
is_unchanged(const struct cluster_change *c)
{
	const struct policy *p = c->task.t->policy;

	return p == NULL ? c->text.len == 0 :
	    p->text_bytes == c->text.len && memcmp(p->text, c->text.p, c->text.len) == 0;
}

static void
on_edited(struct tailnet_task *k, enum err rc)
{
	static const char *const words[] = {
		[CHANGE_CREATE] = "created", [CHANGE_SET] = "changed", [CHANGE_REMOVE] = "removed",
	};
	struct cluster_change *c = CONTAINER_OF(k, struct cluster_change, task);
	struct err_text why;
	char comment[POLICY_COMMENT_MAX];

	if (rc != ERR_OK) {
		answer(c, err_say(&why, rc, rc == ERR_BUSY ? "the server checks policies: try again in a few "
		    "seconds" : "the server is stopping"), &why);
		return;
	}
	if (c->rc != ERR_OK) {
		answer(c, err_say(&why, c->rc, "the policy cannot be changed by itself (leave it out with "
		    "--keep-policy): %.200s", c->why.s), &why);
		return;
	}
	if (c->task.t->policies->now.version == c->version && is_unchanged(c)) {
		submit(c);
		return;
	}
	snprintf(comment, sizeof(comment), "cluster %s %s", c->after.name, words[c->kind]);
	tailnet_policy_save(c->task.t, &c->by, &(struct policy_wish){ .text = (const char *)c->text.p,
	    .n_bytes = c->text.len, .comment = comment, .what = "policy.set", .if_version = c->version,
	    .also = put_mutations }, on_saved, c);
}

static void
begin(struct cluster_change *c)
{
	const struct tailnet_policy *p = c->task.t->policies;
	struct err_text why;

	if (c->leaves_policy || c->kind == CHANGE_KEY) {
		submit(c);
	} else if (p->unreadable != 0) {
		answer(c, err_say(&why, ERR_EXISTS, "version %lld of the policy is not understood: mend "
		    "it first (fairlead policy set)", (long long)p->unreadable), &why);
	} else if (p->now.confirm_by_unix_s != 0) {
		answer(c, err_say(&why, ERR_EXISTS, "version %lld of the policy waits to be confirmed: "
		    "fairlead "
		    "policy confirm, or wait until it is taken back", (long long)p->now.version), &why);
	} else {
		c->version = p->now.version;
		tailnet_task_start(&c->task);
	}
}

/* --- the wish --------------------------------------------------------------------------------- */

static void
note_tags(char *const *tags, unsigned n, const char *list[TAGS_MAX], unsigned *n_list)
{
	for (unsigned i = 0; i < n && *n_list < TAGS_MAX; i++) {
		unsigned k = 0;

		while (k < *n_list && strcmp(list[k], tags[i]) != 0)
			k++;
		list[*n_list] = tags[i];
		*n_list += k == *n_list;
	}
}

/* All tags of nodes and keys, the caller's. */
static void
tags_in_use(const struct tailnet *t, struct cluster_policy_how *how)
{
	const char *list[TAGS_MAX];
	const struct authkey *k;
	const struct node *n;
	char **tags = NULL;
	unsigned n_list = 0;
	size_t at = 0;

	while ((n = map_next(&t->nodes, &at)) != NULL)
		note_tags(n->tags, n->n_tags, list, &n_list);
	at = 0;
	while ((k = map_next(&t->authkeys, &at)) != NULL)
		note_tags(k->tags, k->n_tags, list, &n_list);
	tag_list_copy(list, n_list, &tags, &how->n_tags);
	how->tags = tags;
}

static bool
is_under_way(const struct tailnet *t, const char *name)
{
	const struct cluster_change *c;

	TAILQ_FOREACH(c, &t->clusters->_under_way, link)
		if (strcmp(c->after.name, name) == 0)
			return true;
	return false;
}

static enum err
is_of_other(const struct cluster *own, const struct cluster *other, const struct net_prefix *p,
	struct err_text *why)
{
	char text[NET_TEXT_MAX], has[NET_TEXT_MAX];

	if (strcmp(own->name, other->name) == 0)
		return ERR_OK;
	for (unsigned i = 0; i < CLUSTER_RANGES + other->n_lan; i++) {
		const struct net_prefix *q = i < CLUSTER_RANGES ? &other->range[i] :
		    &other->lan[i - CLUSTER_RANGES];

		if (cluster_prefix_overlaps(q, p))
			return err_say(why, ERR_EXISTS, "%s overlaps %s of cluster %s", net_prefix_put(p, text),
			    net_prefix_put(q, has), other->name);
	}
	return ERR_OK;
}

/* ERR_EXISTS: somebody else claims an address of the prefix; *why says who. LANs may be others'
 * routes. */
static enum err
is_claimed(const struct tailnet *t, const struct cluster *own, const struct net_prefix *p, bool is_lan,
	struct err_text *why)
{
	const struct cluster_change *change;
	const struct cluster *c;
	struct ipset taken = { .n = 0 };
	char text[NET_TEXT_MAX];
	enum err rc = ERR_OK;
	size_t at = 0;

	if (p->ip.family == 0)
		return ERR_OK;
	if (tailnet_cluster_is_own(t, p))
		return err_say(why, ERR_INVAL, "%s overlaps the tailnet's own addresses",
		    net_prefix_put(p, text));
	while (rc == ERR_OK && (c = map_next(&t->clusters->by_name, &at)) != NULL)
		rc = is_of_other(own, c, p, why);
	TAILQ_FOREACH(change, &t->clusters->_under_way, link)
		if (rc == ERR_OK)
			rc = is_of_other(own, &change->after, p, why);
	if (rc != ERR_OK || is_lan)
		return rc;
	tailnet_cluster_routes(t, own->tag, 0, &taken);
	if (ipset_overlaps_prefix(&taken, p))
		rc = err_say(why, ERR_EXISTS, "%s overlaps a route of a node that is not of the cluster",
		    net_prefix_put(p, text));
	ipset_fini(&taken);
	return rc;
}

/* before NULL: there was none. */
static enum err
claims_check(const struct tailnet *t, const struct cluster *before, const struct cluster *after,
	bool is_forced, struct err_text *why)
{
	enum err rc = ERR_OK;

	for (int r = 0; rc == ERR_OK && r < CLUSTER_RANGES; r++)
		if (before == NULL || memcmp(&before->range[r], &after->range[r], sizeof(after->range[r])) != 0)
			rc = is_claimed(t, after, &after->range[r], false, why);
	for (unsigned i = 0; rc == ERR_OK && i < after->n_lan; i++)
		rc = is_claimed(t, after, &after->lan[i], true, why);
	if (rc != ERR_EXISTS || !is_forced)
		return rc;
	if (t->settings.refuse_cluster_overlap != 0)
		return err_say(why, ERR_DENIED, "overlapping ranges are refused: fairlead settings set "
		    "refuse-cluster-overlap off");
	return ERR_OK;
}

/* Fills what is not given. */
static enum err
choose(struct tailnet *t, struct cluster *c, bool is_dual_stack, struct err_text *why)
{
	struct ipset taken = { .n = 0 };
	const struct cluster_change *change;
	uint8_t random[5];
	enum err rc = ERR_OK;

	tailnet_cluster_taken(t, WIDEST_AVOIDED, &taken);
	TAILQ_FOREACH(change, &t->clusters->_under_way, link)
		for (int r = 0; r < CLUSTER_RANGES; r++)
			if (change->after.range[r].ip.family != 0)
				ipset_add_prefix(&taken, &change->after.range[r]);
	for (unsigned i = 0; i < c->n_lan; i++)
		ipset_add_prefix(&taken, &c->lan[i]);
	if (c->range[CLUSTER_SERVICE4].ip.family != 0)
		ipset_add_prefix(&taken, &c->range[CLUSTER_SERVICE4]);
	if (c->range[CLUSTER_POD4].ip.family == 0)
		rc = cluster_pick4(CLUSTER_POD4, &taken, NULL, &c->range[CLUSTER_POD4], why);
	if (rc == ERR_OK)
		ipset_add_prefix(&taken, &c->range[CLUSTER_POD4]);
	if (rc == ERR_OK && c->range[CLUSTER_SERVICE4].ip.family == 0)
		rc = cluster_pick4(CLUSTER_SERVICE4, &taken, &c->range[CLUSTER_POD4],
		    &c->range[CLUSTER_SERVICE4],
		    why);
	ipset_fini(&taken);
	is_dual_stack |= c->range[CLUSTER_POD6].ip.family != 0 || c->range[CLUSTER_SERVICE6].ip.family != 0;
	rand_bytes(random, sizeof(random));
	if (is_dual_stack && c->range[CLUSTER_POD6].ip.family == 0)
		cluster_pick6(CLUSTER_POD6, random, &c->range[CLUSTER_POD6]);
	if (is_dual_stack && c->range[CLUSTER_SERVICE6].ip.family == 0)
		cluster_pick6(CLUSTER_SERVICE6, random, &c->range[CLUSTER_SERVICE6]);
	return rc;
}

static struct cluster_change *
change_new(struct tailnet *t, const struct actor *by, enum change_kind kind, tailnet_done_fn *done, void *arg)
{
	struct cluster_change *c = obj_alloc(sizeof(*c));

	c->task.t = t;
	c->task.work = work;
	c->task.done = on_edited;
	c->kind = kind;
	c->by = *by;
	c->done = done;
	c->arg = arg;
	TAILQ_INSERT_TAIL(&t->clusters->_under_way, c, link);
	return c;
}

static void
key_make(struct cluster_change *c, const struct tailnet_cluster_spec *spec)
{
	authkey_make(&c->key, c->secret);
	c->key.user_id = spec->user_id;
	snprintf(c->key.description, sizeof(c->key.description), "cluster %s", c->after.name);
	c->key.is_reusable = c->key.is_preauthorized = true;
	c->key.created_unix_s = clock_wall_s();
	c->key.expires_unix_s = spec->key_expires_unix_s;
	memcpy(c->after.key_id, c->key.id, sizeof(c->after.key_id));
}

static enum err
key_spec_check(struct tailnet *t, const struct tailnet_cluster_spec *spec, struct err_text *why)
{
	if (map_find(&t->users, &spec->user_id) == NULL)
		return err_say(why, ERR_NOTFOUND, "there is no such user");
	if (spec->key_expires_unix_s != 0 && spec->key_expires_unix_s <= clock_wall_s())
		return err_say(why, ERR_INVAL, "the key would have expired already");
	return ERR_OK;
}

/* The record as it is to be. */
static enum err
create_fill(struct tailnet *t, const struct tailnet_cluster_spec *spec, struct cluster *c, struct err_text *why)
{
	const struct cluster *other;
	enum err rc = cluster_name_check(spec->name, why);

	if (rc != ERR_OK || (rc = key_spec_check(t, spec, why)) != ERR_OK)
		return rc;
	snprintf(c->name, sizeof(c->name), "%s", spec->name);
	if (spec->tag != NULL && strlen(spec->tag) >= sizeof(c->tag))
		return err_say(why, ERR_INVAL, "\"%.80s\" is no tag: it is too long", spec->tag);
	snprintf(c->tag, sizeof(c->tag), "%s%s", spec->tag != NULL ? "" : CLUSTER_TAG_PREFIX,
	    spec->tag != NULL ? spec->tag : spec->name);
	memcpy(c->range, spec->range, sizeof(c->range));
	if (spec->lan != NULL)
		memcpy(c->lan, spec->lan, spec->n_lan * sizeof(c->lan[0]));
	c->n_lan = spec->lan != NULL ? spec->n_lan : 0;
	c->created_unix_s = clock_wall_s();
	if (tailnet_cluster_find(t, c->name) != NULL)
		return err_say(why, ERR_EXISTS, "there is a cluster %s already: fairlead clusters show "
		    "%s", c->name,
		    c->name);
	if ((other = tailnet_cluster_tagged(t, c->tag)) != NULL)
		return err_say(why, ERR_EXISTS, "%s is the tag of cluster %s", c->tag, other->name);
	if (t->clusters->by_name.count >= CLUSTERS_MAX)
		return err_say(why, ERR_FULL, "there are %d clusters: that is the limit", CLUSTERS_MAX);
	/* What is given first: none may be left to choose beside a range that is too wide. */
	if ((rc = cluster_ranges_check(c, why)) != ERR_OK ||
	    (rc = choose(t, c, spec->is_dual_stack, why)) != ERR_OK || (rc = cluster_check(c, why)) != ERR_OK)
		return rc;
	return claims_check(t, NULL, c, spec->is_forced, why);
}

void
tailnet_cluster_create(struct tailnet *t, const struct actor *by, const struct tailnet_cluster_spec *spec,
	tailnet_done_fn *done, void *arg)
{
	struct cluster next = { .n_lan = 0 };
	struct cluster_change *c;
	struct err_text why;
	enum err rc;

	ASSERT(spec->lan == NULL || spec->n_lan <= CLUSTER_LAN_MAX);
	if (is_under_way(t, spec->name))
		rc = err_say(&why, ERR_BUSY, "cluster %.60s is being made", spec->name);
	else
		rc = create_fill(t, spec, &next, &why);
	if (rc != ERR_OK) {
		tailnet_op_answer(done, arg, rc, &why, 0);
		return;
	}
	c = change_new(t, by, CHANGE_CREATE, done, arg);
	c->after = next;
	c->how.is_isolated = spec->is_isolated;
	c->leaves_policy = spec->leaves_policy;
	tags_in_use(t, &c->how);
	key_make(c, spec);
	begin(c);
}

/* The record to be changed; NULL: answered. */
static const struct cluster *
find(struct tailnet *t, const struct tailnet_cluster_spec *spec, tailnet_done_fn *done, void *arg)
{
	const struct cluster *c = tailnet_cluster_find(t, spec->name);
	struct err_text why;

	if (c == NULL) {
		err_say(&why, ERR_NOTFOUND, "there is no cluster \"%.60s\": fairlead clusters list",
		    spec->name);
		tailnet_op_answer(done, arg, ERR_NOTFOUND, &why, 0);
	} else if (is_under_way(t, spec->name)) {
		err_say(&why, ERR_BUSY, "cluster %.60s is being changed: try again in a moment", spec->name);
		tailnet_op_answer(done, arg, ERR_BUSY, &why, 0);
		c = NULL;
	}
	return c;
}

void
tailnet_cluster_set(struct tailnet *t, const struct actor *by, const struct tailnet_cluster_spec *spec,
	tailnet_done_fn *done, void *arg)
{
	const struct cluster *old = find(t, spec, done, arg);
	struct cluster next;
	struct cluster_change *c;
	struct err_text why;
	enum err rc;

	if (old == NULL)
		return;
	next = *old;
	for (int r = 0; r < CLUSTER_RANGES; r++)
		if (spec->range[r].ip.family != 0)
			next.range[r] = spec->range[r];
	if (spec->lan != NULL) {
		ASSERT(spec->n_lan <= CLUSTER_LAN_MAX);
		memcpy(next.lan, spec->lan, spec->n_lan * sizeof(next.lan[0]));
		next.n_lan = spec->n_lan;
	}
	if ((rc = cluster_check(&next, &why)) != ERR_OK ||
	    (rc = claims_check(t, old, &next, spec->is_forced, &why)) != ERR_OK) {
		tailnet_op_answer(done, arg, rc, &why, 0);
		return;
	}
	c = change_new(t, by, CHANGE_SET, done, arg);
	c->before = *old;
	c->after = next;
	c->leaves_policy = spec->leaves_policy;
	begin(c);
}

void
tailnet_cluster_remove(struct tailnet *t, const struct actor *by, const struct tailnet_cluster_spec *spec,
	tailnet_done_fn *done, void *arg)
{
	const struct cluster *old = find(t, spec, done, arg);
	struct cluster_change *c;
	const struct node *n;
	struct err_text why;
	unsigned n_nodes = 0;
	size_t at = 0;

	if (old == NULL)
		return;
	while ((n = map_next(&t->nodes, &at)) != NULL)
		n_nodes += tag_list_has(n->tags, n->n_tags, old->tag);
	if (n_nodes > 0 && !spec->is_forced) {
		err_say(&why, ERR_EXISTS, "%u nodes have %s: delete them first, or the cluster with "
		    "--force", n_nodes,
		    old->tag);
		tailnet_op_answer(done, arg, ERR_EXISTS, &why, 0);
		return;
	}
	c = change_new(t, by, CHANGE_REMOVE, done, arg);
	c->before = c->after = *old;
	c->leaves_policy = spec->leaves_policy;
	begin(c);
}

void
tailnet_cluster_key(struct tailnet *t, const struct actor *by, const struct tailnet_cluster_spec *spec,
	tailnet_done_fn *done, void *arg)
{
	const struct cluster *old = find(t, spec, done, arg);
	struct cluster_change *c;
	struct err_text why;
	enum err rc;

	if (old == NULL)
		return;
	if ((rc = key_spec_check(t, spec, &why)) != ERR_OK) {
		tailnet_op_answer(done, arg, rc, &why, 0);
		return;
	}
	c = change_new(t, by, CHANGE_KEY, done, arg);
	c->before = c->after = *old;
	key_make(c, spec);
	begin(c);
}
