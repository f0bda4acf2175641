/* The table of subcommands, help, and what happens to words that are none. */
#include "server/cmd.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/obj.h"
#include "server/acme_challenge.h"
#include "server/suggest.h"

static const struct cmd *const cmds[] = {
	&cmd_serve, &cmd_console, &cmd_users, &cmd_keys, &cmd_nodes, &cmd_routes, &cmd_regions,
	&cmd_relays, &cmd_quotas, &cmd_policy, &cmd_auth, &cmd_ssh, &cmd_apikeys, &cmd_oauth_clients,
	&cmd_clusters, &cmd_settings, &cmd_dns, &cmd_relay, &cmd_audit, &cmd_status, &cmd_health,
	&cmd_doctor, &cmd_restart, &cmd_backup, &cmd_restore, &cmd_config, &cmd_version,
};

/* Words of other control servers' commands. */
static const struct { const char *word; const struct cmd *cmd; } aliases[] = {
	{ "user", &cmd_users }, { "node", &cmd_nodes }, { "machines", &cmd_nodes },
	{ "key", &cmd_keys }, { "preauthkeys", &cmd_keys }, { "preauthkey", &cmd_keys },
	{ "authkeys", &cmd_keys }, { "apikey", &cmd_apikeys }, { "api", &cmd_apikeys },
	{ "oauth-client", &cmd_oauth_clients }, { "cluster", &cmd_clusters }, { "logins", &cmd_auth },
	{ "setting", &cmd_settings }, { "acl", &cmd_policy }, { "acls", &cmd_policy },
	{ "route", &cmd_routes }, { "region", &cmd_regions }, { "quota", &cmd_quotas },
	{ "derp", &cmd_regions },
	{ "server", &cmd_serve }, { "--version", &cmd_version },
	{ "-v", &cmd_version },
};

static void
usage(FILE *f)
{
	fprintf(f, "Fairlead: a private control server and relay for Tailscale clients.\n\n"
	    "Usage: fairlead COMMAND [...]\n\nCommands:\n");
	for (size_t i = 0; i < COUNT_OF(cmds); i++)
		fprintf(f, "  %-14s %s\n", cmds[i]->name, cmds[i]->summary);
	fprintf(f, "  %-14s %s\n\nfairlead COMMAND --help says more.\n", "help", "this text, or help COMMAND");
}

static const struct cmd *
find(const char *word)
{
	for (size_t i = 0; i < COUNT_OF(cmds); i++)
		if (strcmp(cmds[i]->name, word) == 0)
			return cmds[i];
	for (size_t i = 0; i < COUNT_OF(aliases); i++)
		if (strcmp(aliases[i].word, word) == 0)
			return aliases[i].cmd;
	return NULL;
}

static int
unknown(const char *word)
{
	struct suggest s = { .word = word };

	for (size_t i = 0; i < COUNT_OF(cmds); i++)
		suggest_try(&s, cmds[i]->name);
	suggest_try(&s, "help");
	if (s.best != NULL)
		fprintf(stderr, "fairlead: unknown command \"%s\"; did you mean \"%s\"?\n", word, s.best);
	else
		fprintf(stderr, "fairlead: unknown command \"%s\"; fairlead help lists them\n", word);
	return 2;
}

int
cmd_main(int argc, char **argv)
{
	const struct cmd *c;
	const char *challenge_dir = getenv(ACME_CHALLENGE_ENV);

	/* Without memory it takes good JSON for bad, and leaves out members of what it writes. */
	json_set_alloc_funcs(obj_alloc, free);
	if (challenge_dir != NULL)
		return acme_challenge_hook(challenge_dir, argc, argv);
	if (argc < 2) {
		usage(stderr);
		return 2;
	}
	bool is_help = strcmp(argv[1], "help") == 0;
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (is_help && argc == 2)) {
		usage(stdout);
		return 0;
	}
	if ((c = find(argv[is_help ? 2 : 1])) == NULL)
		return unknown(argv[is_help ? 2 : 1]);
	if (!is_help)
		return c->noun != NULL ? cli_main(c->noun, argc - 1, argv + 1) : c->run(argc - 1, argv + 1);
	if (c->noun != NULL)
		cli_usage(c->noun, stdout);
	else
		c->usage(stdout);
	return 0;
}
