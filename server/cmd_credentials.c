/* fairlead apikeys and fairlead oauth-clients: what programs call the API with. */
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static const char *user, *expiration, *scopes, *tags, *description;
static bool is_quiet;

static const struct cli_column columns[] = {
	{ .head = "ID", .member = "id" },
	{ .head = "USER", .member = "user" },
	{ .head = "SCOPES", .member = "scopes" },
	{ .head = "TAGS", .member = "tags" },
	{ .head = "STATE", .member = "state" },
	{ .head = "CREATED", .member = "created", .is_time = true },
	{ .head = "EXPIRES", .member = "expires", .is_time = true },
	{ .head = "LAST USED", .member = "lastUsed", .is_time = true },
	{ .head = "DESCRIPTION", .member = "description" },
};

static bool
is_clients(const struct cli *c)
{
	return strcmp(c->noun, "oauth-clients") == 0;
}

static int
list(struct cli *c)
{
	json_t *v, *all, *one;
	int code = cli_call("GET", "/credentials", NULL, &v);

	if (code != 0)
		return code;
	all = json_object_get(v, "credentials");
	for (size_t i = json_array_size(all); i-- > 0;) {
		one = json_array_get(all, i);
		if ((strcmp(json_get_str(one, "kind", ""), "client") == 0) != is_clients(c))
			json_array_remove(all, i);
	}
	return cli_print_list(c, v, "credentials", columns, COUNT_OF(columns), is_clients(c) ?
	    "There are no OAuth clients: fairlead oauth-clients create --scopes LIST" :
	    "There are no API keys: fairlead apikeys create");
}

/* NULL: the sentence is printed. */
static json_t *
create_body(const struct cli *c)
{
	json_t *body = json_pack("{s:s, s:s*, s:s*}", "kind", is_clients(c) ? "client" : "api",
	    "user", user, "description", description);

	if (body == NULL) {
		cli_fail("user and description must be UTF-8");
		return NULL;
	}
	if ((body = cli_expiry_set(body, expiration)) == NULL)
		return NULL;
	cli_words_add(body, "scopes", scopes, "");
	cli_words_add(body, "tags", tags, "tag:");
	return body;
}

static void
print_created(const struct cli *c, const json_t *v)
{
	const char *key = json_get_str(v, "key", ""), *id = json_get_str(v, "id", "?");
	json_t *status = NULL;

	if (is_quiet) {
		printf("%s\n", key);
		return;
	}
	if (cli_call("GET", "/status", NULL, &status) != 0)
		status = NULL;		/* the key is there all the same */
	const char *url = json_get_str(status, "serverUrl", "URL");
	if (is_clients(c))
		printf("OAuth client. The secret is shown only once:\n\n    client id      %s\n"
		    "    client secret  %s\n\nToken endpoint: %s/api/v2/oauth/token\n", id, key, url);
	else
		printf("API key %s of user %s. It is shown only once:\n\n    %s\n\nTry it with:\n\n"
		    "    curl -u %s: %s/api/v2/tailnet/-/devices\n\n", id, json_get_str(v, "user", "?"),
		    key, key, url);
	json_decref(status);
}

static int
create(struct cli *c)
{
	return cli_make(c, "/credentials", create_body(c), print_created);
}

static int
change(const struct cli *c, struct cli_change how)
{
	how.path = "/credentials/";
	how.kind = is_clients(c) ? "OAuth client" : "API key";
	return cli_change(c, &how, NULL);
}

static int
revoke(struct cli *c)
{
	return change(c, (struct cli_change){ .method = "POST", .action = "/revoke",
	    .done = "is useless from now on" });
}

static int
destroy(struct cli *c)
{
	return change(c, (struct cli_change){ .method = "DELETE", .done = "is deleted" });
}

#define DESCRIPTION { "description", 'd', CLI_STRING, &description, "TEXT", "what it is for" }
#define QUIET { "quiet", 'q', CLI_BOOL, &is_quiet, NULL, "print the secret alone" }
#define OWNER { "user", 'u', CLI_STRING, &user, "NAME", "whose it is; the first owner if not given" }
#define END { NULL, 0, CLI_BOOL, NULL, NULL, NULL }

static const struct cli_opt key_opts[] = {
	OWNER,
	{ "expiration", 'e', CLI_STRING, &expiration, "TIME", "30m, 24h, 7d or never; default 90d" },
	DESCRIPTION, QUIET, END,
};

static const struct cli_opt client_opts[] = {
	{ "scopes", 's', CLI_STRING, &scopes, "LIST", "such as devices:core,auth_keys,services" },
	{ "tags", 't', CLI_STRING, &tags, "LIST", "of what it makes: tag:k8s-operator" },
	OWNER, DESCRIPTION, QUIET, END,
};

static const struct cli_verb key_verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists API keys, without their secrets", NULL, list },
	{ "create", "add", "", 0, 0, "Makes an API key and prints it", key_opts, create },
	{ "expire", "revoke", "ID", 1, 1, "Makes a key useless from now on", NULL, revoke },
	{ "delete", "destroy", "ID", 1, 1, "Deletes a key", NULL, destroy },
};

static const struct cli_verb client_verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists OAuth clients, without their secrets", NULL, list },
	{ "create", "add", "", 0, 0, "Makes an OAuth client and prints its secret", client_opts, create },
	{ "expire", "revoke", "ID", 1, 1, "Makes a client and its access tokens useless from now on", NULL,
	  revoke },
	{ "delete", "destroy", "ID", 1, 1, "Deletes a client", NULL, destroy },
};

static const struct cli_noun key_noun = {
	"apikeys", "API keys: what programs call the API with, as a user.", key_verbs,
	COUNT_OF(key_verbs), false,
};

static const struct cli_noun client_noun = {
	"oauth-clients", "OAuth clients: what operators and providers get access tokens with.",
	client_verbs, COUNT_OF(client_verbs), false,
};

const struct cmd cmd_apikeys = {
	.name = "apikeys", .noun = &key_noun, .summary = "keys of the API: create, list, expire, delete",
};
const struct cmd cmd_oauth_clients = {
	.name = "oauth-clients", .noun = &client_noun, .summary = "OAuth clients: create, list, expire, delete",
};
