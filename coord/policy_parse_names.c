/* Sections that define names: groups, hosts, tagOwners; and autoApprovers. */
#include <string.h>

#include "coord/policy_parse.h"
#include "coord/tag.h"

static void
fail_name(struct policy_parser *s, const struct hujson *m, const char *why)
{
	policy_errors_add(s->errors, m->name_line, m->name_column, "%s", why);
}

static bool
has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void
parse_group(struct policy_parser *s, const struct hujson *m, struct policy_group *group)
{
	struct err_text why;

	if (!has_prefix(m->name, "group:") || m->name[6] == '\0') {
		(void)err_say(&why, ERR_INVAL, "group must start with 'group:', got: \"%.200s\"",
		    m->name);
		fail_name(s, m, why.s);
	}
	if (m->type == HUJSON_NULL)
		return;
	if (m->type != HUJSON_LIST) {
		policy_parse_fail(s, m, "groups[\"%.200s\"]: a group is a list of users, not %s",
		    m->name, hujson_type_word(m));
		return;
	}
	group->users = arena_alloc(s->arena, m->n * sizeof(*group->users));
	for (const struct hujson *v = m->first; v != NULL; v = v->next) {
		if (v->type != HUJSON_STRING)
			policy_parse_fail(s, v, "groups[\"%.200s\"]: a user is a string, not %s",
			    m->name, hujson_type_word(v));
		else if (has_prefix(v->text, "group:"))
			policy_parse_fail(s, v, "groups[\"%.100s\"]: \"%.100s\": group members cannot "
			    "be recursive", m->name, v->text);
		else if (strchr(v->text, '@') == NULL || strcmp(v->text, "@") == 0 ||
		    strchr(v->text, ':') != NULL)
			policy_parse_fail(s, v, "groups[\"%.100s\"]: \"%.100s\" is no user: a user's "
			    "name has an '@', at the end if there is none (\"alice@\")", m->name,
			    v->text);
		else
			group->users[group->n_users++] = policy_parse_token(s, v->text, v);
	}
}

void
policy_parse_groups(struct policy_parser *s, const struct hujson *v)
{
	unsigned n = 0;

	if (v == NULL || !policy_parse_is_object(s, v, "groups"))
		return;
	s->group = arena_alloc(s->arena, v->n * sizeof(*s->group));
	for (const struct hujson *m = v->first; m != NULL; m = m->next, n++) {
		s->group[n].name = m->name;
		policy_names_put(&s->groups, m->name, n);
		parse_group(s, m, &s->group[n]);
	}
}

static void
parse_host(struct policy_parser *s, const struct hujson *m, struct policy_host *host)
{
	struct err_text why;
	const char *text;

	if (m->name[0] == '\0' || strpbrk(m->name, "@:") != NULL) {
		(void)err_say(&why, ERR_INVAL, "hosts[\"%.200s\"]: a name has no '@' and no ':'",
		    m->name);
		fail_name(s, m, why.s);
	}
	if ((text = policy_parse_text(s, m, "an entry of hosts")) == NULL)
		return;
	if (policy_parse_prefix(text, &host->prefix, &why) != ERR_OK)
		policy_parse_fail(s, m, "hosts[\"%.100s\"]: %s", m->name, why.s);
}

void
policy_parse_hosts(struct policy_parser *s, const struct hujson *v)
{
	unsigned n = 0;

	if (v == NULL || !policy_parse_is_object(s, v, "hosts"))
		return;
	s->host = arena_alloc(s->arena, v->n * sizeof(*s->host));
	for (const struct hujson *m = v->first; m != NULL; m = m->next, n++) {
		s->host[n].name = m->name;
		policy_names_put(&s->hosts, m->name, n);
		parse_host(s, m, &s->host[n]);
	}
}

