/* Changes on their way to the streams: noted in the world, spread by session_send. */
#include "coord/change.h"

#include <stdio.h>

#include "base/clock.h"
#include "coord/derpmap.h"
#include "coord/dns_spec.h"
#include "coord/session_state.h"
#include "coord/tailnet_cluster.h"
#include "coord/tailnet_region.h"

/* Soft changes, for the event stream; it tells of hard ones by their audit records. */
static void
watch_tell(struct tailnet *t, const struct node *n, uint32_t what)
{
	struct tailnet_event e = { .by = "", .what = "node.update" };
	char target[32];

	if (t->watch == NULL ||
	    (what & (CHANGE_ENDPOINTS | CHANGE_HOME | CHANGE_ONLINE | CHANGE_WHOLE)) == 0)
		return;
	if (what & CHANGE_ONLINE)
		e.what = n->is_online ? "node.online" : "node.offline";
	snprintf(target, sizeof(target), "node %lld", (long long)n->id);
	e.target = target;
	t->watch(t->watch_arg, &e);
}

void
change_note(struct tailnet *t, struct node *n, uint32_t what)
{
	struct map_state *m = t->map;

	OBJ_CHECK(m, MAP_STATE_MAGIC);
	OBJ_CHECK(n, NODE_MAGIC);
	if (what == 0)
		return;
	watch_tell(t, n, what);
	if (what & (CHANGE_JOINED | CHANGE_REMOVED | CHANGE_WHOLE | CHANGE_ONLINE))
		tailnet_cluster_note(t, n);
	if ((what & CHANGE_JOINED) && n->session == NULL && n->map->chunk == NULL && !n->map->is_unseen) {
		session_presence_expect(m, n);
		return;
	}
	map_world_note(&m->w, n, what, clock_wall_s());
	if (m->w.seq == m->w.published)		/* nobody is to be told */
		return;
	map_spread_note(&m->spread, (what & CHANGE_HOME) != 0);
	session_send_arm(m);
}

static void
note_derp(struct map_state *m)
{
	const struct tailnet_deps *d = &m->t->deps;
	const struct tailnet_regions *others = m->t->regions;
	struct derpmap_params p = {
		.host = d->derp_host,
		.pin = d->derp_pin,
		.derp_port = d->cfg->derp.is_enabled ? d->derp_port : 0,
		.stun_port = d->stun_port,
		.http_port = d->http_port,
		.region_id = d->cfg->derp.region_id,
		.region_code = d->cfg->derp.region_code,
		.region_name = d->cfg->derp.region_name,
		.ipv4 = d->cfg->derp.ipv4,
		.ipv6 = d->cfg->derp.ipv6,
		.more = others != NULL ? (const struct region *const *)others->in_map : NULL,
		.n_more = others != NULL ? others->n_in_map : 0,
	};
	struct buf b = { 0 };

	derpmap_put(&b, &p);
	map_world_note_text(&m->w, &m->w.derp, shbuf_new(b.p, b.len));
	buf_fini(&b);
}

static void
note_dns(struct map_state *m)
{
	if (m->t->dns != NULL) {
		map_world_note_dns(&m->w, m->t->dns);
		return;
	}
	dns_params_fini(&m->dns);
	dns_spec_config(m->t->deps.cfg, &m->dns);
	map_world_note_dns(&m->w, &m->dns);
}

/* Every node is told of itself. */
static void
note_attrs(struct map_state *m)
{
	bool is_on = m->t->settings.disable_cgnat_drop_rule != 0;
	struct node *n;
	size_t at = 0;

	if (m->w.own.attrs.disables_cgnat_drop_rule == is_on)
		return;
	m->w.own.attrs.disables_cgnat_drop_rule = is_on;
	while ((n = map_next(&m->t->nodes, &at)) != NULL)
		map_world_note(&m->w, n, CHANGE_SELF, clock_wall_s());
}

void
change_note_all(struct tailnet *t, uint32_t what)
{
	struct map_state *m = t->map;

	OBJ_CHECK(m, MAP_STATE_MAGIC);
	if (what & CHANGE_ALL_ATTRS)
		note_attrs(m);
	if (what & CHANGE_ALL_DERP)
		note_derp(m);
	if (what & CHANGE_ALL_DNS)
		note_dns(m);
	if ((what & CHANGE_ALL_USERS) && map_world_note_users(&m->w) &&
	    map_policy_names_users(m->w.policy->policy))
		map_policy_set(&m->w, m->w.policy->policy);
	if (m->w.seq == m->w.published)		/* nothing is different */
		return;
	map_spread_note(&m->spread, false);
	session_send_arm(m);
}

void
change_policy_set(struct tailnet *t, struct policy *p)
{
	struct map_state *m = t->map;

	OBJ_CHECK(m, MAP_STATE_MAGIC);
	p = p == NULL ? session_state_policy() : policy_hold(p);
	map_policy_set(&m->w, p);
	policy_drop(p);
	map_spread_note(&m->spread, false);
	session_send_arm(m);
}

struct policy_world *
change_policy_world(struct tailnet *t)
{
	OBJ_CHECK(t->map, MAP_STATE_MAGIC);
	return t->map->w.policy;
}

void
change_health_set(struct tailnet *t, struct node *n, const char *text)
{
	struct map_state *m = t->map;
	struct shbuf *json = NULL;
	struct json_writer w;
	struct buf b = { 0 };

	OBJ_CHECK(m, MAP_STATE_MAGIC);
	if (text != NULL) {
		json_w_init(&w, &b);
		json_w_arr_open(&w, NULL);
		json_w_str(&w, NULL, text);
		json_w_arr_close(&w);
		json = shbuf_new(b.p, b.len);
		buf_fini(&b);
	}
	map_world_note_health(&m->w, n, json);
	if (m->w.seq == m->w.published)
		return;
	map_spread_note(&m->spread, false);
	session_send_arm(m);
}
