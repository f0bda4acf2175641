/* /api/fairlead/v1/nodes */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "web/creds.h"
#include "web/flapi.h"

#define EXPIRY_MAX_S (INT64_C(3650) * 86400)

static void
key_texts_put(const struct node *n, struct json_writer *w)
{
	char text[KEY_TEXT_MAX];

	json_w_str(w, "machineKey", machine_key_put(&n->machine_key, text));
	json_w_str(w, "nodeKey", node_key_put(&n->node_key, text));
}

static void
times_put(const struct node *n, struct json_writer *w)
{
	int64_t now = clock_wall_s();

	json_w_bool(w, "online", n->is_online);
	flapi_time(w, "lastSeen", n->last_seen_unix_s);
	flapi_time(w, "created", n->created_unix_s);
	flapi_time(w, "keyExpires", n->key_expiry_unix_s);
	json_w_bool(w, "keyExpiryOff", n->is_expiry_off);
	json_w_bool(w, "expired", node_is_expired(n, now));
}

static void
node_put(struct tailnet *t, const struct node *n, const char *name, struct json_writer *w)
{
	char fqdn[320];

	json_w_obj_open(w, name);
	flapi_id(w, "id", n->id);
	json_w_str(w, "name", n->name);
	json_w_str(w, "fqdn", tailnet_node_fqdn(t, n, fqdn));
	json_w_str(w, "hostname", n->host->hostname);
	flapi_put_owner(t, n->user_id, w);
	flapi_put_texts(w, "tags", n->tags, n->n_tags);
	flapi_put_addresses(n, w);
	flapi_put_endpoints(n, w);
	json_w_str(w, "os", n->host->os);
	json_w_str(w, "clientVersion", n->host->client_version);
	json_w_int(w, "capabilityVersion", n->cap_version);
	json_w_int(w, "homeDerp", n->home_derp);
	times_put(n, w);
	json_w_bool(w, "ephemeral", n->is_ephemeral);
	json_w_bool(w, "authorized", n->is_authorized);
	json_w_str(w, "keyId", n->authkey_id);
	key_texts_put(n, w);
	flapi_put_routes(t, n, w);
	json_w_obj_close(w);
}

void
flapi_put_node(struct tailnet *t, int64_t id, const char *name, struct json_writer *w)
{
	const struct node *n = map_find(&t->nodes, &id);

	if (n != NULL)
		node_put(t, n, name, w);
	else
		json_w_null(w, name);
}

static void
put_by_id(struct tailnet *t, int64_t id, struct json_writer *w)
{
	const struct node *n = map_find(&t->nodes, &id);

	if (n != NULL)
		node_put(t, n, NULL, w);
}

static void
nodes_list(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	int64_t *ids = obj_alloc((t->nodes.count + 1) * sizeof(*ids));
	const struct node *n;
	size_t at = 0, count = 0;

	while ((n = map_next(&t->nodes, &at)) != NULL)
		ids[count++] = n->id;
	flapi_reply_ids_take(q, "nodes", ids, count, put_by_id);
}

static void
reply_node(struct http_req *q, int64_t id)
{
	struct tailnet *t = flapi_tailnet(q);
	const struct node *n = map_find(&t->nodes, &id);
	struct buf b = { .len = 0 };
	struct json_writer w;

	if (n == NULL) {
		flapi_reply_empty(q);		/* removed, now or by somebody else meanwhile */
		return;
	}
	json_w_init(&w, &b);
	node_put(t, n, NULL, &w);
	http_reply_json_take(q, 200, &b);
}

const struct node *
flapi_node_of(struct http_req *q)
{
	const struct node *n = tailnet_node_find(flapi_tailnet(q), q->params[0]);

	if (n == NULL)
		http_reply_error(q, 404, "there is no node \"%.130s\"", q->params[0]);
	return n;
}

static void
nodes_get(struct http_req *q)
{
	const struct node *n = flapi_node_of(q);

	if (n != NULL)
		reply_node(q, n->id);
}

void
flapi_on_node(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		reply_node(q, res->id);
}

static void
on_tagged_after_rename(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	struct err_text why;

	if (res->rc == ERR_OK) {
		reply_node(q, res->id);
		return;
	}
	err_say(&why, res->rc, "the name is changed, but not the tags: %.250s", res->why.s);
	http_reply_err(q, res->rc, &why);
}

/* Name and tags are two changes: the tags follow when the name is durable. */
static void
on_renamed(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	struct flapi_texts tags;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else if (flapi_texts(q, "tags", &tags))
		tailnet_node_tag(flapi_tailnet(q), &q->who.actor, res->id, tags.v, tags.n,
		    on_tagged_after_rename, q);
}

