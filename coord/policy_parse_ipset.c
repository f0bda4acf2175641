/*
 * The section ipsets: "ipset:x": ["add 10.0.0.0/8", "remove host:db", "1.2.3.4-1.2.3.9", …], in order.
 * Targets are addresses, prefixes, ranges, host:name, autogroup:internet and other ipsets.
 *
 * What hostile ones could cost is bounded: how deep they nest, and how many ranges are written in all.
 * A run of additions is sorted and joined at once.
 */
#include <string.h>

#include "coord/policy_parse.h"

/* A run of one operation. */
struct run {
	struct ipset_range *v;
	unsigned n, cap;
	bool is_removal;
};

static void build(struct policy_parser *s, struct policy_ipset *set, unsigned depth);

static const char *
skip_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(text, word, n) != 0 || text[n] != ' ')
		return NULL;
	return text + n + strspn(text + n, " ");
}

static void
run_add(struct run *run, const struct ipset_range *r)
{
	if (run->n == run->cap) {
		run->cap = 2 * run->cap + 16;
		run->v = obj_realloc(run->v, run->cap * sizeof(*run->v));
	}
	run->v[run->n++] = *r;
}

static void
run_add_set(struct run *run, const struct ipset *set)
{
	for (unsigned i = 0; i < set->n; i++)
		run_add(run, &set->v[i]);
}

static int
compare_ranges(const void *a, const void *b)
{
	const struct net_ip *x = &((const struct ipset_range *)a)->lo;
	const struct net_ip *y = &((const struct ipset_range *)b)->lo;

	return x->family != y->family ? (x->family < y->family ? -1 : 1) :
	    memcmp(x->b, y->b, sizeof(x->b));
}

/* Counts n ranges more; false: too many, said once. */
static bool
count_work(struct policy_parser *s, const struct hujson *at, size_t n)
{
	bool was_fine = s->ipset_work <= POLICY_IPSET_WORK_MAX;

	s->ipset_work += n;
	if (was_fine && s->ipset_work > POLICY_IPSET_WORK_MAX)
		policy_parse_fail(s, at, "the ipsets are too much work: at most %u ranges are handled",
		    POLICY_IPSET_WORK_MAX);
	return s->ipset_work <= POLICY_IPSET_WORK_MAX;
}

/* Applies the run; false: too much work. */
static bool
run_flush(struct policy_parser *s, const struct hujson *at, struct run *run, struct ipset *out)
{
	struct ipset set = { 0 };

	if (!count_work(s, at, run->n + out->n))
		return false;
	if (run->n > 0) {
		qsort(run->v, run->n, sizeof(*run->v), compare_ranges);
		for (unsigned i = 0; i < run->n; i++)
			ipset_add_range(&set, &run->v[i].lo, &run->v[i].hi);
		(run->is_removal ? ipset_remove_set : ipset_add_set)(out, &set);
		ipset_fini(&set);
	}
	run->n = 0;
	return true;
}

/* "lo-hi" */
static enum err
parse_range(const char *text, struct ipset_range *r)
{
	const char *dash = strchr(text, '-');
	struct ipset check = { 0 };
	enum err rc = ERR_INVAL;

	if (dash != NULL && net_ip_parse(text, (size_t)(dash - text), &r->lo) == ERR_OK &&
	    net_ip_parse(dash + 1, strlen(dash + 1), &r->hi) == ERR_OK) {
		ipset_add_range(&check, &r->lo, &r->hi);	/* takes no range that is none */
		rc = check.n == 1 ? ERR_OK : ERR_INVAL;
	}
	ipset_fini(&check);
	return rc;
}

