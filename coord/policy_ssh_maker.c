/*
 * SSH policies as nodes are told them (tailcfg/tailcfg.go, SSHPolicy):
 *
 *   {"rules":[{"principals":[{"nodeIP":"100.64.0.1"}],"sshUsers":{"root":"root"},"action":{…},
 *     "acceptEnv":["LANG"]}]}
 *
 * A client takes the first rule that names it and maps the wanted user to a text that is not empty;
 * "=" is the wanted name itself. So every rule says of root whether it is allowed ("" is no): "*"
 * would let it in.
 *
 * A rule with localpart:*@domain is told user by user, because each of them maps to a name of their
 * own.
 *
 * Principals are addresses, as the service has them. Of many nodes they are {"userLogin":"…"} for all
 * untagged nodes of somebody, whose login is in the map as well, and {"node":"<StableID>"} for others.
 *
 * Texts are made when they are sent, and only digests are kept by class: ten thousand users who may log in
 * at each other's nodes would be gigabytes of text.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "coord/policy_ssh_private.h"
#include "coord/user.h"

#define CHECK_PATH "/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER"
#define SHARED_MIN_BYTES	(8u << 10)	/* shorter texts are put into each object */
#define KEPT_MAX_BYTES		(32u << 20)	/* of shared texts; beyond, all are made again */
#define NODE_BYTES		100		/* of a principal's text, at most: two addresses */
#define RULE_BYTES		64		/* around principals, users and action */
#define TAGGED			INT64_MAX	/* user_id of tagged sources, which come last */

struct source {
	const struct policy_class *class;
	int64_t user_id;
	int64_t first_id;	/* of its nodes */
};

/* Sources of one user, or all tagged ones. */
struct run {
	int64_t user_id;
	unsigned at, n;		/* in v */
	unsigned n_nodes;
	uint64_t digest;
};

/* Sources that several rules have. */
struct sources {
	const struct policy_ssh *rule;	/* borrowed: the first with them */
	struct source *v;	/* owned, by user, then by node */
	unsigned n, cap;
	struct run *runs;	/* owned, by user */
	unsigned n_runs, n_nodes;
	uint64_t digest;	/* of all */
	bool is_known;
};

struct rule {
	struct sources *sources;	/* borrowed */
	uint64_t digest;	/* of users, action and environment */
	size_t tail_bytes;
	struct shbuf *all;	/* owned reference: told to its destinations; NULL: not made yet */
};

struct policy_ssh_maker {
	struct policy_world *w;		/* borrowed */
	struct rule *rules;		/* owned, one to a rule of the policy */
	struct sources *sources;	/* owned */
	unsigned n_sources;
	size_t kept_bytes;		/* of all rules' texts */
	char *check_url;		/* owned */
	struct buf scratch;
};

/* --- users and actions ------------------------------------------------------------------------ */

static void
put_users(struct json_writer *j, const struct policy_ssh *r)
{
	json_w_obj_open(j, "sshUsers");
	if (policy_ssh_lists_user(r, POLICY_SSH_NONROOT))
		json_w_str(j, "*", "=");
	json_w_str(j, "root", policy_ssh_lists_user(r, "root") ? "root" : "");
	for (unsigned i = 0; i < r->n_users; i++) {
		const char *name = r->users[i];
		bool is_double = false;

		for (unsigned k = 0; k < i && !is_double; k++)
			is_double = strcmp(r->users[k], name) == 0;
		if (!is_double && strcmp(name, POLICY_SSH_NONROOT) != 0 && strcmp(name, "root") != 0 &&
		    policy_ssh_localpart_domain(name) == NULL)
			json_w_str(j, name, name);
	}
	json_w_obj_close(j);
}

