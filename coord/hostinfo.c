/*
 * Hostinfo (tailcfg.Hostinfo of 1.103): what is used, kept and shown.
 *
 * Peers decode a whole map or nothing: one member of the wrong type in one node's Hostinfo would
 * blind everybody who sees that node. So what peers are shown is made anew from members whose type
 * was checked. Of those known in 1.103 only the ones that clients read of a peer are shown
 * (ipn/ipnlocal, feature/taildrop, net/traffic, appc, WhoIs); log ids, NetInfo, requested tags,
 * host details are not. Members not known here are passed on, within bounds, since newer peers may
 * want them; but Go matches names without regard to case, so one that differs from a known name
 * only in that, or is not plain ASCII, is dropped.
 */
#include "coord/hostinfo.h"

#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "coord/tag.h"

#define UNKNOWN_MAX		16	/* members passed on */
#define UNKNOWN_BYTES_MAX	1024	/* of one such value */
#define UNKNOWN_NAME_MAX	64
#define SERVICES_MAX		16
#define SSH_KEYS_MAX		16
#define SSH_KEY_BYTES_MAX	4096
#define TEXT_BYTES_MAX		255

enum shown { HIDDEN, TEXT, BOOLEAN, ROUTES, SERVICES, SSH_KEYS, LOCATION };

static const struct member {
	const char *name;
	enum shown shown;
} members[] = {
	{ "OS", TEXT }, { "Hostname", TEXT }, { "App", TEXT },
	{ "ShieldsUp", BOOLEAN }, { "AppConnector", BOOLEAN }, { "PeerRelay", BOOLEAN },
	{ "IngressEnabled", BOOLEAN },
	{ "RoutableIPs", ROUTES }, { "Services", SERVICES }, { "sshHostKeys", SSH_KEYS },
	{ "Location", LOCATION },
	{ "IPNVersion", HIDDEN }, { "FrontendLogID", HIDDEN }, { "BackendLogID", HIDDEN },
	{ "OSVersion", HIDDEN }, { "Container", HIDDEN }, { "Env", HIDDEN }, { "Distro", HIDDEN },
	{ "DistroVersion", HIDDEN }, { "DistroCodeName", HIDDEN }, { "Desktop", HIDDEN },
	{ "Package", HIDDEN }, { "DeviceModel", HIDDEN }, { "PushDeviceToken", HIDDEN },
	{ "ShareeNode", HIDDEN }, { "NoLogsNoSupport", HIDDEN }, { "RemoteConfig", HIDDEN },
	{ "WireIngress", HIDDEN }, { "AllowsUpdate", HIDDEN }, { "Machine", HIDDEN },
	{ "GoArch", HIDDEN }, { "GoArchVar", HIDDEN }, { "GoVersion", HIDDEN },
	{ "RequestTags", HIDDEN }, { "WoLMACs", HIDDEN }, { "NetInfo", HIDDEN },
	{ "Cloud", HIDDEN }, { "Userspace", HIDDEN }, { "UserspaceRouter", HIDDEN },
	{ "ServicesHash", HIDDEN }, { "ExitNodeID", HIDDEN }, { "TPM", HIDDEN },
	{ "StateEncrypted", HIDDEN },
};

/* --- what peers are shown --------------------------------------------------------------------- */

static bool
is_short_text(const json_t *v)
{
	return json_is_string(v) && json_string_length(v) <= TEXT_BYTES_MAX;
}

static void
put_routes(struct json_writer *w, const struct hostinfo *h)
{
	if (h->n_routable_ips > 0)
		json_w_prefixes(w, "RoutableIPs", h->routable_ips, h->n_routable_ips);
}

/* Peers look for peerapi services only; open ports of the host are nobody's business. */
static void
put_services(struct json_writer *w, const json_t *v)
{
	unsigned n = 0;
	json_t *s;
	size_t i;

	if (!json_is_array(v))
		return;
	json_w_arr_open(w, "Services");
	json_array_foreach(v, i, s) {
		const char *proto = json_get_str(s, "Proto", "");
		int64_t port = json_get_int(s, "Port", -1);

		if (strncmp(proto, "peerapi", 7) != 0 || port < 0 || port > UINT16_MAX ||
		    !is_short_text(json_object_get(s, "Proto")) || n == SERVICES_MAX)
			continue;
		n++;
		json_w_obj_open(w, NULL);
		json_w_str(w, "Proto", proto);
		json_w_int(w, "Port", port);
		if (is_short_text(json_object_get(s, "Description")))
			json_w_str(w, "Description", json_get_str(s, "Description", ""));
		json_w_obj_close(w);
	}
	json_w_arr_close(w);
}

