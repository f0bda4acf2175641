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
	json_t *v;
	int code = cli_call("GET", "/nodes", NULL, &v);

	return code != 0 ? code : cli_print_list(c, v, "nodes", columns, COUNT_OF(columns),
	    "There are no nodes yet: fairlead keys create prints how to join one");
}

static int
call(const struct cli *c, const char *method, const char *after, json_t *body, json_t **out)
{
	char *path = cli_path("/nodes/", c->argv[0], after);
	int code = cli_call(method, path, body, out);

	free(path);
	return code;
}

static int
nodes_show(struct cli *c)
{
	json_t *v;
	int code = call(c, "GET", "", NULL, &v);

	return code != 0 ? code : cli_print_object(c, v, lines, COUNT_OF(lines));
}

/* Prints what the node is now, as JSON or as one sentence that ends with the given member. Drops v. */
static int
print_changed(const struct cli *c, json_t *v, const char *what, const char *member)
{
	struct buf cell = { .len = 0 };

	if (c->is_json) {
		cli_print_json(v);
	} else {
		if (member != NULL)
			cli_put_member(v, member, &cell);
		printf("Node %s %s%s.\n", c->argv[0], what, member == NULL ? "" : cell.len > 0 ?
		    buf_cstr(&cell) : "none");
	}
	buf_fini(&cell);
	json_decref(v);
	return 0;
}

static int
nodes_rename(struct cli *c)
{
	json_t *v, *body = json_pack("{s:s}", "name", c->argv[1]);
	int code = body == NULL ? cli_fail("the name is not UTF-8") : call(c, "PATCH", "", body, &v);

	return code != 0 ? code : print_changed(c, v, "is now ", "name");
}

static int
nodes_tag(struct cli *c)
{
	json_t *v, *list = json_array();

	for (int i = 1; i < c->argc; i++)
		cli_tags_add(list, c->argv[i]);
	int code = call(c, "PATCH", "", json_pack("{s:o}", "tags", list), &v);
	return code != 0 ? code : print_changed(c, v, "now has the tags ", "tags");
}

static int
nodes_expire(struct cli *c)
{
	json_t *v;
	int code = call(c, "POST", "/expire", NULL, &v);

	return code != 0 ? code : print_changed(c, v, "must log in again: its key is expired", NULL);
}

static int
nodes_delete(struct cli *c)
{
	json_t *v;
	int code = call(c, "DELETE", "", NULL, &v);

	return code != 0 ? code : print_changed(c, v, "is deleted", NULL);
}

static int
approve(struct cli *c, bool is_approved, const char *what)
{
	json_t *v;
	int code = call(c, "POST", "/approve", json_pack("{s:b}", "approved", is_approved), &v);

	return code != 0 ? code : print_changed(c, v, what, NULL);
}

static int
nodes_approve(struct cli *c)
{
	return approve(c, true, "is approved");
}

static int
nodes_unapprove(struct cli *c)
{
	return approve(c, false, "waits for approval: it sees nobody, and nobody sees it");
}

static int
nodes_expiry(struct cli *c)
{
	const char *word = c->argv[1];
	struct err_text why;
	int64_t seconds = 0;
	json_t *v, *body;

	if (strcmp(word, "on") == 0)
		body = json_object();
	else if (strcmp(word, "off") == 0 || strcmp(word, "never") == 0)
		body = json_pack("{s:b}", "never", true);
	else if (cli_duration_parse(word, &seconds, &why) != ERR_OK)
		return cli_fail("expiry is on, off, or a time from now: %s", why.s) + 1;
	else
		body = json_pack("{s:I}", "seconds", (json_int_t)seconds);
	int code = call(c, "POST", "/expiry", body, &v);
	if (code != 0)
		return code;
	if (json_is_null(json_object_get(v, "keyExpires")))
		return print_changed(c, v, "has a key that never expires", NULL);
	return print_changed(c, v, "has a key that expires at ", "keyExpires");
}

static int
nodes_ip(struct cli *c)
{
	json_t *v, *body = json_object();

	for (int i = 1; i < c->argc; i++) {
		const char *member = strchr(c->argv[i], ':') != NULL ? "ip6" : "ip4";

		if (json_object_get(body, member) != NULL) {
			json_decref(body);
			return cli_fail("one IPv4 and one IPv6 address at most") + 1;
		}
		json_object_set_new(body, member, json_string(c->argv[i]));
	}
	int code = call(c, "POST", "/ip", body, &v);
	return code != 0 ? code : print_changed(c, v, "now has the addresses ", "addresses");
}

/* NULL: the sentence is printed. */
static json_t *
plan_body(void)
{
	json_t *body = json_pack("{s:s, s:s*, s:s*, s:s*}", "nodeName", plan_name, "nodeIp4", plan_ip4,
	    "nodeIp6", plan_ip6, "user", plan_user);
	struct err_text why;
	int64_t expiry_s;

	if (body == NULL) {
		cli_fail("name and user must be UTF-8");
		return NULL;
	}
	if (plan_tags != NULL) {
		json_object_set_new(body, "tags", json_array());
		cli_tags_add(json_object_get(body, "tags"), plan_tags);
	}
	if (plan_expiration != NULL) {
		if (cli_duration_parse(plan_expiration, &expiry_s, &why) != ERR_OK) {
			cli_fail("--expiration: %s", why.s);
			json_decref(body);
			return NULL;
		}
		json_object_set_new(body, "expirySeconds", json_integer(expiry_s));
	}
	return body;
}

static int
nodes_preprovision(struct cli *c)
{
	json_t *v, *body;
	int code;

	if (plan_name == NULL)
		return cli_fail("a planned node needs a --name") + 1;
	if ((body = plan_body()) == NULL)
		return 2;
	if ((code = cli_call("POST", "/keys", body, &v)) != 0)
		return code;
	if (c->is_json) {
		cli_print_json(v);
	} else if (is_quiet) {
		printf("%s\n", json_get_str(v, "key", ""));
	} else {
		printf("Node %s will have the addresses %s and %s: they are kept for it as long as its key is "
		    "good.\n", json_get_str(v, "nodeName", "?"), json_get_str(v, "nodeIp4", "?"),
		    json_get_str(v, "nodeIp6", "?"));
		cmd_keys_print(v);
	}
	json_decref(v);
	return 0;
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
	{ "preprovision", "plan", "--name NAME", 0, 0, "Plans a node: its name and addresses, and the key to "
	  "join with", plan_opts, nodes_preprovision },
	{ "delete", "destroy", "NODE", 1, 1, "Deletes a node", NULL, nodes_delete },
};

static const struct cli_noun noun = {
	"nodes", "Nodes: the machines of the network. NODE is an id, a name or an address.", verbs,
	COUNT_OF(verbs), false,
};

static int
run(int argc, char **argv)
{
	return cli_main(&noun, argc, argv);
}

static void
usage(FILE *f)
{
	cli_usage(&noun, f);
}

const struct cmd cmd_nodes = { "nodes", "nodes: list, show, rename, tag,"
  " approve, expire, delete, ...", run, usage };
