/* The sections acls and grants. */
#include <string.h>

#include "coord/policy_parse.h"

static bool
has_kind(const struct policy_parser *s, const struct policy_rule *r, enum policy_sel_kind kind)
{
	for (unsigned i = 0; i < r->n_dst; i++) {
		if (s->p->sels[r->dst[i].sel].kind == kind)
			return true;
	}
	return false;
}

/* autogroup:self asks for sources that are people: a tagged node has no devices of its own. */
static void
check_self(struct policy_parser *s, const struct hujson *at, const struct policy_rule *r)
{
	if (!has_kind(s, r, POLICY_SEL_SELF))
		return;
	for (unsigned i = 0; i < r->src.n; i++) {
		const struct policy_sel *sel = &s->p->sels[r->src.v[i]];

		switch (sel->kind) {
		case POLICY_SEL_USER: case POLICY_SEL_GROUP: case POLICY_SEL_DOMAIN:
		case POLICY_SEL_ROLE: case POLICY_SEL_MEMBER:
			continue;
		case POLICY_SEL_ANY:
			if (!r->is_grant)
				continue;
			break;
		default:
			break;
		}
		policy_parse_fail(s, at, "autogroup:self can only be used with users, groups, or "
		    "supported autogroups, not with \"%.200s\"", sel->text);
		return;
	}
}

/* false: there are too many, said once. */
static bool
count_pairs(struct policy_parser *s, const struct hujson *at, unsigned n)
{
	bool was_fine = s->n_pairs <= POLICY_PAIRS_MAX;

	if (n > POLICY_PAIRS_MAX)
		n = POLICY_PAIRS_MAX + 1;
	if (was_fine)
		s->n_pairs += n;
	if (was_fine && s->n_pairs > POLICY_PAIRS_MAX)
		policy_parse_fail(s, at, "too many destinations: at most %u in all rules",
		    POLICY_PAIRS_MAX);
	return s->n_pairs <= POLICY_PAIRS_MAX;
}

static void
parse_acl_dsts(struct policy_parser *s, const struct hujson *v, struct policy_rule *r)
{
	if (v == NULL || !policy_parse_is_list(s, v, "dst") || !count_pairs(s, v, v->n))
		return;
	r->dst = arena_alloc(s->arena, v->n * sizeof(*r->dst));
	for (const struct hujson *i = v->first; i != NULL; i = i->next) {
		struct policy_dst *dst = &r->dst[r->n_dst];
		struct err_text why;

		if (policy_parse_dst(s, POLICY_AT_ACL_DST, i, dst, &why) != ERR_OK) {
			policy_parse_fail(s, i, "%s", why.s);
			continue;
		}
		r->n_dst++;
		if (policy_parse_suits(r->proto, dst->ports, dst->n_ports, &why) != ERR_OK)
			policy_parse_fail(s, i, "dst=\"%.100s\": %s", dst->text, why.s);
	}
}

/* Protocol numbers may stand without quotes. */
static void
parse_proto(struct policy_parser *s, const struct hujson *v, struct policy_rule *r)
{
	struct err_text why;

	if (v == NULL)
		return;
	if (v->type != HUJSON_STRING && v->type != HUJSON_NUMBER)
		policy_parse_fail(s, v, "proto wants a string, not %s", hujson_type_word(v));
	else if (policy_parse_proto(v->text, &r->proto, &why) != ERR_OK)
		policy_parse_fail(s, v, "%s", why.s);
}

/* "users" and "ports" are what src and dst were called once. */
static const struct hujson *
either(struct policy_parser *s, const struct hujson *v, const struct hujson *old)
{
	if (v != NULL && old != NULL)
		policy_errors_add(s->errors, old->name_line, old->name_column,
		    "\"%s\" is an old name of \"%s\": only one of them", old->name, v->name);
	return v != NULL ? v : old;
}

static void
parse_acl(struct policy_parser *s, const struct hujson *v, struct policy_rule *r)
{
	static const char *const names[] = { "action", "src", "dst", "proto", "srcPosture", "users",
	    "ports", "#" };		/* an admin page known to be in use keeps notes in "#..." */
	const struct hujson *m[COUNT_OF(names)];

	if (!policy_parse_fields(s, v, names, COUNT_OF(names), m))
		return;
	const char *action = policy_parse_text(s, m[0], "action");
	if (m[0] == NULL || (action != NULL && strcmp(policy_parse_trim(s, action), "accept") != 0))
		policy_parse_fail(s, m[0] == NULL ? v : m[0], "action=\"%.200s\" is not supported",
		    action == NULL ? "" : action);
	parse_proto(s, m[3], r);
	r->src = policy_parse_sels(s, POLICY_AT_SRC, either(s, m[1], m[5]), "src");
	parse_acl_dsts(s, either(s, m[2], m[6]), r);
	r->postures = policy_parse_src_posture(s, m[4], &s->default_postures);
	check_self(s, v, r);
}

