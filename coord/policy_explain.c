/* Explanations: every rule is tried, and those that fail by one thing alone are remembered. */
#include "coord/policy_explain_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/policy_posture.h"

#define SOURCES_MAX	16	/* ranges of a filter entry that are shown */
#define SELS_MAX	6	/* selectors of a rule that are shown */

static void
find(struct explain *x, enum policy_finding_kind kind, const struct policy_rule *rule,
    const char *text)
{
	struct policy_explain *e = x->out;

	if (e->n == POLICY_EXPLAIN_FINDINGS_MAX)
		return;
	struct policy_finding *f = &e->v[e->n++];

	f->kind = kind;
	f->text = obj_strdup(text);
	if (rule != NULL && rule->line > 0) {
		f->line = rule->line;
		f->column = rule->column;
		f->rule = policy_explain_excerpt(x->w->policy, rule->line, rule->column);
	}
}

static void
put_name(struct buf *b, const struct explain *x, int64_t node_id)
{
	const char *name = x->facts->name != NULL ? x->facts->name(x->facts->arg, node_id) : NULL;

	if (name != NULL)
		buf_str(b, name);
	else
		buf_printf(b, "node %lld", (long long)node_id);
}

static char *
label_of(const struct explain *x, const struct explain_side *s)
{
	char text[NET_TEXT_MAX], route[NET_TEXT_MAX];
	struct buf b = { 0 };
	char *out;

	net_ip_put(&s->s.ip, text);
	if (s->node_id == 0) {
		buf_str(&b, text);
	} else if (s->route.ip.family == 0) {
		put_name(&b, x, s->node_id);
		buf_printf(&b, " (%s)", text);
	} else {
		buf_printf(&b, "%s (%s of ", text, net_prefix_put(&s->route, route));
		put_name(&b, x, s->node_id);
		buf_byte(&b, ')');
	}
	out = obj_strdup(buf_cstr(&b));
	buf_fini(&b);
	return out;
}

/* A node that may not talk whatever the policy says. */
static bool
check_node(struct explain *x, const struct explain_side *s, const char *route_word)
{
	struct buf b = { 0 };

	if (s->node_id == 0)
		return true;
	put_name(&b, x, s->node_id);
	if (policy_class_user(s->s.class) < 0)
		buf_printf(&b, "%s waits for approval by an administrator", route_word);
	else if (x->facts->is_expired != NULL && x->facts->is_expired(x->facts->arg, s->node_id))
		buf_printf(&b, "%s has an expired key: it must log in again", route_word);
	else {
		buf_fini(&b);
		return true;
	}
	find(x, POLICY_FINDING_BLOCKED, NULL, buf_cstr(&b));
	buf_fini(&b);
	return false;
}

/* A node without IPv4 neither has its address, nor is told those of others. */
static bool
check_family(struct explain *x)
{
	const struct explain_side *off = explain_is_ipv4_off(&x->src) ? &x->src : &x->dst;
	struct buf b = { 0 };

	if (x->src.s.ip.family != x->dst.s.ip.family) {
		find(x, POLICY_FINDING_NO_ROUTE, NULL,
		    "one side has no IPv4, the other no IPv6 address");
		return false;
	}
	if (x->dst.s.ip.family != 4 || !explain_is_ipv4_off(off))
		return true;
	put_name(&b, x, off->node_id);
	buf_str(&b, " has no IPv4: disableIPv4, or the attribute disable-ipv4");
	find(x, POLICY_FINDING_NO_ROUTE, NULL, buf_cstr(&b));
	buf_fini(&b);
	return false;
}

/* Has the destination an address that packets can take? */
static bool
check_route(struct explain *x)
{
	char text[NET_TEXT_MAX], route[NET_TEXT_MAX];
	struct net_prefix prefix;
	struct buf b = { 0 };
	int64_t id;

	if (!check_family(x))
		return false;
	if (x->dst.node_id != 0)
		return true;
	net_ip_put(&x->dst.s.ip, text);
	buf_printf(&b, "no node has the address %s or an approved route to it", text);
	find(x, POLICY_FINDING_NO_ROUTE, NULL, buf_cstr(&b));
	id = x->facts->advertiser != NULL
	    ? x->facts->advertiser(x->facts->arg, &x->dst.s.ip, &prefix) : 0;
	if (id != 0) {
		buf_clear(&b);
		put_name(&b, x, id);
		buf_printf(&b,
		    " advertises %s, which is not approved: approve it, or see autoApprovers",
		    net_prefix_put(&prefix, route));
		find(x, POLICY_FINDING_UNAPPROVED, NULL, buf_cstr(&b));
	}
	buf_fini(&b);
	return false;
}

