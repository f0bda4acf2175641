/*
 * The tests of a policy. What a selector stands for is looked up once, as a set of ranges; which
 * destinations of rules meet a test's destination once per pair of selectors. The sources of the
 * rules that let a test through must cover its source as a whole: one address that does not get
 * through is a denial.
 */
#include "coord/policy_test.h"

#include <stdlib.h>
#include <string.h>

#include "coord/policy_posture.h"
#include "coord/policy_ssh.h"

#define PROTO_ICMP	1
#define PROTO_TCP	6
#define PROTO_UDP	17
#define PROTO_ICMP6	58
#define SSH_STEPS	4	/* what looking at an SSH rule costs, in steps */

/* A way through: one destination of a rule, with one protocol and its ports. */
struct entry {
	const struct policy_rule *rule;
	uint32_t dst;			/* selector */
	int proto;
	const struct policy_ports *ports;	/* borrowed */
	unsigned n_ports;
};

struct sel_sets {
	bool is_src_known, is_dst_known;
	struct ipset src, dst;		/* as a rule's source; as a destination, or a test's source */
};

struct run {
	struct policy_world *w;
	struct policy_errors *errors;
	struct sel_sets *sels;		/* owned, one to a selector */
	struct entry *entries;		/* owned */
	unsigned n_entries, cap_entries;
	uint32_t last_dst;		/* selector that meets is about; UINT32_MAX: none */
	uint8_t *meets;			/* owned, by selector: 0 unknown, 1 no, 2 yes */
	uint64_t n_steps;
	bool has_failed;
};

static bool
is_over(const struct run *r)
{
	return r->n_steps >= POLICY_TEST_STEPS_MAX;
}

static void
fail(struct run *r, unsigned line, const char *text)
{
	if (!r->has_failed)
		policy_errors_add(r->errors, 0, 0, "test(s) failed");
	r->has_failed = true;
	policy_errors_add(r->errors, line, 1, "%s", text);
}

static const char *
sel_text(const struct run *r, uint32_t sel)
{
	return sel < r->w->policy->n_sels ? r->w->policy->sels[sel].text : "";
}

static const struct ipset *
src_set(struct run *r, uint32_t sel)
{
	struct sel_sets *s = &r->sels[sel];

	if (!s->is_src_known)
		policy_world_resolve(r->w, sel, true, &s->src);
	s->is_src_known = true;
	return &s->src;
}

static const struct ipset *
dst_set(struct run *r, uint32_t sel)
{
	struct sel_sets *s = &r->sels[sel];

	if (!s->is_dst_known)
		policy_world_resolve(r->w, sel, false, &s->dst);
	s->is_dst_known = true;
	return &s->dst;
}

static void
add_entry(struct run *r, const struct policy_rule *rule, uint32_t dst, int proto,
    const struct policy_ports *ports, unsigned n_ports)
{
	if (r->n_entries == r->cap_entries) {
		r->cap_entries = r->cap_entries == 0 ? 64 : 2 * r->cap_entries;
		r->entries = obj_realloc(r->entries, r->cap_entries * sizeof(*r->entries));
	}
	r->entries[r->n_entries++] = (struct entry){ rule, dst, proto, ports, n_ports };
}

static void
list_entries(struct run *r)
{
	const struct policy *p = r->w->policy;

	for (unsigned i = 0; i < p->n_rules; i++) {
		const struct policy_rule *rule = &p->rules[i];

		if (rule->via.n > 0)
			continue;
		for (unsigned d = 0; d < rule->n_dst; d++) {
			const struct policy_dst *dst = &rule->dst[d];

			if (p->sels[dst->sel].kind == POLICY_SEL_SELF)
				continue;
			if (!rule->is_grant)
				add_entry(r, rule, dst->sel, rule->proto, dst->ports, dst->n_ports);
			for (unsigned k = 0; k < rule->n_ip; k++)
				add_entry(r, rule, dst->sel, rule->ip[k].proto, rule->ip[k].ports,
				    rule->ip[k].n_ports);
		}
	}
}

/* A rule without protocol lets a test of any through; a test without is one of the default set. */
static bool
proto_fits(int rule, int test)
{
	if (rule < 0 || rule == test)
		return true;
	return test < 0 && (rule == PROTO_TCP || rule == PROTO_UDP || rule == PROTO_ICMP ||
	    rule == PROTO_ICMP6);
}

static bool
ports_fit(const struct entry *e, uint16_t port)
{
	for (unsigned i = 0; i < e->n_ports; i++) {
		if (e->ports[i].first <= port && port <= e->ports[i].last)
			return true;
	}
	return false;
}

