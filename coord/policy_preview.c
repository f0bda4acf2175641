/* Rules looked through one by one. */
#include "coord/policy_preview.h"

#include <string.h>

#include "base/json.h"
#include "coord/policy_users.h"

enum err
policy_preview_parse(const char *type, const char *what, struct policy_preview *out, struct err_text *why)
{
	struct net_addr addr;

	*out = (struct policy_preview){ .user = NULL };
	if (strcmp(type, "user") == 0) {
		out->user = what;
		return *what != '\0' ? ERR_OK : err_say(why, ERR_INVAL, "previewFor names no user");
	}
	if (strcmp(type, "ipport") != 0)
		return err_say(why, ERR_INVAL, "type is user or ipport");
	if (net_addr_parse(what, strlen(what), &addr) != ERR_OK)
		return err_say(why, ERR_INVAL, "previewFor: \"%.60s\" is no address and port: 10.0.0.1:22",
		    what);
	out->ip = addr.ip;
	out->port = addr.port;
	return ERR_OK;
}

static bool
names_user(const struct policy_sel *s, const struct policy_users *users, const struct user *u)
{
	for (unsigned i = 0; i < s->n_users; i++)
		if (policy_users_find(users, s->users[i]) == u)
			return true;
	return false;
}

static bool
ends_in_domain(const char *text, const char *domain)
{
	size_t n = strlen(text), d = strlen(domain);

	return n > d + 1 && text[n - d - 1] == '@' && strcasecmp(text + n - d, domain) == 0;
}

/* Does the selector, as a source, hold devices of the user (NULL: of the tag)? */
static bool
is_of_user(const struct policy_sel *s, const struct policy_users *users, const struct user *u,
	const char *tag)
{
	switch (s->kind) {
	case POLICY_SEL_ANY:
	case POLICY_SEL_ALL:
		return true;
	case POLICY_SEL_USER:
	case POLICY_SEL_GROUP:
		return u != NULL && names_user(s, users, u);
	case POLICY_SEL_DOMAIN:
		return u != NULL && ends_in_domain(u->email[0] != '\0' ? u->email : u->name, s->tag);
	case POLICY_SEL_ROLE:
		return u != NULL && (s->roles & (1u << u->role)) != 0;
	case POLICY_SEL_MEMBER:
		return u != NULL;
	case POLICY_SEL_TAGGED:
		return u == NULL;
	case POLICY_SEL_TAG:
		return u == NULL && strcmp(s->tag, tag) == 0;
	default:
		return false;
	}
}

static bool
ports_have(const struct policy_ports *ports, unsigned n, uint16_t port)
{
	for (unsigned i = 0; i < n; i++)
		if (ports[i].first <= port && port <= ports[i].last)
			return true;
	return false;
}

static bool
rule_has_port(const struct policy_rule *r, const struct policy_dst *d, uint16_t port)
{
	if (!r->is_grant)
		return ports_have(d->ports, d->n_ports, port);
	for (unsigned i = 0; i < r->n_ip; i++)
		if (ports_have(r->ip[i].ports, r->ip[i].n_ports, port))
			return true;
	return false;
}

struct preview {
	struct policy_world *w;
	const struct policy_preview *ask;
	struct policy_users *users;	/* owned */
	const struct user *user;	/* NULL: none is asked for, or it is a tag, or there is none */
	bool *has_ip;			/* owned, by selector: does it hold the address? */
};

static bool
rule_matches(const struct preview *p, const struct policy_rule *r)
{
	const struct policy *policy = p->w->policy;
	bool is_tag = p->ask->user != NULL && strncmp(p->ask->user, "tag:", 4) == 0;

	if (p->ask->user != NULL && p->user == NULL && !is_tag)
		return false;
	for (unsigned i = 0; p->ask->user != NULL && i < r->src.n; i++)
		if (is_of_user(&policy->sels[r->src.v[i]], p->users, p->user, p->ask->user))
			return true;
	for (unsigned i = 0; p->ask->user == NULL && i < r->n_dst; i++)
		if (p->has_ip[r->dst[i].sel] && rule_has_port(r, &r->dst[i], p->ask->port))
			return true;
	return false;
}

static void
put_sels(struct json_writer *w, const char *name, const struct policy *p, const struct policy_list *list)
{
	json_w_arr_open(w, name);
	for (unsigned i = 0; i < list->n; i++)
		json_w_str(w, NULL, p->sels[list->v[i]].text);
	json_w_arr_close(w);
}

/* Destinations with their ports: of a grant, each with each. */
static void
put_ports(struct json_writer *w, const struct policy_rule *r)
{
	struct buf text = { .len = 0 };

	json_w_arr_open(w, "ports");
	for (unsigned i = 0; i < r->n_dst; i++) {
		if (!r->is_grant)
			json_w_str(w, NULL, r->dst[i].text);
		for (unsigned k = 0; r->is_grant && k < r->n_ip; k++) {
			buf_clear(&text);
			buf_printf(&text, "%s:%s", r->dst[i].text, r->ip[k].text);
			json_w_str(w, NULL, buf_cstr(&text));
		}
	}
	json_w_arr_close(w);
	buf_fini(&text);
}

static void
put_rule(struct json_writer *w, const struct policy *p, const struct policy_rule *r)
{
	json_w_obj_open(w, NULL);
	put_sels(w, "users", p, &r->src);
	put_ports(w, r);
	json_w_int(w, "lineNumber", r->line);
	put_sels(w, "via", p, &r->via);
	json_w_arr_open(w, "postures");
	for (unsigned i = 0; i < r->postures.n; i++)
		json_w_str(w, NULL, p->postures[r->postures.v[i]].name);
	json_w_arr_close(w);
	json_w_obj_close(w);
}

static bool
sel_has(struct policy_world *w, uint32_t sel, const struct net_ip *ip)
{
	struct ipset set = { 0 };

	policy_world_resolve(w, sel, false, &set);
	bool has = ipset_has(&set, ip);
	ipset_fini(&set);
	return has;
}

void
policy_preview_put(struct buf *b, struct policy_world *w, const struct policy_preview *ask)
{
	const struct policy *p = w->policy;
	struct preview v = { .w = w, .ask = ask };
	struct json_writer jw;

	v.users = policy_users_new(w->users);
	if (ask->user != NULL)
		v.user = policy_users_find(v.users, ask->user);
	v.has_ip = obj_alloc((p->n_sels + 1) * sizeof(*v.has_ip));
	for (uint32_t i = 0; ask->user == NULL && i < p->n_sels; i++)
		v.has_ip[i] = sel_has(w, i, &ask->ip);
	json_w_init(&jw, b);
	json_w_arr_open(&jw, NULL);
	for (unsigned i = 0; i < p->n_rules; i++)
		if (rule_matches(&v, &p->rules[i]))
			put_rule(&jw, p, &p->rules[i]);
	json_w_arr_close(&jw);
	policy_users_free(v.users);
	free(v.has_ip);
}
