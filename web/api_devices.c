/* /api/v2 devices: read, filtered, changed. Both ids of a device are its decimal number,
    the nodes' stable id. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "web/api.h"
#include "web/api_device.h"
#include "web/creds.h"

struct device_list {
	struct tailnet *t;
	bool is_all;
	int64_t ids[];
};

static void
list_put(void *arg, size_t i, struct json_writer *w)
{
	struct device_list *l = arg;
	const struct node *n = map_find(&l->t->nodes, &l->ids[i]);

	if (n != NULL)
		api_device_put(l->t, n, l->is_all, w);
}

static int
id_order(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

/* ?fields=; false: answered 400. */
static bool
fields_take(struct http_req *q, const struct form *f, bool *is_all)
{
	const char *fields = form_get(f, "fields");

	*is_all = fields != NULL && strcmp(fields, "all") == 0;
	if (fields == NULL || *is_all || *fields == 0 || strcmp(fields, "default") == 0)
		return true;
	http_reply_error(q, 400, "fields is \"all\" or \"default\"");
	return false;
}

static void
devices_list(struct http_req *q)
{
	struct tailnet *t = api_tailnet(q);
	struct device_list *l;
	const struct node *n;
	struct form f;
	bool is_all;
	size_t count = 0;

	if (t == NULL || !http_query(q, &f))
		return;
	const char *unknown = api_device_filter_check(&f);
	if (unknown != NULL)
		http_reply_error(q, 400, "devices have no \"%.60s\" to filter by", unknown);
	if (unknown == NULL && fields_take(q, &f, &is_all)) {
		l = obj_alloc(sizeof(*l) + (t->nodes.count + 1) * sizeof(l->ids[0]));
		l->t = t;
		l->is_all = is_all;
		for (size_t at = 0; (n = map_next(&t->nodes, &at)) != NULL;)
			if (api_device_matches(t, n, &f))
				l->ids[count++] = n->id;
		qsort(l->ids, count, sizeof(l->ids[0]), id_order);
		http_reply_list(q, &(struct http_list){
			.name = "devices", .n = count, .arg = l, .put = list_put, .free_fn = free,
		});
	}
	form_fini(&f);
}

/* The device of the path; NULL: answered 404. */
static const struct node *
device_of(struct http_req *q)
{
	const char *text = q->params[0];
	int64_t id = decimal_parse(text);
	const struct node *node = map_find(&flapi_tailnet(q)->nodes, &id);

	if (node == NULL)
		http_reply_error(q, 404, "there is no device \"%.60s\"", text);
	return node;
}

static void
device_get(struct http_req *q)
{
	const struct node *n = device_of(q);
	struct buf b = { .len = 0 };
	struct json_writer w;
	struct form f;
	bool is_all;

	if (n == NULL || !http_query(q, &f))
		return;
	if (fields_take(q, &f, &is_all)) {
		json_w_init(&w, &b);
		api_device_put(flapi_tailnet(q), n, is_all, &w);
		http_reply_json_take(q, 200, &b);
	}
	form_fini(&f);
}

static void
device_delete(struct http_req *q)
{
	const struct node *n = device_of(q);

	if (n != NULL)
		tailnet_node_remove(flapi_tailnet(q), &q->who.actor, n->id, flapi_on_empty, q);
}

/* A boolean that must be there. false: answered. */
static bool
bool_take(struct http_req *q, const char *name, bool *out)
{
	const json_t *v = json_object_get(q->json, name);

	if (!json_is_boolean(v)) {
		http_reply_error(q, 400, "%s must be true or false", name);
		return false;
	}
	*out = json_is_true(v);
	return true;
}

static void
device_authorized(struct http_req *q)
{
	const struct node *n = device_of(q);
	bool on;

	if (n != NULL && bool_take(q, "authorized", &on))
		tailnet_node_set_authorized(flapi_tailnet(q), &q->who.actor, n->id, on, flapi_on_empty, q);
}

static void
device_key(struct http_req *q)
{
	const struct node *n = device_of(q);
	bool on;

	if (n != NULL && bool_take(q, "keyExpiryDisabled", &on))
		tailnet_node_set_no_expiry(flapi_tailnet(q), &q->who.actor, n->id, on, flapi_on_empty, q);
}

static void
device_expire(struct http_req *q)
{
	const struct node *n = device_of(q);

	if (n != NULL)
		tailnet_node_expire(flapi_tailnet(q), &q->who.actor, n->id, flapi_on_empty, q);
}

