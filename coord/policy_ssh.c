/*
 * SSH rules. The object that nodes get (tailcfg/tailcfg.go, SSHPolicy):
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
 */
#include "coord/policy_ssh.h"

#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "coord/user.h"

#define CHECK_PATH "/machine/ssh/action/$SRC_NODE_ID/to/$DST_NODE_ID?local_user=$LOCAL_USER"
#define LOCALPART "localpart:*@"
#define NONROOT "autogroup:nonroot"

struct source {
	const struct policy_class *class;
	int64_t user_id;	/* INT64_MAX: tagged, which come last */
	int64_t first_id;	/* of its nodes */
};

struct rule_sources {
	struct source *v;	/* owned, by user, then by node */
	unsigned n;
	bool is_known;
	struct buf all;		/* principals of all of them, once asked for */
};

struct text {
	uint64_t key[2];
	struct shbuf *bytes;	/* owned reference */
};

struct policy_ssh_maker {
	struct policy_world *w;		/* borrowed */
	struct rule_sources *rules;	/* owned, one to a rule of the policy */
	struct map texts;		/* struct text, owned, by what made them */
	char *check_url;		/* owned */
};

/* What a rule means to the nodes of a class. */
enum part {
	PART_NONE,
	PART_DST,		/* they are among its destinations */
	PART_SELF,		/* they are their own user's: its sources of that user */
	PART_SELF_DST		/* both, told one after the other */
};

/* Its domain, or NULL: another name (a malformed one is a name like any). */
static const char *
localpart_domain(const char *name)
{
	if (strncmp(name, LOCALPART, strlen(LOCALPART)) != 0)
		return NULL;
	name += strlen(LOCALPART);
	return *name != '\0' && strchr(name, '@') == NULL ? name : NULL;
}

static bool
has_localpart(const struct policy_ssh *r)
{
	for (unsigned i = 0; i < r->n_users; i++) {
		if (localpart_domain(r->users[i]) != NULL)
			return true;
	}
	return false;
}

/* The local part of the user's e-mail, if a domain of the rule fits: bytes in out, or false. */
static bool
local_part(const struct policy_world *w, const struct policy_ssh *r, int64_t user_id,
    char out[USER_NAME_MAX])
{
	const struct user *u = map_find(w->users, &user_id);

	if (u == NULL)
		return false;
	const char *email = u->email[0] != '\0' ? u->email : u->name;
	const char *at = strrchr(email, '@');

	if (at == NULL || at == email || at[1] == '\0')
		return false;
	for (unsigned i = 0; i < r->n_users; i++) {
		const char *domain = localpart_domain(r->users[i]);

		if (domain == NULL || strcasecmp(domain, at + 1) != 0)
			continue;
		size_t n = (size_t)(at - email);

		memcpy(out, email, n);
		out[n] = '\0';
		return true;
	}
	return false;
}

static bool
lists_user(const struct policy_ssh *r, const char *name)
{
	for (unsigned i = 0; i < r->n_users; i++) {
		if (strcmp(r->users[i], name) == 0)
			return true;
	}
	return false;
}

static bool
is_listed(const struct policy_world *w, const struct policy_ssh *r, const struct policy_class *c)
{
	for (unsigned i = 0; i < r->src.n && policy_class_user(c) >= 0; i++) {
		if (policy_class_in(w, c, r->src.v[i]))
			return true;
	}
	return false;
}

static bool
is_source(const struct policy_world *w, const struct policy_ssh *r, const struct policy_class *c)
{
	return is_listed(w, r, c) && policy_class_meets(w, c, &r->postures);
}

/* Of destinations other than autogroup:self; *has_self: that is one too, *has_other: there are
 * any. */
static bool
is_destination(const struct policy_world *w, const struct policy_ssh *r,
    const struct policy_class *c, bool *has_self, bool *has_other)
{
	bool is_in = false;

	*has_self = *has_other = false;
	for (unsigned i = 0; i < r->dst.n; i++) {
		if (w->policy->sels[r->dst.v[i]].kind == POLICY_SEL_SELF) {
			*has_self = true;
			continue;
		}
		*has_other = true;
		is_in = is_in || policy_class_in(w, c, r->dst.v[i]);
	}
	return is_in;
}

static enum part
part_of(const struct policy_world *w, const struct policy_ssh *r, const struct policy_class *c)
{
	bool has_self, has_other;
	bool is_dst = is_destination(w, r, c, &has_self, &has_other);
	bool has_user = policy_class_user(c) > 0;

	/* A source that is no destination is told its own user's rules too, as the service does. */
	if (!is_dst && has_other && has_user && has_localpart(r) && is_source(w, r, c))
		return PART_SELF;
	if (is_dst)
		return has_self && has_user ? PART_SELF_DST : PART_DST;
	return has_self && has_user ? PART_SELF : PART_NONE;
}

static int
compare_sources(const void *pa, const void *pb)
{
	const struct source *a = pa, *b = pb;

	if (a->user_id != b->user_id)
		return a->user_id < b->user_id ? -1 : 1;
	return (a->first_id > b->first_id) - (a->first_id < b->first_id);
}

