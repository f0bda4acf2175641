/* links: web/api web/api_token web/api_devices web/api_device web/api_keys web/api_dns web/api_policy web/flapi_policy web/flapi_clusters web/policy_reply web/dns_body web/flapi web/flapi_users web/flapi_keys web/flapi_nodes web/flapi_routes web/flapi_quotas web/flapi_logins web/flapi_ssh web/flapi_settings web/flapi_dns web/login_page web/ssh_page web/html web/flapi_status web/flapi_doctor web/flapi_creds web/flapi_session web/flapi_audit web/creds web/events web/assets web/pages web/http web/http_run web/http_back web/http_req web/http_unix web/http_who web/http_stream web/router web/auth web/auth_text web/form web/scope coord/audit_read coord/store coord/store_sql coord/store_stmt coord/store_cred coord/store_policy coord/store_cluster coord/store_join coord/store_load coord/migrate gen/migrations coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_save coord/cluster_policy coord/hujson_edit coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_policy_save coord/tailnet_task coord/policies_read coord/hujson_plain coord/tailnet_tag coord/policy coord/policy_* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota web/flapi_regions web/flapi_relays coord/tailnet_relay coord/relay_feed coord/relay_hello coord/relay_probe */
/* What the console needs: sign-in by link, sessions, events, the audit record, its embedded files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api_rig.h"
#include "coord/tailnet_login.h"
#include "web/assets.h"
#include "web/events.h"

static const char index_html[] = "<!doctype html>", script[] = "let a = 1";
static const char script_gz[] = "packed";
#define BYTES(s) (const uint8_t *)(s), (const uint8_t *)(s) + sizeof(s) - 1
const struct asset assets_table[] = {
	{ "/index.html", "text/html; charset=utf-8", "aaaa", BYTES(index_html), NULL, NULL, false },
	{ "/assets/index-1.js", "text/javascript; charset=utf-8", "bbbb", BYTES(script),
	  BYTES(script_gz), true },
	{ "/licenses.txt", "text/plain; charset=utf-8", "cccc", BYTES(script), NULL, NULL, false },
};
const size_t assets_count = COUNT_OF(assets_table);

#define JSON	"Content-Type: application/json\r\nSec-Fetch-Site: same-origin\r\n"
#define SESSION	"/api/fairlead/v1/session"

static char cookie_line[300];

/* A link's token into out. */
static void
link_make(const char *body, char out[100])
{
	char owner[256];
	json_t *v = NULL;

	snprintf(owner, sizeof(owner), "%s", rig_cred(&(struct tailnet_cred_spec){ .kind = CRED_API,
	    .user_id = 1 }));
	assert_int_equal(rig_ask("POST", SESSION "/links", owner, body, &v), 200);
	const char *url = json_get_str(v, "url", "");
	assert_memory_equal(url, "https://vpn.example.com/login#fl-login-", 39);
	snprintf(out, 100, "%s", strchr(url, '#') + 1);
	json_decref(v);
}

/* Signs in; the cookie is in cookie_line afterwards. */
static int
sign_in(const char *token)
{
	struct buf raw = { .len = 0 };
	char body[200];

	snprintf(body, sizeof(body), "{\"token\":\"%s\"}", token);
	int status = rig_ask_raw("POST", SESSION, JSON, body, &raw);
	const char *at = strstr(buf_cstr(&raw), "Set-Cookie: ");
	assert_int_equal(at != NULL, status == 200);
	if (at != NULL) {
		at += strlen("Set-Cookie: ");
		snprintf(cookie_line, sizeof(cookie_line), "Cookie: %.*s\r\n", (int)strcspn(at, ";"), at);
		assert_non_null(strstr(at, "; Path=/; HttpOnly; SameSite=Strict; Max-Age=604800"));
		assert_int_equal(strstr(at, "; Secure\r\n") != NULL, rig_is_tls);
	}
	buf_fini(&raw);
	return status;
}

