/*
 * policy-case CASE.json: what the policy engine makes of one captured case, as a JSON object in
 * the form of the case's "expect" member ("error" in place of its two error members). Kinds of
 * cases: a policy with users and nodes; names of nodes; DNS settings.
 */
#include <stdio.h>
#include <string.h>

#include "coord/policy_ssh.h"
#include "tests/tools/policy_case.h"

#define USERS_MAX 64
#define NODES_MAX 256

struct policy_case {
	json_t *json;			/* the case */
	struct map users;
	struct user user[USERS_MAX];
	struct case_node node[NODES_MAX];
	unsigned n_nodes;
	struct policy *policy;
	struct policy_world *world;
	json_t *out;
};

static json_t *
text_json(const struct buf *b)
{
	json_t *v = json_loadb((const char *)b->p, b->len, JSON_DECODE_ANY, NULL);

	if (v == NULL)
		case_die("the engine made text that is no JSON");
	return v;
}

static void
refuse(struct policy_case *c, const struct policy_errors *errors)
{
	struct buf b = { 0 };

	policy_errors_put(&b, errors);
	json_object_set_new(c->out, "accept", json_false());
	json_object_set_new(c->out, "error", json_string(buf_cstr(&b)));
	buf_fini(&b);
}

/* --- users and nodes -------------------------------------------------------------------------- */

static void
users_read(struct policy_case *c)
{
	const json_t *list = json_object_get(c->json, "users"), *v;
	/* Cases tell no roles; in the tailnet that was captured the first user was the owner,
	 * the others admins. */
	bool is_captured = strcmp(json_get_str(c->json, "origin", ""), "captured") == 0;
	size_t i;

	json_array_foreach(list, i, v) {
		struct user *u = &c->user[i];

		if (i == USERS_MAX)
			case_die("too many users");
		u->magic = USER_MAGIC;
		u->role = !is_captured ? USER_MEMBER : i == 0 ? USER_OWNER : USER_ADMIN;
		u->id = json_get_int(v, "id", 0);
		snprintf(u->name, sizeof(u->name), "%s", json_get_str(v, "name", ""));
		snprintf(u->email, sizeof(u->email), "%s", json_get_str(v, "email", ""));
		(void)map_put(&c->users, u);
	}
}

static const struct user *
user_named(const struct policy_case *c, const char *name)
{
	for (size_t i = 0; i < USERS_MAX; i++) {
		if (c->user[i].id != 0 && strcmp(c->user[i].name, name) == 0)
			return &c->user[i];
	}
	return NULL;
}

static void
ip_read(const char *text, struct net_ip *out)
{
	if (*text != '\0' && net_ip_parse(text, strlen(text), out) != ERR_OK)
		case_die("a node's address is none");
}

static bool
list_has(const json_t *list, const char *text)
{
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v) {
		if (strcmp(json_string_value(v), text) == 0)
			return true;
	}
	return false;
}

static void
routes_read(const json_t *v, struct case_node *n)
{
	const json_t *advertised = json_object_get(v, "advertised_routes"), *r;
	size_t i;

	n->routes = obj_alloc((json_array_size(advertised) + 1) * sizeof(*n->routes));
	json_array_foreach(advertised, i, r) {
		const char *text = json_string_value(r);
		struct node_route *route = &n->routes[n->n_routes];

		if (!list_has(json_object_get(v, "approved_routes"), text))
			continue;
		if (net_prefix_parse(text, strlen(text), &route->prefix) != ERR_OK)
			case_die("a route is none");
		route->is_primary = route->prefix.bits == 0 ||
		    list_has(json_object_get(v, "primary_routes"), text);
		n->n_routes++;
	}
}

static void
nodes_read(struct policy_case *c)
{
	const json_t *list = json_object_get(c->json, "nodes"), *v;
	size_t i;

	json_array_foreach(list, i, v) {
		struct case_node *n = &c->node[c->n_nodes++];
		const json_t *tags = json_object_get(v, "tags"), *t;
		const char *texts[NODE_TAGS_MAX];
		const char *owner = json_get_str(v, "user", "");
		unsigned n_texts = 0;
		size_t k;

		if (i == NODES_MAX)
			case_die("too many nodes");
		n->id = json_get_int(v, "id", 0);
		n->name = json_get_str(v, "hostname", "");
		n->json = v;
		json_array_foreach(tags, k, t) {
			if (n_texts < NODE_TAGS_MAX)
				texts[n_texts++] = json_string_value(t);
		}
		tag_list_copy(texts, n_texts, &n->tags, &n->n_tags);
		if (user_named(c, owner) != NULL)
			n->user_id = user_named(c, owner)->id;
		ip_read(json_get_str(v, "ipv4", ""), &n->ip4);
		ip_read(json_get_str(v, "ipv6", ""), &n->ip6);
		routes_read(v, n);
	}
}

