/*
 * /api/fairlead/v1/clusters: K3s clusters, recorded or known by the tag of their nodes, and
 * their conflicts. What makes a cluster or one more auth key for it is answered with the lines
 * that start K3s on its machines.
 */
#include "web/flapi_clusters.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/flapi.h"

#define EXPIRY_DFLT_S	(90 * 86400)		/* as other auth keys have it */
#define EXPIRY_MAX_S	(INT64_C(3650) * 86400)

/* --- what is shown ---------------------------------------------------------------------------- */

/* Members of a record. */
static void
put_record(const struct cluster *c, struct json_writer *w)
{
	json_w_str(w, "name", c->name);
	json_w_str(w, "tag", c->tag);
	json_w_bool(w, "recorded", true);
	json_w_prefixes(w, "podCIDRs", &c->range[CLUSTER_POD4], 2);
	json_w_prefixes(w, "serviceCIDRs", &c->range[CLUSTER_SERVICE4], 2);
	json_w_prefixes(w, "lanPrefixes", c->lan, c->n_lan);
	json_w_str(w, "keyId", c->key_id);
	flapi_time(w, "created", c->created_unix_s);
}

static void
put_view(const struct cluster_view *v, struct json_writer *w)
{
	static const struct cluster none = { .n_lan = 0 };

	json_w_obj_open(w, NULL);
	if (v->record != NULL) {
		put_record(v->record, w);
	} else {
		json_w_str(w, "name", v->name);
		json_w_str(w, "tag", v->tag);
		json_w_bool(w, "recorded", false);
		json_w_prefixes(w, "podCIDRs", none.range, CLUSTER_RANGES);
		json_w_prefixes(w, "serviceCIDRs", none.range, CLUSTER_RANGES);
		json_w_prefixes(w, "lanPrefixes", none.lan, 0);
		json_w_null(w, "created");
	}
	json_w_prefixes(w, "routes", v->routes, v->n_routes);
	json_w_int(w, "routesLeftOff", v->n_routes_left_off);
	json_w_int(w, "nodes", v->n_nodes);
	json_w_int(w, "nodesOnline", v->n_online);
	json_w_obj_close(w);
}

static void
put_conflict(struct tailnet *t, const struct cluster_conflict *c, struct json_writer *w)
{
	struct buf text = { .len = 0 };
	const struct node *n;

	tailnet_cluster_say(c, &text);
	json_w_obj_open(w, NULL);
	json_w_str(w, "text", buf_cstr(&text));
	json_w_arr_open(w, "clusters");
	json_w_str(w, NULL, c->a);
	json_w_str(w, NULL, c->b);
	json_w_arr_close(w);
	json_w_prefixes(w, "prefixes", c->prefixes, c->n_prefixes);
	json_w_int(w, "prefixesLeftOff", c->n_prefixes_left_off);
	json_w_arr_open(w, "nodes");
	for (unsigned i = 0; i < c->n_nodes; i++) {
		if ((n = map_find(&t->nodes, &c->nodes[i])) == NULL)
			continue;
		json_w_obj_open(w, NULL);
		flapi_id(w, "id", n->id);
		json_w_str(w, "name", n->name);
		json_w_obj_close(w);
	}
	json_w_arr_close(w);
	json_w_obj_close(w);
	buf_fini(&text);
}

void
flapi_put_conflicts(struct tailnet *t, const char *name, struct json_writer *w)
{
	json_w_arr_open(w, name);
	for (unsigned i = 0; i < t->clusters->conflicts.n; i++)
		put_conflict(t, &t->clusters->conflicts.v[i], w);
	json_w_arr_close(w);
}

void
flapi_put_cluster(struct tailnet *t, const char *id, const char *name, struct json_writer *w)
{
	const struct cluster *c = tailnet_cluster_find(t, id);

	if (c == NULL) {
		json_w_null(w, name);
		return;
	}
	json_w_obj_open(w, name);
	put_record(c, w);
	json_w_obj_close(w);
}

static void
clusters_list(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	struct buf b = { .len = 0 };
	struct json_writer w;
	size_t n;
	struct cluster_view *v = tailnet_cluster_views(t, &n);

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_w_arr_open(&w, "clusters");
	for (size_t i = 0; i < n; i++)
		put_view(&v[i], &w);
	json_w_arr_close(&w);
	flapi_put_conflicts(t, "conflicts", &w);
	json_w_bool(&w, "refusesOverlap", t->settings.refuse_cluster_overlap != 0);
	json_w_obj_close(&w);
	cluster_views_free(v, n);
	http_reply_json_take(q, 200, &b);
}