static void
test_session(void **state)
{
	char token[100], fields[600];
	json_t *v = NULL;

	(void)state;
	rig_start();
	rig_fill();
	link_make("{}", token);
	/* A preview of the link, another page, and a guess do not use it up. */
	rig_run("", &(struct rig_case){ "POST", SESSION, "{\"token\":\"x\"}", 403, "own page" }, 1);
	rig_run(JSON, &(struct rig_case){ "POST", SESSION, "{\"token\":\"x\"}", 401, "link" }, 1);
	assert_int_equal(sign_in(token), 200);
	assert_memory_equal(cookie_line, "Cookie: __Host-fairlead_session=fl-session-", 43);
	snprintf(fields, sizeof(fields), "%s", cookie_line);
	assert_int_equal(sign_in(token), 401);
	assert_int_equal(number("SELECT count(*) FROM credentials WHERE kind = 'link'"), 0);

	assert_int_equal(rig_ask("GET", SESSION, fields, "", &v), 200);
	assert_string_equal(json_get_str(v, "role", ""), "owner");
	assert_true(json_is_null(json_object_get(v, "userId")));
	json_decref(v);
	rig_run(fields, &(struct rig_case){ "DELETE", "/api/fairlead/v1/nodes/2", "", 403, "own page" }, 1);
	strcat(fields, "Sec-Fetch-Site: same-origin\r\n");
	rig_run(fields, &(struct rig_case){ "DELETE", "/api/fairlead/v1/nodes/2", "", 200, "{}" }, 1);
	rig_run(fields, &(struct rig_case){ "POST", "/api/fairlead/v1/keys", "{}", 403,
	    "application/json" }, 1);

	/* It outlives the server, not its idle time. */
	rig_stop();
	rig_start();
	rig_run(fields, &(struct rig_case){ "GET", "/api/fairlead/v1/nodes", "", 200, "edge-1" }, 1);
	fake_clock(T0 + CRED_IDLE_S - 1);
	rig_run(fields, &(struct rig_case){ "GET", SESSION, "", 200, "owner" }, 1);
	fake_clock(T0 + 2 * CRED_IDLE_S - 2);
	rig_run(fields, &(struct rig_case){ "GET", SESSION, "", 200, "owner" }, 1);
	rig_run(fields, &(struct rig_case){ "DELETE", SESSION, "", 200, "{}" }, 1);
	rig_run(fields, &(struct rig_case){ "GET", SESSION, "", 401, "not known" }, 1);
	rig_run("", &(struct rig_case){ "GET", SESSION, "", 401, "login" }, 1);

	/* A link of a user has the user's role at the time; ten minutes end it. */
	link_make("{\"user\":\"bob\"}", token);
	assert_int_equal(sign_in(token), 200);
	rig_run(cookie_line, &(struct rig_case){ "GET", "/api/fairlead/v1/nodes", "", 403, "role" }, 1);
	tailnet_user_set_role(fake.t, &fake_actor, 2, USER_AUDITOR, fake_done, NULL);
	fake_commit();
	rig_run(cookie_line, &(struct rig_case){ "GET", "/api/fairlead/v1/nodes", "", 200, "edge-1" }, 1);
	fake_clock(fake.now + CRED_IDLE_S);
	rig_run(cookie_line, &(struct rig_case){ "GET", SESSION, "", 401, "12 hours" }, 1);
	link_make("{\"role\":\"auditor\"}", token);
	fake_clock(fake.now + 600);
	assert_int_equal(sign_in(token), 401);
	rig_stop();
}

