/* The sections ssh and nodeAttrs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "coord/policy_parse.h"

#define PERIOD_DEFAULT_S	(12 * 3600)
#define PERIOD_MAX_S		(168 * 3600)
#define NS_PER_S		INT64_C(1000000000)

/*
 * A duration as Go writes them: "1h30m", "-1.5s", "300ms". The results that matter are seconds;
 * ERR_INVAL with Go's wording.
 */
static enum err
parse_duration(const char *text, int64_t *ns, struct err_text *why)
{
	static const struct { const char *unit; int64_t ns; } units[] = {
		{ "ns", 1 }, { "us", 1000 }, { "\302\265s", 1000 }, { "\316\274s", 1000 },
		{ "ms", 1000000 }, { "s", NS_PER_S }, { "m", 60 * NS_PER_S }, { "h", 3600 * NS_PER_S },
	};
	const char *p = text;
	bool is_negative = *p == '-';
	double sum = 0;

	if (*p == '-' || *p == '+')
		p++;
	if (strcmp(p, "0") == 0) {
		*ns = 0;
		return ERR_OK;
	}
	do {
		size_t n = strspn(p, "0123456789"), n_unit, i = 0;
		double v = 0, scale = 1;

		for (size_t k = 0; k < n; k++)
			v = 10 * v + (p[k] - '0');
		p += n;
		if (*p == '.') {
			size_t n_fraction = strspn(++p, "0123456789");

			for (size_t k = 0; k < n_fraction; k++)
				v += (p[k] - '0') * (scale /= 10);
			n += n_fraction;
			p += n_fraction;
		}
		if (n == 0)
			return err_say(why, ERR_INVAL, "time: invalid duration \"%.100s\"", text);
		n_unit = strcspn(p, ".0123456789");
		if (n_unit == 0)
			return err_say(why, ERR_INVAL, "time: missing unit in duration \"%.100s\"", text);
		while (i < COUNT_OF(units) && (strlen(units[i].unit) != n_unit ||
		    strncmp(units[i].unit, p, n_unit) != 0))
			i++;
		if (i == COUNT_OF(units))
			return err_say(why, ERR_INVAL, "time: unknown unit \"%.*s\" in duration "
			    "\"%.100s\"", (int)(n_unit < 20 ? n_unit : 20), p, text);
		sum += v * (double)units[i].ns;
		p += n_unit;
	} while (*p != '\0');
	if (sum > 9.2e18)
		return err_say(why, ERR_INVAL, "time: invalid duration \"%.100s\"", text);
	*ns = (int64_t)(is_negative ? -sum : sum);
	return ERR_OK;
}

/* As Go prints it: "168h0m1s", "-1m0s", "1.5s". */
static void
put_duration(char *out, size_t n, int64_t ns)
{
	uint64_t abs_ns = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
	uint64_t s = abs_ns / NS_PER_S, fraction = abs_ns % NS_PER_S;
	char seconds[48];
	size_t len;

	len = (size_t)snprintf(seconds, sizeof(seconds), "%" PRIu64, s % 60);
	if (fraction > 0) {
		len += (size_t)snprintf(seconds + len, sizeof(seconds) - len, ".%09" PRIu64, fraction);
		while (seconds[len - 1] == '0')
			seconds[--len] = '\0';
	}
	if (s >= 3600)
		snprintf(out, n, "%s%" PRIu64 "h%" PRIu64 "m%ss", ns < 0 ? "-" : "", s / 3600,
		    s / 60 % 60, seconds);
	else if (s >= 60)
		snprintf(out, n, "%s%" PRIu64 "m%ss", ns < 0 ? "-" : "", s / 60, seconds);
	else
		snprintf(out, n, "%s%ss", ns < 0 ? "-" : "", seconds);
}