/* The record of the path; NULL: answered 404. */
static const struct cluster *
cluster_of(struct http_req *q)
{
	const struct cluster *c = tailnet_cluster_find(flapi_tailnet(q), q->params[0]);

	if (c == NULL)
		http_reply_error(q, 404, "there is no cluster \"%.60s\"", q->params[0]);
	return c;
}

/* --- the lines -------------------------------------------------------------------------------- */

#define INSTALL	"curl -sfL https://get.k3s.io | sh -s - "
#define NEXT	" \\\n  "

struct lines {
	const char *url;		/* of this server */
	const char *key;
	const char *k3s;		/* of the cluster's first server; of the agents' line */
	const struct cluster *c;
};

static void
put_cidrs(struct buf *b, const char *flag, const struct net_prefix *v)
{
	const struct net_prefix *both[] = { &v[0], &v[1] };

	buf_printf(b, "%s=", flag);
	cluster_prefixes_put(b, both, 2);
}

/* What K3s is to be: server with its ranges, or agent of that server. */
static void
put_role(struct buf *b, const struct lines *l, bool is_server)
{
	buf_str(b, INSTALL);
	if (is_server) {
		buf_str(b, "server" NEXT);
		put_cidrs(b, "--cluster-cidr", &l->c->range[CLUSTER_POD4]);
		buf_byte(b, ' ');
		put_cidrs(b, "--service-cidr", &l->c->range[CLUSTER_SERVICE4]);
	} else {
		buf_printf(b, "agent --server=%s --token=TOKEN", l->k3s);
	}
	buf_str(b, NEXT);
}

static void
put_vpn_auth(struct buf *b, const struct lines *l, bool is_server)
{
	put_role(b, l, is_server);
	buf_printf(b, "--vpn-auth=\"name=tailscale,joinKey=%s,controlServerURL=%s,"
	    "extraArgs=--accept-dns=false\"", l->key, l->url);
}

static void
put_flannel(struct buf *b, const struct lines *l, bool is_server)
{
	bool has_6 = l->c->range[CLUSTER_POD6].ip.family != 0;

	buf_printf(b, "tailscale up --login-server=%s --authkey=%s --accept-dns=false &&" NEXT, l->url, l->key);
	put_role(b, l, is_server);
	buf_printf(b, "--node-ip=\"$(tailscale ip -4)%s\" --flannel-iface=tailscale0",
	    has_6 ? ",$(tailscale ip -6)" : "");
}

static void
put_lines(struct json_writer *w, const struct lines *l)
{
	static const struct {
		const char *name;
		void (*put)(struct buf *b, const struct lines *l, bool is_server);
		bool is_server;
	} all[] = {
		{ "vpnAuthServer", put_vpn_auth, true }, { "vpnAuthAgent", put_vpn_auth, false },
		{ "flannelServer", put_flannel, true }, { "flannelAgent", put_flannel, false },
	};

	json_w_obj_open(w, "lines");
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		struct buf b = { .len = 0 };

		all[i].put(&b, l, all[i].is_server);
		json_w_str(w, all[i].name, buf_cstr(&b));
		explicit_bzero(b.p, b.len);
		buf_fini(&b);
	}
	json_w_obj_close(w);
	if (strpbrk(l->url, ",=") != NULL)
		json_w_str(w, "warning", "K3s cuts --vpn-auth at ',' and '=': this server's URL cannot "
		    "be given to it so");
}

static void
reply_cluster(struct http_req *q, const struct cluster *c, const char *key)
{
	struct tailnet *t = flapi_tailnet(q);
	struct buf b = { .len = 0 };
	struct json_writer w;
	struct lines l = { .url = t->deps.server_url, .key = key != NULL ? key : "KEY", .c = c,
		.k3s = json_get_str(q->json, "server", "https://SERVER-IP:6443") };

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	put_record(c, &w);
	if (key != NULL)
		json_w_str(&w, "key", key);
	put_lines(&w, &l);
	json_w_bool(&w, "policyHasRules", t->policy != NULL && t->policy->has_rules);
	json_w_obj_close(&w);
	http_reply_json_take(q, 200, &b);
}

