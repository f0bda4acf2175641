/* Flags by table: "--name value", "--name=value", "-n value", flags anywhere between the words,
 * "--" ends them. */
#ifndef SERVER_CLI_OPT_H
#define SERVER_CLI_OPT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

enum cli_opt_kind { CLI_BOOL, CLI_STRING };

struct cli_opt {
	const char *name;		/* NULL ends the table */
	char letter;			/* 0: none */
	enum cli_opt_kind kind;
	void *to;			/* bool *, or const char ** (borrowed from argv) */
	const char *arg;		/* placeholder in the help; NULL for CLI_BOOL */
	const char *help;
};

/* Takes the flags out of argv[1..]; words stay in order and *argc is lowered. tables ends with
 * NULL. ERR_INVAL with *why: unknown flag (with the nearest one), missing or needless value. */
enum err cli_opt_parse(const struct cli_opt *const *tables, int *argc, char **argv, struct err_text *why)
	MUST_USE;
/* One line each. */
void cli_opt_usage(const struct cli_opt *table, FILE *f);

#endif
