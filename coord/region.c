/* Regions: what is valid, and JSON. */
#include "coord/region.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

#define PIN_PREFIX	"sha256-raw:"
#define PIN_DIGITS	64

/* --- checks ----------------------------------------------------------------------------------- */

static bool
is_word(const char *s, size_t max)
{
	size_t n = strlen(s);

	return n > 0 && n <= max && s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-")] == '\0' &&
	    s[0] != '-' && s[n - 1] != '-';
}

static bool
is_dns_name(const char *s)
{
	size_t n = strlen(s), label;

	if (n == 0 || n > 253)
		return false;
	for (const char *p = s;; p += label + 1) {
		label = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-");
		if (label == 0 || label > 63 || p[0] == '-' || p[label - 1] == '-' ||
		    (p[label] != '.' && p[label] != '\0'))
			return false;
		if (p[label] == '\0')
			return true;
	}
}

uint8_t
region_host_family(const char *host, char text[NET_TEXT_MAX])
{
	struct net_ip ip;
	size_t n = strlen(host);

	if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
		host++;
		n -= 2;
	}
	if (net_ip_parse(host, n, &ip) != ERR_OK)
		return 0;
	net_ip_put(&ip, text);
	return ip.family;
}

static bool
is_ip_word(const char *s, uint8_t family)
{
	char text[NET_TEXT_MAX];

	return s[0] == '\0' || strcmp(s, "none") == 0 || region_host_family(s, text) == family;
}

static bool
is_cert_name(const char *s)
{
	size_t n = sizeof(PIN_PREFIX) - 1;

	if (s[0] == '\0')
		return true;
	if (strncmp(s, PIN_PREFIX, n) != 0)
		return is_dns_name(s);
	return strlen(s + n) == PIN_DIGITS && strspn(s + n, "0123456789abcdef") == PIN_DIGITS;
}

enum err
region_node_check(const struct region_node *n, struct err_text *why)
{
	char text[NET_TEXT_MAX];

	if (n->name[0] != '\0' && !is_word(n->name, sizeof(n->name) - 1))
		return err_say(why, ERR_INVAL, "name: \"%.40s\" is not 1 to 39 characters of [a-z0-9-]",
		    n->name);
	if (region_host_family(n->host, text) == 0 && !is_dns_name(n->host))
		return err_say(why, ERR_INVAL, "hostname: \"%.100s\" is no host name in lower case, and no "
		    "address", n->host);
	if (!is_ip_word(n->ipv4, 4))
		return err_say(why, ERR_INVAL, "ipv4: \"%.60s\" is no IPv4 address and not \"none\"", n->ipv4);
	if (!is_ip_word(n->ipv6, 6))
		return err_say(why, ERR_INVAL, "ipv6: \"%.60s\" is no IPv6 address and not \"none\"", n->ipv6);
	if (!is_cert_name(n->cert_name))
		return err_say(why, ERR_INVAL, "certName: \"%.100s\" is no host name, and not " PIN_PREFIX
		    " with 64 hex digits in lower case", n->cert_name);
	if (n->derp_port == 0)
		return err_say(why, ERR_INVAL, "derpPort is a number from 1 to 65535");
	if (n->stun_port == 0 || n->stun_port < -1 || n->stun_port > 65535)
		return err_say(why, ERR_INVAL, "stunPort is a number from 1 to 65535, or -1 for none");
	return ERR_OK;
}

enum err
region_relay_name_check(const char *name, struct err_text *why)
{
	if (is_word(name, REGION_RELAY_NAME_MAX - 1))
		return ERR_OK;
	return err_say(why, ERR_INVAL, "\"%.60s\" is no name for a relay: 1 to 39 characters of [a-z0-9-]",
	    name);
}

