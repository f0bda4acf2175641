/*
 * /api/fairlead/v1/dns: everything at once. PATCH changes the members of its body; null puts one back to
 * what is configured.
 */
#include <string.h>

#include "web/api_dns.h"
#include "web/dns_body.h"
#include "web/flapi.h"

static const char *const members[] = {
	"magicDNS", "overrideLocalDNS", "nameservers", "splitDNS", "searchPaths", "noDNSTags",
};

static json_t *
changed_names(const struct tailnet *t)
{
	json_t *out = json_array();

	for (unsigned i = 0; i < COUNT_OF(members); i++)
		if (json_object_get(tailnet_dns_spec(t), members[i]) != NULL)
			json_array_append_new(out, json_string(members[i]));
	return out;
}

/* Everything; the caller's reference. */
static json_t *
dns_all(const struct tailnet *t)
{
	const struct dns_params *p = t->dns;
	const char *path = t->deps.cfg->dns.records_file;
	json_t *v = json_pack("{s:s, s:b, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "baseDomain", p->base_domain,
	    "magicDNS", p->magic_dns, "overrideLocalDNS", p->override_local && p->nameservers.n > 0,
	    "nameservers", dns_body_resolvers(&p->nameservers, true), "splitDNS", dns_body_split(p, true),
	    "searchPaths", dns_body_texts(p->search_domains, p->n_search_domains),
	    "noDNSTags", dns_body_texts(p->off_tags, p->n_off_tags), "changed", changed_names(t),
	    "records", dns_body_records(t));

	ASSERT(v != NULL);		/* the configuration has plain names only */
	if (path != NULL && *path != 0)
		json_object_set_new(v, "recordsFile", json_pack("{s:s*, s:s*}", "path", path, "problem",
		    tailnet_dns_file_problem(t)));
	return v;
}

void
flapi_put_dns(struct tailnet *t, const char *name, struct json_writer *w)
{
	json_t *v = dns_all(t);
	struct buf text = { .len = 0 };

	json_dump_to(&text, v);
	json_w_raw(w, name, text.p, text.len);
	buf_fini(&text);
	json_decref(v);
}

static void
dns_get(struct http_req *q)
{
	dns_body_reply_take(q, dns_all(flapi_tailnet(q)));
}

static void
dns_done(void *arg, const struct tailnet_result *res)
{
	struct http_req *q = arg;

	if (res->rc != ERR_OK)
		http_reply_err(q, res->rc, &res->why);
	else
		dns_get(q);
}

static void
dns_patch(struct http_req *q)
{
	json_t *spec = dns_body_spec(flapi_tailnet(q)), *v;
	const char *name;

	json_object_foreach(q->json, name, v) {
		unsigned i = 0;

		while (i < COUNT_OF(members) && strcmp(members[i], name) != 0)
			i++;
		if (i == COUNT_OF(members)) {
			http_reply_error(q, 400, "unknown member \"%.100s\"", name);
			json_decref(spec);
			return;
		}
		if (json_is_null(v))
			json_object_del(spec, name);
		else if (strcmp(name, "nameservers") == 0)
			json_object_set_new(spec, name, dns_body_resolvers_read(v));
		else if (strcmp(name, "splitDNS") == 0)
			json_object_set_new(spec, name, dns_body_split_read(v));
		else
			json_object_set_new(spec, name, json_deep_copy(v));
	}
	tailnet_dns_set(flapi_tailnet(q), &q->who.actor, spec, dns_done, q);
}

static void
record_put(struct http_req *q)
{
	dns_body_records_replace(q, q->params[0]);
}

static void
record_delete(struct http_req *q)
{
	dns_body_records_remove(q, q->params[0]);
}

#define READ	HTTP_NEED(HTTP_READ, SCOPE_DNS)
#define WRITE	HTTP_NEED(HTTP_WRITE, SCOPE_DNS)

static const struct http_route routes[] = {
	{ "GET", FLAPI "/dns", READ, false, dns_get },
	{ "PATCH", FLAPI "/dns", WRITE, true, dns_patch },
	{ "GET", FLAPI "/dns/records", READ, false, dns_body_records_list },
	{ "POST", FLAPI "/dns/records", WRITE, true, dns_body_records_make },
	{ "PUT", FLAPI "/dns/records/{id}", WRITE, true, record_put },
	{ "DELETE", FLAPI "/dns/records/{id}", WRITE, false, record_delete },
};

void
flapi_dns_attach(struct http *h)
{
	http_routes(h, routes, COUNT_OF(routes));
}
