/*
 * Configuration: defaults, then the file, then FAIRLEAD_* of the environment, then flags; each overrides those
 * before it. The file is --config FILE, else $FAIRLEAD_CONFIG, else /etc/fairlead/config.yaml if there
 * is one. docs/configuration.md lists every key.
 */
#ifndef SERVER_CONFIG_LOAD_H
#define SERVER_CONFIG_LOAD_H

#include <stdbool.h>
#include <stdio.h>

#include "base/config.h"
#include "base/err.h"

/* Takes the flags it knows ("--server-url=URL" or "--server-url URL", "-c FILE") out of argv, from
 * argv[1] up to "--", and lowers *argc: what remains is the caller's. argc may be NULL: no flags.
 * *out is the caller's (config_free). ERR_IO or ERR_INVAL with *why: one sentence that names file
 * and line, variable or flag. Main thread. */
enum err config_load(int *argc, char **argv, struct config **out, struct err_text *why) MUST_USE;
void config_free(struct config *cfg);		/* NULL is fine */

/* The flags that config_load knows, for --help. */
void config_usage(FILE *f);

/* What the machine says; replaced in tests. */
struct config_world {
	const char *(*env)(const char *name);	/* NULL: not set */
	bool is_root;
	unsigned n_cpus;
	const char *etc_path;			/* the file that is read if it exists */
};
enum err config_load_in(const struct config_world *w, int *argc, char **argv, struct config **out,
	struct err_text *why) MUST_USE;

#endif
