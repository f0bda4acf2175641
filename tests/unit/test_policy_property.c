/* links: tests/unit/policy_naive tests/unit/policy_naive_filter coord/policy_world* coord/policy_ssh* coord/policy_posture coord/policy_users coord/policy coord/policy_parse* coord/hujson coord/ipset coord/tag */
/*
 * Proves: under random policies, whatever nodes come, change and go, classes, rows and filters
 * say of every node and every two nodes what an evaluation node by node says (policy_naive.c),
 * and a world that has seen all that says the same as a new one. Prints the seed of what failed;
 * POLICY_SEED=N runs that alone, POLICY_ROUNDS=N so many.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "tests/unit/policy_naive.h"

#define ROUNDS 3000
#define NODES_MAX 10
#define ROUTES_MAX 3
#define PHASES 4

struct random_node {
	struct policy_node n;
	struct node_route routes[ROUTES_MAX];
	char *tags[2];
	bool is_there;
};

struct round {
	uint64_t seed, x;
	struct map users;
	struct user user[4];
	struct policy *policy;
	struct policy_world *w;
	struct random_node nodes[NODES_MAX];
	struct policy_node there[NODES_MAX];	/* those that are, as the evaluator takes them */
	struct naive nv;
	bool is_odd_ok;		/* routes of tailnet addresses */
	struct buf text;	/* of the policy */
};

static struct hostinfo hosts[] = { { .os = "linux" }, { .os = "windows" } };

static uint64_t
dice(struct round *r, uint64_t n)
{
	r->x ^= r->x << 13;
	r->x ^= r->x >> 7;
	r->x ^= r->x << 17;
	return (r->x >> 11) % n;
}

/* --- random policies -------------------------------------------------------------------------- */

#define PICK(r, list) ((list)[dice((r), COUNT_OF(list))])

static const char *const people[] = { "alice@", "bob@example.com", "group:g", "group:h", "autogroup:member",
	"user:*@example.com", "autogroup:admin", "carol@", "nobody@" };
static const char *const machines[] = { "tag:a", "tag:b", "tag:c", "tag:d", "autogroup:tagged" };
static const char *const literals[] = { "100.64.0.3", "100.64.0.0/29", "100.64.0.4/30", "fd7a:115c:a1e0::3",
	"fd7a:115c:a1e0::/125", "10.1.0.0/16", "10.1.2.0/24", "10.0.0.0/8", "db", "lan",
	    "fd00:1::/64", "8.8.8.0/24",
	"ipset:mixed", "10.9.9.9" };

static void
put_sel(struct round *r, bool is_dst, bool is_via)
{
	uint64_t kind = dice(r, 20);
	const char *text;

	if (kind < 6)
		text = PICK(r, people);
	else if (kind < 11)
		text = PICK(r, machines);
	else if (kind < 16 || is_via)
		text = is_via && kind % 3 == 0 ? "autogroup:internet" : PICK(r, literals);
	else if (kind < 18)
		text = "*";
	else
		text = is_dst ? "autogroup:internet" : "autogroup:danger-all";
	buf_str(&r->text, text);
}

static void
put_sources(struct round *r, bool has_self)
{
	static const char *const selves[] = { "alice@", "autogroup:member", "group:g", "bob@example.com" };
	uint64_t n = 1 + dice(r, 2);

	buf_str(&r->text, "\"src\":[");
	for (uint64_t i = 0; i < n; i++) {
		buf_str(&r->text, i > 0 ? ",\"" : "\"");
		if (has_self)
			buf_str(&r->text, PICK(r, selves));
		else
			put_sel(r, false, false);
		buf_byte(&r->text, '"');
	}
	buf_str(&r->text, "],\"dst\":[");
}

static void
put_acl(struct round *r, bool may_self)
{
	static const char *const ports[] = { ":*", ":22", ":80,443", ":1000-2000" };
	bool has_self = may_self && dice(r, 3) == 0;
	uint64_t n = 1 + dice(r, 2);

	buf_str(&r->text, "{\"action\":\"accept\",");
	if (dice(r, 4) == 0)
		buf_str(&r->text, "\"proto\":\"tcp\",");
	if (!r->is_odd_ok && dice(r, 6) == 0)
		buf_str(&r->text, "\"srcPosture\":[\"posture:lin\"],");
	put_sources(r, has_self);
	for (uint64_t i = 0; i < n; i++) {
		buf_str(&r->text, i > 0 ? ",\"" : "\"");
		if (has_self && i == 0)
			buf_str(&r->text, "autogroup:self");
		else
			put_sel(r, true, false);
		buf_str(&r->text, PICK(r, ports));
		buf_byte(&r->text, '"');
	}
	buf_str(&r->text, "]}");
}

