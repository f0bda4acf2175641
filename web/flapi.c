/* What the nouns share. */
#include "web/flapi.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "web/api.h"
#include "web/api_dns.h"
#include "web/assets.h"
#include "web/events.h"
#include "web/flapi_clusters.h"
#include "web/flapi_policy.h"
#include "web/flapi_quotas.h"
#include "web/flapi_regions.h"
#include "web/pages.h"

void
flapi_attach(struct http *h)
{
	http_routes(h, flapi_users_routes, flapi_users_routes_count);
	http_routes(h, flapi_keys_routes, flapi_keys_routes_count);
	http_routes(h, flapi_nodes_routes, flapi_nodes_routes_count);
	http_routes(h, flapi_status_routes, flapi_status_routes_count);
	http_routes(h, flapi_creds_routes, flapi_creds_routes_count);
	http_routes(h, flapi_session_routes, flapi_session_routes_count);
	http_routes(h, flapi_audit_routes, flapi_audit_routes_count);
	http_routes(h, flapi_doctor_routes, flapi_doctor_routes_count);
	flapi_logins_attach(h);
	flapi_routes_attach(h);
	flapi_ssh_attach(h);
	flapi_settings_attach(h);
	flapi_policy_attach(h);
	flapi_clusters_attach(h);
	flapi_dns_attach(h);
	flapi_regions_attach(h);
	flapi_relays_attach(h);
	flapi_quotas_attach(h);
	events_attach(h);
	api_attach(h);
	assets_attach(h);
	http_routes(h, pages_routes, pages_routes_count);
}

struct tailnet *
flapi_tailnet(const struct http_req *q)
{
	return coord_tailnet(q->coord, "default");
}

static bool
type_is(const json_t *v, enum flapi_type type)
{
	switch (type) {
	case FLAPI_TEXT:
		return json_is_string(v);
	case FLAPI_BOOL:
		return json_is_boolean(v);
	case FLAPI_INT:
		return json_is_integer(v);
	case FLAPI_TEXTS:
		for (size_t i = 0; i < json_array_size(v); i++)
			if (!json_is_string(json_array_get(v, i)))
				return false;
		return json_is_array(v) || json_is_null(v);
	}
	return false;
}

bool
flapi_body_is(struct http_req *q, const struct flapi_member *members, size_t n)
{
	static const char *const words[] = {
		[FLAPI_TEXT] = "a string", [FLAPI_BOOL] = "true or false", [FLAPI_INT] = "a whole number",
		[FLAPI_TEXTS] = "an array of strings",
	};
	const char *name;
	json_t *v;

	json_object_foreach(q->json, name, v) {
		size_t i = 0;
		while (i < n && strcmp(members[i].name, name) != 0)
			i++;
		if (i == n) {
			http_reply_error(q, 400, "unknown member \"%.100s\"", name);
			return false;
		}
		if (!type_is(v, members[i].type)) {
			http_reply_error(q, 400, "%s must be %s", name, words[members[i].type]);
			return false;
		}
	}
	return true;
}

bool
flapi_texts(struct http_req *q, const char *member, struct flapi_texts *out)
{
	const json_t *v = json_object_get(q->json, member);

	out->n = 0;
	if (json_array_size(v) > FLAPI_TEXTS_MAX) {
		http_reply_error(q, 400, "%s has more than %d entries", member, FLAPI_TEXTS_MAX);
		return false;
	}
	for (size_t i = 0; i < json_array_size(v); i++)
		out->v[out->n++] = json_string_value(json_array_get(v, i));
	return true;
}

bool
flapi_ip(struct http_req *q, const char *member, struct net_ip *out)
{
	const char *text = json_get_str(q->json, member, NULL);

	*out = (struct net_ip){ .family = 0 };
	if (text == NULL || net_ip_parse(text, strlen(text), out) == ERR_OK)
		return true;
	http_reply_error(q, 400, "%s: \"%.60s\" is no address", member, text);
	return false;
}

void
flapi_time(struct json_writer *w, const char *name, int64_t unix_s)
{
	if (unix_s == 0)
		json_w_null(w, name);
	else
		json_w_time(w, name, unix_s);
}

void
flapi_id(struct json_writer *w, const char *name, int64_t id)
{
	char text[24];

	snprintf(text, sizeof(text), "%" PRId64, id);
	json_w_str(w, name, text);
}

void
flapi_put_owner(const struct tailnet *t, int64_t user_id, struct json_writer *w)
{
	const struct user *u = map_find(&t->users, &user_id);

	json_w_str(w, "user", u != NULL ? u->name : "");
	flapi_id(w, "userId", user_id);
}