/* --- rules ------------------------------------------------------------------------------------ */

/* Better ones first; of equal ones the earlier. Each rule once. */
static void
remember(struct explain *x, enum policy_finding_kind kind, const struct policy_rule *rule,
    unsigned dst)
{
	unsigned at, same = 0;

	while (same < x->n_near && x->near[same].rule != rule)
		same++;
	if (same < x->n_near && x->near[same].kind <= kind)
		return;
	if (same < x->n_near) {
		x->n_near--;
		memmove(&x->near[same], &x->near[same + 1], (x->n_near - same) * sizeof(*x->near));
	}
	for (at = x->n_near; at > 0 && x->near[at - 1].kind > kind; at--)
		;
	if (at == EXPLAIN_NEAR_MAX)
		return;
	if (x->n_near < EXPLAIN_NEAR_MAX)
		x->n_near++;
	memmove(&x->near[at + 1], &x->near[at], (x->n_near - at - 1) * sizeof(*x->near));
	x->near[at] = (struct explain_near){ kind, rule, dst };
}

/* Does the rule's destination allow it? If one thing alone is missing, it is remembered. */
static bool
try_dst(struct explain *x, const struct policy_rule *r, unsigned i, bool is_src, bool meets)
{
	bool is_dst = policy_reach_is_self(&x->view, r, i)
	    ? policy_reach_is_same_user(&x->src.s, &x->dst.s)
	    : policy_reach_is_dst(&x->view, r, i, &x->dst.s);
	struct policy_reach reach = { 0 };
	bool is_open;

	policy_reach_add(&reach, r, i);
	policy_reach_sort(&reach);
	is_open = policy_reach_has(&reach, x->ask->proto, x->ask->port);
	policy_reach_fini(&reach);
	if (is_src && meets && is_dst && is_open)
		return true;
	if (is_src && !meets && is_dst && is_open)
		remember(x, POLICY_FINDING_POSTURE, r, i);
	else if (is_src && meets && is_dst)
		remember(x, POLICY_FINDING_PORT, r, i);
	else if (!is_src && is_dst && is_open)
		remember(x, POLICY_FINDING_SOURCE, r, i);
	else if (is_src && meets && is_open)
		remember(x, POLICY_FINDING_DESTINATION, r, i);
	return false;
}

static void
try_rules(struct explain *x)
{
	const struct policy *p = x->w->policy;

	for (unsigned i = 0; i < p->n_rules && x->rule == NULL; i++) {
		const struct policy_rule *r = &p->rules[i];
		bool is_src = policy_reach_is_src(&x->view, r, &x->src.s, NULL);
		bool meets = policy_reach_meets(&x->view, r, &x->src.s);

		for (unsigned d = 0; d < r->n_dst && x->rule == NULL; d++) {
			if (try_dst(x, r, d, is_src, meets)) {
				x->rule = r;
				x->rule_dst = d;
			}
		}
	}
}

/* --- what is said of them --------------------------------------------------------------------- */

static void
put_sels(struct buf *b, const struct explain *x, const struct policy_list *l)
{
	for (unsigned i = 0; i < l->n && i < SELS_MAX; i++)
		buf_printf(b, "%s%s", i > 0 ? ", " : "", x->w->policy->sels[l->v[i]].text);
	if (l->n > SELS_MAX)
		buf_printf(b, " and %u more", l->n - SELS_MAX);
}

static void
put_dsts(struct buf *b, const struct policy_rule *r)
{
	for (unsigned i = 0; i < r->n_dst && i < SELS_MAX; i++)
		buf_printf(b, "%s%s", i > 0 ? ", " : "", r->dst[i].text);
	if (r->n_dst > SELS_MAX)
		buf_printf(b, " and %u more", r->n_dst - SELS_MAX);
	if (r->via.n > 0)
		buf_str(b, " via tagged nodes");
}

static void
put_what(struct buf *b, const struct policy_explain_ask *ask)
{
	char word[8];

	buf_str(b, policy_reach_proto(ask->proto, word));
	if (ask->proto == 6 || ask->proto == 17 || ask->proto == 132)
		buf_printf(b, ":%u", ask->port);
}

