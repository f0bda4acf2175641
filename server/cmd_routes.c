/* fairlead routes: what nodes route, and who may. The same verbs under nodes, as other servers have them. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static const char *who, *which;		/* -i and -r of nodes approve-routes */

/* "primary", "waits for approval", … */
static void
put_state(const json_t *r, int64_t now, struct buf *out)
{
	bool is_advertised = json_get_bool(r, "advertised", false);

	(void)now;
	if (!json_get_bool(r, "approved", false))
		buf_str(out, "waits for approval");
	else if (!is_advertised)
		buf_str(out, "approved, not advertised");
	else if (json_get_bool(r, "exit", false))
		buf_str(out, "exit node");
	else if (json_get_bool(r, "primary", false))
		buf_str(out, "primary");
	else
		buf_str(out, json_get_bool(r, "authorized", true) ? "standby" : "node waits for approval");
}

static void
put_node_state(const json_t *r, int64_t now, struct buf *out)
{
	(void)now;
	if (!json_get_bool(r, "online", false))
		buf_str(out, "offline");
	else
		buf_str(out, json_get_bool(r, "answersProbes", true) ? "online" : "does not answer");
}

static const struct cli_column columns[] = {
	{ .head = "ID", .member = "id" },
	{ .head = "NODE", .member = "name" },
	{ .head = "ROUTE", .member = "prefix" },
	{ .head = "STATE", .put = put_state },
	{ .head = "NODE IS", .put = put_node_state },
	{ .head = "BY POLICY", .member = "byPolicy" },
};

/* Appends the routes of the node, each with what is shown of it. */
static void
rows_add(json_t *rows, const json_t *node)
{
	static const char *const members[] = { "id", "name", "online", "authorized", "answersProbes" };
	json_t *r;
	size_t i;

	json_array_foreach(json_object_get(node, "routes"), i, r) {
		json_t *row = json_copy(r);

		for (size_t k = 0; k < COUNT_OF(members); k++)
			json_object_set(row, members[k], json_object_get(node, members[k]));
		json_array_append_new(rows, row);
	}
}

static int
print_rows(struct cli *c, json_t *rows_taken)
{
	return cli_print_list(c, json_pack("{s:o}", "routes", rows_taken), "routes", columns, COUNT_OF(columns),
	    "No node advertises a route: tailscale set --advertise-routes=10.0.0.0/24 on one does");
}

int
cmd_routes_list(struct cli *c)
{
	const char *one = who != NULL ? who : c->argc > 0 ? c->argv[0] : NULL;
	char *path = one != NULL ? cli_path("/nodes/", one, "") : obj_strdup("/nodes");
	json_t *v, *rows, *node;
	int code = cli_call("GET", path, NULL, &v);
	size_t i;

	free(path);
	if (code != 0)
		return code;
	rows = json_array();
	if (one != NULL)
		rows_add(rows, v);
	json_array_foreach(json_object_get(v, "nodes"), i, node)
		rows_add(rows, node);
	json_decref(v);
	return print_rows(c, rows);
}

/* What the policy approves anyway comes back by itself, which surprises. */
static void
warn_of_policy(const json_t *node)
{
	json_t *r;
	size_t i;

	json_array_foreach(json_object_get(node, "routes"), i, r)
		if (json_get_bool(r, "advertised", false) && !json_get_bool(r, "approved", false) &&
		    json_get_bool(r, "byPolicy", false))
			printf("The policy approves %s by itself (autoApprovers): it comes back with the next "
			    "change of policy, tags or routes.\n", json_get_str(r, "prefix", "?"));
}

/* Asks for the change of node, prints its routes then. */
static int
change(struct cli *c, const char *node, json_t *body_taken)
{
	char *path = cli_path("/nodes/", node, "/routes");
	json_t *v, *rows;
	int code = cli_call("POST", path, body_taken, &v);

	free(path);
	if (code != 0)
		return code;
	rows = json_array();
	rows_add(rows, v);
	code = print_rows(c, rows);
	if (!c->is_json)
		warn_of_policy(v);
	json_decref(v);
	return code;
}

/* {member: the words behind the first}. */
static json_t *
words_body(const struct cli *c, const char *member)
{
	json_t *body = json_object();

	for (int i = 1; i < c->argc; i++)
		cli_words_add(body, member, c->argv[i], "");
	return body;
}

static int
routes_approve(struct cli *c)
{
	json_t *body = words_body(c, "approve");

	if (c->argc == 1)
		json_object_set_new(body, "all", json_true());
	return change(c, c->argv[0], body);
}

static int
routes_unapprove(struct cli *c)
{
	json_t *body = words_body(c, "unapprove");

	if (c->argc == 1)
		json_object_set_new(body, "approved", json_array());
	return change(c, c->argv[0], body);
}

int
cmd_routes_set(struct cli *c)
{
	const char *node = who != NULL ? who : c->argc > 0 ? c->argv[0] : NULL;
	json_t *body;

	if (node == NULL)
		return cli_fail("which node? fairlead nodes approve-routes NODE ROUTES") + 1;
	body = json_pack("{s:[]}", "approved");
	cli_words_add(body, "approved", which, "");
	for (int i = who != NULL ? 0 : 1; i < c->argc; i++)
		cli_words_add(body, "approved", c->argv[i], "");
	return change(c, node, body);
}

const struct cli_opt cmd_routes_opts[] = {
	{ "identifier", 'i', CLI_STRING, &who, "NODE", "the node, instead of the first word" },
	{ "routes", 'r', CLI_STRING, &which, "LIST", "its routes, instead of further words; \"\": none" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "list", "ls", "[NODE]", 0, 1, "Lists what nodes advertise and may route", NULL,
	  cmd_routes_list },
	{ "approve", "enable", "NODE [ROUTE...]", 1, 64, "Approves routes of a node; all that it advertises",
	  NULL, routes_approve },
	{ "unapprove", "disable", "NODE [ROUTE...]", 1, 64, "Takes that back; of all", NULL, routes_unapprove },
};

static const struct cli_noun noun = {
	"routes", "Routes: networks behind nodes, and exit nodes (0.0.0.0/0 and ::/0, approved together).",
	verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_routes = {
	.name = "routes", .noun = &noun, .summary = "routes: list, approve, unapprove",
};