/* What has ended goes, with old records; what has not stays. */
static void
test_prune(void **state)
{
	char token[100];

	(void)state;
	rig_start();
	rig_fill();
	fake.t->audit_days = 30;
	link_make("{}", token);
	link_make("{}", token);
	assert_int_equal(sign_in(token), 200);
	tailnet_prune_run(fake.t);
	fake_commit();
	assert_int_equal(fake.t->creds.count, 4);		/* two keys, a link, a session */
	fake_clock(T0 + 700);
	tailnet_prune_run(fake.t);
	fake_commit();
	assert_int_equal(fake.t->creds.count, 3);
	assert_int_equal(number("SELECT count(*) FROM credentials"), 3);
	int64_t n = number("SELECT count(*) FROM audit");
	fake_clock(T0 + 30 * 86400);
	tailnet_prune_run(fake.t);
	fake_commit();
	assert_int_equal(fake.t->creds.count, 2);
	assert_int_equal(number("SELECT count(*) FROM audit"), n);
	fake_clock(T0 + 30 * 86400 + 1);
	tailnet_prune_run(fake.t);
	fake_commit();
	assert_int_equal(number("SELECT count(*) FROM audit"), 0);
	assert_int_equal(number("SELECT count(*) FROM credentials"), 2);
	rig_stop();
}

static void
test_audit(void **state)
{
	char owner[256], path[100];
	json_t *v = NULL, *records;

	(void)state;
	rig_start_as(1, owner);
	rig_run(owner, &(struct rig_case){ "POST", "/api/v2/device/1/name", "{\"name\":\"b\"}", 200,
	    "" }, 1);
	assert_int_equal(rig_ask("GET", "/api/fairlead/v1/audit?limit=2", owner, "", &v), 200);
	records = json_object_get(v, "records");
	assert_int_equal(json_array_size(records), 2);
	json_t *first = json_array_get(records, 0);
	assert_string_equal(json_get_str(first, "what", ""), "node.rename");
	assert_string_equal(json_get_str(first, "object", ""), "node 1");
	assert_string_equal(json_get_str(first, "source", ""), "203.0.113.9");
	assert_string_equal(json_get_str(json_object_get(first, "before"), "name", ""), "edge-1");
	assert_string_equal(json_get_str(json_object_get(first, "after"), "name", ""), "b");
	snprintf(path, sizeof(path), "/api/fairlead/v1/audit?before=%s&limit=500", json_get_str(v,
	    "next", "?"));
	json_decref(v);
	assert_int_equal(rig_ask("GET", path, owner, "", &v), 200);
	size_t n = json_array_size(json_object_get(v, "records"));
	assert_true(json_is_null(json_object_get(v, "next")));
	assert_int_equal(n + 2, number("SELECT count(*) FROM audit"));
	json_decref(v);
	rig_run(owner, (const struct rig_case[]){
		{ "GET", "/api/fairlead/v1/audit?object=node+1&actor=nobody", "", 200,
		  "{\"records\":[],\"next\":null}" },
		{ "GET", "/api/fairlead/v1/audit?actor=test&limit=1", "", 200,
		  "\"what\":\"credential.create\"" },
		{ "GET", "/api/fairlead/v1/audit?object=node%202", "", 200, "tag:cam" },
		{ "GET", "/api/fairlead/v1/audit?object=node%202&actor=test", "", 200, "[]" },
		{ "GET", "/api/fairlead/v1/audit?limit=501", "", 400, "limit" },
		{ "GET", "/api/fairlead/v1/audit?before=x", "", 400, "before" },
		{ "GET", "/api/fairlead/v1/audit?before=99999999999999999999", "", 400, "before" },
	}, 7);
	rig_stop();
}

/* --- events --------------------------------------------------------------------------------------- */

static int
stream_open(const char *fields, struct buf *in)
{
	struct buf request = { .len = 0 };
	int fd = rig_connect();

	buf_printf(&request, "GET /api/fairlead/v1/events HTTP/1.1\r\nHost: x\r\n%s\r\n", fields);
	assert_int_equal(send(fd, request.p, request.len, MSG_NOSIGNAL), (ssize_t)request.len);
	buf_fini(&request);
	rig_read(fd, in, "\r\n\r\n");
	return fd;
}

static void
tell(const char *what, const char *target, const char *by)
{
	fake.t->watch(fake.t->watch_arg, &(struct tailnet_event){ .what = what, .target = target,
	    .by = by });
}