static void
put_action(struct json_writer *j, const struct policy_ssh *r, const char *check_url)
{
	json_w_obj_open(j, "action");
	if (r->is_check) {
		json_w_str(j, "holdAndDelegate", check_url);
	} else {
		json_w_bool(j, "accept", true);
		json_w_bool(j, "allowAgentForwarding", true);
		json_w_bool(j, "allowLocalPortForwarding", true);
		json_w_bool(j, "allowRemotePortForwarding", true);
	}
	json_w_obj_close(j);
	if (r->n_accept_env > 0) {
		json_w_arr_open(j, "acceptEnv");
		for (unsigned i = 0; i < r->n_accept_env; i++)
			json_w_str(j, NULL, r->accept_env[i]);
		json_w_arr_close(j);
	}
}

/* --- sources ---------------------------------------------------------------------------------- */

static int
compare_sources(const void *pa, const void *pb)
{
	const struct source *a = pa, *b = pb;

	if (a->user_id != b->user_id)
		return a->user_id < b->user_id ? -1 : 1;
	return (a->first_id > b->first_id) - (a->first_id < b->first_id);
}

static void
sources_gather(struct policy_ssh_maker *m, struct sources *s)
{
	size_t cursor = 0;

	for (const struct policy_class *c; (c = policy_world_next(m->w, &cursor)) != NULL; ) {
		struct net_ip ip4, ip6;
		int64_t id = 0;

		if (!policy_ssh_is_source(m->w, s->rule, c) || !policy_class_next(m->w, c, &id, &ip4, &ip6))
			continue;
		if (s->n == s->cap) {
			s->cap = s->cap == 0 ? 8 : 2 * s->cap;
			s->v = obj_realloc(s->v, s->cap * sizeof(*s->v));
		}
		int64_t user_id = policy_class_user(c);

		s->v[s->n++] = (struct source){ c, user_id > 0 ? user_id : TAGGED, id };
		s->n_nodes += c->n_nodes;
	}
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), compare_sources);
}

/* The login that stands for the run's nodes; NULL: none does. */
static const char *
login_of(const struct policy_ssh_maker *m, const struct sources *s, const struct run *run)
{
	const struct user *u = run->user_id == TAGGED ? NULL : map_find(m->w->users, &run->user_id);

	if (s->n_nodes <= POLICY_SSH_NODES_MAX || s->rule->postures.n > 0 || u == NULL ||
	    u->name[0] == '\0' || strcmp(u->name, USER_TAGGED_LOGIN) == 0)
		return NULL;
	/* Any other selector may hold some of the user's nodes only. */
	for (unsigned i = 0; i < s->rule->src.n; i++) {
		if (m->w->policy->sels[s->rule->src.v[i]].kind <= POLICY_SEL_SELF)
			return NULL;
	}
	return u->name;
}

static void
run_digest(struct policy_ssh_maker *m, const struct sources *s, struct run *run)
{
	const char *login = login_of(m, s, run);
	const struct user *u = run->user_id == TAGGED ? NULL : map_find(m->w->users, &run->user_id);
	struct buf *b = &m->scratch;

	buf_clear(b);
	buf_append(b, &run->user_id, sizeof(run->user_id));
	if (u != NULL) {
		buf_append(b, u->name, sizeof(u->name));
		buf_append(b, u->email, sizeof(u->email));
	}
	for (unsigned i = run->at; i < run->at + run->n; i++) {
		const struct policy_class *c = s->v[i].class;
		struct { int64_t id; struct net_ip ip[2]; } n = { .id = 0 };

		run->n_nodes += c->n_nodes;
		while (login == NULL && policy_class_next(m->w, c, &n.id, &n.ip[0], &n.ip[1])) {
			buf_append(b, &n.id, sizeof(n.id));
			buf_append(b, &n.ip, sizeof(n.ip));
		}
	}
	buf_byte(b, login != NULL ? 'l' : s->n_nodes > POLICY_SSH_NODES_MAX ? 'i' : 'a');
	run->digest = map_hash(b->p, b->len);
}

