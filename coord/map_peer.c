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

char *
map_peer_fqdn(const struct node *n, const char *base_domain, char out[MAP_FQDN_MAX])
{
	bool has_domain = base_domain != NULL && base_domain[0] != '\0';

	snprintf(out, MAP_FQDN_MAX, "%.63s.%s%s", n->name, has_domain ? base_domain : "",
	    has_domain ? "." : "");
	return out;
}

#define ADDRESSES_MAX (2 * (NET_TEXT_MAX + 8))

static char *
put_host_prefix(char *p, const struct net_ip *ip)
{
	*p++ = '"';
	net_ip_put(ip, p);
	p += strlen(p);
	return stpcpy(p, ip->family == 4 ? "/32\"" : "/128\"");
}

/* The node's addresses as an array of host prefixes; returns its length. Digits need no escape,
 * and the text is wanted twice. */
static size_t
addresses_text(const struct node *n, char out[ADDRESSES_MAX])
{
	char *p = out;

	*p++ = '[';
	if (n->ip4.family != 0)
		p = put_host_prefix(p, &n->ip4);
	if (n->ip4.family != 0 && n->ip6.family != 0)
		*p++ = ',';
	if (n->ip6.family != 0)
		p = put_host_prefix(p, &n->ip6);
	*p++ = ']';
	return (size_t)(p - out);
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
put_common(struct json_writer *w, const struct node *n, const char *base_domain)
{
	char text[MAP_FQDN_MAX], addresses[ADDRESSES_MAX];
	size_t n_addresses = addresses_text(n, addresses);

	json_w_int(w, "ID", n->id);
	snprintf(text, sizeof(text), "%lld", (long long)n->id);
	json_w_str(w, "StableID", text);
	json_w_str(w, "Name", map_peer_fqdn(n, base_domain, text));
	json_w_int(w, "User", node_owner_id(n));
	json_w_str(w, "Key", node_key_put(&n->node_key, text));
	put_disco(w, n);
	json_w_raw(w, "Addresses", addresses, n_addresses);
	json_w_raw(w, "AllowedIPs", addresses, n_addresses);
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

void
map_peer_put(struct buf *b, const struct node *n, const char *base_domain, bool is_expired)
{
	struct json_writer w;

	json_w_init(&w, b);
	json_w_obj_open(&w, NULL);
	put_common(&w, n, base_domain);
	if (n->key_expiry_unix_s != 0)
		json_w_time(&w, "KeyExpiry", n->key_expiry_unix_s);
	json_w_bool(&w, "Online", n->is_online);
	if (!n->is_online && n->last_seen_unix_s != 0)
		json_w_time(&w, "LastSeen", n->last_seen_unix_s);
	if (is_expired)
		json_w_bool(&w, "Expired", true);
	json_w_obj_close(&w);
}

void
map_peer_fragment(struct map_node *mn, const char *base_domain)
{
	struct buf b = { 0 };

	if (mn->fragment != NULL)
		return;
	map_peer_put(&b, mn->node, base_domain, mn->is_expired);
	ASSERT(b.len <= UINT32_MAX);
	mn->fragment = obj_realloc(b.p, b.len);		/* without the buffer's spare room */
	mn->fragment_bytes = (uint32_t)b.len;
}

/* What every node may: be administered, share files, run ssh; updates are the machine's own
 * affair. */
static void
put_capabilities(struct json_writer *w)
{
	static const char *const plain[] = {
		"https://tailscale.com/cap/file-sharing",
		"https://tailscale.com/cap/is-admin",
		"https://tailscale.com/cap/ssh",
	};

	json_w_obj_open(w, "CapMap");
	json_w_arr_open(w, "default-auto-update");
	json_w_bool(w, NULL, false);
	json_w_arr_close(w);
	for (unsigned i = 0; i < COUNT_OF(plain); i++) {
		json_w_arr_open(w, plain[i]);
		json_w_arr_close(w);
	}
	json_w_obj_close(w);
}

void
map_peer_self_put(struct json_writer *w, const char *name, const struct node *n,
	const char *base_domain, int64_t key_expiry_unix_s)
{
	char text[KEY_TEXT_MAX];

	json_w_obj_open(w, name);
	put_common(w, n, base_domain);
	json_w_str(w, "Machine", machine_key_put(&n->machine_key, text));
	if (key_expiry_unix_s != 0)
		json_w_time(w, "KeyExpiry", key_expiry_unix_s);
	json_w_bool(w, "Online", true);
	put_capabilities(w);
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