static void
test_events(void **state)
{
	struct buf in = { .len = 0 }, again = { .len = 0 };
	char owner[256], fields[400], id[40] = "";

	(void)state;
	rig_start_as(1, owner);
	int fd = stream_open(owner, &in);
	rig_read(fd, &in, "event: hello\ndata: {\"version\":");
	assert_non_null(strstr(buf_cstr(&in), "Content-Type: text/event-stream"));
	assert_null(strstr(buf_cstr(&in), "id: "));

	rig_run(owner, &(struct rig_case){ "POST", "/api/v2/device/1/name", "{\"name\":\"b\"}", 200,
	    "" }, 1);
	rig_read(fd, &in, "\"what\":\"node.rename\",\"id\":\"1\",\"by\":\"ann, API key ");
	rig_read(fd, &in, "\"node\":{\"id\":\"1\",\"name\":\"b\"");
	const char *at = strstr(buf_cstr(&in), "id: ");
	snprintf(id, sizeof(id), "%.*s", (int)strcspn(at + 4, "\n"), at + 4);

	/* Soft changes of a node are put together; the last word on being online counts. */
	tell("node.online", "node 2", "");
	tell("node.update", "node 2", "");
	tell("node.offline", "node 2", "");
	rig_read(fd, &in, "\"what\":\"node.offline\",\"id\":\"2\",\"by\":\"\"");
	assert_null(strstr(buf_cstr(&in), "node.update"));
	assert_null(strstr(buf_cstr(&in), "node.online"));
	tell("session.open", "credential aaaaaaaaaaaa", "ann");
	tell("relay.change", "relay 7", "ann");
	tailnet_user_set_role(fake.t, &fake_actor, 2, USER_AUDITOR, fake_done, NULL);
	tailnet_node_remove(fake.t, &fake_actor, 2, fake_done, NULL);
	fake_commit();
	rig_read(fd, &in, "event: user\ndata: {\"what\":\"user.role\",\"id\":\"2\"");
	rig_read(fd, &in,
	    "\"what\":\"node.remove\",\"id\":\"2\",\"by\":\"test\",\"at\":\"2023-11-14T22:13:20Z\","
	    "\"node\":null}");
	assert_null(strstr(buf_cstr(&in), "session.open"));

	/* Another one starts now; one that was there before gets what it missed. */
	snprintf(fields, sizeof(fields), "%sLast-Event-ID: %s\r\n", owner, id);
	int other = stream_open(fields, &again);
	rig_read(other, &again, "node.remove");
	assert_non_null(strstr(buf_cstr(&again), "node.offline"));
	assert_null(strstr(buf_cstr(&again), "node.rename"));
	assert_null(strstr(buf_cstr(&again), "event: reset"));
	close(other);
	buf_clear(&again);
	snprintf(fields, sizeof(fields), "%sLast-Event-ID: 00000000-1\r\n", owner);
	other = stream_open(fields, &again);
	rig_read(other, &again, "event: reset\ndata: {\"reason\":\"gap\"");
	close(other);
	close(fd);
	buf_fini(&in);
	buf_fini(&again);
	rig_stop();
}

/* A client that reads nothing costs no queue: it is told that it missed something. */
static void
test_slow_reader(void **state)
{
	struct buf in = { .len = 0 };
	char owner[256];

	(void)state;
	rig_start_as(1, owner);
	int fd = stream_open(owner, &in);
	for (int i = 0; i < 10 * EVENTS_RING_MAX; i++) {
		tell("node.rename", "node 1", "ann");
		if (i % 64 == 0)
			event_base_loop(fake.base, EVLOOP_NONBLOCK);
	}
	rig_read(fd, &in, "event: reset");
	close(fd);
	buf_fini(&in);
	rig_stop();
}

