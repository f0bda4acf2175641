/* fairlead auth: devices that asked to join without a key. */
#include <stdlib.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static const char *user, *tags;

static void
put_known(const json_t *o, int64_t now, struct buf *out)
{
	(void)now;
	if (json_is_string(json_object_get(o, "nodeId")))
		buf_printf(out, "%s of %s", json_get_str(o, "nodeName", "?"), json_get_str(o, "nodeUser", "?"));
	else
		buf_str(out, "new");
}

static const struct cli_column columns[] = {
	{ .head = "ID", .member = "id" },
	{ .head = "DEVICE", .member = "hostname" },
	{ .head = "SYSTEM", .member = "os" },
	{ .head = "FROM", .member = "address" },
	{ .head = "NODE", .put = put_known },
	{ .head = "TAGS", .member = "tags" },
	{ .head = "MACHINE KEY", .member = "machineKeyShort" },
	{ .head = "ASKED", .member = "created", .is_time = true },
	{ .head = "ENDS", .member = "expires", .is_time = true },
};

static int
auth_list(struct cli *c)
{
	return cli_list(c, &(struct cli_list){ .path = "/logins", .array = "logins",
	    .columns = columns, .n_columns = COUNT_OF(columns),
	    .none = "No device waits: tailscale up without a key asks to join" });
}

static void
print_approved(const struct cli *c, const json_t *v)
{
	(void)c;
	printf("The device is node %s (%s) now; it comes online by itself.\n", json_get_str(v, "name", "?"),
	    json_string_value(json_array_get(json_object_get(v, "addresses"), 0)));
}

static int
auth_approve(struct cli *c)
{
	json_t *body = json_pack("{s:s*}", "user", user);
	char *path;
	int code;

	if (body == NULL)
		return cli_fail("the user must be UTF-8") + 1;
	cli_words_add(body, "tags", tags, "tag:");
	path = cli_path("/logins/", cli_id_of(c), "/approve");
	code = cli_make(c, path, body, print_approved);
	free(path);
	return code;
}

static void
print_rejected(const struct cli *c, const json_t *v)
{
	(void)c, (void)v;
	printf("The device is turned away.\n");
}

static int
auth_reject(struct cli *c)
{
	char *path = cli_path("/logins/", cli_id_of(c), "/reject");
	int code = cli_ask(c, "POST", path, NULL, print_rejected);

	free(path);
	return code;
}

static const struct cli_opt approve_opts[] = {
	{ "user", 'u', CLI_STRING, &user, "NAME",
	  "whose device it is; default: whose it was, else the owner's" },
	{ "tags", 't', CLI_STRING, &tags, "LIST", "these tags instead of those it asks for: tag:a,tag:b" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists devices that wait", NULL, auth_list },
	{ "approve", "register", "ID", 1, 1, "Lets a device join", approve_opts, auth_approve },
	{ "reject", NULL, "ID", 1, 1, "Turns a device away", NULL, auth_reject },
};

static const struct cli_noun noun = {
	"auth", "Devices that asked to join without a key. ID is what their page shows, or its address.", verbs,
	COUNT_OF(verbs), false,
};

const struct cmd cmd_auth = {
	.name = "auth", .noun = &noun, .summary = "devices without a key: list, approve, reject",
};