/* "host", or "host.base.domain" with or without a dot at the end. */
static void
device_name(struct http_req *q)
{
	const struct node *n = device_of(q);
	const char *domain = coord_config(q->coord)->dns.base_domain;
	char name[320];

	if (n == NULL || !api_member_is(q, q->json, "name", FLAPI_TEXT))
		return;
	snprintf(name, sizeof(name), "%s", json_get_str(q->json, "name", ""));
	size_t len = strlen(name), nd = strlen(domain);
	if (len > 0 && name[len - 1] == '.')
		name[--len] = 0;
	if (len > nd + 1 && strcasecmp(name + len - nd, domain) == 0 && name[len - nd - 1] == '.')
		name[len - nd - 1] = 0;
	tailnet_node_rename(flapi_tailnet(q), &q->who.actor, n->id, name, flapi_on_empty, q);
}

/* No tags for a tagged device changes nothing: its owner would have to log in again. */
static void
device_tags(struct http_req *q)
{
	const struct node *n = device_of(q);
	struct flapi_texts tags;

	if (n == NULL || !api_texts(q, q->json, "tags", &tags))
		return;
	if (tags.n == 0)
		flapi_reply_empty(q);
	else if (creds_tags_are_ok(q, &tags))
		tailnet_node_tag(flapi_tailnet(q), &q->who.actor, n->id, tags.v, tags.n, flapi_on_empty, q);
}

static void
device_ip(struct http_req *q)
{
	const struct node *n = device_of(q);
	struct net_ip ip;

	if (n == NULL || !api_member_is(q, q->json, "ipv4", FLAPI_TEXT) || !flapi_ip(q, "ipv4", &ip))
		return;
	if (ip.family != 4)
		http_reply_error(q, 400, "ipv4 must be an IPv4 address");
	else
		tailnet_node_set_ips(flapi_tailnet(q), &q->who.actor, n->id, &ip, NULL, flapi_on_empty, q);
}

static void
reply_routes(struct http_req *q, const struct node *n)
{
	struct buf b = { .len = 0 };
	struct json_writer w;

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	api_device_put_routes(n, &w);
	json_w_obj_close(&w);
	http_reply_json_take(q, 200, &b);
}

static void
device_routes(struct http_req *q)
{
	const struct node *n = device_of(q);

	if (n != NULL)
		reply_routes(q, n);
}

static void
on_routes(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	const struct node *n = map_find(&flapi_tailnet(q)->nodes, &res->id);

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else if (n == NULL)
		flapi_reply_empty(q);		/* removed by somebody else meanwhile */
	else
		reply_routes(q, n);
}

/* What is approved, whether it is advertised or not, is replaced. */
static void
device_set_routes(struct http_req *q)
{
	const struct node *n = device_of(q);
	struct route_list l = { .n = 0 };

	if (n != NULL && api_member_is(q, q->json, "routes", FLAPI_TEXTS) && flapi_routes_take(q, "routes", &l))
		tailnet_node_set_routes(flapi_tailnet(q), &q->who.actor, n->id,
		    &(struct tailnet_route_change){ .is_whole = true, .add = l.v, .n_add = l.n }, on_routes, q);
	route_list_fini(&l);
}

#define DEVICE	API2 "/device/{id}"
#define READ	HTTP_NEED(HTTP_READ, SCOPE_DEVICES)
#define WRITE	HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES)

const struct http_route api_devices_routes[] = {
	{ "GET", API2 "/tailnet/{t}/devices", READ, false, devices_list },
	{ "GET", DEVICE, READ, false, device_get },
	{ "DELETE", DEVICE, WRITE, false, device_delete },
	{ "POST", DEVICE "/authorized", WRITE, true, device_authorized },
	{ "POST", DEVICE "/key", WRITE, true, device_key },
	{ "POST", DEVICE "/expire", WRITE, false, device_expire },
	{ "POST", DEVICE "/name", WRITE, true, device_name },
	{ "POST", DEVICE "/tags", WRITE, true, device_tags },
	{ "POST", DEVICE "/ip", WRITE, true, device_ip },
	{ "GET", DEVICE "/routes", HTTP_NEED(HTTP_READ, SCOPE_ROUTES), false, device_routes },
	{ "POST", DEVICE "/routes", HTTP_NEED(HTTP_WRITE, SCOPE_ROUTES), true, device_set_routes },
};
const size_t api_devices_routes_count = COUNT_OF(api_devices_routes);
