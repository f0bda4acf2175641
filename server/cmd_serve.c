/* fairlead serve */
#include <stdio.h>

#include "base/inherit.h"
#include "server/cli_opt.h"
#include "server/cmd.h"
#include "server/cmd_daemon.h"
#include "server/config_load.h"
#include "server/handover_spawn.h"
#include "server/serve.h"
#include "server/takeover.h"

static bool makes_new_key, takes_over, wants_help;

static const struct cli_opt opts[] = {
	{ "new-key", 0, CLI_BOOL, &makes_new_key, NULL,
	  "print a new auth key although this is not the first start" },
	{ "takeover", 0, CLI_BOOL, &takes_over, NULL,
	  "take over from the server that runs on this data directory (fairlead restart does it for you)" },
	{ "help", 'h', CLI_BOOL, &wants_help, NULL, "this text" },
	{ 0 },
};

static void
usage(FILE *f)
{
	fprintf(f, "Runs the server in the foreground, until SIGINT or SIGTERM.\n\n"
	    "Usage: fairlead serve [flags]\n\nThe first start makes a user and an auth key and prints how a"
	    " node joins.\n\nFlags:\n");
	cli_opt_usage(opts, f);
	config_usage(f);
}

static int
fail(const struct err_text *why)
{
	fprintf(stderr, "fairlead: %s\n", why->s);
	takeover_say_failed(why);
	return 1;
}

static int
serve(struct config *cfg)
{
	struct serve_options options = { .makes_new_key = makes_new_key, .takes_over = takes_over };
	struct serve *s = NULL;
	struct err_text why = { "" };
	enum err rc = serve_new(cfg, &options, &s, &why);

	if (rc == ERR_OK)
		rc = serve_run(s, &why);
	serve_free(s);
	return rc == ERR_OK ? 0 : fail(&why);
}

static const struct cmd_daemon daemon_serve = {
	.name = "serve", .opts = opts, .usage = usage, .fail = fail, .run = serve,
};

static int
run(int argc, char **argv)
{
	handover_spawn_remember();
	inherit_environment();
	return cmd_daemon_run(&daemon_serve, argc, argv);
}

const struct cmd cmd_serve = { .name = "serve", .summary = "run the server", .run = run, .usage = usage };
