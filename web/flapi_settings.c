/* /api/fairlead/v1/settings: what an administrator changes while the server runs. */
#include "base/json.h"
#include "web/flapi.h"

void
flapi_put_settings(const struct tailnet *t, const char *name, struct json_writer *w)
{
	json_w_obj_open(w, name);
	json_w_bool(w, "devicesNeedApproval", t->settings.devices_need_approval != 0);
	json_w_int(w, "keyDays", t->settings.key_days);
	json_w_int(w, "keyDaysInEffect", tailnet_key_days(t));
	json_w_int(w, "keyDaysConfigured", (int64_t)t->deps.cfg->node.key_expiry_days);
	json_w_bool(w, "refuseClusterOverlap", t->settings.refuse_cluster_overlap != 0);
	json_w_bool(w, "disableCgnatDropRule", t->settings.disable_cgnat_drop_rule != 0);
	json_w_obj_close(w);
}

static void
settings_reply(struct http_req *q)
{
	struct buf b = { .len = 0 };
	struct json_writer w;

	json_w_init(&w, &b);
	flapi_put_settings(flapi_tailnet(q), NULL, &w);
	http_reply_json_take(q, 200, &b);
}

static void
on_changed(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		settings_reply(q);
}

static void
settings_patch(struct http_req *q)
{
	static const struct flapi_member members[] = {
		{ "devicesNeedApproval", FLAPI_BOOL }, { "keyDays", FLAPI_INT },
		{ "refuseClusterOverlap", FLAPI_BOOL }, { "disableCgnatDropRule", FLAPI_BOOL },
	};
	struct tailnet *t = flapi_tailnet(q);
	struct tailnet_settings s = t->settings;

	if (!flapi_body_is(q, members, COUNT_OF(members)))
		return;
	s.devices_need_approval = json_get_bool(q->json, "devicesNeedApproval", s.devices_need_approval != 0);
	s.key_days = json_get_int(q->json, "keyDays", s.key_days);
	s.refuse_cluster_overlap = json_get_bool(q->json, "refuseClusterOverlap",
	    s.refuse_cluster_overlap != 0);
	s.disable_cgnat_drop_rule = json_get_bool(q->json, "disableCgnatDropRule",
	    s.disable_cgnat_drop_rule != 0);
	tailnet_settings_set(t, &q->who.actor, &s, on_changed, q);
}

static const struct http_route routes[] = {
	{ "GET", FLAPI "/settings", HTTP_NEED(HTTP_READ, SCOPE_FEATURES), false, settings_reply },
	{ "PATCH", FLAPI "/settings", HTTP_NEED(HTTP_WRITE, SCOPE_FEATURES), true, settings_patch },
};

void
flapi_settings_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}
