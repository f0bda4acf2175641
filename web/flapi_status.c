/* /api/fairlead/v1/status: what runs here, and how much of it. */
#include "base/clock.h"
#include "base/metrics.h"
#include "web/flapi.h"
#include "web/flapi_clusters.h"

static void
list_put(struct json_writer *w, const char *name, const struct config_list *list)
{
	json_w_arr_open(w, name);
	for (unsigned i = 0; i < list->n; i++)
		json_w_str(w, NULL, list->items[i]);
	json_w_arr_close(w);
}

static void
counts_put(struct json_writer *w, const struct tailnet *t)
{
	const struct node *n;
	const struct authkey *k;
	size_t at = 0;
	int64_t n_online = 0, n_active = 0, now = clock_wall_s();

	while ((n = map_next(&t->nodes, &at)) != NULL)
		n_online += n->is_online;
	at = 0;
	while ((k = map_next(&t->authkeys, &at)) != NULL)
		n_active += authkey_is_usable(k, now, NULL) == ERR_OK;
	json_w_int(w, "users", (int64_t)t->users.count);
	json_w_int(w, "nodes", (int64_t)t->nodes.count);
	json_w_int(w, "nodesOnline", n_online);
	json_w_int(w, "keys", (int64_t)t->authkeys.count);
	json_w_int(w, "keysActive", n_active);
}

static void
metrics_put_some(struct json_writer *w)
{
	static const struct { const char *name; enum metric metric; } shown[] = {
		{ "connections", METRIC_DOOR_OPEN },
		{ "controlConnections", METRIC_CTL_CONNS },
		{ "mapStreams", METRIC_MAP_STREAMS },
		{ "registrations", METRIC_REGISTER_OK },
		{ "registrationsRefused", METRIC_REGISTER_REFUSED },
		{ "relayConnections", METRIC_DERP_CONNS },
		{ "relayPacketsSent", METRIC_DERP_PKT_OUT },
		{ "relayBytesSent", METRIC_DERP_BYTES_OUT },
		{ "stunRequests", METRIC_STUN_OK },
		{ "storeCommits", METRIC_STORE_COMMITS },
		{ "storeFailures", METRIC_STORE_FAILED },
	};

	json_w_obj_open(w, "metrics");
	for (size_t i = 0; i < COUNT_OF(shown); i++)
		json_w_int(w, shown[i].name, metric_get(shown[i].metric));
	json_w_obj_close(w);
}

static void
certificate_put(struct json_writer *w, const struct tailnet *t, const struct config *cfg)
{
	bool is_acme = cfg->acme.hostname != NULL && cfg->acme.hostname[0] != '\0';
	char expires[CLOCK_RFC3339_BYTES];

	json_w_obj_open(w, "certificate");
	json_w_str(w, "source", t->deps.derp_pin != NULL ? "self-signed" : is_acme ? "acme" : "files");
	json_w_str(w, "expires", clock_rfc3339(metric_get(METRIC_CERT_EXPIRY), expires));
	if (is_acme)
		json_w_int(w, "failedAttempts", metric_get(METRIC_ACME_FAILING));
	json_w_obj_close(w);
}

static void
policy_put(struct json_writer *w, const struct tailnet *t)
{
	const char *problem = tailnet_policy_problem(t);

	json_w_obj_open(w, "policy");
	json_w_int(w, "version", t->policies->now.version);
	flapi_time(w, "confirmBy", t->policies->now.confirm_by_unix_s);
	if (problem != NULL)
		json_w_str(w, "problem", problem);
	else
		json_w_null(w, "problem");
	json_w_obj_close(w);
}

static void
status_get(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	const struct config *cfg = coord_config(q->coord);
	struct buf b = { .len = 0 };
	struct json_writer w;

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_str(&w, "version", FAIRLEAD_VERSION);
	json_w_str(&w, "serverUrl", t->deps.server_url);
	json_w_int(&w, "uptimeSeconds", http_uptime_s(q));
	json_w_str(&w, "dataDir", cfg->data_dir);
	json_w_str(&w, "unixSocket", cfg->unix_socket);
	json_w_str(&w, "baseDomain", cfg->dns.base_domain);
	json_w_int(&w, "workers", cfg->workers);
	json_w_obj_open(&w, "listen");
	list_put(&w, "https", &cfg->listen_https);
	list_put(&w, "http", &cfg->listen_http);
	list_put(&w, "stun", &cfg->listen_stun);
	json_w_obj_close(&w);
	certificate_put(&w, t, cfg);
	policy_put(&w, t);
	flapi_put_conflicts(t, "clusterConflicts", &w);
	counts_put(&w, t);
	metrics_put_some(&w);
	json_w_obj_close(&w);
	http_reply_json_take(q, 200, &b);
}

const struct http_route flapi_status_routes[] = {
	{ "GET", FLAPI "/status", HTTP_READ, false, status_get },
};
const size_t flapi_status_routes_count = COUNT_OF(flapi_status_routes);
