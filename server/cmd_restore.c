/* fairlead restore */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli.h"
#include "server/cmd.h"
#include "server/config_load.h"
#include "server/restore.h"

static const char *data_dir;
static bool is_forced;

/* The caller frees it; NULL: said already. */
static char *
target(void)
{
	struct config *cfg = NULL;
	struct err_text why;
	char *out;

	if (data_dir != NULL)
		return obj_strdup(data_dir);
	if (config_load(NULL, NULL, &cfg, &why) != ERR_OK) {
		cli_fail("%s", why.s);
		return NULL;
	}
	out = obj_strdup(cfg->data_dir);
	config_free(cfg);
	return out;
}

static void
say(const struct cli *c, const char *dir, const struct restore_report *r)
{
	if (c->is_json) {
		json_t *v = json_pack("{s:s, s:s, s:s, s:i, s:s}", "dataDir", dir, "made", r->list.made,
		    "version", r->list.version, "files", (int)r->list.n, "movedTo", r->moved_to);
		cli_print_json(v);
		json_decref(v);
		return;
	}
	printf("Restored %u files into %s, as they were at %s (fairlead %s).\n", r->list.n, dir,
	    r->list.made, r->list.version);
	if (r->moved_to[0] != '\0')
		printf("What stood there is in %s/%s.\n", dir, r->moved_to);
	printf("The configuration of that server is %s/%s: compare it with the one here, then start the"
	    " server.\n", dir, RESTORE_CONFIG);
}

static int
restore(struct cli *c)
{
	bool is_stdin = strcmp(c->argv[0], "-") == 0;
	FILE *f = is_stdin ? stdin : fopen(c->argv[0], "re");
	struct restore_report *r;
	struct err_text why = { "" };
	char *dir;
	int code = 0;

	if (f == NULL)
		return cli_fail("%s cannot be read: %s", c->argv[0], strerror(errno));
	r = obj_alloc(sizeof(*r));
	if ((dir = target()) == NULL)
		code = 1;
	else if (restore_run(f, dir, is_forced, r, &why) != ERR_OK)
		code = cli_fail("%s", why.s);
	else
		say(c, dir, r);
	if (!is_stdin)
		fclose(f);
	free(dir);
	free(r);
	return code;
}

static const struct cli_opt opts[] = {
	{ "data-dir", 0, CLI_STRING, &data_dir, "DIR", "where to; default: data_dir of the configuration" },
	{ "force", 0, CLI_BOOL, &is_forced, NULL, "move what is there out of the way" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "", NULL, "FILE", 1, 1,
	  "Puts a backup (- for stdin) into the data directory of a server that does not run.", opts, restore },
};

static const struct cli_noun noun = { "restore", "", verbs, COUNT_OF(verbs), true };

const struct cmd cmd_restore = {
	.name = "restore", .noun = &noun, .summary = "a backup into a data directory",
};
