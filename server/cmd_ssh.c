/* fairlead ssh: SSH logins that the policy's check rules hold. */
#include <stdlib.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static void
put_source(const json_t *o, int64_t now, struct buf *out)
{
	const json_t *n = json_object_get(o, "source");

	(void)now;
	cli_put_member(n, "name", out);
	if (json_array_size(json_object_get(n, "tags")) == 0) {
		buf_str(out, " of ");
		cli_put_member(n, "user", out);
	}
}

static void
put_destination(const json_t *o, int64_t now, struct buf *out)
{
	(void)now;
	cli_put_member(json_object_get(o, "destination"), "name", out);
}

/* For how long an approval counts. */
static void
put_period(const json_t *o, int64_t now, struct buf *out)
{
	int64_t s = json_get_int(o, "checkPeriodSeconds", 0);
	char text[CLI_TIME_MAX];

	(void)now;
	buf_str(out, s == 0 ? "once" : cli_span_put(s, text));
}

static const struct cli_column columns[] = {
	{ .head = "ID", .member = "id" },
	{ .head = "FROM", .put = put_source },
	{ .head = "TO", .put = put_destination },
	{ .head = "AS", .member = "localUser" },
	{ .head = "COUNTS FOR", .put = put_period },
	{ .head = "WAITS NOW", .member = "waiting" },
	{ .head = "ASKED", .member = "created", .is_time = true },
	{ .head = "ENDS", .member = "expires", .is_time = true },
};

static int
ssh_list(struct cli *c)
{
	return cli_list(c, &(struct cli_list){ .path = "/ssh-checks", .array = "sshChecks",
	    .columns = columns, .n_columns = COUNT_OF(columns),
	    .none = "No SSH login waits: the policy's rules with \"action\": \"check\" hold them" });
}

static int
decide(const struct cli *c, const char *action, void (*print)(const struct cli *c, const json_t *v))
{
	char *path = cli_path("/ssh-checks/", cli_id_of(c), action);
	int code = cli_ask(c, "POST", path, NULL, print);

	free(path);
	return code;
}

static void
print_approved(const struct cli *c, const json_t *v)
{
	(void)c, (void)v;
	printf("The SSH login goes on by itself.\n");
}

static int
ssh_approve(struct cli *c)
{
	return decide(c, "/approve", print_approved);
}

static void
print_rejected(const struct cli *c, const json_t *v)
{
	(void)c, (void)v;
	printf("The SSH login is ended.\n");
}

static int
ssh_reject(struct cli *c)
{
	return decide(c, "/reject", print_rejected);
}

static const struct cli_verb verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists SSH logins that wait", NULL, ssh_list },
	{ "approve", NULL, "ID", 1, 1, "Lets an SSH login go on", NULL, ssh_approve },
	{ "reject", NULL, "ID", 1, 1, "Ends an SSH login", NULL, ssh_reject },
};

static const struct cli_noun noun = {
	"ssh", "SSH logins held by the policy's check rules. ID is what the person is shown, or its address.",
	verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_ssh = {
	.name = "ssh", .noun = &noun, .summary = "SSH logins to be approved: list, approve, reject",
};
