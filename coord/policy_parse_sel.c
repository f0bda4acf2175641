/*
 * Selectors: what a text stands for, and where which kind may stand. Equal texts are one selector, so
 * that a rule list of a hundred thousand mentions resolves each of its few dozen texts once.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "coord/policy_parse.h"
#include "coord/tag.h"

#define K(kind) (1u << POLICY_SEL_##kind)
#define PEOPLE (K(USER) | K(GROUP) | K(DOMAIN) | K(ROLE) | K(MEMBER))
#define DEVICES (K(TAGGED) | K(TAG))

/* Per place: kinds that may stand there, and the place's name for people. */
static const struct { uint32_t kinds; const char *word; } places[] = {
	[POLICY_AT_SRC] = { PEOPLE | DEVICES | K(SET) | K(ANY) | K(ALL) | K(NOBODY),
	    "on the src side of a rule" },
	[POLICY_AT_ACL_DST] = { PEOPLE | DEVICES | K(SET) | K(ANY) | K(INTERNET) | K(SELF),
	    "on the dst side of a rule" },
	[POLICY_AT_GRANT_DST] = { PEOPLE | DEVICES | K(SET) | K(ANY) | K(INTERNET) | K(SELF),
	    "on the dst side of a rule" },
	[POLICY_AT_VIA] = { K(TAG), "in via" },
	[POLICY_AT_SSH_SRC] = { PEOPLE | DEVICES, "as src of an SSH rule" },
	[POLICY_AT_SSH_DST] = { DEVICES | K(USER) | K(MEMBER) | K(SELF), "as dst of an SSH rule" },
	[POLICY_AT_OWNER] = { PEOPLE | DEVICES, "as owner of a tag" },
	[POLICY_AT_APPROVER] = { PEOPLE | DEVICES, "as auto approver" },
	[POLICY_AT_TARGET] = { PEOPLE | DEVICES | K(SET) | K(ANY), "as target of nodeAttrs" },
	[POLICY_AT_TEST_SRC] = { PEOPLE | DEVICES | K(SET), "as src of a test" },
	[POLICY_AT_TEST_DST] = { PEOPLE | DEVICES | K(SET) | K(SELF), "as dst of a test" },
	[POLICY_AT_SSH_TEST_DST] = { PEOPLE | DEVICES | K(SET) | K(SELF), "as dst of an SSH test" },
};

#define R(role) (1u << USER_##role)
static const struct { const char *name; enum policy_sel_kind kind; uint32_t roles; } autogroups[] = {
	{ "member", POLICY_SEL_MEMBER, 0 }, { "members", POLICY_SEL_MEMBER, 0 },
	{ "tagged", POLICY_SEL_TAGGED, 0 }, { "self", POLICY_SEL_SELF, 0 },
	{ "internet", POLICY_SEL_INTERNET, 0 }, { "danger-all", POLICY_SEL_ALL, 0 },
	{ "shared", POLICY_SEL_NOBODY, 0 },
	/* The owner is an admin too. */
	{ "owner", POLICY_SEL_ROLE, R(OWNER) }, { "admin", POLICY_SEL_ROLE, R(OWNER) | R(ADMIN) },
	{ "network-admin", POLICY_SEL_ROLE, R(NETWORK_ADMIN) },
	{ "auditor", POLICY_SEL_ROLE, R(AUDITOR) },
	/* Roles that this server does not give. */
	{ "it-admin", POLICY_SEL_ROLE, 0 }, { "billing-admin", POLICY_SEL_ROLE, 0 },
};

static bool
has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

enum err
policy_parse_prefix(const char *text, struct net_prefix *out, struct err_text *why)
{
	const char *slash = strchr(text, '/');
	char put[NET_TEXT_MAX];
	struct net_ip ip;

	if (net_prefix_parse(text, strlen(text), out) == ERR_OK)
		return ERR_OK;
	if (slash == NULL || net_ip_parse(text, (size_t)(slash - text), &ip) != ERR_OK)
		return err_say(why, ERR_INVAL, "\"%.100s\" is no address or prefix", text);
	/* Right but for the bits behind the prefix: the one that was meant may be told. */
	for (unsigned bits = ip.family == 4 ? 32 : 128; bits > 0; bits--) {
		char whole[NET_TEXT_MAX + 8];

		ip.b[(bits - 1) / 8] &= (uint8_t)(0xff00u >> ((bits - 1) % 8));
		snprintf(whole, sizeof(whole), "%s%.6s", net_ip_put(&ip, put), slash);
		if (net_prefix_parse(whole, strlen(whole), out) == ERR_OK)
			return err_say(why, ERR_INVAL, "\"%.100s\" has bits set behind the prefix: "
			    "\"%s\" is the network, \"%.*s\" the host", text, whole,
			    (int)(slash - text), text);
	}
	return err_say(why, ERR_INVAL, "\"%.100s\" is no address or prefix", text);
}

