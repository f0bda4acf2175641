/*
 * /api/fairlead/v1/regions: regions of the DERP map. /verify: asked by stock derper (-verify-client-url)
 * whether a node may use it; {"NodePublic":"nodekey:…","Source":"203.0.113.7"} gets {"Allow":true}
 * (tailcfg.DERPAdmitClientRequest, DERPAdmitClientResponse).
 */
#include "web/flapi_regions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

/* --- what is shown ---------------------------------------------------------------------------- */

static void
put_relays(struct tailnet *t, unsigned id, struct json_writer *w)
{
	const struct tailnet_relay *r;

	json_w_arr_open(w, "relays");
	for (size_t at = 0; (r = map_next(&t->regions->relays, &at)) != NULL;)
		if (r->r.region_id == id)
			json_w_str(w, NULL, r->r.name);
	json_w_arr_close(w);
}

static void
put_region(struct tailnet *t, const struct region *r, const char *name, struct json_writer *w)
{
	json_w_obj_open(w, name);
	flapi_id(w, "id", r->id);
	json_w_str(w, "code", r->code);
	json_w_str(w, "name", r->name);
	json_w_str(w, "source", tailnet_region_is_configured(t, r->id) ? "config" : "api");
	flapi_time(w, "created", r->created_unix_s);
	region_nodes_put(r, "nodes", w);
	put_relays(t, r->id, w);
	json_w_obj_close(w);
}

/* The server's own, which its configuration describes. */
static void
put_own(struct tailnet *t, const char *name, struct json_writer *w)
{
	const struct tailnet_deps *d = &t->deps;
	struct region_node n = {
		.derp_port = d->derp_port, .stun_port = d->stun_port == 0 ? -1 : d->stun_port,
		.can_port80 = d->http_port == 80,
	};

	snprintf(n.name, sizeof(n.name), "%ua", d->cfg->derp.region_id);
	snprintf(n.host, sizeof(n.host), "%s", d->derp_host);
	snprintf(n.ipv4, sizeof(n.ipv4), "%s", d->cfg->derp.ipv4);
	snprintf(n.ipv6, sizeof(n.ipv6), "%s", d->cfg->derp.ipv6);
	snprintf(n.cert_name, sizeof(n.cert_name), "%s", d->derp_pin != NULL ? d->derp_pin : "");
	json_w_obj_open(w, name);
	flapi_id(w, "id", d->cfg->derp.region_id);
	json_w_str(w, "code", d->cfg->derp.region_code);
	json_w_str(w, "name", d->cfg->derp.region_name);
	json_w_str(w, "source", "own");
	json_w_null(w, "created");
	json_w_arr_open(w, "nodes");
	region_node_put(&n, NULL, w);
	json_w_arr_close(w);
	put_relays(t, d->cfg->derp.region_id, w);
	json_w_obj_close(w);
}

/* Decimal text -> id; 0: it is none. */
static unsigned
id_parse(const char *text)
{
	size_t n = strlen(text);

	if (n == 0 || n > 5 || strspn(text, "0123456789") != n)
		return 0;
	return (unsigned)strtoul(text, NULL, 10);
}

void
flapi_put_region(struct tailnet *t, const char *id, const char *name, struct json_writer *w)
{
	const struct region *r = tailnet_region_find(t, id_parse(id));

	if (r != NULL)
		put_region(t, r, name, w);
	else
		json_w_null(w, name);
}

static int
id_order(const void *a, const void *b)
{
	const struct region *x = *(const struct region *const *)a, *y = *(const struct region *const *)b;

	return (x->id > y->id) - (x->id < y->id);
}

