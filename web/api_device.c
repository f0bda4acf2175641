/* struct node -> Device. */
#include "web/api_device.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

/* Text forms, each in a buffer of the caller. */
#define TEXT_MAX 400

static const char *
id_text(const struct tailnet *t, const struct node *n, char *b)
{
	(void)t;
	snprintf(b, TEXT_MAX, "%" PRId64, n->id);
	return b;
}

static const char *
name_text(const struct tailnet *t, const struct node *n, char *b)
{
	_Static_assert(TEXT_MAX >= 320, "tailnet_node_fqdn");
	tailnet_node_fqdn(t, n, b);
	size_t len = strlen(b);
	if (len > 0 && b[len - 1] == '.')
		b[len - 1] = 0;
	return b;
}

static const char *
user_text(const struct tailnet *t, const struct node *n, char *b)
{
	const struct user *u = map_find(&t->users, &n->user_id);

	(void)b;
	return n->n_tags > 0 ? USER_TAGGED_LOGIN : u != NULL ? u->name : "";
}

static const char *
hostname_text(const struct tailnet *t, const struct node *n, char *b)
{
	(void)t;
	(void)b;
	return n->host->hostname;
}

static const char *
os_text(const struct tailnet *t, const struct node *n, char *b)
{
	(void)t;
	(void)b;
	return n->host->os;
}

static const char *
version_text(const struct tailnet *t, const struct node *n, char *b)
{
	(void)t;
	(void)b;
	return n->host->client_version;
}

static const char *
machine_key_text(const struct tailnet *t, const struct node *n, char *b)
{
	(void)t;
	return machine_key_put(&n->machine_key, b);
}

static const char *
node_key_text(const struct tailnet *t, const struct node *n, char *b)
{
	(void)t;
	return node_key_put(&n->node_key, b);
}

/* The kept text is compact; in a string the quotes would be escaped. */
static bool
is_shielded(const struct node *n)
{
	static const char member[] = "\"ShieldsUp\":true";
	const struct shbuf *s = n->host->json;

	return s != NULL && memmem(s->bytes, s->len, member, sizeof(member) - 1) != NULL;
}

static bool
is_authorized(const struct node *n)
{
	return n->is_authorized;
}

static bool
is_ephemeral(const struct node *n)
{
	return n->is_ephemeral;
}

static bool
has_no_expiry(const struct node *n)
{
	return n->key_expiry_unix_s == 0;
}

static bool
is_online(const struct node *n)
{
	return n->is_online;
}

static bool
is_never(const struct node *n)
{
	(void)n;
	return false;
}

/* One line per member that is shown and can be filtered by. */
static const struct {
	const char *name;
	const char *(*text)(const struct tailnet *t, const struct node *n, char *b);
	bool (*flag)(const struct node *n);
} members[] = {
	{ "id", id_text, NULL }, { "nodeId", id_text, NULL }, { "user", user_text, NULL },
	{ "name", name_text, NULL }, { "hostname", hostname_text, NULL },
	{ "clientVersion", version_text, NULL }, { "os", os_text, NULL },
	{ "machineKey", machine_key_text, NULL }, { "nodeKey", node_key_text, NULL },
	{ "updateAvailable", NULL, is_never }, { "authorized", NULL, is_authorized },
	{ "isExternal", NULL, is_never }, { "isEphemeral", NULL, is_ephemeral },
	{ "blocksIncomingConnections", NULL, is_shielded }, { "keyExpiryDisabled", NULL, has_no_expiry },
	{ "connectedToControl", NULL, is_online },
};

void
api_device_put_routes(const struct node *n, struct json_writer *w)
{
	json_w_prefixes(w, "advertisedRoutes", n->host->routable_ips, n->host->n_routable_ips);
	json_w_prefixes(w, "enabledRoutes", n->approved, n->n_approved);
}