/* Does the destination of a rule meet the test's? */
static bool
dst_fits(struct run *r, uint32_t rule_sel, uint32_t test_sel)
{
	enum policy_sel_kind kind = r->w->policy->sels[rule_sel].kind;

	if (kind == POLICY_SEL_ANY || kind == POLICY_SEL_ALL || rule_sel == test_sel)
		return true;
	if (r->last_dst != test_sel)
		memset(r->meets, 0, r->w->policy->n_sels);
	r->last_dst = test_sel;
	if (r->meets[rule_sel] == 0) {
		const struct ipset *a = dst_set(r, rule_sel), *b = dst_set(r, test_sel);

		r->n_steps += a->n < b->n ? a->n : b->n;
		r->meets[rule_sel] = ipset_overlaps(a, b) ? 2 : 1;
	}
	return r->meets[rule_sel] == 2;
}

static bool
facts_fit(const struct run *r, const struct policy_list *postures, const struct policy_fact *facts,
    unsigned n)
{
	struct policy_posture_facts f = { facts, n };

	return policy_posture_any(r->w->policy, postures, policy_posture_of_facts, &f);
}

/* Takes what the rule's sources hold from left. */
static void
take_sources(struct run *r, const struct policy_rule *rule, struct ipset *left)
{
	for (unsigned i = 0; i < rule->src.n && left->n > 0; i++) {
		const struct ipset *s = src_set(r, rule->src.v[i]);

		r->n_steps += left->n + s->n;
		ipset_remove_set(left, s);
	}
}

/* Gets every address of the test's source to some address of the destination? */
static bool
is_allowed(struct run *r, const struct policy_test *t, const struct policy_dst *dst)
{
	const struct policy_rule *done = NULL;
	struct ipset left = { 0 };
	bool is_through;

	ipset_add_set(&left, dst_set(r, t->src));
	for (unsigned i = 0; i < r->n_entries && left.n > 0 && !is_over(r); i++) {
		const struct entry *e = &r->entries[i];

		r->n_steps++;
		if (e->rule == done || !proto_fits(e->proto, t->proto) ||
		    !ports_fit(e, dst->ports[0].first) ||
		    !dst_fits(r, e->dst, dst->sel) ||
		    !facts_fit(r, &e->rule->postures, t->facts, t->n_facts))
			continue;
		take_sources(r, e->rule, &left);
		done = e->rule;
	}
	is_through = left.n == 0;
	ipset_fini(&left);
	return is_through;
}

/* Why the destination cannot be tested, or NULL. Of its form, the parser has told. */
static const char *
dst_problem(struct run *r, const struct policy_dst *dst)
{
	if (r->w->policy->sels[dst->sel].kind == POLICY_SEL_SELF)
		return "autogroup:self cannot be tested";
	return dst_set(r, dst->sel)->n == 0 ? "destination resolved to no IP addresses" : NULL;
}

static const char *
proto_word(int proto)
{
	return proto < 0 ? ""
	    : proto == PROTO_TCP ? " (tcp)" : proto == PROTO_UDP ? " (udp)" : " (sctp)";
}

static void
check_dsts(struct run *r, const struct policy_test *t, bool is_wanted)
{
	const struct policy_dst *dsts = is_wanted ? t->accept : t->deny;
	unsigned n = is_wanted ? t->n_accept : t->n_deny;
	struct buf b = { 0 };

	for (unsigned i = 0; i < n && !is_over(r); i++) {
		const char *problem = dst_problem(r, &dsts[i]);

		buf_clear(&b);
		buf_printf(&b, "%s -> %s%s: ", sel_text(r, t->src), dsts[i].text,
		    proto_word(t->proto));
		if (problem != NULL)
			buf_str(&b, problem);
		else if (is_allowed(r, t, &dsts[i]) == is_wanted)
			continue;
		else
			buf_str(&b, is_wanted ? "expected ALLOWED, got DENIED"
			    : "expected DENIED, got ALLOWED");
		fail(r, t->line, buf_cstr(&b));
	}
	buf_fini(&b);
}

static void
run_test(struct run *r, const struct policy_test *t)
{
	struct buf b = { 0 };

	if (t->problem != NULL) {
		fail(r, t->line, t->problem);
	} else if (dst_set(r, t->src)->n == 0) {
		buf_printf(&b, "source \"%s\" resolved to no IP addresses", sel_text(r, t->src));
		fail(r, t->line, buf_cstr(&b));
	} else {
		check_dsts(r, t, true);
		check_dsts(r, t, false);
	}
	buf_fini(&b);
}

