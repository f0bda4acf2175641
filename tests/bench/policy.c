/*
 * The policy engine alone: a policy of many tags and rules over many nodes. Prints what it costs to
 * parse it, to build its world node by node, and to let one node more come and go.
 */
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "coord/policy_ssh.h"
#include "coord/policy_world.h"
#include "tests/bench/bench.h"

#define EVENTS 200	/* single joins, and leaves, of which the median is told */

struct shape {
	long n_nodes, n_tags, n_rules, n_users;
	const char *kind;
};

struct fleet {
	struct shape shape;
	struct policy_node *nodes;
	struct node_route *routes;
	char (*names)[16];
	char *(*tags)[2];
	uint64_t x;
};

static void
usage(FILE *to)
{
	fputs("policy [options]\n"
	    "  --nodes N   (10000)   --tags N  (30)   --rules N  (300)   --users N  (100)\n"
	    "  --kind WORD what the rules are like: tags (default): tags reach tags on ports, a tenth of the\n"
	    "              nodes belong to users and two in a hundred route a subnet; fleets: the same, but\n"
	    "              nodes of a tag joined one after the other, so that their addresses are few\n"
	    "              ranges; self: each user's own nodes and some tags; ssh: everybody is let in at\n"
	    "              everybody's and at their own nodes; one: autogroup:self, all nodes\n"
	    "              are the first user's, each with its own subnet; each: a rule of each user's own,\n"
	    "              by which all reach all; open: no rules\n",
	    to);
}

static uint64_t
dice(struct fleet *f, uint64_t n)
{
	f->x ^= f->x << 13;
	f->x ^= f->x >> 7;
	f->x ^= f->x << 17;
	return (f->x >> 11) % n;
}

static void
put_rule(struct fleet *f, struct buf *b, long i)
{
	unsigned long n_tags = (unsigned long)f->shape.n_tags;

	buf_printf(b,
	    "{\"action\":\"accept\",\"src\":[\"tag:t%d\",\"tag:t%d\"],\"dst\":[\"tag:t%d:%d\",\"tag:t%d:*\"",
	    (int)dice(f, n_tags), (int)dice(f, n_tags), (int)dice(f, n_tags), (int)(1000 + i),
	    (int)dice(f, n_tags));
	if (i % 5 == 0)
		buf_printf(b, ",\"10.%d.0.0/16:443\"", (int)dice(f, 200));
	buf_str(b, "]}");
}