/* Which conditions of which postures fail, and what the device has instead. */
static void
put_postures(struct buf *b, const struct explain *x, const struct policy_rule *r)
{
	const struct policy *p = x->w->policy;
	const struct policy_node *n = policy_world_node(x->w, x->src.node_id);
	const struct hostinfo *host = x->facts->host != NULL
	    ? x->facts->host(x->facts->arg, x->src.node_id)
	    : n != NULL ? n->host : NULL;

	for (unsigned i = 0; i < r->postures.n && i < SELS_MAX; i++) {
		const struct policy_posture *posture = &p->postures[r->postures.v[i]];
		const struct policy_posture_test *t = policy_posture_failing(posture,
		    policy_posture_of_host,
		    (void *)(uintptr_t)host);

		buf_printf(b, "%s%s", i > 0 ? "; " : "", posture->name);
		if (t == NULL)
			continue;
		const char *has = policy_posture_of_host((void *)(uintptr_t)host, t->attribute);

		buf_str(b, " wants ");
		policy_posture_put(b, t);
		buf_printf(b, has != NULL ? ", the device has '%s'" : ", which is not set", has);
	}
}

/* A rule that names no protocol is of these alone. */
static const char *
dflt_word(const struct policy_rule *r, int proto)
{
	bool is_dflt = r->is_grant ? r->n_ip > 0 && r->ip[0].proto < 0 : r->proto < 0;

	return is_dflt && proto != 6 && proto != 17 && proto != 1 && proto != 58
	    ? " (TCP, UDP and ICMP)" : "";
}

static void
say_near(struct explain *x, const struct explain_near *near)
{
	const struct policy_rule *r = near->rule;
	struct policy_reach reach = { 0 };
	struct buf b = { 0 };

	switch (near->kind) {
	case POLICY_FINDING_POSTURE:
		buf_printf(&b, "would allow it if %s met the posture: ", x->out->src);
		put_postures(&b, x, r);
		break;
	case POLICY_FINDING_PORT:
		policy_reach_add(&reach, r, near->dst);
		policy_reach_sort(&reach);
		buf_str(&b, "has this source and destination, but allows ");
		policy_reach_put(&b, &reach);
		buf_printf(&b, "%s only: add ", dflt_word(r, x->ask->proto));
		put_what(&b, x->ask);
		break;
	case POLICY_FINDING_SOURCE:
		buf_str(&b, "allows it from ");
		put_sels(&b, x, &r->src);
		buf_printf(&b, ": %s is none of these", x->out->src);
		break;
	default:
		buf_printf(&b, "allows %s from this source to ", x->out->what);
		put_dsts(&b, r);
		buf_printf(&b, ": %s is none of these", x->out->dst);
		break;
	}
	find(x, near->kind, r, buf_cstr(&b));
	policy_reach_fini(&reach);
	buf_fini(&b);
}

static void
say_denied(struct explain *x)
{
	struct buf b = { 0 };

	buf_printf(&b, "no rule lets %s reach %s on %s", x->out->src, x->out->dst, x->out->what);
	find(x, POLICY_FINDING_NO_RULE, NULL, buf_cstr(&b));
	for (unsigned i = 0; i < x->n_near; i++)
		say_near(x, &x->near[i]);
	buf_fini(&b);
}

static void
put_sources(struct buf *b, struct explain *x)
{
	const struct policy_rule *r = x->rule;
	char text[NET_TEXT_MAX];
	struct ipset all = { 0 };
	bool is_all = false;

	if (policy_reach_is_self(&x->view, r, x->rule_dst)) {
		buf_printf(b, "\"%s\"", net_ip_put(&x->src.s.ip, text));
		return;
	}
	for (unsigned i = 0; i < r->src.n; i++) {
		is_all = is_all || x->w->policy->sels[r->src.v[i]].kind == POLICY_SEL_ALL;
		policy_world_resolve(x->w, r->src.v[i], true, &all);
	}
	/* What is left out is nothing to the question, unless it is what the question is about. */
	if (all.n > SOURCES_MAX) {
		all.n = SOURCES_MAX;
		if (!ipset_has(&all, &x->src.s.ip))
			ipset_add_ip(&all, &x->src.s.ip);
	}
	if (is_all)
		buf_str(b, "\"*\"");
	else
		ipset_put(b, &all);
	ipset_fini(&all);
}

