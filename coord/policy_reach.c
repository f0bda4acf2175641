/* What one address may reach at another. */
#include "coord/policy_reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/policy_parse.h"

#define PROTO_ICMP	1
#define PROTO_TCP	6
#define PROTO_UDP	17
#define PROTO_ICMP6	58
#define PROTO_SCTP	132
#define PORT_LAST	65535
#define SHOWN_MAX	24	/* ranges of one text */

void
policy_reach_view_init(struct policy_reach_view *v, const struct policy_world *w)
{
	*v = (struct policy_reach_view){ .w = w };
	policy_parse_internet(&v->internet);
}

void
policy_reach_view_fini(struct policy_reach_view *v)
{
	ipset_fini(&v->internet);
}

static bool
sel_has_src(const struct policy_reach_view *v, uint32_t i, const struct policy_reach_side *src)
{
	const struct policy_sel *sel = &v->w->policy->sels[i];

	switch (sel->kind) {
	case POLICY_SEL_SET:
		return ipset_has(&sel->set, &src->ip);
	case POLICY_SEL_ALL:
		return true;
	case POLICY_SEL_ANY:
		if (src->kind != POLICY_REACH_OWN)
			return src->kind == POLICY_REACH_ROUTED || ipset_has(&sel->set, &src->ip);
		break;
	default:
		break;
	}
	return src->kind == POLICY_REACH_OWN && policy_class_in(v->w, src->class, i);
}

bool
policy_reach_is_src(const struct policy_reach_view *v, const struct policy_rule *rule,
    const struct policy_reach_side *src, uint32_t *sel)
{
	for (unsigned i = 0; i < rule->src.n; i++) {
		if (sel_has_src(v, rule->src.v[i], src)) {
			if (sel != NULL)
				*sel = rule->src.v[i];
			return true;
		}
	}
	return false;
}

bool
policy_reach_meets(const struct policy_reach_view *v, const struct policy_rule *rule,
    const struct policy_reach_side *src)
{
	/* A posture is a device's: addresses behind a router have none. */
	return rule->postures.n == 0 ||
	    (src->kind == POLICY_REACH_OWN &&
	    policy_class_meets(v->w, src->class, &rule->postures));
}

/* Does an exit node get a destination of literal addresses? What lies in the internet, or has its
 * own address. */
static bool
exit_gets(const struct policy_reach_view *v, uint32_t i, const struct policy_reach_side *dst)
{
	const struct policy_sel *sel = &v->w->policy->sels[i];

	return ipset_has(&sel->set, &dst->ip) &&
	    (ipset_covers(&v->internet, &sel->set) || policy_class_in(v->w, dst->class, i));
}

static bool
has_via(const struct policy_reach_view *v, const struct policy_rule *rule,
    const struct policy_class *c)
{
	for (unsigned i = 0; i < rule->via.n; i++) {
		if (policy_class_in(v->w, c, rule->via.v[i]))
			return true;
	}
	return false;
}

bool
policy_reach_is_dst(const struct policy_reach_view *v, const struct policy_rule *rule, unsigned i,
    const struct policy_reach_side *dst)
{
	uint32_t at = rule->dst[i].sel;
	const struct policy_sel *sel = &v->w->policy->sels[at];

	if (dst->kind == POLICY_REACH_FOREIGN || sel->kind == POLICY_SEL_SELF)
		return false;
	if (rule->via.n > 0) {
		if (!has_via(v, rule, dst->class))
			return false;
		return (dst->kind == POLICY_REACH_ROUTED && sel->kind == POLICY_SEL_SET &&
		    ipset_has(&sel->set, &dst->ip)) ||
		    (dst->kind == POLICY_REACH_EXIT && sel->kind == POLICY_SEL_INTERNET &&
		    ipset_has(&sel->set, &dst->ip));
	}
	switch (sel->kind) {
	case POLICY_SEL_ANY:
	case POLICY_SEL_ALL:
		return true;
	case POLICY_SEL_SET:
		return dst->kind == POLICY_REACH_EXIT
		    ? exit_gets(v, at, dst) : ipset_has(&sel->set, &dst->ip);
	case POLICY_SEL_INTERNET:
		return ipset_has(&sel->set, &dst->ip);
	default:
		return dst->kind == POLICY_REACH_OWN && policy_class_in(v->w, dst->class, at);
	}
}

bool
policy_reach_is_self(const struct policy_reach_view *v, const struct policy_rule *rule, unsigned i)
{
	return v->w->policy->sels[rule->dst[i].sel].kind == POLICY_SEL_SELF;
}

