/*
 * /api/fairlead/v1/relays: relays on other machines, for administrators; and /api/fairlead/v1/relay,
 * where such a relay itself comes with its key as Authorization: Bearer, says what it is
 * (coord/relay_hello.h), and is told who may use it on an answer without end (base/admit.h).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/flapi_regions.h"
#include "web/http_stream.h"

/* --- what is shown ---------------------------------------------------------------------------- */

static void
put_relay(const struct tailnet_relay *r, const char *name, struct json_writer *w)
{
	const struct region_node *n = r->feed != NULL ? &r->reported : &r->r.node;
	char ip[NET_TEXT_MAX];

	json_w_obj_open(w, name);
	json_w_str(w, "name", r->r.name);
	flapi_id(w, "region", r->r.region_id);
	json_w_str(w, "keyId", r->r.id);
	json_w_bool(w, "connected", r->feed != NULL);
	json_w_bool(w, "reachable", r->is_reachable);
	json_w_str(w, "trouble", r->feed != NULL ? r->trouble.s : "");
	json_w_bool(w, "announced", r->r.is_announced);
	json_w_str(w, "address", r->feed != NULL ? net_ip_put(&r->from, ip) : "");
	if (n->host[0] != '\0')
		region_node_put(n, "node", w);
	else
		json_w_null(w, "node");
	json_w_str(w, "version", r->feed != NULL ? r->version : r->r.version);
	flapi_time(w, "created", r->r.created_unix_s);
	flapi_time(w, "lastSeen", r->feed != NULL ? clock_wall_s() : r->r.last_seen_unix_s);
	json_w_obj_close(w);
}

void
flapi_put_relay(struct tailnet *t, const char *id, const char *name, struct json_writer *w)
{
	const struct tailnet_relay *r = tailnet_region_relay(t, id);

	if (r != NULL)
		put_relay(r, name, w);
	else
		json_w_null(w, name);
}

static int
name_order(const void *a, const void *b)
{
	return strcmp((*(const struct tailnet_relay *const *)a)->r.name,
	    (*(const struct tailnet_relay *const *)b)->r.name);
}

static void
relays_list(struct http_req *q)
{
	struct map *all = &flapi_tailnet(q)->regions->relays;
	const struct tailnet_relay **list = obj_alloc((all->count + 1) * sizeof(*list)), *r;
	struct buf b = { .len = 0 };
	struct json_writer w;
	size_t n = 0;

	for (size_t at = 0; (r = map_next(all, &at)) != NULL;)
		list[n++] = r;
	qsort(list, n, sizeof(*list), name_order);
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_arr_open(&w, "relays");
	for (size_t i = 0; i < n; i++)
		put_relay(list[i], NULL, &w);
	json_w_arr_close(&w);
	json_w_obj_close(&w);
	free(list);
	http_reply_json_take(q, 200, &b);
}

/* Where relays reach this server, and the pin that its certificate then needs ("": none). */
static void
coordinator_of(const struct tailnet *t, char *url, size_t n, const char **pin)
{
	const struct tailnet_deps *d = &t->deps;
	char literal[NET_TEXT_MAX];
	bool is_ip6 = region_host_family(d->derp_host, literal) == 6;

	*pin = d->derp_pin != NULL && d->derp_port != 0 ? d->derp_pin : "";
	/* Only https carries the relay's key over the internet: without a certificate that clients trust, by
	 * the pin of our own. */
	if (strncmp(d->server_url, "https://", 8) == 0 || d->derp_port == 0)
		snprintf(url, n, "%s", d->server_url);
	else if (d->derp_port == 443)
		snprintf(url, n, "https://%s%s%s", is_ip6 ? "[" : "", is_ip6 ? literal : d->derp_host,
		    is_ip6 ? "]" : "");
	else
		snprintf(url, n, "https://%s%s%s:%u", is_ip6 ? "[" : "", is_ip6 ? literal : d->derp_host,
		    is_ip6 ? "]" : "", (unsigned)d->derp_port);
}

/* {} when it has gone meanwhile. secret: NULL except right after it was made. */
static void
reply_relay(struct http_req *q, const char *name, const char *secret)
{
	struct tailnet *t = flapi_tailnet(q);
	const struct tailnet_relay *r = tailnet_region_relay(t, name);
	struct buf b = { .len = 0 }, line = { .len = 0 };
	struct json_writer w;
	char url[400];
	const char *pin;

	if (r == NULL) {
		flapi_reply_empty(q);
		return;
	}
	json_w_init(&w, &b);
	put_relay(r, NULL, &w);
	if (secret != NULL) {
		b.len--;		/* its brace */
		coordinator_of(t, url, sizeof(url), &pin);
		buf_printf(&line, "fairlead relay --coordinator %s%s%s --key %s", url,
		    pin[0] != '\0' ? " --coordinator-pin " : "", pin, secret);
		json_w_str(&w, "key", secret);
		json_w_str(&w, "coordinator", url);
		json_w_str(&w, "coordinatorPin", pin);
		json_w_str(&w, "line", buf_cstr(&line));
		buf_byte(&b, '}');
		explicit_bzero(line.p, line.len);
		buf_fini(&line);
	}
	http_reply_json_take(q, 200, &b);
}