static const struct rule_sources *
sources_of(struct policy_ssh_maker *m, unsigned i)
{
	struct rule_sources *s = &m->rules[i];
	const struct policy_ssh *r = &m->w->policy->ssh[i];
	size_t cursor = 0;
	unsigned cap = 0;

	if (s->is_known)
		return s;
	for (const struct policy_class *c; (c = policy_world_next(m->w, &cursor)) != NULL; ) {
		struct net_ip ip4, ip6;
		int64_t id = 0;

		if (!is_source(m->w, r, c) || !policy_class_next(m->w, c, &id, &ip4, &ip6))
			continue;
		if (s->n == cap) {
			cap = cap == 0 ? 8 : 2 * cap;
			s->v = obj_realloc(s->v, cap * sizeof(*s->v));
		}
		int64_t user_id = policy_class_user(c);

		s->v[s->n++] = (struct source){ c, user_id > 0 ? user_id : INT64_MAX, id };
	}
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), compare_sources);
	s->is_known = true;
	return s;
}

static void
put_principals(struct buf *b, const struct policy_world *w, const struct policy_class *c)
{
	struct net_ip ip[2];
	int64_t id = 0;
	char text[NET_TEXT_MAX];

	while (policy_class_next(w, c, &id, &ip[0], &ip[1])) {
		for (unsigned i = 0; i < 2; i++) {
			if (ip[i].family == 0)
				continue;
			if (b->len > 0)
				buf_byte(b, ',');
			buf_str(b, "{\"nodeIP\":\"");
			buf_str(b, net_ip_put(&ip[i], text));
			buf_str(b, "\"}");
		}
	}
}

