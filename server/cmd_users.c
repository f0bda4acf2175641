/* fairlead users */
#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static const char *display_name, *role;

static const struct cli_column columns[] = {
	{ .head = "ID", .member = "id" },
	{ .head = "NAME", .member = "name" },
	{ .head = "DISPLAY NAME", .member = "displayName" },
	{ .head = "ROLE", .member = "role" },
	{ .head = "NODES", .member = "nodes" },
	{ .head = "KEYS", .member = "keys" },
	{ .head = "CREATED", .member = "created", .is_time = true },
};

static int
users_list(struct cli *c)
{
	return cli_list(c, &(struct cli_list){ .path = "/users", .array = "users",
	    .columns = columns, .n_columns = COUNT_OF(columns),
	    .none = "There are no users yet: fairlead users create NAME" });
}

static void
print_made(const struct cli *c, const json_t *v)
{
	(void)c;
	printf("User %s is made (id %s).\n", json_get_str(v, "name", "?"), json_get_str(v, "id", "?"));
}

static int
users_create(struct cli *c)
{
	json_t *body = json_pack("{s:s, s:s*, s:s*}", "name", c->argv[0], "displayName", display_name,
	    "role", role);

	return body == NULL ? cli_fail("the name is not UTF-8") : cli_make(c, "/users", body, print_made);
}

static int
users_rename(struct cli *c)
{
	static const struct cli_change how = { .method = "PATCH", .path = "/users/", .kind = "User",
		.done = "is now ", .member = "name" };

	return cli_patch(c, &how, c->argv[1]);
}

static int
users_role(struct cli *c)
{
	static const struct cli_change how = { .method = "PATCH", .path = "/users/", .kind = "User",
		.done = "is now ", .member = "role" };

	return cli_patch(c, &how, c->argv[1]);
}

static int
users_delete(struct cli *c)
{
	static const struct cli_change how = { .method = "DELETE", .path = "/users/", .kind = "User",
		.done = "is deleted" };

	return cli_change(c, &how, NULL);
}

static const struct cli_opt create_opts[] = {
	{ "display-name", 0, CLI_STRING, &display_name, "TEXT", "as clients show the user" },
	{ "role", 0, CLI_STRING, &role, "ROLE", "owner, admin, network-admin, auditor or member (default)" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists users", NULL, users_list },
	{ "create", "add", "NAME", 1, 1, "Makes a user", create_opts, users_create },
	{ "rename", NULL, "NAME NEW-NAME", 2, 2, "Gives a user another name", NULL, users_rename },
	{ "role", NULL, "NAME ROLE", 2, 2, "Gives a user another role", NULL, users_role },
	{ "delete", "destroy", "NAME", 1, 1, "Deletes a user without nodes and keys", NULL, users_delete },
};

static const struct cli_noun noun = {
	"users", "Users: who owns nodes and auth keys.", verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_users = {
	.name = "users", .noun = &noun, .summary = "users: create, list, rename, role, delete",
};
