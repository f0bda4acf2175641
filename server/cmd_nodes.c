/* fairlead nodes */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static void
put_online(const json_t *o, int64_t now, struct buf *out)
{
	if (!json_get_bool(o, "authorized", true)) {
		buf_str(out, "waits for approval");
	} else if (json_get_bool(o, "online", false)) {
		buf_str(out, "online");
	} else {
		buf_str(out, "offline, ");
		cli_put_time(o, "lastSeen", now, out);
	}
}

static void
put_owner(const json_t *o, int64_t now, struct buf *out)
{
	(void)now;
	cli_put_member(o, json_array_size(json_object_get(o, "tags")) > 0 ? "tags" : "user", out);
}

static void
put_expiry(const json_t *o, int64_t now, struct buf *out)
{
	if (json_get_bool(o, "expired", false))
		buf_str(out, "expired ");
	cli_put_time(o, "keyExpires", now, out);
}

static const char *plan_name, *plan_ip4, *plan_ip6, *plan_user, *plan_tags, *plan_expiration;
static bool is_quiet;

static const struct cli_column columns[] = {
	{ .head = "ID", .member = "id" },
	{ .head = "NAME", .member = "name" },
	{ .head = "OWNER", .put = put_owner },
	{ .head = "ADDRESSES", .member = "addresses" },
	{ .head = "STATE", .put = put_online },
	{ .head = "KEY EXPIRES", .put = put_expiry },
};

static const struct cli_column lines[] = {
	{ .head = "id", .member = "id" },
	{ .head = "name", .member = "name" },
	{ .head = "full name", .member = "fqdn" },
	{ .head = "hostname", .member = "hostname" },
	{ .head = "user", .member = "user" },
	{ .head = "tags", .member = "tags" },
	{ .head = "addresses", .member = "addresses" },
	{ .head = "state", .put = put_online },
	{ .head = "created", .member = "created", .is_time = true },
	{ .head = "key expires", .put = put_expiry },
	{ .head = "ephemeral", .member = "ephemeral" },
	{ .head = "authorized", .member = "authorized" },
	{ .head = "system", .member = "os" },
	{ .head = "client", .member = "clientVersion" },
	{ .head = "home relay", .member = "homeDerp" },
	{ .head = "endpoints", .member = "endpoints" },
	{ .head = "joined with", .member = "keyId" },
	{ .head = "node key", .member = "nodeKey" },
	{ .head = "machine key", .member = "machineKey" },
};

static int
nodes_list(struct cli *c)
{
	return cli_list(c, &(struct cli_list){ .path = "/nodes", .array = "nodes",
	    .columns = columns, .n_columns = COUNT_OF(columns),
	    .none = "There are no nodes yet: fairlead keys create prints how to join one" });
}

static int
nodes_show(struct cli *c)
{
	return cli_show(c, "/nodes/", lines, COUNT_OF(lines));
}

static int
change(const struct cli *c, struct cli_change how, json_t *body_taken)
{
	how.path = "/nodes/";
	how.kind = "Node";
	return cli_change(c, &how, body_taken);
}

static int
nodes_rename(struct cli *c)
{
	static const struct cli_change how = { .method = "PATCH", .path = "/nodes/", .kind = "Node",
		.done = "is now ", .member = "name" };

	return cli_patch(c, &how, c->argv[1]);
}

static int
nodes_tag(struct cli *c)
{
	json_t *body = json_object();

	for (int i = 1; i < c->argc; i++)
		cli_words_add(body, "tags", c->argv[i], "tag:");
	return change(c, (struct cli_change){ .method = "PATCH", .done = "now has the tags ",
	    .member = "tags" }, body);
}

static int
nodes_expire(struct cli *c)
{
	return change(c, (struct cli_change){ .method = "POST", .action = "/expire",
	    .done = "must log in again: its key is expired" }, NULL);
}

static int
nodes_delete(struct cli *c)
{
	return change(c, (struct cli_change){ .method = "DELETE", .done = "is deleted" }, NULL);
}

static int
nodes_approve(struct cli *c)
{
	return change(c, (struct cli_change){ .method = "POST", .action = "/approve",
	    .done = "is approved" }, json_pack("{s:b}", "approved", true));
}

static int
nodes_unapprove(struct cli *c)
{
	return change(c, (struct cli_change){ .method = "POST", .action = "/approve",
	    .done = "waits for approval: it sees nobody, and nobody sees it" },
	    json_pack("{s:b}", "approved", false));
}

static int
nodes_expiry(struct cli *c)
{
	const char *word = c->argv[1];
	struct err_text why;
	int64_t seconds = 0;
	json_t *body;

	if (strcmp(word, "on") == 0)
		body = json_object();
	else if (strcmp(word, "off") == 0 || strcmp(word, "never") == 0)
		body = json_pack("{s:b}", "never", true);
	else if (cli_duration_parse(word, &seconds, &why) != ERR_OK)
		return cli_fail("expiry is on, off, or a time from now: %s", why.s) + 1;
	else
		body = json_pack("{s:I}", "seconds", (json_int_t)seconds);
	return change(c, (struct cli_change){ .method = "POST", .action = "/expiry",
	    .done = "has a key that expires at ", .member = "keyExpires",
	    .none = "has a key that never expires" }, body);
}

