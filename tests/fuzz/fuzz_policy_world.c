/* links: coord/policy_world* coord/policy_ssh* coord/policy_posture coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tag */
/*
 * Any policy over a handful of nodes of every kind: filters are JSON, sight is mutual, what is
 * worked out while nodes come and go is what a new world says.
 */
#include <string.h>

#include "base/json.h"
#include "coord/policy_ssh.h"
#include "coord/policy_world.h"

#define N_NODES 9

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct shape {
	int64_t user_id;
	const char *tag, *routes[2];
	bool is_waiting;
} shapes[N_NODES] = {
	{ 1, NULL, { NULL }, false },
	{ 2, NULL, { NULL }, false },
	{ 1, NULL, { "10.1.2.0/24" }, false },
	{ 0, "tag:a", { "10.1.2.0/24", "fd00:1::/64" }, false },
	{ 0, "tag:b", { "10.1.2.0/24" }, false },
	{ 0, "tag:a", { "0.0.0.0/0", "::/0" }, false },
	{ 0, "tag:b", { "100.64.0.0/30" }, false },
	{ 2, NULL, { "0.0.0.0/0" }, false },
	{ 2, NULL, { "10.0.0.0/8" }, true },
};

struct world_node {
	struct policy_node n;
	struct node_route routes[2];
	char *tags[1];
};

static void
node_make(struct world_node *n, unsigned i)
{
	const struct shape *s = &shapes[i];

	*n = (struct world_node){ .n = { .id = i + 1, .user_id = s->user_id, .is_waiting = s->is_waiting } };
	n->n.ip4 = net_ip_from_v4((uint8_t[]){ 100, 64, 0, (uint8_t)(i + 1) });
	n->n.ip6 = net_ip_from_v6((uint8_t[16]){ 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, [15] = (uint8_t)(i + 1) });
	if (s->tag != NULL)
		n->tags[n->n.n_tags++] = (char *)(uintptr_t)s->tag;
	for (unsigned k = 0; k < COUNT_OF(s->routes) && s->routes[k] != NULL; k++) {
		ASSERT(net_prefix_parse(s->routes[k], strlen(s->routes[k]), &n->routes[k].prefix) == ERR_OK);
		n->routes[k].is_primary = true;
		n->n.n_routes++;
	}
	n->n.tags = n->tags;
	n->n.routes = n->routes;
}

static void
join(struct policy_world *w, const struct world_node *n)
{
	ASSERT(policy_world_join(w, &n->n) != NULL);
}

static void
settle(struct policy_world *w, const struct world_node *nodes)
{
	unsigned n_stale = 0;
	int64_t id;

	while (policy_world_stale(w, &id)) {
		ASSERT(++n_stale < 100);
		join(w, &nodes[id - 1]);
	}
	(void)policy_world_refresh(w);
	for (unsigned i = 0; i < N_NODES; i++)
		ASSERT(policy_world_is_current(w, &nodes[i].n));
}

static void
check_node(struct policy_world *w, const struct policy_node *n)
{
	const struct policy_bundle *b = policy_world_class_of(w, n->id)->bundle;
	struct buf text = { 0 };
	json_t *v = NULL;
	struct err_text why;

	policy_filter_put(&text, b->filter, n);
	/* Only size, not form, may be against it. */
	if (text.len < 4096)
		ASSERT(json_parse(text.p, text.len, &v, &why) == ERR_OK);
	json_decref(v);
	buf_clear(&text);
	policy_ssh_put(&text, w, policy_world_class_of(w, n->id));
	v = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
	ASSERT(v != NULL);
	json_decref(v);
	buf_clear(&text);
	buf_byte(&text, '{');
	buf_append(&text, b->caps->bytes, b->caps->len);
	buf_byte(&text, '}');
	v = json_loadb((const char *)text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
	ASSERT(v != NULL);
	json_decref(v);
	buf_fini(&text);
}

static void
check_sight(struct policy_world *w, const struct world_node *nodes, unsigned a, unsigned b)
{
	const struct policy_class *ca = policy_world_class_of(w, nodes[a].n.id);
	const struct policy_class *cb = policy_world_class_of(w, nodes[b].n.id);
	const struct policy_view *there = policy_world_view(w, ca->row, cb->row);
	const struct policy_view *back = policy_world_view(w, cb->row, ca->row);

	ASSERT((there == NULL) == (back == NULL));
	for (unsigned i = 0; there != NULL && i < nodes[b].n.n_routes; i++)
		ASSERT(policy_world_kind(w, cb, &nodes[b].n, i) < there->n_kinds);
}

static void
check_same(const struct policy_world *a, const struct policy_world *b)
{
	for (int64_t id = 1; id <= N_NODES; id++) {
		const struct policy_bundle *x = policy_world_class_of(a, id)->bundle;
		const struct policy_bundle *y = policy_world_class_of(b, id)->bundle;

		ASSERT(shbuf_eq(x->filter, y->filter));
		ASSERT(x->ssh == y->ssh && shbuf_eq(x->caps, y->caps));
	}
}

static void
run(struct policy *policy, const struct map *users)
{
	struct policy_world *w = policy_world_new(policy, users, "https://hq.example.com");
	struct policy_world *fresh = policy_world_new(policy, users, "https://hq.example.com");
	struct world_node nodes[N_NODES];

	for (unsigned i = 0; i < N_NODES; i++) {
		node_make(&nodes[i], i);
		join(w, &nodes[i]);
		join(fresh, &nodes[i]);
	}
	settle(fresh, nodes);
	(void)policy_world_refresh(w);
	for (unsigned i = 0; i < N_NODES; i += 2)
		policy_world_leave(w, i + 1);
	(void)policy_world_refresh(w);
	for (unsigned i = 0; i < N_NODES; i += 2)
		join(w, &nodes[i]);
	settle(w, nodes);
	check_same(w, fresh);
	for (unsigned a = 0; a < N_NODES; a++) {
		check_node(w, &nodes[a].n);
		for (unsigned b = 0; b < N_NODES; b++)
			check_sight(w, nodes, a, b);
	}
	policy_world_free(w);
	policy_world_free(fresh);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct user alice = { .magic = USER_MAGIC, .id = 1, .role = USER_OWNER, .name = "alice",
		.email = "alice@example.com" };
	struct user bob = { .magic = USER_MAGIC, .id = 2, .role = USER_MEMBER, .name = "bob" };
	struct policy_errors errors = { 0 };
	struct policy *policy;
	struct map users;

	MAP_INIT(&users, struct user, id);
	(void)map_put(&users, &alice);
	(void)map_put(&users, &bob);
	if (policy_parse((const char *)data, size, &policy, &errors) == ERR_OK) {
		run(policy, &users);
		policy_drop(policy);
	}
	policy_errors_fini(&errors);
	map_fini(&users);
	return 0;
}
