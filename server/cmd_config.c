/* fairlead config */
#include "server/cli.h"
#include "server/cmd.h"
#include "server/config_load.h"

static int
config_check(struct cli *c)
{
	char config_flag[] = "--config", name[] = "check";
	char *argv[] = { name, config_flag, c->argc > 0 ? c->argv[0] : NULL, NULL };
	int argc = 3;
	struct config *cfg = NULL;
	struct err_text why;

	if (config_load(c->argc > 0 ? &argc : NULL, argv, &cfg, &why) != ERR_OK)
		return cli_fail("%s", why.s);
	config_free(cfg);
	if (c->is_json)
		printf("{\"ok\": true}\n");
	else
		printf("ok\n");
	return 0;
}

static const struct cli_verb verbs[] = {
	{ "check", "test", "[FILE]", 0, 1,
	  "Says whether the configuration is good (FILE, or what `fairlead serve` would read)", NULL,
	  config_check },
};

static const struct cli_noun noun = {
	"config", "Configuration of the server; docs/configuration.md lists its keys.", verbs, COUNT_OF(verbs),
	true,
};

const struct cmd cmd_config = {
	.name = "config", .noun = &noun, .summary = "configuration: check",
};
