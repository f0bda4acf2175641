/*
 * Node, PeerChange and UserProfile objects, written straight into a buffer.
 *
 * Peers get what they need: no machine key, and of the Hostinfo what hostinfo.c leaves in
 * peer_json. Text that came from a client goes through the writer, which escapes it; hostinfo's
 * texts are made by jansson. So one node's strings cannot spoil another's map.
 */
#include "coord/map_peer.h"

#include <stdio.h>
#include <string.h>

#include "base/net.h"
#include "coord/policy_world.h"

char *
map_peer_fqdn(const struct node *n, const char *base_domain, char out[MAP_FQDN_MAX])
{
	bool has_domain = base_domain != NULL && base_domain[0] != '\0';

	snprintf(out, MAP_FQDN_MAX, "%.63s.%s%s", n->name, has_domain ? base_domain : "",
	    has_domain ? "." : "");
	return out;
}

static const struct policy_bundle *
bundle_of(const struct map_node *mn)
{
	return mn->class == NULL ? NULL : mn->class->bundle;
}

/* Is there a member of that name in the CapMap? */
static bool
has_cap(const struct policy_bundle *bundle, const char *name)
{
	char member[64];

	if (bundle == NULL || bundle->caps == NULL)
		return false;
	int n = snprintf(member, sizeof(member), "\"%s\":", name);
	ASSERT(n > 0 && (size_t)n < sizeof(member));
	return memmem(bundle->caps->bytes, bundle->caps->len, member, (size_t)n) != NULL;
}

static bool
is_exit_route(const struct node_route *r)
{
	return r->prefix.bits == 0;
}

static bool
shows_route(const struct map_node *mn, const struct map_look *look, const struct policy_node *pn,
	unsigned i)
{
	const struct policy_view *v = look->view;

	if (v == NULL || v->id == 0)
		return pn->routes[i].is_primary;
	unsigned kind = policy_world_kind(look->policy, mn->class, pn, i);
	ASSERT(kind < v->n_kinds);
	return v->show[kind] == POLICY_SHOW_ALWAYS ||
	    (v->show[kind] == POLICY_SHOW_PRIMARY && pn->routes[i].is_primary);
}

static void
put_prefix(struct json_writer *w, const struct net_ip *ip, uint8_t bits)
{
	char text[NET_TEXT_MAX];

	json_w_str(w, NULL, net_prefix_put(&(struct net_prefix){ .ip = *ip, .bits = bits }, text));
}

static void
put_own_addresses(struct json_writer *w, const struct node *n, bool is_ipv4_off)
{
	if (n->ip4.family != 0 && !is_ipv4_off)
		put_prefix(w, &n->ip4, 32);
	if (n->ip6.family != 0)
		put_prefix(w, &n->ip6, 128);
}

/* Addresses, AllowedIPs, PrimaryRoutes. */
static void
put_addresses(struct json_writer *w, const struct map_node *mn, const struct map_look *look)
{
	const struct policy_bundle *bundle = bundle_of(mn);
	bool is_ipv4_off = (bundle != NULL && bundle->is_ipv4_off) ||
	    (look->view != NULL && look->view->is_ipv4_hidden);
	struct policy_node pn = policy_node_of(mn->node);
	unsigned n_subnets = 0;

	json_w_arr_open(w, "Addresses");
	put_own_addresses(w, mn->node, is_ipv4_off);
	json_w_arr_close(w);
	json_w_arr_open(w, "AllowedIPs");
	put_own_addresses(w, mn->node, is_ipv4_off);
	for (unsigned i = 0; i < pn.n_routes; i++) {
		if (!shows_route(mn, look, &pn, i))
			continue;
		put_prefix(w, &pn.routes[i].prefix.ip, pn.routes[i].prefix.bits);
		n_subnets += !is_exit_route(&pn.routes[i]);
	}
	json_w_arr_close(w);
	if (n_subnets == 0)
		return;
	json_w_arr_open(w, "PrimaryRoutes");
	for (unsigned i = 0; i < pn.n_routes; i++)
		if (!is_exit_route(&pn.routes[i]) && shows_route(mn, look, &pn, i))
			put_prefix(w, &pn.routes[i].prefix.ip, pn.routes[i].prefix.bits);
	json_w_arr_close(w);
}