static void
parse_period(struct policy_parser *s, const struct hujson *v, struct policy_ssh *rule)
{
	const char *text = policy_parse_text(s, v, "checkPeriod");
	struct err_text why;
	char put[80];
	int64_t ns = 0;

	rule->check_period_s = PERIOD_DEFAULT_S;
	if (text == NULL)
		return;
	if (!rule->is_check)
		policy_parse_fail(s, v, "checkPeriod is only valid with action \"check\"");
	rule->check_period_s = 0;
	if (strcmp(text, "always") == 0)
		return;
	if (parse_duration(text, &ns, &why) != ERR_OK) {
		policy_parse_fail(s, v, "%s", why.s);
		return;
	}
	put_duration(put, sizeof(put), ns);
	if (ns < 0)
		policy_parse_fail(s, v, "checkPeriod %s must be a positive duration", put);
	else if (ns > PERIOD_MAX_S * NS_PER_S)
		policy_parse_fail(s, v, "checkPeriod %s is above the max (168h)", put);
	else
		rule->check_period_s = (ns + NS_PER_S - 1) / NS_PER_S;
}

static void
parse_action(struct policy_parser *s, const struct hujson *at, const struct hujson *v,
    struct policy_ssh *rule)
{
	const char *text = v == NULL ? "" : policy_parse_text(s, v, "action");

	if (text == NULL)
		return;
	text = policy_parse_trim(s, text);
	if (*text == '\0')
		policy_parse_fail(s, v == NULL ? at : v, "action must be specified");
	else if (strcmp(text, "check") == 0)
		rule->is_check = true;
	else if (strcmp(text, "accept") != 0)
		policy_parse_fail(s, v, "\"%.200s\" is not a valid action", text);
}

static void
parse_users(struct policy_parser *s, const struct hujson *at, const struct hujson *v,
    struct policy_ssh *rule)
{
	rule->users = policy_parse_texts(s, v, "users", true, &rule->n_users);
	if (v == NULL || (v->type == HUJSON_LIST && v->n == 0))
		policy_parse_fail(s, v == NULL ? at : v, "users must be specified");
	for (unsigned i = 0; i < rule->n_users; i++) {
		if (rule->users[i][0] == '\0' || strcmp(rule->users[i], "*") == 0)
			policy_parse_fail(s, v, "user \"%s\" is not valid", rule->users[i]);
	}
}

/* Nobody may log in on another person's device. */
struct sources {
	bool has_devices;
	const char *user;		/* the one user that all are; NULL: they are not */
};

static struct sources
sources_of(const struct policy_parser *s, const struct policy_list *src)
{
	struct sources out = { 0 };
	bool is_one_user = true;

	for (unsigned i = 0; i < src->n; i++) {
		const struct policy_sel *sel = &s->p->sels[src->v[i]];

		out.has_devices |= sel->kind == POLICY_SEL_TAG || sel->kind == POLICY_SEL_TAGGED;
		is_one_user = is_one_user && sel->kind == POLICY_SEL_USER &&
		    (i == 0 || strcmp(sel->users[0], out.user) == 0);
		out.user = is_one_user ? sel->users[0] : NULL;
	}
	return out;
}

/* Why those sources may not have that destination; NULL: they may. */
static const char *
mismatch(const struct sources *src, const struct policy_sel *dst)
{
	switch (dst->kind) {
	case POLICY_SEL_USER:
		if (src->has_devices)
			return "tags in SSH source cannot access user-owned devices";
		if (src->user == NULL || strcmp(src->user, dst->users[0]) != 0)
			return "a user as dst requires that src is only that same user; use "
			    "autogroup:self for everybody's own devices";
		return NULL;
	case POLICY_SEL_SELF:
		return src->has_devices ? "autogroup:self requires that src holds only users or "
		    "groups, not tags or autogroup:tagged" : NULL;
	case POLICY_SEL_MEMBER:
		return src->has_devices ? "tags in SSH source cannot access autogroup:member "
		    "(user-owned devices)" : NULL;
	default:
		return NULL;
	}
}

