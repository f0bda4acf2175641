/* fairlead version */
#include "server/cli.h"
#include "server/cmd.h"

static int
version_show(struct cli *c)
{
	printf(c->is_json ? "{\"version\": \"%s\"}\n" : "fairlead %s\n", FAIRLEAD_VERSION);
	return 0;
}

static const struct cli_verb verbs[] = {
	{ "", NULL, "", 0, 0, "Prints the version of this binary.", NULL, version_show },
};

static const struct cli_noun noun = { "version", "", verbs, COUNT_OF(verbs), true };

const struct cmd cmd_version = {
	.name = "version", .noun = &noun, .summary = "version of this binary",
};