/* --- sshTests --------------------------------------------------------------------------------- */

struct classes {
	const struct policy_class **v;	/* owned */
	unsigned n;
};

enum want { WANT_ACCEPT, WANT_DENY, WANT_CHECK };

/* Those in the selector; of autogroup:self: those that a user owns. */
static void
find_classes(struct run *r, uint32_t sel, struct classes *out)
{
	bool is_self = r->w->policy->sels[sel].kind == POLICY_SEL_SELF;
	size_t cursor = 0;
	unsigned cap = 0;

	for (const struct policy_class *c; (c = policy_world_next(r->w, &cursor)) != NULL; ) {
		r->n_steps++;
		if (policy_class_user(c) < 0 ||
		    (is_self ? policy_class_user(c) == 0 : !policy_class_in(r->w, c, sel)))
			continue;
		if (out->n == cap) {
			cap = cap == 0 ? 8 : 2 * cap;
			out->v = obj_realloc(out->v, cap * sizeof(*out->v));
		}
		out->v[out->n++] = c;
	}
}

struct pair {
	const struct policy_class *src, *dst;
	const char *user;
};

static bool
gets_in(struct run *r, const struct policy_ssh_test *t, const struct pair *pair, bool is_check)
{
	const struct policy *p = r->w->policy;

	for (unsigned i = 0; i < p->n_ssh; i++) {
		const struct policy_ssh *rule = &p->ssh[i];

		r->n_steps += SSH_STEPS;
		if ((rule->is_check || !is_check) &&
		    policy_ssh_fits(r->w, rule, pair->src, pair->dst, pair->user) &&
		    facts_fit(r, &rule->postures, t->facts, t->n_facts))
			return true;
	}
	return false;
}

/* What went otherwise than wanted, or NULL. */
static const char *
judge(struct run *r, const struct policy_ssh_test *t, const struct pair *pair, enum want want)
{
	bool gets = gets_in(r, t, pair, want == WANT_CHECK);

	if (gets == (want != WANT_DENY))
		return NULL;
	switch (want) {
	case WANT_ACCEPT:
		return "expected ALLOWED, got DENIED";
	case WANT_DENY:
		return "expected DENIED, got ALLOWED";
	case WANT_CHECK:
		break;
	}
	return gets_in(r, t, pair, false) ? "expected ALLOWED via check, got ALLOWED via accept"
	    : "expected ALLOWED via check, got DENIED";
}

static const char *
judge_user(struct run *r, const struct policy_ssh_test *t, const struct classes *src,
    const struct classes *dst, struct pair *pair, enum want want)
{
	const char *problem = *pair->user == '\0' ? "an empty user cannot log in" : NULL;

	for (unsigned d = 0; problem == NULL && d < dst->n; d++) {
		for (unsigned s = 0; problem == NULL && s < src->n && !is_over(r); s++) {
			r->n_steps++;
			pair->src = src->v[s];
			pair->dst = dst->v[d];
			problem = judge(r, t, pair, want);
		}
	}
	return problem;
}

/* autogroup:self: each source has destinations of its own. */
static const char *
judge_self(struct run *r, const struct policy_ssh_test *t, const struct classes *src,
    const struct classes *dst, struct pair *pair, enum want want)
{
	const char *problem = NULL;

	for (unsigned s = 0; problem == NULL && s < src->n; s++) {
		struct classes one = { &src->v[s], 1 };

		for (unsigned d = 0; problem == NULL && d < dst->n && !is_over(r); d++) {
			struct classes own = { &dst->v[d], 1 };

			r->n_steps++;
			if (policy_class_user(src->v[s]) == policy_class_user(dst->v[d]))
				problem = judge_user(r, t, &one, &own, pair, want);
		}
	}
	return problem;
}