static void
check_tag_name(struct policy_parser *s, const struct hujson *m)
{
	char first = has_prefix(m->name, "tag:") ? m->name[4] : '\0';
	bool is_letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
	struct err_text why;

	if (tag_is_valid(m->name))
		return;
	if (!has_prefix(m->name, "tag:"))
		(void)err_say(&why, ERR_INVAL, "tagOwners[\"%.100s\"]: tag must start with 'tag:'",
		    m->name);
	else if (!is_letter)
		(void)err_say(&why, ERR_INVAL, "tagOwners[\"%.100s\"]: tag names must start with a "
		    "letter, after 'tag:'", m->name);
	else
		(void)err_say(&why, ERR_INVAL, "tagOwners[\"%.100s\"]: tag names have letters, digits "
		    "and '-', at most %d of them", m->name, TAG_TEXT_MAX - 5);
	fail_name(s, m, why.s);
}

static int
compare_tags(const void *a, const void *b)
{
	return strcmp(((const struct policy_tag *)a)->tag, ((const struct policy_tag *)b)->tag);
}

void
policy_parse_tag_owners(struct policy_parser *s, const struct hujson *v)
{
	struct policy *p = s->p;

	if (v == NULL || !policy_parse_is_object(s, v, "tagOwners"))
		return;
	p->has_tag_owners = true;
	p->tags = arena_alloc(s->arena, v->n * sizeof(*p->tags));
	/* Tags own tags, in any order: first the names. */
	for (const struct hujson *m = v->first; m != NULL; m = m->next) {
		policy_names_put(&s->tags, m->name, p->n_tags);
		p->tags[p->n_tags++].tag = arena_strndup(s->arena, m->name, strlen(m->name));
		check_tag_name(s, m);
	}
	unsigned i = 0;
	for (const struct hujson *m = v->first; m != NULL; m = m->next, i++) {
		if (m->type != HUJSON_NULL)
			p->tags[i].owners = policy_parse_sels(s, POLICY_AT_OWNER, m, "an owner list");
	}
	qsort(p->tags, p->n_tags, sizeof(*p->tags), compare_tags);
}

static struct policy_list
parse_who(struct policy_parser *s, const struct hujson *m)
{
	return m->type == HUJSON_NULL ? (struct policy_list){ 0 } :
	    policy_parse_sels(s, POLICY_AT_APPROVER, m, "a list of auto approvers");
}

static void
parse_routes(struct policy_parser *s, const struct hujson *v)
{
	struct policy *p = s->p;

	if (v == NULL || !policy_parse_is_object(s, v, "routes"))
		return;
	p->routes = arena_alloc(s->arena, v->n * sizeof(*p->routes));
	for (const struct hujson *m = v->first; m != NULL; m = m->next) {
		struct policy_approver *route = &p->routes[p->n_routes];
		struct err_text why;

		if (policy_parse_prefix(m->name, &route->prefix, &why) != ERR_OK)
			fail_name(s, m, why.s);
		else
			p->n_routes++;
		route->who = parse_who(s, m);
	}
}

/* There are no services here to approve: what is said of them is to be right, and is not kept. */
static void
check_services(struct policy_parser *s, const struct hujson *v)
{
	if (v == NULL || !policy_parse_is_object(s, v, "services"))
		return;
	for (const struct hujson *m = v->first; m != NULL; m = m->next) {
		struct err_text why;

		if (!has_prefix(m->name, "svc:") && !has_prefix(m->name, "tag:")) {
			(void)err_say(&why, ERR_INVAL, "services[\"%.200s\"]: a service is \"svc:name\" "
			    "or a tag", m->name);
			fail_name(s, m, why.s);
			continue;
		}
		(void)parse_who(s, m);
	}
}

void
policy_parse_approvers(struct policy_parser *s, const struct hujson *v)
{
	static const char *const names[] = { "routes", "exitNode", "services" };
	const struct hujson *m[COUNT_OF(names)];

	if (v == NULL || !policy_parse_fields(s, v, names, COUNT_OF(names), m))
		return;
	parse_routes(s, m[0]);
	if (m[1] != NULL)
		s->p->exit_node.who = parse_who(s, m[1]);
	check_services(s, m[2]);
}
