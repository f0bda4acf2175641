/* Plans, for people and programs. */
#include "base/json.h"
#include "coord/policy_plan.h"

static void
put_side(struct buf *b, const struct policy_plan_side *s)
{
	for (unsigned i = 0; i < s->n_names; i++)
		buf_printf(b, "%s%s", i > 0 ? ", " : "", s->names[i]);
	if (s->n > s->n_names)
		buf_printf(b, " and %u more", s->n - s->n_names);
}

void
policy_plan_put_text(struct buf *b, const struct policy_plan *p)
{
	if (p->n == 0 && !p->is_cut)
		buf_str(b, "nobody gains or loses anything\n");
	else
		buf_printf(b, "%llu pairs of nodes gain, %llu lose\n",
		    (unsigned long long)p->n_gaining, (unsigned long long)p->n_losing);
	for (unsigned i = 0; i < p->n; i++) {
		const struct policy_plan_change *c = &p->v[i];

		put_side(b, &c->src);
		buf_str(b, " -> ");
		put_side(b, &c->dst);
		buf_printf(b, "%s%s (%llu):\n", c->is_same_user ? ", own devices only" : "",
		    c->family == 0 ? "" : c->family == 4 ? ", IPv4" : ", IPv6",
		    (unsigned long long)c->n_pairs);
		if (c->gains != NULL)
			buf_printf(b, "  + %s\n", c->gains);
		if (c->loses != NULL)
			buf_printf(b, "  - %s\n", c->loses);
	}
	if (p->n_more > 0)
		buf_printf(b, "and %u more changes\n", p->n_more);
	if (p->is_cut)
		buf_str(b, "too much to compare as a whole: there may be other changes\n");
}

static void
put_side_json(struct json_writer *w, const char *name, const struct policy_plan_side *s)
{
	json_w_obj_open(w, name);
	json_w_int(w, "count", s->n);
	json_w_arr_open(w, "names");
	for (unsigned i = 0; i < s->n_names; i++)
		json_w_str(w, NULL, s->names[i]);
	json_w_arr_close(w);
	json_w_obj_close(w);
}

void
policy_plan_put_json(struct buf *b, const struct policy_plan *p)
{
	struct json_writer w;

	json_w_init(&w, b);
	json_w_obj_open(&w, NULL);
	json_w_int(&w, "pairsGaining", (int64_t)p->n_gaining);
	json_w_int(&w, "pairsLosing", (int64_t)p->n_losing);
	json_w_int(&w, "more", p->n_more);
	json_w_bool(&w, "isCut", p->is_cut);
	json_w_arr_open(&w, "changes");
	for (unsigned i = 0; i < p->n; i++) {
		const struct policy_plan_change *c = &p->v[i];

		json_w_obj_open(&w, NULL);
		put_side_json(&w, "src", &c->src);
		put_side_json(&w, "dst", &c->dst);
		json_w_bool(&w, "sameUser", c->is_same_user);
		if (c->family != 0)
			json_w_str(&w, "family", c->family == 4 ? "IPv4" : "IPv6");
		json_w_int(&w, "pairs", (int64_t)c->n_pairs);
		if (c->gains != NULL)
			json_w_str(&w, "gains", c->gains);
		if (c->loses != NULL)
			json_w_str(&w, "loses", c->loses);
		json_w_obj_close(&w);
	}
	json_w_arr_close(&w);
	json_w_obj_close(&w);
}
