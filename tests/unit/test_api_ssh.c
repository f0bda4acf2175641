/* links: web/api web/api_token web/api_devices web/api_device web/api_keys web/api_dns web/api_policy web/flapi_policy web/policy_reply web/dns_body web/flapi web/flapi_clusters web/flapi_users web/flapi_keys web/flapi_nodes web/flapi_routes web/flapi_quotas web/flapi_logins web/flapi_ssh web/flapi_settings web/flapi_dns web/login_page web/ssh_page web/html web/flapi_status web/flapi_doctor web/flapi_creds web/flapi_session web/flapi_audit web/creds web/events web/assets web/pages web/http web/http_run web/http_back web/http_req web/http_unix web/http_who web/http_stream web/router web/auth web/auth_text web/form web/scope coord/audit_read coord/store coord/store_sql coord/store_cluster coord/store_stmt coord/store_cred coord/store_policy coord/store_join coord/store_load coord/migrate gen/migrations coord/tailnet coord/tailnet_cluster coord/tailnet_cluster_save coord/cluster_policy coord/hujson_edit coord/tailnet_cluster_claim coord/cluster coord/cluster_overlap coord/tailnet_ssh coord/tailnet_ssh_decide coord/msg_ssh coord/tailnet_policy coord/tailnet_policy_save coord/tailnet_task coord/policies_read coord/hujson_plain coord/tailnet_tag coord/policy coord/policy_* coord/hujson coord/ipset coord/tailnet_timer coord/tailnet_op coord/tailnet_user coord/tailnet_cred coord/cred coord/tailnet_key coord/tailnet_node coord/tailnet_join coord/tailnet_register coord/tailnet_login coord/tailnet_setting coord/mutation coord/tailnet_dns coord/dns_file coord/dns_lookup coord/dns_resolve coord/dns_spec coord/dns_params coord/dns coord/audit coord/authkey coord/node coord/user coord/tag coord/ipam coord/dns_label coord/hostinfo coord/msg_register coord/tailnet_route* coord/route coord/policy* coord/tailnet_region coord/region coord/tailnet_quota coord/quota_rule coord/store_region coord/store_quota web/flapi_regions web/flapi_relays coord/tailnet_relay coord/relay_feed coord/relay_hello coord/relay_probe */
/* SSH logins that wait, as people meet them: the API, its events, and the page with two buttons. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FAKE_REAL_SSH_RULE
#include "api_rig.h"
#include "coord/policy.h"
#include "coord/tailnet_ssh.h"
#include "web/assets.h"

#define API	"/api/fairlead/v1/ssh-checks"
#define OWN	"Sec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"

static const char index_html[] = "<!doctype html>";
const struct asset assets_table[] = {
	{ "/index.html", "text/html; charset=utf-8", "aaaa", (const uint8_t *)index_html,
	  (const uint8_t *)index_html + sizeof(index_html) - 1, NULL, NULL, false },
};
const size_t assets_count = COUNT_OF(assets_table);

static struct policy_ssh rule;
static enum err rule_rc;

enum err
tailnet_ssh_rule(struct tailnet *t, const struct ssh_who *who, const struct policy_ssh **out)
{
	(void)t;
	(void)who;
	*out = &rule;
	return rule_rc;
}

static int
rig_set_up(void **state)
{
	if (set_up(state) != 0)
		return -1;
	rig_start();
	rig_fill();
	rule = (struct policy_ssh){ .is_check = true, .check_period_s = 12 * 3600 };
	rule_rc = ERR_OK;
	return 0;
}

static int
rig_tear_down(void **state)
{
	rig_stop();
	return tear_down(state);
}

/* Node src asks to log in at node 2 as root, and waits; the id of its check. */
static const char *
login(int64_t src, const char *check)
{
	static char id[SSH_CHECK_ID_CHARS + 1];
	struct ctl_peer from = { .conn = { .generation = 1 }, .stream = ++fake.stream };
	struct ssh_req q = { .who = { .src_id = src, .dst_id = 2, .user = "root" } };
	const char *at;

	memset(from.machine.b, 2, KEY_BYTES);
	snprintf(q.check, sizeof(q.check), "%s", check);
	tailnet_ssh_ask(fake.t, &from, &q);
	if (*check != '\0')
		return check;
	at = strstr(fake_reply()->body, "&check=");
	assert_non_null(at);
	snprintf(id, sizeof(id), "%.*s", SSH_CHECK_ID_CHARS, at + 7);
	login(src, id);
	return id;
}

static const char *
session(int64_t user_id, enum user_role role, char out[300])
{
	struct tailnet_cred_spec spec = { .kind = CRED_SESSION, .user_id = user_id, .role = role,
	    .name = "console", .expires_unix_s = fake.now + DAY_S };

	(void)rig_cred(&spec);
	snprintf(out, 300, "Cookie: __Host-fairlead_session=%s\r\n", fake.secret);
	return out;
}

