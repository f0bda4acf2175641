/* fairlead status */
#include <inttypes.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static void
put_uptime(const json_t *o, int64_t now, struct buf *out)
{
	char text[CLI_TIME_MAX];

	(void)now;
	buf_str(out, cli_span_put(json_get_int(o, "uptimeSeconds", 0), text));
}

static void
put_listen(const json_t *o, int64_t now, struct buf *out)
{
	static const struct { const char *member, *word; } kinds[] = {
		{ "https", "https" }, { "http", "http" }, { "stun", "stun (UDP)" },
	};
	const json_t *listen = json_object_get(o, "listen");

	(void)now;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		if (json_array_size(json_object_get(listen, kinds[i].member)) == 0)
			continue;
		buf_printf(out, "%s%s ", out->len > 0 ? "; " : "", kinds[i].word);
		cli_put_member(listen, kinds[i].member, out);
	}
}

static void
put_certificate(const json_t *o, int64_t now, struct buf *out)
{
	const json_t *c = json_object_get(o, "certificate");
	const char *source = json_string_value(json_object_get(c, "source"));
	int64_t n_failed = json_get_int(c, "failedAttempts", 0);

	buf_printf(out, "%s, expires ", source != NULL ? source : "unknown");
	cli_put_time(c, "expires", now, out);
	if (n_failed > 0)
		buf_printf(out, "; %" PRId64 " failed attempts to get one, see the log", n_failed);
}

static void
put_nodes(const json_t *o, int64_t now, struct buf *out)
{
	(void)now;
	buf_printf(out, "%" PRId64 ", %" PRId64 " online", json_get_int(o, "nodes", 0),
	    json_get_int(o, "nodesOnline", 0));
}

static void
put_keys(const json_t *o, int64_t now, struct buf *out)
{
	(void)now;
	buf_printf(out, "%" PRId64 ", %" PRId64 " active", json_get_int(o, "keys", 0),
	    json_get_int(o, "keysActive", 0));
}

static void
put_relay(const json_t *o, int64_t now, struct buf *out)
{
	const json_t *m = json_object_get(o, "metrics");

	(void)now;
	buf_printf(out, "%" PRId64 " connections, %" PRId64 " packets, %" PRId64 " bytes",
	    json_get_int(m, "relayConnections", 0), json_get_int(m, "relayPacketsSent", 0),
	    json_get_int(m, "relayBytesSent", 0));
}

static void
put_conflicts(const json_t *o, int64_t now, struct buf *out)
{
	const json_t *v;
	size_t i;

	(void)now;
	json_array_foreach(json_object_get(o, "clusterConflicts"), i, v)
		buf_printf(out, "%sCONFLICT: %s", i > 0 ? "; " : "", json_get_str(v, "text", "?"));
	if (i == 0)
		buf_str(out, "no conflicts");
}

static const struct cli_column lines[] = {
	{ .head = "version", .member = "version" },
	{ .head = "login server", .member = "serverUrl" },
	{ .head = "up for", .put = put_uptime },
	{ .head = "listens on", .put = put_listen },
	{ .head = "data", .member = "dataDir" },
	{ .head = "certificate", .put = put_certificate },
	{ .head = "domain", .member = "baseDomain" },
	{ .head = "users", .member = "users" },
	{ .head = "nodes", .put = put_nodes },
	{ .head = "auth keys", .put = put_keys },
	{ .head = "K3s clusters", .put = put_conflicts },
	{ .head = "relay", .put = put_relay },
};

static int
status_show(struct cli *c)
{
	json_t *v;
	int code = cli_call("GET", "/status", NULL, &v);

	return code != 0 ? code : cli_print_object(c, v, lines, COUNT_OF(lines));
}

static const struct cli_verb verbs[] = {
	{ "", NULL, "", 0, 0, "Shows what the server on this machine does.", NULL, status_show },
};

static const struct cli_noun noun = { "status", "", verbs, COUNT_OF(verbs), false };

const struct cmd cmd_status = {
	.name = "status", .noun = &noun, .summary = "what the server on this machine does",
};