static void
put_grant(struct round *r, bool may_self)
{
	static const char *const caps[] = { "\"*\"", "\"22\"", "\"tcp:80\",\"udp:53\"", "\"443\"" };
	static const char *const apps[] = { "\"tailscale.com/cap/drive\":[{\"s\":1}]",
	    "\"example.com/cap/x\":[1,2]",
		"\"tailscale.com/cap/relay\":[]" };
	bool is_via = dice(r, 3) == 0, has_self = !is_via && may_self && dice(r, 4) == 0;
	bool has_app = !is_via && dice(r, 3) == 0;
	uint64_t n = 1 + dice(r, 2);

	buf_byte(&r->text, '{');
	put_sources(r, has_self);
	for (uint64_t i = 0; i < n; i++) {
		buf_str(&r->text, i > 0 ? ",\"" : "\"");
		if (has_self && i == 0)
			buf_str(&r->text, "autogroup:self");
		else
			put_sel(r, true, is_via);
		buf_byte(&r->text, '"');
	}
	buf_byte(&r->text, ']');
	if (!has_app || dice(r, 2) == 0)
		buf_printf(&r->text, ",\"ip\":[%s]", PICK(r, caps));
	if (has_app)
		buf_printf(&r->text, ",\"app\":{%s}", PICK(r, apps));
	if (is_via)
		buf_printf(&r->text, ",\"via\":[\"%s\"]", dice(r, 2) == 0 ? "tag:a" : "tag:b");
	buf_byte(&r->text, '}');
}

static void
put_policy(struct round *r)
{
	bool may_self = !r->is_odd_ok && dice(r, 2) == 0;
	uint64_t n_acls = dice(r, 4), n_grants = dice(r, 4);

	buf_str(&r->text, "{\"groups\":{\"group:g\":[\"alice@\",\"carol@\"],\"group:h\":[]},"
	    "\"hosts\":{\"db\":\"100.64.0.2\",\"lan\":\"192.168.0.0/16\"},"
	    "\"ipsets\":{\"ipset:mixed\":[\"10.1.3.0/24\",\"add 100.64.0.5-100.64.0.6\",\"10.7.0.0/16\"]},"
	    "\"postures\":{\"posture:lin\":[\"node:os == 'linux'\"]},"
	    "\"tagOwners\":{\"tag:a\":[],\"tag:b\":[],\"tag:c\":[],\"tag:d\":[]},"
	    "\"nodeAttrs\":[{\"target\":[\"tag:a\",\"alice@\"],\"attr\":[\"x\",\"suggest-exit-node\"]},"
	    "{\"target\":[\"tag:c\"],\"attr\":[\"disable-ipv4\"]},"
	    "{\"target\":[\"10.0.0.0/8\",\"db\"],\"attr\":[\"y\"]}],"
	    "\"ssh\":[{\"action\":\"accept\",\"src\":[\"autogroup:member\"],\"dst\":[\"autogroup:self\"],"
	    "\"users\":[\"root\"]},{\"action\":\"check\",\"src\":[\"group:g\"],\"dst\":[\"tag:a\"],"
	    "\"users\":[\"autogroup:nonroot\"]}],\"acls\":[");
	for (uint64_t i = 0; i < n_acls; i++) {
		buf_str(&r->text, i > 0 ? "," : "");
		put_acl(r, may_self);
	}
	buf_str(&r->text, "],\"grants\":[");
	for (uint64_t i = 0; i < n_grants; i++) {
		buf_str(&r->text, i > 0 ? "," : "");
		put_grant(r, may_self);
	}
	buf_str(&r->text, "]}");
}

/* --- random nodes ----------------------------------------------------------------------------- */

static void
add_route(struct random_node *n, const char *text)
{
	struct node_route *route = &n->routes[n->n.n_routes];

	assert_int_equal(net_prefix_parse(text, strlen(text), &route->prefix), ERR_OK);
	for (unsigned i = 0; i < n->n.n_routes; i++) {
		if (memcmp(&n->routes[i].prefix, &route->prefix, sizeof(route->prefix)) == 0)
			return;
	}
	n->n.n_routes++;
}