static void
clusters_get(struct http_req *q)
{
	const struct cluster *c = cluster_of(q);

	if (c != NULL)
		reply_cluster(q, c, NULL);
}

/* --- what is asked for ------------------------------------------------------------------------ */

/* The prefixes of a member into the two ranges from first on, IPv4 and IPv6. false: answered
 * 400. */
static bool
read_ranges(struct http_req *q, const char *member, struct net_prefix *first)
{
	struct flapi_texts texts;

	if (!flapi_texts(q, member, &texts))
		return false;
	for (unsigned i = 0; i < texts.n; i++) {
		struct net_prefix p;

		if (net_prefix_parse(texts.v[i], strlen(texts.v[i]), &p) != ERR_OK) {
			http_reply_error(q, 400, "%s: \"%.60s\" is no network prefix", member, texts.v[i]);
			return false;
		}
		if (first[p.ip.family == 6].ip.family != 0) {
			http_reply_error(q, 400, "%s: one prefix of IPv4, and one of IPv6 at most", member);
			return false;
		}
		first[p.ip.family == 6] = p;
	}
	return true;
}

/* false: answered 400. spec->lan points to lan, or is NULL without the member. */
static bool
read_lan(struct http_req *q, struct net_prefix lan[CLUSTER_LAN_MAX], struct tailnet_cluster_spec *spec)
{
	struct flapi_texts texts;

	if (!json_is_array(json_object_get(q->json, "lanPrefixes")))
		return true;
	if (!flapi_texts(q, "lanPrefixes", &texts))
		return false;
	if (texts.n > CLUSTER_LAN_MAX) {
		http_reply_error(q, 400, "lanPrefixes has more than %d entries", CLUSTER_LAN_MAX);
		return false;
	}
	for (unsigned i = 0; i < texts.n; i++)
		if (net_prefix_parse(texts.v[i], strlen(texts.v[i]), &lan[i]) != ERR_OK) {
			http_reply_error(q, 400, "lanPrefixes: \"%.60s\" is no network prefix", texts.v[i]);
			return false;
		}
	spec->lan = lan;
	spec->n_lan = texts.n;
	return true;
}