static void
parse_grant_dsts(struct policy_parser *s, const struct hujson *v, struct policy_rule *r)
{
	struct policy_list list;

	if (v == NULL || v->type != HUJSON_LIST || !count_pairs(s, v, v->n)) {
		(void)policy_parse_is_list(s, v, "dst");
		return;
	}
	list = policy_parse_sels(s, POLICY_AT_GRANT_DST, v, "dst");
	r->dst = arena_alloc(s->arena, list.n * sizeof(*r->dst));
	for (unsigned i = 0; i < list.n; i++) {
		const struct policy_sel *sel = &s->p->sels[list.v[i]];
		const char *slash = strchr(sel->text, '/');

		if (sel->kind == POLICY_SEL_SET && !sel->is_host && slash != NULL &&
		    strcmp(slash, "/0") == 0)
			policy_parse_fail(s, v, "dst \"%s\": to allow all IP addresses, use \"*\" or "
			    "\"autogroup:internet\"", sel->text);
		r->dst[r->n_dst++] = (struct policy_dst){ .sel = list.v[i], .text = sel->text };
	}
}

static void
parse_caps(struct policy_parser *s, const struct hujson *v, struct policy_rule *r)
{
	if (v == NULL || !policy_parse_is_strings(s, v, "ip"))
		return;
	r->ip = arena_alloc(s->arena, v->n * sizeof(*r->ip));
	for (const struct hujson *i = v->first; i != NULL; i = i->next) {
		struct err_text why;

		if (policy_parse_cap(s, i->text, &r->ip[r->n_ip], &why) != ERR_OK)
			policy_parse_fail(s, i, "%s", why.s);
		else
			r->n_ip++;
	}
}

static void
parse_grant(struct policy_parser *s, const struct hujson *v, struct policy_rule *r)
{
	static const char *const names[] = { "src", "dst", "ip", "app", "via", "srcPosture" };
	const struct hujson *m[COUNT_OF(names)];

	if (!policy_parse_fields(s, v, names, COUNT_OF(names), m))
		return;
	r->is_grant = true;
	r->src = policy_parse_sels(s, POLICY_AT_SRC, m[0], "src");
	parse_grant_dsts(s, m[1], r);
	parse_caps(s, m[2], r);
	r->app = policy_parse_app(s, m[3], true, &r->n_app);
	r->via = policy_parse_sels(s, POLICY_AT_VIA, m[4], "via");
	r->postures = policy_parse_src_posture(s, m[5], &s->default_postures);
	if ((m[2] == NULL || m[2]->n == 0) && (m[3] == NULL || m[3]->n == 0))
		policy_parse_fail(s, v, "ip and app can not both be empty");
	if (r->n_app > 0 && has_kind(s, r, POLICY_SEL_INTERNET))
		policy_parse_fail(s, v, "cannot use app grants with autogroup:internet");
	check_self(s, v, r);
}

/* Of a policy that says nothing of access: everybody may reach everybody. */
static void
allow_all(struct policy_parser *s)
{
	static const struct hujson nowhere = { .type = HUJSON_STRING, .text = "*:*" };
	static const char any[] = "*";
	struct policy_rule *r = &s->p->rules[s->p->n_rules++];
	struct err_text why;

	r->proto = -1;
	r->src.v = arena_alloc(s->arena, sizeof(*r->src.v));
	r->src.v[r->src.n++] = policy_parse_sel(s, POLICY_AT_SRC, any, &nowhere, &why);
	r->dst = arena_alloc(s->arena, sizeof(*r->dst));
	ASSERT(policy_parse_dst(s, POLICY_AT_ACL_DST, &nowhere, &r->dst[r->n_dst++], &why) == ERR_OK);
	r->postures = s->default_postures;
}

static void
parse_list(struct policy_parser *s, const struct hujson *list,
    void (*parse)(struct policy_parser *s, const struct hujson *v, struct policy_rule *r))
{
	for (const struct hujson *v = list == NULL ? NULL : list->first; v != NULL; v = v->next) {
		struct policy_rule *r = &s->p->rules[s->p->n_rules++];

		r->line = v->line;
		r->column = v->column;
		r->proto = -1;
		parse(s, v, r);
	}
}

void
policy_parse_rules(struct policy_parser *s, const struct hujson *acls, const struct hujson *grants)
{
	struct policy *p = s->p;
	size_t n;

	p->has_rules = acls != NULL || grants != NULL;
	if (!policy_parse_is_list(s, acls, "acls") || !policy_parse_is_list(s, grants, "grants"))
		return;
	n = (size_t)(acls == NULL ? 0 : acls->n) + (grants == NULL ? 0 : grants->n);
	if (n > POLICY_RULES_MAX) {
		policy_parse_fail(s, acls != NULL && acls->n > 0 ? acls : grants,
		    "%zu rules are too many: at most %u acls and grants", n, POLICY_RULES_MAX);
		return;
	}
	p->rules = arena_alloc(s->arena, (n + 1) * sizeof(*p->rules));
	parse_list(s, grants, parse_grant);
	parse_list(s, acls, parse_acl);
	if (!p->has_rules)
		allow_all(s);
}
