/* fairlead regions: the DERP map. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static const char *region_id, *code, *name, *ipv4, *ipv6, *stun_port, *pin, *node_name, *mesh_key_file;
static bool is_meshed, can_port80;

/* "derp.example.org:8443, 5b…": hosts with what is not usual. */
static void
put_hosts(const json_t *o, int64_t now, struct buf *out)
{
	const json_t *v;
	size_t i;

	(void)now;
	json_array_foreach(json_object_get(o, "nodes"), i, v) {
		int64_t derp = json_get_int(v, "derpPort", 443), stun = json_get_int(v, "stunPort", 3478);

		if (i > 0)
			buf_str(out, ", ");
		cli_text_put(out, json_get_str(v, "hostname", "?"));
		if (derp != 443)
			buf_printf(out, ":%lld", (long long)derp);
		if (stun < 0)
			buf_str(out, " (no STUN)");
		else if (stun != 3478)
			buf_printf(out, " (STUN %lld)", (long long)stun);
	}
}

static const struct cli_column columns[] = {
	{ .head = "ID", .member = "id" },
	{ .head = "CODE", .member = "code" },
	{ .head = "NAME", .member = "name" },
	{ .head = "NODES", .put = put_hosts },
	{ .head = "RELAYS", .member = "relays" },
	{ .head = "SOURCE", .member = "source" },
};

static int
regions_list(struct cli *c)
{
	return cli_list(c, &(struct cli_list){ .path = "/regions", .array = "regions",
	    .columns = columns, .n_columns = COUNT_OF(columns),
	    .none = "There are no regions: fairlead regions add CODE HOST" });
}

static int
regions_show(struct cli *c)
{
	return cli_show(c, "/regions/", columns, COUNT_OF(columns));
}

/* "host", "host:8443", "[::1]:8443" into the node. false: that is said. */
static bool
host_add(json_t *node, const char *text)
{
	const char *colon = strrchr(text, ':'), *bracket = strrchr(text, ']');
	size_t n = strlen(text);
	char *end = NULL;
	long port;

	/* One colon, or one behind a bracket; an IPv6 address alone has several. */
	if (colon != NULL && (bracket != NULL ? colon == bracket + 1 : strchr(text, ':') == colon)) {
		port = strtol(colon + 1, &end, 10);
		if (*end != '\0' || port < 1 || port > 65535) {
			cli_fail("\"%.100s\" has no port from 1 to 65535 behind the colon", text);
			return false;
		}
		n = (size_t)(colon - text);
		json_object_set_new(node, "derpPort", json_integer(port));
	}
	if (n > 2 && text[0] == '[' && text[n - 1] == ']') {
		text++;
		n -= 2;
	}
	json_object_set_new(node, "hostname", json_stringn(text, n));
	return true;
}

static bool
stun_add(json_t *node)
{
	char *end = NULL;
	long port;

	if (stun_port == NULL)
		return true;
	port = strcmp(stun_port, "off") == 0 ? -1 : strtol(stun_port, &end, 10);
	if (end != NULL && (*end != '\0' || port < 1 || port > 65535)) {
		cli_fail("--stun-port: a port from 1 to 65535, or off");
		return false;
	}
	json_object_set_new(node, "stunPort", json_integer(port));
	return true;
}

/* Made of the host and the flags; NULL: they are wrong, which is said. */
static json_t *
node_make(const char *host)
{
	const struct { const char *member, *value; } texts[] = {
		{ "name", node_name }, { "ipv4", ipv4 }, { "ipv6", ipv6 }, { "certName", pin },
	};
	json_t *node = json_object();

	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (texts[i].value != NULL)
			json_object_set_new(node, texts[i].member, json_string(texts[i].value));
	if (is_meshed)
		json_object_set_new(node, "mesh", json_true());
	if (can_port80)
		json_object_set_new(node, "canPort80", json_true());
	if (host_add(node, host) && stun_add(node))
		return node;
	json_decref(node);
	return NULL;
}

