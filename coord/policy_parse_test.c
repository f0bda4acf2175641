/*
 * The sections tests and sshTests. A test that asks for what cannot be tested is no fault of the text:
 * it has a problem, and fails when tests are run.
 */
#include <string.h>

#include "coord/policy_parse.h"

#define PROBLEM_MAX 1000	/* bytes, then nothing is added */

static void
add_problem(struct policy_parser *s, char **problem, const char *text)
{
	if (*problem != NULL && strlen(*problem) > PROBLEM_MAX)
		return;			/* enough to begin with */
	*problem = *problem == NULL ? arena_strndup(s->arena, text, strlen(text)) :
	    arena_printf(s->arena, "%s\n%s", *problem, text);
}

/* One that stands for single nodes. Anything else is a problem. */
static uint32_t
parse_sel(struct policy_parser *s, enum policy_place place, const struct hujson *v, char **problem)
{
	const char *text = policy_parse_trim(s, v->text);
	struct err_text why;
	uint32_t i = policy_parse_sel(s, place, text, v, &why);
	const struct policy_sel *sel = i == POLICY_NONE ? NULL : &s->p->sels[i];
	bool is_ssh = place == POLICY_AT_SSH_TEST_DST;

	if (sel == NULL && is_ssh && strcmp(text, "autogroup:internet") == 0) {
		(void)err_say(&why, ERR_INVAL, "SSH tests dst contains disallowed element \"%s\"", text);
	} else if (sel != NULL && sel->kind == POLICY_SEL_SET && !sel->is_single) {
		(void)err_say(&why, ERR_INVAL, is_ssh ?
		    "SSH tests dst contains disallowed element \"%.200s\"" :
		    "\"%.200s\" is more than one address", text);
		i = POLICY_NONE;
	}
	if (i == POLICY_NONE)
		add_problem(s, problem, why.s);
	return i;
}

static uint32_t
parse_src(struct policy_parser *s, const struct hujson *v, char **problem)
{
	if (v == NULL || (v->type == HUJSON_STRING && v->text[0] == '\0')) {
		add_problem(s, problem, "src must be specified");
		return POLICY_NONE;
	}
	return policy_parse_text(s, v, "src") == NULL ? POLICY_NONE :
	    parse_sel(s, POLICY_AT_TEST_SRC, v, problem);
}

static struct policy_fact *
parse_facts(struct policy_parser *s, const struct hujson *v, unsigned *n)
{
	struct policy_fact *facts;

	if (v == NULL || !policy_parse_is_object(s, v, "srcPostureAttrs"))
		return NULL;
	facts = arena_alloc(s->arena, v->n * sizeof(*facts));
	for (const struct hujson *m = v->first; m != NULL; m = m->next) {
		const char *text = m->type == HUJSON_TRUE ? "true" : m->type == HUJSON_FALSE ? "false" :
		    m->text;

		if (text == NULL) {
			policy_parse_fail(s, m, "an attribute is a string, a number, true or false, not %s",
			    hujson_type_word(m));
			continue;
		}
		facts[(*n)++] = (struct policy_fact){
			arena_strndup(s->arena, m->name, strlen(m->name)),
			arena_strndup(s->arena, text, strlen(text)),
		};
	}
	return facts;
}

/* What can be tested is one port of one host. */
static enum err
check_dst(const struct policy_parser *s, const struct policy_dst *dst, struct err_text *why)
{
	const struct policy_sel *sel = &s->p->sels[dst->sel];

	if (dst->n_ports != 1 || dst->ports[0].first != dst->ports[0].last)
		return err_say(why, ERR_INVAL, "\"%.200s\": test destination port must be a single port",
		    dst->text);
	if (sel->kind == POLICY_SEL_SET && (!sel->is_single || strchr(dst->text, '/') != NULL))
		return err_say(why, ERR_INVAL, "\"%.200s\": test destination must be a single host, not "
		    "a CIDR range", dst->text);
	return ERR_OK;
}

static struct policy_dst *
parse_dsts(struct policy_parser *s, const struct hujson *v, const char *what, unsigned *n,
    char **problem)
{
	struct policy_dst *dsts;

	if (v == NULL || !policy_parse_is_strings(s, v, what))
		return NULL;
	dsts = arena_alloc(s->arena, v->n * sizeof(*dsts));
	for (const struct hujson *i = v->first; i != NULL; i = i->next) {
		struct err_text why;

		if (policy_parse_dst(s, POLICY_AT_TEST_DST, i, &dsts[*n], &why) != ERR_OK ||
		    check_dst(s, &dsts[*n], &why) != ERR_OK)
			add_problem(s, problem, why.s);
		else
			(*n)++;
	}
	return dsts;
}