/* Owner and life of the key, and that K3s's URL goes into a shell's line. false: answered 400. */
static bool
read_key(struct http_req *q, struct tailnet_cluster_spec *spec)
{
	int64_t expiry_s = json_get_int(q->json, "expirySeconds", EXPIRY_DFLT_S);
	const char *server = json_get_str(q->json, "server", "");
	const struct user *u;

	if (expiry_s < 0 || expiry_s > EXPIRY_MAX_S) {
		http_reply_error(q, 400, "expirySeconds must be 0 (never) to %" PRId64, EXPIRY_MAX_S);
		return false;
	}
	if (strlen(server) > 256 || (*server != '\0' && strncmp(server, "https://", 8) != 0) ||
	    server[strspn(server,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:/.-_[]")] != '\0') {
		http_reply_error(q, 400, "server: \"%.60s\" is no URL of a K3s server: "
		    "https://100.64.0.1:6443", server);
		return false;
	}
	if ((u = flapi_user(q, json_get_str(q->json, "user", NULL))) == NULL)
		return false;
	spec->user_id = u->id;
	spec->key_expires_unix_s = expiry_s == 0 ? 0 : clock_wall_s() + expiry_s;
	return true;
}

/* --- changes ---------------------------------------------------------------------------------- */

static void
on_changed(struct http_req *q, const char *name, const struct tailnet_result *res)
{
	const struct cluster *c = tailnet_cluster_find(flapi_tailnet(q), name);

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else if (c == NULL)
		flapi_reply_empty(q);
	else
		reply_cluster(q, c, res->secret);
}

static void
on_created(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	on_changed(q, json_get_str(q->json, "name", ""), res);
}

static void
on_named(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	on_changed(q, q->params[0], res);
}

static void
clusters_create(struct http_req *q)
{
	static const struct flapi_member members[] = {
		{ "name", FLAPI_TEXT }, { "tag", FLAPI_TEXT }, { "podCIDRs", FLAPI_TEXTS },
		{ "serviceCIDRs", FLAPI_TEXTS }, { "lanPrefixes", FLAPI_TEXTS }, { "dualStack", FLAPI_BOOL },
		{ "isolate", FLAPI_BOOL }, { "force", FLAPI_BOOL }, { "keepPolicy", FLAPI_BOOL },
		{ "user", FLAPI_TEXT }, { "expirySeconds", FLAPI_INT }, { "server", FLAPI_TEXT },
	};
	struct net_prefix lan[CLUSTER_LAN_MAX];
	struct tailnet_cluster_spec spec = { .n_lan = 0 };

	if (!flapi_body_is(q, members, COUNT_OF(members)) ||
	    !read_ranges(q, "podCIDRs", &spec.range[CLUSTER_POD4]) ||
	    !read_ranges(q, "serviceCIDRs", &spec.range[CLUSTER_SERVICE4]) || !read_lan(q, lan, &spec) ||
	    !read_key(q, &spec))
		return;
	spec.name = json_get_str(q->json, "name", "");
	spec.tag = json_get_str(q->json, "tag", NULL);
	spec.is_dual_stack = json_get_bool(q->json, "dualStack", false);
	spec.is_isolated = json_get_bool(q->json, "isolate", false);
	spec.is_forced = json_get_bool(q->json, "force", false);
	spec.leaves_policy = json_get_bool(q->json, "keepPolicy", false);
	tailnet_cluster_create(flapi_tailnet(q), &q->who.actor, &spec, on_created, q);
}

static void
clusters_patch(struct http_req *q)
{
	static const struct flapi_member members[] = {
		{ "podCIDRs", FLAPI_TEXTS }, { "serviceCIDRs", FLAPI_TEXTS }, { "lanPrefixes", FLAPI_TEXTS },
		{ "force", FLAPI_BOOL }, { "keepPolicy", FLAPI_BOOL },
	};
	struct net_prefix lan[CLUSTER_LAN_MAX];
	struct tailnet_cluster_spec spec = { .name = q->params[0] };

	if (!flapi_body_is(q, members, COUNT_OF(members)) ||
	    !read_ranges(q, "podCIDRs", &spec.range[CLUSTER_POD4]) ||
	    !read_ranges(q, "serviceCIDRs", &spec.range[CLUSTER_SERVICE4]) || !read_lan(q, lan, &spec))
		return;
	spec.is_forced = json_get_bool(q->json, "force", false);
	spec.leaves_policy = json_get_bool(q->json, "keepPolicy", false);
	tailnet_cluster_set(flapi_tailnet(q), &q->who.actor, &spec, on_named, q);
}

static void
clusters_key(struct http_req *q)
{
	static const struct flapi_member members[] = {
		{ "user", FLAPI_TEXT }, { "expirySeconds", FLAPI_INT }, { "server", FLAPI_TEXT },
	};
	struct tailnet_cluster_spec spec = { .name = q->params[0] };

	if (flapi_body_is(q, members, COUNT_OF(members)) && read_key(q, &spec))
		tailnet_cluster_key(flapi_tailnet(q), &q->who.actor, &spec, on_named, q);
}

static bool
is_asked(const struct form *f, const char *name)
{
	const char *value = form_get(f, name);

	return value != NULL && strcmp(value, "true") == 0;
}

static void
clusters_delete(struct http_req *q)
{
	struct tailnet_cluster_spec spec = { .name = q->params[0] };
	struct form f;

	if (!http_query(q, &f))
		return;
	spec.is_forced = is_asked(&f, "force");
	spec.leaves_policy = is_asked(&f, "keepPolicy");
	form_fini(&f);
	tailnet_cluster_remove(flapi_tailnet(q), &q->who.actor, &spec, on_named, q);
}

#define READ	HTTP_NEED(HTTP_READ, SCOPE_DEVICES)

/* What changes them makes keys and changes the policy: that takes the scope "all". */
static const struct http_route routes[] = {
	{ "GET", FLAPI "/clusters", READ, false, clusters_list },
	{ "POST", FLAPI "/clusters", HTTP_WRITE, true, clusters_create },
	{ "GET", FLAPI "/clusters/{name}", READ, false, clusters_get },
	{ "PATCH", FLAPI "/clusters/{name}", HTTP_WRITE, true, clusters_patch },
	{ "DELETE", FLAPI "/clusters/{name}", HTTP_WRITE, false, clusters_delete },
	{ "POST", FLAPI "/clusters/{name}/key", HTTP_WRITE, true, clusters_key },
};

void
flapi_clusters_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}