static void
put_endpoints(struct json_writer *w, const struct node *n)
{
	char text[NET_TEXT_MAX];

	json_w_arr_open(w, "Endpoints");
	for (unsigned i = 0; i < n->n_endpoints; i++)
		json_w_str(w, NULL, net_addr_put(&n->endpoints[i].addr, text));
	json_w_arr_close(w);
}

static void
put_disco(struct json_writer *w, const struct node *n)
{
	char text[KEY_TEXT_MAX];

	if (!disco_key_is_zero(&n->disco_key))
		json_w_str(w, "DiscoKey", disco_key_put(&n->disco_key, text));
}

/* Members that peers and the node itself see alike. */
static void
put_common(struct json_writer *w, const struct map_node *mn, const struct map_look *look)
{
	const struct node *n = mn->node;
	char text[MAP_FQDN_MAX];

	json_w_int(w, "ID", n->id);
	snprintf(text, sizeof(text), "%lld", (long long)n->id);
	json_w_str(w, "StableID", text);
	json_w_str(w, "Name", map_peer_fqdn(n, look->base_domain, text));
	json_w_int(w, "User", node_owner_id(n));
	json_w_str(w, "Key", node_key_put(&n->node_key, text));
	put_disco(w, n);
	put_addresses(w, mn, look);
	if (n->n_endpoints > 0)
		put_endpoints(w, n);
	if (n->home_derp != 0)
		json_w_int(w, "HomeDERP", n->home_derp);
	if (n->host != NULL && n->host->peer_json != NULL)
		json_w_raw(w, "Hostinfo", n->host->peer_json->bytes, n->host->peer_json->len);
	if (n->created_unix_s != 0)
		json_w_time(w, "Created", n->created_unix_s);
	if (n->cap_version != 0)
		json_w_int(w, "Cap", n->cap_version);
	if (n->n_tags > 0) {
		json_w_arr_open(w, "Tags");
		for (unsigned i = 0; i < n->n_tags; i++)
			json_w_str(w, NULL, n->tags[i]);
		json_w_arr_close(w);
	}
	if (n->is_authorized)
		json_w_bool(w, "MachineAuthorized", true);
}

bool
map_peer_is_alike(const struct policy_class *a, const struct policy_class *b)
{
	return a->bundle->is_ipv4_off == b->bundle->is_ipv4_off &&
	    a->bundle->is_exit_suggested == b->bundle->is_exit_suggested;
}

void
map_peer_put(struct buf *b, const struct map_node *mn, const struct map_look *look)
{
	const struct node *n = mn->node;
	struct json_writer w;

	json_w_init(&w, b);
	json_w_obj_open(&w, NULL);
	put_common(&w, mn, look);
	if (n->key_expiry_unix_s != 0)
		json_w_time(&w, "KeyExpiry", n->key_expiry_unix_s);
	json_w_bool(&w, "Online", n->is_online);
	if (!n->is_online && n->last_seen_unix_s != 0)
		json_w_time(&w, "LastSeen", n->last_seen_unix_s);
	if (mn->is_expired)
		json_w_bool(&w, "Expired", true);
	if (bundle_of(mn) != NULL && bundle_of(mn)->is_exit_suggested) {
		json_w_obj_open(&w, "CapMap");
		json_w_null(&w, "suggest-exit-node");
		json_w_obj_close(&w);
	}
	json_w_obj_close(&w);
}

/* The node's fragment, made if it is not there: mn->fragment, mn->fragment_bytes; as view 0 shows it. */
static void
fragment_make(struct map_node *mn, const char *base_domain)
{
	struct map_look look = { .base_domain = base_domain };
	struct buf b = { 0 };

	if (mn->fragment != NULL)
		return;
	map_peer_put(&b, mn, &look);
	ASSERT(b.len <= UINT32_MAX);
	mn->fragment = obj_realloc(b.p, b.len);		/* without the buffer's spare room */
	mn->fragment_bytes = (uint32_t)b.len;
}