static struct policy_node
as_policy(const struct case_node *n)
{
	return (struct policy_node){ .id = n->id, .user_id = n->n_tags > 0 ? 0 : n->user_id, .tags = n->tags,
		.n_tags = n->n_tags, .ip4 = n->ip4, .ip6 = n->ip6, .routes = n->routes,
		    .n_routes = n->n_routes };
}

/* The node of that id, or all (0). */
static void
join(struct policy_case *c, int64_t id)
{
	for (unsigned i = 0; i < c->n_nodes; i++) {
		struct policy_node n = as_policy(&c->node[i]);

		if ((id == 0 || n.id == id) && policy_world_join(c->world, &n) == NULL)
			case_die("a node has no class");
	}
}

static void
world_fill(struct policy_case *c)
{
	int64_t id;

	join(c, 0);
	while (policy_world_stale(c->world, &id))
		join(c, id);
	(void)policy_world_refresh(c->world);
}

/* --- what a node is told ---------------------------------------------------------------------- */

static struct policy_class *
class_of(const struct policy_case *c, const struct case_node *n)
{
	return policy_world_class_of(c->world, n->id);
}

static json_t *
addresses(const struct case_node *n, bool has_ip4)
{
	json_t *out = json_array();
	char text[NET_TEXT_MAX];

	if (n->ip4.family != 0 && has_ip4)
		json_array_append_new(out, json_string(net_ip_put(&n->ip4, text)));
	if (n->ip6.family != 0)
		json_array_append_new(out, json_string(net_ip_put(&n->ip6, text)));
	return out;
}

static void
peer_put(const struct policy_case *c, const struct case_node *viewer, const struct case_node *n, json_t *to)
{
	const struct policy_class *vc = class_of(c, viewer), *nc = class_of(c, n);
	const struct policy_view *view = viewer == n ? NULL : policy_world_view(c->world, vc->row, nc->row);
	struct policy_node pn = as_policy(n);
	json_t *routes = json_array(), *caps = json_object();
	char text[NET_TEXT_MAX];

	if (view == NULL) {
		json_decref(routes);
		json_decref(caps);
		return;
	}
	for (unsigned i = 0; i < n->n_routes; i++) {
		uint8_t show = view->show[policy_world_kind(c->world, nc, &pn, i)];

		if (show == POLICY_SHOW_ALWAYS || (show == POLICY_SHOW_PRIMARY && n->routes[i].is_primary))
			json_array_append_new(routes, json_string(net_prefix_put(&n->routes[i].prefix, text)));
	}
	if (nc->bundle->is_exit_suggested)
		json_object_set_new(caps, "suggest-exit-node", json_null());
	json_array_append_new(json_object_get(to, "peers"), json_string(n->name));
	json_object_set_new(json_object_get(to, "peer_routes"), n->name, routes);
	json_object_set_new(json_object_get(to, "peer_cap_map"), n->name, caps);
	json_object_set_new(json_object_get(to, "peer_addresses"), n->name,
	    addresses(n, !nc->bundle->is_ipv4_off && !view->is_ipv4_hidden));
}

static json_t *
caps_of(const struct policy_case *c, const struct policy_bundle *bundle)
{
	bool updates = json_get_bool(json_object_get(c->json, "settings"), "auto_updates", false);
	struct buf b = { 0 };
	json_t *out;

	/* What every node has: those of the map, not of the policy. */
	buf_printf(&b,
	    "{\"https://tailscale.com/cap/ssh\":null,\"https://tailscale.com/cap/file-sharing\":null,"
	    "\"default-auto-update\":[%s]", updates ? "true" : "false");
	if (bundle->caps->len > 0) {
		buf_byte(&b, ',');
		buf_append(&b, bundle->caps->bytes, bundle->caps->len);
	}
	buf_byte(&b, '}');
	out = text_json(&b);
	buf_fini(&b);
	return out;
}

static json_t *
node_told(const struct policy_case *c, const struct case_node *n)
{
	const struct policy_bundle *bundle = class_of(c, n)->bundle;
	struct policy_node pn = as_policy(n);
	struct buf b = { 0 };
	json_t *out = json_object();

	policy_filter_put(&b, bundle->filter, &pn);
	json_object_set_new(out, "packet_filter", text_json(&b));
	buf_clear(&b);
	policy_ssh_put(&b, c->world, class_of(c, n));
	json_t *ssh = text_json(&b);

	json_object_set(out, "ssh_rules", json_object_get(ssh, "rules"));
	json_decref(ssh);
	buf_fini(&b);
	json_object_set_new(out, "cap_map", caps_of(c, bundle));
	json_object_set_new(out, "addresses", addresses(n, !bundle->is_ipv4_off));
	json_object_set_new(out, "peers", json_array());
	json_object_set_new(out, "peer_routes", json_object());
	json_object_set_new(out, "peer_cap_map", json_object());
	json_object_set_new(out, "peer_addresses", json_object());
	for (unsigned i = 0; i < c->n_nodes; i++)
		peer_put(c, n, &c->node[i], out);
	return out;
}