static void
run_users(struct run *r, const struct policy_ssh_test *t, const struct classes *src,
    uint32_t dst_sel, enum want want)
{
	char *const *users = want == WANT_ACCEPT ? t->accept : want == WANT_DENY ? t->deny
	    : t->check;
	unsigned n = want == WANT_ACCEPT ? t->n_accept : want == WANT_DENY ? t->n_deny : t->n_check;
	bool is_self = r->w->policy->sels[dst_sel].kind == POLICY_SEL_SELF;
	struct classes dst = { 0 };
	struct buf b = { 0 };

	if (n > 0)
		find_classes(r, dst_sel, &dst);
	for (unsigned i = 0; i < n && !is_over(r); i++) {
		struct pair pair = { .user = users[i] };
		const char *problem = is_self ? judge_self(r, t, src, &dst, &pair, want)
		    : judge_user(r, t, src, &dst, &pair, want);

		if (problem == NULL)
			continue;
		buf_clear(&b);
		buf_printf(&b, "%s/%s -> %s: %s", sel_text(r, t->src),
		    *users[i] != '\0' ? users[i] : "\"\"", sel_text(r, dst_sel), problem);
		fail(r, t->line, buf_cstr(&b));
	}
	free(dst.v);
	buf_fini(&b);
}

/* Is there a node that the destination means? */
static bool
dst_is_there(struct run *r, const struct policy_ssh_test *t, const struct classes *src,
    uint32_t sel)
{
	struct classes dst = { 0 };
	bool is_there = false;
	struct buf b = { 0 };

	if (r->w->policy->sels[sel].kind == POLICY_SEL_SELF) {
		for (unsigned i = 0; i < src->n && !is_there; i++)
			is_there = policy_class_user(src->v[i]) > 0;
	} else {
		find_classes(r, sel, &dst);
		is_there = dst.n > 0;
	}
	if (!is_there) {
		buf_printf(&b, "%s: dst \"%s\" resolved to no nodes", sel_text(r, t->src),
		    sel_text(r, sel));
		fail(r, t->line, buf_cstr(&b));
	}
	free(dst.v);
	buf_fini(&b);
	return is_there;
}

/* The service takes IPv4 addresses and names of addresses, but no IPv6 address as such. */
static bool
dst_is_fit(struct run *r, const struct policy_ssh_test *t, uint32_t sel)
{
	const struct policy_sel *s = &r->w->policy->sels[sel];
	bool is_fit = s->kind != POLICY_SEL_SET || s->is_host || s->set.v[0].lo.family == 4;
	struct buf b = { 0 };

	if (!is_fit) {
		buf_printf(&b, "SSH tests dst contains disallowed element \"%s\"", s->text);
		fail(r, t->line, buf_cstr(&b));
	}
	buf_fini(&b);
	return is_fit;
}

static void
run_ssh_test(struct run *r, const struct policy_ssh_test *t)
{
	struct classes src = { 0 };
	struct buf b = { 0 };

	if (t->problem != NULL) {
		fail(r, t->line, t->problem);
		goto out;
	}
	find_classes(r, t->src, &src);
	if (src.n == 0) {
		buf_printf(&b, "source \"%s\" resolved to no IP addresses", sel_text(r, t->src));
		fail(r, t->line, buf_cstr(&b));
	}
	if (t->n_accept == 0 && t->n_deny == 0 && t->n_check == 0)
		fail(r, t->line, "an SSH test needs accept, deny or check");
	for (unsigned i = 0; i < t->dst.n && src.n > 0; i++) {
		if (!dst_is_fit(r, t, t->dst.v[i]) || !dst_is_there(r, t, &src, t->dst.v[i]))
			continue;
		for (int want = WANT_ACCEPT; want <= WANT_CHECK; want++)
			run_users(r, t, &src, t->dst.v[i], (enum want)want);
	}
out:
	free(src.v);
	buf_fini(&b);
}

enum err
policy_test_run(struct policy_world *w, struct policy_errors *errors)
{
	const struct policy *p = w->policy;
	struct run r = { .w = w, .errors = errors, .last_dst = UINT32_MAX };

	if (p->n_tests == 0 && p->n_ssh_tests == 0)
		return ERR_OK;
	r.sels = obj_alloc((p->n_sels + 1) * sizeof(*r.sels));
	r.meets = obj_alloc(p->n_sels + 1);
	list_entries(&r);
	for (unsigned i = 0; i < p->n_tests && !is_over(&r); i++)
		run_test(&r, &p->tests[i]);
	for (unsigned i = 0; i < p->n_ssh_tests && !is_over(&r); i++)
		run_ssh_test(&r, &p->ssh_tests[i]);
	if (is_over(&r))
		fail(&r, 0,
		    "tests and sshTests look at too many rules and nodes: have fewer of them");
	for (unsigned i = 0; i < p->n_sels; i++) {
		ipset_fini(&r.sels[i].src);
		ipset_fini(&r.sels[i].dst);
	}
	free(r.sels);
	free(r.meets);
	free(r.entries);
	return r.has_failed ? ERR_INVAL : ERR_OK;
}
