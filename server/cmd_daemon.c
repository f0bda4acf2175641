/* How a command that runs until it is stopped begins. */
#include "server/cmd_daemon.h"

#include <string.h>

#include "base/log.h"
#include "server/config_load.h"

bool
cmd_daemon_wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

int
cmd_daemon_configure(const struct cli_opt *opts, int *argc, char **argv, struct config **out,
	struct err_text *why)
{
	const struct cli_opt *const tables[] = { opts, NULL };
	struct config *cfg = NULL;
	enum log_level level;

	if (config_load(argc, argv, &cfg, why) != ERR_OK)
		return 1;
	if (cli_opt_parse(tables, argc, argv, why) != ERR_OK) {
		config_free(cfg);
		return 2;
	}
	if (log_level_parse(cfg->log.level, &level))
		log_set_level(level);
	*out = cfg;
	return 0;
}
