/* links: web/auth web/auth_text web/scope coord/cred coord/tag coord/user */
/* Who asks, by every way of asking, and what they may do. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "web/auth.h"

#define NOW 1800000000

static struct tailnet net;
static struct user ann = { .id = 1, .name = "ann", .role = USER_AUDITOR };
static struct cred key, token, session;

/* Texts "key", "token", "session" are good. */
const struct cred *
tailnet_cred_check(struct tailnet *t, const char *text, size_t n, unsigned kinds, struct err_text *why)
{
	struct cred *const all[] = { &key, &token, &session };
	static const char *const texts[] = { "key", "token", "session" };

	(void)t;
	for (size_t i = 0; i < COUNT_OF(all); i++)
		if (strlen(texts[i]) == n && memcmp(texts[i], text,
		    n) == 0 && (kinds & 1u << all[i]->kind) != 0)
			return all[i];
	err_say(why, ERR_DENIED, "unknown");
	return NULL;
}

struct cred *
tailnet_cred_find(const struct tailnet *t, const char *id)
{
	(void)t;
	return strcmp(id, session.id) == 0 ? &session : strcmp(id, token.id) == 0 ? &token : NULL;
}

enum user_role
tailnet_cred_role(const struct tailnet *t, const struct cred *c)
{
	(void)t;
	return c->user_id == 1 ? ann.role : c->role;
}

static int
setup(void **state)
{
	static char scopes[] = "devices:core auth_keys:read";

	(void)state;
	clock_test_set(1000, NOW);
	MAP_INIT(&net.users, struct user, id);
	map_put(&net.users, &ann);
	key = (struct cred){ .kind = CRED_API, .id = "kkkkkkkkkkkk", .user_id = 1 };
	token = (struct cred){ .kind = CRED_TOKEN, .id = "tttttttttttt", .parent = "cccccccccccc",
	    .scopes = scopes };
	session = (struct cred){ .kind = CRED_SESSION, .id = "ssssssssssss", .role = USER_ADMIN,
		.name = "console of local uid 0", .last_used_unix_s = NOW };
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	map_fini(&net.users);
	clock_test_stop();
	return 0;
}

static void
test_roles(void **state)
{
	static const struct { enum user_role role; bool reads, writes, keys; } cases[] = {
		{ USER_OWNER, true, true, true }, { USER_ADMIN, true, true, true },
		{ USER_NETWORK_ADMIN, true, false, true }, { USER_AUDITOR, true, false, false },
		{ USER_MEMBER, false, false, false },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct auth a = { .scopes = auth_role_scopes(cases[i].role) };
		assert_int_equal(auth_may(&a, SCOPE_USERS, false), cases[i].reads);
		assert_int_equal(auth_may(&a, SCOPE_USERS, true), cases[i].writes);
		assert_int_equal(auth_may(&a, SCOPE_AUTH_KEYS, true), cases[i].keys);
		assert_int_equal(auth_may(&a, SCOPE_ALL, true), cases[i].writes);
	}
}

#define LOCAL	"", true
#define TLS	"203.0.113.9", true
#define FAR	"203.0.113.9", false
#define NEAR	"192.168.1.9", false
#define READ	HTTP_NEED(HTTP_READ, SCOPE_DEVICES)
#define WRITE	HTTP_NEED(HTTP_WRITE, SCOPE_DEVICES)

