/* fairlead audit: who changed what. */
#include <curl/curl.h>
#include <stdlib.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static const char *actor, *object, *limit, *before;

static const struct cli_column columns[] = {
	{ .head = "ID", .member = "id" },
	{ .head = "WHEN", .member = "at", .is_time = true },
	{ .head = "WHO", .member = "actor" },
	{ .head = "FROM", .member = "source" },
	{ .head = "WHAT", .member = "what" },
	{ .head = "OBJECT", .member = "object" },
};

static void
add(struct buf *path, const char *name, const char *value)
{
	char *escaped;

	if (value == NULL)
		return;
	if ((escaped = curl_easy_escape(NULL, value, 0)) == NULL)
		abort();
	buf_printf(path, "&%s=%s", name, escaped);
	curl_free(escaped);
}

static int
audit_list(struct cli *c)
{
	struct buf path = { .len = 0 };
	int code;

	buf_printf(&path, "/audit?limit=%.20s", limit != NULL ? limit : "50");
	add(&path, "actor", actor);
	add(&path, "object", object);
	add(&path, "before", before);
	code = cli_list(c, &(struct cli_list){ .path = buf_cstr(&path), .array = "records",
	    .columns = columns, .n_columns = COUNT_OF(columns), .none = "There are no such records." });
	buf_fini(&path);
	return code;
}

static const struct cli_opt opts[] = {
	{ "actor", 0, CLI_STRING, &actor, "NAME", "what this one did, as the WHO column has it" },
	{ "object", 0, CLI_STRING, &object, "OBJECT", "what happened to it: \"node 17\"" },
	{ "limit", 'n', CLI_STRING, &limit, "N", "so many, 1 to 500; default 50" },
	{ "before", 0, CLI_STRING, &before, "ID", "older than this record" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists changes, newest first; -o json has before and after", opts,
	  audit_list },
};

static const struct cli_noun noun = {
	"audit", "The audit record: who changed what, before and after.", verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_audit = { .name = "audit", .noun = &noun, .summary = "who changed what" };