static void
put_policy(struct fleet *f, struct buf *b)
{
	bool is_self = strcmp(f->shape.kind, "self") == 0;

	buf_str(b, "{\"tagOwners\":{");
	for (long i = 0; i < f->shape.n_tags; i++)
		buf_printf(b, "%s\"tag:t%ld\":[]", i > 0 ? "," : "", i);
	buf_byte(b, '}');
	if (strcmp(f->shape.kind, "ssh") == 0) {
		buf_str(b, ",\"ssh\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":["
		    "\"autogroup:member\",\"autogroup:self\"],\"users\":[\"root\",\"autogroup:nonroot\"]}]");
	} else if (strcmp(f->shape.kind, "one") == 0) {
		buf_str(b, ",\"grants\":[{\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\"],"
		    "\"ip\":[\"*\"]}]");
	} else if (strcmp(f->shape.kind, "each") == 0) {
		buf_str(b, ",\"acls\":[");
		for (long i = 0; i < f->shape.n_users; i++)
			buf_printf(b, "%s{\"action\":\"accept\",\"src\":[\"user%ld@example.com\"],"
			    "\"dst\":[\"*:%ld\"]}", i > 0 ? "," : "", i + 1, 1 + i % 60000);
		buf_byte(b, ']');
	} else if (strcmp(f->shape.kind, "open") != 0) {
		buf_str(b, ",\"acls\":[");
		for (long i = 0; i < f->shape.n_rules; i++) {
			buf_str(b, i > 0 ? "," : "");
			put_rule(f, b, i);
		}
		if (is_self)
			buf_str(b, "],\"grants\":[{\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\"],"
			    "\"ip\":[\"*\"]}");
		buf_byte(b, ']');
	}
	buf_byte(b, '}');
}

static void
fleet_make(struct fleet *f)
{
	size_t n = (size_t)f->shape.n_nodes + 1;
	bool is_ssh = strcmp(f->shape.kind, "ssh") == 0;
	bool is_self = is_ssh || strcmp(f->shape.kind, "self") == 0;
	bool is_one = strcmp(f->shape.kind, "one") == 0, is_each = strcmp(f->shape.kind, "each") == 0;
	bool is_fleets = strcmp(f->shape.kind, "fleets") == 0;

	f->nodes = obj_alloc(n * sizeof(*f->nodes));
	f->routes = obj_alloc(n * sizeof(*f->routes));
	f->names = obj_alloc(n * 2 * sizeof(*f->names));
	f->tags = obj_alloc(n * sizeof(*f->tags));
	for (size_t i = 0; i < n; i++) {
		struct policy_node *p = &f->nodes[i];

		p->id = (int64_t)i + 1;
		p->ip4 = net_ip_from_v4((uint8_t[]){ 100, (uint8_t)(64 + (i >> 16)),
		    (uint8_t)(i >> 8), (uint8_t)i });
		p->ip6 = net_ip_from_v6((uint8_t[16]){ 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0,
		    [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i });
		if (is_each || is_one) {
			p->user_id = is_one ? 1 : 1 + (int64_t)(i % (size_t)f->shape.n_users);
			f->routes[i].prefix = (struct net_prefix){ net_ip_from_v4((uint8_t[]){ 10,
			    (uint8_t)(i >> 8), (uint8_t)i, 0 }), 24 };
			p->routes = &f->routes[i];
			p->n_routes = is_one;
			continue;
		}
		if (dice(f, is_fleets ? 1000 : 10) < (is_self ? 9u : 1u)) {
			p->user_id = 1 + (int64_t)dice(f, (uint64_t)f->shape.n_users);
			continue;
		}
		snprintf(f->names[i], sizeof(f->names[i]), "tag:t%d", is_fleets ?
		    (int)(i * (size_t)f->shape.n_tags / n) : (int)dice(f, (uint64_t)f->shape.n_tags));
		f->tags[i][0] = f->names[i];
		p->tags = f->tags[i];
		p->n_tags = 1;
		if (dice(f, 50) != 0)
			continue;
		f->routes[i].prefix = (struct net_prefix){ net_ip_from_v4((uint8_t[]){ 10,
		    (uint8_t)dice(f, 200),
		    (uint8_t)dice(f, 256), 0 }), 24 };
		f->routes[i].is_primary = true;
		p->routes = &f->routes[i];
		p->n_routes = 1;
	}
}

/* user<N>@example.com */
static void
users_make(const struct fleet *f, struct map *users)
{
	MAP_INIT(users, struct user, id);
	for (long i = 0; i < f->shape.n_users; i++) {
		struct user *u = obj_alloc(sizeof(*u));

		u->id = i + 1;
		snprintf(u->name, sizeof(u->name), "user%ld@example.com", i + 1);
		(void)map_put(users, u);
	}
}

static void
users_free(struct map *users)
{
	size_t cursor = 0;

	for (struct user *u; (u = map_next(users, &cursor)) != NULL; free(u))
		(void)map_remove(users, &u->id);
	map_fini(users);
}

static void
join(struct policy_world *w, const struct policy_node *n)
{
	if (policy_world_join(w, n) == NULL)
		bench_die("a node has no class");
}

static double
us_since(int64_t begin_ns)
{
	return (double)(bench_now_ns() - begin_ns) / 1000;
}

/* The last node comes and goes. */
static void
bench_events(struct policy_world *w, const struct fleet *f)
{
	struct bench_samples joins = { 0 }, leaves = { 0 };
	const struct policy_node *last = &f->nodes[f->shape.n_nodes];

	for (unsigned i = 0; i < EVENTS; i++) {
		int64_t begin = bench_now_ns();

		join(w, last);
		policy_world_refresh(w);
		bench_samples_add(&joins, us_since(begin));
		begin = bench_now_ns();
		policy_world_leave(w, last->id);
		policy_world_refresh(w);
		bench_samples_add(&leaves, us_since(begin));
	}
	bench_say("one join more, median", bench_samples_quantile(&joins, 0.5), 1, "us");
	bench_say("one leave, median", bench_samples_quantile(&leaves, 0.5), 1, "us");
	bench_samples_fini(&joins);
	bench_samples_fini(&leaves);
}

/* Text of the parts that had lacks or has otherwise. */
static size_t
bytes_of_difference(const struct policy_bundle *now, const struct policy_bundle *had)
{
	const struct policy_filter_part *a, *b;
	size_t n_a = policy_filter_parts(now, &a), n_b = policy_filter_parts(had, &b), n = 0, k = 0;

	if (n_a == 0 || n_b == 0)
		return now->filter->len;
	for (size_t i = 0; i < n_a; i++) {
		size_t len = a[i].end - a[i].begin;

		while (k < n_b && b[k].name < a[i].name)
			k++;
		if (k == n_b || b[k].name != a[i].name || b[k].end - b[k].begin != len ||
		    memcmp(now->filter->bytes + a[i].begin, had->filter->bytes + b[k].begin, len) != 0)
			n += len;
	}
	return n;
}

/* What all other nodes together are told of their filters when the last node joins. */
static void
bench_told(struct policy_world *w, const struct fleet *f)
{
	size_t n = (size_t)f->shape.n_nodes, whole = 0, parts = 0;
	struct policy_bundle **had = obj_alloc((n + 1) * sizeof(struct policy_bundle *));

	for (size_t i = 0; i < n; i++)
		had[i] = policy_bundle_hold(policy_world_class_of(w, (int64_t)i + 1)->bundle);
	join(w, &f->nodes[n]);
	policy_world_refresh(w);
	for (size_t i = 0; i < n; i++) {
		const struct policy_bundle *now = policy_world_class_of(w, (int64_t)i + 1)->bundle;

		if (now != had[i] && !shbuf_eq(now->filter, had[i]->filter)) {
			whole += now->filter->len;
			parts += bytes_of_difference(now, had[i]);
		}
		policy_bundle_drop(had[i]);
	}
	policy_world_leave(w, f->nodes[n].id);
	policy_world_refresh(w);
	bench_say("filters that one join changes", (double)whole / 1024, 0, "KiB");
	bench_say("of that other", (double)parts / 1024, 0, "KiB");
	free(had);
}

static void
bench_views(struct policy_world *w)
{
	int64_t begin = bench_now_ns();
	size_t n_views = 0;

	for (uint32_t a = 1; a < w->n_rows; a++) {
		for (uint32_t b = 1; b < w->n_rows; b++)
			n_views += policy_world_view(w, a, b) != NULL;
	}
	bench_say("rows", w->n_rows - 1, 0, "");
	bench_say("rows that see each other", (double)n_views, 0, "");
	bench_say("every row against every row", us_since(begin) / 1000, 2, "ms");
}

static size_t
classes_of(const struct policy_world *w, size_t *filter_bytes)
{
	size_t n = 0, cursor = 0;

	*filter_bytes = 0;
	for (const struct policy_class *c; (c = policy_world_next(w, &cursor)) != NULL; n++)
		*filter_bytes += c->bundle->filter->len;
	return n;
}

/* What a node is told at most, and what the first and each other such text cost. */
static void
bench_ssh(struct policy_world *w)
{
	struct bench_samples puts = { 0 };
	struct buf b = { 0 };
	size_t cursor = 0, most = 0;

	if (w->policy->n_ssh == 0)
		return;
	for (const struct policy_class *c; (c = policy_world_next(w, &cursor)) != NULL; ) {
		int64_t begin = bench_now_ns();

		buf_clear(&b);
		policy_ssh_put(&b, w, c);
		bench_samples_add(&puts, us_since(begin));
		most = b.len > most ? b.len : most;
	}
	bench_say("SSH policy of a node, longest", (double)most / 1024, 0, "KiB");
	bench_say("SSH policy of a node, median", bench_samples_quantile(&puts, 0.5), 1, "us");
	bench_say("SSH policy of a node, slowest", bench_samples_quantile(&puts, 1), 1, "us");
	bench_samples_fini(&puts);
	buf_fini(&b);
}

static double
heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return (double)m.uordblks + (double)m.hblkhd;
}

static void
bench_world(struct fleet *f, struct policy *policy, const struct map *users)
{
	double before = heap_bytes();
	int64_t begin = bench_now_ns();
	struct policy_world *w = policy_world_new(policy, users, "https://hq.example.com");
	size_t filter_bytes;
	int64_t id;

	for (long i = 0; i < f->shape.n_nodes; i++)
		join(w, &f->nodes[i]);
	while (policy_world_stale(w, &id))
		join(w, &f->nodes[id - 1]);
	bench_say("world, all joined", us_since(begin) / 1000, 1, "ms");
	policy_world_refresh(w);
	bench_say("world, with filters", us_since(begin) / 1000, 1, "ms");
	bench_say("memory of the world", (heap_bytes() - before) / (1 << 20), 1, "MiB");
	bench_say("classes", (double)classes_of(w, &filter_bytes), 0, "");
	bench_ssh(w);
	bench_say("filters of all classes", (double)filter_bytes / 1024, 0, "KiB");
	bench_views(w);
	bench_told(w, f);
	bench_events(w, f);
	policy_world_free(w);
}

static void
parse_options(int argc, char **argv, struct shape *s)
{
	static const struct option options[] = {
		{ "nodes", required_argument, NULL, 'n' }, { "tags", required_argument, NULL, 't' },
		{ "rules", required_argument, NULL, 'r' }, { "users", required_argument, NULL, 'u' },
		{ "kind", required_argument, NULL, 'k' }, { "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n':
			s->n_nodes = bench_number("nodes", optarg, 1, 60000);
			break;
		case 't':
			s->n_tags = bench_number("tags", optarg, 1, 1000);
			break;
		case 'r':
			s->n_rules = bench_number("rules", optarg, 0, 20000);
			break;
		case 'u':
			s->n_users = bench_number("users", optarg, 1, 60000);
			break;
		case 'k':
			s->kind = optarg;
			break;
		default:
			usage(c == 'h' ? stdout : stderr);
			exit(c == 'h' ? 0 : 2);
		}
	}
}

int
main(int argc, char **argv)
{
	static struct fleet f = { .shape = { 10000, 30, 300, 100, "tags" }, .x = 0x9e3779b97f4a7c15u };
	struct policy_errors errors = { 0 };
	struct policy *policy;
	struct buf text = { 0 };
	struct map users;

	parse_options(argc, argv, &f.shape);
	bench_label("policy %s nodes=%ld tags=%ld rules=%ld", f.shape.kind, f.shape.n_nodes, f.shape.n_tags,
	    f.shape.n_rules);
	users_make(&f, &users);
	put_policy(&f, &text);
	fleet_make(&f);
	int64_t begin = bench_now_ns();

	if (policy_parse((const char *)text.p, text.len, &policy, &errors) != ERR_OK)
		bench_die("the policy is refused");
	bench_say("text", (double)text.len / 1024, 1, "KiB");
	bench_say("parse", us_since(begin) / 1000, 2, "ms");
	bench_world(&f, policy, &users);
	policy_drop(policy);
	policy_errors_fini(&errors);
	users_free(&users);
	buf_fini(&text);
	free(f.nodes);
	free(f.routes);
	free(f.names);
	free(f.tags);
	return 0;
}