static void
say_filter(struct explain *x)
{
	const struct policy_sel *dst = &x->w->policy->sels[x->rule->dst[x->rule_dst].sel];
	struct policy_reach reach = { 0 };
	struct ipset one = { 0 };
	struct buf b = { 0 };
	unsigned n = 0;

	/* It allows what was asked: reach is not empty. */
	policy_reach_add(&reach, x->rule, x->rule_dst);
	policy_reach_sort(&reach);
	/* ICMP goes wherever anything goes: then an entry of another protocol lets it through. */
	int proto = reach.v[0].proto;

	for (unsigned i = 0; i < reach.n; i++)
		proto = reach.v[i].proto == x->ask->proto ? x->ask->proto : proto;
	buf_str(&b, "{\"SrcIPs\":[");
	put_sources(&b, x);
	buf_str(&b, "],\"DstPorts\":[");
	for (unsigned i = 0; i < reach.n; i++) {
		const struct policy_reach_cap *c = &reach.v[i];

		if (c->proto != proto ||
		    (proto == x->ask->proto && (x->ask->port < c->first || c->last < x->ask->port)))
			continue;
		buf_str(&b, n++ > 0 ? ",{\"IP\":" : "{\"IP\":");
		if (dst->kind == POLICY_SEL_SET && dst->set.n == 1)
			ipset_put(&b, &dst->set);
		else if (dst->kind == POLICY_SEL_ANY)
			buf_str(&b, "\"*\"");
		else {
			one.n = 0;
			ipset_add_ip(&one, &x->dst.s.ip);
			ipset_put(&b, &one);
		}
		buf_printf(&b, ",\"Ports\":{\"First\":%u,\"Last\":%u}}", c->first, c->last);
	}
	buf_printf(&b, "],\"IPProto\":[%d]}", proto);
	find(x, POLICY_FINDING_FILTER, NULL, buf_cstr(&b));
	policy_reach_fini(&reach);
	ipset_fini(&one);
	buf_fini(&b);
}

static void
say_rule(struct explain *x)
{
	struct buf b = { 0 };

	if (x->rule->line == 0) {
		buf_str(&b, "the policy has neither acls nor grants: everything is allowed");
	} else {
		put_sels(&b, x, &x->rule->src);
		buf_str(&b, " may reach ");
		put_dsts(&b, x->rule);
	}
	find(x, POLICY_FINDING_RULE, x->rule, buf_cstr(&b));
	buf_fini(&b);
	say_filter(x);
}

static void
say_route(struct explain *x)
{
	char route[NET_TEXT_MAX];
	struct buf b = { 0 };

	x->out->owner_id = x->dst.node_id;
	x->out->route = x->dst.route;
	if (x->dst.node_id != 0 && x->dst.route.ip.family != 0) {
		buf_printf(&b, "%s through ", net_prefix_put(&x->dst.route, route));
		put_name(&b, x, x->dst.node_id);
		if (x->dst.s.kind == POLICY_REACH_EXIT)
			buf_str(&b, ", if the client has chosen it as exit node");
		else
			buf_str(&b, x->dst.is_primary ? ", its primary router" : ", chosen by via");
		find(x, POLICY_FINDING_ROUTE, NULL, buf_cstr(&b));
	}
	buf_fini(&b);
}

enum err
policy_explain_new(struct policy_world *w, const struct policy_explain_ask *ask,
    const struct policy_explain_facts *facts, struct policy_explain **out, struct err_text *why)
{
	struct explain x = { .w = w, .ask = ask, .facts = facts };
	struct buf b = { 0 };
	enum err rc;

	policy_reach_view_init(&x.view, w);
	if ((rc = explain_resolve(&x, why)) != ERR_OK)
		goto out;
	x.out = obj_alloc(sizeof(*x.out));
	x.out->src = label_of(&x, &x.src);
	x.out->dst = label_of(&x, &x.dst);
	put_what(&b, ask);
	x.out->what = obj_strdup(buf_cstr(&b));
	bool may_talk = check_node(&x, &x.src, "");

	may_talk = check_node(&x, &x.dst, "") && may_talk;
	if (check_route(&x) && may_talk) {
		try_rules(&x);
		x.out->is_allowed = x.rule != NULL;
		if (x.rule != NULL)
			say_rule(&x);
		else
			say_denied(&x);
	}
	say_route(&x);
	*out = x.out;
out:
	buf_fini(&b);
	policy_reach_view_fini(&x.view);
	return rc;
}

void
policy_explain_free(struct policy_explain *e)
{
	if (e == NULL)
		return;
	for (unsigned i = 0; i < e->n; i++) {
		free(e->v[i].text);
		free(e->v[i].rule);
	}
	free(e->src);
	free(e->dst);
	free(e->what);
	free(e);
}