char *
policy_parse_token(struct policy_parser *s, const char *text, const struct hujson *at)
{
	struct policy *p = s->p;
	size_t n = strlen(text);

	if (n > 0 && text[n - 1] == '@')
		n--;
	char *token = arena_strndup(s->arena, text, n);
	uint32_t known = policy_names_find(&s->tokens, token);
	if (known != POLICY_NONE)
		return p->tokens[known].token;
	if (p->n_tokens == s->cap_tokens) {
		s->cap_tokens = 2 * s->cap_tokens + 16;
		p->tokens = obj_realloc(p->tokens, s->cap_tokens * sizeof(*p->tokens));
	}
	p->tokens[p->n_tokens] = (struct policy_token){ token, at->line, at->column };
	policy_names_put(&s->tokens, token, p->n_tokens++);
	return token;
}

static void
add_prefix(struct ipset *set, const char *text)
{
	struct net_prefix p;

	ASSERT(net_prefix_parse(text, strlen(text), &p) == ERR_OK);
	ipset_add_prefix(set, &p);
}

static void
remove_prefix(struct ipset *set, const char *text)
{
	struct ipset out = { 0 };

	add_prefix(&out, text);
	ipset_remove_set(set, &out);
	ipset_fini(&out);
}

void
policy_parse_internet(struct ipset *set)
{
	static const char *const private[] = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
	    "100.64.0.0/10", "169.254.0.0/16" };

	add_prefix(set, "0.0.0.0/0");
	add_prefix(set, "2000::/3");
	for (size_t i = 0; i < COUNT_OF(private); i++)
		remove_prefix(set, private[i]);
}

static void
fill_special(struct policy_sel *sel)
{
	switch (sel->kind) {
	case POLICY_SEL_ANY:
		add_prefix(&sel->set, "100.64.0.0/10");
		add_prefix(&sel->set, "fd7a:115c:a1e0::/48");
		remove_prefix(&sel->set, "100.115.92.0/23");	/* of ChromeOS' containers */
		break;
	case POLICY_SEL_ALL:
		add_prefix(&sel->set, "0.0.0.0/0");
		add_prefix(&sel->set, "::/0");
		break;
	case POLICY_SEL_INTERNET:
		policy_parse_internet(&sel->set);
		break;
	default:
		break;
	}
}

static enum err
read_autogroup(struct policy_sel *sel, struct err_text *why)
{
	const char *name = sel->text + strlen("autogroup:");

	for (size_t i = 0; i < COUNT_OF(autogroups); i++) {
		if (strcmp(name, autogroups[i].name) == 0) {
			sel->kind = autogroups[i].kind;
			sel->roles = autogroups[i].roles;
			fill_special(sel);
			return ERR_OK;
		}
	}
	return err_say(why, ERR_INVAL, "there is no autogroup \"%.200s\"", sel->text);
}

static enum err
read_domain(struct policy_sel *sel, struct err_text *why)
{
	if (!has_prefix(sel->text, "user:*@") || sel->text[7] == '\0' || strchr(sel->text + 7, '*') ||
	    strchr(sel->text + 7, '@'))
		return err_say(why, ERR_INVAL, "\"%.200s\": users of a domain are \"user:*@<domain>\"",
		    sel->text);
	sel->kind = POLICY_SEL_DOMAIN;
	sel->tag = sel->text + 7;
	return ERR_OK;
}

/* Names that other sections define. *is_undefined: this one is not. */
static void
read_named(struct policy_parser *s, struct policy_sel *sel, bool *is_undefined)
{
	uint32_t i;

	if (has_prefix(sel->text, "group:")) {
		sel->kind = POLICY_SEL_GROUP;
		if ((i = policy_names_find(&s->groups, sel->text)) != POLICY_NONE) {
			sel->users = s->group[i].users;
			sel->n_users = s->group[i].n_users;
		}
	} else if (has_prefix(sel->text, "tag:")) {
		sel->kind = POLICY_SEL_TAG;
		sel->tag = sel->text;
		i = policy_names_find(&s->tags, sel->text);
	} else if (has_prefix(sel->text, "ipset:")) {
		sel->kind = POLICY_SEL_SET;
		sel->is_ipset = true;
		if ((i = policy_names_find(&s->ipsets, sel->text)) != POLICY_NONE)
			ipset_add_set(&sel->set, &s->ipset[i].set);
	} else {
		sel->kind = POLICY_SEL_SET;
		sel->is_host = true;
		if ((i = policy_names_find(&s->hosts, sel->text)) != POLICY_NONE)
			ipset_add_prefix(&sel->set, &s->host[i].prefix);
	}
	*is_undefined = i == POLICY_NONE;
}

