/* fairlead clusters: K3s clusters whose nodes are on the tailnet. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/cli.h"
#include "server/cmd.h"

static const char *pod_cidr, *service_cidr, *lan, *tag, *user, *expiration, *k3s_server;
static bool is_dual_stack, is_isolated, is_forced, keeps_policy;

static void
put_pods(const json_t *o, int64_t now, struct buf *out)
{
	(void)now;
	cli_put_member(o, "podCIDRs", out);
	if (out->len == 0)
		buf_str(out, "?");
}

static void
put_nodes(const json_t *o, int64_t now, struct buf *out)
{
	(void)now;
	buf_printf(out, "%lld, %lld online", (long long)json_get_int(o, "nodes", 0),
	    (long long)json_get_int(o, "nodesOnline", 0));
}

static const struct cli_column columns[] = {
	{ .head = "NAME", .member = "name" },
	{ .head = "TAG", .member = "tag" },
	{ .head = "PODS", .put = put_pods },
	{ .head = "SERVICES", .member = "serviceCIDRs" },
	{ .head = "LAN", .member = "lanPrefixes" },
	{ .head = "NODES", .put = put_nodes },
	{ .head = "RECORDED", .member = "recorded" },
};

/* One per line. */
static void
print_conflicts(const json_t *answer)
{
	const json_t *conflicts = json_object_get(answer, "conflicts"), *v, *n;
	size_t i, k;

	if (json_array_size(conflicts) == 0)
		return;
	printf("\n");
	json_array_foreach(conflicts, i, v) {
		const json_t *nodes = json_object_get(v, "nodes");
		struct buf line = { .len = 0 };

		cli_text_put(&line, json_get_str(v, "text", "?"));
		json_array_foreach(nodes, k, n) {
			buf_str(&line, k == 0 ? " (" : ", ");
			cli_text_put(&line, json_get_str(n, "name", "?"));
		}
		printf("CONFLICT: %s%s\n", buf_cstr(&line), json_array_size(nodes) > 0 ? ")" : "");
		buf_fini(&line);
	}
	printf("Give one of them another range: fairlead clusters set, or pod CIDRs of its K3s\n");
}

static int
clusters_list(struct cli *c)
{
	return cli_list(c, &(struct cli_list){ .path = "/clusters", .array = "clusters", .columns = columns,
	    .n_columns = COUNT_OF(columns), .after = print_conflicts,
	    .none = "There are no clusters: fairlead clusters create NAME" });
}

static void
print_line(const json_t *lines, const char *title, const char *member)
{
	printf("%s:\n\n%s\n\n", title, json_get_str(lines, member, "?"));
}

static void
print_cluster(const struct cli *c, const json_t *v)
{
	static const char *const shown[][2] = {
		{ "tag", "tag" }, { "pods", "podCIDRs" }, { "services", "serviceCIDRs" },
		{ "networks", "lanPrefixes" },
	};
	const json_t *lines = json_object_get(v, "lines");
	const char *key = json_get_str(v, "key", NULL), *warning = json_get_str(v, "warning", NULL);

	(void)c;
	printf("Cluster %s\n", json_get_str(v, "name", "?"));
	for (size_t i = 0; i < COUNT_OF(shown); i++) {
		struct buf text = { .len = 0 };

		cli_put_member(v, shown[i][1], &text);
		printf("  %-10s%s\n", shown[i][0], buf_cstr(&text));
		buf_fini(&text);
	}
	if (key != NULL)
		printf("\nAuth key, for any number of its nodes. It is shown only once:\n\n%s\n", key);
	else
		printf("\nKEY below is its auth key; fairlead clusters key %s makes another.\n",
		    json_get_str(v, "name", "?"));
	printf("\nTOKEN is in /var/lib/rancher/k3s/server/node-token of the first server%s.\n\n",
	    k3s_server == NULL ? ",\nSERVER-IP what `tailscale ip -4` says there" : "");
	printf("1. With K3s's own integration (--vpn-auth); tailscaled runs on the machine\n\n");
	print_line(lines, "Server", "vpnAuthServer");
	print_line(lines, "Agents", "vpnAuthAgent");
	printf("2. Or with flannel's VXLAN over tailscale0\n\n");
	print_line(lines, "Server", "flannelServer");
	print_line(lines, "Agents", "flannelAgent");
	if (warning != NULL)
		fprintf(stderr, "fairlead: warning: %s\n", warning);
}

/* A member that is asked for. */
static void
flag_add(json_t *body, const char *member, bool is_asked)
{
	if (body != NULL && is_asked)
		json_object_set_new(body, member, json_true());
}

static void
ranges_add(json_t *body)
{
	cli_words_add(body, "podCIDRs", pod_cidr, "");
	cli_words_add(body, "serviceCIDRs", service_cidr, "");
	cli_words_add(body, "lanPrefixes", lan != NULL && strcmp(lan, "none") == 0 ? "" : lan, "");
	flag_add(body, "force", is_forced);
	flag_add(body, "keepPolicy", keeps_policy);
}