static void
test_stream_limits(void **state)
{
	struct buf in[EVENTS_STREAMS_PER_CRED + 1] = { { .len = 0 } };
	int fds[EVENTS_STREAMS_PER_CRED + 1];
	char owner[256];

	(void)state;
	rig_start_as(1, owner);
	for (unsigned i = 0; i <= EVENTS_STREAMS_PER_CRED; i++) {
		fds[i] = stream_open(owner, &in[i]);
		assert_int_equal(atoi(buf_cstr(&in[i]) + 9), i < EVENTS_STREAMS_PER_CRED ? 200 : 429);
	}
	rig_run("", &(struct rig_case){ "GET", "/api/fairlead/v1/events", "", 401, "login" }, 1);
	for (unsigned i = 0; i <= EVENTS_STREAMS_PER_CRED; i++) {
		close(fds[i]);
		buf_fini(&in[i]);
	}
	rig_stop();		/* with streams that nobody has woken since */
}

/* --- logins ---------------------------------------------------------------------------------------- */

/* Machine n asks to join without a key; the id of its login. */
static const char *
device_asks(int n, const char *hostname)
{
	static char id[LOGIN_ID_CHARS + 1];
	const char *at;

	fake_register(&(struct fake_req){ .machine = n, .key = n, .hostname = hostname });
	at = strstr(fake_reply()->body, "/register/");
	assert_non_null(at);
	snprintf(id, sizeof(id), "%s", at + strlen("/register/"));
	return id;
}

static char owner_line[256];

static void
start_with_stream(int *fd, struct buf *in)
{
	rig_start_as(1, owner_line);
	*fd = stream_open(owner_line, in);
}

/* Each login is told when it comes and, once, when it goes: approved, rejected or over. */
static void
test_login_events(void **state)
{
	struct buf in = { .len = 0 };
	char id[LOGIN_ID_CHARS + 1], path[100], text[100];
	int fd;

	(void)state;
	start_with_stream(&fd, &in);
	snprintf(id, sizeof(id), "%s", device_asks(3, "laptop"));
	snprintf(text, sizeof(text), "event: login\ndata: {\"what\":\"login.new\",\"id\":\"%s\"", id);
	rig_read(fd, &in, text);
	rig_read(fd, &in, "\"hostname\":\"laptop\",\"os\":\"linux\"");
	snprintf(path, sizeof(path), "/api/fairlead/v1/logins/%s/approve", id);
	rig_run(owner_line, &(struct rig_case){ "POST", path, "{\"user\":\"bob\"}", 200, "laptop" }, 1);
	snprintf(text, sizeof(text), "{\"what\":\"login.end\",\"id\":\"%s\"", id);
	rig_read(fd, &in, text);
	rig_read(fd, &in, "\"login\":null}");
	assert_non_null(strstr(buf_cstr(&in), "\"what\":\"node.register\""));

	buf_clear(&in);
	snprintf(id, sizeof(id), "%s", device_asks(4, "phone"));
	snprintf(path, sizeof(path), "/api/fairlead/v1/logins/%s/reject", id);
	rig_run(owner_line, &(struct rig_case){ "POST", path, "", 200, "{}" }, 1);
	snprintf(text, sizeof(text), "{\"what\":\"login.reject\",\"id\":\"%s\",\"by\":\"ann, API", id);
	rig_read(fd, &in, text);
	snprintf(text, sizeof(text), "{\"what\":\"login.end\",\"id\":\"%s\"", id);
	rig_read(fd, &in, text);
	rig_read(fd, &in, "\"login\":null}");

	buf_clear(&in);
	snprintf(id, sizeof(id), "%s", device_asks(5, "nobody"));
	fake_clock(fake.now + LOGIN_LIFE_S);
	tailnet_logins_due(fake.t, fake.now);
	snprintf(text, sizeof(text), "{\"what\":\"login.end\",\"id\":\"%s\"", id);
	rig_read(fd, &in, text);
	rig_read(fd, &in, "\"login\":null}");
	close(fd);
	buf_fini(&in);
	rig_stop();
}