/* By sel->text. */
static enum err
read_sel(struct policy_parser *s, const struct hujson *at, struct policy_sel *sel,
    bool *is_undefined, struct err_text *why)
{
	struct net_prefix prefix;
	const char *text = sel->text;

	*is_undefined = false;
	if (net_prefix_parse(text, strlen(text), &prefix) == ERR_OK) {
		sel->kind = POLICY_SEL_SET;
		ipset_add_prefix(&sel->set, &prefix);
	} else if (strcmp(text, "*") == 0) {
		sel->kind = POLICY_SEL_ANY;
		fill_special(sel);
	} else if (has_prefix(text, "autogroup:")) {
		return read_autogroup(sel, why);
	} else if (has_prefix(text, "user:")) {
		return read_domain(sel, why);
	} else if (has_prefix(text, "group:") || has_prefix(text, "tag:") ||
	    has_prefix(text, "ipset:")) {
		read_named(s, sel, is_undefined);
	} else if (has_prefix(text, "svc:")) {
		return err_say(why, ERR_INVAL, "\"%.200s\": this server has no Services to reach", text);
	} else if (text[0] == '\0' || strcmp(text, "@") == 0) {
		return err_say(why, ERR_INVAL, "\"%s\" names nothing", text);
	} else if (strchr(text, '@') != NULL) {
		sel->kind = POLICY_SEL_USER;
		sel->users = arena_alloc(s->arena, sizeof(*sel->users));
		sel->users[0] = policy_parse_token(s, text, at);
		sel->n_users = 1;
	} else if (strchr(text, '/') != NULL) {
		return policy_parse_prefix(text, &prefix, why);
	} else if (strchr(text, ':') != NULL) {
		return err_say(why, ERR_INVAL, "\"%.200s\" is no selector: no address, user, group, "
		    "tag, autogroup, host or ipset", text);
	} else {
		read_named(s, sel, is_undefined);
	}
	sel->is_single = sel->kind == POLICY_SEL_SET && sel->set.n == 1 &&
	    net_ip_eq(&sel->set.v[0].lo, &sel->set.v[0].hi);
	return ERR_OK;
}

/* Its number, or POLICY_NONE with *why. Undefined ones have a number. */
static uint32_t
intern(struct policy_parser *s, const char *text, const struct hujson *at, struct err_text *why)
{
	struct policy *p = s->p;
	uint32_t known = policy_names_find(&s->sels, text);
	struct policy_sel sel = { 0 };
	bool is_undefined;

	if (known != POLICY_NONE)
		return known;
	sel.text = arena_strndup(s->arena, text, strlen(text));
	if (read_sel(s, at, &sel, &is_undefined, why) != ERR_OK)
		return POLICY_NONE;
	if (p->n_sels == s->cap_sels) {
		s->cap_sels = 2 * s->cap_sels + 32;
		p->sels = obj_realloc(p->sels, s->cap_sels * sizeof(*p->sels));
		s->is_sel_undefined = obj_realloc(s->is_sel_undefined,
		    s->cap_sels * sizeof(*s->is_sel_undefined));
	}
	p->sels[p->n_sels] = sel;
	s->is_sel_undefined[p->n_sels] = is_undefined;
	policy_names_put(&s->sels, sel.text, p->n_sels);
	return p->n_sels++;
}

/* Why the kind may not stand there. */
static enum err
say_misplaced(enum policy_place place, const char *text, struct err_text *why)
{
	bool is_dst = place == POLICY_AT_ACL_DST || place == POLICY_AT_GRANT_DST;

	if (is_dst && strcmp(text, "autogroup:danger-all") == 0)
		return err_say(why, ERR_INVAL, "cannot use autogroup:danger-all as a dst");
	if (place == POLICY_AT_VIA)
		return err_say(why, ERR_INVAL, "via can only be a tag, not \"%.200s\"", text);
	return err_say(why, ERR_INVAL, "\"%.200s\" not valid %s", text, places[place].word);
}