static int
clusters_create(struct cli *c)
{
	json_t *body = json_pack("{s:s, s:s*, s:s*, s:s*}", "name", c->argv[0], "tag", tag,
	    "user", user, "server", k3s_server);

	if (body == NULL)
		return cli_fail("a word is not UTF-8");
	ranges_add(body);
	flag_add(body, "dualStack", is_dual_stack);
	flag_add(body, "isolate", is_isolated);
	return cli_make(c, "/clusters", cli_expiry_set(body, expiration), print_cluster);
}

static int
clusters_show(struct cli *c)
{
	char *path = cli_path("/clusters/", c->argv[0], "");
	int code = cli_ask(c, "GET", path, NULL, print_cluster);

	free(path);
	return code;
}

static int
clusters_key(struct cli *c)
{
	char *path = cli_path("/clusters/", c->argv[0], "/key");
	json_t *body = json_pack("{s:s*, s:s*}", "user", user, "server", k3s_server);
	int code = 2;

	if (body == NULL)
		code = cli_fail("a word is not UTF-8");
	else if ((body = cli_expiry_set(body, expiration)) != NULL)
		code = cli_ask(c, "POST", path, body, print_cluster);
	free(path);
	return code;
}

static int
clusters_set(struct cli *c)
{
	static const struct cli_change how = { .method = "PATCH", .path = "/clusters/", .kind = "Cluster",
		.done = "has other ranges: its K3s must be started with them" };
	json_t *body = json_object();

	if (pod_cidr == NULL && service_cidr == NULL && lan == NULL) {
		json_decref(body);
		cli_fail("name what changes: --pod-cidr, --service-cidr, --lan");
		return 2;
	}
	ranges_add(body);
	return cli_change(c, &how, body);
}

static int
clusters_delete(struct cli *c)
{
	struct cli_change how = { .method = "DELETE", .path = "/clusters/", .kind = "Cluster",
		.done = "is deleted, its auth keys are revoked; nodes that are in stay" };

	how.action = is_forced && keeps_policy ? "?force=true&keepPolicy=true" : is_forced ? "?force=true" :
	    keeps_policy ? "?keepPolicy=true" : NULL;
	return cli_change(c, &how, NULL);
}

#define KEY_OPTS \
	{ "user", 'u', CLI_STRING, &user, "NAME", "owner of the auth key" }, \
	{ "expiration", 'e', CLI_STRING, &expiration, "TIME", "of the key: 30m, 7d or never; default 90d" }, \
	{ "server", 0, CLI_STRING, &k3s_server, "URL", "of the K3s server, for the agents' lines" }
#define RANGE_OPTS \
	{ "pod-cidr", 0, CLI_STRING, &pod_cidr, "CIDR", "range of the pods; with a comma one of IPv6 too" }, \
	{ "service-cidr", 0, CLI_STRING, &service_cidr, "CIDR", "range of the services; likewise" }, \
	{ "lan", 0, CLI_STRING, &lan, "LIST", "networks that its nodes stand in, or none" }
#define FORCE_OPT \
	{ "force", 0, CLI_BOOL, &is_forced, NULL, "though others claim the same addresses" }
#define POLICY_OPT \
	{ "keep-policy", 0, CLI_BOOL, &keeps_policy, NULL, "leave the policy as it is" }
#define END { NULL, 0, CLI_BOOL, NULL, NULL, NULL }

static const struct cli_opt create_opts[] = {
	RANGE_OPTS,
	{ "dual-stack", '6', CLI_BOOL, &is_dual_stack, NULL, "IPv6 ranges too" },
	{ "tag", 't', CLI_STRING, &tag, "TAG", "of its nodes; default tag:k3s-NAME" },
	{ "isolate", 0, CLI_BOOL, &is_isolated, NULL, "where everything is allowed: rules, by which it "
	  "reaches itself alone" },
	KEY_OPTS, FORCE_OPT, POLICY_OPT, END
};
static const struct cli_opt set_opts[] = { RANGE_OPTS, FORCE_OPT, POLICY_OPT, END };
static const struct cli_opt key_opts[] = { KEY_OPTS, END };
static const struct cli_opt delete_opts[] = {
	{ "force", 0, CLI_BOOL, &is_forced, NULL, "though nodes have its tag" }, POLICY_OPT, END
};

static const struct cli_verb verbs[] = {
	{ "list", "ls", "", 0, 0, "Lists clusters, and conflicts of their ranges", NULL, clusters_list },
	{ "create", "add", "NAME", 1, 1, "Reserves ranges, makes tag, auth key and policy, prints K3s's lines",
	  create_opts, clusters_create },
	{ "show", "get", "NAME", 1, 1, "Shows a cluster and K3s's lines", NULL, clusters_show },
	{ "key", "join", "NAME", 1, 1, "Makes one more auth key for its nodes, prints K3s's lines", key_opts,
	  clusters_key },
	{ "set", NULL, "NAME", 1, 1, "Changes its ranges", set_opts, clusters_set },
	{ "delete", "destroy", "NAME", 1, 1, "Forgets it, and revokes its auth keys", delete_opts,
	  clusters_delete },
};

static const struct cli_noun noun = {
	"clusters", "K3s clusters: ranges of addresses, keys, and how to start them.", verbs,
	    COUNT_OF(verbs), false,
};

const struct cmd cmd_clusters = {
	.name = "clusters", .noun = &noun, .summary = "K3s clusters: create, list, show, key, set, delete",
};