bool
policy_reach_is_same_user(const struct policy_reach_side *src, const struct policy_reach_side *dst)
{
	return src->kind == POLICY_REACH_OWN && dst->kind == POLICY_REACH_OWN &&
	    policy_class_user(src->class) > 0 &&
	    policy_class_user(src->class) == policy_class_user(dst->class);
}

void
policy_reach_fini(struct policy_reach *r)
{
	free(r->v);
	free(r->apps);
	*r = (struct policy_reach){ 0 };
}

void
policy_reach_clear(struct policy_reach *r)
{
	r->n = r->n_apps = 0;
}

static void
add_cap(struct policy_reach *r, uint8_t proto, uint16_t first, uint16_t last)
{
	if (r->n == r->_cap) {
		r->_cap = r->_cap == 0 ? 8 : 2 * r->_cap;
		r->v = obj_realloc(r->v, r->_cap * sizeof(*r->v));
	}
	r->v[r->n++] = (struct policy_reach_cap){ proto, first, last };
}

static void
add_ports(struct policy_reach *r, int proto, const struct policy_ports *ports, unsigned n)
{
	static const uint8_t dflt[] = { PROTO_ICMP, PROTO_TCP, PROTO_UDP, PROTO_ICMP6 };

	for (unsigned k = 0; k < COUNT_OF(dflt); k++) {
		uint8_t p = proto < 0 ? dflt[k] : (uint8_t)proto;
		bool has_ports = p == PROTO_TCP || p == PROTO_UDP || p == PROTO_SCTP;

		for (unsigned i = 0; i < n && has_ports; i++)
			add_cap(r, p, ports[i].first, ports[i].last);
		if (!has_ports && n > 0)
			add_cap(r, p, 0, PORT_LAST);
		if (proto >= 0)
			break;
	}
}

static void
add_app(struct policy_reach *r, const char *name)
{
	if (r->n_apps == r->_cap_apps) {
		r->_cap_apps = r->_cap_apps == 0 ? 4 : 2 * r->_cap_apps;
		r->apps = obj_realloc(r->apps, r->_cap_apps * sizeof(*r->apps));
	}
	r->apps[r->n_apps++] = name;
}

void
policy_reach_add(struct policy_reach *r, const struct policy_rule *rule, unsigned i)
{
	if (!rule->is_grant)
		add_ports(r, rule->proto, rule->dst[i].ports, rule->dst[i].n_ports);
	for (unsigned k = 0; k < rule->n_ip; k++)
		add_ports(r, rule->ip[k].proto, rule->ip[k].ports, rule->ip[k].n_ports);
	for (unsigned k = 0; k < rule->n_app && rule->via.n == 0; k++)
		add_app(r, rule->app[k].name);
}

static int
compare_caps(const void *pa, const void *pb)
{
	const struct policy_reach_cap *a = pa, *b = pb;

	if (a->proto != b->proto)
		return a->proto < b->proto ? -1 : 1;
	return (a->first > b->first) - (a->first < b->first);
}

static int
compare_apps(const void *pa, const void *pb)
{
	return strcmp(*(const char *const *)pa, *(const char *const *)pb);
}

void
policy_reach_sort(struct policy_reach *r)
{
	unsigned n = 0;

	if (r->n > 1)
		qsort(r->v, r->n, sizeof(*r->v), compare_caps);
	for (unsigned i = 0; i < r->n; i++) {
		struct policy_reach_cap *last = n > 0 ? &r->v[n - 1] : NULL;

		if (last != NULL && last->proto == r->v[i].proto &&
		    (unsigned)last->last + 1 >= r->v[i].first) {
			if (r->v[i].last > last->last)
				last->last = r->v[i].last;
		} else {
			r->v[n++] = r->v[i];
		}
	}
	r->n = n;
	if (r->n_apps > 1)
		qsort(r->apps, r->n_apps, sizeof(*r->apps), compare_apps);
	n = 0;
	for (unsigned i = 0; i < r->n_apps; i++) {
		if (n == 0 || strcmp(r->apps[n - 1], r->apps[i]) != 0)
			r->apps[n++] = r->apps[i];
	}
	r->n_apps = n;
}

/* What of c none of b's ranges has. */
static void
cap_minus(const struct policy_reach_cap *c, const struct policy_reach *b, struct policy_reach *out)
{
	unsigned first = c->first;

	for (unsigned i = 0; i < b->n && first <= c->last; i++) {
		const struct policy_reach_cap *x = &b->v[i];

		if (x->proto != c->proto || x->last < first || x->first > c->last)
			continue;
		if (x->first > first)
			add_cap(out, c->proto, (uint16_t)first, (uint16_t)(x->first - 1));
		first = (unsigned)x->last + 1;
	}
	if (first <= c->last)
		add_cap(out, c->proto, (uint16_t)first, c->last);
}

