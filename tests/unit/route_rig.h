/* Routers for tests: joined, advertising, approved; policies; turns of the timer. One test program each. */
#ifndef TESTS_UNIT_ROUTE_RIG_H
#define TESTS_UNIT_ROUTE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"
#include "coord/tailnet_route_private.h"
#include "fake_tailnet.h"

#define A "10.1.0.0/16"
#define B "10.2.0.0/16"

static char ann_key[AUTHKEY_TEXT_MAX];
static int64_t now_ms;
static int stream;	/* stands for streams, which only their existence matters of */

static inline int
set_up(void **state)
{
	(void)state;
	fake_start();
	strcpy(ann_key, fake_key(fake_user("ann@example.org", USER_OWNER), "r", NULL, 0));
	now_ms = 1000000;
	return 0;
}

static inline int
tear_down(void **state)
{
	struct node *n;
	size_t at = 0;

	(void)state;
	while ((n = map_next(&fake.t->nodes, &at)) != NULL)
		n->session = NULL;
	fake_stop();
	return 0;
}

/* The list of prefixes, separated by blanks. */
static struct route_list
list(const char *text)
{
	struct route_list l = { .n = 0 };
	struct net_prefix p;

	for (const char *end; *text != '\0'; text = end + strspn(end, " ")) {
		end = text + strcspn(text, " ");
		assert_int_equal(net_prefix_parse(text, (size_t)(end - text), &p), ERR_OK);
		route_list_add(&l, &p, 1);
	}
	return l;
}

static inline void
advertise(struct node *n, const char *routes)
{
	struct route_list l = list(routes);
	struct buf b = { 0 };
	struct hostinfo *old = n->host;

	buf_str(&b, "{\"Hostname\":\"r\",\"RoutableIPs\":");
	route_list_put(&b, l.v, l.n);
	buf_str(&b, "}");
	assert_int_equal(hostinfo_parse(b.p, b.len, &n->host, NULL), ERR_OK);
	hostinfo_drop(old);
	buf_fini(&b);
	route_list_fini(&l);
	tailnet_route_advertised(fake.t, n);
}

/* A node with a stream that advertises so. */
static struct node *
router(int key, const char *routes)
{
	struct node *n;

	fake_register(&(struct fake_req){ .machine = key, .key = key, .auth = ann_key, .hostname = "r" });
	fake_commit();
	n = fake_node(key);
	assert_non_null(n);
	n->session = (struct session *)(void *)&stream;
	n->is_online = true;
	advertise(n, routes);
	return n;
}

static inline void
change(struct node *n, bool is_whole, const char *add, const char *remove)
{
	struct route_list a = list(add), r = list(remove);
	struct tailnet_route_change c = { .is_whole = is_whole, .add = a.v, .n_add = a.n, .remove = r.v,
		.n_remove = r.n };

	fake.n_done = 0;
	tailnet_node_set_routes(fake.t, &fake_actor, n->id, &c, fake_done, NULL);
	route_list_fini(&a);
	route_list_fini(&r);
}

static inline void
approve(struct node *n, const char *routes)
{
	change(n, false, routes, "");
	fake_commit();
	assert_int_equal(fake.res.rc, ERR_OK);
}

/* "10.1.0.0/16* 10.2.0.0/16": in effect, the starred ones as primary. */
static inline const char *
routes_of(const struct node *n)
{
	static char text[2048];
	char one[NET_TEXT_MAX];
	size_t len = 0;

	text[0] = '\0';
	for (unsigned i = 0; i < n->n_routes; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s%s", i > 0 ? " " : "",
		    net_prefix_put(&n->routes[i].prefix, one), n->routes[i].is_primary ? "*" : "");
	return text;
}

static inline const char *
approved_of(const struct node *n)
{
	static struct buf b;

	buf_clear(&b);
	route_list_put(&b, n->approved, n->n_approved);
	return buf_cstr(&b);
}

static inline void
set_policy(const char *text)
{
	struct policy_errors errors = { 0 };
	struct policy_version v = { .made_unix_s = T0 };
	struct policy *p;

	assert_int_equal(policy_parse(text, strlen(text), &p, &errors), ERR_OK);
	policy_version_set(&v, p);
	tailnet_policy_submit_take(fake.t, &fake_actor, "policy.set", &v, NULL, NULL);
	fake_commit();
}

/* Turns of the timer, until so much later. */
static inline void
pass(int64_t ms)
{
	for (int64_t end = now_ms + ms; now_ms < end; ) {
		now_ms += ROUTE_POLL_MS;
		clock_test_set(now_ms, fake.now);
		tailnet_route_run(fake.t);
	}
}

/* Of the last probe of n. */
static inline uint64_t
ping_id(const struct node *n)
{
	assert_non_null(n->_router);
	return n->_router->ping_id;
}

static inline void
pong(struct node *n)
{
	tailnet_route_pong(fake.t, &n->machine_key, ping_id(n));
}

#endif