void
flapi_put_texts(struct json_writer *w, const char *name, char *const *texts, unsigned n)
{
	json_w_arr_open(w, name);
	for (unsigned i = 0; i < n; i++)
		json_w_str(w, NULL, texts[i]);
	json_w_arr_close(w);
}

void
flapi_put_words(struct json_writer *w, const char *name, const char *words)
{
	json_w_arr_open(w, name);
	for (const char *p = words; *p != 0;) {
		size_t n = strcspn(p, " ");
		json_w_strn(w, NULL, p, n);
		p += n + (p[n] == ' ');
	}
	json_w_arr_close(w);
}

void
flapi_put_addresses(const struct node *n, struct json_writer *w)
{
	char text[NET_TEXT_MAX];

	json_w_arr_open(w, "addresses");
	if (n->ip4.family != 0)
		json_w_str(w, NULL, net_ip_put(&n->ip4, text));
	if (n->ip6.family != 0)
		json_w_str(w, NULL, net_ip_put(&n->ip6, text));
	json_w_arr_close(w);
}

void
flapi_put_endpoints(const struct node *n, struct json_writer *w)
{
	char text[NET_TEXT_MAX];

	json_w_arr_open(w, "endpoints");
	for (unsigned i = 0; i < n->n_endpoints; i++)
		json_w_str(w, NULL, net_addr_put(&n->endpoints[i].addr, text));
	json_w_arr_close(w);
}

void
flapi_put_thing(struct tailnet *t, const struct flapi_kind *kind, const char *id, const char *name,
	struct json_writer *w)
{
	const void *thing = kind->find(t, id);

	if (thing == NULL) {
		json_w_null(w, name);
		return;
	}
	json_w_obj_open(w, name);
	kind->put(t, thing, w);
	json_w_obj_close(w);
}

void
flapi_reply_thing(struct http_req *q, const struct flapi_kind *kind, const char *id,
	const char *secret)
{
	struct tailnet *t = flapi_tailnet(q);
	const void *thing = kind->find(t, id);
	struct buf b = { .len = 0 };
	struct json_writer w;

	if (thing == NULL) {
		flapi_reply_empty(q);
		return;
	}
	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	kind->put(t, thing, &w);
	if (secret != NULL)
		json_w_str(&w, "key", secret);
	json_w_obj_close(&w);
	http_reply_json_take(q, 200, &b);
}

void
flapi_reply_changed(struct http_req *q, const struct flapi_kind *kind,
	const struct tailnet_result *res)
{
	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		flapi_reply_thing(q, kind, res->key_id != NULL ? res->key_id : q->params[0], res->secret);
}

const struct user *
flapi_user(struct http_req *q, const char *name)
{
	struct tailnet *t = flapi_tailnet(q);
	const struct user *u = NULL, *best = NULL;

	if (name != NULL) {
		if ((u = tailnet_user_find(t, name)) == NULL)
			http_reply_error(q, 400, "there is no user \"%.130s\"", name);
		return u;
	}
	if (q->who.user_id != 0 && (u = map_find(&t->users, &q->who.user_id)) != NULL)
		return u;
	for (size_t at = 0; (u = map_next(&t->users, &at)) != NULL;)
		if ((t->users.count == 1 || u->role == USER_OWNER) && (best == NULL || u->id < best->id))
			best = u;
	if (best == NULL)
		http_reply_error(q, 400, "name the user: there are %zu, and no owner", t->users.count);
	return best;
}

void
flapi_reply_empty(struct http_req *q)
{
	struct buf b = { .len = 0 };

	buf_str(&b, "{}");
	http_reply_json_take(q, 200, &b);
}

void
flapi_on_empty(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		flapi_reply_empty(q);
}

struct ids {
	struct tailnet *t;
	int64_t *ids;
	void (*put)(struct tailnet *t, int64_t id, struct json_writer *w);
};

static void
ids_put(void *arg, size_t i, struct json_writer *w)
{
	struct ids *s = arg;

	s->put(s->t, s->ids[i], w);
}

static void
ids_free(void *arg)
{
	struct ids *s = arg;

	free(s->ids);
	free(s);
}

static int
id_order(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

void
flapi_reply_ids_take(struct http_req *q, const char *name, int64_t *ids, size_t n,
    void (*put)(struct tailnet *t, int64_t id, struct json_writer *w))
{
	struct ids *s = obj_alloc(sizeof(*s));

	qsort(ids, n, sizeof(*ids), id_order);
	*s = (struct ids){ .t = flapi_tailnet(q), .ids = ids, .put = put };
	http_reply_list(q, &(struct http_list){
		.name = name, .n = n, .arg = s, .put = ids_put, .free_fn = ids_free,
	});
}