/* --mesh-key-file into the body. false: that is said. */
static bool
mesh_key_add(json_t *body)
{
	char text[256], *at = text;
	FILE *f;
	size_t n;

	if (mesh_key_file == NULL)
		return true;
	if ((f = fopen(mesh_key_file, "re")) == NULL) {
		cli_fail("cannot read %s", mesh_key_file);
		return false;
	}
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = '\0';
	at += strspn(at, " \t\r\n");
	at[strcspn(at, " \t\r\n")] = '\0';
	json_object_set_new(body, "meshKey", json_string(at));
	explicit_bzero(text, sizeof(text));
	return true;
}

static void
print_added(const struct cli *c, const json_t *v)
{
	(void)c;
	printf("Region %s (%s) is there; connected nodes have it.\n", json_get_str(v, "id", "?"),
	    json_get_str(v, "code", "?"));
	if (json_array_size(json_object_get(v, "nodes")) == 0)
		printf("It has no relay yet: fairlead relays add NAME --region %s\n",
		    json_get_str(v, "id", "?"));
}

static int
regions_add(struct cli *c)
{
	json_t *body = json_pack("{s:s, s:s*}", "code", c->argv[0], "name", name);
	json_t *nodes = json_array(), *node;

	if (body == NULL) {
		json_decref(nodes);
		return cli_fail("a word is not UTF-8");
	}
	json_object_set_new(body, "nodes", nodes);
	if (region_id != NULL)
		json_object_set_new(body, "id", json_string(region_id));
	for (int i = 1; i < c->argc; i++) {
		if ((node = node_make(c->argv[i])) == NULL) {
			json_decref(body);
			return 2;
		}
		json_array_append_new(nodes, node);
	}
	if (!mesh_key_add(body)) {
		json_decref(body);
		return 2;
	}
	return cli_make(c, "/regions", body, print_added);
}

static int
regions_set(struct cli *c)
{
	static const struct cli_change how = { .method = "PATCH", .path = "/regions/", .kind = "Region",
		.done = "is changed" };
	json_t *body = json_pack("{s:s*, s:s*}", "code", code, "name", name);

	if (body == NULL)
		return cli_fail("a word is not UTF-8");
	if (!mesh_key_add(body)) {
		json_decref(body);
		return 2;
	}
	if (json_object_size(body) == 0) {
		json_decref(body);
		cli_fail("name what changes: --code, --name, --mesh-key-file");
		return 2;
	}
	return cli_change(c, &how, body);
}

static int
regions_remove(struct cli *c)
{
	static const struct cli_change how = { .method = "DELETE", .path = "/regions/", .kind = "Region",
		.done = "is removed; nodes that were at home there look for another" };

	return cli_change(c, &how, NULL);
}

/* The nodes of the region, the caller's; NULL: code_ is the exit code. */
static json_t *
nodes_of(const char *id, int *code_)
{
	char *path = cli_path("/regions/", id, "");
	json_t *v = NULL, *nodes = NULL;

	*code_ = cli_call("GET", path, NULL, &v);
	free(path);
	if (*code_ == 0)
		nodes = json_incref(json_object_get(v, "nodes"));
	json_decref(v);
	return nodes;
}

static int
nodes_set(struct cli *c, json_t *nodes_taken, const char *done)
{
	struct cli_change how = { .method = "PATCH", .path = "/regions/", .kind = "Region", .done = done };

	return cli_change(c, &how, json_pack("{s:o}", "nodes", nodes_taken));
}

static int
regions_add_node(struct cli *c)
{
	json_t *node = node_make(c->argv[1]), *nodes;
	int code_ = 2;

	if (node == NULL)
		return 2;
	if ((nodes = nodes_of(c->argv[0], &code_)) == NULL) {
		json_decref(node);
		return code_;
	}
	json_array_append_new(nodes, node);
	return nodes_set(c, nodes, "has one node more");
}

