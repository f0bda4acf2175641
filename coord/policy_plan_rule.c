/* Which rules of two policies mean the same: by a text of all that they say, with groups, hosts and
 * postures resolved. */
#include <stdlib.h>
#include <string.h>

#include "coord/policy_plan_private.h"

struct print {
	uint64_t hash[2];
	uint32_t rule;
};

static void
put_sel(struct buf *b, const struct policy *p, uint32_t i)
{
	const struct policy_sel *s = &p->sels[i];

	buf_printf(b, "%d %u ", (int)s->kind, s->roles);
	if (s->kind == POLICY_SEL_SET)
		ipset_put(b, &s->set);
	else
		buf_str(b, s->text);
	for (unsigned k = 0; k < s->n_users; k++)
		buf_printf(b, " %s", s->users[k]);
	buf_byte(b, '\n');
}

static void
put_ports(struct buf *b, const struct policy_ports *ports, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_printf(b, " %u-%u", ports[i].first, ports[i].last);
	buf_byte(b, '\n');
}

static void
put_rule(struct buf *b, const struct policy *p, const struct policy_rule *r)
{
	buf_printf(b, "%d %d\n", r->is_grant, r->proto);
	for (unsigned i = 0; i < r->src.n; i++)
		put_sel(b, p, r->src.v[i]);
	buf_str(b, "to\n");
	for (unsigned i = 0; i < r->n_dst; i++) {
		put_sel(b, p, r->dst[i].sel);
		put_ports(b, r->dst[i].ports, r->dst[i].n_ports);
	}
	for (unsigned i = 0; i < r->n_ip; i++) {
		buf_printf(b, "ip %d", r->ip[i].proto);
		put_ports(b, r->ip[i].ports, r->ip[i].n_ports);
	}
	for (unsigned i = 0; i < r->n_app; i++)
		buf_printf(b, "app %s\n", r->app[i].name);
	for (unsigned i = 0; i < r->via.n; i++) {
		buf_str(b, "via ");
		put_sel(b, p, r->via.v[i]);
	}
	for (unsigned i = 0; i < r->postures.n; i++) {
		const struct policy_posture *posture = &p->postures[r->postures.v[i]];

		buf_str(b, "posture\n");
		for (unsigned k = 0; k < posture->n_tests; k++) {
			policy_posture_put(b, &posture->tests[k]);
			buf_byte(b, '\n');
		}
	}
}

static int
compare(const void *pa, const void *pb)
{
	const struct print *a = pa, *b = pb;

	for (unsigned i = 0; i < 2; i++) {
		if (a->hash[i] != b->hash[i])
			return a->hash[i] < b->hash[i] ? -1 : 1;
	}
	return 0;
}

static struct print *
print_all(const struct plan_part *part)
{
	struct print *v = obj_alloc((part->n_rules + 1) * sizeof(*v));
	struct buf b = { 0 };

	for (unsigned i = 0; i < part->n_rules; i++) {
		const struct policy *p = part->view.w->policy;

		buf_clear(&b);
		put_rule(&b, p, &p->rules[i]);
		v[i].hash[0] = map_hash(b.p, b.len);
		buf_byte(&b, '!');
		v[i].hash[1] = map_hash(b.p, b.len);
		v[i].rule = i;
	}
	if (part->n_rules > 1)
		qsort(v, part->n_rules, sizeof(*v), compare);
	buf_fini(&b);
	return v;
}

void
plan_mark_changed(struct plan_part *a, struct plan_part *b)
{
	struct print *x = print_all(a), *y = print_all(b);
	unsigned i = 0, k = 0;

	while (i < a->n_rules || k < b->n_rules) {
		int order = i == a->n_rules ? 1 : k == b->n_rules ? -1 : compare(&x[i], &y[k]);

		if (order < 0)
			a->is_changed[x[i].rule] = true;
		if (order > 0)
			b->is_changed[y[k].rule] = true;
		i += order <= 0;
		k += order >= 0;
	}
	free(x);
	free(y);
}