static void
parse_rule(struct policy_parser *s, const struct hujson *v, struct policy_ssh *rule)
{
	static const char *const names[] = { "action", "src", "dst", "users", "checkPeriod",
	    "acceptEnv", "srcPosture" };
	static const struct policy_list none;
	const struct hujson *m[COUNT_OF(names)];

	rule->line = v->line;
	if (!policy_parse_fields(s, v, names, COUNT_OF(names), m))
		return;
	parse_action(s, v, m[0], rule);
	rule->src = policy_parse_sels(s, POLICY_AT_SSH_SRC, m[1], "src");
	rule->dst = policy_parse_sels(s, POLICY_AT_SSH_DST, m[2], "dst");
	parse_users(s, v, m[3], rule);
	parse_period(s, m[4], rule);
	rule->accept_env = policy_parse_texts(s, m[5], "acceptEnv", false, &rule->n_accept_env);
	for (unsigned i = 0; i < rule->n_accept_env; i++) {
		if (rule->accept_env[i][0] == '\0')
			policy_parse_fail(s, m[5], "acceptEnv values cannot be empty");
	}
	rule->postures = policy_parse_src_posture(s, m[6], &none);
	struct sources src = sources_of(s, &rule->src);
	for (unsigned i = 0; i < rule->dst.n; i++) {
		const struct policy_sel *dst = &s->p->sels[rule->dst.v[i]];
		const char *why = mismatch(&src, dst);

		if (why != NULL)
			policy_parse_fail(s, m[2], "dst \"%.100s\": %s", dst->text, why);
	}
}

void
policy_parse_ssh(struct policy_parser *s, const struct hujson *v)
{
	struct policy *p = s->p;

	if (v == NULL || !policy_parse_is_list(s, v, "ssh"))
		return;
	if (v->n > POLICY_SSH_MAX) {
		policy_parse_fail(s, v, "%u ssh rules are too many: at most %u", (unsigned)v->n,
		    POLICY_SSH_MAX);
		return;
	}
	p->ssh = arena_alloc(s->arena, v->n * sizeof(*p->ssh));
	for (const struct hujson *i = v->first; i != NULL; i = i->next)
		parse_rule(s, i, &p->ssh[p->n_ssh++]);
}

/* Addresses are given from 100.64.0.0/10, and never these. */
static void
parse_pool(struct policy_parser *s, const struct hujson *v, struct policy_attr *attr)
{
	static const char *const reserved[] = { "100.100.100.0/24", "100.115.92.0/23" };
	const struct net_prefix all = { { 4, { 100, 64 } }, 10 };

	if (v == NULL || !policy_parse_is_strings(s, v, "ipPool"))
		return;
	attr->ip_pool = arena_alloc(s->arena, v->n * sizeof(*attr->ip_pool));
	for (const struct hujson *i = v->first; i != NULL; i = i->next) {
		struct net_prefix *p = &attr->ip_pool[attr->n_ip_pool], r;
		struct err_text why;

		if (policy_parse_prefix(i->text, p, &why) != ERR_OK) {
			policy_parse_fail(s, i, "ipPool: %s", why.s);
			continue;
		}
		attr->n_ip_pool++;
		if (p->bits < all.bits || !net_prefix_has(&all, &p->ip))
			policy_parse_fail(s, i, "ipPool must be within 100.64.0.0/10: \"%.100s\"", i->text);
		for (size_t k = 0; k < COUNT_OF(reserved); k++) {
			ASSERT(net_prefix_parse(reserved[k], strlen(reserved[k]), &r) == ERR_OK);
			if (net_prefix_has(p, &r.ip) || net_prefix_has(&r, &p->ip))
				policy_parse_fail(s, i, "ipPool must not overlap %s, which is reserved: "
				    "\"%.100s\"", reserved[k], i->text);
		}
	}
}

static void
parse_attr(struct policy_parser *s, const struct hujson *v, struct policy_attr *attr)
{
	static const char *const names[] = { "target", "attr", "app", "ipPool" };
	const struct hujson *m[COUNT_OF(names)];

	attr->line = v->line;
	if (!policy_parse_fields(s, v, names, COUNT_OF(names), m))
		return;
	attr->target = policy_parse_sels(s, POLICY_AT_TARGET, m[0], "target");
	attr->attrs = policy_parse_texts(s, m[1], "attr", false, &attr->n_attrs);
	attr->app = policy_parse_app(s, m[2], false, &attr->n_app);
	parse_pool(s, m[3], attr);
}

void
policy_parse_attrs(struct policy_parser *s, const struct hujson *v)
{
	struct policy *p = s->p;

	if (v == NULL || !policy_parse_is_list(s, v, "nodeAttrs"))
		return;
	p->attrs = arena_alloc(s->arena, v->n * sizeof(*p->attrs));
	for (const struct hujson *i = v->first; i != NULL; i = i->next)
		parse_attr(s, i, &p->attrs[p->n_attrs++]);
}
