/* Filters: as sets of what they mean, and worked out node by node. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/policy_naive_private.h"

/* --- filters as sets -------------------------------------------------------------------------- */

void
canon_add(struct canon *c, const struct ipset *src, const char *what, const struct ipset *dst)
{
	struct buf key = { 0 };
	unsigned i = 0;

	if (dst->n == 0)
		return;
	ipset_put(&key, src);
	buf_printf(&key, " %s", what);
	while (i < c->n && strcmp(c->v[i].key, buf_cstr(&key)) != 0)
		i++;
	if (i == c->n) {
		c->v = obj_realloc(c->v, (c->n + 1) * sizeof(*c->v));
		c->v[c->n++] = (struct canon_entry){ .key = obj_strdup(buf_cstr(&key)) };
	}
	ipset_add_set(&c->v[i].dst, dst);
	buf_fini(&key);
}

static int
compare_entries(const void *pa, const void *pb)
{
	const struct canon_entry *a = pa, *b = pb;

	return strcmp(a->key, b->key);
}

void
canon_put(struct canon *c, struct buf *b)
{
	if (c->n > 1)
		qsort(c->v, c->n, sizeof(*c->v), compare_entries);
	for (unsigned i = 0; i < c->n; i++) {
		buf_printf(b, "%s -> ", c->v[i].key);
		ipset_put(b, &c->v[i].dst);
		buf_byte(b, '\n');
	}
}

void
canon_fini(struct canon *c)
{
	for (unsigned i = 0; i < c->n; i++) {
		free(c->v[i].key);
		ipset_fini(&c->v[i].dst);
	}
	free(c->v);
	*c = (struct canon){ 0 };
}

static void
add_range(struct ipset *out, const char *text)
{
	const char *dash = strchr(text, '-');
	struct net_prefix prefix;
	struct net_ip lo, hi;

	if (strcmp(text, "*") == 0) {
		add_range(out, "0.0.0.0/0");
		add_range(out, "::/0");
	} else if (dash != NULL) {
		ASSERT(net_ip_parse(text, (size_t)(dash - text), &lo) == ERR_OK);
		ASSERT(net_ip_parse(dash + 1, strlen(dash + 1), &hi) == ERR_OK);
		ipset_add_range(out, &lo, &hi);
	} else {
		ASSERT(net_prefix_parse(text, strlen(text), &prefix) == ERR_OK);
		ipset_add_prefix(out, &prefix);
	}
}

void
canon_add_rule(struct canon *out, const json_t *rule)
{
	struct ipset src = { 0 }, dst = { 0 };
	const json_t *v, *d;
	const char *name;
	json_t *values;
	char what[64];
	size_t i, k;

	json_array_foreach(json_object_get(rule, "SrcIPs"), i, v)
		add_range(&src, json_string_value(v));
	json_array_foreach(json_object_get(rule, "DstPorts"), i, v) {
		const json_t *ports = json_object_get(v, "Ports");
		const json_t *proto = json_array_get(json_object_get(rule, "IPProto"), 0);

		snprintf(what, sizeof(what), "proto %d ports %u-%u", proto == NULL ? -1 :
		    (int)json_integer_value(proto), (unsigned)json_get_int(ports, "First", 0),
		    (unsigned)json_get_int(ports, "Last", 0));
		add_range(&dst, json_get_str(v, "IP", ""));
		canon_add(out, &src, what, &dst);
		ipset_fini(&dst);
	}
	json_array_foreach(json_object_get(rule, "CapGrant"), i, v) {
		json_array_foreach(json_object_get(v, "Dsts"), k, d) {
			/* netip.Prefix: not an address alone */
			ASSERT(strchr(json_string_value(d), '/') != NULL);
			add_range(&dst, json_string_value(d));
		}
		json_object_foreach(json_object_get(v, "CapMap"), name, values) {
			struct buf text = { 0 };

			buf_printf(&text, "cap %s ", name);
			json_dump_to(&text, values);
			canon_add(out, &src, buf_cstr(&text), &dst);
			buf_fini(&text);
		}
		ipset_fini(&dst);
	}
	ipset_fini(&src);
}

