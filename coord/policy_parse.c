/*
 * Policies from text: the tree of coord/hujson is read section by section. Sections that define names
 * come first, wherever they stand. Wordings of faults are those of Tailscale's service where people
 * know them from there.
 */
#include "coord/policy_parse.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/map.h"

/* X(id, name): the sections */
#define SECTIONS(X) \
	X(GROUPS, "groups") X(HOSTS, "hosts") X(IPSETS, "ipsets") X(TAG_OWNERS, "tagOwners") \
	X(POSTURES, "postures") X(DEFAULT_POSTURE, "defaultSrcPosture") X(ACLS, "acls") \
	X(GRANTS, "grants") X(AUTO_APPROVERS, "autoApprovers") X(SSH, "ssh") \
	X(NODE_ATTRS, "nodeAttrs") X(TESTS, "tests") X(SSH_TESTS, "sshTests") \
	X(RANDOM_PORT, "randomizeClientPort") X(NO_IPV4, "disableIPv4") \
	X(CGNAT, "OneCGNATRoute") X(DERP_MAP, "derpMap")

enum section {
#define X(id, name) SECTION_##id,
	SECTIONS(X)
#undef X
	N_SECTIONS
};

#define VALUES_MAX 1000000		/* of the tree: 80 bytes each, freed after parsing */

static void
names_fini(struct policy_names *names)
{
	free(names->_slots);
	*names = (struct policy_names){ 0 };
}

static struct policy_name *
slot_of(const struct policy_names *names, const char *text)
{
	size_t mask = names->_cap - 1, i = map_hash(text, strlen(text)) & mask;

	while (names->_slots[i].text != NULL && strcmp(names->_slots[i].text, text) != 0)
		i = (i + 1) & mask;
	return &names->_slots[i];
}

uint32_t
policy_names_find(const struct policy_names *names, const char *text)
{
	if (names->n == 0)
		return POLICY_NONE;
	const struct policy_name *slot = slot_of(names, text);
	return slot->text == NULL ? POLICY_NONE : slot->value;
}

void
policy_names_put(struct policy_names *names, const char *text, uint32_t value)
{
	if (2 * (names->n + 1) > names->_cap) {
		struct policy_names bigger = { .n = names->n };

		bigger._cap = names->_cap == 0 ? 64 : 2 * names->_cap;
		bigger._slots = obj_alloc(bigger._cap * sizeof(*bigger._slots));
		for (unsigned i = 0; i < names->_cap; i++) {
			if (names->_slots[i].text != NULL)
				*slot_of(&bigger, names->_slots[i].text) = names->_slots[i];
		}
		free(names->_slots);
		*names = bigger;
	}
	*slot_of(names, text) = (struct policy_name){ text, value };
	names->n++;
}

void
policy_parse_fail(struct policy_parser *s, const struct hujson *at, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	policy_errors_add(s->errors, at->line, at->column, "%s", text);
}

static void
fail_name(struct policy_parser *s, const struct hujson *at, const char *what)
{
	policy_errors_add(s->errors, at->name_line, at->name_column, "%s \"%s\"", what, at->name);
}

bool
policy_parse_fields(struct policy_parser *s, const struct hujson *object, const char *const *names,
    unsigned n, const struct hujson **out)
{
	bool has_notes = false;
	uint64_t seen = 0;

	ASSERT(n <= 64);
	for (unsigned i = 0; i < n; i++) {
		out[i] = NULL;
		has_notes |= strcmp(names[i], "#") == 0;
	}
	if (object->type != HUJSON_OBJECT) {
		policy_parse_fail(s, object, "an object is wanted here, not %s",
		    hujson_type_word(object));
		return false;
	}
	for (const struct hujson *m = object->first; m != NULL; m = m->next) {
		unsigned i = 0;

		while (i < n && strcasecmp(names[i], m->name) != 0)
			i++;
		if (m->name[0] == '#' && has_notes)
			continue;
		if (i == n)
			fail_name(s, m, "unknown field");
		else if ((seen & UINT64_C(1) << i) != 0)
			fail_name(s, m, "field given twice:");
		else if (m->type != HUJSON_NULL)
			out[i] = m;
		if (i < n)
			seen |= UINT64_C(1) << i;
	}
	return true;
}

static bool
is_type(struct policy_parser *s, const struct hujson *v, enum hujson_type type, const char *what,
    const char *wanted)
{
	if (v == NULL || v->type == type)
		return true;
	policy_parse_fail(s, v, "%s wants %s, not %s", what, wanted, hujson_type_word(v));
	return false;
}

bool
policy_parse_is_object(struct policy_parser *s, const struct hujson *v, const char *what)
{
	return is_type(s, v, HUJSON_OBJECT, what, "an object");
}

bool
policy_parse_is_list(struct policy_parser *s, const struct hujson *v, const char *what)
{
	return is_type(s, v, HUJSON_LIST, what, "a list");
}

bool
policy_parse_is_strings(struct policy_parser *s, const struct hujson *list, const char *what)
{
	bool is_fine = true;

	if (!is_type(s, list, HUJSON_LIST, what, "a list of strings"))
		return false;
	for (const struct hujson *v = list == NULL ? NULL : list->first; v != NULL; v = v->next) {
		if (!is_type(s, v, HUJSON_STRING, what, "strings"))
			is_fine = false;
	}
	return is_fine;
}

const char *
policy_parse_text(struct policy_parser *s, const struct hujson *v, const char *what)
{
	return v != NULL && is_type(s, v, HUJSON_STRING, what, "a string") ? v->text : NULL;
}