static void
node_make(struct round *r, unsigned i)
{
	static const char *const prefixes[] = { "10.1.2.0/24", "10.1.0.0/16", "10.0.0.0/8", "192.168.7.0/24",
		"fd00:1::/64", "8.8.8.0/25", "10.7.0.0/24", "10.1.2.0/24" };
	static const char *const odd[] = { "100.64.0.0/30", "100.64.0.4/30", "fd7a:115c:a1e0::4/126" };
	static const char *const tags[] = { "tag:a", "tag:b", "tag:c", "tag:d", "tag:unknown" };
	struct random_node *n = &r->nodes[i];
	uint64_t families = dice(r, 8), n_routes = dice(r, 2) * dice(r, ROUTES_MAX);

	*n = (struct random_node){ .n = { .id = i + 1 }, .is_there = true };
	n->n.ip4 = net_ip_from_v4((uint8_t[]){ 100, 64, 0, (uint8_t)(i + 1) });
	n->n.ip6 = net_ip_from_v6((uint8_t[16]){ 0xfd, 0x7a, 0x11, 0x5c, 0xa1, 0xe0, [15] = (uint8_t)(i + 1) });
	if (families == 0)
		n->n.ip4 = (struct net_ip){ .family = 0 };
	else if (families == 1)
		n->n.ip6 = (struct net_ip){ .family = 0 };
	n->n.is_waiting = dice(r, 12) == 0;
	n->n.host = &PICK(r, hosts);
	if (dice(r, 2) == 0) {
		n->n.user_id = 1 + (int64_t)dice(r, 4);
	} else {
		n->tags[n->n.n_tags++] = (char *)(uintptr_t)PICK(r, tags);
		const char *other = PICK(r, tags);

		if (strcmp(other, n->tags[0]) > 0)
			n->tags[n->n.n_tags++] = (char *)(uintptr_t)other;
	}
	for (uint64_t k = 0; k < n_routes; k++)
		add_route(n, r->is_odd_ok && dice(r, 4) == 0 ? PICK(r, odd) : PICK(r, prefixes));
	if (dice(r, 6) == 0) {
		n->n.n_routes = 0;
		add_route(n, "0.0.0.0/0");
		add_route(n, dice(r, 3) == 0 ? "10.1.2.0/24" : "::/0");
	}
	n->n.tags = n->tags;
	n->n.routes = n->routes;
}

/* The lowest id of those with a route is its primary. */
static void
elect(struct round *r)
{
	for (unsigned i = 0; i < NODES_MAX; i++) {
		for (unsigned k = 0; k < r->nodes[i].n.n_routes; k++) {
			struct node_route *mine = &r->nodes[i].routes[k];

			mine->is_primary = true;
			for (unsigned j = 0; j < i && mine->prefix.bits > 0; j++) {
				const struct random_node *o = &r->nodes[j];

				for (unsigned m = 0; m < o->n.n_routes && o->is_there &&
				    !o->n.is_waiting; m++) {
					if (memcmp(&o->routes[m].prefix, &mine->prefix,
					    sizeof(mine->prefix)) == 0)
						mine->is_primary = false;
				}
			}
		}
	}
}

/* --- what the engine says --------------------------------------------------------------------- */

static void
canon_filter(const struct shbuf *filter, const struct policy_node *n, struct canon *out)
{
	struct buf b = { 0 };
	struct err_text why;
	json_t *json = NULL;
	const json_t *v;
	size_t i;

	policy_filter_put(&b, filter, n);
	if (json_parse(b.p, b.len, &json, &why) != ERR_OK)
		fail_msg("%s: %s", why.s, buf_cstr(&b));
	json_array_foreach(json, i, v)
		canon_add_rule(out, v);
	json_decref(json);
	buf_fini(&b);
}

static void
complain(struct round *r, const char *what, int64_t a, int64_t b)
{
	for (unsigned i = 0; i < r->nv.n; i++) {
		const struct policy_node *n = &r->there[i];
		char text[NET_TEXT_MAX];

		fprintf(stderr, "node %d user %d %s %s %s%s%s", (int)n->id, (int)n->user_id,
		    n->n_tags > 0 ? n->tags[0] : "",
		    n->n_tags > 1 ? n->tags[1] : "", n->ip4.family == 0 ? "no-ip4 " : "",
		    n->ip6.family == 0 ? "no-ip6 " : "", n->is_waiting ? "waits" : n->host->os);
		for (unsigned k = 0; k < n->n_routes; k++)
			fprintf(stderr, " %s%s", net_prefix_put(&n->routes[k].prefix, text),
			    n->routes[k].is_primary ? "" : "(second)");
		fprintf(stderr, "\n");
	}
	fprintf(stderr, "%s\n", buf_cstr(&r->text));
	fail_msg("POLICY_SEED=%llu: %s, nodes %d and %d", (unsigned long long)r->seed, what, (int)a, (int)b);
}

