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

const struct cmd cmd_version = { "version", "version of this binary", run, usage };