static void
put_ssh_keys(struct json_writer *w, const json_t *v)
{
	unsigned n = 0;
	json_t *s;
	size_t i;

	if (!json_is_array(v))
		return;
	json_w_arr_open(w, "sshHostKeys");
	json_array_foreach(v, i, s)
		if (json_is_string(s) && json_string_length(s) <= SSH_KEY_BYTES_MAX &&
		    n++ < SSH_KEYS_MAX)
			json_w_str(w, NULL, json_string_value(s));
	json_w_arr_close(w);
}

static void
put_location(struct json_writer *w, const json_t *v)
{
	static const char *const texts[] = { "Country", "CountryCode", "City", "CityCode" };
	static const char *const numbers[] = { "Latitude", "Longitude" };

	if (!json_is_object(v))
		return;
	json_w_obj_open(w, "Location");
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (is_short_text(json_object_get(v, texts[i])))
			json_w_str(w, texts[i], json_get_str(v, texts[i], ""));
	for (size_t i = 0; i < COUNT_OF(numbers); i++) {
		struct buf b = { 0 };
		const json_t *n = json_object_get(v, numbers[i]);

		if (!json_is_number(n))
			continue;
		json_dump_to(&b, n);
		json_w_raw(w, numbers[i], b.p, b.len);
		buf_fini(&b);
	}
	if (json_is_integer(json_object_get(v, "Priority")))
		json_w_int(w, "Priority", json_get_int(v, "Priority", 0));
	json_w_obj_close(w);
}

static void
put_known(struct json_writer *w, const struct hostinfo *h, const json_t *obj,
	const struct member *m)
{
	const json_t *v = json_object_get(obj, m->name);

	switch (m->shown) {
	case HIDDEN:
		break;
	case TEXT:
		if (is_short_text(v))
			json_w_str(w, m->name, json_string_value(v));
		break;
	case BOOLEAN:
		if (json_is_boolean(v))
			json_w_bool(w, m->name, json_is_true(v));
		break;
	case ROUTES:
		put_routes(w, h);
		break;
	case SERVICES:
		put_services(w, v);
		break;
	case SSH_KEYS:
		put_ssh_keys(w, v);
		break;
	case LOCATION:
		put_location(w, v);
		break;
	}
}

static bool
is_passed_on(const char *name)
{
	if (strlen(name) > UNKNOWN_NAME_MAX)
		return false;
	for (const char *c = name; *c != '\0'; c++)
		if (*c < 0x20 || *c > 0x7e)
			return false;
	for (size_t i = 0; i < COUNT_OF(members); i++)
		if (strcasecmp(name, members[i].name) == 0)
			return false;
	return true;
}

static void
put_unknown(struct json_writer *w, const json_t *obj)
{
	struct buf b = { 0 };
	const char *name;
	unsigned n = 0;
	json_t *v;

	json_object_foreach((json_t *)(uintptr_t)obj, name, v) {
		if (n == UNKNOWN_MAX || json_is_null(v) || !is_passed_on(name))
			continue;
		buf_clear(&b);
		json_dump_to(&b, v);
		if (b.len > UNKNOWN_BYTES_MAX)
			continue;
		json_w_raw(w, name, b.p, b.len);
		n++;
	}
	buf_fini(&b);
}

static struct shbuf *
peer_text(const struct hostinfo *h, const json_t *obj)
{
	struct buf b = { 0 };
	struct json_writer w;
	struct shbuf *s;

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	for (size_t i = 0; i < COUNT_OF(members); i++)
		put_known(&w, h, obj, &members[i]);
	put_unknown(&w, obj);
	json_w_obj_close(&w);
	s = shbuf_new(b.p, b.len);
	buf_fini(&b);
	return s;
}

/* --- what is kept ----------------------------------------------------------------------------- */

/* Compact text with NetInfo, if any, as the last member, so that it can be handed on. */
static enum err
whole_text(struct hostinfo *h, const json_t *obj, struct err_text *why)
{
	const json_t *netinfo = json_object_get(obj, "NetInfo");
	struct buf b = { 0 };
	struct json_writer w;
	const char *name;
	enum err rc = ERR_OK;
	json_t *v;

	json_w_init(&w, &b);
	json_w_obj_open(&w, NULL);
	json_object_foreach((json_t *)(uintptr_t)obj, name, v) {
		struct buf value = { 0 };

		if (v == netinfo)
			continue;
		json_dump_to(&value, v);
		json_w_raw(&w, name, value.p, value.len);
		buf_fini(&value);
	}
	if (h->has_netinfo) {
		struct buf value = { 0 };

		json_dump_to(&value, netinfo);
		json_w_raw(&w, "NetInfo", value.p, value.len);
		h->_netinfo_at = (uint32_t)(b.len - value.len);
		buf_fini(&value);
	}
	json_w_obj_close(&w);
	if (b.len > HOSTINFO_JSON_MAX)
		rc = err_say(why, ERR_LIMIT, "Hostinfo: longer than %u bytes", HOSTINFO_JSON_MAX);
	else
		h->json = shbuf_new(b.p, b.len);
	buf_fini(&b);
	return rc;
}

