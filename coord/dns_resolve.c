/* Records are found by name in a sorted table of pointers. */
#include "coord/dns_resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct resolving {
	const struct dns_wanted **by_name;	/* owned */
	unsigned n;
	const struct dns_finder *f;
	const char *base_domain;	/* "" = none */
	char *problem;			/* of the record under way */
};

void
dns_ips_add(struct dns_ips *to, const struct net_ip *ip)
{
	if (ip->family == 0 || to->n == DNS_RESOLVE_IPS_MAX)
		return;
	for (unsigned i = 0; i < to->n; i++)
		if (net_ip_eq(&to->v[i], ip))
			return;
	to->v[to->n++] = *ip;
}

static int
by_name(const void *a, const void *b)
{
	const struct dns_wanted *const *x = a, *const *y = b;

	return strcmp((*x)->r.name, (*y)->r.name);
}

/* The first with that name; v->n: none. */
static unsigned
find(const struct resolving *v, const char *name)
{
	unsigned lo = 0, hi = v->n;

	while (lo < hi) {
		unsigned mid = lo + (hi - lo) / 2;

		if (strcmp(v->by_name[mid]->r.name, name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < v->n && strcmp(v->by_name[lo]->r.name, name) == 0 ? lo : v->n;
}

/* The label of a name in the base domain (into label) or of one without dots; false: of outside. */
static bool
label_of(const struct resolving *v, const char *name, char label[64])
{
	const char *dot = strchr(name, '.');
	size_t n = dot == NULL ? strlen(name) : (size_t)(dot - name);
	size_t nn = strlen(name), nb = strlen(v->base_domain);
	bool is_inside = nb > 0 && nn > nb && name[nn - nb - 1] == '.' &&
	    strcmp(name + nn - nb, v->base_domain) == 0;

	if (dot != NULL && !is_inside)
		return false;
	label[0] = 0;
	if (dot == NULL || (is_inside && n == nn - nb - 1))
		snprintf(label, 64, "%.*s", (int)n, name);
	return true;
}

static bool
is_address(const struct dns_record *r)
{
	return strcmp(r->type, "A") == 0 || strcmp(r->type, "AAAA") == 0;
}

/* Addresses of the name. false, with the problem: none. */
static bool
follow(struct resolving *v, const char *name, unsigned depth, struct dns_ips *out)
{
	unsigned at = find(v, name), before = out->n;
	char label[64];
	bool has_any = false;

	if (depth == DNS_RESOLVE_DEPTH_MAX) {
		snprintf(v->problem, DNS_PROBLEM_MAX, "more than %d CNAMEs lead to one another", depth);
		return false;
	}
	for (; at < v->n && strcmp(v->by_name[at]->r.name, name) == 0; at++) {
		const struct dns_record *r = &v->by_name[at]->r;
		struct net_ip ip;

		if (strcmp(r->type, "TXT") == 0)
			continue;
		has_any = true;
		if (!is_address(r))
			(void)follow(v, r->value, depth + 1, out);
		else if (net_ip_parse(r->value, strlen(r->value), &ip) == ERR_OK)
			dns_ips_add(out, &ip);
	}
	if (has_any)
		return out->n > before;
	if (!label_of(v, name, label))
		return v->f->outside(v->f->arg, name, out, v->problem);
	if (v->f->node(v->f->arg, label, out))
		return true;
	snprintf(v->problem, DNS_PROBLEM_MAX, "there is neither a node nor a record %.60s", name);
	return false;
}

static void
resolve_one(struct resolving *v, struct dns_wanted *w, struct dns_params *out)
{
	struct dns_ips ips = { .n = 0 };
	char text[NET_TEXT_MAX];

	w->problem[0] = 0;
	v->problem = w->problem;
	if (strcmp(w->r.type, "TXT") == 0) {
		snprintf(w->problem, sizeof(w->problem), "clients have no TXT records: kept, not sent");
		return;
	}
	if (is_address(&w->r)) {
		dns_record_add(out, w->r.name, w->r.type, w->r.value);
		return;
	}
	if (!follow(v, w->r.value, 0, &ips))
		return;
	w->problem[0] = 0;		/* of another branch */
	for (unsigned i = 0; i < ips.n; i++)
		dns_record_add(out, w->r.name, ips.v[i].family == 4 ? "A" : "AAAA",
		    net_ip_put(&ips.v[i], text));
}

void
dns_resolve(struct dns_wanted *list, unsigned n, const struct dns_finder *f, struct dns_params *out)
{
	struct resolving v = { .n = n, .f = f,
		.base_domain = out->base_domain != NULL ? out->base_domain : "" };

	v.by_name = obj_alloc((n + 1) * sizeof(*v.by_name));
	for (unsigned i = 0; i < n; i++)
		v.by_name[i] = &list[i];
	qsort(v.by_name, n, sizeof(*v.by_name), by_name);
	for (unsigned i = 0; i < n; i++)
		resolve_one(&v, &list[i], out);
	free(v.by_name);
}
