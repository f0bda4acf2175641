/* A relay's first words, read. */
#include "coord/relay_hello.h"

#include <stdio.h>
#include <string.h>

enum err
relay_hello_parse(const json_t *v, const char *name, const struct net_ip *from, struct relay_hello *out,
	struct err_text *why)
{
	const char *version = json_get_str(v, "version", ""), *key = json_get_str(v, "derpKey", "");
	const char *host = json_get_str(json_get(v, "node"), "hostname", "");
	struct relay_hello h = { .version = "" };
	char text[NET_TEXT_MAX];
	json_t *node;
	enum err rc;

	if (strlen(version) >= sizeof(h.version))
		return err_say(why, ERR_LIMIT, "version is longer than %zu bytes", sizeof(h.version) - 1);
	if (strlen(key) != (size_t)2 * KEY_BYTES ||
	    key_hex_parse(key, (size_t)2 * KEY_BYTES, h.derp_key) != ERR_OK)
		return err_say(why, ERR_INVAL, "derpKey is not %d hex digits", 2 * KEY_BYTES);
	if (!json_is_object(json_get(v, "node")))
		return err_say(why, ERR_INVAL, "node is missing");
	node = json_copy((json_t *)(uintptr_t)json_get(v, "node"));
	if (host[0] == '\0')
		json_object_set_new(node, "hostname", json_string(net_ip_put(from, text)));
	rc = region_node_parse(node, &h.node, why);
	json_decref(node);
	if (rc != ERR_OK)
		return rc;
	snprintf(h.version, sizeof(h.version), "%s", version);
	snprintf(h.node.name, sizeof(h.node.name), "%s", name);
	h.node.is_meshed = false;	/* relays of ours are told of each other anyway */
	*out = h;
	return ERR_OK;
}
