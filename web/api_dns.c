/*
 * DNS settings: one state, of which nameservers, preferences, searchpaths and split-dns are parts and
 * configuration the whole.
 *
 * A POST of configuration replaces everything: what it leaves out is empty or false. The narrower ones
 * leave the rest as it is.
 */
#include "web/api_dns.h"

#include <string.h>

#include "web/api.h"
#include "web/dns_body.h"

static bool
is_overriding(const struct dns_params *p)
{
	return p->override_local && p->nameservers.n > 0;
}

static void
nameservers_get(struct http_req *q)
{
	const struct tailnet *t = api_tailnet(q);

	if (t != NULL)
		dns_body_reply_take(q, json_pack("{s:o}", "dns",
		    dns_body_resolvers(&t->dns->nameservers, false)));
}

static void
nameservers_done(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;
	const struct dns_params *p = flapi_tailnet(q)->dns;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		dns_body_reply_take(q, json_pack("{s:o, s:b}", "dns",
		    dns_body_resolvers(&p->nameservers, false), "magicDNS", p->magic_dns));
}

/* Replaces one member of what is kept by value (taken). */
static void
member_set(struct http_req *q, const char *name, json_t *value_taken, tailnet_done_fn *done)
{
	json_t *spec = dns_body_spec(flapi_tailnet(q));

	json_object_set_new(spec, name, value_taken);
	tailnet_dns_set(flapi_tailnet(q), &q->who.actor, spec, done, q);
}

static void
nameservers_post(struct http_req *q)
{
	if (api_tailnet(q) != NULL)
		member_set(q, "nameservers", dns_body_resolvers_read(json_object_get(q->json, "dns")),
		    nameservers_done);
}

static void
preferences_get(struct http_req *q)
{
	const struct tailnet *t = api_tailnet(q);

	if (t != NULL)
		dns_body_reply_take(q, json_pack("{s:b}", "magicDNS", t->dns->magic_dns));
}

static void
preferences_done(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		preferences_get(q);
}

static void
preferences_post(struct http_req *q)
{
	const json_t *v = json_object_get(q->json, "magicDNS");

	if (api_tailnet(q) == NULL)
		return;
	if (!json_is_boolean(v))
		http_reply_error(q, 400, "magicDNS must be true or false");
	else
		member_set(q, "magicDNS", json_deep_copy(v), preferences_done);
}

static void
searchpaths_get(struct http_req *q)
{
	const struct tailnet *t = api_tailnet(q);

	if (t != NULL)
		dns_body_reply_take(q, json_pack("{s:o}", "searchPaths",
		    dns_body_texts(t->dns->search_domains, t->dns->n_search_domains)));
}

static void
searchpaths_done(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		searchpaths_get(q);
}

static void
searchpaths_post(struct http_req *q)
{
	if (api_tailnet(q) != NULL)
		member_set(q, "searchPaths", dns_body_texts_read(json_object_get(q->json, "searchPaths")),
		    searchpaths_done);
}

static void
split_get(struct http_req *q)
{
	const struct tailnet *t = api_tailnet(q);

	if (t != NULL)
		dns_body_reply_take(q, dns_body_split(t->dns, false));
}

static void
split_done(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		split_get(q);
}

static void
split_put(struct http_req *q)
{
	if (api_tailnet(q) != NULL)
		member_set(q, "splitDNS", dns_body_split_read(q->json), split_done);
}

/* The domains of the body are added, replaced, or (empty or null) dropped. */
static void
split_patch(struct http_req *q)
{
	const struct tailnet *t = api_tailnet(q);
	json_t *all, *change, *v;
	const char *domain;

	if (t == NULL)
		return;
	all = json_deep_copy(json_object_get(tailnet_dns_spec(t), "splitDNS"));
	if (all == NULL)
		all = dns_body_split(t->dns, true);
	json_object_foreach(q->json, domain, v)
		json_object_del(all, domain);
	change = dns_body_split_read(q->json);
	json_object_update(all, change);
	json_decref(change);
	member_set(q, "splitDNS", all, split_done);
}