static void
parse_test_proto(struct policy_parser *s, const struct hujson *v, struct policy_test *t)
{
	struct err_text why;

	t->proto = -1;
	if (v == NULL)
		return;
	if (v->type != HUJSON_STRING && v->type != HUJSON_NUMBER) {
		policy_parse_fail(s, v, "proto wants a string, not %s", hujson_type_word(v));
	} else if (policy_parse_proto(v->text, &t->proto, &why) != ERR_OK) {
		add_problem(s, &t->problem, why.s);
	} else if (t->proto != -1 && t->proto != 6 && t->proto != 17 && t->proto != 132) {
		(void)err_say(&why, ERR_INVAL, "test protocol must be tcp, udp, sctp, or empty, not "
		    "\"%.100s\"", v->text);
		add_problem(s, &t->problem, why.s);
	}
}

static void
parse_test(struct policy_parser *s, const struct hujson *v, struct policy_test *t)
{
	static const char *const names[] = { "src", "proto", "accept", "deny", "srcPostureAttrs",
	    "allow" };
	const struct hujson *m[COUNT_OF(names)];

	t->line = v->line;
	t->src = POLICY_NONE;
	if (!policy_parse_fields(s, v, names, COUNT_OF(names), m))
		return;
	t->src = parse_src(s, m[0], &t->problem);
	parse_test_proto(s, m[1], t);
	if (m[2] == NULL)
		m[2] = m[5];		/* its old name */
	else if (m[5] != NULL)
		policy_parse_fail(s, m[5], "\"allow\" is an old name of \"accept\": only one of them");
	t->accept = parse_dsts(s, m[2], "accept", &t->n_accept, &t->problem);
	t->deny = parse_dsts(s, m[3], "deny", &t->n_deny, &t->problem);
	t->facts = parse_facts(s, m[4], &t->n_facts);
	if ((m[2] == NULL || m[2]->n == 0) && (m[3] == NULL || m[3]->n == 0))
		add_problem(s, &t->problem, "test entry must have at least one of \"accept\" or \"deny\"");
}

void
policy_parse_tests(struct policy_parser *s, const struct hujson *v)
{
	struct policy *p = s->p;

	if (v == NULL || !policy_parse_is_list(s, v, "tests"))
		return;
	p->tests = arena_alloc(s->arena, v->n * sizeof(*p->tests));
	for (const struct hujson *i = v->first; i != NULL; i = i->next)
		parse_test(s, i, &p->tests[p->n_tests++]);
}

static void
parse_ssh_test(struct policy_parser *s, const struct hujson *v, struct policy_ssh_test *t)
{
	static const char *const names[] = { "src", "dst", "accept", "deny", "check",
	    "srcPostureAttrs" };
	const struct hujson *m[COUNT_OF(names)];

	t->line = v->line;
	t->src = POLICY_NONE;
	if (!policy_parse_fields(s, v, names, COUNT_OF(names), m))
		return;
	t->src = parse_src(s, m[0], &t->problem);
	if (m[1] == NULL || (m[1]->type == HUJSON_LIST && m[1]->n == 0))
		add_problem(s, &t->problem, "SSH tests entry must have at least one dst");
	if (m[1] != NULL && policy_parse_is_strings(s, m[1], "dst")) {
		t->dst.v = arena_alloc(s->arena, m[1]->n * sizeof(*t->dst.v));
		for (const struct hujson *i = m[1]->first; i != NULL; i = i->next) {
			uint32_t sel = parse_sel(s, POLICY_AT_SSH_TEST_DST, i, &t->problem);

			if (sel != POLICY_NONE)
				t->dst.v[t->dst.n++] = sel;
		}
	}
	t->accept = policy_parse_texts(s, m[2], "accept", true, &t->n_accept);
	t->deny = policy_parse_texts(s, m[3], "deny", true, &t->n_deny);
	t->check = policy_parse_texts(s, m[4], "check", true, &t->n_check);
	t->facts = parse_facts(s, m[5], &t->n_facts);
}

void
policy_parse_ssh_tests(struct policy_parser *s, const struct hujson *v)
{
	struct policy *p = s->p;

	if (v == NULL || !policy_parse_is_list(s, v, "sshTests"))
		return;
	p->ssh_tests = arena_alloc(s->arena, v->n * sizeof(*p->ssh_tests));
	for (const struct hujson *i = v->first; i != NULL; i = i->next)
		parse_ssh_test(s, i, &p->ssh_tests[p->n_ssh_tests++]);
}
