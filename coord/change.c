/* Changes on their way to the streams: noted in the world, spread by session_send. */
#include "coord/change.h"

#include <stdio.h>

#include "base/clock.h"
#include "coord/derpmap.h"
#include "coord/dns_spec.h"
#include "coord/session_state.h"

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
	if (map_world_note(&m->w, n, what, clock_wall_s()) && n->session != NULL) {
		n->session->needs_full = true;
		if (n->session->state == SESSION_CURRENT)
			session_send_queue(m, n->session, SESSION_FRESH);
	}
	map_spread_note(&m->spread, (what & CHANGE_HOME) != 0);
	session_send_arm(m);
}

static void
note_derp(struct map_state *m)
{
	const struct tailnet_deps *d = &m->t->deps;
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
	};
	struct buf b = { 0 };

	derpmap_put(&b, &p);
	map_world_note_text(&m->w, &m->w.derp, shbuf_new(b.p, b.len));
	buf_fini(&b);
}

static void
note_dns(struct map_state *m)
{
	struct dns_params p = { .n_split = 0 };
	struct buf b = { 0 };

	if (m->t->dns == NULL)
		dns_spec_config(m->t->deps.cfg, &p);
	dns_put(&b, m->t->dns != NULL ? m->t->dns : &p, NULL);
	map_world_note_text(&m->w, &m->w.dns, shbuf_new(b.p, b.len));
	buf_fini(&b);
	dns_params_fini(&p);
}

void
change_note_all(struct tailnet *t, uint32_t what)
{
	struct map_state *m = t->map;

	OBJ_CHECK(m, MAP_STATE_MAGIC);
	if (what & CHANGE_ALL_DERP)
		note_derp(m);
	if (what & CHANGE_ALL_DNS)
		note_dns(m);
	if (what & CHANGE_ALL_USERS)
		map_world_note_users(&m->w);
	if (what & CHANGE_ALL_POLICY)
		map_world_note_filters(&m->w);
	if (m->w.seq == m->w.published)		/* nothing is different */
		return;
	map_spread_note(&m->spread, false);
	session_send_arm(m);
}