static void
configuration_get(struct http_req *q)
{
	const struct tailnet *t = api_tailnet(q);

	if (t != NULL)
		dns_body_reply_take(q, json_pack("{s:o, s:o, s:o, s:{s:b, s:b}}", "nameservers",
		    dns_body_resolvers(&t->dns->nameservers, true), "splitDNS", dns_body_split(t->dns, true),
		    "searchPaths", dns_body_texts(t->dns->search_domains, t->dns->n_search_domains),
		    "preferences", "overrideLocalDNS", is_overriding(t->dns), "magicDNS",
		    t->dns->magic_dns));
}

static void
configuration_done(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		configuration_get(q);
}

static void
configuration_post(struct http_req *q)
{
	const json_t *preferences = json_object_get(q->json, "preferences");
	static const char *const flags[] = { "magicDNS", "overrideLocalDNS" };
	const struct tailnet *t = api_tailnet(q);
	json_t *spec;

	if (t == NULL)
		return;
	if (preferences != NULL && !json_is_null(preferences) && !json_is_object(preferences)) {
		http_reply_error(q, 400, "preferences must be an object");
		return;
	}
	spec = dns_body_spec(t);
	for (unsigned i = 0; i < COUNT_OF(flags); i++) {
		const json_t *v = json_get(preferences, flags[i]);

		json_object_set_new(spec, flags[i], v == NULL ? json_false() : json_deep_copy(v));
	}
	json_object_set_new(spec, "nameservers",
	    dns_body_resolvers_read(json_object_get(q->json, "nameservers")));
	json_object_set_new(spec, "splitDNS", dns_body_split_read(json_object_get(q->json, "splitDNS")));
	json_object_set_new(spec, "searchPaths",
	    dns_body_texts_read(json_object_get(q->json, "searchPaths")));
	tailnet_dns_set(flapi_tailnet(q), &q->who.actor, spec, configuration_done, q);
}

static void
records_get(struct http_req *q)
{
	if (api_tailnet(q) != NULL)
		dns_body_records_list(q);
}

static void
records_post(struct http_req *q)
{
	if (api_tailnet(q) != NULL)
		dns_body_records_make(q);
}

static void
record_put(struct http_req *q)
{
	if (api_tailnet(q) != NULL)
		dns_body_records_replace(q, q->params[1]);
}

static void
record_delete(struct http_req *q)
{
	if (api_tailnet(q) != NULL)
		dns_body_records_remove(q, q->params[1]);
}

#define DNS2	API2 "/tailnet/{t}/dns"
#define READ	HTTP_NEED(HTTP_READ, SCOPE_DNS)
#define WRITE	HTTP_NEED(HTTP_WRITE, SCOPE_DNS)

static const struct http_route routes[] = {
	{ "GET", DNS2 "/nameservers", READ, false, nameservers_get },
	{ "POST", DNS2 "/nameservers", WRITE, true, nameservers_post },
	{ "GET", DNS2 "/preferences", READ, false, preferences_get },
	{ "POST", DNS2 "/preferences", WRITE, true, preferences_post },
	{ "GET", DNS2 "/searchpaths", READ, false, searchpaths_get },
	{ "POST", DNS2 "/searchpaths", WRITE, true, searchpaths_post },
	{ "GET", DNS2 "/split-dns", READ, false, split_get },
	{ "PUT", DNS2 "/split-dns", WRITE, true, split_put },
	{ "PATCH", DNS2 "/split-dns", WRITE, true, split_patch },
	{ "GET", DNS2 "/configuration", READ, false, configuration_get },
	{ "POST", DNS2 "/configuration", WRITE, true, configuration_post },
	{ "GET", DNS2 "/records", READ, false, records_get },
	{ "POST", DNS2 "/records", WRITE, true, records_post },
	{ "PUT", DNS2 "/records/{id}", WRITE, true, record_put },
	{ "DELETE", DNS2 "/records/{id}", WRITE, false, record_delete },
};

void
api_dns_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}