static void
test_settings_events(void **state)
{
	struct buf in = { .len = 0 };
	int fd;

	(void)state;
	start_with_stream(&fd, &in);
	rig_run(owner_line, (const struct rig_case[]){
		{ "GET", "/api/fairlead/v1/settings", "", 200, "\"keyDaysConfigured\":180" },
		{ "PATCH", "/api/fairlead/v1/settings", "{\"devicesNeedApproval\":true,\"keyDays\":30}", 200,
		  "\"keyDaysInEffect\":30,\"keyDaysConfigured\":180" },
		{ "PATCH", "/api/fairlead/v1/settings", "{\"keyDays\":4000}", 400, "3650" },
	}, 3);
	rig_read(fd, &in,
	    "event: settings\ndata: {\"what\":\"settings.change\",\"id\":\"\",\"by\":\"ann, API key ");
	rig_read(fd, &in, "\"settings\":{\"devicesNeedApproval\":true,\"keyDays\":30,\"keyDaysInEffect\":30,");
	rig_run(owner_line, &(struct rig_case){ "PATCH", "/api/fairlead/v1/dns",
		"{\"searchPaths\":[\"corp.example\"]}", 200, "\"changed\":[\"searchPaths\"]" }, 1);
	rig_read(fd, &in, "event: dns\ndata: {\"what\":\"dns.change\",\"id\":\"\",\"by\":\"ann, API key ");
	rig_read(fd, &in, "\"dns\":{\"baseDomain\":\"example.net\",");
	close(fd);
	buf_fini(&in);
	rig_stop();
}

/* Where devices need approval, an approved login is an approved device, unless that is said not to be so. */
static void
test_login_counts_as_approved(void **state)
{
	static const struct { const char *body; bool is_approved; } cases[] = {
		{ "{\"user\":\"bob\"}", true }, { "{\"approved\":true}", true },
		{ "{\"approved\":false}", false },
	};
	struct buf in = { .len = 0 };
	char path[100];
	int fd;

	(void)state;
	start_with_stream(&fd, &in);
	rig_run(owner_line, &(struct rig_case){ "PATCH", "/api/fairlead/v1/settings",
	    "{\"devicesNeedApproval\":true}", 200, "true" }, 1);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		snprintf(path, sizeof(path), "/api/fairlead/v1/logins/%s/approve",
		    device_asks(10 + (int)i, "laptop"));
		rig_run(owner_line, (const struct rig_case[]){
			{ "POST", path, "{\"approved\":\"no\"}", 400, "approved must be true or false" },
			{ "POST", path, cases[i].body, 200,
			  cases[i].is_approved ? "\"authorized\":true" : "\"authorized\":false" },
			{ "POST", path, cases[i].body, 404, "decided" },
		}, 3);
	}
	close(fd);
	buf_fini(&in);
	rig_stop();
}

/* Status of the page with these header lines; what its head and body hold must be there. */
static void
page_is(const char *target, const char *fields, int status, const char *holds)
{
	struct buf raw = { .len = 0 };
	int got = rig_ask_raw("GET", target, fields, "", &raw);

	if (got != status || strstr(buf_cstr(&raw), holds) == NULL)
		fail_msg("%s %s: %d, not %d with %s: %s", target, fields, got, status, holds, buf_cstr(&raw));
	assert_non_null(strstr(buf_cstr(&raw), "Cache-Control: no-store"));
	buf_fini(&raw);
}