void
map_peer_seen_put(struct buf *b, struct map_node *mn, const struct map_look *look)
{
	if (look->view != NULL && look->view->id != 0) {
		map_peer_put(b, mn, look);
		return;
	}
	fragment_make(mn, look->base_domain);
	buf_append(b, mn->fragment, mn->fragment_bytes);
}

/* What it has by itself (updates are the machine's own affair), and what the policy gives it. */
static void
put_capabilities(struct json_writer *w, const struct node *n, const struct policy_bundle *bundle,
	const struct node_attr_params *attrs)
{
	const char *plain[NODE_ATTR_MAX];
	unsigned n_plain = node_attr_defaults(n, attrs, plain);

	json_w_obj_open(w, "CapMap");
	if (!has_cap(bundle, "default-auto-update")) {
		json_w_arr_open(w, "default-auto-update");
		json_w_bool(w, NULL, false);
		json_w_arr_close(w);
	}
	for (unsigned i = 0; i < n_plain; i++) {
		if (has_cap(bundle, plain[i]))
			continue;
		json_w_arr_open(w, plain[i]);
		json_w_arr_close(w);
	}
	if (bundle != NULL && bundle->caps != NULL && bundle->caps->len > 0)
		json_w_raw(w, NULL, bundle->caps->bytes, bundle->caps->len);
	json_w_obj_close(w);
}

void
map_peer_self_put(struct json_writer *w, const char *name, const struct map_node *mn,
	const struct map_own *own, int64_t key_expiry_unix_s)
{
	struct map_look look = { .base_domain = own->base_domain };
	char text[KEY_TEXT_MAX];

	json_w_obj_open(w, name);
	put_common(w, mn, &look);
	json_w_str(w, "Machine", machine_key_put(&mn->node->machine_key, text));
	if (key_expiry_unix_s != 0)
		json_w_time(w, "KeyExpiry", key_expiry_unix_s);
	json_w_bool(w, "Online", true);
	put_capabilities(w, mn->node, bundle_of(mn), &own->attrs);
	json_w_obj_close(w);
}

static void
put_patch(struct json_writer *w, const struct node *n, uint32_t what)
{
	char text[KEY_TEXT_MAX];

	json_w_obj_open(w, NULL);
	json_w_int(w, "NodeID", n->id);
	if ((what & CHANGE_HOME) && n->home_derp != 0)
		json_w_int(w, "DERPRegion", n->home_derp);
	if (what & CHANGE_ENDPOINTS)
		put_endpoints(w, n);
	if (what & CHANGE_KEY) {
		json_w_str(w, "Key", node_key_put(&n->node_key, text));
		json_w_time(w, "KeyExpiry", n->key_expiry_unix_s);
	}
	if (what & CHANGE_DISCO)
		put_disco(w, n);
	if ((what & CHANGE_ONLINE) || ((what & CHANGE_DISCO) && n->is_online))
		json_w_bool(w, "Online", n->is_online);
	/* With Online true as well: newer clients on Apple's systems show the node as offline
	 * otherwise. */
	if ((what & CHANGE_ONLINE) && n->last_seen_unix_s != 0)
		json_w_time(w, "LastSeen", n->last_seen_unix_s);
	json_w_obj_close(w);
}

void
map_peer_patch_put(struct json_writer *w, const struct node *n, uint32_t what)
{
	/* Clients drop a whole patch with a disco key, Online false and a LastSeen no newer than
	 * theirs. */
	if ((what & CHANGE_DISCO) && (what & CHANGE_ONLINE) && !n->is_online) {
		put_patch(w, n, CHANGE_DISCO);
		what &= ~(uint32_t)CHANGE_DISCO;
	}
	put_patch(w, n, what);
}

void
map_peer_profile_put(struct json_writer *w, int64_t user_id, const struct user *u)
{
	const char *login = user_id == USER_TAGGED_ID ? MAP_NAME_TAGGED : "";
	const char *display = login;

	if (u != NULL) {
		login = u->name;
		display = u->display_name[0] != '\0' ? u->display_name : u->name;
	}
	json_w_obj_open(w, NULL);
	json_w_int(w, "ID", user_id);
	json_w_str(w, "LoginName", login);
	json_w_str(w, "DisplayName", display);
	json_w_obj_close(w);
}
