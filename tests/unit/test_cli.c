/* links: server/cmd server/cmd_users server/cmd_keys server/cmd_nodes server/cmd_routes server/cmd_quotas server/cmd_auth server/cmd_ssh server/cmd_settings server/cmd_policy server/cmd_policy_text server/cmd_dns server/cmd_clusters server/cmd_status server/cmd_config server/cmd_version server/cmd_console server/cmd_credentials server/cmd_audit server/cmd_health server/cmd_regions server/cmd_relays server/cmd_restart server/cmd_backup server/cmd_restore server/backup_file server/restore server/datadir server/acme_challenge coord/store_backup gen/migrations server/cli server/cli_opt server/cli_text server/cli_print server/cli_change server/cli_client server/suggest server/config_load server/config_file server/config_table coord/quota_rule coord/dns_spec coord/dns_params coord/tag relay/derp_mesh_target server/address */
/* The command line: durations, tables, flags, and every verb against a scripted server on a Unix socket. */
#include "cli_rig.h"

#include "server/cli_opt.h"
#include "server/cli_text.h"
#include "server/suggest.h"

static void
test_durations(void **state)
{
	static const struct { const char *text; int64_t want; } cases[] = {
		{ "30m", 1800 }, { "24h", 86400 }, { "7d", 604800 }, { "90d", 7776000 }, { "2w",
		  1209600 }, { "5s", 5 },
		{ "1d12h", 129600 }, { "never", 0 }, { "0", 0 }, { "3650d", 315360000 },
		{ "", -1 }, { "5", -1 }, { "d", -1 }, { "-1d", -1 }, { "1x", -1 }, { "1d ", -1 },
		{ "0d", -1 },
		{ "3651d", -1 }, { "9999999999d", -1 }, { "999999999w", -1 }, { "1d5", -1 },
		{ "Never", -1 },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		int64_t v = -1;
		struct err_text why = { "" };
		enum err rc = cli_duration_parse(cases[i].text, &v, &why);
		if (v != cases[i].want || (rc == ERR_OK) != (cases[i].want >= 0) ||
		    (rc != ERR_OK) != (why.s[0] != 0))
			fail_msg("\"%s\" gave %lld", cases[i].text, (long long)v);
	}
}

static void
test_times(void **state)
{
	static const struct { int64_t at; const char *want; } cases[] = {
		{ 0, "never" }, { NOW, "just now" }, { NOW - 1, "just now" },
		{ NOW - 59, "59 seconds ago" }, { NOW - 60, "1 minute ago" },
		{ NOW - 7199, "1 hour ago" }, { NOW - 90 * 86400, "90 days ago" },
		{ NOW + 86400, "in 1 day" }, { NOW + 86397, "in 1 day" },
		{ NOW + 7200, "in 2 hours" }, { NOW + 5, "in 5 seconds" },
	};
	char out[CLI_TIME_MAX];
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_string_equal(cli_time_put(cases[i].at, NOW, out), cases[i].want);
}

static void
test_table(void **state)
{
	static const char *const heads[] = { "ID", "NAME", "LAST" };
	static const char *const cells[] = { "1", "z\xc3\xbcrich", "x", "100", "", "a\033[31m\302\233b\n" };
	char *text = NULL;
	size_t n = 0;
	(void)state;

	struct cli_table *t = cli_table_new(heads, 3);
	for (size_t i = 0; i < COUNT_OF(cells); i++)
		cli_table_cell(t, cells[i]);
	FILE *f = open_memstream(&text, &n);
	cli_table_print(t, f);
	fclose(f);
	assert_string_equal(text, "ID   NAME    LAST\n1    z\xc3\xbcrich  x\n100  -       a?[31m?b?\n");
	free(text);
	cli_table_free(t);
}