/* --- members we use --------------------------------------------------------------------------- */

/* A copy of at most cap - 1 bytes, cut at a character. */
static enum err
take_text(const json_t *obj, const char *name, char *out, size_t cap, struct err_text *why)
{
	const json_t *v = json_get(obj, name);
	size_t n;

	if (v == NULL)
		return ERR_OK;
	if (!json_is_string(v))
		return err_say(why, ERR_INVAL, "Hostinfo.%s: not a string", name);
	n = json_string_length(v);
	if (n >= cap) {
		n = cap - 1;
		while (n > 0 && ((uint8_t)json_string_value(v)[n] & 0xc0) == 0x80)
			n--;
	}
	memcpy(out, json_string_value(v), n);
	return ERR_OK;
}

/* An array of at most max entries; *out NULL when it is absent. */
static enum err
take_array(const json_t *obj, const char *name, size_t max, const json_t **out,
	struct err_text *why)
{
	const json_t *v = json_get(obj, name);

	*out = NULL;
	if (v == NULL)
		return ERR_OK;
	if (!json_is_array(v))
		return err_say(why, ERR_INVAL, "Hostinfo.%s: not a list", name);
	if (json_array_size(v) > max)
		return err_say(why, ERR_LIMIT, "Hostinfo.%s: more than %zu entries", name, max);
	*out = v;
	return ERR_OK;
}

static enum err
take_tags(struct hostinfo *h, const json_t *obj, struct err_text *why)
{
	const char *tags[HOSTINFO_TAGS_MAX];
	const json_t *list;
	json_t *v;
	size_t i;
	enum err rc = take_array(obj, "RequestTags", HOSTINFO_TAGS_MAX, &list, why);

	if (rc != ERR_OK || list == NULL)
		return rc;
	json_array_foreach(list, i, v) {
		tags[i] = json_string_value(v);
		if (tags[i] == NULL || !tag_is_valid(tags[i]))
			return err_say(why, ERR_INVAL, "Hostinfo.RequestTags: \"%.80s\" is no tag "
			    "(\"tag:\", a letter, then letters, digits and -)",
			    tags[i] != NULL ? tags[i] : "?");
	}
	tag_list_copy(tags, (unsigned)json_array_size(list), &h->request_tags, &h->n_request_tags);
	return ERR_OK;
}

/* More than we carry are no reason to keep a node out: the first ones count. */
static enum err
take_routes(struct hostinfo *h, const json_t *obj, struct err_text *why)
{
	const json_t *list;
	json_t *v;
	size_t i, n;
	enum err rc = take_array(obj, "RoutableIPs", SIZE_MAX, &list, why);

	if (rc != ERR_OK || list == NULL || json_array_size(list) == 0)
		return rc;
	n = json_array_size(list) < HOSTINFO_ROUTES_MAX ? json_array_size(list) : HOSTINFO_ROUTES_MAX;
	h->routable_ips = obj_alloc(n * sizeof *h->routable_ips);
	json_array_foreach(list, i, v) {
		const char *s = json_is_string(v) ? json_string_value(v) : "?";

		if (i == n)
			break;
		if (net_prefix_parse(s, strlen(s), &h->routable_ips[i]) != ERR_OK)
			return err_say(why, ERR_INVAL,
			    "Hostinfo.RoutableIPs: \"%.80s\" is no network prefix", s);
	}
	h->n_routable_ips = (unsigned)n;
	h->n_left_out = (unsigned)(json_array_size(list) - n);
	return ERR_OK;
}

static enum err
take_netinfo(struct hostinfo *h, const json_t *obj, struct err_text *why)
{
	const json_t *v = json_get(obj, "NetInfo"), *derp;

	if (v == NULL)
		return ERR_OK;
	if (!json_is_object(v))
		return err_say(why, ERR_INVAL, "Hostinfo.NetInfo: not an object");
	derp = json_get(v, "PreferredDERP");
	if (derp != NULL) {
		if (!json_is_integer(derp) || json_integer_value(derp) < 0 ||
		    json_integer_value(derp) > INT32_MAX)
			return err_say(why, ERR_INVAL,
			    "Hostinfo.NetInfo.PreferredDERP: no region number");
		h->preferred_derp = (uint32_t)json_integer_value(derp);
	}
	h->has_netinfo = true;
	return ERR_OK;
}