static int
regions_remove_node(struct cli *c)
{
	json_t *nodes, *v;
	size_t i, n_before;
	int code_;

	if ((nodes = nodes_of(c->argv[0], &code_)) == NULL)
		return code_;
	n_before = json_array_size(nodes);
	for (i = 0; (v = json_array_get(nodes, i)) != NULL;) {
		if (strcmp(json_get_str(v, "name", ""), c->argv[1]) == 0 ||
		    strcmp(json_get_str(v, "hostname", ""), c->argv[1]) == 0)
			json_array_remove(nodes, i);
		else
			i++;
	}
	if (json_array_size(nodes) < n_before)
		return nodes_set(c, nodes, "has a node less");
	json_decref(nodes);
	return cli_fail("region %s has no node \"%s\": fairlead regions show %s -o json lists them", c->argv[0],
	    c->argv[1], c->argv[0]);
}

static void
print_mesh_key(const struct cli *c, const json_t *v)
{
	(void)c;
	printf("%s\n", json_get_str(v, "meshKey", "?"));
}

static int
regions_mesh_key(struct cli *c)
{
	char *path = cli_path("/regions/", c->argv[0], "/mesh-key");
	int code_ = cli_ask(c, "GET", path, NULL, print_mesh_key);

	free(path);
	return code_;
}

#define NODE_OPTS \
	{ "ipv4", '4', CLI_STRING, &ipv4, "ADDR", "so that clients need no DNS; none: not by IPv4" }, \
	{ "ipv6", '6', CLI_STRING, &ipv6, "ADDR", "likewise; default none, unless HOST is an IPv6 address" }, \
	{ "stun-port", 0, CLI_STRING, &stun_port, "PORT", "UDP port of STUN, or off; default 3478" }, \
	{ "pin", 0, CLI_STRING, &pin, "PIN", "sha256-raw:… of a self-signed certificate, or its name" }, \
	{ "port80", 0, CLI_BOOL, &can_port80, NULL, "its port 80 answers /generate_204" }, \
	{ "mesh", 0, CLI_BOOL, &is_meshed, NULL, "relays of the region link with it" }
#define NAME_OPT \
	{ "name", 'n', CLI_STRING, &name, "NAME", "of the region, for people; default CODE" }
#define MESH_OPT \
	{ "mesh-key-file", 0, CLI_STRING, &mesh_key_file, "FILE", "64 hex digits; default: a new one" }
#define END { NULL, 0, CLI_BOOL, NULL, NULL, NULL }

static const struct cli_opt add_opts[] = {
	{ "id", 0, CLI_STRING, &region_id, "N", "its number; default: the first that is free" },
	NAME_OPT, NODE_OPTS, MESH_OPT, END
};
static const struct cli_opt set_opts[] = {
	{ "code", 0, CLI_STRING, &code, "CODE", "its short name" }, NAME_OPT, MESH_OPT, END
};
static const struct cli_opt node_opts[] = {
	{ "node-name", 0, CLI_STRING, &node_name, "NAME", "of the node; default: the id and a letter" },
	NODE_OPTS, END
};

static const struct cli_verb verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists the regions of the DERP map", NULL, regions_list },
	{ "show", "get", "ID", 1, 1, "Shows one", NULL, regions_show },
	{ "add", "create", "CODE [HOST[:PORT]...]", 1, 17, "Adds a region, with relays that run already",
	  add_opts, regions_add },
	{ "set", NULL, "ID", 1, 1, "Changes its names or its mesh key", set_opts, regions_set },
	{ "add-node", NULL, "ID HOST[:PORT]", 2, 2, "Adds a relay that runs already", node_opts,
	  regions_add_node },
	{ "remove-node", NULL, "ID NAME", 2, 2, "Removes one", NULL, regions_remove_node },
	{ "mesh-key", NULL, "ID", 1, 1, "Prints the key that other relays need to link with it", NULL,
	  regions_mesh_key },
	{ "remove", "delete", "ID", 1, 1, "Removes a region", NULL, regions_remove },
};

static const struct cli_noun noun = {
	"regions", "Regions of relays that nodes are told of (the DERP map).", verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_regions = {
	.name = "regions", .noun = &noun, .summary = "regions of relays: list, show, add, set, remove, …",
};