static void
connectivity_put(const struct node *n, const json_t *info, struct json_writer *w)
{
	static const struct { const char *name, *member; } supports[] = {
		{ "hairPinning", "HairPinning" }, { "ipv6", "WorkingIPv6" }, { "pcp", "PCP" },
		{ "pmp", "PMP" }, { "udp", "WorkingUDP" }, { "upnp", "UPnP" },
	};
	const json_t *net = json_object_get(info, "NetInfo");
	char text[NET_TEXT_MAX];

	json_w_obj_open(w, "clientConnectivity");
	flapi_put_endpoints(n, w);
	snprintf(text, sizeof(text), "%u", n->home_derp);
	json_w_str(w, "derp", n->home_derp != 0 ? text : "");
	json_w_bool(w, "mappingVariesByDestIP", json_get_bool(net, "MappingVariesByDestIP", false));
	json_w_obj_open(w, "latency");
	json_w_obj_close(w);
	json_w_obj_open(w, "clientSupports");
	for (size_t i = 0; i < COUNT_OF(supports); i++)
		json_w_bool(w, supports[i].name, json_get_bool(net, supports[i].member, false));
	json_w_obj_close(w);
	json_w_obj_close(w);
}

static void
all_put(const struct node *n, struct json_writer *w)
{
	json_t *info = NULL;
	const struct shbuf *s = n->host->json;

	if (s != NULL && json_parse(s->bytes, s->len, &info, NULL) != ERR_OK)
		info = NULL;
	api_device_put_routes(n, w);
	connectivity_put(n, info, w);
	json_w_bool(w, "sshEnabled", json_array_size(json_object_get(info, "sshHostKeys")) > 0);
	json_w_obj_open(w, "postureIdentity");
	json_w_bool(w, "disabled", true);
	json_w_obj_close(w);
	json_w_obj_open(w, "distro");
	json_w_str(w, "name", json_get_str(info, "Distro", ""));
	json_w_str(w, "version", json_get_str(info, "DistroVersion", ""));
	json_w_str(w, "codeName", json_get_str(info, "DistroCodeName", ""));
	json_w_obj_close(w);
	json_decref(info);
}

void
api_device_put(const struct tailnet *t, const struct node *n, bool is_all, struct json_writer *w)
{
	char text[TEXT_MAX];

	json_w_obj_open(w, NULL);
	flapi_put_addresses(n, w);
	for (size_t i = 0; i < COUNT_OF(members); i++) {
		if (members[i].text != NULL)
			json_w_str(w, members[i].name, members[i].text(t, n, text));
		else
			json_w_bool(w, members[i].name, members[i].flag(n));
	}
	json_w_time(w, "created", n->created_unix_s);
	json_w_time(w, "expires", n->key_expiry_unix_s);
	if (!n->is_online)
		json_w_time(w, "lastSeen", n->last_seen_unix_s);
	flapi_put_texts(w, "tags", n->tags, n->n_tags);
	json_w_str(w, "tailnetLockKey", "");
	json_w_str(w, "tailnetLockError", "");
	if (is_all)
		all_put(n, w);
	json_w_obj_close(w);
}

/* --- filters -------------------------------------------------------------------------------------- */

static size_t
member_find(const char *name)
{
	size_t i = 0;

	while (i < COUNT_OF(members) && strcmp(members[i].name, name) != 0)
		i++;
	return i;
}

const char *
api_device_filter_check(const struct form *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		const char *name = f->pairs[i].name;
		if (strcmp(name, "fields") != 0 && strcmp(name, "tags") != 0 && strcmp(name,
		    "addresses") != 0 &&
		    member_find(name) == COUNT_OF(members))
			return name;
	}
	return NULL;
}

static bool
has_value(const struct tailnet *t, const struct node *n, const char *name, const char *value)
{
	char text[TEXT_MAX];
	size_t at = member_find(name);

	if (at < COUNT_OF(members) && members[at].text != NULL)
		return strcmp(members[at].text(t, n, text), value) == 0;
	if (at < COUNT_OF(members))
		return strcmp(members[at].flag(n) ? "true" : "false", value) == 0;
	if (strcmp(name, "addresses") == 0)
		return strcmp(net_ip_put(&n->ip4, text), value) == 0 ||
		    strcmp(net_ip_put(&n->ip6, text), value) == 0;
	for (unsigned i = 0; i < n->n_tags; i++)
		if (strcmp(n->tags[i], value) == 0)
			return true;
	return false;
}

bool
api_device_matches(const struct tailnet *t, const struct node *n, const struct form *f)
{
	for (unsigned i = 0; i < f->n; i++) {
		const char *name = f->pairs[i].name;
		bool is_good = strcmp(name, "fields") == 0;
		for (unsigned k = 0; k < f->n && !is_good; k++)
			is_good = strcmp(f->pairs[k].name, name) == 0 && has_value(t, n, name,
			    f->pairs[k].value);
		if (!is_good)
			return false;
	}
	return true;
}