static json_t *
approved(const struct policy_case *c, const struct case_node *n)
{
	const json_t *list = json_object_get(n->json, "advertised_routes"), *v;
	struct policy_node pn = as_policy(n);
	json_t *out = json_array();
	struct net_prefix route;
	size_t i;

	json_array_foreach(list, i, v) {
		const char *text = json_string_value(v);

		if (net_prefix_parse(text, strlen(text), &route) == ERR_OK &&
		    policy_approves(c->world, &pn, &route))
			json_array_append_new(out, json_string(text));
	}
	return out;
}

static json_t *
tag_auth(const struct policy_case *c)
{
	const json_t *list = json_object_get(json_object_get(c->json, "expect"), "tag_auth"), *v, *t;
	json_t *out = json_array();
	size_t i, k;

	json_array_foreach(list, i, v) {
		const char *tag = json_get_str(v, "tag", "");
		json_t *answer = json_deep_copy(v);
		bool is_allowed = false;

		if (json_object_get(v, "user") != NULL) {
			const struct user *u = user_named(c, json_get_str(v, "user", ""));

			is_allowed = u != NULL && policy_user_owns(c->policy, &c->users, u, tag);
		} else {
			const char *texts[NODE_TAGS_MAX];
			char **tags;
			unsigned n = 0, n_tags;

			json_array_foreach(json_object_get(v, "by_tags"), k, t) {
				if (n < NODE_TAGS_MAX)
					texts[n++] = json_string_value(t);
			}
			tag_list_copy(texts, n, &tags, &n_tags);
			is_allowed = policy_tags_own(c->policy, tags, n_tags, tag);
			tag_list_free(tags, n_tags);
		}
		json_object_set_new(answer, "allowed", json_boolean(is_allowed));
		json_array_append_new(out, answer);
	}
	return out;
}

/* --- a case ----------------------------------------------------------------------------------- */

static void
put_result(struct policy_case *c)
{
	json_t *nodes = json_object(), *approve = json_object();

	for (unsigned i = 0; i < c->n_nodes; i++) {
		json_object_set_new(nodes, c->node[i].name, node_told(c, &c->node[i]));
		json_object_set_new(approve, c->node[i].name, approved(c, &c->node[i]));
	}
	json_object_set_new(c->out, "accept", json_true());
	json_object_set_new(c->out, "nodes", nodes);
	json_object_set_new(c->out, "auto_approve", approve);
	json_object_set_new(c->out, "tag_auth", tag_auth(c));
}

static void
run_policy(struct policy_case *c)
{
	const char *text = json_get_str(c->json, "policy", "");
	struct policy_errors errors = { 0 };

	users_read(c);
	nodes_read(c);
	if (policy_parse(text, strlen(text), &c->policy, &errors) != ERR_OK ||
	    policy_check_users(c->policy, &c->users, &errors) != ERR_OK) {
		refuse(c, &errors);
	} else {
		c->world = policy_world_new(c->policy, &c->users, json_get_str(c->json, "control_url", ""));
		world_fill(c);
		if (policy_test_run(c->world, &errors) != ERR_OK)
			refuse(c, &errors);
		else
			put_result(c);
	}
	policy_errors_fini(&errors);
}

static void
policy_case_fini(struct policy_case *c)
{
	policy_world_free(c->world);
	policy_drop(c->policy);
	map_fini(&c->users);
	for (unsigned i = 0; i < c->n_nodes; i++) {
		tag_list_free(c->node[i].tags, c->node[i].n_tags);
		free(c->node[i].routes);
	}
	json_decref(c->out);
	json_decref(c->json);
}

void
case_die(const char *why)
{
	fprintf(stderr, "policy-case: %s\n", why);
	exit(2);
}

int
main(int argc, char **argv)
{
	static struct policy_case c;
	json_error_t error;

	if (argc != 2)
		case_die("usage: policy-case CASE.json");
	if ((c.json = json_load_file(argv[1], 0, &error)) == NULL)
		case_die(error.text);
	c.out = json_object();
	MAP_INIT(&c.users, struct user, id);
	if (json_object_get(c.json, "policy") != NULL)
		run_policy(&c);
	else if (json_object_get(c.json, "hostnames") != NULL)
		case_names(c.json, c.out);
	else
		case_dns(c.json, c.out);
	json_dumpf(c.out, stdout, JSON_INDENT(1));
	putchar('\n');
	policy_case_fini(&c);
	return 0;
}