static void
check_filter(struct round *r, unsigned i)
{
	const struct policy_node *n = &r->there[i];
	const struct policy_class *c = policy_world_class_of(r->w, n->id);
	struct canon want = { 0 }, got = { 0 };
	struct buf a = { 0 }, b = { 0 };

	assert_non_null(c->bundle);
	naive_filter(&r->nv, i, &want);
	canon_filter(c->bundle->filter, n, &got);
	canon_put(&want, &a);
	canon_put(&got, &b);
	if (strcmp(buf_cstr(&a), buf_cstr(&b)) != 0) {
		print_error("want\n%sgot\n%s", buf_cstr(&a), buf_cstr(&b));
		complain(r, "filter", n->id, 0);
	}
	canon_fini(&want);
	canon_fini(&got);
	buf_fini(&a);
	buf_fini(&b);
}

static bool
is_shown(const struct policy_world *w, const struct policy_view *view, const struct policy_class *c,
    const struct policy_node *n, unsigned i)
{
	unsigned kind = policy_world_kind(w, c, n, i);

	assert_true(kind < view->n_kinds);
	return view->show[kind] == POLICY_SHOW_ALWAYS ||
	    (view->show[kind] == POLICY_SHOW_PRIMARY && n->routes[i].is_primary);
}

static void
check_sight(struct round *r, unsigned a, unsigned b)
{
	const struct policy_node *na = &r->there[a], *nb = &r->there[b];
	const struct policy_class *ca = policy_world_class_of(r->w, na->id),
	    *cb = policy_world_class_of(r->w, nb->id);
	const struct policy_view *view = policy_world_view(r->w, ca->row, cb->row);

	if ((view != NULL) != naive_sees(&r->nv, a, b))
		complain(r, view != NULL ? "sees" : "does not see", na->id, nb->id);
	if (view == NULL)
		return;
	assert_ptr_equal(view, policy_world_view(r->w, ca->row, cb->row));
	assert_int_equal(view->is_ipv4_hidden, ca->bundle->is_ipv4_off);
	for (unsigned i = 0; i < nb->n_routes; i++) {
		bool shown = is_shown(r->w, view, cb, nb, i);

		if (shown != naive_shows(&r->nv, a, b, i)) {
			print_error("route %u\n", i);
			complain(r, shown ? "route is shown" : "route is not shown", na->id, nb->id);
		}
		if (view->id == 0)
			assert_int_equal(view->show[policy_world_kind(r->w, cb, nb, i)], POLICY_SHOW_PRIMARY);
	}
}

static void
check_selectors(struct round *r)
{
	for (uint32_t sel = 0; sel < r->policy->n_sels; sel++) {
		struct ipset want = { 0 }, got = { 0 };

		naive_resolve(&r->nv, sel, &want);
		policy_world_resolve(r->w, sel, false, &got);
		assert_true(ipset_eq(&want, &got));
		for (unsigned i = 0; i < r->nv.n; i++) {
			const struct policy_node *n = &r->there[i];
			bool is_in = !n->is_waiting && ((n->ip4.family != 0 && ipset_has(&want, &n->ip4)) ||
			    (n->ip6.family != 0 && ipset_has(&want, &n->ip6)));

			assert_int_equal(policy_class_in(r->w, policy_world_class_of(r->w, n->id), sel), is_in);
			assert_int_equal(policy_world_any_has(r->w, &(struct policy_list){ &sel,
			    1 }, n), is_in);
		}
		ipset_fini(&want);
		ipset_fini(&got);
	}
}

/* A new world of the same nodes says the same, to the byte. */
static void
check_fresh(struct round *r)
{
	struct policy_world *w = policy_world_new(r->policy, &r->users, "https://hq.example.com");
	int64_t id;

	for (unsigned i = 0; i < r->nv.n; i++)
		assert_non_null(policy_world_join(w, &r->there[i]));
	while (policy_world_stale(w, &id)) {
		for (unsigned i = 0; i < r->nv.n; i++) {
			if (r->there[i].id == id)
				assert_non_null(policy_world_join(w, &r->there[i]));
		}
	}
	policy_world_refresh(w);
	for (unsigned i = 0; i < r->nv.n; i++) {
		const struct policy_bundle *a = policy_world_class_of(r->w, r->there[i].id)->bundle;
		const struct policy_bundle *b = policy_world_class_of(w, r->there[i].id)->bundle;

		if (!shbuf_eq(a->filter, b->filter) || !shbuf_eq(a->caps, b->caps) ||
		    a->ssh != b->ssh ||
		    a->is_ipv4_off != b->is_ipv4_off || a->is_exit_suggested != b->is_exit_suggested)
			complain(r, "a new world says otherwise", r->there[i].id, 0);
	}
	policy_world_free(w);
}

