/* What a request is for: its route, and who it comes from when proxies are between. Pure. */
#include <string.h>

#include "server/door_private.h"

struct net_addr
door_route_peer(const struct door *d, const struct net_addr *from, const struct door_head *h)
{
	struct net_addr peer = *from;

	for (unsigned i = h->n_fields; i-- > 0 && door_is_trusted(d, &peer.ip);) {
		struct door_str list = h->fields[i].value;

		if (!door_str_is_nocase(h->fields[i].name, "x-forwarded-for"))
			continue;
		while (list.n > 0 && door_is_trusted(d, &peer.ip)) {
			const char *comma = memrchr(list.p, ',', list.n);
			size_t at = comma != NULL ? (size_t)(comma - list.p) + 1 : 0;
			struct door_str item = door_str_trim(
			    (struct door_str){ list.p + at, list.n - at });
			struct net_addr a = { .port = 0 };

			list.n = comma != NULL ? at - 1 : 0;
			if (net_ip_parse(item.p, item.n, &a.ip) != ERR_OK &&
			    net_addr_parse(item.p, item.n, &a) != ERR_OK)
				return peer;
			peer = a;
		}
	}
	return peer;
}

/* For /derp a WebSocket upgrade that does not name the derp subprotocol counts as DERP
 * (derpserver/handler.go). */
static bool
upgrade_is_asked(const struct door_head *h, const struct door_route *r)
{
	if (!door_http_lists(h, "Connection", "upgrade"))
		return false;
	if (r->protocol != NULL)
		return door_str_is(h->method, "GET") && door_http_lists(h, "Upgrade", r->token) &&
		    door_http_lists(h, "Sec-WebSocket-Protocol", r->protocol);
	if (door_http_lists(h, "Upgrade", r->token))
		return true;
	return strcmp(r->token, "DERP") == 0 && door_http_lists(h, "Upgrade", "websocket") &&
	    !door_http_lists(h, "Sec-WebSocket-Protocol", "derp");
}

/* A route whose path ends with a slash is for everything below it. */
static bool
path_matches(const struct door_route *r, const struct door_head *h)
{
	size_t n = strlen(r->path);

	if (n > 1 && r->path[n - 1] == '/')
		return h->path.n > n && memcmp(h->path.p, r->path, n) == 0;
	return door_str_is(h->path, r->path);
}

static bool
method_matches(const struct door_route *r, const struct door_head *h)
{
	return door_str_is(h->method, r->method) ||
	    (strcmp(r->method, "GET") == 0 && door_str_is(h->method, "HEAD"));
}

enum door_do
door_route_find(const struct door *d, const struct door_head *h, const struct door_route **out)
{
	const struct door_route *found = NULL;

	for (unsigned i = 0; i < d->n_routes; i++) {
		const struct door_route *r = &d->routes[i];

		if (!path_matches(r, h))
			continue;
		if (r->method == NULL && upgrade_is_asked(h, r)) {
			*out = r;
			return DOOR_DO_UPGRADE;
		}
		if (found == NULL || (r->method != NULL && method_matches(r, h)))
			found = r;
	}
	*out = found;
	if (found == NULL)
		return DOOR_DO_PASS;
	return found->method != NULL && method_matches(found, h) ? DOOR_DO_ANSWER : DOOR_DO_REFUSE;
}
