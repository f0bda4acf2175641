/* The subcommands of the fairlead binary. Each runs in its own process life: exit codes are 0, 1
 * (failed) and 2 (bad usage). */
#ifndef SERVER_CMD_H
#define SERVER_CMD_H

#include <stdio.h>

#include "server/cli.h"

struct cmd {
	const char *name, *summary;
	const struct cli_noun *noun;	/* its verbs; NULL: it has none, but what follows */
	int (*run)(int argc, char **argv);	/* argv[0] is the subcommand; returns the exit code */
	void (*usage)(FILE *f);
};

extern const struct cmd cmd_serve, cmd_users, cmd_keys, cmd_nodes, cmd_status, cmd_config, cmd_version,
	cmd_apikeys, cmd_oauth_clients, cmd_console, cmd_audit, cmd_health, cmd_backup, cmd_restore,
	cmd_auth, cmd_clusters, cmd_ssh, cmd_policy, cmd_settings, cmd_dns, cmd_routes,
	cmd_regions, cmd_relays, cmd_relay, cmd_restart, cmd_doctor,
	cmd_quotas;

/* fairlead relay top; argv[0] is "top". Returns the exit code. */
int cmd_relay_top(int argc, char **argv);
/* nodes list-routes, nodes approve-routes; flags of both. */
int cmd_routes_list(struct cli *c);
int cmd_routes_set(struct cli *c);
extern const struct cli_opt cmd_routes_opts[];
/* A new auth key, and how to join with it, for people. */
void cmd_keys_print(const struct cli *c, const json_t *key);

/* Finds the subcommand and runs it. argv as main has it. Returns the exit code. */
int cmd_main(int argc, char **argv);

#endif