static void
regions_list(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	const struct tailnet_regions *s = t->regions;
	const struct region **list = obj_alloc((s->by_id.count + s->n_configured + 1) * sizeof(*list)), *r;
	struct buf b = { .len = 0 };
	struct json_writer w;
	size_t n = 0;

	for (size_t at = 0; (r = map_next(&s->by_id, &at)) != NULL;)
		list[n++] = r;
	for (unsigned i = 0; i < s->n_configured; i++)
		if (tailnet_region_is_configured(t, s->configured[i]->id))
			list[n++] = s->configured[i];
	qsort(list, n, sizeof(*list), id_order);
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_arr_open(&w, "regions");
	if (t->deps.cfg->derp.is_enabled)
		put_own(t, NULL, &w);
	for (size_t i = 0; i < n; i++)
		put_region(t, list[i], NULL, &w);
	json_w_arr_close(&w);
	json_w_obj_close(&w);
	free(list);
	http_reply_json_take(q, 200, &b);
}

static void
reply_region(struct http_req *q, unsigned id)
{
	struct tailnet *t = flapi_tailnet(q);
	const struct region *r = tailnet_region_find(t, id);
	struct buf b = { .len = 0 };
	struct json_writer w;

	json_w_init(&w, &b);
	if (r != NULL)
		put_region(t, r, NULL, &w);
	else if (tailnet_region_is_own(t, id))
		put_own(t, NULL, &w);
	else
		buf_str(&b, "{}");
	http_reply_json_take(q, 200, &b);
}

/* The stored or configured region of the path; NULL: answered. */
static const struct region *
region_of(struct http_req *q)
{
	const struct region *r = tailnet_region_find(flapi_tailnet(q), id_parse(q->params[0]));

	if (r == NULL)
		http_reply_error(q, 404, "there is no region %.60s", q->params[0]);
	return r;
}

static void
regions_get(struct http_req *q)
{
	unsigned id = id_parse(q->params[0]);

	if (tailnet_region_is_own(flapi_tailnet(q), id) || region_of(q) != NULL)
		reply_region(q, id);
}

/* --- changes ---------------------------------------------------------------------------------- */

static bool
text_take(struct http_req *q, const char *member, char *out, size_t n)
{
	const json_t *v = json_object_get(q->json, member);

	if (v == NULL)
		return true;
	if (!json_is_string(v) || json_string_length(v) >= n) {
		http_reply_error(q, 400, "%s must be a string of at most %zu bytes", member, n - 1);
		return false;
	}
	memset(out, 0, n);
	memcpy(out, json_string_value(v), json_string_length(v));
	return true;
}

static bool
id_take(struct http_req *q, struct region *r)
{
	const json_t *v = json_object_get(q->json, "id");

	if (v == NULL)
		return true;
	r->id = json_is_string(v) ? id_parse(json_string_value(v)) :
	    json_integer_value(v) > 0 && json_integer_value(v) <= (json_int_t)REGION_ID_MAX ?
	    (unsigned)json_integer_value(v) : 0;
	if (r->id == 0)
		http_reply_error(q, 400, "id must be a number from 1 to %u", REGION_ID_MAX);
	return r->id != 0;
}

static bool
mesh_key_take(struct http_req *q, struct region *r)
{
	const json_t *v = json_object_get(q->json, "meshKey");

	if (v == NULL)
		return true;
	if (json_is_string(v) && json_string_length(v) == (size_t)2 * KEY_BYTES &&
	    key_hex_parse(json_string_value(v), (size_t)2 * KEY_BYTES, r->mesh_key) == ERR_OK)
		return true;
	http_reply_error(q, 400, "meshKey must be a string of %d hex digits", 2 * KEY_BYTES);
	return false;
}

/* Members of the body over those of r; is_new: id too. false: answered 400. */
static bool
region_take(struct http_req *q, struct region *r, bool is_new)
{
	static const char *const known[] = { "code", "name", "nodes", "meshKey", "id" };
	const json_t *nodes = json_object_get(q->json, "nodes");
	struct err_text why;
	const char *name;
	json_t *v;

	json_object_foreach(q->json, name, v) {
		size_t i = 0, n = COUNT_OF(known) - !is_new;

		while (i < n && strcmp(known[i], name) != 0)
			i++;
		if (i == n) {
			http_reply_error(q, 400, "unknown member \"%.100s\"", name);
			return false;
		}
	}
	if ((is_new && !id_take(q, r)) || !text_take(q, "code", r->code, sizeof(r->code)) ||
	    !text_take(q, "name", r->name, sizeof(r->name)) || !mesh_key_take(q, r))
		return false;
	if (nodes != NULL && region_nodes_parse(nodes, r, &why) != ERR_OK) {
		http_reply_error(q, 400, "nodes: %s", why.s);
		return false;
	}
	return true;
}

