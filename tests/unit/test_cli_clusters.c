/* links: server/cmd server/cmd_users server/cmd_keys server/cmd_nodes server/cmd_routes server/cmd_quotas server/cmd_auth server/cmd_ssh server/cmd_settings server/cmd_policy server/cmd_policy_text server/cmd_dns server/cmd_clusters server/cmd_status server/cmd_config server/cmd_version server/cmd_console server/cmd_credentials server/cmd_audit server/cmd_health server/cmd_regions server/cmd_relays server/cmd_restart server/cmd_backup server/cmd_restore server/backup_file server/restore server/datadir server/acme_challenge coord/store_backup gen/migrations server/cli server/cli_opt server/cli_text server/cli_print server/cli_change server/cli_client server/suggest server/config_load server/config_file server/config_table coord/quota_rule coord/dns_spec coord/dns_params coord/tag relay/derp_mesh_target server/address */
/* The clusters of the fairlead command: what it asks for and how it shows the answers. */
#include "cli_rig.h"

#define CLUSTER "{\"name\":\"edge-a\",\"tag\":\"tag:k3s-edge-a\",\"recorded\":true," \
	"\"podCIDRs\":[\"10.42.0.0/16\"],\"serviceCIDRs\":[\"10.43.0.0/16\"],\"lanPrefixes\":[]," \
	"\"nodes\":2,\"nodesOnline\":1}"
#define LINES "\"lines\":{\"vpnAuthServer\":\"vs\",\"vpnAuthAgent\":\"va\",\"flannelServer\":\"fs\"," \
	"\"flannelAgent\":\"fa\"}"
#define SHOWN "Cluster edge-a\n  tag       tag:k3s-edge-a\n  pods      10.42.0.0/16\n" \
	"  services  10.43.0.0/16\n  networks  \n\n"
#define SHOWN_LINES "1. With K3s's own integration (--vpn-auth); tailscaled runs on the machine\n\n" \
	"Server:\n\nvs\n\nAgents:\n\nva\n\n2. Or with flannel's VXLAN over tailscale0\n\n" \
	"Server:\n\nfs\n\nAgents:\n\nfa\n\n"
#define MADE "{\"name\":\"edge-a\",\"tag\":\"tag:k3s-edge-a\",\"podCIDRs\":[\"10.42.0.0/16\"]," \
	"\"serviceCIDRs\":[\"10.43.0.0/16\"],\"lanPrefixes\":[]," LINES

static void
test_clusters(void **state)
{
	static const struct run_case cases[] = {
		{ { "clusters", "list" }, { { "GET /api/fairlead/v1/clusters", "200 OK",
		  "{\"clusters\":[],\"conflicts\":[]}" } }, 0,
		  "There are no clusters: fairlead clusters create NAME\n", NULL },
		{ { "cluster", "ls" }, { { "GET /api/fairlead/v1/clusters", "200 OK",
		  "{\"clusters\":[" CLUSTER "],\"conflicts\":[{\"text\":\"clusters edge-a and b both claim "
		  "10.42.7.0/24\",\"nodes\":[{\"id\":\"1\",\"name\":\"b-1\"},"
		  "{\"id\":\"2\",\"name\":\"b-2\"}]}]}" } }, 0,
		  "NAME    TAG             PODS          SERVICES      LAN  NODES        RECORDED\n"
		  "edge-a  tag:k3s-edge-a  10.42.0.0/16  10.43.0.0/16  -    2, 1 online  yes\n\n"
		  "CONFLICT: clusters edge-a and b both claim 10.42.7.0/24 (b-1, b-2)\n"
		  "Give one of them another range: fairlead clusters set, or pod CIDRs of its K3s\n", NULL },
		{ { "clusters", "create", "edge-a" },
		  { { "POST /api/fairlead/v1/clusters {\"name\":\"edge-a\"}", "200 OK",
		  MADE ",\"key\":\"tskey-auth-x\"}" } }, 0,
		  SHOWN "Auth key, for any number of its nodes. It is shown only once:\n\ntskey-auth-x\n\n"
		  "TOKEN is in /var/lib/rancher/k3s/server/node-token of the first server,\nSERVER-IP "
		  "what `tailscale "
		  "ip -4` says there.\n\n" SHOWN_LINES, NULL },
		{ { "clusters", "create", "edge-a", "--pod-cidr", "10.42.0.0/16,fd00::/56",
		  "--service-cidr", "10.43.0.0/16" },
		  { { "POST /api/fairlead/v1/clusters "
		  "{\"name\":\"edge-a\",\"podCIDRs\":[\"10.42.0.0/16\",\"fd00::/56\"],"
		  "\"serviceCIDRs\":[\"10.43.0.0/16\"]}", "409 Conflict",
		  "{\"message\":\"no\",\"status\":409}" } }, 1,
		  "", "fairlead: no\n" },
		{ { "clusters", "create", "a", "--dual-stack", "--isolate", "--force", "--keep-policy" },
		  { { "POST /api/fairlead/v1/clusters {\"name\":\"a\",\"force\":true,\"keepPolicy\":true,"
		  "\"dualStack\":true,\"isolate\":true}", "409 Conflict",
		  "{\"message\":\"no\",\"status\":409}" } }, 1,
		  "", "fairlead: no\n" },
		{ { "clusters", "show", "edge-a" }, { { "GET /api/fairlead/v1/clusters/edge-a", "200 OK",
		  MADE "}" } }, 0,
		  SHOWN "KEY below is its auth key; fairlead clusters key edge-a makes another.\n\n"
		  "TOKEN is in /var/lib/rancher/k3s/server/node-token of the first server,\nSERVER-IP "
		  "what `tailscale "
		  "ip -4` says there.\n\n" SHOWN_LINES, NULL },
		{ { "clusters", "key", "edge-a", "--server", "https://k:6443", "-e", "1d" },
		  { { "POST /api/fairlead/v1/clusters/edge-a/key "
		  "{\"server\":\"https://k:6443\",\"expirySeconds\":86400}",
		  "404 Not Found", "{\"message\":\"none\",\"status\":404}" } }, 1, "", "fairlead: none\n" },
		{ { "clusters", "set", "edge-a", "--lan", "none" },
		  { { "PATCH /api/fairlead/v1/clusters/edge-a {\"lanPrefixes\":[]}", "200 OK", MADE "}" } }, 0,
		  "Cluster edge-a has other ranges: its K3s must be started with them.\n", NULL },
		{ { "clusters", "set", "edge-a" }, { { NULL, NULL, NULL } }, 2, "",
		  "fairlead: name what changes: --pod-cidr, --service-cidr, --lan\n" },
		{ { "clusters", "delete", "edge-a", "--force", "--keep-policy" },
		  { { "DELETE /api/fairlead/v1/clusters/edge-a?force=true&keepPolicy=true", "200 OK",
		  "{}" } }, 0,
		  "Cluster edge-a is deleted, its auth keys are revoked; nodes that are in stay.\n", NULL },
		{ { "clusters", "delete", "edge-a" },
		  { { "DELETE /api/fairlead/v1/clusters/edge-a", "200 OK", "{}" } }, 0, NULL, NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		run_case(&cases[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_clusters),
	};

	return cmocka_run_group_tests(tests, server_make, server_remove);
}
