/* What the commands that run until they are stopped begin with: help, configuration, flags of their own. */
#ifndef SERVER_CMD_DAEMON_H
#define SERVER_CMD_DAEMON_H

#include <stdio.h>

#include "base/config.h"
#include "base/err.h"
#include "server/cli_opt.h"

struct cmd_daemon {
	const char *name;		/* "relay" */
	const struct cli_opt *opts;	/* of its own */
	void (*usage)(FILE *f);
	/* Says why it failed. Returns 1. */
	int (*fail)(const struct err_text *why);
	/* Returns the exit code. */
	int (*run)(struct config *cfg);
};

/* Help if it is asked for, which a broken configuration does not prevent; else the configuration, of file,
 * environment and flags, the command's own flags, the level of the log, and run. argv[0] is the command.
 * Returns the exit code. */
int cmd_daemon_run(const struct cmd_daemon *d, int argc, char **argv);

#endif
