/* What the nouns of API v2 share, and what of it this server has not. */
#include "web/api.h"

#include <string.h>

#include "web/api_dns.h"
#include "web/api_policy.h"

struct tailnet *
api_tailnet(struct http_req *q)
{
	struct tailnet *t = flapi_tailnet(q);
	const char *which = q->params[0];

	if (strcmp(which, "-") == 0 || strcmp(which, t->name) == 0 ||
	    strcmp(which, coord_config(q->coord)->dns.base_domain) == 0)
		return t;
	http_reply_error(q, 404, "there is no tailnet \"%.100s\" here: write -", which);
	return NULL;
}

bool
api_member_is(struct http_req *q, const json_t *object, const char *name, enum flapi_type type)
{
	const json_t *v = json_object_get(object, name);
	const char *want = "a string";
	bool is_ok = v == NULL || json_is_null(v);

	switch (type) {
	case FLAPI_TEXT:
		is_ok = is_ok || json_is_string(v);
		break;
	case FLAPI_BOOL:
		is_ok = is_ok || json_is_boolean(v);
		want = "true or false";
		break;
	case FLAPI_INT:
		is_ok = is_ok || json_is_integer(v);
		want = "a whole number";
		break;
	case FLAPI_TEXTS:
		is_ok = is_ok || json_is_array(v);
		for (size_t i = 0; is_ok && i < json_array_size(v); i++)
			is_ok = json_is_string(json_array_get(v, i));
		want = "an array of strings";
		break;
	}
	if (!is_ok)
		http_reply_error(q, 400, "%s must be %s", name, want);
	return is_ok;
}

bool
api_texts(struct http_req *q, const json_t *object, const char *name, struct flapi_texts *out)
{
	const json_t *v = json_object_get(object, name);

	out->n = 0;
	if (!api_member_is(q, object, name, FLAPI_TEXTS))
		return false;
	if (json_array_size(v) > FLAPI_TEXTS_MAX) {
		http_reply_error(q, 400, "%s has more than %d entries", name, FLAPI_TEXTS_MAX);
		return false;
	}
	for (size_t i = 0; i < json_array_size(v); i++)
		out->v[out->n++] = json_string_value(json_array_get(v, i));
	return true;
}

static void
unsupported(struct http_req *q)
{
	http_reply_error(q, 501, "%s %s is not supported by this server", q->route->method, q->route->path);
}

/* Of the same API elsewhere. 501 and not 404: a 404 here means that a thing is gone. */
#define UNSUPPORTED(path) \
	{ "GET", API2 path, HTTP_KNOWN, false, unsupported }, \
	{ "POST", API2 path, HTTP_KNOWN, false, unsupported }, \
	{ "PUT", API2 path, HTTP_KNOWN, false, unsupported }, \
	{ "PATCH", API2 path, HTTP_KNOWN, false, unsupported }, \
	{ "DELETE", API2 path, HTTP_KNOWN, false, unsupported }

static const struct http_route unsupported_routes[] = {
	UNSUPPORTED("/oauth/token-exchange"),
	UNSUPPORTED("/device/{id}/attributes"), UNSUPPORTED("/device/{id}/attributes/{key}"),
	UNSUPPORTED("/device/{id}/device-invites"), UNSUPPORTED("/tailnet/{t}/device-attributes"),
	UNSUPPORTED("/tailnet/{t}/users"), UNSUPPORTED("/users/{id}"), UNSUPPORTED("/users/{id}/{what}"),
	UNSUPPORTED("/tailnet/{t}/user-invites"), UNSUPPORTED("/tailnet/{t}/settings"),
	UNSUPPORTED("/tailnet/{t}/contacts"), UNSUPPORTED("/tailnet/{t}/contacts/{what}"),
	UNSUPPORTED("/tailnet/{t}/vip-services"), UNSUPPORTED("/tailnet/{t}/vip-services/{name}"),
	UNSUPPORTED("/tailnet/{t}/services"), UNSUPPORTED("/tailnet/{t}/services/{name}"),
	UNSUPPORTED("/tailnet/{t}/webhooks"), UNSUPPORTED("/webhooks/{id}"),
	    UNSUPPORTED("/webhooks/{id}/{what}"),
	UNSUPPORTED("/tailnet/{t}/logging/{what}"), UNSUPPORTED("/tailnet/{t}/logging/{what}/stream"),
	UNSUPPORTED("/tailnet/{t}/posture/integrations"), UNSUPPORTED("/posture/integrations/{id}"),
	UNSUPPORTED("/organizations/{o}/tailnets"),
};

void
api_attach(struct http *h)
{
	http_routes(h, api_token_routes, api_token_routes_count);
	http_routes(h, api_devices_routes, api_devices_routes_count);
	http_routes(h, api_keys_routes, api_keys_routes_count);
	api_dns_attach(h);
	api_policy_attach(h);
	http_routes(h, unsupported_routes, COUNT_OF(unsupported_routes));
}