static struct sources *
sources_of(struct policy_ssh_maker *m, unsigned rule)
{
	struct sources *s = m->rules[rule].sources;

	if (s->is_known)
		return s;
	s->is_known = true;
	sources_gather(m, s);
	s->runs = obj_alloc((s->n + 1) * sizeof(*s->runs));
	for (unsigned i = 0; i < s->n; i++) {
		if (i == 0 || s->v[i].user_id != s->v[i - 1].user_id)
			s->runs[s->n_runs++] = (struct run){ .user_id = s->v[i].user_id, .at = i };
		s->runs[s->n_runs - 1].n++;
	}
	for (unsigned i = 0; i < s->n_runs; i++) {
		run_digest(m, s, &s->runs[i]);
		uint64_t both[2] = { s->digest, s->runs[i].digest };

		s->digest = map_hash(both, sizeof(both));
	}
	return s;
}

/* Those of the user, or NULL. */
static const struct run *
run_of(const struct sources *s, int64_t user_id)
{
	unsigned lo = 0, hi = s->n_runs;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (s->runs[mid].user_id < user_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n_runs && s->runs[lo].user_id == user_id ? &s->runs[lo] : NULL;
}

/* --- principals ------------------------------------------------------------------------------- */

static void
put_principal(struct json_writer *j, const char *kind, const char *value)
{
	json_w_obj_open(j, NULL);
	json_w_str(j, kind, value);
	json_w_obj_close(j);
}

static void
put_nodes(const struct policy_ssh_maker *m, struct json_writer *j, const struct sources *s,
    const struct policy_class *c)
{
	struct net_ip ip[2];
	int64_t id = 0;
	char text[NET_TEXT_MAX];

	while (policy_class_next(m->w, c, &id, &ip[0], &ip[1])) {
		if (s->n_nodes > POLICY_SSH_NODES_MAX) {
			snprintf(text, sizeof(text), "%lld", (long long)id);
			put_principal(j, "node", text);
			continue;
		}
		for (unsigned i = 0; i < 2; i++) {
			if (ip[i].family != 0)
				put_principal(j, "nodeIP", net_ip_put(&ip[i], text));
		}
	}
}

/* Members up to the principals of runs [at, end). false: there are none, and nothing is put. */
static void
put_principals(const struct policy_ssh_maker *m, struct json_writer *j, const struct sources *s,
    const struct run *at, const struct run *end)
{
	json_w_arr_open(j, "principals");
	for (; at < end; at++) {
		const char *login = login_of(m, s, at);

		if (login != NULL)
			put_principal(j, "userLogin", login);
		for (unsigned i = at->at; login == NULL && i < at->at + at->n; i++)
			put_nodes(m, j, s, s->v[i].class);
	}
	json_w_arr_close(j);
}

/* local NULL: the rule's own users, else that one alone. */
static void
put_rule(const struct policy_ssh_maker *m, struct json_writer *j, const struct policy_ssh *r,
    const struct sources *s, const struct run *at, const struct run *end, const char *local)
{
	json_w_obj_open(j, NULL);
	put_principals(m, j, s, at, end);
	if (local == NULL) {
		put_users(j, r);
	} else {
		json_w_obj_open(j, "sshUsers");
		json_w_str(j, local, local);
		json_w_obj_close(j);
	}
	put_action(j, r, m->check_url);
	json_w_obj_close(j);
}

static void
put_local(const struct policy_ssh_maker *m, struct json_writer *j, const struct policy_ssh *r,
    const struct sources *s, const struct run *run)
{
	char local[USER_NAME_MAX];

	if (run->user_id != TAGGED && policy_ssh_local_part(m->w, r, run->user_id, local))
		put_rule(m, j, r, s, run, run + 1, local);
}

static void
put_destination(const struct policy_ssh_maker *m, struct json_writer *j, const struct policy_ssh *r,
    const struct sources *s)
{
	bool is_split = policy_ssh_has_localpart(r) && s->n_nodes <= POLICY_SSH_NODES_MAX;

	if (!is_split && s->n_runs > 0)
		put_rule(m, j, r, s, s->runs, s->runs + s->n_runs, NULL);
	for (const struct run *run = s->runs; run < s->runs + s->n_runs && policy_ssh_has_localpart(r); run++) {
		if (is_split)
			put_rule(m, j, r, s, run, run + 1, NULL);
		put_local(m, j, r, s, run);
	}
}

/* --- objects ---------------------------------------------------------------------------------- */

static void
texts_drop(struct policy_ssh_maker *m)
{
	for (unsigned i = 0; i < m->w->policy->n_ssh; i++) {
		shbuf_drop(m->rules[i].all);
		m->rules[i].all = NULL;
	}
	m->kept_bytes = 0;
}

/* What destinations are told of the rule, without a comma at the ends; borrowed until the next one is asked
 * for. */
static struct shbuf *
text_of(struct policy_ssh_maker *m, unsigned i)
{
	struct rule *r = &m->rules[i];
	const struct sources *s = sources_of(m, i);
	struct json_writer j;

	if (r->all != NULL)
		return r->all;
	if (m->kept_bytes > KEPT_MAX_BYTES)
		texts_drop(m);
	buf_clear(&m->scratch);
	json_w_init(&j, &m->scratch);
	put_destination(m, &j, &m->w->policy->ssh[i], s);
	r->all = shbuf_new(m->scratch.p, m->scratch.len);
	m->kept_bytes += r->all->len;
	return r->all;
}

/* Where an object goes. */
struct out {
	struct buf *b;
	bool has_rules;
	policy_ssh_shared_fn *shared;
	void *arg;
};

static void
comma(struct out *o)
{
	if (o->has_rules)
		buf_byte(o->b, ',');
	o->has_rules = true;
}

static void
out_destination(struct policy_ssh_maker *m, struct out *o, unsigned i)
{
	struct shbuf *text = text_of(m, i);

	if (text->len == 0)
		return;
	comma(o);
	if (o->shared != NULL && text->len >= SHARED_MIN_BYTES)
		o->shared(o->arg, text);
	else
		buf_append(o->b, text->bytes, text->len);
}

static void
out_self(struct policy_ssh_maker *m, struct out *o, unsigned i, int64_t user_id)
{
	const struct policy_ssh *r = &m->w->policy->ssh[i];
	const struct sources *s = sources_of(m, i);
	const struct run *run = run_of(s, user_id);
	struct json_writer j;

	if (run == NULL)
		return;
	comma(o);
	json_w_init(&j, o->b);
	put_rule(m, &j, r, s, run, run + 1, NULL);
	put_local(m, &j, r, s, run);
}

/* A rule for a class: calls what it comes to. */
typedef void each_fn(struct policy_ssh_maker *m, void *arg, unsigned rule, bool is_self);

/* All check rules go first: what demands more comes before what demands less. */
static void
each(struct policy_ssh_maker *m, const struct policy_class *c, each_fn *fn, void *arg)
{
	const struct policy *p = m->w->policy;

	for (unsigned pass = 0; pass < 2 && policy_class_user(c) >= 0; pass++) {
		for (unsigned i = 0; i < p->n_ssh; i++) {
			if (p->ssh[i].is_check != (pass == 0))
				continue;
			enum policy_ssh_part part = policy_ssh_part_of(m->w, &p->ssh[i], c);

			if (part == POLICY_SSH_SELF || part == POLICY_SSH_SELF_DST)
				fn(m, arg, i, true);
			if (part == POLICY_SSH_DST || part == POLICY_SSH_SELF_DST)
				fn(m, arg, i, false);
		}
	}
}

struct writer {
	struct out out;
	int64_t user_id;
};

static void
each_put(struct policy_ssh_maker *m, void *arg, unsigned rule, bool is_self)
{
	struct writer *w = arg;

	if (is_self)
		out_self(m, &w->out, rule, w->user_id);
	else
		out_destination(m, &w->out, rule);
}

void
policy_ssh_maker_put(struct policy_ssh_maker *m, struct buf *b, const struct policy_class *c,
	policy_ssh_shared_fn *shared, void *arg)
{
	struct writer w = { .out = { .b = b, .shared = shared, .arg = arg }, .user_id = policy_class_user(c) };

	buf_str(b, "{\"rules\":[");
	each(m, c, each_put, &w);
	buf_str(b, "]}");
}

struct digester {
	int64_t user_id;
	uint64_t digest;
	size_t n_bytes;
};

static void
each_digest(struct policy_ssh_maker *m, void *arg, unsigned rule, bool is_self)
{
	struct digester *d = arg;
	const struct rule *r = &m->rules[rule];
	const struct sources *s = sources_of(m, rule);
	const struct run *run = is_self ? run_of(s, d->user_id) : NULL;

	if (is_self ? run == NULL : s->n == 0)
		return;
	uint64_t all[] = { d->digest, r->digest, is_self, is_self ? run->digest : s->digest };
	bool is_split = policy_ssh_has_localpart(&m->w->policy->ssh[rule]);
	size_t n_rules = is_self ? 2 : !is_split ? 1 : s->n_nodes > POLICY_SSH_NODES_MAX ? 1 + s->n_runs :
	    2 * s->n_runs;

	d->digest = map_hash(all, sizeof(all));
	d->n_bytes += n_rules * (RULE_BYTES + r->tail_bytes) +
	    (is_self ? run->n_nodes : s->n_nodes) * (size_t)NODE_BYTES;
}

uint64_t
policy_ssh_maker_digest(struct policy_ssh_maker *m, const struct policy_class *c)
{
	struct digester d = { .user_id = policy_class_user(c) };

	each(m, c, each_digest, &d);
	return d.digest;
}

size_t
policy_ssh_maker_bytes(struct policy_ssh_maker *m, const struct policy_class *c)
{
	struct digester d = { .user_id = policy_class_user(c) };

	each(m, c, each_digest, &d);
	return d.n_bytes;
}

/* --- life ------------------------------------------------------------------------------------- */

static bool
list_eq(const struct policy_list *a, const struct policy_list *b)
{
	return a->n == b->n && (a->n == 0 || memcmp(a->v, b->v, a->n * sizeof(*a->v)) == 0);
}

static void
rule_init(struct policy_ssh_maker *m, unsigned i)
{
	const struct policy_ssh *r = &m->w->policy->ssh[i];
	struct json_writer j;
	unsigned k = 0;

	buf_clear(&m->scratch);
	json_w_init(&j, &m->scratch);
	put_users(&j, r);
	put_action(&j, r, m->check_url);
	for (unsigned u = 0; u < r->n_users; u++) {
		if (policy_ssh_localpart_domain(r->users[u]) != NULL)
			buf_str(&m->scratch, r->users[u]);
	}
	m->rules[i].digest = map_hash(m->scratch.p, m->scratch.len);
	m->rules[i].tail_bytes = m->scratch.len;
	while (k < m->n_sources && (!list_eq(&m->sources[k].rule->src, &r->src) ||
	    !list_eq(&m->sources[k].rule->postures, &r->postures)))
		k++;
	if (k == m->n_sources)
		m->sources[m->n_sources++].rule = r;
	m->rules[i].sources = &m->sources[k];
}

struct policy_ssh_maker *
policy_ssh_maker_new(struct policy_world *w)
{
	struct policy_ssh_maker *m = obj_alloc(sizeof(*m));
	struct buf url = { 0 };

	m->w = w;
	m->rules = obj_alloc((w->policy->n_ssh + 1) * sizeof(*m->rules));
	m->sources = obj_alloc((w->policy->n_ssh + 1) * sizeof(*m->sources));
	buf_str(&url, policy_world_server_url(w));
	buf_str(&url, CHECK_PATH);
	m->check_url = obj_strdup(buf_cstr(&url));
	buf_fini(&url);
	for (unsigned i = 0; i < w->policy->n_ssh; i++)
		rule_init(m, i);
	return m;
}

void
policy_ssh_maker_free(struct policy_ssh_maker *m)
{
	if (m == NULL)
		return;
	texts_drop(m);
	for (unsigned i = 0; i < m->n_sources; i++) {
		free(m->sources[i].v);
		free(m->sources[i].runs);
	}
	free(m->sources);
	free(m->rules);
	free(m->check_url);
	buf_fini(&m->scratch);
	free(m);
}

void
policy_ssh_put(struct buf *b, struct policy_world *w, const struct policy_class *c)
{
	policy_ssh_maker_put(policy_world_ssh(w), b, c, NULL, NULL);
}
