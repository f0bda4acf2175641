/*
 * /api/fairlead/v1/relay/traffic: who uses the server's own relay, and how much. Counts only grow while a
 * connection is open, so two answers and their "atMs" give rates.
 */
#include "web/flapi_traffic.h"

#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"

#define NODES_DEFAULT	100
#define PAIRS_DEFAULT	100

struct flapi_traffic {
	struct relay *relay;	/* borrowed */
	struct mbox *mbox;	/* borrowed */
};

/* --- what is shown ---------------------------------------------------------------------------- */

struct shown {
	const char *name;
	enum metric metric;
};

static void
metrics_put_all(struct json_writer *w, const struct shown *shown, size_t n)
{
	for (size_t i = 0; i < n; i++)
		json_w_int(w, shown[i].name, metric_get(shown[i].metric));
}

/* Packets by the time they waited; the last one has no bound. */
static void
delays_put(struct json_writer *w)
{
	json_w_arr_open(w, "queueDelay");
	for (unsigned m = METRIC_DERP_DELAY_1MS; m <= METRIC_DERP_DELAY_INF; m++) {
		json_w_obj_open(w, NULL);
		if (m < METRIC_DERP_DELAY_INF)
			json_w_int(w, "upToMs", (int64_t)1 << (m - METRIC_DERP_DELAY_1MS));
		else
			json_w_null(w, "upToMs");
		json_w_int(w, "packets", metric_get((enum metric)m));
		json_w_obj_close(w);
	}
	json_w_arr_close(w);
}

/* Of the relay since the server started. */
static void
total_put(struct json_writer *w)
{
	static const struct shown counts[] = {
		{ "connections", METRIC_DERP_CONNS }, { "homeConnections", METRIC_DERP_HOME },
		{ "packetsReceived", METRIC_DERP_PKT_IN }, { "bytesReceived", METRIC_DERP_BYTES_IN },
		{ "packetsSent", METRIC_DERP_PKT_OUT }, { "bytesSent", METRIC_DERP_BYTES_OUT },
		{ "packetsForwardedIn", METRIC_DERP_FWD_IN }, { "packetsForwardedOut", METRIC_DERP_FWD_OUT },
		{ "homeMovesIn", METRIC_DERP_MOVES_IN }, { "homeMovesOut", METRIC_DERP_MOVES_OUT },
	}, drops[] = {
		{ "unknownDest", METRIC_DERP_DROP_UNKNOWN_DISCO },
		{ "unknownDestOnForward", METRIC_DERP_DROP_FWD_DISCO },
		{ "goneDisconnected", METRIC_DERP_DROP_GONE_DISCO },
		{ "queueHead", METRIC_DERP_DROP_HEAD_DISCO }, { "queueTail", METRIC_DERP_DROP_TAIL_DISCO },
		{ "memory", METRIC_DERP_DROP_MEMORY_DISCO }, { "workerBusy", METRIC_DERP_DROP_HOP_DISCO },
	};

	json_w_obj_open(w, "total");
	metrics_put_all(w, counts, COUNT_OF(counts));
	json_w_obj_open(w, "dropped");
	for (size_t i = 0; i < COUNT_OF(drops); i++)	/* disco, and all others in the row behind it */
		json_w_int(w, drops[i].name, metric_get(drops[i].metric) + metric_get(drops[i].metric + 1));
	json_w_obj_close(w);
	delays_put(w);
	json_w_obj_close(w);
}

/* Members "id" and "name" (null: no node of ours has the key), "key" (null: a link of ours). */
static void
who_put(struct tailnet *t, const struct node_key *key, struct json_writer *w)
{
	const struct node *n = map_find(&t->nodes_by_key, key);
	char text[KEY_TEXT_MAX];

	if (n != NULL) {
		flapi_id(w, "id", n->id);
		json_w_str(w, "name", n->name);
	} else {
		json_w_null(w, "id");
		json_w_null(w, "name");
	}
	if (node_key_is_zero(key))
		json_w_null(w, "key");
	else
		json_w_str(w, "key", node_key_put(key, text));
}

