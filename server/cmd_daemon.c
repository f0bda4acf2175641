/* How a command that runs until it is stopped begins. */
#include "server/cmd_daemon.h"

#include <stdbool.h>
#include <string.h>

#include "base/log.h"
#include "server/config_load.h"

static bool
wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return true;
	return false;
}

int
cmd_daemon_run(const struct cmd_daemon *d, int argc, char **argv)
{
	const struct cli_opt *const tables[] = { d->opts, NULL };
	struct config *cfg = NULL;
	struct err_text why = { "" };
	enum log_level level;
	int status = 2;

	if (wants_help(argc, argv)) {
		d->usage(stdout);
		return 0;
	}
	if (config_load(&argc, argv, &cfg, &why) != ERR_OK)
		return d->fail(&why);
	if (cli_opt_parse(tables, &argc, argv, &why) != ERR_OK) {
		d->fail(&why);
		goto out;
	}
	if (argc > 1) {
		fprintf(stderr, "fairlead: %s takes no \"%s\"; fairlead %s --help lists its flags\n", d->name,
		    argv[1], d->name);
		goto out;
	}
	if (log_level_parse(cfg->log.level, &level))
		log_set_level(level);
	status = d->run(cfg);
out:
	config_free(cfg);
	return status;
}
