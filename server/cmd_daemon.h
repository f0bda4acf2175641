/* What the commands that run until they are stopped begin with: help, configuration, flags of their own. */
#ifndef SERVER_CMD_DAEMON_H
#define SERVER_CMD_DAEMON_H

#include <stdbool.h>

#include "base/config.h"
#include "base/err.h"
#include "server/cli_opt.h"

/* Is --help or -h among the words? Asked first: help must not fail for a configuration that is broken. */
bool cmd_daemon_wants_help(int argc, char **argv);

/* The configuration, of file, environment and flags, then the command's own flags, whose table is opts; both
 * are taken out of argv. The level of the log is set. Returns 0, *out the caller's (config_free); or the exit
 * code with *why. */
int cmd_daemon_configure(const struct cli_opt *opts, int *argc, char **argv, struct config **out,
	struct err_text *why);

#endif
