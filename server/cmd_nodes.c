/* fairlead nodes */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static void
put_online(const json_t *o, int64_t now, struct buf *out)
{
	if (json_get_bool(o, "online", false)) {
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

	for (int i = 1; i < c->argc; i++) {
		char *copy = obj_strdup(c->argv[i]), *rest = copy, *word;
		while ((word = strsep(&rest, ", ")) != NULL)
			if (*word != 0)
				json_array_append_new(list, json_sprintf("%s%s",
				    strncmp(word, "tag:", 4) == 0 ? "" : "tag:", word));
		free(copy);
	}
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

static const struct cli_verb verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists nodes", NULL, nodes_list },
	{ "show", NULL, "NODE", 1, 1, "Shows all about a node", NULL, nodes_show },
	{ "rename", NULL, "NODE NEW-NAME", 2, 2, "Gives a node another name", NULL, nodes_rename },
	{ "tag", NULL, "NODE TAGS", 2, 32, "Replaces a node's tags: tag:a,tag:b", NULL, nodes_tag },
	{ "expire", "logout", "NODE", 1, 1, "Makes a node log in again", NULL, nodes_expire },
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

const struct cmd cmd_nodes = { "nodes", "nodes: list, show, rename, tag, expire, delete", run, usage };