static void
node_put(struct tailnet *t, const struct relay_insight_node *x, int64_t now_ms, struct json_writer *w)
{
	const struct relay_tally *c = &x->tally;
	char address[NET_TEXT_MAX];

	json_w_obj_open(w, NULL);
	who_put(t, &x->key, w);
	json_w_bool(w, "isRelay", x->is_mesh);
	json_w_bool(w, "home", x->is_home);
	json_w_str(w, "address", net_addr_put(&x->addr, address));
	json_w_int(w, "connections", x->n_conns);
	json_w_int(w, "connectedSeconds", (now_ms - x->begun_ms) / 1000);
	if (c->used_ms != 0)
		json_w_int(w, "idleSeconds", now_ms > c->used_ms ? (now_ms - c->used_ms) / 1000 : 0);
	else
		json_w_null(w, "idleSeconds");
	json_w_int(w, "packetsReceived", (int64_t)c->packets_in);
	json_w_int(w, "bytesReceived", (int64_t)c->bytes_in);
	json_w_int(w, "packetsSent", (int64_t)c->packets_out);
	json_w_int(w, "bytesSent", (int64_t)c->bytes_out);
	json_w_int(w, "bytesQueued", (int64_t)x->queued_bytes);
	json_w_int(w, "homeMoves", (int64_t)c->home_moves);
	json_w_obj_open(w, "dropped");
	json_w_int(w, "unknownDest", (int64_t)c->dropped_unknown);
	json_w_int(w, "queueHead", (int64_t)c->dropped_head);
	json_w_int(w, "queueTail", (int64_t)c->dropped_tail);
	json_w_obj_close(w);
	json_w_obj_close(w);
}

static void
pair_put(struct tailnet *t, const struct relay_insight_pair *x, struct json_writer *w)
{
	json_w_obj_open(w, NULL);
	json_w_obj_open(w, "from");
	who_put(t, &x->from, w);
	json_w_obj_close(w);
	json_w_obj_open(w, "to");
	who_put(t, &x->to, w);
	json_w_obj_close(w);
	json_w_int(w, "packets", (int64_t)x->packets);
	json_w_int(w, "bytes", (int64_t)x->bytes);
	json_w_obj_close(w);
}

static void
on_insight(void *arg, const struct relay_insight *in)
{
	struct http_req *q = arg;
	struct buf b = { .len = 0 };
	struct json_writer w;

	OBJ_CHECK(q, HTTP_REQ_MAGIC);
	if (in == NULL) {
		http_reply_error(q, 503, "the server is stopping");
		return;
	}
	struct tailnet *t = flapi_tailnet(q);

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_int(&w, "atMs", in->at_ms);
	json_w_int(&w, "connected", (int64_t)in->n_connected);
	total_put(&w);
	json_w_arr_open(&w, "nodes");
	for (size_t i = 0; i < in->n_nodes; i++)
		node_put(t, &in->nodes[i], in->at_ms, &w);
	json_w_arr_close(&w);
	json_w_arr_open(&w, "pairs");
	for (size_t i = 0; i < in->n_pairs; i++)
		pair_put(t, &in->pairs[i], &w);
	json_w_arr_close(&w);
	json_w_obj_close(&w);
	http_reply_json_take(q, 200, &b);
}

/* --- what is asked ---------------------------------------------------------------------------- */

static void
traffic_get(struct http_req *q)
{
	const struct flapi_traffic *x = q->arg;
	int64_t nodes = NODES_DEFAULT, pairs = PAIRS_DEFAULT, window_s = 0;
	struct form f;

	if (!http_query(q, &f))
		return;
	if (http_query_number(q, &f, &(struct http_number){ "nodes", 0, RELAY_INSIGHT_MAX }, &nodes) &&
	    http_query_number(q, &f, &(struct http_number){ "pairs", 0, RELAY_INSIGHT_MAX }, &pairs) &&
	    http_query_number(q, &f, &(struct http_number){ "window", 0, 86400 }, &window_s))
		relay_insight(x->relay, &(struct relay_insight_ask){ .mbox = x->mbox,
			.nodes_max = (size_t)nodes, .pairs_max = (size_t)pairs, .window_ms = window_s * 1000,
			.fn = on_insight, .arg = q });
	form_fini(&f);
}

static const struct http_route routes[] = {
	{ "GET", FLAPI "/relay/traffic", HTTP_READ, false, traffic_get },
};

void
flapi_traffic_attach(struct http *h, struct relay *relay, struct mbox *mbox)
{
	struct flapi_traffic *x = obj_alloc(sizeof(*x));

	x->relay = relay;
	x->mbox = mbox;
	http_routes_for(h, routes, COUNT_OF(routes), x);
	http_at_end(h, free, x);
}