static void
on_changed(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		reply_region(q, (unsigned)res->id);
}

static void
regions_create(struct http_req *q)
{
	struct region r = { .id = 0 };

	if (!region_take(q, &r, true))
		return;
	if (r.name[0] == '\0')
		memcpy(r.name, r.code, strlen(r.code));
	tailnet_region_create(flapi_tailnet(q), &q->who.actor, &r, on_changed, q);
	explicit_bzero(r.mesh_key, KEY_BYTES);
}

static void
regions_patch(struct http_req *q)
{
	const struct region *before = tailnet_region_find(flapi_tailnet(q), id_parse(q->params[0]));
	struct region r = { .id = id_parse(q->params[0]) };

	if (before != NULL)
		r = *before;
	if (region_take(q, &r, false))
		tailnet_region_set(flapi_tailnet(q), &q->who.actor, &r, on_changed, q);
	explicit_bzero(r.mesh_key, KEY_BYTES);
}

static void
regions_delete(struct http_req *q)
{
	tailnet_region_remove(flapi_tailnet(q), &q->who.actor, id_parse(q->params[0]), on_changed, q);
}

/* What relays of other makes need to take part in the region's mesh. */
static void
regions_mesh_key(struct http_req *q)
{
	const struct region *r = region_of(q);
	char hex[2 * KEY_BYTES + 1];
	struct buf b = { .len = 0 };

	if (r == NULL)
		return;
	buf_printf(&b, "{\"meshKey\":\"%s\"}", key_hex_put(r->mesh_key, KEY_BYTES, hex));
	explicit_bzero(hex, sizeof(hex));
	http_reply_json_take(q, 200, &b);
}

/* --- relays that verify clients here ---------------------------------------------------------- */

/* The same rule as our own relay has: approved, and its key has not expired. */
static bool
is_admitted(const struct tailnet *t, const char *text)
{
	struct node_key key;
	const struct node *n;

	if (node_key_parse(text, strlen(text), &key) != ERR_OK)
		return false;
	n = map_find(&t->nodes_by_key, &key);
	return n != NULL && n->is_authorized && !node_is_expired(n, clock_wall_s());
}

static void
verify(struct http_req *q)
{
	const char *key = json_get_str(q->json, "NodePublic", NULL);
	struct buf b = { .len = 0 };

	if (key == NULL) {
		http_reply_error(q, 400, "NodePublic is missing");
		return;
	}
	buf_printf(&b, "{\"Allow\":%s}\n", is_admitted(flapi_tailnet(q), key) ? "true" : "false");
	http_reply_json_take(q, 200, &b);
}

#define READ	HTTP_NEED(HTTP_READ, SCOPE_NETWORKING)
#define WRITE	HTTP_NEED(HTTP_WRITE, SCOPE_NETWORKING)

static const struct http_route routes[] = {
	{ "GET", FLAPI "/regions", READ, false, regions_list },
	{ "POST", FLAPI "/regions", WRITE, true, regions_create },
	{ "GET", FLAPI "/regions/{id}", READ, false, regions_get },
	{ "PATCH", FLAPI "/regions/{id}", WRITE, true, regions_patch },
	{ "DELETE", FLAPI "/regions/{id}", WRITE, false, regions_delete },
	{ "GET", FLAPI "/regions/{id}/mesh-key", WRITE, false, regions_mesh_key },
	{ "POST", "/verify", HTTP_PUBLIC, true, verify },
};

void
flapi_regions_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}
