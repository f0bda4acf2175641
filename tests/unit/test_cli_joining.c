/* links: server/cmd server/cmd_users server/cmd_keys server/cmd_nodes server/cmd_routes server/cmd_quotas server/cmd_auth server/cmd_ssh server/cmd_settings server/cmd_policy server/cmd_policy_text server/cmd_dns server/cmd_clusters server/cmd_status server/cmd_config server/cmd_version server/cmd_console server/cmd_credentials server/cmd_audit server/cmd_health server/cmd_regions server/cmd_relays server/cmd_restart server/cmd_backup server/cmd_restore server/backup_file server/restore server/datadir server/acme_challenge coord/store_backup gen/migrations server/cli server/cli_opt server/cli_text server/cli_print server/cli_change server/cli_client server/suggest server/config_load server/config_file server/config_table coord/quota_rule coord/dns_spec coord/dns_params coord/tag relay/derp_mesh_target server/address */
/* The command line: who comes in: logins of devices, SSH logins, settings, nodes and keys. */
#include "cli_rig.h"

static void
test_logins(void **state)
{
	static const struct run_case cases[] = {
		{ { "auth", "list" }, { { "GET /api/fairlead/v1/logins", "200 OK",
		  "{\"logins\":[{\"id\":\"abc\","
		  "\"hostname\":\"pi\\u001b\",\"os\":\"linux\",\"address\":\"192.0.2.1\",\"nodeId\":null,"
		  "\"tags\":[\"tag:a\"],\"machineKeyShort\":\"[abcde]\","
		  "\"created\":\"2027-01-15T07:59:00Z\",\"expires\":\"2027-01-15T08:14:00Z\"}]}" } }, 0,
		  "ID   DEVICE  SYSTEM  FROM       NODE  TAGS   MACHINE KEY  ASKED         ENDS\n"
		  "abc  pi?     linux   192.0.2.1  new   tag:a  [abcde] "
		  "     1 minute ago  in 14 minutes\n", NULL },
		{ { "auth", "approve", "https://x/register/abc", "--user", "ann", "--tags", "a" },
		  { { "POST /api/fairlead/v1/logins/abc/approve {\"user\":\"ann\","
		  "\"tags\":[\"tag:a\"]}", "200 OK",
		  "{\"name\":\"pi\",\"addresses\":[\"100.64.0.1\"]}" } }, 0,
		  "The device is node pi (100.64.0.1) now; it comes online by itself.\n", NULL },
		{ { "auth", "approve", "abc" }, { { "POST /api/fairlead/v1/logins/abc/approve {}",
		  "404 Not Found",
		  "{\"message\":\"there is no login\"}" } }, 1, "", "fairlead: there is no login\n" },
		{ { "auth", "reject", "abc" }, { { "POST /api/fairlead/v1/logins/abc/reject",
		  "200 OK", "{}" } }, 0,
		  "The device is turned away.\n", NULL },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run_case(&cases[i]);
}

static void
test_ssh(void **state)
{
	static const struct run_case cases[] = {
		{ { "ssh", "list" }, { { "GET /api/fairlead/v1/ssh-checks", "200 OK", "{\"sshChecks\":["
		  "{\"id\":\"abc\",\"source\":{\"name\":\"pad\",\"user\":\"ann\",\"tags\":[]},"
		  "\"destination\":{\"name\":\"db\"},\"localUser\":\"root\",\"checkPeriodSeconds\":43200,"
		  "\"waiting\":true,\"created\":\"2027-01-15T07:59:00Z\",\"expires\":\"2027-01-15T08:14:00Z\"},"
		  "{\"id\":\"def\",\"source\":{\"name\":\"ci\",\"user\":\"ann\",\"tags\":[\"tag:ci\"]},"
		  "\"destination\":{\"name\":\"db\"},\"localUser\":\"deploy\",\"checkPeriodSeconds\":0,"
		  "\"waiting\":false,\"created\":\"2027-01-15T07:59:00Z\",\"expires\":\"2027-01-15T08:14:00Z\"}"
		  "]}" } }, 0,
		  "ID   FROM        TO  AS      COUNTS FOR  WAITS NOW  ASKED         ENDS\n"
		  "abc  pad of ann  db  root    12 hours    yes        1 minute ago  in 14 minutes\n"
		  "def  ci          db  deploy  once        no         1 minute ago  in 14 minutes\n", NULL },
		{ { "ssh", "approve", "https://x/ssh/check/abc" },
		  { { "POST /api/fairlead/v1/ssh-checks/abc/approve", "200 OK", "{}" } }, 0,
		  "The SSH login goes on by itself.\n", NULL },
		{ { "ssh", "reject", "abc" }, { { "POST /api/fairlead/v1/ssh-checks/abc/reject",
		  "404 Not Found", "{\"message\":\"no SSH login \\\"abc\\\" waits\"}" } }, 1, "",
		  "fairlead: no SSH login \"abc\" waits\n" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run_case(&cases[i]);
}

#define DNS_ANSWER \
	"{\"baseDomain\":\"t.ex\",\"magicDNS\":true,\"overrideLocalDNS\":false,\"nameservers\":[]," \
	"\"splitDNS\":{\"corp.ex\":[{\"address\":\"10.0.0.1\",\"useWithExitNode\":true}]}," \
	"\"searchPaths\":[\"a.ex\",\"b.ex\"],\"noDNSTags\":[\"tag:k3s\"]," \
	"\"changed\":[\"splitDNS\",\"magicDNS\"]," \
	"\"records\":[{}],\"recordsFile\":{\"path\":\"/r\",\"problem\":\"/r: no\"}}"
#define DNS_TEXT \
	"base domain         t.ex\nmagic-dns           on  (changed)\noverride-local-dns  off\n" \
	"nameservers         none\nsearch-domains      a.ex, b.ex\nno-dns-tags         tag:k3s\n" \
	"split DNS           corp.ex: 10.0.0.1 (also with an exit node)  (changed)\n" \
	"records             1 (fairlead dns records)\nfile of records     /r\n                    /r: no\n"

static void
test_joining(void **state)
{
	static const struct run_case cases[] = {
		{ { "settings", "set", "devices-need-approval", "on" },
		  { { "PATCH /api/fairlead/v1/settings {\"devicesNeedApproval\":true}", "200 OK",
		  "{\"devicesNeedApproval\":true,\"keyDays\":-1,\"keyDaysInEffect\":180}" } }, 0,
		  "on\n", NULL },
		{ { "settings", "set", "key-days", "never" },
		  { { "PATCH /api/fairlead/v1/settings {\"keyDays\":0}", "200 OK",
		  "{\"devicesNeedApproval\":true,\"keyDays\":0,\"keyDaysInEffect\":0}" } }, 0,
		  "never\n", NULL },
		{ { "settings", "get", "key-days" }, { { "GET /api/fairlead/v1/settings", "200 OK",
		  "{\"devicesNeedApproval\":true,\"keyDays\":-1,\"keyDaysInEffect\":180}" } }, 0,
		  "default (180)\n", NULL },
		{ { "settings", "set", "key-days", "3x" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: key-days: "
		  "\"3x\" is not possible: days until keys of untagged nodes expire; never; default (as "
		  "configured)\n" },
		{ { "settings", "set", "colour", "red" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: there is no setting \"colour\": fairlead settings get lists them\n" },
		{ { "dns", "get" }, { { "GET /api/fairlead/v1/dns", "200 OK", DNS_ANSWER } },
		  0, DNS_TEXT, NULL },
		{ { "dns", "set", "nameservers", "1.1.1.1,9.9.9.9", "https://d.ex/q" },
		  { { "PATCH /api/fairlead/v1/dns {\"nameservers\":[\"1.1.1.1\","
		  "\"9.9.9.9\",\"https://d.ex/q\"]}",
		  "200 OK", DNS_ANSWER } }, 0, DNS_TEXT, NULL },
		{ { "dns", "set", "nameservers", "none" },
		  { { "PATCH /api/fairlead/v1/dns {\"nameservers\":[]}",
		  "400 Bad Request", "{\"message\":\"no\"}" } }, 1, "", "fairlead: no\n" },
		{ { "dns", "set", "no-dns-tags", "k3s", "tag:b" }, { { "PATCH /api/fairlead/v1/dns"
		  " {\"noDNSTags\":[\"tag:k3s\",\"tag:b\"]}", "200 OK", DNS_ANSWER } }, 0, DNS_TEXT, NULL },
		{ { "dns", "set", "magic-dns", "off" }, { { "PATCH /api/fairlead/v1/dns {\"magicDNS\":false}",
		  "200 OK", DNS_ANSWER } }, 0, DNS_TEXT, NULL },
		{ { "dns", "set", "magic-dns", "of" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: magic-dns: \"of\" is neither on nor off\n" },
		{ { "dns", "set", "colour", "red" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: there is no setting \"colour\": fairlead dns get lists them\n" },
		{ { "dns", "split", "a.ex", "10.0.0.2" },
		  { { "GET /api/fairlead/v1/dns", "200 OK", DNS_ANSWER },
		  { "PATCH /api/fairlead/v1/dns {\"splitDNS\":{\"corp.ex\":[{\"address\":\"10.0.0.1\","
		  "\"useWithExitNode\":true}],\"a.ex\":[\"10.0.0.2\"]}}", "200 OK", DNS_ANSWER } }, 0, DNS_TEXT,
		  NULL },
		{ { "dns", "reset", "split" }, { { "PATCH /api/fairlead/v1/dns {\"splitDNS\":null}", "200 OK",
		  DNS_ANSWER } }, 0, DNS_TEXT, NULL },
		{ { "dns", "reset", "magic-dns" },
		  { { "PATCH /api/fairlead/v1/dns {\"magicDNS\":null}", "200 OK",
		  DNS_ANSWER } }, 0, DNS_TEXT, NULL },
		{ { "dns", "records" },
		  { { "GET /api/fairlead/v1/dns/records", "200 OK", "{\"records\":[{\"id\":"
		  "\"1\",\"name\":\"g.ex\",\"type\":\"CNAME\",\"value\":\"web\",\"source\":\"api\",\"comment\":"
		  "\"c\",\"problem\":\"no node\"},{\"name\":\"f.ex\",\"type\":\"A\",\"value\":\"1.2.3.4\","
		  "\"source\":\"file\"}]}" } }, 0, "ID  NAME  TYPE   VALUE    FROM  NOTE\n"
		  "1   g.ex  CNAME  web      api   no node\n-   f.ex  A      1.2.3.4  file  -\n", NULL },
		{ { "dns", "add", "g.ex", "A", "1.2.3.4", "--comment", "c" },
		  { { "POST /api/fairlead/v1/dns/records"
		  " {\"name\":\"g.ex\",\"type\":\"A\",\"value\":\"1.2.3.4\",\"comment\":\"c\"}", "200 OK",
		  "{\"id\":\"3\",\"name\":\"g.ex\",\"type\":\"A\",\"value\":\"1.2.3.4\"}" } }, 0,
		  "Record g.ex A 1.2.3.4 is made (id 3).\n", NULL },
		{ { "dns", "remove", "3" }, { { "DELETE /api/fairlead/v1/dns/records/3", "200 OK", "{}" } }, 0,
		  "Record 3 is removed.\n", NULL },
		{ { "nodes", "approve", "7" }, { { "POST /api/fairlead/v1/nodes/7/approve {\"approved\":true}",
		  "200 OK", "{}" } }, 0, "Node 7 is approved.\n", NULL },
		{ { "nodes", "expiry", "7", "off" }, { { "POST /api/fairlead/v1/nodes/7/expiry "
		  "{\"never\":true}",
		  "200 OK", "{\"keyExpires\":null}" } }, 0, "Node 7 has a key that never expires.\n", NULL },
		{ { "nodes", "expiry", "7", "30d" },
		  { { "POST /api/fairlead/v1/nodes/7/expiry {\"seconds\":2592000}", "200 OK",
		  "{\"keyExpires\":\"2027-02-14T08:00:00Z\"}" } }, 0,
		  "Node 7 has a key that expires at 2027-02-14T08:00:00Z.\n", NULL },
		{ { "nodes", "ip", "7", "100.64.0.9", "fd7a::9" },
		  { { "POST /api/fairlead/v1/nodes/7/ip {\"ip4\":\"100.64.0.9\",\"ip6\":\"fd7a::9\"}", "200 OK",
		  "{\"addresses\":[\"100.64.0.9\",\"fd7a::9\"]}" } }, 0,
		  "Node 7 now has the addresses 100.64.0.9,fd7a::9.\n", NULL },
		{ { "nodes", "ip", "7", "1.2.3.4", "5.6.7.8" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: one IPv4 and one IPv6 address at most\n" },
		{ { "nodes", "preprovision" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: a planned node needs a --name\n" },
		{ { "nodes", "preprovision", "--name", "edge-7", "--ip", "100.64.1.7", "-t", "edge", "-q" },
		  { { "POST /api/fairlead/v1/keys {\"nodeName\":\"edge-7\",\"nodeIp4\":\"100.64.1.7\","
		  "\"tags\":[\"tag:edge\"]}", "200 OK", "{\"key\":\"tskey-auth-k1-s\"}" } }, 0,
		  "tskey-auth-k1-s\n", NULL },
		{ { "keys", "create", "-q", "--ephemeral", "-t", "k3s" },
		  { { "POST /api/fairlead/v1/keys {\"reusable\":false,\"ephemeral\":true,"
		  "\"tags\":[\"tag:k3s\"]}",
		  "200 OK", "{\"key\":\"tskey-auth-k1-s\",\"ephemeral\":true,\"tags\":[\"tag:k3s\"]}" } }, 0,
		  "tskey-auth-k1-s\n", "fairlead: warning: nodes that join with this key are deleted when they "
		  "are offline for a while, and come back with other addresses; "
		  "do not use it for servers or K3s "
		  "nodes: leave --ephemeral out\n" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run_case(&cases[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logins), cmocka_unit_test(test_ssh), cmocka_unit_test(test_joining),
	};

	return cmocka_run_group_tests(tests, server_make, server_remove);
}