static void
test_check(void **state)
{
	/* a2V5Og== is "key:" in base64 */
	static const struct {
		const char *ip;			/* "": the Unix socket */
		bool is_tls;
		struct auth_request r;
		unsigned access;
		int status;			/* 0: allowed */
		const char *actor;
	} cases[] = {
		{ LOCAL, { .method = "POST" }, HTTP_WRITE, 0, "local uid 7" },
		{ TLS, { .method = "GET" }, HTTP_PUBLIC, 0, "anonymous" },
		{ TLS, { .method = "GET" }, READ, 401, NULL },
		{ TLS, { .method = "GET" }, HTTP_KNOWN, 401, NULL },
		{ FAR, { .method = "GET" }, HTTP_PUBLIC, 0, "anonymous" },
		{ FAR, { .method = "POST" }, HTTP_SECRET, 403, NULL },
		{ NEAR, { .method = "POST" }, HTTP_SECRET, 0, "anonymous" },
		{ FAR, { .method = "GET", .authorization = "Bearer key" }, READ, 403, NULL },
		{ FAR, { .method = "GET", .authorization = "Bearer key", .allows_plain = true }, READ, 0,
		  "ann, API key kkkkkkkkkkkk" },
		{ TLS, { .method = "GET", .authorization = "Bearer key" }, READ, 0,
		  "ann, API key kkkkkkkkkkkk" },
		{ TLS, { .method = "GET", .authorization = "Basic a2V5Og==" }, READ, 0,
		  "ann, API key kkkkkkkkkkkk" },
		{ TLS, { .method = "POST", .authorization = "Bearer key" }, WRITE, 403, NULL },
		{ TLS, { .method = "GET", .authorization = "Bearer session" }, READ, 401, NULL },
		{ TLS, { .method = "GET", .authorization = "Digest key" }, READ, 401, NULL },
		{ TLS, { .method = "POST", .authorization = "Bearer token" }, WRITE, 0,
		  "OAuth client cccccccccccc" },
		{ TLS, { .method = "GET", .authorization = "Bearer token" }, HTTP_NEED(HTTP_READ,
		  SCOPE_AUTH_KEYS),
		  0, "OAuth client cccccccccccc" },
		{ TLS, { .method = "POST", .authorization = "Bearer token" },
		  HTTP_NEED(HTTP_WRITE, SCOPE_AUTH_KEYS), 403, NULL },
		{ TLS, { .method = "GET", .authorization = "Bearer token" }, HTTP_READ, 403, NULL },
		{ TLS, { .method = "GET", .cookie = "a=b; __Host-fairlead_session=session" }, READ, 0,
		  "console of local uid 0" },
		{ TLS, { .method = "GET", .cookie = "fairlead_session=session" }, READ, 401, NULL },
		{ NEAR, { .method = "GET", .cookie = "fairlead_session=session" }, READ, 0,
		  "console of local uid 0" },
		{ TLS, { .method = "GET", .cookie = "__Host-fairlead_session=wrong" }, READ, 401, NULL },
		/* Changes with the cookie only from our own pages. */
		{ NEAR, { .method = "POST", .cookie = "fairlead_session=session" }, WRITE, 403, NULL },
		{ NEAR, { .method = "POST", .cookie = "fairlead_session=session", .csrf = "1" }, WRITE, 0,
		  "console of local uid 0" },
		{ NEAR, { .method = "POST", .cookie = "fairlead_session=session",
		  .fetch_site = "same-origin" },
		  WRITE, 0, "console of local uid 0" },
		{ NEAR, { .method = "POST", .cookie = "fairlead_session=session",
		  .fetch_site = "same-site" },
		  WRITE, 403, NULL },
		{ NEAR, { .method = "POST", .cookie = "fairlead_session=session", .csrf = "1",
		  .has_body = true,
		  .content_type = "text/plain" }, WRITE, 403, NULL },
		{ NEAR, { .method = "POST", .cookie = "fairlead_session=session", .csrf = "1",
		  .has_body = true,
		  .content_type = "application/json; charset=utf-8" }, WRITE, 0, "console of local uid 0" },
		{ NEAR, { .method = "DELETE", .cookie = "fairlead_session=session",
		  .origin = "http://evil.example",
		  .host = "10.0.0.1" }, WRITE, 403, NULL },
		{ NEAR, { .method = "DELETE", .cookie = "fairlead_session=session",
		  .origin = "http://10.0.0.1",
		  .host = "10.0.0.1" }, WRITE, 0, "console of local uid 0" },
		{ NEAR, { .method = "POST" }, HTTP_SIGN_IN, 403, NULL },
		{ NEAR, { .method = "POST", .fetch_site = "same-origin" }, HTTP_SIGN_IN, 0, "anonymous" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct http_peer peer = { .origin = cases[i].ip[0] == 0 ? HTTP_FROM_UNIX : HTTP_FROM_DOOR,
			.is_tls = cases[i].is_tls, .uid = 7 };
		struct auth_request r = cases[i].r;
		struct auth a;
		struct err_text why = { "" };
		int status = 0;

		if (cases[i].ip[0] != 0)
			assert_int_equal(net_ip_parse(cases[i].ip, strlen(cases[i].ip),
			    &peer.addr.ip), ERR_OK);
		r.peer = &peer;
		enum err rc = auth_check(&net, &r, cases[i].access, &a, &status, &why);
		if (status != cases[i].status)
			fail_msg("case %zu: %d %s", i, status, why.s);
		assert_int_equal(rc, cases[i].status == 0 ? ERR_OK : ERR_DENIED);
		assert_int_equal(why.s[0] != 0, rc != ERR_OK);
		if (rc == ERR_OK)
			assert_string_equal(a.actor.name, cases[i].actor);
	}
}

/* A stream that is open ends when its credential does. */
static void
test_still(void **state)
{
	struct http_peer peer = { .origin = HTTP_FROM_DOOR, .is_tls = true };
	struct auth_request r = { .peer = &peer, .method = "GET", .cookie = AUTH_COOKIE_TLS "=session" };
	struct auth a;
	int status;
	(void)state;

	assert_int_equal(auth_check(&net, &r, HTTP_READ, &a, &status, NULL), ERR_OK);
	assert_true(auth_still(&net, &a, HTTP_READ));
	session.role = USER_MEMBER;
	assert_false(auth_still(&net, &a, HTTP_READ));
	session.role = USER_AUDITOR;
	assert_true(auth_still(&net, &a, HTTP_READ));
	clock_test_set(1000, NOW + CRED_IDLE_S);
	assert_false(auth_still(&net, &a, HTTP_READ));
	clock_test_set(1000, NOW);
	session.revoked_unix_s = NOW;
	assert_false(auth_still(&net, &a, HTTP_READ));
	session.revoked_unix_s = 0;
	session.expires_unix_s = NOW;
	assert_false(auth_still(&net, &a, HTTP_READ));
	memset(a.cred_id, 'x', CRED_ID_CHARS);
	assert_false(auth_still(&net, &a, HTTP_READ));
}

static void
test_forwarded(void **state)
{
	static const struct {
		const char *from, *lists[2], *proto;
		const char *want;
		bool is_tls;
	} cases[] = {
		{ "10.0.0.1", { "203.0.113.5" }, "https", "203.0.113.5", true },
		{ "10.0.0.1", { "203.0.113.5" }, "http", "203.0.113.5", false },
		{ "10.0.0.1", { "203.0.113.5" }, NULL, "203.0.113.5", false },
		{ "10.0.0.1", { NULL }, "https", "10.0.0.1", true },
		{ "10.0.0.1", { "6.6.6.6, 203.0.113.5 , 10.1.1.1" }, "http, https", "203.0.113.5", true },
		{ "10.0.0.1", { "6.6.6.6", "[2001:db8::2]:77" }, NULL, "2001:db8::2", false },
		{ "10.0.0.1", { "6.6.6.6, nonsense" }, NULL, "10.0.0.1", false },
		{ "10.0.0.1", { "10.0.0.9, 10.0.0.8" }, NULL, "10.0.0.9", false },
		{ "192.0.2.1", { "203.0.113.5" }, "https", "192.0.2.1", false },	/* not trusted */
	};
	static char ten[] = "10.0.0.0/8";
	char *const texts[] = { ten };
	struct net_prefixes trusted;

	(void)state;
	assert_int_equal(net_prefixes_parse("x", texts, 1, &trusted, NULL), ERR_OK);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct http_peer peer = { .origin = HTTP_FROM_DOOR };
		char text[NET_TEXT_MAX];

		assert_int_equal(net_ip_parse(cases[i].from, strlen(cases[i].from), &peer.addr.ip), ERR_OK);
		auth_forwarded(&peer, &(struct auth_forwarded){ .trusted = &trusted,
			.lists = cases[i].lists,
			    .n_lists = cases[i].lists[0] == NULL ? 0 : cases[i].lists[1] == NULL ? 1 : 2,
			.proto = cases[i].proto });
		assert_string_equal(net_ip_put(&peer.addr.ip, text), cases[i].want);
		assert_int_equal(peer.is_tls, cases[i].is_tls);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_roles), TEST(test_check), TEST(test_still), TEST(test_forwarded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