static void
put_users(struct json_writer *j, const struct policy_ssh *r)
{
	json_w_obj_open(j, "sshUsers");
	if (lists_user(r, NONROOT))
		json_w_str(j, "*", "=");
	json_w_str(j, "root", lists_user(r, "root") ? "root" : "");
	for (unsigned i = 0; i < r->n_users; i++) {
		const char *name = r->users[i];
		bool is_double = false;

		for (unsigned k = 0; k < i && !is_double; k++)
			is_double = strcmp(r->users[k], name) == 0;
		if (!is_double && strcmp(name, NONROOT) != 0 && strcmp(name, "root") != 0 &&
		    localpart_domain(name) == NULL)
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

/* local NULL: the rule's own users, else that one alone. */
static void
put_rule(struct policy_ssh_maker *m, struct json_writer *j, const struct policy_ssh *r,
    const struct buf *principals, const char *local)
{
	if (principals->len == 0)
		return;
	json_w_obj_open(j, NULL);
	json_w_arr_open(j, "principals");
	json_w_raw(j, NULL, principals->p, principals->len);
	json_w_arr_close(j);
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

/* The run of sources from *at on that are of one user (or tagged): their principals; *at is behind
 * them. */
static void
put_run(struct policy_ssh_maker *m, struct json_writer *j, const struct policy_ssh *r,
    const struct rule_sources *s, unsigned *at)
{
	int64_t user_id = s->v[*at].user_id;
	char local[USER_NAME_MAX];
	struct buf b = { 0 };

	for (; *at < s->n && s->v[*at].user_id == user_id; ++*at)
		put_principals(&b, m->w, s->v[*at].class);
	put_rule(m, j, r, &b, NULL);
	if (user_id != INT64_MAX && local_part(m->w, r, user_id, local))
		put_rule(m, j, r, &b, local);
	buf_fini(&b);
}

static void
put_self(struct policy_ssh_maker *m, struct json_writer *j, unsigned i, int64_t user_id)
{
	const struct rule_sources *s = sources_of(m, i);
	unsigned lo = 0, hi = s->n;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (s->v[mid].user_id < user_id)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < s->n && s->v[lo].user_id == user_id)
		put_run(m, j, &m->w->policy->ssh[i], s, &lo);
}

static void
put_destination(struct policy_ssh_maker *m, struct json_writer *j, unsigned i)
{
	const struct policy_ssh *r = &m->w->policy->ssh[i];
	const struct rule_sources *s = sources_of(m, i);
	struct buf *all = &m->rules[i].all;

	if (has_localpart(r)) {
		for (unsigned at = 0; at < s->n; )
			put_run(m, j, r, s, &at);
		return;
	}
	if (all->len == 0) {
		for (unsigned k = 0; k < s->n; k++)
			put_principals(all, m->w, s->v[k].class);
	}
	put_rule(m, j, r, all, NULL);
}

/* All check rules go first: what demands more comes before what demands less. */
static void
put_policy(struct policy_ssh_maker *m, struct buf *b, const enum part *parts, int64_t user_id)
{
	const struct policy *p = m->w->policy;
	struct json_writer j;

	json_w_init(&j, b);
	json_w_obj_open(&j, NULL);
	json_w_arr_open(&j, "rules");
	for (unsigned pass = 0; pass < 2; pass++) {
		for (unsigned i = 0; i < p->n_ssh; i++) {
			if (p->ssh[i].is_check != (pass == 0))
				continue;
			if (parts[i] == PART_SELF || parts[i] == PART_SELF_DST)
				put_self(m, &j, i, user_id);
			if (parts[i] == PART_DST || parts[i] == PART_SELF_DST)
				put_destination(m, &j, i);
		}
	}
	json_w_arr_close(&j);
	json_w_obj_close(&j);
}

struct policy_ssh_maker *
policy_ssh_maker_new(struct policy_world *w)
{
	struct policy_ssh_maker *m = obj_alloc(sizeof(*m));
	struct buf url = { 0 };

	m->w = w;
	m->rules = obj_alloc((w->policy->n_ssh + 1) * sizeof(*m->rules));
	MAP_INIT(&m->texts, struct text, key);
	buf_str(&url, policy_world_server_url(w));
	buf_str(&url, CHECK_PATH);
	m->check_url = obj_strdup(buf_cstr(&url));
	buf_fini(&url);
	return m;
}

void
policy_ssh_maker_free(struct policy_ssh_maker *m)
{
	size_t cursor = 0;

	if (m == NULL)
		return;
	for (struct text *t; (t = map_next(&m->texts, &cursor)) != NULL; ) {
		map_remove(&m->texts, t->key);
		shbuf_drop(t->bytes);
		free(t);
	}
	map_fini(&m->texts);
	for (unsigned i = 0; i < m->w->policy->n_ssh; i++) {
		free(m->rules[i].v);
		buf_fini(&m->rules[i].all);
	}
	free(m->rules);
	free(m->check_url);
	free(m);
}

struct shbuf *
policy_ssh_maker_get(struct policy_ssh_maker *m, const struct policy_class *c)
{
	const struct policy *p = m->w->policy;
	int64_t user_id = policy_class_user(c), self_id = 0;
	size_t bytes = p->n_ssh * sizeof(enum part);
	enum part *parts = obj_alloc(bytes + sizeof(enum part));
	struct buf b = { 0 };
	struct text *t;
	uint64_t key[2];

	for (unsigned i = 0; i < p->n_ssh && user_id >= 0; i++) {
		parts[i] = part_of(m->w, &p->ssh[i], c);
		if (parts[i] == PART_SELF || parts[i] == PART_SELF_DST)
			self_id = user_id;
	}
	key[0] = map_hash(parts, bytes);
	key[1] = (uint64_t)self_id;
	if ((t = map_find(&m->texts, key)) == NULL) {
		put_policy(m, &b, parts, self_id);
		t = obj_alloc(sizeof(*t));
		memcpy(t->key, key, sizeof(key));
		t->bytes = shbuf_new(b.p, b.len);
		map_put(&m->texts, t);
		buf_fini(&b);
	}
	free(parts);
	return shbuf_hold(t->bytes);
}

void
policy_ssh_put(struct buf *b, struct policy_world *w, const struct policy_class *c)
{
	struct policy_ssh_maker *m = policy_ssh_maker_new(w);
	struct shbuf *text = policy_ssh_maker_get(m, c);

	buf_append(b, text->bytes, text->len);
	shbuf_drop(text);
	policy_ssh_maker_free(m);
}

static bool
lets_user(const struct policy_world *w, const struct policy_ssh *r, int64_t user_id,
    const char *name)
{
	char local[USER_NAME_MAX];

	if (*name == '\0')
		return false;
	if (strcmp(name, NONROOT) != 0 && localpart_domain(name) == NULL && lists_user(r, name))
		return true;
	if (strcmp(name, "root") != 0 && lists_user(r, NONROOT))
		return true;
	return user_id > 0 && local_part(w, r, user_id, local) && strcmp(local, name) == 0;
}

bool
policy_ssh_fits(const struct policy_world *w, const struct policy_ssh *rule,
    const struct policy_class *src, const struct policy_class *dst, const char *local_user)
{
	int64_t src_user = policy_class_user(src), dst_user = policy_class_user(dst);
	bool has_self, has_other;

	if (dst_user < 0 || !is_listed(w, rule, src))
		return false;
	if (!is_destination(w, rule, dst, &has_self, &has_other) &&
	    (!has_self || src_user <= 0 || src_user != dst_user))
		return false;
	return local_user == NULL || lets_user(w, rule, src_user, local_user);
}

bool
policy_ssh_lets(const struct policy_world *w, const struct policy_ssh *rule,
    const struct policy_class *src, const struct policy_class *dst, const char *local_user)
{
	return policy_ssh_fits(w, rule, src, dst, local_user) &&
	    policy_class_meets(w, src, &rule->postures);
}

const struct policy_ssh *
policy_ssh_check_rule(const struct policy_world *w, int64_t src_node_id, int64_t dst_node_id,
    const char *local_user)
{
	const struct policy_class *src = policy_world_class_of(w, src_node_id);
	const struct policy_class *dst = policy_world_class_of(w, dst_node_id);
	const struct policy *p = w->policy;

	for (unsigned i = 0; src != NULL && dst != NULL && i < p->n_ssh; i++) {
		if (p->ssh[i].is_check && policy_ssh_lets(w, &p->ssh[i], src, dst, local_user))
			return &p->ssh[i];
	}
	return NULL;
}
