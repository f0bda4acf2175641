/* /api/fairlead/v1/nodes/{id}/routes, and what nodes show of their routes. */
#include <stdlib.h>

#include "web/flapi.h"

void
flapi_put_routes(struct tailnet *t, const struct node *n, struct json_writer *w)
{
	struct tailnet_route *all;
	unsigned n_all = tailnet_route_list(t, n, &all), n_waiting = 0;
	char text[NET_TEXT_MAX];

	json_w_arr_open(w, "routes");
	for (unsigned i = 0; i < n_all; i++) {
		json_w_obj_open(w, NULL);
		json_w_str(w, "prefix", net_prefix_put(&all[i].prefix, text));
		json_w_bool(w, "advertised", all[i].is_advertised);
		json_w_bool(w, "approved", all[i].is_approved);
		json_w_bool(w, "primary", all[i].is_primary);
		json_w_bool(w, "exit", route_is_exit(&all[i].prefix));
		json_w_bool(w, "byPolicy", all[i].is_by_policy);
		json_w_obj_close(w);
		n_waiting += all[i].is_advertised && !all[i].is_approved;
	}
	json_w_arr_close(w);
	json_w_int(w, "routesWaiting", n_waiting);
	json_w_bool(w, "answersProbes", tailnet_route_answers(n));
	free(all);
}

bool
flapi_routes_take(struct http_req *q, const char *member, struct route_list *out)
{
	const json_t *v = json_object_get(q->json, member);
	struct net_prefix p;

	if (json_array_size(v) > ROUTE_LIST_MAX) {
		http_reply_error(q, 400, "%s has more than %d entries", member, ROUTE_LIST_MAX);
		return false;
	}
	for (size_t i = 0; i < json_array_size(v); i++) {
		const json_t *text = json_array_get(v, i);

		if (!json_is_string(text) || net_prefix_parse(json_string_value(text),
		    json_string_length(text), &p) != ERR_OK) {
			http_reply_error(q, 400, "%s: \"%.80s\" is no network prefix (10.1.2.0/24, host bits "
			    "zero)", member, json_is_string(text) ? json_string_value(text) : "?");
			return false;
		}
		route_list_add(out, &p, 1);
	}
	return true;
}

/* {"approve": […], "unapprove": […]}, or {"approved": […]}: these and no others; with {"all": true} what the
 * node advertises is approved too. */
static void
routes_change(struct http_req *q)
{
	static const struct flapi_member members[] = { { "approve", FLAPI_TEXTS }, { "unapprove", FLAPI_TEXTS },
		{ "approved", FLAPI_TEXTS }, { "all", FLAPI_BOOL } };
	struct tailnet *t = flapi_tailnet(q);
	struct route_list add = { .n = 0 }, remove = { .n = 0 };
	const struct node *n;

	if (!flapi_body_is(q, members, COUNT_OF(members)) || !flapi_routes_take(q, "approve", &add) ||
	    !flapi_routes_take(q, "approved", &add) || !flapi_routes_take(q, "unapprove", &remove))
		goto out;
	if ((n = flapi_node_of(q)) == NULL)
		goto out;
	if (json_get_bool(q->json, "all", false))
		route_list_add(&add, n->host->routable_ips, n->host->n_routable_ips);
	tailnet_node_set_routes(t, &q->who.actor, n->id, &(struct tailnet_route_change){
	    .is_whole = json_is_array(json_object_get(q->json, "approved")), .add = add.v, .n_add = add.n,
	    .remove = remove.v, .n_remove = remove.n }, flapi_on_node, q);
out:
	route_list_fini(&add);
	route_list_fini(&remove);
}

static const struct http_route routes[] = {
	{ "POST", FLAPI "/nodes/{id}/routes", HTTP_NEED(HTTP_WRITE, SCOPE_ROUTES), true, routes_change },
};

void
flapi_routes_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}
