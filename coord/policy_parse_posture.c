/*
 * The section postures: "posture:x": ["node:os == 'macos'", "node:tsVersion >= '1.40'",
 * "node:os IN ['macos', 'linux']", "custom:tier IS SET"], and lists of their names.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "coord/policy_parse.h"

/* Longer ones before those that they begin with. */
static const struct { const char *word; enum policy_posture_op op; bool is_list, is_word; } ops[] = {
	{ "==", POLICY_POSTURE_EQ, false, false }, { "!=", POLICY_POSTURE_NE, false, false },
	{ "<=", POLICY_POSTURE_LE, false, false }, { ">=", POLICY_POSTURE_GE, false, false },
	{ "<", POLICY_POSTURE_LT, false, false }, { ">", POLICY_POSTURE_GT, false, false },
	{ "IN", POLICY_POSTURE_IN, true, true }, { "NOT IN", POLICY_POSTURE_NOT_IN, true, true },
	{ "IS SET", POLICY_POSTURE_IS_SET, false, true },
	{ "NOT SET", POLICY_POSTURE_NOT_SET, false, true },
};

static const char *
skip_blanks(const char *p)
{
	while (isspace((unsigned char)*p))
		p++;
	return p;
}

/* "'linux'", "42", "true"; NULL: none of them, else behind it. */
static const char *
parse_value(struct policy_parser *s, const char *p, char **out)
{
	size_t n;

	if (*p == '\'' || *p == '"') {
		const char *end = strchr(p + 1, *p);

		if (end == NULL)
			return NULL;
		*out = arena_strndup(s->arena, p + 1, (size_t)(end - p) - 1);
		return end + 1;
	}
	n = strspn(p, "0123456789.-");
	if (n == 0 && strncmp(p, "true", 4) == 0)
		n = 4;
	else if (n == 0 && strncmp(p, "false", 5) == 0)
		n = 5;
	if (n == 0 || isalnum((unsigned char)p[n]))
		return NULL;
	*out = arena_strndup(s->arena, p, n);
	return p + n;
}

static const char *
parse_list(struct policy_parser *s, const char *p, struct policy_posture_test *t)
{
	unsigned n = 1;

	for (const char *c = p; *c != '\0'; c++)
		n += *c == ',';
	t->values = arena_alloc(s->arena, n * sizeof(*t->values));
	if (*p++ != '[')
		return NULL;
	for (;;) {
		p = skip_blanks(p);
		if ((p = parse_value(s, p, &t->values[t->n_values++])) == NULL)
			return NULL;
		p = skip_blanks(p);
		if (*p == ']')
			return p + 1;
		if (*p++ != ',')
			return NULL;
	}
}

/* Words with any blanks between; NULL: it is not there. */
static const char *
skip_op(const char *p, const char *word)
{
	for (; *word != '\0'; word++) {
		if (*word == ' ') {
			if (!isspace((unsigned char)*p))
				return NULL;
			p = skip_blanks(p);
		} else if (toupper((unsigned char)*p++) != *word) {
			return NULL;
		}
	}
	return p;
}

static bool
parse_test(struct policy_parser *s, const char *p, struct policy_posture_test *t)
{
	size_t n, i = 0;
	const char *rest = NULL;

	p = skip_blanks(p);
	n = strcspn(p, " \t=!<>'\"[],");
	if (memchr(p, ':', n) == NULL || p[0] == ':' || p[n - 1] == ':')
		return false;
	t->attribute = arena_strndup(s->arena, p, n);
	p = skip_blanks(p + n);
	while (i < COUNT_OF(ops) && (rest = skip_op(p, ops[i].word)) == NULL)
		i++;
	if (i == COUNT_OF(ops) || (ops[i].is_word && isalnum((unsigned char)*rest)))
		return false;
	t->op = ops[i].op;
	p = skip_blanks(rest);
	if (ops[i].is_list) {
		p = parse_list(s, p, t);
	} else if (t->op != POLICY_POSTURE_IS_SET && t->op != POLICY_POSTURE_NOT_SET) {
		t->values = arena_alloc(s->arena, sizeof(*t->values));
		p = parse_value(s, p, &t->values[0]);
		t->n_values = 1;
	}
	return p != NULL && *skip_blanks(p) == '\0';
}

static void
parse_posture(struct policy_parser *s, const struct hujson *m, struct policy_posture *posture)
{
	posture->name = arena_strndup(s->arena, m->name, strlen(m->name));
	if (!policy_parse_is_strings(s, m, "a posture"))
		return;
	posture->tests = arena_alloc(s->arena, m->n * sizeof(*posture->tests));
	for (const struct hujson *v = m->first; v != NULL; v = v->next) {
		if (!parse_test(s, v->text, &posture->tests[posture->n_tests++]))
			policy_parse_fail(s, v, "\"%.200s\" is no condition such as \"node:os == "
			    "'linux'\", \"node:tsVersion >= '1.80'\", \"node:os IN ['macos', 'ios']\" "
			    "or \"custom:tier IS SET\"", v->text);
	}
}

void
policy_parse_postures(struct policy_parser *s, const struct hujson *v,
    const struct hujson *defaults)
{
	static const struct policy_list none;
	struct policy *p = s->p;

	if (v != NULL && policy_parse_is_object(s, v, "postures")) {
		p->postures = arena_alloc(s->arena, v->n * sizeof(*p->postures));
		for (const struct hujson *m = v->first; m != NULL; m = m->next) {
			if (strncmp(m->name, "posture:", 8) != 0 || m->name[8] == '\0')
				policy_errors_add(s->errors, m->name_line, m->name_column,
				    "posture must start with 'posture:', got: \"%.200s\"", m->name);
			policy_names_put(&s->postures, m->name, p->n_postures);
			parse_posture(s, m, &p->postures[p->n_postures++]);
		}
	}
	s->default_postures = policy_parse_src_posture(s, defaults, &none);
}

struct policy_list
policy_parse_src_posture(struct policy_parser *s, const struct hujson *v,
    const struct policy_list *dflt)
{
	struct policy_list out = { 0 };

	if (v == NULL)
		return *dflt;
	if (!policy_parse_is_strings(s, v, "srcPosture"))
		return out;
	if (v->n == 0)
		return *dflt;
	out.v = arena_alloc(s->arena, v->n * sizeof(*out.v));
	for (const struct hujson *i = v->first; i != NULL; i = i->next) {
		uint32_t number = policy_names_find(&s->postures, i->text);

		if (number == POLICY_NONE)
			policy_parse_fail(s, i, "posture not defined in policy: \"%.200s\"", i->text);
		else
			out.v[out.n++] = number;
	}
	return out;
}