static enum err
say_undefined(enum policy_place place, const struct policy_sel *sel, struct err_text *why)
{
	const char *text = sel->text;

	if (sel->kind == POLICY_SEL_GROUP)
		return err_say(why, ERR_INVAL, "group not defined in policy: \"%.200s\"", text);
	if (sel->kind == POLICY_SEL_SET && sel->is_ipset)
		return err_say(why, ERR_INVAL, "ipset not defined in policy: \"%.200s\"", text);
	if (sel->kind == POLICY_SEL_SET)
		return err_say(why, ERR_INVAL, "host not defined in policy: \"%.200s\" (a user is "
		    "written with '@', at the end if there is none)", text);
	switch (place) {
	case POLICY_AT_SRC:
		return err_say(why, ERR_INVAL, "src=tag not found: \"%.200s\"", text);
	case POLICY_AT_ACL_DST:
		return err_say(why, ERR_INVAL, "dst=\"%.100s\": tag not found: \"%.100s\"", text, text);
	case POLICY_AT_VIA:
		return err_say(why, ERR_INVAL, "tag \"%.200s\" not found", text);
	case POLICY_AT_SSH_TEST_DST:
		return err_say(why, ERR_INVAL, "SSH tests dst contains unknown tag \"%.200s\"", text);
	default:
		return err_say(why, ERR_INVAL, "tag not found: \"%.200s\"", text);
	}
}

uint32_t
policy_parse_sel(struct policy_parser *s, enum policy_place place, const char *text,
    const struct hujson *at, struct err_text *why)
{
	const struct policy_sel *sel;
	uint32_t i;

	if (strcmp(text, "autogroup:nonroot") == 0) {	/* stands in "users" of SSH rules alone */
		(void)say_misplaced(place, text, why);
		return POLICY_NONE;
	}
	if ((i = intern(s, text, at, why)) == POLICY_NONE)
		return POLICY_NONE;
	sel = &s->p->sels[i];
	if (place == POLICY_AT_SSH_DST && sel->is_host) {
		(void)err_say(why, ERR_INVAL, "invalid dst \"%.200s\"", text);
		return POLICY_NONE;
	}
	bool may_be_set = (places[place].kinds & K(SET)) != 0;
	bool is_free_tag = sel->kind == POLICY_SEL_TAG && !s->p->has_tag_owners;
	if (is_free_tag && !tag_is_valid(sel->tag)) {
		(void)err_say(why, ERR_INVAL, "\"%.200s\" is no tag: tag names start with a letter and "
		    "have letters, digits and '-'", text);
		return POLICY_NONE;
	}
	if (s->is_sel_undefined[i] && !is_free_tag && (sel->kind != POLICY_SEL_SET || may_be_set)) {
		(void)say_undefined(place, sel, why);
		return POLICY_NONE;
	}
	if ((places[place].kinds & 1u << sel->kind) == 0 ||
	    (sel->is_ipset && place == POLICY_AT_TARGET)) {
		(void)say_misplaced(place, text, why);
		return POLICY_NONE;
	}
	return i;
}

/* Most have no blanks at the ends and need no copy. */
static const char *
trimmed(struct policy_parser *s, const char *text)
{
	size_t n = strlen(text);

	return n > 0 && (isspace((unsigned char)text[0]) || isspace((unsigned char)text[n - 1])) ?
	    policy_parse_trim(s, text) : text;
}

struct policy_list
policy_parse_sels(struct policy_parser *s, enum policy_place place, const struct hujson *list,
    const char *what)
{
	struct policy_list out = { 0 };

	if (list == NULL || !policy_parse_is_list(s, list, what))
		return out;
	out.v = arena_alloc(s->arena, list->n * sizeof(*out.v));
	for (const struct hujson *v = list->first; v != NULL; v = v->next) {
		struct err_text why;
		uint32_t i = POLICY_NONE;

		if (v->type == HUJSON_STRING)
			i = policy_parse_sel(s, place, trimmed(s, v->text), v, &why);
		else if (place == POLICY_AT_VIA)
			(void)err_say(&why, ERR_INVAL, "via can only be a tag, not %s",
			    hujson_type_word(v));
		else
			(void)err_say(&why, ERR_INVAL, "%s wants strings, not %s", what,
			    hujson_type_word(v));
		if (i == POLICY_NONE)
			policy_parse_fail(s, v, "%s", why.s);
		else
			out.v[out.n++] = i;
	}
	return out;
}