static void
nodes_patch(struct http_req *q)
{
	static const struct flapi_member members[] = { { "name", FLAPI_TEXT }, { "tags", FLAPI_TEXTS } };
	struct tailnet *t = flapi_tailnet(q);
	struct flapi_texts tags;
	const struct node *n;

	if (!flapi_body_is(q, members, COUNT_OF(members)) || !flapi_texts(q, "tags", &tags) ||
	    (n = flapi_node_of(q)) == NULL)
		return;
	const char *name = json_get_str(q->json, "name", NULL);
	bool has_tags = json_object_get(q->json, "tags") != NULL;
	if (has_tags && !creds_tags_are_ok(q, &tags))
		return;
	if (name != NULL)
		tailnet_node_rename(t, &q->who.actor, n->id, name, has_tags ? on_renamed : flapi_on_node, q);
	else if (has_tags)
		tailnet_node_tag(t, &q->who.actor, n->id, tags.v, tags.n, flapi_on_node, q);
	else
		reply_node(q, n->id);
}

static void
nodes_expire(struct http_req *q)
{
	const struct node *n = flapi_node_of(q);

	if (n != NULL)
		tailnet_node_expire(flapi_tailnet(q), &q->who.actor, n->id, flapi_on_node, q);
}

/* {"approved": false} takes it back. */
static void
nodes_approve(struct http_req *q)
{
	static const struct flapi_member members[] = { { "approved", FLAPI_BOOL } };
	const struct node *n;

	if (flapi_body_is(q, members, COUNT_OF(members)) && (n = flapi_node_of(q)) != NULL)
		tailnet_node_set_authorized(flapi_tailnet(q), &q->who.actor, n->id,
		    json_get_bool(q->json, "approved", true), flapi_on_node, q);
}

/* {"seconds": n} from now, {"never": true}, or {} for the default. */
static void
nodes_expiry(struct http_req *q)
{
	static const struct flapi_member members[] = { { "seconds", FLAPI_INT }, { "never", FLAPI_BOOL } };
	struct tailnet *t = flapi_tailnet(q);
	const struct node *n;

	if (!flapi_body_is(q, members, COUNT_OF(members)) || (n = flapi_node_of(q)) == NULL)
		return;
	int64_t seconds = json_get_int(q->json, "seconds", 0);
	if (json_object_get(q->json, "seconds") == NULL)
		tailnet_node_set_no_expiry(t, &q->who.actor, n->id, json_get_bool(q->json, "never", false),
		    flapi_on_node, q);
	else if (seconds <= 0 || seconds > EXPIRY_MAX_S || json_get_bool(q->json, "never", false))
		http_reply_error(q, 400, "seconds is 1 to %" PRId64 ", without never", EXPIRY_MAX_S);
	else
		tailnet_node_set_expiry(t, &q->who.actor, n->id, clock_wall_s() + seconds, flapi_on_node, q);
}

static void
nodes_ip(struct http_req *q)
{
	static const struct flapi_member members[] = { { "ip4", FLAPI_TEXT }, { "ip6", FLAPI_TEXT } };
	const struct node *n;
	struct net_ip ip4, ip6;

	if (flapi_body_is(q, members, COUNT_OF(members)) && flapi_ip(q, "ip4", &ip4) &&
	    flapi_ip(q, "ip6", &ip6) && (n = flapi_node_of(q)) != NULL)
		tailnet_node_set_ips(flapi_tailnet(q), &q->who.actor, n->id, &ip4, &ip6, flapi_on_node, q);
}

static void
nodes_delete(struct http_req *q)
{
	const struct node *n = flapi_node_of(q);

	if (n != NULL)
		tailnet_node_remove(flapi_tailnet(q), &q->who.actor, n->id, flapi_on_node, q);
}

const struct http_route flapi_nodes_routes[] = {
	{ "GET", FLAPI "/nodes", HTTP_NEED(HTTP_READ, SCOPE_DEVICES), false, nodes_list },
	{ "GET", FLAPI "/nodes/{id}", HTTP_NEED(HTTP_READ, SCOPE_DEVICES), false, nodes_get },
	{ "PATCH", FLAPI "/nodes/{id}", HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES), true, nodes_patch },
	{ "POST", FLAPI "/nodes/{id}/expire", HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES), false, nodes_expire },
	{ "POST", FLAPI "/nodes/{id}/approve", HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES), true, nodes_approve },
	{ "POST", FLAPI "/nodes/{id}/expiry", HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES), true, nodes_expiry },
	{ "POST", FLAPI "/nodes/{id}/ip", HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES), true, nodes_ip },
	{ "DELETE", FLAPI "/nodes/{id}", HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES), false, nodes_delete },
};
const size_t flapi_nodes_routes_count = COUNT_OF(flapi_nodes_routes);