/* Everybody sees which device it is; who can decide it in the console is sent there. */
static void
test_login_page(void **state)
{
	char id[LOGIN_ID_CHARS + 1], target[60], to[100], token[100], owner[300], auditor[300];

	(void)state;
	rig_start();
	rig_fill();
	link_make("{}", token);
	assert_int_equal(sign_in(token), 200);
	snprintf(owner, sizeof(owner), "%s", cookie_line);
	link_make("{\"role\":\"auditor\"}", token);
	assert_int_equal(sign_in(token), 200);
	snprintf(auditor, sizeof(auditor), "%s", cookie_line);
	snprintf(id, sizeof(id), "%s", device_asks(3, "laptop"));
	snprintf(target, sizeof(target), "/register/%s", id);
	snprintf(to, sizeof(to), "<a href=\"/machines?login=%s\">", id);

	page_is(target, "", 200, "laptop");
	page_is(target, "", 200, to);
	page_is(target, auditor, 200, "fairlead auth approve ");
	page_is(target, "Cookie: __Host-fairlead_session=fl-session-abc\r\n", 200, "fairlead auth approve ");
	snprintf(to, sizeof(to), "\r\nLocation: /machines?login=%s\r\n", id);
	page_is(target, owner, 303, to);
	page_is("/register/aaaaaaaaaaaaaaaaaaaaaaaa", owner, 404, "No device waits here");
	rig_run(rig_cred(&(struct tailnet_cred_spec){ .kind = CRED_API, .user_id = 1 }),
	    &(struct rig_case){ "GET", "/api/fairlead/v1/logins", "", 200, id }, 1);

	/* Over plain http from outside there is no console to go to. */
	rig_is_tls = false;
	page_is(target, owner, 200, "fairlead auth approve ");
	struct buf raw = { .len = 0 };
	assert_int_equal(rig_ask_raw("GET", target, "", "", &raw), 200);
	assert_null(strstr(buf_cstr(&raw), "/machines"));
	buf_fini(&raw);
	rig_stop();
}

/* --- files ---------------------------------------------------------------------------------------- */

static void
test_assets(void **state)
{
	static const struct { const char *target, *fields; int status; const char *holds; } cases[] = {
		{ "/", "", 200, "\r\n\r\n<!doctype html>" }, { "/", "", 200, "Cache-Control: no-store" },
		{ "/", "", 200, "Content-Security-Policy: default-src 'none'; script-src 'self';" },
		{ "/login", "", 200, "<!doctype html>" }, { "/machines/17?x=y", "", 200,
		  "<!doctype html>" },
		{ "/index.html", "", 200, "<!doctype html>" }, { "/loginx", "", 404, "nothing" },
		{ "/assets/index-1.js", "", 200, "let a = 1" },
		{ "/assets/index-1.js", "", 200, "Cache-Control: public, max-age=31536000, immutable" },
		{ "/assets/index-1.js", "Accept-Encoding: br, gzip\r\n", 200, "\r\n\r\npacked" },
		{ "/assets/index-1.js", "Accept-Encoding: gzip\r\n", 200, "Content-Encoding: gzip" },
		{ "/assets/index-1.js", "If-None-Match: \"bbbb\"\r\n", 304, "ETag: \"bbbb\"" },
		{ "/assets/index-1.js", "If-None-Match: \"other\"\r\n", 200, "let a" },
		{ "/assets/index-2.js", "", 404, "\"status\":404" }, { "/licenses.txt", "", 200,
		  "Cache-Control: no-cache" },
		{ "/api/nothing", "", 404, "\"status\":404" },
	};
	struct buf raw = { .len = 0 };

	(void)state;
	rig_start();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		buf_clear(&raw);
		int status = rig_ask_raw("GET", cases[i].target, cases[i].fields, "", &raw);
		if (status != cases[i].status || strstr(buf_cstr(&raw), cases[i].holds) == NULL)
			fail_msg("%s: %s", cases[i].target, buf_cstr(&raw));
	}
	buf_clear(&raw);
	assert_int_equal(rig_ask_raw("POST", "/", "", "", &raw), 404);
	rig_is_tls = false;
	buf_clear(&raw);
	assert_int_equal(rig_ask_raw("GET", "/", "", "", &raw), 403);
	assert_non_null(strstr(buf_cstr(&raw), "plain http"));
	rig_peer = "10.0.0.1:1";
	buf_clear(&raw);
	assert_int_equal(rig_ask_raw("GET", "/", "", "", &raw), 200);
	buf_fini(&raw);
	rig_stop();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_session), TEST(test_prune), TEST(test_audit), TEST(test_events),
		    TEST(test_slow_reader),
		TEST(test_stream_limits), TEST(test_login_events), TEST(test_settings_events),
		TEST(test_login_counts_as_approved), TEST(test_login_page), TEST(test_assets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