static const char *
owner_key(void)
{
	return rig_cred(&(struct tailnet_cred_spec){ .kind = CRED_API, .user_id = 1 });
}

/* The page for those header lines: its status, and what it holds and does not. */
static void
page_is(const char *method, const char *target, const char *fields, int status, const char *holds,
    const char *lacks)
{
	struct buf raw = { .len = 0 };
	int got = rig_ask_raw(method, target, fields, "", &raw);

	if (got != status || strstr(buf_cstr(&raw), holds) == NULL ||
	    (lacks != NULL && strstr(buf_cstr(&raw), lacks) != NULL))
		fail_msg("%s %s: %d, %s", method, target, got, buf_cstr(&raw));
	assert_null(strstr(buf_cstr(&raw), "<script"));
	assert_non_null(strstr(buf_cstr(&raw), "Content-Security-Policy: default-src 'none';"));
	buf_fini(&raw);
}

static void
test_api(void **state)
{
	static const char waits[] = "\"localUser\":\"root\",\"checkPeriodSeconds\":43200,\"waiting\":true";
	char id[SSH_CHECK_ID_CHARS + 1], path[100], approve[120], reject[120];

	(void)state;
	rig_run(owner_key(), &(struct rig_case){ "GET", API, "", 200, "{\"sshChecks\":[]}" }, 1);
	snprintf(id, sizeof(id), "%s", login(1, ""));
	snprintf(path, sizeof(path), API "/%s", id);
	snprintf(approve, sizeof(approve), "%s/approve", path);
	snprintf(reject, sizeof(reject), "%s/reject", path);
	rig_run("", (const struct rig_case[]){
		{ "GET", API, "", 401, "login" }, { "POST", approve, "", 401, "login" },
	}, 2);
	rig_run(rig_cred(&(struct tailnet_cred_spec){ .kind = CRED_API, .user_id = 2 }),
	    (const struct rig_case[]){
		{ "GET", API, "", 403, "role" }, { "POST", approve, "", 403, "role" },
		{ "POST", reject, "", 403, "role" },
	}, 3);
	rig_run(owner_key(), (const struct rig_case[]){
		{ "GET", API, "", 200, waits }, { "GET", path, "", 200, waits },
		{ "GET", path, "", 200, "\"source\":{\"id\":\"1\",\"name\":\"edge-1\",\"user\":\"ann\"" },
		{ "GET", path, "", 200, "\"destination\":{\"id\":\"2\",\"name\":\"cam\"" },
		{ "GET", path, "", 200, "\"url\":\"https://vpn.example.com/ssh/check/" },
		{ "GET", API "/aaaaaaaaaaaaaaaaaaaaaaaa", "", 404, "decided" },
		{ "POST", API "/x/approve", "", 404, "decided" },
		{ "POST", approve, "", 200, "{}" }, { "POST", approve, "", 404, "decided" },
		{ "GET", path, "", 404, "decided" }, { "GET", API, "", 200, "{\"sshChecks\":[]}" },
		{ "GET", "/api/fairlead/v1/audit?limit=1", "", 200, "\"what\":\"ssh.approve\"" },
		{ "GET", "/api/fairlead/v1/audit?limit=1", "", 200,
		  "\"source\":{\"id\":1,\"name\":\"edge-1\"}" },
	}, 13);
	assert_non_null(strstr(fake_reply()->body, "\"accept\":true"));
	/* a posture can change while it waits */
	rule.check_period_s = 0;
	snprintf(approve, sizeof(approve), API "/%s/approve", login(1, ""));
	rule_rc = ERR_DENIED;
	rig_run(owner_key(), &(struct rig_case){ "POST", approve, "", 403, "policy" }, 1);
	assert_int_equal(fake_reply()->n, 0);
}

static void
test_events(void **state)
{
	struct buf in = { .len = 0 }, request = { .len = 0 };
	char id[SSH_CHECK_ID_CHARS + 1], text[200], path[120];
	int fd = rig_connect();

	(void)state;
	buf_printf(&request, "GET /api/fairlead/v1/events HTTP/1.1\r\nHost: x\r\n%s\r\n", owner_key());
	assert_int_equal(send(fd, request.p, request.len, MSG_NOSIGNAL), (ssize_t)request.len);
	rig_read(fd, &in, "\r\n\r\n");
	snprintf(id, sizeof(id), "%s", login(1, ""));
	snprintf(text, sizeof(text), "event: ssh\ndata: {\"what\":\"ssh.new\",\"id\":\"%s\",\"by\":\"\"", id);
	rig_read(fd, &in, text);
	snprintf(text, sizeof(text), "\"ssh\":{\"id\":\"%s\",\"url\":", id);
	rig_read(fd, &in, text);
	snprintf(path, sizeof(path), API "/%s/reject", id);
	rig_run(owner_key(), &(struct rig_case){ "POST", path, "", 200, "{}" }, 1);
	snprintf(text, sizeof(text), "{\"what\":\"ssh.reject\",\"id\":\"%s\",\"by\":\"ann, API", id);
	rig_read(fd, &in, text);
	snprintf(text, sizeof(text), "{\"what\":\"ssh.end\",\"id\":\"%s\"", id);
	rig_read(fd, &in, text);
	rig_read(fd, &in, "\"ssh\":null}");
	close(fd);
	buf_fini(&in);
	buf_fini(&request);
}

