/* fairlead console: a link that signs a browser in. */
#include <string.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static const char *role, *user;

static void
print_link(const struct cli *c, const json_t *v)
{
	const char *url = json_get_str(v, "url", "");

	(void)c;
	printf("Open this in a browser, once, within 10 minutes. It signs you in as %s:\n\n"
	    "    %s\n\n%s",
	    json_get_str(v, "role", "?"), url, strncmp(url, "https://", 8) == 0 ? "" :
	    "Without TLS this is for private networks only.\n");
}

static int
console(struct cli *c)
{
	json_t *body = json_pack("{s:s*, s:s*}", "role", role, "user", user);

	if (body == NULL)
		return cli_fail("role and user must be UTF-8");
	return cli_ask(c, "POST", "/session/links", body, print_link);
}

static const struct cli_opt opts[] = {
	{ "role", 0, CLI_STRING, &role, "ROLE", "owner (default), admin, network-admin or auditor" },
	{ "user", 'u', CLI_STRING, &user, "NAME", "sign in as this user, with the user's role" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "", NULL, "", 0, 0, "Prints a link that signs a browser in to the console", opts, console },
};

static const struct cli_noun noun = {
	"console", "Prints a link that signs a browser in to the console.", verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_console = {
	.name = "console", .noun = &noun, .summary = "a link that signs a browser in",
};