static enum err
take_members(struct hostinfo *h, const json_t *obj, struct err_text *why)
{
	enum err rc;

	if ((rc = take_text(obj, "Hostname", h->hostname, sizeof h->hostname, why)) != ERR_OK ||
	    (rc = take_text(obj, "OS", h->os, sizeof h->os, why)) != ERR_OK ||
	    (rc = take_text(obj, "OSVersion", h->os_version, sizeof h->os_version,
	        why)) != ERR_OK ||
	    (rc = take_text(obj, "IPNVersion", h->client_version, sizeof h->client_version,
	        why)) != ERR_OK ||
	    (rc = take_tags(h, obj, why)) != ERR_OK ||
	    (rc = take_routes(h, obj, why)) != ERR_OK ||
	    (rc = take_netinfo(h, obj, why)) != ERR_OK)
		return rc;
	return whole_text(h, obj, why);
}

/* --- public ----------------------------------------------------------------------------------- */

enum err
hostinfo_from_json(const json_t *v, struct hostinfo **out, struct err_text *why)
{
	json_t *empty = NULL;
	struct hostinfo *h;
	enum err rc;

	if (v == NULL || json_is_null(v))
		v = empty = json_object();
	if (!json_is_object(v))
		return err_say(why, ERR_INVAL, "Hostinfo: not an object");
	h = obj_alloc(sizeof *h);
	atomic_init(&h->refs, 1);
	if ((rc = take_members(h, v, why)) != ERR_OK) {
		hostinfo_drop(h);
		goto out;
	}
	h->peer_json = peer_text(h, v);
	*out = h;
out:
	json_decref(empty);
	return rc;
}

enum err
hostinfo_parse(const void *p, size_t n, struct hostinfo **out, struct err_text *why)
{
	json_t *v = NULL;
	enum err rc = json_parse(p, n, &v, why);

	if (rc == ERR_OK)
		rc = hostinfo_from_json(v, out, why);
	json_decref(v);
	return rc;
}

/* next with old's NetInfo behind its other members. */
static struct hostinfo *
with_netinfo(const struct hostinfo *next, const struct hostinfo *old)
{
	size_t n_value = old->json->len - 1 - old->_netinfo_at, n = next->n_routable_ips;
	struct hostinfo *h = obj_alloc(sizeof *h);
	struct buf b = { 0 };

	*h = *next;
	atomic_init(&h->refs, 1);
	tag_list_copy((const char *const *)next->request_tags, next->n_request_tags,
	    &h->request_tags, &h->n_request_tags);
	h->routable_ips = NULL;
	if (n > 0) {
		h->routable_ips = obj_alloc(n * sizeof *h->routable_ips);
		memcpy(h->routable_ips, next->routable_ips, n * sizeof *h->routable_ips);
	}
	h->peer_json = shbuf_hold(next->peer_json);
	buf_append(&b, next->json->bytes, next->json->len - 1);
	buf_str(&b, next->json->len > 2 ? ",\"NetInfo\":" : "\"NetInfo\":");
	h->_netinfo_at = (uint32_t)b.len;
	buf_append(&b, old->json->bytes + old->_netinfo_at, n_value);
	buf_byte(&b, '}');
	h->json = shbuf_new(b.p, b.len);
	buf_fini(&b);
	h->has_netinfo = true;
	h->preferred_derp = old->preferred_derp;
	return h;
}

struct hostinfo *
hostinfo_merge_take(struct hostinfo *next, const struct hostinfo *old)
{
	struct hostinfo *h;

	/* Both texts are bounded, and so is their sum by HOSTINFO_JSON_MAX: else it could not be
	 * read again. */
	if (next->has_netinfo || old == NULL || !old->has_netinfo ||
	    next->json->len + (old->json->len - old->_netinfo_at) + 16 > HOSTINFO_JSON_MAX)
		return next;
	h = with_netinfo(next, old);
	hostinfo_drop(next);
	return h;
}

bool
hostinfo_peer_eq(const struct hostinfo *a, const struct hostinfo *b)
{
	if (a == b || a == NULL || b == NULL)
		return a == b;
	return shbuf_eq(a->peer_json, b->peer_json);
}

struct hostinfo *
hostinfo_hold(struct hostinfo *h)
{
	atomic_fetch_add_explicit(&h->refs, 1, memory_order_relaxed);
	return h;
}

void
hostinfo_drop(struct hostinfo *h)
{
	if (h == NULL || atomic_fetch_sub_explicit(&h->refs, 1, memory_order_acq_rel) != 1)
		return;
	tag_list_free(h->request_tags, h->n_request_tags);
	free(h->routable_ips);
	shbuf_drop(h->json);
	shbuf_drop(h->peer_json);
	free(h);
}
