/* fairlead quotas: how much may be sent through the relay. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "coord/quota_rule.h"
#include "server/cli.h"
#include "server/cmd.h"

static void
put_source(const json_t *o, int64_t now, struct buf *out)
{
	(void)now;
	buf_str(out, strcmp(json_get_str(o, "source", ""), "config") == 0 ? "derp.node_quota" : "set");
}

static const struct cli_column columns[] = {
	{ .head = "KIND", .member = "kind" },
	{ .head = "NAME", .member = "name" },
	{ .head = "RATE", .member = "rate" },
	{ .head = "NODES", .member = "nodes" },
	{ .head = "SOURCE", .put = put_source },
};

static int
quotas_list(struct cli *c)
{
	return cli_list(c, &(struct cli_list){ .path = "/quotas", .array = "quotas",
	    .columns = columns, .n_columns = COUNT_OF(columns), .none = "There are no quotas." });
}

/* "Node web1 may send 10 MB/s (1 node)." */
static void
print_rule(const struct cli *c, const json_t *v)
{
	const char *kind = json_get_str(v, "kind", ""), *name = json_get_str(v, "name", "");
	int64_t bytes = json_get_int(v, "bytesPerSecond", 0), n = json_get_int(v, "nodes", 0);
	const char *rate = bytes == 0 ? "as much as it likes" : json_get_str(v, "rate", "?");

	(void)c;
	if (strcmp(kind, "default") == 0)
		printf("A node without a quota of its own may send %s.\n", rate);
	else if (strcmp(kind, "node") == 0)
		printf("Node %s may send %s.\n", name, rate);
	else if (strcmp(kind, "tag") == 0)
		printf("Nodes with %s may send %s together; they are %lld.\n", name, rate, (long long)n);
	else
		printf("Untagged nodes of %s may send %s together; they are %lld.\n", name, rate, (long long)n);
}

static int
quotas_set(struct cli *c)
{
	struct err_text why;
	int64_t bytes_per_s;
	char *path;
	int code;

	if (quota_rule_rate_parse(c->argv[1], &bytes_per_s, &why) != ERR_OK) {
		cli_fail("%s", why.s);
		return 2;
	}
	path = cli_path("/quotas/", c->argv[0], "");
	code = cli_ask(c, "PUT", path, json_pack("{s:I}", "bytesPerSecond", (json_int_t)bytes_per_s),
	    print_rule);
	free(path);
	return code;
}

static int
quotas_unset(struct cli *c)
{
	static const struct cli_change how = { .method = "DELETE", .path = "/quotas/", .kind = "The quota of",
		.done = "is unset" };

	return cli_change(c, &how, NULL);
}

static const struct cli_verb verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists the quotas", NULL, quotas_list },
	{ "set", NULL, "SUBJECT RATE", 2, 2, "Sets one: SUBJECT is default, a node, tag:x (shared by its "
	  "nodes) or a user (by untagged ones); RATE is 10MB/s, 800kbit/s, bytes per second, or none", NULL,
	  quotas_set },
	{ "unset", "remove", "SUBJECT", 1, 1, "Takes one away; of default: as configured (derp.node_quota)",
	  NULL, quotas_unset },
};

static const struct cli_noun noun = {
	"quotas", "How much may be sent through the relay.", verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_quotas = {
	.name = "quotas", .noun = &noun, .summary = "how much may be sent through the relay: list, set, unset",
};