/* Everybody sees who wants where; only those who may decide have the buttons. */
static void
test_page(void **state)
{
	char other[300], admin[300], auditor[300], page[80], approve[100], reject[100], fields[500];

	(void)state;
	session(2, USER_MEMBER, other);
	session(0, USER_ADMIN, admin);
	session(0, USER_AUDITOR, auditor);
	page_is("GET", "/ssh/check/aaaaaaaaaaaaaaaaaaaaaaaa", admin, 404, "No SSH login waits here", "<form");
	snprintf(page, sizeof(page), "/ssh/check/%s", login(1, ""));
	snprintf(approve, sizeof(approve), "%s/approve", page);
	snprintf(reject, sizeof(reject), "%s/reject", page);
	page_is("GET", page, "", 200, "fairlead ssh approve ", "<form");
	page_is("GET", page, "", 200, "<bdi>edge-1 100.64.0.", "<form");
	page_is("GET", page, "", 200, "<bdi>for 12 h from then on</bdi>", NULL);
	page_is("GET", page, "", 200, "href=\"/login\"", NULL);
	page_is("GET", page, auditor, 200, "<bdi>root</bdi>", "<form");
	page_is("GET", page, other, 200, "<bdi>cam ", "<form");
	page_is("GET", page, admin, 200, "<form method=\"post\" action=\"/ssh/check/", NULL);
	snprintf(fields, sizeof(fields), "%s" OWN, other);
	page_is("POST", approve, fields, 403, "Not yours to decide", NULL);
	snprintf(fields, sizeof(fields), "%s" OWN, auditor);
	page_is("POST", reject, fields, 403, "Not yours to decide", NULL);
	/* from another site, or from nobody */
	struct buf raw = { .len = 0 };
	assert_int_equal(rig_ask_raw("POST", approve, admin, "", &raw), 403);
	buf_clear(&raw);
	assert_int_equal(rig_ask_raw("POST", approve, "", "", &raw), 401);
	buf_fini(&raw);
	assert_int_equal(fake_reply()->n, 0);

	snprintf(fields, sizeof(fields), "%s" OWN, admin);
	page_is("POST", approve, fields, 200, "goes on by itself", NULL);
	assert_non_null(strstr(fake_reply()->body, "\"accept\":true"));
	page_is("POST", approve, fields, 404, "No SSH login waits here", NULL);
	page_is("GET", page, admin, 404, "No SSH login waits here", NULL);
}

/* The user whose node it is decides for it, without any rights else; not for one that belongs to tags. */
static void
test_own_login(void **state)
{
	char own[300], page[80], fields[500], target[100];
	char key[AUTHKEY_TEXT_MAX];

	(void)state;
	session(2, USER_MEMBER, own);
	snprintf(fields, sizeof(fields), "%s" OWN, own);
	strcpy(key, fake_key(2, "", NULL, 0));
	fake_register(&(struct fake_req){ .machine = 3, .key = 3, .auth = key, .hostname = "pad" });
	fake_commit();
	rule.check_period_s = 0;
	snprintf(page, sizeof(page), "/ssh/check/%s", login(fake_node(3)->id, ""));
	page_is("GET", page, own, 200, "<form", NULL);
	page_is("GET", page, own, 200, "<bdi>for this connection alone</bdi>", NULL);
	snprintf(target, sizeof(target), "%s/approve", page);
	page_is("POST", target, fields, 200, "goes on by itself", NULL);
	assert_non_null(strstr(fake_reply()->body, "# Approved by bob."));
	snprintf(target, sizeof(target), "/ssh/check/%s/reject", login(fake_node(3)->id, ""));
	page_is("POST", target, fields, 200, "is ended", NULL);
	assert_non_null(strstr(fake_reply()->body, "\"reject\":true"));

	strcpy(key, fake_key(2, "", "tag:cam", 0));
	fake_register(&(struct fake_req){ .machine = 4, .key = 4, .auth = key, .hostname = "cam" });
	fake_commit();
	snprintf(page, sizeof(page), "/ssh/check/%s", login(fake_node(4)->id, ""));
	page_is("GET", page, own, 200, "<bdi>tag:cam</bdi>", "<form");
	snprintf(target, sizeof(target), "%s/approve", page);
	page_is("POST", target, fields, 403, "Not yours to decide", NULL);
	assert_int_equal(fake_reply()->n, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_set_up, rig_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_api), TEST(test_events), TEST(test_page), TEST(test_own_login),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