/* --- what the policy says --------------------------------------------------------------------- */

struct told {
	const struct naive *nv;
	const struct policy_node *n;
	struct canon *out;
};

static void
add_ports(const struct told *t, const struct ipset *src, int proto, const struct policy_ports *ports,
    unsigned n_ports, const struct ipset *dst)
{
	char what[64];

	for (unsigned i = 0; i < n_ports && src->n > 0; i++) {
		snprintf(what, sizeof(what), "proto %d ports %u-%u", proto, (unsigned)ports[i].first,
		    (unsigned)ports[i].last);
		canon_add(t->out, src, what, dst);
	}
}

static void
add_rule_ports(const struct told *t, const struct policy_rule *r, unsigned k, const struct ipset *src,
    const struct ipset *dst)
{
	if (!r->is_grant)
		add_ports(t, src, r->proto, r->dst[k].ports, r->dst[k].n_ports, dst);
	for (unsigned i = 0; i < r->n_ip; i++)
		add_ports(t, src, r->ip[i].proto, r->ip[i].ports, r->ip[i].n_ports, dst);
}

static void
add_caps(const struct told *t, const struct policy_rule *r, bool is_companion, const struct ipset *src,
    const struct ipset *dst)
{
	for (unsigned i = 0; i < r->n_app; i++) {
		const char *name = is_companion ? naive_companion(r->app[i].name) : r->app[i].name;
		struct buf what = { 0 };

		if (name == NULL)
			continue;
		buf_printf(&what, "cap %s %s", name, is_companion ? "null" : r->app[i].values);
		canon_add(t->out, src, buf_cstr(&what), dst);
		buf_fini(&what);
	}
}

/* Of the entries of a destination those that the node gets. is_nodes: each address is one. */
static void
reduce_ports(const struct told *t, const struct ipset *set, bool is_nodes, struct ipset *out)
{
	struct ipset all = { 0 };

	naive_internet(&all);
	for (unsigned i = 0; i < set->n; i++) {
		struct ipset one = { .v = &set->v[i], .n = 1 };

		if (!is_nodes && (naive_holds_node(&one, t->n) || naive_overlaps_subnet(&one, t->n) ||
		    (naive_is_exit_node(t->n) && ipset_covers(&all, &one))))
			ipset_add_set(out, &one);
	}
	for (unsigned i = 0; i < t->nv->n && is_nodes; i++) {
		const struct net_ip *ips[] = { &t->nv->nodes[i].ip4, &t->nv->nodes[i].ip6 };

		for (unsigned k = 0; k < 2; k++) {
			struct ipset_range r = { *ips[k], *ips[k] };
			struct ipset one = { .v = &r, .n = 1 };

			if (naive_holds_ip(set, ips[k]) && (naive_holds_node(&one, t->n) ||
			    naive_overlaps_subnet(&one, t->n)))
				ipset_add_set(out, &one);
		}
	}
	ipset_fini(&all);
}

/* The same for capabilities: what holds the node's address becomes that. */
static void
reduce_caps(const struct told *t, const struct ipset *set, bool is_nodes, struct ipset *out)
{
	if (naive_holds_ip(set, &t->n->ip4))
		ipset_add_ip(out, &t->n->ip4);
	if (naive_holds_ip(set, &t->n->ip6))
		ipset_add_ip(out, &t->n->ip6);
	for (unsigned i = 0; i < set->n && !is_nodes; i++) {
		struct ipset one = { .v = &set->v[i], .n = 1 };

		if (naive_overlaps_subnet(&one, t->n))
			ipset_add_set(out, &one);
	}
	for (unsigned i = 0; i < t->nv->n && is_nodes; i++) {
		const struct net_ip *ips[] = { &t->nv->nodes[i].ip4, &t->nv->nodes[i].ip6 };

		for (unsigned k = 0; k < 2; k++) {
			struct ipset_range r = { *ips[k], *ips[k] };
			struct ipset one = { .v = &r, .n = 1 };

			if (naive_holds_ip(set, ips[k]) && naive_overlaps_subnet(&one, t->n))
				ipset_add_set(out, &one);
		}
	}
}

