/* fairlead keys */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static const char *user, *expiration, *tags, *description;
static bool is_reusable, is_ephemeral, needs_approval, is_quiet;

static void
put_kind(const json_t *o, int64_t now, struct buf *out)
{
	(void)now;
	buf_str(out, json_get_bool(o, "reusable", false) ? "reusable" : "one-off");
	if (json_get_bool(o, "ephemeral", false))
		buf_str(out, ",ephemeral");
}

static const struct cli_column columns[] = {
	{ .head = "ID", .member = "id" },
	{ .head = "USER", .member = "user" },
	{ .head = "KIND", .put = put_kind },
	{ .head = "TAGS", .member = "tags" },
	{ .head = "STATE", .member = "state" },
	{ .head = "USES", .member = "uses" },
	{ .head = "CREATED", .member = "created", .is_time = true },
	{ .head = "EXPIRES", .member = "expires", .is_time = true },
	{ .head = "DESCRIPTION", .member = "description" },
};

static int
keys_list(struct cli *c)
{
	return cli_list(c, &(struct cli_list){ .path = "/keys", .array = "keys", .columns = columns,
	    .n_columns = COUNT_OF(columns),
	    .none = "There are no auth keys: fairlead keys create" });
}

/* NULL: the sentence is printed. */
static json_t *
create_body(void)
{
	json_t *body = json_pack("{s:b, s:b, s:s*, s:s*}", "reusable", is_reusable, "ephemeral", is_ephemeral,
	    "user", user, "description", description);

	if (body == NULL) {
		cli_fail("user and description must be UTF-8");
		return NULL;
	}
	if ((body = cli_expiry_set(body, expiration)) == NULL)
		return NULL;
	if (needs_approval)
		json_object_set_new(body, "preauthorized", json_false());
	cli_words_add(body, "tags", tags, "tag:");
	return body;
}

/* A cluster's node that is deleted because it was off for an hour loses its address and its place. */
static void
warn_ephemeral(void)
{
	if (is_ephemeral && tags != NULL && *tags != 0)
		fprintf(stderr, "fairlead: warning: nodes that join with this key are deleted when they are "
		    "offline for a while, and come back with other addresses; do not use it for servers or "
		    "K3s nodes: leave --ephemeral out\n");
}

void
cmd_keys_print(const struct cli *c, const json_t *v)
{
	json_t *status = NULL;
	struct buf expires = { .len = 0 };
	const char *key = json_get_str(v, "key", "");

	(void)c;
	if (cli_call("GET", "/status", NULL, &status) != 0)
		status = NULL;		/* the key is there all the same */
	cli_put_time(v, "expires", clock_wall_s(), &expires);
	printf("Auth key %s of user %s, %s%s, expires %s. It is shown only once:\n\n    %s\n\n"
	    "Join a node with:\n\n    sudo tailscale up --login-server=%s --authkey=%s\n\n",
	    json_get_str(v, "id", "?"), json_get_str(v, "user", "?"),
	    json_get_bool(v, "reusable", false) ? "reusable" : "for one node",
	    json_get_bool(v, "ephemeral", false) ? ", for ephemeral nodes" : "", buf_cstr(&expires), key,
	    json_get_str(status, "serverUrl", "URL"), key);
	buf_fini(&expires);
	json_decref(status);
}

static void
print_made(const struct cli *c, const json_t *v)
{
	if (is_quiet)
		printf("%s\n", json_get_str(v, "key", ""));
	else
		cmd_keys_print(c, v);
}

static int
keys_create(struct cli *c)
{
	int code = cli_make(c, "/keys", create_body(), print_made);

	if (code == 0)
		warn_ephemeral();
	return code;
}

static int
keys_revoke(struct cli *c)
{
	static const struct cli_change how = { .method = "POST", .path = "/keys/", .action = "/revoke",
		.kind = "Auth key", .done = "is revoked; nodes that joined with it stay" };

	return cli_change(c, &how, NULL);
}

static int
keys_delete(struct cli *c)
{
	static const struct cli_change how = { .method = "DELETE", .path = "/keys/",
		.kind = "Auth key", .done = "is deleted; nodes that joined with it stay" };

	return cli_change(c, &how, NULL);
}

static const struct cli_opt create_opts[] = {
	{ "user", 'u', CLI_STRING, &user, "NAME", "owner; not needed when there is only one user" },
	{ "reusable", 0, CLI_BOOL, &is_reusable, NULL, "for any number of nodes" },
	{ "ephemeral", 0, CLI_BOOL, &is_ephemeral, NULL,
	  "nodes are deleted some time after they went offline" },
	{ "needs-approval", 0, CLI_BOOL, &needs_approval, NULL,
	  "nodes wait to be approved where devices need that: fairlead settings" },
	{ "expiration", 'e', CLI_STRING, &expiration, "TIME", "30m, 24h, 7d or never; default 90d" },
	{ "tags", 't', CLI_STRING, &tags, "LIST", "nodes get these tags: tag:a,tag:b" },
	{ "description", 'd', CLI_STRING, &description, "TEXT", "what it is for" },
	{ "quiet", 'q', CLI_BOOL, &is_quiet, NULL, "print the key alone" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists auth keys, without their secrets", NULL, keys_list },
	{ "create", "add", "", 0, 0, "Makes an auth key and prints it", create_opts, keys_create },
	{ "revoke", "expire", "ID", 1, 1, "Makes a key useless from now on", NULL, keys_revoke },
	{ "delete", "destroy", "ID", 1, 1, "Deletes a key", NULL, keys_delete },
};

static const struct cli_noun noun = {
	"keys", "Auth keys: what nodes join with.", verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_keys = {
	.name = "keys", .noun = &noun, .summary = "auth keys: create, list, revoke, delete",
};