void
policy_reach_minus(const struct policy_reach *a, const struct policy_reach *b,
    struct policy_reach *out)
{
	unsigned k = 0;

	policy_reach_clear(out);
	for (unsigned i = 0; i < a->n; i++)
		cap_minus(&a->v[i], b, out);
	for (unsigned i = 0; i < a->n_apps; i++) {
		while (k < b->n_apps && strcmp(b->apps[k], a->apps[i]) < 0)
			k++;
		if (k == b->n_apps || strcmp(b->apps[k], a->apps[i]) != 0)
			add_app(out, a->apps[i]);
	}
}

bool
policy_reach_has(const struct policy_reach *r, int proto, uint16_t port)
{
	bool has_ports = proto == PROTO_TCP || proto == PROTO_UDP || proto == PROTO_SCTP;

	if (proto == PROTO_ICMP || proto == PROTO_ICMP6)
		return r->n > 0;
	for (unsigned i = 0; i < r->n; i++) {
		const struct policy_reach_cap *c = &r->v[i];

		if (c->proto == proto &&
		    (has_ports ? c->first <= port && port <= c->last
		    : c->first == 0 && c->last == PORT_LAST))
			return true;
	}
	return false;
}

const char *
policy_reach_proto(int proto, char out[8])
{
	static const struct { int number; const char *word; } words[] = {
		{ PROTO_ICMP, "icmp" }, { 2, "igmp" }, { PROTO_TCP, "tcp" }, { PROTO_UDP, "udp" },
		{ 47, "gre" }, { 50, "esp" }, { 51, "ah" }, { PROTO_ICMP6, "icmpv6" }, { PROTO_SCTP, "sctp" },
	};

	snprintf(out, 8, "%d", proto);
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (words[i].number == proto)
			snprintf(out, 8, "%s", words[i].word);
	}
	return out;
}

/* The run of ranges of the protocol: where it begins; *n of them. */
static const struct policy_reach_cap *
run_of(const struct policy_reach *r, uint8_t proto, unsigned *n)
{
	const struct policy_reach_cap *first = NULL;

	*n = 0;
	for (unsigned i = 0; i < r->n; i++) {
		if (r->v[i].proto != proto)
			continue;
		if (first == NULL)
			first = &r->v[i];
		++*n;
	}
	return first;
}

/* All four protocols of the default set, TCP and UDP alike, are written without protocol. */
static bool
is_default_set(const struct policy_reach *r)
{
	unsigned n_tcp, n_udp, n_icmp, n_icmp6;
	const struct policy_reach_cap *tcp = run_of(r, PROTO_TCP, &n_tcp);
	const struct policy_reach_cap *udp = run_of(r, PROTO_UDP, &n_udp);

	run_of(r, PROTO_ICMP, &n_icmp);
	run_of(r, PROTO_ICMP6, &n_icmp6);
	if (n_tcp == 0 || n_tcp != n_udp || n_icmp == 0 || n_icmp6 == 0)
		return false;
	for (unsigned i = 0; i < n_tcp; i++) {
		if (tcp[i].first != udp[i].first || tcp[i].last != udp[i].last)
			return false;
	}
	return true;
}

static void
put_cap(struct buf *b, const struct policy_reach_cap *c, bool has_proto)
{
	char word[8];

	if (has_proto)
		buf_printf(b, "%s:", policy_reach_proto(c->proto, word));
	if (c->first == 0 && c->last == PORT_LAST)
		buf_str(b, "*");
	else if (c->first == c->last)
		buf_printf(b, "%u", c->first);
	else
		buf_printf(b, "%u-%u", c->first, c->last);
}

void
policy_reach_put(struct buf *b, const struct policy_reach *r)
{
	bool is_dflt = is_default_set(r);
	unsigned n_shown = 0, n_left = 0;

	for (unsigned i = 0; i < r->n; i++) {
		const struct policy_reach_cap *c = &r->v[i];
		bool is_of_dflt = c->proto == PROTO_UDP || c->proto == PROTO_ICMP ||
		    c->proto == PROTO_ICMP6;

		if (is_dflt && is_of_dflt)
			continue;
		if (n_shown == SHOWN_MAX) {
			n_left++;
			continue;
		}
		buf_str(b, n_shown++ > 0 ? ", " : "");
		put_cap(b, c, !is_dflt || c->proto != PROTO_TCP);
	}
	for (unsigned i = 0; i < r->n_apps; i++) {
		if (n_shown == SHOWN_MAX) {
			n_left++;
			continue;
		}
		buf_printf(b, "%sapp %s", n_shown++ > 0 ? ", " : "", r->apps[i]);
	}
	if (n_left > 0)
		buf_printf(b, " and %u more", n_left);
	if (n_shown == 0)
		buf_str(b, "nothing");
}