/* --- rounds ----------------------------------------------------------------------------------- */

static void
join(struct round *r, unsigned i)
{
	assert_non_null(policy_world_join(r->w, &r->nodes[i].n));
}

static void
settle(struct round *r)
{
	unsigned n_stale = 0;
	int64_t id;

	elect(r);
	while (policy_world_stale(r->w, &id)) {
		assert_true(++n_stale < 1000);
		join(r, (unsigned)id - 1);
	}
	policy_world_refresh(r->w);
	assert_false(policy_world_refresh(r->w));
	r->nv = (struct naive){ r->policy, &r->users, r->there, 0 };
	for (unsigned i = 0; i < NODES_MAX; i++) {
		if (!r->nodes[i].is_there) {
			assert_null(policy_world_class_of(r->w, i + 1));
			continue;
		}
		r->there[r->nv.n++] = r->nodes[i].n;
	}
	for (unsigned i = 0; i < r->nv.n; i++) {
		if (!policy_world_is_current(r->w, &r->there[i]))
			complain(r, "is not current", r->there[i].id, 0);
	}
}

static void
change(struct round *r)
{
	for (unsigned i = 0; i < NODES_MAX; i++) {
		uint64_t what = dice(r, 8);

		if (what < 2) {
			node_make(r, i);
			/* One that is there is placed anew, or leaves before. */
			if (what == 0)
				policy_world_leave(r->w, i + 1);
			join(r, i);
		} else if (what == 2) {
			policy_world_leave(r->w, i + 1);
			r->nodes[i] = (struct random_node){ .is_there = false };
		}
		if (dice(r, 6) == 0)
			policy_world_refresh(r->w);
	}
}

static void
round_users(struct round *r)
{
	static const char *const names[] = { "alice", "bob", "carol", "dave" };
	static const char *const emails[] = { "alice@example.com", "bob@example.com", "carol@other.org", "" };

	MAP_INIT(&r->users, struct user, id);
	for (unsigned i = 0; i < COUNT_OF(names); i++) {
		struct user *u = &r->user[i];

		*u = (struct user){ .magic = USER_MAGIC, .id = i + 1, .role = i == 0 ? USER_OWNER :
		    USER_MEMBER };
		snprintf(u->name, sizeof(u->name), "%s", names[i]);
		snprintf(u->email, sizeof(u->email), "%s", emails[i]);
		assert_null(map_put(&r->users, u));
	}
}

/* false: the policy is none. */
static bool
round_run(uint64_t seed)
{
	static struct round r;
	struct policy_errors errors = { 0 };
	bool is_policy;

	r = (struct round){ .seed = seed, .x = seed * 0x9e3779b97f4a7c15u + 1 };
	r.is_odd_ok = dice(&r, 4) == 0;
	round_users(&r);
	put_policy(&r);
	is_policy = policy_parse((const char *)r.text.p, r.text.len, &r.policy, &errors) == ERR_OK;
	if (is_policy) {
		r.w = policy_world_new(r.policy, &r.users, "https://hq.example.com");
		for (unsigned phase = 0; phase < PHASES; phase++) {
			change(&r);
			settle(&r);
			for (unsigned a = 0; a < r.nv.n; a++) {
				check_filter(&r, a);
				for (unsigned b = 0; b < r.nv.n; b++) {
					if (a != b)
						check_sight(&r, a, b);
				}
			}
		}
		check_selectors(&r);
		check_fresh(&r);
		policy_world_free(r.w);
		policy_drop(r.policy);
	}
	policy_errors_fini(&errors);
	map_fini(&r.users);
	buf_fini(&r.text);
	return is_policy;
}

static void
test_random(void **state)
{
	const char *seed = getenv("POLICY_SEED"), *rounds = getenv("POLICY_ROUNDS");
	uint64_t n = rounds != NULL ? strtoull(rounds, NULL, 10) : ROUNDS, n_policies = 0;

	(void)state;
	if (seed != NULL) {
		assert_true(round_run(strtoull(seed, NULL, 10)));
		return;
	}
	for (uint64_t i = 1; i <= n; i++)
		n_policies += round_run(i);
	/* Most texts are policies, or little is proven. */
	assert_true(n_policies > n / 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