static void
add_nested(struct policy_parser *s, const struct hujson *at, const char *name, struct run *run,
    unsigned depth)
{
	uint32_t i = policy_names_find(&s->ipsets, name);
	struct policy_ipset *nested = i == POLICY_NONE ? NULL : &s->ipset[i];

	if (nested == NULL) {
		policy_parse_fail(s, at, "ipset not defined in policy: \"%.200s\"", name);
		return;
	}
	if (nested->state == POLICY_IPSET_OPEN) {
		policy_parse_fail(s, at, "ipset \"%.200s\" holds itself", name);
		return;
	}
	if (nested->state == POLICY_IPSET_NEW && depth == POLICY_IPSET_DEPTH_MAX) {
		policy_parse_fail(s, at, "ipset \"%.200s\": ipsets nested too deeply", name);
		return;
	}
	if (nested->state == POLICY_IPSET_NEW)
		build(s, nested, depth + 1);
	if (count_work(s, at, nested->set.n))
		run_add_set(run, &nested->set);
}

static void
add_target(struct policy_parser *s, const struct hujson *at, const char *text, struct run *run,
    unsigned depth)
{
	struct ipset set = { 0 };
	struct ipset_range range;
	struct net_prefix prefix;
	struct err_text why;

	if (strncmp(text, "ipset:", 6) == 0) {
		add_nested(s, at, text, run, depth);
	} else if (strcmp(text, "autogroup:internet") == 0) {
		policy_parse_internet(&set);
	} else if (strncmp(text, "host:", 5) == 0) {
		uint32_t i = policy_names_find(&s->hosts, text + 5);

		if (i == POLICY_NONE)
			policy_parse_fail(s, at, "host not defined in policy: \"%.200s\"", text + 5);
		else
			ipset_add_prefix(&set, &s->host[i].prefix);
	} else if (parse_range(text, &range) == ERR_OK) {
		ipset_add_range(&set, &range.lo, &range.hi);
	} else if (policy_parse_prefix(text, &prefix, &why) == ERR_OK) {
		ipset_add_prefix(&set, &prefix);
	} else {
		policy_parse_fail(s, at, "an ipset is made of addresses, prefixes, ranges, host:name, "
		    "autogroup:internet and other ipsets: %s", why.s);
	}
	run_add_set(run, &set);
	ipset_fini(&set);
}

static void
build(struct policy_parser *s, struct policy_ipset *set, unsigned depth)
{
	struct run run = { 0 };
	bool is_fine = true;

	set->state = POLICY_IPSET_OPEN;
	for (const struct hujson *v = set->ops->first; v != NULL && is_fine; v = v->next) {
		const char *text = policy_parse_text(s, v, "an entry of an ipset"), *rest;
		bool is_removal = false;

		if (text == NULL)
			continue;
		text = policy_parse_trim(s, text);
		if ((rest = skip_word(text, "remove")) != NULL)
			is_removal = true;
		else if ((rest = skip_word(text, "add")) == NULL)
			rest = text;
		if (is_removal != run.is_removal)
			is_fine = run_flush(s, v, &run, &set->set);
		run.is_removal = is_removal;
		add_target(s, v, rest, &run, depth);
	}
	if (is_fine)
		(void)run_flush(s, set->ops, &run, &set->set);
	free(run.v);
	set->state = POLICY_IPSET_DONE;
}

void
policy_parse_ipsets(struct policy_parser *s, const struct hujson *v)
{
	unsigned n = 0;

	if (v == NULL || !policy_parse_is_object(s, v, "ipsets"))
		return;
	s->ipset = arena_alloc(s->arena, v->n * sizeof(*s->ipset));
	for (const struct hujson *m = v->first; m != NULL; m = m->next) {
		if (strncmp(m->name, "ipset:", 6) != 0 || m->name[6] == '\0') {
			policy_errors_add(s->errors, m->name_line, m->name_column,
			    "ipset must start with 'ipset:', got: \"%.200s\"", m->name);
			continue;
		}
		if (!policy_parse_is_list(s, m, "an ipset"))
			continue;
		s->ipset[n].ops = m;
		policy_names_put(&s->ipsets, m->name, n++);
	}
	s->n_ipset_sets = n;
	for (unsigned i = 0; i < n && s->ipset_work <= POLICY_IPSET_WORK_MAX; i++) {
		if (s->ipset[i].state == POLICY_IPSET_NEW)
			build(s, &s->ipset[i], 0);
	}
}