static void
relays_get(struct http_req *q)
{
	if (tailnet_region_relay(flapi_tailnet(q), q->params[0]) == NULL)
		http_reply_error(q, 404, "there is no relay \"%.60s\"", q->params[0]);
	else
		reply_relay(q, q->params[0], NULL);
}

/* --- changes ---------------------------------------------------------------------------------- */

/* By id, or by code; 0: answered 400. */
static unsigned
region_of(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	const char *text = json_get_str(q->json, "region", "");
	size_t n = strlen(text);
	const struct region *r;

	if (n > 0 && n <= 5 && strspn(text, "0123456789") == n)
		return (unsigned)strtoul(text, NULL, 10);
	for (size_t at = 0; (r = map_next(&t->regions->by_id, &at)) != NULL;)
		if (strcmp(r->code, text) == 0)
			return r->id;
	http_reply_error(q, 400, "region: there is none with the id or code \"%.60s\"", text);
	return 0;
}

static void
on_created(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		reply_relay(q, json_get_str(q->json, "name", ""), res->secret);
}

static void
relays_create(struct http_req *q)
{
	static const struct flapi_member members[] = { { "name", FLAPI_TEXT }, { "region", FLAPI_TEXT } };
	unsigned region;

	if (flapi_body_is(q, members, COUNT_OF(members)) && (region = region_of(q)) != 0)
		tailnet_relay_create(flapi_tailnet(q), &q->who.actor, json_get_str(q->json, "name", ""), region,
		    on_created, q);
}

static void
relays_delete(struct http_req *q)
{
	tailnet_relay_remove(flapi_tailnet(q), &q->who.actor, q->params[0], flapi_on_empty, q);
}

/* --- a relay comes ---------------------------------------------------------------------------- */

static ssize_t
stream_read(void *arg, char *to, size_t max)
{
	return relay_feed_read(arg, to, max);
}

static void
stream_gone(void *arg)
{
	relay_feed_gone(arg);
}

static void
stream_wake(void *arg)
{
	http_stream_wake(arg);
}

static const struct http_stream_ops stream_ops = {
	.type = "application/octet-stream", .read = stream_read, .gone = stream_gone,
};

/* NULL: answered 401 (or 429). */
static struct tailnet_relay *
relay_of(struct http_req *q)
{
	static const char bearer[] = "Bearer ";
	const char *field = http_field(q, "Authorization");
	struct err_text why = { "a relay comes with its key: fairlead relays add makes one" };
	struct tailnet_relay *r = NULL;

	if (field != NULL && strncasecmp(field, bearer, sizeof(bearer) - 1) == 0) {
		field += sizeof(bearer) - 1;
		r = tailnet_relay_check(flapi_tailnet(q), field, strlen(field), &why);
	}
	if (r == NULL)
		http_who_wrong(q, why.s);
	return r;
}

static void
relay_comes(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	struct tailnet_relay *r = relay_of(q);
	char hex[2 * ADMIT_PUBLIC_BYTES + 1];
	struct relay_feed *feed;
	struct relay_hello h;
	struct err_text why;
	enum err rc;

	if (r == NULL)
		return;
	if ((rc = relay_hello_parse(q->json, r->r.name, &q->peer->addr.ip, &h, &why)) != ERR_OK ||
	    (rc = tailnet_relay_attach(t, r, &h, &q->peer->addr.ip, &feed, &why)) != ERR_OK) {
		http_reply_err(q, rc, &why);
		return;
	}
	http_add_field(q, ADMIT_PUBLIC_FIELD, key_hex_put(tailnet_relay_public(t), ADMIT_PUBLIC_BYTES, hex));
	http_add_field(q, "X-Accel-Buffering", "no");	/* nginx would hold it back */
	relay_feed_on_wake(feed, stream_wake, http_stream_start(q, &stream_ops, feed));
}

#define READ	HTTP_NEED(HTTP_READ, SCOPE_NETWORKING)
#define WRITE	HTTP_NEED(HTTP_WRITE, SCOPE_NETWORKING)

static const struct http_route routes[] = {
	{ "GET", FLAPI "/relays", READ, false, relays_list },
	{ "POST", FLAPI "/relays", WRITE, true, relays_create },
	{ "GET", FLAPI "/relays/{name}", READ, false, relays_get },
	{ "DELETE", FLAPI "/relays/{name}", WRITE, false, relays_delete },
	{ "POST", FLAPI "/relay", HTTP_SECRET, true, relay_comes },
};

void
flapi_relays_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}