enum err
region_check(const struct region *r, struct err_text *why)
{
	if (r->id == 0 || r->id > REGION_ID_MAX)
		return err_say(why, ERR_INVAL, "the id of a region is a number from 1 to %u", REGION_ID_MAX);
	if (!is_word(r->code, REGION_CODE_MAX - 1))
		return err_say(why, ERR_INVAL, "code: \"%.40s\" is not 1 to 16 characters of [a-z0-9-]",
		    r->code);
	if (r->name[0] == '\0' || r->name[strcspn(r->name, "\r\n\t")] != '\0')
		return err_say(why, ERR_INVAL, "a region has a name of one line");
	for (unsigned i = 0; i < r->n_nodes; i++) {
		enum err rc = region_node_check(&r->nodes[i], why);

		if (rc != ERR_OK)
			return rc;
		for (unsigned k = 0; k < i; k++)
			if (strcmp(r->nodes[i].name, r->nodes[k].name) == 0)
				return err_say(why, ERR_INVAL, "two nodes are called %s", r->nodes[i].name);
	}
	return ERR_OK;
}

/* --- JSON ------------------------------------------------------------------------------------- */

enum member { M_NAME, M_HOST, M_IPV4, M_IPV6, M_CERT, M_DERP, M_STUN, M_PORT80, M_MESH, M_COUNT };

static const char *const members[M_COUNT] = {
	[M_NAME] = "name", [M_HOST] = "hostname", [M_IPV4] = "ipv4", [M_IPV6] = "ipv6",
	[M_CERT] = "certName", [M_DERP] = "derpPort", [M_STUN] = "stunPort", [M_PORT80] = "canPort80",
	[M_MESH] = "mesh",
};

static enum err
text_take(const char *member, const json_t *v, char *out, size_t n, struct err_text *why)
{
	if (!json_is_string(v))
		return err_say(why, ERR_INVAL, "%s must be a string", member);
	if (json_string_length(v) >= n)
		return err_say(why, ERR_LIMIT, "%s is longer than %zu bytes", member, n - 1);
	memset(out, 0, n);
	memcpy(out, json_string_value(v), json_string_length(v));
	return ERR_OK;
}

static enum err
port_take(const char *member, const json_t *v, int32_t *out, struct err_text *why)
{
	json_int_t n = json_integer_value(v);

	if (!json_is_integer(v) || n < -1 || n > 65535)
		return err_say(why, ERR_INVAL, "%s must be a port", member);
	*out = (int32_t)n;
	return ERR_OK;
}

static enum err
flag_take(const char *member, const json_t *v, bool *out, struct err_text *why)
{
	if (!json_is_boolean(v))
		return err_say(why, ERR_INVAL, "%s must be true or false", member);
	*out = json_is_true(v);
	return ERR_OK;
}

static enum err
member_take(const char *name, const json_t *v, struct region_node *n, struct err_text *why)
{
	int32_t port = 0;
	enum err rc;
	unsigned m = 0;

	while (m < M_COUNT && strcmp(members[m], name) != 0)
		m++;
	switch (m) {
	case M_NAME:
		return text_take(name, v, n->name, sizeof(n->name), why);
	case M_HOST:
		return text_take(name, v, n->host, sizeof(n->host), why);
	case M_IPV4:
		return text_take(name, v, n->ipv4, sizeof(n->ipv4), why);
	case M_IPV6:
		return text_take(name, v, n->ipv6, sizeof(n->ipv6), why);
	case M_CERT:
		return text_take(name, v, n->cert_name, sizeof(n->cert_name), why);
	case M_DERP:
		if ((rc = port_take(name, v, &port, why)) == ERR_OK)
			n->derp_port = port < 0 ? 0 : (uint16_t)port;
		return rc;
	case M_STUN:
		return port_take(name, v, &n->stun_port, why);
	case M_PORT80:
		return flag_take(name, v, &n->can_port80, why);
	case M_MESH:
		return flag_take(name, v, &n->is_meshed, why);
	default:
		return err_say(why, ERR_INVAL, "a node has no member \"%.60s\"", name);
	}
}

