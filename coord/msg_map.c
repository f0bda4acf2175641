/*
 * MapRequest (tailcfg.MapRequest). Member names are matched exactly, as clients write them; absent
 * and null mean the zero value, members not named here are ignored.
 *
 * zstd frame of the keep-alive (RFC 8878 3.1.1): magic | descriptor 0x20 (single segment, one byte
 * of content size, no checksum) | size 18 | block header (18 << 3 | raw << 1 | last),
 * little-endian | text.
 */
#include "coord/msg_map.h"

#include <string.h>

#include "base/json.h"
#include "base/wire.h"

#define VERSION_MAX UINT16_MAX	/* the handshake has 16 bits for it */

static enum err
take_version(const json_t *obj, uint32_t *out, struct err_text *why)
{
	const json_t *v = json_get(obj, "Version");

	if (v == NULL)
		return ERR_OK;
	if (!json_is_integer(v) || json_integer_value(v) < 0 ||
	    json_integer_value(v) > VERSION_MAX)
		return err_say(why, ERR_INVAL, "Version: no capability version");
	*out = (uint32_t)json_integer_value(v);
	return ERR_OK;
}

static enum err
take_keys(const json_t *obj, struct map_req *r, struct err_text *why)
{
	const json_t *node = json_object_get(obj, "NodeKey");
	const json_t *disco = json_get(obj, "DiscoKey");

	if (!json_is_string(node) || node_key_parse(json_string_value(node),
	    json_string_length(node), &r->node_key) != ERR_OK)
		return err_say(why, ERR_INVAL, "NodeKey: missing, or no node key");
	if (node_key_is_zero(&r->node_key))
		return err_say(why, ERR_INVAL, "NodeKey: the zero key");
	if (disco == NULL)
		return ERR_OK;
	if (!json_is_string(disco) || disco_key_parse(json_string_value(disco),
	    json_string_length(disco), &r->disco_key) != ERR_OK)
		return err_say(why, ERR_INVAL, "DiscoKey: no disco key");
	r->has_disco_key = !disco_key_is_zero(&r->disco_key);
	return ERR_OK;
}

static enum err
take_flags(const json_t *obj, struct map_req *r, struct err_text *why)
{
	enum err rc;

	if ((rc = json_get_flag(obj, "Stream", &r->is_stream, why)) != ERR_OK ||
	    (rc = json_get_flag(obj, "OmitPeers", &r->omits_peers, why)) != ERR_OK ||
	    (rc = json_get_flag(obj, "ReadOnly", &r->is_read_only, why)) != ERR_OK)
		return rc;
	r->wants_zstd = strcmp(json_get_str(obj, "Compress", ""), "zstd") == 0;
	return ERR_OK;
}

/* Type of entry i in the parallel list; 0 (unknown) where it has none. */
static uint8_t
endpoint_type(const json_t *types, size_t i)
{
	const json_t *v = json_array_get(types, i);
	int64_t type = json_is_integer(v) ? json_integer_value(v) : 0;

	return type < 0 || type > UINT8_MAX ? 0 : (uint8_t)type;
}

static enum err
take_endpoints(const json_t *obj, struct map_req *r, struct err_text *why)
{
	const json_t *list = json_get(obj, "Endpoints");
	const json_t *types = json_object_get(obj, "EndpointTypes");
	size_t n = json_array_size(list), i;
	json_t *v;

	if (list == NULL)
		return ERR_OK;
	if (!json_is_array(list))
		return err_say(why, ERR_INVAL, "Endpoints: not a list");
	r->has_endpoints = true;
	if (n == 0)
		return ERR_OK;
	r->endpoints = obj_alloc((n < MAP_ENDPOINTS_MAX ? n : MAP_ENDPOINTS_MAX) *
	    sizeof *r->endpoints);
	json_array_foreach(list, i, v) {
		struct map_endpoint *e = &r->endpoints[r->n_endpoints];

		if (!json_is_string(v))
			return err_say(why, ERR_INVAL, "Endpoints: entry %zu is no string", i);
		if (r->n_endpoints == MAP_ENDPOINTS_MAX ||
		    net_addr_parse(json_string_value(v), json_string_length(v),
		        &e->addr) != ERR_OK)
			continue;
		e->type = endpoint_type(types, i);
		r->n_endpoints++;
	}
	return ERR_OK;
}

static enum err
take_all(const json_t *obj, struct map_req *r, struct err_text *why)
{
	const json_t *host = json_get(obj, "Hostinfo");
	enum err rc;

	if (!json_is_object(obj))
		return err_say(why, ERR_INVAL, "the map request is no JSON object");
	if ((rc = take_version(obj, &r->version, why)) != ERR_OK ||
	    (rc = take_keys(obj, r, why)) != ERR_OK ||
	    (rc = take_flags(obj, r, why)) != ERR_OK ||
	    (rc = take_endpoints(obj, r, why)) != ERR_OK)
		return rc;
	return host == NULL ? ERR_OK : hostinfo_from_json(host, &r->host, why);
}

enum err
msg_map_parse(const void *p, size_t n, struct map_req **out, struct err_text *why)
{
	struct map_req *r = NULL;
	json_t *obj = NULL;
	enum err rc = json_parse(p, n, &obj, why);

	if (rc != ERR_OK)
		return rc;
	r = obj_alloc(sizeof *r);
	rc = take_all(obj, r, why);
	json_decref(obj);
	if (rc == ERR_OK)
		*out = r;
	else
		msg_map_free(r);
	return rc;
}

void
msg_map_free(struct map_req *r)
{
	if (r == NULL)
		return;
	free(r->endpoints);
	hostinfo_drop(r->host);
	free(r);
}

void
msg_map_put_length(uint8_t out[MSG_MAP_LENGTH_BYTES], size_t n)
{
	ASSERT(n <= UINT32_MAX);
	wire_put_u32le(out, (uint32_t)n);
}

const uint8_t *
msg_map_keepalive(size_t *n)
{
	static const uint8_t frame[] =
	    "\x28\xb5\x2f\xfd" "\x20" "\x12" "\x91\x00\x00" "{\"KeepAlive\":true}";

	*n = sizeof frame - 1;
	return frame;
}