static bool
stands_for_nodes(const struct naive *nv, uint32_t sel)
{
	return nv->p->sels[sel].kind >= POLICY_SEL_USER;
}

static void
add_other(const struct told *t, const struct policy_rule *r, const struct ipset *src)
{
	struct ipset cap_dst = { 0 }, rev_src = { 0 }, rev_dst = { 0 };

	for (unsigned k = 0; k < r->n_dst; k++) {
		uint32_t sel = r->dst[k].sel;
		struct ipset set = { 0 }, dst = { 0 };

		if (naive_is_kind(t->nv, sel, POLICY_SEL_SELF))
			continue;
		naive_resolve(t->nv, sel, &set);
		ipset_add_set(&rev_src, &set);
		if (naive_is_kind(t->nv, sel, POLICY_SEL_ANY)) {
			naive_everything(&dst);
			naive_subnet_routes(t->nv, &rev_src);
		} else {
			reduce_ports(t, &set, stands_for_nodes(t->nv, sel), &dst);
		}
		add_rule_ports(t, r, k, src, &dst);
		reduce_caps(t, &set, stands_for_nodes(t->nv, sel), &cap_dst);
		ipset_fini(&set);
		ipset_fini(&dst);
	}
	add_caps(t, r, false, src, &cap_dst);
	for (unsigned i = 0; i < r->src.n; i++) {
		struct ipset set = { 0 };

		naive_resolve(t->nv, r->src.v[i], &set);
		naive_postured(t->nv, r, &set);
		reduce_caps(t, &set, r->postures.n > 0 || stands_for_nodes(t->nv, r->src.v[i]), &rev_dst);
		ipset_fini(&set);
	}
	add_caps(t, r, true, &rev_src, &rev_dst);
	ipset_fini(&cap_dst);
	ipset_fini(&rev_src);
	ipset_fini(&rev_dst);
}

static void
add_self(const struct told *t, const struct policy_rule *r)
{
	struct ipset src = { 0 }, all = { 0 }, own = { 0 };

	naive_self_sets(t->nv, r, t->n, &src, &all);
	ipset_add_ip(&own, &t->n->ip4);
	ipset_add_ip(&own, &t->n->ip6);
	for (unsigned k = 0; k < r->n_dst && src.n > 0; k++) {
		if (!naive_is_kind(t->nv, r->dst[k].sel, POLICY_SEL_SELF))
			continue;
		add_rule_ports(t, r, k, &src, &own);
		add_caps(t, r, false, &src, &own);
		if (naive_holds_node(&src, t->n))
			add_caps(t, r, true, &all, &own);
	}
	ipset_fini(&src);
	ipset_fini(&all);
	ipset_fini(&own);
}

void
naive_filter(const struct naive *nv, unsigned node, struct canon *out)
{
	struct told t = { nv, &nv->nodes[node], out };

	for (unsigned i = 0; i < nv->p->n_rules && !t.n->is_waiting; i++) {
		const struct policy_rule *r = &nv->p->rules[i];
		struct ipset src = { 0 }, dst = { 0 };
		bool has_other = false;

		for (unsigned k = 0; k < r->n_dst; k++)
			has_other = has_other || !naive_is_kind(nv, r->dst[k].sel, POLICY_SEL_SELF);
		if (r->src.n == 0)
			continue;
		naive_sources(nv, r, true, &src);
		if (r->via.n > 0) {
			if (naive_is_via_node(nv, r, t.n))
				naive_via_dests(nv, r, t.n, &dst);
			add_rule_ports(&t, r, 0, &src, &dst);
		} else {
			if (t.n->n_tags == 0)
				add_self(&t, r);
			if (has_other)
				add_other(&t, r, &src);
		}
		ipset_fini(&src);
		ipset_fini(&dst);
	}
}