enum err
region_node_parse(const json_t *v, struct region_node *out, struct err_text *why)
{
	struct region_node n = { .derp_port = REGION_DERP_PORT, .stun_port = REGION_STUN_PORT };
	const char *name;
	json_t *member;
	enum err rc;

	if (!json_is_object(v))
		return err_say(why, ERR_INVAL, "a node is an object");
	json_object_foreach((json_t *)(uintptr_t)v, name, member)
		if ((rc = member_take(name, member, &n, why)) != ERR_OK)
			return rc;
	if ((rc = region_node_check(&n, why)) == ERR_OK)
		*out = n;
	return rc;
}

static bool
has_node(const struct region *r, const char *name)
{
	for (unsigned i = 0; i < r->n_nodes; i++)
		if (strcmp(r->nodes[i].name, name) == 0)
			return true;
	return false;
}

/* "5a", "5b", …; there are more letters than nodes. */
static void
node_name(const struct region *r, char out[REGION_RELAY_NAME_MAX])
{
	char text[REGION_RELAY_NAME_MAX], c = 'a';

	do
		snprintf(text, sizeof(text), "%u%c", r->id, c++);
	while (has_node(r, text));
	memcpy(out, text, sizeof(text));
}

enum err
region_nodes_parse(const json_t *array, struct region *r, struct err_text *why)
{
	struct region_node nodes[REGION_NODES_MAX];
	size_t n = json_array_size(array);
	enum err rc;

	if (!json_is_array(array))
		return err_say(why, ERR_INVAL, "nodes must be an array");
	if (n > REGION_NODES_MAX)
		return err_say(why, ERR_LIMIT, "a region has at most %d nodes", REGION_NODES_MAX);
	for (size_t i = 0; i < n; i++)
		if ((rc = region_node_parse(json_array_get(array, i), &nodes[i], why)) != ERR_OK)
			return rc;
	r->n_nodes = (unsigned)n;
	memcpy(r->nodes, nodes, n * sizeof(nodes[0]));
	for (size_t i = 0; i < n; i++)
		if (r->nodes[i].name[0] == '\0')
			node_name(r, r->nodes[i].name);
	return ERR_OK;
}

void
region_node_put(const struct region_node *n, const char *name, struct json_writer *w)
{
	json_w_obj_open(w, name);
	json_w_str(w, members[M_NAME], n->name);
	json_w_str(w, members[M_HOST], n->host);
	json_w_str(w, members[M_IPV4], n->ipv4);
	json_w_str(w, members[M_IPV6], n->ipv6);
	json_w_int(w, members[M_DERP], n->derp_port);
	json_w_int(w, members[M_STUN], n->stun_port);
	json_w_str(w, members[M_CERT], n->cert_name);
	json_w_bool(w, members[M_PORT80], n->can_port80);
	json_w_bool(w, members[M_MESH], n->is_meshed);
	json_w_obj_close(w);
}

void
region_nodes_put(const struct region *r, const char *name, struct json_writer *w)
{
	json_w_arr_open(w, name);
	for (unsigned i = 0; i < r->n_nodes; i++)
		region_node_put(&r->nodes[i], NULL, w);
	json_w_arr_close(w);
}

bool
region_node_eq(const struct region_node *a, const struct region_node *b)
{
	return strcmp(a->name, b->name) == 0 && strcmp(a->host, b->host) == 0 &&
	    strcmp(a->ipv4, b->ipv4) == 0 && strcmp(a->ipv6, b->ipv6) == 0 &&
	    strcmp(a->cert_name, b->cert_name) == 0 && a->derp_port == b->derp_port &&
	    a->stun_port == b->stun_port && a->can_port80 == b->can_port80 && a->is_meshed == b->is_meshed;
}

void
region_mesh_target_put(const struct region_node *node, char *out, size_t n)
{
	bool is_pinned = strncmp(node->cert_name, PIN_PREFIX, sizeof(PIN_PREFIX) - 1) == 0;
	char literal[NET_TEXT_MAX];
	uint8_t family = region_host_family(node->host, literal);

	snprintf(out, n, "https://%s%s%s%s%s:%u", is_pinned ? node->cert_name : "", is_pinned ? "@" : "",
	    family == 6 ? "[" : "", family != 0 ? literal : node->host, family == 6 ? "]" : "",
	    (unsigned)node->derp_port);
}