char *
policy_parse_trim(struct policy_parser *s, const char *text)
{
	size_t n;

	while (isspace((unsigned char)*text))
		text++;
	n = strlen(text);
	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	return arena_strndup(s->arena, text, n);
}

char **
policy_parse_texts(struct policy_parser *s, const struct hujson *list, const char *what, bool trims,
    unsigned *n)
{
	char **texts = NULL;

	*n = 0;
	if (list == NULL || !policy_parse_is_strings(s, list, what))
		return NULL;
	texts = arena_alloc(s->arena, list->n * sizeof(*texts));
	for (const struct hujson *v = list->first; v != NULL; v = v->next)
		texts[(*n)++] = trims ? policy_parse_trim(s, v->text) :
		    arena_strndup(s->arena, v->text, strlen(v->text));
	return texts;
}

static void
parse_flag(struct policy_parser *s, const struct hujson *v, const char *name, bool *out)
{
	if (v == NULL)
		return;
	if (v->type != HUJSON_TRUE && v->type != HUJSON_FALSE)
		policy_parse_fail(s, v, "%s wants true or false, not %s", name, hujson_type_word(v));
	*out = v->type == HUJSON_TRUE;
}

static void
parse_cgnat(struct policy_parser *s, const struct hujson *v)
{
	const char *text = policy_parse_text(s, v, "OneCGNATRoute");

	if (text == NULL || *text == '\0')
		return;
	if (strcmp(text, "mac-always") == 0)
		s->p->one_cgnat_route = POLICY_CGNAT_MAC_ALWAYS;
	else if (strcmp(text, "mac-never") == 0)
		s->p->one_cgnat_route = POLICY_CGNAT_MAC_NEVER;
	else
		policy_parse_fail(s, v, "OneCGNATRoute is \"mac-always\", \"mac-never\" or \"\", "
		    "not \"%s\"", text);
}

static void
parse_sections(struct policy_parser *s, const struct hujson *root)
{
	static const char *const names[] = {
#define X(id, name) [SECTION_##id] = name,
		SECTIONS(X)
#undef X
	};
	const struct hujson *v[N_SECTIONS];

	if (!policy_parse_fields(s, root, names, N_SECTIONS, v))
		return;
	if (v[SECTION_DERP_MAP] != NULL)
		policy_parse_fail(s, v[SECTION_DERP_MAP], "\"derpMap\" is not read here: relays are "
		    "set under \"derp\" in the server's configuration");
	policy_parse_groups(s, v[SECTION_GROUPS]);
	policy_parse_hosts(s, v[SECTION_HOSTS]);
	policy_parse_ipsets(s, v[SECTION_IPSETS]);
	policy_parse_tag_owners(s, v[SECTION_TAG_OWNERS]);
	policy_parse_postures(s, v[SECTION_POSTURES], v[SECTION_DEFAULT_POSTURE]);
	policy_parse_rules(s, v[SECTION_ACLS], v[SECTION_GRANTS]);
	policy_parse_approvers(s, v[SECTION_AUTO_APPROVERS]);
	policy_parse_ssh(s, v[SECTION_SSH]);
	policy_parse_attrs(s, v[SECTION_NODE_ATTRS]);
	policy_parse_tests(s, v[SECTION_TESTS]);
	policy_parse_ssh_tests(s, v[SECTION_SSH_TESTS]);
	parse_flag(s, v[SECTION_RANDOM_PORT], "randomizeClientPort", &s->p->randomize_client_port);
	parse_flag(s, v[SECTION_NO_IPV4], "disableIPv4", &s->p->disable_ipv4);
	parse_cgnat(s, v[SECTION_CGNAT]);
}

static void
parser_fini(struct policy_parser *s)
{
	struct policy_names *all[] = { &s->sels, &s->tokens, &s->groups, &s->hosts, &s->ipsets,
	    &s->tags, &s->postures };

	for (size_t i = 0; i < COUNT_OF(all); i++)
		names_fini(all[i]);
	for (unsigned i = 0; i < s->n_ipset_sets; i++)
		ipset_fini(&s->ipset[i].set);
	free(s->is_sel_undefined);
}

/* Nothing but blanks and comments: no policy, as "{}". */
static bool
is_blank(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strchr(" \t\r\n", text[i]) == NULL || text[i] == '\0')
			return false;
	}
	return true;
}

enum err
policy_parse(const char *text, size_t n, struct policy **out, struct policy_errors *errors)
{
	static const struct hujson_limits limits = { POLICY_TEXT_MAX, VALUES_MAX, POLICY_DEPTH_MAX };
	struct arena *arena = arena_new(), *tree = arena_new();
	struct policy *p = arena_alloc(arena, sizeof(*p));
	struct policy_parser s = { .p = p, .arena = arena, .errors = errors };
	struct hujson empty = { .type = HUJSON_OBJECT, .line = 1, .column = 1 }, *root = &empty;
	struct hujson_error error;
	enum err rc = ERR_INVAL;

	atomic_init(&p->refs, 1);
	p->_arena = arena;
	if (!is_blank(text, n) &&
	    hujson_parse(tree, text, n, &limits, &root, &error) != ERR_OK) {
		policy_errors_add(errors, error.line, error.column, "%s", error.why.s);
		goto out;
	}
	p->text = arena_strndup(arena, text, n);
	p->text_bytes = n;
	parse_sections(&s, root);
	if (errors->n > 0)
		goto out;
	*out = policy_hold(p);
	rc = ERR_OK;
out:
	parser_fini(&s);
	arena_free(tree);
	policy_drop(p);
	return rc;
}
