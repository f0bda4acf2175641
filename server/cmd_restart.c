/* fairlead restart */
#include <inttypes.h>
#include <stdio.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static void
print_done(const struct cli *c, const json_t *v)
{
	(void)c;
	printf("Process %" PRId64 " (fairlead %s) serves now, in place of %" PRId64 " (fairlead %s)."
	    " New connections waited %" PRId64 " ms.\n", json_get_int(v, "pid", 0),
	    json_get_str(v, "version", "-"), json_get_int(v, "oldPid", 0),
	    json_get_str(v, "oldVersion", "-"), json_get_int(v, "pausedMs", 0));
}

static int
restart(struct cli *c)
{
	return cli_ask(c, "POST", "/restart", NULL, print_done);
}

static const struct cli_verb verbs[] = {
	{ "", NULL, "", 0, 0, "Starts the server's program anew, as it lies on disk now and with the"
	  " configuration as it is now, and has it take over: nobody is refused, nodes reconnect once. If the"
	  " new one cannot start, the old one goes on and the reason is printed.", NULL, restart },
};

static const struct cli_noun noun = { "restart", "", verbs, COUNT_OF(verbs), false };

const struct cmd cmd_restart = {
	.name = "restart", .noun = &noun, .summary = "a new version or configuration, without refusing anybody",
};
