/* fairlead relays: relays on other machines. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static const char *region;

/* What an administrator wants to know first. */
static void
put_state(const json_t *r, int64_t now, struct buf *out)
{
	bool is_connected = json_get_bool(r, "connected", false);
	bool is_announced = json_get_bool(r, "announced", false);

	(void)now;
	if (json_get(r, "node") == NULL && !is_connected)
		buf_str(out, "has not come yet");
	else if (!is_connected)
		buf_str(out, is_announced ? "away, clients still know it" : "away, left out of the map");
	else if (json_get_bool(r, "reachable", false))
		buf_str(out, "good");
	else if (json_get_str(r, "trouble", "")[0] == '\0')
		buf_str(out, "is being probed");
	else
		buf_str(out, is_announced ? "cannot be reached" : "cannot be reached: clients do not know it");
}

static void
put_host(const json_t *r, int64_t now, struct buf *out)
{
	const json_t *n = json_get(r, "node");

	(void)now;
	if (n == NULL)
		return;
	cli_text_put(out, json_get_str(n, "hostname", "?"));
	if (json_get_int(n, "derpPort", 443) != 443)
		buf_printf(out, ":%lld", (long long)json_get_int(n, "derpPort", 443));
}

static const struct cli_column columns[] = {
	{ .head = "NAME", .member = "name" },
	{ .head = "REGION", .member = "region" },
	{ .head = "HOST", .put = put_host },
	{ .head = "STATE", .put = put_state },
	{ .head = "LAST SEEN", .member = "lastSeen", .is_time = true },
	{ .head = "VERSION", .member = "version" },
};

static void
print_troubles(const json_t *answer)
{
	const json_t *relays = json_object_get(answer, "relays"), *r;
	size_t i;

	json_array_foreach(relays, i, r) {
		const char *trouble = json_get_str(r, "trouble", "");

		if (trouble[0] != '\0')
			printf("%s: %s\n", json_get_str(r, "name", "?"), trouble);
	}
}

static int
relays_list(struct cli *c)
{
	return cli_list(c, &(struct cli_list){ .path = "/relays", .array = "relays",
	    .columns = columns, .n_columns = COUNT_OF(columns), .after = print_troubles,
	    .none = "There is no relay on another machine: fairlead relays add NAME" });
}

static void
print_added(const struct cli *c, const json_t *v)
{
	(void)c;
	printf("Relay %s of region %s. Run on its machine (the key is shown only now):\n\n  %s\n\n",
	    json_get_str(v, "name", "?"), json_get_str(v, "region", "?"), json_get_str(v, "line", "?"));
	printf("It needs 443/tcp and 3478/udp from the internet; --hostname NAME if it has a name. Nodes are\n"
	    "told of it when this server can reach it: fairlead relays list\n");
}

/* The id of the region with this code, made if there is none; 0: *code is the exit code. */
static int64_t
region_for(const char *word, int *code)
{
	json_t *v, *r, *made = NULL;
	int64_t id = 0;
	size_t i;

	if ((*code = cli_call("GET", "/regions", NULL, &v)) != 0)
		return 0;
	json_array_foreach(json_object_get(v, "regions"), i, r)
		if (strcmp(json_get_str(r, "code", ""), word) == 0)
			id = strtoll(json_get_str(r, "id", "0"), NULL, 10);
	json_decref(v);
	if (id == 0 && (*code = cli_call("POST", "/regions", json_pack("{s:s, s:[]}", "code", word, "nodes"),
	    &made)) == 0)
		id = strtoll(json_get_str(made, "id", "0"), NULL, 10);
	json_decref(made);
	return id;
}

static int
relays_add(struct cli *c)
{
	char text[24];
	int64_t id;
	int code;

	if (region == NULL) {
		if ((id = region_for(c->argv[0], &code)) == 0)
			return code;
		snprintf(text, sizeof(text), "%lld", (long long)id);
		region = text;
	}
	return cli_make(c, "/relays", json_pack("{s:s, s:s}", "name", c->argv[0], "region", region),
	    print_added);
}

static int
relays_remove(struct cli *c)
{
	static const struct cli_change how = { .method = "DELETE", .path = "/relays/", .kind = "Relay",
		.done = "is removed: its key is void, and it stops serving when it hears of that" };

	return cli_change(c, &how, NULL);
}

static const struct cli_opt add_opts[] = {
	{ "region", 'r', CLI_STRING, &region, "ID", "id or code of its region; default: one called NAME" },
	{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
};

static const struct cli_verb verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists them, and what is wrong with them", NULL, relays_list },
	{ "add", "create", "NAME", 1, 1, "Makes a key for a relay, prints the line that starts it", add_opts,
	  relays_add },
	{ "remove", "delete", "NAME", 1, 1, "Takes it out of the DERP map, and its key", NULL, relays_remove },
};

static const struct cli_noun noun = {
	"relays", "Relays on other machines, which `fairlead relay` runs.", verbs, COUNT_OF(verbs), false,
};

const struct cmd cmd_relays = {
	.name = "relays", .noun = &noun, .summary = "relays on other machines: list, add, remove",
};
