/* The greeting's boxes and JSON. Layout in derp_hello.h. */
#include "relay/derp_hello.h"

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/rand.h"
#include "relay/derp_frame.h"

#define NONCE_BYTES	crypto_box_NONCEBYTES
#define TAG_BYTES	crypto_box_MACBYTES

static const uint8_t magic[8] = { 'D', 'E', 'R', 'P', 0xf0, 0x9f, 0x94, 0x91 };
static const char server_info[] = "{\"version\":2}";

static_assert(DERP_HELLO_KEY_BYTES == DERP_FRAME_HDR_BYTES + sizeof magic + KEY_BYTES, "ServerKey");
static_assert(DERP_HELLO_INFO_BYTES ==
    DERP_FRAME_HDR_BYTES + NONCE_BYTES + TAG_BYTES + sizeof server_info - 1, "ServerInfo");

void
derp_hello_key_put(const uint8_t server_public[KEY_BYTES], uint8_t out[DERP_HELLO_KEY_BYTES])
{
	size_t n = derp_frame_put_hdr(out, DERP_FRAME_SERVER_KEY, sizeof magic + KEY_BYTES);

	memcpy(out + n, magic, sizeof magic);
	memcpy(out + n + sizeof magic, server_public, KEY_BYTES);
}

static enum err
read_bool(const json_t *v, void *out)
{
	if (!json_is_boolean(v))
		return ERR_PROTO;
	*(bool *)out = json_is_true(v);
	return ERR_OK;
}

static enum err
read_version(const json_t *v, void *out)
{
	if (!json_is_integer(v))
		return ERR_PROTO;
	*(int64_t *)out = json_integer_value(v);
	return ERR_OK;
}

static enum err
read_mesh_key(const json_t *v, void *out)
{
	struct derp_hello_info *info = out;

	if (!json_is_string(v) || json_string_length(v) != 2 * KEY_BYTES ||
	    key_hex_parse(json_string_value(v), 2 * KEY_BYTES, info->mesh_key) != ERR_OK)
		return ERR_PROTO;
	info->has_mesh_key = true;
	return ERR_OK;
}

static enum err
read_member(const char *name, const json_t *v, struct derp_hello_info *info)
{
	const struct {
		const char *name;
		enum err (*read)(const json_t *v, void *out);
		void *out;
	} members[] = {
		{ "version", read_version, &info->version },
		{ "CanAckPings", read_bool, &info->can_ack_pings },
		{ "IsProber", read_bool, &info->is_prober },
		{ "meshKey", read_mesh_key, info },
	};

	if (json_is_null(v))
		return ERR_OK;	/* as if it were absent, as Go has it */
	for (size_t i = 0; i < COUNT_OF(members); i++) {
		if (strcasecmp(name, members[i].name) == 0)
			return members[i].read(v, members[i].out);
	}
	return ERR_OK;
}

enum err
derp_hello_parse(const uint8_t *json, size_t n, struct derp_hello_info *out)
{
	struct derp_hello_info info = { .key = out->key };
	enum err rc = ERR_PROTO;
	json_t *root = NULL, *value;
	const char *name;

	if (json_parse(json, n, &root, NULL) != ERR_OK || !json_is_object(root))
		goto out;
	json_object_foreach(root, name, value) {
		if ((rc = read_member(name, value, &info)) != ERR_OK)
			goto out;
	}
	*out = info;
	rc = ERR_OK;
out:
	json_decref(root);
	return rc;
}

enum err
derp_hello_open(const uint8_t *payload, size_t n, const struct private_key *server,
	struct derp_hello_info *out)
{
	uint8_t plain[DERP_FRAME_INFO_MAX_BYTES];
	struct derp_hello_info info = { .version = 0 };
	const uint8_t *nonce = payload + KEY_BYTES, *box = nonce + NONCE_BYTES;
	enum err rc;

	if (n < DERP_FRAME_INFO_MIN_BYTES || n > DERP_FRAME_INFO_MAX_BYTES)
		return ERR_LIMIT;
	n -= KEY_BYTES + NONCE_BYTES;
	memcpy(info.key.b, payload, KEY_BYTES);
	if (n < TAG_BYTES || crypto_box_open_easy(plain, box, n, nonce, info.key.b, server->b) != 0)
		return ERR_CRYPTO;
	rc = derp_hello_parse(plain, n - TAG_BYTES, &info);
	sodium_memzero(plain, n);	/* a mesh key may be in it */
	if (rc == ERR_OK)
		*out = info;
	return rc;
}

enum err
derp_hello_info_put(const struct node_key *client, const struct private_key *server,
	uint8_t out[DERP_HELLO_INFO_BYTES])
{
	size_t n = derp_frame_put_hdr(out, DERP_FRAME_SERVER_INFO,
	    DERP_HELLO_INFO_BYTES - DERP_FRAME_HDR_BYTES);
	uint8_t *nonce = out + n;

	rand_bytes(nonce, NONCE_BYTES);
	if (crypto_box_easy(nonce + NONCE_BYTES, (const uint8_t *)server_info,
	    sizeof server_info - 1, nonce, client->b, server->b) != 0)
		return ERR_CRYPTO;
	return ERR_OK;
}

/* --- as a client ------------------------------------------------------------------------------ */

enum err
derp_hello_key_parse(const uint8_t *payload, size_t n, uint8_t out[KEY_BYTES])
{
	if (n < sizeof magic + KEY_BYTES || memcmp(payload, magic, sizeof magic) != 0)
		return ERR_PROTO;
	memcpy(out, payload + sizeof magic, KEY_BYTES);
	return ERR_OK;
}

enum err
derp_hello_client_put(const uint8_t server_public[KEY_BYTES], const struct private_key *own,
	const uint8_t mesh_key[KEY_BYTES], uint8_t out[DERP_HELLO_CLIENT_MAX_BYTES], size_t *n)
{
	uint8_t *key = out + DERP_FRAME_HDR_BYTES, *nonce = key + KEY_BYTES;
	char json[128], hex[2 * KEY_BYTES + 1];
	size_t n_json = 1, n_payload;
	enum err rc = ERR_OK;

	json[0] = '{';
	if (mesh_key != NULL)
		n_json += (size_t)snprintf(json + n_json, sizeof json - n_json, "\"meshKey\":\"%s\",",
		    key_hex_put(mesh_key, KEY_BYTES, hex));
	n_json += (size_t)snprintf(json + n_json, sizeof json - n_json,
	    "\"version\":%d,\"CanAckPings\":true}", DERP_HELLO_VERSION);
	n_payload = KEY_BYTES + NONCE_BYTES + TAG_BYTES + n_json;

	static_assert(DERP_FRAME_HDR_BYTES + KEY_BYTES + NONCE_BYTES + TAG_BYTES + sizeof json <=
	    DERP_HELLO_CLIENT_MAX_BYTES, "ClientInfo");
	private_key_public(own, key);
	rand_bytes(nonce, NONCE_BYTES);
	if (crypto_box_easy(nonce + NONCE_BYTES, (const uint8_t *)json, n_json, nonce, server_public,
	    own->b) != 0)
		rc = ERR_CRYPTO;
	sodium_memzero(json, sizeof json);
	sodium_memzero(hex, sizeof hex);
	*n = derp_frame_put_hdr(out, DERP_FRAME_CLIENT_INFO, (uint32_t)n_payload) + n_payload;
	return rc;
}