static int
nodes_ip(struct cli *c)
{
	json_t *body = json_object();

	for (int i = 1; i < c->argc; i++) {
		const char *member = strchr(c->argv[i], ':') != NULL ? "ip6" : "ip4";

		if (json_object_get(body, member) != NULL) {
			json_decref(body);
			return cli_fail("one IPv4 and one IPv6 address at most") + 1;
		}
		json_object_set_new(body, member, json_string(c->argv[i]));
	}
	return change(c, (struct cli_change){ .method = "POST", .action = "/ip",
	    .done = "now has the addresses ", .member = "addresses" }, body);
}

/* NULL: the sentence is printed. */
static json_t *
plan_body(void)
{
	json_t *body = json_pack("{s:s, s:s*, s:s*, s:s*}", "nodeName", plan_name, "nodeIp4", plan_ip4,
	    "nodeIp6", plan_ip6, "user", plan_user);

	if (body == NULL) {
		cli_fail("name and user must be UTF-8");
		return NULL;
	}
	cli_words_add(body, "tags", plan_tags, "tag:");
	return cli_expiry_set(body, plan_expiration);
}

static void
print_planned(const struct cli *c, const json_t *v)
{
	if (is_quiet) {
		printf("%s\n", json_get_str(v, "key", ""));
		return;
	}
	printf("Node %s will have the addresses %s and %s: they are kept for it as long as its key is good.\n",
	    json_get_str(v, "nodeName", "?"), json_get_str(v, "nodeIp4", "?"),
	    json_get_str(v, "nodeIp6", "?"));
	cmd_keys_print(c, v);
}

static int
nodes_preprovision(struct cli *c)
{
	if (plan_name == NULL)
		return cli_fail("a planned node needs a --name") + 1;
	return cli_make(c, "/keys", plan_body(), print_planned);
}

static const struct cli_opt plan_opts[] = {
	{ "name", 'n', CLI_STRING, &plan_name, "NAME", "what the node will be called" },
	{ "ip", 0, CLI_STRING, &plan_ip4, "ADDRESS", "its IPv4 address; default: the next free one" },
	{ "ip6", 0, CLI_STRING, &plan_ip6, "ADDRESS", "its IPv6 address; default: the next free one" },
	{ "user", 'u', CLI_STRING, &plan_user, "NAME", "whose node it will be" },
	{ "tags", 't', CLI_STRING, &plan_tags, "LIST", "tags that it will have: tag:a,tag:b" },
	{ "expiration", 'e', CLI_STRING, &plan_expiration, "TIME",
	  "of the key and of what is kept: 30m, 24h, 7d or never; default 90d" },
	{ "quiet", 'q', CLI_BOOL, &is_quiet, NULL, "print the key alone" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists nodes", NULL, nodes_list },
	{ "show", NULL, "NODE", 1, 1, "Shows all about a node", NULL, nodes_show },
	{ "rename", NULL, "NODE NEW-NAME", 2, 2, "Gives a node another name", NULL, nodes_rename },
	{ "tag", NULL, "NODE TAGS", 2, 32, "Replaces a node's tags: tag:a,tag:b", NULL, nodes_tag },
	{ "expire", "logout", "NODE", 1, 1, "Makes a node log in again", NULL, nodes_expire },
	{ "expiry", NULL, "NODE on|off|TIME", 2, 2, "When a node's key expires: by default, never, in 30d",
	  NULL, nodes_expiry },
	{ "approve", "authorize", "NODE", 1, 1, "Lets a node in that waits for it", NULL, nodes_approve },
	{ "unapprove", NULL, "NODE", 1, 1, "Makes a node wait for approval", NULL, nodes_unapprove },
	{ "ip", NULL, "NODE ADDRESS [ADDRESS]", 2, 3, "Gives a node another IPv4 or IPv6 address, or both",
	  NULL, nodes_ip },
	{ "list-routes", "routes", "[NODE]", 0, 1, "Lists routes; see fairlead routes", cmd_routes_opts,
	  cmd_routes_list },
	{ "approve-routes", NULL, "NODE ROUTES", 0, 64, "Approves these routes of a node, and no others",
	  cmd_routes_opts, cmd_routes_set },
	{ "preprovision", "plan", "--name NAME", 0, 0, "Plans a node: its name and addresses, and the key to "
	  "join with", plan_opts, nodes_preprovision },
	{ "delete", "destroy", "NODE", 1, 1, "Deletes a node", NULL, nodes_delete },
};

static const struct cli_noun noun = {
	"nodes", "Nodes: the machines of the network. NODE is an id, a name or an address.", verbs,
	COUNT_OF(verbs), false,
};

const struct cmd cmd_nodes = {
	.name = "nodes", .noun = &noun,
	.summary = "nodes: list, show, rename, tag, approve, expire, delete, ...",
};