static void
test_suggest(void **state)
{
	static const struct { const char *a, *b; unsigned want; } cases[] = {
		{ "", "", 0 }, { "abc", "abc", 0 }, { "ab", "ba", 1 }, { "creat", "create", 1 },
		  { "kitten", "sitting", 3 },
		{ "a", "", 1 }, { "", "abc", 3 },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(suggest_distance(cases[i].a, cases[i].b), cases[i].want);
	struct suggest s = { .word = "xyz" };
	suggest_try(&s, "create");
	assert_null(s.best);
}

static void
test_options(void **state)
{
	static bool flag;
	static const char *text;
	static const struct cli_opt opts[] = {
		{ "reusable", 0, CLI_BOOL, &flag, NULL, "" },
		{ "user", 'u', CLI_STRING, &text, "NAME", "" },
		{ NULL, 0, CLI_BOOL, NULL, NULL, NULL },
	};
	static const struct { const char *args[6]; const char *words,
	    *text; bool flag; const char *why; } cases[] = {
		{ { "a", "--user", "x", "b" }, "a b", "x", false, NULL },
		{ { "--user=x=y", "--reusable" }, "", "x=y", true, NULL },
		{ { "-u", "x", "-" }, "-", "x", false, NULL },
		{ { "-ux", "--", "--user" }, "--user", "x", false, NULL },
		{ { "--reusable=false", "a" }, "a", NULL, false, NULL },
		{ { "--user=" }, "", "", false, NULL },
		{ { "--usr", "x" }, NULL, NULL, false, "unknown flag --usr; did you mean --user?" },
		{ { "--nonsense" }, NULL, NULL, false, "unknown flag --nonsense; --help lists them" },
		{ { "-x" }, NULL, NULL, false, "unknown flag -x; --help lists them" },
		{ { "--user" }, NULL, NULL, false, "--user needs a value: NAME" },
		{ { "--reusable=maybe" }, NULL, NULL, false, "--reusable takes no value but true "
		    "or false" },
	};
	const struct cli_opt *const tables[] = { opts, NULL };
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char *argv[8] = { (char[]){ "verb" } }, words[64] = "";
		int argc = 1;
		struct err_text why = { "" };
		for (unsigned k = 0; k < 6 && cases[i].args[k] != NULL; k++)
			argv[argc++] = (char *)(uintptr_t)cases[i].args[k];
		flag = false;
		text = NULL;
		enum err rc = cli_opt_parse(tables, &argc, argv, &why);
		assert_string_equal(why.s, cases[i].why != NULL ? cases[i].why : "");
		assert_int_equal(rc, cases[i].why != NULL ? ERR_INVAL : ERR_OK);
		if (rc != ERR_OK)
			continue;
		for (int k = 1; k < argc; k++)
			snprintf(words + strlen(words), sizeof(words) - strlen(words), "%s%s",
			    k > 1 ? " " : "", argv[k]);
		assert_string_equal(words, cases[i].words);
		assert_int_equal(flag, cases[i].flag);
		assert_true((text == NULL) == (cases[i].text == NULL));
		if (text != NULL)
			assert_string_equal(text, cases[i].text);
	}
}

static void
test_verbs(void **state)
{
	static const struct run_case cases[] = {
		{ { "users", "list" }, { { "GET /api/fairlead/v1/users", "200 OK", "{\"users\":["
		  "{\"id\":\"1\",\"name\":\"ann\",\"displayName\":\"Ann\",\"role\":\"owner\","
		  "\"nodes\":2,\"keys\":1,"
		  "\"created\":\"2027-01-15T07:00:00Z\"}]}" } }, 0,
		  "ID  NAME  DISPLAY NAME  ROLE   NODES  KEYS  CREATED\n"
		  "1   ann   Ann           owner  2      1     1 hour ago\n", NULL },
		{ { "users", "ls" }, { { "GET /api/fairlead/v1/users", "200 OK", "{\"users\":[]}" } }, 0,
		  "There are no users yet: fairlead users create NAME\n", NULL },
		{ { "users", "create", "bob", "--role=admin" },
		  { { "POST /api/fairlead/v1/users {\"name\":\"bob\",\"role\":\"admin\"}", "200 OK",
		      "{\"id\":\"2\",\"name\":\"bob\"}" } }, 0, "User bob is made (id 2).\n", NULL },
		{ { "users", "create", "bob" },
		  { { "POST /api/fairlead/v1/users {\"name\":\"bob\"}", "409 Conflict",
		  "{\"message\":\"there is already a user bob\",\"status\":409}" } }, 1, "",
		  "fairlead: there is already a user bob\n" },
		{ { "users", "rename", "a/b", "c" },
		  { { "PATCH /api/fairlead/v1/users/a%2Fb {\"name\":\"c\"}", "200 OK",
		  "{\"name\":\"c\"}" } }, 0, "User a/b is now c.\n", NULL },
		{ { "users", "destroy", "bob" }, { { "DELETE /api/fairlead/v1/users/bob",
		  "200 OK", "{}" } }, 0,
		  "User bob is deleted.\n", NULL },
		{ { "preauthkeys", "create", "--reusable", "-e", "24h", "--tags",
		    "tag:a,b", "--user", "ann" },
		  { { "POST /api/fairlead/v1/keys {\"reusable\":true,\"ephemeral\":false,\"user\":\"ann\","
		      "\"expirySeconds\":86400,\"tags\":[\"tag:a\",\"tag:b\"]}", "200 OK",
		      "{\"id\":\"k1\",\"user\":\"ann\",\"reusable\":true,\"key\":\"tskey-auth-k1-s\","
		      "\"expires\":\"2027-01-16T08:00:00Z\"}" },
		    { "GET /api/fairlead/v1/status", "200 OK",
		  "{\"serverUrl\":\"https://vpn.example.com\"}" } }, 0,
		  "Auth key k1 of user ann, reusable, expires in 1 day. It is shown only once:\n\n"
		  "    tskey-auth-k1-s\n\n"
		  "Join a node with:\n\n"
		  "    sudo tailscale up --login-server=https://vpn.example.com "
		  "--authkey=tskey-auth-k1-s\n\n", NULL },
		{ { "keys", "create", "-q" },
		  { { "POST /api/fairlead/v1/keys {\"reusable\":false,\"ephemeral\":false}",
		  "200 OK", "{\"key\":\"tskey-auth-k1-s\"}" } }, 0, "tskey-auth-k1-s\n", NULL },
		{ { "keys", "create", "--expiration", "soon" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: --expiration: \"soon\" is not a duration like 30m, 24h, 7d or never\n" },
		{ { "keys", "expire", "k1", "-o", "json" },
		  { { "POST /api/fairlead/v1/keys/k1/revoke", "200 OK",
		  "{\"id\":\"k1\"}" } }, 0, "{\n  \"id\": \"k1\"\n}\n", NULL },
		{ { "nodes", "list" }, { { "GET /api/fairlead/v1/nodes", "200 OK", "{\"nodes\":["
		  "{\"id\":\"7\",\"name\":\"edge\",\"tags\":[\"tag:a\",\"tag:b\"],\"user\":\"ann\","
		  "\"addresses\":[\"100.64.0.1\",\"fd7a::1\"],\"online\":true,\"keyExpires\":null},"
		  "{\"id\":\"8\",\"name\":\"x\\u001b\",\"tags\":[],\"user\":\"ann\","
		  "\"addresses\":[\"100.64.0.2\"],"
		  "\"online\":false,\"lastSeen\":\"2027-01-15T07:58:00Z\","
		  "\"keyExpires\":\"2027-01-15T07:00:00Z\","
		  "\"expired\":true}]}" } }, 0,
		  "ID  NAME  OWNER        ADDRESSES           STATE                   KEY EXPIRES\n"
		  "7   edge  tag:a,tag:b  100.64.0.1,fd7a::1  online                  never\n"
		  "8   x?    ann          100.64.0.2          offline, 2 minutes ago  expired 1 "
		  "hour ago\n", NULL },
		{ { "nodes", "tag", "edge", "a,tag:b" }, { { "PATCH /api/fairlead/v1/nodes/edge"
		  " {\"tags\":[\"tag:a\",\"tag:b\"]}", "200 OK", "{\"tags\":[\"tag:a\",\"tag:b\"]}" } }, 0,
		  "Node edge now has the tags tag:a,tag:b.\n", NULL },
		{ { "nodes", "expire", "100.64.0.1" },
		  { { "POST /api/fairlead/v1/nodes/100.64.0.1/expire", "200 OK", "{}" } }, 0,
		  "Node 100.64.0.1 must log in again: its key is expired.\n", NULL },
		{ { "nodes", "rename", "7", "new" },
		  { { "PATCH /api/fairlead/v1/nodes/7 {\"name\":\"new\"}", "200 OK",
		  "{\"name\":\"new\"}" } }, 0, "Node 7 is now new.\n", NULL },
		{ { "nodes", "delete", "7" }, { { "DELETE /api/fairlead/v1/nodes/7", "200 OK", "{}" } }, 0,
		  "Node 7 is deleted.\n", NULL },
		{ { "nodes", "show", "7" }, { { "GET /api/fairlead/v1/nodes/7", "404 Not Found",
		  "{\"message\":\"there is no node \\\"7\\\"\"}" } }, 1, "",
		  "fairlead: there is no node \"7\"\n" },
		{ { "nodes", "list" }, { { "GET /api/fairlead/v1/nodes", "200 OK", "<html>" } }, 1, "",
		  "fairlead: the server answered with status 200 and no JSON\n" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run_case(&cases[i]);
}

static void
test_status(void **state)
{
	static const struct run_case c = { { "status" }, { { "GET /api/fairlead/v1/status", "200 OK",
	    "{\"version\":\"v1\",\"serverUrl\":\"https://a\",\"uptimeSeconds\":7300,"
	    "\"dataDir\":\"/d\",\"baseDomain\":\"t\","
	    "\"certificate\":{\"source\":\"acme\",\"expires\":\"2027-01-16T08:00:00Z\",\"failedAttempts\":2},"
	    "\"listen\":{\"https\":[\"0.0.0.0:443\",\"[::]:443\"],\"http\":[],\"stun\":[\"0.0.0.0:3478\"]},"
	    "\"users\":1,\"nodes\":3,\"nodesOnline\":2,\"keys\":4,\"keysActive\":1,"
	    "\"metrics\":{\"relayConnections\":5,\"relayPacketsSent\":6,\"relayBytesSent\":7}}" } }, 0,
	    "version          v1\nlogin server     https://a\nup for           2 hours\n"
	    "listens on       https 0.0.0.0:443,[::]:443; stun (UDP) 0.0.0.0:3478\ndata             /d\n"
	    "certificate      acme, expires in 1 day; 2 failed attempts to get one, see the log\n"
	    "domain           t\nusers            1\nnodes            3, 2 online\n"
	    "auth keys        4, 1 active\n"
	    "K3s clusters     no conflicts\n"
	    "relay            5 connections, 6 packets, 7 bytes\n", NULL };
	(void)state;

	run_case(&c);
}

/* Those that look at more than the answer: a status, a file. */
static void
test_health_and_backup(void **state)
{
	char healthy[160], file[96], nowhere[96], no_answer[200], cannot[200];
	const struct run_case cases[] = {
		{ { "health" }, { { "GET /health", "200 OK", "{}" } }, 0, healthy, NULL },
		{ { "health", "-o", "json" }, { { "GET /health", "200 OK", "{}" } }, 0,
		  "{\"status\": \"pass\"}\n", NULL },
		{ { "health", "--socket", nowhere }, { { NULL, NULL, NULL } }, 1, "", no_answer },
		{ { "backup", file }, { { "GET /api/fairlead/v1/backup", "503 Busy",
		  "{\"message\":\"another backup is being made\"}" } }, 1, "",
		  "fairlead: another backup is being made\n" },
		{ { "backup", file }, { { "GET /api/fairlead/v1/backup", "200 OK", "hello" } }, 1, "",
		  "fairlead: this is not a backup that `fairlead backup` made\n" },
		{ { "backup", "-" }, { { "GET /api/fairlead/v1/backup", "200 OK", "hello" } }, 0, "hello",
		  NULL },
		{ { "backup" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: something is missing; usage: fairlead backup FILE\n" },
		{ { "restore", nowhere }, { { NULL, NULL, NULL } }, 1, "", cannot },
	};
	(void)state;

	snprintf(healthy, sizeof(healthy), "healthy: the server answers on %s\n", sock);
	snprintf(file, sizeof(file), "%s/backup", dir);
	snprintf(nowhere, sizeof(nowhere), "%s/nowhere", dir);
	snprintf(no_answer, sizeof(no_answer),
	    "fairlead: not healthy: no answer on %s: Couldn't connect to server\n", nowhere);
	snprintf(cannot, sizeof(cannot), "fairlead: %s cannot be read: No such file or directory\n",
	    nowhere);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run_case(&cases[i]);
	/* server_remove fails if one of them has left a file. */
}

static void
test_usage(void **state)
{
	static const struct run_case cases[] = {
		{ { "user", "creat", "x" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: users has no verb \"creat\"; did you mean \"create\"?\n" },
		{ { "users", "frobnicate" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: users has no verb \"frobnicate\"; fairlead users --help lists them\n" },
		{ { "nodse", "list" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: unknown command \"nodse\"; did you mean \"nodes\"?\n" },
		{ { "x" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: unknown command \"x\"; fairlead help lists them\n" },
		{ { "users", "create" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: something is missing; usage: fairlead users create NAME\n" },
		{ { "users", "delete", "a", "b" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: too much: \"b\"; usage: fairlead users delete NAME\n" },
		{ { "users", "list", "x" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: too much: \"x\"; usage: fairlead users list\n" },
		{ { "keys", "create", "--reusble" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: unknown flag --reusble; did you mean --reusable?\n" },
		{ { "nodes", "list", "-o", "yaml" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: unknown output format \"yaml\": json or table\n" },
		{ { "help" }, { { NULL, NULL, NULL } }, 0, NULL, NULL },
		{ { "--help" }, { { NULL, NULL, NULL } }, 0, NULL, NULL },
		{ { "help", "serve" }, { { NULL, NULL, NULL } }, 0, "serve's help\n", NULL },
		{ { "help", "keys" }, { { NULL, NULL, NULL } }, 0, NULL, NULL },
		{ { "users", "--help" }, { { NULL, NULL, NULL } }, 0, NULL, NULL },
		{ { "users", "create", "--help" }, { { NULL, NULL, NULL } }, 0, NULL, NULL },
		{ { "status", "--help" }, { { NULL, NULL, NULL } }, 0, NULL, NULL },
		{ { "config", "check", "--help" }, { { NULL, NULL, NULL } }, 0, NULL, NULL },
		{ { "config", "check", "/nonexistent/c.yaml" }, { { NULL, NULL, NULL } }, 1, "",
		  "fairlead: cannot open /nonexistent/c.yaml: No such file or directory\n" },
		{ { "config", "check", "docs/config.example.yaml" }, { { NULL, NULL, NULL } }, 0,
		  "ok\n", NULL },
		{ { "serve", "--x", "y" }, { { NULL, NULL, NULL } }, 43, "", NULL },
		{ { "status", "--socket", "/nonexistent/x.sock" }, { { NULL, NULL, NULL } }, 1, "",
		  "fairlead is not running here: no answer on /nonexistent/x.sock; start it with"
		  " `fairlead serve`\n" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run_case(&cases[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_durations), cmocka_unit_test(test_times), cmocka_unit_test(test_table),
		cmocka_unit_test(test_suggest), cmocka_unit_test(test_options), cmocka_unit_test(test_verbs),
		cmocka_unit_test(test_status), cmocka_unit_test(test_health_and_backup),
		cmocka_unit_test(test_usage),
	};

	return cmocka_run_group_tests(tests, server_make, server_remove);
}
